"""Committing: what a turn has changed is in the journal before anybody hears of it.

Theory of operation. At the end of each turn :class:`Committer` writes one frame with all that was
changed. Under ``always`` the replies then wait for a sync, which is done in a thread, one for all;
meanwhile the loop goes on, and what it changes is the next frame. Under ``everysec`` a sync is
begun each second, and the replies leave at once, unless the disk is so late that more than LATEST
seconds of writes would be at stake; under ``no`` the system decides. The next segment takes over
in a commit as well: its predecessor has to be on disk as a whole before its header says so.

Two things can go wrong, and both stop all writes at once. A *write* that fails (the disk is full,
an I/O error) is tried again until it works; its frame is kept. A *sync* that fails is never
repeated, for the system may have dropped the very pages and say at the second attempt that all is
well: what is on disk then is unknown, and all of memory has to be written to a new file. In both
cases the clients of that turn get an error and are sent away, since nobody knows yet what becomes
of their requests, and until then nobody is shown what was changed by them. (That what was written
is damaged later, others find out: :meth:`Committer.doubt`.)

May import: busy, changes, clock, durability, effects, errors, health, turn, persistence.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from memdbd.busy import Busy
from memdbd.changes import Changes
from memdbd.clock import Clock
from memdbd.durability import Durability
from memdbd.effects import CLOSE, MARK, Effect, encode, in_pieces
from memdbd.errors import NotCommitted
from memdbd.health import Guard, Health, State
from memdbd.persistence.journal import Journal, NextSegment
from memdbd.turn import Turn

T = TypeVar("T")


class InThread(Protocol):
    """Runs what waits for the disk, and gives what it gives, but never before it has returned."""

    def __call__(self, function: Callable[[], T], /) -> Awaitable[T]: ...


class Committer:
    """Commits for ``turn`` what ``changes`` has collected, by the policy ``durability``.

    ``guard`` is for :class:`~memdbd.health.Health`.
    ``distrusted()`` is called when only all of memory, in a new file, is of use; it has to come to
    ``resume`` at last.
    """

    LATEST = 2.0  # seconds of writes that may be lost with the power under everysec
    RETRY = 1.0  # seconds between two attempts to write
    ATTEMPTS = 10  # after which something else is tried as well

    _log = Logger()

    def __init__(
        self,
        *,
        reactor: IReactorTime,
        clock: Clock,
        changes: Changes,
        turn: Turn,
        guard: Callable[[Guard | None], object],
        in_thread: InThread,
        durability: Durability,
    ) -> None:
        self.durability = durability
        self.distrusted: Callable[[], object] = lambda: None
        self.journal: Journal | None = None
        self.health = Health(guard)
        self.frames = 0  # written since the start
        self.bytes = 0
        self.syncs = 0
        self.last_sync = reactor.seconds()
        self._reactor = reactor
        self._clock = clock
        self.gives_way = False  # all of memory is being written, by somebody else
        self._changes = changes
        self._turn = turn
        self._in_thread = in_thread
        self._takeover: _Takeover | None = None
        self._busy = Busy()  # a thread is at the journal's file
        self._began = 0.0  # when that thread was begun
        self._is_slow = False  # and somebody was told so
        self._is_awaited = False  # by the turn
        self._unsynced: float | None = None  # when the oldest frame was written that no sync covers
        self._in_sync: float | None = None  # the same of those that the sync under way covers
        self._is_marked = True  # the last frame that somebody asked for is known to be synced
        self._unseen: list[Effect] = []  # written, and nobody has been told yet
        self._attempts = 0  # to write them
        self._unwritten: list[list[bytes]] = []  # the effects of frames that could not be written
        changes.begun = turn.schedule
        turn.commit = self.commit

    # The end of a turn

    def commit(self) -> bool:
        """Commit what has been changed; see :data:`memdbd.turn.Commit`."""
        takeover = self._takeover
        if takeover is not None and not takeover.has_begun and not self._busy:
            self._take_over(takeover)
            self._check()
            return False
        if not self._changes.effects:
            return True
        journal = self.journal
        if journal is None:
            self._changes.take_effects()
            return True
        if self.health.state is State.DISTRUSTED:
            # What has expired or was evicted: for the new journal, as the new snapshot may have it.
            return True
        if self.health.state is State.BLOCKED:
            # Not what somebody has asked for, but what has expired meanwhile.
            self._unwritten.append(self._encoded(self._changes.take_effects()))
            return True
        taken = self._write(journal)
        if self.durability == "no" or (self.durability == "everysec" and not self._is_late()):
            return True
        self._unseen += taken
        self._is_awaited = True
        self.sync_if_due()
        self._check()
        return False

    def _check(self) -> None:
        """Raise where what was begun has failed already, for no thread could be had."""
        if not self.health.is_usable:
            raise self.health.refusal()

    def _encoded(self, taken: list[Effect]) -> list[bytes]:
        return in_pieces(taken, self._clock.drift_ms())

    def _write(self, journal: Journal) -> list[Effect]:
        """Write what has been changed as a frame, and give it. Raises NotCommitted."""
        taken = self._changes.take_effects()
        payload: list[bytes] = []
        try:
            payload = self._encoded(taken)
            self._append(journal, payload)
        except OSError as error:
            self.health.hide(taken)
            self._unwritten.append(payload)
            self._block(error)
            raise self.health.refusal() from None
        except Exception as error:  # no memory for it, or more than a frame can be
            self.health.hide(taken)
            self._distrust(error)
            raise self.health.refusal() from None
        return taken

    def _append(self, journal: Journal, payload: list[bytes]) -> None:
        self.bytes += journal.append(*payload)
        self.frames += 1
        self._is_marked = False
        if self._unsynced is None:
            self._unsynced = self._reactor.seconds()

    def _is_late(self) -> bool:
        """Whether so much is not synced that replies have to wait for the disk."""
        oldest = self._unsynced if self._in_sync is None else self._in_sync
        return oldest is not None and self._reactor.seconds() - oldest >= self.LATEST

    # What is done in a thread, one at a time

    def sync_if_due(self) -> None:
        """Begin a sync, if there is something to be synced by the policy, and none under way."""
        journal = self.journal
        if journal is None or self._busy or self._unsynced is None:
            return
        if self.health.is_usable and self.durability != "no":
            self._begin(journal, journal.sync, self._synced)

    def tick(self) -> None:
        """Do what is due each second, if nobody asks for anything."""
        journal = self.journal
        if self._busy and not self._is_slow and self._seconds_busy() >= self.LATEST:
            self._is_slow = True
            self._log.warn(
                "the disk has not synced the journal for {seconds:.0f} s; clients wait for it",
                seconds=self._seconds_busy(),
            )
        if self._unsynced is not None or self._busy or journal is None or not self.health.is_good:
            self.sync_if_due()
        elif not self._is_marked and journal.sequence == journal.synced:
            # The next frame would say that this one is on disk. Until somebody writes one, damage
            # in it would be taken for a crash.
            try:
                journal.append(encode([MARK], 0))
            except OSError as error:
                self._block(error)
            self._is_marked = True

    def _seconds_busy(self) -> float:
        return self._reactor.seconds() - self._began

    def _begin(self, journal: Journal, work: Callable[[], T], done: Callable[[T], object]) -> None:
        """Have a thread do ``work``, which syncs the journal, and call ``done`` with its result."""
        self._busy.begin()
        self._began = self._reactor.seconds()
        self._in_sync, self._unsynced = self._unsynced, None
        ensureDeferred(self._work(journal, work, done))

    async def _work(
        self, journal: Journal, work: Callable[[], T], done: Callable[[T], object]
    ) -> None:
        fault, covered = None, journal.sequence
        try:
            result = await self._in_thread(work)
        except Exception as error:
            fault = error
        self._in_sync = None
        if self._is_slow:
            self._is_slow = False
            self._log.info("the disk took {seconds:.0f} s for it", seconds=self._seconds_busy())
        go_on = self._busy.end()
        try:
            if fault is None:
                journal.synced = covered
                self.syncs += 1
                self.last_sync = self._reactor.seconds()
                done(result)
            elif journal is self.journal:  # else nothing of it is needed any more
                self._distrust(fault)
        finally:
            go_on()

    def _synced(self, _: None) -> None:
        if self.durability == "always" and self._is_awaited and self._unsynced is not None:
            # The policy was another one when this sync began: it does not cover the last frame.
            self.sync_if_due()
            return
        self._tell()

    def _tell(self) -> None:
        """The turn may go on, if it waits."""
        self._unseen.clear()
        if self._is_awaited:
            self._is_awaited = False
            self._turn.committed()
        elif self._takeover is not None:
            self._turn.schedule()

    @property
    def is_syncing(self) -> bool:
        return bool(self._busy)

    async def idle(self) -> None:
        """Wait until no thread is at the journal."""
        await self._busy.idle()

    # The next segment

    async def rotate(self, make: Callable[[int], NextSegment]) -> Journal:
        """Have the segment take over that ``make(number)`` makes; gives it when all before it is
        complete and on disk.

        Raises OSError where it cannot be made, NotCommitted where the journal is in trouble.
        """
        journal = self._healthy()
        following = await self._in_thread(lambda: make(journal.number + 1))
        takeover = _Takeover(following)
        try:
            self._healthy()
            # Most of what has to be on disk is so before anybody has to wait for it.
            if not self._busy:
                self._begin(journal, journal.sync, self._synced)
            await self.idle()
            self._healthy()
            self._takeover = takeover
            self._turn.schedule()
            return await takeover.done
        except (NotCommitted, OSError):
            # Once it has begun, its header may be on disk, and its predecessor is so as a whole.
            undo = following.abandon if takeover.has_begun else following.discard
            await self._in_thread(undo)
            raise

    def _take_over(self, takeover: _Takeover) -> None:
        old = self._healthy()
        if self._changes.effects:
            self._unseen += self._write(old)
        takeover.has_begun = True
        self._is_awaited = True

        def seal() -> Journal | OSError:
            old.sync()
            try:
                takeover.following.write_header(old.link)
            except OSError as error:
                return error  # of what there is of it, nothing counts: the old one goes on
            return takeover.following.sync_header()

        def sealed(new: Journal | OSError) -> None:
            self._takeover = None
            if isinstance(new, OSError):
                takeover.has_begun = False
                takeover.done.errback(new)
            else:
                old.close()
                self.journal = new
                self._is_marked = True  # by its header
                takeover.done.callback(new)
            self._tell()

        self._begin(old, seal, sealed)

    def _healthy(self) -> Journal:
        """The journal; raises NotCommitted where it is in trouble, or closed."""
        if self.journal is None or not self.health.is_good:
            raise self.health.refusal()
        return self.journal

    # Trouble

    def _block(self, error: OSError) -> None:
        """A frame could not be written. No request is run until it is."""
        self._log.error(
            "the journal cannot be written: {error}; writes are refused until it can", error=error
        )
        self._attempts = 0
        self._trouble(State.BLOCKED, error)
        self._reactor.callLater(self.RETRY, self._retry)

    def _retry(self) -> None:
        """Write what could not be written, and have it on disk before anybody trusts it again."""
        journal = self.journal
        if self.health.state is not State.BLOCKED or journal is None:
            return
        if not self._busy and not self.gives_way:
            try:
                while self._unwritten:
                    self._append(journal, self._unwritten[0])
                    del self._unwritten[0]
            except OSError as error:
                self.health.worsen(State.BLOCKED, error)
                self._attempts += 1
                if self._attempts % self.ATTEMPTS == 0:
                    self.distrusted()  # a snapshot may be shorter than the journal
            except Exception as error:
                self._distrust(error)
                return
            else:
                self._begin(journal, journal.sync, self._unblock)
                return
        self._reactor.callLater(self.RETRY, self._retry)

    def _unblock(self, _: None) -> None:
        if self._unwritten:  # what has expired meanwhile
            self._retry()
        else:
            self._recovered()
        self._tell()

    def _distrust(self, error: Exception) -> None:
        """What was written may not be on disk, and never will be."""
        if isinstance(error, OSError):
            self._log.critical(
                "the journal could not be synced: {error}; writes are refused until all data is in "
                "a new file",
                error=error,
            )
        else:
            self._log.failure("a defect of memdbd: the journal is not written", Failure(error))
        # What has been done since waits for a commit that will not come.
        self.health.hide(self._unseen)
        self.health.hide(self._changes.take_effects())
        self._unseen.clear()
        self._unwritten.clear()
        self._is_awaited = False
        self._trouble(State.DISTRUSTED, error)
        self._turn.not_committed(self.health.refusal())
        self.distrusted()

    def doubt(self, error: Exception) -> None:
        """What was written is on disk, and was damaged there since: the journal goes on for what is
        under way, but only all of memory, in a new file, is of use."""
        if self.health.is_good:
            self._log.critical(
                "what is on disk was damaged: {error}; writes are refused until all data is in a "
                "new file",
                error=error,
            )
            self._trouble(State.DAMAGED, error)
            self.distrusted()

    async def settle(self) -> None:
        """Wait until there is nothing to be committed, or what there is is not to be: then what is
        in memory is what the journal says, or more than it ever will."""
        if self.health.state is State.DISTRUSTED:
            self._changes.take_effects()  # of what has expired, and is not in memory any more
        while self._changes.effects or self._busy:
            await deferLater(self._reactor, 0)

    def _trouble(self, state: State, error: Exception) -> None:
        self.health.worsen(state, error)
        takeover, self._takeover = self._takeover, None
        if takeover is not None:
            takeover.done.errback(self.health.refusal())

    def resume(self, journal: Journal) -> None:
        """Go on with a new journal: all of memory is on disk, in a new snapshot."""
        old, self.journal = self.journal, journal
        if old is not None:
            with contextlib.suppress(OSError):  # of which nothing is needed any more
                old.close()
        self._unsynced = None
        self._unwritten.clear()
        self._recovered()
        self._turn.schedule()

    def _recovered(self) -> None:
        self.health.recover()
        self._log.info("the journal works again; writes are taken")

    # The end

    async def close(self) -> None:
        """Write what is left, and that this is the end."""
        await self.idle()
        journal, self.journal = self.journal, None
        if journal is None:
            return
        try:
            if self.health.state is State.DISTRUSTED:
                raise self.health.refusal()
            for payload in (*self._unwritten, self._encoded(self._changes.take_effects())):
                if any(payload):
                    self._append(journal, payload)
            await self._in_thread(journal.sync)
        except Exception as error:
            self._log.critical("stopped with changes that are NOT on disk: {error}", error=error)
            return
        journal.synced = journal.sequence
        try:
            self._append(journal, [encode([CLOSE], 0)])
            await self._in_thread(journal.sync)
        except Exception as error:
            self._log.warn("the end of the journal could not be marked: {error}", error=error)
        journal.close()


class _Takeover:
    """A segment that waits for its turn."""

    def __init__(self, following: NextSegment) -> None:
        self.following = following
        self.done: Deferred[Journal] = Deferred()
        self.has_begun = False
