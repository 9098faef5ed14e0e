"""The one choke point of requests: look-up, arity, engine, statistics.

A batch of requests comes in as an iterator and is answered until it ends or something stops it;
what is left stays in the iterator. Nothing raises through: whatever a handler does, its request
gets one reply, in order.

May import: commands, engines.interface.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping

from twisted.logger import Logger

from memdbd.commands.spec import Command, Context, Request
from memdbd.commands.suggest import Suggestions
from memdbd.engines.interface import IEngine
from memdbd.errors import CommandError, ProtocolError
from memdbd.replies import Pending, Reply


class Stop(enum.Enum):
    """Why no more of a batch was answered."""

    EXHAUSTED = enum.auto()  # it is all answered
    SLICE = enum.auto()  # it was enough for one turn
    WAIT = enum.auto()  # the reply of the last request is pending
    END = enum.auto()  # the connection is to be closed
    BROKEN = enum.auto()  # the same, and its peer may still be sending what nobody understands


# Words that start a line of what browsers send. A web page can make one send requests here, and
# behind its headers a body of our commands; so the first such line ends the connection (as Redis
# does since 3.2.7).
HTTP = frozenset({b"post", b"host:"})


class Dispatcher:
    """Runs requests on ``engine``; ``commands`` is the table, by names in lower case.

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
        suggestions: Suggestions,
        seconds: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._suggestions = suggestions
        self._seconds = seconds
        self._warned: float | None = None
        self.calls: dict[Command, int] = dict.fromkeys(commands.values(), 0)
        self.errors = 0  # replies that say so
        self.failures = 0  # exceptions that a handler should not have let out
        # Nearly every name comes in one of two cases, so that one look-up finds it.
        self._commands = dict(commands) | {name.upper(): it for name, it in commands.items()}

    def run(
        self,
        context: Context,
        requests: Iterator[Request],
        encode: Callable[[Reply], bytes],
        output: list[bytes],
        behind: list[bytes],
        *,
        text: bool,
    ) -> tuple[Stop, Pending | None]:
        """Answer requests, the bytes of each reply appended to ``output``.

        ``behind`` is what the requests themselves brought to this connection, such as a message
        that it sends to itself; it is moved to ``output`` behind the reply.
        ``text`` chooses the handlers of the text dialect. Gives why it stopped, and the reply that
        is waited for where that is why.
        """
        commands, calls, execute = self._commands, self.calls, self._engine.execute
        seconds = self._seconds
        end = seconds() + self.SLICE_SECONDS
        size = 0
        for count, request in enumerate(requests, 1):
            if isinstance(request, Exception):
                # Not raised to be caught below: its traceback would know this frame, which knows
                # it, and only the collector would find it.
                self.errors += 1
                line = encode(request)
                if isinstance(request, ProtocolError):
                    output.append(line)
                    return Stop.BROKEN, None
            else:
                try:
                    try:
                        command = commands[request[0]]
                    except KeyError:  # in mixed case, or there is none
                        command = self._find(request[0])
                    arguments = command.arguments(request)
                    calls[command] += 1
                    handler = command.text_handler if text else command.handler
                    reply = execute(context, command, handler, arguments)
                    if reply.__class__ is Pending:
                        return Stop.WAIT, reply
                    line = encode(reply)
                    if command.ends:
                        output.append(line)
                        return Stop.END, None
                except CommandError as error:
                    self.errors += 1
                    line = encode(error)
                except ProtocolError as error:
                    self.errors += 1
                    output.append(encode(error))
                    return Stop.BROKEN, None
                except Exception:
                    line = encode(self._failed(request))
            output.append(line)
            if behind:
                output += behind
                behind.clear()
            size += len(line)
            if (
                count >= self.SLICE_REQUESTS
                or size >= self.SLICE_OUTPUT
                # 50 ns a request: 256 times `keys` would be seconds.
                or seconds() >= end
            ):
                return Stop.SLICE, None
        return Stop.EXHAUSTED, None

    def _find(self, name: bytes) -> Command:
        """The command of a name that is not in one of the usual two cases."""
        name = name.lower()
        command = self._commands.get(name)
        if command is not None:
            return command
        if name in HTTP:
            self._warn_of_http()
            raise ProtocolError("this is not an HTTP server: the connection is closed")
        raise self._suggestions.unknown(name)

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
            "commands": sum(self.calls.values()),
            "errors": self.errors,
            "internal_errors": self.failures,
        }
