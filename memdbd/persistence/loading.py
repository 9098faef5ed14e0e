"""Reading a snapshot, or refusing it: the whole of what was saved, or an error with its line.

Strategy: lines are parsed many at a time, a block of the file as one JSON array, and the parser
does the checking. Only where that fails is the block gone through line by line, to find the fault
and name it. What no parser can notice, the checksum does, so the result counts only once the
last line has been compared. Nothing on disk is changed.

May import: databases, errors, fs, legacy, snapshot; commands.types.
"""

from __future__ import annotations

import contextlib
import gc
from binascii import a2b_base64
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Any
from zlib import crc32

import orjson

from memdbd.databases import COUNT
from memdbd.errors import SnapshotDamaged, StorageError
from memdbd.persistence import legacy
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.snapshot import (
    BASE64,
    DEFAULT_TYPE,
    FORMAT,
    VERSION,
    Snapshot,
    end_line,
)

if TYPE_CHECKING:
    from memdbd.commands.types import DataType, Untext

_FIELDS = frozenset({"key", "key_encoding", "value", "encoding", "type", "database", "deadline"})

# What orjson, the record's fields and DataType.load raise for something that was never written.
_FAULTS = (ValueError, TypeError, LookupError)


def read(fs: FileSystem, path: str, types: Mapping[str, DataType[Any]]) -> Snapshot:
    """All that the file holds; ``types`` has the type of each name.

    A JSON object of strings, as other small databases keep it, is read as well (``imported``).
    Raises SnapshotDamaged for a file that is not exactly what was written, StorageError for one
    that cannot be read.
    """
    try:
        with _collector_paused():
            return _read(fs, path, types)
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}") from error


def _read(fs: FileSystem, path: str, types: Mapping[str, DataType[Any]]) -> Snapshot:
    blocks = _blocks(fs.read(path))
    block = next(blocks, b"")
    if not block.startswith(b"["):
        texts = legacy.parse(path, block + b"".join(blocks))
        load = types[DEFAULT_TYPE].load
        values = {key.encode(): load(text, str.encode) for key, text in texts.items()}
        return Snapshot({0: (values, {})}, sequence=0, created=0.0, imported=True)
    header, newline, block = block.partition(b"\n")
    loader = _Loader(path, types, header + newline)
    for following in blocks:
        loader.add(block)
        block = following
    last_line = block.rfind(b"\n", 0, -1) + 1
    loader.add(block[:last_line])
    return loader.finish(block[last_line:])


