"""The queue in front of the thread that makes hashes: short, fair, and what is alike is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from memdbd.errors import CommandError
from memdbd.hashing import Hashing
from memdbd.limits import Alarms


class Thread:
    """A thread that does what it was given when the test says so."""

    def __init__(self) -> None:
        self.works: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def __call__(self, function: Callable[[], Any]) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.works.append((function, done))
        return done

    def works_once(self) -> None:
        function, done = self.works.pop(0)
        try:
            result = function()
        except Exception as error:
            done.errback(error)
        else:
            done.callback(result)


class Queue:
    """The queue on a Clock, with its thread; ``None`` is what a failed attempt gives."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.thread = Thread()
        self.alarms = Alarms(self.clock.seconds, lambda sentence: None)
        self.hashing = Hashing(
            self.thread,
            self.clock.callLater,
            self.alarms,
            self.clock.seconds,
            lambda result: result is None,
        )
        self.got: list[tuple[object, object]] = []

    def asks(self, key: object, host: str = "here", result: object = True) -> None:
        def give() -> object:
            if isinstance(result, Exception):
                raise result
            return result

        asked: Deferred[object] = self.hashing.ask(key, host, lambda: give)
        asked.addCallback(lambda got: self.got.append((key, got)))
        asked.addErrback(lambda failure: self.got.append((key, type(failure.value))))

    def works(self) -> None:
        """Have all that waits done."""
        while self.thread.works:
            self.thread.works_once()
            while self.clock.getDelayedCalls() and not self.thread.works:
                self.clock.advance(Hashing.LEAST_REST)


@pytest.fixture
def queue() -> Queue:
    return Queue()


def test_one_is_made_at_a_time_in_order_of_arrival(queue: Queue) -> None:
    for key in "abc":
        queue.asks(key)
    assert len(queue.thread.works) == 1
    queue.works()
    assert queue.got == [("a", True), ("b", True), ("c", True)]


def test_attempts_that_are_alike_are_one_whether_they_wait_or_are_being_made(queue: Queue) -> None:
    for key in ("a", "b", "a", "b", "a"):
        queue.asks(key)
    assert len(queue.hashing) == 1  # b; a is in the thread
    made = 0
    while queue.thread.works:
        queue.thread.works_once()
        made += 1
    assert made == 2
    assert queue.got == [("a", True)] * 3 + [("b", True)] * 2


def test_nothing_is_kept_of_what_was_found(queue: Queue) -> None:
    queue.asks("a")
    queue.works()
    queue.asks("a")
    assert len(queue.thread.works) == 1


def test_behind_a_failed_attempt_there_is_a_rest(queue: Queue) -> None:
    queue.asks("wrong", result=None)
    queue.asks("right")
    queue.thread.works_once()
    assert queue.got == [("wrong", None)]  # who failed hears of it at once
    assert queue.thread.works == []
    queue.clock.advance(Hashing.LEAST_REST / 2)
    queue.asks("another")  # does not wake it
    assert queue.thread.works == []
    queue.clock.advance(Hashing.LEAST_REST / 2)
    assert len(queue.thread.works) == 1


def test_the_rest_is_longer_than_what_failed(queue: Queue) -> None:
    queue.asks("wrong", result=None)
    queue.asks("right")
    queue.clock.advance(0.06)  # it took
    queue.thread.works_once()
    queue.clock.advance(0.17)
    assert queue.thread.works == []
    queue.clock.advance(0.02)
    assert len(queue.thread.works) == 1


def test_the_rest_ends_however_long_an_attempt_took(queue: Queue) -> None:
    queue.asks("wrong", result=None)
    queue.asks("right")
    queue.clock.advance(2.0)  # it took, while the cores were busy
    queue.thread.works_once()
    queue.clock.advance(0.29)
    assert queue.thread.works == []
    queue.clock.advance(0.02)
    assert len(queue.thread.works) == 1


def test_a_queue_is_not_stopped_by_what_raises_in_the_thread(queue: Queue) -> None:
    queue.asks("a", result=MemoryError())
    queue.asks("b")
    queue.works()
    assert queue.got == [("a", MemoryError), ("b", True)]


def test_a_host_that_has_most_gives_way_when_the_queue_is_full(queue: Queue) -> None:
    queue.asks("running", "elsewhere")
    for number in range(Hashing.MOST):
        queue.asks(number, "guesser")
    queue.asks("mine", "home")
    assert queue.got == [(Hashing.MOST - 1, CommandError)]  # its last
    assert queue.alarms.counts == {"login_queue": 1}
    queue.works()
    assert ("mine", True) in queue.got


