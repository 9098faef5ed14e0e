"""The service that keeps the engine's data on disk: loads it, locks it, writes the snapshots.

May import: engines, persistence, services, and what they may import.
"""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from memdbd.clock import Clock
from memdbd.commands.types import DataType
from memdbd.engines.local import LocalEngine
from memdbd.errors import CommandError, StorageError
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.loading import read
from memdbd.persistence.lock import DirectoryLock
from memdbd.persistence.snapshot import SnapshotWriter, remove_unfinished
from memdbd.replies import OK, Pending, Reply
from memdbd.services import Periodic


class Storage(MultiService):
    """Keeps the data of ``engine`` in ``directory``.

    A snapshot is written every ``interval`` seconds if something changed (0: never), when ``save``
    is called, and at the end. ``in_thread(function)`` runs what waits for the disk.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        reactor: IReactorTime,
        clock: Clock,
        engine: LocalEngine,
        types: Sequence[DataType[Any]],
        fs: FileSystem,
        directory: str,
        filename: str,
        interval: float,
        in_thread: Callable[[Callable[[], None]], Awaitable[None]],
    ) -> None:
        super().__init__()
        self._reactor = reactor
        self._clock = clock
        self._engine = engine
        self._types = types
        self._fs = fs
        self._directory = directory
        self._path = str(Path(directory) / filename)
        self._in_thread = in_thread
        self._lock = DirectoryLock(fs, directory)
        self._covered = 0  # the engine's count of changes that the snapshot on disk covers
        self._asked: list[Pending] = []  # wait for the next snapshot
        self._writing: Deferred[None] | None = None
        self._saves = 0
        self._failures = 0
        self._last_save: float | None = None  # seconds of the wall clock
        self._last_error: str | None = None
        self._periodic: Periodic | None = None
        self.save_every(interval)

    def startService(self) -> None:
        """Lock and load. Raises StorageError where the data cannot be used as it is."""
        try:
            self._fs.make_directory(self._directory)
            self._lock.acquire()
            # A link stays one: what it points to is read, and replaced.
            self._path = self._fs.resolve(self._path)
            remove_unfinished(self._fs, self._path)
            found = self._fs.exists(self._path)
        except OSError as error:
            raise StorageError(
                f"data directory {self._directory} cannot be used: {error.strerror}"
            ) from error
        if found:
            self._load()
        # What is there now stays: a full collection would look at all of it, in one stretch, and
        # find nothing (24 ms for Twisted's own objects, 67 ms more for a million of ours).
        gc.collect()
        gc.freeze()
        super().startService()

    def _load(self) -> None:
        snapshot = read(self._fs, self._path, {kind.name: kind for kind in self._types})
        self._engine.load(snapshot.contents)
        if snapshot.imported:
            self._covered = -1  # no snapshot of ours yet, so the next one is due
        else:
            self._last_save = snapshot.created
        self._log.info(
            "{count} keys {how} from {path}",
            count=snapshot.size,
            how="imported" if snapshot.imported else "loaded",
            path=self._path,
        )

    def stopService(self) -> Deferred[None]:
        """Write the last snapshot if something changed, and give the directory free."""
        super().stopService()
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        if self._writing is not None:
            await self._writing
        self.save_if_changed()
        if self._writing is not None:
            await self._writing
        if self._covered != self._engine.dirty:
            self._log.critical(
                "stopped with changes that are NOT in {path}: {error}",
                path=self._path,
                error=self._last_error,
            )
        self._lock.release()

    def save_every(self, seconds: float) -> None:
        """Write a snapshot every so many seconds from now on, if something changed; 0: never."""
        if self._periodic is not None:
            self._periodic.disownServiceParent()
            self._periodic = None
        if seconds:
            self._periodic = Periodic(self._reactor, seconds, self.save_if_changed)
            self._periodic.setServiceParent(self)

    def save(self) -> Pending:
        """Write a snapshot of what is there now. The reply is there when it is on disk."""
        pending = Pending()
        self._asked.append(pending)
        self._begin()
        return pending

    def save_if_changed(self) -> None:
        """Write a snapshot if something changed since the last one."""
        if self._covered != self._engine.dirty:
            self._begin()

    def info(self) -> Mapping[str, Reply]:
        """What ``info`` tells of this."""
        return {
            "snapshot": self._path,
            "snapshot_in_progress": self._writing is not None,
            "changes_since_last_save": self._engine.dirty - max(self._covered, 0),
            "last_save": self._last_save,
            "last_save_error": self._last_error,
        }

    def stats(self) -> Mapping[str, int]:
        """What was counted."""
        return {"snapshots_written": self._saves, "snapshots_failed": self._failures}

    def _begin(self) -> None:
        if self._writing is None:
            self._writing = Deferred()
            ensureDeferred(self._write())

    async def _write(self) -> None:
        try:
            # Whoever asks while one is written wants what has changed since, too.
            while True:
                asked, self._asked = self._asked, []
                outcome = await self._snapshot()
                for pending in asked:
                    pending.resolve(outcome)
                if not self._asked:
                    return
        finally:
            done, self._writing = self._writing, None
            if done is not None:
                done.callback(None)

    async def _snapshot(self) -> Reply:
        changes = self._engine.dirty
        created = self._clock.wall_ms() / 1000
        kinds = {kind.python: kind for kind in self._types}
        try:
            self._lock.check()
            contents = self._engine.copy()
            writer = SnapshotWriter(self._fs, self._path, contents, kinds, created)
            while writer.write_slice():
                await deferLater(self._reactor, 0)
            await self._in_thread(writer.commit)
        except Exception as error:
            self._failures += 1
            self._last_error = str(error)
            if isinstance(error, (OSError, StorageError)):  # the disk's fault, and not ours
                self._log.error("snapshot not written: {error}", error=error)
            else:
                self._log.failure("a defect of memdbd: {path} not written", path=self._path)
            return CommandError(
                f"the snapshot could not be written: {error}",
                "nothing is lost while the server runs; mend the disk and save again",
            )
        self._saves += 1
        self._covered = changes
        self._last_save = created
        self._last_error = None
        self._log.info("{count} keys saved to {path}", count=writer.count, path=self._path)
        return OK
