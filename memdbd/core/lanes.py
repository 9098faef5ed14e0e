"""The ways by which requests of many connections come in and their replies leave, in Python; the
compiled core's, ``_lanes.py``, does the same.

Theory of operation. A connection has a lane. As long as that is clear, what is to be sent leaves by
it, straight to the socket. Where it has groups and is idle, what comes is looked at here, and
requests that can be run together with those of others are put into the group of their command,
until the end of the turn. All else is for the connection itself. So is what waits when a lane is
closed: its group is spoiled by that, and somebody has to go through it.

A turn that reads from 30 sockets, runs what they ask for, and answers, goes through four loops in
this module, and few others that have a step for each of them. At depth 1, with the system's calls,
which take 2.0 us of it, that takes a GET from 3.8 us of CPU to 3.3, and from 3.2 to 2.1 compiled.
In Python each step counts: there what has come is read at once where each lane has brought one
request, as at depth 1, which makes it 2.7.

May import: core.parsing, core.python, core.text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from memdbd.core.parsing import SHORT, Words, of_each, requests
from memdbd.core.python import alike
from memdbd.core.text import line_of_each, lines

Requests = list[list[bytes]]

# Bytes that are read from a socket at once: a value of 64 KiB with what is around it, since many
# are as long as that. Read in two steps, to set one takes 22 us more, of 60, compiled.
AMOUNT = 80 * 1024

# Of lines of text, so many bytes are looked at: one may be no longer than max_line.
MOST_OF_LINES = 32 * 1024

# Of one connection, so many requests are gathered at once; and so many of all in a group, beside
# those that are the only ones of their connections. With the groups that a turn may have, they take
# some milliseconds.
MOST_OF_ONE = 256
MOST_OF_ALL = 2048
MOST_GROUPS = 8

# So many that have sent something are looked at together, and not one by one.
FEW = 3


class Group:
    """Requests of one ``command``, of ``least`` to ``most`` words, that wait for the end of the
    turn: a ``run`` of all, the ``lanes`` by which they came, in the same order, and the ``counts``
    of how many did by each. It is ``spoiled`` if one of those may not be run as it was found."""

    __slots__ = ("command", "counts", "lanes", "least", "most", "run", "spoiled")

    def __init__(self, command: Any, least: int, most: int) -> None:
        self.command = command
        self.least = least
        self.most = most
        self.clear()

    def clear(self) -> None:
        """Begin anew, with other lists."""
        self.lanes: list[Lane] = []
        self.counts: list[int] = []
        self.run: Requests = []
        self.spoiled = False


class Lane:
    """The way to and from a ``connection``, and the ``session`` of that.

    It ``is_clear`` as long as nothing is in the way of what is to be sent, and ``idle`` while its
    connection has nothing at hand. ``groups`` are those in which its requests may wait, by the
    first words of those; None where they may not, as of all that are not clear. ``usual`` is
    what :func:`~memdbd.core.text.lines` goes by; where it is None, RESP is spoken. ``group`` is
    where its requests wait, if any do; it is not idle then. ``active`` is when something came last.
    ``receive`` and ``send`` are the socket's, None before it is attached to one.
    """

    __slots__ = (
        "active",
        "connection",
        "group",
        "groups",
        "idle",
        "is_clear",
        "receive",
        "send",
        "session",
        "usual",
    )

    def __init__(self, connection: Any, session: Any) -> None:
        self.connection = connection
        self.session = session
        self.active = 0.0
        self.is_clear = False
        self.idle = False
        self.groups: Any = None  # a mapping, see above
        self.usual: dict[bytes, int] | None = None
        self.group: Group | None = None
        self.receive: Any = None
        self.send: Any = None

    def attach(self, socket: Any) -> None:
        """Lead to a socket, which is read and written without waiting. Where there is none that can
        be, this is not called, and the lane is never clear."""
        self.receive, self.send = socket.recv, socket.send

    def close(self) -> None:
        """Something is in its way, or its connection may do something else from now on."""
        self.is_clear = False
        self.groups = None
        self.spoil()

    def spoil(self) -> None:
        """Have the requests that wait be left to the connection, if there are any."""
        if self.group is not None:
            self.group.spoiled = True


# Of a socket its descriptor, and if it was read its lane, what that gave, and what is left of it.
Rest = tuple[int, Lane | None, bytes | OSError | None, Requests | None]


def take_in(
    ready: Iterable[tuple[int, int]],
    lanes: Mapping[int, Lane],
    began: float,
    most: int,
    begun: list[Group],
) -> tuple[int, list[Rest]]:
    """Read from the sockets of a poll's events, in the turn that has ``began`` then, and have wait
    what can: ``begun`` are the groups in which something does.

    Gives how many bytes have come by lanes, and for whatever is not simply waiting a Rest: what
    :func:`take` gives of what was read, where that is not an error, or nothing at all.
    """
    rest: list[Rest] = []
    came: dict[int, bytes] = {}
    common, kinds = None, 0  # the groups of the last of them, and how often they are not the same
    for descriptor, _ in ready:
        lane = lanes.get(descriptor)
        if lane is None or not lane.idle or (groups := lane.groups) is None:
            rest.append((descriptor, None, None, None))
            continue
        try:
            came[descriptor] = lane.receive(AMOUNT)
        except OSError as error:
            rest.append((descriptor, lane, error, None))
            continue
        lane.active = began
        if groups is not common:
            common = groups
            kinds += 1
    size = sum(map(len, came.values()))
    if kinds == 1 and len(came) >= FEW and most >= SHORT:
        left = _take_each(came, lanes, begun)
        if left is not None:
            return size, rest + left
    for descriptor, data in came.items():
        lane = lanes[descriptor]
        try:
            asked = take(lane, data, most, begun)
        except Exception:  # a defect, which its connection meets again, and nobody else
            asked = None
        if asked is not True:
            rest.append((descriptor, lane, data, asked))
    return size, rest


def _take_each(
    came: Mapping[int, bytes], lanes: Mapping[int, Lane], begun: list[Group]
) -> list[Rest] | None:
    """Have wait what has come by several lanes, which have the same groups, where it is a short
    request by each: gives the rest. None where it is anything else."""
    those, buffers = [*map(lanes.__getitem__, came)], [*came.values()]
    if max(map(len, buffers)) >= SHORT:
        return None
    usual = those[0].usual
    try:
        asked = of_each(buffers) if usual is None else line_of_each(buffers, usual)
    except Exception:  # as one by one
        asked = None
    if asked is None:
        return None
    found, are_alike = asked
    if are_alike and _wait_together(those, found, begun):
        return []
    kinds: dict[tuple[bytes, int], list[int]] = {}  # of requests, with their places
    for place, words in enumerate(found):
        kinds.setdefault((words[0], len(words)), []).append(place)
    rest: list[int] = []
    for places in kinds.values():
        some = [those[place] for place in places]
        if not _wait_together(some, [found[place] for place in places], begun):
            rest += places
    descriptors = [*came]
    return [(descriptors[it], those[it], buffers[it], [found[it]]) for it in sorted(rest)]


def take(lane: Lane, data: bytes, most: int, begun: list[Group]) -> Requests | Literal[True] | None:
    """Have the requests that ``data`` is wait in a group, where they are of one command that can be
    run together: gives True. The lane by which they come is idle, and has groups.

    Otherwise gives those requests, or None where it is not up to ``most`` bytes of nothing but
    whole requests.
    """
    size = len(data)
    usual = lane.usual
    if size > (most if usual is None else min(most, MOST_OF_LINES)):
        return None
    found, end = requests(data) if usual is None else lines(data, usual, MOST_OF_ONE)
    if end != size:
        return None
    return _wait(lane, found, begun) or found


def _wait(lane: Lane, found: Requests, begun: list[Group]) -> bool:
    """Have the requests of a lane wait, if they can: gives whether they do."""
    count = len(found)
    if count != 1 and not 0 < count == alike(found, 0, MOST_OF_ONE):
        return False
    group = _group(lane, found[0], begun)
    if group is None or (count != 1 and len(group.run) + count > MOST_OF_ALL):
        return False
    group.lanes.append(lane)
    group.counts.append(count)
    group.run += found
    lane.group, lane.idle = group, False
    return True


def _wait_together(lanes: list[Lane], found: Requests, begun: list[Group]) -> bool:
    """Have a request of each of several lanes wait, if they can: the lanes have the same groups,
    and the requests are alike. Gives whether they do."""
    group = _group(lanes[0], found[0], begun)
    if group is None:
        return False
    group.lanes += lanes
    group.counts += [1] * len(lanes)
    group.run += found
    for lane in lanes:
        lane.group, lane.idle = group, False
    return True


def _group(lane: Lane, words: Words, begun: list[Group]) -> Group | None:
    """The group in which a request may wait, if there is one, and not too many are ``begun``."""
    group: Group | None = lane.groups.get(words[0])
    if group is None or not group.least <= len(words) <= group.most:
        return None
    if not group.lanes:
        if len(begun) >= MOST_GROUPS:
            return None
        begun.append(group)
    return group


def answered(lanes: Iterable[Lane], command: Any) -> None:
    """All that waited has been run: they are idle again, and know what was asked for last."""
    for lane in lanes:
        lane.group = None
        lane.idle = True
        lane.session.last = command


def send_each(lanes: Sequence[Lane], lines: Sequence[bytes]) -> list[tuple[Lane, bytes]]:
    """Send a line by each lane, as long as that is clear; gives what is left of them."""
    rest = []
    for lane, line, size in zip(lanes, lines, map(len, lines), strict=True):
        try:
            sent = lane.send(line) if lane.is_clear else 0
        except OSError:  # there is no room now, or the reactor will find what is the matter
            sent = 0
        if sent != size:
            rest.append((lane, line[sent:]))
    return rest


def send_all(lanes: Iterable[Lane], line: bytes) -> list[tuple[Lane, bytes]]:
    """Send the same line by all lanes; gives what is left of it, and for which."""
    size = len(line)
    rest = []
    for lane in lanes:
        try:
            sent = lane.send(line) if lane.is_clear else 0
        except OSError:
            sent = 0
        if sent != size:
            rest.append((lane, line[sent:]))
    return rest
