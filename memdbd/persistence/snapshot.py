"""The snapshot: all keys in one JSON file that a person can read, grep and compare.

The format, version 1. The file as a whole is a JSON array; each line of it is one item::

    [{"format":"memdbd","version":1,"sequence":17,"created":"2026-11-23T03:18:27.123Z","journal":…},
    {"key":"username","value":"john_doe"},
    {"key":"temp_token","value":"abc123","deadline":1795403967123},
    {"key":"avatar","value":"iVBORw0KGgo=","encoding":"base64"},
    {"end":true,"count":3,"crc32":"0a1b2c3d"}]

``sequence`` is that of the last journal frame that it covers, and ``journal`` is the segment that
follows: ``{"segment":4,"salt":"5be0cd19"}``, which was there before, or without a salt one that may
have been made since. It is left out where the file has nothing to do with a journal. In a record,
``type`` is left out where it is ``string``, and ``database`` where it is 0; ``deadline`` is in
milliseconds of the wall clock; ``encoding`` and ``key_encoding`` say that the texts in the value,
or the key, are base64, which they are only where the bytes are not UTF-8. The last line has the
number of records and the CRC-32 of all bytes before that line: a file is a snapshot if its last
line is exactly the one that belongs to it.

Strategy of the writer: into a temporary file, which is synced. Then ``install`` makes it the
snapshot: rename, sync of the directory. The rename is the commit point: before it the old snapshot
is untouched, after it the new one is whole. Reading is in :mod:`memdbd.persistence.loading`.

May import: errors, keyspace, fs, legacy; commands.types.
"""

from __future__ import annotations

import contextlib
import os
from binascii import b2a_base64
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import orjson

from memdbd.keyspace import Contents
from memdbd.persistence import legacy
from memdbd.persistence.fs import FileSystem

if TYPE_CHECKING:
    from memdbd.commands.types import DataType

FILENAME = "persistence.json"  # usually
FORMAT = "memdbd"
VERSION = 1
MAGIC = b'[{"format":"memdbd",'
DEFAULT_TYPE = "string"
BASE64 = "base64"

# A slice of small keys takes about 0.5 ms. One of large values must not take longer, and one value
# larger than a slice is written in several.
SLICE_KEYS = 1000
SLICE_BYTES = 256 * 1024


class Following(NamedTuple):
    """The segment of the journal that follows a snapshot: its number and its salt. It was there
    before the snapshot; if not (it is made when the snapshot is on disk), the salt is None."""

    segment: int
    salt: int | None


class Snapshot(NamedTuple):
    """What was read: the contents of all databases that have any."""

    contents: Contents
    sequence: int
    created: float  # seconds of the wall clock; 0 where the file does not say
    imported: bool = False  # the file was not ours, but a plain JSON object of strings
    journal: Following | None = None
    length: int = 0  # bytes of the file, if it is ours

    @property
    def size(self) -> int:
        """How many keys there are."""
        return sum(len(values) for values, _ in self.contents.values())


NO_SNAPSHOT = Snapshot({}, sequence=0, created=0.0)  # where there is no file


def header_line(sequence: int, created: float, journal: Following | None) -> bytes:
    """The first line, for a snapshot begun at ``created`` (seconds of the wall clock)."""
    moment = datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds")
    header: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "sequence": sequence,
        "created": moment.replace("+00:00", "Z"),
    }
    if journal is not None:
        header["journal"] = {"segment": journal.segment}
        if journal.salt is not None:
            header["journal"]["salt"] = f"{journal.salt:08x}"
    return b"[" + orjson.dumps(header) + b",\n"


def end_line(count: int, crc: int) -> bytes:
    """The last line of a snapshot with ``count`` records."""
    return b'{"end":true,"count":%d,"crc32":"%08x"}]\n' % (count, crc)


def temporary(path: str, tag: str = "") -> str:
    """The file in which a snapshot for ``path`` is written. ``tag`` is the writer's own, where
    another one may be at work that nobody can call off: a compactor whose daemon was killed."""
    return f"{path}.{tag}.tmp" if tag else f"{path}.tmp"


def is_unfinished(name: str, path: str) -> bool:
    """Whether a file of this name is a temporary one for ``path``."""
    return name.startswith(f"{os.path.basename(path)}.") and name.endswith(".tmp")


def remove_unfinished(fs: FileSystem, path: str) -> None:
    """Remove what writers left that were killed. For who holds the directory's lock."""
    directory = os.path.dirname(path) or "."
    for name in fs.list_directory(directory):
        if is_unfinished(name, path):
            fs.remove(os.path.join(directory, name))


