"""Each call to the disk fails, once and for ever, in each way in which it can.

What is owed then is in :mod:`crash.faults`. The faults that are counted are those that were fired.
"""

from __future__ import annotations

import pytest
from crash.daemons import Daemon
from crash.daemons import quickly as quickly
from crash.disk import CrashDisk
from crash.faults import KINDS, Failing, Kind, Trial, trials
from crash.promises import Story, state_of

FAULTS = 1000

pytestmark = pytest.mark.usefixtures("quickly")


@pytest.mark.parametrize(
    ("durability", "lag"), [("always", 0), ("always", 2), ("everysec", 0), ("no", 2)]
)
def test_a_disk_that_fails_costs_nothing_that_was_promised(durability: str, lag: int) -> None:
    outcomes = list(trials(durability, step=37, lag=lag))
    assert not [each.violations[0] for each in outcomes if each.violations][:5]
    assert len(outcomes) > 20


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["always", "everysec"])
def test_whatever_call_fails_and_however_nothing_is_lost(
    durability: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = list(trials(durability))
    fired = sum(each.fired for each in outcomes)
    with capsys.disabled():
        print(f"\n{durability}: {fired} faults fired in {len(outcomes)} trials")
    assert not [each.violations[0] for each in outcomes if each.violations][:5]
    assert fired >= FAULTS


@pytest.mark.parametrize("durability", ["always", "everysec", "no"])
def test_writes_get_an_error_while_the_disk_is_full_and_no_other_reply(durability: str) -> None:
    disk, story = CrashDisk(), Story([state_of({})], durability)
    daemon = Daemon(disk, story, durability=durability)
    daemon.start()
    daemon.turn()
    daemon.settle()
    failing = Failing(KINDS[1], 1, is_forever=True)
    disk.fault = failing
    for _ in range(4):
        daemon.turn()
        daemon.seconds(1)
    assert story.heard == 1
    assert len(daemon.errors) == 4
    assert all("Errors writing to the journal: No space left" in error for error in daemon.errors)
    failing.is_mended = True
    daemon.seconds(2)
    daemon.turn()
    daemon.settle()
    assert story.heard == len(story.states) - 1


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_failing_call_is_there(kind: Kind) -> None:
    outcome = Trial(kind, 1, "always", is_forever=False).run()
    assert outcome.fired == 1


def test_what_a_failed_sync_has_dropped_is_owed_no_more_but_what_was_synced_before_is() -> None:
    states = [state_of({(0, b"key"): ("string", number, None)}) for number in range(4)]
    story = Story(states[:1], "everysec")
    for state in states[1:]:
        story.hear(story.did(state))
    story.durable, story.has_dropped = 1, True
    assert (story.heard, story.kept) == (3, 1)
    story.go_on_from(states[2])
    assert (story.heard, story.kept) == (2, 2)
