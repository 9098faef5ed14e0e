"""Numbers of any number of bits in a string."""

from __future__ import annotations

from typing import Any

import pytest
from helpers_pure import World, refusal
from hypothesis import given
from hypothesis import strategies as st

from memdbd.commands.arguments import INT64_MAX, INT64_MIN
from memdbd.commands.bitfields import FAIL, SATURATE, WRAP, Field
from memdbd.commands.substrings import MAX_VALUE
from memdbd.errors import CommandError, WrongType


@pytest.fixture
def world() -> World:
    return World()


def ask(world: World, line: str) -> Any:
    """What ``bitfield k …`` answers."""
    return world.run(b"bitfield", b"k", *line.encode().split())


def refused(world: World, line: str) -> str:
    """The error that answers it."""
    return refusal(world, b"bitfield", b"k", *line.encode().split())


@st.composite
def fields(draw: st.DrawFn) -> Field:
    is_signed = draw(st.booleans())
    return Field(draw(st.integers(0, 80)), draw(st.integers(1, 63 + is_signed)), is_signed)


class TestField:
    @given(fields(), st.binary(min_size=20, max_size=20), st.integers(INT64_MIN, INT64_MAX))
    def test_what_was_put_is_got_and_the_rest_stays(
        self, field: Field, before: bytes, number: int
    ) -> None:
        number = field.fitted(number, WRAP) or 0
        data = bytearray(before)
        field.put(data, number)
        assert field.get(data) == number
        bits, was = (f"{int.from_bytes(each):0160b}" for each in (data, before))
        assert bits[: field.offset] == was[: field.offset]
        assert bits[field.offset + field.bits :] == was[field.offset + field.bits :]

    @pytest.mark.parametrize(
        ("bits", "is_signed", "number", "wrapped", "saturated"),
        [
            (8, False, 256, 0, 255),
            (8, False, -1, 255, 0),
            (8, True, 128, -128, 127),
            (8, True, -129, 127, -128),
            (64, True, INT64_MAX + 1, INT64_MIN, INT64_MAX),
            (1, True, 1, -1, 0),
        ],
    )
    def test_what_does_not_fit_wraps_is_cut_or_fails(
        self, bits: int, is_signed: bool, number: int, wrapped: int, saturated: int
    ) -> None:
        field = Field(0, bits, is_signed)
        assert field.fitted(number, WRAP) == wrapped
        assert field.fitted(number, SATURATE) == saturated
        assert field.fitted(number, FAIL) is None

    @pytest.mark.parametrize("overflow", [WRAP, SATURATE, FAIL])
    def test_what_fits_stays(self, overflow: bytes) -> None:
        assert [Field(0, 4, True).fitted(number, overflow) for number in (-8, 7)] == [-8, 7]


class TestBitfield:
    def test_set_gives_the_old_number_and_incrby_the_new(self, world: World) -> None:
        assert ask(world, "set u8 0 255 get u4 4 incrby u8 0 10 get i8 0") == [0, 15, 9, 9]
        assert world.run(b"get", b"k") == b"\x09"
        assert world.heard() == [("setbit", b"k")]

    def test_a_hash_counts_in_fields(self, world: World) -> None:
        assert ask(world, "set u8 #1 65 set u4 #0 4 get u8 8") == [0, 0, 65]
        assert world.run(b"get", b"k") == b"@A"

    def test_the_last_word_on_overflow_counts_for_what_follows(self, world: World) -> None:
        line = "set u2 0 3 incrby u2 0 1 overflow sat incrby u2 0 9 overflow fail incrby u2 0 1"
        assert ask(world, line) == [0, 0, 3, None]

    def test_a_negative_number_is_too_great_for_an_unsigned_field(self, world: World) -> None:
        assert ask(world, "overflow sat set u8 0 -1 get u8 0") == [0, 255]
        assert ask(world, "overflow wrap set u8 0 -2 get u8 0") == [255, 254]

    def test_so_is_one_that_is_too_far_below_a_signed_field(self, world: World) -> None:
        """As in Redis, where the distance overflows."""
        line = f"overflow sat set i5 0 {INT64_MIN} get i5 0 set i5 0 {INT64_MIN + 16} get i5 0"
        assert ask(world, line) == [0, 15, 15, -16]
        assert ask(world, f"set i64 0 {INT64_MIN} get i64 0")[1:] == [INT64_MIN]

    def test_reading_makes_no_key_and_no_change(self, world: World) -> None:
        assert ask(world, "get u8 0 overflow sat get i64 4294967295") == [0, 0]
        assert ask(world, "") == []
        assert world.run(b"exists", b"k") == 0
        world.run(b"set", b"k", b"\x80")
        assert ask(world, "get i9 0 set u8 0 128") == [-256, 128]
        assert world.heard() == [("set", b"k")]

    def test_a_field_may_be_written_up_to_the_last_byte_there_can_be(self, world: World) -> None:
        assert ask(world, f"set u8 {8 * MAX_VALUE - 8} 1") == [0]
        assert world.run(b"strlen", b"k") == MAX_VALUE

    @pytest.mark.parametrize(
        ("line", "error"),
        [
            *(
                (
                    f"get {kind} 0",
                    "ERR Invalid bitfield type. Use something like i16 u8. "
                    "Note that u64 is not supported but i64 is.",
                )
                for kind in ("u64", "i65", "u0", "I8", "x8", "i", "u+1")
            ),
            *(
                (f"get u8 {offset}", "ERR bit offset is not an integer or out of range")
                for offset in ("-1", "a", "#", "##1", "4294967296", "#536870912")
            ),
            (
                f"set u8 {8 * MAX_VALUE} 1",
                "ERR bit offset is not an integer or out of range",
            ),
            ("set u8 0 a", "ERR value is not an integer or out of range"),
            ("overflow never", "ERR Invalid OVERFLOW type specified"),
            ("overflow", "ERR syntax error"),
            ("get u8", "ERR syntax error"),
            ("set u8 0", "ERR syntax error"),
            ("get u8 0 put u8 0 1", "ERR syntax error"),
        ],
    )
    def test_what_is_wrong_is_refused_and_nothing_is_done(
        self, world: World, line: str, error: str
    ) -> None:
        assert refused(world, line) == error
        assert refused(world, f"set u8 0 1 {line}") == error
        assert world.heard() == []


class TestBitfieldRO:
    def test_it_reads_only(self, world: World) -> None:
        world.run(b"set", b"k", b"\xff")
        assert world.run(b"bitfield_ro", b"k", b"get", b"i4", b"2") == [-1]
        with pytest.raises(CommandError, match="BITFIELD_RO only supports the GET subcommand"):
            world.run(b"bitfield_ro", b"k", b"set", b"u8", b"4294967295", b"1")


@pytest.mark.parametrize("name", [b"bitfield", b"bitfield_ro"])
def test_what_is_no_string_is_refused(world: World, name: bytes) -> None:
    world.run(b"rpush", b"k", b"x")
    with pytest.raises(WrongType):
        world.run(name, b"k", b"get", b"u8", b"0")
    with pytest.raises(WrongType):
        ask(world, "set u8 4294967295 1")
