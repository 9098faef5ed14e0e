"""What a snapshot looks like, and that what was saved is what is loaded.

How it is refused when it is damaged is in ``test_damage.py``, what a failing disk does to it in
``test_disk_failures.py``.
"""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from persistence.disks import (
    CREATED,
    PATH,
    TEMPORARY,
    TYPES,
    Loaded,
    MemoryDisk,
    load,
    loaded,
    save,
    saved,
    writer,
)

from memdbd.errors import SnapshotDamaged, StorageError
from memdbd.keyspace import Contents
from memdbd.persistence.loading import read
from memdbd.persistence.snapshot import (
    SLICE_BYTES,
    SLICE_KEYS,
    Following,
    Snapshot,
    SnapshotWriter,
    entries,
    header_line,
    install,
    lines_of,
    remove_unfinished,
)

GOLDEN = """\
[{"format":"memdbd","version":1,"sequence":7,"created":"2026-11-23T03:18:27.123Z"},
{"key":"username","value":"john_doe"},
{"key":"temp_token","value":"abc123","deadline":1795403967123},
{"key":"größe","value":"two\\nlines, a \\"quote\\" and \\u0000"},
{"key":"looks like base64","value":"AAECAw=="},
{"key":"avatar","value":"iVBORw0KGgo=","encoding":"base64"},
{"key":"/w==","value":"plain","key_encoding":"base64","deadline":1},
{"key":"queue","value":["a","b"],"type":"list"},
{"key":"mixed","value":["YQ==","/w=="],"encoding":"base64","type":"list"},
{"end":true,"count":8,"crc32":"e51f5723"}]
""".encode()
GOLDEN_VALUES: dict[bytes, Any] = {
    b"username": b"john_doe",
    b"temp_token": b"abc123",
    "größe".encode(): b'two\nlines, a "quote" and \0',
    b"looks like base64": b"AAECAw==",
    b"avatar": b"\x89PNG\r\n\x1a\n",
    b"\xff": b"plain",
    b"queue": [b"a", b"b"],
    b"mixed": [b"a", b"\xff"],
}
GOLDEN_DEADLINES = {b"temp_token": 1795403967123, b"\xff": 1}

# Often UTF-8, and often not.
TEXTS = st.binary(max_size=20) | st.text(max_size=20).map(str.encode)


def test_the_file_is_as_the_format_says_to_the_byte() -> None:
    assert saved(GOLDEN_VALUES, GOLDEN_DEADLINES) == GOLDEN


def test_a_file_of_this_format_will_always_be_read() -> None:
    assert loaded(GOLDEN) == Loaded(GOLDEN_VALUES, GOLDEN_DEADLINES, 7, CREATED, imported=False)


def test_the_file_as_a_whole_is_json() -> None:
    header, *records, end = json.loads(GOLDEN)
    assert header["format"] == "memdbd"
    assert len(records) == end["count"]


def test_a_snapshot_of_nothing_is_a_snapshot() -> None:
    assert loaded(saved({})) == Loaded({}, {}, 7, CREATED)


@given(values=st.dictionaries(TEXTS, TEXTS | st.lists(TEXTS)), data=st.data())
@example(values={b"": b"", b"\\": b'"'}, data=None)
def test_whatever_was_saved_is_loaded(values: dict[bytes, Any], data: st.DataObject) -> None:
    deadlines: dict[bytes, int] = {}
    if values and data is not None:
        keys = st.sampled_from(list(values))
        deadlines = data.draw(st.dictionaries(keys, st.integers(-(2**63), 2**63 - 1)))
    snapshot = loaded(saved(values, deadlines))
    assert snapshot.values == values
    assert list(snapshot.values) == list(values)
    assert snapshot.deadlines == deadlines


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 64, 200])
def test_it_does_not_matter_in_what_pieces_the_disk_gives_the_file(piece: int) -> None:
    assert loaded(GOLDEN, piece).values == GOLDEN_VALUES


@pytest.mark.parametrize(
    "value",
    [
        b"a" * (SLICE_BYTES + 1),
        b"a" * (3 * SLICE_BYTES),
        "\0größe€😀\n".encode() * SLICE_BYTES,
        b"\xff" * (2 * SLICE_BYTES),
    ],
    ids=["one over a slice", "just three slices", "escapes and UTF-8", "base64"],
)
def test_a_value_larger_than_a_slice_is_saved_and_loaded(value: bytes) -> None:
    values = {b"before": b"1", b"large \xff": value, b"after": b"2"}
    data = saved(values, {b"large \xff": 5})
    assert len(json.loads(data)) == len(values) + 2
    snapshot = loaded(data, piece=64 * 1024)
    assert snapshot.values == values
    assert snapshot.deadlines == {b"large \xff": 5}


def test_keys_are_in_the_file_in_their_order_whatever_their_size() -> None:
    sizes = {b"a": 1, b"b": SLICE_BYTES + 1, b"c": 2, b"d": 3, b"e": SLICE_BYTES + 1, b"f": 4}
    data = saved({key: b"x" * size for key, size in sizes.items()})
    assert [record["key"] for record in json.loads(data)[1:-1]] == list("abcdef")


def slices(values: dict[bytes, Any]) -> list[tuple[bytes, int]]:
    """The pieces in which the records are written, and how many end in each."""
    types = {kind.python: kind for kind in TYPES}
    return list(lines_of(entries({0: (values, {})}), types))


