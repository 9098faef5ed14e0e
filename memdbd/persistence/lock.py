"""One daemon for a data directory: the lock that says whose it is.

The lock is the system's own on ``memdbd.lock``, so it goes with its holder, even after kill -9.
The pid in the file is only a courtesy to whoever finds the lock taken. The file is never removed:
a lock on a file that has lost its name would keep nobody out.

May import: errors, fs.
"""

from __future__ import annotations

import contextlib
import os

from memdbd.errors import DirectoryLocked, StorageError
from memdbd.persistence.fs import FileSystem

LOCK_FILE = "memdbd.lock"


class DirectoryLock:
    """The right to write in a data directory.

    To be acquired by the process that will use it: a daemon locks after it has forked.
    """

    def __init__(self, fs: FileSystem, directory: str) -> None:
        self._fs = fs
        self._directory = directory
        self._path = os.path.join(directory, LOCK_FILE)
        self._file: int | None = None

    def acquire(self) -> None:
        """Take the lock, or raise DirectoryLocked that names its holder.

        Raises StorageError where the directory cannot be locked at all.
        """
        try:
            file = self._fs.lock(self._path)
        except OSError as error:
            raise StorageError(
                f"data directory {self._directory} cannot be locked: {error.strerror}"
            ) from error
        if file is None:
            raise DirectoryLocked(
                f"data directory {self._directory} is in use: lock held by {self._holder()}"
            )
        self._file = file
        with contextlib.suppress(OSError):  # a full disk: locked all the same
            self._fs.truncate(file)
            self._fs.write_all(file, b"%d\n" % os.getpid())

    def check(self) -> None:
        """Raise StorageError where the lock that we hold is no longer that of the directory.

        It was removed or moved while in use, and another daemon may hold what is there now.
        """
        if self._file is not None and not self._fs.same_file(self._file, self._path):
            raise StorageError(
                f"data directory {self._directory} was removed or replaced while in use"
            )

    def release(self) -> None:
        """Give the lock back, if it is held."""
        if self._file is not None:
            file, self._file = self._file, None
            with contextlib.suppress(OSError):
                self._fs.truncate(file)
            self._fs.unlock(file)

    def _holder(self) -> str:
        try:
            return f"pid {int(b''.join(self._fs.read(self._path)))}"
        except (OSError, ValueError):  # it has locked, and not yet said who it is
            return "another process"
