"""From a data directory to the data: the snapshot, and what the journal says has been done since.

Strategy: ``recover`` only reads. It gives everything, whole turns up to the last one that is on
disk, or refuses with the file, the byte and what can be done. What a crash leaves is no damage: a
write that was never completed at the end of the last segment, a segment that was just being made.
What else does not fit is damage, and nobody goes on without the data in it unasked.

``keep_torn`` and ``renew_last`` then make the directory ready for a new segment: the uncompleted
write is kept beside, and cut off only when that copy is on disk, so that a crash here leaves what
there was before.

May import: effects, errors, frames, fs, keyspace, loading, replay, segments, snapshot;
commands.types.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import chain, count
from typing import TYPE_CHECKING, Any, NamedTuple

from memdbd import effects
from memdbd.errors import JournalDamaged, StorageError
from memdbd.keyspace import Contents
from memdbd.persistence.frames import BEGINNING, Frame, Link, segment_name
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.loading import read
from memdbd.persistence.replay import Replay
from memdbd.persistence.segments import Extent, Segment, find_segments, needed
from memdbd.persistence.snapshot import NO_SNAPSHOT, Snapshot

if TYPE_CHECKING:
    from memdbd.commands.types import DataType

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})

Types = Mapping[str, "DataType[Any]"]


class Recovered(NamedTuple):
    """What was found. ``snapshot`` is without its contents, which are part of ``contents`` now."""

    contents: Contents
    snapshot: Snapshot
    sequence: int  # of the last frame
    frames: int  # done again, but for those that only say that a daemon stopped
    was_closed: bool  # whether the daemon that wrote all this stopped in order
    last: Link  # what the next segment is to say of its predecessor
    last_path: str  # of that predecessor; empty where there is none
    next_number: int  # of the next segment
    first_needed: int  # the number of the first segment that the snapshot does not cover
    torn: tuple[Segment, ...]  # with an uncompleted write; with an uncompleted header
    journal_bytes: int  # in the segments behind the snapshot

    @property
    def size(self) -> int:
        """How many keys there are."""
        return sum(len(values) for values, _ in self.contents.values())


def recover(fs: FileSystem, directory: str, path: str, types: Types) -> Recovered:
    """All that is in ``directory``, with the snapshot at ``path``; an empty directory is no data.

    Raises StorageError: SnapshotDamaged, JournalDamaged, or where a file cannot be read.
    """
    try:
        snapshot = read(fs, path, types) if fs.exists(path) else NO_SNAPSHOT
        segments = [Segment(fs, directory, name) for name in find_segments(fs, directory)]
        return _recover(path, types, snapshot, segments)
    except OSError as error:
        raise StorageError(f"{error.filename or directory}: {error.strerror}") from error


def _recover(path: str, types: Types, snapshot: Snapshot, segments: Sequence[Segment]) -> Recovered:
    next_number = segments[-1].number + 1 if segments else 1
    torn = []
    if segments and segments[-1].is_unborn:
        torn.append(segments[-1])
        next_number -= 1
        segments = segments[:-1]
    segments = needed(segments, snapshot)
    if snapshot.journal is not None:
        next_number = max(next_number, snapshot.journal.segment)
    check_beginning(path, snapshot, segments)
    replay = Replay(types, snapshot.contents)
    sequence, frames, last, closed = snapshot.sequence, 0, BEGINNING, False
    for segment, successor in zip(segments, (*segments[1:], None), strict=False):
        closed = False  # whoever begins a segment has to close it
        for frame in segment.frames():
            if frame.sequence > sequence:
                closed = do_again(replay, segment, frame)
                sequence = frame.sequence
                frames += not closed
        if successor is not None:
            check_link(segment, successor)
        elif segment.torn:
            torn.append(segment)
        last = segment.link
    if last.sequence != sequence:
        # The journal ends before the snapshot does, which was written from memory.
        last = Link(sequence, 0, 0)
    return Recovered(
        contents=replay.contents(),
        snapshot=snapshot._replace(contents={}),
        sequence=sequence,
        frames=frames,
        was_closed=closed or not segments,
        last=last,
        last_path=segments[-1].path if segments else "",
        next_number=next_number,
        first_needed=segments[0].number if segments else next_number,
        torn=tuple(torn),
        journal_bytes=sum(segment.length for segment in segments),
    )


def check_beginning(path: str, snapshot: Snapshot, segments: Sequence[Segment]) -> None:
    """Raise where the first segment is not the one that follows the snapshot."""
    first = segments[0] if segments else None
    if first is not None and first.header is not None:
        begins = first.own_header().previous.sequence
        if begins > snapshot.sequence:
            what = f"{path} ends with {snapshot.sequence}" if snapshot.created else f"no {path}"
            raise JournalDamaged(
                first.path, 0,
                f"this segment begins behind frame {begins}, and there is {what}: what is between "
                "them is missing",
            )  # fmt: skip
    if snapshot.journal is None or snapshot.journal.salt is None:
        return
    number, salt = snapshot.journal
    named = next((each for each in segments if each.number == number), None)
    if named is None:
        directory = os.path.dirname(path)
        raise JournalDamaged(
            os.path.join(directory, segment_name(number)), 0,
            f"this segment is missing, where {path} goes on",
        )  # fmt: skip
    if named.header is not None and named.header.salt != salt:
        raise JournalDamaged(named.path, 0, f"this is not the segment where {path} goes on")


def check_link(segment: Segment, successor: Segment) -> None:
    """Raise where the successor's header does not say of ``segment`` what is in it."""
    previous = successor.own_header().previous
    if successor.number != segment.number + 1:
        missing = os.path.join(os.path.dirname(segment.path), segment_name(segment.number + 1))
        raise JournalDamaged(missing, 0, "this segment is missing")
    if segment.torn:
        raise JournalDamaged(
            segment.path, segment.length, "the frame here is damaged, and not the last one"
        )
    if previous != segment.link:
        raise JournalDamaged(
            segment.path,
            segment.length,
            f"the segment ends here with frame {segment.sequence}; it was {previous.length} bytes "
            f"long and ended with {previous.sequence}, or {successor.path} is another journal's",
        )


