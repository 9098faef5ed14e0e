"""What the compactor makes of an old snapshot and a journal is what recovery makes of them; or it
refuses, and leaves all as it was."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tracemalloc
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from persistence.disks import MemoryDisk
from persistence.replaying import same
from persistence.stores import BY_NAME, CREATED, Store, flip

from memdbd.commands.context import Server
from memdbd.commands.dumping import payload_of
from memdbd.commands.sets import SET
from memdbd.commands.table import TYPES
from memdbd.effects import Damaged, Effect, decode, encode
from memdbd.errors import JournalDamaged, SnapshotDamaged, StorageError
from memdbd.keyspace import Contents
from memdbd.persistence import compactor
from memdbd.persistence.compactor import DAMAGED, Compacted, compact
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.loading import read
from memdbd.persistence.replay import Replay
from memdbd.persistence.snapshot import end_line, header_line, install, temporary

ROOT = Path(__file__).parents[2]
LATER = CREATED + 60


def compacted(store: Store, segment: int | None = None) -> Compacted:
    """What comes of all that is before the segment that is open, or of what is before another."""
    if segment is None:
        segment = store.rotate().number
    return compact(store.fs, str(store.directory), store.path, TYPES, segment, LATER)


def replace(store: Store) -> None:
    """Let the new snapshot take the place of all that it covers, as the daemon does."""
    install(store.fs, store.path)
    assert store.journal is not None
    for number in range(1, store.journal.number):
        if store.fs.exists(str(store.segment(number))):
            store.fs.remove(str(store.segment(number)))


def lines(path: str | Path) -> list[bytes]:
    """The records in a snapshot."""
    return Path(path).read_bytes().splitlines(keepends=True)[1:-1]


def assert_same(contents: Contents, other: Contents) -> None:
    """That these are the same databases, keys, values and deadlines."""
    there = {number: found for number, found in contents.items() if found[0]}
    assert there.keys() == {number for number, found in other.items() if found[0]}
    for number, (values, deadlines) in there.items():
        other_values, other_deadlines = other[number]
        assert values.keys() == other_values.keys()
        for key, value in values.items():
            assert same(value, other_values[key]), (number, key)
        assert deadlines == other_deadlines


# Whatever was done

# One is the base64 of another, as it is in a record.
ALL_KEYS = [b"a", b"b", b"\xff", b"/w==", b'"quoted\\', "größe".encode(), b"two\nlines", b""]
KEYS = st.sampled_from(ALL_KEYS)
WORDS = st.sampled_from([b"", b"1", b"KEEPTTL", b"\xfe\xff", b"two\r\nlines", b"x" * 300])
DEADLINES = st.integers(1, 2**53)
DATABASES = st.sampled_from([b"0", b"1", b"2", b"15"])
# As DUMP gives it.
PAYLOAD = payload_of({b"\xff", b"1"}, cast(Server, SimpleNamespace(type_of=lambda value: SET)))
REPLACING = (b"REPLACE", b"ABSTTL")


def effect(name: bytes, *words: st.SearchStrategy[Any]) -> st.SearchStrategy[Effect]:
    return st.tuples(st.just(name), *words)


EFFECTS = st.one_of(
    effect(b"SET", KEYS, WORDS),
    effect(b"SET", KEYS, WORDS, st.just(b"PXAT"), DEADLINES),
    effect(b"SET", KEYS, WORDS, st.just(b"KEEPTTL")),
    effect(b"MSET", KEYS, WORDS, KEYS, WORDS),
    effect(b"APPEND", KEYS, WORDS),
    effect(b"DEL", KEYS),
    effect(b"HSET", KEYS, WORDS, WORDS),
    effect(b"HDEL", KEYS, WORDS),
    effect(b"RPUSH", KEYS, WORDS, WORDS),
    effect(b"LPOP", KEYS),
    effect(b"SADD", KEYS, WORDS),
    effect(b"SREM", KEYS, WORDS),
    effect(b"ZADD", KEYS, st.sampled_from([b"-0.0", b"1.5", b"inf"]), WORDS),
    effect(b"ZREM", KEYS, WORDS),
    effect(b"PEXPIREAT", KEYS, DEADLINES),
    effect(b"PERSIST", KEYS),
    effect(b"LPUSH", KEYS, WORDS),
    effect(b"SETRANGE", KEYS, st.sampled_from([b"0", b"3"]), WORDS),
    effect(b"RESTORE", KEYS, st.just(b"0") | DEADLINES, st.just(PAYLOAD), *map(st.just, REPLACING)),
    effect(b"RENAME", KEYS, KEYS),
    effect(b"COPY", KEYS, KEYS, st.just(b"DB"), DATABASES, st.just(b"REPLACE")),
    effect(b"MOVE", KEYS, DATABASES),
    effect(b"SELECT", DATABASES),
    effect(b"FLUSHDB"),
    effect(b"SWAPDB", DATABASES, DATABASES),
)


class Model:
    """All that was done so far, on one replay; ``take`` gives those effects that can be done."""

    def __init__(self) -> None:
        self._replay = Replay(BY_NAME, {})

    def take(self, wanted: list[Effect]) -> list[Effect]:
        done: list[Effect] = []
        database: Effect = (b"SELECT", b"0")
        for each in wanted:
            database = each if each[0] == b"SELECT" else database
            try:
                self._replay.apply(decode(encode([database, each], 0)))
            except Damaged:  # of another type, or not there
                continue
            done.append(each)
        return done

    @property
    def contents(self) -> Contents:
        return self._replay.contents()


# What is there at the beginning: each key in two databases, most with a deadline.
FULL: list[Effect] = [
    *((b"SET", key, b"0", b"PXAT", 10 + at) for at, key in enumerate(ALL_KEYS[:5])),
    *((b"RPUSH", key, b"0", b"00") for key in ALL_KEYS[5:]),
    *((b"PEXPIREAT", key, 5) for key in ALL_KEYS[5:-1]),
    (b"SELECT", b"1"),
    *((b"SET", key, b"1", b"PXAT", 20 + at) for at, key in enumerate(ALL_KEYS[3:])),
    *((b"SADD", key, b"1") for key in ALL_KEYS[:3]),
]
TURNS = st.lists(EFFECTS, min_size=1, max_size=8)


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(TURNS | st.sampled_from(["rotate", "compact"]), min_size=1, max_size=8),
    piece=st.sampled_from([64, 1000, 1 << 20]),
)
def test_what_is_recovered_is_the_same_before_and_after(
    steps: list[list[Effect] | str], piece: int
) -> None:
    store, model = Store(ROOT, MemoryDisk(piece=piece)), Model()
    store.turn(*model.take(FULL))
    compacted(store)
    replace(store)
    for step in [*steps, "compact"]:
        if isinstance(step, list):
            if done := model.take(step):
                store.turn(*done)
        elif step == "rotate":
            store.rotate()
        else:
            result = compacted(store)
            before = store.recovered()
            assert_same(before.contents, model.contents)
            replace(store)
            after = store.recovered()
            assert_same(after.contents, before.contents)
            assert after.sequence == before.sequence == result.sequence
            assert (after.size, after.frames) == (result.count, 0)
            assert after.snapshot.created == LATER


def test_frames_behind_the_new_snapshot_are_done_on_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.turn((b"RPUSH", b"list", b"1"))
    segment = store.rotate().number
    store.turn((b"RPUSH", b"list", b"2"))
    compacted(store, segment)
    replace(store)
    recovered = store.recovered()
    assert recovered.contents == {0: ({b"list": deque([b"1", b"2"])}, {})}
    assert recovered.frames == 1


def test_frames_that_the_old_snapshot_covers_are_not_done_twice(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.turn((b"RPUSH", b"list", b"1"))
    store.write(store.recovered(), None)  # of what is in memory, with no segment of its own
    store.turn((b"RPUSH", b"list", b"2"))
    compacted(store)
    replace(store)
    assert store.recovered().contents == {0: ({b"list": deque([b"1", b"2"])}, {})}


def test_without_a_snapshot_it_is_made_of_the_journal_alone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.turn((b"SET", b"a", b"1"), (b"SET", b"b", b"2"), (b"DEL", b"a"))
    assert compacted(store) == Compacted(
        count=1, changed=2, sequence=1, bytes=os.stat(temporary(store.path)).st_size
    )


def test_a_file_of_another_database_is_taken_over_as_a_whole(tmp_path: Path) -> None:
    store = Store(tmp_path)
    Path(store.path).write_text('{"a": "1", "b": "2", "c": "3"}')
    store.turn((b"SET", b"b", b"22"), (b"RENAME", b"c", b"d"), (b"SWAPDB", b"0", b"1"))
    compacted(store)
    replace(store)
    assert store.recovered().contents == {1: ({b"a": b"1", b"b": b"22", b"d": b"3"}, {})}
    assert Path(f"{store.path}.imported").read_text() == '{"a": "1", "b": "2", "c": "3"}'


# What is not touched


def test_untouched_lines_are_copied_to_the_byte(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keys = [b"%d" % number for number in range(3000)] + [b"\xff%d" % n for n in range(30)]
    store.turn(*((b"SET", key, b"v") for key in keys), (b"ZADD", b"z", b"1e3", b"m"))
    compacted(store)
    replace(store)
    before = lines(store.path)
    store.turn((b"APPEND", b"7", b"w"), (b"DEL", b"8"), (b"SET", b"new", b"1"))
    store.turn((b"SET", b"2999", b"w"), (b"SET", b"\xff3", b"\xff"))
    result = compacted(store)
    touched = {b'{"key":"%b",' % text for text in (b"7", b"8", b"2999", b"/zM=")}
    untouched = [line for line in before if line[: line.index(b",") + 1] not in touched]
    after = lines(temporary(store.path))
    assert after[: len(untouched)] == untouched
    assert sorted(after[len(untouched) :]) == [
        b'{"key":"/zM=","value":"/w==","key_encoding":"base64","encoding":"base64"},\n',
        b'{"key":"2999","value":"w"},\n',
        b'{"key":"7","value":"vw"},\n',
        b'{"key":"new","value":"1"},\n',
    ]
    assert (result.count, result.changed) == (len(after), 5)


def test_lines_of_a_database_that_was_exchanged_are_those_a_writer_would_write(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path)
    store.turn(
        (b"SET", b"\xff", b"\xfe", b"PXAT", 5), (b"RPUSH", b"list", b"a"), (b"SET", b"s", b"1"),
        (b"SELECT", b"3"), (b"SET", b"s", b"3", b"PXAT", 5), (b"SELECT", b"4"),
        (b"SET", b"gone", b""),
    )  # fmt: skip
    compacted(store)
    replace(store)
    store.turn((b"SWAPDB", b"0", b"3"), (b"SELECT", b"4"), (b"FLUSHDB",))
    compacted(store)
    replace(store)
    copied = lines(store.path)
    store.write(store.recovered(), None)
    assert sorted(copied) == sorted(lines(store.path))
    assert len(copied) == 4


def sealed(*records: bytes) -> bytes:
    """A snapshot with these lines in which everything that can be counted is right."""
    body = b"".join([header_line(0, CREATED, None), *(record + b",\n" for record in records)])
    return body + end_line(len(records), crc32(body))


def test_a_snapshot_that_somebody_else_has_written_is_read_too(tmp_path: Path) -> None:
    store = Store(tmp_path)
    records = (
        b'{"key": "a", "value": "1" } ',
        b'{"value":"2", \r"key":"b"}',
        b'{"key":"c","value":""}',
    )
    Path(store.path).write_bytes(sealed(*records))
    store.turn((b"APPEND", b"a", b"!"), (b"DEL", b"b"))
    compacted(store)
    assert lines(temporary(store.path)) == [
        b'{"key":"c","value":""},\n',
        b'{"key":"a","value":"1!"},\n',
    ]


def peak(store: Store) -> int:
    """The most memory, in bytes, that is allocated while it is compacted."""
    segment = store.rotate().number
    tracemalloc.start()
    try:
        compacted(store, segment)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_needed_for_what_has_changed_and_not_for_what_there_is(tmp_path: Path) -> None:
    peaks = []
    for count in (300, 3_000):
        store = Store(tmp_path / str(count))
        store.turn(*((b"SET", b"%d" % number, b"v" * 2000) for number in range(count)))
        compacted(store)
        replace(store)
        store.turn((b"APPEND", b"7", b"w"), (b"SET", b"8", b"w"))
        peaks.append(peak(store))
    assert peaks[1] < peaks[0] + 100_000


def test_memory_is_not_needed_for_the_length_of_the_journal(tmp_path: Path) -> None:
    peaks = []
    for count in (300, 3_000):
        store = Store(tmp_path / str(count))
        for number in range(count):
            store.turn((b"SET", b"key", b"%d" % number * 500), (b"RPUSH", b"list", b""))
            store.turn((b"DEL", b"list"))
        peaks.append(peak(store))
    assert peaks[1] < peaks[0] + 100_000


# What it refuses


def small(directory: Path) -> Store:
    """A store with a snapshot, two sealed segments behind it, and an open one with one frame."""
    store = Store(directory)
    store.turn((b"SET", b"one", b"1"), (b"SET", b"two", b"\xff"), (b"RPUSH", b"list", b"a"))
    compacted(store)
    replace(store)
    store.turn((b"APPEND", b"one", b"2"))
    store.turn((b"DEL", b"two"))
    store.rotate()
    store.turn((b"RPUSH", b"list", b"b"))
    store.rotate()
    store.turn((b"SET", b"last", b"1"))
    store.close()
    return store


OPEN = 4  # the segment that is not covered
HEADER = 44


def refused(store: Store) -> StorageError:
    """The error, behind which nothing is other than it was."""
    before = store.files()
    with pytest.raises(StorageError) as raised:
        compacted(store, OPEN)
    assert store.files() == before
    return raised.value


def positions(directory: Path, name: str) -> range:
    small(directory)
    return range(len((directory / name).read_bytes()))


FILES = ["persistence.json", "journal.00000002", "journal.00000003"]


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_refused(tmp_path: Path, name: str) -> None:
    store = small(tmp_path)
    path = tmp_path / name
    for position in range(path.stat().st_size):
        flip(path, position, position % 8)
        refused(store)
        flip(path, position, position % 8)
    compacted(store, OPEN)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, name: str) -> None:
    store = small(tmp_path)
    path = tmp_path / name
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        refused(store)


def test_a_header_that_does_not_say_how_the_last_sealed_segment_ends_is_refused(
    tmp_path: Path,
) -> None:
    store = small(tmp_path)
    path = store.segment(OPEN)
    for position in range(HEADER):
        flip(path, position)
        refused(store)
        flip(path, position)


def test_more_than_was_sealed_is_refused(tmp_path: Path) -> None:
    store = small(tmp_path)
    for name in FILES:
        path = tmp_path / name
        data = path.read_bytes()
        for more in (b"\0", b"more", data):
            path.write_bytes(data + more)
            refused(store)
        path.write_bytes(data)


@pytest.mark.parametrize("name", [*FILES, "journal.00000004"])
def test_a_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    store = small(tmp_path)
    (tmp_path / name).unlink()
    assert "missing" in str(refused(store))


def test_a_segment_of_another_store_is_refused(tmp_path: Path) -> None:
    store = small(tmp_path / "one")
    other = Store(tmp_path / "other")
    other.turn((b"SET", b"a", b"1"))
    other.rotate()
    other.turn((b"SET", b"b", b"1"))
    other.rotate()
    store.segment(3).write_bytes(other.segment(2).read_bytes())
    refused(store)
    store = small(tmp_path / "again")
    store.segment(3).write_bytes(other.segment(3).read_bytes())
    refused(store)


def test_what_cannot_have_been_done_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.turn((b"SET", b"a", b"1"))
    store.turn((b"RPUSH", b"a", b"1"))
    store.rotate()
    with pytest.raises(JournalDamaged, match="RPUSH cannot be done again"):
        compacted(store, 2)
    assert not os.path.exists(temporary(store.path))


@pytest.mark.parametrize(
    "bad",
    [
        *((b"SET",), (b"MOVE", b"a"), (b"COPY", b"a", b"b"), (b"SELECT", b"x")),
        *((b"SWAPDB", b"0", b"99"), (b"GET", b"a")),
    ],
)
def test_what_is_no_effect_is_refused_with_its_place(tmp_path: Path, bad: Effect) -> None:
    store = Store(tmp_path)
    store.turn((b"SET", b"a", b"1"))
    store.turn(bad)
    store.rotate()
    with pytest.raises(JournalDamaged, match=r"journal\.00000001, byte"):
        compacted(store, 2)
    assert not os.path.exists(temporary(store.path))


def test_what_the_snapshot_covers_already_is_refused(tmp_path: Path) -> None:
    store = small(tmp_path)
    compacted(store, OPEN)
    install(store.fs, store.path)
    with pytest.raises(StorageError, match="covers more than what is before segment 3"):
        compacted(store, 3)


@pytest.mark.parametrize("gone", [b"a", b"b", b"c", b"d"])
def test_a_line_is_not_left_out_for_another_record(tmp_path: Path, gone: bytes) -> None:
    store = Store(tmp_path)
    records = (
        b'{"key":"a","value":"1"},{"key":"b","value":"2"}',
        b'{"key":"c","value":"3"}',
        b'{"key":"d"',
        b'"value":"4"}',
    )
    Path(store.path).write_bytes(sealed(*records))
    store.turn((b"SET", gone, b"!"))
    with pytest.raises(SnapshotDamaged):
        compacted(store)


def test_a_key_that_is_there_twice_is_refused_where_it_is_loaded(tmp_path: Path) -> None:
    store = Store(tmp_path)
    Path(store.path).write_bytes(sealed(b'{"key":"a","value":"1"}', b'{"key":"a","value":"2"}'))
    store.turn((b"APPEND", b"a", b"!"))
    with pytest.raises(SnapshotDamaged, match="line 3: key 'a' is there a second time"):
        compacted(store)


# The disk


def on_disk() -> Store:
    store = Store(ROOT, MemoryDisk(piece=100))
    store.turn(*((b"SET", b"%d" % number, b"v") for number in range(20)))
    compacted(store)
    replace(store)
    store.turn((b"APPEND", b"7", b"w"))
    store.rotate()
    assert isinstance(store.fs, MemoryDisk)
    store.fs.calls.clear()
    return store


def calls() -> list[str]:
    store = on_disk()
    compacted(store, 3)
    assert isinstance(store.fs, MemoryDisk)
    return store.fs.calls


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("number", range(1, len(calls()) + 1))
def test_a_disk_that_fails_is_told_of_and_all_is_as_it_was(number: int, error: int) -> None:
    store = on_disk()
    disk = store.fs
    assert isinstance(disk, MemoryDisk)
    before = disk.files()
    disk.fail_at, disk.error = number, error
    with pytest.raises(OSError, match="the disk fails") as failure:
        compacted(store, 3)
    assert failure.value.errno == error
    assert disk.files() == before
    assert set(disk.opened) <= {store.journal._file}  # type: ignore[union-attr]
    compacted(store, 3)


def test_the_new_snapshot_is_on_disk_as_a_whole_and_not_yet_installed() -> None:
    store = on_disk()
    disk = store.fs
    assert isinstance(disk, MemoryDisk)
    before = disk.files()
    compacted(store, 3)
    new = disk.names[temporary(store.path)]
    assert new.synced == new.data
    assert disk.files() == before | {temporary(store.path): new.data}
    assert "replace" not in disk.calls


def test_no_more_than_a_part_of_it_is_left_to_one_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    store = on_disk()
    disk = store.fs
    assert isinstance(disk, MemoryDisk)
    monkeypatch.setattr(compactor, "SYNC_EVERY", 200)
    behind = []

    def look(disk: MemoryDisk) -> None:
        new = disk.names.get(temporary(store.path))
        behind.append(0 if new is None else len(new.data) - len(new.synced))

    disk.before_each = look
    result = compacted(store, 3)
    assert result.bytes > 600
    assert max(behind) < 400


def test_it_looks_up_often(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.turn(*((b"SET", b"%d" % number, b"v" * 500) for number in range(2000)))
    compacted(store)
    replace(store)
    for _ in range(1000):
        store.turn((b"SET", b"a", b"1"))
    segment = store.rotate().number
    times = []
    compact(store.fs, str(tmp_path), store.path, TYPES, segment, LATER, lambda: times.append(1))
    assert len(times) > 2 * (1000 // compactor.FRAMES_AT_ONCE) + 1_000_000 // 150_000


# The process


def command(store: Store, segment: int, *more: object) -> list[str]:
    module = "memdbd.persistence.compactor"
    words = (store.directory, "persistence.json", segment, *more)
    return [sys.executable, "-m", module, *map(str, words)]


def run(
    store: Store, segment: int, *more: object, before: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(store, segment, *more),
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, preexec_fn=before,
    )  # fmt: skip


def test_the_process_prints_what_it_has_made(tmp_path: Path) -> None:
    store = small(tmp_path)
    done = run(store, OPEN, os.getpid())
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    tag = f"{os.getpid()}-{OPEN}"
    made = Path(temporary(store.path, tag))
    size = made.stat().st_size
    assert result.pop("memory") > 1_000_000
    assert result == {"count": 2, "changed": 3, "sequence": 4, "bytes": size, "tag": tag}
    contents = read(FileSystem(), str(made), BY_NAME).contents
    assert contents == {0: ({b"one": b"12", b"list": deque([b"a", b"b"])}, {})}


def test_the_process_says_what_is_in_its_way(tmp_path: Path) -> None:
    store = small(tmp_path)
    flip(Path(store.path), 100)
    done = run(store, OPEN)
    assert (done.returncode, done.stdout) == (DAMAGED, "")
    assert done.stderr.startswith(f"{store.path}, line ")
    assert done.stderr.count("\n") == 1
    assert not list(Path(store.directory).glob("*.tmp"))


def test_a_full_disk_leaves_no_new_snapshot(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    store = small(tmp_path)

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (150, 150))

    before = store.files()
    done = run(store, OPEN, before=limit)
    assert (done.returncode, done.stdout) == (1, "")
    unfinished = temporary(store.path, f"{os.getpid()}-{OPEN}")
    assert done.stderr == f"{unfinished}: File too large\n"
    assert store.files() == before


def test_who_is_not_wanted_any_more_begins_nothing(tmp_path: Path) -> None:
    store = small(tmp_path)
    before = store.files()
    done = run(store, OPEN, 1 if os.getpid() != 1 else 2)
    assert (done.returncode, done.stdout) == (1, "")
    assert store.files() == before


PARENT = """\
import os, subprocess, sys
pattern, *command = sys.argv[1:]
subprocess.Popen([*command, str(os.getpid())])
while not os.path.exists(pattern % os.getpid()):
    pass
