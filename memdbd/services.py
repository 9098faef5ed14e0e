"""What runs beside the requests: calls at intervals, among them the sweep of expired keys.

The reactor is an argument. May import: keyspace, structs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.application.service import IService, MultiService, Service
from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from memdbd.keyspace import Keyspace
from memdbd.structs.graveyard import Graveyard


class Stack(MultiService):
    """Services that stand on each other: started in order, stopped one by one from the last.

    A MultiService stops all at once, and so would write the last snapshot while requests still
    come in.
    """

    _log = Logger()

    def stopService(self) -> Deferred[None]:
        self.running = False
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        for service in reversed(self.services):
            try:
                await maybeDeferred(IService(service).stopService)
            except Exception:
                self._log.failure("stopping {service} failed", service=service)


class Periodic(Service):
    """Calls ``function`` every ``interval`` seconds; an exception is logged and counted in
    ``failures``, and the next call comes all the same."""

    _log = Logger()

    def __init__(
        self, reactor: IReactorTime, interval: float, function: Callable[[], object]
    ) -> None:
        self.failures = 0
        self._interval = interval
        # Unguarded, a LoopingCall ends for good at the first exception.
        self._loop = LoopingCall(self._guarded, function)
        self._loop.clock = reactor

    def startService(self) -> None:
        super().startService()
        self._loop.start(self._interval, now=False)

    def stopService(self) -> None:
        super().stopService()
        if self._loop.running:
            self._loop.stop()

    def every(self, interval: float) -> None:
        """Call it every so many seconds from now on."""
        self._interval = interval
        if self._loop.running:
            self._loop.stop()
            self._loop.start(interval, now=False)

    def _guarded(self, function: Callable[[], object]) -> None:
        try:
            function()
        except Exception:
            self.failures += 1
            self._log.failure("a defect of memdbd: {what} failed", what=function)


class Sweeper(Periodic):
    """Takes expired keys out, in slices that hold the loop no longer than SLICE.

    It goes round the keyspaces, so that none waits for one in which there is ever more.
    """

    SLICE = 0.005  # seconds
    BATCH = 100  # keys between two looks at the clock

    def __init__(
        self, reactor: IReactorTime, interval: float, keyspaces: Iterable[Keyspace]
    ) -> None:
        super().__init__(reactor, interval, self._sweep)
        self._reactor = reactor
        self._keyspaces = keyspaces
        self._first = 0  # of the keyspaces, in the next slice
        self._next: IDelayedCall | None = None

    def stopService(self) -> None:
        super().stopService()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _sweep(self) -> None:
        if self._next is None:
            self._slice()

    def _slice(self) -> None:
        self._next = None
        end = self._reactor.seconds() + self.SLICE
        keyspaces = tuple(self._keyspaces)
        round_ = (*range(self._first, len(keyspaces)), *range(self._first))
        for number in round_:
            while keyspaces[number].sweep(self.BATCH) == self.BATCH:
                if self._reactor.seconds() >= end:
                    self._first = (number + 1) % len(keyspaces)
                    # More at once than a slice can take. As long again is for others; without it,
                    # a subscriber of db_updates could not be sent a million events as fast as they
                    # come.
                    self._next = self._reactor.callLater(self.SLICE, self._guarded, self._slice)
                    return


class Gravedigger(Service):
    """Frees what was buried, in slices that hold the loop no longer than SLICE."""

    SLICE = 0.002  # seconds
    BATCH = 1000  # items between two looks at the clock

    _log = Logger()

    def __init__(self, reactor: IReactorTime, graveyard: Graveyard) -> None:
        self._reactor = reactor
        self._graveyard = graveyard
        self._next: IDelayedCall | None = None
        graveyard.waiting = self._soon

    def stopService(self) -> None:
        super().stopService()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _soon(self) -> None:
        if self._next is None:
            self._next = self._reactor.callLater(self.SLICE, self._dig)

    def _dig(self) -> None:
        self._next = None
        end = self._reactor.seconds() + self.SLICE
        try:
            while self._graveyard.dig(self.BATCH):
                if self._reactor.seconds() >= end:
                    self._soon()
                    return
        except Exception:
            self._log.failure("a defect of memdbd: what was deleted is not freed in slices")
            self._soon()  # for all the others; that one is out of the graveyard
