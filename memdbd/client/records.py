"""What can be imported, told apart by its first bytes, and read one key after the other.

* JSON lines, as ``memdb export`` writes them: records in the form of the snapshot, and a last line
  with their number, by which a file that was cut off is noticed;
* a snapshot of memdbd; a plain JSON object of strings, as other small databases keep it;
* a Redis RDB file (:mod:`~memdbd.client.rdb`).

May import: errors, fs, legacy, loading, rdb, snapshot, words; commands.types.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from typing import Any, Protocol

import orjson

from memdbd.client import rdb
from memdbd.client.words import shown
from memdbd.commands.types import DataType
from memdbd.errors import MemDBError, SnapshotDamaged
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.legacy import MARK, RDB_MAGIC
from memdbd.persistence.loading import FAULTS, blocks_of, entry_of, read, reason_of
from memdbd.persistence.snapshot import Entry, entries, lines_of

Types = Mapping[str, DataType[Any]]
Found = tuple[str, Entry]  # where it is, such as "line 3", and what it is


class BadInput(MemDBError):
    """What is to be imported cannot be; says where and why."""


class Source(Protocol):
    """Something to import. ``entries`` may be gone through more than once; it raises BadInput or
    :class:`rdb.BadFile`. The rest is known when that was done: ``left_out``, how many keys of which
    database are of a type that memdbd has not; ``note``, what else there is to say."""

    left_out: dict[int, int]
    note: str

    def entries(self) -> Iterator[Found]: ...


def open_source(
    fs: FileSystem, path: str, name: str, types: Types, *, incomplete: bool = False
) -> Source:
    """The file at ``path``, which is called ``name`` in errors; raises OSError. ``incomplete``:
    whether JSON lines are taken whose last line is missing."""
    first = next(fs.read(path), b"")
    if first.startswith(RDB_MAGIC):
        return _Rdb(fs, path, name, types)
    if not first.strip() or _looks_like_lines(first):
        return Lines(fs, path, name, types, incomplete=incomplete)
    return _Snapshot(fs, path, name, types)


def _looks_like_lines(first: bytes) -> bool:
    """Whether the first line is a record by itself, or begins as one."""
    line = first.removeprefix(MARK).lstrip().partition(b"\n")[0]
    if line.startswith((b'{"key":', b'{"end":')):
        return b"\n" in first or not _is_object_of_strings(line)
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return isinstance(record, dict) and {"key", "value"} <= record.keys()


def _is_object_of_strings(line: bytes) -> bool:
    """Whether this line is a plain JSON object, one of whose keys happens to be "key"."""
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return isinstance(found, dict) and "value" not in found and "end" not in found


class Lines:
    """JSON lines."""

    def __init__(
        self, fs: FileSystem, path: str, name: str, types: Types, *, incomplete: bool = False
    ) -> None:
        self.left_out: dict[int, int] = {}
        self._incomplete = incomplete
        self.note = ""
        self._fs = fs
        self._path = path
        self._name = name
        self._types = types

    def entries(self) -> Iterator[Found]:
        seen: set[tuple[int, bytes]] = set()
        number, is_over = 0, False
        for line in self._lines():
            number += 1
            if not line.strip():
                continue
            if is_over:
                raise self._bad(number, "there is more behind the last line")
            try:
                record = orjson.loads(line)
                if isinstance(record, dict) and "end" in record:
                    self._compare(record, len(seen), number)
                    is_over = True
                    continue
                entry = entry_of(record, self._types)
            except FAULTS as fault:
                raise self._bad(number, reason_of(fault)) from None
            place = entry[:2]
            if place in seen:
                raise self._bad(number, f"key {record['key']!r} is there a second time")
            seen.add(place)
            yield f"line {number}", entry
        if not is_over:
            self.note = (
                f"{self._name} has no last line as memdb export writes it, so nobody can tell "
                "whether it is complete"
            )
            if not seen:
                self.note = f"{self._name} is empty"
            if not self._incomplete and not seen:
                raise BadInput(f"{self.note}: there is nothing to import")
            if not self._incomplete:
                raise BadInput(
                    f"{self.note}. Nothing was written; --incomplete imports it all the same"
                )

    def _lines(self) -> Iterator[bytes]:
        is_first = True
        for block in blocks_of(self._fs, self._path):
            if is_first:
                block, is_first = block.removeprefix(MARK), False
            yield from BytesIO(block)

    def _compare(self, record: dict[str, Any], count: int, number: int) -> None:
        if record.get("end") is not True or record.get("count") != count:
            told = record.get("count")
            raise self._bad(number, f"there should be {told} records before it, there are {count}")

    def _bad(self, number: int, reason: str) -> BadInput:
        return BadInput(f"{self._name}, line {number}: {reason}")


class _Snapshot:
    """A snapshot, or a JSON object of strings. All of it is read before anything is taken."""

    def __init__(self, fs: FileSystem, path: str, name: str, types: Types) -> None:
        self.left_out: dict[int, int] = {}
        self.note = ""
        try:
            self._contents = read(fs, path, types).contents
        except SnapshotDamaged as damaged:
            raise BadInput(f"{name}, line {damaged.line}: {damaged.reason}") from None

    def entries(self) -> Iterator[Found]:
        for entry in entries(self._contents):
            yield f"key {shown(entry[1])}", entry


class _Rdb(rdb.RdbFile):
    note = ""


# The other way


def json_lines(found: Iterable[Entry], classes: Mapping[type, DataType[Any]]) -> Iterator[bytes]:
    """Entries as lines, in pieces."""
    for lines, _ in lines_of(found, classes):
        # In JSON there is no bare end of a line, so each is the end of a record.
        yield lines.replace(b",\n", b"\n")


def last_line(count: int) -> bytes:
    """The line behind so many records."""
    return b'{"end":true,"count":%d}\n' % count
