"""How a command is declared: one record from which everything about it is derived.

A command is a function under :func:`command`::

    @command("expire", KEY, Param("seconds", integer), Tail("[NX|XX|GT|LT]"), flags=Flag.WRITE,
             summary="Let a key expire in so many seconds")
    def expire(ctx: Context, key: bytes, seconds: int, *options: bytes) -> int: ...

Arity, conversion of the arguments, key positions, the usage line, ``help``, ``COMMAND``, the
documentation table and (with flags) permissions come from that record, so a handler is a few lines
over arguments that are already right. It returns a neutral value (see :mod:`memdbd.replies`) or
raises :class:`~memdbd.errors.CommandError`; it never touches a socket, a file or a counter.

A command that is often sent many times in a row may have a second form, that runs several requests
at once: see :data:`Many`.

Where the text dialect answers with more than the bare value (``get`` adds ``ttl_remaining``) or
takes other arguments, the command carries a second record, given with ``@name.in_text``.

May import: access, arguments, effects, errors, replies.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memdbd.commands.access import (
    CHANGED,
    NO_KEYS,
    READ,
    Access,
    Accesses,
    FindAccess,
    FindKeys,
    KeyRange,
)
from memdbd.commands.arguments import Converter
from memdbd.effects import Effect
from memdbd.errors import CommandError, ProtocolError, SubcommandFault, shown
from memdbd.replies import Replies, Reply


class Flag(enum.Flag):
    """What a command does, for permissions, memory bounds, transactions and help."""

    NONE = 0
    READ = enum.auto()  # reads keys
    WRITE = enum.auto()  # may change keys
    GROWS = enum.auto()  # may take memory: refused, or others evicted, at the bounds
    REPLACES = enum.auto()  # what its keys held before is gone: not to be counted when it grows
    FAST = enum.auto()  # takes constant or logarithmic time
    BLOCKING = enum.auto()  # may wait for somebody else to change a key
    PUBSUB = enum.auto()
    SERVER = enum.auto()  # tells about the server itself
    ADMIN = enum.auto()
    DANGEROUS = enum.auto()
    CONNECTION = enum.auto()
    TRANSACTION = enum.auto()  # is part of the transaction itself
    AT_ONCE = enum.auto()  # inside a transaction, it is not queued
    ALONE = enum.auto()  # may not be part of a transaction
    ENDS = enum.auto()  # nothing after it on this connection is answered
    LISTENER = enum.auto()  # also for those who can do nothing but subscribe
    SECRET = enum.auto()  # its arguments are shown to nobody
    NO_AUTH = enum.auto()  # may be run by a client that has not logged in
    LOOKS_UP = enum.auto()  # of one that writes: what it gets is a hit or a miss all the same


# What makes a new value of those of other keys; what an administrator does.
STORES = Flag.WRITE | Flag.GROWS | Flag.LOOKS_UP
ADMIN = Flag.ADMIN | Flag.DANGEROUS

# The words of a request, its command's name first; or the error that answers what cannot be read.
# After a ProtocolError there are no more.
Request = list[bytes] | CommandError | ProtocolError

Handler = Callable[..., Reply]

# Runs several requests of one command, all with the fewest words that it takes, or where it says so
# with any number of them: over the values of the keyspace, with which it may do as it likes, since
# nobody else wants to know, and none of the keys has a deadline. What it has changed it appends to
# the effects, NOTHING where that is in the effect of something else. Gives the replies to the first
# of them, and has left alone, with all behind it, the first that is not usual: another type, an
# error, a reply of core.LONG bytes, or beyond core.MOST for all. That one is run by the handler.
#
# It is the handler without all that has to be done for each request: 0.1 us a GET, and not 0.9.
Many = Callable[[dict[bytes, Any], Sequence[Sequence[bytes]], list[Effect]], Replies]

# The same for what needs more than values: it gets the context in their place, of a client that has
# sent one of the requests. The others' clients differ in nothing that can be seen there.
ManyInContext = Callable[[Any, Sequence[Sequence[bytes]], list[Effect]], Replies]


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

    @property
    def least(self) -> int:
        """How many words it takes at least."""
        return int(not self.optional)


class Tail:
    """All other words of a request, from ``least`` on, which the handler reads by itself.

    ``usage`` is what help shows for them: ``[NX|XX] [GT|LT] <score> <member> …``.
    """

    __slots__ = ("least", "usage")

    convert, is_key, many, rest = None, False, True, False

    def __init__(self, usage: str, least: int = 0) -> None:
        self.usage = usage
        self.least = least


KEY = Param("key", is_key=True)
KEYS = Param("key", is_key=True, many=True)
VALUE = Param("value", rest=True)
DESTINATION = Param("destination", is_key=True)

# What errors about arguments begin with.
_OF_ARGUMENTS = ("syntax error", "min or max", "timeout is not")


class Command:
    """The record of one command. Built by :func:`command`; the table adds its ``kinds``.

    ``handler(ctx, *arguments)`` is what runs it; ``text`` the record of the same command for the
    text dialect (mostly itself). ``arguments(argv)`` checks the arity and converts. A name of two
    words (``config get``) is a subcommand's. ``kinds`` is what the command works on, by the names
    of Redis's categories, as the table says of its group; empty for no type. ``find_channels``
    finds the channels that a request sends to or listens to, which are patterns of channels where
    ``channel_patterns`` says so; None where it does neither.
    """

    __slots__ = (
        "access",
        "at_once",
        "blocks",
        "channel_patterns",
        "complexity",
        "converts",
        "counts_uses",
        "differs",
        "ends",
        "find_channels",
        "find_keys",
        "flags",
        "grows",
        "handler",
        "kinds",
        "looks_up",
        "many",
        "many_in_context",
        "max_words",
        "min_words",
        "most_together",
        "name",
        "params",
        "reads",
        "replaces",
        "step_together",
        "summary",
        "takes_rest",
        "tells_missing",
        "text",
        "words",
        "writes",
    )

    def __init__(
        self,
        name: str,
        handler: Handler,
        params: Sequence[Param | Tail],
        flags: Flag,
        summary: str,
        *,
        keys: FindKeys | None = None,
        access: Accesses | FindAccess | None = None,
        channels: FindKeys | None = None,
        channel_patterns: bool = False,
        complexity: str = "",
        differs: str = "",
    ) -> None:
        self.name = name
        self.words = name.count(" ") + 1  # of the name itself
        self.kinds: tuple[str, ...] = ()
        self.handler = handler
        self.many: Many | ManyInContext | None = None
        self.many_in_context = False
        self.tells_missing = False
        self.counts_uses = True
        self.text = self
        self.params = tuple(params)
        self.flags = flags
        self.summary = summary
        self.complexity = complexity
        self.differs = differs
        self.reads = bool(flags & Flag.READ)
        self.writes = bool(flags & Flag.WRITE)
        self.grows = bool(flags & Flag.GROWS)
        self.replaces = bool(flags & Flag.REPLACES)
        self.ends = bool(flags & Flag.ENDS)
        self.at_once = bool(flags & Flag.AT_ONCE)
        self.blocks = bool(flags & Flag.BLOCKING)
        self.looks_up = bool(flags & Flag.LOOKS_UP)
        self.min_words = self.words + sum(param.least for param in params)
        self.max_words: float = self.words + len(params)
        if params and params[-1].many:
            self.max_words = float("inf")
        # Words of requests that are run together: from min_words on.
        self.most_together: float = self.min_words
        self.step_together = 0  # words between their keys; 0 where each has only one
        self.takes_rest = any(param.rest for param in params)
        self.converts = any(param.convert for param in params)
        self.find_keys = keys or self._range_of_keys()
        # Where it is not said, and nothing but reads: the most, so that nothing is allowed by
        # having been forgotten.
        self.access = access or (READ if self.reads and not self.writes else CHANGED)
        self.find_channels = channels
        self.channel_patterns = channel_patterns

    def in_text(self, *params: Param | Tail) -> Callable[[Handler], Command]:
        """Decorate the handler of the text dialect; ``params``, if they are others there."""

        def decorate(handler: Handler) -> Command:
            self.text = Command(
                self.name,
                handler,
                params or self.params,
                self.flags,
                self.summary,
                keys=None if params else self.find_keys,
                access=self.access,
                channels=self.find_channels,
                channel_patterns=self.channel_patterns,
                complexity=self.complexity,
                differs=self.differs,
            )
            return self.text

        return decorate

    def together(
        self,
        many: Many,
        *,
        tells_missing: bool = False,
        counts_uses: bool = True,
        any_number: bool = False,
    ) -> Many:
        """Decorate the form that runs several requests. ``tells_missing``: a reply is None where
        there is no such key, and only there. ``counts_uses``: each request is a hit or a miss of
        its key; else the form counts by itself.
        ``any_number``: it takes requests of any number of words."""
        self.many = many
        self.tells_missing = tells_missing
        self.counts_uses = counts_uses
        if any_number:
            self.most_together = self.max_words
            self.step_together = self.key_range.step
        return many

    def together_in_context(
        self, many: ManyInContext, *, counts_uses: bool = True, any_number: bool = False
    ) -> ManyInContext:
        """The same for one that needs more than values."""
        self.many = many
        self.many_in_context = True
        self.counts_uses = counts_uses
        if any_number:
            self.most_together = self.max_words
            self.step_together = self.key_range.step
        return many

    @property
    def arity(self) -> int:
        """As Redis gives it: the number of words with the name's; negative where it is a minimum.

        A subcommand's name counts as two.
        """
        return self.min_words if self.min_words == self.max_words else -self.min_words

    @property
    def has_fixed_keys(self) -> bool:
        """Whether the keys are at the same places in all requests."""
        return isinstance(self.find_keys, KeyRange)

    @property
    def key_range(self) -> KeyRange:
        """Where the keys are, as far as that can be said of all requests."""
        found = self.find_keys
        return found if isinstance(found, KeyRange) else self._range_of_keys()

    @property
    def usage(self) -> str:
        """The command line as help shows it: ``expire <key> <seconds>``."""
        return " ".join([self.name, *(param.usage for param in self.params)])

    @property
    def full_name(self) -> str:
        """The name as Redis's errors have it: ``config|get``."""
        return self.name.replace(" ", "|")

    def keys_of(self, argv: Sequence[bytes]) -> Sequence[bytes]:
        """The keys among the words of a request, in order. Raises CommandError where the request
        does not say."""
        return self.find_keys(argv)

    def access_of(
        self, argv: Sequence[bytes], keys: Sequence[bytes] | None = None
    ) -> Sequence[Access]:
        """The right that each of :meth:`keys_of` needs, which are ``keys`` where they are known
        already. Raises CommandError where the request does not say what its keys are."""
        access = self.access if isinstance(self.access, tuple) else self.access(argv)
        count = len(self.find_keys(argv) if keys is None else keys)
        if count <= len(access):
            return access[:count]
        return access + access[-1:] * (count - len(access))

    def check(self, argv: Sequence[bytes]) -> None:
        """Raise CommandError where the number of words is not what :attr:`arity` says.

        Where some may be left out, it does not say how many are too many: that is found when the
        command is run, and so not when it is queued.
        """
        if len(argv) < self.min_words or (len(argv) > self.min_words == self.max_words):
            raise self.wrong_number(argv).rejecting()

    def wrong_number(self, argv: Sequence[bytes] = ()) -> CommandError:
        """The error for a request with more or fewer words than there can be."""
        quoting = "; a value with blanks goes in quotes" if self.takes_rest else ""
        hint = f"usage: {self.usage}{quoting}"
        if self.words == 2 and len(argv) > self.max_words > self.min_words:
            return SubcommandFault(self.name.split()[0], argv[1], hint)
        return CommandError(f"wrong number of arguments for '{self.full_name}' command", hint)

    def explain(self, error: CommandError) -> None:
        """Say how the command is used, where an error is about its arguments and says nothing of
        that: for people, in the text dialect."""
        if not error.hint and str(error).startswith(_OF_ARGUMENTS):
            error.hint = f"usage: {self.usage}"

    def arguments(self, argv: Sequence[bytes]) -> Sequence[Any]:
        """The handler's arguments for a request.

        Raises CommandError where their number is wrong or one cannot be converted.
        """
        if not self.min_words <= len(argv) <= self.max_words:
            self.check(argv)
            raise self.wrong_number(argv)
        raw = argv[self.words :]
        return self._converted(raw) if self.converts else raw

    def _converted(self, raw: Sequence[bytes]) -> list[Any]:
        arguments: list[Any] = list(raw)
        for at in range(len(raw)):
            param = self.params[min(at, len(self.params) - 1)]  # the last may be repeated
            if isinstance(param, Param) and param.convert is not None:
                try:
                    arguments[at] = param.convert(raw[at])
                except CommandError as error:
                    error.hint = f"look at <{param.name}> in: {self.usage}"
                    raise
        return arguments

    def _range_of_keys(self) -> KeyRange:
        places = [at for at, param in enumerate(self.params, self.words) if param.is_key]
        if not places:
            return NO_KEYS
        many = self.params[places[-1] - self.words].many
        return KeyRange(places[0], -1 if many else places[-1])

    def __repr__(self) -> str:
        return f"<Command {self.usage}>"


