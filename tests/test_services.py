"""Services on a Clock: what is called when, and what a failure does not stop."""

from __future__ import annotations

from itertools import pairwise

import pytest
from harness import TurnClock, outcome
from helpers_pure import no_payload
from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, fail
from twisted.logger import capturedLogs

from memdbd.effects import Effect
from memdbd.keyspace import Keyspace
from memdbd.services import Gravedigger, Periodic, Stack, Sweeper
from memdbd.structs.graveyard import Graveyard


class Recorder(Service):
    """Writes down its start and its stop; the stop gives ``ending``."""

    def __init__(self, name: str, record: list[str], ending: object = None) -> None:
        self.name = name
        self._record = record
        self._ending = ending

    def startService(self) -> None:
        self._record.append(f"start {self.name}")

    def stopService(self) -> None:
        self._record.append(f"stop {self.name}")
        if isinstance(self._ending, Exception):
            raise self._ending
        return self._ending  # type: ignore[return-value] # a Deferred, as Twisted allows


def stack(*services: Recorder) -> Stack:
    """A stack of them, started."""
    whole = Stack()
    for service in services:
        service.setServiceParent(whole)
    whole.startService()
    return whole


class TestStack:
    def test_starts_from_the_bottom_and_stops_from_the_top(self) -> None:
        record: list[str] = []
        whole = stack(*(Recorder(name, record) for name in "abc"))
        assert outcome(whole.stopService()) is None
        assert record == ["start a", "start b", "start c", "stop c", "stop b", "stop a"]
        assert not whole.running

    def test_waits_for_each_before_it_stops_the_next(self) -> None:
        record: list[str] = []
        ending: Deferred[None] = Deferred()
        whole = stack(Recorder("below", record), Recorder("above", record, ending))
        stopped = whole.stopService()
        assert record[2:] == ["stop above"]
        assert not stopped.called
        ending.callback(None)
        assert record[2:] == ["stop above", "stop below"]
        assert outcome(stopped) is None

    @pytest.mark.parametrize("ending", [ZeroDivisionError(), fail(ZeroDivisionError())])
    def test_logs_a_stop_that_fails_and_goes_on(self, ending: object) -> None:
        record: list[str] = []
        above = Recorder("above", record, ending)
        whole = stack(Recorder("below", record), above)
        with capturedLogs() as events:
            assert outcome(whole.stopService()) is None
        assert record[2:] == ["stop above", "stop below"]
        assert [(event["service"], event["log_failure"].type) for event in events] == [
            (above, ZeroDivisionError)
        ]

    def test_is_a_service_of_twisteds(self) -> None:
        assert IService.providedBy(Stack())


class TestPeriodic:
    def test_calls_at_each_interval_and_not_at_the_start(self) -> None:
        clock, calls = TurnClock(), list[float]()
        service = Periodic(clock, 10, lambda: calls.append(clock.seconds()))
        service.startService()
        clock.pump([0, 9, 1, 9, 1])
        assert calls == [10, 20]

    def test_goes_on_after_an_exception_which_it_logs_and_counts(self) -> None:
        clock, calls = TurnClock(), list[float]()

        def fails_first() -> None:
            calls.append(clock.seconds())
            if len(calls) == 1:
                raise ZeroDivisionError

        service = Periodic(clock, 10, fails_first)
        service.startService()
        with capturedLogs() as events:
            clock.pump([10, 10, 10])
        assert calls == [10, 20, 30]
        assert [event["log_failure"].type for event in events] == [ZeroDivisionError]
        assert service.failures == 1

    def test_calls_nothing_once_stopped(self) -> None:
        clock, calls = TurnClock(), list[float]()
        service = Periodic(clock, 10, lambda: calls.append(clock.seconds()))
        service.startService()
        service.stopService()
        clock.advance(100)
        assert calls == []
        assert clock.getDelayedCalls() == []

    def test_another_interval_begins_at_once(self) -> None:
        clock, calls = TurnClock(), list[float]()
        service = Periodic(clock, 10, lambda: calls.append(clock.seconds()))
        service.every(20)  # before the start, too
        service.startService()
        clock.pump([10, 5])
        service.every(3)
        clock.pump([2, 1, 3])
        assert calls == [18, 21]
        service.stopService()
        assert clock.getDelayedCalls() == []

    def test_can_be_stopped_without_a_start(self) -> None:
        Periodic(TurnClock(), 10, int).stopService()


class Slow(TurnClock):
    """A clock on which each look takes a millisecond."""

    LOOK = 0.001

    def seconds(self) -> float:
        self.rightNow += self.LOOK
        return self.rightNow


