"""The snapshot: all keys in one JSON file that a person can read, grep and compare.

The format, version 1. The file as a whole is a JSON array; each line of it is one item::

    [{"format":"memdbd","version":1,"sequence":0,"created":"2026-11-23T03:18:27.123Z"},
    {"key":"username","value":"john_doe"},
    {"key":"temp_token","value":"abc123","deadline":1795403967123},
    {"key":"avatar","value":"iVBORw0KGgo=","encoding":"base64"},
    {"end":true,"count":3,"crc32":"0a1b2c3d"}]

``sequence`` is that of the last journal frame that it covers. In a record, ``type`` is left out
where it is ``string``, and ``database`` where it is 0; ``deadline`` is in milliseconds of the wall
clock; ``encoding`` and ``key_encoding`` say that the texts in the value, or the key, are base64,
which they are only where the bytes are not UTF-8. The last line has the number of records and the
CRC-32 of all bytes before that line: a file is a snapshot if its last line is exactly the one that
belongs to it.

Strategy of the writer: slices short enough to be written between two turns of the reactor, into a
temporary file; then sync, rename, sync of the directory. The rename is the commit point: before
it the old snapshot is untouched, after it the new one is whole. Reading is in
:mod:`memdbd.persistence.loading`.

May import: errors, keyspace, fs, legacy; commands.types.
"""

from __future__ import annotations

import contextlib
import os
from binascii import b2a_base64
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import orjson

from memdbd.keyspace import Contents
from memdbd.persistence import legacy
from memdbd.persistence.fs import FileSystem

if TYPE_CHECKING:
    from memdbd.commands.types import DataType

FORMAT = "memdbd"
VERSION = 1
MAGIC = b'[{"format":"memdbd",'
DEFAULT_TYPE = "string"
BASE64 = "base64"

# A slice of small keys takes about 0.5 ms. One of large values must not take longer, and one value
# larger than a slice is written in several.
SLICE_KEYS = 1000
SLICE_BYTES = 256 * 1024


class Snapshot(NamedTuple):
    """What was read: the contents of all databases that have any."""

    contents: Contents
    sequence: int
    created: float  # seconds of the wall clock; 0 where the file does not say
    imported: bool = False  # the file was not ours, but a plain JSON object of strings

    @property
    def size(self) -> int:
        """How many keys there are."""
        return sum(len(values) for values, _ in self.contents.values())


def header_line(sequence: int, created: float) -> bytes:
    """The first line, for a snapshot begun at ``created`` (seconds of the wall clock)."""
    moment = datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds")
    header = {
        "format": FORMAT,
        "version": VERSION,
        "sequence": sequence,
        "created": moment.replace("+00:00", "Z"),
    }
    return b"[" + orjson.dumps(header) + b",\n"


def end_line(count: int, crc: int) -> bytes:
    """The last line of a snapshot with ``count`` records."""
    return b'{"end":true,"count":%d,"crc32":"%08x"}]\n' % (count, crc)


def remove_unfinished(fs: FileSystem, path: str) -> None:
    """Remove what a writer left that was killed. For who holds the directory's lock."""
    with contextlib.suppress(FileNotFoundError):
        fs.remove(_temporary(path))


def _temporary(path: str) -> str:
    return f"{path}.tmp"


