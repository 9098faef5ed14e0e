"""Every file operation of the store goes through one object: :class:`FileSystem`.

So a test can put a disk in its place that fails, records or loses power. Strategy: each method is
one operation that can fail on its own, over paths and file descriptors, without buffers of its
own; what is built from several of them (``write_all``) calls them as methods, so that a subclass
sees every step. All raise OSError.

Imports nothing of memdbd. Runs on Linux, macOS and Windows; where they differ, it is here.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Generator, Iterable, Sequence

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

# Larger pieces were measured to load a snapshot slower: what is parsed should still be in cache.
READ_SIZE = 128 * 1024

# Pieces with more bytes are written as they are; so many of them in one step, which is what Linux
# takes.
TOGETHER = 16 * 1024
AT_ONCE = 1024

# O_BINARY: Windows would otherwise translate every "\n" and end the file at Ctrl-Z.
_BINARY = getattr(os, "O_BINARY", 0)

# Windows locks bytes, and a locked byte cannot be read by others: lock one that no file reaches.
_LOCKED_BYTE = 0x7FFF_0000


class FileSystem:
    """The disk as the operating system shows it. Has no state."""

    def make_directory(self, path: str) -> None:
        """Make a directory that only its owner can enter, and its parents; one that is there is
        left as it is."""
        if os.path.isdir(path):
            return
        parent = os.path.dirname(os.path.abspath(path))
        os.makedirs(parent, exist_ok=True)
        os.mkdir(path, 0o700)
        self.sync_directory(parent)

    def exists(self, path: str) -> bool:
        """Whether there is anything of that name, be it a link to nowhere.

        Raises OSError where that cannot be told: "no file" and "not allowed to look" must not be
        confused, since a daemon that finds no file starts empty.
        """
        try:
            os.lstat(path)
        except FileNotFoundError:
            return False
        return True

    def list_directory(self, directory: str) -> list[str]:
        """The names of all that is in the directory, in any order."""
        return os.listdir(directory)

    def resolve(self, path: str) -> str:
        """The absolute path with all links followed, whether there is such a file or not."""
        return os.path.realpath(path)

    def same_file(self, file: int, path: str) -> bool:
        """Whether the open file is still the one of that name."""
        try:
            return os.path.samestat(os.fstat(file), os.stat(path))
        except FileNotFoundError:
            return False

    def read(self, path: str) -> Generator[bytes, None, None]:
        """The file from its beginning, in pieces of at most READ_SIZE bytes.

        Raises OSError for what is no file: to open a pipe would be to wait for its other end.
        """
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise OSError(errno.EINVAL, "Not a regular file", path)
        with open(path, "rb", buffering=0) as file:
            while piece := file.read(READ_SIZE):
                yield piece

    def create(self, path: str) -> int:
        """A new file for writing, that only its owner can read; FileExistsError if it exists."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600)

    def write(self, file: int, data: bytes | memoryview) -> int:
        """Write some of ``data``; gives how many bytes the system took."""
        return os.write(file, data)

    def write_pieces(self, file: int, pieces: Sequence[bytes | memoryview]) -> int:
        """The same of several, one behind the other; a thousand of them at most."""
        if sys.platform == "win32":
            return self.write(file, b"".join(pieces))
        return os.writev(file, pieces)

    def write_all(self, file: int, *pieces: bytes) -> None:
        """Write all of ``pieces``, in as many steps as the system wants.

        Many bytes are not put together for it: to do that takes 10 us for 64 KiB, where they are
        some of several MiB.
        """
        if len(pieces) > 1 and sum(map(len, pieces)) > TOGETHER:
            self._write_all_of(file, pieces)
            return
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        written = self.write(file, data)
        if written == len(data):
            return
        rest = memoryview(data)[written:]
        while rest:
            written = self.write(file, rest)
            if not written:
                raise OSError(errno.EIO, "the file takes no more bytes")
            rest = rest[written:]

    def _write_all_of(self, file: int, pieces: Iterable[bytes]) -> None:
        rest: list[bytes | memoryview] = [piece for piece in pieces if piece]
        at = 0
        while at < len(rest):
            written = self.write_pieces(file, rest[at : at + AT_ONCE])
            if not written:
                raise OSError(errno.EIO, "the file takes no more bytes")
            while at < len(rest) and written >= len(rest[at]):
                written -= len(rest[at])
                at += 1
            if written:
                rest[at] = memoryview(rest[at])[written:]

    def open(self, path: str) -> int:
        """A file that is there, for writing; FileNotFoundError if it is not."""
        return os.open(path, os.O_WRONLY | _BINARY)

    def truncate(self, file: int, length: int = 0) -> None:
        """Cut the file behind so many bytes, and write from there."""
        os.ftruncate(file, length)
        os.lseek(file, length, os.SEEK_SET)

    def sync(self, file: int) -> None:
        """Return when what was written would survive the loss of power."""
        if sys.platform == "darwin":
            # There fsync leaves the bytes in the drive's own cache.
            try:
                fcntl.fcntl(file, fcntl.F_FULLFSYNC)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOTTY):
                    raise
            else:
                return
        os.fsync(file)

    def sync_data(self, file: int) -> None:
        """The same, without the times of the file: half the work where it only grows."""
        if hasattr(os, "fdatasync") and sys.platform != "darwin":
            os.fdatasync(file)
        else:
            self.sync(file)

    def close(self, file: int) -> None:
        os.close(file)

    def replace(self, source: str, target: str) -> None:
        """Rename ``source`` to ``target``, in whose place it is at once and as a whole."""
        os.replace(source, target)

    def remove(self, path: str) -> None:
        os.remove(path)

    def sync_directory(self, path: str) -> None:
        """Return when the names made in the directory would survive the loss of power."""
        if sys.platform == "win32":
            return  # a directory cannot be opened there, and NTFS journals its names
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # SMB, 9p: cannot, need not
                raise
        finally:
            os.close(directory)

    def lock(self, path: str) -> int | None:
        """Open the file (made if need be) and lock it; None if someone else holds the lock.

        The system drops the lock with its holder, however that ends, so none is ever stale.
        """
        file = os.open(path, os.O_RDWR | os.O_CREAT | _BINARY, 0o600)
        try:
            if sys.platform == "win32":
                os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
                msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(file)
            if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
                return None
            raise
        return file

    def unlock(self, file: int) -> None:
        """Let go of a lock, even if a child process still has the file open, and close it."""
        try:
            if sys.platform == "win32":
                os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
                msvcrt.locking(file, msvcrt.LK_UNLCK, 1)
            else:
                fcntl.flock(file, fcntl.LOCK_UN)
        finally:
            os.close(file)
