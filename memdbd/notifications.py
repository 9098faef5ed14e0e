"""Keyspace notifications: changes of keys as messages on channels, as Redis publishes them.

Strategy: what is wanted is a set of letters, as in ``notify-keyspace-events``; while it asks for
anything, changes are listened to, and a table says which of Redis's events a change is and of which
class. Each is published on ``__keyspace@0__:key`` and on ``__keyevent@0__:event``, as wanted.

May import: errors, pubsub, changes, session, commands.spec.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from memdbd.changes import Changes
from memdbd.commands.spec import Command
from memdbd.errors import CommandError
from memdbd.pubsub import Registry
from memdbd.session import Session

ALL = "g$lshzxetd"  # what "A" stands for
KEYSPACE, KEYEVENT, KEY_MISS, NEW = "K", "E", "m", "n"
_KNOWN = frozenset((*ALL, KEYSPACE, KEYEVENT, KEY_MISS, NEW))

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

    ``attendants`` is the list that it joins while keys that are missed are wanted.
    """

    def __init__(self, channels: Registry, changes: Changes, attendants: list[Any]) -> None:
        self._channels = channels
        self._changes = changes
        self._attendants = attendants
        self.letters: frozenset[str] = frozenset()

    def want(self, letters: frozenset[str]) -> None:
        """Publish this from now on."""
        listened, missed = self._is_wanted(self.letters), self._misses(self.letters)
        self.letters = letters
        _join_or_leave(
            self._changes.listeners, self.changed, was=listened, will_be=self._is_wanted(letters)
        )
        _join_or_leave(self._attendants, self, was=missed, will_be=self._misses(letters))

    def _is_wanted(self, letters: frozenset[str]) -> bool:
        """Whether anything is published, which takes a class and a kind of channel."""
        return bool(letters & {KEYSPACE, KEYEVENT} and letters & frozenset(ALL))

    def _misses(self, letters: frozenset[str]) -> bool:
        return bool(letters & {KEYSPACE, KEYEVENT}) and KEY_MISS in letters

    def changed(self, database: int, operation: str, key: bytes | None) -> None:
        """Something has changed: see :data:`memdbd.changes.Listener`."""
        if key is None:
            return
        for letter, event in EVENTS.get(operation, ()):
            if letter in self.letters:
                self._publish(database, event, key)

    def admit(
        self, session: Session, command: Command, argv: Sequence[bytes], run: Callable[[], Any]
    ) -> None:
        """Nothing is held back."""

    def saw(
        self, session: Session, command: Command, argv: Sequence[bytes], *, nested: bool
    ) -> None:
        """Tell of keys that were to be read and are not there."""
        if not command.reads or command.writes or command.name.startswith("object "):
            return
        with suppress(CommandError):  # such a request has read nothing
            for key in command.keys_of(argv):
                if not self._changes.waiting.is_there((session.database, key)):
                    self._publish(session.database, "keymiss", key)

    def _publish(self, database: int, event: str, key: bytes) -> None:
        name = event.encode()
        if KEYSPACE in self.letters:
            self._channels.publish(b"__keyspace@%d__:%b" % (database, key), name)
        if KEYEVENT in self.letters:
            self._channels.publish(b"__keyevent@%d__:%b" % (database, name), key)


def _join_or_leave(those: list[Any], one: object, *, was: bool, will_be: bool) -> None:
    if will_be and not was:
        those.append(one)
    elif was and not will_be:
        those.remove(one)