def command(
    name: str,
    *params: Param | Tail,
    flags: Flag = Flag.NONE,
    summary: str,
    keys: FindKeys | None = None,
    access: Accesses | FindAccess | None = None,
    channels: FindKeys | None = None,
    channel_patterns: bool = False,
    complexity: str = "",
    differs: str = "",
) -> Callable[[Handler], Command]:
    """Declare the decorated function as the command ``name``; gives its :class:`Command`.

    ``keys`` finds the keys of a request where the parameters do not say; ``access`` are the rights
    that they need, or finds them, where the flags do not say; ``channels`` finds the channels it
    sends to or listens to, which are patterns with ``channel_patterns``; ``complexity`` is that of
    the documentation, as ``O(1)``; ``differs`` what is not as in Redis, in a sentence.
    """
    return lambda handler: Command(
        name,
        handler,
        params,
        flags,
        summary,
        keys=keys,
        access=access,
        channels=channels,
        channel_patterns=channel_patterns,
        complexity=complexity,
        differs=differs,
    )


@dataclass(frozen=True, slots=True)
class Container:
    """A word that is no command but the first of several: ``config`` of ``config get``.

    ``alone`` is the command that it is without a second word, if any.
    """

    name: str
    subcommands: Mapping[bytes, Command]
    alone: Command | None = None

    def find(self, argv: Sequence[bytes]) -> Command:
        """The subcommand of a request. Raises CommandError where there is none."""
        if len(argv) < 2:
            if self.alone is not None:
                return self.alone
            raise CommandError(
                f"wrong number of arguments for '{self.name}' command",
                f"it is followed by one of {', '.join(self.names())}",
            )
        found = self.subcommands.get(argv[1].lower())
        if found is None:
            raise CommandError(
                f"unknown subcommand '{shown(argv[1][:128])}'. Try {self.name.upper()} HELP.",
                f"it is followed by one of {', '.join(self.names())}",
            )
        return found

    def commands(self) -> list[Command]:
        """All records behind the word."""
        return [*self.subcommands.values(), *([self.alone] if self.alone else [])]

    def names(self) -> Iterator[str]:
        """The subcommands' second words."""
        return (word.decode() for word in self.subcommands)
