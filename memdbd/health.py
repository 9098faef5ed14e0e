"""Whether the journal can be trusted, and what is refused while it cannot.

What could not be written or synced was done in memory all the same. Until it is known what becomes
of that, no more is done, and nobody is shown it: a daemon that ends now would come back without.

May import: effects, errors, commands.context, .spec and .transactions.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence

from memdbd.commands.context import Context
from memdbd.commands.spec import Command, Flag
from memdbd.commands.transactions import Discarded
from memdbd.effects import Effect, touched
from memdbd.errors import NotCommitted

Guard = Callable[[Context, Command, Sequence[bytes]], None]


class State(enum.Enum):
    """Whether writes are taken, and if not, why."""

    HEALTHY = "healthy"
    BLOCKED = "read-only: the journal cannot be written"
    DAMAGED = "read-only: what is on disk was damaged"
    DISTRUSTED = "read-only: the journal could not be synced"


class Health:
    """The journal's ``state``, with the ``reason`` for any but HEALTHY.

    ``guard(check)`` has ``check`` called for each request before it is run, until ``guard(None)``.
    """

    def __init__(self, guard: Callable[[Guard | None], object]) -> None:
        self.state = State.HEALTHY
        self.reason = ""
        self.failures = 0  # of writes and of syncs
        self._guard = guard
        self._hidden: dict[int, set[bytes | None]] = {}  # keys by database; None: all of them

    @property
    def is_good(self) -> bool:
        return self.state is State.HEALTHY

    @property
    def is_usable(self) -> bool:
        """Whether what is written to the journal gets to the disk."""
        return self.state in (State.HEALTHY, State.DAMAGED)

    def check(self) -> None:
        """Raise NotCommitted where it is in trouble."""
        if not self.is_good:
            raise self.refusal()

    def worsen(self, state: State, error: Exception) -> None:
        """It is in this trouble now, because of ``error``."""
        self.state = state
        self.failures += 1
        self.reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        self._guard(self._look_at)

    def hide(self, effects: Iterable[Effect]) -> None:
        """Show nobody what was changed by these."""
        for database, key in touched(effects):
            self._hidden.setdefault(database, set()).add(key)

    def recover(self) -> None:
        """All that was done is on disk."""
        self.state = State.HEALTHY
        self.reason = ""
        self._hidden.clear()
        self._guard(None)

    def refusal(self) -> NotCommitted:
        """What is answered to who wants to write."""
        return NotCommitted(
            f"Errors writing to the journal: {self.reason or self.state.value}",
            "writes are refused until it works again, reads go on; see info persistence",
        )

    def _look_at(self, context: Context, command: Command, argv: Sequence[bytes]) -> None:
        """Raise for a request that would change something, or show what is hidden."""
        if command.writes:
            raise self.refusal().rejecting()
        if command.name == "exec" and any(each.writes for each, _ in context.session.queue or ()):
            why = self.refusal()
            discarded = f"Transaction discarded because of: {why.code} {why}"
            raise Discarded(discarded, why.hint).rejecting()
        if self._hidden and command.flags & Flag.READ:
            # What SORT_RO looks up by a pattern is not among its keys.
            hidden = self._hidden.get(context.session.database)
            keys = () if command.name == "sort_ro" else command.keys_of(argv)
            if hidden and (not keys or None in hidden or not hidden.isdisjoint(keys)):
                raise NotCommitted(
                    f"the last change of this could not be written to disk: {self.reason}",
                    "it can be read again when it is known what becomes of that change",
                ).rejecting()
