"""Makes connections, and knows them all.

May import: protocol and what it may import.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime, ISSLTransport
from twisted.internet.protocol import Protocol, ServerFactory

from memdbd.admission import Admission
from memdbd.clients import Clients
from memdbd.dialects.interface import Dialects
from memdbd.dispatch import Dispatcher
from memdbd.engines.interface import IEngine
from memdbd.gate import Gate
from memdbd.gathering import Gathering
from memdbd.limits import Alarms, Limits
from memdbd.polling import Poll
from memdbd.protocol import MemDBProtocol
from memdbd.pubsub import Registry
from memdbd.turn import Turn

# Seconds in which all peers have to take their last replies when the daemon stops.
STOP_LIMIT = 5.0


class MemDBFactory(ServerFactory):
    """Makes the connections of all listeners, and knows them."""

    noisy = False

    def __init__(
        self,
        *,
        reactor: IReactorTime,
        engine: IEngine,
        dispatcher: Dispatcher,
        channels: Registry,
        clients: Clients,
        gate: Gate,
        dialects: Dialects,
        limits: Limits,
        alarms: Alarms,
        seconds: Callable[[], float],
    ) -> None:
        self.reactor = reactor
        self.engine = engine
        self.dispatcher = dispatcher
        self.channels = channels
        self.clients = clients
        self.gate = gate
        self.dialects = dialects
        self.turn = Turn(reactor, seconds)
        self.turn.mail = channels
        channels.collects = self.turn.schedule
        self.gathering = Gathering(dispatcher, self.turn, limits)
        self.poll = Poll(reactor, self.turn, self.gathering, seconds)
        self.turn.gathered = self.gathering.run
        self.limits = limits
        self.alarms = alarms
        self.connections: dict[MemDBProtocol, None] = {}
        self.admission = Admission(
            limits, alarms, self.connections, reactor.seconds, reactor.callLater
        )
        self.accepted = 0
        self.cut = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self._wait_for_none: list[Deferred[None]] = []

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return self.make(addr)

    def make(self, addr: IAddress | None, *, only_resp: bool = False) -> Protocol:
        """A new connection from an address, or what tells it that there is no room; ``only_resp``:
        its listener speaks nothing but RESP."""
        if not self.admission.has_room(getattr(addr, "host", "this machine")):
            return Refusal()
        self.accepted += 1
        return MemDBProtocol(self.accepted, self, only_resp=only_resp)

    def connection_lost(self, connection: MemDBProtocol) -> None:
        """A connection is gone; called by it."""
        self.connections.pop(connection, None)
        if not self.connections:
            self.admission.watch_idle()  # nobody
            waiting, self._wait_for_none = self._wait_for_none, []
            for none_left in waiting:
                none_left.callback(None)

    def close_all(self) -> Deferred[None]:
        """Answer no more, let each peer have what is ready; fires when all are gone, which is in
        STOP_LIMIT at the latest."""
        none_left: Deferred[None] = Deferred()
        if not self.connections:
            none_left.callback(None)
            return none_left
        self._wait_for_none.append(none_left)
        abort = self.reactor.callLater(STOP_LIMIT, self._abort_all)
        for connection in tuple(self.connections):
            connection.end()
        return none_left.addBoth(lambda _: abort.cancel() if abort.active() else None)

    def _abort_all(self) -> None:
        for connection in tuple(self.connections):
            connection.fail()

    @property
    def received(self) -> int:
        """Bytes that came by all connections."""
        return self.bytes_in + self.gathering.taken

    @property
    def sent(self) -> int:
        """Bytes that left by all connections."""
        return self.bytes_out + self.turn.sent + self.channels.fanout.carried

    def stats(self) -> dict[str, int]:
        """What is known of the connections."""
        return {
            "connections": len(self.connections),
            "connections_accepted": self.accepted,
            "connections_rejected": self.admission.rejected,
            "clients_unauthenticated": len(self.admission),
            "subscribers_cut": self.cut,
        }


class RespFactory(ServerFactory):
    """Makes connections that speak RESP whatever their first byte is; they are all ``main``'s."""

    noisy = False

    def __init__(self, main: MemDBFactory) -> None:
        self._main = main

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return self._main.make(addr, only_resp=True)


class Refusal(Protocol):
    """A connection for which there is no room."""

    def connectionMade(self) -> None:
        transport: Any = self.transport  # ITransport is less than what every transport can do
        if ISSLTransport.providedBy(transport):
            transport.abortConnection()  # to tell it anything would be to shake hands
            return
        # Which dialect it speaks is not known; most that come by the thousand are Redis clients.
        transport.write(b"-ERR max number of clients reached\r\n")
        transport.loseConnection()
