"""A snapshot that is not what was written is refused, with the line at fault and a reason.

The last line must be, to the byte, the one that belongs to what is before it. So there is no
exception to any of these promises: not even a flipped bit that would make the same data is taken.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from zlib import crc32

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from persistence.disks import PATH, loaded, saved

from memdbd.errors import SnapshotDamaged
from memdbd.persistence.snapshot import MAGIC, end_line

DATA = saved(
    {b"one": b"1", "größe".encode(): b"two\n", b"three": b"\xff", b"four": [b"4"], b"five": b"5"},
    {b"one": 1795403967123, b"three": 3},
)
LINES = DATA.splitlines(keepends=True)


def refusal(data: bytes) -> SnapshotDamaged:
    with pytest.raises(SnapshotDamaged) as refused:
        loaded(data)
    return refused.value


def sealed(*records: bytes, header: bytes = LINES[0]) -> bytes:
    """A file with these lines in which everything that can be counted is right."""
    body = b"".join([header, *(record + b",\n" for record in records)])
    return body + end_line(len(records), crc32(body))


@pytest.mark.parametrize("length", range(len(DATA)))
def test_a_file_that_is_cut_off_is_refused(length: int) -> None:
    error = refusal(DATA[:length])
    assert error.path == PATH
    assert error.line <= DATA.count(b"\n", 0, length) + 1


@pytest.mark.parametrize("position", range(len(DATA)))
def test_a_flipped_bit_is_refused(position: int) -> None:
    for bit in range(8):
        flipped = bytearray(DATA)
        flipped[position] ^= 1 << bit
        assert 1 <= refusal(bytes(flipped)).line <= len(LINES) + 1


def test_a_lost_line_is_refused() -> None:
    for lost in range(len(LINES)):
        refusal(b"".join(LINES[:lost] + LINES[lost + 1 :]))


def test_a_doubled_line_is_refused() -> None:
    for doubled in range(len(LINES)):
        error = refusal(b"".join(LINES[: doubled + 1] + LINES[doubled:]))
        assert error.line in (doubled + 1, doubled + 2)


def test_two_swapped_lines_are_refused() -> None:
    for second in range(1, len(LINES)):
        for first in range(second):
            lines = LINES.copy()
            lines[first], lines[second] = lines[second], lines[first]
            refusal(b"".join(lines))


def test_two_snapshots_one_after_the_other_are_refused() -> None:
    assert "was the last" in refusal(DATA + DATA).reason


@pytest.mark.parametrize("piece", [1, 10, 1000])
def test_the_line_at_fault_is_named_however_the_disk_gives_the_file(piece: int) -> None:
    with pytest.raises(SnapshotDamaged) as refused:
        loaded(DATA.replace(b'"five"', b'"five'), piece)
    assert refused.value.line == 6


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b'{"key":"a","value":"b"', "this is not a record"),
        (b'{"key":"a","value":"b"},{"key":"c","value":"d"}', "this is not a record"),
        (b'{"key":"a",\r"value":"b}', "this is not a record"),
        (b"[1,2,3]", "this is not a record"),
        (b'["key","value"]', "this is not a record"),
        (b"17", "this is not a record"),
        (b"null", "this is not a record"),
        (b"", "this is not a record"),
        (b'{"key":"a"}', "this is not a record"),
        (b'{"key":"a","val":"b"}', "field 'val' is not known"),
        (b'{"key":1,"value":"b"}', "this is not a record"),
        (b'{"key":"a","value":2}', "this is not a record"),
        (b'{"key":"a","value":["b"]}', "this is not a record"),
        (b'{"key":"a","value":"\\ud800"}', "this is not a record"),
        (b'{"key":"a","value":"\xff"}', "this is not a record"),
        (b'{"key":"a","value":"b","color":"red"}', "field 'color' is not known"),
        (b'{"key":"a","value":"b","type":"tree"}', "type 'tree' is not known to this version"),
        (b'{"key":"a","value":"b","type":[]}', "this is not a record"),
        (b'{"key":"a","value":7,"type":"list"}', "this is not a record"),
        (b'{"key":"a","value":"b","deadline":"1"}', "the deadline is not a whole number"),
        (b'{"key":"a","value":"b","deadline":1.5}', "the deadline is not a whole number"),
        (b'{"key":"a","value":"b","deadline":true}', "the deadline is not a whole number"),
        (b'{"key":"a","value":"b","encoding":"rot13"}', "encoding 'rot13' is not known"),
        (b'{"key":"a","value":"b","encoding":"base64"}', "this is not a record"),
        (b'{"key":"a","value":"Y?Q==","encoding":"base64"}', "this is not a record"),
        (b'{"key":"\xc3\xa9","value":"b","key_encoding":"base64"}', "this is not a record"),
        (b'{"key":"first","value":"b"}', "key 'first' is there a second time"),
        (b'{"key":"Zmlyc3Q=","value":"","key_encoding":"base64"}', "is there a second time"),
        (b'{"end":true,"count":1}', "there is more after this line, which was the last"),
    ],
)
def test_a_line_that_no_memdbd_writes_is_named_with_what_is_wrong(
    record: bytes, reason: str
) -> None:
    error = refusal(sealed(b'{"key":"first","value":""}', record, b'{"key":"z","value":""}'))
    assert error.line == 3
    assert reason in error.reason
    assert str(error) == f"{PATH}, line 3: {error.reason}"


def test_lines_are_counted_as_editors_count_them() -> None:
    odd_but_right = b'{"key":"a",\r"value":"b\xe2\x80\xa8"}'
    assert refusal(sealed(odd_but_right, b"null")).line == 3


def test_a_key_that_is_there_twice_is_found_across_the_pieces_of_a_file() -> None:
    records = [b'{"key":"%d","value":""}' % (number % 50) for number in range(60)]
    with pytest.raises(SnapshotDamaged, match="line 52: key '0' is there a second time"):
        loaded(sealed(*records), piece=200)


@pytest.mark.parametrize(
    "header",
    [
        b'[{"format":"other","version":1,"sequence":0,"created":"2026-11-23T03:18:27.123Z"},\n',
        b'[{"format":"memdbd","version":1,"sequence":"0","created":"2026-11-23T03:18:27.123Z"},\n',
        b'[{"format":"memdbd","version":1,"sequence":0,"created":"now"},\n',
        b'[{"format":"memdbd","version":1,"sequence":0,"created":"2026-11-23T03:18:27"},\n',
        b'[{"format":"memdbd","version":1,"sequence":0},\n',
        b'[{"format":"memdbd"},\n',
        b"[1,\n",
        b"[[],\n",
        b"[\n",
    ],
)
def test_a_header_that_no_memdbd_writes_is_refused(header: bytes) -> None:
    assert refusal(sealed(header=header)).line == 1


def test_a_snapshot_of_a_later_version_is_refused_with_what_would_read_it() -> None:
    error = refusal(DATA.replace(b'"version":1', b'"version":2'))
    assert (error.line, error.reason) == (
        1,
        "this is version 2 of the format and this memdbd reads version 1: "
        "use the memdbd that wrote the file",
    )


@pytest.mark.parametrize(
    ("change", "line", "reason"),
    [
        (lambda data: data.replace(b'"5"', b'"6"'), 7, "the checksum of what is before this line"),
        (lambda data: data.replace(b'"count":5', b'"count":6'), 7, "should be 6 records"),
        (lambda data: data.replace(LINES[-1], b""), 6, "cut off here"),
        (lambda data: data[:-2], 7, "cut off here"),
        (lambda data: data[: -len(LINES[-1]) - 5], 6, "cut off here"),
        (lambda data: data + b"\n", 7, "was the last"),
        (lambda data: data + b"more", 7, "was the last"),
        (lambda data: data.replace(b"\n", b"\r\n"), 1, "not the header"),
        (lambda data: data.replace(b'"crc32"', b'"crc"'), 7, "not the last line"),
        (lambda data: b"", 1, "the file is empty"),
        (lambda data: bytes(len(data)), 1, "neither a memdbd snapshot nor JSON"),
    ],
)
def test_a_person_is_told_what_happened_to_the_file(
    change: Callable[[bytes], bytes], line: int, reason: str
) -> None:
    error = refusal(change(DATA))
    assert error.line == line
    assert reason in error.reason


@given(garbage=st.binary(max_size=200), start=st.sampled_from([b"", b"[", b"[{", b"{", MAGIC]))
@example(garbage=b"[" * 200_000, start=b"")
@example(garbage=b"[" * 200_000, start=LINES[0])
@example(garbage=b'{"a":' * 200_000, start=b"")
@example(garbage=b"9" * 10_000, start=b'{"a":')
def test_garbage_is_refused_and_nothing_else_is_raised(garbage: bytes, start: bytes) -> None:
    refusal(start + garbage + b"?")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["key", "value", "type", "deadline", "encoding"]), inner)
    ),
    max_leaves=8,
)


@given(JSON)
def test_a_record_of_any_json_is_loaded_or_refused(record: object) -> None:
    try:
        outcome = f"{len(loaded(sealed(json.dumps(record).encode())).values)} loaded"
    except SnapshotDamaged as error:
        outcome = f"line {error.line} refused"
    assert outcome in ("1 loaded", "line 2 refused")
