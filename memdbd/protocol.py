"""A connection: bytes off the socket, requests through the dispatcher, replies back at turn's end.

Theory of operation. A connection answers what it reads; or it is busy, with requests left over from
the last slice, a reply that is pending or one that is sent piece by piece; or it ends, and only
sends what is ready; or it is lost.
Independently of that the peer may not be reading: then the transport says that it is full (we are
its producer), nothing is answered and nothing read, and what is delivered meanwhile is counted; a
subscriber for whom too much waits is cut. So no peer makes us hold more than the bounds say.
Whether the socket is read is worked out in one place, ``_read_or_not``, from that state.

Only this module touches a transport. May import: addresses, dispatch, dialects, outbox, turn and
what is above.
"""

from __future__ import annotations

import select
import typing
from collections.abc import Iterator
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import (
    IDelayedCall,
    IFileDescriptor,
    IHalfCloseableDescriptor,
    IHalfCloseableProtocol,
    IPushProducer,
    IReactorTime,
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from memdbd.addresses import is_loopback, shown_to_redis
from memdbd.clients import Clients
from memdbd.commands.spec import Request
from memdbd.dialects.interface import Dialect, Dialects
from memdbd.dialects.streams import Stream
from memdbd.dispatch import Dispatcher, Stop
from memdbd.engines.interface import IEngine
from memdbd.errors import CommandError
from memdbd.outbox import Outbox
from memdbd.pubsub import Registry
from memdbd.replies import Message, Pending, Push, Reply, Status
from memdbd.session import Session
from memdbd.turn import Turn

# Handed to the transport at once; the rest waits with us, where it can be counted.
PIECE = 256 * 1024  # bytes
LAST_PIECE = 32 * 1024  # of a connection that ends: the transport tells of a piece that is taken

# Bytes that are read from a peer whose next reply is pending.
READ_AHEAD = 64 * 1024

# Seconds in which a peer takes no piece, after which its connection, if it ends, is aborted.
LINGER = 30.0

# Seconds in which a peer that is sent away may finish what it sends.
DRAIN = 5.0

# What poll is asked for to hear that a peer sends no more; where that is unknown, it always tells.
HUNG_UP = getattr(select, "POLLRDHUP", 0)


class Home(typing.Protocol):
    """What a connection needs of the factory that made it."""

    @property
    def reactor(self) -> IReactorTime: ...
    @property
    def engine(self) -> IEngine: ...
    @property
    def dispatcher(self) -> Dispatcher: ...
    @property
    def channels(self) -> Registry: ...
    @property
    def clients(self) -> Clients: ...
    @property
    def dialects(self) -> Dialects: ...
    @property
    def turn(self) -> Turn: ...
    @property
    def subscriber_buffer(self) -> int: ...
    @property
    def connections(self) -> dict[MemDBProtocol, None]: ...

    # Counted by the connections.
    cut: int
    bytes_in: int
    bytes_out: int

    def connection_lost(self, connection: MemDBProtocol) -> None: ...


@implementer(IHalfCloseableProtocol, IPushProducer)
class MemDBProtocol(Protocol):
    """One client's connection, made by :class:`~memdbd.factory.MemDBFactory`.

    Not a LineReceiver: that splits its whole buffer again for each line, so that 1 MiB of small
    lines holds the loop for seconds.
    """

    factory: Home
    transport: Any  # ITransport is less than what every transport of Twisted's can do
    _log = Logger()

    def __init__(self, number: int, factory: Home, *, only_resp: bool = False) -> None:
        self.factory = factory
        self.session = Session(number, factory.channels, self.deliver, self.push)
        self._context = factory.dispatcher.context(self.session)
        self.since = self.active = factory.reactor.seconds()
        # Where the listener does not say, the first byte does.
        self._is_new = not only_resp
        dialects = factory.dialects
        self._dialect: Dialect = dialects.resp(self.session) if only_resp else dialects.text()
        self._outbox = Outbox()
        self._own: list[bytes] = []  # messages that go out behind the reply that is made or sent
        self._held = 0  # bytes in own, while a reply is sent
        self._answering = False  # a reply is being made
        self._requests: Iterator[Request] | None = None  # left over; None: not busy
        self._pending: Pending | None = None  # busy until this reply is there
        self._stream: Iterator[bytes] | None = None  # busy until this reply is sent
        self._unparsed = bytearray()  # came while busy
        self._came_while_held = 0  # bytes, since replies wait for the disk
        self._sends_at_once = False
        self._reading = True
        self._full = False  # the transport wants no more: the peer does not read
        self._heard_all = False  # the peer sends no more
        self._ending = False  # answers no more, but sends what is ready
        self._draining = False  # ends, and drops what it still reads
        self._lost = False  # sends no more
        self._abort: IDelayedCall | None = None

    # What it tells about itself: see memdbd.clients.Client

    @property
    def peer(self) -> str:
        return shown_to_redis(self.transport.getPeer(), self.transport.getHost())

    @property
    def local(self) -> str:
        host = self.transport.getHost()
        return shown_to_redis(host, host)

    @property
    def is_unix(self) -> bool:
        return isinstance(self.transport.getHost(), UNIXAddress)

    @property
    def is_local(self) -> bool:
        host = getattr(self.transport.getPeer(), "host", "")
        return self.is_unix or (bool(host) and is_loopback(host))

    @property
    def descriptor(self) -> int:
        return self.transport.fileno() if IFileDescriptor.providedBy(self.transport) else -1

    @property
    def unread(self) -> int:
        return len(self._unparsed)

    @property
    def unsent(self) -> int:
        return self._outbox.size + self._held

    @property
    def waits(self) -> bool:
        return self._pending is not None

    # Bytes in

    def connectionMade(self) -> None:
        self.factory.connections[self] = None
        self.factory.clients.add(self)
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)
        # Of its class: TLS has none of its own, but would give that of the socket below it.
        self._sends_at_once = hasattr(type(self.transport), "writeSomeData")
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        if self._ending or self._heard_all:
            return
        self.active = self.factory.reactor.seconds()
        self.factory.bytes_in += len(data)
        if self.factory.turn.is_held:
            self._came_while_held += len(data)
            if self._came_while_held >= PIECE:
                self.factory.turn.owe(self)  # so that it is read again, whatever it is owed
                self._read_or_not()
        if self._requests is None:
            requests = self._parse(data)
            if self.factory.turn.is_late():
                self._requests = requests
                self._read_or_not()
                self.factory.turn.unfinished(self)
            else:
                self._answer(requests)
        else:
            self._unparsed += data
            self._read_or_not()

    def _parse(self, data: bytes) -> Iterator[Request]:
        if self._is_new:
            self._is_new = False
            self._dialect = self.factory.dialects.of_first_byte(data[:1], self.session)
        requests = self._dialect.feed(data)
        unasked = self._dialect.unasked()
        if unasked:
            self._put(unasked)
        return requests

    def readConnectionLost(self) -> None:
        # The peer has said all it has to say, but still gets its replies: printf … | nc -N
        self._heard_all = True
        if self._ending:
            self._lose_if_done()
        elif self._requests is None or self._waits_for_others:
            self.end()

    def writeConnectionLost(self) -> None:
        if not self._draining:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._ending = self._lost = True
        self._forget()
        # The session knows us by this; what is left then goes without the collector.
        self.session.deliver = self.session.push = _nowhere
        if self._abort is not None and self._abort.active():
            self._abort.cancel()
        self.factory.connection_lost(self)

    def _read_or_not(self) -> None:
        """Have the socket read, or not, as the state wants it."""
        if self._lost:
            return
        if self._pending is not None:
            # Not to read at all would be not to notice that the peer is gone.
            busy = len(self._unparsed) >= READ_AHEAD
        else:
            busy = self._requests is not None
        # What is done now waits for the disk: no more of it until that has done its part.
        busy |= self.factory.turn.is_held and (
            self._outbox.waiting >= PIECE or self._came_while_held >= PIECE
        )
        wanted = not (busy or self._full or self._heard_all or self._ending) or self._draining
        if wanted != self._reading:
            self._reading = wanted
            if wanted:
                self.transport.resumeProducing()
            else:
                self.transport.pauseProducing()

    @property
    def _waits_for_others(self) -> bool:
        """Whether the reply may never come. Who has hung up then is gone: whatever was taken out
        of a list for him would be lost."""
        return self._pending is not None and self._pending.abandoned is not None

    def _is_deserted(self) -> bool:
        """Whether the peer has hung up, though the reactor has not yet come to tell so."""
        if not IFileDescriptor.providedBy(self.transport):
            return False
        poller = select.poll()
        poller.register(self.transport.fileno(), HUNG_UP)
        return bool(poller.poll(0))

    # Requests

    def _answer(self, requests: Iterator[Request]) -> None:
        output = self._outbox.lines
        had = len(output)
        self._answering = True
        stop, awaited = self.factory.dispatcher.run(
            self._context, requests, self._dialect, output, self._own
        )
        self._answering = False
        if len(output) > had:
            self._outbox.count(sum(map(len, output[had:] if had else output)))
            self.factory.turn.owe(self)
            if self._outbox.waiting >= PIECE:
                self._read_or_not()
        if self._ending:  # by one of the requests
            self._stop(awaited)
        elif stop is Stop.END or (self.session.over and awaited is None):
            self.end()
        elif stop is Stop.EXHAUSTED:
            if self._requests is not None:
                self._not_busy()
        elif stop is Stop.BROKEN:
            self.end(drain=True)
        else:
            self._requests = requests
            if isinstance(awaited, Pending):
                self._wait(awaited)
            else:
                if isinstance(awaited, Stream):
                    self._stream = awaited.pieces
                    self._held = sum(map(len, self._own))
                self._read_or_not()
                self.factory.turn.unfinished(self)

    def _stop(self, awaited: Pending | Stream | None) -> None:
        """Forget the request at which the connection ended."""
        if isinstance(awaited, Pending):
            awaited.abandon()
        if self._lost:
            self._forget()

    def _wait(self, pending: Pending) -> None:
        self._pending = pending
        self._put_own()  # nobody knows when the reply comes
        if self._heard_all and self._waits_for_others:
            self.end()
            return
        self._read_or_not()
        pending.is_deserted = self._is_deserted
        pending.then(self._resolved)

    def _not_busy(self) -> None:
        if self._unparsed:
            data = bytes(self._unparsed)
            self._unparsed.clear()
            # Still busy, or nobody would come back here to have the socket read again.
            self._requests = self._parse(data)
            self._answer(self._requests)
            return
        self._requests = None
        if self._heard_all:
            self.end()
        else:
            self._read_or_not()

    def go_on(self) -> None:
        """Answer the next slice; a peer that does not read gets it when it does."""
        if self._requests is None or self._pending is not None or self._full:
            return
        if self._outbox.waiting >= PIECE and self.factory.turn.is_held:
            return  # it goes on when that is released
        if self._stream is not None:
            self._put_pieces(self._stream)
        else:
            self._answer(self._requests)

    def _put_pieces(self, pieces: Iterator[bytes]) -> None:
        """Send some more of a long reply; when it is all sent, go on with the requests."""
        size = 0
        for piece in pieces:
            self._put(piece)
            size += len(piece)
            if size >= PIECE or self.factory.turn.is_late():
                self.factory.turn.unfinished(self)
                return
        self._stream = None
        self._put_own()
        self.factory.turn.unfinished(self)

    def _put_own(self) -> None:
        """Send what had to wait for the end of a reply."""
        own, self._own = self._own, []
        self._held = 0
        for line in own:
            self._put(line)

    def _resolved(self, reply: Reply) -> None:
        self._pending = None
        if self._ending:
            return
        try:
            encoded = self._dialect.encode(reply)
        except Exception:  # not to be raised through whoever gave the reply
            encoded = self._dialect.encode(self.factory.dispatcher.failed_later(self.session))
        if isinstance(encoded, Stream):
            self._stream = encoded.pieces
        else:
            self._put(encoded)
        self.factory.turn.unfinished(self)

    # Bytes out, at the end of a turn only

    def deliver(self, message: Message) -> None:
        """Push a message: the session calls this for each channel it listens to."""
        if self._ending:
            return
        line = self._dialect.message(message)
        if self._dialect.messages_first and self._answering:
            self._outbox.lines.append(line)  # in front of the reply, with which it is counted
        else:
            self._deliver(line)

    def push(self, push: Push | Status) -> None:
        """Push something else that was not asked for."""
        if not self._ending:
            self._deliver(self._dialect.push(push))

    def _deliver(self, line: bytes) -> None:
        if self._answering:
            self._own.append(line)
            return
        if self._stream is None:
            self._put(line)
        else:
            self._own.append(line)
            self._held += len(line)
        # One that reads gets all of this at the end of the turn.
        if self._full and self.unsent > self.factory.subscriber_buffer:
            self._cut()

    def _put(self, line: bytes) -> None:
        self._outbox.put(line)
        self.factory.turn.owe(self)

    def flush(self) -> None:
        """Send what has been collected, as far as the peer reads."""
        self._outbox.release_all()
        self._send()

    def seal(self) -> None:
        """A commit has begun that covers what has been collected."""
        self._outbox.seal()

    def release(self) -> None:
        """It is done: send what it covers."""
        self._outbox.release()
        self._send()

    def withdraw(self, error: CommandError) -> None:
        """It has failed: nobody knows what becomes of the requests that it covers."""
        if self._lost:
            return
        self._outbox.withdraw()
        self._own.clear()
        self._held = 0
        self._outbox.put(typing.cast(bytes, self._dialect.encode(error)))
        self._outbox.release_all()
        self.end()
        self._send()

    def _send(self) -> None:
        """Hand to the transport what may leave."""
        self._came_while_held = 0
        limit = LAST_PIECE if self._ending else PIECE
        while self._outbox.has_released and not self._full:
            piece = self._outbox.take(limit)
            self.factory.bytes_out += len(piece)
            self._hand_over(piece)
        if self._full:
            return
        if self._ending:
            self._lose_if_done()
        elif self._requests is not None:
            self.factory.turn.unfinished(self)
        self._read_or_not()

    def _hand_over(self, piece: bytes) -> None:
        """Give a piece to the transport.

        ``write`` would have the reactor ask for room first, of which there nearly always is enough;
        to send at once where nothing waits to be sent takes a request at depth 1 from 22.5 to
        16.5 us of CPU.
        """
        transport = self.transport
        # What waits there is in these two.
        if self._sends_at_once and not (transport.dataBuffer or transport._tempDataBuffer):
            sent = transport.writeSomeData(piece)
            if sent == len(piece):
                return
            if isinstance(sent, int):  # else the connection is lost, as the reactor will find
                piece = piece[sent:]
        transport.write(piece)

    def pauseProducing(self) -> None:
        # The transport has more than it could send.
        self._full = True
        self._read_or_not()

    def resumeProducing(self) -> None:
        # The peer has read what the transport had. More goes out at the end of the turn, as
        # always: there is what others have just brought, and it is not committed before.
        self._full = False
        if self._abort is not None and self._abort.active() and not self._draining:
            self._abort.reset(LINGER)
        self.factory.turn.owe(self)

    def stopProducing(self) -> None:
        """The transport is gone; connectionLost says so too."""

    # The end

    def end(self, *, drain: bool = False) -> None:
        """Answer no more requests, and close as soon as the peer has what is ready.

        ``drain``: the peer is still sending. To close on it would be a reset, in which the last
        reply is lost with the rest; so what it sends is read and dropped for some seconds.
        """
        if self._ending:
            return
        self._ending = True
        self._leave()
        self._draining = (
            drain
            and not self._heard_all
            and IHalfCloseableDescriptor.providedBy(self.transport)
            and not ISSLTransport.providedBy(self.transport)
        )
        self._read_or_not()
        # A peer that does not read would otherwise keep the connection for ever. One that reads
        # slowly gets it all: each time that it has read something, the time starts again.
        self._abort = self.factory.reactor.callLater(
            DRAIN if self._draining else LINGER, self.transport.abortConnection
        )
        self._lose_if_done()

    def kill(self) -> None:
        """End the connection; what its peer does not take at once is forgotten."""
        if self._full:
            self.fail()
        else:
            self.end()

    def fail(self) -> None:
        """End the connection at once; what it was to get is forgotten."""
        self._ending = self._lost = True
        self._forget()
        self.transport.abortConnection()

    def _lose_if_done(self) -> None:
        """Close, or as far as can be while the peer still sends, if all is sent."""
        if self._outbox.size or self._full or self._lost:
            return
        if self._draining and not self._heard_all:
            self.transport.loseWriteConnection()
            return
        self._lost = True
        # With a producer registered, the transport waits for it to finish.
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def _cut(self) -> None:
        self._log.warn(
            "client {number} at {peer} is cut: it does not read its messages, {owed} bytes wait "
            "(subscriber_buffer is {limit})",
            number=self.session.number,
            peer=self.transport.getPeer(),
            owed=self.unsent,
            limit=self.factory.subscriber_buffer,
        )
        self.factory.cut += 1
        self.fail()

    def _leave(self) -> None:
        """Ask nothing more, and wait for nothing."""
        self.factory.clients.remove(self)
        self.factory.engine.close(self.session)
        # One of its own requests may have ended it; those behind are not to be run.
        self.session.over = True
        self.session.settle()
        self._requests = None
        self._stream = None
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.abandon()

    def _forget(self) -> None:
        self._leave()
        self._unparsed.clear()
        self._own.clear()
        self._held = 0
        self._outbox.clear()


def _nowhere(message: object) -> None:
    """Where the messages of a lost connection's session would go, if it had any channels."""
