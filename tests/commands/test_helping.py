"""HELP behind the words that several commands begin with."""

from __future__ import annotations

import pytest
from helpers_pure import World

from memdbd.commands.table import CONTAINERS


@pytest.fixture
def world() -> World:
    return World()


def lines(world: World, name: bytes) -> list[str]:
    return [status.text for status in world.run(name, b"help")]


def test_it_begins_and_ends_as_redis_s(world: World) -> None:
    told = lines(world, b"config")
    assert told[0] == "CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    assert told[-2:] == ["HELP", "    Prints this help."]


def test_each_subcommand_has_a_line_of_usage_and_one_that_says_what_it_does(world: World) -> None:
    told = lines(world, b"slowlog")
    at = told.index("GET [<count>]")
    assert told[at + 1] == "    Show the newest entries of the slow log; -1: all of them."


@pytest.mark.parametrize("name", CONTAINERS)
def test_it_tells_of_all_subcommands(world: World, name: bytes) -> None:
    usages = [line.split()[0].lower() for line in lines(world, name)[1::2]]
    assert usages == [word.decode() for word in CONTAINERS[name].subcommands]


def test_it_is_a_list_of_lines_in_the_text_dialect_too(world: World) -> None:
    assert world.ask("object help") == {"result": lines(world, b"object")}