class TestSweeper:
    def full(self, clock: TurnClock, keys: int) -> tuple[Keyspace, Sweeper]:
        """A keyspace whose keys are all due, and its sweeper, started."""
        keyspace = Keyspace(lambda: 2000, lambda *change: None, no_payload)
        keyspace.load({b"%d" % n: b"v" for n in range(keys)}, {b"%d" % n: n for n in range(keys)})
        sweeper = Sweeper(clock, 0.1, [keyspace])
        sweeper.startService()
        return keyspace, sweeper

    def test_takes_out_what_is_due_at_each_interval(self) -> None:
        clock = TurnClock()
        keyspace, _ = self.full(clock, 1)
        assert keyspace.values
        clock.advance(0.1)
        assert keyspace.values == {}
        keyspace.load({b"k": b"v"}, {b"k": 1})
        clock.advance(0.1)
        assert keyspace.values == {}

    def test_leaves_what_is_not_due(self) -> None:
        clock = TurnClock()
        keyspace, _ = self.full(clock, 0)
        keyspace.load({b"k": b"v", b"for ever": b"v"}, {b"k": 2001})
        clock.advance(0.1)
        assert list(keyspace.values) == [b"k", b"for ever"]

    def test_holds_the_loop_no_longer_than_its_slice_and_goes_on_after_as_long(self) -> None:
        clock = Slow()
        keyspace, _ = self.full(clock, 2000)
        clock.passes(0.1)
        left = []
        while keyspace.values:
            clock.passes(Sweeper.SLICE)
            clock.turn()
            left.append(len(keyspace.values))
        # Five looks of a millisecond, one after each batch, and it is the next one's turn.
        took = [before - after for before, after in zip([2000, *left], left, strict=False)]
        assert set(took[:-1]) == {5 * Sweeper.BATCH}

    def test_sweeps_all_in_one_slice_where_there_is_time(self) -> None:
        clock = TurnClock()
        keyspace, _ = self.full(clock, 2000)
        clock.passes(0.1)
        clock.turn()
        assert keyspace.values == {}

    def test_does_not_sweep_twice_where_a_slice_is_still_to_come(self) -> None:
        clock = Slow()
        keyspace, sweeper = self.full(clock, 2000)
        clock.passes(0.1)
        clock.turn()
        waiting = len(clock.getDelayedCalls())
        sweeper._sweep()
        assert len(clock.getDelayedCalls()) == waiting
        assert len(keyspace.values) == 2000 - 5 * Sweeper.BATCH

    def test_goes_round_where_one_keyspace_has_more_than_a_slice_can_take(self) -> None:
        clock = Slow()
        endless, sweeper = self.full(clock, 100_000)
        other = Keyspace(lambda: 2000, lambda *change: None, no_payload)
        other.load({b"k": b"v"}, {b"k": 1})
        sweeper._keyspaces = [endless, other]
        clock.passes(0.1)
        clock.turn()
        assert other.values
        clock.passes(Sweeper.SLICE)
        clock.turn()
        assert endless.values
        assert not other.values

    def test_stops_in_the_middle(self) -> None:
        clock = Slow()
        keyspace, sweeper = self.full(clock, 2000)
        clock.passes(0.1)
        clock.turn()
        sweeper.stopService()
        left = len(keyspace.values)
        assert clock.getDelayedCalls() == []
        assert 0 < left < 2000

    def test_a_defect_in_a_later_slice_is_logged_and_counted_too(self) -> None:
        clock = Slow()
        keyspace, sweeper = self.full(clock, 2000)
        clock.passes(0.1)
        clock.turn()

        def changed(operation: str, key: bytes | None, effect: Effect) -> None:
            raise ZeroDivisionError

        keyspace.changed = changed
        with capturedLogs() as events:
            clock.passes(Sweeper.SLICE)
            clock.turn()
        assert [event["log_failure"].type for event in events] == [ZeroDivisionError]
        assert sweeper.failures == 1

    def test_a_defect_in_the_keyspace_does_not_end_it(self) -> None:
        clock = TurnClock()
        keyspace, _ = self.full(clock, 1)
        told: list[bytes | None] = []

        def changed(operation: str, key: bytes | None, effect: Effect) -> None:
            told.append(key)
            if len(told) == 1:
                raise ZeroDivisionError

        keyspace.changed = changed
        with capturedLogs() as events:
            clock.advance(0.1)
        assert len(events) == 1
        keyspace.load({b"k": b"v"}, {b"k": 1})
        clock.advance(0.1)
        assert told == [b"0", b"k"]


class TestGravedigger:
    SIZE = 20_000

    def buried(self, clock: TurnClock, *dead: object) -> Gravedigger:
        """What digs for these, once it is its turn."""
        graveyard = Graveyard()
        digger = Gravedigger(clock, graveyard)
        digger.startService()
        for container in dead:
            graveyard.bury(container)
        return digger

    def test_frees_all_a_little_later(self) -> None:
        clock, dead = TurnClock(), list(range(self.SIZE))
        self.buried(clock, dead)
        assert len(dead) == self.SIZE
        clock.advance(Gravedigger.SLICE)
        assert dead == []
        assert clock.getDelayedCalls() == []

    def test_holds_the_loop_no_longer_than_its_slice_and_goes_on_after_as_long(self) -> None:
        clock, dead = Slow(), list(range(self.SIZE))
        self.buried(clock, dead)
        left = [len(dead)]
        while dead:
            clock.passes(Gravedigger.SLICE)
            clock.turn()
            left.append(len(dead))
        # Two looks of a millisecond, one after each batch, and it is the next one's turn.
        freed = {before - after for before, after in pairwise(left)}
        assert freed == {2 * Gravedigger.BATCH}

    def test_stops_in_the_middle(self) -> None:
        clock, dead = Slow(), list(range(self.SIZE))
        digger = self.buried(clock, dead)
        clock.passes(Gravedigger.SLICE)
        clock.turn()
        digger.stopService()
        assert clock.getDelayedCalls() == []
        assert 0 < len(dead) < self.SIZE

    def test_what_cannot_be_freed_in_slices_is_logged_and_the_rest_is_freed(self) -> None:
        clock, first, last = TurnClock(), list(range(self.SIZE)), list(range(self.SIZE))
        self.buried(clock, first, tuple(last), last)
        with capturedLogs() as events:
            clock.advance(Gravedigger.SLICE)
            clock.advance(Gravedigger.SLICE)
        assert [event["log_failure"].type for event in events] == [AttributeError]
        assert first == last == []
        assert clock.getDelayedCalls() == []
