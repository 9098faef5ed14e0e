"""The compactor: an old snapshot and the sealed segments behind it become the new snapshot.

A process of its own, so that the daemon neither stops nor forks meanwhile::

    python -m memdbd.persistence.compactor DIRECTORY FILENAME SEGMENT [PARENT]

SEGMENT is the number of the first segment that is not covered; its header says how the one before
it ends. PARENT is the pid of the process that wants the result. Prints a line of JSON; or says on
stderr what was in the way, and exits with 1, or with 2 where the data is damaged.

Strategy: three passes, none of which keeps what is not about a changed key. Through the segments,
for which keys those are; through the old snapshot, whose other lines are copied; and through the
segments again, to do what they say. The whole chain is checked, with the rules of recovery: what
cannot be read must not become a snapshot that can. The new one is left in its temporary file. To
install it, and to remove what it covers, is for the daemon.

May import: effects, errors, frames, fs, loading, merging, recovery, replay, segments, snapshot;
commands.table.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import orjson

from memdbd.commands.table import TYPES
from memdbd.effects import Damaged, decode
from memdbd.errors import DataDamaged, JournalDamaged, StorageError
from memdbd.keyspace import Contents
from memdbd.persistence.frames import Frame, Header, number_of, segment_name
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.loading import blocks_of, collector_paused, imported, is_ours
from memdbd.persistence.merging import Merge, Touched
from memdbd.persistence.recovery import check_beginning, check_link, do_again
from memdbd.persistence.replay import Replay
from memdbd.persistence.segments import Segment, find_segments, needed
from memdbd.persistence.snapshot import (
    NO_SNAPSHOT,
    Following,
    Snapshot,
    SnapshotWriter,
    entries,
    header_line,
    lines_of,
    temporary,
)

if TYPE_CHECKING:
    from memdbd.commands.types import DataType

NICENESS = 10  # where the daemon wants the same core, it is to get nearly all of it
DAMAGED = 2  # the exit status where the data is
FRAMES_AT_ONCE = 256  # from one call of ``between`` to the next
# How many bytes are left to the system at a time. The daemon's own syncs wait for them: at 5M keys
# for up to 150 ms where all was left to the end, and for 17 ms with this (ext4).
SYNC_EVERY = 16 * 1024 * 1024

Types = Mapping[str, "DataType[Any]"]


@dataclass(frozen=True, slots=True)
class Compacted:
    """What the new snapshot is: how many records it has; how many keys were touched since the old
    one; the last frame that it covers; how many bytes it has; the tag of its temporary file."""

    count: int
    changed: int
    sequence: int
    bytes: int
    tag: str = ""


def nothing() -> None:
    """Is called between two slices."""


def compact(
    fs: FileSystem,
    directory: str,
    path: str,
    types: Sequence[DataType[Any]],
    segment: int,
    created: float,
    between: Callable[[], object] = nothing,
    tag: str = "",
) -> Compacted:
    """Write a snapshot of all that is before ``segment`` into the temporary file for ``path``.

    ``created`` is its date, in seconds of the wall clock; ``between()`` is called every few
    milliseconds. Raises StorageError where the old snapshot or a segment is not what was written,
    and OSError; then there is no new snapshot. All other files are as they were, in any case.
    """
    by_name = {kind.name: kind for kind in types}
    with collector_paused():
        base = _Base(fs, path, by_name)
        chain = _Chain(fs, directory, path, base.head, segment, between)
        touched = _touched(chain)
        header = header_line(chain.last, created, chain.following)
        between()  # what is written now might be in the way of another daemon's compactor
        writer = SnapshotWriter(fs, path, header, SYNC_EVERY, tag)
        try:
            changed = len(touched.keys) + len(touched.overwritten)
            contents = base.merge(touched, writer.add, between)
            del base, touched  # they may be as large as what is done again
            contents = _done_again(chain, by_name, contents)
            for lines, count in lines_of(entries(contents), {kind.python: kind for kind in types}):
                writer.add(lines, count)
                between()
            writer.finish()
        except BaseException:
            writer.abort()
            raise
    return Compacted(writer.count, changed, chain.last, writer.size, tag)


class _Base:
    """What is at ``path``: a snapshot, of which the head is read at once; a file to be imported,
    which is read as a whole; or nothing."""

    def __init__(self, fs: FileSystem, path: str, types: Types) -> None:
        self.head = NO_SNAPSHOT
        self._merge: Merge | None = None
        if fs.exists(path):
            self._blocks = blocks_of(fs, path)
            block = next(self._blocks, b"")
            if is_ours(block):
                self._merge = Merge(path, types, block)
                self.head = self._merge.head
            else:
                contents = imported(path, block + b"".join(self._blocks), types)
                self.head = NO_SNAPSHOT._replace(contents=contents, imported=True)

    def merge(
        self,
        touched: Touched,
        copy: Callable[[bytes, int], None],
        between: Callable[[], object],
    ) -> Contents:
        """What is to be changed; all else has been copied."""
        if self._merge is None:
            return self.head.contents

        def watched() -> Iterator[bytes]:
            for block in self._blocks:
                between()
                yield block

        self._merge.merge(watched(), touched, copy)
        return self._merge.contents


class _Chain:
    """The frames behind the snapshot ``head`` and before ``segment``: ``last`` is the number of the
    last one, ``following`` what the new snapshot says of ``segment``. Can be gone through again."""

    def __init__(
        self,
        fs: FileSystem,
        directory: str,
        path: str,
        head: Snapshot,
        segment: int,
        between: Callable[[], object],
    ) -> None:
        self._fs = fs
        self._directory = directory
        self._path = path
        self._head = head
        self._segment = segment
        self._between = between
        header = self._header()
        self.last = header.previous.sequence
        self.following = Following(segment, header.salt)
        if self.last < head.sequence or (head.journal and head.journal.segment > segment):
            raise StorageError(f"{path} covers more than what is before segment {segment}")

    def __iter__(self) -> Iterator[tuple[Segment, Frame]]:
        covered = self._head.sequence
        segments = needed(self._segments(), self._head)
        check_beginning(self._path, self._head, segments)
        for segment, successor in pairwise(segments):
            for frame in segment.frames():
                if frame.sequence > covered:
                    yield segment, frame
                if not frame.sequence % FRAMES_AT_ONCE:
                    self._between()
            check_link(segment, successor)

    def _header(self) -> Header:
        """That of the segment that is not covered."""
        name = segment_name(self._segment)
        path = os.path.join(self._directory, name)
        if name not in self._fs.list_directory(self._directory):
            raise JournalDamaged(path, 0, "this segment is missing")
        return Segment(self._fs, self._directory, name).own_header()

    def _segments(self) -> list[Segment]:
        return [
            Segment(self._fs, self._directory, name)
            for name in find_segments(self._fs, self._directory)
            if (number_of(name) or 0) <= self._segment
        ]


def _touched(chain: _Chain) -> Touched:
    touched = Touched()
    for segment, frame in chain:
        try:
            touched.hear(list(decode(frame.payload)))
        except Damaged as fault:
            at = frame.end - len(frame.payload)
            raise JournalDamaged(segment.path, at, f"{fault}") from None
    return touched


def _done_again(chain: _Chain, types: Types, contents: Contents) -> Contents:
    replay = Replay(types, contents)
    for segment, frame in chain:
        do_again(replay, segment, frame)
    return replay.contents()


# The process


def main(arguments: Sequence[str]) -> int:
    """Compact for the daemon that has started this process; gives the exit status."""
    directory, filename, segment, *parent = arguments
    daemon = int(parent[0]) if parent else os.getppid()
    alive = _while_alive(daemon)
    tag = f"{daemon}-{segment}"
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    fs = FileSystem()
    path = fs.resolve(os.path.join(directory, filename))
    try:
        done = compact(fs, directory, path, TYPES, int(segment), time.time(), alive, tag)
    except DataDamaged as error:
        sys.stderr.write(f"{error}\n")
        return DAMAGED
    except StorageError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"{error.filename or temporary(path, tag)}: {error.strerror}\n")
        return 1
    print(orjson.dumps(asdict(done) | {"memory": _peak_memory()}).decode(), flush=True)
    return 0


def _while_alive(parent: int) -> Callable[[], None]:
    """Ends this process, when it is called, if ``parent`` is no more. Its directory may be another
    daemon's then, which may have its own compactor: so nothing is tidied up here."""

    def check() -> None:
        if os.getppid() != parent:
            os._exit(1)

    if sys.platform == "win32":
        return nothing  # the number stays the same there, whatever becomes of the process
    check()
    return check


def _peak_memory() -> int:
    """The most memory that this process had at a time, in bytes; 0 where that cannot be told."""
    try:
        # Not ru_maxrss, which begins with that of whoever has forked it.
        with open("/proc/self/status", "rb") as status:
            lines = dict(line.split(b":", 1) for line in status)
        return int(lines[b"VmHWM"].split()[0]) * 1024
    except (OSError, KeyError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
