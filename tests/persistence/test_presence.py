"""What is no data of memdbd is not taken for it, nor another file for the snapshot."""

from __future__ import annotations

from pathlib import Path

import pytest
from persistence.stores import Store, flip, small

from memdbd.errors import StorageError
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.presence import doubt, other_snapshots, require_data


def require(store: Store, *, is_named: bool = False) -> None:
    before = store.files()
    try:
        require_data(store.fs, str(store.directory), store.path, is_named=is_named)
    finally:
        assert store.files() == before


def doubted(store: Store) -> str:
    return doubt(store.fs, str(store.directory), store.path)


def renamed(store: Store) -> Store:
    """With its snapshot under another name, and without what that covers."""
    Path(store.path).rename(store.directory / "data.json")
    store.segment(1).unlink()
    return store


def test_a_directory_without_data_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "d")
    for name in ("memdbd.lock", "persistence.json.tmp", "passwd"):
        (store.directory / name).write_bytes(b'[{"format":"other"},')
    with pytest.raises(StorageError, match=f"there is no data of memdbd in {store.directory}"):
        require(store)
    with pytest.raises(StorageError, match="there is no data of memdbd"):
        require(store, is_named=True)


def test_one_that_cannot_be_read_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        require_data(FileSystem(), str(tmp_path / "no"), str(tmp_path / "no/p"), is_named=False)


def test_a_snapshot_or_a_journal_is_data(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    require(store)
    Path(store.path).unlink()
    require(store)  # its journal has it all, from the first frame on
    for number in (1, 2, 3):
        store.segment(number).unlink()
    Path(store.path).write_bytes(b"")
    require(store)


def test_a_snapshot_of_another_name_is_named(tmp_path: Path) -> None:
    store = renamed(small(tmp_path / "d"))
    with pytest.raises(StorageError, match=r"no persistence.json .*--storage-file data.json"):
        require(store)
    require(store, is_named=True)  # whoever says so may want to see the rest
    store.segment(2).unlink()
    store.segment(3).unlink()
    with pytest.raises(StorageError, match=r"no persistence.json .*--storage-file data.json"):
        require(store, is_named=True)


def test_a_journal_whose_snapshot_has_gone_is_left_to_who_looks_closer(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    Path(store.path).unlink()
    store.segment(1).unlink()
    require(store)


def test_copies_that_are_no_snapshots_are_no_others(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    data = Path(store.path).read_bytes()
    (store.directory / "persistence.json.tmp").write_bytes(data)
    (store.directory / "repair-20261123T000000Z").mkdir()
    (store.directory / "link.json").symlink_to(store.path)
    (store.directory / "nowhere").symlink_to(store.directory / "no")
    assert other_snapshots(store.fs, str(store.directory), store.path) == []
    (store.directory / "b.json").write_bytes(data)
    (store.directory / "a.json").write_bytes(data[:50])
    assert other_snapshots(store.fs, str(store.directory), store.path) == ["a.json", "b.json"]


def test_a_store_by_itself_is_not_doubted(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    assert doubted(store) == ""
    flip(Path(store.path), 1)
    assert doubted(store) == ""
    Path(store.path).unlink()
    assert doubted(store) == ""


def test_another_snapshot_raises_a_doubt(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    (store.directory / "data.json").write_bytes(Path(store.path).read_bytes())
    assert "there is persistence.json and data.json (a snapshot of memdbd)" in doubted(store)
    Path(store.path).unlink()
    assert "there is no persistence.json, but data.json (a snapshot of memdbd)" in doubted(store)


@pytest.mark.parametrize("instead", [None, b'{"a":"b"}', b"REDIS0011"])
def test_a_missing_snapshot_raises_a_doubt(tmp_path: Path, instead: bytes | None) -> None:
    store = small(tmp_path / "d")
    store.segment(1).unlink()
    Path(store.path).unlink()
    if instead is not None:
        Path(store.path).write_bytes(instead)
    assert "begins behind frame 3, and the snapshot with all before it is not" in doubted(store)
