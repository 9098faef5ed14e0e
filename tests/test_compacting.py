"""The compactor in a process of its own: that it does its work, and what is heard of it if not.

What it makes of snapshots and segments is in ``tests/persistence/test_compactor.py``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from harness import NOON, PATIENCE, Stored, environment
from keeping import OK, contents, kill

from memdbd.commands.table import TYPES
from memdbd.compacting import CompactorProcess
from memdbd.errors import DataDamaged, StorageError
from memdbd.persistence.compactor import Compacted, compact
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.loading import read
from memdbd.persistence.snapshot import install


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """With a snapshot that has ``a`` and ``b``, and segment 2 behind it, that changes ``b`` and has
    ``c``; segment 3 is not to be covered."""
    directory = tmp_path / "data"
    stored = Stored(directory, interval=0).start()
    peer = stored.house.connect()
    assert peer.asks(b"set a 1\nset b 1\nsave\nset b 2\nset c 3\n") == OK * 5
    kill(stored)
    kill(Stored(directory, interval=0).start())
    return directory


def contents_of_snapshot(path: str) -> dict[bytes, Any]:
    return dict(read(FileSystem(), path, {kind.name: kind for kind in TYPES}).contents[0][0])


def paths(directory: Path) -> tuple[str, str]:
    return str(directory), str(directory / "persistence.json")


def test_it_makes_what_the_same_function_makes_here(directory: Path) -> None:
    temporary = directory / "persistence.json.tmp"
    here = compact(FileSystem(), *paths(directory), TYPES, 3, NOON)
    expected = temporary.read_bytes()
    there = CompactorProcess()(*paths(directory), 3, NOON)
    assert there == replace(here, tag=f"{os.getpid()}-3")
    assert here == Compacted(count=3, changed=2, sequence=2, bytes=len(expected))
    # But for the moment, which is in the first line, and in the last line's checksum.
    made = Path(f"{directory}/persistence.json.{there.tag}.tmp").read_bytes()
    assert made.split(b"\n")[1:-2] == expected.split(b"\n")[1:-2]


def test_two_of_them_are_not_in_each_other_s_way(directory: Path) -> None:
    # The one is that of a daemon that was killed, and does not know it yet.
    other = subprocess.run(
        [
            sys.executable, "-c",
            "import sys; from memdbd.compacting import CompactorProcess as C\n"
            f"print(C()(*{paths(directory)!r}, 3, {NOON}).tag)",
        ],
        capture_output=True, text=True, check=True, env=environment(), timeout=PATIENCE,
    )  # fmt: skip
    ours = CompactorProcess()(*paths(directory), 3, NOON)
    assert other.stdout.strip() != ours.tag
    path = str(directory / "persistence.json")
    for tag in (other.stdout.strip(), ours.tag):
        install(FileSystem(), path, tag)
        assert contents_of_snapshot(path) == {b"a": b"1", b"b": b"2", b"c": b"3"}


def test_it_can_be_ended_from_outside(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compactor = CompactorProcess()
    compactor.kill()  # as none runs
    started = threading.Event()

    class Slow(subprocess.Popen[Any]):
        def __init__(self, command: list[str], **how: Any) -> None:
            super().__init__(["sleep", "1000"], **how)
            started.set()

    monkeypatch.setattr(subprocess, "Popen", Slow)

    def end() -> None:
        started.wait(PATIENCE)
        while compactor._process is None:
            pass
        compactor.kill()

    killer = threading.Thread(target=end)
    killer.start()
    with pytest.raises(StorageError, match="killed by signal 9"):
        compactor(*paths(directory), 3, NOON)
    killer.join()


def test_what_it_makes_can_be_installed_in_the_place_of_what_it_covers(directory: Path) -> None:
    made = CompactorProcess()(*paths(directory), 3, NOON)
    install(FileSystem(), str(directory / "persistence.json"), made.tag)
    for number in (1, 2):
        (directory / f"journal.0000000{number}").unlink(missing_ok=True)
    assert contents(directory) == {b"a": b"1", b"b": b"2", b"c": b"3"}


def test_it_runs_the_package_that_runs_here_wherever_we_are(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert CompactorProcess()(*paths(directory), 3, NOON).count == 3


def test_damage_is_told_in_its_own_words_and_leaves_all_as_it_was(directory: Path) -> None:
    segment = directory / "journal.00000002"
    data = bytearray(segment.read_bytes())
    data[-1] ^= 1
    segment.write_bytes(data)
    before = everything(directory)
    with pytest.raises(DataDamaged, match=rf"^{segment}, byte \d+: .*damaged"):
        CompactorProcess()(*paths(directory), 3, NOON)
    assert everything(directory) == before


def test_a_disk_that_takes_nothing_is_told(directory: Path) -> None:
    (directory / f"persistence.json.{os.getpid()}-3.tmp").mkdir()
    with pytest.raises(StorageError, match=r"persistence\.json\.\d+-3\.tmp: "):
        CompactorProcess()(*paths(directory), 3, NOON)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no signals")
def test_a_kill_is_told_and_leaves_the_snapshot_and_all_segments(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(directory)
    numbers: list[int] = []

    class Killed(subprocess.Popen[Any]):
        def __init__(self, *arguments: Any, **how: Any) -> None:
            super().__init__(*arguments, **how)
            numbers.append(self.pid)
            self.kill()  # while Python is still starting

    monkeypatch.setattr(subprocess, "Popen", Killed)
    with pytest.raises(StorageError, match="the compactor was killed by signal 9"):
        CompactorProcess()(*paths(directory), 3, NOON)
    assert len(numbers) == 1
    assert everything(directory) == before


def test_a_process_that_cannot_be_started_is_told(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(directory / "no such python"))
    with pytest.raises(OSError, match="No such file"):
        CompactorProcess()(*paths(directory), 3, NOON)


def test_one_that_fails_and_says_nothing_is_told_with_its_status(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 7\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(StorageError, match="the compactor failed with status 7"):
        CompactorProcess()(*paths(directory), 3, NOON)


@pytest.mark.skipif(sys.platform == "win32", reason="a parent's number stays the same there")
def test_without_the_daemon_it_gives_up_and_touches_nothing(directory: Path) -> None:
    before = everything(directory)
    orphan = subprocess.run(
        [sys.executable, "-m", "memdbd.persistence.compactor", str(directory), "persistence.json",
         "3", str(os.getpid() + 1)],
        cwd=directory,  # not where a clone is
        env=environment(),
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )  # fmt: skip
    assert orphan.returncode == 1
    assert everything(directory) == before


def everything(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}
