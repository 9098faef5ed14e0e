"""A connection that comes back: :class:`Link`, for whoever sits in front of it.

Strategy: connect; when that fails or the connection is lost, say so and try again after a while,
each time a longer one. What was subscribed is taken from the replies, so it does not matter how it
was asked for, and is asked for again on the new connection. Requests are never sent twice: a
request whose reply did not come may have been carried out.

Not Twisted's ClientService: a person wants to know why it failed and when the next attempt is,
which that one tells nobody.

May import: protocol, wire, Twisted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.internet import backoffPolicy
from twisted.internet import error
from twisted.internet.defer import Deferred, TimeoutError, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure

from memdbd.client.protocol import Client, connect
from memdbd.client.wire import Message, Reply
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
    ``on_message`` for each message. ``timeout``: seconds for a connection attempt, None for the
    endpoint's own.
    """

    def __init__(
        self,
        clock: IReactorTime,
        endpoint: IStreamClientEndpoint,
        name: str,
        *,
        tell: Callable[[str], object],
        on_message: Callable[[Message], object],
        timeout: float | None = None,
    ) -> None:
        self._clock = clock
        self._endpoint = endpoint
        self._name = name
        self._tell = tell
        self._on_message = on_message
        self._timeout = timeout
        self._client: Client | None = None
        self._attempt: Deferred[Client] | None = None
        self._retry: IDelayedCall | None = None
        self._failures = 0
        self._stopped = False
        # A dict for its order: channels are subscribed again as they were at first.
        self.channels: dict[bytes, None] = {}

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
        """:meth:`Client.send_line`; fails with NotConnectedError while there is no connection."""
        if self._client is None:
            return fail(
                NotConnectedError(f"Not connected to {self._name}: the command was not sent")
            )
        return self._client.send_line(line, timeout).addCallback(self._note)

    def _connect(self) -> Deferred[None]:
        self._retry = None
        self._attempt = connect(
            self._clock, self._endpoint, on_message=self._on_message, timeout=self._timeout
        )
        return self._attempt.addCallbacks(self._connected, self._failed)

    def _connected(self, client: Client) -> None:
        self._attempt = None
        self._client = client
        client.when_disconnected().addCallback(self._lost)
        if self._failures:
            self._tell(f"Connected to {self._name}")
        self._failures = 0
        if self.channels:
            client.execute("subscribe", *self.channels).addErrback(self._not_subscribed)

    def _not_subscribed(self, failure: Failure) -> None:
        if self._client is not None:  # otherwise the loss itself is told
            self._tell(f"Could not subscribe again: {failure.getErrorMessage()}")

    def _failed(self, failure: Failure) -> None:
        self._attempt = None
        self._again(f"Connecting to {self._name} failed: {why(failure.value)}")

    def _lost(self, reason: BaseException) -> None:
        self._client = None
        self._again(f"Connection to {self._name} lost: {why(reason)}")

    def _again(self, what_happened: str) -> None:
        if self._stopped:
            return
        delay = RETRY(self._failures)
        self._failures += 1
        self._retry = self._clock.callLater(delay, self._connect)
        self._tell(f"{what_happened}, trying again in {delay:g} s")

    def _note(self, reply: Reply) -> Reply:
        """Remember what the reply says about subscriptions."""
        named = reply.get("channel")
        channels: list[Any] = named if isinstance(named, list) else [named]
        if reply.get("action") == "subscribe":
            self.channels.update(dict.fromkeys(channels))
        elif reply.get("action") == "unsubscribe":
            for channel in channels:
                self.channels.pop(channel, None)
        return reply
