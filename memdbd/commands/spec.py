"""How a command is declared: one record from which everything about it is derived.

A command is a function under :func:`command`::

    @command("expire", KEY, Param("seconds", integer), flags=Flag.WRITE,
             summary="Let a key expire in so many seconds")
    def expire(ctx: Context, key: bytes, seconds: int) -> int: ...

Arity, conversion of the arguments, key positions, the usage line, ``help``, the documentation
table and (with flags) permissions come from that record, so a handler is a few lines over
arguments that are already right. It returns a neutral value (see :mod:`memdbd.replies`) or raises
:class:`~memdbd.errors.CommandError`; it never touches a socket, a file or a counter.

Where the text dialect answers with more than the bare value (``get`` adds ``ttl_remaining``), the
command carries a second handler, given with ``@name.in_text``.

May import: errors, replies, keyspace, pubsub, session.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from memdbd.errors import CommandError, ProtocolError
from memdbd.keyspace import Keyspace, Value
from memdbd.pubsub import Registry
from memdbd.replies import Pending, Reply
from memdbd.session import Session

# Longer integers are refused before they are parsed: int() of 10 MB of digits holds the loop.
MAX_INTEGER_DIGITS = 20
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


class Flag(enum.Flag):
    """What a command does, for permissions, memory bounds and help."""

    NONE = 0
    READ = enum.auto()  # reads keys
    WRITE = enum.auto()  # may change keys
    GROWS = enum.auto()  # may take memory: refused, or others evicted, at the bounds
    REPLACES = enum.auto()  # what its keys held before is gone: not to be counted when it grows
    PUBSUB = enum.auto()
    SERVER = enum.auto()  # tells about the server itself
    ADMIN = enum.auto()
    CONNECTION = enum.auto()
    ENDS = enum.auto()  # nothing after it on this connection is answered
    WAITS = enum.auto()  # may return Pending


class Server(Protocol):
    """What a handler may ask of the daemon around it."""

    @property
    def commands(self) -> Mapping[bytes, Command]: ...
    @property
    def default_ttl(self) -> int: ...
    def wall_us(self) -> int: ...
    def unknown_command(self, name: bytes) -> CommandError: ...
    def type_name(self, value: Value) -> str: ...
    def info(self) -> dict[str, Reply]: ...
    def stats(self) -> dict[str, Reply]: ...
    def save(self) -> Pending: ...


class Context:
    """What a handler works on: made once for a session, passed to each handler first."""

    __slots__ = ("channels", "db", "server", "session")

    def __init__(self, session: Session, db: Keyspace, channels: Registry, server: Server) -> None:
        self.session = session
        self.db = db
        self.channels = channels
        self.server = server


# The words of a request, its command's name first; or the error that answers what cannot be read.
# After a ProtocolError there are no more.
Request = list[bytes] | CommandError | ProtocolError

Handler = Callable[..., Reply]
Converter = Callable[[bytes], Any]


def integer(raw: bytes) -> int:
    """A signed 64-bit decimal integer, as Redis reads one: no blanks, no plus sign, no zeros."""
    if len(raw) <= MAX_INTEGER_DIGITS:
        try:
            number = int(raw)
        except ValueError:
            pass
        else:
            if INT64_MIN <= number <= INT64_MAX and b"%d" % number == raw:
                return number
    raise CommandError("value is not an integer or out of range")


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter of a command.

    ``convert`` makes the handler's argument from the bytes (None: as they are). ``rest``: in the
    text dialect, unquoted text from here to the end of the line is one argument.
    """

    name: str
    convert: Converter | None = None
    is_key: bool = False
    optional: bool = False
    many: bool = False
    rest: bool = False

    @property
    def usage(self) -> str:
        text = f"<{self.name}{'…' if self.rest else ''}>" + (" …" if self.many else "")
        return f"[{text}]" if self.optional else text


KEY = Param("key", is_key=True)
VALUE = Param("value", rest=True)


