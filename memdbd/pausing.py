"""Clients that are held up: all of their requests, or those that write, until a time.

Strategy: while there is a pause it is among the dispatcher's attendants, and answers what it holds
with a reply to come. When it ends, what was held is run in the order in which it came, but by the
reactor: whoever ends it may be in the middle of a transaction. So nobody pays for it but those who
are held. The rules are those of CLIENT PAUSE in Redis 7.0 (networking.c).

May import: audience, replies, session, waiting, commands.spec.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from memdbd.audience import Audience
from memdbd.commands.spec import Command
from memdbd.replies import Pending, Reply
from memdbd.session import Session
from memdbd.waiting import CallLater, Timer

# They change no key, and yet are what others would have to be told of.
AS_GOOD_AS_WRITES = frozenset({"publish", "spublish", "pfcount"})


class Pause:
    """The one pause there may be.

    ``ms()`` is the time in milliseconds; ``attendants`` is what it joins while it lasts.
    """

    def __init__(
        self,
        ms: Callable[[], int],
        call_later: CallLater,
        attendants: Audience[Any],
    ) -> None:
        self._ms = ms
        self._call_later = call_later
        self._attendants = attendants
        self._until = 0
        self._only_writes = True
        self._timer: Timer | None = None
        # What is held, in order of arrival.
        self._held: dict[Pending, tuple[Session, Command, Callable[[], Reply]]] = {}

    @property
    def is_on(self) -> bool:
        return self in self._attendants

    def begin(self, ms: int, *, only_writes: bool) -> None:
        """Hold requests for so many milliseconds. A pause that is on gets no shorter by this, and
        holds no less."""
        self._only_writes = only_writes and (self._only_writes or not self.is_on)
        now = self._ms()
        self._until = max(self._until, now + ms)
        self._stop_timer()
        self._timer = self._call_later((self._until - now) / 1000, self.end)
        self._attendants.join(self)

    def end(self) -> None:
        """Hold no more, and have run soon what was held."""
        if not self.is_on:
            return
        self._attendants.leave(self)
        self._until = 0
        self._stop_timer()
        self._call_later(0, self._release)

    def _release(self) -> None:
        for pending, (session, command, run) in tuple(self._held.items()):
            if pending in self._held and not (self.is_on and self._holds(session, command)):
                del self._held[pending]
                _resolve(pending, run())

    def admit(
        self, session: Session, command: Command, argv: Sequence[bytes], run: Callable[[], Reply]
    ) -> Pending | None:
        if not self._holds(session, command):
            return None
        pending = Pending()
        pending.abandoned = partial(self._held.pop, pending, None)
        self._held[pending] = session, command, run
        return pending

    def saw(
        self, session: Session, command: Command, argv: Sequence[bytes], *, nested: bool
    ) -> None:
        """Nothing to do for what was run."""

    def _holds(self, session: Session, command: Command) -> bool:
        if command.ends:
            return False
        if not self._only_writes or _writes(command):
            return True
        queue = session.queue if command.name == "exec" else None
        return any(_writes(queued) for queued, _ in queue or ())

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


def _writes(command: Command) -> bool:
    return command.writes or command.name in AS_GOOD_AS_WRITES


def _resolve(pending: Pending, reply: Reply) -> None:
    """Give a reply, which may again be one to come."""
    if isinstance(reply, Pending):
        pending.stand_for(reply)
    else:
        pending.resolve(reply)
