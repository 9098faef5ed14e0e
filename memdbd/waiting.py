"""Clients that wait for a key: who is served when, and who no longer waits.

Strategy: a queue of waiters for each key that anybody waits for. A change of such a key only marks
it as ready; when the command, or the transaction, that changed it has ended, the queues of the
ready keys are gone through in order of arrival, and each waiter makes its attempt. What that
changes may make more keys ready. So an element goes to exactly one waiter, and to none that has
left. The order is that of Redis 7.0's ``handleClientsBlockedOnKeys`` (blocked.c): of the keys as
they became ready, of the clients as they came.

May import: errors, replies, session.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Protocol

from memdbd.errors import CommandError, WrongType
from memdbd.replies import Pending, Reply
from memdbd.session import Session

Place = tuple[int, bytes]  # a database's number and a key in it


class Timer(Protocol):
    """A call to come, that can be called off."""

    def cancel(self) -> None: ...
    def active(self) -> bool: ...


CallLater = Callable[[float, Callable[[], object]], Timer]


class _Waiter:
    """One client that waits for any of ``places``."""

    __slots__ = ("attempt", "otherwise", "pending", "places", "session", "timer")

    def __init__(
        self,
        session: Session,
        places: Sequence[Place],
        attempt: Callable[[bytes], Any],
        otherwise: Reply,
    ) -> None:
        self.session = session
        self.places = places
        self.attempt = attempt
        self.otherwise = otherwise
        self.pending = Pending()
        self.timer: Timer | None = None


class Waiting:
    """All clients that wait for keys.

    ``is_there(place)`` tells whether there is such a key; ``serving(session)`` is called before
    what is done is done for that client; ``failed(session)`` is called where that raises what it
    should not, for the reply.
    """

    __slots__ = ("_queues", "_ready", "_waiters", "failed", "is_there", "serving")

    def __init__(
        self, is_there: Callable[[Place], bool], serving: Callable[[Session], None]
    ) -> None:
        # Ordered dicts, for their first entry is found in O(1) however many before it are gone.
        self._queues: dict[Place, OrderedDict[_Waiter, None]] = {}
        self._waiters: dict[Session, _Waiter] = {}
        self._ready: dict[Place, None] = {}
        self.is_there = is_there
        self.serving = serving
        self.failed: Callable[[Session], CommandError] = _failed

    def __len__(self) -> int:
        """How many clients wait."""
        return len(self._waiters)

    @property
    def is_ready(self) -> bool:
        """Whether there is somebody to be served."""
        return bool(self._ready)

    def __contains__(self, session: Session) -> bool:
        return session in self._waiters

    def wait(
        self,
        session: Session,
        database: int,
        keys: Sequence[bytes],
        attempt: Callable[[bytes], Any],
        seconds: float,
        otherwise: Reply,
        call_later: CallLater,
    ) -> Pending:
        """See :meth:`Context.wait_for <memdbd.commands.context.Context.wait_for>`."""
        places = [(database, key) for key in dict.fromkeys(keys)]
        waiter = _Waiter(session, places, attempt, otherwise)
        waiter.pending.abandoned = lambda: self._leave(waiter)
        if seconds:
            waiter.timer = call_later(seconds, lambda: self._end(waiter, waiter.otherwise))
        self._waiters[session] = waiter
        for place in places:
            self._queues.setdefault(place, OrderedDict())[waiter] = None
        return waiter.pending

    def unblock(self, session: Session, error: CommandError | None) -> bool:
        """Let a client wait no more, as after its time, or with an error; False where it does
        not."""
        waiter = self._waiters.get(session)
        if waiter is None:
            return False
        self._end(waiter, waiter.otherwise if error is None else error)
        return True

    def changed(self, database: int, key: bytes | None) -> None:
        """A key has changed (None: any may have)."""
        if key is not None:
            self._make_ready((database, key))
            return
        for place in tuple(self._queues):
            if place[0] == database:
                self._make_ready(place)

    def _make_ready(self, place: Place) -> None:
        # What is gone now may come again before anybody is served, but later than other keys.
        if place in self._queues and self.is_there(place):
            self._ready[place] = None

    def serve(self) -> None:
        """Serve those who wait for what has changed since the last time."""
        while self._ready:
            place = next(iter(self._ready))
            del self._ready[place]
            self._serve(place)

    def _serve(self, place: Place) -> None:
        skipped = 0  # those who wait for something else to be there
        while (queue := self._queues.get(place)) and self.is_there(place):
            waiter = next(islice(queue, skipped, None), None)
            if waiter is None:
                return
            if waiter.pending.is_deserted():
                self._leave(waiter)
                continue
            self.serving(waiter.session)
            reply: Reply
            try:
                reply = waiter.attempt(place[1])
            except WrongType:
                reply = None
            except CommandError as error:
                reply = error.bare()
            except Exception:  # it is his request that fails, not that of whoever made the key
                reply = self.failed(waiter.session)
            if reply is None:
                skipped += 1
            else:
                self._end(waiter, reply)

    def _end(self, waiter: _Waiter, reply: Reply) -> None:
        self._leave(waiter)
        waiter.pending.resolve(reply)

    def _leave(self, waiter: _Waiter) -> None:
        if waiter.timer is not None and waiter.timer.active():
            waiter.timer.cancel()
        waiter.timer = None  # which knows the waiter
        self._waiters.pop(waiter.session, None)
        for place in waiter.places:
            queue = self._queues.get(place)
            if queue is not None:
                queue.pop(waiter, None)
                if not queue:
                    del self._queues[place]


def _failed(session: Session) -> CommandError:
    """The reply where nobody else has a better one."""
    return CommandError("internal error")
