"""What can be imported: each form is known by its beginning, and read whole or refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from harness import tool
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from persistence.stores import BY_CLASS, BY_NAME, Store, small
from structs.redis_server import Redis

from memdbd.client import rdb
from memdbd.client.records import BadInput, Lines, json_lines, last_line, open_source
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.snapshot import Entry, entries

SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def entries_of(path: Path) -> dict[tuple[int, bytes], tuple[str, Any, int | None]]:
    """All that a file has, by database and key."""
    source = open_source(FileSystem(), str(path), "it", BY_NAME, incomplete=True)
    first = {entry[:2]: plain(entry) for _, entry in source.entries()}
    assert first == {entry[:2]: plain(entry) for _, entry in source.entries()}  # and once more
    return first


def plain(entry: Entry) -> tuple[str, Any, int | None]:
    _, _, value, deadline = entry
    kind = BY_CLASS[type(value)]
    dumped = kind.dump(value, repr)
    return kind.name, sorted(dumped) if kind.name == "set" else dumped, deadline


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "input"
    path.write_bytes(data)
    return path


def exported(store: Store) -> bytes:
    found = list(entries(store.recovered().contents))
    return b"".join(json_lines(found, BY_CLASS)) + last_line(len(found))


class TestLines:
    def test_what_was_exported_is_read_back(self, tmp_path: Path) -> None:
        store = small(tmp_path / "d")
        found = entries_of(written(tmp_path, exported(store)))
        there = entries(store.recovered().contents)
        assert found == {entry[:2]: plain(entry) for entry in there}

    def test_a_value_longer_than_a_slice_is_one_line(self, tmp_path: Path) -> None:
        store = Store(tmp_path / "d")
        store.turn((b"SET", b"long", b'",\n' * 300_000))
        data = exported(store)
        assert data.count(b"\n") == 2
        assert entries_of(written(tmp_path, data))[0, b"long"][1] == repr(b'",\n' * 300_000)

    @pytest.mark.parametrize(
        ("data", "complaint"),
        [
            (b'{"key":"a","value":"1"}\n{"key":"b"\n', "it, line 2: this is not a record"),
            (b'{"key":"a"\n', "it, line 1: this is not a record"),
            (b'{"key":"a","value":"1"}\n\n[]\n', "it, line 3: this is not a record"),
            (b'{"key":"a","value":"1"}\n' * 2, "it, line 2: key 'a' is there a second time"),
            (b'{"key":"a","value":"1","color":2}\n', "it, line 1: field 'color' is not known"),
            (b'{"key":"a","value":["1"],"type":"tree"}\n', "it, line 1: type 'tree' is not known"),
            (
                b'{"key":"a","value":"1","database":16}\n',
                "it, line 1: the database is not a number",
            ),
            (b'{"key":"a","value":"1"}\n{"end":true,"count":2}\n', "there should be 2 records"),
            (b'{"end":true,"count":0}\n{"key":"a","value":"1"}\n', "more behind the last line"),
            (b'{"key":"a","value":"\xff"}\n{"key":"b","value":"1"}\n', "it, line 1: "),
        ],
    )
    def test_a_bad_line_is_named(self, tmp_path: Path, data: bytes, complaint: str) -> None:
        with pytest.raises(BadInput) as raised:
            entries_of(written(tmp_path, data))
        assert complaint in str(raised.value)

    def test_a_file_without_the_last_line_is_refused_or_noted(self, tmp_path: Path) -> None:
        whole = exported(small(tmp_path / "d"))
        for data, is_whole in (
            (whole, True),
            (whole[: whole.rindex(b'{"end"')], False),
            (b"", False),
        ):
            path = str(written(tmp_path, data))
            source = open_source(FileSystem(), path, "it", BY_NAME, incomplete=True)
            list(source.entries())
            assert bool(source.note) != is_whole
            source = open_source(FileSystem(), path, "it", BY_NAME)
            if is_whole:
                list(source.entries())
                continue
            with pytest.raises(BadInput, match=r"it has no last line|it is empty"):
                list(source.entries())

    def test_a_mark_and_lines_of_windows_are_taken(self, tmp_path: Path) -> None:
        data = b'\xef\xbb\xbf{"key":"a","value":"1"}\r\n{"key":"b","value":"1"}'
        assert len(entries_of(written(tmp_path, data))) == 2

    @pytest.mark.parametrize(
        ("data", "keys"),
        [
            (b'{"value":"1","key":"a"}', {b"a"}),
            (b'{"key":"a","value":"1"}', {b"a"}),
            (b'{"key":"a"}', {b"key"}),
            (b'{"key":"a","value2":"1"}', {b"key", b"value2"}),
            (b'{\n"key":"a",\n"value":"1"}', {b"key", b"value"}),
            (b'{"a":"b"}\n', {b"a"}),
            (b"{}", set()),
            (b"\n\n", set()),
        ],
    )
    def test_lines_and_a_plain_object_are_told_apart(
        self, tmp_path: Path, data: bytes, keys: set[bytes]
    ) -> None:
        assert {key for _, key in entries_of(written(tmp_path, data))} == keys

    def test_a_snapshot_is_read_with_its_checksum(self, tmp_path: Path) -> None:
        store = small(tmp_path / "d")
        assert len(entries_of(Path(store.path))) == 3
        data = Path(store.path).read_bytes().replace(b'"value":"1"', b'"value":"2"')
        with pytest.raises(BadInput, match="line 5: the checksum"):
            entries_of(written(tmp_path, data))

    @SHARED
    @given(st.binary() | st.lists(st.sampled_from([
        b"{", b"}", b'"key"', b":", b'"a"', b",", b'"value"', b"\n", b'{"key":"a","value":"1"}',
        b'{"end":true', b'"type":"zset"', b"[", b"]", b'["a","1.0"]', b"REDIS0010", b"\xff", b"1e9",
    ])).map(b"".join))  # fmt: skip
    @example(b"[" * 100_000)
    def test_garbage_is_refused_or_read_and_nothing_else(self, tmp_path: Path, data: bytes) -> None:
        with suppress(BadInput, rdb.BadFile):
            entries_of(written(tmp_path, data))

    @SHARED
    @given(st.data())
    def test_what_is_cut_or_changed_is_noticed_or_a_readable_file(
        self, tmp_path: Path, data: st.DataObject
    ) -> None:
        store = tmp_path / "d"
        whole = exported(small(store))
        shutil.rmtree(store)
        cut = data.draw(st.integers(0, len(whole) - 1))
        source = Lines(FileSystem(), str(written(tmp_path, whole[:cut])), "it", BY_NAME)
        try:
            found = list(source.entries())
        except BadInput:
            return
        # Only the end of the last line may be missing.
        assert (cut, len(found)) == (len(whole) - 1, 9)


@contextmanager
def redis_server(directory: Path) -> Iterator[Redis]:
    """One that saves where the test looks."""
    path = directory / "socket"
    command = [tool("redis-server"), "--port", "0", "--unixsocket", str(path), "--save", "",
               "--dir", str(directory)]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            assert any("eady to accept connections" in line for line in server.stdout)
            redis = Redis(path)
            with redis.socket:
                yield redis
        finally:
            server.terminate()


def fill(redis: Redis) -> dict[tuple[int, bytes], tuple[str, Any, int | None]]:
    """Have each encoding of Redis there; gives what an import has to find."""
    far = 4_102_444_800_000
    strings = {
        b"text": b"hello", b"int8": b"-7", b"int16": b"30000", b"int32": b"2000000000",
        b"int64": b"9999999999999", b"lzf": b"abc" * 5000, b"bin\xff\0": bytes(range(256)),
        b"big": bytes(range(256)) * 400, b"empty": b"",
    }  # fmt: skip
    small_numbers = [b"%d" % each for each in (0, 63, -1, 127, 128, -4096, 40_000, -9_000_000)]
    numbers = [*small_numbers, b"3000000000", b"-9223372036854775808"]
    lists = {
        b"listpack": [*numbers, b"", b"abc", b"\xff\xfe", b"x" * 300, b"y" * 5000],
        b"quicklist": [b"item%d" % each * 20 for each in range(2000)],
        b"plain": [b"z" * 20_000, bytes(range(256)) * 80],
    }
    sets = {
        b"intset16": [b"1", b"-3"], b"intset32": [b"100000", b"1"],
        b"intset64": [b"9999999999", b"-1"], b"members": [b"a", b"\xff", b"1"],
        b"hashtable": [b"m%d" % each for each in range(1000)],
    }  # fmt: skip
    hashes = {
        b"hash": {b"f": b"v", b"n": b"12", b"\xff": b"b"},
        b"large": {b"f%d" % each: b"v%d" % each for each in range(1000)},
        b"long": {b"f": b"v" * 100},
    }
    zsets = {
        b"zset": {b"a": 1.0, b"b": 2.5, b"c": float("-inf"), b"d": float("inf"), b"\xff": 1e300},
        b"skiplist": {b"m%d" % each: each * 1.1 for each in range(300)},
    }
    found: dict[tuple[int, bytes], tuple[str, Any, int | None]] = {}
    commands: list[tuple[Any, ...]] = []

    def expect(number: int, key: bytes, name: str, value: Any, deadline: int | None = None) -> None:
        dumped = plain((number, key, BY_NAME[name].python(value), deadline))
        found[number, key] = dumped
        if deadline is not None:
            commands.append(("PEXPIREAT", key, deadline))

    for number in (0, 3, 15):
        commands.append(("SELECT", number))
        for key, text in strings.items():
            commands.append(("SET", key, text))
            expect(number, key, "string", text, far if key == b"lzf" else None)
        for key, items in lists.items():
            commands.append(("RPUSH", key, *items))
            expect(number, key, "list", items)
        for key, items in sets.items():
            commands.append(("SADD", key, *items))
            expect(number, key, "set", items)
        for key, fields in hashes.items():
            commands.append(("HSET", key, *(word for pair in fields.items() for word in pair)))
            expect(number, key, "hash", fields, far + number)
        for key, scores in zsets.items():
            words = [word for member, score in scores.items() for word in (repr(score), member)]
            commands.append(("ZADD", key, *words))
            expect(number, key, "zset", scores)
    redis.ask_all(commands)
    redis.ask("SELECT", 0)
    return found


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """What a real redis-server saved, and what is in it."""
    directory = tmp_path_factory.mktemp("redis")
    with redis_server(directory) as redis:
        found = fill(redis)
        redis.ask("SAVE")
    return directory / "dump.rdb", found


class TestRdb:
    def test_every_type_encoding_deadline_and_database_is_read(self, dump: Any) -> None:
        path, found = dump
        assert entries_of(path) == found

    def test_streams_are_counted(self, tmp_path: Path) -> None:
        with redis_server(tmp_path) as redis:
            redis.ask_all([("SET", "a", "1"), ("XADD", "s", "*", "f", "v"), ("SELECT", 3)])
            redis.ask_all([("XADD", "s", "*", "f", "v"), ("XADD", "t", "*", "f", "v")])
            redis.ask("SAVE")
        source = open_source(FileSystem(), str(tmp_path / "dump.rdb"), "it", BY_NAME)
        assert [entry for _, entry in source.entries()] == [(0, b"a", b"1", None)]
        assert source.left_out == {0: 1, 3: 2}

    @SHARED
    @given(st.integers(0, 10**6), st.integers(0, 7))
    def test_a_flipped_bit_is_refused(
        self, dump: Any, tmp_path: Path, position: int, bit: int
    ) -> None:
        data = bytearray(dump[0].read_bytes())
        data[position % len(data)] ^= 1 << bit
        with pytest.raises((rdb.BadFile, BadInput)):
            entries_of(written(tmp_path, bytes(data)))

    @SHARED
    @given(st.integers(0, 10**6))
    def test_a_file_that_is_cut_off_is_refused(
        self, dump: Any, tmp_path: Path, length: int
    ) -> None:
        data = dump[0].read_bytes()
        data = data[: length % (len(data) - 1) + 1]
        with pytest.raises((rdb.BadFile, BadInput)):
            entries_of(written(tmp_path, data))

    @SHARED
    @given(st.integers(1, 13), st.binary(max_size=300), st.booleans())
    def test_random_bytes_are_refused_or_read(
        self, tmp_path: Path, version: int, data: bytes, ends: bool
    ) -> None:
        whole = b"REDIS%04d" % version + data + b"\xff" * ends + b"\0" * 8
        with suppress(rdb.BadFile):
            entries_of(written(tmp_path, whole))

    @pytest.mark.parametrize("name", ["rdb", "anycrc"])
    def test_without_a_library_it_is_told_what_to_do(
        self, dump: Any, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(rdb.BadFile, match=r"pip install 'memdbd\[rdb\]'"):
            entries_of(dump[0])
