"""What the tests of the storage share: a real disk that fails where a test tells it to, and what a
daemon would find on it."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness import Stored
from twisted.logger import formatEvent

from memdbd.persistence.fs import FileSystem

OK = b'{"result": "OK"}\n'


def contents(directory: Path) -> dict[bytes, Any]:
    """The keys and values of database 0 that a daemon would find there."""
    reader = Stored(directory).start()
    found = dict(reader.house.engine.databases[0].values)
    reader.stop()
    return found


def kill(stored: Stored) -> None:
    """End a daemon as ``kill -9`` does: it writes no more, and the system gives its lock free."""
    stored.house.parts.storage._lock.release()
    stored.house.clock.calls.clear()


def result(stored: Stored, request: bytes) -> Any:
    """The result of a request over a connection of its own."""
    return json.loads(stored.house.connect().asks(request + b"\n"))["result"]


def told(stored: Stored) -> dict[str, Any]:
    """What info tells of persistence."""
    return dict(stored.storage.info())


def texts(events: Sequence[dict[str, Any]]) -> list[str | None]:
    """What was logged."""
    return [formatEvent(event) for event in events]


class Fault(NamedTuple):
    """An operation that fails on files in whose names there is ``file``."""

    operation: str
    file: str
    error: int


class FailingDisk(FileSystem):
    """``calls`` has what changes something or syncs it: the operation, and the name of the file.

    ``room`` is how many bytes the journal still takes; None: any number. ``before`` is called
    before each operation, with the same two words.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.before: Callable[[str, str], object] = lambda operation, name: None
        self.room: int | None = None
        self._faults: list[Fault] = []
        self._names: dict[int, str] = {}

    def breaks(self, operation: str, file: str = "", error: int = errno.ENOSPC) -> None:
        """Have an operation fail from now on, on files in whose names there is ``file``."""
        self._faults.append(Fault(operation, file, error))

    def is_mended(self) -> None:
        """Have everything work again."""
        self._faults.clear()
        self.room = None

    def count(self, operation: str, file: str) -> int:
        """How often this was asked for, on the file of this very name."""
        return self.calls.count((operation, file))

    def create(self, path: str) -> int:
        self._step("create", os.path.basename(path))
        file = super().create(path)
        self._names[file] = os.path.basename(path)
        return file

    def open(self, path: str) -> int:
        file = super().open(path)
        self._names[file] = os.path.basename(path)
        return file

    def write_pieces(self, file: int, pieces: Sequence[bytes | memoryview]) -> int:
        return self.write(file, b"".join(pieces))

    def write(self, file: int, data: bytes | memoryview) -> int:
        name = self._names.get(file, "")
        self._step("write", name)
        if self.room is None or not name.startswith("journal"):
            return super().write(file, data)
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = super().write(file, data[: self.room])
        self.room -= written
        return written

    def truncate(self, file: int, length: int = 0) -> None:
        self._step("truncate", self._names.get(file, ""))
        super().truncate(file, length)

    def sync(self, file: int) -> None:
        self._step("sync", self._names.get(file, ""))
        super().sync(file)

    def sync_data(self, file: int) -> None:
        # Not through ``sync``, as it would be on macOS: one call, one step.
        self._step("sync_data", self._names.get(file, ""))
        os.fsync(file)

    def replace(self, source: str, target: str) -> None:
        self._step("replace", os.path.basename(target))
        super().replace(source, target)

    def remove(self, path: str) -> None:
        self._step("remove", os.path.basename(path))
        super().remove(path)

    def sync_directory(self, path: str) -> None:
        self._step("sync_directory", os.path.basename(path))
        super().sync_directory(path)

    def _step(self, operation: str, name: str) -> None:
        self.before(operation, name)
        self.calls.append((operation, name))
        for fault in self._faults:
            if fault.operation == operation and fault.file in name:
                raise OSError(fault.error, os.strerror(fault.error))
