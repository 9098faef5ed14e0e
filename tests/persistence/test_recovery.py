"""What is on disk is given back, or refused with a place; and the directory is made ready for a new
segment without losing a byte on the way."""

from __future__ import annotations

import errno
import tracemalloc
from collections.abc import Callable, Generator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from persistence.disks import PATH, MemoryDisk

from memdbd import effects
from memdbd.commands.table import TYPES
from memdbd.effects import CLOSE, Effect
from memdbd.errors import JournalDamaged, StorageError
from memdbd.persistence.frames import BEGINNING, Link, segment_name
from memdbd.persistence.journal import Journal, NextSegment
from memdbd.persistence.recovery import Recovered, keep_torn, recover, renew_last
from memdbd.persistence.snapshot import (
    Following,
    SnapshotWriter,
    entries,
    header_line,
    install,
    lines_of,
)

BY_NAME = {kind.name: kind for kind in TYPES}
BY_CLASS = {kind.python: kind for kind in TYPES}
READING = {"exists", "list_directory", "read"}
MIB = 1 << 20


def path_of(number: int) -> str:
    return f"data/{segment_name(number)}"


def write(disk: MemoryDisk, number: int, previous: Link, *turns: list[Effect]) -> Journal:
    """A segment with these turns, all of them synced, as its daemon leaves it when it is killed."""
    journal = NextSegment(disk, "data", number, number * 1000).begin(previous)
    for turn in turns:
        journal.append(effects.encode(turn, 0))
        journal.sync()
        journal.synced = journal.sequence
    journal.close()
    return journal


def sets(key: bytes) -> list[Effect]:
    return [(b"SET", key, b"1"), (b"SET", key + b"'", b"2")]


def store(segments: int = 2, closed: bool = False) -> MemoryDisk:
    """Segments of two turns each."""
    disk = MemoryDisk()
    previous = BEGINNING
    for number in range(1, segments + 1):
        turns = [sets(b"%d-1" % number), sets(b"%d-2" % number)]
        if closed and number == segments:
            turns.append([CLOSE])
        previous = write(disk, number, previous, *turns).link
    return disk


def recovered(disk: MemoryDisk) -> Recovered:
    disk.calls.clear()
    found = recover(disk, "data", PATH, BY_NAME)
    assert set(disk.calls) <= READING
    return found


def keys(found: Recovered) -> set[bytes]:
    return set(found.contents[0][0])


def prepare(disk: MemoryDisk) -> list[str]:
    """What a start does before it begins a segment."""
    found = recovered(disk)
    kept = list(keep_torn(disk, found.torn))
    renew_last(disk, found)
    return kept


def refusal(disk: MemoryDisk) -> tuple[str, int]:
    with pytest.raises(JournalDamaged) as refused:
        recovered(disk)
    return refused.value.path, refused.value.offset


def after(disk: MemoryDisk, path: str, change: Callable[[bytes], bytes]) -> MemoryDisk:
    return disk.put(path, change(disk.files()[path]))


# What is given


def test_a_directory_without_files_is_no_data() -> None:
    found = recovered(MemoryDisk())
    assert (found.size, found.sequence, found.was_closed) == (0, 0, True)
    assert (found.next_number, found.last, found.torn) == (1, BEGINNING, ())


def test_all_that_was_written_is_there_and_nothing_is_changed() -> None:
    disk = store()
    before = disk.files()
    found = recovered(disk)
    assert keys(found) == {b"1-1", b"1-1'", b"1-2", b"1-2'", b"2-1", b"2-1'", b"2-2", b"2-2'"}
    assert (found.sequence, found.frames, found.next_number, found.first_needed) == (4, 4, 3, 1)
    assert (found.last_path, found.last.length) == (path_of(2), len(before[path_of(2)]))
    assert not found.was_closed
    assert disk.files() == before


def test_a_daemon_that_stopped_in_order_is_told_from_one_that_did_not() -> None:
    disk = store(closed=True)
    found = recovered(disk)
    assert (found.was_closed, found.frames, found.sequence) == (True, 4, 5)
    write(disk, 3, found.last)
    assert not recovered(disk).was_closed