def do_again(replay: Replay, segment: Segment, frame: Frame) -> bool:
    """Do again what is in a frame; whether it is the last of a daemon that stopped in order."""
    try:
        done = list(effects.decode(frame.payload))
        replay.apply(done)
    except effects.Damaged as fault:
        at = frame.end - len(frame.payload)
        raise JournalDamaged(segment.path, at, f"{fault}") from None
    return done == [list(effects.CLOSE)]


# Before a new segment


def keep_torn(fs: FileSystem, torn: Sequence[Segment]) -> Iterator[str]:
    """Keep what is torn beside its segment; gives the names of the copies.

    Raises OSError; it can be called again then, also by another process.
    """
    for segment in torn:
        if segment.torn:
            yield _keep(fs, segment)
        if segment.header is None:
            # Made anew, under the same name: the number has to be the next one.
            fs.remove(segment.path)
            fs.sync_directory(os.path.dirname(segment.path))


def renew_last(fs: FileSystem, recovered: Recovered) -> None:
    """Write the last segment anew, without what is torn. Raises OSError; the old one is there then.

    The next one is going to say how long it is, and what was read may not be on disk: a daemon that
    was killed may have left that to the system, and where a sync had failed, Linux shows pages that
    were never written, and that no sync will write.
    """
    path, length = recovered.last_path, recovered.last.length
    # Also one that was closed: the last frame says that what is before it was synced, not that it
    # was itself.
    if not path or not length:
        return
    try:
        _write_anew(fs, path, Extent(fs, path, 0, length))
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        # There is no room for a second one: the first is synced, which does for all but a sync that
        # had failed. Not to start at all would be worse, since a start may be what makes room.
        file = fs.open(path)
        try:
            fs.truncate(file, length)
            fs.sync(file)
        finally:
            fs.close(file)


def _keep(fs: FileSystem, segment: Segment) -> str:
    kept = _name_for(fs, f"{segment.path}.torn", segment.torn)
    _write_anew(fs, kept, segment.torn)
    return kept


def _write_anew(fs: FileSystem, path: str, pieces: Iterable[bytes]) -> None:
    """Have a file with these bytes at ``path``, on disk; until it is, what was there stays."""
    temporary = f"{path}.tmp"
    if fs.exists(temporary):
        fs.remove(temporary)
    file = fs.create(temporary)
    try:
        try:
            for piece in pieces:
                fs.write_all(file, piece)
            fs.sync(file)
        finally:
            fs.close(file)
    except OSError:
        with contextlib.suppress(OSError):
            fs.remove(temporary)
        raise
    fs.replace(temporary, path)
    fs.sync_directory(os.path.dirname(path))


def _name_for(fs: FileSystem, wanted: str, data: Extent) -> str:
    """``wanted``, or ``.1`` and so on behind it: a name that is free, or has just these bytes (as
    after a crash in here)."""
    for suffix in chain([""], (f".{number}" for number in count(1))):
        name = wanted + suffix
        if not fs.exists(name) or _digest(fs.read(name)) == _digest(data):
            break
    return name


def _digest(pieces: Iterable[bytes]) -> bytes:
    """Is the same for the same bytes, and for no others."""
    digest = blake2b()
    for piece in pieces:
        digest.update(piece)
    return digest.digest()
