"""What is in a data directory, and what is at fault in it: all that can be found, not only what
comes first. Writes nothing, and needs no lock.

Strategy: whether a daemon would start, and with what, ``recover`` is asked, so there is no second
opinion. Beside it, each file is gone through by itself, and behind a fault goes on at the next line
or frame that is whole. A daemon at work changes the directory meanwhile: then its last segment is
being written, which is no fault, and if files have come or gone, it is all done once more.

May import: effects, errors, fs, frames, loading, lock, recovery, segments, snapshot.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from itertools import pairwise
from zlib import crc32

import orjson

from memdbd import effects
from memdbd.errors import JournalDamaged, SnapshotDamaged, StorageError
from memdbd.persistence.frames import (
    HEADER_SIZE,
    Frame,
    Header,
    Link,
    find_frame,
    number_of,
    parse_frame,
    parse_header,
)
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.loading import FAULTS, blocks_of, entry_of, reason_of
from memdbd.persistence.loading import parse_header as parse_first_line
from memdbd.persistence.lock import LOCK_FILE
from memdbd.persistence.recovery import Recovered, Types, recover
from memdbd.persistence.segments import Segment, find_segments
from memdbd.persistence.snapshot import Snapshot, end_line, temporary

REPAIRS = "repair-"  # what the names of the directories begin with that a repair keeps files in
MOST_FAULTS = 1000  # that are told of one file

_ATTEMPTS = 5
_TORN = re.compile(r"journal\.[0-9]{8,}\.torn(\.[0-9]+)?")
_SALT = slice(HEADER_SIZE - 8, HEADER_SIZE - 4)  # in a header, for one that is damaged elsewhere


@dataclass(frozen=True, slots=True)
class Fault:
    """A place where a file is not what was written. ``line`` or ``byte`` is None where it does not
    apply."""

    path: str
    reason: str
    line: int | None = None
    byte: int | None = None

    @property
    def place(self) -> str:
        where = f", line {self.line}" if self.line is not None else ""
        return self.path + (f", byte {self.byte}" if self.byte is not None else where)

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


@dataclass(slots=True)
class SnapshotFile:
    """A snapshot, line by line. ``salvage`` has the whole lines, where they were asked for."""

    path: str
    size: int = 0  # bytes
    count: int = 0  # records that can be read
    expected: int | None = None  # records that the last line tells of
    head: Snapshot | None = None  # what the first line tells
    imported: bool = False  # no snapshot of ours, but a plain JSON object of strings
    faults: list[Fault] = field(default_factory=list)
    salvage: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class SegmentFile:
    """A segment of the journal, frame by frame."""

    path: str
    number: int
    size: int = 0  # bytes
    header: Header | None = None
    frames: int = 0  # that are whole
    last: int = 0  # the sequence of the last of them
    length: int = 0  # bytes up to its end
    needed: bool = True  # not all of it is in the snapshot
    unborn: bool = False  # made, and its header not written
    torn: int = 0  # bytes behind the last frame
    faults: list[Fault] = field(default_factory=list)

    @property
    def first(self) -> int | None:
        """The sequence of its first frame, if it has any."""
        return self.header.previous.sequence + 1 if self.header and self.frames else None

    @property
    def link(self) -> Link:
        """What the next segment has to say of it."""
        return Link(self.last, self.length, self.header.salt if self.header else 0)


@dataclass(slots=True)
class Inspection:
    """What was found."""

    directory: str
    daemon: str | None  # who holds the lock, such as "pid 17"; None: nobody, as far as is known
    snapshot: SnapshotFile | None
    segments: list[SegmentFile]
    torn: list[str]  # names of files that a recovery has kept
    repairs: list[str]  # names of directories that a repair has kept
    leftovers: list[str]  # names of files that a writer has left which was killed
    faults: list[Fault]  # for which a daemon would refuse
    refusal: str | None  # what it would say
    recovered: Recovered | None

    @property
    def would_cut(self) -> tuple[Segment, ...]:
        """Segments whose uncompleted end a daemon would keep beside, and cut off."""
        return () if self.daemon or self.recovered is None else self.recovered.torn


def inspect(fs: FileSystem, directory: str, path: str, types: Types) -> Inspection:
    """All that can be told of ``directory``, with the snapshot at ``path``.

    Raises StorageError where the directory itself cannot be read.
    """
    try:
        for _ in range(_ATTEMPTS):
            before = _stamp(fs, directory, path)
            found = _inspect(fs, directory, path, types)
            if _stamp(fs, directory, path) == before:
                break
    except OSError as error:
        raise StorageError(f"{error.filename or directory}: {error.strerror}") from error
    return found


def holder(fs: FileSystem, directory: str) -> str | None:
    """Who holds the lock of the directory, found out without leaving a trace; None for nobody."""
    path = os.path.join(directory, LOCK_FILE)
    if not fs.exists(path):
        return None
    try:
        file = fs.lock(path)
    except OSError:  # not ours to open: whoever may start a daemon here is not us
        return None
    if file is not None:
        fs.unlock(file)
        return None
    try:
        return f"pid {int(b''.join(fs.read(path)))}"
    except (OSError, ValueError):
        return "another process"


def _stamp(fs: FileSystem, directory: str, path: str) -> tuple[object, ...]:
    """What changes when a snapshot is installed, or a segment is begun or removed."""
    try:
        first = next(fs.read(path), b"").partition(b"\n")[0]
    except OSError:
        first = b""
    return first, *find_segments(fs, directory)


def _inspect(fs: FileSystem, directory: str, path: str, types: Types) -> Inspection:
    daemon = holder(fs, directory)
    recovered, refusal, faults = None, None, []
    try:
        recovered = recover(fs, directory, path, types)
    except StorageError as error:
        refusal = str(error)
        faults.append(_fault_of(error, directory))
    names = sorted(fs.list_directory(directory))
    snapshot = None
    if fs.exists(path):
        snapshot = look_at_snapshot(fs, path, types, each_line=recovered is None)
    segments = [look_at_segment(fs, directory, name) for name in find_segments(fs, directory)]
    _mark_needed(segments, snapshot.head if snapshot else None)
    if refusal is not None:
        _gather(faults, snapshot, [each for each in segments if each.needed])
    unfinished = os.path.basename(temporary(path))
    return Inspection(
        directory,
        daemon,
        snapshot,
        segments,
        torn=[name for name in names if _TORN.fullmatch(name)],
        repairs=[name for name in names if name.startswith(REPAIRS)],
        leftovers=[]
        if daemon
        else [name for name in names if name == unfinished or name.endswith(".torn.tmp")],
        faults=faults,
        refusal=refusal,
        recovered=recovered,
    )


def _fault_of(error: StorageError, directory: str) -> Fault:
    if isinstance(error, SnapshotDamaged):
        return Fault(error.path, error.reason, line=error.line)
    if isinstance(error, JournalDamaged):
        return Fault(error.path, error.reason, byte=error.offset)
    return Fault(directory, str(error))


def _gather(
    faults: list[Fault], snapshot: SnapshotFile | None, segments: list[SegmentFile]
) -> None:
    """Add the faults of all files to the one for which a daemon refuses."""
    told = {fault.place for fault in faults}
    found = list(snapshot.faults) if snapshot else []
    for segment, successor in zip(segments, (*segments[1:], None), strict=True):
        found += segment.faults
        if successor is not None:
            found += _faults_between(segment, successor)
    for fault in found:
        if fault.place not in told:
            told.add(fault.place)
            faults.append(fault)


def _faults_between(segment: SegmentFile, successor: SegmentFile) -> Iterator[Fault]:
    if successor.number != segment.number + 1:
        missing = os.path.join(os.path.dirname(segment.path), f"journal.{segment.number + 1:08d}")
        yield Fault(missing, "this segment is missing", byte=0)
    elif successor.header is None:
        return  # a fault of its own
    elif segment.header is not None and successor.header.previous != segment.link:
        length, last = successor.header.previous.length, successor.header.previous.sequence
        yield Fault(
            segment.path,
            f"{successor.path} says that this segment is {length} bytes long and ends with frame "
            f"{last}; it ends with frame {segment.last}",
            byte=segment.length,
        )
    elif segment.torn and not segment.faults:
        yield Fault(segment.path, "a frame that is not whole", byte=segment.length)


def _mark_needed(segments: list[SegmentFile], head: Snapshot | None) -> None:
    """Mark those of which all is in the snapshot, in the way of ``segments.needed``."""
    if head is None:
        return
    for segment, successor in pairwise([*segments, None]):
        assert segment is not None  # noqa: S101
        header = successor.header if successor is not None else None
        is_before = header is not None and header.previous.sequence <= head.sequence
        if is_before or (head.journal is not None and segment.number < head.journal.segment):
            for each in segments[: segments.index(segment) + 1]:
                each.needed = False


# One file


def look_at_snapshot(
    fs: FileSystem, path: str, types: Types, *, each_line: bool = True, keep: bool = False
) -> SnapshotFile:
    """The snapshot. ``each_line``: whether its faults are looked for; ``keep``: its whole lines."""
    found = SnapshotFile(path)
    lines = _Lines(found, types, each_line, keep)
    for block in blocks_of(fs, path):
        found.size += len(block)
        for line in BytesIO(block):
            lines.take(line)
    lines.end()
    return found


class _Lines:
    """Goes through a snapshot's lines."""

    def __init__(self, found: SnapshotFile, types: Types, each_line: bool, keep: bool) -> None:
        self._found = found
        self._types = types
        self._each_line = each_line
        self._keep = keep
        self._seen: set[tuple[int, bytes]] = set()
        self._line = 0
        self._crc = 0
        self._is_over = False

    def take(self, line: bytes) -> None:
        self._line += 1
        if self._line == 1:
            self._take_first(line)
        elif self._found.imported:
            pass
        elif line.startswith(b'{"end":'):
            self._take_end(line)
        elif self._is_over:
            self._is_over = False
            self._fault("there is more behind the last line")
        else:
            self._take_record(line)
        self._crc = crc32(line, self._crc)

    def end(self) -> None:
        if self._line and not self._is_over and not self._found.imported:
            self._fault("the file is cut off here, its end is missing", self._line + 1)

    def _take_first(self, line: bytes) -> None:
        found = self._found
        if not line.startswith(b"[") and b'"format":"memdbd"' not in line:
            found.imported = True
            return
        try:
            found.head = parse_first_line(line)
        except FAULTS as fault:
            self._fault(reason_of(fault, "this is not the header of a snapshot"))

    def _take_record(self, line: bytes) -> None:
        if not self._each_line:
            self._found.count += 1
            return
        try:
            if not line.endswith(b",\n"):
                raise ValueError("not a whole line")
            database, key, _, _ = entry_of(orjson.loads(line[:-2]), self._types)
        except FAULTS as fault:
            self._fault(reason_of(fault))
            return
        if (database, key) in self._seen:
            self._fault("this key is there a second time")
            return
        self._seen.add((database, key))
        self._found.count += 1
        if self._keep:
            self._found.salvage.append(line)

    def _take_end(self, line: bytes) -> None:
        found = self._found
        self._is_over = True
        try:
            end = orjson.loads(line.removesuffix(b"]\n"))
            count, checksum = end["count"], end["crc32"]
            found.expected = count if type(count) is int else None
        except FAULTS:
            self._fault("this is not the last line of a snapshot")
            return
        if not self._each_line or line == end_line(self._line - 2, self._crc):
            return
        if count != self._line - 2:
            self._fault(f"there should be {count} lines of records, there are {self._line - 2}")
        else:
            self._fault(
                f"the checksum of what is before this line should be {checksum}, it is "
                f"{self._crc:08x}: the file was changed after it was written"
            )

    def _fault(self, reason: str, line: int = 0) -> None:
        if self._each_line and len(self._found.faults) < MOST_FAULTS:
            self._found.faults.append(Fault(self._found.path, reason, line=line or self._line))


