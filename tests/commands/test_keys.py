"""Keys of any type: finding, renaming, copying and deleting them, and what they are."""

from __future__ import annotations

import pytest
from helpers_pure import NOW, World, conversation, refusal


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

    def test_to_itself_nothing_changes(self, world: World) -> None:
        world.run(b"set", b"k", b"v")
        world.heard()
        assert world.ask("rename k k") == {"result": "OK"}
        assert world.run(b"renamenx", b"k", b"k") == 0
        assert world.heard() == []
        assert refusal(world, b"rename", b"x", b"x") == "ERR no such key"

    def test_it_is_announced_of_both_names(self, world: World) -> None:
        world.run(b"set", b"k", b"v")
        world.run(b"rename", b"k", b"new")
        assert world.heard()[1:] == [("rename_from", b"k"), ("rename_to", b"new")]

    def test_renamenx_takes_no_name_that_is_taken(self, world: World) -> None:
        assert refusal(world, b"renamenx", b"k", b"new") == "ERR no such key"
        world.run(b"set", b"k", b"v")
        world.run(b"set_with_ttl", b"new", b"w", b"10")
        assert world.run(b"renamenx", b"k", b"new") == 0
        world.now += 10_000
        assert world.run(b"renamenx", b"k", b"new") == 1
        assert world.run(b"get", b"new") == b"v"


VALUES: dict[str, list[bytes]] = {
    "string": [b"set", b"k", b"v"],
    "list": [b"rpush", b"k", b"a", b"b"],
    "set": [b"sadd", b"k", b"a"],
    "hash": [b"hset", b"k", b"f", b"v"],
    "zset": [b"zadd", b"k", b"1.5", b"a"],
}


class TestWhateverTheType:
    @pytest.mark.parametrize("name", VALUES)
    def test_a_value_is_named_found_copied_and_deleted(self, world: World, name: str) -> None:
        world.run(*VALUES[name])
        assert world.run(b"type", b"k").text == name
        assert world.run(b"copy", b"k", b"twin") == 1
        assert world.db.values[b"twin"] == world.db.values[b"k"] or name == "zset"
        assert world.run(b"touch", b"k", b"twin", b"x", b"k") == 3
        assert world.run(b"unlink", b"k", b"twin", b"x", b"k") == 2
        assert world.run(b"exists", b"k", b"twin") == 0

    @pytest.mark.parametrize("name", set(VALUES) - {"string"})
    def test_a_copy_lives_a_life_of_its_own(self, world: World, name: str) -> None:
        command, key, *rest = VALUES[name]
        world.run(command, key, *rest)
        world.run(b"copy", key, b"twin")
        before = world.run(b"dump", key)
        world.run(command, b"twin", *(word + b"2" for word in rest))
        assert world.run(b"dump", b"twin") != before
        assert world.run(b"dump", key) == before

    @pytest.mark.parametrize("word", [b"del", b"unlink"])
    def test_keys_that_are_named_twice_are_deleted_once(self, world: World, word: bytes) -> None:
        world.run(b"set", b"k", b"v")
        world.heard()
        assert world.run(word, b"k", b"x", b"k") == 1
        assert world.heard() == [("delete", b"k")]


class TestCopy:
    def test_the_deadline_is_copied_too_and_what_is_there_stays(self, world: World) -> None:
        world.run(b"set_with_ttl", b"k", b"v", b"10")
        world.run(b"set", b"other", b"w")
        world.heard()
        assert world.run(b"copy", b"k", b"new") == 1
        assert world.run(b"ttl", b"new") == 10
        assert world.run(b"copy", b"k", b"other") == world.run(b"copy", b"x", b"new2") == 0
        assert world.heard() == [("copy_to", b"new")]

    def test_replace_takes_its_place_with_its_deadline(self, world: World) -> None:
        world.run(b"set", b"k", b"v")
        world.run(b"set_with_ttl", b"other", b"w", b"10")
        assert world.run(b"copy", b"k", b"other", b"replace") == 1
        assert (world.run(b"get", b"other"), world.run(b"ttl", b"other")) == (b"v", -1)

    def test_it_reaches_another_database(self, world: World) -> None:
        world.run(b"set", b"k", b"v")
        world.databases[3].set(b"k", b"old")
        assert world.run(b"copy", b"k", b"k", b"DB", b"3") == 0
        assert world.run(b"copy", b"k", b"k", b"DB", b"3", b"REPLACE") == 1
        assert world.databases[3].get(b"k") == b"v"
        assert world.db.get(b"k") == b"v"

    def test_what_expires_in_the_middle_of_it_is_gone_before_its_effect(self, world: World) -> None:
        other = world.databases[3]
        world.run(b"set", b"k", b"v")
        other.set(b"new", b"w", NOW + 1)
        world.databases.changes.take_effects()
        times = iter([NOW, NOW + 1])  # the last look is at what is replaced
        other.clock = lambda: next(times)
        assert world.run(b"copy", b"k", b"new", b"DB", b"3", b"REPLACE") == 1
        assert world.databases.changes.take_effects() == [
            *((b"SELECT", b"3"), (b"DEL", b"new")),
            *((b"SELECT", b"0"), (b"COPY", b"k", b"new", b"DB", b"3", b"REPLACE")),
        ]
        assert (other.values, other.deadlines) == ({b"new": b"v"}, {})

    @pytest.mark.parametrize(
        ("words", "error"),
        [
            (b"k", "source and destination objects are the same"),
            (b"k DB 0 REPLACE", "source and destination objects are the same"),
            (b"new DB", "syntax error"),
            (b"new DB x", "value is not an integer or out of range"),
            (b"new DB 16", "DB index is out of range"),
            (b"new DB 16 foo", "DB index is out of range"),
            (b"new replaced", "syntax error"),
        ],
    )
    def test_what_it_refuses_whether_there_is_a_key_or_not(
        self, world: World, words: bytes, error: str
    ) -> None:
        assert refusal(world, b"copy", b"k", *words.split()) == f"ERR {error}"


class TestRandomkey:
    def test_it_is_any_key_that_lives(self, world: World) -> None:
        assert world.run(b"randomkey") is None
        world.run(b"mset", b"a", b"1", b"b", b"2", b"c", b"3")
        assert {world.run(b"randomkey") for _ in range(100)} == {b"a", b"b", b"c"}
        world.run(b"expire", b"a", b"10")
        world.run(b"del", b"b")
        world.now += 10_000
        assert {world.run(b"randomkey") for _ in range(100)} == {b"c"}


class TestObject:
    @pytest.mark.parametrize("word", [b"encoding", b"refcount", b"idletime", b"freq"])
    def test_there_is_nothing_to_say_of_no_key(self, world: World, word: bytes) -> None:
        assert world.run(b"object", word, b"k") is None

    def test_what_is_said_of_one(self, world: World) -> None:
        world.run(b"set", b"k", b"12")
        assert world.run(b"object", b"encoding", b"k") == b"int"
        assert world.run(b"object", b"refcount", b"k") == 1
        assert world.run(b"object", b"idletime", b"k") == 0
        assert refusal(world, b"object", b"freq", b"k") == (
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please "
            "note that when switching between policies at runtime LRU and LFU data will take "
            "some time to adjust."
        )
