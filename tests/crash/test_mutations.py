"""The runs notice what they are there for: each of these defects, and nothing where none is."""

from __future__ import annotations

import pytest
from crash.daemons import quickly as quickly
from crash.mutations import MUTATIONS, Mutation

pytestmark = [pytest.mark.usefixtures("quickly"), pytest.mark.slow]

RUNS = {(each.run.__name__, *each.arguments): each for each in MUTATIONS}


def test_there_are_twelve_defects_at_least() -> None:
    assert len({each.name for each in MUTATIONS}) == len(MUTATIONS) >= 12


@pytest.mark.parametrize("run", RUNS.values(), ids=map(" ".join, RUNS))
def test_without_a_defect_nothing_is_noticed(run: Mutation) -> None:
    assert not run.run(*run.arguments)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_this_defect_is_noticed(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    for edit in mutation.edits:
        edit.put_into(monkeypatch)
    assert mutation.run(*mutation.arguments)
