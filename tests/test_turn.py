"""A turn's end: what was collected goes out once, when it is committed, and a failure stays where
it is."""

from __future__ import annotations

from harness import TurnClock
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from memdbd.core import Lane
from memdbd.errors import CommandError, NotCommitted
from memdbd.turn import Turn


class Recorder:
    """A connection that writes down what a turn does with it."""

    def __init__(self, name: str, record: list[str], *, fails: bool = False) -> None:
        self._name = name
        self._record = record
        self._fails = fails

    def flush(self) -> None:
        self._note("flush")

    def seal(self) -> None:
        self._note("seal")

    def release(self) -> None:
        self._note("release")

    def withdraw(self, error: CommandError) -> None:
        self._note(f"withdraw: {error}")

    def lane(self) -> Lane:
        """A clear lane to it."""
        lane = Lane(self, None)
        lane.attach(self)
        lane.is_clear = True
        return lane

    def recv(self, most: int) -> bytes:
        raise AssertionError("nothing is read here")

    def send(self, line: bytes) -> int:
        self._record.append(f"{self._name}: send {line.decode()}")
        return len(line) - 1

    def take_rest(self, rest: bytes) -> None:
        self._note(f"take rest {rest.decode()}")

    def collect(self, line: bytes) -> None:
        self._note(f"collect {line.decode()}")

    def go_on(self) -> None:
        self._note("go on")

    def fail(self) -> None:
        self._record.append(f"{self._name}: fail")

    def _note(self, what: str) -> None:
        self._record.append(f"{self._name}: {what}")
        if self._fails:
            raise ZeroDivisionError


def test_nothing_is_sent_before_the_end_of_the_turn() -> None:
    clock, record = Clock(), list[str]()
    Turn(clock, clock.seconds).owe(Recorder("a", record))
    assert record == []
    clock.advance(0)
    assert record == ["a: flush"]


def test_each_connection_is_flushed_once_a_turn_in_the_order_of_owing() -> None:
    clock, record = Clock(), list[str]()
    turn = Turn(clock, clock.seconds)
    for name in "ab":
        turn.owe(Recorder(name, record))
    assert len(clock.getDelayedCalls()) == 1
    clock.advance(0)
    assert record == ["a: flush", "b: flush"]
    assert clock.getDelayedCalls() == []


def test_all_are_flushed_before_any_goes_on() -> None:
    clock, record = Clock(), list[str]()
    turn = Turn(clock, clock.seconds)
    a, b = Recorder("a", record), Recorder("b", record)
    turn.unfinished(a)
    turn.owe(a)
    turn.owe(b)
    clock.advance(0)
    assert record == ["a: flush", "b: flush", "a: go on"]


def test_what_is_owed_while_a_turn_ends_is_for_the_next() -> None:
    clock, record = TurnClock(), list[str]()
    turn = Turn(clock, clock.seconds)

    class Busy(Recorder):
        def go_on(self) -> None:
            super().go_on()
            turn.owe(self)

    turn.unfinished(Busy("a", record))
    clock.turn()
    assert record == ["a: go on"]
    clock.turn()
    assert record == ["a: go on", "a: flush"]


def test_a_failing_connection_is_ended_and_the_others_get_their_replies() -> None:
    clock, record = Clock(), list[str]()
    turn = Turn(clock, clock.seconds)
    bad, good = Recorder("bad", record, fails=True), Recorder("good", record)
    for connection in (bad, good):
        turn.owe(connection)
        turn.unfinished(connection)
    with capturedLogs() as events:
        clock.advance(0)
    assert record == [
        "bad: flush",
        "bad: fail",
        "good: flush",
        "bad: go on",
        "bad: fail",
        "good: go on",
    ]
    assert [event["log_failure"].type for event in events] == [ZeroDivisionError] * 2


def test_the_turn_after_a_failure_is_like_any_other() -> None:
    clock, record = Clock(), list[str]()
    turn = Turn(clock, clock.seconds)
    turn.owe(Recorder("bad", record, fails=True))
    with capturedLogs():
        clock.advance(0)
    turn.owe(Recorder("good", record))
    clock.advance(0)
    assert record == ["bad: flush", "bad: fail", "good: flush"]


class Busy(Recorder):
    """A connection whose slice takes six milliseconds, and is never its last."""

    def __init__(self, name: str, record: list[str], clock: Clock, turn: Turn) -> None:
        super().__init__(name, record)
        self._clock = clock
        self._turn = turn

    def go_on(self) -> None:
        super().go_on()
        self._clock.rightNow += 0.006
        self._turn.unfinished(self)


