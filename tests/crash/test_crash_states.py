"""Power goes, or the process is killed, before any call to the disk, and again in the next life.

What counts as kept is in :mod:`crash.promises`, what may be left of the disk in
:mod:`crash.images`. The states that are counted are distinct contents of the disk. On each, the
recovery was run, which reads and refuses; what it gives was compared. It is not on each that more
was done: of the crashes of the long runs (the new states, and the disk of a killed process at each
call), one in EACH has a second life, which is what a start does with the directory, a new segment,
and two turns (:class:`crash.lives.Bare`); one in EACH_DAEMON has a whole daemon's, with a snapshot
and its end. Power goes before each call of these too, and those states are counted with the others.
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
EACH = 29  # with a second life of all of them it would take minutes
EACH_DAEMON = 157

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
    for crash in islice(explore(Run(durability), QUICK, judge), 0, None, 80):
        second_life(crash, judge)
    assert not judge.violations[:5]
    assert judge.states > 1000


@pytest.mark.parametrize("durability", ["always", "everysec", "no"])
def test_a_daemon_that_goes_on_after_a_kill_keeps_what_power_had_not_yet_taken(
    durability: str,
) -> None:
    judge = Judge()
    killed = [crash for crash in crashes(Run(durability)) if crash.is_killed]
    for crash in killed[::36]:
        second_daemon(crash, judge)
    assert not judge.violations[:5]


def test_what_is_torn_off_is_kept_beside_as_it_was() -> None:
    kept = 0
    for crash in islice(explore(Run("no"), QUICK, Judge()), 0, None, 47):
        torn = {
            segment.path: b"".join(segment.torn)
            for segment in recovered(crash.disk).torn
            if segment.torn
        }
        before = crash.disk.files()
        second_life(crash, Judge())
        after = crash.disk.files()
        for path, data in torn.items():
            assert after[f"{path}.torn"] == data
            assert before[path].endswith(data)
            kept += 1
    assert kept > 10


@pytest.mark.slow
def test_a_hundred_thousand_states_keep_every_promise(capsys: pytest.CaptureFixture[str]) -> None:
    judge = Judge()
    crashes = daemons = lives = 0
    for run in RUNS:
        for crash in explore(run, WHOLE, judge):
            crashes += 1
            if crashes % EACH_DAEMON == 0:
                second_daemon(crash, judge)
                daemons += 1
            elif crashes % EACH == 0:
                second_life(crash, judge)
                lives += 1
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in judge.by_kind.most_common())
    with capsys.disabled():
        print(
            f"\n{judge.states:,} distinct states of the disk ({kinds}), {judge.checks:,} checks; "
            f"{crashes:,} crashes of {len(RUNS)} runs, with {lives:,} second lives and {daemons:,} "
            "second daemons"
        )
    assert not judge.violations[:5]
    assert judge.states >= STATES
