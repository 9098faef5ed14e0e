"""The embedded engine: one keyspace in this process, the command handlers, and what follows from
a change of data.

:meth:`LocalEngine._changed` is the choke point: every change there is, a command's or a deadline's,
passes it once. It counts towards the next snapshot and is published on ``db_updates``.

May import: all that is pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from sys import getsizeof
from typing import Any

from zope.interface import implementer

from memdbd.clock import Clock
from memdbd.commands.spec import Command, Context, DataType, Handler, Server
from memdbd.dialects.updates import update
from memdbd.engines.interface import IEngine
from memdbd.eviction import BoundedKeyspace, Bounds
from memdbd.keyspace import Keyspace, Value
from memdbd.pubsub import Registry
from memdbd.replies import Reply
from memdbd.session import Session

UPDATES = b"db_updates"  # the channel on which each change of data is published


@implementer(IEngine)
class LocalEngine:
    """Keys in memory, within ``bounds``; ``types`` are the types of value there are."""

    def __init__(
        self,
        clock: Clock,
        channels: Registry,
        server: Server,
        types: Sequence[DataType],
        bounds: Bounds,
    ) -> None:
        self.channels = channels
        self.dirty = 0  # changes since the start; who writes snapshots remembers where it was
        self._clock = clock
        self._server = server
        self._bounded: BoundedKeyspace | None = None
        self.keyspace = Keyspace(clock.ms, self._changed)
        if bounds:
            sizes = {kind.python: kind.size for kind in types}
            self.keyspace = self._bounded = BoundedKeyspace(clock.ms, self._changed, bounds, sizes)

    def context(self, session: Session) -> Context:
        return Context(session, self.keyspace, self.channels, self._server)

    def execute(
        self, context: Context, command: Command, handler: Handler, arguments: Sequence[Any]
    ) -> Reply:
        if self._bounded is None or not command.writes:
            return handler(context, *arguments)
        if command.grows:
            keys = command.keys_of(arguments)
            objects = [argument for argument in arguments if isinstance(argument, bytes)]
            size = sum(map(getsizeof, objects)) - sum(map(getsizeof, keys))
            self._bounded.make_room(keys, size, replaces=command.replaces)
            return handler(context, *arguments)
        reply = handler(context, *arguments)
        # A longer name, or a deadline: no reason to refuse the command.
        self._bounded.fit()
        return reply

    # From and to disk, where deadlines are the wall's

    def load(self, values: dict[bytes, Value], deadlines: Mapping[bytes, int]) -> None:
        """Take over what a snapshot held."""
        drift = self._clock.drift_ms()
        if drift:
            deadlines = {key: deadline - drift for key, deadline in deadlines.items()}
        self.keyspace.load(values, deadlines)

    def copy(self) -> tuple[dict[bytes, Value], dict[bytes, int]]:
        """Shallow copies of the values and their deadlines, as they are now."""
        drift = self._clock.drift_ms()
        deadlines = self.keyspace.deadlines.copy()
        # Only a clock that was set makes this worth a pass over all deadlines.
        if abs(drift) >= 1000:
            deadlines = {key: deadline + drift for key, deadline in deadlines.items()}
        return self.keyspace.values.copy(), deadlines

    def stats(self) -> dict[str, int]:
        """What the keyspace and the channels have counted."""
        counted = {
            "keys": len(self.keyspace),
            "keys_with_deadline": len(self.keyspace.deadlines),
            "changes": self.dirty,
            "expired": self.keyspace.expired,
            "channels": len(self.channels.channels),
            "messages_published": self.channels.published,
            "messages_delivered": self.channels.delivered,
        }
        if self._bounded is not None:
            counted["evicted"] = self._bounded.evicted
            counted["memory_counted_bytes"] = self._bounded.memory
        return counted

    def _changed(self, operation: str, key: bytes | None) -> None:
        self.dirty += 1
        if UPDATES in self.channels.channels:
            self.channels.publish(UPDATES, update(operation, key, self._clock.wall_ms()))
