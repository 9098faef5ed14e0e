"""What was meant by a command that does not exist."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from memdbd.commands.suggest import MAX_NAME, SHOWN, Suggestions
from memdbd.commands.table import COMMANDS

SUGGESTIONS = Suggestions(COMMANDS)


def said(name: bytes) -> str:
    return str(SUGGESTIONS.unknown(name))


def test_the_example_of_the_documentation() -> None:
    assert said(b"gte") == "unknown command 'gte', did you mean 'get'?"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        (b"gett", "get"),  # a letter too many
        (b"publlish", "publish"),
        (b"xkeys", "keys"),
        (b"ge", "get"),  # one too few
        (b"xists", "exists"),
        (b"subscrib", "subscribe"),
        (b"kezs", "keys"),  # one wrong
        (b"rebame", "rename"),
        (b"flushalk", "flushall"),
        (b"set-with_ttl", "set_with_ttl"),
        (b"ehco", "echo"),  # two swapped
        (b"pign", "ping"),
        (b"KYES", "keys"),
        (b"Gte", "get"),
    ],
)
def test_a_name_that_is_one_slip_away_is_suggested(name: bytes, meant: str) -> None:
    assert said(name) == f"unknown command '{name.decode()}', did you mean '{meant}'?"


def test_each_command_is_found_with_any_one_of_its_letters_missing_or_doubled() -> None:
    for name in COMMANDS:
        for at in range(len(name)):
            assert "did you mean" in said(name[:at] + name[at + 1 :])
            assert "did you mean" in said(name[:at] + name[at : at + 1] + name[at:])


@pytest.mark.parametrize("name", [b"frobnicate", b"", b"x", b"zz", b"\x00\x01", b"key spaces"])
def test_for_nonsense_help_is_offered(name: bytes) -> None:
    assert said(name) == f"unknown command '{name.decode()}', try 'help'"


def test_of_several_that_are_as_near_it_is_the_same_in_each_process() -> None:
    # An order of sets would change with the hash of bytes, from one process to the next.
    program = (
        "from memdbd.commands.suggest import Suggestions\n"
        "from memdbd.commands.table import COMMANDS\n"
        "suggestions = Suggestions(COMMANDS)\n"
        "for name in COMMANDS:\n"
        "    for at in range(len(name)):\n"
        "        for letter in (b'', b's', b't', b'e'):\n"
        "            print(suggestions.unknown(name[:at] + letter + name[at + 1 :]))\n"
    )
    said_in = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said_in) == 1


def test_a_name_that_is_no_utf8_is_shown_escaped() -> None:
    assert said(b"g\xfft") == r"unknown command 'g\xfft', did you mean 'get'?"


def test_a_long_name_is_shown_cut_and_is_not_guessed_at() -> None:
    assert said(b"get" + b"x" * 100_000) == (
        f"unknown command 'get{'x' * (SHOWN - 3)}…', try 'help'"
    )


def test_a_name_as_long_as_any_guess_is_guessed_at() -> None:
    # The longest is far below, so the nearest of a long name is a name of that length.
    assert max(map(len, COMMANDS)) < MAX_NAME
    assert said(b"list_subscriberss").endswith("did you mean 'list_subscribers'?")
