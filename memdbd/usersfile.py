"""The file of the users: read as a whole, written as a whole.

Strategy: names and patterns are bytes, whatever they are in, so that what is no UTF-8 is kept as
the bytes that it is. What is written is beside the file first, and takes its place when it is on
disk; who follows a link to it, still does.

May import: errors, persistence.fs.
"""

from __future__ import annotations

import hashlib
import os.path
import re

from memdbd.errors import ConfigError
from memdbd.persistence.fs import FileSystem

_BOM = b"\xef\xbb\xbf"  # what some editors put in front of a text


class UsersFile:
    """The file ``path``, through ``fs``."""

    def __init__(self, path: str, fs: FileSystem) -> None:
        self.path = path
        self._fs = fs
        self._followed = b""  # the digest of what it said

    def read(self) -> str:
        """What it says. Raises ConfigError where it cannot be read."""
        try:
            return self._read().removeprefix(_BOM).decode("utf-8", "surrogateescape")
        except OSError as error:
            raise ConfigError(f"cannot read the users of {self.path}: {error.strerror}") from None

    def follow(self, text: str) -> None:
        """The users are now those of this text, which it says."""
        self._followed = _digest(_encoded(text))

    def is_followed(self, text: str) -> bool:
        """Whether the users were made of this text, or were saved as it."""
        return _digest(_encoded(text)) == self._followed

    def write(self, text: str) -> None:
        """Have it say this, at once and on disk. Raises OSError."""
        self._write(_encoded(text))
        self.follow(text)

    def replace_hash(self, name: bytes, old: str, new: str) -> None:
        """Put a better hash of a user's password in place of another, and leave all else as it is,
        also what others have written to it meanwhile. Raises OSError."""
        before = self._read()
        rule = re.compile(rb"(?<!\S)#%b(?!\S)" % re.escape(old.encode()))
        lines = before.split(b"\n")
        for at, line in enumerate(lines):
            if line.removeprefix(_BOM).split()[:2] == [b"user", name]:
                lines[at] = rule.sub(lambda _: b"#" + new.encode(), line)
        after = b"\n".join(lines)
        if after != before:
            self._write(after)
            if _digest(before.removeprefix(_BOM)) == self._followed:
                self._followed = _digest(after.removeprefix(_BOM))

    def _read(self) -> bytes:
        return b"".join(self._fs.read(self.path))

    def _write(self, data: bytes) -> None:
        path = self._fs.resolve(self.path)
        temporary = f"{path}.tmp"
        if self._fs.exists(temporary):  # of an attempt that did not end well
            self._fs.remove(temporary)
        file = self._fs.create(temporary)
        try:
            self._fs.write_all(file, data)
            self._fs.sync(file)
        finally:
            self._fs.close(file)
        self._fs.replace(temporary, path)
        self._fs.sync_directory(os.path.dirname(path))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
