"""One daemon for a data directory: the second is told whose it is, and none is locked out for
ever. Real processes, since what counts is what the system does when one of them dies."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from persistence.disks import MemoryDisk

import memdbd
from memdbd.errors import DirectoryLocked, StorageError
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.lock import LOCK_FILE, DirectoryLock

HOLDER = """
import sys
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.lock import DirectoryLock
lock = DirectoryLock(FileSystem(), sys.argv[1])
lock.acquire()
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def held_by_another_process(directory: Path) -> Iterator[subprocess.Popen[str]]:
    package_parent = str(Path(memdbd.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": package_parent},
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "locked\n"
            yield process
        finally:
            process.kill()


def lock_of(directory: Path) -> DirectoryLock:
    return DirectoryLock(FileSystem(), str(directory))


def test_a_second_daemon_is_told_which_process_has_the_directory(tmp_path: Path) -> None:
    with held_by_another_process(tmp_path) as holder:
        with pytest.raises(DirectoryLocked) as refused:
            lock_of(tmp_path).acquire()
        assert str(refused.value) == (
            f"data directory {tmp_path} is in use: lock held by pid {holder.pid}"
        )


def test_a_holder_that_was_killed_leaves_no_lock(tmp_path: Path) -> None:
    with held_by_another_process(tmp_path) as holder:
        holder.kill()
        holder.wait()
    assert (tmp_path / LOCK_FILE).read_text() == f"{holder.pid}\n"
    lock = lock_of(tmp_path)
    lock.acquire()
    assert (tmp_path / LOCK_FILE).read_text() == f"{os.getpid()}\n"
    lock.release()


def test_nothing_is_left_of_a_longer_pid(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).write_text("9" * 20)
    lock = lock_of(tmp_path)
    lock.acquire()
    assert (tmp_path / LOCK_FILE).read_text() == f"{os.getpid()}\n"
    lock.release()
    assert (tmp_path / LOCK_FILE).read_text() == ""


def test_a_released_directory_can_be_locked_again(tmp_path: Path) -> None:
    first, second = lock_of(tmp_path), lock_of(tmp_path)
    first.acquire()
    with pytest.raises(DirectoryLocked):
        second.acquire()
    first.release()
    second.acquire()
    with pytest.raises(DirectoryLocked):
        first.acquire()
    second.release()


def test_a_refused_daemon_leaves_the_lock_and_its_file_alone(tmp_path: Path) -> None:
    holder = lock_of(tmp_path)
    holder.acquire()
    refused = lock_of(tmp_path)
    with pytest.raises(DirectoryLocked):
        refused.acquire()
    refused.release()
    assert (tmp_path / LOCK_FILE).read_text() == f"{os.getpid()}\n"
    with pytest.raises(DirectoryLocked):
        refused.acquire()
    holder.release()


def test_a_release_frees_the_directory_even_if_a_child_has_inherited_the_file(
    tmp_path: Path,
) -> None:
    descriptors: list[int] = []

    class Remembering(FileSystem):
        def lock(self, path: str) -> int | None:
            file = super().lock(path)
            descriptors.extend([] if file is None else [os.dup(file)])
            return file

    lock = DirectoryLock(Remembering(), str(tmp_path))
    lock.acquire()
    lock.release()
    again = lock_of(tmp_path)
    again.acquire()
    again.release()
    os.close(descriptors[0])


def test_a_release_without_a_lock_does_nothing(tmp_path: Path) -> None:
    lock_of(tmp_path).release()
    assert not (tmp_path / LOCK_FILE).exists()


def test_a_directory_that_cannot_be_locked_is_refused_with_the_reason(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    with pytest.raises(StorageError, match=f"{nowhere} cannot be locked: No such file"):
        lock_of(nowhere).acquire()


def test_a_full_disk_keeps_nobody_from_locking(tmp_path: Path) -> None:
    class FullDisk(FileSystem):
        write = MemoryDisk(fail_at=1).write

    lock = DirectoryLock(FullDisk(), str(tmp_path))
    lock.acquire()
    with pytest.raises(DirectoryLocked, match="lock held by another process"):
        lock_of(tmp_path).acquire()
    lock.release()
