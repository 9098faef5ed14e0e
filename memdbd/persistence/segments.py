"""Reading the segments of a journal: what is whole in them, and what is at fault. Writes nothing.

Strategy: a :class:`Segment` is gone through frame by frame, in pieces of the file, so that a long
one takes about twice the memory of its longest frame; and its file is open only meanwhile, so that
there may be more segments than files that may be open. Where the frames end before the file does,
the rest tells torn from damaged: each frame says up to which one all was synced when it was
written. If an undamaged one is in the rest that says so of what is at fault, something was lost
that had been on disk, and nobody may go on without it; if none is, these are writes that were never
completed, as power leaves them. The rest is gone through in pieces too, once.

May import: errors, frames, fs, snapshot.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing

from memdbd.errors import JournalDamaged
from memdbd.persistence.frames import (
    HEADER_SIZE,
    Frame,
    Header,
    Link,
    Search,
    TooMuch,
    could_be_frame,
    length_of_frame,
    number_of,
    parse_frame,
    parse_header,
)
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.snapshot import Snapshot


class Extent:
    """``length`` bytes of a file, from ``offset`` on. To go through it is to read them, in pieces;
    they are not kept in memory."""

    __slots__ = ("_fs", "length", "offset", "path")

    def __init__(self, fs: FileSystem, path: str, offset: int, length: int) -> None:
        self._fs = fs
        self.path = path
        self.offset = offset
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[bytes]:
        skip, left = self.offset, self.length
        with closing(self._fs.read(self.path)) as pieces:
            while left > 0 and (piece := next(pieces, b"")):
                if wanted := piece[skip : skip + left]:
                    yield wanted
                skip = max(skip - len(piece), 0)
                left -= len(wanted)


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
        self._fs = fs
        with closing(fs.read(self.path)) as pieces:
            data = _more(pieces, b"", HEADER_SIZE + 1)
        self.header = parse_header(data)
        # It was made and its header is not yet on disk: only then are frames written.
        self.is_unborn = self.header is None and len(data) <= HEADER_SIZE
        self.length = HEADER_SIZE if self.header else 0
        self.sequence = self.header.previous.sequence if self.header else 0
        self.torn = Extent(fs, self.path, 0, len(data) if self.is_unborn else 0)

    @property
    def link(self) -> Link:
        """What the next segment's header says of this one."""
        return Link(self.sequence, self.length, self.header.salt if self.header else 0)

    def own_header(self) -> Header:
        """The header; raises JournalDamaged where it is damaged, or another segment's."""
        if self.header is None:
            raise JournalDamaged(self.path, 0, "the header of this segment is damaged")
        if self.header.number != self.number:
            raise JournalDamaged(
                self.path, 0, f"this is segment {self.header.number}, under another's name"
            )
        return self.header

    def frames(self) -> Iterator[Frame]:
        """The frames, in order; each ``end`` counts from the beginning of the file.

        Raises JournalDamaged where one is damaged or missing that had been synced, as those
        behind it know.
        """
        header = self.own_header()
        self.length, self.sequence = HEADER_SIZE, header.previous.sequence
        with closing(self._fs.read(self.path)) as pieces:
            data = _more(pieces, b"", HEADER_SIZE)
            if parse_header(data) != header:
                raise JournalDamaged(self.path, 0, "this segment was changed while it was read")
            at, start = HEADER_SIZE, 0  # start: where data begins in the file
            while True:
                frame = parse_frame(data, at, header.salt)
                if frame is None:
                    rest, start, at = data[at:], start + at, 0
                    # Not more for a length that is nonsense: it may be that of the whole file.
                    needs = length_of_frame(rest, 0) if self._may_begin(rest) else 0
                    data = _more(pieces, rest, needs)
                    if len(data) == len(rest):
                        break
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
            behind = len(data) + sum(map(len, pieces))
        self.torn = Extent(self._fs, self.path, self.length, behind)
        self._check_torn(header.salt)

    def _may_begin(self, data: bytes) -> bool:
        return could_be_frame(data, 0, self.sequence)

    def _check_torn(self, salt: int) -> None:
        """Raise where the torn rest had been whole: where a frame in it was written when that had
        been synced. (Without power, a disk may have a later write and not the one before it.)"""
        size = len(self.torn)
        try:
            found = Search(salt, size).find(self.torn, size, self.sequence, beyond=self.sequence)
        except TooMuch:
            raise JournalDamaged(
                self.path,
                self.length,
                f"no whole frame is here, and in the {size} bytes behind it is so much that looks "
                "like the beginning of one that nobody can tell in time whether this was synced",
            ) from None
        if found is not None:
            raise JournalDamaged(
                self.path,
                self.length,
                "the frame here is damaged, and was synced: so says the undamaged one at byte "
                f"{self.length + found}",
            )


def _more(pieces: Generator[bytes, None, None], has: bytes, needs: int) -> bytes:
    """``has`` and what follows it in the file, until it is as long as needed, or the file ends."""
    found, length = [has], len(has)
    while length < needs and (piece := next(pieces, b"")):
        found.append(piece)
        length += len(piece)
    return b"".join(found)


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
