"""Bits of strings."""

from __future__ import annotations

import pytest
from helpers_pure import World, refusal

from memdbd.commands.substrings import MAX_VALUE
from memdbd.errors import SyntaxFault, WrongType


@pytest.fixture
def world() -> World:
    return World()


NO_OFFSET = "ERR bit offset is not an integer or out of range"
NO_INTEGER = "ERR value is not an integer or out of range"


class TestSetbit:
    def test_it_gives_what_the_bit_was(self, world: World) -> None:
        assert world.run(b"setbit", b"k", b"7", b"1") == 0
        assert world.run(b"setbit", b"k", b"7", b"0") == 1
        assert world.run(b"setbit", b"k", b"9", b"1") == 0
        assert world.run(b"get", b"k") == b"\x00\x40"
        assert world.heard() == [("setbit", b"k")] * 3

    def test_a_bit_that_is_as_it_should_be_is_no_change(self, world: World) -> None:
        world.run(b"set", b"k", b"\x80")
        assert world.run(b"setbit", b"k", b"0", b"1") == 1
        assert world.heard() == [("set", b"k")]

    def test_a_bit_behind_the_end_makes_the_value_longer_even_if_it_is_0(
        self, world: World
    ) -> None:
        assert world.run(b"setbit", b"k", b"15", b"0") == 0
        assert world.run(b"get", b"k") == b"\0\0"
        assert world.heard() == [("setbit", b"k")]

    @pytest.mark.parametrize("offset", [b"-1", b"one", b"", b"4294967296", b"%d" % (8 * MAX_VALUE)])
    def test_an_offset_out_of_range_is_refused(self, world: World, offset: bytes) -> None:
        assert refusal(world, b"setbit", b"k", offset, b"1") == NO_OFFSET

    def test_the_last_bit_of_the_longest_value_can_be_set(self, world: World) -> None:
        assert world.run(b"setbit", b"k", b"%d" % (8 * MAX_VALUE - 1), b"1") == 0
        assert world.run(b"strlen", b"k") == MAX_VALUE

    @pytest.mark.parametrize("bit", [b"2", b"-1", b"on", b"01"])
    def test_a_bit_is_0_or_1(self, world: World, bit: bytes) -> None:
        error = "ERR bit is not an integer or out of range"
        assert refusal(world, b"setbit", b"k", b"0", bit) == error


class TestGetbit:
    def test_it_counts_from_the_highest_of_the_first_byte(self, world: World) -> None:
        world.run(b"set", b"k", b"\xa0\x01")
        bits = [world.run(b"getbit", b"k", b"%d" % at) for at in range(18)]
        assert bits == [1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]

    def test_it_may_be_farther_than_a_value_can_reach(self, world: World) -> None:
        assert world.run(b"getbit", b"k", b"4294967295") == 0
        assert refusal(world, b"getbit", b"k", b"4294967296") == NO_OFFSET


class TestBitcount:
    @pytest.mark.parametrize(
        ("words", "count"),
        [
            ([], 26),
            ([b"0", b"0"], 4),
            ([b"1", b"1"], 6),
            ([b"1", b"1", b"byte"], 6),
            ([b"0", b"-5", b"BIT"], 25),
            ([b"5", b"30", b"BIT"], 17),
            ([b"5", b"6", b"bit"], 2),
            ([b"-2", b"-1"], 7),
            ([b"3", b"2"], 0),
            ([b"100", b"200"], 0),
            ([b"0", b"-100"], 4),
            ([b"-1", b"-2", b"nonsense"], 0),
        ],
    )
    def test_it_counts_in_a_part_by_bytes_or_bits(
        self, world: World, words: list[bytes], count: int
    ) -> None:
        world.run(b"set", b"k", b"foobar")
        assert world.run(b"bitcount", b"k", *words) == count

    def test_it_counts_a_long_value(self, world: World) -> None:
        world.run(b"set", b"k", b"\x81" * 10_001)
        assert world.run(b"bitcount", b"k") == 20_002
        assert world.run(b"bitcount", b"k", b"1", b"-2", b"BIT") == 20_000

    def test_nothing_has_no_bits_whatever_the_words(self, world: World) -> None:
        assert world.run(b"bitcount", b"k", b"a", b"b", b"c", b"d") == 0

    def test_other_words_are_refused(self, world: World) -> None:
        world.run(b"set", b"k", b"foobar")
        for words in ([b"0"], [b"0", b"1", b"BITS"], [b"0", b"1", b"BIT", b"x"]):
            with pytest.raises(SyntaxFault):
                world.run(b"bitcount", b"k", *words)
        assert refusal(world, b"bitcount", b"k", b"0", b"a", b"BITS") == NO_INTEGER


