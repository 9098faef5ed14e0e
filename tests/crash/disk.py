"""A disk in memory that keeps what was synced apart from what was not, and fails as it is told to.

Of a file it keeps the bytes that were synced and each change since; of the directory the names that
were synced and each change since. What a loss of power can leave of that is in
:mod:`crash.images`. It is as strict as any system is: no open file is replaced or removed, as on
Windows, and a file's sync does not sync its name, as POSIX allows.

``before`` hears of each call that is about to change something, which is when power may go;
``fault`` is asked before each call.

There may be directories below, each with names of its own to be synced. That they are there is on
disk at once, as :meth:`~memdbd.persistence.fs.FileSystem.make_directory` syncs them itself.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple, Self

from memdbd.persistence.fs import FileSystem
from memdbd.persistence.lock import LOCK_FILE

DIRECTORY = "/data"

Files = dict[str, bytes]  # what a directory holds: the bytes of each name


class Change(NamedTuple):
    """Bytes were written at ``start``; or, with None, the file was cut there."""

    start: int
    data: bytes | None

    def on(self, before: bytes) -> bytes:
        """What is in the file then."""
        kept = before[: self.start].ljust(self.start, b"\0")
        if self.data is None:
            return kept
        return kept + self.data + before[self.start + len(self.data) :]


class File:
    """The bytes that are on disk, those that a reader gets, and how these came of those."""

    __slots__ = ("data", "has_failed", "synced", "unsynced")

    def __init__(self, data: bytes = b"") -> None:
        self.data = self.synced = data
        self.unsynced: list[Change] = []
        self.has_failed = False  # a sync of it did

    def change(self, change: Change) -> None:
        self.data = change.on(self.data)
        self.unsynced.append(change)

    @property
    def written(self) -> bytes:
        """What is on disk if all is written that is still to be."""
        data = self.synced
        for change in self.unsynced:
            data = change.on(data)
        return data

    def sync(self) -> None:
        self.synced = self.written
        self.unsynced = []

    def drop(self) -> None:
        """Forget to write what was not synced, as Linux does whose sync has failed: a reader gets
        it all the same, and the next sync says that all is well."""
        self.unsynced = []

    def copy(self) -> File:
        other = File(self.synced)
        other.data = self.data
        other.unsynced = self.unsynced.copy()
        return other


Names = dict[str, File]


class NameChange(NamedTuple):
    """``name`` was made (of ``file``), renamed from ``source``, or, with neither, removed."""

    name: str
    file: File | None = None
    source: str | None = None

    def on(self, names: Names) -> None:
        """Do it, as far as what it needs is there."""
        if self.file is not None:
            names[self.name] = self.file
        elif self.source is None:
            names.pop(self.name, None)
        elif self.source in names:
            names[self.name] = names.pop(self.source)


class Fault(NamedTuple):
    """What a call does in place of what it should: fail with ``code``, or, where that is None, for
    lack of memory; for a write, take ``taken`` bytes; for a sync, ``drop`` what was not synced."""

    code: int | None = errno.EIO
    taken: int | None = None
    drop: bool = False

    def error(self, path: str) -> Exception:
        if self.code is None:
            return MemoryError("the system has no more")
        return OSError(self.code, os.strerror(self.code), path)


class _Opened:
    __slots__ = ("file", "name", "position")

    def __init__(self, name: str, file: File) -> None:
        self.name = name
        self.file = file
        self.position = 0


def _nothing() -> None:
    pass


def _no_fault(call: str, name: str, size: int) -> Fault | None:
    return None


class CrashDisk(FileSystem):
    """The directory DIRECTORY. ``calls`` counts those that change something."""

    def __init__(self, files: Files | None = None) -> None:
        self.names: Names = {path: File(data) for path, data in (files or {}).items()}
        self.synced_names: Names = dict(self.names)
        self.unsynced_names: list[NameChange] = []
        self.directories = {os.path.dirname(path) for path in self.names}
        self.opened: dict[int, _Opened] = {}
        self.calls = 0
        self.retried: list[str] = []  # files that were synced again after their sync had failed
        self.before: Callable[[], object] = _nothing
        # Is asked with the name of the call, the path, and the number of bytes of a write.
        self.fault: Callable[[str, str, int], Fault | None] = _no_fault
        self.synced: Callable[[str], None] = lambda path: None  # hears of files that are synced
        self.dropped: Callable[[str], None] = lambda path: None  # … that are not, and lose that

    def files(self) -> Files:
        """What a reader finds now."""
        return {path: file.data for path, file in self.names.items() if not is_lock(path)}

    def killed(self) -> Self:
        """The disk as the next process finds it when this one is killed: nothing is lost, and what
        was not synced still is not."""
        other = type(self)()
        copies = {id(file): file.copy() for file in self._all_files()}
        other.directories = set(self.directories)
        other.names = {path: copies[id(file)] for path, file in self.names.items()}
        other.synced_names = {path: copies[id(file)] for path, file in self.synced_names.items()}
        other.unsynced_names = [
            change if change.file is None else change._replace(file=copies[id(change.file)])
            for change in self.unsynced_names
        ]
        return other

    def _all_files(self) -> list[File]:
        made = [change.file for change in self.unsynced_names if change.file is not None]
        return [*self.names.values(), *self.synced_names.values(), *made]

    # The directory

    def make_directory(self, path: str) -> None:
        self._ask("make_directory", path)
        self.directories.add(path)

    def exists(self, path: str) -> bool:
        self._ask("exists", path)
        return path in self.names or path in self.directories

    def list_directory(self, directory: str) -> list[str]:
        self._ask("list_directory", directory)
        everything = self.names.keys() | self.directories
        return [os.path.basename(path) for path in everything if _is_in(path, directory)]

    def resolve(self, path: str) -> str:
        return path

    def same_file(self, file: int, path: str) -> bool:
        return self.names.get(path) is self.opened[file].file

    def create(self, path: str) -> int:
        self._about_to("create", path)
        if path in self.names:
            raise FileExistsError(errno.EEXIST, "File exists", path)
        file = File()
        self._rename(NameChange(path, file))
        return self._open(path, file)

    def replace(self, source: str, target: str) -> None:
        self._about_to("replace", source)
        self._closed(source)
        if target in self.names:
            self._closed(target)
        self._rename(NameChange(target, source=source))

    def remove(self, path: str) -> None:
        self._about_to("remove", path)
        self._closed(path)
        self._rename(NameChange(path))

    def sync_directory(self, path: str) -> None:
        self._about_to("sync_directory", path)
        rest = {name: file for name, file in self.synced_names.items() if not _is_in(name, path)}
        self.synced_names = rest | {
            name: file for name, file in self.names.items() if _is_in(name, path)
        }
        self.unsynced_names = [
            change for change in self.unsynced_names if not _is_in(change.name, path)
        ]

    def _rename(self, change: NameChange) -> None:
        change.on(self.names)
        if not is_lock(change.name):
            self.unsynced_names.append(change)

    def _closed(self, path: str) -> None:
        file = self._at(path)
        if any(opened.file is file for opened in self.opened.values()):
            raise PermissionError(errno.EACCES, "Windows lets no open file go", path)

    # Files

    def read(self, path: str) -> Generator[bytes, None, None]:
        self._ask("read", path)
        data = self._at(path).data
        if data:
            yield data

    def open(self, path: str) -> int:
        self._ask("open", path)
        return self._open(path, self._at(path))

    def write_pieces(self, file: int, pieces: Sequence[bytes | memoryview]) -> int:
        return self.write(file, b"".join(pieces))

    def write(self, file: int, data: bytes | memoryview) -> int:
        opened = self.opened[file]
        self._is_next(opened.name)
        fault = self.fault("write", opened.name, len(data))
        if fault is not None:
            if fault.taken is None:
                raise fault.error(opened.name)
            data = data[: fault.taken]
        opened.file.change(Change(opened.position, bytes(data)))
        opened.position += len(data)
        return len(data)

    def truncate(self, file: int, length: int = 0) -> None:
        opened = self.opened[file]
        self._about_to("truncate", opened.name)
        opened.file.change(Change(length, None))
        opened.position = length

    def sync(self, file: int) -> None:
        self._sync("sync", self.opened[file])

    def sync_data(self, file: int) -> None:
        self._sync("sync_data", self.opened[file])

    def close(self, file: int) -> None:
        opened = self.opened.pop(file)  # as the system does, even if it then reports an error
        self._ask("close", opened.name)

    def lock(self, path: str) -> int | None:
        self._ask("lock", path)
        return self._open(path, self.names.setdefault(path, File()))

    def unlock(self, file: int) -> None:
        del self.opened[file]

    def _open(self, path: str, file: File) -> int:
        descriptor = max(self.opened, default=2) + 1
        self.opened[descriptor] = _Opened(path, file)
        return descriptor

    def _sync(self, call: str, opened: _Opened) -> None:
        file = opened.file
        self._is_next(opened.name)
        if file.has_failed:
            self.retried.append(opened.name)
        fault = self.fault(call, opened.name, 0)
        if fault is not None:
            file.has_failed = True
            if fault.drop:
                file.drop()
                self.dropped(opened.name)
            raise fault.error(opened.name)
        file.sync()
        self.synced(opened.name)

    def _at(self, path: str) -> File:
        if path not in self.names:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        return self.names[path]

    def _ask(self, call: str, path: str) -> None:
        fault = self.fault(call, path, 0)
        if fault is not None:
            raise fault.error(path)

    def _about_to(self, call: str, path: str) -> None:
        self._is_next(path)
        self._ask(call, path)

    def _is_next(self, path: str) -> None:
        if not is_lock(path):
            self.calls += 1
            self.before()


def _is_in(path: str, directory: str) -> bool:
    return os.path.dirname(path) == directory


def is_lock(path: str) -> bool:
    """The lock's file: no byte of it is data, so what becomes of it makes no other state."""
    return os.path.basename(path) == LOCK_FILE
