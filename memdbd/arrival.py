"""The part of a connection that is about who is at the other end: how it arrives, and is somebody.

Theory of operation. A connection with TLS first makes its handshake; nobody knows who it is until
then. After that, or at once without TLS, the gate says who it is: a user, or a stranger, who has to
log in. The gate says so again whenever that changes. As long as it is a stranger, the connection is
counted among them, its dialect reads warily, and its socket is read and written by little. It is
told at once what it is cut for, if that is something it can be told; the log hears who it was.

What happens in one read of many sockets is bounded: a handshake costs a signature, so that those
for which a turn has no time are made in the next.

May import: addresses, admission, clients, core, gate, limits, permissions, polling, pubsub,
recipient, sending, session, sockets, tls and what is above.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import (
    IFileDescriptor,
    IHandshakeListener,
    ISSLTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from memdbd.addresses import is_loopback, shown_to_redis
from memdbd.admission import Admission
from memdbd.clients import Clients
from memdbd.core import Lane
from memdbd.gate import Gate
from memdbd.outlet import Office
from memdbd.permissions import STRANGER, not_logged_in
from memdbd.polling import Poll
from memdbd.pubsub import Registry
from memdbd.recipient import Recipient
from memdbd.sending import FAREWELL
from memdbd.session import Session
from memdbd.sockets import below, prepare
from memdbd.tls import HANDSHAKE, common_name, reason_of

# Bytes that are read at once from a stranger, and that wait for one before no more is read.
LITTLE = 4 * 1024
MUCH = 64 * 1024  # bytes that are read at once from others, as Twisted does it


class Hall(Office, Protocol):
    """What an arriving connection needs of the factory that made it."""

    @property
    def admission(self) -> Admission: ...
    @property
    def channels(self) -> Registry: ...
    @property
    def clients(self) -> Clients: ...
    @property
    def gate(self) -> Gate: ...
    @property
    def poll(self) -> Poll: ...


@implementer(IHandshakeListener)
class Arrival(Recipient):
    """A connection as far as it arrives, and tells about itself; the whole of it is a
    :class:`~memdbd.protocol.MemDBProtocol`."""

    factory: Hall

    # Of nearly all of them.
    is_tls = False
    _is_stranger = False
    _handshake: Callable[[bytes], object] | None = None  # goes on with the handshake, until it is
    _hello = b""  # what has come of it, and waits for its turn
    _has_begun = False  # something has come of it
    _named = ""  # who it is to the log if it comes to nothing: a lost socket has no address

    def __init__(self, number: int, factory: Hall) -> None:
        super().__init__()
        self.factory = factory
        self.session = Session(number, factory.channels, self.deliver, self.push, self.take)
        self.session.identified = self._identified
        self.lane = Lane(self, self.session)
        self.since = self.lane.active = factory.reactor.seconds()

    # What it tells about itself: see memdbd.clients.Client

    @property
    def peer(self) -> str:
        return shown_to_redis(self.transport.getPeer(), self.transport.getHost())

    @property
    def local(self) -> str:
        host = self.transport.getHost()
        return shown_to_redis(host, host)

    @property
    def host(self) -> str:
        return getattr(self.transport.getPeer(), "host", "") or "this machine"

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
        """Bytes that came and were not looked at yet."""
        raise NotImplementedError

    @property
    def waits(self) -> bool:
        """Whether its reply depends on others."""
        raise NotImplementedError

    @property
    def may_idle(self) -> bool:
        """Whether it has a reason to send nothing for long."""
        raise NotImplementedError

    # It arrives

    def connectionMade(self) -> None:
        factory = self.factory
        self._socket = below(self.transport)
        prepare(self.transport, factory.limits.tcp_keepalive)
        factory.poll.adopt(self._socket)
        if hasattr(self._socket, "server"):
            factory.admission.accepted_at(self._socket.server)
        factory.clients.add(self)
        if factory.limits.idle_timeout and not factory.admission.is_watching_idle:
            factory.admission.watch_idle()
        super().connectionMade()
        if ISSLTransport.providedBy(self.transport):
            self.is_tls = True
            self.session.may(STRANGER)
            self._pace_handshake()
            self._identified()
        else:
            factory.gate.admit(self.session)

    def handshakeCompleted(self) -> None:
        self._handshake = None
        del self.transport.dataReceived  # which is that of its class again
        self.factory.gate.admit(self.session, common_name(self.transport))
        self.factory.admission.begins_anew(self)

    def _pace_handshake(self) -> None:
        """Have what comes for the handshake wait where this turn has no time for it."""
        self._handshake = self.transport.dataReceived
        self._named = self.factory.clients.named(self.session)

        def came(data: bytes) -> None:
            self._has_begun = True
            self._hello += data
            if self.factory.turn.is_late() and len(self._hello) <= HANDSHAKE:
                self.factory.turn.unfinished(self)
            else:
                self._go_on_with_handshake()

        self.transport.dataReceived = came

    def _go_on_with_handshake(self) -> None:
        hello, self._hello = self._hello, b""
        if self._handshake is not None and hello and not self._lost:
            self._handshake(hello)

    # It is somebody, or not

    def _identified(self) -> None:
        """Called by the gate when it has said who this is, or that nobody knows."""
        is_stranger = self.session.user is None
        if is_stranger == self._is_stranger or self._lost:
            return
        self._is_stranger = is_stranger
        self.lane.idle = False  # it is read in another way
        self._dialect.be_wary(self._allowance)
        self._socket.bufferSize = LITTLE if is_stranger else MUCH
        if is_stranger:
            self.factory.admission.is_stranger(self)
        else:
            self.factory.admission.leaves(self)

    @property
    def _allowance(self) -> int | None:
        """Bytes that a request may have if it is a stranger's. OpenSSL keeps up to 70 KiB for one
        who keeps it waiting in the middle of a record, which is half of what one may cost."""
        if not self._is_stranger:
            return None
        most = self.factory.limits.unauthenticated_buffer
        return most // 2 if self.is_tls else most

    @property
    def _pause_from(self) -> int:
        return min(super()._pause_from, LITTLE) if self._is_stranger else super()._pause_from

    # It is cut

    def turn_away(self, limit: str, why: str) -> None:
        """End it at once: it has met a limit."""
        is_late = limit == "login_timeout"
        patience = self.factory.limits.login_timeout
        if is_late and self._handshake is not None:
            why = f"it has not done its TLS handshake within {patience:g} s"
        if not self._ending:
            self._alarm(limit, why)
        if is_late and self._handshake is None and not (self._ending or self._full):
            # A person may have wondered what to type. So short a line leaves at once.
            error = not_logged_in()
            error.hint = f"nobody has done so within {patience:g} s"
            self._put(cast(bytes, self._dialect.encode(error)))
            self.end(grace=FAREWELL)
        else:
            self.fail()

    def _alarm(self, limit: str, why: str) -> None:
        self.factory.alarms.fire(limit, f"{self.factory.clients.named(self.session)} is cut: {why}")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._handshake is not None:
            # Whoever looks whether there is somebody, and leaves, is no matter.
            if self._has_begun and not self._lost:
                why = reason_of(reason)
                self.factory.alarms.fire("handshake", f"{self._named} is refused: {why}")
            self._handshake = None
            vars(self.transport).pop("dataReceived", None)
        self.factory.admission.leaves(self)
        super().connectionLost(reason)