class TestBitpos:
    @pytest.mark.parametrize(
        ("value", "words", "place"),
        [
            (b"\xff\xf0\x00", [b"0"], 12),
            (b"\x00\xff\xf0", [b"1"], 8),
            (b"\x00\xff\xf0", [b"1", b"2"], 16),
            (b"\x00\xff\xf0", [b"1", b"2", b"-1", b"BYTE"], 16),
            (b"\x00\xff\xf0", [b"1", b"7", b"15", b"BIT"], 8),
            (b"\x00\xff\xf0", [b"0", b"9", b"-1", b"BIT"], 20),
            (b"\x00\xff\xf0", [b"0", b"9", b"19", b"BIT"], -1),
            (b"\x00\xff\xf0", [b"1", b"3", b"6", b"BIT"], -1),
            (b"\x00\x00", [b"1"], -1),
            (b"\xff\xff", [b"0"], 16),  # the zeroes behind the end
            (b"\xff\xff", [b"0", b"1"], 16),
            (b"\xff\xff", [b"0", b"0", b"-1"], -1),  # which an end shuts out
            (b"\xff\xff", [b"0", b"2"], -1),
            (b"", [b"0"], -1),
            (b"\xff" * 9000 + b"\x7f", [b"0"], 72_000),
            (bytes(9000) + b"\x01", [b"1"], 72_007),
        ],
    )
    def test_it_finds_the_first(
        self, world: World, value: bytes, words: list[bytes], place: int
    ) -> None:
        world.run(b"set", b"k", value)
        assert world.run(b"bitpos", b"k", *words) == place

    def test_nothing_is_all_zeroes(self, world: World) -> None:
        assert world.run(b"bitpos", b"k", b"0") == 0
        assert world.run(b"bitpos", b"k", b"1", b"a") == -1

    def test_errors_come_in_the_order_of_redis(self, world: World) -> None:
        world.run(b"set", b"k", b"foobar")
        assert refusal(world, b"bitpos", b"k", b"2") == "ERR The bit argument must be 1 or 0."
        assert refusal(world, b"bitpos", b"k", b"a") == NO_INTEGER
        assert refusal(world, b"bitpos", b"k", b"1", b"a", b"0", b"BITS") == NO_INTEGER
        assert refusal(world, b"bitpos", b"k", b"1", b"0", b"a", b"BITS") == "ERR syntax error"
        assert refusal(world, b"bitpos", b"k", b"1", b"0", b"a") == NO_INTEGER
        assert refusal(world, b"bitpos", b"k", b"1", b"0", b"0", b"BIT", b"x") == "ERR syntax error"


class TestBitop:
    @pytest.mark.parametrize(
        ("name", "after"),
        [
            (b"AND", b"\x0c\x00\x00"),
            (b"or", b"\x3f\xff\x01"),
            (b"Xor", b"\x33\xff\x01"),
        ],
    )
    def test_shorter_values_have_zeroes_behind_their_end(
        self, world: World, name: bytes, after: bytes
    ) -> None:
        world.run(b"mset", b"a", b"\x3c", b"b", b"\x0f\xff\x01")
        assert world.run(b"bitop", name, b"c", b"a", b"b") == 3
        assert world.run(b"get", b"c") == after

    def test_not_is_of_one_value(self, world: World) -> None:
        world.run(b"set", b"a", b"\x0f\xff")
        assert world.run(b"bitop", b"NOT", b"a", b"a") == 2
        assert world.run(b"get", b"a") == b"\xf0\x00"
        error = "ERR BITOP NOT must be called with a single source key."
        assert refusal(world, b"bitop", b"NOT", b"a", b"a", b"a") == error

    def test_of_nothing_comes_nothing(self, world: World) -> None:
        world.run(b"set", b"c", b"old")
        assert world.run(b"bitop", b"AND", b"c", b"a", b"b") == 0
        assert world.run(b"exists", b"c") == 0
        assert world.heard() == [("set", b"c"), ("delete", b"c")]

    def test_what_it_replaces_may_be_of_any_type_and_loses_its_deadline(self, world: World) -> None:
        world.run(b"rpush", b"c", b"x")
        world.run(b"expire", b"c", b"10")
        world.run(b"set", b"a", b"x")
        world.heard()
        world.run(b"bitop", b"OR", b"c", b"a", b"nothing")
        assert (world.run(b"get", b"c"), world.db.deadlines) == (b"x", {})
        assert world.heard() == [("set", b"c")]

    def test_another_operation_is_a_syntax_error(self, world: World) -> None:
        with pytest.raises(SyntaxFault):
            world.run(b"bitop", b"NAND", b"c", b"a")


@pytest.mark.parametrize(
    "argv",
    [
        (b"setbit", b"l", b"%d" % (8 * MAX_VALUE), b"1"),
        (b"getbit", b"l", b"0"),
        (b"bitcount", b"l", b"nonsense"),
        (b"bitpos", b"l", b"1", b"nonsense"),
        (b"bitop", b"AND", b"c", b"nothing", b"l"),
    ],
)
def test_what_is_no_string_is_refused_and_stays(world: World, argv: tuple[bytes, ...]) -> None:
    world.run(b"rpush", b"l", b"x")
    with pytest.raises(WrongType):
        world.run(*argv)
    assert world.heard() == [("rpush", b"l")]