def test_a_slice_has_a_bounded_number_of_keys() -> None:
    values = {b"%d" % number: b"" for number in range(2 * SLICE_KEYS + 1)}
    found = slices(values)
    assert [lines.count(b"\n") for lines, _ in found] == [SLICE_KEYS, SLICE_KEYS, 1]
    assert [count for _, count in found] == [SLICE_KEYS, SLICE_KEYS, 1]


def test_a_slice_has_a_bounded_number_of_bytes() -> None:
    values = {b"%d" % number: b"x" * 60_000 for number in range(20)}
    values |= {b"large": b"x" * (5 * SLICE_BYTES)}
    found = slices(values)
    assert max(len(lines) for lines, _ in found) < 2 * SLICE_BYTES
    assert sum(count for _, count in found) == len(values)


def test_keys_that_go_while_it_is_written_are_left_out() -> None:
    values = {b"%d" % number: b"" for number in range(3)}
    found = entries({0: (values, {}), 1: ({b"last": b""}, {b"last": 5})})
    assert next(found) == (0, b"0", b"", None)
    del values[b"1"]
    values[b"new"] = b""
    assert [key for _, key, _, _ in found] == [b"2", b"last"]


def test_keys_of_all_databases_are_saved_and_loaded() -> None:
    contents: Contents = {0: ({b"a": b"0"}, {}), 15: ({b"a": b"1", b"\xff": [b"\xfe"]}, {b"a": 5})}
    disk = MemoryDisk()
    snapshot = writer(disk)
    for lines, count in lines_of(entries(contents), {kind.python: kind for kind in TYPES}):
        snapshot.add(lines, count)
    snapshot.finish()
    install(disk, PATH)
    assert read(disk, PATH, {kind.name: kind for kind in TYPES}).contents == contents


@pytest.mark.parametrize("journal", [None, Following(3, 0x0BE9), Following(3, None)])
def test_the_header_says_which_segment_of_the_journal_follows(journal: Following | None) -> None:
    disk = MemoryDisk()
    SnapshotWriter(disk, PATH, header_line(2**40, CREATED, journal)).finish()
    install(disk, PATH)
    snapshot = read(disk, PATH, {})
    length = len(disk.names[PATH].data)
    assert snapshot == Snapshot({0: ({}, {})}, 2**40, CREATED, journal=journal, length=length)


def test_until_it_is_installed_the_snapshot_is_the_old_one() -> None:
    disk = MemoryDisk().put(PATH, saved({}))
    snapshot = writer(disk)
    snapshot.add(b"".join(GOLDEN.splitlines(keepends=True)[1:-1]), 8)
    assert disk.names[PATH].data == saved({})
    snapshot.finish()
    assert disk.files() == {PATH: saved({}), TEMPORARY: GOLDEN}
    install(disk, PATH)
    assert disk.files() == {PATH: GOLDEN}


def test_what_is_finished_is_on_disk_as_a_whole() -> None:
    disk = MemoryDisk()
    snapshot = writer(disk)
    snapshot.finish()
    assert disk.names[TEMPORARY].synced == saved({})
    assert (snapshot.count, snapshot.size) == (0, len(saved({})))
    assert not disk.opened


def test_what_a_killed_daemon_left_is_in_nobodys_way() -> None:
    disk = MemoryDisk().put(TEMPORARY, b"half a snapsh")
    save(disk, GOLDEN_VALUES, GOLDEN_DEADLINES)
    assert disk.files() == {PATH: GOLDEN}


def test_what_a_killed_daemon_left_is_removed() -> None:
    disk = MemoryDisk().put(PATH, GOLDEN).put(TEMPORARY, b"half a snapsh")
    remove_unfinished(disk, PATH)
    remove_unfinished(disk, PATH)
    assert disk.files() == {PATH: GOLDEN}


def test_an_aborted_snapshot_leaves_nothing_behind() -> None:
    disk = MemoryDisk().put(PATH, GOLDEN)
    snapshot = writer(disk)
    snapshot.abort()
    snapshot.abort()
    assert disk.files() == {PATH: GOLDEN}
    assert not disk.opened


def test_a_finished_writer_takes_nothing_more_and_harms_no_other() -> None:
    disk = MemoryDisk()
    finished = writer(disk)
    finished.finish()
    other = writer(disk)
    finished.abort()
    with pytest.raises(ValueError, match="already finished or aborted"):
        finished.finish()
    with pytest.raises(ValueError, match="already finished or aborted"):
        finished.add(b"", 0)
    other.finish()
    install(disk, PATH)
    assert disk.files() == {PATH: saved({})}


def test_a_value_of_no_known_type_is_not_written() -> None:
    with pytest.raises(KeyError):
        slices({b"key": 1.5})


def test_garbage_is_not_collected_during_a_load() -> None:
    enabled = []
    disk = MemoryDisk(before_each=lambda disk: enabled.append(gc.isenabled())).put(PATH, GOLDEN)
    load(disk)
    assert enabled == [False]


def test_the_garbage_collector_is_as_before_after_a_load() -> None:
    loaded(GOLDEN)
    assert gc.isenabled()
    with pytest.raises(SnapshotDamaged):
        loaded(GOLDEN[:-1])
    assert gc.isenabled()
    gc.disable()
    try:
        loaded(GOLDEN)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_file_that_cannot_be_read_is_refused_with_its_name_and_the_reason() -> None:
    disk = MemoryDisk(fail_at=1).put(PATH, GOLDEN)
    with pytest.raises(StorageError, match=f"{PATH} cannot be read: the disk fails"):
        load(disk)
