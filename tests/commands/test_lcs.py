"""The longest common subsequence of two strings."""

from __future__ import annotations

import pytest
from helpers_pure import World, refusal
from hypothesis import given
from hypothesis import strategies as st

from memdbd.commands.lcs import MAX_LENGTH


@pytest.fixture
def world() -> World:
    return World()


def by_table(a: bytes, b: bytes) -> bytes:
    """What Redis finds, as it finds it."""
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, one in enumerate(a, 1):
        for j, other in enumerate(b, 1):
            longest = max(table[i - 1][j], table[i][j - 1])
            table[i][j] = table[i - 1][j - 1] + 1 if one == other else longest
    found, i, j = bytearray(), len(a), len(b)
    while i and j:
        if a[i - 1] == b[j - 1]:
            i, j = i - 1, j - 1
            found.insert(0, a[i])
        elif table[i - 1][j] > table[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return bytes(found)


class TestLCS:
    def test_it_answers_with_the_sequence_its_length_or_where_it_is(self, world: World) -> None:
        world.run(b"mset", b"a", b"ohmytext", b"b", b"mynewtext")
        assert world.run(b"lcs", b"a", b"b") == b"mytext"
        assert world.run(b"lcs", b"a", b"b", b"len") == 6
        assert world.run(b"lcs", b"a", b"b", b"IDX") == {
            b"matches": [[[4, 7], [5, 8]], [[2, 3], [0, 1]]],
            b"len": 6,
        }
        long_ones = {b"matches": [[[4, 7], [5, 8], 4]], b"len": 6}
        words = (b"IDX", b"MINMATCHLEN", b"4", b"WITHMATCHLEN")
        assert world.run(b"lcs", b"a", b"b", *words) == long_ones

    def test_in_text_it_is_an_object(self, world: World) -> None:
        world.run(b"mset", b"a", b"xab", b"b", b"ab")
        assert world.ask("lcs a b idx") == {"result": {"matches": [[[1, 2], [0, 1]]], "len": 2}}

    def test_nothing_has_nothing_in_common(self, world: World) -> None:
        world.run(b"set", b"a", b"text")
        assert world.run(b"lcs", b"a", b"nothing") == b""
        assert world.run(b"lcs", b"nothing", b"a", b"IDX") == {b"matches": [], b"len": 0}
        assert world.run(b"lcs", b"a", b"a", b"IDX", b"MINMATCHLEN", b"-1") == {
            b"matches": [[[0, 3], [0, 3]]],
            b"len": 4,
        }

    @given(*(st.text("abc", max_size=30).map(str.encode) for _ in range(2)))
    def test_of_several_it_is_the_one_that_redis_finds(self, a: bytes, b: bytes) -> None:
        world = World()
        world.run(b"mset", b"a", a, b"b", b)
        assert world.run(b"lcs", b"a", b"b") == by_table(a, b)
        assert world.run(b"lcs", b"a", b"b", b"LEN") == len(by_table(a, b))
        for (first, last), (other_first, other_last) in world.run(b"lcs", b"a", b"b", b"IDX")[
            b"matches"
        ]:
            assert a[first : last + 1] == b[other_first : other_last + 1]

    def test_what_is_wrong_is_refused_in_the_order_of_redis(self, world: World) -> None:
        world.run(b"rpush", b"l", b"x")
        world.run(b"set", b"a", b"text")
        no_string = "ERR The specified keys must contain string values"
        assert refusal(world, b"lcs", b"a", b"l", b"nonsense") == no_string
        assert refusal(world, b"lcs", b"a", b"a", b"LEN", b"IDX", b"nonsense") == "ERR syntax error"
        both = "ERR If you want both the length and indexes, please just use IDX."
        assert refusal(world, b"lcs", b"a", b"a", b"LEN", b"IDX") == both
        assert refusal(world, b"lcs", b"a", b"a", b"MINMATCHLEN") == "ERR syntax error"
        no_integer = "ERR value is not an integer or out of range"
        assert refusal(world, b"lcs", b"a", b"a", b"MINMATCHLEN", b"a") == no_integer

    def test_it_does_not_hold_up_the_others_for_huge_values(self, world: World) -> None:
        world.run(b"set", b"a", bytes(MAX_LENGTH + 1))
        assert refusal(world, b"lcs", b"a", b"nothing") == "ERR String too long for LCS"
        world.run(b"set", b"a", bytes(12_000))
        assert refusal(world, b"lcs", b"a", b"a") == (
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"
        )
