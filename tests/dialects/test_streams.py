"""Long replies: piece by piece, they are the same bytes as at once."""

from __future__ import annotations

import copy

import pytest

from memdbd.dialects.json_values import marked
from memdbd.dialects.resp_replies import ENCODERS
from memdbd.dialects.streams import LONG, PIECE, Stream
from memdbd.dialects.text_replies import TextEncoder
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
    reply = copy.deepcopy(reply)
    whole = ENCODERS[version].encode(reply)
    stream = ENCODERS[version].stream(reply)
    assert isinstance(stream, Stream)
    pieces = list(stream.pieces)
    assert b"".join(pieces) == whole
    assert len(list(filter(None, pieces))) == 1 + -(-len(WORDS) // PIECE)
    # What was sent is freed in slices as well.
    assert not (reply if isinstance(reply, (list, dict)) else reply.items)
    assert pieces[-2:] == [b"", b""]


def test_a_shorter_one_is_no_stream() -> None:
    assert ENCODERS[3].stream(dict.fromkeys(WORDS[: LONG - 1])) is None


@pytest.mark.parametrize("reply", LONG_REPLIES, ids=lambda reply: type(reply).__name__)
@pytest.mark.parametrize("last", [b"text", b"\xff"], ids=["text", "base64"])
def test_in_the_text_dialect_too(reply: Reply, last: bytes) -> None:
    """One undecodable item at the end is enough for all of them to be base64."""
    match reply:
        case dict():
            reply = reply | {last: last}
        case Members():
            reply = Members([*reply.items, last])
        case Scored():
            reply = Scored([*reply.items, (last, 1.5)])
        case Pairs():
            reply = Pairs([*reply.items, (last, b"v")])
        case _:
            reply = [*reply, last]
    whole = b'{"result": %b}\n' % marked("encoding", reply)
    stream = TextEncoder(0).encode(reply)
    assert isinstance(stream, Stream)
    pieces = list(stream.pieces)
    assert b"".join(pieces) == whole
    assert max(map(len, pieces)) < 40 * PIECE