def _blocks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines, as many as a piece of the file has; at last perhaps an unfinished one."""
    held: list[bytes] = []
    for piece in pieces:
        end = piece.rfind(b"\n") + 1
        if end:
            held.append(piece[:end])
            yield b"".join(held)
            held = [piece[end:]]
        else:
            held.append(piece)
    rest = b"".join(held)
    if rest:
        yield rest


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """No garbage collection meanwhile: a million new objects would be gone through time and
    again, and none of them is garbage."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Loader:
    """What was read so far. Each method raises SnapshotDamaged for lines that were not written."""

    def __init__(self, path: str, types: Mapping[str, DataType[Any]], header: bytes) -> None:
        self._path = path
        self._types = types
        self._contents: dict[int, tuple[dict[bytes, Any], dict[bytes, int]]] = {0: ({}, {})}
        self._line = 1  # of the next one
        try:
            self._sequence, self._created = _parse_header(header)
        except _FAULTS as fault:
            raise self._damaged(_reason(fault, "this is not the header of a snapshot")) from None
        self._line = 2
        self._crc = crc32(header)

    def add(self, block: bytes) -> None:
        """Take the records of any number of whole lines."""
        before = {number: len(values) for number, (values, _) in self._contents.items()}
        try:
            records = orjson.loads(b"[%b]" % _without_comma(block)) if block else []
            self._add(records)
            if not block.count(b"\n") == len(records) == self._count() - sum(before.values()):
                raise ValueError("lines, records and keys differ in number")
        except _FAULTS as fault:
            seen = {
                (number, key)
                for number, count in before.items()
                for key in islice(self._contents[number][0], count)
            }
            self._find_fault(block, seen)
            raise self._damaged(str(fault)) from None
        self._crc = crc32(block, self._crc)
        self._line += len(records)

    def finish(self, line: bytes) -> Snapshot:
        """Compare the last line with the one that belongs to what was read."""
        if line != end_line(self._count(), self._crc):
            raise self._damaged(self._fault_of_end(line))
        return Snapshot(self._contents, self._sequence, self._created)

    def _count(self) -> int:
        return sum(len(values) for values, _ in self._contents.values())

    def _add(self, records: Iterable[dict[str, Any]]) -> None:
        (values, deadlines), encode = self._contents[0], str.encode
        load = self._types[DEFAULT_TYPE].load
        for record in records:
            # By far the most are plain strings, with or without a deadline: a short way for them.
            if len(record) == 2:
                values[encode(record["key"])] = load(record["value"], encode)
            elif len(record) == 3 and "deadline" in record:
                key = encode(record["key"])
                values[key] = load(record["value"], encode)
                deadlines[key] = _whole_number(record["deadline"])
            else:
                database, key, value, deadline = self._parse(record)
                its_values, its_deadlines = self._contents.setdefault(database, ({}, {}))
                its_values[key] = value
                if deadline is not None:
                    its_deadlines[key] = deadline

    def _parse(self, record: dict[str, Any]) -> tuple[int, bytes, Any, int | None]:
        """Database, key, value and deadline of a record with any fields."""
        if not isinstance(record, dict):
            raise TypeError("not an object")
        if not record.keys() <= _FIELDS:
            raise _Fault(f"field {min(record.keys() - _FIELDS)!r} is not known")
        kind = self._types.get(record.get("type", DEFAULT_TYPE))
        if kind is None:
            raise _Fault(f"type {record['type']!r} is not known to this version of memdbd")
        key = _untext(record.get("key_encoding"))(record["key"])
        value = kind.load(record["value"], _untext(record.get("encoding")))
        deadline = _whole_number(record["deadline"]) if "deadline" in record else None
        return _database(record.get("database", 0)), key, value, deadline

    def _find_fault(self, block: bytes, seen: set[tuple[int, bytes]]) -> None:
        """Raise for the first line of ``block`` that is at fault; ``seen``: the keys before it."""
        for line in BytesIO(block):
            if line.startswith(b'{"end":'):
                raise self._damaged("there is more after this line, which was the last")
            try:
                record = orjson.loads(_without_comma(line))
                database, key, _, _ = self._parse(record)
            except _FAULTS as fault:
                raise self._damaged(_reason(fault, "this is not a record")) from None
            if (database, key) in seen:
                raise self._damaged(f"key {record['key']!r} is there a second time")
            seen.add((database, key))
            self._line += 1

    def _fault_of_end(self, line: bytes) -> str:
        if not line.startswith(b'{"end":') or not line.endswith(b"]\n"):
            return "the file is cut off here, its end is missing"
        try:
            end = orjson.loads(line[:-2])
            count, checksum = end["count"], end["crc32"]
        except _FAULTS:
            return "this is not the last line of a snapshot"
        if count != self._count():
            return f"there should be {count} records before this line, there are {self._count()}"
        return (
            f"the checksum of what is before this line should be {checksum}, it is "
            f"{self._crc:08x}: the file was changed after it was written"
        )

    def _damaged(self, reason: str) -> SnapshotDamaged:
        return SnapshotDamaged(self._path, self._line, reason)


class _Fault(ValueError):
    """A fault in a line, in words for a person; other ValueErrors are in those of a library."""


def _reason(fault: Exception, otherwise: str) -> str:
    return str(fault) if isinstance(fault, _Fault) else otherwise


def _parse_header(line: bytes) -> tuple[int, float]:
    """The sequence number and the time of creation that the first line tells."""
    header = orjson.loads(_without_comma(line)[1:])
    if header["format"] != FORMAT:
        raise ValueError("not ours")
    version = header["version"]
    if version != VERSION:
        raise _Fault(
            f"this is version {version} of the format and this memdbd reads version {VERSION}: "
            "use the memdbd that wrote the file"
        )
    sequence = header["sequence"]
    if type(sequence) is not int:
        raise ValueError("not ours")
    created = datetime.strptime(header["created"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    return sequence, created.timestamp()


def _without_comma(lines: bytes) -> bytes:
    if not lines.endswith(b",\n"):
        raise ValueError("a line that does not end in a comma")
    return lines[:-2]


def _whole_number(deadline: object) -> int:
    if type(deadline) is not int:
        raise _Fault("the deadline is not a whole number of milliseconds")
    return deadline


def _database(number: object) -> int:
    if type(number) is not int or not 0 <= number < COUNT:
        raise _Fault(f"the database is not a number from 0 to {COUNT - 1}")
    return number


def _untext(encoding: object) -> Untext:
    """How the bytes are made of a text that is marked with ``encoding``."""
    if encoding is None:
        return str.encode
    if encoding == BASE64:
        return _unbase64
    raise _Fault(f"encoding {encoding!r} is not known")


def _unbase64(text: str) -> bytes:
    return a2b_base64(text, strict_mode=True)
