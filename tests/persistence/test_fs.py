"""The file system that everything else relies on, on a real disk."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from memdbd.persistence.fs import AT_ONCE, READ_SIZE, TOGETHER, FileSystem

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs the permissions of POSIX")
FS = FileSystem()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@posix
def test_a_data_directory_is_made_for_its_owner_only(tmp_path: Path) -> None:
    directory = tmp_path / "parent" / "data"
    FS.make_directory(str(directory))
    assert mode(directory) == 0o700


def test_a_data_directory_survives_the_loss_of_power_as_soon_as_it_is_made(tmp_path: Path) -> None:
    synced = []

    class Recording(FileSystem):
        def sync_directory(self, path: str) -> None:
            synced.append((path, os.listdir(path)))

    Recording().make_directory(str(tmp_path / "data"))
    assert synced == [(str(tmp_path), ["data"])]


@posix
def test_a_directory_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    directory.mkdir()
    directory.chmod(0o750)
    FS.make_directory(str(directory))
    assert mode(directory) == 0o750


@posix
def test_a_created_file_is_for_its_owner_only(tmp_path: Path) -> None:
    FS.close(FS.create(str(tmp_path / "file")))
    assert mode(tmp_path / "file") == 0o600


def test_a_file_is_created_only_where_none_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        FS.create(str(path))
    assert path.read_bytes() == b"precious"


@posix
def test_a_file_is_not_created_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        FS.create(str(tmp_path / "link"))
    assert not (tmp_path / "elsewhere").exists()


def test_what_was_written_is_read_to_the_byte_and_in_pieces(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    data = b"\r\n\x1a\0" * (READ_SIZE // 2)
    file = FS.create(path)
    FS.write_all(file, data)
    FS.sync(file)
    FS.close(file)
    pieces = list(FS.read(path))
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= READ_SIZE


@pytest.mark.parametrize("taken", [97, TOGETHER, 1 << 30])
@pytest.mark.parametrize("count", [2, 3, 2 * AT_ONCE + 1])
def test_many_pieces_are_written_however_few_bytes_the_system_takes_at_once(
    tmp_path: Path, taken: int, count: int
) -> None:
    class Slow(FileSystem):
        """Takes so many bytes at once."""

        def write_pieces(self, file: int, pieces: Sequence[bytes | memoryview]) -> int:
            if sum(map(len, pieces)) <= taken:
                return super().write_pieces(file, pieces)
            return super().write(file, b"".join(pieces)[:taken])

    size = TOGETHER // count + 7
    pieces = [bytes([number % 251]) * (number % 3 and size) for number in range(count)]
    pieces[-1] = bytes(TOGETHER)
    pieces[1:1] = [b""] * AT_ONCE  # a whole step of nothing
    path = str(tmp_path / "file")
    file = FS.create(path)
    Slow().write_all(file, *pieces)
    FS.close(file)
    assert b"".join(FS.read(path)) == b"".join(pieces)


def test_a_file_that_takes_no_more_is_an_error(tmp_path: Path) -> None:
    class Full(FileSystem):
        def write(self, file: int, data: bytes | memoryview) -> int:
            return 0

        def write_pieces(self, file: int, pieces: Sequence[bytes | memoryview]) -> int:
            return 0

    for pieces in ([b"a"], [b"a", bytes(TOGETHER)]):
        with pytest.raises(OSError, match="takes no more"):
            Full().write_all(0, *pieces)


def test_a_replaced_file_has_the_new_contents_and_the_old_name(tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "file").write_bytes(b"old")
    FS.replace(str(tmp_path / "new"), str(tmp_path / "file"))
    FS.sync_directory(str(tmp_path))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"new"}


def test_a_truncated_file_is_written_from_its_beginning(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    file = FS.create(path)
    FS.write_all(file, b"long ago")
    FS.truncate(file)
    FS.write_all(file, b"now")
    FS.close(file)
    assert b"".join(FS.read(path)) == b"now"


def test_a_file_exists_until_it_is_removed(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    assert not FS.exists(path)
    FS.close(FS.create(path))
    assert FS.exists(path)
    FS.remove(path)
    assert not FS.exists(path)


@posix
def test_a_link_to_a_disk_that_is_not_there_is_not_taken_for_no_file(tmp_path: Path) -> None:
    (tmp_path / "persistence.json").symlink_to(tmp_path / "unmounted" / "persistence.json")
    assert FS.exists(str(tmp_path / "persistence.json"))


@posix
def test_not_being_allowed_to_look_is_not_taken_for_no_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        FS.exists(str(tmp_path / "file" / "persistence.json"))


@posix
def test_no_operation_leaves_a_descriptor_open(tmp_path: Path) -> None:
    before = os.listdir("/dev/fd")
    FS.make_directory(str(tmp_path / "data"))
    FS.sync_directory(str(tmp_path))
    path = str(tmp_path / "file")
    FS.close(FS.create(path))
    list(FS.read(path))
    with pytest.raises(FileNotFoundError):
        FS.sync_directory(str(tmp_path / "nowhere"))
    held = FS.lock(path)
    assert held is not None
    assert FS.lock(path) is None
    FS.unlock(held)
    assert os.listdir("/dev/fd") == before
