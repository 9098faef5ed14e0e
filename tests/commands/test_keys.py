"""Keys of any type: finding, renaming, deleting, and when they expire."""

from __future__ import annotations

import pytest
from helpers_pure import NOW, World, conversation

from memdbd.commands.spec import INT64_MAX, INT64_MIN


@pytest.fixture
def world() -> World:
    return World()


class TestDelete:
    def test_it_says_whether_there_was_a_key(self, world: World) -> None:
        conversation(
            world,
            """
            > set k v
            {"result": "OK"}
            > delete k
            {"result": "OK"}
            > delete k
            {"result": "Key not found"}
            """,
        )
        assert world.heard() == [("set", b"k"), ("delete", b"k")]

    def test_to_a_program_that_is_1_or_0(self, world: World) -> None:
        world.say("set k v")
        assert [world.run(b"delete", b"k"), world.run(b"delete", b"k")] == [1, 0]

    def test_an_expired_key_is_not_found(self, world: World) -> None:
        world.say("set_with_ttl k v 1")
        world.now += 1000
        assert world.ask("delete k") == {"result": "Key not found"}


class TestExists:
    def test_it_is_1_or_0(self, world: World) -> None:
        world.say("set k v")
        assert (world.ask("exists k"), world.ask("exists x")) == ({"result": 1}, {"result": 0})

    def test_an_expired_key_does_not(self, world: World) -> None:
        world.say("set_with_ttl k v 1")
        world.now += 999
        assert world.ask("exists k") == {"result": 1}
        world.now += 1
        assert world.ask("exists k") == {"result": 0}


class TestKeys:
    def test_all_are_listed_in_the_order_in_which_they_were_set(self, world: World) -> None:
        conversation(
            world,
            """
            > keys
            {"result": []}
            > set username john_doe
            {"result": "OK"}
            > set_with_ttl temp_token abc123 60
            {"result": "OK", "ttl_set": 60}
            > keys
            {"result": ["username", "temp_token"]}
            > keys *e*n*
            {"result": ["username", "temp_token"]}
            > keys [tx]*
            {"result": ["temp_token"]}
            > keys user
            {"result": []}
            """,
        )

    def test_expired_ones_are_not(self, world: World) -> None:
        world.say("set_with_ttl k v 1")
        world.now += 1000
        assert world.ask("keys") == {"result": []}

    def test_a_pattern_that_is_too_long_is_refused(self, world: World) -> None:
        assert world.ask("keys " + "x" * 1025) == {
            "error": "pattern is too long, at most 1024 bytes are allowed"
        }


class TestType:
    def test_it_names_the_type_or_none(self, world: World) -> None:
        world.say("set k v")
        assert world.say("type k") == '{"result": "string"}'
        assert world.say("type x") == '{"result": "none"}'

    def test_an_expired_key_has_none(self, world: World) -> None:
        world.say("set_with_ttl k v 1")
        world.now += 1000
        assert world.ask("type k") == {"result": "none"}


class TestRename:
    def test_value_and_deadline_move_over_what_is_there(self, world: World) -> None:
        conversation(
            world,
            """
            > set_with_ttl old v 60
            {"result": "OK", "ttl_set": 60}
            > set new w
            {"result": "OK"}
            > rename old new
            {"result": "OK"}
            > get new
            {"result": "v", "ttl_remaining": 60}
            > exists old
            {"result": 0}
            """,
        )

    def test_a_key_that_is_missing_or_expired_is_refused_and_the_other_stays(
        self, world: World
    ) -> None:
        world.say("set new w")
        world.say("set_with_ttl old v 1")
        world.now += 1000
        for key in ("old", "x"):
            assert world.ask(f"rename {key} new") == {"error": "no such key"}
        assert world.ask("get new")["result"] == "w"


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
            "look at <seconds> in: expire <key> <seconds>"
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
