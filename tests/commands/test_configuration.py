"""CONFIG: Redis's parameters as clients see and set them."""

from __future__ import annotations

import pytest
from helpers_pure import World, conversation, refusal

from memdbd.replies import OK


@pytest.fixture
def world() -> World:
    return World()


def test_get_shows_what_matches_any_of_the_patterns(world: World) -> None:
    assert world.run(b"config", b"get", b"appendonly", b"maxmemory-*cy", b"nosuch") == {
        "appendonly": "yes",
        "maxmemory-policy": "noeviction",
    }


def test_what_redis_benchmark_asks_for_is_there(world: World) -> None:
    assert world.run(b"config", b"get", b"save") == {"save": "60 1"}
    assert world.run(b"config", b"get", b"appendonly") == {"appendonly": "yes"}


def test_set_takes_several_at_once(world: World) -> None:
    assert world.run(b"config", b"set", b"hz", b"20", b"TIMEOUT", b"7") == OK
    assert world.run(b"config", b"get", b"hz", b"timeout") == {"hz": "20", "timeout": "7"}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((b"set", b"hz"), "ERR wrong number of arguments for 'config|set' command"),
        ((b"set", b"hz", b"1", b"x"), "ERR syntax error"),
        (
            (b"set", b"nosuch", b"1"),
            "ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'",
        ),
        (
            (b"set", b"timeout", b"\xff"),
            "ERR CONFIG SET failed (possibly related to argument 'timeout') - argument couldn't "
            "be parsed into an integer",
        ),
        ((b"get",), "ERR wrong number of arguments for 'config|get' command"),
        ((b"rewrite",), "ERR The server is running without a config file"),
        ((b"nosuch",), "ERR unknown subcommand 'nosuch'. Try CONFIG HELP."),
        ((), "ERR wrong number of arguments for 'config' command"),
    ],
)
def test_wrong_arguments_are_refused_in_redis_s_words(
    world: World, arguments: tuple[bytes, ...], error: str
) -> None:
    assert refusal(world, b"config", *arguments) == error


def test_resetstat_has_info_count_from_zero(world: World) -> None:
    world.say("get k")
    assert world.run(b"config", b"resetstat") == OK
    assert "cmdstat_get" not in world.daemon.figures.text(["commandstats"])


def test_it_speaks_the_text_dialect_too(world: World) -> None:
    conversation(
        world,
        """
        > config get hz
        {"result": {"hz": "10"}}
        > config set maxmemory 1mb
        {"result": "OK"}
        > config get maxmemory
        {"result": {"maxmemory": "1048576"}}
        """,
    )
