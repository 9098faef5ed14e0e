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

from memdbd.commands.spec import Command, Context
from memdbd.commands.suggest import Suggestions
from memdbd.engines.interface import IEngine
from memdbd.errors import CommandError, ProtocolError
from memdbd.replies import Pending, Reply

Request = list[bytes] | CommandError | ProtocolError  # an error stands for what cannot be read


class Stop(enum.Enum):
    """Why no more of a batch was answered."""

    EXHAUSTED = enum.auto()  # it is all answered
    SLICE = enum.auto()  # it was enough for one turn
    WAIT = enum.auto()  # the reply of the last request is pending
    END = enum.auto()  # the connection is to be closed


class Dispatcher:
    """Runs requests on ``engine``; ``commands`` is the table, by names in lower case."""

    # A connection's share of one reactor turn, so that none holds the loop.
    SLICE_REQUESTS = 256
    SLICE_OUTPUT = 256 * 1024  # bytes of replies

    _log = Logger()

    def __init__(
        self, engine: IEngine, commands: Mapping[bytes, Command], suggestions: Suggestions
    ) -> None:
        self._engine = engine
        self._suggestions = suggestions
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
        size = 0
        for count, request in enumerate(requests, 1):
            if isinstance(request, Exception):
                # Not raised to be caught below: its traceback would know this frame, which knows
                # it, and only the collector would find it.
                self.errors += 1
                line = encode(request)
                if isinstance(request, ProtocolError):
                    output.append(line)
                    return Stop.END, None
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
                except Exception:
                    line = encode(self._failed(request))
            output.append(line)
            if behind:
                output += behind
                behind.clear()
            size += len(line)
            if count >= self.SLICE_REQUESTS or size >= self.SLICE_OUTPUT:
                return Stop.SLICE, None
        return Stop.EXHAUSTED, None

    def _find(self, name: bytes) -> Command:
        """The command of a name that is not in one of the usual two cases."""
        command = self._commands.get(name.lower())
        if command is None:
            raise self._suggestions.unknown(name)
        return command

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
