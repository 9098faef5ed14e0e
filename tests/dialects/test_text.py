"""The text dialect: lines in, lines of JSON out, however the bytes arrive."""

from __future__ import annotations

import itertools
import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memdbd.commands.table import COMMANDS
from memdbd.dialects import text
from memdbd.dialects.text import (
    MAX_JSON_LINE,
    MAX_LINE,
    LineRules,
    Request,
    TextEncoder,
    TextParser,
)
from memdbd.errors import CommandError, OutOfMemory, ProtocolError, WrongType
from memdbd.replies import OK, PONG, Fields, Found, Message, Reply, Status

RULES = LineRules(COMMANDS)
Comparable = list[bytes] | tuple[type[Exception], str, str]


def comparable(requests: Iterable[Request]) -> list[Comparable]:
    """Requests such that two of the same kind and words are equal."""
    return [
        (type(request), str(request), getattr(request, "hint", ""))
        if isinstance(request, Exception)
        else request
        for request in requests
    ]


def fed(*pieces: bytes) -> list[Comparable]:
    """What a parser makes of pieces fed to it one after another, up to what ends the connection."""
    parser, requests = TextParser(RULES), list[Request]()
    for piece in pieces:
        requests += parser.feed(piece)
        if requests and isinstance(requests[-1], ProtocolError):
            break
    return comparable(requests)


def in_bytes(data: bytes) -> Iterator[bytes]:
    return (data[at : at + 1] for at in range(len(data)))


def words(line: bytes) -> Comparable:
    (request,) = fed(line + b"\n")
    return request


def unreadable(message: str, hint: str) -> Comparable:
    return CommandError, message, hint


def unbalanced(number: int) -> Comparable:
    return unreadable(
        f"unbalanced quotes in word {number}",
        "a word that starts with a quote ends with the same quote and a blank",
    )


def unknown_escape(number: int) -> Comparable:
    return unreadable(
        f"unknown escape in word {number}",
        r"in double quotes, \n \r \t \" \\ and \xHH are known",
    )


JSON_HINT = 'a request is like ["set", "key", "value"]'
NO_STRINGS = unreadable("a JSON request is an array of one or more strings", JSON_HINT)

