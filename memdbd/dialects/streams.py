"""Long replies, which are encoded piece by piece, so that they do not hold the loop, and large
ones, so that no more of them is in memory than the peer takes.

Strategy: whether a reply has many items is looked at before it is encoded. Only those are looked
into that may hold long ones, since all others pay for it: what a transaction has answered, and a
list of so few items as LMPOP's, which are a key and its elements. Whether a reply is large is found
out by the way: whoever encodes one at once raises Large at a long string in it, or when there is
much already, and then it is encoded in pieces. So one request for the same value a thousand times
costs what a piece does.

May import: replies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from memdbd.replies import (
    Fields,
    Found,
    Members,
    Page,
    Pairs,
    Push,
    Record,
    Reply,
    Results,
    Scored,
    Several,
)

# Items from which a reply is encoded in pieces, and how many of them make a piece: some 0.5 ms.
LONG = 4096
PIECE = 2048
# Items up to which those of a list may be long.
FEW = 2

# Bytes from which a reply is encoded in pieces, whatever it is; and those of a string among others
# from which it is not known to be below that, and of one alone from which it is not copied. CHUNK
# of a large string are sent at once, and SOME items are encoded before their bytes are looked at.
LARGE = 4 * 1024 * 1024
BULK = 16 * 1024
CHUNK = 128 * 1024
SOME = 256

# The replies that may be long. They are nobody else's when they are handed out: they are emptied
# when they are sent.
STREAMED = frozenset({list, dict, Members, Pairs, Scored, Results, Several})


class Large(Exception):
    """A reply may be too large to be encoded at once."""


class Stream:
    """An encoded reply that is made piece by piece; a piece may be empty.

    ``size`` is about how many bytes of values it holds.
    """

    __slots__ = ("pieces", "size")

    def __init__(self, pieces: Iterator[bytes], size: int) -> None:
        self.pieces = pieces
        self.size = size


class Parts(tuple[bytes, ...]):
    """The bytes of a reply that is long enough not to be copied: one after the other."""

    __slots__ = ()


def nested(reply: Reply) -> list[Reply] | None:
    """The replies that one consists of, if they may be long themselves."""
    if reply.__class__ is Results:
        replies: list[Reply] = reply.replies
        return replies
    return reply if reply.__class__ is list and len(reply) <= FEW else None


def weight(reply: Reply) -> int:
    """How many items a reply has, with those of what is nested."""
    within = nested(reply)
    if within is not None:
        return len(within) + sum(map(weight, within))
    if reply.__class__ is Page:
        return weight(reply.found)
    return len(held(reply)) if reply.__class__ in STREAMED else 0


def is_streamed(reply: Reply) -> bool:
    """Whether a reply is better encoded in pieces than at once."""
    if reply.__class__ is list and len(reply) > FEW:  # nearly all that are asked about
        return len(reply) >= LONG
    return reply.__class__ in STREAMED and weight(reply) >= LONG


def held(reply: Reply) -> Any:
    """The list, dict or other sequence in which a reply has its items."""
    if isinstance(reply, Several):
        return reply.replies
    return reply.items if isinstance(reply, (Members, Pairs, Push)) else reply


def emptied(reply: Reply) -> Iterator[bytes]:
    """Empty pieces, behind the others, in which what was sent is freed: a million items at once
    would hold the loop for 30 to 60 ms."""
    if not is_streamed(reply):  # it is soon freed, and may be a constant
        return
    within, container = nested(reply), held(reply)
    while within:
        yield from emptied(within.pop())
        yield b""
    while isinstance(container, list) and container:
        del container[-PIECE:]
        yield b""
    while isinstance(container, dict) and container:
        for _ in range(min(PIECE, len(container))):
            container.popitem()
        yield b""


SAMPLES = 64  # items of a long reply that are looked at for its size


def size_of(reply: Reply) -> int:
    """About how many bytes a reply has: of many items, some are looked at."""
    match reply:
        case bytes() | str():
            return len(reply)
        case dict():
            return _sum(len(reply), reply.items())
        case Page():
            return size_of(reply.found)
        case Results():
            return _sum(len(reply.replies), reply.replies)
        case Record():
            return _sum(len(reply.fields), reply.fields.values())
        case Fields() | Found():
            return size_of(reply.result if isinstance(reply, Fields) else reply.value)
        case Members() | Pairs() | Push() | Several() | list() | tuple():
            items = held(reply)
            return _sum(len(items), items)
        case _:
            return 0


def _sum(count: int, items: Iterable[Any]) -> int:
    if count < LONG:
        return sum(map(size_of, items))
    step = count // SAMPLES
    few = items[::step] if isinstance(items, (list, tuple)) else islice(items, SAMPLES)
    return step * sum(map(size_of, few))


def chunks_of(value: bytes) -> Iterator[bytes]:
    """A long string, in pieces of CHUNK bytes."""
    for at in range(0, len(value), CHUNK):
        yield value[at : at + CHUNK]


def in_chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """These pieces, short ones put together."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= CHUNK:
            yield b"".join(waiting)
            waiting.clear()
            size = 0
    if waiting:
        yield b"".join(waiting)
