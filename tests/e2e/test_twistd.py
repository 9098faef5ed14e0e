"""twistd's own way to run a daemon: in the background, with a pid file and a log."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import PATIENCE, TWISTD, Caller, environment


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Starts ``twistd memdb`` in the background; what runs at the end of the test is killed."""

    def start(*flags: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [TWISTD, "memdb", "--port=0", *flags],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    yield start
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int((tmp_path / "twistd.pid").read_text()), signal.SIGKILL)


def stop(directory: Path) -> None:
    """Stop the daemon by its pid file, and wait until it has gone."""
    pid = int((directory / "twistd.pid").read_text())
    watched = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGTERM)
        assert select.select([watched], [], [], PATIENCE)[0]
    finally:
        os.close(watched)


def connect(directory: Path) -> Caller:
    where = re.findall(r"listening on 127.0.0.1:(\d+)", (directory / "twistd.log").read_text())
    return Caller(socket.create_connection(("127.0.0.1", int(where[-1])), PATIENCE))


def test_it_starts_stops_by_its_pid_file_and_starts_again(
    tmp_path: Path, started: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    first = started()
    assert (first.returncode, first.stdout, first.stderr) == (0, "", "")
    with connect(tmp_path) as caller:
        assert caller.asks(b"set a 1") == b'{"result": "OK"}\n'
    stop(tmp_path)
    assert not (tmp_path / "twistd.pid").exists()
    assert (tmp_path / "memdb-data" / "persistence.json").exists()

    assert started().returncode == 0
    with connect(tmp_path) as caller:
        assert caller.asks(b"get a") == b'{"result": "1", "ttl_remaining": null}\n'
        assert caller.asks(b"save") == b'{"result": "OK"}\n'
    stop(tmp_path)
    assert "Traceback" not in (tmp_path / "twistd.log").read_text()


def test_the_log_follows_our_settings(
    tmp_path: Path, started: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    assert started("--log-format=json").returncode == 0
    stop(tmp_path)
    lines = (tmp_path / "twistd.log").read_text().splitlines()
    assert lines
    assert all(line.startswith("{") and line.endswith("}") for line in lines)


def test_a_refusal_is_told_to_who_started_it(
    tmp_path: Path, started: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (tmp_path / "memdb-data").mkdir()
    (tmp_path / "memdb-data" / "persistence.json").write_text("nonsense")
    refused = started()
    assert refused.returncode == 1
    assert "StorageError" in refused.stderr  # which twistd cuts at 100 bytes
    reason = "is neither a memdbd snapshot nor JSON"
    said = f"refused to start: {tmp_path}/memdb-data/persistence.json, line 1: {reason}"
    log, end = tmp_path / "twistd.log", time.monotonic() + PATIENCE
    # The child tells its parent first, and then the log.
    while said not in log.read_text() and time.monotonic() < end:
        time.sleep(0.01)
    assert said in log.read_text()
    assert not (tmp_path / "twistd.pid").exists()