def look_at_segment(
    fs: FileSystem, directory: str, name: str, each: Callable[[Frame], object] | None = None
) -> SegmentFile:
    """The segment of this name; ``each`` is called with every whole frame in it."""
    path = os.path.join(directory, name)
    data = b"".join(fs.read(path))
    found = SegmentFile(path, number_of(name) or 0, size=len(data), header=parse_header(data))
    header = found.header
    if header is not None:
        found.last, salt = header.previous.sequence, header.salt
        if header.number != found.number:
            reason = f"this is segment {header.number}, under another's name"
            found.faults.append(Fault(path, reason, byte=0))
    elif len(data) <= HEADER_SIZE:
        found.unborn, found.torn = True, len(data)
        return found
    else:
        found.faults.append(Fault(path, "the header of this segment is damaged", byte=0))
        salt = int.from_bytes(data[_SALT], "big")
    found.length = HEADER_SIZE
    _go_through(found, data, salt, each)
    return found


def _go_through(
    found: SegmentFile, data: bytes, salt: int, each: Callable[[Frame], object] | None
) -> None:
    """Look at frame after frame; behind what is not whole, go on at the next one that is."""
    at = HEADER_SIZE
    is_known = found.header is not None  # what sequence is next
    while at < len(data):
        frame = parse_frame(data, at, salt)
        if frame is None:
            behind = find_frame(data, at + 1, salt, found.last)
            if behind is None:
                found.torn = len(data) - at
                return
            _add(found, at, f"what is here is no whole frame; the next one is at byte {behind}")
            at = behind
            is_known = False
            continue
        if is_known and frame.sequence != found.last + 1:
            _add(found, at, f"the frame here is number {frame.sequence}, not {found.last + 1}")
        try:
            for _ in effects.decode(frame.payload):
                pass
        except effects.Damaged as damaged:
            _add(found, at, str(damaged))
        if each is not None:
            each(frame)
        is_known = True
        found.frames += 1
        found.last, found.length = frame.sequence, frame.end
        at = frame.end


def _add(found: SegmentFile, at: int, reason: str) -> None:
    if len(found.faults) < MOST_FAULTS:
        found.faults.append(Fault(found.path, reason, byte=at))
