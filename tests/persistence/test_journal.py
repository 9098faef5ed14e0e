"""What is appended is read back, and what is not appended is not there, whatever fails."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from persistence.disks import MemoryDisk

from memdbd.persistence.frames import BEGINNING, HEADER_SIZE, Link, parse_header, segment_name
from memdbd.persistence.fs import TOGETHER
from memdbd.persistence.journal import Journal, NextSegment
from memdbd.persistence.segments import Segment

NAME = segment_name(3)
PATH = f"data/{NAME}"
SALT = 4711
PREVIOUS = Link(41, 1000, 99)


def begun(disk: MemoryDisk, previous: Link = PREVIOUS) -> Journal:
    return NextSegment(disk, "data", 3, SALT).begin(previous)


def payloads(disk: MemoryDisk) -> list[bytes]:
    return [frame.payload for frame in Segment(disk, "data", NAME).frames()]


@given(st.lists(st.binary(max_size=300).map(lambda data: b"*" + data), max_size=9), st.integers(1))
def test_what_is_appended_is_read_back(written: list[bytes], bytes_per_write: int) -> None:
    disk = MemoryDisk(bytes_per_write=min(bytes_per_write, 1 << 30))
    journal = begun(disk)
    for payload in written:
        journal.append(payload)
    found = Segment(disk, "data", NAME)
    assert [frame.payload for frame in found.frames()] == written
    assert found.link == journal.link == Link(41 + len(written), len(disk.files()[PATH]), SALT)
    assert not found.torn


@pytest.mark.parametrize("bytes_per_write", [1000, TOGETHER, 1 << 30])
@pytest.mark.parametrize("size", [1, TOGETHER])
def test_a_payload_in_pieces_is_one_frame(size: int, bytes_per_write: int) -> None:
    disk = MemoryDisk(bytes_per_write=bytes_per_write)
    journal = begun(disk)
    journal.append(b"*a", bytes(size), b"b", bytes(size))
    journal.append(b"*c")
    assert payloads(disk) == [b"*a" + bytes(size) + b"b" + bytes(size), b"*c"]
    assert journal.length == len(disk.files()[PATH])


def test_a_frame_says_how_much_was_synced_when_it_was_written() -> None:
    disk = MemoryDisk()
    journal = begun(disk)
    journal.append(b"*a")
    journal.append(b"*b")
    journal.sync()
    journal.synced = journal.sequence
    journal.append(b"*c")
    frames = Segment(disk, "data", NAME).frames()
    assert [(frame.sequence, frame.synced) for frame in frames] == [(42, 41), (43, 41), (44, 43)]


def test_what_was_synced_survives_the_loss_of_power_and_so_does_the_header() -> None:
    disk = MemoryDisk()
    journal = begun(disk)
    assert disk.after_power_loss(()).files() == {PATH: disk.files()[PATH]}
    journal.append(b"*a")
    journal.sync()
    journal.append(b"*b")
    assert payloads(disk.after_power_loss(())) == [b"*a"]
    assert payloads(disk) == [b"*a", b"*b"]


def test_the_header_says_what_is_before_the_segment_and_a_snapshot_what_the_segment_is() -> None:
    disk = MemoryDisk()
    journal = begun(disk)
    header = parse_header(disk.files()[PATH])
    assert header == (3, PREVIOUS, SALT)
    assert journal.following == (3, SALT)
    assert (journal.path, journal.sequence, journal.length) == (PATH, 41, HEADER_SIZE)


@pytest.mark.parametrize("taken", [0, 1, 10, 25])
@pytest.mark.parametrize("failures", [1, 2, 3])
def test_a_frame_that_was_not_written_leaves_nothing_behind_the_next_ones(
    taken: int, failures: int
) -> None:
    class Full(MemoryDisk):
        """Takes the first bytes of a frame, and then no more; nor does it cut them off."""

        left = 0

        def write(self, file: int, data: bytes | memoryview) -> int:
            if not self.left:
                return super().write(file, data)
            if len(data) > 26 - taken:
                return super().write(file, data[:taken]) if taken else self.fails()
            return self.fails()

        def truncate(self, file: int, length: int = 0) -> None:
            if self.left > 1:
                self.fails()
            super().truncate(file, length)

        def fails(self) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    disk = Full()
    journal = begun(disk)
    journal.append(b"*a")
    before = journal.link
    for left in range(failures, 0, -1):
        disk.left = left
        with pytest.raises(OSError, match="No space"):
            journal.append(b"*b")
        assert journal.link == before
        assert payloads(disk) == [b"*a"]
    disk.left = 0
    journal.append(b"*c")
    journal.append(b"*d")
    assert payloads(disk) == [b"*a", b"*c", b"*d"]
    assert disk.files()[PATH][journal.length :] == b""


def test_a_file_that_an_earlier_attempt_has_left_is_replaced() -> None:
    disk = MemoryDisk().put(PATH, b"whatever there was")
    begun(disk).append(b"*a")
    assert payloads(disk) == [b"*a"]


def test_a_segment_whose_name_cannot_be_synced_is_taken_back() -> None:
    disk = MemoryDisk(fail_at=2)
    with pytest.raises(OSError, match="the disk fails"):
        NextSegment(disk, "data", 3, SALT)
    assert disk.calls[1] == "sync_directory"
    assert (disk.files(), disk.opened) == ({}, {})


@pytest.mark.parametrize(
    ("end", "left"),
    [
        (NextSegment.discard, {}),
        (NextSegment.abandon, {PATH: b""}),
    ],
)
def test_a_segment_without_a_header_is_let_go_even_by_a_disk_that_fails(
    end: Callable[[NextSegment], None], left: dict[str, bytes]
) -> None:
    disk = MemoryDisk()
    end(NextSegment(disk, "data", 3, SALT))
    assert (disk.files(), disk.opened) == (left, {})
    for failing in (1, 2):
        disk = MemoryDisk()
        following = NextSegment(disk, "data", 3, SALT)
        disk.fail_at = len(disk.calls) + failing
        end(following)
        assert disk.opened == {}


def test_to_close_never_raises() -> None:
    disk = MemoryDisk()
    journal = begun(disk, BEGINNING)
    disk.fail_at = len(disk.calls) + 1
    journal.close()
    assert disk.calls[-1] == "close"
    assert disk.opened == {}
