"""A disk in memory for the tests of persistence: it fails where it is told to, and loses power.

What a real disk does when power is lost is taken at its worst: of a file's bytes only those that
were synced are left, and of the names in a directory those that were synced and any of the others.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Container, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from memdbd.commands.strings import STRING
from memdbd.commands.types import DataType
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.loading import read
from memdbd.persistence.snapshot import SnapshotWriter, entries, header_line, install, lines_of

PATH = "data/persistence.json"
TEMPORARY = PATH + ".tmp"
CREATED = 1795403907.123

LIST: DataType[list[bytes]] = DataType(
    name="list",
    python=list,
    dump=lambda value, text: [text(item) for item in value],
    load=lambda dumped, untext: [untext(item) for item in dumped],
    size=len,
    copy=list,
    encoding=lambda value: "quicklist",
)
TYPES = (STRING, LIST)


@dataclass(eq=False)
class Inode:
    data: bytes = b""
    synced: bytes = b""


@dataclass(eq=False)
class Opened:
    """An open file, and where in it the next byte is written."""

    inode: Inode
    position: int = 0


@dataclass
class MemoryDisk(FileSystem):
    """``fail_at``: the number, from 1 on, of the operation that raises ``error``, which is not
    carried out; all later ones work. ``calls`` has the names of all operations so far."""

    fail_at: int = 0
    error: int = errno.EIO
    bytes_per_write: int = 1 << 30
    piece: int = 1 << 20  # that read gives at once
    calls: list[str] = field(default_factory=list)
    before_each: Callable[[MemoryDisk], None] = lambda disk: None
    names: dict[str, Inode] = field(default_factory=dict)
    synced_names: dict[str, Inode] = field(default_factory=dict)
    opened: dict[int, Opened] = field(default_factory=dict)

    def put(self, path: str, data: bytes) -> MemoryDisk:
        """Have a file there, as if it had been there for long."""
        self.names[path] = self.synced_names[path] = Inode(data, data)
        return self

    def files(self) -> dict[str, bytes]:
        return {path: inode.data for path, inode in self.names.items()}

    def after_power_loss(self, written: Container[str]) -> MemoryDisk:
        """What is left, where the disk had already ``written`` these names of its own accord."""
        left = MemoryDisk()
        for path in self.names.keys() | self.synced_names.keys():
            inode = (self.names if path in written else self.synced_names).get(path)
            if inode is not None:
                left.put(path, inode.synced)
        return left

    def make_directory(self, path: str) -> None:
        self._step("make_directory")

    def exists(self, path: str) -> bool:
        self._step("exists")
        return path in self.names

    def list_directory(self, directory: str) -> list[str]:
        self._step("list_directory")
        parts = (path.rpartition("/") for path in self.names)
        return [name for parent, _, name in parts if parent == directory]

    def resolve(self, path: str) -> str:
        return path

    def same_file(self, file: int, path: str) -> bool:
        return self.names.get(path) is self.opened[file].inode

    def read(self, path: str) -> Generator[bytes, None, None]:
        self._step("read")
        data = self._at(path).data
        for start in range(0, len(data), self.piece):
            yield data[start : start + self.piece]

    def create(self, path: str) -> int:
        self._step("create")
        if path in self.names:
            raise FileExistsError(errno.EEXIST, "File exists", path)
        self.names[path] = inode = Inode()
        return self._open(inode)

    def open(self, path: str) -> int:
        self._step("open")
        return self._open(self._at(path))

    def write_pieces(self, file: int, pieces: Sequence[bytes | memoryview]) -> int:
        return self.write(file, b"".join(pieces))

    def write(self, file: int, data: bytes | memoryview) -> int:
        self._step("write")
        taken = bytes(data[: self.bytes_per_write])
        opened = self.opened[file]
        before = opened.inode.data.ljust(opened.position, b"\0")
        end = opened.position + len(taken)
        opened.inode.data = before[: opened.position] + taken + before[end:]
        opened.position = end
        return len(taken)

    def truncate(self, file: int, length: int = 0) -> None:
        self._step("truncate")
        opened = self.opened[file]
        opened.inode.data = opened.inode.data[:length].ljust(length, b"\0")
        opened.position = length

    def sync(self, file: int) -> None:
        self._step("sync")
        self._sync(file)

    def sync_data(self, file: int) -> None:
        self._step("sync_data")
        self._sync(file)

    def close(self, file: int) -> None:
        del self.opened[file]  # as the system does, even if it then reports an error
        self._step("close")

    def replace(self, source: str, target: str) -> None:
        self._step("replace")
        inode = self._at(source)
        if any(opened.inode is inode for opened in self.opened.values()):
            raise PermissionError(errno.EACCES, "Windows replaces no open file", source)
        self.names[target] = inode
        del self.names[source]

    def remove(self, path: str) -> None:
        self._step("remove")
        self._at(path)
        del self.names[path]

    def sync_directory(self, path: str) -> None:
        self._step("sync_directory")
        self.synced_names = dict(self.names)

    def lock(self, path: str) -> int | None:
        self._step("lock")
        return self._open(self.names.setdefault(path, Inode()))

    def unlock(self, file: int) -> None:
        del self.opened[file]
        self._step("unlock")

    def _open(self, inode: Inode) -> int:
        descriptor = max(self.opened, default=2) + 1
        self.opened[descriptor] = Opened(inode)
        return descriptor

    def _sync(self, file: int) -> None:
        inode = self.opened[file].inode
        inode.synced = inode.data

    def _at(self, path: str) -> Inode:
        if path not in self.names:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        return self.names[path]

    def _step(self, name: str) -> None:
        self.before_each(self)
        self.calls.append(name)
        if len(self.calls) == self.fail_at:
            raise OSError(self.error, "the disk fails")


def writer(disk: FileSystem, path: str = PATH) -> SnapshotWriter:
    """A writer of a snapshot for PATH, which covers seven frames."""
    return SnapshotWriter(disk, path, header_line(7, CREATED, None))


def save(
    disk: FileSystem, values: dict[bytes, Any], deadlines: dict[bytes, int] | None = None
) -> None:
    """Make a snapshot of these keys the one at PATH."""
    types = {kind.python: kind for kind in TYPES}
    snapshot = writer(disk)
    for lines, count in lines_of(entries({0: (values, deadlines or {})}), types):
        snapshot.add(lines, count)
    snapshot.finish()
    install(disk, PATH)


def saved(values: dict[bytes, Any], deadlines: dict[bytes, int] | None = None) -> bytes:
    """The bytes of a snapshot with these keys."""
    disk = MemoryDisk()
    save(disk, values, deadlines)
    return disk.names[PATH].data


class Loaded(NamedTuple):
    """A snapshot of one database."""

    values: dict[bytes, Any]
    deadlines: Mapping[bytes, int]
    sequence: int
    created: float
    imported: bool = False


def load(disk: FileSystem, path: str = PATH) -> Loaded:
    found = read(disk, path, {kind.name: kind for kind in TYPES})
    assert list(found.contents) == [0]
    values, deadlines = found.contents[0]
    return Loaded(values, deadlines, found.sequence, found.created, found.imported)


def loaded(data: bytes, piece: int = 1 << 20) -> Loaded:
    """What is read from a file with these bytes, that the disk gives in pieces."""
    return load(MemoryDisk(piece=piece).put(PATH, data))
