"""Who has a password hashed when: a short queue in front of one thread.

Strategy: one hash is made at a time, in a thread, and never on the loop. Behind a failed attempt
there is a rest, three times as long as it took, so that those who guess have a quarter of a core at
most; but no longer than guessing has to be slow, since others wait too. The queue is short, and
fair by the network from which an attempt comes: one from which a log-in has succeeded of late goes
before the others; then, whose turn was longest ago is next. When the queue is full, who has most in
it gives way, and of those who have as many, who is not known. Attempts that are alike, as when a
hundred connections of one program come back at once, are one. Nothing else is kept of what was
found, so that a right password takes as long as a wrong one.

May import: errors, limits, Twisted.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from memdbd.errors import CommandError
from memdbd.limits import Alarms

T = TypeVar("T")

MOST_KNOWN = 1024  # networks

# Runs a function elsewhere, as twisted.internet.threads.deferToThread does.
InThread = Callable[[Callable[[], Any]], Deferred[Any]]
CallLater = Callable[[float, Callable[[], object]], object]


class _Job(Generic[T]):
    """``begin()`` gives what is to be done in the thread, when its turn has come."""

    __slots__ = ("begin", "network", "waiting")

    def __init__(self, network: str, begin: Callable[[], Callable[[], T]]) -> None:
        self.network = network
        self.begin = begin
        self.waiting: list[Deferred[T]] = []


class Hashing:
    """Makes hashes, one after another.

    ``seconds()`` is the time; ``is_failure(result)`` tells whether an attempt came to nothing.
    """

    MOST = 16  # attempts in the queue
    REST = 3.0  # times what one took that failed
    LEAST_REST, MOST_REST = 0.1, 0.3  # seconds; where cores are busy, an attempt takes long

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
        self._turn = 0
        self._turns: OrderedDict[str, int] = OrderedDict()  # of each network the last
        self._known: OrderedDict[str, int] = OrderedDict()  # networks of which one came in
        self._running: _Job[Any] | None = None
        self._running_key: Hashable = None
        self._begun = 0.0  # when that was
        self._is_busy = False  # at work, or at rest

    def __len__(self) -> int:
        """How many wait."""
        return len(self._jobs)

    def ask(self, key: Hashable, network: str, begin: Callable[[], Callable[[], T]]) -> Deferred[T]:
        """What the function gives that ``begin()`` gives, run in the thread.

        Attempts with the same ``key`` are one. ``network`` is where it comes from; "" is ourselves,
        for whom there is always room. Fails with CommandError where there is none. To cancel it is
        to wait no more.
        """
        waiting: Deferred[T] = Deferred(partial(self._leave, key))
        if self._running is not None and key == self._running_key:
            self._running.waiting.append(waiting)
            return waiting
        job = self._jobs.get(key)
        if job is None:
            if network and len(self._jobs) >= self.MOST and not self._make_room(network):
                return fail(_busy())
            job = self._jobs[key] = _Job(network, begin)
        job.waiting.append(waiting)
        if not self._is_busy:
            self._next()
        return waiting

    def _leave(self, key: Hashable, waiting: Deferred[Any]) -> None:
        """Whoever asked waits no more; what nobody waits for, and has not begun, is not done."""
        job = self._jobs.get(key)
        if job is None:
            job = self._running if key == self._running_key else None
        if job is not None and waiting in job.waiting:
            job.waiting.remove(waiting)
            if not job.waiting and job is not self._running:
                del self._jobs[key]

    def _make_room(self, network: str) -> bool:
        """Send away the last attempt of whoever has most; False where that is ``network``."""
        self._alarms.fire(
            "login_queue", f"more log-ins than can be looked at, the last one from {network!r}"
        )

        def rank(network: str, count: int) -> tuple[bool, int]:
            return network not in self._known, count

        counts = Counter(job.network for job in self._jobs.values() if job.network)
        if not counts:
            return False
        most = max(counts, key=lambda each: rank(each, counts[each]))
        if rank(most, counts[most]) <= rank(network, counts[network] + 1):
            return False
        key = next(key for key, job in reversed(self._jobs.items()) if job.network == most)
        self._settle(self._jobs.pop(key), Failure(_busy()))
        return True

    def _next(self) -> None:
        if not self._jobs:
            self._is_busy = False
            return
        self._is_busy = True
        key = min(self._jobs, key=lambda key: self._rank(self._jobs[key]))
        self._running_key, self._running = key, self._jobs.pop(key)
        self._turn += 1
        _remember(self._turns, self._running.network, self._turn)
        self._begun = self._seconds()
        try:
            done = self._in_thread(self._running.begin())
        except Exception:  # or nobody would ever log in again
            done = fail(Failure())
        done.addBoth(self._done)

    def _rank(self, job: _Job[Any]) -> tuple[bool, int]:
        """Who is least, is next: ourselves, who is known, whose turn was longest ago."""
        is_unknown = bool(job.network) and job.network not in self._known
        return is_unknown, self._turns.get(job.network, 0)

    def _done(self, result: Any) -> None:
        job, self._running, self._running_key = self._running, None, None
        failed = isinstance(result, Failure) or self._is_failure(result)
        if job is not None and failed:
            self._known.pop(job.network, None)
        elif job is not None and job.network:
            _remember(self._known, job.network, self._turn)
        if failed:
            took = self._seconds() - self._begun
            rest = min(max(self.LEAST_REST, self.REST * took), self.MOST_REST)
            self._call_later(rest, self._next)
        else:
            self._next()
        if job is not None:
            self._settle(job, result)

    def _settle(self, job: _Job[Any], result: Any) -> None:
        for waiting in job.waiting:
            waiting.callback(result)  # a Failure too: each of them fails


def _remember(networks: OrderedDict[str, int], network: str, turn: int) -> None:
    """Note something about a network, and forget it of the one about which it was longest ago."""
    networks[network] = turn
    networks.move_to_end(network)
    if len(networks) > MOST_KNOWN:
        networks.popitem(last=False)


def _busy() -> CommandError:
    return CommandError("too many log-ins at a time, try again", code="TRYAGAIN")
