"""Reads the sockets of all connections: a poll of our own, which is one reader of the reactor's.

Theory of operation. A descriptor of Twisted's knows the reactor that tells it when it can be read,
and asks nothing else of it but ``IReactorFDSet``. A :class:`Poll` takes the reactor's place: it
watches the sockets with an epoll, which the reactor watches in turn, as one descriptor. When that
can be read, all sockets that are ready are, in one loop, and the turn is ended right behind them.
For writing, and all else, the reactor is asked as before.

What it is worth by itself is 1 of 9 us that a SET at depth 1 took, the system's calls not counted;
but without it nothing could be gathered (``gathering.py``), which is worth 5 more.

Where there is no epoll (other systems than Linux), the reactor reads as before.

May import: core, turn.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IHalfCloseableDescriptor,
    IReactorFDSet,
    IReadDescriptor,
)
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from memdbd.core import Lane, Rest
from memdbd.turn import Turn

# Sockets that are read in one turn. Some of them have 64 KiB for us: those behind them wait.
AT_ONCE = 256

# Bytes that are read at once of who is in the middle of something long, and for how many sockets of
# a turn: of a pipeline of values of 64 KiB a read has four so, and to set one takes 41 us of CPU in
# place of 77, what the pages of the journal's file take not counted (45 in Python). 64 sockets gain
# no more, and would hold all others up; with these, 22 MiB may be read in a turn, and 16 without.
LONG = 256 * 1024
LONG_AT_ONCE = 32

# Seconds in which turn follows turn while there is something to read, before the reactor has a look
# at everything else: it takes some 15 us for that.
STRETCH = 0.002

_FAILURES: dict[type, Failure] = {
    kind: Failure(kind()) for kind in (ConnectionDone, ConnectionLost)
}


class Intake(Protocol):
    """What reads from several sockets in a turn: see :mod:`memdbd.gathering`."""

    def take_in(self, ready: list[tuple[int, int]], lanes: dict[int, Lane]) -> list[Rest]: ...


@implementer(IReactorFDSet, IReadDescriptor)
class Poll:
    """Reads what has been adopted, for ``reactor``, and ends each ``turn``; where that gathers, it
    has ``gathering`` read. ``seconds`` tells the time by which a stretch of turns ends."""

    _log = Logger()

    def __init__(
        self, reactor: Any, turn: Turn, gathering: Intake, seconds: Callable[[], float]
    ) -> None:
        self._reactor = reactor
        self._turn = turn
        self._gathering = gathering
        self._seconds = seconds
        self._epoll: Any = None  # made when it is needed
        self._readers: dict[int, Any] = {}
        self._lanes: dict[int, Lane] = {}  # of those that have one
        self._long: set[int] = set()  # of which something long is to come next
        self._may_be_long = 0  # so many of this turn

    def adopt(self, transport: Any) -> None:
        """Read a transport that the reactor reads now, if that is a socket of the reactor's."""
        is_ours = getattr(transport, "reactor", None) is self._reactor
        if not (is_ours and hasattr(select, "epoll")):
            return
        if self._epoll is None:
            self._epoll = select.epoll()
            self._reactor.addReader(self)
        transport.stopReading()
        transport.reactor = self
        transport.startReading()

    def expect_long(self, transport: Any) -> None:
        """What comes next of this transport is long: read more of it at once, if it is adopted."""
        if getattr(transport, "reactor", None) is self:
            self._long.add(transport.fileno())

    # What an adopted transport asks of its reactor

    def addReader(self, reader: Any) -> None:
        if self._epoll is None:
            return  # the reactor stops
        descriptor = reader.fileno()
        if descriptor not in self._readers:
            self._epoll.register(descriptor, select.EPOLLIN)
        self._readers[descriptor] = reader
        lane = getattr(reader.protocol, "lane", None)  # TLS, between it and a connection, has none
        if lane is not None:
            self._lanes[descriptor] = lane

    def removeReader(self, reader: Any) -> None:
        descriptor = reader.fileno()
        if self._readers.get(descriptor) is reader:
            del self._readers[descriptor]
            self._lanes.pop(descriptor, None)
            self._epoll.unregister(descriptor)

    def addWriter(self, writer: Any) -> None:
        self._reactor.addWriter(writer)

    def removeWriter(self, writer: Any) -> None:
        self._reactor.removeWriter(writer)

    def getReaders(self) -> list[Any]:
        return list(self._readers.values())

    def getWriters(self) -> list[Any]:
        return []

    def removeAll(self) -> list[Any]:
        readers = self.getReaders()
        for reader in readers:
            self.removeReader(reader)
        return readers

    def callLater(self, delay: float, function: Callable[..., object], *arguments: object) -> Any:
        return self._reactor.callLater(delay, function, *arguments)

    # What the reactor asks

    def fileno(self) -> int:
        return -1 if self._epoll is None else self._epoll.fileno()

    def logPrefix(self) -> str:
        return "memdbd"

    def doRead(self) -> None:
        """Read what can be read, turn by turn, until there is nothing or the stretch is over."""
        turn = self._turn
        end = self._seconds() + STRETCH
        while ready := self._epoll.poll(0, AT_ONCE):
            turn.begin()
            self._may_be_long = LONG_AT_ONCE
            try:
                if turn.gathers:
                    for rest in self._gathering.take_in(ready, self._lanes):
                        self._take(*rest)
                else:
                    for descriptor, _ in ready:
                        self._read(descriptor)
            finally:
                self._end_turn()
            if self._seconds() >= end:
                return

    def _read(self, descriptor: int) -> None:
        """Read from a socket."""
        reader = self._readers.get(descriptor)
        if reader is None:  # one that was read before it has ended it
            return
        amount = reader.bufferSize
        if descriptor in self._long:
            # By whoever had this descriptor, perhaps, which is no matter: it is read by more, once.
            self._long.discard(descriptor)
            if self._may_be_long:
                self._may_be_long -= 1
                amount = max(amount, LONG)
        # As its doRead does it, whose calls take as long as all of this.
        try:
            data = reader.socket.recv(amount)
        except OSError as error:
            self._failed(reader, error)
            return
        if not data:
            self._lose(reader, CONNECTION_DONE)
            return
        try:
            reader.protocol.dataReceived(data)
        except Exception as error:  # as the reactor does it: its connection ends
            self._log.failure("a defect of memdbd: a connection is ended")
            self._lose(reader, error)

    def _take(self, descriptor: int, lane: Lane | None, data: Any, requests: Any) -> None:
        """Take what was read from a socket by its lane, or read from it where that was not."""
        if lane is None:
            self._read(descriptor)
            return
        if self._lanes.get(descriptor) is not lane:  # one that came before it has ended it
            return
        reader = self._readers[descriptor]
        if isinstance(data, OSError):
            self._failed(reader, data)
        elif not data:
            self._lose(reader, CONNECTION_DONE)
        else:
            try:
                reader.protocol.receive(data, requests)
            except Exception as error:
                self._log.failure("a defect of memdbd: a connection is ended")
                self._lose(reader, error)

    def _failed(self, reader: Any, error: OSError) -> None:
        """A socket could not be read."""
        if not isinstance(error, BlockingIOError | InterruptedError):
            self._lose(reader, CONNECTION_LOST)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor is about to stop, and loses all that it reads."""
        for reader in self.removeAll():
            self._lose(reader, CONNECTION_LOST)
        self._epoll.close()
        self._epoll = None

    # None of these raises: the reactor would lose us, and so all connections.

    def _end_turn(self) -> None:
        try:
            self._turn.end()
        except Exception:
            self._log.failure("a defect of memdbd: a turn was not ended as it should be")

    def _lose(self, reader: Any, why: Exception) -> None:
        try:
            self.removeReader(reader)
            reason = _FAILURES.get(type(why)) or Failure(why)
            if reason.check(ConnectionDone) and IHalfCloseableDescriptor.providedBy(reader):
                reader.readConnectionLost(reason)
            else:
                self.removeWriter(reader)
                reader.connectionLost(reason)
        except Exception:
            self._log.failure("a defect of memdbd: a connection was not lost as it should be")
