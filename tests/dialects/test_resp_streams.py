"""Long replies in RESP: piece by piece, they are the same bytes as at once."""

from __future__ import annotations

import pytest

from memdbd.dialects.resp_replies import ENCODERS, LONG, PIECE, Stream
from memdbd.replies import Members, Pairs, Reply, Scored

WORDS = [b"%d" % number for number in range(LONG + PIECE // 2)]
LONG_REPLIES = [
    WORDS,
    dict.fromkeys(WORDS, b"v"),
    Members(WORDS),
    Pairs([(word, b"v") for word in WORDS]),
    Scored([(word, 1.5) for word in WORDS]),
]


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("reply", LONG_REPLIES, ids=lambda reply: type(reply).__name__)
def test_the_pieces_are_the_whole(reply: Reply, version: int) -> None:
    stream = ENCODERS[version].stream(reply)
    assert isinstance(stream, Stream)
    pieces = list(stream.pieces)
    assert b"".join(pieces) == ENCODERS[version].encode(reply)
    assert len(pieces) == 1 + -(-len(WORDS) // PIECE)


def test_a_shorter_one_is_no_stream() -> None:
    assert ENCODERS[3].stream(dict.fromkeys(WORDS[: LONG - 1])) is None
