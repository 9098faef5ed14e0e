"""A connection that speaks RESP: to memdbd, and to redis-server and its like as well.

Strategy: many commands are sent at once, and their replies are one Deferred. Only what every Redis
has is used, so that data can come from there and go there.

May import: login, protocol (for what every connection has), tlsfaults, wire, errors, Twisted,
hiredis.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

import hiredis
from twisted.internet.defer import Deferred, TimeoutError, fail
from twisted.internet.endpoints import connectProtocol
from twisted.internet.interfaces import (
    IDelayedCall,
    IReactorTime,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from memdbd.client.login import Login, LoginRefused
from memdbd.client.protocol import keep_awake, too_late
from memdbd.client.tlsfaults import TLSFault
from memdbd.client.wire import SpeaksTLS, is_tls
from memdbd.errors import MemDBError

Words = Sequence[bytes | str | int]
ErrorReply = hiredis.ReplyError

_FULL = "ERR max number of clients"  # said to a connection, which is then closed
# Whoever comes need not log in, so that the password is none of this server's.
_OPEN = "ERR AUTH <password> called without any password"
_NO_USERS = "ERR wrong number of arguments for 'auth'"  # a Redis before 6


class Refused(MemDBError):
    """The server has answered with an error."""


class NoServer(Exception):  # as Twisted's ConnectionLost
    """The connection is of no use: what answers speaks no RESP, or it has said why it closes.

    As a lost connection it is no MemDBError: those are what a server answers.
    """


class Batch:
    """Commands under way, and the replies that have come."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.replies: list[Any] = []
        self.done: Deferred[list[Any]] = Deferred()


class RespClient(Protocol):
    """``timeout``: seconds without a byte after which the server is given up; None for no limit."""

    def __init__(self, clock: IReactorTime, timeout: float | None = None) -> None:
        self._clock = clock
        self._timeout = timeout
        self._reader = hiredis.Reader()
        self._batches: deque[Batch] = deque()
        self._watch: IDelayedCall | None = None
        self._lost: BaseException | None = None
        self._complaint: ErrorReply | None = None  # the last thing heard, if it was an error
        self._has_asked = self._has_heard = self._is_plain = False

    def ask_all(self, commands: Sequence[Words]) -> Deferred[list[Any]]:
        """Send all commands. Fires with all replies, an error as an :class:`ErrorReply` among
        them; fails when the connection is lost."""
        if self._lost is not None:
            return fail(self._lost)
        batch = Batch(len(commands))
        if not commands:
            batch.done.callback([])
            return batch.done
        self._batches.append(batch)
        self._has_asked = True
        cast(ITransport, self.transport).write(b"".join(map(_packed, commands)))
        self._wait()
        return batch.done

    async def ask(self, *words: bytes | str | int) -> Any:
        """The reply to one command; raises Refused for an error."""
        (reply,) = await self.ask_all([words])
        if isinstance(reply, ErrorReply):
            raise Refused(str(reply))
        return reply

    def close(self) -> None:
        """End the connection."""
        if self._lost is None:
            cast(ITransport, self.transport).loseConnection()

    @property
    def is_ignored(self) -> bool:
        """Whether something was asked over plain TCP, and not a byte has come: as from a server
        that expects TLS."""
        return self._has_asked and not self._has_heard and self._is_plain

    def connectionMade(self) -> None:
        self._is_plain = keep_awake(self.transport)

    def dataReceived(self, data: bytes) -> None:
        if self._lost is not None:
            return
        if not self._has_heard and is_tls(data):
            self._give_up(NoServer(f"{SpeaksTLS()}: {SpeaksTLS.hint}"))
            return
        self._has_heard = True
        self._reader.feed(data)
        try:
            while self._batches and (reply := self._reader.gets()) is not False:
                self._heard(reply)
                if self._lost is not None:
                    return
        except hiredis.ProtocolError as error:
            self._give_up(NoServer(f"what answers is no memdbd and no Redis: {error}"))
        self._wait()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        fault = reason.value
        if isinstance(fault, TLSFault):
            fault = NoServer(fault.told)
        self._lost = self._lost or self._farewell() or fault
        self._wait()
        batches, self._batches = self._batches, deque()
        for batch in batches:
            batch.done.errback(self._lost)

    def _farewell(self) -> Exception | None:
        """What the server has said last before it closed, such as that it has too many clients."""
        said: Any = self._complaint
        with suppress(hiredis.ProtocolError):
            if not self._batches:
                said = self._reader.gets()  # nobody had asked
        if not isinstance(said, ErrorReply):
            return None
        return NoServer(f"{said}; then the server closed the connection")

    def _heard(self, reply: Any) -> None:
        self._complaint = reply if isinstance(reply, ErrorReply) else None
        if str(self._complaint).startswith(_FULL):  # whatever was asked, it is no answer
            self._give_up(NoServer(str(reply)))
            return
        batch = self._batches[0]
        batch.replies.append(reply)
        batch.left -= 1
        if not batch.left:
            self._batches.popleft()
            self._complaint = None  # it was an answer
            batch.done.callback(batch.replies)

    def _wait(self) -> None:
        """Begin the time for the next bytes anew, if any are waited for."""
        if self._watch is not None and self._watch.active():
            self._watch.cancel()
        self._watch = None
        if self._batches and self._timeout is not None and self._lost is None:
            self._watch = self._clock.callLater(self._timeout, self._too_late)

    def _too_late(self) -> None:
        self._give_up(TimeoutError(self._timeout, "a reply"))

    def _give_up(self, problem: Exception) -> None:
        self._lost = problem
        cast(Any, self.transport).abortConnection()


def executed(replies: Sequence[Any]) -> list[Any] | None:
    """The replies inside a transaction, from those to MULTI, its commands and EXEC; None where a
    watched key was changed.

    Raises Refused with the first error before EXEC, which is the reason that EXEC has for its own.
    Errors of commands that were carried out are left among the replies.
    """
    for reply in replies:
        if isinstance(reply, ErrorReply):
            raise Refused(str(reply))
    done: list[Any] | None = replies[-1]
    return done


def _packed(words: Words) -> bytes:
    packed: bytes = hiredis.pack_command(tuple(words))  # type: ignore[arg-type] # of any length
    return packed


async def connect(
    reactor: Any,
    endpoint: IStreamClientEndpoint,
    *,
    timeout: float | None = None,
    login: Login | None = None,
) -> RespClient:
    """Connect, and log in. Raises LoginRefused, and what no connection does."""
    client = RespClient(reactor, timeout)
    connecting: Deferred[RespClient] = connectProtocol(endpoint, client)
    if timeout is not None:
        connecting.addTimeout(timeout, reactor, too_late)
    await connecting
    if login is not None:
        # Without a name, as a Redis before 6 knows no users.
        words = [] if login.user is None else [login.user]
        (reply,) = await client.ask_all([("AUTH", *words, login.password)])
        if isinstance(reply, ErrorReply) and not (login.user is None and _is_open(reply)):
            client.close()
            reason = "it has no users" if str(reply).startswith(_NO_USERS) else str(reply)
            raise LoginRefused(login, reason)
    return client


def _is_open(reply: ErrorReply) -> bool:
    return str(reply).startswith(_OPEN)
