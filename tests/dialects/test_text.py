"""Requests of the text dialect: lines in, however the bytes arrive.

Its replies are in ``test_text_replies.py``, what nobody would send in ``test_text_garbage.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from helpers_pure import Comparable, fed, in_bytes

from memdbd.errors import CommandError, ProtocolError
from memdbd.limits import Limits

LIMITS = Limits()


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
    (b"set_with_ttl k agent 007", [b"set_with_ttl", b"k", b"agent 007"]),
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
    [(line_of_words, LIMITS.max_line), (line_of_json, LIMITS.max_json_line)],
    ids=["words", "JSON"],
)


def in_pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


class TestLimits:
    def test_they_are_those_of_the_documentation(self) -> None:
        assert (LIMITS.max_line, LIMITS.max_json_line) == (65_536, 1_048_576)

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
        line = line_of_words(LIMITS.max_line)
        assert fed(*in_bytes(line + b"\n")) == [[b"set", b"k", line[6:]]]
        assert fed(*in_bytes(line + b"x")) == [overlong(LIMITS.max_line)]

    @pytest.mark.parametrize("behind", [b"", b"keys\n"])
    @pytest.mark.parametrize("line", [b"echo 1234567", b"echo '1234567'", b'["echo", "1234567"]'])
    def test_so_has_a_word_however_its_line_arrives(self, line: bytes, behind: bytes) -> None:
        request = words(line)
        line += b"\n" + behind
        all_read: list[Comparable] = [request, [b"keys"]]
        assert fed(line, limits=Limits(max_value=7)) == all_read[: 2 if behind else 1]
        bad = [(ProtocolError, "word is too long: at most 6 bytes are allowed", "")]
        assert fed(line, limits=Limits(max_value=6)) == bad
        assert fed(*in_bytes(line), limits=Limits(max_value=6)) == bad

    @pytest.mark.parametrize("line", [b"echo 12", b"'echo' 1", b'["echo"]'])
    def test_what_a_request_may_have_is_no_less_than_a_line(self, line: bytes) -> None:
        size = len(line)
        assert fed(line + b"\n", limits=Limits(max_request=size)) == [words(line)]
        assert fed(line + b"\n", limits=Limits(max_request=size - 1)) == [overlong(size - 1)]

    def test_blanks_count(self) -> None:
        assert fed(b" " * LIMITS.max_line + b"\n") == []
        assert fed(b" " * (LIMITS.max_line + 1)) == [overlong(LIMITS.max_line)]

    def test_a_line_of_brackets_is_read_up_to_the_limit_of_json(self) -> None:
        request = words(b"[" * LIMITS.max_json_line)
        assert isinstance(request, tuple)
        assert request[0] is CommandError
        assert fed(b"[" * (LIMITS.max_json_line + 1)) == [overlong(LIMITS.max_json_line)]
