"""Requests of the text dialect that nobody would type: all is read the same however it arrives."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import pytest
from helpers_pure import RULES, comparable, fed, in_bytes
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memdbd.dialects.text import TextParser
from memdbd.limits import Limits

# What people type, what machines send, and everything between.

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


USUAL = Limits()


def check_arrival_makes_no_difference(
    data: bytes, cuts: list[int], limits: Limits = USUAL, *, wary: bool = False
) -> None:
    whole = fed(data, limits=limits, wary=wary)
    assert fed(*in_bytes(data), limits=limits, wary=wary) == whole
    assert fed(*cut(data, cuts), limits=limits, wary=wary) == whole


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
    by_words = [words for words in map(parser._words, lines) if words]
    assert comparable(plain) == comparable(careful) == comparable(by_words)
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
        limits = Limits(max_line=10, max_json_line=14)
        check_arrival_makes_no_difference(data + b"\n", cuts, limits)

    @settings(max_examples=150, deadline=None)
    @given(GARBAGE, CUTS)
    @example(b"a b c\n", [])
    @example(b"\xff\xfd\x06getpublish", [])
    def test_of_a_stranger_ends_at_the_same_place_too(self, data: bytes, cuts: list[int]) -> None:
        limits = Limits(
            unauthenticated_arguments=2,
            unauthenticated_argument=7,
            unauthenticated_buffer=12,
            unauthenticated_requests=5,
        )
        check_arrival_makes_no_difference(data + b"\n", cuts, limits, wary=True)

    @given(GARBAGE, CUTS)
    def test_of_a_stranger_below_the_limits_is_as_of_anybody(
        self, data: bytes, cuts: list[int]
    ) -> None:
        assert fed(*cut(data, cuts), wary=True) == fed(data)

    @given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5))
    def test_of_strings_as_json_is_those_strings(self, strings: list[str]) -> None:
        for ascii_only in (True, False):
            line = json.dumps(strings, ensure_ascii=ascii_only).encode()
            assert fed(line + b"\n") == [[string.encode() for string in strings]]

    @given(st.lists(st.binary(max_size=20), min_size=1, max_size=5))
    def test_of_words_in_quotes_is_those_words(self, argv: list[bytes]) -> None:
        quoted = [b'"%s"' % b"".join(b"\\x%02x" % byte for byte in word) for word in argv]
        assert fed(b" ".join(quoted) + b"\n") == [argv]
