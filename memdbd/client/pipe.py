"""Lines from a pipe: each is run, each reply printed as the JSON it is, in order.

Strategy: keep a bounded number of requests under way, so that a large input is neither sent one
line a round trip nor gathered in the memory of the server. Whoever is slow holds back all before:
a slow server leaves the window full, and standard input is not read; a slow reader of the output
makes Twisted pause us, and we stop reading from the server.

May import: protocol, link (for its words), typed, exits, wire, Twisted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol as Shape
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableProtocol,
    IPushProducer,
    IReactorTime,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from memdbd.client.exits import ERROR_REPLY, NO_CONNECTION, OK, OUTPUT
from memdbd.client.link import why
from memdbd.client.protocol import Client
from memdbd.client.typed import ends_session, line_waits
from memdbd.client.wire import ErrorReply, LineSplitter, Message, Push, Reply
from memdbd.errors import ProtocolError

# Requests under way at most, and their bytes (one more may start below the bound).
WINDOW = 1000
WINDOW_BYTES = 1024 * 1024
# A line that is longer is no input for any server; it only keeps /dev/zero out of the memory.
MAX_LINE = 64 * 1024 * 1024


class _Stdio(Shape):
    """What is used of Twisted's StandardIO."""

    def write(self, data: bytes) -> None: ...
    def loseConnection(self) -> None: ...
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def registerProducer(self, producer: object, streaming: bool) -> None: ...
    def unregisterProducer(self) -> None: ...


@implementer(IHalfCloseableProtocol, IPushProducer)
class Pipe(Protocol):
    """The protocol on standard input and output, in front of a connected ``client``.

    ``done(status)`` is called once, with everything printed. ``complain(sentence)`` is for
    standard error. ``timeout``: seconds without any reply after which the server is given up,
    if the next is not of a command that waits itself.
    """

    def __init__(
        self,
        clock: IReactorTime,
        client: Client,
        *,
        done: Callable[[int], object],
        complain: Callable[[str], object],
        timeout: float | None = None,
    ) -> None:
        self._clock = clock
        self._client = client
        self._done = done
        self._complain = complain
        self._timeout = timeout
        self._splitter = LineSplitter(MAX_LINE)
        self._todo: deque[bytes] = deque()
        # Of each request whether it may let us wait: replies come in their order.
        self._under_way: deque[bool] = deque()
        self._bytes_under_way = 0
        self._status = OK
        self._ended = False  # no more lines will be run than those in _todo
        self._blocked = False  # the reader of our output is slow
        self._watch: IDelayedCall | None = None
        self._finished = False
        self._closed = False

    # -- standard input --

    def connectionMade(self) -> None:
        self._client.on_message = self._client.on_push = self._came
        self._stdio.registerProducer(self, True)
        self._client.when_disconnected().addCallback(self._lost)

    def dataReceived(self, data: bytes) -> None:
        if self._ended:
            return  # it came behind quit
        try:
            self._todo.extend(self._splitter.feed(data))
        except ProtocolError as problem:
            self._give_up(ERROR_REPLY, f"Cannot run standard input: {problem}")
        self._pump()

    def readConnectionLost(self) -> None:
        if not self._ended:
            self._todo.append(self._splitter.finish())
            self._ended = True
        self._pump()

    # -- standard output --

    def pauseProducing(self) -> None:
        self._blocked = True
        self._client.pause()
        self._stdio.pauseProducing()
        self._watch_for_reply()

    def resumeProducing(self) -> None:
        self._blocked = False
        self._client.resume()
        self._watch_for_reply()
        self._pump()

    def stopProducing(self) -> None:
        self._finish(OUTPUT)

    def writeConnectionLost(self) -> None:
        self._closed = True
        self._finish(OUTPUT)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._closed = True
        if self._finished:
            # The last of what was printed may still have failed to be written.
            self._done(self._status if isinstance(reason.value, ConnectionDone) else OUTPUT)
        else:
            self._finish(OUTPUT)

    # -- in between --

    @property
    def _stdio(self) -> _Stdio:
        return cast(_Stdio, self.transport)

    def _pump(self) -> None:
        """Run lines while there is room for them, then read more or finish."""
        while self._todo and self._has_room():
            line = self._todo.popleft()
            if not line.strip():
                continue
            self._under_way.append(line_waits(line))
            self._bytes_under_way += len(line)
            if ends_session(line):
                self._ended = True
                self._todo.clear()
            asked: Deferred[Reply] = self._client.send_line(line)
            asked.addCallbacks(
                self._replied, self._failed, callbackArgs=(len(line),), errbackArgs=(len(line),)
            )
        if self._finished:
            return
        if self._watch is None:
            self._watch_for_reply()
        if self._ended and not self._todo and not self._under_way:
            self._finish(self._status)
        elif self._ended or self._todo or self._blocked:
            self._stdio.pauseProducing()
        else:
            self._stdio.resumeProducing()

    def _has_room(self) -> bool:
        return (
            len(self._under_way) < WINDOW
            and self._bytes_under_way < WINDOW_BYTES
            and not self._blocked
            and not self._finished
        )

    def _replied(self, reply: Reply, length: int) -> None:
        self._answered(reply.line, length)

    def _failed(self, failure: Failure, length: int) -> None:
        if isinstance(failure.value, ErrorReply):
            self._status = ERROR_REPLY
            self._answered(failure.value.line, length)
        else:
            self._lost(failure.value)

    def _answered(self, line: bytes, length: int) -> None:
        self._under_way.popleft()
        self._bytes_under_way -= length
        self._print(line)
        self._watch_for_reply()
        self._pump()

    def _came(self, unasked: Message | Push) -> None:
        self._print(unasked.line)

    def _print(self, line: bytes) -> None:
        if not self._finished:
            self._stdio.write(line + b"\n")

    def _watch_for_reply(self) -> None:
        """Start the time for the next reply anew; there is none while nobody is waited for."""
        waiting = self._under_way and not (self._under_way[0] or self._blocked or self._finished)
        if self._timeout is None:
            return
        if not waiting:
            if self._watch is not None:
                self._watch.cancel()
                self._watch = None
        elif self._watch is None:
            self._watch = self._clock.callLater(self._timeout, self._too_late)
        else:
            self._watch.reset(self._timeout)

    def _too_late(self) -> None:
        self._watch = None
        self._give_up(NO_CONNECTION, f"No reply within {self._timeout:g} s")

    def _lost(self, reason: BaseException | None) -> None:
        nothing_left = self._ended and not self._todo and not self._under_way
        if not nothing_left:
            self._give_up(NO_CONNECTION, f"Connection lost: {why(reason, self._client)}")

    def _give_up(self, status: int, sentence: str) -> None:
        if not self._finished:
            self._complain(sentence)
        self._finish(status)

    def _finish(self, status: int) -> None:
        """Have what was printed written, then be done."""
        if self._finished:
            return
        self._finished = True
        self._status = status
        self._watch_for_reply()
        self._todo.clear()
        self._client.disconnect()
        if self._closed:
            self._done(status)
        else:
            self._stdio.unregisterProducer()
            self._stdio.loseConnection()
