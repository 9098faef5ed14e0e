"""Headers and frames are read back as they were written, and nothing else is taken for one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from zlib import crc32

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memdbd.persistence import frames
from memdbd.persistence.frames import (
    EFFORT,
    FRAME_SIZE,
    HEADER_SIZE,
    NEAR,
    Header,
    Link,
    Search,
    TooMuch,
    could_be_frame,
    encode_frame,
    frame_head,
    length_of_frame,
    number_of,
    parse_frame,
    parse_header,
    segment_name,
)

SALT = 0x5BE0CD19
MIB = 1 << 20

salts = st.integers(0, 2**32 - 1)
counts = st.integers(0, 2**64 - 2)
effects = st.binary(max_size=60).map(lambda data: b"*" + data)
headers = st.builds(Header, counts, st.builds(Link, counts, counts, salts), salts)


# Headers


@given(headers, st.binary(max_size=30))
def test_a_header_is_read_back_whatever_is_behind_it(header: Header, behind: bytes) -> None:
    data = header.encode()
    assert len(data) == HEADER_SIZE
    assert parse_header(data + behind) == header
    assert [parse_header(data[:length]) for length in range(HEADER_SIZE)] == [None] * HEADER_SIZE


@given(headers, st.integers(0, HEADER_SIZE * 8 - 1))
def test_a_header_with_a_flipped_bit_is_none(header: Header, bit: int) -> None:
    assert parse_header(flipped(header.encode(), bit)) is None


@given(st.binary(max_size=100))
def test_garbage_is_no_header(data: bytes) -> None:
    assert parse_header(data) is None
    assert parse_header(frames.MAGIC + data) is None


@given(st.integers(1, 2**64))
def test_the_name_of_a_segment_tells_its_number(number: int) -> None:
    assert number_of(segment_name(number)) == number


@pytest.mark.parametrize(
    "name", ["journal.0000001", "journal.00000001.torn", "journal.", "xjournal.00000001", ""]
)
def test_other_files_are_no_segments(name: str) -> None:
    assert number_of(name) is None


# Frames


@given(counts, counts, effects, salts, st.binary(max_size=9), st.binary(max_size=9))
def test_a_frame_is_read_back_wherever_it_is(
    sequence: int, synced: int, payload: bytes, salt: int, before: bytes, behind: bytes
) -> None:
    data = encode_frame(sequence, synced, payload, salt)
    end = len(before) + len(data)
    found = parse_frame(before + data + behind, len(before), salt)
    assert found == (sequence, synced, payload, end)
    assert length_of_frame(before + data + behind, len(before)) == len(data)


@given(counts, counts, effects, salts)
def test_a_frame_that_is_cut_is_none_and_tells_how_much_it_needs(
    sequence: int, synced: int, payload: bytes, salt: int
) -> None:
    data = encode_frame(sequence, synced, payload, salt)
    for length in range(len(data)):
        assert parse_frame(data[:length], 0, salt) is None
        needs = length_of_frame(data[:length], 0)
        assert needs == (FRAME_SIZE if length < FRAME_SIZE else len(data))


@given(counts, counts, effects, st.data())
def test_a_frame_with_a_flipped_bit_is_none(
    sequence: int, synced: int, payload: bytes, data: st.DataObject
) -> None:
    frame = encode_frame(sequence, synced, payload, SALT)
    bit = data.draw(st.integers(0, len(frame) * 8 - 1))
    assert parse_frame(flipped(frame, bit), 0, SALT) is None


@given(counts, counts, effects, salts, salts)
def test_a_frame_is_none_of_another_segment(
    sequence: int, synced: int, payload: bytes, salt: int, other: int
) -> None:
    if salt != other:
        assert parse_frame(encode_frame(sequence, synced, payload, salt), 0, other) is None


@given(st.binary(max_size=200), st.integers(0, 200), salts)
def test_garbage_is_no_frame(data: bytes, at: int, salt: int) -> None:
    assert parse_frame(data, at, salt) is None
    assert parse_frame(bytes(len(data)), at, salt) is None


def test_a_frame_without_effects_is_none() -> None:
    assert parse_frame(encode_frame(1, 0, b"", SALT), 0, SALT) is None


def test_numbers_that_contradict_each_other_are_no_beginning() -> None:
    def begins(sequence: int, synced: int, payload: bytes = b"*") -> bool:
        return could_be_frame(encode_frame(sequence, synced, payload, SALT), 0, 100)

    assert begins(101, 100)
    assert begins(100 + NEAR, 0)
    assert not begins(101 + NEAR, 0)
    assert not begins(101, 101)
    assert not begins(101, 100, b"")
    assert could_be_frame(b"\0" * (FRAME_SIZE - 1), 0, 100)  # that cannot be told yet


# Where it is not known where a frame begins


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def found(data: bytes, sequence: int, beyond: int = -1, piece: int = 1 << 17) -> int | None:
    return Search(SALT, len(data)).find(cut(data, piece), len(data), sequence, beyond)


def expected(data: bytes, sequence: int, beyond: int) -> int | None:
    """The same, byte by byte."""
    for at in range(len(data)):
        frame = parse_frame(data, at, SALT)
        if frame is not None and frame.synced > beyond and could_be_frame(data, at, sequence):
            return at
    return None


@given(
    st.sampled_from([0, 1, 100, 255, 2**16, 2**24 - 3, 2**24, 2**24 + NEAR, 2**32 - 1, 2**45]),
    st.lists(
        st.binary(max_size=40)
        | st.integers(0, 40).map(bytes)
        | st.tuples(st.integers(-NEAR - 2, NEAR + 2) | st.integers(-3, 9), st.integers(-5, 5)),
        max_size=8,
    ),
    st.integers(-1, 3),
    st.integers(1, 200),
)
@example(2**24, [(-NEAR, -3), (5, 3)], -1, 1)
@example(2**24 - 1, [bytes(30), (1, -1)], -1, 25)
def test_a_search_finds_the_first_whole_frame_however_the_bytes_come(
    sequence: int, parts: list[bytes | tuple[int, int]], beyond: int, piece: int
) -> None:
    data = b""
    for part in parts:
        if isinstance(part, tuple):
            number = max(sequence + part[0], 1)
            synced = min(max(sequence + part[1], 0), number - 1)
            part = encode_frame(number, synced, b"*1" * 20, SALT)
        data += part
    beyond = beyond if beyond < 0 else sequence + beyond
    assert found(data, sequence, beyond, piece) == expected(data, sequence, beyond)


def test_a_frame_that_is_longer_than_many_pieces_is_found() -> None:
    data = b"torn" + encode_frame(7, 6, b"*" + bytes(3 * MIB) + b"!", SALT)
    assert found(data, 5) == found(data + b"more", 5) == 4
    assert found(data[:-1], 5) is None
    assert found(flipped(data, len(data) * 4), 5) is None


def test_a_frame_of_another_segment_is_not_found() -> None:
    assert found(b"torn" + encode_frame(7, 6, b"*1", SALT + 1), 5) is None


# The checksum


@given(st.binary(max_size=5000), st.integers(0, 4999), salts)
@example(b"x" * 100_000, 65_536, SALT)
def test_a_checksum_is_zlibs_by_whatever_means_and_in_any_pieces(
    data: bytes, at: int, salt: int
) -> None:
    checksum: Any = vars(frames)["crc32"]
    expected = crc32(data, salt)
    first, second = memoryview(data)[:at], memoryview(data)[at:]
    assert checksum(data, salt) == expected
    assert checksum(second, checksum(first, salt)) == expected
    assert checksum(b"", salt) == salt


# How much work that is: the bytes of which a CRC is taken


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each CRC was taken of."""
    sizes: list[int] = []

    def counted(data: bytes, crc: int = 0) -> int:
        sizes.append(len(data))
        return crc32(data, crc)

    monkeypatch.setattr(frames, "crc32", counted)
    return sizes


