"""A connection: bytes off the socket, requests through the dispatcher, replies back at turn's end.

Theory of operation. A connection answers what it reads; or it is busy, with requests left over from
the last slice, a reply that is pending or one that is sent piece by piece; or it ends, and only
sends what is ready; or it is lost.
Independently of that the peer may not be reading: then nothing is answered and nothing read, and
what is delivered meanwhile is counted. So no peer makes us hold more than the bounds say. Whether
the socket is read is worked out in one place, ``_read_or_not``, from that state. How bytes get out,
and how a connection ends, is in ``sending.py``; who is at its other end, in ``arrival.py``.

May import: arrival, core, dispatch, dialects, gathering, sending and what is above.
"""

from __future__ import annotations

import select
from typing import Any, Protocol

from twisted.internet.interfaces import IFileDescriptor, IHalfCloseableProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from memdbd.arrival import Arrival, Hall
from memdbd.commands.spec import Command
from memdbd.core import Lane
from memdbd.dialects.batch import Batch
from memdbd.dialects.interface import Dialect, Dialects
from memdbd.dialects.streams import Parts, Stream
from memdbd.dispatch import Dispatcher, Stop
from memdbd.engines.interface import IEngine
from memdbd.gathering import MOST_READ, Gathering
from memdbd.replies import Pending, Reply
from memdbd.sending import PIECE

# Bytes that are read from a peer whose next reply is pending.
READ_AHEAD = 64 * 1024

# Bytes missing of a word from which on it is worth to read more at once: who sends several requests
# of some KiB at once is often in the middle of one.
LONG = 16 * 1024

# To look into an Enum takes 90 ns.
END, EXHAUSTED, BROKEN = Stop.END, Stop.EXHAUSTED, Stop.BROKEN

HELLO = b"\x16\x03"  # how a TLS handshake begins, and no request

# What poll is asked for to hear that a peer sends no more; where that is unknown, it always tells.
HUNG_UP = getattr(select, "POLLRDHUP", 0)


class Home(Hall, Protocol):
    """What a connection needs of the factory that made it."""

    @property
    def engine(self) -> IEngine: ...
    @property
    def dispatcher(self) -> Dispatcher: ...
    @property
    def dialects(self) -> Dialects: ...
    @property
    def gathering(self) -> Gathering: ...
    @property
    def connections(self) -> dict[MemDBProtocol, None]: ...

    bytes_in: int  # counted by the connections

    def connection_lost(self, connection: MemDBProtocol) -> None: ...


