"""Power goes before any call of a repair: nothing is lost. See :mod:`crash.repairs`."""

from __future__ import annotations

from crash.repairs import damaged, repairs


def test_a_repair_that_power_ends_leaves_what_was_there_or_what_it_has_made_and_all_copies() -> (
    None
):
    done = [*repairs()]
    assert len(done) == len([*damaged()])
    assert not [violation for repair in done for violation in repair.violations][:5]
    assert all(len(repair.states) > 100 for repair in done)
