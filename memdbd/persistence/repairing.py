"""Making a damaged data directory one that a daemon starts on: what is lost is told before, and
nothing is deleted.

Strategy: what is left is a prefix of the history, up to the first fault. Which one that is,
``recover`` says itself: it is shown the directory without what it has refused, again and again
until it takes it. What it then gives becomes a new snapshot, and the journal begins anew behind it.

First of all, every file that was there is copied to a directory of its own, and synced. Then the
new snapshot is installed, which says that all segments there are now are over: the one step that
counts, so a crash leaves the directory as it was, or repaired. Last, the segments are removed.

May import: errors, faults, frames, fs, inspection, losses, presence, recovery, segments, snapshot;
commands.types.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, count
from typing import TYPE_CHECKING, Any
from zlib import crc32

from memdbd.errors import JournalDamaged, SnapshotDamaged, StorageError
from memdbd.persistence.faults import (
    PLAIN_JSON,
    Fault,
    SnapshotFile,
    counted,
    look_at_snapshot,
)
from memdbd.persistence.frames import number_of
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.inspection import REPAIRS
from memdbd.persistence.losses import Loss, losses_of
from memdbd.persistence.presence import begins_behind, doubt
from memdbd.persistence.recovery import Recovered, Types, recover
from memdbd.persistence.segments import find_segments
from memdbd.persistence.snapshot import (
    NO_SNAPSHOT,
    Following,
    SnapshotWriter,
    end_line,
    entries,
    header_line,
    install,
    lines_of,
)

if TYPE_CHECKING:
    from memdbd.commands.types import DataType


class NotRepairable(StorageError):
    """This is not repaired, or not without being told to; says why."""


@dataclass(slots=True)
class Plan:
    """What a repair will do. ``recovered`` is what there will be."""

    directory: str
    path: str  # of the snapshot
    faults: list[Fault]  # for which it was refused, one after the other
    losses: list[Loss]
    salvaged: SnapshotFile | None  # the lines of a damaged snapshot that are taken
    hides_journal: bool  # whether nobody knows what of it is in these lines
    recovered: Recovered
    sequence: int  # that the new snapshot will end with
    segments: list[str]  # names of those that are set aside
    keeps_snapshot: bool  # whether there is one, of which a copy is kept

    @property
    def is_needed(self) -> bool:
        """Whether a daemon would not start, or only after cutting."""
        return bool(self.faults) or any(segment.torn for segment in self.recovered.torn)


def plan(
    fs: FileSystem,
    directory: str,
    path: str,
    types: Types,
    *,
    salvage: bool = False,
    is_named: bool = False,
) -> Plan:
    """What a repair will do. Only reads.

    ``salvage``: whether of a damaged snapshot the lines are taken that can be read. ``is_named``:
    whether somebody has said that the snapshot is the one at ``path``. Raises NotRepairable where
    it is damaged, or may be another, and that is not said; StorageError where a file cannot be
    read at all.
    """
    try:
        what = _plan(fs, directory, path, types, salvage, is_named)
        if not fs.exists(path) and what.is_needed:
            _refuse_doubt(fs, directory, path, is_named)
        return what
    except OSError as error:
        raise StorageError(f"{error.filename or directory}: {error.strerror}") from error


def _refuse_doubt(fs: FileSystem, directory: str, path: str, is_named: bool) -> None:
    """A repair with the wrong snapshot would remove the journal of the right one."""
    if not is_named and (reason := doubt(fs, directory, path)):
        raise NotRepairable(reason)


def _plan(
    fs: FileSystem, directory: str, path: str, types: Types, salvage: bool, is_named: bool
) -> Plan:
    view = _View(fs, directory)
    faults: list[Fault] = []
    salvaged, hides_journal = None, False
    while True:
        try:
            recovered = recover(view, directory, path, types)
        except SnapshotDamaged as error:
            _refuse_doubt(fs, directory, path, is_named)
            faults.append(Fault(error.path, error.reason, line=error.line))
            if salvaged is not None:
                raise NotRepairable(f"{error}; there is nothing in it that can be taken") from None
            salvaged = _salvage(fs, directory, path, types, salvage, error)
            hides_journal = _show_salvaged(view, directory, salvaged)
        except JournalDamaged as error:
            _refuse_doubt(fs, directory, path, is_named)
            faults.append(Fault(error.path, error.reason, byte=error.offset))
            if not view.end_before(error.path, error.offset):
                recovered = _alone(view, directory, path, types)
                break
        else:
            break
    segments = find_segments(fs, directory)
    if hides_journal:
        losses, highest = losses_of(fs, directory, segments, -1)
    else:
        # What is damaged in the others is in the snapshot.
        needed = [name for name in segments if number_of_segment(name) >= recovered.first_needed]
        losses, highest = losses_of(fs, directory, needed, recovered.sequence)
    return Plan(
        directory,
        path,
        faults,
        losses,
        salvaged,
        hides_journal,
        recovered,
        sequence=max(recovered.sequence, highest if hides_journal else 0),
        segments=segments,
        keeps_snapshot=fs.exists(path),
    )


def _alone(view: _View, directory: str, path: str, types: Types) -> Recovered:
    """The snapshot, where no segment fits it."""
    view.hide_all()
    try:
        return recover(view, directory, path, types)
    except JournalDamaged:  # it tells of a segment behind it
        view.forget_journal(path, types)
        return recover(view, directory, path, types)


def _salvage(
    fs: FileSystem,
    directory: str,
    path: str,
    types: Types,
    is_wanted: bool,
    error: SnapshotDamaged,
) -> SnapshotFile:
    """What can be read of a damaged snapshot."""
    has_journal = bool(find_segments(fs, directory))
    found = look_at_snapshot(fs, path, types, keep=is_wanted, may_be_json=not has_journal)
    if found.foreign == PLAIN_JSON:
        raise NotRepairable(
            f"{error}. {path} is a plain JSON file, which was not written by memdbd: correct it"
        )
    if found.foreign:
        raise NotRepairable(str(error))
    if found.head is None and not found.count and not has_journal:
        raise NotRepairable(
            f"{error}; there is nothing in it that can be taken. To begin without data, move it "
            "elsewhere"
        )
    if not is_wanted:
        keys = counted(found.count, "key")
        if found.expected is not None:
            keys = f"{found.count:,} of {counted(found.expected, 'key')}"
        raise NotRepairable(
            f"{path} is damaged: {counted(len(found.faults), 'fault')}, {keys} can be read. "
            "Restore a copy of it if there is one. Otherwise --salvage takes what can be read; "
            "nobody can tell then that it is what was written"
        )
    return found


def _show_salvaged(view: _View, directory: str, found: SnapshotFile) -> bool:
    """Show a snapshot in which only those lines are that can be read; whether the journal is left
    out."""
    head, hides_journal = found.head, False
    if head is None:
        head = NO_SNAPSHOT
        if found.salvage:
            # Nobody knows any more which frames are in these lines.
            view.hide_all()
            hides_journal = True
        else:
            # Nothing can be done twice.
            head = head._replace(sequence=begins_behind(view, directory))
    header = header_line(head.sequence, head.created, head.journal)
    view.show(found.path, _complete(header, found.salvage))
    return hides_journal


def _complete(header: bytes, lines: list[bytes]) -> bytes:
    body = b"".join([header, *lines])
    return body + end_line(len(lines), crc32(body))


class _View(FileSystem):
    """A directory as it would be without what is at fault, for reading."""

    def __init__(self, fs: FileSystem, directory: str) -> None:
        self._fs = fs
        self._directory = directory
        self._end: tuple[int, int] | None = None  # a segment's number, and its bytes that are seen
        self._instead: dict[str, bytes] = {}

    def end_before(self, path: str, offset: int) -> bool:
        """Let the journal end here; whether that is less than before."""
        end = number_of_segment(os.path.basename(path)), offset
        if self._end is not None and end >= self._end:
            return False
        seen = self.list_directory(self._directory)
        self._end = end
        return any(number_of_segment(name) >= end[0] for name in seen)

    def hide_all(self) -> None:
        """Show no segment."""
        self._end = (0, 0)

    def show(self, path: str, data: bytes) -> None:
        """Show other bytes in place of a file's."""
        self._instead[path] = data

    def forget_journal(self, path: str, types: Types) -> None:
        """Show the snapshot as one that tells of no segment."""
        found = look_at_snapshot(self, path, types, keep=True)
        head = found.head or NO_SNAPSHOT
        self.show(path, _complete(header_line(head.sequence, head.created, None), found.salvage))

    def bytes_seen(self, name: str) -> int | None:
        """How many bytes of a segment are seen at most; None for all."""
        number = number_of_segment(name)
        if self._end is None or number < self._end[0]:
            return None
        return self._end[1] if number == self._end[0] else 0

    def exists(self, path: str) -> bool:
        return self._fs.exists(path)

    def list_directory(self, directory: str) -> list[str]:
        return [
            name
            for name in self._fs.list_directory(directory)
            if number_of(name) is not None and self.bytes_seen(name) != 0
        ]

    def read(self, path: str) -> Generator[bytes, None, None]:
        if path in self._instead:
            yield self._instead[path]
            return
        left = self.bytes_seen(os.path.basename(path)) if self._is_segment(path) else None
        for piece in self._fs.read(path):
            if left is None:
                yield piece
                continue
            yield piece[:left]
            left -= len(piece)
            if left <= 0:
                return

    def _is_segment(self, path: str) -> bool:
        return number_of(os.path.basename(path)) is not None


