"""The one choke point of requests: look-up, transaction, engine, statistics.

A batch of requests comes in as an iterator and is answered until it ends or something stops it;
what is left stays in the iterator. Nothing raises through: whatever a handler does, its request
gets one reply, in order.

May import: audience, limits, permissions, dialects, engines.interface, and commands with what they
may import.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from twisted.logger import Logger

from memdbd.audience import Audience
from memdbd.commands.context import Context
from memdbd.commands.spec import Command, Container, Flag
from memdbd.commands.suggest import Suggestions, unknown_to_redis
from memdbd.commands.transactions import Discarded, end_transaction
from memdbd.dialects.batch import Batch
from memdbd.dialects.interface import Dialect
from memdbd.dialects.streams import Stream
from memdbd.engines.interface import IEngine
from memdbd.errors import CommandError, ProtocolError
from memdbd.limits import Alarms, Limits
from memdbd.permissions import STRANGER, NotPermitted, not_logged_in
from memdbd.replies import NO_REPLY, QUEUED, Pending, Replies, Reply, Several
from memdbd.session import Session

# Requests that take longer are told of, at the least, where requests are run together: of those,
# nobody knows how long each took.
LEAST_OBSERVED = 0.001  # seconds


class Stop(enum.Enum):
    """Why no more of a batch was answered."""

    EXHAUSTED = enum.auto()  # it is all answered
    SLICE = enum.auto()  # it was enough for one turn
    WAIT = enum.auto()  # the reply of the last request is pending
    STREAM = enum.auto()  # the reply of the last request is to be sent piece by piece
    END = enum.auto()  # the connection is to be closed
    BROKEN = enum.auto()  # the same, and its peer may still be sending what nobody understands


# To look into an Enum takes 90 ns.
EXHAUSTED, SLICE = Stop.EXHAUSTED, Stop.SLICE

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


class Attendant(Protocol):
    """Has to do with every request of every client, as long as it is among the attendants."""

    def admit(
        self, session: Session, command: Command, argv: Sequence[bytes], run: Callable[[], Reply]
    ) -> Reply | None:
        """The reply to a request that is not to be run or queued; None for one that is.

        A Pending reply may be resolved with what ``run()`` gives later. Raises CommandError.
        """

    def saw(
        self, session: Session, command: Command, argv: Sequence[bytes], *, nested: bool
    ) -> None:
        """A request was run, well or not; ``nested``: by another, as EXEC does."""


# Hears of a request that is done: who, what, and the seconds that it took.
Observer = Callable[[Session, Command, Sequence[bytes], float], None]


class Dispatcher:
    """Runs requests on ``engine``; ``commands`` and ``containers`` are the tables, by names in
    lower case.

    ``seconds`` tells the time by which slices end.
    """

    # A connection's share of one reactor turn, so that none holds the loop.
    SLICE_REQUESTS = 256
    SLICE_OUTPUT = 256 * 1024  # bytes of replies
    SLICE_SECONDS = 0.005

    # Requests of one command in a row from which on they are run together.
    RUN = 3

    _log = Logger()

    def __init__(
        self,
        engine: IEngine,
        commands: Mapping[bytes, Command],
        containers: Mapping[bytes, Container],
        suggestions: Suggestions,
        seconds: Callable[[], float],
        limits: Limits,
        alarms: Alarms,
    ) -> None:
        self._engine = engine
        self._containers = containers
        self._suggestions = suggestions
        self._seconds = seconds
        self._limits = limits
        self._alarms = alarms
        every = [*commands.values()]
        for container in containers.values():
            every += container.commands()
        # The two records of a command are counted as one.
        self.tallies: dict[Command, Tally] = {command: Tally() for command in every}
        self._tallies = self.tallies | {each.text: self.tallies[each] for each in every}
        self.errors: dict[str, int] = {}  # replies that say so, by their codes
        self.failures = 0  # exceptions that a handler should not have let out
        self.attendants: Audience[Attendant] = Audience()
        self.observer: Observer | None = None
        self.observed_from = float("inf")  # seconds that a request takes to be of interest

    def context(self, session: Session) -> Context:
        """What the requests of a session work on."""
        context = self._engine.context(session)
        # So that what EXEC runs is attended too.
        context.execute = partial(self._attended, context.execute, nested=True)
        return context

    def run(
        self,
        context: Context,
        batch: Batch,
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
        attendants, seconds = self.attendants, self._seconds
        now = seconds()
        end = now + self.SLICE_SECONDS
        count = size = 0
        singly = 0  # the place in the batch up to which requests are run one by one
        request: Any  # a Request
        line: Any  # bytes; or a Stream, and then it ends here
        last: Command | None = None
        stop: Stop | None = None
        awaited: Any = None
        try:  # for what is noted once a batch, however it ends
            while True:
                at, requests = batch.at, batch.requests
                if at == len(requests):
                    if not batch.goes_on():
                        return EXHAUSTED, None
                    singly = 0
                    continue
                if at >= singly and at + self.RUN <= len(requests):
                    run = self._run_of(context, batch, dialect, self.SLICE_REQUESTS - count)
                    singly = at + (len(run) or 1)
                    if run:
                        last = commands[run[0][0]]
                        replies = self.run_together(context, last, run)
                        now = seconds()
                        if replies:
                            encoded = dialect.encode_many(replies)
                            if encoded is None:
                                encoded = b"".join(dialect.encode_each(replies))
                            line = encoded
                            output.append(line)
                            batch.at = at + len(replies)
                            count += len(replies)
                            size += len(line)
                            if (
                                count >= self.SLICE_REQUESTS
                                or size >= self.SLICE_OUTPUT
                                or now >= end
                            ):
                                return SLICE, None
                            continue
                request = requests[at]
                batch.at = at + 1
                command: Command | None = None
                tally: Tally | None = None
                if isinstance(request, Exception):
                    # Not raised to be caught below: its traceback would know this frame, which
                    # knows it, and only the collector would find it.
                    line = encode(self._counted(request))
                    if isinstance(request, ProtocolError):
                        stop = Stop.BROKEN
                else:
                    try:
                        try:
                            command = commands[request[0]]
                        except KeyError:  # in mixed case, or of two words, or there is none
                            command = self._find(context, dialect, request)
                        last = command
                        if session.special or attendants.members:
                            reply = self._specially(context, command, request)
                        else:
                            tally = tallies[command]
                            reply = execute(context, command, request)
                        if reply.__class__ is Pending:
                            stop, awaited = Stop.WAIT, reply
                        else:
                            line = encode(reply)
                            if line.__class__ is Stream:
                                stop, awaited = Stop.STREAM, line
                            elif command.ends:
                                stop = Stop.END
                    except CommandError as error:
                        if command is not None and not session.resp:
                            command.explain(error)
                        line = encode(self._refusal(context, error))
                    except ProtocolError as error:
                        line = encode(self._counted(error))
                        stop = Stop.BROKEN
                    except Exception:
                        line = encode(self._failed(request))
                before, now = now, seconds()
                if tally is not None:  # else it was done where it was run, if it was
                    tally.calls += 1
                    tally.seconds += now - before
                    if now - before >= self.observed_from:
                        self._observe(session, command, request, now - before)
                if awaited is None:
                    output.append(line)
                if stop is not None:
                    return stop, awaited
                if behind:
                    output += behind
                    behind.clear()
                count += 1
                size += len(line)
                if (
                    count >= self.SLICE_REQUESTS
                    or size >= self.SLICE_OUTPUT
                    # Read once a request: 256 times `keys` would be seconds.
                    or now >= end
                ):
                    return SLICE, None
        finally:
            if last is not None:
                session.last = last

    def _run_of(
        self, context: Context, batch: Batch, dialect: Dialect, most: int
    ) -> Sequence[Sequence[bytes]]:
        """The next requests of a batch that are of one command, if they may be run together; none
        where they are too few for it, or are to be looked at one by one."""
        requests, at = batch.requests, batch.at
        request, following = requests[at], requests[at + 1]
        if isinstance(request, Exception) or isinstance(following, Exception):
            return ()
        # First what nearly all mixed requests differ in.
        if request[0] != following[0] or context.session.special or not self.is_unattended:
            return ()
        command = dialect.commands.get(request[0])
        if command is None or command.many is None:
            return ()
        run = batch.run(most)
        return run if len(run) >= self.RUN else ()

    @property
    def is_unattended(self) -> bool:
        """Whether nobody wants to know of each single request."""
        return not self.attendants.members and self.observed_from >= LEAST_OBSERVED

    def run_together(
        self, context: Context, command: Command, run: Sequence[Sequence[bytes]]
    ) -> Replies:
        """Run the first requests of several of one command, as far as they are usual, and count
        them; gives their replies. Only where it :attr:`is_unattended`."""
        before = self._seconds()
        replies: Replies
        try:
            replies = self._engine.execute_many(context, command, run)
        except Exception:  # nobody knows how many of them are done, so that none is tried again
            replies = [self._failed(run[0])] * len(run)
        tally = self._tallies[command]
        tally.calls += len(replies)
        tally.seconds += self._seconds() - before
        return replies

    def _tally(
        self, session: Session, command: Command, request: Sequence[bytes], seconds: float
    ) -> None:
        """Count a request that was run and took so long."""
        tally = self._tallies[command]
        tally.calls += 1
        tally.seconds += seconds
        if seconds >= self.observed_from:
            self._observe(session, command, request, seconds)

    def _observe(
        self, session: Session, command: Command | None, request: Sequence[bytes], seconds: float
    ) -> None:
        """Tell of a request that took long."""
        if self.observer is not None and command is not None:
            self.observer(session, command, request, seconds)

    def _find(self, context: Context, dialect: Dialect, request: Sequence[bytes]) -> Command:
        """The command of a request whose first word is none in one of the usual two cases."""
        name = request[0].lower()
        container = self._containers.get(name)
        try:
            if container is not None:
                if context.session.permissions is STRANGER:
                    raise not_logged_in()  # and is not told what there is
                found = container.find(request)
                return found.text if context.session.resp == 0 else found
            command = dialect.commands.get(name)
            if command is not None:
                return command
            if name in HTTP:
                named = context.server.clients.named(context.session)
                self._alarms.fire(
                    "http",
                    f"{named} is cut: it sends HTTP; if not by mistake, a web page tries to give "
                    "commands",
                )
                raise ProtocolError("this is not an HTTP server: the connection is closed")
            if context.session.permissions is STRANGER:
                raise not_logged_in()
            if context.session.resp == 0:
                raise self._suggestions.unknown(request[0])
            raise unknown_to_redis(request)
        except CommandError:
            context.session.refused()
            raise

    def _specially(self, context: Context, command: Command, request: Sequence[bytes]) -> Reply:
        """Run a request, or do not: inside a transaction, for a session that listens in RESP2,
        where somebody attends, without a reply, or when all is over."""
        session = context.session
        if session.over:
            return NO_REPLY
        was_off = session.mute == "off"
        if session.mute == "next":
            session.mute = "this"
        reply = self._held_back(context, command, request)
        if reply is None:
            reply = self._run_or_queue(context, command, request)
        if not _is_muted(session, was_off=was_off):
            return reply
        match reply:
            case Several():  # of pushes, which are no replies
                return reply
            case Pending():
                return _without_reply(reply)
            case _:
                return NO_REPLY

    def _held_back(
        self, context: Context, command: Command, request: Sequence[bytes]
    ) -> Reply | None:
        """The reply to a request that is not to be run now; None for one that is.

        Raises CommandError, which spoils a transaction.
        """
        session = context.session
        try:
            command.check(request)
            self._engine.permit(context, command, request)
            if session.queue is not None and command.flags & Flag.ALONE:
                raise CommandError("Command not allowed inside a transaction")
            if session.is_limited and not command.flags & Flag.LISTENER:
                raise CommandError(
                    f"Can't execute '{command.full_name}': only (P|S)SUBSCRIBE / "
                    "(P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
                )
            for attendant in self.attendants.members:
                run = partial(self._run_later, context, command, request)
                reply = attendant.admit(session, command, request, run)
                if reply is not None:
                    return reply
            return None
        except CommandError as error:
            raise _spoilt(session, command, error) from None

    def _run_or_queue(self, context: Context, command: Command, request: Sequence[bytes]) -> Reply:
        session = context.session
        if session.queue is not None and not command.at_once:
            session.queued += sum(map(len, request))
            if session.queued > self._limits.max_request:
                raise _spoilt(session, command, _too_long(self._limits.max_request))
            session.queue.append((command, request))
            return QUEUED
        return self._attended(self._engine.execute, context, command, request, nested=False)

    def _run_later(self, context: Context, command: Command, request: Sequence[bytes]) -> Reply:
        """The reply to a request that was held back; an error is one too."""
        try:
            return self._run_or_queue(context, command, request)
        except NotPermitted as denied:
            return self._refusal(context, _spoilt(context.session, command, denied).bare())
        except CommandError as error:
            return self._refusal(context, error.bare())
        except Exception:
            return self._failed(request)

    def _attended(
        self,
        run: Callable[[Context, Command, Sequence[bytes]], Reply],
        context: Context,
        command: Command,
        request: Sequence[bytes],
        *,
        nested: bool,
    ) -> Reply:
        """Run a request, count it and tell the attendants."""
        before = self._seconds()
        was_run = True
        try:
            return run(context, command, request)
        except NotPermitted:
            was_run = False  # it is nobody's business what it would have been
            raise
        except CommandError:
            raise
        except Exception:
            if not nested:
                raise
            return self._failed(request)  # of this one alone: what is run beside it goes on
        finally:
            self._tally(context.session, command, request, self._seconds() - before)
            if was_run:
                for attendant in self.attendants.members:
                    attendant.saw(context.session, command, request, nested=nested)

    def _refusal(self, context: Context, error: CommandError) -> Reply:
        """The reply that an error is."""
        session = context.session
        self._counted(error)
        if error.limit:
            named = context.server.clients.named(session)
            self._alarms.fire(error.limit, f"a request of {named} is refused: {error}")
        if isinstance(error, Discarded):
            end_transaction(context)
        if session.mute == "next":  # not even the command was found
            session.mute = "this"
        return NO_REPLY if _is_muted(session, was_off=True) else error

    def _counted(self, error: Exception) -> Exception:
        code = getattr(error, "code", "ERR")
        self.errors[code] = self.errors.get(code, 0) + 1
        return error

    def failed_later(self, session: Session) -> CommandError:
        """The reply for which a session waited, where a defect kept it from being made."""
        return self._failed([session.last.full_name.encode() if session.last else b""])

    def _failed(self, request: Sequence[bytes]) -> CommandError:
        """The answer to a request whose handler let out what it should not."""
        self.failures += 1
        # The name alone: values are nobody's business.
        self._log.failure("a defect of memdbd: {name!r} failed", name=request[0][:64])
        return CommandError("internal error, the server's log has the details")

    def counts(self) -> dict[str, tuple[int, int]]:
        """The calls of each command, by its full name, and the microseconds that they took."""
        return {
            command.full_name: (tally.calls, int(tally.seconds * 1_000_000))
            for command, tally in self.tallies.items()
        }

    def stats(self) -> dict[str, int]:
        """What was asked and how it went."""
        return {
            "commands": sum(tally.calls for tally in self.tallies.values()),
            "errors": sum(self.errors.values()),
            "internal_errors": self.failures,
        }


def _spoilt(session: Session, command: Command, error: CommandError) -> CommandError:
    """The error for a request that is neither run nor queued; a transaction does not survive it."""
    session.refused()
    if command.name != "exec" or isinstance(error, Discarded):
        return error
    code = "" if error.code == "ERR" else f"{error.code} "
    return Discarded(f"Transaction discarded because of: {code}{error}")


def _too_long(most: int) -> CommandError:
    """The error for a request that makes a transaction longer than any request may be."""
    error = CommandError(f"the transaction is over {most} bytes (max_request)")
    error.limit = "max_request"
    return error


def _without_reply(pending: Pending) -> Pending:
    """A reply to come that is waited for, but not sent."""
    silent = Pending()
    silent.stand_for(pending, lambda _: NO_REPLY)
    return silent


def _is_muted(session: Session, *, was_off: bool) -> bool:
    """Whether the reply to a request is not wanted; ``was_off``: none were before it."""
    if session.mute == "this":
        session.mute = ""
        session.settle()
        return True
    return was_off and session.mute == "off"