print(os.getpid(), flush=True)
os._exit(0)
"""


def test_without_its_parent_it_ends_and_tidies_up_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for first in range(0, 100_000, 10_000):
        numbers = range(first, first + 10_000)
        store.turn(*((b"SET", b"%d" % number, b"v" * 50) for number in numbers))
    compacted(store)
    whole = os.stat(temporary(store.path)).st_size
    replace(store)
    store.turn((b"DEL", b"1"))
    segment = store.rotate().number
    pattern = temporary(store.path, f"%d-{segment}")
    # Its end is seen when nobody has the pipe open any more.
    done = subprocess.run(
        [sys.executable, "-c", PARENT, pattern, *command(store, segment)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    assert os.stat(pattern % int(done.stdout)).st_size < whole - 1000


def test_it_gives_way_to_the_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr(os, "nice", given.append, raising=False)
    small(tmp_path)
    assert compactor.main([str(tmp_path), "persistence.json", str(OPEN)]) == 0
    assert given == [compactor.NICENESS]
    assert compactor.NICENESS > 0


def test_it_starts_without_twisted() -> None:
    code = "import memdbd.persistence.compactor, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    imported = {name.partition(".")[0] for name in done.stdout.split()}
    assert "memdbd" in imported
    assert not imported & {"twisted", "zope"}
