"""A connection: bytes off the socket, requests through the dispatcher, replies back at turn's end.

Theory of operation. A connection is in one of three states: it reads; it is busy, with requests
left over from the last slice or waiting for a pending reply, and its socket is not read; or it is
closing. Independently of that the peer may not be reading: then the transport pauses us (we are
its producer), nothing is answered and nothing read, and what is delivered meanwhile is counted; a
subscriber that owes too much is cut. So no peer makes us hold more than the bounds say.

Only this module touches a transport. May import: dispatch, dialects, turn and what is above.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHalfCloseableProtocol,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import ServerFactory, connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from memdbd.dialects.text import LineRules, Request, TextEncoder, TextParser
from memdbd.dispatch import Dispatcher, Stop
from memdbd.engines.interface import IEngine
from memdbd.pubsub import Registry
from memdbd.replies import Message, Reply
from memdbd.session import Session
from memdbd.turn import Turn

# Handed to the transport at once; the rest waits with us, where it can be counted.
PIECE = 256 * 1024  # bytes

# Seconds in which a peer has to take its last replies before the connection is aborted.
LINGER = 5.0


@implementer(IHalfCloseableProtocol)
class MemDBProtocol(LineReceiver):
    """One client's connection, made by :class:`MemDBFactory`."""

    factory: MemDBFactory
    transport: Any  # ITransport is less than what every transport of Twisted's can do
    _log = Logger()

    def __init__(self, number: int, factory: MemDBFactory) -> None:
        self.factory = factory
        self.session = Session(number, factory.channels, self.deliver)
        self._context = factory.engine.context(self.session)
        self._parser = TextParser(factory.rules)
        self._output: list[bytes] = []
        self._owed = 0  # bytes in output
        self._in_turn = False  # will be flushed: at the end of the turn, or when the peer reads
        self._requests: Iterator[Request] | None = None  # left over; None: not busy
        self._unparsed: list[bytes] = []  # came while busy
        self._waiting = False  # busy until a pending reply is there
        self._answering = False  # the dispatcher runs
        self._own: list[bytes] = []  # messages meanwhile, that go out behind the reply
        self._at_end = False  # nothing that the peer sends counts any more
        self._closing = False
        self._abort: IDelayedCall | None = None

    # Bytes in

    def connectionMade(self) -> None:
        self.factory.connections[self] = None
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        # Over LineReceiver's own, which splits its whole buffer again for each line: 1 MiB of
        # small lines holds the loop for seconds there.
        if self._at_end or self._closing:
            return
        if self._requests is not None:
            self._unparsed.append(data)
            return
        self._answer(self._parser.feed(data))

    def readConnectionLost(self) -> None:
        # The peer has said all it has to say, but still gets its replies: printf … | nc -N
        self._at_end = True
        if self._requests is None:
            self._end()

    def writeConnectionLost(self) -> None:
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._closing = True
        self.session.close()
        self._requests = None
        self._output.clear()
        if self._abort is not None and self._abort.active():
            self._abort.cancel()
        self.factory.connection_lost(self)

    # Requests

    def _answer(self, requests: Iterator[Request]) -> None:
        output = self._output
        had = len(output)
        self._answering = True
        stop, pending = self.factory.dispatcher.run(
            self._context, requests, self.factory.encoder.encode, output, self._own, text=True
        )
        self._answering = False
        if len(output) > had:
            self._owed += sum(map(len, output[had:] if had else output))
            self._want_flush()
        if stop is Stop.EXHAUSTED:
            if self._requests is not None:
                self._not_busy()
        elif stop is Stop.END:
            self.transport.pauseProducing()
            self._end()
        else:
            self._busy(requests)
            if pending is None:
                self.factory.turn.unfinished(self)
            else:
                self._waiting = True
                pending.then(self._resolved)

    def _busy(self, requests: Iterator[Request]) -> None:
        if self._requests is None:
            self.transport.pauseProducing()
        self._requests = requests

    def _not_busy(self) -> None:
        if self._unparsed:
            data = b"".join(self._unparsed)
            self._unparsed.clear()
            # Still busy, or nobody would come back here to have the socket read again.
            self._requests = self._parser.feed(data)
            self._answer(self._requests)
            return
        self._requests = None
        if self._at_end:
            self._end()
        elif not self.paused and not self._closing:
            self.transport.resumeProducing()

    def go_on(self) -> None:
        """Answer the next slice; a peer that does not read gets it when it does."""
        if not (self._requests is None or self._waiting or self.paused or self._closing):
            self._answer(self._requests)

    def _resolved(self, reply: Reply) -> None:
        self._waiting = False
        if not self._closing:
            self._put(self.factory.encoder.encode(reply))
            self.factory.turn.unfinished(self)

    # Bytes out

    def deliver(self, message: Message) -> None:
        """Push a message: the session calls this for each channel it listens to."""
        line = self.factory.encoder.message(message)
        if self._closing:
            return
        if self._answering:
            self._own.append(line)
            return
        self._put(line)
        # Not paused, it reads, and gets all of this at the end of the turn.
        if self.paused and self._owed > self.factory.subscriber_buffer:
            self._cut()

    def _put(self, line: bytes) -> None:
        self._output.append(line)
        self._owed += len(line)
        self._want_flush()

    def _want_flush(self) -> None:
        if not self._in_turn:
            self._in_turn = True
            self.factory.turn.owe(self)

    def flush(self) -> None:
        """Hand what has been collected to the transport, as far as the peer reads."""
        while self._output and not self.paused:
            self.transport.write(self._next_piece())
        if not self._output:
            self._in_turn = False
            if self._closing:
                self._lose()
            elif self._at_end:
                self._close_at_end()

    def _next_piece(self) -> bytes:
        output = self._output
        if self._owed <= PIECE:
            piece = b"".join(output)
            output.clear()
            self._owed = 0
            return piece
        size = count = 0
        while count < len(output) and (size < PIECE):
            size += len(output[count])
            count += 1
        piece = b"".join(output[:count])
        del output[:count]
        self._owed -= size
        return piece

    def resumeProducing(self) -> None:
        # The peer has read what the transport had.
        self.paused = False
        self.flush()
        if self.paused:
            return
        if self._requests is not None:
            self.factory.turn.unfinished(self)
        elif not self._at_end and not self._closing:
            self.transport.resumeProducing()

    # The end

    def _cut(self) -> None:
        self._log.warn(
            "client {number} at {peer} is cut: it does not read its messages, {owed} bytes wait "
            "(subscriber_buffer is {limit})",
            number=self.session.number,
            peer=self.transport.getPeer(),
            owed=self._owed,
            limit=self.factory.subscriber_buffer,
        )
        self.factory.cut += 1
        self.fail()

    def fail(self) -> None:
        """End the connection at once, and forget what it was to get."""
        self._closing = True
        self.session.close()
        self._output.clear()
        self._owed = 0
        self.transport.abortConnection()

    def close(self) -> None:
        """End the connection as soon as the peer has what it was to get."""
        if not self._closing:
            self._close()

    def _end(self) -> None:
        """Answer no more requests: the peer has sent its last, or said so."""
        self._at_end = True
        self._requests = None
        self.session.close()
        self._close_at_end()

    def _close_at_end(self) -> None:
        # Not before the peer has taken what is ready, however long: it reads, and LINGER is for
        # one that does not.
        if not (self._requests is not None or self._output or self.paused or self._closing):
            self._close()

    def _close(self) -> None:
        self._closing = True
        self._requests = None
        self.session.close()
        # A peer that does not read would otherwise keep the connection for ever.
        self._abort = self.factory.reactor.callLater(LINGER, self.transport.abortConnection)
        if not self._output:
            self._lose()

    def _lose(self) -> None:
        # With a producer registered, the transport waits for it to finish.
        self.transport.unregisterProducer()
        self.transport.loseConnection()