# Doing it


def carry_out(
    fs: FileSystem, plan: Plan, classes: Mapping[type, DataType[Any]], moment: float
) -> str:
    """Do what the plan says; gives the directory in which all that was there before is kept.

    For who holds the lock of the data directory. ``classes`` has the type of each class of values;
    ``moment`` is the time, in seconds of the wall clock. Raises OSError: then the data is as it
    was, or, if only what is not needed any more could not be removed, as it was to be.
    """
    directory, path = plan.directory, plan.path
    kept = _new_directory(fs, directory, moment)
    if plan.keeps_snapshot:
        _copy(fs, path, os.path.join(kept, os.path.basename(path)))
    for name in plan.segments:
        _copy(fs, os.path.join(directory, name), os.path.join(kept, name))
    fs.sync_directory(kept)
    # It says that all segments there are now are over: to install it is the one step that counts.
    following = Following(max(map(number_of_segment, plan.segments), default=0) + 1, None)
    writer = SnapshotWriter(fs, path, header_line(plan.sequence, moment, following))
    try:
        for lines, keys in lines_of(entries(plan.recovered.contents), classes):
            writer.add(lines, keys)
    except BaseException:
        writer.abort()
        raise
    writer.finish()
    install(fs, path)
    for name in plan.segments:
        fs.remove(os.path.join(directory, name))
    fs.sync_directory(directory)
    return kept


def number_of_segment(name: str) -> int:
    """The number of a segment."""
    return number_of(name) or 0


def _new_directory(fs: FileSystem, directory: str, moment: float) -> str:
    stamp = datetime.fromtimestamp(moment, UTC).strftime("%Y%m%dT%H%M%SZ")
    for suffix in chain([""], (f"-{number}" for number in count(2))):
        path = os.path.join(directory, f"{REPAIRS}{stamp}{suffix}")
        if not fs.exists(path):
            break
    fs.make_directory(path)
    return path


def _copy(fs: FileSystem, source: str, target: str) -> None:
    file = fs.create(target)
    try:
        for piece in fs.read(source):
            fs.write_all(file, piece)
        fs.sync(file)
    finally:
        fs.close(file)
