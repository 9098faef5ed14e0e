"""The one choke point of requests: look-up, engine, statistics.

A batch of requests is answered until it ends or something stops it; what is left stays in the
batch. Several in a row of one command are run together where they can be, which is what most
pipelines are made of; those that are not simply run are ``attending.py``'s. Nothing raises through:
whatever a handler does, its request gets one reply, in order.

May import: attending, dialects, engines.interface, ledger, limits, permissions, and commands with
what they may import.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from memdbd.attending import Attending
from memdbd.commands.context import Context
from memdbd.commands.spec import Command, Container
from memdbd.commands.suggest import Suggestions, unknown_to_redis
from memdbd.dialects.batch import Batch
from memdbd.dialects.interface import Dialect, encoded
from memdbd.dialects.streams import Parts, Stream
from memdbd.engines.interface import IEngine
from memdbd.errors import CommandError, MemDBError, ProtocolError
from memdbd.ledger import Tally
from memdbd.limits import Alarms, Limits
from memdbd.permissions import STRANGER, not_logged_in
from memdbd.replies import Pending, Replies
from memdbd.session import Session


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


class Dispatcher(Attending):
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
        every = [*commands.values()]
        for container in containers.values():
            every += container.commands()
        super().__init__(engine, every, seconds, limits, alarms)
        self._containers = containers
        self._suggestions = suggestions

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
                            line = encoded(dialect, replies)
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
                if isinstance(request, MemDBError):
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
                            elif line.__class__ is Parts:
                                *parts, line = line
                                output += parts
                                size += sum(map(len, parts))
                            elif command.ends:
                                stop = Stop.END
                    except CommandError as error:
                        if command is not None and not session.resp:
                            command.explain(error)
                        if tally is not None and not tally.went_wrong(error):
                            tally = None  # it was no call
                        line = encode(self._refusal(context, error))
                    except ProtocolError as error:
                        line = encode(self._counted(error))
                        stop = Stop.BROKEN
                    except Exception:
                        line = encode(self._failed(request))
                        if tally is not None:
                            tally.failed += 1
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
        if isinstance(request, MemDBError) or isinstance(following, MemDBError):
            return ()
        # First what nearly all mixed requests differ in.
        if request[0] != following[0] or context.session.special or not self.is_unattended:
            return ()
        command = dialect.commands.get(request[0])
        if command is None or command.many is None:
            return ()
        run = batch.run(most)
        return run if len(run) >= self.RUN else ()

    def run_together(
        self, context: Context, command: Command, run: Sequence[Sequence[bytes]]
    ) -> Replies:
        """Run the first requests of several of one command, as far as they are usual, and count
        them; gives their replies. Only where it :attr:`is_unattended`."""
        before = self._seconds()
        tally = self._tallies[command]
        replies: Replies
        try:
            replies = self._engine.execute_many(context, command, run)
        except Exception:  # nobody knows how many of them are done, so that none is tried again
            replies = [self._failed(run[0])] * len(run)
            tally.failed += len(run)
        took = self._seconds() - before
        tally.calls += len(replies)
        tally.seconds += took
        if took >= self.observed_from:  # of which of them, nobody knows
            self._observe(context.session, command, run[0], took)
        return replies

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