class MemDBFactory(ServerFactory):
    """Makes the connections of all listeners, and knows them.

    ``subscriber_buffer``: bytes of messages that may wait for a subscriber before it is cut.
    """

    noisy = False

    def __init__(
        self,
        *,
        reactor: IReactorTime,
        engine: IEngine,
        dispatcher: Dispatcher,
        channels: Registry,
        encoder: TextEncoder,
        rules: LineRules,
        subscriber_buffer: int,
    ) -> None:
        self.reactor = reactor
        self.engine = engine
        self.dispatcher = dispatcher
        self.channels = channels
        self.encoder = encoder
        self.rules = rules
        self.turn = Turn(reactor)
        self.subscriber_buffer = subscriber_buffer
        self.connections: dict[MemDBProtocol, None] = {}
        self.accepted = 0
        self.cut = 0
        self._all_gone: Deferred[None] | None = None

    def buildProtocol(  # type: ignore[override] # its factory is narrower than Twisted's
        self, addr: IAddress | None
    ) -> MemDBProtocol:
        self.accepted += 1
        return MemDBProtocol(self.accepted, self)

    def connection_lost(self, connection: MemDBProtocol) -> None:
        """A connection is gone; called by it."""
        self.connections.pop(connection, None)
        if self._all_gone is not None and not self.connections:
            self._all_gone.callback(None)
            self._all_gone = None

    def close_all(self) -> Deferred[None]:
        """Answer no more, let each peer have what it was to get; fires when all are gone."""
        gone: Deferred[None] = Deferred()
        if not self.connections:
            gone.callback(None)
            return gone
        self._all_gone = gone
        for connection in tuple(self.connections):
            connection.close()
        return gone

    def stats(self) -> dict[str, int]:
        """What is known of the connections."""
        return {
            "connections": len(self.connections),
            "connections_accepted": self.accepted,
            "subscribers_cut": self.cut,
        }
