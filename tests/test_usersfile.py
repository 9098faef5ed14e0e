"""The users file on disk."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memdbd.commands.table import COMMANDS, CONTAINERS
from memdbd.errors import ConfigError
from memdbd.persistence.fs import FileSystem
from memdbd.rules import Names
from memdbd.users import read
from memdbd.usersfile import UsersFile

NAMES = Names(COMMANDS, CONTAINERS)
OLD, NEW = "0" * 64, "$scrypt$new"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "users"


@pytest.fixture
def file(path: Path) -> UsersFile:
    return UsersFile(str(path), FileSystem())


@pytest.mark.parametrize("text", ["", "user u on\n", "é\r\n", "\udcff\udc80x", "# \u2028\n"])
def test_what_is_written_is_read(file: UsersFile, text: str) -> None:
    file.write(text)
    assert file.read() == text


def test_nobody_else_can_read_it(file: UsersFile, path: Path) -> None:
    path.write_text("user u")
    path.chmod(0o644)
    file.write("user v")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_no_utf_8_is_kept_as_it_is(file: UsersFile, path: Path) -> None:
    path.write_bytes(b"user u ~\xff\xe9*")
    assert [*read(file.read(), "f", NAMES)] == [b"u"]
    file.write(file.read())
    assert path.read_bytes() == b"user u ~\xff\xe9*"


def test_a_mark_in_front_of_it_is_no_part_of_it(file: UsersFile, path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbfuser u on")
    assert file.read() == "user u on"


@pytest.mark.parametrize("there", ["nothing", "a directory", "a link to nowhere"])
def test_what_cannot_be_read_is_said(file: UsersFile, path: Path, there: str) -> None:
    if there == "a directory":
        path.mkdir()
    elif there == "a link to nowhere":
        path.symlink_to(path.with_name("nowhere"))
    with pytest.raises(ConfigError, match=f"cannot read the users of {path}: "):
        file.read()


def test_it_is_there_as_a_whole_at_once(path: Path) -> None:
    """Whatever fails, the old one is there, and the next attempt is not disturbed."""

    class Failing(FileSystem):
        fails = ""

        def write(self, file: int, data: bytes | memoryview) -> int:
            return self.may_fail("write") or super().write(file, data)

        def sync(self, file: int) -> None:
            self.may_fail("sync")
            super().sync(file)

        def replace(self, source: str, target: str) -> None:
            self.may_fail("replace")
            super().replace(source, target)

        def may_fail(self, what: str) -> int:
            if what == self.fails:
                raise OSError(28, "No space left on device")
            return 0

    fs = Failing()
    file = UsersFile(str(path), fs)
    file.write("old")
    for fs.fails in "write", "sync", "replace":
        with pytest.raises(OSError, match="No space"):
            file.write("new")
        assert path.read_text() == "old"
    fs.fails = ""
    file.write("new")
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == ["users"]


def test_a_link_to_it_stays_one(file: UsersFile, path: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "real").write_text("old")
    path.symlink_to(elsewhere / "real")
    file.write("new")
    assert path.is_symlink()
    assert (elsewhere / "real").read_text() == "new"


class TestReplaceHash:
    def test_leaves_all_else_as_it_is(self, file: UsersFile, path: Path) -> None:
        others = f"# {OLD}\r\nuser v #{OLD}\n\nuser u2 #{OLD}\n"
        its = f"user  u on  #{OLD}\t~a ~#{OLD} #{OLD}x\r\n"
        path.write_bytes(f"{others}{its}{others}".encode())
        file.replace_hash(b"u", OLD, NEW)
        its = its.replace(f" #{OLD}\t", f" #{NEW}\t")
        assert path.read_bytes().decode() == f"{others}{its}{others}"

    @pytest.mark.parametrize("name", [b"\xff", "\u00a0x".encode(), b"\x1cy", b"(", b"user"])
    def test_whatever_the_name_is(self, file: UsersFile, path: Path, name: bytes) -> None:
        path.write_bytes(b"\xef\xbb\xbfuser " + name + b" #" + OLD.encode())
        file.replace_hash(name, OLD, NEW)
        assert path.read_bytes().endswith(b"user " + name + b" #" + NEW.encode())

    def test_writes_nothing_where_the_hash_is_not(self, file: UsersFile, path: Path) -> None:
        path.write_text(f"user v #{OLD}")
        before = path.stat().st_ino
        file.replace_hash(b"u", OLD, NEW)
        assert path.stat().st_ino == before

    def test_raises_where_there_is_no_file(self, file: UsersFile) -> None:
        with pytest.raises(OSError, match="No such file"):
            file.replace_hash(b"u", OLD, NEW)


class TestFollowed:
    """Whether the users are what the file says, as far as it knows."""

    def test_is_what_was_followed_or_written_last(self, file: UsersFile, path: Path) -> None:
        path.write_text("user u")
        assert not file.is_followed(file.read())
        file.follow("user u")
        assert file.is_followed(file.read())
        file.write("user v ~\udcff")
        assert file.is_followed(file.read())
        path.write_text("user v")
        assert not file.is_followed(file.read())

    def test_is_not_what_could_not_be_written(self, file: UsersFile, path: Path) -> None:
        path.mkdir()
        with pytest.raises(OSError, match="directory"):
            file.write("user v")
        assert not file.is_followed("user v")

    @pytest.mark.parametrize("mark", ["", "\ufeff"])
    def test_is_it_with_a_better_hash(self, file: UsersFile, path: Path, mark: str) -> None:
        path.write_text(f"{mark}user u #{OLD}", encoding="utf-8")
        file.follow(file.read())
        file.replace_hash(b"u", OLD, NEW)
        assert file.read() == f"user u #{NEW}"
        assert file.is_followed(file.read())

    def test_is_not_what_others_have_written_to_it(self, file: UsersFile, path: Path) -> None:
        path.write_text(f"user u #{OLD}")
        file.follow(file.read())
        path.write_text(f"user u #{OLD}\nuser v")
        file.replace_hash(b"u", OLD, NEW)
        assert not file.is_followed(file.read())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.randoms(use_true_random=False))
def test_garbage_on_disk_is_refused_or_read_never_more(
    file: UsersFile, path: Path, raw: bytes, rng: Random
) -> None:
    good = b"user u on ~a +get\nuser default on nopass ~* &* +@all\n"
    at = rng.randint(0, len(good))
    path.write_bytes(rng.choice((raw, good[:at] + raw + good[at:], good[:at] + raw)))
    try:
        users = read(file.read(), str(path), NAMES)
    except ConfigError as error:
        str(error).encode()
    else:
        assert all(users)
