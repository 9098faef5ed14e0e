"""The service that keeps the engine's data on disk: locks the directory, recovers, and at the end
closes the journal. What is between is for the committer and the snapshots, which it starts and
stops.

May import: committing, engines, persistence, services, snapshots, and what they may import.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from memdbd.commands.types import DataType
from memdbd.committing import Committer
from memdbd.durability import Durability
from memdbd.engines.local import LocalEngine
from memdbd.errors import DataDamaged, JournalDamaged, StorageError
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.lock import DirectoryLock
from memdbd.persistence.recovery import Recovered, keep_torn, recover, renew_last
from memdbd.persistence.snapshot import FILENAME, remove_unfinished
from memdbd.replies import Pending, Reply
from memdbd.services import Periodic
from memdbd.snapshots import Snapshots


class Storage(MultiService):
    """Keeps the data of ``engine`` in ``directory``.

    A snapshot is made every ``interval`` seconds if something has changed (0: never), when the
    journal has become long, when ``save`` is called, and at the end. ``strict_tail``: refuse what a
    crash may leave at the end of the journal.
    """

    TICK = 1.0  # seconds between two syncs under everysec

    _log = Logger()

    def __init__(
        self,
        *,
        reactor: IReactorTime,
        engine: LocalEngine,
        committer: Committer,
        snapshots: Snapshots,
        lock: DirectoryLock,
        types: Sequence[DataType[Any]],
        fs: FileSystem,
        directory: str,
        filename: str,
        interval: float,
        strict_tail: bool,
    ) -> None:
        super().__init__()
        self.snapshots = snapshots
        self._reactor = reactor
        self._engine = engine
        self._committer = committer
        self._lock = lock
        self._types = {kind.name: kind for kind in types}
        self._fs = fs
        self._directory = directory
        self._path = str(Path(directory) / filename)
        # As the tools are told which one is meant.
        self._named = directory
        if filename != FILENAME:
            self._named += f" --storage-file {filename}"
        self._strict_tail = strict_tail
        self._periodic: Periodic | None = None
        self._saves_at_end = True
        self._recovered: dict[str, int] = {}
        self.save_every(interval)
        Periodic(reactor, self.TICK, self._tick).setServiceParent(self)

    # From the disk

    def startService(self) -> None:
        """Lock and recover. Raises StorageError where the data cannot be used as it is."""
        try:
            self._fs.make_directory(self._directory)
            self._lock.acquire()
            # A link stays one: what it points to is read, and replaced.
            self._path = self._fs.resolve(self._path)
            remove_unfinished(self._fs, self._path)
        except OSError as error:
            raise self._unusable(error) from error
        recovered = self._recover()
        self._keep_torn(recovered)
        try:
            self.snapshots.begin(self._directory, self._path, recovered)
        except OSError as error:
            raise self._unusable(error) from error
        self._engine.load(recovered.contents)
        self._tell(recovered)
        # What is there now stays: a full collection would look at all of it, in one stretch, and
        # find nothing (24 ms for Twisted's own objects, 67 ms more for a million of ours).
        gc.collect()
        gc.freeze()
        super().startService()

    def _recover(self) -> Recovered:
        try:
            return recover(self._fs, self._directory, self._path, self._types)
        except DataDamaged as error:
            raise StorageError(
                f"{error}. Nothing was changed. To see all that is wrong: memdb check "
                f"{self._named}; to go on with what can be read, and keep the rest beside: "
                f"memdb repair {self._named}"
            ) from error

    def _unusable(self, error: OSError) -> StorageError:
        return StorageError(
            f"data directory {self._directory} cannot be used: {error.strerror or error}"
        )

    def _keep_torn(self, recovered: Recovered) -> None:
        for segment in recovered.torn:
            if segment.torn and self._strict_tail:
                raise JournalDamaged(
                    segment.path,
                    segment.length,
                    f"the last {len(segment.torn)} bytes are no complete frame, as a crash leaves "
                    "them, and strict_tail is set. Nothing was changed. To start without them, and "
                    "keep them beside: --strict-tail=false, once",
                )
        try:
            for kept in keep_torn(self._fs, recovered.torn):
                self._log.warn(
                    "the journal ended in the middle of a write, as a crash leaves it: what is "
                    "behind frame {sequence} was cut off, and is kept in {kept}",
                    sequence=recovered.sequence,
                    kept=kept,
                )
            # What a daemon before has left may still be on its way to the disk, and is built upon.
            renew_last(self._fs, recovered)
            self._fs.sync_directory(os.path.dirname(self._path))
        except OSError as error:
            raise self._unusable(error) from error

    def _tell(self, recovered: Recovered) -> None:
        self._recovered = {"recovered_keys": recovered.size, "recovered_frames": recovered.frames}
        self._log.info(
            "{count} keys {how} from {path}, with {frames} frames of the journal",
            count=recovered.size,
            how="imported" if recovered.snapshot.imported else "loaded",
            path=self._path,
            frames=recovered.frames,
        )
        if not recovered.was_closed:
            self._log.warn(
                "the daemon before did not stop in order; its journal ends with frame {sequence}",
                sequence=recovered.sequence,
            )

    # To the disk

    def stopService(self) -> Deferred[None]:
        """Make the last snapshot if something has changed, close the journal, and give the
        directory free."""
        super().stopService()
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        last = self._saves_at_end and self._committer.health.is_good
        await self.snapshots.stop(last=last)
        await self._committer.close()
        self._lock.release()

    def _tick(self) -> None:
        self._committer.tick()
        self.snapshots.make_if_worth()

    def save_every(self, seconds: float) -> None:
        """Make a snapshot every so many seconds from now on, if something has changed; 0: never."""
        self._saves_at_end = bool(seconds)
        if self._periodic is not None:
            self._periodic.disownServiceParent()
            self._periodic = None
        if seconds:
            self._periodic = Periodic(self._reactor, seconds, self.snapshots.make_if_changed)
            self._periodic.setServiceParent(self)

    def save(self) -> Pending:
        """Make a snapshot of what is there now. The reply is there when it is on disk."""
        return self.snapshots.make()

    def leave(self) -> None:
        """Make no last snapshot; the journal has it all. Raises NotCommitted where it has not."""
        self._committer.health.check()
        self._saves_at_end = False

    def follow(self, policy: Durability) -> None:
        """Keep to another policy of durability from now on."""
        self._committer.durability = policy
        self._committer.sync_if_due()

    # What is told

    def info(self) -> Mapping[str, Reply]:
        """What ``info`` tells of this."""
        committer = self._committer
        return {
            "state": committer.health.state.value,
            "reason": committer.health.reason,
            "durability": committer.durability,
            "journal": committer.journal.path if committer.journal is not None else "",
            "journal_bytes": self.snapshots.journal_bytes,
            "sync_in_progress": committer.is_syncing,
            "seconds_since_sync": round(self._reactor.seconds() - committer.last_sync, 3),
            **self.snapshots.info(),
        }

    def stats(self) -> Mapping[str, Reply]:
        """What was counted, and how it is with the journal."""
        info = self.info()
        return {
            "durability": info["durability"],
            "state": info["state"],
            "seconds_since_sync": info["seconds_since_sync"],
            "last_save": info["last_save"],
            "journal_bytes": info["journal_bytes"],
            "snapshots_written": self.snapshots.saves,
            "snapshots_failed": self.snapshots.failures,
            "journal_frames": self._committer.frames,
            "journal_bytes_written": self._committer.bytes,
            "journal_syncs": self._committer.syncs,
            "journal_failures": self._committer.health.failures,
            **self._recovered,
        }
