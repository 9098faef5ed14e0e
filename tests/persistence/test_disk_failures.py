"""A disk that fails or loses power while a snapshot is saved costs that snapshot, never the old.

Each test is carried out once for every operation on the disk that a save needs.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable

import pytest
from persistence.disks import PATH, TEMPORARY, MemoryDisk, load, saved
from persistence.disks import save as save_on

OLD = {b"key": b"old"}
NEW = {b"key": b"new", b"another": b"\xff" * 600_000}
OLD_FILE = saved(OLD)
FOREIGN = b'{"key": "old"}'
KEPT = f"{PATH}.imported"


def save(disk: MemoryDisk) -> None:
    save_on(disk, NEW)


def disk_before() -> MemoryDisk:
    return MemoryDisk().put(PATH, OLD_FILE)


def disk_before_import() -> MemoryDisk:
    return MemoryDisk().put(PATH, FOREIGN)


def operations(before: Callable[[], MemoryDisk]) -> range:
    """The numbers of all operations of a save that goes well."""
    disk = before()
    save(disk)
    return range(1, len(disk.calls) + 1)


BOTH = [
    pytest.param(before, number, id=f"{before.__name__}-{number}")
    for before in (disk_before, disk_before_import)
    for number in operations(before)
]


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize(("before", "number"), BOTH)
def test_a_failure_is_told_and_leaves_the_old_snapshot_or_the_new_and_nothing_else(
    before: Callable[[], MemoryDisk], number: int, error: int
) -> None:
    disk = before()
    disk.fail_at, disk.error = number, error
    with pytest.raises(OSError, match="the disk fails") as failure:
        save(disk)
    assert failure.value.errno == error
    committed = "replace" in disk.calls[: number - 1]
    assert load(disk).values == (NEW if committed else OLD)
    assert set(disk.files()) <= {PATH, KEPT}
    assert disk.files().get(KEPT, FOREIGN) == FOREIGN
    assert not disk.opened


@pytest.mark.parametrize(("before", "number"), BOTH)
def test_after_a_failure_the_next_save_works(before: Callable[[], MemoryDisk], number: int) -> None:
    disk = before()
    disk.fail_at = number
    with contextlib.suppress(OSError):
        save(disk)
    save(disk)
    assert load(disk).values == NEW


def test_a_failed_sync_is_not_tried_again_on_the_same_file() -> None:
    disk = disk_before()
    save(disk)
    disk.calls, disk.fail_at = [], disk.calls.index("sync") + 1
    with contextlib.suppress(OSError):
        save(disk)
    assert disk.calls[disk.fail_at - 1 :] == ["sync", "close", "remove"]


@pytest.mark.parametrize("written", [(), (PATH,), (TEMPORARY, PATH, KEPT)])
@pytest.mark.parametrize(("before", "number"), BOTH)
def test_loss_of_power_at_any_moment_leaves_the_old_snapshot_or_the_new(
    before: Callable[[], MemoryDisk], number: int, written: tuple[str, ...]
) -> None:
    left = []

    def lose_power(disk: MemoryDisk) -> None:
        if len(disk.calls) == number - 1:
            left.append(disk.after_power_loss(written))

    disk = before()
    disk.before_each = lose_power
    save(disk)
    [after] = left
    assert load(after).values in (OLD, NEW)
    if before is disk_before_import and load(after).values == NEW:
        assert after.files()[KEPT] == FOREIGN
    save(after)


def test_a_snapshot_that_is_committed_survives_the_loss_of_power() -> None:
    disk = disk_before()
    save(disk)
    assert disk.after_power_loss(written=()).files() == disk.files()
    assert load(disk).values == NEW


@pytest.mark.parametrize("taken", [1, 2, 1000])
def test_a_disk_that_takes_a_few_bytes_at_a_time_gets_all(taken: int) -> None:
    disk = MemoryDisk(bytes_per_write=taken)
    save_on(disk, OLD)
    assert disk.files() == {PATH: OLD_FILE}


def test_a_disk_that_takes_nothing_is_a_failure_and_not_an_endless_loop() -> None:
    disk = disk_before()
    disk.bytes_per_write = 0
    with pytest.raises(OSError, match="takes no more bytes"):
        save(disk)
    assert disk.files() == {PATH: OLD_FILE}