@given(st.integers(0, 10_000), st.integers(1, 500))
def test_a_last_segment_that_is_cut_leaves_whole_turns_and_no_byte_is_lost(
    left: int, piece: int
) -> None:
    disk = store()
    whole = disk.files()[path_of(2)]
    left %= len(whole)
    disk.put(path_of(2), whole[:left])
    disk.piece = piece
    found = recovered(disk)
    there = [sets(b"%d-%d" % (n, m)) for n in (1, 2) for m in (1, 2)][: found.sequence]
    assert keys(found) == {effect[1] for turn in there for effect in turn}
    kept = prepare(disk)
    files = disk.files()
    assert files.get(path_of(2), b"") + b"".join(files[name] for name in kept) == whole[:left]
    assert not recovered(disk).torn


@given(st.binary(min_size=1, max_size=200))
def test_garbage_behind_the_last_frame_is_kept_beside(garbage: bytes) -> None:
    disk = after(store(), path_of(2), lambda data: data + garbage)
    assert prepare(disk) == [f"{path_of(2)}.torn"]
    assert disk.files()[f"{path_of(2)}.torn"] == garbage
    assert recovered(disk).sequence == 4


@given(st.dictionaries(st.sampled_from([path_of(1), path_of(2), PATH]), st.binary(max_size=150)))
def test_garbage_is_recovered_from_or_refused_and_nothing_else_is_raised(
    garbage: dict[str, bytes],
) -> None:
    disk = store()
    for path, data in garbage.items():
        disk.put(path, data)
    try:
        outcome = recovered(disk).sequence <= 4
    except StorageError as error:
        outcome = "data/" in str(error)
    assert outcome


def test_what_was_shown_to_be_on_disk_and_is_not_is_refused_with_its_place() -> None:
    whole = store().files()
    ends = len(whole[path_of(1)])
    cut = after(store(), path_of(1), lambda data: data[:-1])
    assert refusal(cut)[0] == path_of(1)
    assert refusal(after(store(), path_of(1), lambda data: data + b"more")) == (path_of(1), ends)
    disk = store(3)
    disk.remove(path_of(2))
    assert refusal(disk) == (path_of(2), 0)
    disk = store(3)
    disk.remove(path_of(1))
    assert refusal(disk) == (path_of(2), 0)
    disk = store(3)
    disk.put(path_of(2), whole[path_of(1)])
    assert refusal(disk) == (path_of(2), 0)


def covered(disk: MemoryDisk, number: int) -> None:
    """Have a snapshot of all before this segment, which is the last one."""
    found = recovered(disk)
    journal = write(disk, number, found.last)
    header = header_line(found.sequence, 1.5, Following(number, journal.salt))
    writer = SnapshotWriter(disk, PATH, header)
    for lines, count in lines_of(entries(found.contents), BY_CLASS):
        writer.add(lines, count)
    writer.finish()
    install(disk, PATH)


def test_what_is_at_fault_with_a_segment_that_is_not_needed_does_not_matter() -> None:
    for change in (
        lambda disk: disk.put(path_of(1), b"X" * 100),
        lambda disk: disk.put(path_of(1), disk.files()[path_of(2)]),  # under another's name
        lambda disk: disk.remove(path_of(1)),
    ):
        disk = store()
        covered(disk, 3)
        change(disk)
        found = recovered(disk)
        assert (found.size, found.sequence, found.first_needed) == (8, 4, 3)


# Before a new segment


def test_a_header_that_was_never_complete_is_kept_beside_and_its_number_used_again() -> None:
    disk = store().put(path_of(3), b"MEMDB")
    assert recovered(disk).next_number == 3
    assert prepare(disk) == [f"{path_of(3)}.torn"]
    assert disk.files()[f"{path_of(3)}.torn"] == b"MEMDB"
    assert path_of(3) not in disk.files()
    assert prepare(store().put(path_of(3), b"")) == []


