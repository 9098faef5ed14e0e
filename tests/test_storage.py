"""The data on disk: what is there after a start and a stop, and what is told of it.

The directories are real. What is committed when, is in ``test_committing``; the snapshots made in
between are in ``test_snapshots``; what stands in the files is in ``tests/persistence``.
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
from keeping import OK, FailingDisk, contents, kill, result, texts, told
from twisted.logger import capturedLogs

from memdbd.errors import DirectoryLocked, JournalDamaged, StorageError
from memdbd.persistence.frames import FRAME_SIZE, HEADER_SIZE
from memdbd.persistence.fs import FileSystem


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def stored(directory: Path) -> Iterator[Stored]:
    """Storage that has started in an empty directory."""
    stored = Stored(directory).start()
    yield stored
    stored.stop()


def killed(directory: Path, *requests: bytes) -> Path:
    """What a daemon leaves there that is killed behind these requests: its one segment."""
    stored = Stored(directory, durability="no").start()
    for request in requests:
        assert stored.house.connect().asks(request + b"\n").startswith(b'{"result"')
    kill(stored)
    return directory / "journal.00000001"


def refusal(stored: Stored) -> str:
    """Why it does not start: with the place, and what can be done about it."""
    with pytest.raises(StorageError) as refused:
        stored.start()
    text = str(refused.value)
    assert f"memdb check {stored.directory}" in text
    assert f"memdb repair {stored.directory}" in text
    return text


class TestTheStart:
    def test_in_no_directory_makes_one_for_its_owner_only(self, directory: Path) -> None:
        stored = Stored(directory).start()
        assert directory.stat().st_mode & 0o777 == 0o700
        assert sorted(path.name for path in directory.iterdir()) == [
            "journal.00000001",
            "memdbd.lock",
        ]
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

    def test_after_a_kill_finds_all_that_was_acknowledged_even_if_nothing_was_synced(
        self, directory: Path
    ) -> None:
        requests = b"set a 1", b"set_with_ttl b 2 60", b"hset h f v", b"set a 2"
        killed(directory, *requests)
        stored = Stored(directory).start()
        assert result(stored, b"get a") == "2"
        assert result(stored, b"hget h f") == "v"
        assert result(stored, b"ttl b") == 60
        stored.stop()

    def test_says_how_many_keys_there_were_and_what_the_journal_had(self, directory: Path) -> None:
        killed(directory, b"set a 1", b"set b 2", b"set a 3")
        with capturedLogs() as events:
            stored = Stored(directory).start()
        assert texts(events) == [
            f"2 keys loaded from {stored.snapshot}, with 3 frames of the journal",
            "the daemon before did not stop in order; its journal ends with frame 3",
        ]
        assert result(stored, b"stats")["recovered_frames"] == 3
        assert result(stored, b"stats")["recovered_keys"] == 2
        stored.stop()
        with capturedLogs() as events:
            Stored(directory).start().stop()
        assert texts(events)[:1] == [
            f"2 keys loaded from {stored.snapshot}, with 0 frames of the journal"
        ]
        assert not [text for text in texts(events) if text and "in order" in text]

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

    def test_an_import_that_is_killed_before_its_snapshot_is_made_again(
        self, directory: Path
    ) -> None:
        directory.mkdir()
        (directory / "persistence.json").write_text('{"a": "1", "b": "2"}')
        killed(directory, b"set a 3")
        assert contents(directory) == {b"a": b"3", b"b": b"2"}

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
    def test_refuses_a_damaged_file_names_its_line_and_leaves_everything(
        self, directory: Path, damage: Callable[[str], str], line: int
    ) -> None:
        first = Stored(directory).start()
        first.house.connect().asks(b"set a john_doe\nset b 2\n")
        first.stop()
        first.snapshot.write_text(damage(first.snapshot.read_text()))
        before = everything(directory)

        second = Stored(directory)
        assert refusal(second).startswith(f"{second.snapshot}, line {line}: ")
        second.stop()
        assert everything(directory) == before

    def test_an_import_counts_as_no_change(self, directory: Path) -> None:
        directory.mkdir()
        (directory / "persistence.json").write_text('{"username": "john_doe"}')
        stored = Stored(directory).start()
        assert told(stored)["changes_since_last_save"] == 0
        stored.house.connect().asks(b"set a 1\n")
        assert told(stored)["changes_since_last_save"] == 1
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
        # And has touched nothing of the other one's.
        assert stored.house.connect().asks(b"set a 1\nsave\n") == OK * 2

    def test_takes_a_directory_that_was_in_use(self, directory: Path) -> None:
        for _ in range(2):
            Stored(directory).start().stop()

    def test_refuses_what_is_no_directory(self, directory: Path) -> None:
        directory.write_text("a file")
        with pytest.raises(StorageError, match=f"data directory {directory} cannot be used"):
            Stored(directory).start()
        assert directory.read_text() == "a file"

    def test_that_cannot_read_is_refused(self, directory: Path) -> None:
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

    @pytest.mark.parametrize("operation", ["create", "write", "sync", "sync_directory"])
    def test_that_cannot_begin_a_segment_is_refused_and_works_the_next_time(
        self, directory: Path, operation: str
    ) -> None:
        killed(directory, b"set a 1")
        disk = FailingDisk()
        disk.breaks(operation, "data" if operation == "sync_directory" else "journal.00000002")
        stored = Stored(directory, disk)
        with pytest.raises(StorageError, match="cannot be used: No space left on device"):
            stored.start()
        with capturedLogs():
            stored.stop()
        assert contents(directory) == {b"a": b"1"}

    def test_has_on_disk_what_it_builds_upon_before_it_says_so(self, directory: Path) -> None:
        killed(directory, b"set a 1")
        disk = FailingDisk()
        Stored(directory, disk).start().stop()
        # Not the file that was found: of that nobody knows what a sync before has made of it.
        steps = [
            ("sync", "journal.00000001.tmp"),
            ("replace", "journal.00000001"),
            ("sync_directory", "data"),
            ("write", "journal.00000002"),
        ]
        places = [disk.calls.index(steps[0])]
        for step in steps[1:]:
            places.append(disk.calls.index(step, places[-1]))


def everything(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


class TestATornTail:
    """What a crash leaves in the middle of a write."""

    @pytest.fixture
    def torn(self, directory: Path) -> Path:
        segment = killed(directory, b"set a 1", b"set b 2")
        os.truncate(segment, segment.stat().st_size - 1)
        return segment

    def test_is_cut_kept_beside_and_told(self, directory: Path, torn: Path) -> None:
        data = torn.read_bytes()
        frame = (len(data) + 1 - HEADER_SIZE) // 2
        with capturedLogs() as events:
            stored = Stored(directory).start()
        kept = directory / "journal.00000001.torn"
        assert texts(events)[0] == (
            "the journal ended in the middle of a write, as a crash leaves it: what is behind "
            f"frame 1 was cut off, and is kept in {kept}"
        )
        assert events[0]["log_level"].name == "warn"
        assert kept.read_bytes() == data[HEADER_SIZE + frame :]
        assert torn.read_bytes() == data[: HEADER_SIZE + frame]
        assert stored.house.engine.databases[0].values == {b"a": b"1"}
        stored.stop()

    def test_stays_where_it_is_kept(self, directory: Path, torn: Path) -> None:
        Stored(directory).start().stop()
        kept = (directory / "journal.00000001.torn").read_bytes()
        stored = Stored(directory).start()
        assert stored.house.connect().asks(b"save\n") == OK
        stored.stop()
        assert (directory / "journal.00000001.torn").read_bytes() == kept

    def test_is_refused_under_strict_tail_and_nothing_is_touched(
        self, directory: Path, torn: Path
    ) -> None:
        before = everything(directory)
        stored = Stored(directory, strict_tail=True)
        with pytest.raises(JournalDamaged) as refused:
            stored.start()
        frame = (len(before[torn.name]) + 1 - HEADER_SIZE) // 2
        assert (refused.value.path, refused.value.offset) == (str(torn), HEADER_SIZE + frame)
        assert "strict_tail is set" in str(refused.value)
        stored.stop()
        assert everything(directory) == before

    def test_that_cannot_be_kept_is_not_cut(self, directory: Path, torn: Path) -> None:
        before = torn.read_bytes()
        disk = FailingDisk()
        disk.breaks("write", "journal.00000001.torn")
        stored = Stored(directory, disk)
        with pytest.raises(StorageError, match="cannot be used: No space left on device"):
            stored.start()
        stored.stop()
        assert torn.read_bytes() == before

    def test_of_a_header_is_made_anew(self, directory: Path) -> None:
        killed(directory, b"set a 1")
        (directory / "journal.00000002").write_bytes(b"MEMDB")
        with capturedLogs():
            stored = Stored(directory).start()
        assert (directory / "journal.00000002.torn").read_bytes() == b"MEMDB"
        assert told(stored)["journal"] == str(directory / "journal.00000002")
        stored.stop()
        assert contents(directory) == {b"a": b"1"}


class TestADamagedJournal:
    def test_is_refused_with_its_file_and_byte_and_left_as_it_is(self, directory: Path) -> None:
        stored = Stored(directory, interval=0).start()
        peer = stored.house.connect()
        peer.asks(b"set a 1\n")
        stored.house.passes(1)  # on disk: nothing that a crash may take
        peer.asks(b"set b 2\n")
        stored.stop()
        segment = directory / "journal.00000001"
        data = bytearray(segment.read_bytes())
        data[HEADER_SIZE + FRAME_SIZE] ^= 1
        segment.write_bytes(data)
        before = everything(directory)

        again = Stored(directory)
        assert refusal(again).startswith(f"{segment}, byte {HEADER_SIZE}: the frame here is ")
        again.stop()
        assert everything(directory) == before

    def test_that_lacks_a_segment_is_refused(self, directory: Path) -> None:
        for number in range(3):
            killed_again(directory, b"set k%d v" % number)
        (directory / "journal.00000002").unlink()
        stored = Stored(directory)
        missing = directory / "journal.00000002"
        assert refusal(stored).startswith(f"{missing}, byte 0: this segment is missing")
        stored.stop()


def killed_again(directory: Path, request: bytes) -> None:
    """Another daemon, which is killed too."""
    with capturedLogs():
        killed(directory, request)


class TestTheStop:
    def test_writes_what_changed(self, directory: Path) -> None:
        stored = Stored(directory).start()
        stored.house.connect().asks(b"set a 1\n")
        stored.stop()
        assert json.loads(stored.snapshot.read_text())[1] == {"key": "a", "value": "1"}
        assert contents(directory) == {b"a": b"1"}

    def test_writes_no_snapshot_where_nothing_changed(self, directory: Path) -> None:
        stored = Stored(directory).start()
        stored.stop()
        assert not stored.snapshot.exists()

    def test_writes_no_snapshot_where_none_is_wanted_and_loses_nothing(
        self, directory: Path
    ) -> None:
        stored = Stored(directory, interval=0).start()
        stored.house.connect().asks(b"set a 1\n")
        stored.stop()
        assert not stored.snapshot.exists()
        assert contents(directory) == {b"a": b"1"}

    def test_has_what_has_changed_in_the_last_moment_on_disk(self, directory: Path) -> None:
        disk = FailingDisk()
        stored = Stored(directory, disk, interval=0, durability="no").start()
        stored.house.connect().asks(b"set a 1\n")
        assert disk.count("sync_data", "journal.00000001") == 0
        stored.house.engine.databases[0].delete(b"a")  # and no turn has ended since
        stored.stop()
        journal = "journal.00000001"
        assert [call for call in disk.calls if call[1] == journal][-4:] == [
            ("write", journal),
            ("sync_data", journal),
            ("write", journal),  # its last words
            ("sync_data", journal),
        ]
        assert contents(directory) == {}

    def test_waits_for_a_snapshot_on_its_way_and_writes_what_came_after(
        self, directory: Path
    ) -> None:
        stored = Stored(directory).start()
        stored.held = []
        peer = stored.house.connect()
        peer.asks(b"set a 1\nsave\n")
        stored.house.connect().asks(b"set b 2\n")
        stopped = stored.storage.stopService()
        stored.house.settle()
        while not peer.hears():
            assert not stopped.called
            stored.let_go()
        assert not stopped.called
        stored.let_all_go()
        assert stopped.called
        assert contents(directory) == {b"a": b"1", b"b": b"2"}

    def test_by_shutdown_nosave_makes_no_last_snapshot_and_loses_nothing(
        self, directory: Path
    ) -> None:
        stored = Stored(directory).start()
        peer = stored.house.connect()
        stored.house.server.stopper = lambda: None
        assert peer.asks(b"set a 1\nshutdown nosave\n") == OK * 2
        stored.stop()
        assert not stored.snapshot.exists()
        assert contents(directory) == {b"a": b"1"}

    def test_that_cannot_write_is_said_in_the_log_and_gives_the_directory_free(
        self, directory: Path
    ) -> None:
        disk = FailingDisk()
        stored = Stored(directory, disk, interval=0).start()
        stored.house.connect().asks(b"set a 1\n")
        disk.breaks("sync_data")
        with capturedLogs() as events:
            stored.stop()
        assert texts(events) == [
            "stopped with changes that are NOT on disk: [Errno 28] No space left on device"
        ]
        assert events[-1]["log_level"].name == "critical"
        assert contents(directory) == {b"a": b"1"}  # this was, the daemon's last words were not

    def test_after_a_failed_snapshot_has_all_in_the_journal(self, directory: Path) -> None:
        disk = FailingDisk()
        stored = Stored(directory, disk).start()
        stored.house.connect().asks(b"set a 1\n")
        disk.breaks("write", "persistence.json")
        with capturedLogs() as events:
            stored.stop()
        assert texts(events) == ["snapshot not written: [Errno 28] No space left on device"]
        assert not stored.snapshot.exists()
        assert contents(directory) == {b"a": b"1"}


class TestAWallClockThatIsSet:
    """Deadlines are the wall's in files and the steady clock's in memory."""

    def test_while_running_moves_the_deadlines_in_the_journal(self, directory: Path) -> None:
        stored = Stored(directory, interval=0).start()
        stored.house.wall_step = 10_000
        stored.house.connect().asks(b"set_with_ttl k v 60\n")
        stored.stop()

        second = Stored(directory)
        second.house.wall_step = 10_000
        second.start()
        assert result(second, b"ttl k") == 60
        second.stop()

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


class TestInfo:
    def test_names_the_file_that_the_settings_name(self, directory: Path) -> None:
        stored = Stored(directory, storage_file="x.json").start()
        assert told(stored)["snapshot"] == str(directory / "x.json")
        stored.stop()

    def test_tells_the_state_of_the_journal_and_the_snapshot(self, stored: Stored) -> None:
        assert result(stored, b"info")["persistence"] == {
            "state": "healthy",
            "reason": "",
            "durability": "everysec",
            "journal": str(stored.directory / "journal.00000001"),
            "journal_bytes": HEADER_SIZE,
            "sync_in_progress": False,
            "seconds_since_sync": 0,
            "snapshot": str(stored.snapshot),
            "snapshot_in_progress": False,
            "changes_since_last_save": 0,
            "last_save": None,
            "last_save_error": None,
            "last_save_seconds": None,
            "snapshot_bytes": 0,
        }

    def test_counts_from_the_last_sync(self, stored: Stored) -> None:
        peer = stored.house.connect()
        stored.house.passes(5)
        peer.asks(b"set a 1\n")
        assert told(stored)["seconds_since_sync"] == 5
        stored.held = []
        stored.house.passes(1)
        assert told(stored)["sync_in_progress"]
        stored.let_all_go()
        assert not told(stored)["sync_in_progress"]
        assert told(stored)["seconds_since_sync"] == 0
        stored.house.passes(2.5)
        assert told(stored)["seconds_since_sync"] == 2.5

    def test_tells_of_the_snapshot_that_is_made(self, stored: Stored) -> None:
        stored.house.connect().asks(b"set a 1\n")
        stored.held = []
        stored.house.connect().asks(b"save\n")
        during = told(stored)
        assert (during["snapshot_in_progress"], during["changes_since_last_save"]) == (True, 1)
        stored.let_all_go()
        after = told(stored)
        assert (after["changes_since_last_save"], after["last_save"]) == (0, NOON)
        assert after["snapshot_bytes"] == stored.snapshot.stat().st_size
        assert after["journal_bytes"] == HEADER_SIZE
        assert after["last_save_seconds"] == 0

    def test_the_last_save_is_known_after_a_start(self, directory: Path) -> None:
        stored = Stored(directory).start()
        stored.house.connect().asks(b"set a 1\n")
        stored.stop()
        again = Stored(directory).start()
        assert told(again)["last_save"] == pytest.approx(NOON, abs=1)
        again.stop()

    def test_stats_count_what_is_done(self, stored: Stored) -> None:
        stored.house.connect().asks(b"set a 1\nset b 2\n", b"set c 3\n")
        stored.house.passes(1)
        segment = stored.directory / "journal.00000001"
        assert stored.storage.stats() == {
            "snapshots_written": 0,
            "snapshots_failed": 0,
            "journal_frames": 2,
            "journal_bytes_written": segment.stat().st_size - HEADER_SIZE,
            "journal_syncs": 1,
            "journal_failures": 0,
            "recovered_keys": 0,
            "recovered_frames": 0,
            "durability": "everysec",
            "state": "healthy",
            "seconds_since_sync": 0.0,
            "last_save": None,
            "journal_bytes": segment.stat().st_size,
        }