LINES: list[tuple[bytes, Comparable]] = [
    # words
    (b"get username", [b"get", b"username"]),
    (b"GET username", [b"GET", b"username"]),
    (b"GeT username", [b"GeT", b"username"]),
    (b"  get \t username  ", [b"get", b"username"]),
    (b"get username\r", [b"get", b"username"]),
    (b"get\vusername\f", [b"get", b"username"]),
    (b"keys", [b"keys"]),
    (b"subscribe a b c", [b"subscribe", b"a", b"b", b"c"]),
    (b"no_such_command a b", [b"no_such_command", b"a", b"b"]),
    (b"get \xff\xfe", [b"get", b"\xff\xfe"]),
    (b"get \x00", [b"get", b"\x00"]),
    ("get schlüssel".encode(), [b"get", "schlüssel".encode()]),
    ("get no\u00a0blank".encode(), [b"get", "no\u00a0blank".encode()]),
    # quotes
    (b'get "a b"', [b"get", b"a b"]),
    (b"get 'a b'", [b"get", b"a b"]),
    (b'get ""', [b"get", b""]),
    (b"get ''", [b"get", b""]),
    (b'"get" "k"', [b"get", b"k"]),
    (b"'get' 'k'", [b"get", b"k"]),
    (b"get it's", [b"get", b"it's"]),
    (b'get 5"', [b"get", b'5"']),
    (b"get '\"'", [b"get", b'"']),
    (b'get "\'"', [b"get", b"'"]),
    (b"get '\\n'", [b"get", b"\\n"]),
    (b"get a\\nb", [b"get", b"a\\nb"]),
    (rb'get "\n\r\t\"\\"', [b"get", b'\n\r\t"\\']),
    (rb'get "\x00\xff\xAb"', [b"get", b"\x00\xff\xab"]),
    (rb'get "\x41\x4"', unknown_escape(2)),
    (rb'get "\q"', unknown_escape(2)),
    (rb'get "\X41"', unknown_escape(2)),
    (b'"\\', unbalanced(1)),
    (b'get "a', unbalanced(2)),
    (b"get 'a", unbalanced(2)),
    (b'get "', unbalanced(2)),
    (b'get "a"b', unbalanced(2)),
    (b"get 'a''b'", unbalanced(2)),
    (b'get a "b', unbalanced(3)),
    (rb'get "a\"', unbalanced(2)),
    (b"get \"a'", unbalanced(2)),
    # the rest of the line is one argument
    (b"set k v", [b"set", b"k", b"v"]),
    (b"set k two words", [b"set", b"k", b"two words"]),
    (b"SET k two words", [b"SET", b"k", b"two words"]),
    (b"sEt k two words", [b"sEt", b"k", b"two words"]),
    (b"set k  two   words \r", [b"set", b"k", b"two   words"]),
    (b"set k two\twords", [b"set", b"k", b"two\twords"]),
    (b'set k say "hello"', [b"set", b"k", b'say "hello"']),
    (b"set k it's mine", [b"set", b"k", b"it's mine"]),
    (b"set k 5 o'clock 'sharp", [b"set", b"k", b"5 o'clock 'sharp"]),
    (b"set k [1, 2]", [b"set", b"k", b"[1, 2]"]),
    (b'set k {"a": 1}', [b"set", b"k", b'{"a": 1}']),
    (b'set k "two words"', [b"set", b"k", b"two words"]),
    (b'set k "two" words', [b"set", b"k", b"two", b"words"]),
    (b"set k 'two words", unbalanced(3)),
    (b'set "a b" c d', [b"set", b"a b", b"c d"]),
    (b"'set' k two words", [b"set", b"k", b"two words"]),
    (b"set k", [b"set", b"k"]),
    (b"set k v 60", [b"set", b"k", b"v 60"]),
    (b"append k two words", [b"append", b"k", b"two words"]),
    (b"publish c two words 60", [b"publish", b"c", b"two words 60"]),
    (b'publish c "Hello World"', [b"publish", b"c", b"Hello World"]),
    (b"echo a  b", [b"echo", b"a  b"]),
    (b"echo", [b"echo"]),
    (b"ping a b", [b"ping", b"a b"]),
    (b"ping", [b"ping"]),
    # and a whole number behind it one more
    (b"set_with_ttl k v 60", [b"set_with_ttl", b"k", b"v", b"60"]),
    (b"set_with_ttl k v", [b"set_with_ttl", b"k", b"v"]),
    (b"set_with_ttl k 60", [b"set_with_ttl", b"k", b"60"]),
    (b"set_with_ttl k two words", [b"set_with_ttl", b"k", b"two words"]),
    (b"set_with_ttl k two  words  60 ", [b"set_with_ttl", b"k", b"two  words", b"60"]),
    (b"set_with_ttl k two words 60s", [b"set_with_ttl", b"k", b"two words 60s"]),
    (b"set_with_ttl k two words 1.5", [b"set_with_ttl", b"k", b"two words 1.5"]),
    (b"set_with_ttl k two words -60", [b"set_with_ttl", b"k", b"two words", b"-60"]),
    (b"set_with_ttl k 1 2 3", [b"set_with_ttl", b"k", b"1 2", b"3"]),
    (b'set_with_ttl k "two words" 60', [b"set_with_ttl", b"k", b"two words", b"60"]),
    (b'set_with_ttl k "two words 60"', [b"set_with_ttl", b"k", b"two words 60"]),
    (b"SET_with_TTL k two words 60", [b"SET_with_TTL", b"k", b"two words", b"60"]),
    # JSON
    (b'["get", "k"]', [b"get", b"k"]),
    (b'  [ "get" , "k" ] \r', [b"get", b"k"]),
    (b'["set", "greeting", "two\\nlines"]', [b"set", b"greeting", b"two\nlines"]),
    (b'["set", "k", "v", "w"]', [b"set", b"k", b"v", b"w"]),
    (b'["set_with_ttl", "k", "v 60"]', [b"set_with_ttl", b"k", b"v 60"]),
    ('["get", "ü\\u00fc"]'.encode(), [b"get", "üü".encode()]),
    (b'["get", "\\ud83d\\ude00"]', [b"get", "😀".encode()]),
    (b'["get", ""]', [b"get", b""]),
    (b'[""]', [b""]),
    (b"[]", NO_STRINGS),
    (b'["set", "k", 1]', NO_STRINGS),
    (b'["set", "k", null]', NO_STRINGS),
    (b'["set", ["k"]]', NO_STRINGS),
    # telnet's interrupt, and its wish to talk of options
    (b"\xff\xf4\xff\xfd\x06get k", [b"get", b"k"]),
    (b'\xff\xfb\x1f\xff\xfd\x03 ["get", "k"]', [b"get", b"k"]),
    (b" \xff\xf4 get k", [b"get", b"k"]),
    (b"set k \xff\xf4", [b"set", b"k", b"\xff\xf4"]),
]
NOTHING = [b"", b" ", b"\r", b" \t\r", b"\xff\xf4", b"\xff\xf4\xff\xfd\x06\r"]


