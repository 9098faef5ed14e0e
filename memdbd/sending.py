"""The half of a connection that sends: bytes out at the end of a turn only, and the last of them.

Theory of operation. Replies and messages are lines in the outbox until the turn, at its end, lets
them go; then the transport gets them, piece by piece. It says when it is full (we are its
producer), which is that the peer is not reading: what is left waits here, where it is counted, and
a subscriber for whom too much waits is cut. A message that comes while a reply is made or sent goes
behind it. A connection that ends sends what is ready, and closes; one whose peer takes nothing of
that for some time is aborted. Once it is lost, nothing is sent.

What may wait for a peer that does not read. Of its replies no more than a few MiB: then nothing is
answered, and a large reply is made piece by piece as it is taken. But its values are held until
then, even if their keys are gone; so where they are over ``output_limit``, they are held for some
time only. Messages are up to the others, and are counted: over ``subscriber_buffer`` it is cut at
once, over ``subscriber_soft`` after ``subscriber_seconds``.

What is read and answered is the other half's: ``arrival.py`` and ``protocol.py`` are that, and
nothing else uses its transport.

How a piece gets to the transport is below: ``outlet.py``.

May import: dialects, errors, outbox, outlet, session and what is above.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator

from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableDescriptor,
    IPushProducer,
    ISSLTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from memdbd.dialects.interface import Dialect
from memdbd.dialects.streams import Stream
from memdbd.errors import CommandError
from memdbd.outbox import Outbox
from memdbd.outlet import SCATTERED, Outlet
from memdbd.session import Session

# Handed to the transport at once; the rest waits with us, where it can be counted.
PIECE = 256 * 1024  # bytes
LAST_PIECE = 32 * 1024  # of a connection that ends: the transport tells of a piece that is taken

# Seconds in which a peer takes no piece, after which its connection is aborted if it ends, and cut
# if a reply waits for it that is over output_limit.
LINGER = 30.0

DRAIN = 5.0  # seconds in which a peer that is sent away may finish what it sends
FAREWELL = 1.0  # in which one that has not logged in may take the line that tells it so


def exceeds(size: int, limit: int) -> bool:
    """Whether something is over a limit of which 0 is none."""
    return 0 < limit < size


@implementer(IPushProducer)
class Sender(Outlet):
    """A connection as far as it sends; the whole of it is a
    :class:`~memdbd.protocol.MemDBProtocol`."""

    session: Session
    _dialect: Dialect
    _stream_size = 0  # bytes of values that the reply holds which is sent
    _patience: IDelayedCall | None = None  # cuts a peer that does not read, and is owed much

    # Of nearly all of them.
    _held = 0  # bytes in own, while a reply is sent
    _answering = False  # a reply is being made
    _stream: Iterator[bytes] | None = None  # the rest of a reply that is sent
    _full = False  # the transport wants no more: the peer does not read
    _heard_all = False  # the peer sends no more
    _ending = False  # answers no more, but sends what is ready
    _draining = False  # ends, and drops what it still reads
    _lost = False  # sends no more
    _abort: IDelayedCall | None = None
    _grace = LINGER

    def __init__(self) -> None:
        self._outbox = Outbox()
        self._own: list[bytes] = []  # messages that go out behind the reply that is made or sent

    # What the other half does

    def go_on(self) -> None:
        """Answer the next slice of requests, or send some more of a long reply."""
        raise NotImplementedError

    def _sent(self) -> None:
        """What could leave has left: go on with whatever waited for that."""
        raise NotImplementedError

    def _read_or_not(self) -> None:
        """Have the socket read, or not, as the state wants it."""
        raise NotImplementedError

    def _leave(self) -> None:
        """Ask nothing more, and wait for nothing."""
        raise NotImplementedError

    def turn_away(self, limit: str, why: str) -> None:
        """End the connection at once: it has met a limit."""
        raise NotImplementedError

    @property
    def active(self) -> float:
        """When something came from the peer last, or was taken by it."""
        return self.lane.active

    # What waits, and pieces of long replies

    @property
    def unsent(self) -> int:
        """Bytes that wait here, for whatever."""
        return self._outbox.size + self._held

    def _put(self, line: bytes) -> None:
        self._outbox.put(line)
        self.factory.turn.owe(self)

    def _begin_stream(self, stream: Stream) -> None:
        """Send a long reply, piece by piece; what is delivered meanwhile goes behind it."""
        self._obstructed()
        self._stream, self._stream_size = stream.pieces, stream.size
        self._held = sum(map(len, self._own))

    def _put_pieces(self, pieces: Iterator[bytes]) -> None:
        """Send some more of a long reply; when it is all sent, go on with the requests."""
        size = 0
        for piece in pieces:
            self._put(piece)
            size += len(piece)
            if size >= PIECE or self.factory.turn.is_late():
                self.factory.turn.unfinished(self)
                return
        self._stream, self._stream_size = None, 0
        self._put_own()
        self.factory.turn.unfinished(self)

    def _put_own(self) -> None:
        """Send what had to wait for the end of a reply."""
        own, self._own = self._own, []
        self._held = 0
        for line in own:
            self._put(line)

    # What the turn has it do, at its end or when a commit is done

    def flush(self) -> None:
        """Send what has been collected, as far as the peer reads."""
        if not (self._full or self._ending):
            size = self._outbox.waiting
            lines = self._outbox.take_all(PIECE)
            if lines is not None:  # as nearly always
                self.factory.bytes_out += size
                if len(lines) == 1:
                    self._hand_over(lines[0])
                elif size < SCATTERED or not self._scatter(lines, size):
                    self._hand_over(b"".join(lines))
                self._sent()
                return
        self._outbox.release_all()
        self._send()

    def take_rest(self, rest: bytes) -> None:
        """Send what was too much for the lane of a line that is committed."""
        if not self.lane.is_clear:  # something has come in its way before any of it was sent
            self.collect(rest)
            return
        self.factory.bytes_out += len(rest)
        self._hand_over(rest)

    def collect(self, line: bytes) -> None:
        """Have a line wait after all, in front of what was collected since it was to be sent."""
        if not self._ending:
            self._put(line)
            lines = self._outbox.lines
            lines.insert(0, lines.pop())

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
        limit = LAST_PIECE if self._ending else PIECE
        while self._outbox.has_released and not self._full:
            piece = self._outbox.take(limit)
            self.factory.bytes_out += len(piece)
            self._hand_over(piece)
        if self._ending:
            self._lose_if_done()
        self._sent()

    # What the transport says

    def connectionMade(self) -> None:
        # Its own: TLS has none, but would give that of the transport below it. What waits in a
        # transport is Twisted's own business, and it may cease to tell.
        transport = self.transport
        own = hasattr(type(transport), "writeSomeData") and hasattr(transport, "socket")
        if own and hasattr(transport, "_tempDataBuffer"):
            self.lane.attach(transport.socket)
        self.transport.registerProducer(self, True)

    def pauseProducing(self) -> None:
        # The transport has more than it could send.
        if not self._full:
            self.factory.alarms.count("pause_output")
        self._full = True
        self._obstructed()
        if not self._ending:
            self._mind()
        self._read_or_not()

    def resumeProducing(self) -> None:
        # The peer has read what the transport had. More goes out at the end of the turn, as
        # always: there is what others have just brought, and it is not committed before.
        self._full = False
        self.lane.active = self.factory.reactor.seconds()
        if not exceeds(self.unsent, self.factory.limits.subscriber_soft):
            self._calm_down()
        if self._abort is not None and self._abort.active() and not self._draining:
            self._abort.reset(self._grace)
        self.factory.turn.owe(self)

    def stopProducing(self) -> None:
        """The transport is gone; connectionLost says so too."""

    def writeConnectionLost(self) -> None:
        if not self._draining:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._ending = self._lost = True
        self._forget()
        if self._abort is not None and self._abort.active():
            self._abort.cancel()

    # A peer that does not read

    def _mind(self) -> None:
        """See what waits for a peer that does not read, or has not read all of it yet."""
        limits = self.factory.limits
        if exceeds(self.unsent, limits.subscriber_soft):
            self._be_patient(limits.subscriber_seconds, "subscriber_soft")
        elif self._stream is not None and exceeds(self._stream_size, limits.output_limit):
            self._be_patient(LINGER, "output_limit")
        else:
            self._calm_down()

    def _be_patient(self, seconds: float, limit: str) -> None:
        """Cut it after so many seconds, if what waits for it has not become less by then."""
        if self._patience is None:
            self._patience = self.factory.reactor.callLater(seconds, self._lose_patience, limit)

    def _lose_patience(self, limit: str) -> None:
        self._patience = None
        if self._full:
            self._cut(limit)

    def _calm_down(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _cut(self, limit: str) -> None:
        owed = max(self.unsent, self._stream_size)
        most = getattr(self.factory.limits, limit)
        self.factory.cut += 1
        self.turn_away(limit, f"it does not read, {owed} bytes wait for it ({limit} is {most})")

    # The end

    def end(self, *, drain: bool = False, grace: float = LINGER) -> None:
        """Answer no more requests, and close as soon as the peer has what is ready; or when it has
        taken nothing of that for ``grace`` seconds.

        ``drain``: the peer is still sending. To close on it would be a reset, in which the last
        reply is lost with the rest; so what it sends is read and dropped for some seconds.
        """
        if self._ending:
            return
        self._ending = True
        self._obstructed()
        self._leave()
        self._calm_down()
        self._draining = (
            drain
            and not self._heard_all
            and IHalfCloseableDescriptor.providedBy(self.transport)
            and not ISSLTransport.providedBy(self.transport)
        )
        self._read_or_not()
        # A peer that does not read would otherwise keep the connection for ever. One that reads
        # slowly gets it all: each time that it has read something, the time starts again.
        self._grace = DRAIN if self._draining else grace
        self._abort = self.factory.reactor.callLater(self._grace, self.transport.abortConnection)
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

    def _forget(self) -> None:
        """Leave, with nothing more to send."""
        self._obstructed()
        self._leave()
        self._calm_down()
        self._own.clear()
        self._held = 0
        self._outbox.clear()
