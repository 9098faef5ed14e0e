"""When keys expire: giving a deadline, asking for it, taking it off."""

from __future__ import annotations

import pytest
from helpers_pure import NOW, World, conversation, refusal

from memdbd.commands.arguments import INT64_MAX, INT64_MIN

WRONG_TIME = "ERR invalid expire time in '%s' command"


@pytest.fixture
def world() -> World:
    return World()


class TestExpire:
    def test_the_key_lives_that_long_to_the_millisecond(self, world: World) -> None:
        world.say("set k v")
        assert world.ask("expire k 10") == {"result": 1}
        assert world.db.deadlines.get(b"k") == NOW + 10_000
        world.now += 9999
        assert world.ask("exists k") == {"result": 1}
        world.now += 1
        assert world.ask("exists k") == {"result": 0}

    def test_a_new_one_replaces_the_old(self, world: World) -> None:
        world.say("set_with_ttl k v 10")
        world.say("expire k 100")
        assert world.ask("ttl k") == {"result": 100}

    def test_a_missing_key_gives_0(self, world: World) -> None:
        assert world.ask("expire k 10") == {"result": 0}
        assert world.heard() == []

    @pytest.mark.parametrize("seconds", [0, -1, -(10**15)])
    def test_a_time_that_has_passed_deletes_the_key(self, world: World, seconds: int) -> None:
        world.say("set k v")
        assert world.ask(f"expire k {seconds}") == {"result": 1}
        assert world.ask("exists k") == {"result": 0}
        assert world.heard() == [("set", b"k"), ("delete", b"k")]

    @pytest.mark.parametrize("seconds", [INT64_MAX, INT64_MIN, INT64_MAX // 1000])
    def test_a_time_out_of_range_is_refused_and_the_key_stays(
        self, world: World, seconds: int
    ) -> None:
        world.say("set k v")
        assert world.ask(f"expire k {seconds}") == {
            "error": "invalid expire time in 'expire' command"
        }
        assert world.ask("ttl k") == {"result": -1}

    def test_seconds_are_a_whole_number(self, world: World) -> None:
        assert world.ask("expire k 1.5") == {
            "error": "value is not an integer or out of range; "
            "usage: expire <key> <seconds> [NX|XX|GT|LT]"
        }


class TestTTL:
    def test_it_is_whole_seconds_or_minus_1_or_minus_2(self, world: World) -> None:
        conversation(
            world,
            """
            > ttl k
            {"result": -2}
            > set k v
            {"result": "OK"}
            > ttl k
            {"result": -1}
            > expire k 10
            {"result": 1}
            > ttl k
            {"result": 10}
            """,
        )

    @pytest.mark.parametrize(
        ("ms_later", "left"), [(499, 10), (500, 10), (501, 9), (9999, 0), (10_000, -2)]
    )
    def test_it_is_rounded_as_redis_does_and_ends_with_the_key(
        self, world: World, ms_later: int, left: int
    ) -> None:
        world.say("set_with_ttl k v 10")
        world.now += ms_later
        assert world.ask("ttl k") == {"result": left}


class TestPersist:
    def test_it_gives_1_where_there_was_a_deadline_and_the_key_stays(self, world: World) -> None:
        world.say("set_with_ttl k v 10")
        assert world.ask("persist k") == {"result": 1}
        assert world.ask("persist k") == {"result": 0}
        assert world.ask("persist x") == {"result": 0}
        world.now += 10_000
        assert world.ask("get k") == {"result": "v", "ttl_remaining": None}

    def test_it_does_not_save_an_expired_key(self, world: World) -> None:
        world.say("set_with_ttl k v 10")
        world.now += 10_000
        assert world.ask("persist k") == {"result": 0}
        assert world.ask("exists k") == {"result": 0}


# What each command makes of a time one minute from now.
WAYS = [
    (b"expire", 60),
    (b"pexpire", 60_000),
    (b"expireat", NOW // 1000 + 60),
    (b"pexpireat", NOW + 60_000),
]


class TestTheFourWaysToGiveADeadline:
    @pytest.mark.parametrize(("name", "number"), WAYS)
    def test_they_are_the_same_deadline(self, world: World, name: bytes, number: int) -> None:
        world.run(b"set", b"k", b"v")
        assert world.run(name, b"k", b"%d" % number) == 1
        assert world.db.deadlines == {b"k": NOW + 60_000}
        assert world.heard() == [("set", b"k"), ("set_ttl", b"k")]

    @pytest.mark.parametrize(("name", "number"), WAYS)
    @pytest.mark.parametrize("condition", [[], [b"nx"], [b"lt"]])
    def test_one_that_has_passed_deletes_the_key(
        self, world: World, name: bytes, number: int, condition: list[bytes]
    ) -> None:
        world.run(b"set", b"k", b"v")
        world.now += 60_000 if name.endswith(b"at") else 0
        number = number if name.endswith(b"at") else 0
        assert world.run(name, b"k", b"%d" % number, *condition) == 1
        assert world.run(b"exists", b"k") == 0
        assert world.heard() == [("set", b"k"), ("delete", b"k")]

    @pytest.mark.parametrize("name", ["expire", "pexpire", "expireat"])
    def test_they_refuse_a_time_that_is_out_of_range(self, world: World, name: str) -> None:
        assert refusal(world, name.encode(), b"k", b"%d" % INT64_MAX) == WRONG_TIME % name

    def test_the_last_time_there_is_is_in_range(self, world: World) -> None:
        world.run(b"set", b"k", b"v")
        assert world.run(b"pexpireat", b"k", b"%d" % INT64_MAX) == 1
        assert world.run(b"pexpiretime", b"k") == INT64_MAX

    def test_negative_times_count_down_to_the_end_of_64_bits(self, world: World) -> None:
        assert world.run(b"pexpire", b"x", b"%d" % INT64_MIN) == 0
        assert refusal(world, b"expire", b"x", b"%d" % INT64_MIN) == WRONG_TIME % "expire"


# Whether a key with this deadline (None: none, else seconds) gets one in 50 seconds.
@pytest.mark.parametrize(
    ("old", "conditions", "given"),
    [
        (None, b"NX", 1),
        (100, b"NX", 0),
        (None, b"XX", 0),
        (100, b"XX", 1),
        (None, b"GT", 0),
        (10, b"GT", 1),
        (50, b"GT", 0),
        (100, b"GT", 0),
        (None, b"LT", 1),
        (10, b"LT", 0),
        (50, b"LT", 0),
        (100, b"LT", 1),
        (100, b"XX LT", 1),
        (None, b"lt xx", 0),
        (10, b"xx Gt gt", 1),
        (None, b"xx gt", 0),
    ],
)
def test_conditions_compare_with_the_old_deadline(
    world: World, old: int | None, conditions: bytes, given: int
) -> None:
    world.run(b"set", b"k", b"v")
    if old is not None:
        world.run(b"expire", b"k", b"%d" % old)
    world.heard()
    assert world.run(b"expire", b"k", b"50", *conditions.split()) == given
    assert world.heard() == [("set_ttl", b"k")] * given


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (b"10 foo", "Unsupported option foo"),
        (b"nonsense foo", "Unsupported option foo"),
        (b"10 NX fo\0o", "Unsupported option fo"),
        (b"x NX XX", "NX and XX, GT or LT options at the same time are not compatible"),
        (b"10 GT NX", "NX and XX, GT or LT options at the same time are not compatible"),
        (b"10 LT XX GT", "GT and LT options at the same time are not compatible"),
        (b"ten NX", "value is not an integer or out of range"),
    ],
)
def test_errors_come_in_the_order_of_redis_and_whether_there_is_a_key_or_not(
    world: World, words: bytes, error: str
) -> None:
    assert refusal(world, b"pexpire", b"k", *words.split(b" ")) == f"ERR {error}"


def test_a_deadline_is_told_in_four_ways(world: World) -> None:
    names = [b"ttl", b"pttl", b"expiretime", b"pexpiretime"]
    assert [world.run(name, b"k") for name in names] == [-2] * 4
    world.run(b"rpush", b"k", b"v")
    assert [world.run(name, b"k") for name in names] == [-1] * 4
    world.run(b"pexpire", b"k", b"2500")
    at = NOW + 2500
    assert [world.run(name, b"k") for name in names] == [3, 2500, (at + 500) // 1000, at]
    world.now = at
    assert [world.run(name, b"k") for name in names] == [-2] * 4