class TestReadingALine:
    @pytest.mark.parametrize(("line", "request_"), LINES)
    def test_whole_it_is_its_words_or_the_reason_why_not(
        self, line: bytes, request_: Comparable
    ) -> None:
        assert fed(line + b"\n") == [request_]

    @pytest.mark.parametrize(("line", "request_"), LINES)
    def test_a_byte_at_a_time_it_is_the_same(self, line: bytes, request_: Comparable) -> None:
        assert fed(*in_bytes(line + b"\n")) == [request_]

    @pytest.mark.parametrize(("line", "request_"), LINES)
    def test_cut_anywhere_it_is_the_same(self, line: bytes, request_: Comparable) -> None:
        line += b"\n"
        for at in range(len(line) + 1):
            assert fed(line[:at], line[at:]) == [request_]

    @pytest.mark.parametrize(("line", "request_"), LINES)
    def test_with_others_around_it_it_is_the_same(self, line: bytes, request_: Comparable) -> None:
        others: list[Comparable] = [[b"keys"], [b"get", b'"']]
        assert fed(b"keys\n" + line + b"\nget '\"'\n") == [others[0], request_, others[1]]
        assert fed(line + b"\nkeys\nge", b"t '\"'\n") == [request_, *others]

    @pytest.mark.parametrize(("line", "request_"), LINES)
    def test_without_its_end_it_is_no_request(self, line: bytes, request_: Comparable) -> None:
        assert fed(line) == []

    @pytest.mark.parametrize("line", NOTHING)
    def test_an_empty_one_is_no_request(self, line: bytes) -> None:
        assert fed(line + b"\n") == fed(*in_bytes(line + b"\n")) == []
        assert fed(line + b"\nkeys\n" + line + b"\n") == [[b"keys"]]

    @pytest.mark.parametrize(
        "line",
        [b'["get"', b'["get" "k"]', b"[get k]", b'["get", "\xff"]', b"[" * 5000, b'["\\ud800"]'],
    )
    def test_what_is_not_json_is_refused_showing_what_is(self, line: bytes) -> None:
        request = words(line)
        assert isinstance(request, tuple)
        assert request[0] is CommandError
        assert request[1].startswith("not a line of JSON: ")
        assert request[2] == JSON_HINT

    def test_a_bad_line_is_an_error_in_its_place_and_the_others_are_read(self) -> None:
        assert fed(b'get a\nget "b\nget c\n') == [[b"get", b"a"], unbalanced(2), [b"get", b"c"]]

    def test_both_ends_of_lines_may_be_mixed(self) -> None:
        assert fed(b"get a\r\nget b\n\r\n\nget c\r\n") == [
            [b"get", b"a"],
            [b"get", b"b"],
            [b"get", b"c"],
        ]

    def test_a_lone_carriage_return_ends_no_line(self) -> None:
        assert fed(b"get a\rget b\n") == [[b"get", b"a", b"get", b"b"]]


def overlong(limit: int) -> Comparable:
    return ProtocolError, f"line is too long: at most {limit} bytes are allowed", ""


def line_of_words(length: int) -> bytes:
    return b"set k " + b"x" * (length - 6)


def line_of_json(length: int) -> bytes:
    return b'["set", "k", "' + b"x" * (length - 16) + b'"]'


