"""One connection to the daemon: :class:`Client`, and :func:`connect` which makes it.

Strategy: the server answers in the order it was asked, so the requests under way are a queue of
Deferreds and a reply belongs to the first of them. A cancelled Deferred keeps its place; Twisted
swallows the one result that comes to it later. Requests are written as they are made: the
transport gathers what is written in one reactor turn, so many requests without waiting are one
packet.

May import: wire, login, tls, errors, Twisted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn, cast
from typing import Protocol as Shape

from twisted.internet import error
from twisted.internet.defer import Deferred, TimeoutError, fail, succeed
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.interfaces import (
    IDelayedCall,
    IReactorTime,
    ISSLTransport,
    IStreamClientEndpoint,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from memdbd.client.login import Login, LoginRefused
from memdbd.client.tls import TLS, UNVERIFIED, Description, HandshakeCancelled, TLSEndpoint
from memdbd.client.tlsfaults import HandshakeTimeout
from memdbd.client.wire import (
    ErrorReply,
    LineSplitter,
    Message,
    Push,
    Reply,
    SpeaksTLS,
    Word,
    as_bytes,
    decode_line,
    encode_request,
    is_tls,
)
from memdbd.errors import ProtocolError

DEFAULT_ENDPOINT = "tcp:127.0.0.1:65432"

# How long a closed connection may wait for the peer to read what was written, in seconds.
CLOSING_GRACE = 5.0

Callback = Callable[[bytes, bytes], object]  # (channel, message)


class _Transport(Shape):
    """What is used of a transport."""

    def write(self, data: bytes) -> None: ...
    def loseConnection(self) -> None: ...
    def abortConnection(self) -> None: ...
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...


def connect(
    reactor: IReactorTime,
    endpoint: str | IStreamClientEndpoint = DEFAULT_ENDPOINT,
    *,
    tls: TLS | None = None,
    user: str | bytes | None = None,
    password: str | bytes | None = None,
    on_message: Callable[[Message], object] | None = None,
    on_push: Callable[[Push], object] | None = None,
    timeout: float | None = None,
) -> Deferred[Client]:
    """Connect to a daemon; the Deferred fires with the :class:`Client`.

    ``endpoint`` is a Twisted client endpoint or the string that describes one: ``tcp:host:port``,
    ``unix:/path``. With ``tls``, nothing is said before the server has shown a certificate that is
    trusted; where it does not, it fails with :class:`~memdbd.client.tlsfaults.TLSFault`. With
    ``password``, the ``user`` (``default``, if none is said) is logged in before anything else is
    sent; where that is refused, it fails with :class:`~memdbd.client.login.LoginRefused`.
    ``on_message`` and ``on_push`` are as for :class:`Client`. After ``timeout`` seconds, for all of
    it, it fails with :exc:`twisted.internet.defer.TimeoutError`.

    A string that describes no endpoint raises whatever that kind of endpoint does, mostly
    ValueError or TypeError; so do a user without a password, and ``tls`` for an endpoint that does
    not say whose certificate it is, and an ``ssl:`` one, which would take that of anybody. Raises
    ConfigError for certificates that cannot be used.
    """
    if user is not None and password is None:
        raise ValueError(f"user={user!r} needs a password")
    name = None if tls is None else tls.name
    if isinstance(endpoint, str):
        said = Description(endpoint)
        if said.kind == "SSL":
            raise ValueError(f"{UNVERIFIED}; give tls=TLS() with tcp:HOST:PORT")
        name = name or said.host
        found = clientFromString(reactor, endpoint if tls is None else said.in_ascii())
    else:
        found = endpoint
    if tls is not None:
        if name is None:
            raise ValueError("TLS(name=...) has to say whose certificate this endpoint shows")
        found = TLSEndpoint(reactor, found, tls, name)
    client = Client(reactor, on_message, on_push)
    connecting: Deferred[Client] = connectProtocol(found, client)
    if password is not None:
        connecting.addCallback(_log_in, Login(user, password))
    if timeout is not None:
        connecting.addTimeout(timeout, reactor, too_late)
    return connecting


def _log_in(client: Client, login: Login) -> Deferred[Client]:
    def failed(failure: Failure) -> NoReturn:
        client.abort()
        if isinstance(failure.value, ErrorReply):
            raise LoginRefused(login, str(failure.value)) from None
        failure.raiseException()

    asked = client.execute("auth", login.name, login.password)
    return asked.addCallbacks(lambda reply: client, failed)


class Client(Protocol):
    """A connection to the daemon, as a program sees it.

    ``on_message`` is called with each :class:`~memdbd.client.wire.Message` that :meth:`subscribe`
    has no callback for: on another channel, or for a pattern. ``on_push`` is called with each
    :class:`~memdbd.client.wire.Push`: what MONITOR shows, and what CLIENT TRACKING invalidates.
    Both may be set at any time.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        on_message: Callable[[Message], object] | None = None,
        on_push: Callable[[Push], object] | None = None,
    ) -> None:
        self._clock = clock
        self.on_message = on_message
        self.on_push = on_push
        self._splitter = LineSplitter()
        self._waiting: deque[Deferred[Reply]] = deque()
        self._callbacks: dict[bytes, list[Callback]] = {}
        self._lost: BaseException | None = None  # set as soon as no more replies will be taken
        self._closing: IDelayedCall | None = None
        self._when_lost: list[Deferred[BaseException]] = []
        self._gone = False
        self._has_asked = self._has_heard = self._is_plain = False

    # -- what a program calls --

    def execute(self, *words: Word, timeout: float | None = None) -> Deferred[Reply]:
        """Run one command, such as ``execute("set", "key", b"value")``.

        The Deferred fires with the :class:`~memdbd.client.wire.Reply`, a dict; or fails with
        :exc:`~memdbd.errors.CommandError` for an error reply, with
        :exc:`twisted.internet.defer.TimeoutError` after ``timeout`` seconds, or with the reason
        the connection was lost. Many may be under way at once. Cancelling one does not take back
        the request: only its reply is dropped when it comes, and with it what a blocking command
        has popped. :meth:`abort` is what ends the waiting of such a one.
        """
        return self._send(encode_request(words), timeout)

    def send_line(self, line: bytes, timeout: float | None = None) -> Deferred[Reply]:
        """Run the command in a line as a person types it; otherwise as :meth:`execute`.

        Raises ValueError for a line that gets no reply of its own: a blank one, or two.
        """
        if not line.strip() or b"\n" in line:
            raise ValueError(f"not one line with a command: {line!r}")
        return self._send(_harmless(line) + b"\n", timeout)

    def subscribe(
        self, channel: str | bytes, callback: Callback, timeout: float | None = None
    ) -> Deferred[Reply]:
        """Have ``callback(channel, message)``, both bytes, called for what is published.

        The Deferred fires when the server has agreed, before any message. A callback that raises
        is logged. A further subscription of a channel adds its callback to the earlier ones. If
        the Deferred is cancelled the callback will not be called, but the server may still send:
        :meth:`unsubscribe` ends that.
        """
        name = as_bytes(channel)

        def subscribed(reply: Reply) -> Reply:
            self._callbacks.setdefault(name, []).append(callback)
            return reply

        return self.execute("subscribe", name, timeout=timeout).addCallback(subscribed)

    def unsubscribe(self, channel: str | bytes, timeout: float | None = None) -> Deferred[Reply]:
        """End what :meth:`subscribe` began for a channel, with all its callbacks.

        They may still be called until the Deferred fires.
        """
        name = as_bytes(channel)

        def unsubscribed(outcome: Reply | Failure) -> Reply | Failure:
            self._callbacks.pop(name, None)
            return outcome

        asked = self.execute("unsubscribe", name, timeout=timeout)
        return cast("Deferred[Reply]", asked.addBoth(unsubscribed))

    def disconnect(self) -> Deferred[None]:
        """Close the connection once what was written is sent; fires when it is closed.

        A peer that does not read is waited for :data:`CLOSING_GRACE` seconds. Requests without a
        reply fail with :exc:`twisted.internet.error.ConnectionDone`.
        """
        if self._gone:
            return succeed(None)
        if self._closing is None:
            self._closing = self._clock.callLater(CLOSING_GRACE, self._transport.abortConnection)
            self._transport.loseConnection()
        closed = self.when_disconnected()
        return closed.addCallback(lambda reason: None)

    def abort(self) -> None:
        """Close the connection at once, so that the server forgets commands that still wait."""
        if not self._gone:
            self._transport.abortConnection()

    def when_disconnected(self) -> Deferred[BaseException]:
        """Fires with the reason, an exception as its result, when the connection is lost."""
        if self._gone:
            assert self._lost is not None  # noqa: S101
            return succeed(self._lost)
        told: Deferred[BaseException] = Deferred()
        self._when_lost.append(told)
        return told

    def pause(self) -> None:
        """Take no more replies and messages until :meth:`resume`: the server has to wait."""
        if not self._gone:
            self._transport.pauseProducing()

    def resume(self) -> None:
        """Take replies and messages again."""
        if not self._gone:
            self._transport.resumeProducing()

    @property
    def is_ignored(self) -> bool:
        """Whether something was asked over plain TCP, and not a byte has come: as from a server
        that expects TLS."""
        return self._has_asked and not self._has_heard and self._is_plain

    # -- what Twisted calls --

    @property
    def _transport(self) -> _Transport:
        return cast(_Transport, self.transport)

    def connectionMade(self) -> None:
        self._is_plain = keep_awake(self.transport)

    def dataReceived(self, data: bytes) -> None:
        if self._lost is not None:
            return  # what comes behind garbage belongs to no request
        self._has_heard = True
        try:
            for line in self._splitter.feed(data):
                self._heard(decode_line(line))
        except ProtocolError as problem:
            self._refuse(problem)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._gone = True
        if self._lost is None and is_tls(self._splitter.finish()):
            self._lost = SpeaksTLS()
        lost = self._lost = self._lost or reason.value or error.ConnectionLost()
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        waiting, self._waiting = self._waiting, deque()
        for deferred in waiting:
            deferred.errback(lost)
        told, self._when_lost = self._when_lost, []
        for when_lost in told:
            when_lost.callback(lost)

    # -- in between --

    def _send(self, line: bytes, timeout: float | None) -> Deferred[Reply]:
        if self._lost is not None:
            return fail(self._lost)
        if self._closing is not None:
            return fail(error.ConnectionDone("the connection was closed by disconnect()"))
        asked: Deferred[Reply] = Deferred()
        self._waiting.append(asked)
        self._has_asked = True
        self._transport.write(line)
        if timeout is not None:
            asked.addTimeout(timeout, self._clock)
        return asked

    def _heard(self, event: Reply | ErrorReply | Message | Push) -> None:
        if isinstance(event, Message):
            self._deliver(event)
        elif isinstance(event, Push):
            self._pushed(event)
        elif self._waiting:
            asked = self._waiting.popleft()
            if isinstance(event, ErrorReply):
                asked.errback(event)
            else:
                asked.callback(event)
        elif isinstance(event, ErrorReply):
            # The server's last word, such as that it has too many clients.
            raise ProtocolError(str(event))
        else:
            raise ProtocolError("the server sent a reply that nothing was asked for")

    def _deliver(self, message: Message) -> None:
        callbacks = None if message.pattern else self._callbacks.get(message.channel)
        try:
            if callbacks is None:
                if self.on_message is not None:
                    self.on_message(message)
                return
            for callback in tuple(callbacks):
                try:
                    callback(message.channel, message.message)
                except Exception:
                    self._log.failure(
                        "the callback {callback} failed for a message on {channel!r}",
                        callback=callback,
                        channel=message.channel,
                    )
        except Exception:
            self._log.failure("on_message failed for {channel!r}", channel=message.channel)

    def _pushed(self, push: Push) -> None:
        try:
            if self.on_push is not None:
                self.on_push(push)
        except Exception:
            self._log.failure("on_push failed for {push!r}", push=push)

    def _refuse(self, problem: ProtocolError) -> None:
        """What the peer says cannot be understood, so no later reply can be matched either."""
        if self._lost is None:
            self._lost = problem
            self._transport.abortConnection()


