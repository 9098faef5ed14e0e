"""Where an export goes: standard output, a file that gets its name when it is complete, or what is
no file, such as a pipe or a device.

May import: ending, errors, fs.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from memdbd.client.ending import Signals
from memdbd.errors import MemDBError, StorageError
from memdbd.persistence.fs import FileSystem

_STDOUT = 1


class OutputError(MemDBError):
    """The output cannot be written."""


class Sink:
    """``path`` is None or ``-`` for standard output. A file that is there is only replaced with
    ``force``; a link is followed. Raises StorageError and OutputError. ``write`` all, ``finish``;
    ``abort`` in any case.
    """

    def __init__(self, fs: FileSystem, path: str | None, force: bool) -> None:
        self._fs = fs
        self._name = "standard output" if path in (None, "-") else str(path)
        self._temporary: str | None = None  # the file before it has its name
        self._target = ""
        self._file: int | None = None
        self._signals = Signals()
        try:
            with self._as_output():
                self._open(path, force)
        except BaseException:
            self.abort()
            raise

    def write(self, data: bytes) -> None:
        with self._as_output():
            self._fs.write_all(self._opened(), data)

    def finish(self) -> None:
        """All was written: a file gets its name."""
        with self._as_output():
            file = self._opened()
            if self._temporary is not None:
                self._fs.sync(file)
            self._file = None
            if file != _STDOUT:
                self._fs.close(file)
            if self._temporary is not None:
                self._fs.replace(self._temporary, self._target)
                self._temporary = None
                self._fs.sync_directory(os.path.dirname(self._target) or ".")

    def abort(self) -> None:
        """Leave no unfinished file behind. May be called more than once."""
        file, self._file = self._file, None
        if file is not None and file != _STDOUT:
            with suppress(OSError):
                self._fs.close(file)
        if self._temporary is not None:
            with suppress(OSError):
                self._fs.remove(self._temporary)
            self._temporary = None
        self._signals.release()

    def _open(self, path: str | None, force: bool) -> None:
        if path is None or path == "-":
            if sys.stdout is None:
                raise OutputError("standard output is closed")
            self._file = _STDOUT
        elif os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
            self._file = self._fs.open(path)  # which may wait for who reads a pipe
        else:
            self._target = self._fs.resolve(path) if os.path.islink(path) else path
            if not force and self._fs.exists(self._target):
                raise StorageError(f"{path} is there already; --force replaces it")
            temporary = f"{self._target}.{os.getpid()}.tmp"
            self._file = self._fs.create(temporary)
            self._temporary = temporary

    def _opened(self) -> int:
        if self._file is None:
            raise ValueError("it is finished or aborted")
        return self._file

    @contextmanager
    def _as_output(self) -> Iterator[None]:
        try:
            with self._signals.raised():
                yield
        except (OSError, ValueError) as error:
            # Not the whole error: the name in it may be that of the file before it is complete.
            reason = getattr(error, "strerror", None) or error
            raise OutputError(f"{self._name} cannot be written: {reason}") from error