@implementer(IHalfCloseableProtocol)
class MemDBProtocol(Arrival):
    """One client's connection, made by :class:`~memdbd.factory.MemDBFactory`.

    Not a LineReceiver: that splits its whole buffer again for each line, so that 1 MiB of small
    lines holds the loop for seconds.
    """

    factory: Home

    # Of nearly all of them. An object with more than 30 attributes of its own takes 1.5 KB more.
    _is_new = True  # nothing has come yet
    _pending: Pending | None = None  # busy until this reply is there
    _came_while_held = 0  # bytes, since replies wait for the disk
    _reading = True

    def __init__(self, number: int, factory: Home, *, only_resp: bool = False) -> None:
        super().__init__(number, factory)
        self.context = factory.dispatcher.context(self.session)
        self._only_resp = only_resp
        dialects = factory.dialects
        self._dialect: Dialect = dialects.resp(self.session) if only_resp else dialects.text()
        self._requests: Batch | None = None  # left over; None: not busy
        self._unparsed = bytearray()  # came while busy

    # What it tells about itself, beside what an Arrival does: see memdbd.clients.Client

    @property
    def unread(self) -> int:
        return len(self._unparsed)

    @property
    def waits(self) -> bool:
        return self._pending is not None

    @property
    def may_idle(self) -> bool:
        session = self.session
        return self.waits or self._ending or session.is_subscriber or session.monitors

    # Bytes in

    def connectionMade(self) -> None:
        self.factory.connections[self] = None
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        factory, lane = self.factory, self.lane
        if factory.turn.gathers and lane.idle and (lane.groups is not None or self._joins()):
            left = factory.gathering.take(lane, data)
            if left is not True:
                self.receive(data, left)
            return
        factory.bytes_in += len(data)
        lane.active = factory.turn.began or factory.reactor.seconds()
        self.receive(data)

    def receive(self, data: bytes, requests: list[Any] | None = None) -> None:
        """Take what has come and is not gathered; ``requests`` are those that it is, where that is
        known."""
        lane = self.lane
        if lane.idle and not self.factory.turn.is_held:  # as of nearly all who send
            if requests is None and len(data) < MOST_READ:
                requests = self._dialect.read(data)
            if requests is not None:
                lane.idle = False
                self._begin(Batch(requests))
                if self._requests is None:
                    lane.idle = not (self._ending or self._is_stranger)
                return
        self._received(data)

    def _joins(self) -> bool:
        """Have what comes gathered, if there is nothing unusual about this connection."""
        lane, session, dialect = self.lane, self.session, self._dialect
        # Of subscribers, messages and replies are to stay in order.
        if session.special or session.listens or not self._opens_lane():
            return False
        lane.groups = self.factory.gathering.groups(self.context, dialect)
        lane.usual = dialect.usual
        return True

    def _received(self, data: bytes) -> None:
        """Take bytes from whoever it is, and whatever is going on."""
        if self._ending or self._heard_all:
            return
        self.lane.spoil()  # what comes behind what waits is for us
        turn = self.factory.turn
        if turn.is_held:
            turn.took(len(data))
            self._came_while_held += len(data)
            if self._came_while_held >= PIECE:
                turn.owe(self)  # so that it is read again, whatever it is owed
                self._read_or_not()
        if self._is_busy:
            self._unparsed += data
            self._read_or_not()
        else:
            self.lane.idle = False
            self._begin(self._parse(data))
            self._be_idle()

    def _be_idle(self) -> None:
        """There is nothing at hand, if that is so."""
        is_there = self._is_busy or self._ending or self._heard_all
        # What waits to be sent since the last turn comes first, and what is gathered passes it.
        is_there |= self._outbox.size > 0
        self.lane.idle = not (is_there or self._is_stranger or self._dialect.has_begun)

    @property
    def _is_busy(self) -> bool:
        """Whether what comes now has to wait."""
        return self._requests is not None or self.lane.group is not None

    def _begin(self, batch: Batch) -> None:
        """Answer a batch, if the turn has time for it."""
        if self._dialect.unasked:
            self._put(bytes(self._dialect.unasked))
            self._dialect.unasked.clear()
        if self.factory.turn.is_late():
            self._requests = batch
            self._read_or_not()
            self.factory.turn.unfinished(self)
        else:
            self.answer(batch)

    def left(self, requests: list[Any], command: Command, done: int, line: bytes) -> None:
        """So many of the requests that were gathered have been run, with these replies; those
        behind them, if any, and what came meanwhile, is for us."""
        if done:
            self.session.last = command
            self._put(line)
        self._requests = batch = Batch(requests)
        batch.at = done
        self._begin(batch)

    @property
    def dialect(self) -> Dialect:
        """How it speaks."""
        return self._dialect

    def _parse(self, data: bytes) -> Batch:
        if self._is_new:
            self._is_new = False
            if data.startswith(HELLO) and not self.is_tls:
                self.turn_away("handshake", "it speaks TLS to a port without; see tls_listen")
                return Batch([])
            if not self._only_resp:  # else the listener has said it
                self._dialect = self.factory.dialects.of_first_byte(data[:1], self.session)
                self._dialect.be_wary(self._allowance)
        batch = self._dialect.feed(data)
        if self._dialect.missing >= LONG and not self._is_stranger:
            self.factory.poll.expect_long(self._socket)
        return batch

    def readConnectionLost(self) -> None:
        # The peer has said all it has to say, but still gets its replies: printf … | nc -N
        self._heard_all = True
        self.lane.idle = False
        self._obstructed()
        if self._ending:
            self._lose_if_done()
        elif not self._is_busy or self._waits_for_others:
            self.end()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        # The session knows us by this; what is left then goes without the collector.
        session = self.session
        session.deliver = session.push = session.take = _nowhere
        session.identified = _nobody_asks
        # And our lane: whoever holds that still may tell us what is left of a line.
        self.lane, session.lane = Lane(None, session), None
        self.factory.connection_lost(self)

    def _read_or_not(self) -> None:
        """Have the socket read, or not, as the state wants it."""
        if self._lost:
            return
        if self._pending is not None:
            # Not to read at all would be not to notice that the peer is gone, which matters little
            # of a stranger, who waits no longer than a password takes.
            busy = self._is_stranger or len(self._unparsed) >= READ_AHEAD
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

    def answer(self, requests: Batch) -> None:
        """Run the next slice of requests."""
        if self.session.listens:
            self.session.catch_up()  # with what was published before these came
        outbox = self._outbox
        output = outbox.lines
        had = len(output)
        self._answering = True
        stop, awaited = self.factory.dispatcher.run(
            self.context, requests, self._dialect, output, self._own
        )
        self._answering = False
        if len(output) > had:
            outbox.count(sum(map(len, output[had:])) if len(output) > 1 else len(output[0]))
            self.factory.turn.owe(self)
            if outbox.waiting >= PIECE:
                self._read_or_not()
        if self._ending:  # by one of the requests
            self._stop(awaited)
        elif stop is END or (self.session.over and awaited is None):
            self.end()
        elif stop is EXHAUSTED:
            if self._requests is not None:
                self._not_busy()
        elif stop is BROKEN:
            if self._dialect.met:
                self._alarm(self._dialect.met, f"it sends more than {self._dialect.met} allows")
            self.end(drain=True)
        else:
            self._requests = requests
            if isinstance(awaited, Pending):
                self._wait(awaited)
            else:
                if isinstance(awaited, Stream):
                    self._begin_stream(awaited)
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
        if self._is_stranger:
            self.factory.admission.waits(self)
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
            self.answer(self._requests)
            return
        self._requests = None
        if self._heard_all:
            self.end()
        else:
            self._be_idle()
            self._read_or_not()

    def go_on(self) -> None:
        """Answer the next slice; a peer that does not read gets it when it does."""
        if self._requests is None or self._pending is not None or self._full:
            if self._hello:
                self._go_on_with_handshake()
            return
        if self._outbox.waiting >= PIECE and self.factory.turn.is_held:
            return  # it goes on when that is released
        if self._stream is not None:
            self._put_pieces(self._stream)
        elif self.session.over:  # since a reply that was pending: what is behind is not even read
            self.end()
        else:
            self.answer(self._requests)

    def _resolved(self, reply: Reply) -> None:
        self._pending = None
        if self._ending:
            return
        if self._is_stranger:
            self.factory.admission.goes_on(self)
        self.factory.dispatcher.replied_later(self.session, reply)
        try:
            encoded = self._dialect.encode(reply)
        except Exception:  # not to be raised through whoever gave the reply
            encoded = self._dialect.encode(self.factory.dispatcher.failed_later(self.session))
        if isinstance(encoded, Stream):
            self._begin_stream(encoded)
        else:
            self._put(b"".join(encoded) if isinstance(encoded, Parts) else encoded)
        self.factory.turn.unfinished(self)

    # What sending leaves to it

    def _sent(self) -> None:
        if not self.lane.idle:
            self._be_idle()
        if self._requests is None and self._reading and not self._came_while_held:
            return  # nothing has waited for it
        self._came_while_held = 0
        if self._full:
            return
        if self._requests is not None:
            self.factory.turn.unfinished(self)
        self._read_or_not()

    def _leave(self) -> None:
        """Ask nothing more, and wait for nothing."""
        self.factory.clients.remove(self)
        self.factory.engine.close(self.session)
        # One of its own requests may have ended it; those behind are not to be run.
        self.session.over = True
        self.session.settle()
        self._requests = self.lane.group = None
        self.lane.idle = False
        self._stream = None
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.abandon()

    def _forget(self) -> None:
        super()._forget()
        self._unparsed.clear()


def _nowhere(message: object, at_once: bool = False) -> None:
    """Where the messages of a lost connection's session would go, if it had any channels."""


def _nobody_asks() -> None:
    """Whom it concerns who a lost connection's session is."""
