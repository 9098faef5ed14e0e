"""Long replies, which are encoded piece by piece, so that they do not hold the loop.

Strategy: only those are looked into that may hold long ones, since all others pay for it: what a
transaction has answered, and a list of so few items as LMPOP's, which are a key and its elements.

May import: replies.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from memdbd.replies import Members, Page, Pairs, Reply, Results, Scored

# Items from which a reply is encoded in pieces, and how many of them make a piece: some 0.5 ms.
LONG = 4096
PIECE = 2048
# Items up to which those of a list may be long.
FEW = 2

# The replies that may be long. They are nobody else's when they are handed out: they are emptied
# when they are sent.
STREAMED = frozenset({list, dict, Members, Pairs, Scored, Results})


class Stream:
    """An encoded reply that is made piece by piece; a piece may be empty."""

    __slots__ = ("pieces",)

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces = pieces


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
    return reply.__class__ in STREAMED and weight(reply) >= LONG


def held(reply: Reply) -> Any:
    """The list, dict or other sequence in which a reply has its items."""
    return reply.items if isinstance(reply, (Members, Pairs)) else reply


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