class SnapshotWriter:
    """Writes one snapshot: ``write_slice`` until it says False, then ``commit``; or ``abort``.

    ``contents`` are copies that nobody changes any more; ``types`` has the type of each class of
    value; ``created`` is in seconds of the wall clock.

    Whatever any method raises, the snapshot at ``path`` is as it was (or the new one, if only the
    last step of ``commit`` failed), the temporary file is gone and the writer is of no more use:
    after a failed sync, what a second one says of the same file is worth nothing.
    """

    def __init__(
        self,
        fs: FileSystem,
        path: str,
        contents: Contents,
        types: Mapping[type, DataType[Any]],
        created: float,
        sequence: int = 0,
    ) -> None:
        self._fs = fs
        self._path = path
        self._temporary = _temporary(path)
        self._slices = _slices(contents, types)
        self.count = sum(len(values) for values, _ in contents.values())
        self._crc = 0
        self._file: int | None = self._create()
        self._unfinished = True
        with self._aborted_on_error():
            self._write(header_line(sequence, created))

    def write_slice(self) -> bool:
        """Write some more; False when there was nothing left. Raises OSError."""
        with self._aborted_on_error():
            data = next(self._slices, None)
            if data is None:
                return False
            self._write(data)
            return True

    def commit(self) -> None:
        """Write what is left, and make the file the snapshot. Raises OSError.

        Blocks until the disk has it all, so it is for a thread: it touches nothing but the file
        and the copies. A file at ``path`` that is not a snapshot of ours is kept beside first.
        """
        with self._aborted_on_error():
            while self.write_slice():
                pass
            self._write(end_line(self.count, self._crc))
            self._fs.sync(self._opened())
            self._close()
            if self._would_replace_foreign_file():
                legacy.keep_original(self._fs, self._path)
            self._fs.replace(self._temporary, self._path)
            self._unfinished = False  # the temporary file's name is now free for another writer
            self._fs.sync_directory(os.path.dirname(self._path) or ".")

    def abort(self) -> None:
        """Give up and remove the temporary file; does nothing once committed or aborted."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._close()
        if self._unfinished:
            self._unfinished = False
            with contextlib.suppress(OSError):
                self._fs.remove(self._temporary)

    def _create(self) -> int:
        try:
            return self._fs.create(self._temporary)
        except FileExistsError:  # left by a daemon that was killed while it saved
            self._fs.remove(self._temporary)
            return self._fs.create(self._temporary)

    def _write(self, data: bytes) -> None:
        self._fs.write_all(self._opened(), data)
        self._crc = crc32(data, self._crc)

    def _opened(self) -> int:
        if self._file is None:
            raise ValueError("the snapshot is already committed or aborted")
        return self._file

    def _close(self) -> None:
        file, self._file = self._opened(), None
        self._fs.close(file)

    @contextlib.contextmanager
    def _aborted_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.abort()
            raise

    def _would_replace_foreign_file(self) -> bool:
        with contextlib.closing(self._fs.read(self._path)) as pieces:
            try:
                return not next(pieces, b"").startswith(MAGIC)
            except FileNotFoundError:
                return False


def _slices(contents: Contents, types: Mapping[type, DataType[Any]]) -> Iterator[bytes]:
    """The lines of all records, in pieces that are each short work to make and to write."""
    dumps = orjson.dumps
    lines: list[bytes] = []
    size = 0
    for record in _records(contents, types):
        dumped = record["value"]
        large = type(dumped) is str and len(dumped) > SLICE_BYTES
        if not large:
            line = dumps(record)
            lines.append(line)
            size += len(line)
        # What was collected goes out before a large record, so that keys keep their order.
        if lines and (large or size > SLICE_BYTES or len(lines) == SLICE_KEYS):
            yield b",\n".join(lines) + b",\n"
            lines.clear()
            size = 0
        if large:
            yield from _large_record(record)
    if lines:
        yield b",\n".join(lines) + b",\n"


def _records(contents: Contents, types: Mapping[type, DataType[Any]]) -> Iterator[dict[str, Any]]:
    decode = bytes.decode
    for database, (values, deadlines) in contents.items():
        deadline_of = deadlines.get
        for key, value in values.items():
            kind = types[type(value)]
            try:
                record = {"key": decode(key), "value": kind.dump(value, decode)}
            except UnicodeDecodeError:
                record = _in_base64(key, value, kind)
            if kind.name != DEFAULT_TYPE:
                record["type"] = kind.name
            if database:
                record["database"] = database
            deadline = deadline_of(key)
            if deadline is not None:
                record["deadline"] = deadline
            yield record


def _in_base64(key: bytes, value: Any, kind: DataType[Any]) -> dict[str, Any]:
    """The record of a key or value that is not UTF-8; a value is so as a whole or not at all."""
    record: dict[str, Any] = {}
    marks = {}
    try:
        record["key"] = key.decode()
    except UnicodeDecodeError:
        record["key"] = _base64(key)
        marks["key_encoding"] = BASE64
    try:
        record["value"] = kind.dump(value, bytes.decode)
    except UnicodeDecodeError:
        record["value"] = kind.dump(value, _base64)
        marks["encoding"] = BASE64
    return record | marks


def _base64(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).decode()


def _large_record(record: dict[str, Any]) -> Iterator[bytes]:
    """The line of a record whose value is a long text, in pieces."""
    text = record.pop("value")
    yield b'{"key":%b,"value":"' % orjson.dumps(record.pop("key"))
    for at in range(0, len(text), SLICE_BYTES):
        yield orjson.dumps(text[at : at + SLICE_BYTES])[1:-1]
    marks = orjson.dumps(record)[1:-1]
    yield b'",%b},\n' % marks if marks else b'"},\n'
