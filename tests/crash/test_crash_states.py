"""Power goes, or the process is killed, before any call to the disk, and again in the next life.

What counts as kept is in :mod:`crash.promises`, what may be left of the disk in
:mod:`crash.images`. The states that are counted are distinct contents of the disk, from each of
which a start was made.
"""

from __future__ import annotations

from itertools import islice

import pytest
from crash.daemons import quickly as quickly
from crash.promises import Judge
from crash.scenario import (
    QUICK,
    RUNS,
    WHOLE,
    Crash,
    Run,
    explore,
    second_daemon,
    second_life,
)
from crash.stores import recovered

STATES = 100_000
EACH = (
    13  # of the crashes of the long run has a second life; with all of them it would take minutes
)
EACH_DAEMON = 47  # of them that is a whole daemon's

pytestmark = pytest.mark.usefixtures("quickly")


@pytest.mark.parametrize("run", RUNS, ids=str)
def test_a_crash_before_any_call_costs_nothing_that_was_promised(run: Run) -> None:
    judge = Judge()
    for _ in explore(run, QUICK, judge):
        pass
    assert not judge.violations[:5]
    assert judge.states > 200


def crashes(run: Run) -> list[Crash]:
    return list(explore(run, QUICK, Judge()))


@pytest.mark.parametrize("durability", ["always", "everysec", "no"])
def test_a_crash_in_the_recovery_costs_nothing_either(durability: str) -> None:
    judge = Judge()
    for crash in islice(explore(Run(durability), QUICK, judge), 0, None, 40):
        second_life(crash, judge)
    assert not judge.violations[:5]
    assert judge.states > 1000


@pytest.mark.parametrize("durability", ["always", "everysec", "no"])
def test_a_daemon_that_goes_on_after_a_kill_keeps_what_power_had_not_yet_taken(
    durability: str,
) -> None:
    judge = Judge()
    killed = [crash for crash in crashes(Run(durability)) if crash.is_killed]
    for crash in killed[::12]:
        second_daemon(crash, judge)
    assert not judge.violations[:5]


def test_what_is_torn_off_is_kept_beside_as_it_was() -> None:
    kept = 0
    for crash in islice(explore(Run("no"), QUICK, Judge()), 0, None, 19):
        torn = [segment for segment in recovered(crash.disk).torn if segment.torn]
        before = crash.disk.files()
        second_life(crash, Judge())
        after = crash.disk.files()
        for segment in torn:
            assert after[f"{segment.path}.torn"] == segment.torn
            assert before[segment.path].endswith(segment.torn)
            kept += 1
    assert kept > 10


@pytest.mark.slow
def test_a_hundred_thousand_states_keep_every_promise(capsys: pytest.CaptureFixture[str]) -> None:
    judge = Judge()
    number = 0
    for run in RUNS:
        for crash in explore(run, WHOLE, judge):
            number += 1
            if number % EACH_DAEMON == 0:
                second_daemon(crash, judge)
            elif number % EACH == 0:
                second_life(crash, judge)
    kinds = ", ".join(f"{count} {kind}" for kind, count in judge.by_kind.most_common())
    with capsys.disabled():
        print(f"\n{judge.states} distinct states of the disk ({kinds}), {judge.checks} checks")
    assert not judge.violations[:5]
    assert judge.states >= STATES
