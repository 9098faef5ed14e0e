"""Real processes, killed: what was acknowledged is there, and nothing else. See :mod:`crash.kills`.

A SIGKILL leaves what the system has in its cache, so each policy has to keep all of it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from crash.kills import POLICIES, run_lanes, told

KILLS = 100  # python -m crash.kills has an option for more
LANES = 2  # daemons at a time
SEED = 1


@pytest.mark.slow
def test_no_kill_loses_or_brings_back_a_write_or_halves_a_transaction(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = run_lanes(tmp_path, KILLS, SEED, LANES)
    with capsys.disabled():
        print(f"\n{told(counts)}")
    assert counts["kills"] == KILLS
    # It was all there to be lost.
    assert all(counts[f"kills under {policy}"] > 10 for policy in POLICIES)
    assert counts["kills while it starts"] > 5
    assert counts["kills while a snapshot is made"] > 5
    assert counts["snapshots"] > 0
    assert counts["transactions"] > 1000
    assert counts["acknowledged"] > 10_000
