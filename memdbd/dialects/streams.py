"""Long replies, which are encoded piece by piece, so that they do not hold the loop.

May import: replies.
"""

from __future__ import annotations

from collections.abc import Iterator

from memdbd.replies import Members, Pairs, Scored

# Items from which a reply is encoded in pieces, and how many of them make a piece: some 0.5 ms.
LONG = 4096
PIECE = 2048

# The replies that may be long. They are nobody else's when they are handed out: they are emptied
# when they are sent.
STREAMED = frozenset({list, dict, Members, Pairs, Scored})


class Stream:
    """An encoded reply that is made piece by piece; a piece may be empty."""

    __slots__ = ("pieces",)

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces = pieces


def emptied(container: object) -> Iterator[bytes]:
    """Empty pieces, behind the others, in which what was sent is freed: a million items at once
    would hold the loop for 30 to 60 ms."""
    while isinstance(container, list) and container:
        del container[-PIECE:]
        yield b""
    while isinstance(container, dict) and container:
        for _ in range(min(PIECE, len(container))):
            container.popitem()
        yield b""