KINDS = pytest.mark.parametrize(
    ("line_of", "limit"),
    [(line_of_words, MAX_LINE), (line_of_json, MAX_JSON_LINE)],
    ids=["words", "JSON"],
)


def in_pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


class TestLimits:
    def test_they_are_those_of_the_documentation(self) -> None:
        assert (MAX_LINE, MAX_JSON_LINE) == (65_536, 1_048_576)

    @KINDS
    def test_a_line_of_exactly_the_limit_is_read(self, line_of: Any, limit: int) -> None:
        line = line_of(limit)
        assert len(line) == limit
        request = fed(line + b"\n")
        assert len(request) == 1
        assert request[0][0] == b"set"
        assert fed(line, b"\n") == fed(*in_pieces(line + b"\n", 4096)) == request

    @KINDS
    @pytest.mark.parametrize("over", [1, 1000])
    def test_a_line_over_it_ends_the_connection(self, line_of: Any, limit: int, over: int) -> None:
        line = line_of(limit + over)
        assert fed(line + b"\n") == [overlong(limit)]
        assert fed(line) == [overlong(limit)]
        assert fed(line, b"\n") == [overlong(limit)]
        assert fed(*in_pieces(line + b"\n", 4096)) == [overlong(limit)]

    @KINDS
    def test_requests_before_it_are_read_and_none_behind_it(self, line_of: Any, limit: int) -> None:
        before, behind = b"get a\n\nget 'b c'\n", b"\nget d\n"
        read: list[Comparable] = [[b"get", b"a"], [b"get", b"b c"]]
        bad = line_of(limit + 1)
        assert fed(before + bad + behind) == [*read, overlong(limit)]
        assert fed(before + bad) == [*read, overlong(limit)]
        assert fed(before, *in_pieces(bad + behind, 4096)) == [*read, overlong(limit)]
        assert fed(before + bad[:100], bad[100:] + behind) == [*read, overlong(limit)]

    @KINDS
    def test_it_is_each_line_that_is_bounded_and_not_the_buffer(
        self, line_of: Any, limit: int
    ) -> None:
        assert len(fed((line_of(limit) + b"\n") * 3 + b"keys\n")) == 4

    def test_many_short_lines_may_be_longer_than_any_limit(self) -> None:
        assert fed(b"keys\n" * 300_000) == [[b"keys"]] * 300_000

    def test_a_line_of_words_that_is_fed_byte_by_byte_has_the_same_limit(self) -> None:
        line = line_of_words(MAX_LINE)
        assert fed(*in_bytes(line + b"\n")) == [[b"set", b"k", line[6:]]]
        assert fed(*in_bytes(line + b"x")) == [overlong(MAX_LINE)]

    def test_blanks_count(self) -> None:
        assert fed(b" " * MAX_LINE + b"\n") == []
        assert fed(b" " * (MAX_LINE + 1)) == [overlong(MAX_LINE)]

    def test_a_line_of_brackets_is_read_up_to_the_limit_of_json(self) -> None:
        request = words(b"[" * MAX_JSON_LINE)
        assert isinstance(request, tuple)
        assert request[0] is CommandError
        assert fed(b"[" * (MAX_JSON_LINE + 1)) == [overlong(MAX_JSON_LINE)]


# Fuzzing: what people type, what machines send, and everything between.

TOKENS = st.sampled_from(
    [
        *(b"get", b"set", b"SET_WITH_TTL", b"sEt", b"publish", b"echo", b"ping", b"nonsense"),
        *(b" ", b"  ", b"\t", b"\r", b"\v", b"\n", b"\r\n", b"\n\n"),
        *(b'"', b"'", b"\\", b"\\n", b"\\x4", b"\\x41", b'"a b"', b"'a b'", b'""'),
        *(b"[", b"]", b",", b'["get", "k"]', b'["set", "k", 1]', b"{}", b"[]"),
        *(b"60", b"-1", b"007", b"1.5", b"k", b"v", b"\x00", b"\xff", b"\xff\xf4", b"\xff\xfd\x06"),
        "ü😀".encode(),
    ]
)
GARBAGE = st.lists(TOKENS | st.binary(max_size=6), max_size=24).map(b"".join)
CUTS = st.lists(st.integers(0, 200), max_size=6)


