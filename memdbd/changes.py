"""What follows from a change of data: the choke point that every change passes once.

A command's change or a deadline's, its effect is kept for the journal, it is published on
``db_updates``, makes waiting clients look again, and spoils the transactions of those who watch
the key. Whoever else wants to hear of changes joins ``listeners``, while he does.

May import: audience, effects, pubsub, session, waiting, dialects.updates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from memdbd.audience import Audience
from memdbd.dialects.updates import update
from memdbd.effects import Effect
from memdbd.pubsub import Registry
from memdbd.session import Session
from memdbd.waiting import Waiting

UPDATES = b"db_updates"  # the channel on which each change of data is published

# Hears of a database's number, the name of the operation, and the key (None: all keys).
Listener = Callable[[int, str, bytes | None], None]


def nothing() -> None:
    """Hears of it, and does nothing."""


class Changes:
    """Tells everybody of changes. ``author`` is the session for which something is done now.

    ``effects`` is what was done since they were taken; ``begun()`` hears of the first of them.
    """

    __slots__ = (
        "_channels",
        "_selected",
        "_wall_ms",
        "author",
        "begun",
        "dirty",
        "effects",
        "listeners",
        "waiting",
        "watchers",
    )

    def __init__(self, channels: Registry, wall_ms: Callable[[], int], waiting: Waiting) -> None:
        self.dirty = 0  # changes since the start; who writes snapshots remembers where it was
        self.effects: list[Effect] = []
        self.begun: Callable[[], object] = nothing
        self._selected = 0  # the database of the next effect
        self.author: Session | None = None
        self.waiting = waiting
        self.watchers: dict[tuple[int, bytes], dict[Session, None]] = {}
        self.listeners: Audience[Listener] = Audience()
        self._channels = channels
        self._wall_ms = wall_ms

    def changed(self, database: int, operation: str, key: bytes | None, effect: Effect) -> None:
        """Something has changed."""
        self.dirty += 1
        if effect:
            # As in ``tell``, whose call each change would pay for.
            effects = self.effects
            if not effects:
                self.begun()
            if database != self._selected:
                self._select(database)
            effects.append(effect)
        if UPDATES in self._channels.channels:
            self._publish(database, operation, key)
        if self.watchers:
            self._touch(database, key)
        if self.waiting:
            self.waiting.changed(database, key)
        for listener in self.listeners.members:
            listener(database, operation, key)

    @property
    def is_quiet(self) -> bool:
        """Whether nobody wants to know of a change but the journal."""
        return not (
            self.watchers
            or self.waiting
            or self.listeners.members
            or UPDATES in self._channels.channels
        )

    def changed_quietly(self, database: int, effects: Sequence[Effect]) -> None:
        """So many things have changed, while it is quiet."""
        self.dirty += len(effects)
        for_journal = effects if all(effects) else [*filter(None, effects)]
        if for_journal:
            if not self.effects:
                self.begun()
            if database != self._selected:
                self._select(database)
            self.effects += for_journal

    def tell(self, database: int, effect: Effect) -> None:
        """The effect of a change that was heard of with none: it is one of another database."""
        if not self.effects:
            self.begun()
        if database != self._selected:
            self._select(database)
        self.effects.append(effect)

    def _select(self, database: int) -> None:
        self._selected = database
        self.effects.append((b"SELECT", b"%d" % database))

    def take_effects(self) -> list[Effect]:
        """What was done since the last time, in order."""
        taken, self.effects = self.effects, []
        self._selected = 0
        return taken

    def watch(self, session: Session, database: int, key: bytes) -> None:
        """Mark ``session`` as touched as soon as this key changes."""
        place = database, key
        if place not in session.watched:
            session.watched[place] = self.waiting.is_there(place)
            self.watchers.setdefault(place, {})[session] = None

    def unwatch(self, session: Session) -> None:
        """Watch no more, and forget what was seen."""
        for place in session.watched:
            watchers = self.watchers[place]
            del watchers[session]
            if not watchers:
                del self.watchers[place]
        session.watched.clear()
        session.touched = False

    def _publish(self, database: int, operation: str, key: bytes | None) -> None:
        self._channels.announce(UPDATES, update(operation, key, self._wall_ms(), database))

    def _touch(self, database: int, key: bytes | None) -> None:
        if key is not None:
            for session in self.watchers.get((database, key), ()):
                session.touched = True
            return
        for place, watchers in tuple(self.watchers.items()):
            if place[0] == database:
                is_there = self.waiting.is_there(place)
                for session in watchers:
                    # A key that was not there and is not there has not changed.
                    session.touched |= session.watched[place] or is_there