def test_a_host_does_not_wait_behind_all_of_another(queue: Queue) -> None:
    for number in range(4):
        queue.asks(number, "guesser", result=None)
    for name in ("mine", "also mine"):
        queue.asks(name, "home")
    queue.works()
    # Who came in once goes before those who did not.
    assert [key for key, _ in queue.got] == [0, "mine", "also mine", 1, 2, 3]


def test_networks_that_fail_take_turns(queue: Queue) -> None:
    for network in ("one", "one", "other", "other"):
        queue.asks(object(), network, result=None)
    served = []
    while queue.thread.works:
        served.append(queue.hashing._running.network if queue.hashing._running else "")
        queue.thread.works_once()
        queue.clock.advance(Hashing.LEAST_REST)
    assert served == ["one", "other", "one", "other"]


def test_who_came_in_of_late_has_room_though_as_many_others_wait(queue: Queue) -> None:
    queue.asks("in", "home")
    queue.works()
    queue.asks("running", "elsewhere")
    for number in range(Hashing.MOST):
        queue.asks(number, f"host {number}")
    queue.asks("again", "home")
    assert len([key for key, got in queue.got if got is CommandError]) == 1
    queue.works()
    assert ("again", True) in queue.got


def test_who_failed_since_is_known_no_more(queue: Queue) -> None:
    queue.asks("in", "home")
    queue.works()
    queue.asks("wrong", "home", result=None)
    queue.works()
    queue.asks("running", "elsewhere")
    for number in range(Hashing.MOST):
        queue.asks(number, f"host {number}")
    queue.asks("again", "home")
    assert ("again", CommandError) in queue.got


def test_a_thread_that_cannot_be_had_is_asked_again(queue: Queue) -> None:
    def no_thread(work: object) -> Deferred[Any]:
        raise RuntimeError("can't start new thread")

    queue.hashing._in_thread = no_thread
    queue.asks("a")
    assert queue.got == [("a", RuntimeError)]
    queue.hashing._in_thread = queue.thread
    queue.clock.advance(Hashing.LEAST_REST)
    queue.asks("b")
    queue.works()
    assert queue.got[1:] == [("b", True)]


def test_whoever_has_most_himself_is_refused(queue: Queue) -> None:
    queue.asks("running", "elsewhere")
    for number in range(Hashing.MOST):
        queue.asks(number, "guesser")
    queue.asks("one more", "guesser")
    assert queue.got == [("one more", CommandError)]
    assert len(queue.hashing) == Hashing.MOST


def test_hosts_with_one_each_are_not_sent_away_for_another(queue: Queue) -> None:
    queue.asks("running", "elsewhere")
    for number in range(Hashing.MOST):
        queue.asks(number, f"host {number}")
    queue.asks("one more", "yet another")
    assert queue.got == [("one more", CommandError)]


def test_for_ourselves_there_is_always_room_and_nobody_sends_us_away(queue: Queue) -> None:
    queue.asks("running", "elsewhere")
    for number in range(Hashing.MOST):
        queue.asks(number, "")
    queue.asks("ours", "")
    queue.asks("a guess", "guesser")
    assert queue.got == [("a guess", CommandError)]
    queue.works()
    assert ("ours", True) in queue.got


def test_what_nobody_waits_for_is_not_done(queue: Queue) -> None:
    queue.asks("first")
    one = queue.hashing.ask("second", "here", lambda: bool).addErrback(lambda failure: None)
    other = queue.hashing.ask("second", "here", lambda: bool).addErrback(lambda failure: None)
    one.cancel()
    assert len(queue.hashing) == 1
    other.cancel()
    assert len(queue.hashing) == 0


def test_who_leaves_while_it_is_done_is_not_told(queue: Queue) -> None:
    asked = queue.hashing.ask("first", "here", lambda: bool).addErrback(lambda failure: None)
    asked.cancel()
    queue.works()
    queue.asks("second")
    queue.works()
    assert queue.got == [("second", True)]


def test_what_is_done_is_found_out_when_its_turn_comes(queue: Queue) -> None:
    begun: list[str] = []

    def begin() -> type[bool]:
        begun.append("second")
        return bool

    queue.asks("first")
    queue.hashing.ask("second", "here", begin)
    assert begun == []
    queue.works()
    assert begun == ["second"]
