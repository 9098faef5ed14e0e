"""A segment's frames are given in order up to the last one that is whole; what is behind it is told
from damage, in little memory, and with few files open."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Generator, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from persistence.disks import MemoryDisk

from memdbd.errors import JournalDamaged
from memdbd.persistence.frames import (
    BEGINNING,
    HEADER_SIZE,
    Header,
    Link,
    encode_frame,
    segment_name,
)
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.segments import Extent, Segment, find_segments, needed
from memdbd.persistence.snapshot import NO_SNAPSHOT, Following

NAME = segment_name(1)
PATH = f"data/{NAME}"
SALT = 77
HEADER = Header(1, Link(9, 0, 0), SALT).encode()
MIB = 1 << 20


def frame(sequence: int, synced: int = 9, payload: bytes = b"*1\r\n$1\r\na\r\n") -> bytes:
    return encode_frame(sequence, synced, payload, SALT)


def segment(data: bytes, piece: int = 1 << 20) -> Segment:
    return Segment(MemoryDisk(piece=piece).put(PATH, data), "data", NAME)


def sequences(found: Segment) -> list[int]:
    return [each.sequence for each in found.frames()]


def refusal(found: Segment) -> JournalDamaged:
    with pytest.raises(JournalDamaged) as refused:
        sequences(found)
    assert refused.value.path == PATH
    return refused.value


FRAMES = [frame(10), frame(11, 10, b"*" + b"x" * 300), frame(12, 9, b"*"), frame(13, 11)]
WHOLE = HEADER + b"".join(FRAMES)


# The frames


@pytest.mark.parametrize("piece", [1, 7, 100, 1 << 20])
def test_all_frames_are_given_however_the_disk_gives_the_file(piece: int) -> None:
    found = segment(WHOLE, piece)
    ends = [each.end for each in found.frames()]
    assert ends == [HEADER_SIZE + len(b"".join(FRAMES[: n + 1])) for n in range(4)]
    assert (found.link, len(found.torn)) == (Link(13, len(WHOLE), SALT), 0)


def test_a_segment_can_be_gone_through_again() -> None:
    found = segment(WHOLE + b"torn")
    assert sequences(found) == sequences(found) == [10, 11, 12, 13]
    assert (found.length, b"".join(found.torn)) == (len(WHOLE), b"torn")


@given(st.integers(HEADER_SIZE, len(WHOLE)), st.integers(1, 400))
def test_of_a_segment_that_is_cut_the_whole_frames_are_left_and_the_rest_is_torn(
    length: int, piece: int
) -> None:
    found = segment(WHOLE[:length], piece)
    got = sequences(found)
    kept = HEADER + b"".join(FRAMES[: len(got)])
    assert got == list(range(10, 10 + len(got)))
    assert WHOLE[:length] == kept + b"".join(found.torn)
    assert found.length == len(kept)
    assert len(found.torn) < len((FRAMES[len(got) :] or [b"?"])[0])


@given(st.binary(min_size=1, max_size=300) | st.integers(1, 300).map(bytes), st.integers(1, 400))
def test_garbage_behind_the_frames_is_torn(garbage: bytes, piece: int) -> None:
    found = segment(WHOLE + garbage, piece)
    assert sequences(found) == [10, 11, 12, 13]
    assert b"".join(found.torn) == garbage


@given(st.integers(0, 8 * (len(WHOLE) - HEADER_SIZE) - 1))
def test_a_flipped_bit_is_damage_if_a_later_frame_knows_of_it_and_torn_otherwise(bit: int) -> None:
    data = bytearray(WHOLE)
    at = HEADER_SIZE + bit // 8
    data[at] ^= 1 << bit % 8
    hit = next(n for n in range(4) if at < HEADER_SIZE + len(b"".join(FRAMES[: n + 1])))
    start = HEADER_SIZE + len(b"".join(FRAMES[:hit]))
    found = segment(bytes(data))
    if hit < 2:  # frame 13 says that 11 was synced; nobody says so of 12
        error = refusal(found)
        assert error.offset == start
        assert "so says the undamaged one" in error.reason
    else:
        assert sequences(found) == list(range(10, 10 + hit))
        assert b"".join(found.torn) == data[start:]


def test_the_frame_that_knows_of_the_damage_is_named() -> None:
    error = refusal(segment(HEADER + FRAMES[0] + b"lost" + frame(13, 10) + frame(14, 11)))
    assert str(HEADER_SIZE + len(FRAMES[0]) + 4 + len(frame(13))) in error.reason


@pytest.mark.parametrize("sequence", [9, 10, 12, 500])
def test_a_frame_out_of_its_place_is_refused(sequence: int) -> None:
    for payload in (b"*", b"*" + bytes(1000)):
        error = refusal(segment(HEADER + frame(10) + frame(sequence, 0, payload), piece=100))
        assert error.offset == HEADER_SIZE + len(frame(10))
        assert f"number {sequence}, where 11 must be" in error.reason


def test_what_a_client_has_made_look_like_frames_is_refused_where_it_takes_too_long() -> None:
    looks = (9000).to_bytes(4, "big") + b"CRC!" + (13).to_bytes(8, "big") + (12).to_bytes(8, "big")
    error = refusal(segment(HEADER + FRAMES[0] + b"torn" + (looks + b"*") * 9000))
    assert error.offset == HEADER_SIZE + len(FRAMES[0])
    assert "looks like the beginning of one" in error.reason


# The header


@pytest.mark.parametrize("length", range(HEADER_SIZE + 1))
@pytest.mark.parametrize("piece", [1, 1 << 20])
def test_a_segment_that_ends_before_its_header_does_was_just_being_made(
    length: int, piece: int
) -> None:
    found = segment(HEADER[:length], piece)
    assert found.is_unborn == (length < HEADER_SIZE)
    assert b"".join(found.torn) == (HEADER[:length] if found.is_unborn else b"")


@pytest.mark.parametrize("piece", [1, HEADER_SIZE, 1 << 20])
def test_a_damaged_header_is_refused_when_the_frames_are_needed(piece: int) -> None:
    found = segment(b"X" + WHOLE[1:], piece)
    assert (found.header, found.is_unborn) == (None, False)
    assert (refusal(found).offset, refusal(found).reason) == (
        0,
        "the header of this segment is damaged",
    )


def test_a_segment_under_anothers_name_is_refused_only_when_it_is_needed() -> None:
    disk = MemoryDisk().put("data/journal.00000002", WHOLE)
    found = Segment(disk, "data", "journal.00000002")
    assert needed([found], NO_SNAPSHOT._replace(journal=Following(3, None))) == []
    for use in (found.own_header, lambda: sequences(found)):
        with pytest.raises(JournalDamaged, match="this is segment 1, under another's name"):
            use()


def test_a_segment_that_is_exchanged_while_it_is_read_is_refused() -> None:
    disk = MemoryDisk().put(PATH, WHOLE)
    found = Segment(disk, "data", NAME)
    disk.put(PATH, Header(1, BEGINNING, SALT).encode() + frame(1, 0))
    assert "was changed" in refusal(found).reason
    disk.put(PATH, HEADER[:20])
    assert "was changed" in refusal(found).reason


def test_segments_are_found_in_the_order_of_their_numbers() -> None:
    disk = MemoryDisk()
    for name in ("journal.100000000", NAME, "journal.00000020", f"{NAME}.torn", "other"):
        disk.put(f"data/{name}", b"")
    assert find_segments(disk, "data") == [NAME, "journal.00000020", "journal.100000000"]


# Parts of files


@given(st.binary(max_size=50), st.integers(0, 60), st.integers(0, 60), st.integers(1, 60))
def test_an_extent_has_the_bytes_from_its_offset_on(
    data: bytes, offset: int, length: int, piece: int
) -> None:
    extent = Extent(MemoryDisk(piece=piece).put(PATH, data), PATH, offset, length)
    assert len(extent) == length
    for _ in range(2):
        assert b"".join(extent) == data[offset : offset + length]


# Files that are open, and memory


class Counted(MemoryDisk):
    """Counts the files that are being read."""

    reading = 0
    most = 0

    def read(self, path: str) -> Generator[bytes, None, None]:
        self.reading += 1
        self.most = max(self.most, self.reading)
        try:
            yield from super().read(path)
        finally:
            self.reading -= 1


def test_of_many_segments_one_file_is_open_at_a_time() -> None:
    disk = Counted(piece=60)
    names = [segment_name(number) for number in range(1, 300)]
    for number, name in enumerate(names, 1):
        header = Header(number, Link(9, 0, 0), SALT).encode()
        disk.put(f"data/{name}", header + b"".join(FRAMES) + b"torn")
    segments = [Segment(disk, "data", name) for name in names]
    assert disk.reading == 0
    for each in segments:
        sequences(each)
        assert disk.reading == 0
        next(each.frames())  # and then no more
        for _ in each.torn:
            break
    assert (disk.most, disk.reading) == (1, 0)


class Endless(FileSystem):
    """One long file: what it begins with, and then the same piece again and again."""

    def __init__(self, beginning: bytes, piece: bytes, times: int) -> None:
        self.beginning = beginning
        self.piece = piece
        self.times = times

    def read(self, path: str) -> Generator[bytes, None, None]:
        yield self.beginning
        for _ in range(self.times):
            # As a system does: another object each time.
            yield bytes(memoryview(self.piece))


def peak(run: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def through(found: Iterable[object]) -> None:
    for _ in found:
        pass


PIECE = 128 * 1024


@pytest.mark.parametrize(
    ("torn", "piece"),
    [
        (b"", bytes(PIECE)),
        (b"", b"\xff" * PIECE),
        (b"\xff" * 100, bytes(PIECE)),
        # A frame that could be one, but that it is too far from the last one.
        (encode_frame(1 << 40, 9, b"*", SALT).replace(b"\0\0\0\1", b"\x7f\0\0\1", 1), bytes(PIECE)),
        # Frames of no consequence, and one among them that is longer than a piece.
        (b"torn", (frame(13, 9, b"*1\r\n" * 250) * 200)[:PIECE]),
        (b"torn" + frame(13, 9, b"*" * MIB), bytes(PIECE)),
        # What could be a frame as long as all that follows, of consequence if it were.
        (b"torn" + frame(13, 11, b"*" * (60 * MIB))[:100], b"\xff" * PIECE),
    ],
    ids=["zeros", "ones", "both", "far", "frames", "a long frame", "as long as all"],
)
def test_64_mib_that_are_torn_take_no_memory(torn: bytes, piece: bytes) -> None:
    found = Segment(Endless(HEADER + FRAMES[0] + torn, piece, 512), "data", NAME)
    assert peak(lambda: through(found.frames())) < 2 * len(torn) + MIB
    assert len(found.torn) == len(torn) + 512 * len(piece)
    assert peak(lambda: through(found.torn)) < 2 * len(torn) + MIB


def test_a_long_segment_takes_about_twice_its_longest_frame() -> None:
    long = frame(11, 9, b"*" * 4 * MIB)
    data = HEADER + FRAMES[0] + long + b"".join(frame(n) for n in range(12, 20_000))
    disk = MemoryDisk(piece=PIECE).put(PATH, data)
    found = Segment(disk, "data", NAME)
    assert peak(lambda: through(found.frames())) < 2 * len(long) + MIB
    assert found.sequence == 19_999
