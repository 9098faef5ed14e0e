"""Keyspace notifications: changes of keys as messages on channels, as Redis publishes them.

Strategy: what is wanted is a set of letters, as in ``notify-keyspace-events``; while it asks for
anything, changes are listened to, and a table says which of Redis's events a change is and of which
class. Each is published on ``__keyspace@0__:key`` and on ``__keyevent@0__:event``, as wanted.

May import: audience, errors, pubsub, databases, session, commands.spec.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from memdbd.audience import Audience
from memdbd.commands.spec import Command
from memdbd.databases import Databases
from memdbd.errors import CommandError
from memdbd.pubsub import Registry
from memdbd.session import Session

ALL = "g$lshzxetd"  # what "A" stands for
KEYSPACE, KEYEVENT, KEY_MISS, NEW = "K", "E", "m", "n"
_TOLD = frozenset(ALL)  # what changes tell of
_KNOWN = _TOLD | {KEYSPACE, KEYEVENT, KEY_MISS, NEW}

Event = tuple[str, str]  # the letter of its class, and its name


def _of_class(letter: str, *names: str) -> dict[str, tuple[Event, ...]]:
    return {name: ((letter, name),) for name in names}


# The events that each operation is.
EVENTS: Mapping[str, tuple[Event, ...]] = {
    # Those that are called otherwise here
    "delete": (("g", "del"),),
    "set_ttl": (("g", "expire"),),
    "expire": (("x", "expired"),),
    "evict": (("e", "evicted"),),
    "incr": (("$", "incrby"),),
    "set_with_ttl": (("$", "set"), ("g", "expire")),
    "pfcount": (),
    **_of_class(
        "g",
        "persist", "rename_from", "rename_to", "move_from", "move_to", "copy_to", "restore",
    ),
    **_of_class("$", "set", "append", "incrby", "incrbyfloat", "setrange", "setbit", "pfadd"),
    **_of_class(
        "l",
        "lpush", "rpush", "lpop", "rpop", "linsert", "lset", "lrem", "ltrim", "sortstore",
    ),
    **_of_class("s", "sadd", "srem", "spop", "sinterstore", "sunionstore", "sdiffstore"),
    **_of_class("h", "hset", "hdel", "hincrby", "hincrbyfloat"),
    **_of_class(
        "z",
        "zadd", "zincr", "zrem", "zremrangebyscore", "zremrangebyrank", "zremrangebylex",
        "zpopmin", "zpopmax", "zunionstore", "zinterstore", "zdiffstore", "zrangestore",
        "geosearchstore", "georadiusstore",
    ),
}  # fmt: skip


def parse(text: str) -> frozenset[str]:
    """The letters of a setting. Raises CommandError where one is none."""
    letters = frozenset(text.replace("A", ALL))
    if not letters <= _KNOWN:
        raise CommandError("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")
    return letters


def canonical(letters: Iterable[str]) -> str:
    """The setting as it is shown."""
    wanted = set(letters)
    classes = "A" if wanted.issuperset(ALL) else "".join(c for c in ALL + NEW if c in wanted)
    return classes + "".join(c for c in (KEYSPACE, KEYEVENT, KEY_MISS) if c in wanted)


class Notifier:
    """Publishes what is wanted on ``channels``, and nothing at first.

    ``attendants`` is what it joins while keys that are missed are wanted: no change tells of them,
    the requests do.
    """

    def __init__(self, channels: Registry, databases: Databases, attendants: Audience[Any]) -> None:
        self._channels = channels
        self._databases = databases
        self._attendants = attendants
        self.letters: frozenset[str] = frozenset()

    def want(self, letters: frozenset[str]) -> None:
        """Publish this from now on."""
        self.letters = letters if letters & {KEYSPACE, KEYEVENT} else frozenset()
        listeners = self._databases.changes.listeners
        _join_or_leave(listeners, self.changed, joins=bool(self.letters & _TOLD))
        _join_or_leave(self._attendants, self, joins=KEY_MISS in self.letters)
        self._databases.tell_of_new(self.born if NEW in self.letters else None)

    def changed(self, database: int, operation: str, key: bytes | None) -> None:
        """Something has changed: see :data:`memdbd.changes.Listener`."""
        if key is None:
            return
        for letter, event in EVENTS.get(operation, ()):
            if letter in self.letters:
                self._publish(database, event, key)

    def born(self, database: int, key: bytes) -> None:
        """A key is there that was not."""
        self._publish(database, "new", key)

    def admit(
        self, session: Session, command: Command, argv: Sequence[bytes], run: Callable[[], Any]
    ) -> None:
        """Nothing is held back."""

    def saw(
        self, session: Session, command: Command, argv: Sequence[bytes], *, nested: bool
    ) -> None:
        """Tell of keys that were to be read and are not there."""
        if command.reads and not command.writes and not command.name.startswith("object "):
            for database, key in self._missing(session, command, argv):
                self._publish(database, "keymiss", key)

    def _missing(
        self, session: Session, command: Command, argv: Sequence[bytes]
    ) -> Iterator[tuple[int, bytes]]:
        """The keys of a request that are not there, and their database."""
        with suppress(CommandError):  # one that does not say which are its keys, does nothing
            for key in command.keys_of(argv):
                place = session.database, key
                if not self._databases.waiting.is_there(place):
                    yield place

    def _publish(self, database: int, event: str, key: bytes) -> None:
        name = event.encode()
        if KEYSPACE in self.letters:
            self._channels.publish(b"__keyspace@%d__:%b" % (database, key), name)
        if KEYEVENT in self.letters:
            self._channels.publish(b"__keyevent@%d__:%b" % (database, name), key)


def _join_or_leave(those: Audience[Any], one: object, *, joins: bool) -> None:
    if joins:
        those.join(one)
    else:
        those.leave(one)
