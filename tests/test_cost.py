"""What a request costs is within its budget, and the meter notices a single look-up too many."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cost
import errands
import pytest
from cost import NotThere
from errands import Cost, Costs
from metering import Meter

from memdbd import core

AGAIN = "PYTHONPATH=. python tests/cost.py --record"
UNSEEN = "THE COST OF A REQUEST IS NOT LOOKED AT"


@pytest.fixture(scope="module", params=cost.CORES)
def both(request: pytest.FixtureRequest) -> tuple[Costs, Costs]:
    """What everything costs with a core, and what it may cost; skipped where either is missing."""
    try:
        costs = cost.measured(request.param)
    except NotThere as missing:
        if request.param == core.NAME:  # all other tests have it
            raise
        pytest.skip(f"{UNSEEN}: {missing}")
    try:
        return costs, cost.budget(request.param)
    except NotThere as missing:
        pytest.skip(f"{UNSEEN}: {missing}")


def told(what: str, lines: list[str]) -> str:
    """What is said of a test that fails."""
    return "\n".join([what, *lines, f"If that is as it has to be: {AGAIN}"])


class TestTheBudget:
    def test_is_kept(self, both: tuple[Costs, Costs]) -> None:
        over = cost.dearer(*both)
        assert not over, told("A request costs more than it did:", over)

    def test_is_no_more_than_is_needed(self, both: tuple[Costs, Costs]) -> None:
        gains = cost.cheaper(*both)
        assert not gains, told("A request costs less than it did; record it:", gains)

    def test_is_of_all_that_is_measured_and_of_nothing_else(
        self, both: tuple[Costs, Costs]
    ) -> None:
        costs, allowed = both
        assert costs.keys() == allowed.keys(), told("Others are measured than were:", [])


LIMIT = 1000  # of each kind, in the tests below
NAME = "resp get x100"


def costs(opcodes: int = LIMIT, calls: int = LIMIT, held: int = LIMIT) -> Costs:
    return {NAME: Cost(opcodes, calls, held)}


class TestWhatIsOver:
    @pytest.mark.parametrize("now", [costs(), costs(held=1020), costs(960, 960, 960)])
    def test_is_nothing_within_the_budget(self, now: Costs) -> None:
        assert not cost.dearer(now, costs())
        assert not cost.cheaper(now, costs())

    @pytest.mark.parametrize(
        ("now", "sentence"),
        [
            (costs(opcodes=1001), "10.01 opcodes a request in place of 10 (+1), over its budget"),
            (costs(calls=1100), "11 calls a request in place of 10 (+100), over its budget"),
            (costs(held=1021), "10.21 bytes a request in place of 10 (+21), over its budget"),
        ],
    )
    def test_is_told_with_how_much_it_is(self, now: Costs, sentence: str) -> None:
        assert cost.dearer(now, costs()) == [f"{NAME}: {sentence}"]
        assert not cost.cheaper(now, costs())

    def test_is_told_from_the_worst_on(self) -> None:
        lines = cost.dearer(costs(1001, 1100, 2000), costs())
        assert [line.split()[4] for line in lines] == ["bytes", "calls", "opcodes"]

    @pytest.mark.parametrize("now", [costs(opcodes=949), costs(calls=949), costs(held=949)])
    def test_a_gain_of_more_than_5_percent_is_to_be_recorded(self, now: Costs) -> None:
        (line,) = cost.cheaper(now, costs())
        assert line.endswith("in place of 10 (-51), a gain that is not recorded")
        assert not cost.dearer(now, costs())


class TestRecording:
    def test_keeps_other_cores_and_versions(self, tmp_path: Path) -> None:
        path = tmp_path / "budget.json"
        path.write_text('{"2.7": {"python": {"resp get x1": [1, 2, 3]}}}')
        cost.record("python", costs(1, 2, 3), path)
        cost.record("compiled", costs(4, 5, 6), path)
        cost.record("python", costs(7, 8, 9), path)
        assert cost.budget("python", path) == costs(7, 8, 9)
        assert cost.budget("compiled", path) == costs(4, 5, 6)
        assert json.loads(path.read_text())["2.7"] == {"python": {"resp get x1": [1, 2, 3]}}

    def test_what_was_not_recorded_is_said(self, tmp_path: Path) -> None:
        path = tmp_path / "budget.json"
        path.write_text("{}")
        with pytest.raises(NotThere, match=r"no budget for Python 3\.\d+, but for \[\]"):
            cost.budget("python", path)
        cost.record("python", costs(), path)
        with pytest.raises(AssertionError, match="no budget of the compiled core"):
            cost.budget("compiled", path)


# Code that is said to be ours, since that is what the meter counts.

OURS = """
class Thing:
    def __init__(self):
        self.name = [1, 2]

    def plain(self):
        return self.name

    def one_look_up_more(self):
        self.name
        return self.name

    def one_call_of_c_more(self):
        self.name.count(1)
        return self.name

    def one_call_more(self):
        self.plain()
        return self.name

    def a_call_of_others(self):
        THEIRS(self.name)
        return self.name

