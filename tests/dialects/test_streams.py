"""Long replies: piece by piece, they are the same bytes as at once."""

from __future__ import annotations

import copy
import tracemalloc

import pytest

from memdbd.dialects.interface import RespDialect
from memdbd.dialects.json_values import marked
from memdbd.dialects.resp_replies import ENCODERS
from memdbd.dialects.streams import BULK, CHUNK, LARGE, LONG, PIECE, Parts, Stream, size_of, weight
from memdbd.dialects.text_replies import TextEncoder
from memdbd.errors import CommandError
from memdbd.limits import Limits
from memdbd.pubsub import Registry
from memdbd.replies import (
    OK,
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
from memdbd.session import Session

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


# Large replies: many bytes, and perhaps few items.

MIB = 1 << 20
VALUE = bytes(range(0x20, 0x7F)) * (MIB // 95)  # with a quote and a backslash in it
UMLAUTS = "äöü€😀".encode() * (MIB // 13)
LARGE_REPLIES: dict[str, Reply] = {
    "string": VALUE * 5,
    "string of characters": UMLAUTS * 5,
    "list": [VALUE] * 5,
    "list of many": [VALUE[:20_000]] * 1000,
    "list of many that are nearly short": [VALUE[: BULK - 1]] * 1000,
    "list with others": [None, 7, VALUE * 2, "text", VALUE * 3, [VALUE], {b"f": VALUE}],
    "tuple": (VALUE, VALUE, VALUE, VALUE, VALUE),
    "dict": {b"a": VALUE * 3, b"b": VALUE, b"c": VALUE},
    "dict with large keys": {VALUE * 2: b"v", VALUE * 3: b"w"},
    "members": Members([VALUE * 2, VALUE * 3, b"x"]),
    "pairs": Pairs([(b"a", VALUE * 2), (VALUE * 3, b"b")]),
    "scored": Scored([(VALUE * 2, 1.5), (VALUE * 3, 2.5)]),
    "page": Page(b"7", [VALUE * 2, VALUE * 3]),
    "page of a dict": Page(b"7", {b"a": VALUE * 5}),
    "transaction": Results([OK, VALUE * 3, [VALUE, VALUE], CommandError("no"), None]),
    "record": Record(name=b"x", value=VALUE * 5),
    "lmpop": [b"k", [VALUE * 3, VALUE * 2]],
}


def dialect(version: int) -> RespDialect:
    session = Session(1, Registry(), print, print)
    session.resp = version
    return RespDialect(session, {}, {}, Limits())


def in_all(stream: bytes | Stream) -> bytes:
    """All the bytes of a reply that comes in pieces, of which none is long."""
    assert isinstance(stream, Stream)
    pieces = list(stream.pieces)
    assert max(map(len, pieces)) < LARGE + 2 * MIB
    return b"".join(pieces)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("name", LARGE_REPLIES)
def test_a_large_reply_is_no_other_in_pieces(name: str, version: int) -> None:
    reply = LARGE_REPLIES[name]
    whole = ENCODERS[version].encode(reply)
    stream = dialect(version).encode(reply)
    assert isinstance(stream, Stream)
    assert 0.9 * len(whole) < stream.size <= len(whole)
    assert in_all(stream) == whole
    assert size_of(reply) == stream.size  # it is all there still


@pytest.mark.parametrize("version", [2, 3])
def test_several_pushes_may_be_large_or_many(version: int) -> None:
    for reply in (
        Several([Push(b"subscribe", VALUE, number) for number in range(5)]),
        Several([Push(b"subscribe", b"ch", number) for number in range(LONG)]),
    ):
        whole = ENCODERS[version].encode(reply)
        stream = dialect(version).encode(reply)
        assert not isinstance(stream, Parts)
        assert in_all(stream) == whole


@pytest.mark.parametrize("name", LARGE_REPLIES)
def test_nor_in_the_text_dialect(name: str) -> None:
    reply = LARGE_REPLIES[name]
    if isinstance(reply, Results):
        whole = b'{"result": [%b]}\n' % b", ".join(map(object_alone, reply.replies))
    else:
        whole = b'{"result": %b}\n' % marked("encoding", reply)
    assert in_all(TextEncoder(0).encode(reply)) == whole


@pytest.mark.parametrize(
    "reply",
    [
        [*LARGE_REPLIES["list with others"], b"\xff"],
        [*LARGE_REPLIES["list of many"], b"\xff"],
        LARGE_REPLIES["dict"] | {b"d": b"\xff"},
        Scored([(VALUE * 5, 1.5), (b"\xff", 2.5)]),
    ],
)
def test_nor_where_the_last_of_it_is_no_text(reply: Reply) -> None:
    whole = b'{"result": %b}\n' % marked("encoding", reply)
    assert in_all(TextEncoder(0).encode(reply)) == whole


@pytest.mark.parametrize("ttl", [None, 7])
@pytest.mark.parametrize(
    "value",
    [VALUE * 5, UMLAUTS * 5, b"x" + UMLAUTS * 5, VALUE * 5 + b"\xff", b"\x80" * LARGE],
    ids=["ascii", "utf-8", "utf-8 off by one", "not at the end", "not at all"],
)
def test_a_large_value_in_the_text_dialect_is_no_other(value: bytes, ttl: int | None) -> None:
    end = b"null" if ttl is None else b"%d" % ttl
    whole = b'{"result": %b, "ttl_remaining": %b}\n' % (marked("encoding", value), end)
    stream = TextEncoder(100).encode(Found(b"k", value, ttl))
    assert in_all(stream) == whole
    longest = max(map(len, list(TextEncoder(100).encode(Found(b"k", value, ttl)).pieces)))  # type: ignore[union-attr]
    assert longest < 7 * CHUNK


@pytest.mark.parametrize(
    "reply",
    [
        [VALUE],
        [VALUE[:20_000]] * 50,
        {b"k": VALUE},
        VALUE,
        Page(b"0", [VALUE]),
        Several([Push(b"message", VALUE)]),
        Fields(VALUE, {}),
    ],
)
def test_one_that_might_have_been_is_encoded_at_once(reply: Reply) -> None:
    encoded = dialect(2).encode(reply)
    assert not isinstance(encoded, Stream)
    whole = b"".join(encoded) if isinstance(encoded, Parts) else encoded
    assert whole == ENCODERS[2].encode(reply)
    line = TextEncoder(0).encode(reply)
    assert isinstance(line, bytes)


def test_a_long_string_is_not_copied() -> None:
    value = b"x" * BULK
    encoded = dialect(2).encode(value)
    assert isinstance(encoded, Parts)
    assert encoded == (b"$%d\r\n" % BULK, value, b"\r\n")
    assert encoded[1] is value
    assert dialect(2).encode_each([value, 1]) == [b"".join(encoded), b":1\r\n"]


def test_a_value_a_thousand_times_costs_what_a_piece_does() -> None:
    reply = [bytes(16 * MIB)] * 1000
    tracemalloc.start()
    try:
        stream = dialect(2).encode(reply)
        assert isinstance(stream, Stream)
        assert stream.size == 16_000 * MIB
        for _ in range(300):
            next(stream.pieces)
        assert tracemalloc.get_traced_memory()[1] < 2 * MIB
    finally:
        tracemalloc.stop()


def test_the_size_of_a_long_one_is_an_estimate() -> None:
    words = [b"x" * (number % 100) for number in range(100_000)]
    for reply in (words, Members(words), Results([words]), dict(enumerate(words))):
        assert 0.5 * 4_950_000 < size_of(reply) < 2 * 4_950_000
