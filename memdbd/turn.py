"""The end of a reactor turn, where everything that the turn did is made good at once.

Replies and messages are not sent as they arise but collected, each connection its own, until the
reactor has read from all sockets that were ready. Then one commit comes first (the journal's, when
there is one) and each connection sends once. Imports Twisted only.
"""

from __future__ import annotations

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
    """Collects the connections that want something at the end of this turn of ``reactor``."""

    _log = Logger()

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._scheduled = False
        self._owing: list[Connection] = []
        self._unfinished: list[Connection] = []

    def owe(self, connection: Connection) -> None:
        """Flush ``connection`` at the end of this turn. To be called once a turn."""
        self._owing.append(connection)
        self._schedule()

    def unfinished(self, connection: Connection) -> None:
        """Let ``connection`` go on after this turn's flush. To be called once a turn."""
        self._unfinished.append(connection)
        self._schedule()

    def end(self) -> None:
        """End the turn now; the reactor calls it when all that was ready has been read."""
        self._scheduled = False
        owing, self._owing = self._owing, []
        unfinished, self._unfinished = self._unfinished, []
        for connection in owing:
            try:
                connection.flush()
            except Exception:
                self._failed(connection)
        for connection in unfinished:
            try:
                connection.go_on()
            except Exception:
                self._failed(connection)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            # What is due at once runs after the reads of this turn, before the next poll.
            self._reactor.callLater(0, self.end)

    def _failed(self, connection: Connection) -> None:
        # One connection's failure must not keep the others' replies.
        self._log.failure("a defect of memdbd: a connection is ended")
        connection.fail()
