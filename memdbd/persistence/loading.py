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
from memdbd.keyspace import Contents
from memdbd.persistence import legacy
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.snapshot import (
    BASE64,
    DEFAULT_TYPE,
    FORMAT,
    VERSION,
    Entry,
    Following,
    Snapshot,
    end_line,
)

if TYPE_CHECKING:
    from memdbd.commands.types import DataType, Untext

FIELDS = frozenset({"key", "key_encoding", "value", "encoding", "type", "database", "deadline"})

# What orjson, the record's fields and DataType.load raise for something that was never written.
FAULTS = (ValueError, TypeError, LookupError)


def read(fs: FileSystem, path: str, types: Mapping[str, DataType[Any]]) -> Snapshot:
    """All that the file holds; ``types`` has the type of each name.

    A JSON object of strings, as other small databases keep it, is read as well (``imported``).
    Raises SnapshotDamaged for a file that is not exactly what was written, StorageError for one
    that cannot be read.
    """
    try:
        with collector_paused():
            return _read(fs, path, types)
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}") from error


def _read(fs: FileSystem, path: str, types: Mapping[str, DataType[Any]]) -> Snapshot:
    blocks = blocks_of(fs, path)
    block = next(blocks, b"")
    if not is_ours(block):
        contents = imported(path, block + b"".join(blocks), types)
        return Snapshot(contents, sequence=0, created=0.0, imported=True)
    loader = _Loader(path, types, block)
    loader.go_through(blocks)
    contents = loader.contents or {0: ({}, {})}
    return loader.head._replace(contents=contents, length=loader.size)


def blocks_of(fs: FileSystem, path: str) -> Iterator[bytes]:
    """The file, in blocks of whole lines. Raises OSError."""
    return _blocks(fs.read(path))


def is_ours(block: bytes) -> bool:
    """Whether a file that begins with ``block`` is to be read as a snapshot, and not imported."""
    return block.startswith(b"[")


