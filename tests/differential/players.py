"""Players: each plays sequences on one server, and reads what is in it afterwards.

A :class:`Player` has a connection of its own beside those of the sequence, to empty the server
before and to look at it after. What the players do in between is :func:`down_a_pipe`, where one
connection gets all commands at once, or :func:`step_by_step`, where several take turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import Sequence as List
from dataclasses import dataclass, field
from itertools import count

from differential.grammar.sequences import Sequence
from differential.resp import Argv, Request, encode, split
from differential.servers import Connection, Target

CLOSED = b"-<connection closed>\r\n"  # what stands for the end of a connection among replies
SILENT = b"-<no reply>\r\n"

Chunks = list[bytes]  # what each client heard in a step


@dataclass(frozen=True)
class Pace:
    """How long, in seconds, a server may be silent; and how long what is not there at once may
    take to come, in several looks."""

    silence: float
    patience: tuple[float, ...]


UNHURRIED = Pace(10.0, (0.002, 0.02, 0.1))
BRISK = Pace(1.0, (0.002, 0.02))  # for what has been seen before


class _Mark:
    """A request whose reply shows that all before it has been replied to."""

    def __init__(self, text: bytes) -> None:
        self.request = encode((b"ECHO", text))
        self.reply = b"$%d\r\n%b\r\n" % (len(text), text)


_START, _END = _Mark(b"<the first mark>"), _Mark(b"<the last mark>")


@dataclass
class Player:
    """One server, and what is known of it while a sequence is played."""

    target: Target
    known: dict[bytes, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.control = self.target.connect()
        self._pipe: Connection | None = None

    def tell(self, commands: List[Argv]) -> bytes:
        """Run commands on the connection of our own; gives their replies.

        Raises ConnectionError where the server does not answer them.
        """
        if self.control.closed:
            self.control = self.target.connect()
        self.control.send(b"".join(map(encode, commands)) + _END.request)
        heard = self.control.until(_END.reply)
        if not heard.endswith(_END.reply):
            self.control.close()
            raise ConnectionError(f"{self.target.name} does not answer: {heard[-200:]!r}")
        return heard.removesuffix(_END.reply)

    def pipe(self) -> Connection:
        """The connection of the sequences that need only one."""
        if self._pipe is None or self._pipe.closed:
            self._pipe = self.target.connect()
        return self._pipe

    def close(self) -> None:
        """Close all connections."""
        if self._pipe is not None:
            self._pipe.close()
        self.control.close()

    def wire(self, request: Request) -> bytes:
        """The bytes of a request, with what this server's names are for what differs."""
        if self.known.keys().isdisjoint(request.argv):
            return request.wire()
        return encode(tuple(self.known.get(word, word) for word in request.argv))


def down_a_pipe(players: List[Player], sequence: Sequence, pace: Pace) -> list[bytes]:
    """Send all of it at once to each; gives all that each replied.

    RESET at the end takes the connection out of whatever it is in.
    """
    data = b"".join(
        (
            encode((b"HELLO", b"%d" % sequence.resp)),
            _START.request,
            *(request.wire() for request in sequence.requests),
            encode((b"RESET",)),
            _END.request,
        )
    )
    pipes = [player.pipe() for player in players]
    for pipe in pipes:
        pipe.send(data)
    return [_drained(pipe, pace.silence) for pipe in pipes]


def _drained(pipe: Connection, silence: float) -> bytes:
    heard = pipe.until(_END.reply, silence)
    replies = heard.partition(_START.reply)[2]
    if heard.endswith(_END.reply):
        return replies.removesuffix(_END.reply)
    ending = CLOSED if pipe.closed else SILENT
    pipe.close()
    return replies + ending


def step_by_step(
    players: List[Player],
    sequence: Sequence,
    pace: Pace,
    alike: Callable[[Request, Chunks, Chunks], bool],
) -> list[list[Chunks]]:
    """Send command after command to each; gives what each client of each heard in each step.

    What is not ``alike`` is given time to become so, but only the first: where servers differ, all
    that follows may differ, and would take that time again and again.
    """
    casts = [_cast(player, sequence) for player in players]
    heard: list[list[Chunks]] = [[] for _ in players]
    patience = iter(pace.patience)
    for request in sequence.requests:
        for player, cast in zip(players, casts, strict=True):
            cast[request.client].send(player.wire(request))
        _settle(players)
        step = [_listen(cast) for cast in casts]
        while not alike(request, *step) and (pause := next(patience, 0.0)):
            time.sleep(pause)
            for chunks, cast in zip(step, casts, strict=True):
                chunks[:] = map(bytes.__add__, chunks, _listen(cast))
        for player, chunks, own in zip(players, step, heard, strict=True):
            own.append(chunks)
            _remember_payload(player, request, chunks)
    for cast in casts:
        for connection in cast:
            connection.close()
    return heard


def _cast(player: Player, sequence: Sequence) -> list[Connection]:
    """New connections for the clients of a sequence, and what this server calls them."""
    cast = [player.target.connect() for _ in range(sequence.group.clients)]
    player.known = {b"@payload": b"none yet"}
    for number, connection in zip(count(), cast):
        connection.send(encode((b"HELLO", b"%d" % sequence.resp)) + encode((b"CLIENT", b"ID")))
        connection.send(_START.request)
        replies, _ = split(connection.until(_START.reply))
        player.known[b"@id%d" % number] = (len(replies) > 1 and replies[1].text) or b"0"
    return cast


def _settle(players: List[Player]) -> None:
    """Let the servers have read what was sent, and sent what they replied.

    What comes in on several connections is read in the order in which it came, within a turn of
    the event loop or the next; once around for each of them, and all of it is done.
    """
    for _ in range(2):
        for player in players:
            player.control.send(_START.request)
        for player in players:
            player.control.until(_START.reply)


def _listen(cast: List[Connection]) -> Chunks:
    chunks = []
    for connection in cast:
        was_closed = connection.closed
        heard = connection.waiting()
        chunks.append(heard + CLOSED if connection.closed and not was_closed else heard)
    return chunks


def _remember_payload(player: Player, request: Request, chunks: Chunks) -> None:
    if request.name == b"DUMP" and chunks[request.client].startswith(b"$"):
        replies, _ = split(chunks[request.client])
        if replies and replies[0].text:
            player.known[b"@payload"] = replies[0].text