class SnapshotWriter:
    """Writes a snapshot for ``path`` into its temporary file: ``add`` for all of it, ``finish``; or
    ``abort``.

    Whatever any method raises, the snapshot at ``path`` is as it was, the temporary file is gone
    and the writer is of no more use: after a failed sync, what a second one says of the same file
    is worth nothing.

    ``sync_every``: after so many bytes, ``add`` waits until the disk has them (0: only ``finish``
    does). On some file systems the sync of any other file would have to wait for all of it.
    """

    def __init__(
        self, fs: FileSystem, path: str, header: bytes, sync_every: int = 0, tag: str = ""
    ) -> None:
        self._fs = fs
        self._sync_every = sync_every
        self._synced = 0  # bytes
        self._temporary = temporary(path, tag)
        self.count = 0  # of the records so far
        self.size = 0  # of the file so far, in bytes
        self._crc = 0
        self._file: int | None = self._create()
        self._write(header)

    def add(self, lines: bytes, count: int) -> None:
        """Write whole lines, or some of a long one: so many records end in them. Raises OSError."""
        self._write(lines)
        self.count += count
        if self._sync_every and self.size - self._synced >= self._sync_every:
            with self._aborted_on_error():
                self._fs.sync_data(self._opened())
            self._synced = self.size

    def finish(self) -> None:
        """Write the end, and return when the disk has it all. Raises OSError."""
        self._write(end_line(self.count, self._crc))
        with self._aborted_on_error():
            self._fs.sync(self._opened())
        file, self._file = self._opened(), None
        try:
            self._fs.close(file)
        except BaseException:
            self._remove()
            raise

    def abort(self) -> None:
        """Give up and remove the temporary file; does nothing once finished or aborted."""
        if self._file is not None:
            file, self._file = self._file, None
            with contextlib.suppress(OSError):
                self._fs.close(file)
            self._remove()

    def _create(self) -> int:
        try:
            return self._fs.create(self._temporary)
        except FileExistsError:  # left by one that was killed
            self._fs.remove(self._temporary)
            return self._fs.create(self._temporary)

    def _write(self, data: bytes) -> None:
        with self._aborted_on_error():
            self._fs.write_all(self._opened(), data)
        self._crc = crc32(data, self._crc)
        self.size += len(data)

    def _opened(self) -> int:
        if self._file is None:
            raise ValueError("the snapshot is already finished or aborted")
        return self._file

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            self._fs.remove(self._temporary)

    @contextlib.contextmanager
    def _aborted_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.abort()
            raise


def install(fs: FileSystem, path: str, tag: str = "") -> None:
    """Make what a writer has finished, under this tag, the snapshot. Raises OSError.

    A file at ``path`` that is not a snapshot of ours is kept beside first.
    """
    try:
        if _is_foreign(fs, path):
            legacy.keep_original(fs, path)
        fs.replace(temporary(path, tag), path)
    except BaseException:
        with contextlib.suppress(OSError):
            fs.remove(temporary(path, tag))
        raise
    fs.sync_directory(os.path.dirname(path) or ".")


def _is_foreign(fs: FileSystem, path: str) -> bool:
    with contextlib.closing(fs.read(path)) as pieces:
        try:
            return not next(pieces, b"").startswith(MAGIC)
        except FileNotFoundError:
            return False


# Records

Entry = tuple[int, bytes, Any, int | None]  # database, key, value, deadline


def entries(contents: Contents) -> Iterator[Entry]:
    """All that there is, key by key. Keys that go meanwhile may be left out."""
    for database, (values, deadlines) in contents.items():
        for key in list(values):
            value = values.get(key)
            if value is not None:
                yield database, key, value, deadlines.get(key)


def lines_of(
    found: Iterable[Entry], types: Mapping[type, DataType[Any]]
) -> Iterator[tuple[bytes, int]]:
    """The lines of these records, in pieces that are each short work to make and to write, and how
    many records end in each."""
    dumps = orjson.dumps
    lines: list[bytes] = []
    size = 0
    for entry in found:
        record = _record(*entry, types)
        dumped = record["value"]
        large = type(dumped) is str and len(dumped) > SLICE_BYTES
        if not large:
            line = dumps(record)
            lines.append(line)
            size += len(line)
        # What was collected goes out before a large record, so that keys keep their order.
        if lines and (large or size > SLICE_BYTES or len(lines) == SLICE_KEYS):
            yield b",\n".join(lines) + b",\n", len(lines)
            lines.clear()
            size = 0
        if large:
            yield from _large_record(record)
    if lines:
        yield b",\n".join(lines) + b",\n", len(lines)


def _record(
    database: int,
    key: bytes,
    value: Any,
    deadline: int | None,
    types: Mapping[type, DataType[Any]],
) -> dict[str, Any]:
    kind = types[type(value)]
    try:
        record = {"key": key.decode(), "value": kind.dump(value, bytes.decode)}
    except UnicodeDecodeError:
        record = _in_base64(key, value, kind)
    if kind.name != DEFAULT_TYPE:
        record["type"] = kind.name
    if database:
        record["database"] = database
    if deadline is not None:
        record["deadline"] = deadline
    return record


def _in_base64(key: bytes, value: Any, kind: DataType[Any]) -> dict[str, Any]:
    """The record of a key or value that is not UTF-8; a value is so as a whole or not at all."""
    record: dict[str, Any] = {}
    marks = {}
    try:
        record["key"] = key.decode()
    except UnicodeDecodeError:
        record["key"] = as_base64(key)
        marks["key_encoding"] = BASE64
    try:
        record["value"] = kind.dump(value, bytes.decode)
    except UnicodeDecodeError:
        record["value"] = kind.dump(value, as_base64)
        marks["encoding"] = BASE64
    return record | marks


def as_base64(raw: bytes) -> str:
    """What is in a record for bytes that are no text."""
    return b2a_base64(raw, newline=False).decode()


def _large_record(record: dict[str, Any]) -> Iterator[tuple[bytes, int]]:
    """The line of a record whose value is a long text, in pieces."""
    text = record.pop("value")
    yield b'{"key":%b,"value":"' % orjson.dumps(record.pop("key")), 0
    for at in range(0, len(text), SLICE_BYTES):
        yield orjson.dumps(text[at : at + SLICE_BYTES])[1:-1], 0
    marks = orjson.dumps(record)[1:-1]
    yield b'",%b},\n' % marks if marks else b'"},\n', 1
