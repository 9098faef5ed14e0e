"""RESP's replies: the bytes of each kind of reply in both versions."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from memdbd.dialects.interface import Dialects
from memdbd.dialects.resp_replies import ENCODERS
from memdbd.dialects.streams import LONG, Stream
from memdbd.dialects.text_replies import TextEncoder
from memdbd.errors import CommandError, ProtocolError, WrongType
from memdbd.limits import Limits
from memdbd.pubsub import Registry
from memdbd.replies import (
    NO_REPLY,
    NULL_ARRAY,
    OK,
    BulkDouble,
    Double,
    Fields,
    Members,
    Message,
    Page,
    Pairs,
    Push,
    Record,
    Results,
    Scored,
    Several,
    Status,
    Verbatim,
)
from memdbd.session import Session

WRONGTYPE = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"

# A reply, its bytes in RESP2, and in RESP3 where they are others.
TABLE: list[tuple[Any, bytes, bytes | None]] = [
    (b"value", b"$5\r\nvalue\r\n", None),
    (b"", b"$0\r\n\r\n", None),
    ("größe", "$7\r\ngröße\r\n".encode(), None),
    (7, b":7\r\n", None),
    (-(2**63), b":-9223372036854775808\r\n", None),
    (None, b"$-1\r\n", b"_\r\n"),
    (NULL_ARRAY, b"*-1\r\n", b"_\r\n"),
    (True, b":1\r\n", b"#t\r\n"),
    (False, b":0\r\n", b"#f\r\n"),
    (1.5, b"$3\r\n1.5\r\n", b",1.5\r\n"),
    (3.1, b"$18\r\n3.1000000000000001\r\n", b",3.1000000000000001\r\n"),
    (1e20, b"$5\r\n1e+20\r\n", b",1e+20\r\n"),
    (float("-inf"), b"$4\r\n-inf\r\n", b",-inf\r\n"),
    (Double("12.5"), b"$4\r\n12.5\r\n", b",12.5\r\n"),
    (OK, b"+OK\r\n", None),
    (Status("QUEUED"), b"+QUEUED\r\n", None),
    ([b"a", 1, None, [b"b"]], b"*4\r\n$1\r\na\r\n:1\r\n$-1\r\n*1\r\n$1\r\nb\r\n",
     b"*4\r\n$1\r\na\r\n:1\r\n_\r\n*1\r\n$1\r\nb\r\n"),
    ([], b"*0\r\n", None),
    ({b"f": b"v"}, b"*2\r\n$1\r\nf\r\n$1\r\nv\r\n", b"%1\r\n$1\r\nf\r\n$1\r\nv\r\n"),
    ({}, b"*0\r\n", b"%0\r\n"),
    (Members([b"a"]), b"*1\r\n$1\r\na\r\n", b"~1\r\n$1\r\na\r\n"),
    (Pairs([(b"f", b"v")]), b"*2\r\n$1\r\nf\r\n$1\r\nv\r\n", b"*1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n"),
    (Scored([(b"m", 1.0)]), b"*2\r\n$1\r\nm\r\n$1\r\n1\r\n", b"*1\r\n*2\r\n$1\r\nm\r\n,1\r\n"),
    (BulkDouble("0.5000"), b"$6\r\n0.5000\r\n", None),
    (Page(b"7", [b"a"]), b"*2\r\n$1\r\n7\r\n*1\r\n$1\r\na\r\n", None),
    (Page(b"7", {b"f": b"v"}), b"*2\r\n$1\r\n7\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n", None),
    (Page(b"7", Scored([(b"m", 0.5), (b"n", Double("10"))])),
     b"*2\r\n$1\r\n7\r\n*4\r\n$1\r\nm\r\n$3\r\n0.5\r\n$1\r\nn\r\n$2\r\n10\r\n", None),
    (Record(member=b"m", hash=7, position=Record(x=1.5)),
     b"*3\r\n$1\r\nm\r\n:7\r\n*1\r\n$3\r\n1.5\r\n", b"*3\r\n$1\r\nm\r\n:7\r\n*1\r\n,1.5\r\n"),
    (Verbatim("two\nlines"), b"$9\r\ntwo\nlines\r\n", b"=13\r\ntxt:two\nlines\r\n"),
    (Push(b"subscribe", b"c", 1), b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n",
     b">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"),
    (Several([1, 2]), b":1\r\n:2\r\n", None),
    (NO_REPLY, b"", None),
    (Results([OK, WrongType()]), b"*2\r\n+OK\r\n" + WRONGTYPE, None),
    (Fields(OK, {"ttl_set": 5}), b"+OK\r\n", None),
    (CommandError("no such key", "a hint is for people"), b"-ERR no such key\r\n", None),
    (CommandError("one\r\n+OK\0two"), b"-ERR one  +OK two\r\n", None),
    (ProtocolError("Protocol error: x"), b"-ERR Protocol error: x\r\n", None),
    (WrongType(), WRONGTYPE, None),
]  # fmt: skip


@pytest.mark.parametrize(("reply", "resp2", "resp3"), TABLE, ids=[repr(row[0]) for row in TABLE])
def test_each_kind_of_reply_has_its_bytes(reply: Any, resp2: bytes, resp3: bytes | None) -> None:
    session = Session(1, Registry(), lambda message: None, lambda push: None)
    dialect = Dialects({}, {}, TextEncoder(0), Limits()).resp(session)
    assert session.resp == 2
    assert dialect.encode(reply) == ENCODERS[2].encode(reply) == resp2
    session.resp = 3
    assert dialect.encode(reply) == ENCODERS[3].encode(reply) == (resp3 or resp2)


def test_what_is_no_reply_is_refused() -> None:
    with pytest.raises(TypeError, match="no reply: object"):
        ENCODERS[2].encode(object())


@pytest.mark.parametrize(
    ("message", "resp2"),
    [
        (Message(b"c", b"hi"), b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n"),
        (
            Message(b"c", b"hi", b"pmessage", b"*"),
            b"*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nc\r\n$2\r\nhi\r\n",
        ),
        (
            Message(b"c", b"hi", b"smessage"),
            b"*3\r\n$8\r\nsmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n",
        ),
    ],
)
def test_a_message_is_encoded_once_for_each_version(message: Message, resp2: bytes) -> None:
    assert ENCODERS[2].message(message) == resp2
    assert ENCODERS[3].message(message) == b">" + resp2[1:]
    assert ENCODERS[3].message(message) is ENCODERS[3].message(message)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    "reply",
    [
        [b"%d" % n for n in range(3 * LONG)],
        [[b"%d" % n, n] for n in range(LONG)],
        Members([b"%d" % n for n in range(LONG + 1)]),
        Scored([(b"%d" % n, float(n)) for n in range(LONG)]),
    ],
    ids=["list", "nested", "set", "scored"],
)
def test_a_long_reply_comes_in_pieces_that_are_the_whole(version: int, reply: Any) -> None:
    reply = copy.deepcopy(reply)
    whole = ENCODERS[version].encode(reply)
    stream = ENCODERS[version].stream(reply)
    assert isinstance(stream, Stream)
    pieces = list(stream.pieces)
    assert len(pieces) > 2
    assert b"".join(pieces) == whole


def test_a_short_reply_is_made_at_once() -> None:
    assert ENCODERS[2].stream([b"a"] * (LONG - 1)) is None
