"""A connection that comes back: :class:`Link`, for whoever sits in front of it.

Strategy: connect; when that fails or the connection is lost, say so and try again after a while,
each time a longer one. The database and the subscriptions of a connection are those of the next.
Requests are never sent twice: a request whose reply did not come may have been carried out. Where a
reply is waited for no more, the connection is dropped and made again, so that the server forgets a
command that still waits there, and would pop what nobody gets.

Not Twisted's ClientService: a person wants to know why it failed and when the next attempt is,
which that one tells nobody.

May import: protocol, standing, typed, wire, Twisted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from twisted.application.internet import backoffPolicy
from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure

from memdbd.client.protocol import Client, connect
from memdbd.client.standing import Standing
from memdbd.client.typed import words_of
from memdbd.client.wire import ErrorReply, Message, Push, Reply
from memdbd.errors import MemDBError

# 1, 2, 4, … 30 s. One person's client needs no jitter to spare the server.
RETRY = backoffPolicy(initialDelay=1.0, maxDelay=30.0, factor=2.0, jitter=lambda: 0.0)


class NotConnectedError(MemDBError):
    """There is no connection now, so the request was not sent."""


def why(problem: BaseException | None) -> str:
    """The reason of a failed or lost connection, as part of a sentence."""
    if isinstance(problem, TimeoutError):
        return "no answer in time"
    if isinstance(problem, error.ConnectionDone):
        return "closed by the server"
    if "certificate verify failed" in str(problem):
        return (
            "the server's certificate is not trusted; to trust it, add :trustRoots=DIR to the"
            " endpoint, DIR a directory with only .pem certificates"
        )
    return str(problem).rstrip(".") or type(problem).__name__


class Link:
    """Keeps one connection to ``endpoint``, which is called ``name`` in what it tells.

    ``tell(sentence)`` is called when the connection is lost, cannot be made or is back;
    ``on_message`` for each message, ``on_push`` for what else comes unasked. ``standing`` is what
    the connection has, or the next will have. ``timeout``: seconds for a connection attempt, None
    for the endpoint's own.
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
        timeout: float | None = None,
    ) -> None:
        self._clock = clock
        self._endpoint = endpoint
        self._name = name
        self._tell = tell
        self._on_message = on_message
        self._on_push = on_push
        self._timeout = timeout
        self._client: Client | None = None
        self._attempt: Deferred[Client] | None = None
        self._retry: IDelayedCall | None = None
        self._failures = 0
        self._stopped = False
        self.standing = Standing()

    def start(self) -> Deferred[None]:
        """Connect; fires when the first attempt has succeeded or failed."""
        return self._connect()

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
        if self._client is None:
            return fail(
                NotConnectedError(f"Not connected to {self._name}: the command was not sent")
            )
        words = words_of(line)
        asked = self._client.send_line(line, timeout)
        return asked.addCallbacks(
            self._replied, self._refused, callbackArgs=(words,), errbackArgs=(words,)
        )

    def _connect(self) -> Deferred[None]:
        self._retry = None
        self._attempt = connect(
            self._clock,
            self._endpoint,
            on_message=self._on_message,
            on_push=self._on_push,
            timeout=self._timeout,
        )
        return self._attempt.addCallbacks(self._connected, self._failed)

    def _connected(self, client: Client) -> None:
        self._attempt = None
        self._client = client
        client.when_disconnected().addCallback(self._lost, client)
        if self._failures:
            self._tell(f"Connected to {self._name}")
        self._failures = 0
        for command, arguments in self.standing.requests():
            client.execute(command, *arguments).addErrback(self._not_again, command)

    def _not_again(self, failure: Failure, command: str) -> None:
        if command == "select":
            self.standing.database = 0
        if self._client is not None:  # otherwise the loss itself is told
            self._tell(f"Could not {command} again: {failure.getErrorMessage()}")

    def _failed(self, failure: Failure) -> None:
        self._attempt = None
        self._again(f"Connecting to {self._name} failed: {why(failure.value)}")

    def _lost(self, reason: BaseException, client: Client) -> None:
        if client is not self._client:
            return  # dropped, and replaced
        self._client = None
        self.standing.lost()
        self._again(f"Connection to {self._name} lost: {why(reason)}")

    def _again(self, what_happened: str) -> None:
        if self._stopped:
            return
        delay = RETRY(self._failures)
        self._failures += 1
        self._retry = self._clock.callLater(delay, self._connect)
        self._tell(f"{what_happened}, trying again in {delay:g} s")

    def _replied(self, reply: Reply, words: list[bytes]) -> Reply:
        self.standing.note(words, reply)
        return reply

    def _refused(self, failure: Failure, words: list[bytes]) -> Failure | Deferred[Reply]:
        problem = failure.value
        if isinstance(problem, ErrorReply):
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
