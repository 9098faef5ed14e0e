"""Reading the segments of a journal: what is whole in them, and what is at fault. Writes nothing.

Strategy: a :class:`Segment` is gone through once, frame by frame, in pieces of the file, so that a
long one takes no more memory than its longest frame. Where the frames end before the file does, the
rest tells torn from damaged: each frame says up to which one all was synced when it was written. If
an undamaged one is in the rest that says so of what is at fault, something was lost that had been
on disk, and nobody may go on without it; if none is, these are writes that were never completed, as
power leaves them.

May import: errors, frames, fs, snapshot.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from memdbd.errors import JournalDamaged
from memdbd.persistence.frames import (
    HEADER_SIZE,
    Frame,
    Link,
    find_frame,
    length_of_frame,
    number_of,
    parse_frame,
    parse_header,
)
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.snapshot import Snapshot


class Segment:
    """A segment on disk. ``header`` is None where it has none that is whole; it cannot be gone
    through then.

    Once ``frames`` has ended, ``sequence`` is that of the last frame, ``length`` is the bytes up to
    its end, and ``torn`` is what is behind it: a write that was never completed, and what was
    written after it. Raises OSError as the file does.
    """

    def __init__(self, fs: FileSystem, directory: str, name: str) -> None:
        self.path = os.path.join(directory, name)
        self.number = number_of(name) or 0
        self._pieces = fs.read(self.path)
        self._data = b""
        while len(self._data) < HEADER_SIZE and (piece := next(self._pieces, b"")):
            self._data += piece
        self.header = parse_header(self._data)
        if self.header is not None and self.header.number != self.number:
            raise JournalDamaged(
                self.path, 0, f"this is segment {self.header.number}, under another's name"
            )
        self.is_unborn = self.header is None and self._is_unborn()
        self.length = HEADER_SIZE if self.header else 0
        self.sequence = self.header.previous.sequence if self.header else 0
        self.torn = b"" if self.header else self._data

    def _is_unborn(self) -> bool:
        """Whether it was made and its header not yet on disk; only then are frames written."""
        self._data += b"".join(self._pieces) if len(self._data) <= HEADER_SIZE else b""
        return len(self._data) <= HEADER_SIZE

    @property
    def link(self) -> Link:
        """What the next segment's header says of this one."""
        return Link(self.sequence, self.length, self.header.salt if self.header else 0)

    def frames(self) -> Iterator[Frame]:
        """The frames, in order; each ``end`` counts from the beginning of the file.

        Raises JournalDamaged where one is damaged or missing that had been synced, as those
        behind it know.
        """
        if self.header is None:
            raise JournalDamaged(self.path, 0, "the header of this segment is damaged")
        salt = self.header.salt
        data, at, start = self._data, HEADER_SIZE, 0  # start: where data begins in the file
        while True:
            frame = parse_frame(data, at, salt)
            if frame is None:
                more = self._more(len(data) - at, length_of_frame(data, at))
                if not more:
                    break
                data, start, at = data[at:] + more, start + at, 0
                continue
            if frame.sequence != self.sequence + 1:
                raise JournalDamaged(
                    self.path,
                    start + at,
                    f"the frame here is number {frame.sequence}, where {self.sequence + 1} "
                    "must be: frames are missing, or not of this place",
                )
            self.sequence = frame.sequence
            self.length = start + frame.end
            at = frame.end
            yield frame._replace(end=self.length)
        self.torn = data[at:] + b"".join(self._pieces)
        if self.torn:
            self._check_torn(salt)

    def _check_torn(self, salt: int) -> None:
        """Raise where the torn rest had been whole: where a frame in it was written when that had
        been synced. (Without power, a disk may have a later write and not the one before it.)"""
        at = 1
        while (at_next := find_frame(self.torn, at, salt, self.sequence)) is not None:
            frame = parse_frame(self.torn, at_next, salt)
            if frame is not None and frame.synced > self.sequence:
                raise JournalDamaged(
                    self.path,
                    self.length,
                    f"the frame here is damaged, and was synced: so says the undamaged one at byte "
                    f"{self.length + at_next}",
                )
            at = at_next + 1

    def _more(self, has: int, needs: int) -> bytes:
        """What follows in the file, as much as the frame needs that begins here; nothing at the
        end, and behind a frame that is complete and still not valid."""
        if has >= needs:
            return b""
        pieces = []
        while has < needs and (piece := next(self._pieces, b"")):
            pieces.append(piece)
            has += len(piece)
        return b"".join(pieces)


def find_segments(fs: FileSystem, directory: str) -> list[str]:
    """The names of all segments in the directory, in order."""
    return sorted(
        (name for name in fs.list_directory(directory) if number_of(name) is not None),
        key=lambda name: number_of(name) or 0,
    )


def needed(segments: Iterable[Segment], snapshot: Snapshot) -> list[Segment]:
    """Those of ``segments``, which are in order, that have frames behind the snapshot, or may: the
    one that it names and those behind; where it names none, not those whose successor begins early
    enough."""
    if snapshot.journal is not None:
        # Also if it has no frames, as when nothing was changed before the next one began.
        first = snapshot.journal.segment
        return [segment for segment in segments if segment.number >= first]
    kept: list[Segment] = []
    for segment in segments:
        if segment.header is not None and segment.header.previous.sequence <= snapshot.sequence:
            kept.clear()
        kept.append(segment)
    return kept
