"""What a typed line means to the server."""

from __future__ import annotations

import pytest

from memdbd.client.typed import ends_session, words_of
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


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_ends_the_session_if_the_table_says_so(name: bytes) -> None:
    assert ends_session(name) == COMMANDS[name].ends


@pytest.mark.parametrize("line", [b"exit now", b"get exit", b"quitter", b"", b"'exit"])
def test_nothing_else_does(line: bytes) -> None:
    assert not ends_session(line)
