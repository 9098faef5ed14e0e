"""Fifty clients that read, add one and write, under WATCH: no addition is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from harness import PATIENCE, Daemon

pytestmark = pytest.mark.slow

CLIENTS = 50
SECONDS = 3 if os.environ.get("CI") else 10
LOAD = Path(__file__).with_name("counting.py")


def test_the_final_count_is_that_of_the_acknowledged_transactions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Daemon(tmp_path / "data") as daemon, daemon.connect() as caller:
        caller.asks(b"set counter 0")
        done = subprocess.run(
            [sys.executable, LOAD, str(daemon.port), str(CLIENTS), str(SECONDS)],
            capture_output=True,
            text=True,
            timeout=SECONDS + PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        load = json.loads(done.stdout)
        count = json.loads(caller.asks(b"get counter"))["result"]
        stats = json.loads(caller.asks(b"stats"))["result"]
    assert int(count) == load["done"] > 0
    assert load["refused"] > 0  # or they have not been in each other's way
    assert stats["internal_errors"] == 0
    with capsys.disabled():
        print(f"\n{CLIENTS} clients, {SECONDS} s: {load['done']} counted, {load['refused']} not")
