"""The plain JSON files of other small databases: taken as a whole, or refused with a line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from persistence.disks import PATH, MemoryDisk, load, loaded, save, saved, writer

from memdbd.errors import SnapshotDamaged
from memdbd.persistence.snapshot import install

FOREIGN = b'{"username": "john_doe", "temp_token": "abc123"}'
KEPT = f"{PATH}.imported"


def test_a_json_object_of_strings_is_imported() -> None:
    snapshot = loaded(FOREIGN)
    assert snapshot.values == {b"username": b"john_doe", b"temp_token": b"abc123"}
    assert (snapshot.deadlines, snapshot.sequence, snapshot.imported) == ({}, 0, True)


@given(
    values=st.dictionaries(st.text(), st.text()),
    ascii_only=st.booleans(),
    indent=st.none() | st.integers(0, 4),
    mark=st.sampled_from([b"", b"\xef\xbb\xbf"]),
)
def test_it_does_not_matter_how_the_json_was_written(
    values: dict[str, str], ascii_only: bool, indent: int | None, mark: bytes
) -> None:
    text = json.dumps(values, ensure_ascii=ascii_only, indent=indent)
    expected = {key.encode(): value.encode() for key, value in values.items()}
    assert loaded(mark + text.encode()).values == expected


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (b'{\n"a": "1",\n"b": 2\n}', 3, 'the value of key "b" is not a string'),
        (b'{"a": "1",\n"b": null}', 2, 'the value of key "b" is not a string'),
        (b'{"a": "b",\n"b": {"value": "c"}}', 2, 'the value of key "b" is not a string'),
        (b'{\n"\\u00e9": []}', 2, 'the value of key "\\u00e9" is not a string'),
        ('{\n"é": []}'.encode(), 2, 'the value of key "\\u00e9" is not a string'),
        (b'{"a": "1",\n"a": "2"}', 2, 'key "a" is there twice'),
        (b'{"a": "\\ud800"}', 1, 'the text at key "a" is not Unicode'),
        (b'{"\\udfff": "a"}', 1, "is not Unicode"),
        (b'{"a": "1",\n"b": "\xff"}', 2, "is not UTF-8"),
        (b"REDIS0011\xfa\tredis-ver", 1, "this is a Redis RDB file, and no snapshot: move it"),
        (b'{"a": "1",\n"b": "2', 2, "is neither a memdbd snapshot nor JSON"),
        (b'{"a": "1"}\n{"b": "2"}', 2, "is neither a memdbd snapshot nor JSON"),
        (b'"a"', 1, "is neither a memdbd snapshot nor a JSON object"),
        (b'[{"a": "1"}]', 1, "is not the header of a snapshot"),
        (b"[]", 1, "is not the header of a snapshot"),
        (b"", 1, "the file is empty"),
        (b" \n", 2, "is neither a memdbd snapshot nor JSON"),
    ],
)
def test_anything_else_is_refused_with_the_line_and_the_reason(
    text: bytes, line: int, reason: str
) -> None:
    with pytest.raises(SnapshotDamaged) as refused:
        loaded(text)
    assert refused.value.line == line
    assert reason in refused.value.reason


def test_reading_changes_nothing() -> None:
    disk = MemoryDisk().put(PATH, FOREIGN)
    load(disk)
    assert disk.files() == {PATH: FOREIGN}


def test_the_first_save_keeps_the_original_beside() -> None:
    disk = MemoryDisk().put(PATH, FOREIGN)
    save(disk, {})
    save(disk, {b"a": b"1"})
    assert disk.files() == {PATH: saved({b"a": b"1"}), KEPT: FOREIGN}


def test_an_original_that_was_kept_is_never_overwritten() -> None:
    disk = MemoryDisk().put(PATH, b"{}").put(KEPT, b"mine").put(f"{KEPT}.1", b"mine too")
    save(disk, {})
    assert disk.files() == {
        PATH: saved({}),
        KEPT: b"mine",
        f"{KEPT}.1": b"mine too",
        f"{KEPT}.2": b"{}",
    }


def test_a_file_of_someone_else_that_appears_later_is_kept_too() -> None:
    disk = MemoryDisk().put(PATH, saved({}))
    writer(disk).finish()
    disk.put(PATH, FOREIGN)
    install(disk, PATH)
    assert disk.files() == {PATH: saved({}), KEPT: FOREIGN}