def hostile(size: int, length: int, number: int = 102) -> bytes:
    """Bytes that look like beginnings of frames of this length, one behind the other."""
    fields = (length, 0xDEADBEEF, number, 101)
    unit = b"".join(n.to_bytes(w, "big") for n, w in zip(fields, (4, 4, 8, 8), strict=True)) + b"*"
    return unit * (size // len(unit))


@pytest.mark.parametrize("data", [bytes(MIB) + b"x", b"x" + bytes(MIB), b"\0\0\0\0\0x" * 9999])
def test_zeros_cost_nothing(taken: list[int], data: bytes) -> None:
    assert found(data, 100) is None
    assert taken == []


def test_a_long_run_of_zeros_is_looked_at_as_a_whole() -> None:
    assert len(list(frames._places(bytes(MIB) + b"x", bytes(5)))) == 3


@pytest.mark.parametrize("first", [1, 102, 4000, 2**24 - 5000, 2**40])
def test_frames_that_say_nothing_of_the_torn_one_cost_nothing(taken: list[int], first: int) -> None:
    written = [encode_frame(first + n, first - 1, b"*1\r\n" * 9, SALT) for n in range(10_000)]
    taken.clear()
    assert found(b"torn" + b"".join(written), first - 1, beyond=first - 1) is None
    assert taken == []


@pytest.mark.parametrize("length", [MIB // 2, 2**32 - 1, 3000, 1000, 1])
@pytest.mark.parametrize("beyond", [-1, 100])
def test_what_a_client_has_made_look_like_frames_costs_so_much_and_no_more(
    taken: list[int], length: int, beyond: int
) -> None:
    data = hostile(MIB, length)
    try:
        outcome = found(data, 100, beyond)
    except TooMuch:
        outcome = None
        assert length in (MIB // 2, 3000)
    else:
        assert length in (1000, 1, 2**32 - 1)
    assert outcome is None
    assert sum(taken) <= EFFORT * MIB + 20 * MIB // 25  # that of the numbers beside


def test_what_is_no_news_or_too_far_away_or_too_long_costs_nothing(taken: list[int]) -> None:
    assert found(hostile(MIB, 5000), 101, beyond=101) is None
    assert found(hostile(MIB, 5000, number=101), 100) is None
    assert found(hostile(MIB, 5000, number=102 + NEAR), 100) is None
    assert found(hostile(MIB, MIB), 100) is None
    assert found(hostile(MIB, 0), 100) is None
    assert taken == []


def test_the_work_is_bounded_over_all_calls_of_a_search() -> None:
    data = hostile(MIB, 2000)
    search = Search(SALT, MIB)
    assert search.find([data[: MIB // 2]], MIB // 2, 100) is None
    with pytest.raises(TooMuch):
        search.find([data], MIB, 100)


@given(st.lists(st.binary(max_size=300), max_size=4), counts, salts, st.sampled_from([1, 1000]))
def test_the_checksum_is_zlib_s_whoever_takes_it(
    pieces: list[bytes], number: int, salt: int, times: int
) -> None:
    """So that a journal can be read where zlib-ng is missing, and the other way round."""
    pieces = [piece * times for piece in pieces]
    size = sum(map(len, pieces))
    head = frame_head(number, number, pieces, size, salt)
    numbers = head[:4] + head[8:]  # all but the CRC
    assert int.from_bytes(head[4:8], "big") == crc32(numbers + b"".join(pieces), salt)


def test_a_journal_is_the_same_where_zlib_ng_is_missing() -> None:
    encoded = "frames.encode_frame(7, 6, b'*' + bytes(100_000), 5)"
    script = (
        "import sys, zlib; sys.modules['zlib_ng'] = None; from memdbd.persistence import frames; "
        f"assert frames.crc32 is zlib.crc32; sys.stdout.buffer.write({encoded})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout == frames.encode_frame(7, 6, b"*" + bytes(100_000), 5)


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
