"""When a snapshot is made, what is in it, and what a failure leaves.

The compactor runs in the daemon here, in the place of the thread that would wait for its process:
see ``test_compacting`` for that. What is done when a sync has failed is in ``test_committing``.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from harness import NOON, Stored
from keeping import OK, FailingDisk, contents, kill, result, texts, told
from twisted.logger import capturedLogs

from memdbd.committing import Committer
from memdbd.errors import StorageError
from memdbd.persistence.frames import HEADER_SIZE
from memdbd.snapshots import Snapshots

FIRST = "journal.00000001"
SECOND = "journal.00000002"
THIRD = "journal.00000003"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def disk() -> FailingDisk:
    return FailingDisk()


@pytest.fixture
def stored(directory: Path, disk: FailingDisk) -> Iterator[Stored]:
    """Storage that has started in an empty directory."""
    stored = Stored(directory, disk).start()
    yield stored
    disk.is_mended()
    if stored.house.clock.calls:  # not killed
        with capturedLogs():
            stored.stop()


def written(stored: Stored) -> int:
    count: int = stored.storage.stats()["snapshots_written"]
    return count


def records(stored: Stored) -> dict[str, Any]:
    """What the snapshot has."""
    lines = json.loads(stored.snapshot.read_text())
    return {record["key"]: record["value"] for record in lines[1:-1]}


def segments(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("journal.*"))


class TestTheInterval:
    def test_without_a_change_nothing_is_written(self, stored: Stored) -> None:
        stored.house.passes(600)
        assert not stored.snapshot.exists()

    def test_a_change_is_written_after_it_and_once(self, stored: Stored) -> None:
        stored.house.connect().asks(b"set a 1\n")
        stored.house.passes(59.9)
        assert not stored.snapshot.exists()
        stored.house.passes(0.1)
        assert records(stored) == {"a": "1"}
        stored.house.passes(600)
        assert written(stored) == 1

    @pytest.mark.parametrize(
        "change", [b"delete k", b"expire k 5", b"persist k", b"rename k l", b"incr n", b"flushall"]
    )
    def test_each_kind_of_change_counts(self, stored: Stored, change: bytes) -> None:
        stored.house.connect().asks(b"set_with_ttl k v 1000000\n")
        stored.house.passes(60)
        stored.house.connect().asks(change + b"\n")
        stored.house.passes(60)
        assert written(stored) == 2

    def test_reading_is_no_change(self, stored: Stored) -> None:
        peer = stored.house.connect()
        peer.asks(b"set k v\n")
        stored.house.passes(60)
        peer.asks(b"get k\nkeys\nttl k\npublish ch hello\ndelete none\n")
        stored.house.passes(60)
        assert written(stored) == 1

    def test_what_the_journal_of_the_daemon_before_had_is_a_change(self, directory: Path) -> None:
        first = Stored(directory, interval=0).start()
        first.house.connect().asks(b"set a 1\n")
        first.stop()
        second = Stored(directory).start()
        second.house.passes(60)
        assert records(second) == {"a": "1"}
        second.house.passes(600)
        assert written(second) == 1
        second.stop()

    def test_of_zero_is_never(self, directory: Path) -> None:
        stored = Stored(directory, interval=0).start()
        stored.house.connect().asks(b"set a 1\n")
        stored.house.passes(100_000)
        assert not stored.snapshot.exists()
        stored.stop()

    def test_can_be_another_from_now_on(self, stored: Stored) -> None:
        stored.house.connect().asks(b"set a 1\n")
        stored.storage.save_every(5)
        stored.house.passes(5)
        assert written(stored) == 1

    def test_can_end(self, stored: Stored) -> None:
        stored.house.connect().asks(b"set a 1\n")
        stored.storage.save_every(0)
        stored.house.passes(100_000)
        assert not stored.snapshot.exists()


class TestALongJournal:
    def stored(self, directory: Path, after: int) -> Stored:
        return Stored(directory, interval=0, snapshot_after=after).start()

    def fill(self, stored: Stored, count: int) -> None:
        """Write the same 1000 bytes so many times."""
        request = b"set k %b\n" % (b"x" * 1000)
        stored.house.connect().asks(*[request] * count)

    def test_is_a_reason_for_a_snapshot(self, directory: Path) -> None:
        stored = self.stored(directory, 10_000)
        self.fill(stored, 9)
        stored.house.passes(10)
        assert written(stored) == 0
        self.fill(stored, 1)
        stored.house.passes(1)
        assert written(stored) == 1
        assert told(stored)["journal_bytes"] == HEADER_SIZE
        stored.house.passes(100)
        assert written(stored) == 1
        stored.stop()

    def test_is_none_before_it_is_as_long_as_the_last_snapshot(self, directory: Path) -> None:
        stored = self.stored(directory, 1000)
        keyspace = stored.house.engine.databases[0]
        with_much = b"".join(b"set k%d %b\n" % (n, b"x" * 1000) for n in range(20))
        stored.house.connect().asks(with_much)
        stored.house.passes(1)
        assert (written(stored), len(keyspace)) == (1, 20)
        self.fill(stored, 15)
        stored.house.passes(100)
        assert written(stored) == 1
        self.fill(stored, 10)
        stored.house.passes(1)
        assert written(stored) == 2
        stored.stop()

    def test_is_none_after_a_start_before_it_is_as_long_as_the_snapshot_that_was_found(
        self, directory: Path
    ) -> None:
        first = self.stored(directory, 0)
        peer = first.house.connect()
        peer.asks(b"".join(b"set k%d %b\n" % (n, b"x" * 1000) for n in range(20)) + b"save\n")
        first.stop()
        second = self.stored(directory, 1000)
        assert told(second)["snapshot_bytes"] == second.snapshot.stat().st_size
        self.fill(second, 15)
        second.house.passes(100)
        assert written(second) == 0
        self.fill(second, 10)
        second.house.passes(1)
        assert written(second) == 1
        second.stop()

    def test_is_none_if_none_is_wanted(self, directory: Path) -> None:
        stored = self.stored(directory, 0)
        self.fill(stored, 100)
        stored.house.passes(1000)
        assert written(stored) == 0
        stored.stop()

    def test_that_was_found_at_the_start_counts(self, directory: Path) -> None:
        first = self.stored(directory, 0)
        self.fill(first, 20)
        first.stop()
        second = self.stored(directory, 10_000)
        assert told(second)["journal_bytes"] > 20_000
        second.house.passes(1)
        assert written(second) == 1
        assert segments(directory) == [THIRD]
        second.stop()

    def test_is_as_long_as_redis_s_parameter_says(self, stored: Stored) -> None:
        peer = stored.house.connect()
        peer.asks(b"config set auto-aof-rewrite-min-size 5000\n")
        self.fill(stored, 5)
        stored.house.passes(1)
        assert written(stored) == 1


class TestSave:
    def test_is_answered_when_the_file_is_there(self, stored: Stored) -> None:
        stored.held = []
        peer = stored.house.connect()
        assert peer.asks(b"set a 1\nsave\n") == OK
        while stored.held:
            assert peer.hears() == b""
            stored.let_go()
        assert records(stored) == {"a": "1"}
        assert peer.hears() == OK

    def test_writes_even_if_nothing_changed(self, stored: Stored) -> None:
        assert stored.house.connect().asks(b"save\n") == OK
        assert records(stored) == {}

    def test_has_what_was_there_when_the_journal_was_cut_and_the_rest_is_in_the_next(
        self, stored: Stored, directory: Path
    ) -> None:
        stored.held = []
        peer = stored.house.connect()
        peer.asks(b"set a 1\n")
        stored.house.connect().asks(b"save\n")
        while segments(directory) != [FIRST, SECOND] or not told(stored)["journal"].endswith("2"):
            stored.let_go()
        peer.asks(b"set a 2\nset b 3\n")
        stored.let_all_go()
        assert records(stored) == {"a": "1"}
        assert told(stored)["changes_since_last_save"] == 2
        stored.house.passes(60)
        assert records(stored) == {"a": "2", "b": "3"}

    def test_does_not_cover_what_came_while_the_journal_was_cut(self, stored: Stored) -> None:
        stored.held = []
        peer = stored.house.connect()
        stored.house.connect().asks(b"save\n")
        stored.let_go()
        stored.let_go()
        assert peer.asks(b"set b 3\n") == b""  # for the new segment is being begun
        stored.let_all_go()
        assert records(stored) == {}
        assert told(stored)["changes_since_last_save"] == 1
        stored.house.passes(60)
        assert records(stored) == {"b": "3"}

    def test_during_a_save_has_what_changed_since_and_one_is_for_all(self, stored: Stored) -> None:
        stored.held = []
        first, second, third = (stored.house.connect() for _ in range(3))
        first.asks(b"set a 1\nsave\n")
        second.asks(b"set a 2\nsave\n")
        third.asks(b"set b 3\nsave\n")
        while not first.hears():
            stored.let_go()
        while not (heard := second.hears()):
            stored.let_go()
        assert heard == OK
        assert third.hears() == OK
        assert stored.held == []
        assert written(stored) == 2
        assert records(stored) == {"a": "2", "b": "3"}

    def test_in_the_background_is_answered_at_once(self, stored: Stored) -> None:
        stored.held = []
        peer = stored.house.connect()
        assert peer.asks(b"bgsave\n") == b'{"result": "Background saving started"}\n'
        assert peer.asks(b"lastsave\n") == b'{"result": %d}\n' % NOON
        stored.let_all_go()
        assert written(stored) == 1

    def test_keeps_the_databases_the_types_and_the_deadlines(self, directory: Path) -> None:
        stored = Stored(directory).start()
        peer = stored.house.connect()
        peer.asks(
            b"rpush l 1 2\nhset h f v\nsadd s m\nzadd z 1.5 m\nset_with_ttl t v 60\n"
            b"multi\nselect 3\nset other 1\nexec\n"
        )
        assert stored.house.connect().asks(b"save\n") == OK
        kill(stored)
        again = Stored(directory).start()
        assert result(again, b"lrange l 0 -1") == ["1", "2"]
        assert result(again, b"zscore z m") == 1.5
        assert result(again, b"ttl t") == 60
        assert again.house.engine.databases[3].values == {b"other": b"1"}
        again.stop()

    def test_with_the_wall_s_clock_set_has_the_wall_s_deadlines(self, stored: Stored) -> None:
        stored.house.wall_step = 10_000
        peer = stored.house.connect()
        peer.asks(b"set_with_ttl k v 60\nsave\n")
        record = json.loads(stored.snapshot.read_text())[1]
        assert record["deadline"] == (NOON + 60 + 10_000) * 1000
        assert result(stored, b"ttl k") == 60


class TestSegments:
    def test_that_are_covered_are_removed_only_when_the_snapshot_is_on_disk(
        self, stored: Stored, disk: FailingDisk, directory: Path
    ) -> None:
        stored.house.connect().asks(b"set a 1\nsave\n")
        assert segments(directory) == [SECOND]
        install = disk.calls.index(("replace", "persistence.json"))
        synced = disk.calls.index(("sync_directory", "data"), install)
        assert disk.calls.index(("remove", FIRST)) > synced
        assert disk.calls.index(("sync", "persistence.json.tmp")) < install

    def test_that_cannot_be_removed_are_no_harm_and_go_the_next_time(
        self, stored: Stored, disk: FailingDisk, directory: Path
    ) -> None:
        peer = stored.house.connect()
        disk.breaks("remove", FIRST, errno.EACCES)
        with capturedLogs() as events:
            assert peer.asks(b"set a 1\nsave\n") == OK * 2
        assert f"{FIRST} is not removed: [Errno 13] Permission denied" in texts(events)
        assert segments(directory) == [FIRST, SECOND]
        disk.is_mended()
        assert peer.asks(b"set a 2\nsave\n") == OK * 2
        assert segments(directory) == [THIRD]
        kill(stored)
        assert contents(directory) == {b"a": b"2"}

    @pytest.mark.parametrize("steps", range(7))
    def test_and_the_snapshot_tell_everything_at_any_moment(
        self, stored: Stored, directory: Path, steps: int
    ) -> None:
        peer = stored.house.connect()
        assert peer.asks(b"set a 1\nset b 1\nsave\nset a 2\n") == OK * 4
        stored.held = []
        stored.house.connect().asks(b"save\n")
        for _ in range(min(steps, 5)):
            stored.let_go()
        kill(stored)
        with capturedLogs():
            assert contents(directory) == {b"a": b"2", b"b": b"1"}


class TestAFailure:
    @pytest.mark.parametrize(
        ("operation", "file"),
        [
            ("create", "persistence.json.tmp"),
            ("write", "persistence.json.tmp"),
            ("sync", "persistence.json.tmp"),
            ("replace", "persistence.json"),
            ("sync_directory", "data"),
        ],
    )
    def test_is_an_error_reply_and_loses_nothing(
        self, stored: Stored, disk: FailingDisk, directory: Path, operation: str, file: str
    ) -> None:
        peer = stored.house.connect()
        assert peer.asks(b"set a old\nsave\nset a new\n") == OK * 3
        if operation == "sync_directory":  # that of the rename, not that of the new segment

            def before(asked: str, name: str) -> None:
                if asked == "replace":
                    disk.breaks(operation, file)

            disk.before = before
        else:
            disk.breaks(operation, file)
        with capturedLogs() as events:
            assert peer.asks(b"save\nping\n") == (
                b'{"error": "the snapshot could not be written: [Errno 28] No space left on '
                b"device; nothing is lost, the journal has it all; mend the disk and save again"
                b'"}\n{"result": "PONG"}\n'
            )
        assert texts(events) == ["snapshot not written: [Errno 28] No space left on device"]
        # Only the rename changes it, and what comes behind that can fail on its own.
        assert records(stored) == {"a": "new" if operation == "sync_directory" else "old"}
        assert not list(directory.glob("*.tmp"))
        assert told(stored)["last_save_error"] == "[Errno 28] No space left on device"
        assert segments(directory) == [SECOND, THIRD]
        assert peer.asks(b"set b 1\n") == OK  # the journal works

        disk.is_mended()
        disk.before = lambda asked, name: None
        assert peer.asks(b"save\n") == OK
        assert told(stored)["last_save_error"] is None
        assert stored.storage.stats()["snapshots_failed"] == 1
        assert segments(directory) == ["journal.00000004"]
        kill(stored)
        assert contents(directory) == {b"a": b"new", b"b": b"1"}

    def test_is_tried_again_later_and_later(self, stored: Stored, disk: FailingDisk) -> None:
        stored.storage.save_every(1)
        stored.house.connect().asks(b"set a 1\n")
        disk.breaks("sync", "persistence.json")
        attempts: list[float] = []
        with capturedLogs():
            while stored.house.clock.seconds() < 2000:
                stored.house.passes(1)
                if stored.storage.stats()["snapshots_failed"] > len(attempts):
                    attempts.append(stored.house.clock.seconds())
        waits = [after - before for before, after in pairwise(attempts)]
        longest = Snapshots.LAST_RETRY
        assert waits == [10, 20, 40, 80, 160, 320, longest, longest]
        disk.is_mended()
        stored.house.passes(longest)
        assert written(stored) == 1
        stored.house.connect().asks(b"set a 2\n")
        stored.house.passes(1)
        assert written(stored) == 2

    def test_does_not_keep_who_asks_for_one_waiting(
        self, stored: Stored, disk: FailingDisk
    ) -> None:
        peer = stored.house.connect()
        peer.asks(b"set a 1\n")
        disk.breaks("sync", "persistence.json")
        with capturedLogs():
            assert b"error" in peer.asks(b"save\n")
        disk.is_mended()
        assert peer.asks(b"save\n") == OK

    def test_of_the_compactor_keeps_the_snapshot_and_all_segments(
        self, stored: Stored, directory: Path
    ) -> None:
        def killed(*arguments: object) -> Any:
            raise StorageError("the compactor was killed by signal 9")

        peer = stored.house.connect()
        assert peer.asks(b"set a 1\nsave\nset a 2\n") == OK * 3
        compact, stored.storage.snapshots._compact = stored.storage.snapshots._compact, killed
        with capturedLogs() as events:
            for _ in range(2):
                assert b"killed by signal 9" in peer.asks(b"set b 1\nsave\n")
        assert texts(events) == ["snapshot not written: the compactor was killed by signal 9"] * 2
        assert records(stored) == {"a": "1"}
        assert segments(directory) == [SECOND, THIRD, "journal.00000004"]
        stored.storage.snapshots._compact = compact
        assert peer.asks(b"save\n") == OK
        assert records(stored) == {"a": "2", "b": "1"}
        assert segments(directory) == ["journal.00000005"]

    def test_of_ours_is_logged_and_told_too(self, stored: Stored) -> None:
        def fails(*arguments: object) -> Any:
            raise ZeroDivisionError("by zero")

        stored.storage.snapshots._compact = fails
        with capturedLogs() as events:
            said = stored.house.connect().asks(b"save\nping\n")
        assert b"by zero" in said
        assert b"PONG" in said
        assert [event["log_failure"].type for event in events] == [ZeroDivisionError]


class TestWhereTheJournalIsIll:
    def test_a_save_waits_until_all_of_memory_is_written_and_then_is_made(
        self, stored: Stored, disk: FailingDisk
    ) -> None:
        stored.house.connect().asks(b"set a 1\n")
        disk.breaks("sync_data", FIRST, errno.EIO)
        stored.held = []
        with capturedLogs():
            stored.house.passes(1)
            stored.let_go()
            peer = stored.house.connect()
            assert told(stored)["snapshot_in_progress"]
            assert peer.asks(b"save\n") == b""
            stored.let_all_go()
        assert peer.hears() == OK
        assert written(stored) == 2

    def test_once_all_of_memory_is_written_there_is_no_error_any_more(
        self, stored: Stored, disk: FailingDisk
    ) -> None:
        stored.house.connect().asks(b"set a 1\n")
        disk.breaks("sync_data", FIRST, errno.EIO)
        disk.breaks("create", "persistence.json", errno.EIO)
        with capturedLogs():
            stored.house.passes(1)
            assert told(stored)["last_save_error"] == "[Errno 5] Input/output error"
            disk.is_mended()
            stored.house.passes(Snapshots.FIRST_RETRY)
        assert told(stored)["last_save_error"] is None
        assert told(stored)["state"] == "healthy"
        assert told(stored)["changes_since_last_save"] == 0
        assert told(stored)["journal_bytes"] == HEADER_SIZE

    def test_a_save_that_fails_with_it_is_told_so(self, stored: Stored, disk: FailingDisk) -> None:
        stored.house.connect().asks(b"set a 1\n")
        stored.held = []
        peer = stored.house.connect()
        peer.asks(b"save\n")
        disk.breaks("sync_data", FIRST, errno.EIO)
        disk.breaks("create", "persistence.json", errno.EIO)
        with capturedLogs():
            stored.let_all_go()
        assert b"MISCONF Errors writing to the journal" in peer.hears()


class TestDamageWhileItRuns:
    """What a person or a disk does to the files that a daemon has written."""

    @pytest.mark.parametrize("file", ["persistence.json", FIRST, SECOND])
    @pytest.mark.parametrize("how", ["changed", "removed"])
    def test_is_noticed_and_all_that_is_in_memory_is_written_anew(
        self, directory: Path, file: str, how: str
    ) -> None:
        kill(Stored(directory, interval=0).start())
        stored = Stored(directory, interval=0).start()
        peer = stored.house.connect()
        assert peer.asks(b"set a 1\nsave\nset b 2\n") == OK * 3
        names = sorted(path.name for path in directory.glob("journal.*"))
        hurt = directory / {FIRST: names[0], SECOND: names[-1]}.get(file, file)
        if how == "removed":
            hurt.unlink()
        else:
            data = bytearray(hurt.read_bytes())
            data[len(data) // 2] ^= 1
            hurt.write_bytes(data)
        with capturedLogs():
            said = peer.asks(b"save\n")
        assert b"what is on disk was damaged" in said
        assert peer.asks(b"set c 3\n") == OK  # for that is over already
        kill(stored)
        assert contents(directory) == {b"a": b"1", b"b": b"2", b"c": b"3"}

    def test_refuses_writes_until_that_is_done(self, directory: Path) -> None:
        disk = FailingDisk()
        stored = Stored(directory, disk, interval=0).start()
        peer = stored.house.connect()
        assert peer.asks(b"set a 1\nsave\nset b 2\n") == OK * 3
        (directory / "persistence.json").write_bytes(b"[]")
        disk.breaks("create", "persistence.json")
        with capturedLogs():
            peer.asks(b"save\n")
            assert b"MISCONF" in peer.asks(b"set c 3\n")
            assert told(stored)["state"] == "read-only: what is on disk was damaged"
            assert peer.asks(b"get b\n") == b'{"result": "2", "ttl_remaining": null}\n'
            disk.is_mended()
            stored.house.passes(Snapshots.FIRST_RETRY)
        assert peer.asks(b"set c 3\n") == OK
        kill(stored)
        assert contents(directory) == {b"a": b"1", b"b": b"2", b"c": b"3"}


def test_a_journal_that_cannot_be_written_for_long_is_replaced_by_a_snapshot(
    directory: Path,
) -> None:
    # Which may be shorter, as where the same keys were written again and again.
    disk = FailingDisk()
    stored = Stored(directory, disk, interval=0).start()
    peer = stored.house.connect()
    assert peer.asks(b"set a 1\n") == OK
    disk.breaks("write", FIRST)
    with capturedLogs():
        peer.asks(b"set a 2\n")
        for _ in range(Committer.ATTEMPTS + 1):
            stored.house.passes(Committer.RETRY)
    assert told(stored)["state"] == "healthy"
    assert stored.house.connect().asks(b"set b 2\n") == OK
    kill(stored)
    assert contents(directory) == {b"a": b"2", b"b": b"2"}


def test_the_last_snapshot_is_not_waited_for_for_ever(directory: Path) -> None:
    killed: list[None] = []
    stored = Stored(directory).start()
    stored.storage.snapshots._kill = lambda: killed.append(None)
    stored.house.connect().asks(b"set a 1\n")
    stored.held = []
    stored.storage.stopService()
    stored.house.passes(Snapshots.PATIENCE)
    assert killed == [None]
    stored.let_all_go()
