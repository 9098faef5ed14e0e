"""Passwords from files, the environment, and a terminal of the test's own."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from memdbd.client.asking import first_line, from_environment, from_file, is_open_to_all

from .conftest import ENVIRONMENT

ASKS = "from memdbd.client.asking import ask; print(repr(ask('Password: ')))"
WITHOUT_TERMINAL = f"import os; os.setsid(); {ASKS}"


def test_our_variable_goes_before_that_of_redis_and_an_empty_one_is_none() -> None:
    both = {"MEMDB_PASSWORD": "ours", "REDISCLI_AUTH": "theirs"}
    assert from_environment(both) == b"ours"
    assert from_environment({**both, "MEMDB_PASSWORD": ""}) == b"theirs"
    assert from_environment({"REDISCLI_AUTH": ""}) is None
    assert from_environment({"MEMDB_PASSWORD": "\udcff"}) == b"\xff"


@pytest.mark.parametrize(
    ("said", "password"),
    [
        (b"secret\n", b"secret"),
        (b"secret\r\nnote\n", b"secret"),
        (b" two words ", b" two words "),
        (b"\xff\n", b"\xff"),
        (b"\nsecret", b""),
        (b"", b""),
    ],
)
def test_the_first_line_of_a_file_is_the_password(
    tmp_path: Path, said: bytes, password: bytes
) -> None:
    file = tmp_path / "password"
    file.write_bytes(said)
    assert from_file(str(file)) == password == first_line(said.split(b"\n")[0] + b"\n")


@pytest.mark.parametrize(("mode", "is_open"), [(0o600, False), (0o640, False), (0o644, True)])
def test_a_file_that_all_may_read_is_known(tmp_path: Path, mode: int, is_open: bool) -> None:
    file = tmp_path / "password"
    file.touch()
    file.chmod(mode)
    assert is_open_to_all(str(file)) == is_open


class Asked:
    """A process that asks at a terminal; the test is at its other end."""

    def __init__(self) -> None:
        self.ours, theirs = pty.openpty()
        self.theirs = theirs
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"import fcntl, termios, os; os.setsid();"
             f"fcntl.ioctl({theirs}, termios.TIOCSCTTY, 0); {ASKS}"],
            env=ENVIRONMENT, pass_fds=[theirs], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def shows(self, text: bytes) -> bytes:
        said = b""
        while text not in said:
            assert select.select([self.ours], [], [], 20)[0], said
            said += os.read(self.ours, 1024)
        return said

    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self.theirs)[3] & termios.ECHO)

    def types(self, keys: bytes) -> None:
        os.write(self.ours, keys)

    def ends(self) -> tuple[bytes, bytes]:
        return self.process.communicate(timeout=20)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def asked() -> Iterator[Asked]:
    with contextlib.closing(Asked()) as asked:
        asked.shows(b"Password: ")
        yield asked


def test_what_is_typed_is_not_shown(asked: Asked) -> None:
    assert not asked.echoes()
    asked.types("größe 1\n".encode())
    assert asked.ends()[0] == repr("größe 1".encode()).encode() + b"\n"
    # Nothing but the end of the line.
    assert os.read(asked.ours, 1024) == b"\r\n"
    assert asked.echoes()


def test_what_was_typed_wrong_can_be_erased(asked: Asked) -> None:
    asked.types(b"secrex\x7ft\n")
    assert asked.ends()[0] == b"b'secret'\n"


def test_ctrl_d_is_no_password(asked: Asked) -> None:
    asked.types(b"\x04")
    assert asked.ends()[0] == b"b''\n"


def test_the_terminal_is_as_before_when_it_is_interrupted(asked: Asked) -> None:
    asked.types(b"sec\x03")
    assert b"KeyboardInterrupt" in asked.ends()[1]
    assert asked.echoes()


def test_without_a_terminal_there_is_nobody_to_ask() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TERMINAL], env=ENVIRONMENT, capture_output=True,
        check=False, timeout=20,
    )  # fmt: skip
    assert b"NoTerminal" in done.stderr