def test_a_turn_has_a_budget_and_who_had_no_slice_is_first_in_the_next() -> None:
    clock, record = TurnClock(), list[str]()
    turn = Turn(clock, clock.seconds)
    for name in "abcde":
        turn.unfinished(Busy(name, record, clock, turn))
    clock.turn()
    assert record == ["a: go on", "b: go on"]
    clock.turn()
    clock.turn()
    assert record[2:] == ["c: go on", "d: go on", "e: go on", "a: go on"]


def test_a_turn_is_late_when_its_budget_is_spent_and_the_next_begins_anew() -> None:
    clock = Clock()
    turn = Turn(clock, clock.seconds)
    assert not turn.is_late()
    clock.rightNow += Turn.BUDGET
    assert turn.is_late()
    clock.advance(0)
    assert not turn.is_late()


def test_a_connection_goes_on_once_a_turn_however_often_it_says_so() -> None:
    clock, record = Clock(), list[str]()
    turn = Turn(clock, clock.seconds)
    one = Recorder("a", record)
    for _ in range(3):
        turn.unfinished(one)
        turn.owe(one)
    clock.advance(0)
    assert record == ["a: flush", "a: go on"]


def test_a_turn_after_which_nobody_wants_anything_is_the_last() -> None:
    clock, record = TurnClock(), list[str]()
    turn = Turn(clock, clock.seconds)
    turn.unfinished(Recorder("a", record))
    clock.turn()
    assert record == ["a: go on"]
    assert clock.getDelayedCalls() == []


class TestACommit:
    """What it is, is for the committer: here it is as a test says."""

    def begun(self, *outcomes: bool | CommandError) -> tuple[Turn, TurnClock, list[str]]:
        """A turn whose commits, one by one, are done at once (True) or not, or fail."""
        clock, record = TurnClock(), list[str]()
        turn = Turn(clock, clock.seconds)
        coming = list(outcomes)

        def commit() -> bool:
            record.append("commit")
            outcome = coming.pop(0) if coming else True
            if isinstance(outcome, CommandError):
                raise outcome
            return outcome

        turn.commit = commit
        return turn, clock, record

    def test_comes_before_anything_is_sent(self) -> None:
        turn, clock, record = self.begun(True)
        turn.owe(Recorder("a", record))
        clock.turn()
        assert record == ["commit", "a: flush"]

    def test_is_made_though_nobody_is_owed_anything(self) -> None:
        turn, clock, record = self.begun(True)
        turn.schedule()
        turn.schedule()
        clock.turn()
        assert record == ["commit"]

    def test_that_takes_a_while_seals_what_it_covers_and_releases_it_when_done(self) -> None:
        turn, clock, record = self.begun(False)
        turn.owe(Recorder("a", record))
        clock.turn()
        assert record == ["commit", "a: seal"]
        assert turn.is_held
        clock.turn()
        turn.committed()
        assert record[2:] == ["a: release", "commit"]
        assert not turn.is_held

    def test_holds_what_comes_meanwhile_for_the_next_which_follows_at_once(self) -> None:
        turn, clock, record = self.begun(False, False)
        a, b = Recorder("a", record), Recorder("b", record)
        turn.owe(a)
        clock.turn()
        turn.owe(b)
        turn.owe(a)
        clock.turn()
        assert record == ["commit", "a: seal"]
        turn.committed()
        assert record[2:] == ["a: release", "commit", "b: seal", "a: seal"]
        turn.committed()
        assert record[6:] == ["b: release", "a: release", "commit"]

    def test_goes_on_with_requests_meanwhile(self) -> None:
        turn, clock, record = self.begun(False)
        turn.owe(Recorder("a", record))
        turn.unfinished(Recorder("b", record))
        clock.turn()
        assert record == ["commit", "a: seal", "b: go on"]

    def test_that_cannot_be_made_is_told_to_those_of_this_turn(self) -> None:
        turn, clock, record = self.begun(NotCommitted("the disk is full"))
        turn.owe(Recorder("a", record))
        clock.turn()
        assert record == ["commit", "a: withdraw: the disk is full"]
        assert not turn.is_held
        turn.owe(Recorder("b", record))
        clock.turn()
        assert record[2:] == ["commit", "b: flush"]

    def test_that_fails_later_is_told_to_all_who_came_since_too(self) -> None:
        turn, clock, record = self.begun(False)
        a, b, c = (Recorder(name, record) for name in "abc")
        turn.owe(a)
        turn.owe(b)
        clock.turn()
        turn.owe(b)
        turn.owe(c)
        clock.turn()
        turn.not_committed(NotCommitted("lost"))
        assert record[3:] == [f"{name}: withdraw: lost" for name in "abc"]
        assert not turn.is_held
        clock.turn()
        assert clock.getDelayedCalls() == []

    def test_where_one_connection_fails_releases_the_others(self) -> None:
        turn, clock, record = self.begun(False)
        turn.owe(Recorder("bad", record, fails=True))
        turn.owe(Recorder("good", record))
        with capturedLogs():
            clock.turn()
            turn.committed()
        assert record == [
            "commit", "bad: seal", "bad: fail", "good: seal",
            "bad: release", "bad: fail", "good: release", "commit",
        ]  # fmt: skip

    def test_that_takes_a_while_has_what_was_to_be_sent_straight_collected(self) -> None:
        turn, _, record = self.begun(False)
        turn.begin()
        turn.answer([Recorder("a", record).lane()], [b"1"])
        turn.owe(Recorder("b", record))
        turn.end()
        assert record == ["commit", "a: collect 1", "b: seal"]

    def test_that_cannot_be_made_takes_back_what_was_to_be_sent_straight(self) -> None:
        turn, _, record = self.begun(NotCommitted("the disk is full"))
        turn.begin()
        a = Recorder("a", record)
        turn.answer([a.lane()], [b"1"])
        turn.owe(a)
        turn.end()
        assert record == ["commit", "a: collect 1", "a: withdraw: the disk is full"]


