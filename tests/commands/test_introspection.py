"""COMMAND: the command table, as programs ask for it. What it says of each command is compared with
Redis itself in test_against_redis.py."""

from __future__ import annotations

from typing import Any

import pytest
from helpers_pure import World, refusal

from memdbd.commands.categories import CATEGORIES, categories
from memdbd.commands.table import COMMANDS, CONTAINERS
from memdbd.replies import Members, Status


@pytest.fixture
def world() -> World:
    return World()


def texts(members: Any) -> list[str]:
    assert isinstance(members, Members)
    return [status.text for status in members.items if isinstance(status, Status)]


class TestInfo:
    def test_tells_of_a_command(self, world: World) -> None:
        ((name, arity, flags, first, last, step, groups, *_),) = world.run(
            b"command", b"info", b"SET"
        )
        assert (name, arity, first, last, step) == (b"set", -3, 1, 1, 1)
        assert texts(flags) == ["write", "denyoom"]
        assert texts(groups) == ["@write", "@string", "@slow"]

    def test_tells_where_the_keys_are_and_what_for(self, world: World) -> None:
        ((*_, specs, _),) = world.run(b"command", b"info", b"bitop")
        stored, read = specs.items
        assert texts(stored["flags"]) == ["RW", "update"]
        assert stored["begin_search"] == {"type": "index", "spec": {"index": 2}}
        assert texts(read["flags"]) == ["RO", "access"]
        assert read["find_keys"] == {
            "type": "range",
            "spec": {"lastkey": -1, "keystep": 1, "limit": 0},
        }

    def test_tells_of_a_subcommand(self, world: World) -> None:
        ((name, arity, *_),) = world.run(b"command", b"info", b"config|get")
        assert (name, arity) == (b"config|get", -3)

    def test_a_container_has_its_subcommands(self, world: World) -> None:
        ((name, arity, *_, subcommands),) = world.run(b"command", b"info", b"config")
        assert (name, arity) == (b"config", -2)
        assert {entry[0] for entry in subcommands.items} == {
            b"config|get", b"config|set", b"config|resetstat", b"config|rewrite", b"config|help",
        }  # fmt: skip

    @pytest.mark.parametrize("name", [b"nosuch", b"config|nosuch", b"get|x", b"config|"])
    def test_what_there_is_not_is_null(self, world: World, name: bytes) -> None:
        assert world.run(b"command", b"info", name) == [None]

    def test_without_a_name_tells_of_all(self, world: World) -> None:
        every = len(COMMANDS) + len(CONTAINERS)
        assert len(world.run(b"command", b"info")) == every
        assert len(world.run(b"command")) == every
        assert world.run(b"command", b"count") == every


class TestList:
    def test_has_the_names(self, world: World) -> None:
        names = world.run(b"command", b"list")
        assert set(names) == COMMANDS.keys() | CONTAINERS.keys()

    def test_by_pattern(self, world: World) -> None:
        found = world.run(b"command", b"list", b"filterby", b"pattern", b"CONFIG|RE*")
        assert sorted(found) == [b"config|resetstat", b"config|rewrite"]

    def test_by_category(self, world: World) -> None:
        found = world.run(b"command", b"list", b"filterby", b"aclcat", b"Geo")
        assert b"geoadd" in found
        assert b"get" not in found
        assert world.run(b"command", b"list", b"filterby", b"aclcat", b"nosuch") == []

    def test_by_module(self, world: World) -> None:
        assert world.run(b"command", b"list", b"filterby", b"module", b"json") == []

    @pytest.mark.parametrize(
        "words", [(b"x",), (b"filterby",), (b"filterby", b"x", b"y"), (b"filterby", b"module")]
    )
    def test_takes_nothing_else(self, world: World, words: tuple[bytes, ...]) -> None:
        assert refusal(world, b"command", b"list", *words) == "ERR syntax error"


class TestDocs:
    def test_have_what_redis_cli_shows_as_hints(self, world: World) -> None:
        docs = world.run(b"command", b"docs", b"expire", b"nosuch")
        assert docs.keys() == {b"expire"}
        about = docs[b"expire"]
        assert (about["group"], about["summary"]) == ("generic", COMMANDS[b"expire"].summary)
        assert [argument["name"] for argument in about["arguments"]][:2] == ["key", "seconds"]
        assert about["arguments"][0]["type"] == "key"

    def test_of_a_container_have_its_subcommands(self, world: World) -> None:
        docs = world.run(b"command", b"docs", b"config")
        assert "config|get" in docs[b"config"]["subcommands"]

    def test_of_a_container_that_is_a_command_too_have_nothing_but_subcommands(
        self, world: World
    ) -> None:
        subcommands = world.run(b"command", b"docs", b"command")[b"command"]["subcommands"]
        assert all(name.startswith("command|") for name in subcommands)

    def test_of_all_have_every_command(self, world: World) -> None:
        assert world.run(b"command", b"docs").keys() == COMMANDS.keys() | CONTAINERS.keys()

    @pytest.mark.parametrize(
        ("name", "group"),
        [
            (b"get", "string"), (b"zadd", "sorted-set"), (b"del", "generic"), (b"sort", "generic"),
            (b"subscribe", "pubsub"), (b"multi", "transactions"), (b"ping", "connection"),
            (b"save", "server"), (b"geoadd", "geo"), (b"select", "connection"),
        ],
    )  # fmt: skip
    def test_are_in_redis_s_groups(self, world: World, name: bytes, group: str) -> None:
        assert world.run(b"command", b"docs", name)[name]["group"] == group


class TestGetkeys:
    def test_finds_the_keys_of_a_request(self, world: World) -> None:
        assert world.run(b"command", b"getkeys", b"MSET", b"a", b"1", b"b", b"2") == [b"a", b"b"]
        assert world.run(b"command", b"getkeys", b"object", b"encoding", b"k") == [b"k"]

    @pytest.mark.parametrize(
        ("request_", "error"),
        [
            (b"nosuch a", "ERR Invalid command specified"),
            (b"ping a", "ERR The command has no key arguments"),
            (b"get a b", "ERR Invalid number of arguments specified for command"),
            (b"zunion x a b", "ERR Invalid arguments specified for command"),
            (b"get", "ERR wrong number of arguments for 'command|getkeys' command"),
        ],
    )
    def test_refuses_what_is_no_request_with_keys_in_redis_s_words(
        self, world: World, request_: bytes, error: str
    ) -> None:
        assert refusal(world, b"command", b"getkeys", *request_.split()) == error

    def test_with_flags_says_whether_they_are_written(self, world: World) -> None:
        ((key, flags),) = world.run(b"command", b"getkeysandflags", b"get", b"a")
        assert (key, texts(flags)) == (b"a", ["RO", "access"])
        ((_, flags),) = world.run(b"command", b"getkeysandflags", b"incr", b"a")
        assert texts(flags) == ["RW", "access", "update"]


def test_every_category_is_one_of_redis_s() -> None:
    for command in COMMANDS.values():
        assert set(categories(command)) <= set(CATEGORIES)
        assert ("fast" in categories(command)) != ("slow" in categories(command))


def test_in_the_text_dialect_a_command_is_an_array_too(world: World) -> None:
    assert world.ask("command count")["result"] == len(COMMANDS) + len(CONTAINERS)
    assert world.ask("command info get")["result"][0][:2] == ["get", 2]