@pytest.mark.parametrize("closed", [False, True])
def test_the_last_segment_is_on_disk_before_the_next_one_says_how_long_it_is(closed: bool) -> None:
    """Also where a system shows what it has not written, and one that was closed."""
    disk = store(closed=closed)
    last = disk.names[path_of(2)]
    last.synced = last.data[:100]
    prepare(disk)
    assert disk.after_power_loss(()).files()[path_of(2)] == last.data
    assert disk.names[path_of(2)] is not last


@pytest.mark.parametrize("piece", [1, 50, 1 << 20])
def test_wherever_the_preparation_ends_nothing_is_lost_and_it_can_be_done_again(
    piece: int,
) -> None:
    """A call fails; then the power goes, or the next start tries again."""
    torn = b"half a frame"
    for failing in range(1, 1000):
        disk = after(store(), path_of(2), lambda data: data + torn)
        disk.piece = piece
        whole = disk.files()[path_of(2)]
        found = recovered(disk)
        disk.calls.clear()
        disk.fail_at = failing
        try:
            for _ in keep_torn(disk, found.torn):
                pass
            renew_last(disk, found)
        except OSError:
            pass
        else:
            break
        assert disk.opened == {}
        disk.fail_at = 0
        for each in (disk, disk.after_power_loss(()), disk.after_power_loss(disk.files())):
            files = each.files()
            kept = files.get(f"{path_of(2)}.torn")
            assert files[path_of(2)] == whole or (files[path_of(2)] + torn, kept) == (whole, torn)
            prepare(each)
            assert [name for name in each.files() if ".torn" in name and "tmp" not in name] == [
                f"{path_of(2)}.torn"
            ]
            assert each.files()[f"{path_of(2)}.torn"] == torn
    assert failing > 10


def test_the_same_bytes_are_kept_once_and_others_beside_them() -> None:
    disk = store()
    for name, data in (("", b"other"), (".1", b"torn"), (".2", b"torn")):
        disk.put(f"{path_of(2)}.torn{name}", data)
    after(disk, path_of(2), lambda whole: whole + b"torn")
    assert prepare(disk) == [f"{path_of(2)}.torn.1"]
    assert disk.files()[f"{path_of(2)}.torn"] == b"other"


def test_a_long_torn_end_is_copied_and_compared_piece_by_piece() -> None:
    class Long(MemoryDisk):
        """Has 64 MiB behind the last segment, and in the file beside it; forgets what it writes."""

        def read(self, path: str) -> Generator[bytes, None, None]:
            if not path.endswith(".torn"):
                yield from super().read(path)
            if not path.endswith(path_of(1)):
                for _ in range(512):
                    yield bytes(memoryview(b"\xff" * (MIB // 8)))

        def write(self, file: int, data: bytes | memoryview) -> int:
            self.written = getattr(self, "written", 0) + len(data)
            return len(data)

    disk = Long()
    for path, data in store().files().items():
        disk.put(path, data)
    disk.put(f"{path_of(2)}.torn", b"")
    found = recovered(disk)
    assert [len(segment.torn) for segment in found.torn] == [64 * MIB]
    tracemalloc.start()
    try:
        assert list(keep_torn(disk, found.torn)) == [f"{path_of(2)}.torn"]
        renew_last(disk, found)
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()
    assert disk.written == 64 * MIB + found.last.length


def test_where_there_is_no_room_the_last_segment_is_synced_as_it_is() -> None:
    disk = store()
    name = path_of(2)
    disk.names[name].data += b"torn"
    found = recovered(disk)
    before = disk.names[name].data
    kept = list(keep_torn(disk, found.torn))

    def fails_once(disk: MemoryDisk) -> None:
        if disk.calls[-1] == "create":  # what follows is the first write to it
            disk.before_each = lambda disk: None
            raise OSError(errno.ENOSPC, "No space left on device")

    disk.before_each = fails_once
    renew_last(disk, found)
    assert kept == [f"{name}.torn"]
    assert disk.names[name].data == disk.names[name].synced == before[: -len(b"torn")]
    assert f"{name}.tmp" not in disk.names