def keep_awake(transport: object) -> bool:
    """Have small requests sent at once, and notice a peer that is gone; gives whether it is plain
    TCP.

    Nagle's algorithm would hold back a request until the last reply is acknowledged, and a
    subscriber that only listens would never notice a server that is gone.
    """
    tcp = ITCPTransport(transport, None)
    if tcp is None:
        return False
    # TLS says that it is TCP, over a UNIX socket too, and has only what that has.
    with suppress(AttributeError):
        tcp.setTcpNoDelay(True)
        tcp.setTcpKeepAlive(True)
    return not ISSLTransport.providedBy(tcp)


def too_late(outcome: object, timeout: float) -> NoReturn:
    """What becomes of a connection that is not there in time."""
    # Endpoints have an error of their own for being cancelled, which addTimeout does not know.
    if isinstance(outcome, Failure) and outcome.check(HandshakeCancelled):
        raise HandshakeTimeout(timeout, "the TLS handshake")
    raise TimeoutError(timeout, "connecting")


def _harmless(line: bytes) -> bytes:
    """A typed line that the server takes for a request and nothing else, so that it has a reply."""
    if line.startswith(b"*"):
        # As the first byte of a connection it would mean that a Redis client speaks.
        return b" " + line
    if line.lstrip().startswith(b"\xff"):
        # A telnet client's own bytes, which the server skips, unless they are quoted.
        return encode_request([line]).rstrip(b"\n")
    return line
