"""Requests to lines and lines to replies."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memdbd.client.typed import words_of
from memdbd.client.wire import (
    ErrorReply,
    LineSplitter,
    Message,
    Push,
    Reply,
    decode_line,
    encode_request,
)
from memdbd.errors import ProtocolError


def cut(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in at), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


class TestRequests:
    def test_words_become_a_json_array_on_one_line(self) -> None:
        line = encode_request(["set", "k", "two\nlines", 60, 1.5, b"caf\xc3\xa9"])
        assert line == b'["set","k","two\\nlines","60","1.5","caf\xc3\xa9"]\n'

    def test_bytes_that_are_not_utf8_become_quoted_words(self) -> None:
        line = encode_request(["set", "a b", b'\xff"\\\n', ""])
        assert line == rb'"set" "a b" "\xff\x22\x5c\x0a" ""' + b"\n"

    @given(st.lists(st.binary(max_size=40), min_size=1, max_size=5))
    def test_the_server_reads_exactly_the_words_that_were_given(self, words: list[bytes]) -> None:
        line = encode_request([b"set_with_ttl", *words])
        assert line.count(b"\n") == 1
        assert words_of(line[:-1]) == [b"set_with_ttl", *words]

    def test_a_request_needs_a_command(self) -> None:
        with pytest.raises(ValueError, match="name of a command"):
            encode_request([])

    def test_a_word_of_another_type_is_refused(self) -> None:
        with pytest.raises(TypeError, match="not list"):
            encode_request(["set", "k", ["v"]])  # type: ignore[list-item]


class TestReplies:
    def test_strings_in_the_result_are_bytes(self) -> None:
        reply = decode_line(b'{"result": ["a", "\xc3\xa9", 1, null], "ttl_remaining": null}')
        assert reply == {"result": [b"a", b"\xc3\xa9", 1, None], "ttl_remaining": None}

    def test_base64_is_decoded_and_no_longer_marked(self) -> None:
        line = b'{"result": {"/w==": "/w=="}, "encoding": "base64", "ttl_remaining": 5}'
        reply = decode_line(line)
        assert isinstance(reply, Reply)
        assert reply == {"result": {b"\xff": b"\xff"}, "ttl_remaining": 5}
        assert reply.line == line

    @pytest.mark.parametrize(
        ("result", "unpacked"),
        [
            (
                b'[{"member": "/w==", "score": "-inf"}, {"member": "YQ==", "score": 1.5}]',
                [{"member": b"\xff", "score": b"-inf"}, {"member": b"a", "score": 1.5}],
            ),
            (b'[{"field": "/w==", "value": "YQ=="}]', [{"field": b"\xff", "value": b"a"}]),
            (b'[{"member": "/w==", "hash": 7}, null]', [{"member": b"\xff", "hash": 7}, None]),
            (
                b'{"cursor": "12", "found": {"hash": "/w=="}}',
                {"cursor": b"12", "found": {b"\x85\xab!": b"\xff"}},
            ),
            (
                b'["YQ==", [{"member": "/w==", "score": "inf"}]]',
                [b"a", [{"member": b"\xff", "score": b"inf"}]],
            ),
        ],
    )
    def test_names_that_the_server_gave_are_as_they_are(
        self, result: bytes, unpacked: object
    ) -> None:
        reply = decode_line(b'{"result": %b, "encoding": "base64"}' % result)
        assert reply == {"result": unpacked}

    def test_a_channel_in_a_reply_has_an_encoding_of_its_own(self) -> None:
        line = b'{"result": "OK", "channel": "/w==", "channel_encoding": "base64"}'
        assert decode_line(line) == {"result": b"OK", "channel": b"\xff"}

    def test_an_error_is_a_command_error_with_the_servers_sentence(self) -> None:
        error = decode_line(b'{"error": "unknown command \'gte\'"}')
        assert isinstance(error, ErrorReply)
        assert str(error) == "unknown command 'gte'"

    def test_a_message_is_bytes_on_a_channel(self) -> None:
        line = b'{"channel": "news", "message": "Hello"}'
        assert decode_line(line) == Message(b"news", b"Hello", line)
        line = (
            b'{"channel": "/w==", "channel_encoding": "base64",'
            b' "message": "/g==", "encoding": "base64"}'
        )
        assert decode_line(line) == Message(b"\xff", b"\xfe", line)

    def test_a_message_for_a_pattern_says_so(self) -> None:
        line = b'{"pattern": "n*", "channel": "news", "message": "Hello"}'
        assert decode_line(line) == Message(b"news", b"Hello", line, b"n*")
        line = (
            b'{"pattern": "/yo=", "pattern_encoding": "base64", "channel": "/w==",'
            b' "channel_encoding": "base64", "message": "m"}'
        )
        assert decode_line(line) == Message(b"\xff", b"m", line, b"\xff*")

    def test_a_push_is_a_line_or_a_list(self) -> None:
        line = b'{"push": ["invalidate", ["key"]]}'
        assert decode_line(line) == Push([b"invalidate", [b"key"]], line)
        line = b'{"push": ["aW52YWxpZGF0ZQ==", ["/w=="]], "encoding": "base64"}'
        assert decode_line(line) == Push([b"invalidate", [b"\xff"]], line)
        line = rb'{"push": "1795421483.657549 [0 127.0.0.1:1] \"ping\""}'
        assert decode_line(line) == Push(b'1795421483.657549 [0 127.0.0.1:1] "ping"', line)

    @pytest.mark.parametrize(
        ("result", "unpacked"),
        [
            (b'{"name": "john", "score": "1"}', {b"name": b"john", b"score": b"1"}),
            (b'{"id": 2, "name": "john"}', {"id": 2, "name": b"john"}),
            (b'{"server": {"version": "1"}}', {"server": {"version": b"1"}}),
        ],
    )
    def test_names_are_data_in_a_hash_and_the_servers_elsewhere(
        self, result: bytes, unpacked: object
    ) -> None:
        assert decode_line(b'{"result": %b}' % result) == {"result": unpacked}

    def test_what_a_transaction_answers_is_a_list_of_replies(self) -> None:
        line = (
            b'{"result": [{"result": "a", "ttl_remaining": null}, {"error": "WRONGTYPE no"},'
            b' {"result": "/w==", "encoding": "base64"}, {"result": {"f": "v"}},'
            b' {"result": "OK", "action": "subscribe", "channel": "c"}]}'
        )
        assert decode_line(line) == {
            "result": [
                {"result": b"a", "ttl_remaining": None},
                {"error": "WRONGTYPE no"},
                {"result": b"\xff"},
                {"result": {b"f": b"v"}},
                {"result": b"OK", "action": "subscribe", "channel": b"c"},
            ]
        }

    @pytest.mark.parametrize(
        ("line", "problem"),
        [
            (b"", "not JSON"),
            (b"+OK", "speaks RESP only"),
            (b"-ERR Protocol error: unbalanced quotes in request", "speaks RESP only"),
            (b"$5", "speaks RESP only"),
            (b"HTTP/1.1 400 Bad Request", "not JSON"),
            (b'{"result": "\xff"}', "not JSON"),
            (b"[" * 5000, "not JSON"),
            (b"[1]", "not an object"),
            (b'{"result": ' + b"[" * 1010 + b"]" * 1010 + b"}", "more than 32 levels"),
            (b'{"ttl_set": ' + b'{"a":' * 1010 + b"1" + b"}" * 1010 + b"}", "more than 32 levels"),
            (b"{}", "neither a reply nor a message"),
            (b'{"channel": "c"}', "neither a reply nor a message"),
            (b'{"channel": ["c"], "message": "m"}', "neither a reply nor a message"),
            (b'{"pattern": 1, "channel": "c", "message": "m"}', "neither a reply nor a message"),
            (b'{"channel": "c", "message": 1}', "neither a reply nor a message"),
            (b'{"result": "a", "encoding": "hex"}', "encoding that this client lacks: 'hex'"),
            (b'{"result": "a", "encoding": "base64"}', "damaged base64"),
            (b'{"result": "\xc3\xa9", "encoding": "base64"}', "damaged base64"),
        ],
    )
    def test_anything_else_is_a_protocol_error_that_shows_it(
        self, line: bytes, problem: str
    ) -> None:
        with pytest.raises(ProtocolError, match=problem):
            decode_line(line)

    @given(st.binary(max_size=60) | st.recursive(st.text(), st.lists).map(orjson.dumps))
    def test_garbage_never_raises_anything_else(self, line: bytes) -> None:
        with suppress(ProtocolError):
            decode_line(line)

    @given(
        st.dictionaries(
            st.sampled_from(
                ["result", "error", "channel", "message", "encoding", "action", "pattern", "push"]
            ),
            st.none() | st.text(max_size=4) | st.just("base64") | st.lists(st.text(max_size=3)),
        )
    )
    def test_any_mixture_of_fields_is_something_or_a_protocol_error(
        self, fields: dict[str, Any]
    ) -> None:
        with suppress(ProtocolError):
            decode_line(orjson.dumps(fields))

    def test_the_error_shows_no_more_than_the_start_of_a_long_line(self) -> None:
        with pytest.raises(ProtocolError) as raised:
            decode_line(b"x" * 10**6)
        assert len(str(raised.value)) < 200


class TestLines:
    @given(st.lists(st.binary(max_size=30)), st.lists(st.integers(min_value=0)))
    def test_a_stream_gives_the_same_lines_however_it_is_cut(
        self, lines: list[bytes], at: list[int]
    ) -> None:
        lines = [line.replace(b"\n", b"").rstrip(b"\r") for line in lines]
        stream = b"".join(line + b"\n" for line in lines)
        for pieces in ([stream], cut(stream, at), [bytes([byte]) for byte in stream]):
            splitter = LineSplitter()
            assert [line for piece in pieces for line in splitter.feed(piece)] == lines
            assert splitter.finish() == b""

    def test_the_end_of_a_line_may_be_that_of_telnet(self) -> None:
        splitter = LineSplitter()
        assert splitter.feed(b"a\r") == []
        assert splitter.feed(b"\nb\r\r\nc") == [b"a", b"b\r"]
        assert splitter.finish() == b"c"

    def test_an_unfinished_line_over_the_bound_is_refused(self) -> None:
        splitter = LineSplitter(max_length=10)
        assert splitter.feed(b"123456\n123456") == [b"123456"]
        with pytest.raises(ProtocolError, match="longer than 10 bytes"):
            splitter.feed(b"78901")

    def test_a_long_line_in_small_pieces_costs_no_more_than_its_bytes(self) -> None:
        splitter = LineSplitter()
        piece = b"x" * 1024
        for _ in range(20_000):  # quadratic, this would copy 200 GB
            assert not splitter.feed(piece)
        assert len(splitter.feed(b"\n")[0]) == 20_000 * 1024
