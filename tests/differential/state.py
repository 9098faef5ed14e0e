"""What is in a server: each key of each database, its type, content and deadline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from differential.likeness import within
from differential.players import Player
from differential.resp import Argv, Reply, split

DATABASES = 16

_READERS: dict[bytes, tuple[bytes, ...]] = {
    b"string": (b"GET",),
    b"list": (b"LRANGE", b"0", b"-1"),
    b"set": (b"SMEMBERS",),
    b"hash": (b"HGETALL",),
    b"zset": (b"ZRANGE", b"0", b"-1", b"WITHSCORES"),
}
_ITERATORS = {b"set": b"SSCAN", b"hash": b"HSCAN", b"zset": b"ZSCAN"}
_PAIRED = frozenset((b"hash", b"zset"))
_ORDERED = frozenset((b"list", b"zset"))
_STEP = b"3"  # how many elements a step of an iteration is asked for
_NO_DEADLINE = Reply(b":", b"-2", (), b":-2\r\n")

_same_deadline = within(1500)


class Place(NamedTuple):
    """A key in a database."""

    database: int
    key: bytes


class Entry(NamedTuple):
    """What is at a place; ``deadline`` is the reply to PEXPIRETIME."""

    kind: bytes
    content: tuple[object, ...]
    deadline: Reply


State = dict[Place, Entry]

NOTHING = Entry(b"none", (), _NO_DEADLINE)


def read(player: Player, iterate: bool) -> State:
    """All that a server holds; with ``iterate``, as a client finds it that goes step by step."""
    places = sorted(_scanned(player) if iterate else _listed(player))
    kinds = [reply.text or b"" for reply in _asked(player, places, lambda at: (b"TYPE", at.key))]
    deadlines = _asked(player, places, lambda at: (b"PEXPIRETIME", at.key))
    types = dict(zip(places, kinds, strict=True))
    contents = _asked(player, places, lambda at: _reading(types[at], at.key))
    state: State = {}
    for place, content, deadline in zip(places, contents, deadlines, strict=True):
        kind = types[place]
        items = content.items or (content,)
        if iterate and kind in _ITERATORS:
            items = tuple(_steps(player, place.database, _ITERATORS[kind], place.key))
        state[place] = Entry(kind, _parts(kind, items, iterate), deadline)
    return state


def differing(one: State, other: State) -> Iterator[tuple[Place, Entry, Entry]]:
    """The places where two servers do not hold the same, with what they hold."""
    for place in sorted(one.keys() | other.keys()):
        ours, theirs = one.get(place, NOTHING), other.get(place, NOTHING)
        alike = ours.deadline.raw == theirs.deadline.raw or _same_deadline(
            (), ours.deadline, theirs.deadline
        )
        if not alike or ours[:2] != theirs[:2]:
            yield place, ours, theirs


def _reading(kind: bytes, key: bytes) -> Argv:
    if key.startswith(b"hll"):  # its bytes are the server's own affair
        return (b"PFCOUNT", key)
    command, *rest = _READERS.get(kind, (b"TYPE",))
    return (command, key, *rest)


def _parts(kind: bytes, items: Sequence[Reply], iterated: bool) -> tuple[object, ...]:
    """The texts of elements, in a form that is the same for the same content."""
    texts = [item.text or b"" for item in items]
    if kind not in _PAIRED:
        parts: list[object] = list(texts)
    else:
        parts = list(zip(texts[::2], texts[1::2], strict=False))
    if kind in _ORDERED and not iterated:
        return tuple(parts)
    # An iteration may come upon the same element twice.
    unique = set(parts) if iterated and kind in _ITERATORS else parts
    return tuple(sorted(unique, key=repr)) if kind != b"list" else tuple(parts)


def _listed(player: Player) -> list[Place]:
    commands: list[Argv] = []
    for database in range(DATABASES):
        commands += [(b"SELECT", b"%d" % database), (b"KEYS", b"*")]
    replies, _ = split(player.tell(commands))
    return [
        Place(database, item.text or b"")
        for database, reply in enumerate(replies[1::2])
        for item in reply.items
    ]


def _scanned(player: Player) -> set[Place]:
    return {
        Place(database, item.text or b"")
        for database in range(DATABASES)
        for item in _steps(player, database, b"SCAN")
    }


def _steps(player: Player, database: int, *command: bytes) -> Iterator[Reply]:
    """All elements of an iteration."""
    cursor: bytes | None = b"0"
    while True:
        step = (*command, cursor or b"0", b"COUNT", _STEP)
        replies, _ = split(player.tell([(b"SELECT", b"%d" % database), step]))
        cursor = replies[1].items[0].text if replies[1].items else b"0"
        yield from replies[1].items[1].items if replies[1].items else ()
        if cursor == b"0":
            return


def _asked(
    player: Player, places: Sequence[Place], command: Callable[[Place], Argv]
) -> list[Reply]:
    """The replies to a command about each place."""
    commands: list[Argv] = []
    for place in places:
        commands += [(b"SELECT", b"%d" % place.database), command(place)]
    replies, _ = split(player.tell(commands)) if commands else ([], b"")
    return replies[1::2]