class Command:
    """The record of one command. Built by :func:`command`; all attributes are read-only.

    ``handler(ctx, *arguments)`` is what runs it; ``text_handler`` the same for the text dialect.
    ``arguments(argv)`` checks the arity and converts.
    """

    __slots__ = (
        "converts",
        "ends",
        "flags",
        "group",
        "grows",
        "handler",
        "max_words",
        "min_words",
        "name",
        "params",
        "replaces",
        "summary",
        "takes_rest",
        "text_handler",
        "writes",
    )

    def __init__(
        self, name: str, handler: Handler, params: Sequence[Param], flags: Flag, summary: str
    ) -> None:
        self.name = name
        self.group = handler.__module__.rpartition(".")[2]
        self.handler = self.text_handler = handler
        self.params = tuple(params)
        self.flags = flags
        self.summary = summary
        self.writes = bool(flags & Flag.WRITE)
        self.grows = bool(flags & Flag.GROWS)
        self.replaces = bool(flags & Flag.REPLACES)
        self.ends = bool(flags & Flag.ENDS)
        self.min_words = 1 + sum(not param.optional for param in params)
        self.max_words: float = 1 + len(params)
        if params and params[-1].many:
            self.max_words = float("inf")
        self.takes_rest = any(param.rest for param in params)
        self.converts = any(param.convert for param in params)

    def in_text(self, handler: Handler) -> Handler:
        """Decorate the handler that answers this command in the text dialect."""
        self.text_handler = handler
        return handler

    @property
    def usage(self) -> str:
        """The command line as help shows it: ``expire <key> <seconds>``."""
        return " ".join([self.name, *(param.usage for param in self.params)])

    def keys_of(self, arguments: Sequence[Any]) -> list[bytes]:
        """The keys among a request's arguments, in order."""
        found: list[bytes] = []
        for at, param in enumerate(self.params):
            if param.is_key:
                found += arguments[at:] if param.many else arguments[at : at + 1]
        return found

    def arguments(self, argv: Sequence[bytes]) -> Sequence[Any]:
        """The handler's arguments for a request.

        Raises CommandError where their number is wrong or one cannot be converted.
        """
        if not self.min_words <= len(argv) <= self.max_words:
            quoting = "; a value with blanks goes in quotes" if self.takes_rest else ""
            raise CommandError(
                f"wrong number of arguments for '{self.name}' command",
                f"usage: {self.usage}{quoting}",
            )
        raw = argv[1:]
        return self._converted(raw) if self.converts else raw

    def _converted(self, raw: Sequence[bytes]) -> list[Any]:
        arguments: list[Any] = list(raw)
        for at in range(len(raw)):
            param = self.params[min(at, len(self.params) - 1)]  # the last may be repeated
            if param.convert is not None:
                try:
                    arguments[at] = param.convert(raw[at])
                except CommandError as error:
                    error.hint = f"look at <{param.name}> in: {self.usage}"
                    raise
        return arguments

    def __repr__(self) -> str:
        return f"<Command {self.usage}>"


def command(
    name: str, *params: Param, flags: Flag = Flag.NONE, summary: str
) -> Callable[[Handler], Command]:
    """Declare the decorated function as the command ``name``; gives its :class:`Command`."""
    return lambda handler: Command(name, handler, params, flags, summary)


Text = Callable[[bytes], str]  # bytes to text: UTF-8 or base64, as whoever writes decides
Untext = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class DataType:
    """A type of value: its name and its form in the snapshot.

    ``python`` is the class of its values. ``dump(value, text)`` gives what JSON can hold, with
    ``text`` called on each bytes in it; ``load(dumped, untext)`` is its inverse, and raises
    ValueError, TypeError or KeyError for anything that ``dump`` cannot have made. ``size(value)``
    is an estimate in bytes of what it holds in memory.
    """

    name: str
    python: type
    dump: Callable[[Any, Text], Any]
    load: Callable[[Any, Untext], Any]
    size: Callable[[Any], int]
