"""What a typed line means to the server."""

from __future__ import annotations

import pytest

from memdbd.client.typed import (
    ends_session,
    line_waits,
    listens,
    question,
    secrets_in,
    veiled,
    waits,
    words_of,
)
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


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"auth hunter2", b"auth (redacted)"),
        (b"AUTH ann hunter2", b"AUTH ann (redacted)"),
        (b'["Auth", "ann", "hunter2"]', b"Auth ann (redacted)"),
        (b"\"auth\" ann 'hunter2 '", b"auth ann (redacted)"),
        (b"auth ann hunter2 more", b"auth (redacted) (redacted) (redacted)"),
        (b"hello 3 AUTH ann hunter2", b"hello 3 AUTH (redacted) (redacted)"),
        (b"hello 3 setname x auth ann hunter2", b"hello 3 setname x auth (redacted) (redacted)"),
        (b"hello 3 auth hunter2", b"hello 3 auth (redacted)"),
        (b"acl setuser ann on >hunter2 ~*", b"acl setuser ann on (redacted) ~*"),
        (b"ACL SetUser ann <hunter2", b"ACL SetUser ann (redacted)"),
        (b"acl setuser ann #" + b"0" * 64, b"acl setuser ann (redacted)"),
        (b"config set requirepass hunter2", b"config set requirepass (redacted)"),
        (
            b"config set maxmemory 1 RequirePass hunter2",
            b"config set maxmemory 1 RequirePass (redacted)",
        ),
        (b"migrate h 1 k 0 9 auth2 ann hunter2", b"migrate h 1 k 0 9 auth2 (redacted) (redacted)"),
    ],
)
def test_what_is_secret_in_a_request_is_known(line: bytes, shown: bytes) -> None:
    assert veiled(line) == shown
    assert secrets_in(words_of(line))


@pytest.mark.parametrize(
    "line",
    [
        b"auht ann hunter2",
        b"aut ann hunter2",
        b'auth ann "hunter2',
        b'["auth", "ann", "hunter2',
        b"authh hunter2",
        b'acl setuser ann ">hunter2',
        b" config set requirepass 'hunter2",
    ],
)
def test_a_line_that_is_wrong_may_have_a_secret_too(line: bytes) -> None:
    shown = veiled(line)
    assert shown is not None
    assert b"hunter2" not in shown


@pytest.mark.parametrize(
    "line",
    [
        b"get auth",
        b"set auth 1",
        b"auth",
        b"hello",
        b"hello 3",
        b"acl setuser ann on ~* +@all",
        b"acl list",
        b"acl whoami",
        b"config set maxmemory 1",
        b"config set requirepass ''",
        b"config get requirepass",
        b'get "unbalanced',
        b"",
        b"  ",
        b"authx",
    ],
)
def test_lines_without_a_secret_are_known_too(line: bytes) -> None:
    assert veiled(line) is None


@pytest.mark.parametrize("name", COMMANDS)
def test_whatever_the_table_says_is_secret_is(name: bytes) -> None:
    is_secret = bool(COMMANDS[name].flags & Flag.SECRET) and name != b"hello"
    assert bool(secrets_in([name.upper(), b"auth1", b"b"])) == is_secret


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        (b"flushall", "flushall deletes all keys of all databases. Go on? (yes/no) "),
        (b"FLUSHALL async", "flushall deletes all keys of all databases. Go on? (yes/no) "),
        (b'["flushdb"]', "flushdb deletes all keys of database 3. Go on? (yes/no) "),
        (b"shutdown nosave", "shutdown stops the server, for everybody. Go on? (yes/no) "),
        (b"debug sleep 1", "debug is for those who develop the server"),
        (b"acl deluser ann bob", "deletes 'ann', 'bob' and ends their connections"),
        (b"acl setuser default on >x nopass", "lets everybody in, without a password"),
        (b'["ACL", "SETUSER", "default", "NOPASS"]', "lets everybody in, without a password"),
        (b"acl setuser ann off", "acl setuser 'ann' off is about you, who could not log in again"),
        (b"config set requirepass hunter2", "changes the password of the user default"),
        (b"config set requirepass ''", "takes away the password of the user default"),
        (b"config set maxmemory 1 dir /", "config set dir changes which files the server uses"),
        (b"config set tls-cert-file x", "config set tls-cert-file changes which files"),
    ],
)
def test_what_cannot_be_undone_is_asked_about(line: bytes, asked: str) -> None:
    found = question(words_of(line), 3, b"ann")
    assert found is not None
    assert asked in found
    assert "hunter2" not in found


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"get flushall",
        b"shutdown abort",
        b"debug",
        b"debug help",
        b"debug object k",
        b"acl deluser",
        b"acl setuser",
        b"acl setuser ann off",
        b"acl setuser ann nopass",
        b"acl setuser default on",
        b"acl setuser off",
        b"acl list",
        b"config set maxmemory 1",
        b"config get dir",
        b"config",
        b"del k",
        b"config set",
        b"config set dir",
    ],
)
def test_nothing_else_is(line: bytes) -> None:
    assert question(words_of(line), 0) is None