class TestATurnThatSomebodyEndsHimself:
    def test_is_not_ended_by_the_reactor_too(self) -> None:
        clock, record = TurnClock(), list[str]()
        turn = Turn(clock, clock.seconds)
        turn.begin()
        turn.owe(Recorder("a", record))
        assert clock.getDelayedCalls() == []
        turn.end()
        assert record == ["a: flush"]
        assert clock.getDelayedCalls() == []

    def test_leaves_one_end_behind_for_what_is_unfinished_however_many_follow(self) -> None:
        # Each of them has up to BUDGET seconds of slices run, and asks for the next.
        clock, record = TurnClock(), list[str]()
        turn = Turn(clock, clock.seconds)
        turn.unfinished(Busy("a", record, clock, turn))
        for _ in range(10):
            turn.begin()
            turn.end()
        assert len(clock.getDelayedCalls()) == 1
        record.clear()
        clock.turn()
        assert record == ["a: go on"]
        assert len(clock.getDelayedCalls()) == 1

    def test_that_gathers_runs_that_before_it_commits_and_those_who_are_answered_go_on_after_it(
        self,
    ) -> None:
        clock, record = TurnClock(), list[str]()
        turn = Turn(clock, clock.seconds)
        a = Recorder("a", record)

        def commit() -> bool:
            record.append("commit")
            return True

        def gathered() -> None:
            record.append("gathered")
            turn.answer([a.lane()], [b"1"])
            turn.unfinished(a)

        turn.commit, turn.gathered = commit, gathered
        turn.begin()
        turn.end()
        assert record == ["gathered", "commit", "a: send 1", "a: take rest 1", "a: go on"]
        turn.gathered = lambda: record.append("gathered nothing")
        turn.begin()
        turn.end()
        assert record[5:] == ["gathered nothing", "commit"]

    def test_gathers_nothing_while_a_commit_is_under_way(self) -> None:
        clock = TurnClock()
        turn = Turn(clock, clock.seconds)
        turn.commit = lambda: False
        turn.begin()
        assert turn.gathers
        turn.end()
        turn.begin()
        assert not turn.gathers

    def test_sends_to_all_though_one_fails(self) -> None:
        clock, record = TurnClock(), list[str]()
        turn = Turn(clock, clock.seconds)
        turn.begin()
        lanes = [Recorder("bad", record, fails=True).lane(), Recorder("good", record).lane()]
        turn.answer(lanes, [b"12", b"34"])
        with capturedLogs():
            turn.end()
        assert record == [
            "bad: send 12", "good: send 34", "bad: take rest 2", "bad: fail", "good: take rest 4",
        ]  # fmt: skip
        assert turn.sent == 2
