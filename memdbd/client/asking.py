"""Passwords from where nobody else reads along: a file, the environment, a terminal without echo.

Strategy: they are bytes throughout, as they were written or typed. Never an argument: all users of
a machine can see those of every process (``ps``).

Imports nothing of memdbd; termios only where it is asked, as Windows has none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

# Our own, and the one in which redis-cli looks, for tools that talk to a redis-server too.
VARIABLES = ("MEMDB_PASSWORD", "REDISCLI_AUTH")

# No password is longer; it only keeps /dev/zero out of the memory.
MOST = 64 * 1024


class NoTerminal(Exception):
    """There is nobody to be asked."""


def from_environment(environment: Mapping[str, str]) -> bytes | None:
    """The password in the first of our variables that has one."""
    for name in VARIABLES:
        if found := environment.get(name):
            return os.fsencode(found)
    return None


def from_file(path: str) -> bytes:
    """The first line of a file, without its end. Raises OSError."""
    with open(path, "rb") as file:
        return first_line(file.readline(MOST))


def first_line(line: bytes) -> bytes:
    """A line without its end."""
    return line.removesuffix(b"\n").removesuffix(b"\r")


def is_open_to_all(path: str) -> bool:
    """Whether every user of the machine may read a file."""
    return bool(os.stat(path).st_mode & 0o004) and os.path.isfile(path) and os.name == "posix"


def ask(prompt: str) -> bytes:
    """Ask for a password at the terminal that this process belongs to, without showing it; empty
    where it is only ended (Ctrl-D). Raises NoTerminal."""
    try:
        import termios
    except ImportError:  # Windows
        import getpass

        return getpass.getpass(prompt).encode()
    try:
        fd = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        raise NoTerminal from None
    try:
        before = termios.tcgetattr(fd)
        hidden = termios.tcgetattr(fd)
        hidden[3] = hidden[3] & ~termios.ECHO | termios.ECHONL | termios.ICANON
        # What was typed ahead was not meant for this.
        termios.tcsetattr(fd, termios.TCSAFLUSH, hidden)
        try:
            os.write(fd, prompt.encode())
            return first_line(os.read(fd, MOST))
        finally:
            termios.tcsetattr(fd, termios.TCSAFLUSH, before)
    finally:
        os.close(fd)
