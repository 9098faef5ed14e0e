"""How a command is declared, and what follows from its declaration."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memdbd.commands.spec import (
    INT64_MAX,
    INT64_MIN,
    KEY,
    VALUE,
    Command,
    Context,
    Flag,
    Param,
    command,
    integer,
)
from memdbd.errors import CommandError


def declared(*params: Param, flags: Flag = Flag.NONE) -> Command:
    @command("try", *params, flags=flags, summary="Try it")
    def try_(ctx: Context, *arguments: object) -> None: ...

    return try_


NUMBER = Param("number", integer)
OPTIONAL = Param("option", optional=True)
KEYS = Param("key", is_key=True, many=True)
MAYBE_MANY = Param("channel", many=True, optional=True)


class TestUsage:
    @pytest.mark.parametrize(
        ("params", "usage"),
        [
            ((), "try"),
            ((KEY,), "try <key>"),
            ((KEY, VALUE), "try <key> <value…>"),
            ((KEY, VALUE, Param("ttl", integer, optional=True)), "try <key> <value…> [<ttl>]"),
            ((KEYS,), "try <key> …"),
            ((MAYBE_MANY,), "try [<channel> …]"),
            ((Param("message", rest=True, optional=True),), "try [<message…>]"),
        ],
    )
    def test_it_shows_each_parameter(self, params: tuple[Param, ...], usage: str) -> None:
        assert declared(*params).usage == usage


class TestArity:
    @pytest.mark.parametrize(
        ("params", "right", "wrong"),
        [
            ((), [0], [1, 2]),
            ((KEY,), [1], [0, 2]),
            ((KEY, VALUE), [2], [0, 1, 3]),
            ((KEY, OPTIONAL), [1, 2], [0, 3]),
            ((KEYS,), [1, 2, 100], [0]),
            ((MAYBE_MANY,), [0, 1, 100], []),
            ((KEY, KEYS), [2, 3, 100], [0, 1]),
        ],
    )
    def test_as_many_arguments_are_taken_as_are_declared(
        self, params: tuple[Param, ...], right: list[int], wrong: list[int]
    ) -> None:
        one = declared(*params)
        for count in right:
            assert one.arguments([b"try", *[b"x"] * count]) == [b"x"] * count
        for count in wrong:
            with pytest.raises(CommandError):
                one.arguments([b"try", *[b"x"] * count])

    def test_a_wrong_number_says_how_it_is_used(self) -> None:
        with pytest.raises(CommandError) as refused:
            declared(KEY, VALUE).arguments([b"TRY", b"k"])
        assert str(refused.value) == "wrong number of arguments for 'try' command"
        assert refused.value.hint == "usage: try <key> <value…>; a value with blanks goes in quotes"


class TestConversion:
    def test_arguments_are_converted_as_declared_and_the_others_stay(self) -> None:
        one = declared(KEY, NUMBER, OPTIONAL)
        assert one.arguments([b"try", b"1", b"2", b"3"]) == [b"1", 2, b"3"]

    def test_an_optional_argument_that_is_left_out_is_not_converted(self) -> None:
        one = declared(KEY, Param("number", integer, optional=True))
        assert one.arguments([b"try", b"k"]) == [b"k"]

    def test_what_cannot_be_converted_is_refused_naming_the_parameter(self) -> None:
        with pytest.raises(CommandError) as refused:
            declared(KEY, NUMBER).arguments([b"try", b"k", b"many"])
        assert str(refused.value) == "value is not an integer or out of range"
        assert refused.value.hint == "look at <number> in: try <key> <number>"

    def test_the_request_itself_stays_as_it_was(self) -> None:
        request = [b"try", b"k", b"2"]
        declared(KEY, NUMBER).arguments(request)
        assert request == [b"try", b"k", b"2"]


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


class TestKeys:
    @pytest.mark.parametrize(
        ("params", "arguments", "keys"),
        [
            ((), [], []),
            ((NUMBER,), [1], []),
            ((KEY,), [b"a"], [b"a"]),
            ((KEY, VALUE), [b"a", b"v"], [b"a"]),
            ((KEY, Param("new", is_key=True)), [b"a", b"b"], [b"a", b"b"]),
            ((NUMBER, KEY), [1, b"a"], [b"a"]),
            ((KEYS,), [b"a", b"b", b"c"], [b"a", b"b", b"c"]),
            ((KEY, KEYS), [b"a", b"b", b"c"], [b"a", b"b", b"c"]),
            ((KEY, Param("other", is_key=True, optional=True)), [b"a"], [b"a"]),
        ],
    )
    def test_they_are_found_among_the_arguments(
        self, params: tuple[Param, ...], arguments: list[object], keys: list[bytes]
    ) -> None:
        assert declared(*params).keys_of(arguments) == keys


class TestTheRecord:
    @pytest.mark.parametrize("flag", [Flag.WRITE, Flag.GROWS, Flag.ENDS, Flag.READ, Flag.NONE])
    def test_it_tells_what_its_flags_mean(self, flag: Flag) -> None:
        one = declared(KEY, flags=flag)
        assert (one.writes, one.grows, one.ends) == (
            flag is Flag.WRITE,
            flag is Flag.GROWS,
            flag is Flag.ENDS,
        )

    def test_its_group_is_the_module_of_its_handler(self) -> None:
        assert declared().group == "test_spec"

    def test_both_dialects_share_a_handler_unless_one_is_given_for_text(self) -> None:
        one = declared(KEY)
        assert one.text_handler is one.handler

        @one.in_text
        def try_in_text(ctx: Context, key: bytes) -> str:
            return "text"

        assert one.text_handler is try_in_text
        assert one.handler is not try_in_text

    def test_it_shows_its_usage(self) -> None:
        assert repr(declared(KEY)) == "<Command try <key>>"
