"""Long replies: piece by piece, they are the same bytes as at once."""

from __future__ import annotations

import copy

import pytest

from memdbd.dialects.json_values import marked
from memdbd.dialects.resp_replies import ENCODERS
from memdbd.dialects.streams import LONG, PIECE, Stream, weight
from memdbd.dialects.text_replies import TextEncoder
from memdbd.errors import CommandError
from memdbd.replies import OK, Members, Page, Pairs, Reply, Results, Scored

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


# None of them shares its items with another: they are emptied.
NESTED = [
    Results([OK, list(WORDS), 7, Members(list(WORDS)), None]),
    Results([{b"f": b"v"}, [b"k", list(WORDS)], CommandError("no")]),
    Results([WORDS[:PIECE], WORDS[:PIECE], WORDS[:PIECE]]),
    Results([b"v"] * LONG),
    [b"k", list(WORDS)],
    [b"k", Scored([(word, 1.5) for word in WORDS])],
    [b"k", [[word, 1.5] for word in WORDS]],
]
NAMES = [
    "long among short",
    "lmpop in exec",
    "many that are long together",
    "many short",
    "lmpop",
    "zmpop in text",
    "zmpop",
]


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("reply", NESTED, ids=NAMES)
def test_what_is_nested_comes_in_pieces_too(reply: Reply, version: int) -> None:
    reply = copy.deepcopy(reply)
    whole = ENCODERS[version].encode(reply)
    stream = ENCODERS[version].stream(reply)
    assert isinstance(stream, Stream)
    pieces = list(stream.pieces)
    assert b"".join(pieces) == whole
    assert max(map(len, pieces)) < 30 * PIECE
    assert weight(reply) < LONG  # it was emptied


@pytest.mark.parametrize("reply", NESTED, ids=NAMES)
@pytest.mark.parametrize("last", [b"text", b"\xff"], ids=["text", "base64"])
def test_and_in_the_text_dialect(reply: Reply, last: bytes) -> None:
    reply = copy.deepcopy(reply)
    if isinstance(reply, Results):
        reply.replies.append([last, list(WORDS)])
        whole = b'{"result": [%b]}\n' % b", ".join(map(object_alone, reply.replies))
    else:
        reply[0] = last
        whole = b'{"result": %b}\n' % marked("encoding", reply)
    stream = TextEncoder(0).encode(reply)
    assert isinstance(stream, Stream)
    pieces = list(stream.pieces)
    assert b"".join(pieces) == whole
    assert max(map(len, pieces)) < 40 * PIECE
    assert weight(reply) < LONG


def object_alone(reply: Reply) -> bytes:
    """What answers one command that is not in a transaction, without the end of its line."""
    line = TextEncoder(0).encode(copy.deepcopy(reply))
    return (b"".join(line.pieces) if isinstance(line, Stream) else line).rstrip(b"\n")


@pytest.mark.parametrize("version", [2, 3])
def test_pages_within_are_one_piece_each(version: int) -> None:
    """They are never very long; but several are."""
    reply = Results([Page(b"7", dict.fromkeys(WORDS[:PIECE], b"v")) for _ in range(3)])
    whole = ENCODERS[version].encode(reply)
    stream = ENCODERS[version].stream(reply)
    assert isinstance(stream, Stream)
    pieces = list(stream.pieces)
    assert b"".join(pieces) == whole
    assert len(list(filter(None, pieces))) == 1 + 3


def test_what_is_short_within_is_not_emptied() -> None:
    """It may be a constant."""
    short = [b"a"]
    stream = ENCODERS[2].stream(Results([short, list(WORDS)]))
    assert isinstance(stream, Stream)
    assert len(list(stream.pieces)) > 2
    assert short == [b"a"]
