"""What a turn has changed is in the journal before anybody hears of it; and what happens where that
cannot be.

Each test is a daemon on a real directory. Work in a thread waits there to be let go, so that a test
sees what is said before the disk has done its part, and what is said afterwards.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from harness import Peer, Stored
from keeping import OK, FailingDisk, contents, kill, result, texts, told
from twisted.logger import capturedLogs

from memdbd.committing import Committer
from memdbd.errors import StorageError
from memdbd.health import State
from memdbd.persistence.frames import HEADER_SIZE
from memdbd.persistence.snapshot import SLICE_KEYS
from memdbd.sending import PIECE
from memdbd.snapshots import Snapshots
from memdbd.turn import Turn

FIRST = "journal.00000001"
SECOND = "journal.00000002"
POLICIES = ["always", "everysec", "no"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def disk() -> FailingDisk:
    return FailingDisk()


Start = Callable[..., Stored]


@pytest.fixture
def start(directory: Path, disk: FailingDisk) -> Iterator[Start]:
    """Starts a daemon that makes no snapshots of itself, and stops it in the end."""
    started: list[Stored] = []

    def start(durability: str, **settings: Any) -> Stored:
        stored = Stored(directory, disk, interval=0, durability=durability, **settings).start()
        started.append(stored)
        return stored

    yield start
    for stored in started:
        disk.is_mended()
        if stored.house.clock.calls:  # not killed
            with capturedLogs():
                stored.stop()


def syncs(disk: FailingDisk, name: str = FIRST) -> int:
    return disk.count("sync_data", name)


def state(stored: Stored) -> State:
    return State(told(stored)["state"])


def value(of: str | None) -> bytes:
    """What GET answers."""
    return json.dumps({"result": of, "ttl_remaining": None}).encode() + b"\n"


def refusal(reply: bytes) -> str:
    """The words of the error that a write gets while the journal is ill; nothing else came."""
    assert reply.count(b"\n") == 1
    error: str = json.loads(reply)["error"]
    start, end = "MISCONF Errors writing to the journal: ", "; writes are refused until it works"
    assert error.startswith(start)
    assert end in error
    return error.removeprefix(start).partition(end)[0]


class TestTheOrder:
    @pytest.mark.parametrize("policy", POLICIES)
    def test_nothing_is_sent_before_its_frame_is_written(
        self, start: Start, disk: FailingDisk, policy: str
    ) -> None:
        stored = start(policy)
        peers = [stored.house.connect() for _ in range(3)]
        peers[2].asks(b"subscribe db_updates\n")
        seen: list[bytes] = []

        def look(operation: str, name: str) -> None:
            if (operation, name) == ("write", FIRST):
                seen.extend(bytes(peer.wire.taken + peer.wire.untaken) for peer in peers[:2])

        disk.before = look
        peers[0].sends(b"set a 1\n")
        peers[1].sends(b"get a\n")
        assert peers[0].hears() == OK
        assert peers[1].hears() == value("1")
        assert seen == [b"", b""]

    def test_a_turn_is_one_frame_whoever_has_changed_what(
        self, start: Start, disk: FailingDisk
    ) -> None:
        stored = start("no")
        peers = [stored.house.connect() for _ in range(5)]
        for number, peer in enumerate(peers):
            peer.sends(b"set k%d v\nmulti\nincr n\nincr n\nexec\n" % number)
        stored.house.settle()
        assert disk.count("write", FIRST) == 2  # the header, and this
        assert result(stored, b"stats")["journal_frames"] == 1

    def test_what_changes_nothing_is_no_frame(self, start: Start, disk: FailingDisk) -> None:
        stored = start("always")
        peer = stored.house.connect()
        peer.asks(b"get a\ndelete a\npublish c hello\nping\nmulti\nget a\nexec\n")
        assert disk.count("write", FIRST) == 1
        assert syncs(disk) == 0


class TestAlways:
    def test_a_reply_waits_for_the_sync(self, start: Start) -> None:
        stored = start("always")
        stored.held = []
        peer = stored.house.connect()
        assert peer.asks(b"set a 1\n") == b""
        assert len(stored.held) == 1
        stored.let_go()
        assert peer.hears() == OK
        assert stored.held == []

    @pytest.mark.parametrize(
        ("asked", "seen"),
        [
            (b"subscribe news\n", b'{"channel": "news", "message": "hello"}\n'),
            (b"subscribe db_updates\n", b'"channel": "db_updates"'),
            (b"blpop list 0\n", b'{"result": ["list", "x"]}\n'),
            (b"monitor\n", b"rpush"),
            (b"", b""),
        ],
    )
    def test_nobody_sees_what_could_still_be_lost(
        self, start: Start, asked: bytes, seen: bytes
    ) -> None:
        stored = start("always")
        stored.held = []
        other, writer, reader = (stored.house.connect() for _ in range(3))
        other.asks(asked)
        assert writer.asks(b"rpush list x y\npublish news hello\n") == b""
        assert reader.asks(b"exists list\n") == b""
        assert other.hears() == b""
        while stored.held:
            assert other.hears() == b""
            stored.let_go()
        assert seen in other.hears()
        assert writer.hears().count(b"\n") == 2
        assert reader.hears() == b'{"result": 1}\n'

    def test_what_comes_while_a_sync_is_under_way_waits_for_the_next(self, start: Start) -> None:
        stored = start("always")
        stored.held = []
        first, second, reader = (stored.house.connect() for _ in range(3))
        assert first.asks(b"set a 1\n") == b""
        assert second.asks(b"set a 2\n") == b""
        assert reader.asks(b"get a\n") == b""  # which would be 2
        stored.let_go()
        assert first.hears() == OK
        assert (second.hears(), reader.hears()) == (b"", b"")
        stored.let_go()
        assert (second.hears(), reader.hears()) == (OK, value("2"))
        assert stored.held == []

    def test_who_asks_for_more_gets_his_replies_in_order(self, start: Start) -> None:
        stored = start("always")
        stored.held = []
        peer = stored.house.connect()
        peer.asks(b"set a 1\n")
        peer.asks(b"set a 2\n", b"get a\n")
        stored.let_go()
        assert peer.hears() == OK
        peer.asks(b"incr a\n")
        stored.let_go()
        assert peer.hears() == OK + value("2")
        stored.let_go()
        assert peer.hears() == b'{"result": 3}\n'

    def test_who_only_reads_waits_for_no_sync_of_his_own(self, start: Start) -> None:
        stored = start("always")
        stored.held = []
        writer, reader = stored.house.connect(), stored.house.connect()
        assert reader.asks(b"get b\n") == value(None)
        writer.asks(b"set a 1\n")
        assert reader.asks(b"get b\n") == b""
        stored.let_go()
        assert reader.hears() == value(None)
        assert stored.held == []

    def test_one_sync_is_for_all_sessions(self, start: Start, disk: FailingDisk) -> None:
        stored = start("always")
        peers = [stored.house.connect() for _ in range(20)]
        for peer in peers:
            peer.sends(b"incr n\n")
        stored.house.settle()
        assert sorted(json.loads(peer.hears())["result"] for peer in peers) == list(range(1, 21))
        assert syncs(disk) == 1

    def test_a_peer_that_goes_before_the_sync_is_done_harms_nobody(self, start: Start) -> None:
        stored = start("always")
        stored.held = []
        gone, stays = stored.house.connect(), stored.house.connect()
        gone.sends(b"set a 1\n")
        stays.sends(b"get a\n")
        stored.house.settle()
        gone.vanishes()
        stored.let_go()
        assert stays.hears() == value("1")


class TestEverysec:
    def test_a_reply_waits_for_nothing_and_a_sync_follows_each_second(
        self, start: Start, disk: FailingDisk
    ) -> None:
        stored = start("everysec")
        peer = stored.house.connect()
        for second in range(1, 4):
            assert peer.asks(b"set a 1\n", b"set b 2\n") == OK * 2
            assert syncs(disk) == second - 1
            stored.house.passes(0.999)
            assert syncs(disk) == second - 1
            stored.house.passes(0.001)
            assert syncs(disk) == second
        stored.house.passes(100)  # in which nothing is written
        assert syncs(disk) == 3

    def test_replies_wait_where_the_disk_is_more_than_two_seconds_late(self, start: Start) -> None:
        stored = start("everysec")
        stored.held = []
        peer, reader = stored.house.connect(), stored.house.connect()
        peer.asks(b"set a 1\n")
        stored.house.passes(1)
        assert len(stored.held) == 1
        stored.house.passes(Committer.LATEST - 1.001)
        assert peer.asks(b"set a 2\n") == OK
        stored.house.passes(0.001)
        assert peer.asks(b"set a 3\n") == b""
        assert reader.asks(b"get a\n") == b""
        assert len(stored.held) == 1  # no second one
        stored.let_go()
        assert peer.hears() == OK
        assert reader.hears() == value("3")
        stored.house.passes(1)
        assert len(stored.held) == 1  # for what this one did not cover

    def test_who_only_reads_waits_for_no_late_disk(self, start: Start) -> None:
        stored = start("everysec")
        stored.held = []
        peer = stored.house.connect()
        peer.asks(b"set a 1\n")
        stored.house.passes(100)
        assert peer.asks(b"get a\n") == value("1")


def test_under_no_nothing_is_synced_and_everything_is_written(
    start: Start, disk: FailingDisk, directory: Path
) -> None:
    stored = start("no")
    assert stored.house.connect().asks(b"set a 1\n") == OK
    stored.house.passes(100_000)
    assert stored.house.connect().asks(b"set b 2\n") == OK
    assert syncs(disk) == 0
    kill(stored)
    assert contents(directory) == {b"a": b"1", b"b": b"2"}


class TestAnotherPolicy:
    def follow(self, stored: Stored, policy: bytes) -> None:
        peer = stored.house.connect()
        peer.asks(b"config set appendfsync %b\n" % policy)
        assert told(stored)["durability"] == policy.decode()

    def test_always_after_no_has_all_on_disk_and_then_each_write(
        self, start: Start, disk: FailingDisk
    ) -> None:
        stored = start("no")
        peer = stored.house.connect()
        peer.asks(b"set a 1\n")
        stored.held = []
        self.follow(stored, b"always")
        assert len(stored.held) == 1
        stored.let_go()
        assert peer.asks(b"set a 2\n") == b""
        stored.let_go()
        assert peer.hears() == OK
        assert syncs(disk) == 2

    @pytest.mark.parametrize("before", ["everysec", "no"])
    def test_always_while_a_sync_is_under_way_waits_for_one_that_covers_the_write(
        self, start: Start, before: str
    ) -> None:
        stored = start("everysec")
        stored.held = []
        peer = stored.house.connect()
        peer.asks(b"set a 1\n")
        stored.house.passes(1)
        assert len(stored.held) == 1
        self.follow(stored, before.encode())
        self.follow(stored, b"always")
        assert peer.asks(b"set a 2\n") == b""
        stored.let_go()
        assert peer.hears() == b""
        stored.let_go()
        assert peer.hears() == OK
        assert stored.held == []

    @pytest.mark.parametrize("after", [b"everysec", b"no"])
    def test_a_weaker_one_waits_for_what_is_under_way_and_no_more(
        self, start: Start, after: bytes
    ) -> None:
        stored = start("always")
        stored.held = []
        writer, setter = stored.house.connect(), stored.house.connect()
        writer.asks(b"set a 1\n")
        assert setter.asks(b"config set appendfsync %b\n" % after) == b""
        assert writer.asks(b"set a 2\n") == b""
        stored.let_go()
        assert setter.hears() == OK
        assert writer.hears() == OK * 2
        assert writer.asks(b"set a 3\n") == OK
        stored.house.passes(1)
        assert len(stored.held) == (after == b"everysec")

    def test_everysec_after_no_lets_nothing_be_later_than_it_promises(self, start: Start) -> None:
        stored = start("no")
        peer = stored.house.connect()
        peer.asks(b"set a 1\n")
        stored.house.passes(1000)
        stored.held = []
        self.follow(stored, b"everysec")
        assert len(stored.held) == 1
        assert peer.asks(b"set a 2\n") == b""  # until what is so old is on disk
        stored.let_go()
        assert peer.hears() == OK
        assert peer.asks(b"set a 3\n") == OK

    def test_no_after_everysec_syncs_nothing_more(self, start: Start, disk: FailingDisk) -> None:
        stored = start("everysec")
        stored.house.connect().asks(b"set a 1\n")
        self.follow(stored, b"no")
        stored.house.passes(100)
        assert syncs(disk) == 0


class TestAChangeForWhichNobodyIsOwedAReply:
    def test_of_a_client_that_wants_no_replies_is_committed(
        self, start: Start, directory: Path, disk: FailingDisk
    ) -> None:
        stored = start("always")
        peer = stored.house.connect()
        request = b"*3\r\n$6\r\nclient\r\n$5\r\nreply\r\n$3\r\noff\r\n"
        assert peer.asks(request) == b""
        assert peer.asks(b"*3\r\n$3\r\nset\r\n$1\r\na\r\n$1\r\n1\r\n") == b""
        assert syncs(disk) == 1
        kill(stored)
        assert contents(directory) == {b"a": b"1"}

    def test_of_the_sweeper_is_committed(
        self, start: Start, directory: Path, disk: FailingDisk
    ) -> None:
        stored = start("always")
        stored.house.connect().asks(b"set a 1\nset_with_ttl b 2 5\n")
        stored.house.parts.sweeper.startService()
        stored.house.passes(5.1)
        assert syncs(disk) == 2
        assert b"DEL" in (directory / FIRST).read_bytes()

    def test_of_a_client_that_waited_is_committed_with_what_served_it(
        self, start: Start, directory: Path
    ) -> None:
        stored = start("always")
        waiting, pusher = stored.house.connect(), stored.house.connect()
        assert waiting.asks(b"blpop list 0\n") == b""
        stored.held = []
        assert pusher.asks(b"rpush list x y\n") == b""
        assert waiting.hears() == b""
        stored.let_go()
        assert pusher.hears() == b'{"result": 2}\n'
        assert waiting.hears() == b'{"result": ["list", "x"]}\n'
        kill(stored)
        assert list(contents(directory)[b"list"]) == [b"y"]

    def test_of_a_client_that_is_paused_is_committed_when_it_is_made(
        self, start: Start, directory: Path
    ) -> None:
        stored = start("always")
        writer, other = stored.house.connect(), stored.house.connect()
        other.asks(b"client pause 5000 write\n")
        assert writer.asks(b"set a 1\n") == b""
        assert (directory / FIRST).stat().st_size == HEADER_SIZE
        stored.held = []
        stored.house.passes(5)
        assert writer.hears() == b""
        stored.let_go()
        assert writer.hears() == OK
        kill(stored)
        assert contents(directory) == {b"a": b"1"}


@pytest.fixture(params=POLICIES)
def policy(request: pytest.FixtureRequest) -> str:
    policy: str = request.param
    return policy


class TestAWriteThatFails:
    """The disk is full, and has room again later."""

    @pytest.fixture
    def stored(self, start: Start, policy: str) -> Stored:
        """With ``a`` and ``b``."""
        stored = start(policy)
        assert stored.house.connect().asks(b"set a 1\nset b 1\n") == OK * 2
        return stored

    @pytest.fixture
    def full(self, stored: Stored, disk: FailingDisk) -> Stored:
        """Where ``a`` was set to 2 when the disk was full already."""
        disk.breaks("write", "journal")
        with capturedLogs() as events:
            refusal(stored.house.connect().asks(b"set a 2\n"))
        assert texts(events) == [
            "the journal cannot be written: [Errno 28] No space left on device; writes are refused "
            "until it can"
        ]
        return stored

    def test_tells_all_clients_of_that_turn_and_sends_them_away(
        self, stored: Stored, disk: FailingDisk
    ) -> None:
        writer, reader, other = (stored.house.connect() for _ in range(3))
        disk.breaks("write", "journal")
        writer.sends(b"set a 2\nget b\n")
        reader.sends(b"get a\n")
        with capturedLogs():
            assert refusal(writer.hears()) == "No space left on device"
            assert refusal(reader.hears()) == "No space left on device"
        assert (writer.closed, reader.closed, other.closed) == (True, True, False)
        assert other.asks(b"get b\n") == value("1")

    def test_is_told_to_redis_clients_in_redis_s_words(
        self, stored: Stored, disk: FailingDisk
    ) -> None:
        disk.breaks("write", "journal", errno.EIO)
        peer = stored.house.connect()
        request = b"*3\r\n$3\r\nset\r\n$1\r\na\r\n$1\r\n2\r\n"
        with capturedLogs():
            said = peer.asks(request)
        assert said == b"-MISCONF Errors writing to the journal: Input/output error\r\n"
        assert peer.closed

    @pytest.mark.parametrize(
        "write",
        [b"set c 3", b"delete b", b"incr n", b"flushall", b"rename b c", b"expire b 5", b"spop s",
         b"blpop list 0", b"getdel b", b"getex b ex 5", b"sort b store c", b"swapdb 0 1"],
    )  # fmt: skip
    def test_later_writes_are_refused_and_change_nothing(self, full: Stored, write: bytes) -> None:
        keyspace = full.house.engine.databases[0]
        before, deadlines = dict(keyspace.values), dict(keyspace.deadlines)
        peer = full.house.connect()
        refusal(peer.asks(write + b"\n"))
        assert peer.asks(b"ping\n") == b'{"result": "PONG"}\n'
        assert (dict(keyspace.values), dict(keyspace.deadlines)) == (before, deadlines)

    def test_a_transaction_with_a_write_is_refused_as_a_whole(self, full: Stored) -> None:
        peer = full.house.connect()
        peer.asks(b"multi\nget b\nset b 2\nset c 3\n")
        assert peer.asks(b"exec\n").startswith(
            b'{"error": "EXECABORT Transaction discarded because of: MISCONF Errors writing to the '
            b"journal: No space left on device"
        )
        assert result(full, b"get b") == "1"
        assert result(full, b"exists c") == 0
        # It is over, and not half there.
        assert b"EXEC without MULTI" in peer.asks(b"exec\n")

    def test_a_transaction_that_only_reads_is_run(self, full: Stored) -> None:
        peer = full.house.connect()
        peer.asks(b"multi\nget b\nexists b\n")
        assert peer.asks(b"exec\n") == (
            b'{"result": [{"result": "1", "ttl_remaining": null}, {"result": 1}]}\n'
        )

    @pytest.mark.parametrize(
        "read", [b"get b", b"exists b", b"type b", b"ttl b", b"ping", b"info", b"mget b none"]
    )
    def test_reads_go_on(self, full: Stored, read: bytes) -> None:
        assert b'{"result"' in full.house.connect().asks(read + b"\n")

    @pytest.mark.parametrize(
        "read",
        [b"get a", b"exists b a", b"strlen a", b"mget b a", b"keys", b"scan 0", b"dbsize",
         b"randomkey", b"type a", b"ttl a", b"object encoding a", b"dump a", b"sort_ro a"],
    )  # fmt: skip
    def test_what_may_be_lost_is_shown_to_nobody(self, full: Stored, read: bytes) -> None:
        assert b"the last change of this could not be written" in full.house.connect().asks(
            read + b"\n"
        )

    def test_is_told_in_info_and_in_stats(self, full: Stored) -> None:
        assert told(full)["state"] == "read-only: the journal cannot be written"
        assert told(full)["reason"] == "No space left on device"
        assert result(full, b"stats")["journal_failures"] == 1
        text = full.house.server.figures.text(["persistence"])
        assert "aof_last_write_status:err\r\n" in text
        assert "reason:No space left on device\r\n" in text

    def test_is_tried_again_until_it_works_and_then_all_is_there(
        self, full: Stored, disk: FailingDisk, directory: Path
    ) -> None:
        full.house.passes(10 * Committer.RETRY)
        assert state(full) is State.BLOCKED
        disk.is_mended()
        full.house.passes(Committer.RETRY / 2)
        with capturedLogs() as events:
            full.house.passes(Committer.RETRY / 2)
        assert texts(events) == ["the journal works again; writes are taken"]
        assert (state(full), told(full)["reason"]) == (State.HEALTHY, "")
        assert result(full, b"get a") == "2"  # though it was not acknowledged
        assert full.house.connect().asks(b"set c 3\n") == OK
        kill(full)
        assert contents(directory) == {b"a": b"2", b"b": b"1", b"c": b"3"}

    def test_is_over_only_when_what_was_missing_is_synced(
        self, full: Stored, disk: FailingDisk
    ) -> None:
        disk.is_mended()
        full.held = []
        full.house.passes(Committer.RETRY)
        assert len(full.held) == 1
        refusal(full.house.connect().asks(b"set c 3\n"))
        full.let_all_go()
        assert full.house.connect().asks(b"set c 3\n") == OK

    def test_what_expires_meanwhile_is_gone_afterwards(
        self, stored: Stored, disk: FailingDisk, directory: Path
    ) -> None:
        stored.house.connect().asks(b"set_with_ttl t 1 2\n")
        disk.breaks("write", "journal")
        with capturedLogs():
            stored.house.connect().asks(b"set a 2\n")
            stored.house.passes(3)
            assert result(stored, b"exists t") == 0
        disk.is_mended()
        stored.house.passes(Committer.RETRY)
        assert state(stored) is State.HEALTHY
        kill(stored)
        journal = (directory / FIRST).read_bytes()
        assert journal.index(b"DEL") > journal.index(b"a\r\n$1\r\n2")
        assert contents(directory) == {b"a": b"2", b"b": b"1"}

    def test_at_the_stop_is_tried_once_more(
        self, full: Stored, disk: FailingDisk, directory: Path
    ) -> None:
        disk.is_mended()
        full.stop()
        kill(full)
        assert contents(directory) == {b"a": b"2", b"b": b"1"}

    @pytest.mark.parametrize("room", [0, 1, 20, 30])
    def test_of_which_a_part_is_written_leaves_no_half_frame(
        self, stored: Stored, disk: FailingDisk, directory: Path, room: int
    ) -> None:
        before = (directory / FIRST).read_bytes()
        disk.room = room
        with capturedLogs():
            refusal(stored.house.connect().asks(b"set a 2\n"))
        assert (directory / FIRST).read_bytes() == before  # what was written may be what fills it
        disk.is_mended()
        stored.house.passes(Committer.RETRY)
        assert stored.house.connect().asks(b"set c 3\n") == OK
        kill(stored)
        assert contents(directory) == {b"a": b"2", b"b": b"1", b"c": b"3"}
        assert not list(directory.glob("*.torn"))

    @pytest.mark.parametrize("room", [1, 20, 30])
    def test_of_which_a_part_is_written_is_a_torn_tail_for_the_next_daemon(
        self, stored: Stored, disk: FailingDisk, directory: Path, room: int
    ) -> None:
        disk.room = room
        disk.breaks("truncate", FIRST, errno.EIO)
        with capturedLogs():
            refusal(stored.house.connect().asks(b"set a 2\n"))
        kill(stored)
        with capturedLogs():
            assert contents(directory) == {b"a": b"1", b"b": b"1"}
        assert (directory / f"{FIRST}.torn").stat().st_size == room

    def test_what_expires_while_what_was_missing_is_synced_is_not_forgotten(
        self, stored: Stored, disk: FailingDisk, directory: Path
    ) -> None:
        stored.house.connect().asks(b"set_with_ttl t 1 2\n")
        disk.breaks("write", "journal")
        with capturedLogs():
            refusal(stored.house.connect().asks(b"set a 2\n"))
        disk.is_mended()
        stored.held = []
        stored.house.passes(Committer.RETRY)
        stored.house.passes(1)
        assert result(stored, b"exists t") == 0
        stored.let_go()
        assert state(stored) is State.BLOCKED
        assert b"DEL" in (directory / FIRST).read_bytes()
        stored.let_all_go()
        assert state(stored) is State.HEALTHY

    def test_another_time_hides_only_what_it_concerns(
        self, stored: Stored, disk: FailingDisk
    ) -> None:
        for request in (b"set a 2\n", b"set b 2\n"):
            disk.is_mended()
            with capturedLogs():
                stored.house.passes(Committer.RETRY)
                disk.breaks("write", "journal")
                refusal(stored.house.connect().asks(request))
        assert result(stored, b"get a") == "2"
        assert b"the last change of this" in stored.house.connect().asks(b"get b\n")

    def test_again_and_again_keeps_the_order(
        self, stored: Stored, disk: FailingDisk, directory: Path
    ) -> None:
        for number in range(5):
            disk.room = 10 * number
            with capturedLogs():
                refusal(stored.house.connect().asks(b"set a %d\n" % number))
                disk.is_mended()
                stored.house.passes(Committer.RETRY)
            assert stored.house.connect().asks(b"set b %d\n" % number) == OK
        kill(stored)
        assert contents(directory) == {b"a": b"4", b"b": b"4"}


class TestASyncThatFails:
    """Of the journal, when nobody knows any more what of it is on disk."""

    @pytest.fixture
    def stored(self, start: Start) -> Stored:
        stored = start("always")
        assert stored.house.connect().asks(b"set a 1\nset b 1\n") == OK * 2
        return stored

    def fails(self, stored: Stored, disk: FailingDisk) -> Peer:
        """The sync fails, and so does every attempt to write a new snapshot."""
        disk.breaks("sync_data", FIRST, errno.EIO)
        disk.breaks("create", "persistence.json", errno.EIO)
        peer = stored.house.connect()
        with capturedLogs() as events:
            assert refusal(peer.asks(b"set a 2\n")) == "Input/output error"
        assert texts(events)[0] == (
            "the journal could not be synced: [Errno 5] Input/output error; writes are refused "
            "until all data is in a new file"
        )
        assert events[0]["log_level"].name == "critical"
        return peer

    def test_tells_the_client_sends_it_away_and_refuses_writes(
        self, stored: Stored, disk: FailingDisk
    ) -> None:
        assert self.fails(stored, disk).closed
        assert state(stored) is State.DISTRUSTED
        assert told(stored)["reason"] == "Input/output error"
        refusal(stored.house.connect().asks(b"set b 2\n"))
        assert result(stored, b"get b") == "1"
        assert b"the last change of this" in stored.house.connect().asks(b"get a\n")

    def test_tells_those_too_who_came_since(self, stored: Stored, disk: FailingDisk) -> None:
        disk.breaks("sync_data", FIRST, errno.EIO)
        disk.breaks("create", "persistence.json", errno.EIO)
        stored.held = []
        first, second, reader, other = (stored.house.connect() for _ in range(4))
        first.asks(b"set a 2\n")
        second.asks(b"set b 2\n")
        reader.asks(b"get b\n")
        with capturedLogs():
            stored.let_all_go()
        for peer in (first, second, reader):
            assert refusal(peer.hears()) == "Input/output error"
            assert peer.closed
        assert not other.closed
        assert b"the last change of this" in other.asks(b"get b\n")

    def test_is_never_tried_again_on_that_file(
        self, stored: Stored, disk: FailingDisk, directory: Path
    ) -> None:
        before = syncs(disk)
        self.fails(stored, disk)
        with capturedLogs():
            stored.house.passes(100)
        disk.is_mended()
        with capturedLogs():
            stored.house.passes(1000)
        assert state(stored) is State.HEALTHY
        assert stored.house.connect().asks(b"set c 3\n") == OK
        with capturedLogs():
            stored.stop()
        kill(stored)
        assert syncs(disk) == before + 1
        assert disk.count("sync", FIRST) == 1  # of its header

    def test_has_all_of_memory_in_a_new_file_before_writes_are_taken_again(
        self, stored: Stored, disk: FailingDisk, directory: Path
    ) -> None:
        disk.breaks("sync_data", FIRST, errno.EIO)
        stored.held = []
        peer = stored.house.connect()
        peer.asks(b"set a 2\n")
        with capturedLogs():
            stored.let_go()
        refusal(peer.hears())
        while stored.held:  # the snapshot, its installation, the segment, what is removed
            assert state(stored) is State.DISTRUSTED
            refusal(stored.house.connect().asks(b"set b 2\n"))
            with capturedLogs() as events:
                stored.let_go()
        assert texts(events)[-1] == "the journal works again; writes are taken"
        stored.held = None
        assert result(stored, b"get a") == "2"
        assert stored.house.connect().asks(b"set b 3\n") == OK
        records = json.loads(stored.snapshot.read_text())
        assert {record["key"]: record["value"] for record in records[1:-1]} == {"a": "2", "b": "1"}
        assert [path.name for path in directory.glob("journal.*")] == [SECOND]
        kill(stored)
        assert contents(directory) == {b"a": b"2", b"b": b"3"}

    def test_under_everysec_is_found_a_second_later_and_closes_nobody(
        self, start: Start, disk: FailingDisk, directory: Path
    ) -> None:
        stored = start("everysec")
        peer = stored.house.connect()
        disk.breaks("sync_data", FIRST, errno.EIO)
        assert peer.asks(b"set a 1\n") == OK
        stored.held = []
        stored.house.passes(1)
        with capturedLogs():
            stored.let_go()
            assert state(stored) is State.DISTRUSTED
            refusal(peer.asks(b"set a 2\n"))
            assert peer.asks(b"get a\n") == value("1")
            stored.let_all_go()
        assert peer.asks(b"set a 2\n") == OK
        kill(stored)
        assert contents(directory) == {b"a": b"2"}

    def test_under_everysec_hides_what_nobody_was_told_of(
        self, start: Start, disk: FailingDisk
    ) -> None:
        stored = start("everysec")
        stored.held = []
        peer = stored.house.connect()
        peer.asks(b"set a 1\n")
        stored.house.passes(1)
        stored.house.passes(Committer.LATEST)
        assert peer.asks(b"set a 2\n") == b""  # the disk is late
        disk.breaks("sync_data", FIRST, errno.EIO)
        disk.breaks("create", "persistence.json", errno.EIO)
        with capturedLogs():
            stored.let_all_go()
        refusal(peer.hears())
        assert b"the last change of this" in stored.house.connect().asks(b"get a\n")

    @pytest.mark.parametrize(
        ("operation", "file"),
        [
            ("create", "persistence.json"),
            ("write", "persistence.json"),
            ("sync", "persistence.json"),
            ("replace", "persistence.json"),
            ("sync_directory", "data"),
            ("create", SECOND),
            ("write", SECOND),
            ("sync", SECOND),
            ("remove", FIRST),
        ],
    )
    def test_on_a_disk_that_goes_on_failing_is_retried_later_and_later(
        self, stored: Stored, disk: FailingDisk, directory: Path, operation: str, file: str
    ) -> None:
        disk.breaks("sync_data", FIRST, errno.EIO)
        disk.breaks(operation, file, errno.EIO)
        with capturedLogs() as events:
            refusal(stored.house.connect().asks(b"set a 2\n"))
            begun = stored.house.clock.seconds()
            if operation == "remove":  # in whose way nothing is
                assert state(stored) is State.HEALTHY
            else:
                attempts: list[float] = []
                while len(attempts) < 3:
                    failed = result(stored, b"stats")["snapshots_failed"]
                    if failed > len(attempts):
                        attempts.append(stored.house.clock.seconds() - begun)
                    stored.house.passes(1)
                assert attempts == [0, 10, 30]
                assert state(stored) is State.DISTRUSTED
                assert told(stored)["last_save_error"] == "[Errno 5] Input/output error"
                disk.is_mended()
                stored.house.passes(600)
        assert state(stored) is State.HEALTHY, texts(events)
        assert stored.house.connect().asks(b"set c 3\n") == OK
        kill(stored)
        assert contents(directory) == {b"a": b"2", b"b": b"1", b"c": b"3"}

    @pytest.mark.parametrize("steps", range(8))
    def test_and_a_kill_at_any_moment_thereafter_lose_nothing_that_was_acknowledged(
        self, stored: Stored, disk: FailingDisk, directory: Path, steps: int
    ) -> None:
        disk.breaks("sync_data", FIRST, errno.EIO)
        stored.held = []
        peer = stored.house.connect()
        peer.asks(b"set a 2\n")
        with capturedLogs():
            for _ in range(steps):
                if stored.held:
                    stored.let_go()
        kill(stored)
        with capturedLogs():
            found = contents(directory)
        assert found.pop(b"a") in (b"1", b"2")
        assert found == {b"b": b"1"}

    def test_at_the_stop_is_said_in_the_log(
        self, stored: Stored, disk: FailingDisk, directory: Path
    ) -> None:
        self.fails(stored, disk)
        with capturedLogs() as events:
            stored.stop()
        assert "stopped with changes that are NOT on disk" in str(texts(events)[-1])
        assert events[-1]["log_level"].name == "critical"
        kill(stored)
        with capturedLogs():
            assert contents(directory)[b"b"] == b"1"

    def test_a_stop_while_all_is_written_leaves_the_directory_to_nobody_else_before_its_end(
        self, stored: Stored, disk: FailingDisk, directory: Path
    ) -> None:
        disk.breaks("sync_data", FIRST, errno.EIO)
        stored.held = []
        with capturedLogs():
            stored.house.connect().asks(b"set a 2\n")
            stored.let_go()
            assert len(stored.held) == 1  # the new snapshot is about to be synced
            stopped = stored.storage.stopService()
            stored.house.settle()
            while not stopped.called:
                stored.let_go()
            calls = len(disk.calls)
            stored.let_all_go()
            stored.house.passes(1000)
        assert disk.calls[calls:] == []
        kill(stored)
        with capturedLogs():
            assert contents(directory)[b"b"] == b"1"

    def test_a_stop_while_that_fails_is_its_end(self, stored: Stored, disk: FailingDisk) -> None:
        disk.breaks("sync_data", FIRST, errno.EIO)
        stored.held = []
        with capturedLogs() as events:
            stored.house.connect().asks(b"set a 2\n")
            stored.let_go()
            disk.breaks("sync", "persistence.json", errno.EIO)
            stored.stop()
            assert stored.house.clock.getDelayedCalls() == []
            calls = len(disk.calls)
            stored.house.passes(10_000)
        assert disk.calls[calls:] == []
        assert "stopped with changes that are NOT on disk" in str(texts(events)[-1])

    def test_what_is_evicted_while_all_is_written_does_not_come_back(
        self, stored: Stored, disk: FailingDisk, directory: Path
    ) -> None:
        stored.house.connect().asks(b"".join(b"set k%d v\n" % n for n in range(3 * SLICE_KEYS)))
        disk.breaks("sync_data", FIRST, errno.EIO)
        stored.held = []
        with capturedLogs():
            stored.house.connect().asks(b"set a 2\n")
            stored.let_go()  # and the snapshot is written
            peer = stored.house.connect()
            assert peer.asks(b"config set maxmemory-policy allkeys-lru maxmemory 1\n") == OK
            assert peer.asks(b"exists k7\n") == b'{"result": 0}\n'
            stored.let_all_go()
        assert state(stored) is State.HEALTHY
        kill(stored)
        assert contents(directory) == {}

    def test_what_expires_before_all_is_written_is_no_hindrance_to_the_next_start(
        self, stored: Stored, disk: FailingDisk, directory: Path
    ) -> None:
        stored.house.connect().asks(b"set_with_ttl t v 5\n")
        with capturedLogs():
            self.fails(stored, disk)
            stored.house.passes(6)
            assert result(stored, b"exists t") == 0  # which is when it goes
            disk.is_mended()
            stored.house.passes(Snapshots.LAST_RETRY)
        assert state(stored) is State.HEALTHY
        kill(stored)
        assert contents(directory) == {b"a": b"2", b"b": b"1"}

    def test_what_expires_while_all_is_written_does_not_come_back(
        self, stored: Stored, disk: FailingDisk, directory: Path
    ) -> None:
        stored.house.connect().asks(
            b"".join(b"set k%d v\n" % n for n in range(3 * SLICE_KEYS)) + b"set_with_ttl t v 5\n"
        )
        disk.breaks("sync_data", FIRST, errno.EIO)
        stored.held = []
        with capturedLogs():
            stored.house.connect().asks(b"set a 2\n")
            stored.house.passes(4)
            stored.let_go()  # and the snapshot is written
            stored.house.passes(2)
            assert result(stored, b"exists t") == 0
            stored.let_all_go()
        assert state(stored) is State.HEALTHY
        kill(stored)
        again = Stored(directory)
        again.house.wall_step = 6
        assert result(again.start(), b"exists t k7") == 1
        again.stop()


class TestRotation:
    def test_waits_for_the_sync_and_takes_what_comes_meanwhile_into_the_new_segment(
        self, start: Start, directory: Path
    ) -> None:
        stored = start("everysec")
        saver, peer = stored.house.connect(), stored.house.connect()
        peer.asks(b"set a 1\n")
        stored.held = []
        saver.asks(b"save\n")
        stored.let_go()  # the file is made
        assert peer.asks(b"set a 2\n") == OK  # most of it is being synced
        stored.let_go()
        assert len(stored.held) == 1  # now it is sealed
        assert peer.asks(b"set a 3\n") == b""
        assert (directory / SECOND).stat().st_size == 0
        first = (directory / FIRST).read_bytes()
        stored.let_go()
        assert peer.hears() == OK
        assert (directory / FIRST).read_bytes() == first
        assert b"$1\r\n3" in (directory / SECOND).read_bytes()
        stored.let_all_go()
        assert saver.hears() == OK
        kill(stored)
        assert contents(directory) == {b"a": b"3"}

    def test_takes_what_comes_in_its_own_turn_into_the_old_segment(
        self, start: Start, disk: FailingDisk, directory: Path, policy: str
    ) -> None:
        stored = start(policy)
        saver, peer = stored.house.connect(), stored.house.connect()
        stored.held = []
        saver.asks(b"save\n")
        stored.let_go()
        peer.sends(b"set a 1\n")
        stored.let_go()  # now it is sealed
        assert peer.hears() == b""
        assert b"$1\r\n1" in (directory / FIRST).read_bytes()
        written = len(disk.calls)
        stored.let_go()
        assert peer.hears() == OK
        # All of it is on disk before the next one's header says so.
        assert disk.calls[written : written + 2] == [("sync_data", FIRST), ("write", SECOND)]

    @pytest.mark.parametrize("steps", range(16))
    def test_killed_at_any_moment_loses_nothing_that_was_acknowledged(
        self, start: Start, directory: Path, policy: str, steps: int
    ) -> None:
        stored = start(policy)
        peer, saver = stored.house.connect(), stored.house.connect()
        stored.held = []
        heard, sent = 0, 0

        def goes_on() -> None:
            nonlocal heard, sent
            sent += 1
            peer.sends(b"set n %d\n" % sent)
            heard += peer.hears().count(OK)

        goes_on()
        saver.asks(b"save\n")
        for _ in range(steps):
            goes_on()
            if stored.held:
                stored.let_go()
        kill(stored)
        with capturedLogs():
            found = int(contents(directory).get(b"n", b"0"))
        assert heard <= found <= sent

    @pytest.mark.parametrize(
        ("operation", "file", "then"),
        [
            ("create", SECOND, State.HEALTHY),
            ("sync_directory", "data", State.HEALTHY),
            ("sync_data", FIRST, State.DISTRUSTED),
            ("write", SECOND, State.HEALTHY),
            ("sync", SECOND, State.DISTRUSTED),
        ],
    )
    def test_that_fails_is_told_and_the_daemon_goes_on(
        self,
        start: Start,
        disk: FailingDisk,
        directory: Path,
        policy: str,
        operation: str,
        file: str,
        then: State,
    ) -> None:
        stored = start(policy)
        peer, saver = stored.house.connect(), stored.house.connect()
        assert peer.asks(b"set a 1\n") == OK
        disk.breaks(operation, file, errno.EIO)
        if then is State.DISTRUSTED:
            disk.breaks("create", "persistence.json", errno.EIO)
        with capturedLogs():
            said = saver.asks(b"save\n")
        assert b"the snapshot could not be written" in said or refusal(said)
        assert state(stored) is then
        if then is State.HEALTHY:
            assert peer.asks(b"set b 2\n") == OK
        kill_now = dict(contents_of_copy(directory))
        assert kill_now[b"a"] == b"1"
        disk.is_mended()
        with capturedLogs():
            stored.house.passes(100)
        assert state(stored) is State.HEALTHY
        peer = stored.house.connect()
        assert peer.asks(b"set c 3\nsave\n") == OK * 2
        kill(stored)
        assert contents(directory)[b"c"] == b"3"

    def test_with_a_frame_that_cannot_be_written_is_given_up_and_tidied_up(
        self, start: Start, disk: FailingDisk, directory: Path
    ) -> None:
        stored = start("no")
        peer, saver = stored.house.connect(), stored.house.connect()
        stored.held = []
        saver.asks(b"save\n")
        stored.let_go()
        assert (directory / SECOND).exists()
        disk.breaks("write", FIRST)
        with capturedLogs():
            refusal(peer.asks(b"set a 1\n"))
            stored.let_all_go()
        assert refusal(saver.hears()) == "No space left on device"
        assert not (directory / SECOND).exists()
        disk.is_mended()
        with capturedLogs():
            stored.house.passes(Committer.RETRY)
        assert stored.house.connect().asks(b"save\n") == OK
        kill(stored)
        assert contents(directory) == {b"a": b"1"}


def contents_of_copy(directory: Path) -> dict[bytes, Any]:
    """What a daemon would find there now, though another one still runs."""
    copy = directory.with_name("copy")
    copy.mkdir()
    for path in directory.iterdir():
        if path.name != "memdbd.lock":
            (copy / path.name).write_bytes(path.read_bytes())
    with capturedLogs():
        return contents(copy)


class TestAClientThatDoesNotWait:
    """It sends requests without end, while a sync takes long."""

    def test_is_not_read_when_a_piece_of_replies_waits_for_the_disk(self, start: Start) -> None:
        stored = start("always")
        writer, greedy = stored.house.connect(), stored.house.connect()
        writer.asks(b"set a %b\n" % (b"x" * 1000))
        stored.held = []
        writer.asks(b"set b 1\n")
        greedy.sends(*[b"get a\n" * 100] * 100)  # ten megabytes of replies
        assert greedy.hears() == b""
        assert greedy.protocol.unsent < PIECE + 300_000
        assert greedy.wire.producerState == "paused"
        stored.let_all_go()
        assert greedy.hears().count(b"\n") == 100 * 100

    def test_and_whose_writes_are_long_is_not_read_either(self, start: Start) -> None:
        stored = start("always")
        greedy = stored.house.connect()
        stored.held = []
        greedy.asks(b"set a 1\n")
        value = b"x" * 60_000
        greedy.sends(*[b"set k %b\n" % value] * 1000)  # sixty megabytes, and few replies
        assert greedy.hears() == b""
        effects = stored.house.engine.changes.effects
        waiting = sum(len(word) for effect in effects for word in effect if type(word) is bytes)
        assert waiting < 16 * 1024 * 1024
        stored.let_all_go()
        assert greedy.hears() == OK * 1001

    def test_and_who_wants_no_replies_is_read_again_afterwards(self, start: Start) -> None:
        stored = start("always")
        greedy = stored.house.connect()
        greedy.asks(b"*3\r\n$6\r\nclient\r\n$5\r\nreply\r\n$3\r\noff\r\n")
        stored.held = []
        value = b"x" * 60_000
        request = b"*3\r\n$3\r\nset\r\n$1\r\nk\r\n$60000\r\n%b\r\n" % value
        greedy.sends(*[request] * 100, b"*2\r\n$4\r\nincr\r\n$1\r\nn\r\n")
        assert greedy.hears() == b""
        assert greedy.wire.producerState == "paused"
        stored.let_all_go()
        stored.house.settle()
        assert result(stored, b"get n") == "1"


class TestWhatIsNoFaultOfTheDisk:
    @pytest.mark.parametrize("error", [MemoryError(), ValueError("what"), RuntimeError()])
    def test_in_a_sync_is_a_sync_that_failed(
        self, start: Start, disk: FailingDisk, error: Exception
    ) -> None:
        stored = start("always")

        def sync_data(file: int) -> None:
            disk.sync_data = kept  # type: ignore[method-assign]
            raise error

        kept, disk.sync_data = disk.sync_data, sync_data  # type: ignore[method-assign]
        with capturedLogs() as events:
            refusal(stored.house.connect().asks(b"set a 2\n"))
            stored.house.passes(1)
        assert events[0]["log_failure"].value is error
        assert state(stored) is State.HEALTHY
        assert result(stored, b"get a") == "2"

    def test_as_a_thread_that_cannot_be_had_is_one_too(self, start: Start) -> None:
        stored = start("always")
        committer = stored.storage._committer
        kept = committer._in_thread

        def in_thread(work: object, /) -> NoReturn:
            committer._in_thread = kept
            raise RuntimeError("can't start new thread")

        committer._in_thread = in_thread
        with capturedLogs():
            assert refusal(stored.house.connect().asks(b"set a 2\n")) == "can't start new thread"
            stored.house.passes(1)
        assert state(stored) is State.HEALTHY
        assert stored.house.connect().asks(b"set b 2\n") == OK

    def test_in_an_attempt_to_write_again_is_one_too(self, start: Start, disk: FailingDisk) -> None:
        stored = start("always")
        disk.breaks("write", FIRST)
        journal = stored.storage._committer.journal
        assert journal is not None
        with capturedLogs():
            refusal(stored.house.connect().asks(b"set a 2\n"))
            disk.is_mended()
            journal.append = lambda *payload: 1 // 0  # type: ignore[method-assign]
            stored.house.passes(Committer.RETRY)
            stored.house.passes(1)
        assert state(stored) is State.HEALTHY
        assert result(stored, b"get a") == "2"


def test_a_frame_is_known_to_be_synced_though_no_other_follows(
    start: Start, directory: Path
) -> None:
    # So that damage in it is not taken for what a crash leaves.
    stored = start("everysec")
    assert stored.house.connect().asks(b"set a 1\n") == OK
    for _ in range(3):
        stored.house.passes(1)
    kill(stored)
    segment = directory / FIRST
    data = bytearray(segment.read_bytes())
    data[data.index(b"SET")] ^= 1
    segment.write_bytes(data)
    with pytest.raises(StorageError, match="was synced"):
        Stored(directory).start()


@pytest.mark.parametrize("policy", ["always", "everysec"])
def test_and_that_is_said_once(start: Start, policy: str) -> None:
    stored = start(policy)
    assert stored.house.connect().asks(b"set a 1\n") == OK
    for _ in range(3):
        stored.house.passes(1)
    size, syncs = told(stored)["journal_bytes"], stored.storage.stats()["journal_syncs"]
    for _ in range(10):
        stored.house.passes(1)
    assert told(stored)["journal_bytes"] == size
    assert stored.storage.stats()["journal_syncs"] == syncs


def test_saves_that_are_refused_do_not_put_off_what_would_help(
    start: Start, disk: FailingDisk
) -> None:
    stored = start("always")
    disk.breaks("sync_data", FIRST, errno.EIO)
    disk.breaks("create", "persistence.json", errno.EIO)
    with capturedLogs():
        refusal(stored.house.connect().asks(b"set a 2\n"))
        for _ in range(6):
            refusal(stored.house.connect().asks(b"save\n"))
        disk.is_mended()
        stored.house.passes(Snapshots.FIRST_RETRY)
    assert state(stored) is State.HEALTHY


def test_a_stop_that_cannot_mark_the_end_has_lost_nothing_and_does_not_say_so(
    start: Start, disk: FailingDisk, directory: Path
) -> None:
    stored = start("always")
    stored.house.connect().asks(b"set a 1\n")
    disk.room = 0
    with capturedLogs() as events:
        stored.stop()
    assert texts(events) == [
        "the end of the journal could not be marked: [Errno 28] No space left on device"
    ]
    assert contents(directory) == {b"a": b"1"}


def test_clients_that_come_and_go_while_a_sync_hangs_do_not_pile_up_what_they_did(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Turn, "CHOKED", 1_000_000)
    stored = start("always")
    stored.held = []
    waiting = stored.house.connect()
    waiting.asks(b"set a 1\n")
    for _ in range(100):
        peer = stored.house.connect()
        peer.asks(b"set k %b\n" % (b"x" * 60_000))
        peer.vanishes()
    effects = stored.house.engine.changes.effects
    assert (
        sum(len(word) for effect in effects for word in effect if type(word) is bytes) < 1_100_000
    )
    late = stored.house.connect()
    assert late.asks(b"set b 2\n") == b""
    stored.let_all_go()
    assert (waiting.hears(), late.hears()) == (OK, OK)


def test_a_disk_that_hangs_is_told_in_the_log(start: Start) -> None:
    stored = start("always")
    stored.held = []
    stored.house.connect().asks(b"set a 1\n")
    with capturedLogs() as events:
        for _ in range(5):
            stored.house.passes(1)
        stored.let_all_go()
    assert texts(events) == [
        "the disk has not synced the journal for 2 s; clients wait for it",
        "the disk took 5 s for it",
    ]