def cut(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    places = sorted({0, *(place % (len(data) + 1) for place in cuts), len(data)})
    return (data[start:end] for start, end in itertools.pairwise(places))


def check_arrival_makes_no_difference(data: bytes, cuts: list[int]) -> None:
    whole = fed(data)
    assert fed(*in_bytes(data)) == whole
    assert fed(*cut(data, cuts)) == whole


def check_each_line_is_one_request(data: bytes) -> None:
    lines = data.split(b"\n")[:-1]
    for line in lines:
        # A telnet client's own bytes at the front are as good as blanks.
        if b"\xff" not in line:
            assert len(fed(line + b"\n")) == bool(line.strip())
    assert fed(data) == [request for line in lines for request in fed(line + b"\n")]


def check_both_paths_agree(data: bytes) -> None:
    parser = TextParser(RULES)
    lines = data.translate(None, b"\"'[\xff").split(b"\n")
    plain, careful = parser._plain(lines), parser._careful(lines)
    assert comparable(plain) == comparable(careful)
    assert not any(isinstance(request, Exception) for request in plain)


def check_all(data: bytes, cuts: list[int]) -> None:
    check_arrival_makes_no_difference(data, cuts)
    check_each_line_is_one_request(data)
    check_both_paths_agree(data)


class TestGarbage:
    @settings(max_examples=400, deadline=None)
    @given(GARBAGE, CUTS)
    def test_is_read_the_same_however_it_arrives(self, data: bytes, cuts: list[int]) -> None:
        check_all(data, cuts)

    @pytest.mark.slow
    @settings(max_examples=10_000, deadline=None)
    @given(GARBAGE, CUTS)
    def test_is_read_the_same_however_it_arrives_ten_thousand_times(
        self, data: bytes, cuts: list[int]
    ) -> None:
        check_all(data, cuts)

    @settings(max_examples=150, deadline=None)
    @given(GARBAGE, CUTS)
    @example(b" " * 12 + b'["get"]\n', [])
    @example(b'["get", "k"]\nget kkkkkkkkkk', [14])
    def test_over_a_limit_ends_at_the_same_place_however_it_arrives(
        self, data: bytes, cuts: list[int]
    ) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(text, "MAX_LINE", 10)
            patch.setattr(text, "MAX_JSON_LINE", 14)
            check_arrival_makes_no_difference(data + b"\n", cuts)

    @given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5))
    def test_of_strings_as_json_is_those_strings(self, strings: list[str]) -> None:
        for ascii_only in (True, False):
            line = json.dumps(strings, ensure_ascii=ascii_only).encode()
            assert words(line) == [string.encode() for string in strings]

    @given(st.lists(st.binary(max_size=20), min_size=1, max_size=5))
    def test_of_words_in_quotes_is_those_words(self, argv: list[bytes]) -> None:
        quoted = [b'"%s"' % b"".join(b"\\x%02x" % byte for byte in word) for word in argv]
        assert words(b" ".join(quoted)) == argv


def encode(reply: Reply) -> bytes:
    return TextEncoder(cache_capacity=0).encode(reply)


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
            (
                WrongType(),
                b'{"error": "WRONGTYPE Operation against a key holding the wrong kind of value"}\n',
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
    def test_that_is_an_error_is_one_line_that_says_it(self, said: str, hint: str) -> None:
        line = encode(CommandError(said, hint))
        assert line.index(b"\n") == len(line) - 1
        assert json.loads(line) == {"error": f"{said}; {hint}" if hint else said}


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
        assert self.counts(encoder) == (2, 1, 0, 1)

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
        assert b'", "encoding": "base64", "ttl_remaining": 5}' in encoder.encode(found)

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
            (TextEncoder.CACHED_TO, 1),
            (TextEncoder.CACHED_TO + 1, 0),
        ],
    )
    def test_only_values_between_its_bounds_are_kept(self, length: int, kept: int) -> None:
        encoder = TextEncoder(2)
        encoder.encode(Found(b"k", bytes(length), None))
        assert self.counts(encoder) == (0, kept, 0, kept)

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
