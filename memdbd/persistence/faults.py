"""One file of a data directory by itself: what is in it, and every place where it is not what was
written. Writes nothing.

Strategy: behind a fault it goes on at the next line or frame that is whole.

May import: effects, frames, fs, legacy, loading, recovery (for the types), snapshot.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from zlib import crc32

import orjson

from memdbd import effects
from memdbd.persistence import legacy
from memdbd.persistence.frames import (
    HEADER_SIZE,
    Frame,
    Header,
    Link,
    Search,
    TooMuch,
    number_of,
    parse_frame,
    parse_header,
)
from memdbd.persistence.fs import READ_SIZE, FileSystem
from memdbd.persistence.loading import FAULTS, blocks_of, entry_of, reason_of
from memdbd.persistence.loading import parse_header as parse_first_line
from memdbd.persistence.recovery import Types
from memdbd.persistence.snapshot import FORMAT, Snapshot, end_line

MOST_FAULTS = 1000  # that are told of one file
PLAIN_JSON = "a plain JSON file"
RDB = "a Redis RDB file"

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
    foreign: str = ""  # what else it is, if it is another program's
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


def look_at_snapshot(
    fs: FileSystem,
    path: str,
    types: Types,
    *,
    each_line: bool = True,
    keep: bool = False,
    may_be_json: bool = True,
) -> SnapshotFile:
    """The snapshot. ``each_line``: whether its faults are looked for; ``keep``: its whole lines.

    ``may_be_json``: whether what looks like a plain JSON file is taken for one. With a journal
    behind it, it may as well be a damaged snapshot.
    """
    found = SnapshotFile(path)
    found.foreign = kind_of(next(fs.read(path), b""))
    if found.foreign == PLAIN_JSON and not may_be_json:
        found.foreign = ""
    lines = _Lines(found, types, each_line, keep)
    for block in blocks_of(fs, path):
        found.size += len(block)
        if not found.foreign:
            for line in BytesIO(block):
                lines.take(line)
    if not found.foreign:
        lines.end()
    return found


def kind_of(block: bytes) -> str:
    """What a file is that begins so, if another program wrote it; nothing for a snapshot."""
    if block.startswith(legacy.RDB_MAGIC):
        return RDB
    is_object = block.removeprefix(legacy.MARK).lstrip().startswith(b"{")
    is_ours = b'"format":"%b"' % FORMAT.encode() in block.partition(b"\n")[0]
    return PLAIN_JSON if is_object and not is_ours else ""


def counted(number: int, what: str) -> str:
    """Such as "1 key", "2 keys"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


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
        elif line.startswith(b'{"end":'):
            self._take_end(line)
        elif self._is_over:
            self._is_over = False
            self._fault("there is more behind the last line")
        else:
            self._take_record(line)
        self._crc = crc32(line, self._crc)

    def end(self) -> None:
        if not self._line:
            self._fault("the file is empty", 1)
        elif not self._is_over:
            self._fault("the file is cut off here, its end is missing", self._line + 1)

    def _take_first(self, line: bytes) -> None:
        try:
            self._found.head = parse_first_line(line)
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
        elif not found.faults:  # otherwise it only says so once more
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
    search = Search(salt, len(data))
    is_known = found.header is not None  # what sequence is next
    while at < len(data):
        frame = parse_frame(data, at, salt)
        if frame is None:
            try:
                behind = search.find(_pieces(data, at + 1), len(data) - at - 1, found.last)
            except TooMuch:
                _add(
                    found, at, "what is here is no whole frame; whether one follows takes too long"
                )
                behind = None
            if behind is None:
                found.torn = len(data) - at
                return
            behind += at + 1
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
            _add(found, frame.end - len(frame.payload), str(damaged))
        if each is not None:
            each(frame)
        is_known = True
        found.frames += 1
        found.last, found.length = frame.sequence, frame.end
        at = frame.end


def _pieces(data: bytes, start: int) -> Iterator[bytes]:
    return (data[at : at + READ_SIZE] for at in range(start, len(data), READ_SIZE))


def _add(found: SegmentFile, at: int, reason: str) -> None:
    if len(found.faults) < MOST_FAULTS:
        found.faults.append(Fault(found.path, reason, byte=at))
