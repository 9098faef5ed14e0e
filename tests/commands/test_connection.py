"""The connection itself: is it there, what can be said, and its end."""

from __future__ import annotations

import pytest
from helpers_pure import World, conversation

from memdbd.commands.spec import Flag
from memdbd.commands.table import COMMANDS


@pytest.fixture
def world() -> World:
    return World()


def test_ping_answers_pong_or_the_message(world: World) -> None:
    conversation(
        world,
        """
        > ping
        {"result": "PONG"}
        > ping hello out there
        {"result": "hello out there"}
        > PING "hello"
        {"result": "hello"}
        """,
    )


def test_echo_answers_the_message(world: World) -> None:
    conversation(
        world,
        r"""
        > echo  Hello   World
        {"result": "Hello   World"}
        > echo "a\tb"
        {"result": "a\tb"}
        """,
    )
    assert world.ask("echo") == {
        "error": "wrong number of arguments for 'echo' command; usage: echo <message…>; "
        "a value with blanks goes in quotes"
    }


def test_help_shows_all_commands_with_their_summaries(world: World) -> None:
    shown = world.ask("help")["result"]
    assert shown == {command.usage: command.summary for command in COMMANDS.values()}
    assert shown["expire <key> <seconds>"].startswith("Let a key expire")


@pytest.mark.parametrize("name", ["get", "GET", "Get"])
def test_help_shows_one_command_whatever_its_case(world: World, name: str) -> None:
    assert world.say(f"help {name}") == '{"result": {"get <key>": "The value of a key"}}'


def test_help_knows_what_was_meant(world: World) -> None:
    assert world.ask("help gte") == {"error": "unknown command 'gte', did you mean 'get'?"}


@pytest.mark.parametrize("name", ["quit", "exit"])
def test_quit_and_exit_answer_ok_and_end_the_connection(world: World, name: str) -> None:
    assert world.say(name) == '{"result": "OK"}'
    assert COMMANDS[name.encode()].ends


def test_nothing_else_ends_the_connection() -> None:
    assert {name for name, command in COMMANDS.items() if Flag.ENDS in command.flags} == {
        b"quit",
        b"exit",
    }
