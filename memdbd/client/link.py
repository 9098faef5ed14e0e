"""A connection that comes back: :class:`Link`, for whoever sits in front of it.

Strategy: connect; when that fails or the connection is lost, say so and try again after a while,
each time a longer one. The user, the database and the subscriptions of a connection are those of
the next. Requests are never sent twice: a request whose reply did not come may have been carried
out. Where a reply is waited for no more, the connection is dropped and made again, so that the
server forgets a command that still waits there, and would pop what nobody gets.

What time alone does not mend (a certificate that is not trusted, a password that is refused, a
server that sends away whoever does not log in) is not tried again and again: the link sleeps, until
the next command is to be sent.

Not Twisted's ClientService: a person wants to know why it failed and when the next attempt is,
which that one tells nobody.

May import: protocol, login, standing, tlsfaults, typed, wire, Twisted,
service_identity.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

from service_identity import CertificateError, VerificationError
from twisted.application.internet import backoffPolicy
from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure

from memdbd.client.exits import ERROR_REPLY, NO_CONNECTION
from memdbd.client.login import Login, LoginRefused, is_login_wanted, logged_in
from memdbd.client.protocol import Client, connect
from memdbd.client.standing import Standing
from memdbd.client.tlsfaults import HandshakeTimeout, TLSFault
from memdbd.client.typed import words_of
from memdbd.client.wire import ErrorReply, Message, Push, Reply, SpeaksTLS
from memdbd.errors import MemDBError

# 1, 2, 4, … 30 s. One person's client needs no jitter to spare the server.
RETRY = backoffPolicy(initialDelay=1.0, maxDelay=30.0, factor=2.0, jitter=lambda: 0.0)


class NotConnectedError(MemDBError):
    """There is no connection now, so the request was not sent."""


class Peer(Protocol):
    """A client, as far as it matters here."""

    @property
    def is_ignored(self) -> bool: ...


def why(problem: BaseException | None, client: Peer | None = None) -> str:
    """The reason of a failed or lost connection, as part of a sentence; ``client`` is whose
    connection it was, if there was one."""
    if isinstance(problem, TLSFault):
        return problem.told
    if isinstance(problem, SpeaksTLS):
        return f"{problem}: {SpeaksTLS.hint}"
    if isinstance(problem, HandshakeTimeout):
        return "no answer to the TLS handshake in time: is it TLS that the server speaks?"
    if isinstance(problem, CancelledError):
        return "given up"
    if client is not None and client.is_ignored and isinstance(problem, error.ConnectionClosed):
        return "closed by the server without a word (if it speaks TLS at this port: --tls)"
    if isinstance(problem, TimeoutError):
        return "no answer in time"
    if isinstance(problem, error.ConnectionDone):
        return "closed by the server"
    if isinstance(problem, (VerificationError, CertificateError)):  # of Twisted's tls: endpoints
        return "the server's certificate is genuine, but not for the host of the endpoint"
    if "certificate verify failed" in str(problem):
        return (
            "the server's certificate is not trusted; to trust it, add :trustRoots=DIR to the"
            " endpoint, DIR a directory with only .pem certificates"
        )
    return str(problem).rstrip(".") or type(problem).__name__


def status_of(problem: BaseException | None) -> int:
    """The exit status where this has kept us from connecting."""
    return ERROR_REPLY if isinstance(problem, LoginRefused) else NO_CONNECTION


class Link:
    """Keeps one connection to ``endpoint``, which is called ``name`` in what it tells.

    ``tell(sentence)`` is called when the connection is lost, cannot be made or is back;
    ``on_message`` for each message, ``on_push`` for what else comes unasked. ``standing`` is what
    the connection has, or the next will have: at first, the user of ``login``. ``timeout``: seconds
    for a connection attempt, None for the endpoint's own.
    """

    def __init__(
        self,
        clock: IReactorTime,
        endpoint: IStreamClientEndpoint,
        name: str,
        *,
        tell: Callable[[str], object],
        on_message: Callable[[Message], object],
        on_push: Callable[[Push], object],
        login: Login | None = None,
        timeout: float | None = None,
    ) -> None:
        self._clock = clock
        self._endpoint = endpoint
        self.name = name
        self._tell = tell
        self._on_message = on_message
        self._on_push = on_push
        self._timeout = timeout
        self._client: Client | None = None
        self._attempt: Deferred[Client] | None = None
        self._retry: IDelayedCall | None = None
        self._failures = 0
        self._stopped = False
        self._sleeps = False
        # Of this connection: somebody has to log in first; nothing has been answered yet.
        self._is_strange = False
        self._is_unused = True
        self._unused = 0  # connections in a row that were lost before anything was answered
        self.standing = Standing(login)

    def start(self) -> Deferred[None]:
        """Connect; fires when the first attempt has succeeded or failed, which is told. Fails with
        LoginRefused, which is not."""
        started: Deferred[None] = self._connect(is_first=True)
        return started

    def stop(self) -> Deferred[None]:
        """Disconnect for good; fires when that is done."""
        self._stopped = True
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._attempt is not None:
            self._attempt.cancel()
        return succeed(None) if self._client is None else self._client.disconnect()

    def send_line(self, line: bytes, timeout: float | None = None) -> Deferred[Reply]:
        """:meth:`Client.send_line`; fails with NotConnectedError while there is no connection.

        Cancelling, and a time-out, drops the connection; it fires when the next was tried.
        """
        if self._sleeps:
            woken = self._connect()
            return cast("Deferred[Reply]", woken.addCallback(lambda _: self._send(line, timeout)))
        return self._send(line, timeout)

    def _send(self, line: bytes, timeout: float | None) -> Deferred[Reply]:
        if self._client is None:
            return fail(
                NotConnectedError(f"Not connected to {self.name}: the command was not sent")
            )
        words = words_of(line)
        asked = self._client.send_line(line, timeout)
        return asked.addCallbacks(
            self._replied, self._refused, callbackArgs=(words,), errbackArgs=(words,)
        )

    def _connect(self, is_first: bool = False) -> Deferred[None]:
        self._retry = None
        self._sleeps = False
        self._attempt = connect(
            self._clock,
            self._endpoint,
            **logged_in(self.standing.login),
            on_message=self._on_message,
            on_push=self._on_push,
            timeout=self._timeout,
        )
        return self._attempt.addCallbacks(self._connected, self._failed, errbackArgs=(is_first,))

    def _connected(self, client: Client) -> None:
        self._attempt = None
        self._client = client
        self._is_strange = False
        self._is_unused = self.standing.login is None and not any(self.standing.requests())
        client.when_disconnected().addCallback(self._lost, client)
        if self._failures:
            self._tell(f"Connected to {self.name}")
        self._failures = 0
        for command, arguments in self.standing.requests():
            client.execute(command, *arguments).addErrback(self._not_again, command)

    def _not_again(self, failure: Failure, command: str) -> None:
        if command == "select":
            self.standing.database = 0
        if self._client is not None:  # otherwise the loss itself is told
            self._tell(f"Could not {command} again: {failure.getErrorMessage()}")

    def _failed(self, failure: Failure, is_first: bool) -> Failure | None:
        self._attempt = None
        problem = failure.value
        told = f"Connecting to {self.name} failed: {why(problem)}"
        if isinstance(problem, LoginRefused):
            if is_first:
                return failure
            if problem.lasts:
                # It would not be let in the next time either, and perhaps locked out.
                self.standing.login = None
                self._sleep(told, " without a login")
                return None
        elif isinstance(problem, TLSFault) and problem.lasts:
            self._sleep(told)
            return None
        self._again(told)
        return None

    def _lost(self, reason: BaseException, client: Client) -> None:
        if client is not self._client:
            return  # dropped, and replaced
        self._client = None
        self.standing.lost()
        told = f"Connection to {self.name} lost: {why(reason, client)}"
        self._unused = self._unused + 1 if self._is_unused else 0
        if self._is_strange or self._unused > 1 or (isinstance(reason, TLSFault) and reason.lasts):
            self._sleep(told)
        else:
            self._again(told)

    def _again(self, what_happened: str) -> None:
        if self._stopped:
            return
        delay = RETRY(self._failures)
        self._failures += 1
        self._retry = self._clock.callLater(delay, self._connect)
        self._tell(f"{what_happened}, trying again in {delay:g} s")

    def _sleep(self, what_happened: str, how: str = "") -> None:
        if self._stopped:
            return
        self._sleeps = True
        self._failures = self._unused = 0
        self._tell(f"{what_happened}. The next command connects again{how}")

    def _replied(self, reply: Reply, words: list[bytes]) -> Reply:
        self._is_unused = self._is_strange = False
        self.standing.note(words, reply)
        return reply

    def _refused(self, failure: Failure, words: list[bytes]) -> Failure | Deferred[Reply]:
        problem = failure.value
        if isinstance(problem, ErrorReply):
            self._is_unused = False
            self._is_strange = self._is_strange or is_login_wanted(str(problem))
            self.standing.note(words, problem)
        elif isinstance(problem, (CancelledError, TimeoutError)):
            return cast("Deferred[Reply]", self._renewed().addCallback(lambda _: failure))
        return failure

    def _renewed(self) -> Deferred[None]:
        """Drop the connection and make it again; fires when that was tried."""
        client, self._client = self._client, None
        if client is None or self._stopped:
            return succeed(None)
        self.standing.lost()
        client.abort()
        return self._connect()
