"""Who has a password hashed when: a short queue in front of one thread.

Strategy: one hash is made at a time, in a thread, and never on the loop. Behind a failed attempt
there is a rest, three times as long as it took: so those who guess have a quarter of a core at
most, whatever else it does. The queue is short, and fair by the host from which an attempt comes:
whose turn was longest ago is next, and when it is full, whoever has most in it gives way. Attempts
that are alike, as when a hundred connections of one program come back at once, are one. Nothing is
kept of what was found, so that a right password takes as long as a wrong one.

May import: errors, limits, Twisted.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from memdbd.errors import CommandError
from memdbd.limits import Alarms

T = TypeVar("T")

# Runs a function elsewhere, as twisted.internet.threads.deferToThread does.
InThread = Callable[[Callable[[], Any]], Deferred[Any]]
CallLater = Callable[[float, Callable[[], object]], object]


class _Job(Generic[T]):
    """``begin()`` gives what is to be done in the thread, when its turn has come."""

    __slots__ = ("begin", "host", "waiting")

    def __init__(self, host: str, begin: Callable[[], Callable[[], T]]) -> None:
        self.host = host
        self.begin = begin
        self.waiting: list[Deferred[T]] = []


class Hashing:
    """Makes hashes, one after another.

    ``seconds()`` is the time; ``is_failure(result)`` tells whether an attempt came to nothing.
    """

    MOST = 16  # attempts in the queue
    REST = 3.0  # times what one took that failed
    LEAST_REST = 0.1  # seconds

    def __init__(
        self,
        in_thread: InThread,
        call_later: CallLater,
        alarms: Alarms,
        seconds: Callable[[], float],
        is_failure: Callable[[Any], bool],
    ) -> None:
        self._in_thread = in_thread
        self._call_later = call_later
        self._alarms = alarms
        self._seconds = seconds
        self._is_failure = is_failure
        self._jobs: OrderedDict[Hashable, _Job[Any]] = OrderedDict()
        self._turns: dict[str, int] = {}  # of each host the last, since the queue was empty
        self._running: _Job[Any] | None = None
        self._running_key: Hashable = None
        self._begun = 0.0  # when that was
        self._is_busy = False  # at work, or at rest

    def __len__(self) -> int:
        """How many wait."""
        return len(self._jobs)

    def ask(self, key: Hashable, host: str, begin: Callable[[], Callable[[], T]]) -> Deferred[T]:
        """What the function gives that ``begin()`` gives, run in the thread.

        Attempts with the same ``key`` are one. ``host`` is where it comes from; "" is ourselves,
        for whom there is always room. Fails with CommandError where there is none.
        """
        waiting: Deferred[T] = Deferred()
        if self._running is not None and key == self._running_key:
            self._running.waiting.append(waiting)
            return waiting
        job = self._jobs.get(key)
        if job is None:
            if host and len(self._jobs) >= self.MOST and not self._make_room(host):
                return fail(_busy())
            job = self._jobs[key] = _Job(host, begin)
        job.waiting.append(waiting)
        if not self._is_busy:
            self._next()
        return waiting

    def _make_room(self, host: str) -> bool:
        """Send away the last attempt of the host that has most; False where that is ``host``."""
        self._alarms.fire(
            "login_queue", f"more log-ins than can be looked at, the last one from {host!r}"
        )
        counts = Counter(job.host for job in self._jobs.values() if job.host)
        most, count = counts.most_common(1)[0] if counts else ("", 0)
        if count <= counts[host] + 1:
            return False
        key = next(key for key, job in reversed(self._jobs.items()) if job.host == most)
        self._settle(self._jobs.pop(key), Failure(_busy()))
        return True

    def _next(self) -> None:
        if not self._jobs:
            self._is_busy = False
            self._turns.clear()
            return
        self._is_busy = True
        key = min(self._jobs, key=lambda key: self._turns.get(self._jobs[key].host, 0))
        self._running_key, self._running = key, self._jobs.pop(key)
        self._turns[self._running.host] = max(self._turns.values(), default=0) + 1
        self._begun = self._seconds()
        self._in_thread(self._running.begin()).addBoth(self._done)

    def _done(self, result: Any) -> None:
        job, self._running, self._running_key = self._running, None, None
        if isinstance(result, Failure) or self._is_failure(result):
            took = self._seconds() - self._begun
            self._call_later(max(self.LEAST_REST, self.REST * took), self._next)
        else:
            self._next()
        if job is not None:
            self._settle(job, result)

    def _settle(self, job: _Job[Any], result: Any) -> None:
        for waiting in job.waiting:
            waiting.callback(result)  # a Failure too: each of them fails


def _busy() -> CommandError:
    return CommandError("too many log-ins at a time, try again", code="TRYAGAIN")
