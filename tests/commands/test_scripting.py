"""Scripts and functions, of which there are none."""

from __future__ import annotations

import pytest
from helpers_pure import World, refusal

from memdbd.replies import OK


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("container", [b"script", b"function"])
@pytest.mark.parametrize("mode", [(), (b"sync",), (b"ASYNC",)])
def test_flush_is_ok(world: World, container: bytes, mode: tuple[bytes, ...]) -> None:
    assert world.run(container, b"flush", *mode) == OK


def test_no_script_and_no_function_is_ever_found(world: World) -> None:
    assert world.run(b"script", b"exists", b"a", b"b") == [0, 0]
    for options in ((), (b"withcode",), (b"LIBRARYNAME", b"*", b"WITHCODE")):
        assert world.run(b"function", b"list", *options) == []


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        ((b"script", b"flush", b"x"), "ERR SCRIPT FLUSH only support SYNC|ASYNC option"),
        ((b"script", b"flush", b"sync", b"x"), "ERR SCRIPT FLUSH only support SYNC|ASYNC option"),
        ((b"script", b"exists"), "ERR wrong number of arguments for 'script|exists' command"),
        ((b"function", b"flush", b"x"), "ERR FUNCTION FLUSH only supports SYNC|ASYNC option"),
        (
            (b"function", b"flush", b"sync", b"x"),
            "ERR unknown subcommand or wrong number of arguments for 'flush'. Try FUNCTION HELP.",
        ),
        ((b"function", b"list", b"Bogus"), "ERR Unknown argument Bogus"),
        ((b"function", b"list", b"x\0y"), "ERR Unknown argument x"),
        ((b"function", b"list", b"withcode", b"WithCode"), "ERR Unknown argument WithCode"),
        ((b"function", b"list", b"libraryname"), "ERR library name argument was not given"),
        ((b"evalsha", b"x", b"0"), "NOSCRIPT No matching script. Please use EVAL."),
        ((b"evalsha", b"x"), "ERR wrong number of arguments for 'evalsha' command"),
    ],
)
def test_wrong_arguments_are_refused_in_redis_s_words(
    world: World, argv: tuple[bytes, ...], error: str
) -> None:
    assert refusal(world, *argv) == error
