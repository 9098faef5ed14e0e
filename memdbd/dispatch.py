"""The one choke point of requests: look-up, transaction, engine, statistics.

A batch of requests comes in as an iterator and is answered until it ends or something stops it;
what is left stays in the iterator. Nothing raises through: whatever a handler does, its request
gets one reply, in order.

May import: commands, dialects, engines.interface.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from twisted.logger import Logger

from memdbd.commands.context import Context
from memdbd.commands.spec import Command, Container, Flag, Request
from memdbd.commands.suggest import Suggestions, unknown_to_redis
from memdbd.commands.transactions import Discarded, end_transaction
from memdbd.dialects.interface import Dialect
from memdbd.dialects.resp_replies import Stream
from memdbd.engines.interface import IEngine
from memdbd.errors import CommandError, ProtocolError
from memdbd.replies import NO_REPLY, QUEUED, Pending, Reply
from memdbd.session import Session


class Stop(enum.Enum):
    """Why no more of a batch was answered."""

    EXHAUSTED = enum.auto()  # it is all answered
    SLICE = enum.auto()  # it was enough for one turn
    WAIT = enum.auto()  # the reply of the last request is pending
    STREAM = enum.auto()  # the reply of the last request is to be sent piece by piece
    END = enum.auto()  # the connection is to be closed
    BROKEN = enum.auto()  # the same, and its peer may still be sending what nobody understands


# Words that start a line of what browsers send. A web page can make one send requests here, and
# behind its headers a body of our commands; so the first such line ends the connection (as Redis
# does since 3.2.7).
HTTP = frozenset({b"post", b"host:"})


class Tally:
    """What is counted of one command."""

    __slots__ = ("calls", "seconds")

    def __init__(self) -> None:
        self.calls = 0
        self.seconds = 0.0


# Looks at a request before it is run, and may answer it instead.
Gate = Callable[[Context, Command, Sequence[bytes]], Reply | None]
# Hears of a request that is done: who, what, and the seconds that it took.
Observer = Callable[[Context, Command, Sequence[bytes], float], None]


class Dispatcher:
    """Runs requests on ``engine``; ``commands`` and ``containers`` are the tables, by names in
    lower case.

    ``seconds`` tells the time by which slices end.
    """

    # A connection's share of one reactor turn, so that none holds the loop.
    SLICE_REQUESTS = 256
    SLICE_OUTPUT = 256 * 1024  # bytes of replies
    SLICE_SECONDS = 0.005

    WARN_EVERY = 60.0  # seconds between two lines in the log about HTTP

    _log = Logger()

    def __init__(
        self,
        engine: IEngine,
        commands: Mapping[bytes, Command],
        containers: Mapping[bytes, Container],
        suggestions: Suggestions,
        seconds: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._containers = containers
        self._suggestions = suggestions
        self._seconds = seconds
        self._warned: float | None = None
        every = [*commands.values()]
        for container in containers.values():
            every += container.commands()
        # The two records of a command are counted as one.
        self.tallies: dict[Command, Tally] = {command: Tally() for command in every}
        self._tallies = self.tallies | {each.text: self.tallies[each] for each in every}
        self.errors: dict[str, int] = {}  # replies that say so, by their codes
        self.failures = 0  # exceptions that a handler should not have let out
        # Those who have to do with every request, while they do.
        self.gates: list[Gate] = []
        self.observer: Observer | None = None
        self.observed_from = float("inf")  # seconds that a request takes to be of interest

    def run(
        self,
        context: Context,
        requests: Iterator[Request],
        dialect: Dialect,
        output: list[bytes],
        behind: list[bytes],
    ) -> tuple[Stop, Pending | Stream | None]:
        """Answer requests in ``dialect``, the bytes of each reply appended to ``output``.

        ``behind`` is what the requests themselves brought to this connection, such as a message
        that it sends to itself; it is moved to ``output`` behind the reply. Gives why it stopped,
        and the reply that is waited for or streamed where that is why.
        """
        commands, encode = dialect.commands, dialect.encode
        tallies, execute, session = self._tallies, self._engine.execute, context.session
        seconds = self._seconds
        now = seconds()
        end = now + self.SLICE_SECONDS
        size = 0
        line: Any  # bytes; or a Stream, and then it ends here
        for count, request in enumerate(requests, 1):
            command = tally = None
            if isinstance(request, Exception):
                # Not raised to be caught below: its traceback would know this frame, which knows
                # it, and only the collector would find it.
                line = encode(self._counted(request))
                if isinstance(request, ProtocolError):
                    output.append(line)
                    return Stop.BROKEN, None
            else:
                try:
                    try:
                        command = commands[request[0]]
                    except KeyError:  # in mixed case, or of two words, or there is none
                        command = self._find(context, dialect, request)
                    tally = tallies[command]
                    tally.calls += 1
                    if session.special or self.gates:
                        reply = self._specially(context, command, request)
                    else:
                        reply = execute(context, command, request)
                    if reply.__class__ is Pending:
                        return Stop.WAIT, reply
                    line = encode(reply)
                    if line.__class__ is Stream:
                        return Stop.STREAM, line
                    if command.ends:
                        output.append(line)
                        return Stop.END, None
                except CommandError as error:
                    line = encode(self._refusal(context, error))
                except ProtocolError as error:
                    line = encode(self._counted(error))
                    output.append(line)
                    return Stop.BROKEN, None
                except Exception:
                    line = encode(self._failed(request))
            output.append(line)
            if behind:
                output += behind
                behind.clear()
            size += len(line)
            before, now = now, seconds()
            if tally is not None:
                tally.seconds += now - before
                if now - before >= self.observed_from and self.observer is not None:
                    self.observer(context, command, request, now - before)
            if (
                count >= self.SLICE_REQUESTS
                or size >= self.SLICE_OUTPUT
                # Read once a request: 256 times `keys` would be seconds.
                or now >= end
            ):
                return Stop.SLICE, None
        return Stop.EXHAUSTED, None

    def _find(self, context: Context, dialect: Dialect, request: Sequence[bytes]) -> Command:
        """The command of a request whose first word is none in one of the usual two cases."""
        name = request[0].lower()
        container = self._containers.get(name)
        try:
            if container is not None:
                found = container.find(request)
                return found.text if context.session.resp == 0 else found
            command = dialect.commands.get(name)
            if command is not None:
                return command
            if name in HTTP:
                self._warn_of_http()
                raise ProtocolError("this is not an HTTP server: the connection is closed")
            if context.session.resp == 0:
                raise self._suggestions.unknown(request[0])
            raise unknown_to_redis(request)
        except CommandError:
            context.session.queue_failed = context.session.queue is not None
            raise

    def _specially(self, context: Context, command: Command, request: Sequence[bytes]) -> Reply:
        """Run a request, or do not: inside a transaction, for a session that listens in RESP2,
        under a gate, or without a reply."""
        session = context.session
        mute = session.mute
        if session.queue is not None:
            self._check(session, command, request)
        if session.queue is not None and not command.at_once:
            session.queue.append((command, request))
            reply: Reply = QUEUED
        elif session.is_limited and not command.flags & Flag.LISTENER:
            raise CommandError(
                f"Can't execute '{command.full_name}': only (P|S)SUBSCRIBE / "
                "(P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
            )
        else:
            for gate in self.gates:
                reply = gate(context, command, request)
                if reply is not None:
                    break
            else:
                reply = self._engine.execute(context, command, request)
        return NO_REPLY if self._is_muted(session, mute) else reply

    def _is_muted(self, session: Session, before: str) -> bool:
        """Whether the reply to a request is not wanted; ``before`` is how it was before that."""
        if before == session.mute == "skip":
            session.mute = ""
            session.settle()
            return True
        return before == session.mute == "off"

    def _check(self, session: Session, command: Command, request: Sequence[bytes]) -> None:
        """Raise CommandError for what may not be part of a transaction, which is spoilt then."""
        try:
            command.check(request)
            if command.flags & Flag.ALONE:
                raise CommandError("Command not allowed inside a transaction")
        except CommandError:
            session.queue_failed = True
            raise

    def _refusal(self, context: Context, error: CommandError) -> Reply:
        """The reply that an error is."""
        session = context.session
        self._counted(error)
        if isinstance(error, Discarded):
            end_transaction(context)
        return NO_REPLY if self._is_muted(session, session.mute) else error

    def _counted(self, error: Exception) -> Exception:
        code = getattr(error, "code", "ERR")
        self.errors[code] = self.errors.get(code, 0) + 1
        return error

    def _warn_of_http(self) -> None:
        now = self._seconds()
        if self._warned is None or now >= self._warned + self.WARN_EVERY:
            self._warned = now
            self._log.warn(
                "HTTP was sent to this port: if not by mistake, a web page tries to give commands"
            )

    def _failed(self, request: list[bytes]) -> CommandError:
        """The answer to a request whose handler let out what it should not."""
        self.failures += 1
        # The name alone: values are nobody's business.
        self._log.failure("a defect of memdbd: {name!r} failed", name=request[0][:64])
        return CommandError("internal error, the server's log has the details")

    def stats(self) -> dict[str, int]:
        """What was asked and how it went."""
        return {
            "commands": sum(tally.calls for tally in self.tallies.values()),
            "errors": sum(self.errors.values()),
            "internal_errors": self.failures,
        }
