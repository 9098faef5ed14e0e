"""Replies of the text dialect: a line of JSON each, and the read cache that keeps the long ones."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memdbd.dialects.text_replies import TextEncoder
from memdbd.errors import CommandError, OutOfMemory, ProtocolError
from memdbd.replies import (
    OK,
    PONG,
    BulkDouble,
    Fields,
    Found,
    Members,
    Message,
    Page,
    Pairs,
    Record,
    Reply,
    Scored,
    Status,
)


def encode(reply: Reply, encoder: TextEncoder | None = None) -> bytes:
    line = (encoder or TextEncoder(cache_capacity=0)).encode(reply)
    assert isinstance(line, bytes)
    return line


class TestReplies:
    @pytest.mark.parametrize(
        ("reply", "line"),
        [
            # the table of the documentation
            (Found(b"k", b"john_doe", None), b'{"result": "john_doe", "ttl_remaining": null}\n'),
            (Found(b"k", b"abc123", 60), b'{"result": "abc123", "ttl_remaining": 60}\n'),
            (Found(b"k", b"abc123", 0), b'{"result": "abc123", "ttl_remaining": 0}\n'),
            (Found(b"k", None, None), b'{"result": null, "ttl_remaining": null}\n'),
            (Found(b"k", b"", None), b'{"result": "", "ttl_remaining": null}\n'),
            (OK, b'{"result": "OK"}\n'),
            (Fields(OK, {"ttl_set": 60}), b'{"result": "OK", "ttl_set": 60}\n'),
            (Status("Key not found"), b'{"result": "Key not found"}\n'),
            ([b"username", b"temp_token"], b'{"result": ["username", "temp_token"]}\n'),
            (
                Fields(OK, {"action": Status("subscribe"), "channel": b"notifications"}),
                b'{"result": "OK", "action": "subscribe", "channel": "notifications"}\n',
            ),
            (2, b'{"result": 2}\n'),
            (PONG, b'{"result": "PONG"}\n'),
            # whatever else a command may give
            (None, b'{"result": null}\n'),
            (True, b'{"result": true}\n'),
            (1.5, b'{"result": 1.5}\n'),
            (-(2**63), b'{"result": -9223372036854775808}\n'),
            ("text", b'{"result": "text"}\n'),
            (b"", b'{"result": ""}\n'),
            ([], b'{"result": []}\n'),
            ({}, b'{"result": {}}\n'),
            ((1, [b"a", None]), b'{"result": [1, ["a", null]]}\n'),
            ({"a": 1, b"b": [OK]}, b'{"result": {"a": 1, "b": ["OK"]}}\n'),
            ('ü "quoted"\n'.encode(), '{"result": "ü \\"quoted\\"\\n"}\n'.encode()),
            (b"\x00\x1f\x7f", b'{"result": "\\u0000\\u001f\x7f"}\n'),
            (Members([b"a"]), b'{"result": ["a"]}\n'),
            (Pairs([(b"f", b"v")]), b'{"result": [{"field": "f", "value": "v"}]}\n'),
            (
                Scored([(b"m", 1.5), (b"n", float("inf"))]),
                b'{"result": [{"member": "m", "score": 1.5}, {"member": "n", "score": "inf"}]}\n',
            ),
            (
                Page(b"7", {b"f": b"v"}),
                b'{"result": {"cursor": "7", "found": {"f": "v"}}}\n',
            ),
            (
                Record(member=b"m", distance=BulkDouble("0.5000"), position=Record(x=1, y=2)),
                b'{"result": {"member": "m", "distance": 0.5000, "x": 1, "y": 2}}\n',
            ),
            # what is not UTF-8 is marked
            (b"\xff", b'{"result": "/w==", "encoding": "base64"}\n'),
            (
                Found(b"k", b"\xff", None),
                b'{"result": "/w==", "encoding": "base64", "ttl_remaining": null}\n',
            ),
            (
                Found(b"k", b"\xff", 5),
                b'{"result": "/w==", "encoding": "base64", "ttl_remaining": 5}\n',
            ),
            ([b"a", b"\xff"], b'{"result": ["YQ==", "/w=="], "encoding": "base64"}\n'),
            ({b"\xff": b"a"}, b'{"result": {"/w==": "YQ=="}, "encoding": "base64"}\n'),
            (
                Page(b"7", [b"\xff"]),
                b'{"result": {"cursor": "7", "found": ["/w=="]}, "encoding": "base64"}\n',
            ),
            (
                [Record(member=b"\xff", hash=7)],
                b'{"result": [{"member": "/w==", "hash": 7}], "encoding": "base64"}\n',
            ),
            (
                Fields(OK, {"channel": b"\xff"}),
                b'{"result": "OK", "channel": "/w==", "channel_encoding": "base64"}\n',
            ),
            (b"\xed\xa0\x80", b'{"result": "7aCA", "encoding": "base64"}\n'),
        ],
    )
    def test_a_reply_is_exactly_this_line(self, reply: Reply, line: bytes) -> None:
        assert encode(reply) == line

    @pytest.mark.parametrize(
        ("error", "line"),
        [
            (CommandError("no such key"), b'{"error": "no such key"}\n'),
            (
                CommandError("unknown command 'gte'", "did you mean 'get'?"),
                b"{\"error\": \"unknown command 'gte'; did you mean 'get'?\"}\n",
            ),
            (OutOfMemory("full"), b'{"error": "OOM full"}\n'),
            (ProtocolError("line is too long"), b'{"error": "line is too long"}\n'),
            (
                CommandError('a "quoted"\r\nword\x00'),
                b'{"error": "a \\"quoted\\"\\r\\nword\\u0000"}\n',
            ),
            (CommandError("ü"), '{"error": "ü"}\n'.encode()),
        ],
    )
    def test_an_error_is_exactly_this_line(self, error: Exception, line: bytes) -> None:
        assert encode(error) == line

    @pytest.mark.parametrize(
        ("message", "line"),
        [
            (
                Message(b"notifications", b"Hello World"),
                b'{"channel": "notifications", "message": "Hello World"}\n',
            ),
            (Message(b"c", b"a\nb"), b'{"channel": "c", "message": "a\\nb"}\n'),
            (
                Message(b"c", b"\xff"),
                b'{"channel": "c", "message": "/w==", "encoding": "base64"}\n',
            ),
            (
                Message(b"\xff", b"m"),
                b'{"channel": "/w==", "channel_encoding": "base64", "message": "m"}\n',
            ),
        ],
    )
    def test_a_message_is_exactly_this_line(self, message: Message, line: bytes) -> None:
        assert TextEncoder(0).message(message) == line

    def test_a_message_is_encoded_once_whoever_listens(self) -> None:
        encoder, message = TextEncoder(0), Message(b"c", b"m")
        assert encoder.message(message) is encoder.message(message)


def expected(reply: Reply, to_text: Any) -> Any:
    match reply:
        case bytes():
            return to_text(reply)
        case Status():
            return reply.text
        case list() | tuple():
            return [expected(item, to_text) for item in reply]
        case dict():
            return {expected(key, to_text): expected(item, to_text) for key, item in reply.items()}
        case _:
            return reply


def meant(result: Any, mark: Any, reply: Reply) -> bool:
    """Whether ``result`` with this mark is what ``reply`` says."""
    try:
        said, right_mark = expected(reply, bytes.decode), None
    except UnicodeDecodeError:
        said, right_mark = expected(reply, lambda data: b64encode(data).decode()), "base64"
    return bool(result == said and mark == right_mark)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.binary(max_size=8)
    | TEXTS
    | TEXTS.map(str.encode)
    | TEXTS.map(Status)
)
REPLIES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.binary(max_size=4), inner, max_size=4)
        | st.dictionaries(TEXTS, inner, max_size=4)
    ),
    max_leaves=12,
)


class TestAnyReply:
    @settings(max_examples=300, deadline=None)
    @given(REPLIES)
    def test_is_one_line_of_json_that_says_it(self, reply: Reply) -> None:
        line = encode(reply)
        assert line.index(b"\n") == len(line) - 1
        answer = json.loads(line)
        assert meant(answer["result"], answer.get("encoding"), reply)
        assert answer.keys() <= {"result", "encoding"}

    @settings(max_examples=50, deadline=None)
    @given(REPLIES, st.dictionaries(st.sampled_from(["action", "channel"]), REPLIES))
    def test_with_fields_says_each_of_them(self, reply: Reply, extra: dict[str, Reply]) -> None:
        answer = json.loads(encode(Fields(reply, extra)))
        assert meant(answer["result"], answer.get("encoding"), reply)
        for name, value in extra.items():
            assert meant(answer[name], answer.get(f"{name}_encoding"), value)

    @given(st.binary(max_size=40), st.none() | st.integers(0, 10**9))
    def test_of_get_gives_back_the_bytes(self, value: bytes, ttl: int | None) -> None:
        answer = json.loads(encode(Found(b"k", value, ttl)))
        if answer.get("encoding") == "base64":
            assert b64decode(answer["result"]) == value
        else:
            assert answer["result"].encode() == value
        assert answer["ttl_remaining"] == ttl

    @given(TEXTS, TEXTS)
    @example("Authentication required.", "log in first")
    def test_that_is_an_error_is_one_line_that_says_it(self, said: str, hint: str) -> None:
        line = encode(CommandError(said, hint))
        assert line.index(b"\n") == len(line) - 1
        both = f"{said.removesuffix('.')}; {hint}" if hint else said
        assert json.loads(line) == {"error": both}


class TestTheReadCache:
    LONG = b"x" * TextEncoder.CACHED_FROM

    @staticmethod
    def counts(encoder: TextEncoder) -> tuple[int, int, int, int]:
        hits, misses, evictions, entries = encoder.stats().values()
        return hits, misses, evictions, entries

    def test_a_long_value_is_a_miss_and_then_a_hit_with_the_same_line(self) -> None:
        encoder = TextEncoder(2)
        found = Found(b"k", self.LONG, None)
        first = encoder.encode(found)
        assert first == encode(found)
        assert encoder.encode(found) == first
        assert self.counts(encoder) == (1, 1, 0, 1)

    def test_the_seconds_left_are_those_of_now(self) -> None:
        encoder = TextEncoder(2)
        for ttl in (60, 59, None):
            assert encoder.encode(Found(b"k", self.LONG, ttl)) == encode(
                Found(b"k", self.LONG, ttl)
            )
        assert self.counts(encoder) == (1, 2, 0, 1)

    def test_a_value_that_was_overwritten_is_never_served(self) -> None:
        encoder = TextEncoder(2)
        other = b"y" * TextEncoder.CACHED_FROM
        for value in (self.LONG, other, self.LONG, other):
            assert encoder.encode(Found(b"k", value, None)) == encode(Found(b"k", value, None))
        assert self.counts(encoder) == (0, 4, 0, 1)

    def test_an_equal_value_that_is_another_object_is_no_hit(self) -> None:
        encoder = TextEncoder(2)
        encoder.encode(Found(b"k", self.LONG, None))
        encoder.encode(Found(b"k", bytes(bytearray(self.LONG)), None))
        assert self.counts(encoder) == (0, 2, 0, 1)

    def test_a_deleted_key_is_not_served_from_it(self) -> None:
        encoder = TextEncoder(2)
        encoder.encode(Found(b"k", self.LONG, None))
        assert encoder.encode(Found(b"k", None, None)) == (
            b'{"result": null, "ttl_remaining": null}\n'
        )

    def test_keys_with_the_same_value_are_told_apart(self) -> None:
        encoder = TextEncoder(2)
        encoder.encode(Found(b"a", self.LONG, None))
        encoder.encode(Found(b"b", self.LONG, None))
        assert self.counts(encoder) == (0, 2, 0, 2)

    def test_what_is_not_utf8_is_kept_with_its_mark(self) -> None:
        encoder = TextEncoder(2)
        found = Found(b"k", b"\xff" * TextEncoder.CACHED_FROM, 5)
        assert encoder.encode(found) == encoder.encode(found) == encode(found)
        assert b'", "encoding": "base64", "ttl_remaining": 5}' in encode(found, encoder)

    def test_the_least_recently_used_goes(self) -> None:
        encoder = TextEncoder(2)
        for key in (b"a", b"b", b"a", b"c", b"a", b"b"):
            encoder.encode(Found(key, self.LONG, None))
        assert self.counts(encoder) == (2, 4, 2, 2)

    @pytest.mark.parametrize(
        ("length", "kept"),
        [
            (TextEncoder.CACHED_FROM - 1, 0),
            (TextEncoder.CACHED_FROM, 1),
        ],
    )
    def test_only_long_values_are_kept(self, length: int, kept: int) -> None:
        encoder = TextEncoder(2)
        encoder.encode(Found(b"k", b"x" * length, None))
        assert self.counts(encoder) == (0, kept, 0, kept)

    def test_all_that_is_kept_has_a_bound_in_bytes(self) -> None:
        encoder = TextEncoder(100)
        for number in range(20):
            encoder.encode(Found(b"%d" % number, b"x" * 1024 * 1024, None))
        hits, misses, evictions, entries = self.counts(encoder)
        assert (hits, misses, entries) == (0, 20, 7)  # of 2 MiB each, the value and its line
        assert evictions == 13

    def test_a_line_larger_than_all_that_may_be_kept_is_not(self) -> None:
        encoder = TextEncoder(2)
        encoder.encode(Found(b"a", self.LONG, None))
        encoder.encode(Found(b"b", bytes(TextEncoder.CACHED_MOST // 6), None))
        assert self.counts(encoder) == (0, 2, 0, 1)

    def test_without_capacity_nothing_is_kept_or_counted(self) -> None:
        encoder = TextEncoder(0)
        encoder.encode(Found(b"k", self.LONG, None))
        assert self.counts(encoder) == (0, 0, 0, 0)

    @given(
        st.integers(0, 3),
        st.lists(
            st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.integers(0, 3)),
            max_size=30,
        ),
    )
    def test_it_never_changes_a_line(self, capacity: int, asked: list[tuple[bytes, int]]) -> None:
        values = [b"%d" % number * TextEncoder.CACHED_FROM for number in range(4)]
        encoder = TextEncoder(capacity)
        for key, number in asked:
            found = Found(key, values[number], number or None)
            assert encoder.encode(found) == encode(found)
        assert self.counts(encoder)[3] <= capacity
