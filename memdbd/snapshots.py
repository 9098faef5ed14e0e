"""When snapshots are made, and how: of the journal, or, where that is lost, of memory.

Theory of operation. A snapshot never stops the loop: the journal goes on in a new segment, and a
process of its own (:mod:`memdbd.persistence.compactor`) merges the old snapshot and the segments
that are complete into the new one, which is then installed here. Until it is, and whatever becomes
of that process, the old snapshot and all segments stay, and they tell everything; afterwards the
segments that it covers are removed. One that fails is tried again, each time later.

Where what is on disk is of no use, the snapshot is made of memory, slice by slice: when a sync has
failed, when the compactor finds the files damaged, and when the journal could not be written for a
while. No request is changing anything meanwhile.

May import: busy, clock, committing, engines, persistence, and what they may import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from memdbd.busy import Busy
from memdbd.clock import Clock
from memdbd.commands.types import DataType
from memdbd.committing import Committer, InThread
from memdbd.engines.local import LocalEngine
from memdbd.errors import CommandError, DataDamaged, NotCommitted, StorageError
from memdbd.persistence.compactor import Compacted
from memdbd.persistence.frames import Link, number_of
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.journal import Journal, NextSegment
from memdbd.persistence.lock import DirectoryLock
from memdbd.persistence.recovery import Recovered
from memdbd.persistence.segments import find_segments
from memdbd.persistence.snapshot import (
    Following,
    SnapshotWriter,
    header_line,
    install,
    lines_of,
)
from memdbd.replies import OK, Pending, Reply
from memdbd.structs.pool import Random

# Merges what is before a segment into a new snapshot, to be installed: called in a thread with the
# directory, the snapshot's path, the segment's number, and the present in seconds of the wall
# clock. Raises OSError or StorageError.
Compact = Callable[[str, str, int, float], Compacted]


class Snapshots:
    """Makes the snapshots of ``engine`` at ``path``. ``kill()`` ends a ``compact`` that is under
    way."""

    PATIENCE = 60.0  # seconds for the last snapshot
    FIRST_RETRY, LAST_RETRY = 10.0, 600.0  # seconds after a snapshot that failed

    _log = Logger()

    def __init__(
        self,
        *,
        reactor: IReactorTime,
        clock: Clock,
        engine: LocalEngine,
        committer: Committer,
        types: Sequence[DataType[Any]],
        fs: FileSystem,
        lock: DirectoryLock,
        compact: Compact,
        kill: Callable[[], object],
        in_thread: InThread,
        random: Random,
        after: int,
    ) -> None:
        self.path = ""  # both once they are there
        self.directory = ""
        self.after = after  # bytes of journal that make a snapshot worth it
        self.saves = 0
        self.failures = 0
        self.last_save: float | None = None  # seconds of the wall clock
        self.last_error: str | None = None
        self.last_took: float | None = None  # seconds
        self.size = 0  # bytes of the snapshot
        self.covered = 0  # the engine's count of changes that it covers
        self.journal_before = 0  # bytes of the segments before the one that is open
        self._reactor = reactor
        self._clock = clock
        self._engine = engine
        self._committer = committer
        self._kinds = {kind.python: kind for kind in types}
        self._fs = fs
        self._lock = lock
        self._compact = compact
        self._kill = kill
        self._in_thread = in_thread
        self._random = random
        self._asked: list[Pending] = []  # wait for the next snapshot
        self._making = Busy()
        self._retry_in = 0.0
        self._not_before = 0.0  # seconds of the reactor
        self._rewriting: IDelayedCall | None = None
        self._rewrite_in = 0.0
        self._is_stopped = False
        committer.distrusted = self._begin_rewriting

    def begin(self, directory: str, path: str, recovered: Recovered) -> None:
        """Go on from what was found in ``directory``: with a new segment, behind it. The snapshot
        is at ``path``. Raises OSError."""
        self.directory, self.path = directory, path
        snapshot = recovered.snapshot
        self.covered = 0
        several = recovered.next_number > recovered.first_needed + 1
        if snapshot.imported or recovered.frames or several:
            # What was found is not all in a snapshot of ours; or it is, and without a new one the
            # segments of daemons that had nothing to do would pile up.
            self.covered = -1
        if not snapshot.imported:
            self.last_save = snapshot.created or None
        self.size = snapshot.length
        self.journal_before = recovered.journal_bytes
        journal = self._begun(recovered.next_number, recovered.last)
        self._committer.journal = journal
        self._remove_before(recovered.first_needed)

    def _segment(self, number: int) -> NextSegment:
        salt = int(self._random() * 2**32)
        return NextSegment(self._fs, self.directory, number, salt)

    def _begun(self, number: int, previous: Link) -> Journal:
        following = self._segment(number)
        try:
            return following.begin(previous)
        except BaseException:
            following.discard()
            raise

    # When

    def make(self) -> Pending:
        """Make a snapshot of what is there now. The reply is there when it is on disk."""
        pending = Pending()
        self._asked.append(pending)
        self._begin()
        return pending

    def make_if_changed(self) -> None:
        """Make a snapshot if something has changed since the last one."""
        if self.covered != self._engine.dirty and self._reactor.seconds() >= self._not_before:
            self._begin()

    def make_if_worth(self) -> None:
        """Make a snapshot if the journal has become long, and as long as the snapshot is."""
        if self.after and self.journal_bytes >= max(self.after, self.size):
            self.make_if_changed()

    @property
    def journal_bytes(self) -> int:
        """Bytes of journal behind the snapshot."""
        journal = self._committer.journal
        return self.journal_before + (journal.length if journal is not None else 0)

    @property
    def is_making(self) -> bool:
        return bool(self._making)

    async def idle(self) -> None:
        """Wait for the snapshot that is being made, if one is."""
        await self._making.idle()

    async def stop(self, *, last: bool) -> None:
        """Make no more attempts to write all of memory, and if wanted a last snapshot if something
        has changed; it is not waited for for ever, since the journal has it all."""
        self._is_stopped = True
        if self._rewriting is not None:
            self._rewriting.cancel()
            self._rewriting = None
        if last:
            self.make_if_changed()
        impatience = self._reactor.callLater(self.PATIENCE, self._kill)
        await self.idle()
        if impatience.active():
            impatience.cancel()

    # How

    def _begin(self) -> None:
        if not self._making:
            self._making.begin()
            ensureDeferred(self._make_all())

    async def _make_all(self) -> None:
        try:
            # Whoever asks while one is made wants what has changed since, too.
            while True:
                asked, self._asked = self._asked, []
                outcome = await self._outcome()
                for pending in asked:
                    pending.resolve(outcome)
                if not self._asked:
                    return
        finally:
            self._making.end()()

    async def _outcome(self) -> Reply:
        try:
            await self._make()
        except NotCommitted as error:
            self._log.error("snapshot not written: {error}", error=error)
            return error.bare()
        except DataDamaged as error:
            self._failed(error)
            self._committer.doubt(error)
            return CommandError(
                f"what is on disk was damaged: {error}",
                "nothing is lost while the server runs; all of it is being written anew",
            )
        except Exception as error:
            self._failed(error)
            self._retry_in = min(max(2 * self._retry_in, self.FIRST_RETRY), self.LAST_RETRY)
            self._not_before = self._reactor.seconds() + self._retry_in
            return CommandError(
                f"the snapshot could not be written: {error}",
                "nothing is lost, the journal has it all; mend the disk and save again",
            )
        self.last_error = None
        self._retry_in = self._not_before = 0.0
        return OK

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self.last_error = str(error)
        if isinstance(error, (OSError, StorageError)):  # not our own fault
            self._log.error("snapshot not written: {error}", error=error)
        else:
            defect = Failure(error)
            self._log.failure("a defect of memdbd: {path} not written", defect, path=self.path)

    async def _make(self) -> None:
        self._lock.check()
        began = self._reactor.seconds()
        created = self._clock.wall_ms() / 1000
        sealed = self._committer.journal
        journal = await self._committer.rotate(self._segment)
        # No more than what is in the segments: a little less is only a snapshot too many.
        changes = self._engine.dirty - len(self._engine.changes.effects)
        self.journal_before += sealed.length if sealed is not None else 0
        compacted = await self._in_thread(
            lambda: self._compact(self.directory, self.path, journal.number, created)
        )
        await self._install(journal.number, compacted.tag)
        self.journal_before = 0
        self._made(changes, created, compacted.count, compacted.bytes, began)

    async def _install(self, number: int, tag: str = "") -> None:
        """Make the new snapshot the snapshot, and remove the segments before ``number``."""

        def work() -> None:
            self._lock.check()
            install(self._fs, self.path, tag)
            self._remove_before(number)

        await self._in_thread(work)

    def _remove_before(self, number: int) -> None:
        """Remove segments that a snapshot on disk covers; what cannot be now, can be next time."""
        for name in find_segments(self._fs, self.directory):
            if (number_of(name) or 0) < number:
                try:
                    self._fs.remove(str(Path(self.directory) / name))
                except OSError as error:
                    self._log.warn("{name} is not removed: {error}", name=name, error=error)

    def _made(self, changes: int, created: float, count: int, size: int, began: float) -> None:
        self.saves += 1
        self.covered = changes
        self.last_save = created
        self.size = size
        self.last_took = self._reactor.seconds() - began
        self._log.info("{count} keys saved to {path}", count=count, path=self.path)

    # Of memory, when nobody knows what is on disk

    def _begin_rewriting(self) -> None:
        if self._rewriting is None and not self._is_stopped:
            self._rewrite_in = 0.0
            self._rewriting = self._reactor.callLater(0, self._rewrite)

    def _rewrite(self) -> None:
        self._rewriting = None
        ensureDeferred(self._rewrite_all())

    async def _rewrite_all(self) -> None:
        await self.idle()
        await self._committer.idle()  # of what is no longer needed, but a thread has in hand
        journal = self._committer.journal
        if self._is_stopped or journal is None or self._committer.health.is_good:
            return
        self._making.begin()
        self._committer.gives_way = True
        try:
            following = await self._write_memory(journal)
        except Exception as error:
            self._failed(error)
            self._rewrite_in = min(max(2 * self._rewrite_in, self.FIRST_RETRY), self.LAST_RETRY)
            if not self._is_stopped:
                self._rewriting = self._reactor.callLater(self._rewrite_in, self._rewrite)
        else:
            self.last_error = None
            self._retry_in = self._not_before = 0.0
            self._committer.resume(following)
        finally:
            self._committer.gives_way = False
            self._making.end()()
            if self._asked:
                self._begin()

    async def _write_memory(self, journal: Journal) -> Journal:
        """Write all keys to a new snapshot; gives the new segment behind it."""
        self._lock.check()
        began = self._reactor.seconds()
        created = self._clock.wall_ms() / 1000
        await self._committer.settle()
        changes = self._engine.dirty
        sequence, number = journal.sequence, journal.number + 1
        # The segment that could not be synced says nothing that counts; the next one, which is made
        # when this is on disk, begins anew.
        header = header_line(sequence, created, Following(number, None))
        writer = SnapshotWriter(self._fs, self.path, header)
        try:
            for lines, count in lines_of(self._engine.entries(), self._kinds):
                writer.add(lines, count)
                await deferLater(self._reactor, 0)
            await self._in_thread(writer.finish)
        except BaseException:
            writer.abort()
            raise
        await self._install(0)
        behind = Link(sequence, 0, 0)
        following = await self._in_thread(lambda: self._begun(number, behind))
        await self._in_thread(lambda: self._remove_before(number))
        self.journal_before = 0
        self._made(changes, created, writer.count, writer.size, began)
        return following

    def info(self) -> Mapping[str, Reply]:
        """What ``info`` tells of this."""
        return {
            "snapshot": self.path,
            "snapshot_in_progress": self.is_making,
            "changes_since_last_save": self._engine.dirty - max(self.covered, 0),
            "last_save": self.last_save,
            "last_save_error": self.last_error,
            "last_save_seconds": self.last_took,
            "snapshot_bytes": self.size,
        }
