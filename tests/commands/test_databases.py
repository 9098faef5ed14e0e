"""Whole databases: selecting, counting, exchanging and emptying them, and moving keys between."""

from __future__ import annotations

import pytest
from helpers_pure import World, conversation, refusal

OUT_OF_INT = "ERR value is out of range, value must between -2147483648 and 2147483647"


@pytest.fixture
def world() -> World:
    return World()


class TestDbsizeAndFlushall:
    def test_they_count_and_delete_all_keys(self, world: World) -> None:
        conversation(
            world,
            """
            > dbsize
            {"result": 0}
            > set a 1
            {"result": "OK"}
            > set_with_ttl b 2 10
            {"result": "OK", "ttl_set": 10}
            > dbsize
            {"result": 2}
            > flushall
            {"result": "OK"}
            > dbsize
            {"result": 0}
            > keys
            {"result": []}
            """,
        )
        assert world.heard()[-1] == ("flushall", None)

    def test_expired_keys_are_not_counted(self, world: World) -> None:
        world.say("set a 1")
        world.say("set_with_ttl b 2 10")
        world.now += 10_000
        assert world.ask("dbsize") == {"result": 1}


class TestSelect:
    def test_what_follows_is_done_in_that_database(self, world: World) -> None:
        conversation(
            world,
            """
            > set k first
            {"result": "OK"}
            > select 15
            {"result": "OK"}
            > exists k
            {"result": 0}
            > set k last
            {"result": "OK"}
            > select 0
            {"result": "OK"}
            > get k
            {"result": "first", "ttl_remaining": null}
            """,
        )

    @pytest.mark.parametrize(
        ("index", "error"),
        [
            (b"16", "ERR DB index is out of range"),
            (b"-1", "ERR DB index is out of range"),
            (b"2147483648", OUT_OF_INT),
            (b"one", "ERR value is not an integer or out of range"),
        ],
    )
    def test_there_are_sixteen(self, world: World, index: bytes, error: str) -> None:
        world.run(b"select", b"3")
        assert refusal(world, b"select", index) == error
        assert world.session.database == 3


class TestMove:
    def test_value_and_deadline_go_over(self, world: World) -> None:
        world.run(b"sadd", b"k", b"a")
        world.run(b"expire", b"k", b"10")
        world.heard()
        assert world.run(b"move", b"k", b"1") == 1
        assert world.heard() == [("move_from", b"k")]
        assert world.run(b"exists", b"k") == 0
        world.run(b"select", b"1")
        assert world.run(b"scard", b"k") == 1
        assert world.run(b"ttl", b"k") == 10

    def test_nothing_happens_where_there_is_no_key_or_one_at_the_other_end(
        self, world: World
    ) -> None:
        world.run(b"set", b"k", b"v")
        world.databases[1].set(b"k", b"other")
        world.heard()
        assert world.run(b"move", b"x", b"1") == world.run(b"move", b"k", b"1") == 0
        assert world.heard() == []
        assert world.databases[1].get(b"k") == b"other"

    def test_a_key_that_has_expired_there_is_none(self, world: World) -> None:
        world.run(b"set", b"k", b"v")
        world.databases[1].set(b"k", b"other", world.now)
        assert world.run(b"move", b"k", b"1") == 1

    @pytest.mark.parametrize(
        ("index", "error"),
        [
            (b"0", "ERR source and destination objects are the same"),
            (b"16", "ERR DB index is out of range"),
            (b"x", "ERR value is not an integer or out of range"),
            (b"2147483648", OUT_OF_INT),
        ],
    )
    def test_another_database_is_another(self, world: World, index: bytes, error: str) -> None:
        assert refusal(world, b"move", b"no such key", index) == error


class TestSwapdb:
    def test_the_keys_and_deadlines_change_places(self, world: World) -> None:
        world.run(b"set", b"a", b"1")
        world.run(b"expire", b"a", b"10")
        world.databases[2].set(b"b", b"2")
        told: list[tuple[int, str, bytes | None]] = []
        world.databases.changes.listeners.join(lambda *change: told.append(change))
        world.run(b"swapdb", b"2", b"0")
        assert sorted(told) == [(0, "swapdb", None), (2, "swapdb", None)]
        assert world.run(b"keys", b"*") == [b"b"]
        world.run(b"select", b"2")
        assert world.run(b"ttl", b"a") == 10

    def test_with_itself_nothing_changes(self, world: World) -> None:
        world.run(b"swapdb", b"0", b"0")
        assert world.heard() == []

    @pytest.mark.parametrize(
        ("one", "other", "error"),
        [
            (b"x", b"y", "ERR invalid first DB index"),
            (b"2147483648", b"0", "ERR invalid first DB index"),
            (b"99", b"y", "ERR invalid second DB index"),
            (b"0", b"16", "ERR DB index is out of range"),
            (b"-1", b"0", "ERR DB index is out of range"),
        ],
    )
    def test_both_must_be_there(self, world: World, one: bytes, other: bytes, error: str) -> None:
        assert refusal(world, b"swapdb", one, other) == error


class TestFlush:
    @pytest.mark.parametrize("mode", [[], [b"ASYNC"], [b"sync"]])
    def test_flushdb_empties_one_and_flushall_all(self, world: World, mode: list[bytes]) -> None:
        for number in (0, 1, 2):
            world.databases[number].set(b"k", b"v", world.now + 1000)
        world.heard()
        world.run(b"flushdb", *mode)
        assert world.heard() == [("flushdb", None)]
        assert [len(each) for each in world.databases][:3] == [0, 1, 1]
        world.run(b"flushall", *mode)
        assert not any(each.values or each.deadlines for each in world.databases)

    def test_flushall_is_announced_for_each_that_had_keys_or_else_once(self, world: World) -> None:
        told: list[tuple[int, str, bytes | None]] = []
        world.databases.changes.listeners.join(lambda *change: told.append(change))
        world.run(b"flushall")
        assert told == [(0, "flushall", None)]
        world.databases[3].set(b"k", b"v")
        world.databases[5].set(b"k", b"v")
        told.clear()
        world.run(b"flushall")
        assert told == [(3, "flushall", None), (5, "flushall", None)]

    @pytest.mark.parametrize("name", [b"flushdb", b"flushall"])
    @pytest.mark.parametrize("mode", [b"now", b"ASYNC SYNC", b"SYNC SYNC", b""])
    def test_there_are_two_modes_of_which_one_may_be_named(
        self, world: World, name: bytes, mode: bytes
    ) -> None:
        world.run(b"set", b"k", b"v")
        assert refusal(world, name, *mode.split(b" ")) == "ERR syntax error"
        assert world.run(b"dbsize") == 1
