"""What a typed line means to the server."""

from __future__ import annotations

import pytest

from memdbd.client.typed import ends_session, line_waits, listens, waits, words_of
from memdbd.commands.spec import Flag
from memdbd.commands.table import COMMANDS


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"set_with_ttl k two words 60", [b"set_with_ttl", b"k", b"two words", b"60"]),
        (b"SET_WITH_TTL k 'two  words'", [b"SET_WITH_TTL", b"k", b"two  words"]),
        (b'["get", "a b"]', [b"get", b"a b"]),
        (b'get "unbalanced', []),
        (b"   ", []),
    ],
)
def test_words_are_what_the_server_reads(line: bytes, words: list[bytes]) -> None:
    assert words_of(line) == words


@pytest.mark.parametrize("line", [b"exit", b" QUIT ", b'"quit"', b'["Exit"]'])
def test_exit_and_quit_end_the_session_however_they_are_written(line: bytes) -> None:
    assert ends_session(line)


@pytest.mark.parametrize(
    "line", [b"exit now", b"get exit", b"quitter", b"", b"'exit", b"shutdown", b"shutdown nosave"]
)
def test_nothing_else_does(line: bytes) -> None:
    assert not ends_session(line)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_waits_if_the_table_says_so(name: bytes) -> None:
    blocking = bool(COMMANDS[name].flags & Flag.BLOCKING)
    assert waits([name.upper(), b"k"]) == line_waits(name + b" k") == blocking or name == b"wait"


@pytest.mark.parametrize("line", [b"wait 1 0", b"BLPOP k 0", b'["blpop", "k", "0"]'])
def test_so_does_a_line(line: bytes) -> None:
    assert line_waits(line)


@pytest.mark.parametrize("line", [b"", b"get blpop", b"blpopper", b"'blpop"])
def test_other_lines_do_not(line: bytes) -> None:
    assert not line_waits(line)


def test_what_subscribes_or_watches_listens() -> None:
    for name in (b"subscribe", b"PSUBSCRIBE", b"ssubscribe", b"monitor"):
        assert listens([name, b"x"])
    for words in [], [b"get", b"x"], [b"unsubscribe"]:
        assert not listens(words)
