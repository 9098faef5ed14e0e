"""What is in a data directory, and what is at fault in it: all that can be found, not only what
comes first. Writes nothing, and needs no lock.

Strategy: whether a daemon would start, and with what, ``recover`` is asked, so there is no second
opinion. Beside it, each file is gone through by itself (:mod:`~memdbd.persistence.faults`). A
daemon at work changes the directory meanwhile: then its last segment is being written, which is no
fault, and if files have come or gone, it is all done once more.

May import: errors, faults, fs, lock, losses, presence, recovery, segments, snapshot.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from memdbd.errors import JournalDamaged, SnapshotDamaged, StorageError
from memdbd.persistence.faults import (
    Fault,
    SegmentFile,
    SnapshotFile,
    look_at_segment,
    look_at_snapshot,
)
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.lock import LOCK_FILE
from memdbd.persistence.losses import Loss, losses_of
from memdbd.persistence.presence import other_snapshots
from memdbd.persistence.recovery import Recovered, Types, recover
from memdbd.persistence.segments import Segment, find_segments
from memdbd.persistence.snapshot import Snapshot, temporary

REPAIRS = "repair-"  # what the names of the directories begin with that a repair keeps files in

_ATTEMPTS = 5
_TORN = re.compile(r"journal\.[0-9]{8,}\.torn(\.[0-9]+)?")


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
    others: list[str]  # names of other snapshots
    faults: list[Fault]  # for which a daemon would refuse
    refusal: str | None  # what it would say
    recovered: Recovered | None
    losses: list[Loss]  # what is in ``would_cut``

    @property
    def would_cut(self) -> tuple[Segment, ...]:
        """Segments whose uncompleted end a daemon would keep beside, and cut off."""
        return () if self.daemon or self.recovered is None else self.recovered.torn


def inspect(
    fs: FileSystem, directory: str, path: str, types: Types, *, is_ours: bool = False
) -> Inspection:
    """All that can be told of ``directory``, with the snapshot at ``path``. ``is_ours``: whether
    the lock is held by whoever asks, and so by no daemon.

    Raises StorageError where the directory itself cannot be read.
    """
    try:
        for _ in range(_ATTEMPTS):
            before = _stamp(fs, directory, path)
            found = _inspect(fs, directory, path, types, None if is_ours else holder(fs, directory))
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


def _inspect(
    fs: FileSystem, directory: str, path: str, types: Types, daemon: str | None
) -> Inspection:
    recovered, refusal, faults = None, None, []
    try:
        recovered = recover(fs, directory, path, types)
    except StorageError as error:
        refusal = str(error)
        faults.append(_fault_of(error, directory))
    names = sorted(fs.list_directory(directory))
    segments = [look_at_segment(fs, directory, name) for name in find_segments(fs, directory)]
    snapshot = None
    if fs.exists(path):
        may_be_json = not segments if recovered is None else recovered.snapshot.imported
        snapshot = look_at_snapshot(
            fs, path, types, each_line=recovered is None, may_be_json=may_be_json
        )
    _mark_needed(segments, snapshot.head if snapshot else None)
    losses: list[Loss] = []
    if recovered is None:
        _gather(faults, snapshot, [each for each in segments if each.needed])
    elif not daemon:
        cut = [os.path.basename(segment.path) for segment in recovered.torn if segment.torn]
        losses, _ = losses_of(fs, directory, cut, recovered.sequence)
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
        others=other_snapshots(fs, directory, path),
        faults=faults,
        refusal=refusal,
        recovered=recovered,
        losses=losses,
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
    """Add the faults of all files to the one for which a daemon refuses, each place once."""
    found = list(snapshot.faults) if snapshot else []
    for segment, successor in pairwise([*segments, None]):
        assert segment is not None  # noqa: S101
        found += segment.faults
        if successor is not None:
            found += _faults_between(segment, successor)
    told = {fault.place for fault in faults}
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
        said = f"{successor.path} says that this segment"
        expected, found = successor.header.previous, segment.link
        if expected.sequence != found.sequence:
            said += f" ends with frame {expected.sequence}; it ends with frame {found.sequence}"
        elif expected.length != found.length:
            said += f" is {expected.length} bytes long; its last whole frame ends at {found.length}"
        else:
            said += " is another one, of the same number and length"
        yield Fault(segment.path, said, byte=segment.length)
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
