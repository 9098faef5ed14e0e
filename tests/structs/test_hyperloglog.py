"""Counting different elements as redis-server 7.0 does, to the bit."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structs.redis_server import Redis, redis_server

from memdbd.structs import hyperloglog
from memdbd.structs.hyperloglog import Corrupt, add, count, count_one, create, is_valid, merge

SPARSE_HEADER = b"HYLL\x01\0\0\0" + bytes(7) + b"\x80"
DENSE_HEADER = b"HYLL\x00\0\0\0" + bytes(7) + b"\x80"
EMPTY = SPARSE_HEADER + b"\x7f\xff"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with redis_server(tmp_path_factory.mktemp("redis")) as redis:
        yield redis


def value_of(*elements: bytes) -> bytes:
    return add(create(), elements)[0]


def numbers(start: int, stop: int) -> list[bytes]:
    return [b"%d" % number for number in range(start, stop)]


class TestAdd:
    def test_a_new_value_is_one_run_of_zeroes(self) -> None:
        assert create() == EMPTY
        assert count([create()]) == 0

    def test_known_elements_make_known_bytes(self) -> None:
        """As redis-server 7.0.15 gives for PFADD key foo bar zap."""
        value = value_of(b"foo", b"bar", b"zap")
        assert value == SPARSE_HEADER + bytes.fromhex("5cb3 90 4207 84 4858 80 58e7")

    def test_an_element_that_is_there_changes_nothing(self) -> None:
        value = value_of(b"a", b"b")
        again, changed = add(value, [b"b", b"a"])
        assert again is value
        assert not changed

    def test_a_change_makes_the_kept_number_stale(self) -> None:
        number, value = count_one(value_of(b"a"))
        assert (number, value[8:16]) == (1, b"\1" + bytes(7))
        value, changed = add(value, [b"b"])
        assert (changed, value[15], count_one(value)[0]) == (True, 0x80, 2)

    def test_it_is_sparse_until_that_takes_more_than_3000_bytes(self) -> None:
        value, sizes = create(), []
        for element in numbers(0, 3000):
            value, _ = add(value, [element])
            if value[4]:
                sizes.append(len(value))
        assert 2990 < max(sizes) <= 3000
        assert len(value) == 16 + 12288

    def test_it_is_dense_where_a_register_is_above_32(self) -> None:
        value = bytearray(create())
        assert hyperloglog._raise_register(value, 16383, 33)
        assert (len(value), value[-1]) == (16 + 12288, 33 << 2)
        assert hyperloglog._registers(value) == bytes(16383) + b"\x21"

    def test_a_sparse_value_takes_3000_bytes_at_most(self) -> None:
        runs = b"\x01" * 2981 + (0x4000 | 16384 - 2 * 2981 - 1).to_bytes(2)
        value = bytearray(SPARSE_HEADER + runs)
        assert hyperloglog._raise_register(value, 0, 1)
        assert (len(value), value[4]) == (3000, 1)
        assert hyperloglog._raise_register(value, 1, 1)
        assert (len(value), value[4]) == (2999, 1)  # joined with the first
        assert hyperloglog._raise_register(value, 3, 9)
        assert hyperloglog._raise_register(value, 5, 9)
        assert (len(value), value[4]) == (16 + 12288, 0)

    @pytest.mark.parametrize("kinds", ["long short value", "short value", "value"])
    def test_a_run_is_found_as_by_going_over_all(self, kinds: str) -> None:
        value = bytearray(forged_sparse(random.Random(4), kinds))
        at = previous = 16
        first = 0
        while at < len(value):
            width, span = hyperloglog._extent(value, at)
            for index in {first, first + span - 1}:
                assert hyperloglog._find(value, index) == (at, previous, first)
            previous, at, first = at, at + width, first + span

    @given(st.lists(st.tuples(st.integers(0, 16383) | st.integers(7, 12), st.integers(1, 51))))
    @settings(deadline=None)
    def test_registers_are_what_they_were_raised_to(self, steps: list[tuple[int, int]]) -> None:
        registers = bytearray(16384)
        value = bytearray(create())
        for index, to in steps:
            assert hyperloglog._raise_register(value, index, to) == (to > registers[index])
            registers[index] = max(registers[index], to)
        assert hyperloglog._registers(value) == registers
        assert hyperloglog._registers(hyperloglog._dense(value, bytes(registers))) == registers


class TestCount:
    @pytest.mark.parametrize("number", [1, 10, 100, 1000, 10_000, 100_000])
    def test_it_is_near_the_number_of_different_elements(self, number: int) -> None:
        value = value_of(*numbers(0, number), *numbers(0, number // 2))
        assert abs(count([value]) - number) <= 0.025 * number

    def test_a_number_that_was_kept_is_taken_as_it_is(self) -> None:
        value = EMPTY[:8] + (12345).to_bytes(8, "little") + EMPTY[16:]
        assert count_one(value) == (12345, value)
        assert count([value]) == 0

    def test_of_several_it_is_that_of_what_they_hold_together(self) -> None:
        dense, sparse = value_of(*numbers(0, 5000)), value_of(*numbers(4500, 5500))
        assert count([dense, sparse, create()]) == count([value_of(*numbers(0, 5500))])
        assert count([]) == 0


class TestMerge:
    def test_it_holds_what_all_hold(self) -> None:
        parts = [value_of(*numbers(at, at + 100)) for at in range(0, 500, 50)]
        merged = merge(parts[0], parts[1:])
        assert count([merged]) == count([value_of(*numbers(0, 550))]) == count(parts)

    def test_it_is_dense_where_one_is(self) -> None:
        dense = value_of(*numbers(0, 5000))
        assert len(merge(create(), [dense])) == len(merge(dense, [create()])) == len(dense)
        assert merge(create(), [dense])[16:] == dense[16:]

    def test_of_nothing_it_is_as_it_was_but_for_the_kept_number(self) -> None:
        value = value_of(b"a")
        assert merge(count_one(value)[1], [])[16:] == value[16:]
        assert merge(count_one(value)[1], [])[15] == 0x80


class TestForgeries:
    @pytest.mark.parametrize(
        "value",
        [
            b"",
            b"HYLL",
            b"hyll" + EMPTY[4:],
            b"HYLL\x02" + EMPTY[5:],
            DENSE_HEADER + bytes(12287),
            DENSE_HEADER + bytes(12289),
        ],
    )
    def test_a_string_that_is_no_value_is_known(self, value: bytes) -> None:
        assert not is_valid(value)

    @pytest.mark.parametrize("value", [EMPTY, SPARSE_HEADER, DENSE_HEADER + bytes(12288)])
    def test_a_value_is_known_by_its_header(self, value: bytes) -> None:
        assert is_valid(value)

    @pytest.mark.parametrize(
        "runs", [b"", b"\x7f\xfe", b"\x7f\xff\x00", b"\x7f", b"\x7f\xff" * 9**6]
    )
    def test_runs_that_are_not_all_registers_are_an_error(self, runs: bytes) -> None:
        value = SPARSE_HEADER + runs
        for use in (
            lambda: count([value]),
            lambda: count_one(value),
            lambda: merge(EMPTY, [value]),
        ):
            with pytest.raises(Corrupt):
                use()

    def test_an_element_beyond_the_last_run_is_an_error(self) -> None:
        with pytest.raises(Corrupt):
            add(SPARSE_HEADER + b"\x00", numbers(0, 10))


class TestAsRedis:
    @pytest.mark.parametrize("seed", range(3))
    def test_a_value_grows_by_the_same_bytes(self, redis: Redis, seed: int) -> None:
        chance = random.Random(seed)
        redis.ask("DEL", "key")
        value = create()
        for step in range(400):
            length = chance.choice([0, 1, 7, 8, 9, 16, 23, 100])
            elements = [chance.randbytes(length) for _ in range(chance.choice([1, 2, 5, 20]))]
            value, changed = add(value, elements)
            told = redis.ask("PFADD", "key", *elements)
            assert changed == bool(told) or step == 0  # to make the key is a change
            if chance.random() < 0.1:
                number, value = count_one(value)
                assert redis.ask("PFCOUNT", "key") == number
            assert redis.ask("GET", "key") == value

    def test_large_numbers_are_the_same(self, redis: Redis) -> None:
        redis.ask("DEL", "key")
        value = create()
        for start in range(0, 100_000, 10_000):
            elements = numbers(start, start + 10_000)
            redis.ask("PFADD", "key", *elements)
            number, value = count_one(add(value, elements)[0])
            assert redis.ask("PFCOUNT", "key") == number
            assert redis.ask("GET", "key") == value

    def test_merges_and_unions_are_the_same(self, redis: Redis) -> None:
        chance = random.Random(4)
        redis.ask("FLUSHALL")
        values: dict[str, bytes] = {}
        for at in range(20):
            start, size = chance.randrange(10_000), chance.choice([0, 1, 10, 100, 700, 1500, 3000])
            elements = numbers(start, start + size)
            redis.ask("PFADD", f"key {at}", *elements)
            values[f"key {at}"] = value_of(*elements)
        for at in range(40):
            sources = chance.sample(sorted(values), chance.randrange(2, 5))
            assert redis.ask("PFCOUNT", *sources) == count([values[key] for key in sources])
            target = chance.choice([*values, f"new {at}"])
            redis.ask("PFMERGE", target, *sources)
            values[target] = merge(values.get(target, EMPTY), [values[key] for key in sources])
            assert redis.ask("GET", target) == values[target]

    @pytest.mark.parametrize("seed", range(20))
    def test_a_sparse_value_that_no_server_made_is_used_in_the_same_way(
        self, redis: Redis, seed: int
    ) -> None:
        chance = random.Random(seed)
        value, other = forged_sparse(chance), forged_sparse(chance)
        redis.ask_all([("SET", "key", value), ("SET", "other", other)])
        for element in numbers(0, 10):
            value, changed = add(value, [element])
            assert redis.ask("PFADD", "key", element) == changed
            assert redis.ask("GET", "key") == value
        number, value = count_one(value)
        assert redis.ask("PFCOUNT", "key") == number
        redis.ask("PFMERGE", "key", "other")
        assert redis.ask("GET", "key") == merge(value, [other])

    @pytest.mark.parametrize(
        "heights",
        [(0,), (1,), (49,), (50,), (51,), (51, 40), (51, 49, 0), (52, 1), (63,), range(64)],
    )
    def test_a_dense_value_that_no_server_made_is_counted_in_the_same_way(
        self, redis: Redis, heights: Sequence[int]
    ) -> None:
        registers = bytes(random.Random(4).choices(heights, k=16384))
        value = hyperloglog._dense(EMPTY, registers)
        redis.ask("SET", "key", value)
        number, value = count_one(value)
        assert redis.ask("PFCOUNT", "key") == number
        assert redis.ask("GET", "key") == value


def forged_sparse(chance: random.Random, kinds: str = "long short value value") -> bytes:
    """All registers in runs of these kinds, joined or not, and long ones that could be short."""
    runs, left = bytearray(), 16384
    while left:
        kind = chance.choice(kinds.split())
        most = {"short": 64, "long": chance.choice([3, 3000]), "value": 4}[kind]
        span = min(left, chance.randint(1, most))
        left -= span
        if kind == "short":
            runs.append(span - 1)
        elif kind == "long":
            runs += (0x4000 | span - 1).to_bytes(2)
        else:
            runs.append(0x80 | chance.randrange(chance.choice([2, 32])) << 2 | span - 1)
    return SPARSE_HEADER + runs
