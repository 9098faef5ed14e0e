"""Doing again what the effects in a journal say, with the commands that did it.

The keyspaces here are not a daemon's: nothing expires by itself, since an expiry is an effect of
its own; nobody is told of changes; and deadlines are the wall's, as in files.

May import: effects, databases, and commands with what they may import.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from memdbd.changes import Changes
from memdbd.commands.arguments import INT64_MIN
from memdbd.commands.context import Context, Server
from memdbd.commands.table import COMMANDS
from memdbd.commands.types import DataType
from memdbd.databases import Databases
from memdbd.effects import CLOSE, NAMES, Damaged, Effect
from memdbd.errors import CommandError
from memdbd.keyspace import Changed, Contents, Keyspace, Value
from memdbd.pubsub import Registry
from memdbd.session import Session
from memdbd.structs.sortedset import SortedSet
from memdbd.waiting import Waiting

_BY_NAME = {name: COMMANDS[name.lower()] for name in NAMES if (name,) != CLOSE}

# A snapshot of memory, after a failed sync, may have been made when what it was about to delete, as
# it had expired, was gone, and the journal behind it says so once more.
MAY_CHANGE_NOTHING = frozenset({b"DEL", b"SELECT"})


class Replay:
    """Databases that begin with ``contents`` (which are taken over), and on which effects are done.

    ``types`` has the type of each name.
    """

    def __init__(self, types: Mapping[str, DataType[Any]], contents: Contents) -> None:
        channels = Registry()
        waiting = Waiting(lambda place: False, lambda session: None)
        changes = _Changes(channels, _never, waiting)
        changes.heard = self._heard
        self.databases = Databases(lambda number: _Keyspace(number, self._heard), changes)
        self._changes = 0
        session = Session(0, channels, _nothing, _nothing)
        server = cast(Server, _Server(types))
        self._context = Context(session, self.databases, channels, server, _nested, _permit)
        for number, (values, deadlines) in contents.items():
            self.databases[number].load(values, deadlines)

    def apply(self, effects: Iterable[Sequence[bytes]]) -> None:
        """Do the effects of one turn. Raises :class:`~memdbd.effects.Damaged` for what cannot have
        been done on this."""
        context = self._context
        context.select(0)
        for words in effects:
            name = words[0]
            if name == b"SET" and len(words) == 3:  # most of them; twice as fast as the command
                context.db.set(words[1], words[2])
                continue
            if name == b"ZADD" and b"-0.0" in words[2::2]:  # the scores
                self._unpack(words[1])
            command = _BY_NAME.get(name)
            if command is None:
                if tuple(words) == CLOSE:
                    continue
                raise Damaged(f"{name[:32]!r} is no effect")
            before = self._changes
            try:
                command.handler(context, *command.arguments(words))
            except CommandError as error:
                raise Damaged(f"{name.decode()} cannot be done again: {error}") from None
            if self._changes == before and name not in MAY_CHANGE_NOTHING:
                raise Damaged(f"{name.decode()} cannot be done again: it changes nothing")

    def _heard(self, *change: object) -> None:
        self._changes += 1

    def _unpack(self, key: bytes) -> None:
        # In a packed sorted set -0.0 becomes 0.0, so the one that got it was packed no more; which
        # may be from before the snapshot, or only because SORT has looked through it.
        value = self._context.db.values.get(key)
        if isinstance(value, SortedSet):
            value.is_packed = False

    def contents(self) -> Contents:
        """What is there now, of databases that have any."""
        return {each.index: (each.values, each.deadlines) for each in self.databases if each.values}


class _Keyspace(Keyspace):
    """Keys that stay until an effect takes them away."""

    __slots__ = ()

    def __init__(self, number: int, changed: Changed) -> None:
        super().__init__(_never, changed, _unneeded, index=number)

    def load(self, values: dict[bytes, Value], deadlines: Mapping[bytes, int]) -> None:
        self.values = values
        self.deadlines = dict(deadlines)

    def _set_deadline(self, key: bytes, deadline: int | None) -> None:
        # Without the sorted list: nobody sweeps here.
        if deadline is None:
            self.deadlines.pop(key, None)
        else:
            self.deadlines[key] = deadline

    def __len__(self) -> int:
        return len(self.values)


class _Changes(Changes):
    """Changes of whole databases, which go nowhere either."""

    __slots__ = ("heard",)

    heard: Changed

    def changed(self, database: int, operation: str, key: bytes | None, effect: Effect) -> None:
        self.heard(operation, key, effect)

    def tell(self, database: int, effect: Effect) -> None:
        pass


class _Server:
    """What the commands that are effects ask of the daemon around them."""

    def __init__(self, types: Mapping[str, DataType[Any]]) -> None:
        self._types = types
        self._of_class = {kind.python: kind for kind in types.values()}

    def type_of(self, value: Value) -> DataType[Any]:
        return self._of_class[value.__class__]

    def type_named(self, name: str) -> DataType[Any]:
        return self._types[name]


def _never() -> int:
    return INT64_MIN  # every deadline is ahead


def _unneeded(value: Value) -> bytes:
    return b""


def _nothing(message: object) -> None:
    pass


def _permit(*request: object) -> None:
    """What is done again was allowed when it was done."""


def _nested(*request: object) -> None:
    raise Damaged("an effect that brings others")
