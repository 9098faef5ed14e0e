"""Writing the journal: the segment that is open, and how the next one takes over from it.

Strategy: a frame is one write; what of it was written when that fails, is cut off before the next
one. A segment's header is on disk before it has a frame, and its predecessor is on disk as a whole
before that, so that a crash never leaves a header that says more than there is. Nothing is ever
appended to a segment of an earlier process.

Nothing here decides when to sync, in which thread, or what to do after a failure: see
:mod:`memdbd.committing`. All methods raise OSError.

May import: frames, fs, snapshot.
"""

from __future__ import annotations

import contextlib
import os

from memdbd.persistence.frames import (
    FRAME_SIZE,
    HEADER_SIZE,
    Header,
    Link,
    frame_head,
    segment_name,
)
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.snapshot import Following


class NextSegment:
    """A segment that is being made: first its file, and then, when its predecessor is complete and
    synced, its header. Made for another thread than that which appends to the predecessor."""

    def __init__(self, fs: FileSystem, directory: str, number: int, salt: int) -> None:
        self.number = number
        self.salt = salt
        self._fs = fs
        self._path = os.path.join(directory, segment_name(number))
        self._header: Header
        try:
            self._file = fs.create(self._path)
        except FileExistsError:  # an attempt before that failed, and could not be taken back
            fs.remove(self._path)
            self._file = fs.create(self._path)
        try:
            fs.sync_directory(directory)
        except BaseException:
            self.discard()
            raise

    def write_header(self, previous: Link) -> None:
        """Write the header. Where that raises, there is none, and its predecessor may go on."""
        self._header = Header(self.number, previous, self.salt)
        self._fs.write_all(self._file, self._header.encode())

    def begin(self, previous: Link) -> Journal:
        """Write the header and sync it."""
        self.write_header(previous)
        return self.sync_header()

    def sync_header(self) -> Journal:
        """Sync the header; the segment takes frames from now on."""
        self._fs.sync(self._file)
        return Journal(self._fs, self._file, self._path, self._header, HEADER_SIZE)

    def discard(self) -> None:
        """Take it back, if that is possible; one without a header is no harm."""
        self.abandon()
        with contextlib.suppress(OSError):
            self._fs.remove(self._path)

    def abandon(self) -> None:
        """Leave it to whoever makes the next one of this number."""
        with contextlib.suppress(OSError):
            self._fs.close(self._file)


class Journal:
    """A segment that takes frames. ``sequence`` is that of the last one; ``length`` is in bytes.
    ``synced`` is to be told: it is the sequence up to which all is on disk."""

    def __init__(self, fs: FileSystem, file: int, path: str, header: Header, length: int) -> None:
        self.path = path
        self.number = header.number
        self.salt = header.salt
        self.sequence = self.synced = header.previous.sequence
        self.length = length
        self._fs = fs
        self._file = file
        self._is_clean = True  # nothing is behind length

    @property
    def link(self) -> Link:
        """What the next segment is to say of this one."""
        return Link(self.sequence, self.length, self.salt)

    @property
    def following(self) -> Following:
        """What a snapshot of all before this segment says of it."""
        return Following(self.number, self.salt)

    def append(self, *payload: bytes) -> int:
        """Write one frame, of a payload that may come in pieces; gives its bytes. Where that
        raises, no part of it counts, and it may be tried again."""
        size = sum(map(len, payload))
        head = frame_head(self.sequence + 1, self.synced, payload, size, self.salt)
        if not self._is_clean:
            self._fs.truncate(self._file, self.length)
        self._is_clean = False
        try:
            self._fs.write_all(self._file, head, *payload)
        except OSError:
            self._cut()  # now, for it may be what fills the disk
            raise
        self._is_clean = True
        self.sequence += 1
        self.length += FRAME_SIZE + size
        return FRAME_SIZE + size

    def _cut(self) -> None:
        """Cut off what was written of a frame; if that fails too, the next one tries again."""
        with contextlib.suppress(OSError):
            self._fs.truncate(self._file, self.length)
            self._is_clean = True

    def sync(self) -> None:
        """Return when all that was appended before would survive the loss of power. May run in
        another thread. Where it raises, nobody knows what of the file is on disk, and a second
        attempt would not tell: the segment is of no more use."""
        self._fs.sync_data(self._file)

    def close(self) -> None:
        """Let go of the file. What counts was synced before, so that nothing can fail here that
        matters to anybody."""
        with contextlib.suppress(OSError):
            self._fs.close(self._file)
