"""Strings that are numbers."""

from __future__ import annotations

import pytest
from helpers_pure import World, refusal

from memdbd.commands.arguments import INT64_MAX, INT64_MIN
from memdbd.errors import CommandError, WrongType


@pytest.fixture
def world() -> World:
    return World()


class TestIncr:
    def test_it_counts_from_nothing(self, world: World) -> None:
        assert [world.ask("incr k")["result"] for _ in range(3)] == [1, 2, 3]
        assert world.db.get(b"k") == b"3"
        assert world.heard() == [("incr", b"k")] * 3

    def test_it_counts_on_from_a_number(self, world: World) -> None:
        world.say("set k -10")
        assert world.ask("incr k") == {"result": -9}

    def test_the_deadline_stays(self, world: World) -> None:
        world.say("set_with_ttl k 1 60")
        world.say("incr k")
        assert world.ask("get k") == {"result": "2", "ttl_remaining": 60}

    def test_an_expired_number_is_not_counted_on_from(self, world: World) -> None:
        world.say("set_with_ttl k 41 60")
        world.now += 60_000
        assert world.ask("incr k") == {"result": 1}
        assert world.ask("ttl k") == {"result": -1}

    @pytest.mark.parametrize("value", ["word", "1.5", "007", "9223372036854775808", " 1", ""])
    def test_what_is_no_number_is_refused_and_stays(self, world: World, value: str) -> None:
        world.say(f'set k "{value}"')
        assert world.ask("incr k")["error"].startswith("value is not an integer or out of range")
        assert world.ask("get k")["result"] == value

    def test_it_stops_at_64_bits(self, world: World) -> None:
        world.say(f"set k {INT64_MAX}")
        assert world.ask("incr k") == {"error": "increment or decrement would overflow"}
        assert world.ask("get k")["result"] == str(INT64_MAX)


NO_INTEGER = "value is not an integer or out of range"
NO_FLOAT = "value is not a valid float"


class TestSteps:
    def test_each_command_steps_its_way(self, world: World) -> None:
        assert world.run(b"incrby", b"k", b"10") == 10
        assert world.run(b"decrby", b"k", b"3") == 7
        assert world.run(b"decr", b"k") == 6
        assert world.run(b"incrby", b"k", b"-16") == -10
        assert world.run(b"get", b"k") == b"-10"
        assert world.heard() == [("incrby", b"k")] * 4

    @pytest.mark.parametrize(
        ("value", "argv", "error"),
        [
            (INT64_MIN, (b"decr", b"k"), "increment or decrement would overflow"),
            (1, (b"incrby", b"k", b"%d" % INT64_MAX), "increment or decrement would overflow"),
            (-2, (b"decrby", b"k", b"%d" % INT64_MAX), "increment or decrement would overflow"),
            (0, (b"decrby", b"k", b"%d" % INT64_MIN), "decrement would overflow"),
            (0, (b"incrby", b"k", b"1.5"), NO_INTEGER),
            (0, (b"decrby", b"k", b""), NO_INTEGER),
        ],
    )
    def test_what_cannot_be_counted_is_refused(
        self, world: World, value: int, argv: tuple[bytes, ...], error: str
    ) -> None:
        world.run(b"set", b"k", b"%d" % value)
        assert refusal(world, *argv) == f"ERR {error}"
        assert world.run(b"get", b"k") == b"%d" % value


class TestIncrByFloat:
    def test_it_adds_as_people_do(self, world: World) -> None:
        assert world.run(b"incrbyfloat", b"k", b"3.1") == b"3.1"
        assert world.run(b"incrbyfloat", b"k", b"0.2") == b"3.3"
        assert world.run(b"incrbyfloat", b"k", b"-33e-1") == b"0"
        assert world.run(b"incrbyfloat", b"k", b"5e3") == b"5000"
        assert world.heard() == [("incrbyfloat", b"k")] * 4

    def test_the_deadline_stays(self, world: World) -> None:
        world.run(b"set", b"k", b"1", b"EX", b"10")
        world.run(b"incrbyfloat", b"k", b"1")
        assert world.run(b"ttl", b"k") == 10

    @pytest.mark.parametrize(
        ("value", "step", "error"),
        [
            (b"word", b"1", NO_FLOAT),
            (b"1", b"word", NO_FLOAT),
            (b"1", b" 1", NO_FLOAT),
            (b"1", b"nan", NO_FLOAT),
            (b"1", b"1e5000", NO_FLOAT),
            (b"1", b"inf", "increment would produce NaN or Infinity"),
            (b"1e4932", b"1e4932", "increment would produce NaN or Infinity"),
        ],
    )
    def test_what_has_no_finite_sum_is_refused(
        self, world: World, value: bytes, step: bytes, error: str
    ) -> None:
        world.run(b"set", b"k", value)
        assert refusal(world, b"incrbyfloat", b"k", step) == f"ERR {error}"
        assert world.run(b"get", b"k") == value


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        ((b"incr", b"l"), WrongType),
        ((b"incrby", b"l", b"1"), WrongType),
        ((b"incrbyfloat", b"l", b"word"), WrongType),
        ((b"incrby", b"l", b"word"), CommandError),
    ],
)
def test_a_list_is_no_number(
    world: World, argv: tuple[bytes, ...], error: type[CommandError]
) -> None:
    world.run(b"rpush", b"l", b"x")
    with pytest.raises(CommandError) as caught:
        world.run(*argv)
    assert type(caught.value) is error