def imported(path: str, data: bytes, types: Mapping[str, DataType[Any]]) -> Contents:
    """What is in a JSON object of strings."""
    texts = legacy.parse(path, data)
    load = types[DEFAULT_TYPE].load
    return {0: ({key.encode(): load(text, str.encode) for key, text in texts.items()}, {})}


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
def collector_paused() -> Iterator[None]:
    """No garbage collection meanwhile: a million new objects would be gone through time and
    again, and none of them is garbage."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Reader:
    """Goes through a snapshot and makes sure that it is what was written; what is done with its
    records is for a subclass to say.

    Begins with the first block of the file. ``head`` is what its first line tells, and no contents.
    All methods raise SnapshotDamaged for lines that were not written.
    """

    def __init__(self, path: str, types: Mapping[str, DataType[Any]], block: bytes) -> None:
        self._path = path
        self._types = types
        self._line = 1  # of the next one
        header, newline, self._block = block.partition(b"\n")
        try:
            self.head = parse_header(header + newline)
        except FAULTS as fault:
            raise self._damaged(reason_of(fault, "this is not the header of a snapshot")) from None
        self._line = 2
        self._crc = crc32(header + newline)
        self.size = len(block)  # bytes of the file so far
        # What was kept, and how many keys of each database before the block that is being taken.
        self.contents: dict[int, tuple[dict[bytes, Any], dict[bytes, int]]] = {}
        self._before: dict[int, int] = {}

    def go_through(self, blocks: Iterable[bytes]) -> None:
        """Take all records; ``blocks`` are those behind the first one. What was taken counts only
        when this has returned."""
        block = self._block
        for following in blocks:
            self._add(block)
            block = following
            self.size += len(block)
        last_line = block.rfind(b"\n", 0, -1) + 1
        self._add(block[:last_line])
        if block[last_line:] != end_line(self._count, self._crc):
            raise self._damaged(self._fault_of_end(block[last_line:]))

    def _take(self, block: bytes, records: list[dict[str, Any]]) -> None:
        """Take these records, which are the lines of ``block``, and put in ``contents`` what is to
        be kept of them. What is raised of FAULTS makes each line be looked at."""
        raise NotImplementedError

    @property
    def _count(self) -> int:
        """How many records were taken."""
        return self._line - 2

    def _add(self, block: bytes) -> None:
        if not block:
            return
        self._before = {number: len(values) for number, (values, _) in self.contents.items()}
        try:
            records = orjson.loads(b"[%b]" % without_comma(block))
            if block.count(b"\n") != len(records):
                raise ValueError("lines and records differ in number")
            self._take(block, records)
        except FAULTS as fault:
            self._find_fault(block)
            raise self._damaged(str(fault)) from None
        self._crc = crc32(block, self._crc)
        self._line += len(records)

    def _find_fault(self, block: bytes) -> None:
        """Raise for the first line of ``block`` that is at fault."""
        seen = {
            (number, key)
            for number, count in self._before.items()
            for key in islice(self.contents[number][0], count)
        }
        for line in BytesIO(block):
            if line.startswith(b'{"end":'):
                raise self._damaged("there is more after this line, which was the last")
            try:
                record = orjson.loads(without_comma(line))
                database, key, _, _ = entry_of(record, self._types)
            except FAULTS as fault:
                raise self._damaged(reason_of(fault)) from None
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
        except FAULTS:
            return "this is not the last line of a snapshot"
        if count != self._count:
            return f"there should be {count} records before this line, there are {self._count}"
        return (
            f"the checksum of what is before this line should be {checksum}, it is "
            f"{self._crc:08x}: the file was changed after it was written"
        )

    def _damaged(self, reason: str) -> SnapshotDamaged:
        return SnapshotDamaged(self._path, self._line, reason)


class _Loader(Reader):
    """Keeps all records."""

    def _take(self, block: bytes, records: list[dict[str, Any]]) -> None:
        (values, deadlines), encode = self.contents.setdefault(0, ({}, {})), str.encode
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
                database, key, value, deadline = entry_of(record, self._types)
                its_values, its_deadlines = self.contents.setdefault(database, ({}, {}))
                its_values[key] = value
                if deadline is not None:
                    its_deadlines[key] = deadline
        if sum(len(values) for values, _ in self.contents.values()) != self._count + len(records):
            raise ValueError("a key is there a second time")


class _Fault(ValueError):
    """A fault in a line, in words for a person; other ValueErrors are in those of a library."""


def entry_of(record: Any, types: Mapping[str, DataType[Any]]) -> Entry:
    """Database, key, value and deadline of a record with any fields.

    Raises one of FAULTS for what is no record; :func:`reason_of` says of it what is wrong.
    """
    if not isinstance(record, dict):
        raise TypeError("not an object")
    if not record.keys() <= FIELDS:
        raise _Fault(f"field {min(record.keys() - FIELDS)!r} is not known")
    kind = types.get(record.get("type", DEFAULT_TYPE))
    if kind is None:
        raise _Fault(f"type {record['type']!r} is not known to this version of memdbd")
    key = _untext(record.get("key_encoding"))(record["key"])
    value = kind.load(record["value"], _untext(record.get("encoding")))
    deadline = _whole_number(record["deadline"]) if "deadline" in record else None
    return database_of(record), key, value, deadline


def reason_of(fault: Exception, otherwise: str = "this is not a record") -> str:
    """What a person is told of one of FAULTS."""
    return str(fault) if isinstance(fault, _Fault) else otherwise


def parse_header(line: bytes) -> Snapshot:
    """What the first line tells: a snapshot without contents."""
    header = orjson.loads(without_comma(line)[1:])
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
    following = None
    if "journal" in header:
        segment, salt = header["journal"]["segment"], header["journal"].get("salt")
        if type(segment) is not int or (salt is not None and len(salt) != 8):
            raise ValueError("not ours")
        following = Following(segment, None if salt is None else int(salt, 16))
    return Snapshot({}, sequence, created.timestamp(), journal=following)


def without_comma(lines: bytes) -> bytes:
    """Lines of records as JSON. Raises ValueError where they are none."""
    if not lines.endswith(b",\n"):
        raise ValueError("a line that does not end in a comma")
    return lines[:-2]


def _whole_number(deadline: object) -> int:
    if type(deadline) is not int:
        raise _Fault("the deadline is not a whole number of milliseconds")
    return deadline


def database_of(record: dict[str, Any]) -> int:
    """The number of the database of a record. Raises ValueError where it has none that there is."""
    number = record.get("database", 0)
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