def steps(thing):
    yield thing.name
    yield thing.name
"""
THEIRS = """
def theirs(numbers):
    return numbers.count(1) + sum(number for number in numbers)
"""


def made(source: str, path: str, **names: Any) -> dict[str, Any]:
    exec(compile(source, path, "exec"), names)
    return names


class TestTheMeter:
    @pytest.fixture
    def thing(self) -> Any:
        theirs = made(THEIRS, "/theirs/module.py")["theirs"]
        return made(OURS, "/ours/module.py", THEIRS=theirs)["Thing"]()

    @pytest.fixture
    def more(self, thing: Any) -> Callable[[str], tuple[int, int]]:
        """By how many opcodes and calls a method costs more than the plain one."""
        meter = Meter("/ours/")

        def of(name: str) -> tuple[int, int]:
            plain, other = thing.plain, getattr(thing, name)
            return (
                meter.opcodes_of(other) - meter.opcodes_of(plain),
                meter.calls_of(other) - meter.calls_of(plain),
            )

        return of

    def test_finds_no_difference_where_there_is_none(
        self, more: Callable[[str], tuple[int, int]]
    ) -> None:
        assert more("plain") == (0, 0)

    def test_finds_a_look_up_that_nobody_needs(
        self, more: Callable[[str], tuple[int, int]]
    ) -> None:
        opcodes, calls = more("one_look_up_more")
        assert opcodes == 3  # the object, its attribute, and away with it
        assert calls == 0

    def test_finds_a_call_of_c(self, more: Callable[[str], tuple[int, int]]) -> None:
        opcodes, calls = more("one_call_of_c_more")
        assert opcodes > 3
        assert calls == 1

    def test_finds_a_call_and_what_is_done_in_it(
        self, more: Callable[[str], tuple[int, int]], thing: Any
    ) -> None:
        opcodes, calls = more("one_call_more")
        assert opcodes > Meter("/ours/").opcodes_of(thing.plain) > 0
        assert calls == 1

    def test_counts_a_call_of_others_but_not_what_they_do(
        self, more: Callable[[str], tuple[int, int]]
    ) -> None:
        opcodes, calls = more("a_call_of_others")
        assert 3 < opcodes < 10
        assert calls == 1

    def test_counts_a_generator_each_time_that_it_goes_on(self, thing: Any) -> None:
        steps = made(OURS, "/ours/module.py")["steps"]
        meter = Meter("/ours/")
        assert meter.calls_of(lambda: list(steps(thing))) == 3
        assert meter.opcodes_of(lambda: list(steps(thing))) > 6


def test_a_request_that_is_an_error_is_not_taken_for_a_cheap_one() -> None:
    wrong = errands.GET._replace(words=lambda number: [b"get", b"a", b"b"])
    with errands.scene("resp") as scene, pytest.raises(AssertionError, match="wrong number"):
        scene.check(wrong, 1, 1)
