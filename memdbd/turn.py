"""The end of a reactor turn, where everything that the turn did is made good at once.

Replies and messages are not sent as they arise but collected, each connection its own, until the
reactor has read from all sockets that were ready. Then one commit comes first (the journal's, when
there is one) and each connection sends once. Imports Twisted only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger


class Connection(Protocol):
    """What takes part in a turn."""

    def flush(self) -> None:
        """Send what has been collected."""

    def go_on(self) -> None:
        """Answer the next slice of requests that were left over."""

    def fail(self) -> None:
        """Something raised: end the connection."""


class Turn:
    """Collects the connections that want something at the end of this turn of ``reactor``.

    ``seconds`` tells the time by which a turn is late.
    """

    # All connections' share of one turn. Without it each would have its slice in every turn, and
    # a hundred that send slow commands would keep all others waiting for a hundred slices.
    BUDGET = 0.010  # seconds

    _log = Logger()

    def __init__(self, reactor: IReactorTime, seconds: Callable[[], float]) -> None:
        self._reactor = reactor
        self._seconds = seconds
        self._late_from: float | None = None  # set when the turn begins
        self._scheduled = False
        # Dicts, for a connection may say so several times in a turn, and gets one flush and one
        # slice all the same.
        self._owing: dict[Connection, None] = {}
        self._unfinished: dict[Connection, None] = {}

    def is_late(self) -> bool:
        """Whether this turn has had its time, and new requests should wait for the next."""
        now = self._seconds()
        if self._late_from is None:
            self._late_from = now + self.BUDGET
            self._schedule()
        return now >= self._late_from

    def owe(self, connection: Connection) -> None:
        """Flush ``connection`` at the end of this turn."""
        self._owing[connection] = None
        self._schedule()

    def unfinished(self, connection: Connection) -> None:
        """Let ``connection`` go on after the flush of this turn."""
        self._unfinished[connection] = None
        self._schedule()

    def end(self) -> None:
        """End the turn now; the reactor calls it when all that was ready has been read."""
        self._scheduled = False
        owing, self._owing = self._owing, {}
        for connection in owing:
            try:
                connection.flush()
            except Exception:
                self._failed(connection)
        self._go_on()

    def _go_on(self) -> None:
        self._late_from = None
        unfinished, self._unfinished = self._unfinished, {}
        end = self._seconds() + self.BUDGET if unfinished else 0.0
        while unfinished and self._seconds() < end:
            connection = next(iter(unfinished))
            del unfinished[connection]
            try:
                connection.go_on()
            except Exception:
                self._failed(connection)
        # Who had no turn comes first in the next.
        self._unfinished = unfinished | self._unfinished
        if self._unfinished:
            self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            # What is due at once runs after the reads of this turn, before the next poll.
            self._reactor.callLater(0, self.end)

    def _failed(self, connection: Connection) -> None:
        # One connection's failure must not keep the others' replies.
        self._log.failure("a defect of memdbd: a connection is ended")
        connection.fail()
