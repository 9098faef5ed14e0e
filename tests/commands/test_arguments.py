"""Integers and options, read from the words of a request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memdbd.commands.arguments import INT64_MAX, INT64_MIN, Words, at_least, integer
from memdbd.errors import CommandError


class TestIntegers:
    @pytest.mark.parametrize("number", [0, 1, -1, 10, INT64_MAX, INT64_MIN])
    def test_decimal_integers_of_64_bits_are_read(self, number: int) -> None:
        assert integer(b"%d" % number) == number

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b" 1",
            b"1 ",
            b"+1",
            b"-0",
            b"007",
            b"1_000",
            b"1.0",
            b"1e3",
            b"0x10",
            b"-",
            b"one",
            b"\xff",
            "١".encode(),
            b"1\n",
            b"%d" % (INT64_MAX + 1),
            b"%d" % (INT64_MIN - 1),
            b"9" * 21,
            b"9" * 100_000,
        ],
    )
    def test_nothing_else_is(self, raw: bytes) -> None:
        with pytest.raises(CommandError, match="value is not an integer or out of range"):
            integer(raw)

    @given(st.integers(INT64_MIN, INT64_MAX))
    def test_each_reads_as_what_was_written(self, number: int) -> None:
        assert integer(b"%d" % number) == number


class TestBounds:
    @pytest.mark.parametrize(("raw", "number"), [(b"-1", -1), (b"0", 0), (b"7", 7)])
    def test_an_integer_from_the_least_on_is_read(self, raw: bytes, number: int) -> None:
        assert at_least(-1, "too few")(raw) == number

    @pytest.mark.parametrize("raw", [b"-2", b"x", b"", b"1.0", b"%d" % (INT64_MAX + 1)])
    def test_all_else_has_one_error(self, raw: bytes) -> None:
        with pytest.raises(CommandError, match=r"^too few$"):
            at_least(-1, "too few")(raw)


class TestWords:
    def test_they_are_read_from_left_to_right(self) -> None:
        words = Words([b"limit", b"2", b"a", b"b"])
        assert (words.option(), words.take(integer), len(words)) == (b"LIMIT", 2, 2)
        assert words.take() == b"a"
        words.back()
        assert words.rest() == [b"a", b"b"]
        assert not words

    def test_a_missing_one_is_a_syntax_error(self) -> None:
        with pytest.raises(CommandError, match=r"^syntax error$"):
            Words([]).take()
