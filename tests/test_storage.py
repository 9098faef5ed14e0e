"""The data on disk: what is there after a start, a save, a failure and a stop.

The directories are real and the disk's failures are not: they come from a FileSystem that fails
where it is told to. What stands in the files is in ``tests/persistence``.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import NOON, Stored
from twisted.logger import capturedLogs, formatEvent

from memdbd.errors import DirectoryLocked, SnapshotDamaged, StorageError
from memdbd.persistence.fs import FileSystem

OK = b'{"result": "OK"}\n'


class FailingDisk(FileSystem):
    """A disk on which the operation named ``broken`` fails, as long as one is."""

    def __init__(self) -> None:
        self.broken: str | None = None
        for name in ("create", "write", "sync", "replace", "sync_directory"):
            setattr(self, name, self._breakable(name, getattr(self, name)))

    def _breakable(self, name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        def operate(*arguments: Any) -> Any:
            if self.broken == name:
                raise OSError(errno.ENOSPC, "No space left on device")
            return operation(*arguments)

        return operate


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def stored(directory: Path) -> Iterator[Stored]:
    """Storage that has started in an empty directory."""
    stored = Stored(directory).start()
    yield stored
    stored.stop()


def contents(directory: Path) -> dict[bytes, bytes]:
    """The keys and values that a daemon would find there."""
    reader = Stored(directory).start()
    found = dict(reader.house.engine.databases[0].values)
    reader.stop()
    return found


def result(stored: Stored, request: bytes) -> Any:
    return json.loads(stored.house.connect().asks(request + b"\n"))["result"]


class TestTheStart:
    def test_in_no_directory_makes_one_for_its_owner_only(self, directory: Path) -> None:
        stored = Stored(directory).start()
        assert directory.stat().st_mode & 0o777 == 0o700
        assert stored.house.engine.databases[0].values == {}
        stored.stop()

    def test_finds_what_was_saved_with_its_deadlines(self, directory: Path) -> None:
        first = Stored(directory).start()
        first.house.connect().asks(b'set a 1\nset_with_ttl b 2 60\nset "\\xff" "\\x00\\xfe"\n')
        first.stop()

        second = Stored(directory).start()
        assert second.house.engine.databases[0].values == {
            b"a": b"1",
            b"b": b"2",
            b"\xff": b"\x00\xfe",
        }
        assert result(second, b"ttl b") == 60
        second.house.passes(59.999)
        assert result(second, b"exists b") == 1
        second.house.passes(0.001)
        assert result(second, b"exists b") == 0
        assert result(second, b"ttl a") == -1
        second.stop()

    def test_says_how_many_keys_there_were(self, directory: Path) -> None:
        first = Stored(directory).start()
        first.house.connect().asks(b"set a 1\nset b 2\n")
        first.stop()
        with capturedLogs() as events:
            Stored(directory).start().stop()
        assert [(event["count"], event["how"]) for event in events if "how" in event] == [
            (2, "loaded")
        ]

    def test_imports_a_plain_json_object_and_keeps_the_original(self, directory: Path) -> None:
        directory.mkdir()
        original = '{"username": "john_doe",\n "emoji": "\N{GRINNING FACE}"}'
        (directory / "persistence.json").write_text(original, encoding="utf-8")
        stored = Stored(directory).start()
        assert stored.house.engine.databases[0].values == {
            b"username": b"john_doe",
            b"emoji": "\N{GRINNING FACE}".encode(),
        }
        assert stored.snapshot.read_text(encoding="utf-8") == original
        stored.house.passes(60)  # although nothing was changed
        assert stored.snapshot.read_text(encoding="utf-8").startswith('[{"format":"memdbd"')
        kept = directory / "persistence.json.imported"
        assert kept.read_text(encoding="utf-8") == original
        stored.stop()

    @pytest.mark.parametrize(
        ("damage", "line"),
        [
            (lambda text: text.replace("john_doe", "john_dof"), 4),
            (lambda text: text[:-10], 4),
            (lambda text: text.replace('"key":"b"', '"kex":"b"'), 3),
            (lambda text: "", 1),
            (lambda text: "nonsense", 1),
        ],
    )
    def test_refuses_a_damaged_file_names_its_line_and_leaves_it(
        self, directory: Path, damage: Callable[[str], str], line: int
    ) -> None:
        first = Stored(directory).start()
        first.house.connect().asks(b"set a john_doe\nset b 2\n")
        first.stop()
        damaged = damage(first.snapshot.read_text())
        first.snapshot.write_text(damaged)

        second = Stored(directory)
        with pytest.raises(SnapshotDamaged) as refusal:
            second.storage.startService()
        assert (refusal.value.path, refusal.value.line) == (str(second.snapshot), line)
        second.stop()
        assert second.snapshot.read_text() == damaged
        assert sorted(path.name for path in directory.iterdir()) == [
            "memdbd.lock",
            "persistence.json",
        ]

    def test_an_import_counts_as_no_change(self, directory: Path) -> None:
        directory.mkdir()
        (directory / "persistence.json").write_text('{"username": "john_doe"}')
        stored = Stored(directory).start()
        assert result(stored, b"info")["persistence"]["changes_since_last_save"] == 0
        stored.house.connect().asks(b"set a 1\n")
        assert result(stored, b"info")["persistence"]["changes_since_last_save"] == 1
        stored.stop()

    def test_takes_what_was_loaded_out_of_the_collectors_sight_but_no_garbage(
        self, directory: Path
    ) -> None:
        class Circle:
            def __init__(self) -> None:
                self.itself = self

        gc.unfreeze()
        gc.disable()
        try:
            garbage = weakref.ref(Circle())
            stored = Stored(directory).start()
            assert garbage() is None
            assert gc.get_freeze_count() > 0
            stored.stop()
        finally:
            gc.enable()
            gc.unfreeze()

    def test_refuses_a_directory_in_use(self, stored: Stored, directory: Path) -> None:
        with pytest.raises(DirectoryLocked, match=r"in use: lock held by pid \d+"):
            Stored(directory).start()

    def test_takes_a_directory_that_was_in_use(self, directory: Path) -> None:
        for _ in range(2):
            Stored(directory).start().stop()

    def test_refuses_what_is_no_directory(self, directory: Path) -> None:
        directory.write_text("a file")
        with pytest.raises(StorageError, match=f"data directory {directory} cannot be used"):
            Stored(directory).start()
        assert directory.read_text() == "a file"


class TestTheInterval:
    def test_without_a_change_nothing_is_written(self, stored: Stored) -> None:
        stored.house.passes(600)
        assert not stored.snapshot.exists()

    def test_a_change_is_written_after_it_and_once(self, stored: Stored) -> None:
        stored.house.connect().asks(b"set a 1\n")
        stored.house.passes(59.9)
        assert not stored.snapshot.exists()
        stored.house.passes(0.1)
        assert json.loads(stored.snapshot.read_text())[1] == {"key": "a", "value": "1"}
        stored.house.passes(600)
        assert stored.storage.stats()["snapshots_written"] == 1

    @pytest.mark.parametrize(
        "change", [b"delete k", b"expire k 5", b"persist k", b"rename k l", b"incr n", b"flushall"]
    )
    def test_each_kind_of_change_counts(self, stored: Stored, change: bytes) -> None:
        stored.house.connect().asks(b"set_with_ttl k v 1000000\n")
        stored.house.passes(60)
        stored.house.connect().asks(change + b"\n")
        stored.house.passes(60)
        assert stored.storage.stats()["snapshots_written"] == 2

    def test_reading_is_no_change(self, stored: Stored) -> None:
        peer = stored.house.connect()
        peer.asks(b"set k v\n")
        stored.house.passes(60)
        peer.asks(b"get k\nkeys\nttl k\npublish ch hello\ndelete none\n")
        stored.house.passes(60)
        assert stored.storage.stats()["snapshots_written"] == 1

    def test_of_zero_is_never(self, directory: Path) -> None:
        stored = Stored(directory, interval=0).start()
        stored.house.connect().asks(b"set a 1\n")
        stored.house.passes(100_000)
        assert not stored.snapshot.exists()
        stored.stop()
        assert contents(directory) == {b"a": b"1"}

    def test_can_be_another_from_now_on(self, stored: Stored) -> None:
        stored.house.connect().asks(b"set a 1\n")
        stored.storage.save_every(5)
        stored.house.passes(5)
        assert stored.storage.stats()["snapshots_written"] == 1

    def test_can_end(self, stored: Stored) -> None:
        stored.house.connect().asks(b"set a 1\n")
        stored.storage.save_every(0)
        stored.house.passes(100_000)
        assert not stored.snapshot.exists()


class TestSave:
    def test_is_answered_when_the_file_is_there(self, stored: Stored) -> None:
        stored.held = []
        peer = stored.house.connect()
        assert peer.asks(b"set a 1\nsave\n") == OK
        assert not stored.snapshot.exists()
        stored.let_go()
        assert stored.snapshot.exists()
        assert peer.hears() == OK

    def test_writes_even_if_nothing_changed(self, stored: Stored) -> None:
        assert stored.house.connect().asks(b"save\n") == OK
        assert len(json.loads(stored.snapshot.read_text())) == 2

    def test_has_what_was_there_when_it_began(self, stored: Stored) -> None:
        stored.held = []
        peer = stored.house.connect()
        peer.asks(b"set a 1\n")
        stored.house.connect().asks(b"save\n")
        peer.asks(b"set a 2\nset b 3\n")
        stored.let_go()
        stored.held = None
        assert json.loads(stored.snapshot.read_text())[1:-1] == [{"key": "a", "value": "1"}]
        stored.house.passes(60)  # and the rest is not forgotten
        assert len(json.loads(stored.snapshot.read_text())) == 4

    def test_during_a_save_has_what_changed_since(self, stored: Stored) -> None:
        stored.held = []
        first, second, third = (stored.house.connect() for _ in range(3))
        first.asks(b"set a 1\nsave\n")
        second.asks(b"set a 2\nsave\n")
        third.asks(b"set b 3\nsave\n")
        stored.let_go()
        assert (first.hears(), second.hears(), third.hears()) == (OK, b"", b"")
        stored.let_go()
        assert (second.hears(), third.hears()) == (OK, OK)
        assert json.loads(stored.snapshot.read_text())[1:-1] == [
            {"key": "a", "value": "2"},
            {"key": "b", "value": "3"},
        ]
        assert stored.storage.stats()["snapshots_written"] == 2  # one for the two that waited
        assert stored.held == []
        stored.held = None

    def test_is_written_in_slices_with_others_answered_between(self, stored: Stored) -> None:
        keyspace = stored.house.engine.databases[0]
        keyspace.load({b"%d" % n: b"v" for n in range(10_000)}, {})
        asker, other = stored.house.connect(), stored.house.connect()
        asker.sends(b"save\n")
        stored.house.turn()
        other.sends(b"ping\n")
        turns = 0
        while not asker.wire.taken:
            stored.house.turn()
            turns += 1
            if turns == 3:
                assert bytes(other.wire.taken) == b'{"result": "PONG"}\n'
        assert turns >= 10

    def test_is_told_in_info(self, stored: Stored) -> None:
        def told() -> Any:
            return result(stored, b"info")["persistence"]

        assert told() == {
            "snapshot": str(stored.snapshot),
            "snapshot_in_progress": False,
            "changes_since_last_save": 0,
            "last_save": None,
            "last_save_error": None,
        }
        stored.house.connect().asks(b"set a 1\n")
        stored.held = []
        stored.house.connect().asks(b"save\n")
        during = told()
        assert (during["snapshot_in_progress"], during["changes_since_last_save"]) == (True, 1)
        stored.let_go()
        stored.held = None
        after = told()
        assert (after["changes_since_last_save"], after["last_save"]) == (0, NOON)


class TestAFailingDisk:
    @pytest.mark.parametrize("broken", ["create", "write", "sync", "replace", "sync_directory"])
    def test_is_an_error_reply_and_loses_nothing(self, directory: Path, broken: str) -> None:
        disk = FailingDisk()
        stored = Stored(directory, disk).start()
        peer = stored.house.connect()
        assert peer.asks(b"set a old\nsave\nset a new\n") == OK * 3

        disk.broken = broken
        with capturedLogs() as events:
            assert peer.asks(b"save\nping\n") == (
                b'{"error": "the snapshot could not be written: [Errno 28] No space left on '
                b"device; nothing is lost while the server runs; mend the disk and save again"
                b'"}\n{"result": "PONG"}\n'
            )
        assert [formatEvent(event) for event in events] == [
            "snapshot not written: [Errno 28] No space left on device"
        ]
        assert result(stored, b"get a") == "new"
        record = json.loads(stored.snapshot.read_text())[1]
        # Only the rename changes it, and what comes behind that can fail on its own.
        assert record["value"] == ("new" if broken == "sync_directory" else "old")
        assert not list(directory.glob("*.tmp"))
        assert result(stored, b"info")["persistence"]["last_save_error"]

        disk.broken = None
        assert peer.asks(b"save\n") == OK
        assert result(stored, b"info")["persistence"]["last_save_error"] is None
        assert stored.storage.stats() == {"snapshots_written": 2, "snapshots_failed": 1}
        stored.stop()
        assert contents(directory) == {b"a": b"new"}

    def test_is_tried_again_after_the_interval(self, directory: Path) -> None:
        disk = FailingDisk()
        stored = Stored(directory, disk).start()
        stored.house.connect().asks(b"set a 1\n")
        disk.broken = "sync"
        with capturedLogs():
            stored.house.passes(60)
        assert not stored.snapshot.exists()
        disk.broken = None
        stored.house.passes(60)
        assert stored.snapshot.exists()
        stored.stop()

    def test_at_the_stop_is_said_in_the_log(self, directory: Path) -> None:
        disk = FailingDisk()
        stored = Stored(directory, disk).start()
        stored.house.connect().asks(b"set a 1\n")
        disk.broken = "write"
        with capturedLogs() as events:
            stored.stop()
        assert events[-1]["log_level"].name == "critical"
        assert "NOT" in events[-1]["log_format"]
        assert contents(directory) == {}  # and the lock was let go

    def test_that_cannot_be_read_refuses_to_start(self, directory: Path) -> None:
        class Unreadable(FileSystem):
            def read(self, path: str) -> Any:
                raise OSError(errno.EIO, "Input/output error")

        directory.mkdir()
        (directory / "persistence.json").write_text("{}")
        stored = Stored(directory, Unreadable())
        with pytest.raises(StorageError, match="cannot be read: Input/output error"):
            stored.start()
        stored.stop()
        assert (directory / "persistence.json").read_text() == "{}"


class TestTheStop:
    def test_writes_what_changed(self, stored: Stored, directory: Path) -> None:
        stored.house.connect().asks(b"set a 1\n")
        stored.stop()
        assert contents(directory) == {b"a": b"1"}

    def test_writes_nothing_where_nothing_changed(self, stored: Stored) -> None:
        stored.stop()
        assert not stored.snapshot.exists()

    def test_waits_for_a_snapshot_on_its_way_and_writes_what_came_after(
        self, directory: Path
    ) -> None:
        stored = Stored(directory).start()
        stored.held = []
        peer = stored.house.connect()
        peer.asks(b"set a 1\nsave\n")
        stored.house.connect().asks(b"set b 2\n")
        stopped = stored.storage.stopService()
        assert not stopped.called
        stored.let_go()
        assert not stopped.called
        stored.let_go()
        assert stopped.called
        assert contents(directory) == {b"a": b"1", b"b": b"2"}


class TestAWallClockThatIsSet:
    """Deadlines are the wall's in files and the steady clock's in memory."""

    def test_while_running_moves_the_deadlines_in_the_file(self, stored: Stored) -> None:
        peer = stored.house.connect()
        peer.asks(b"set_with_ttl k v 60\n")
        stored.house.wall_step = 10_000
        peer.asks(b"save\n")
        record = json.loads(stored.snapshot.read_text())[1]
        assert record["deadline"] == (NOON + 60 + 10_000) * 1000
        assert result(stored, b"ttl k") == 60

    @pytest.mark.parametrize("step", [10_000, -10_000])
    def test_before_the_load_leaves_what_the_file_says(self, directory: Path, step: int) -> None:
        first = Stored(directory).start()
        first.house.wall_step = step
        first.house.connect().asks(b"set_with_ttl k v 60\n")
        first.stop()

        second = Stored(directory)
        second.house.wall_step = step
        second.start()
        assert result(second, b"ttl k") == 60
        second.stop()


class TestTheDirectory:
    def test_that_was_removed_meanwhile_is_not_written_to(
        self, stored: Stored, directory: Path
    ) -> None:
        peer = stored.house.connect()
        assert peer.asks(b"set a 1\nsave\n") == OK * 2
        directory.rename(directory.with_name("moved"))
        directory.mkdir()
        with capturedLogs():
            reply = peer.asks(b"save\n")
        assert b"was removed or replaced while in use" in reply
        assert list(directory.iterdir()) == []

    def test_a_linked_snapshot_stays_a_link(self, directory: Path, tmp_path: Path) -> None:
        directory.mkdir()
        target = tmp_path / "elsewhere.json"
        (directory / "persistence.json").symlink_to(target)
        stored = Stored(directory).start()
        assert stored.house.connect().asks(b"set a 1\nsave\n") == OK * 2
        stored.stop()
        assert (directory / "persistence.json").is_symlink()
        assert json.loads(target.read_text())[1] == {"key": "a", "value": "1"}

    def test_what_a_killed_daemon_left_is_removed(self, directory: Path) -> None:
        directory.mkdir()
        left = directory / "persistence.json.tmp"
        left.write_text("half")
        stored = Stored(directory).start()
        assert not left.exists()
        stored.stop()

    def test_a_pipe_in_the_snapshots_place_is_refused_and_not_waited_for(
        self, directory: Path
    ) -> None:
        directory.mkdir()
        os.mkfifo(directory / "persistence.json")
        with pytest.raises(StorageError, match="Not a regular file"):
            Stored(directory).start()

    def test_the_last_save_is_known_after_a_start(self, directory: Path) -> None:
        stored = Stored(directory).start()
        stored.house.connect().asks(b"set a 1\n")
        stored.stop()
        again = Stored(directory).start()
        assert again.storage.info()["last_save"] == pytest.approx(NOON, abs=1)
        again.stop()
