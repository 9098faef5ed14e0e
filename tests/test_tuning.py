"""What follows when a parameter is set while the daemon runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import House, Stored
from twisted.logger import capturedLogs, formatEvent

from memdbd.errors import CommandError
from memdbd.eviction import Bounds
from memdbd.tuning import FILES, limit_clients, tell_limits


@pytest.fixture
def house() -> House:
    return House()


def tune(house: House, name: str, value: str) -> None:
    house.server.parameters.set([(name, value)])


def refusal(house: House, name: str, value: str) -> str:
    with pytest.raises(CommandError) as refused:
        tune(house, name, value)
    return str(refused.value).partition(" - ")[2]


def test_the_settings_are_the_first_values() -> None:
    house = House(
        max_memory=1000,
        eviction="allkeys-lru",
        storage_file="x.json",
        snapshot_interval=7.0,
        subscriber_buffer=5,
        enable_debug_command=True,
    )
    parameters = house.server.parameters
    assert parameters["maxmemory"] == "1000"
    assert parameters["maxmemory-policy"] == "allkeys-lru"
    assert parameters["dbfilename"] == "x.json"
    assert parameters["save"] == "7 1"
    assert parameters["client-output-buffer-limit"].endswith("pubsub 5 8388608 60")
    assert parameters["enable-debug-command"] == "local"
    assert House(snapshot_interval=0.0).server.parameters["save"] == ""


class TestBounds:
    def test_of_memory_hold_at_once(self, house: House) -> None:
        tune(house, "maxmemory", "1mb")
        assert house.engine.bounds == Bounds(max_memory=1 << 20)
        tune(house, "maxmemory", "0")
        assert not house.engine.bounds

    def test_leave_that_of_keys_as_it_was(self) -> None:
        house = House(max_keys=7)
        tune(house, "maxmemory", "1000")
        tune(house, "maxmemory-policy", "volatile-ttl")
        assert house.engine.bounds == Bounds(7, 1000, "volatile-ttl")

    def test_are_kept_by_the_policies_that_there_are(self, house: House) -> None:
        assert refusal(house, "maxmemory-policy", "allkeys-lfu") == (
            "memdbd evicts by noeviction, allkeys-lru, volatile-lru, volatile-ttl"
        )
        assert house.server.parameters["maxmemory-policy"] == "noeviction"


class TestTheSlowLog:
    def test_hears_of_what_takes_as_long_as_is_said(self, house: House) -> None:
        peer = house.connect()
        peer.asks(b"get k\n")
        assert len(house.server.slowlog) == 0
        tune(house, "slowlog-log-slower-than", "0")
        peer.asks(b"get k\n")
        assert [each.argv for each in house.server.slowlog.last()] == [[b"get", b"k"]]
        tune(house, "slowlog-log-slower-than", "-1")
        peer.asks(b"get k\n")
        assert len(house.server.slowlog) == 1

    def test_has_the_length_that_is_said(self, house: House) -> None:
        tune(house, "slowlog-log-slower-than", "0")
        tune(house, "slowlog-max-len", "2")
        house.connect().asks(b"get k\n" * 5)
        assert len(house.server.slowlog) == 2

    def test_says_who_it_was(self, house: House) -> None:
        tune(house, "slowlog-log-slower-than", "0")
        house.connect().asks(b"client setname me\n", b"get k\n")
        entry = house.server.slowlog.last(1)[0]
        assert (entry.peer, entry.name) == ("127.0.0.1:50000", b"me")


def test_latency_is_watched_from_the_threshold_on(house: House) -> None:
    tune(house, "latency-monitor-threshold", "5")
    assert house.dispatcher.observed_from == 0.005
    tune(house, "latency-monitor-threshold", "0")
    assert house.dispatcher.observed_from == 0.01  # the slow log's


class TestLimits:
    def test_are_told_as_they_are(self) -> None:
        parameters = House(
            max_clients=100,
            max_value=2 << 20,
            max_request=5 << 20,
            output_limit=7,
            subscriber_buffer=8,
            subscriber_soft=9,
            subscriber_seconds=10,
            idle_timeout=11.5,
            tcp_keepalive=12,
        ).server.parameters
        names = [
            b"maxclients", b"proto-max-bulk-len", b"client-query-buffer-limit", b"tcp-keepalive",
            b"timeout", b"client-output-buffer-limit",
        ]  # fmt: skip
        assert list(parameters.matching(names).values()) == [
            "100", "2097152", "5242880", "12", "11",
            "normal 7 0 0 slave 268435456 67108864 60 pubsub 8 9 10",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("name", "value", "limit", "is_then"),
        [
            ("maxclients", "7", "max_clients", 7),
            ("proto-max-bulk-len", "1mb", "max_value", 1 << 20),
            ("client-query-buffer-limit", "2mb", "max_request", 2 << 20),
            ("tcp-keepalive", "7", "tcp_keepalive", 7),
            ("timeout", "7", "idle_timeout", 7),
            ("client-output-buffer-limit", "normal 5 0 0", "output_limit", 5),
            ("client-output-buffer-limit", "pubsub 1mb 0 0", "subscriber_buffer", 1 << 20),
            ("client-output-buffer-limit", "pubsub 0 7 0", "subscriber_soft", 7),
            ("client-output-buffer-limit", "pubsub 0 0 7", "subscriber_seconds", 7),
        ],
    )
    def test_follow(self, house: House, name: str, value: str, limit: str, is_then: float) -> None:
        tune(house, name, value)
        assert getattr(house.factory.limits, limit) == is_then

    def test_of_one_kind_of_client_leave_the_other_as_it_is(self, house: House) -> None:
        tune(house, "client-output-buffer-limit", "pubsub 1 2 3")
        tune(house, "client-output-buffer-limit", "normal 5 0 0")
        limits = house.factory.limits
        assert (limits.output_limit, limits.subscriber_buffer, limits.subscriber_soft) == (5, 1, 2)
        assert house.server.parameters["client-output-buffer-limit"] == (
            "normal 5 0 0 slave 268435456 67108864 60 pubsub 1 2 3"
        )

    def test_that_there_are_not_cannot_be_set(self, house: House) -> None:
        assert "for subscribers only" in refusal(
            house, "client-output-buffer-limit", "normal 5 4 60"
        )
        assert house.factory.limits.output_limit == 64 << 20

    def test_are_told_when_they_have_changed_otherwise(self, house: House) -> None:
        house.factory.limits.max_clients = 5
        tell_limits(house.server.parameters, house.factory)
        assert house.server.parameters["maxclients"] == "5"

    def test_of_clients_are_within_that_of_files(self, house: House) -> None:
        with capturedLogs() as events:
            limit_clients(house.server.parameters, house.factory, 50 + FILES)
        assert [formatEvent(event) for event in events] == [
            "max_clients is 10000, but 114 files may be open at most: there will be no more than "
            "50 clients (see ulimit -Hn, or LimitNOFILE= of systemd)"
        ]
        assert house.server.parameters["maxclients"] == "50"
        assert refusal(house, "maxclients", "51") == (
            "The operating system is not able to handle the specified number of clients, try with "
            "50"
        )
        tune(house, "maxclients", "49")
        assert house.factory.admission.most == 49

    def test_of_files_that_are_enough_are_not_worth_a_word(self, house: House) -> None:
        with capturedLogs() as events:
            limit_clients(house.server.parameters, house.factory, 10_000 + FILES)
        assert events == []
        assert house.factory.admission.most == 10_000


def test_keyspace_events_are_published_as_is_said(house: House) -> None:
    tune(house, "notify-keyspace-events", "gE$Klshzxet")
    assert house.server.parameters["notify-keyspace-events"] == "g$lshzxetKE"
    subscriber, peer = house.connect(), house.connect()
    subscriber.asks(b"subscribe __keyevent@0__:set\n")
    peer.asks(b"set k v\n")
    assert b'"message": "k"' in subscriber.hears()
    assert refusal(house, "notify-keyspace-events", "Kq").startswith("Invalid event class")


def test_a_password_is_that_of_the_user_default_and_shown_to_nobody(house: House) -> None:
    tune(house, "requirepass", "secret")
    assert house.server.parameters["requirepass"] == "(redacted)"
    assert house.server.gate.users.default.hashes[0].startswith("$scrypt$")
    peer = house.connect()
    assert peer.asks(b"get k\n") == (
        b'{"error": "NOAUTH Authentication required; log in first: auth <user> <password>"}\n'
    )


def test_without_a_password_whoever_connects_is_the_user_default(house: House) -> None:
    tune(house, "requirepass", "secret")
    tune(house, "requirepass", "")
    assert house.server.parameters["requirepass"] == ""
    assert house.connect().asks(b"incr k\n") == b'{"result": 1}\n'


@pytest.mark.parametrize("policy", ["always", "no", "everysec"])
def test_the_journal_is_synced_as_is_said(policy: str) -> None:
    house = House()
    tune(house, "appendfsync", policy)
    assert house.parts.storage.info()["durability"] == policy
    assert house.server.parameters["appendfsync"] == policy


def test_the_journal_may_be_as_long_as_is_said(house: House) -> None:
    tune(house, "auto-aof-rewrite-min-size", "1mb")
    assert house.parts.storage.snapshots.after == 1 << 20


def test_snapshots_are_written_as_often_as_is_said(tmp_path: Path) -> None:
    stored = Stored(tmp_path / "data", interval=100).start()
    house, peer = stored.house, stored.house.connect()
    tune(house, "save", "3600 1 7 100")
    peer.asks(b"set k v\n")
    house.passes(7)
    assert stored.storage.stats()["snapshots_written"] == 1
    tune(house, "save", "")
    peer.asks(b"set k w\n")
    house.passes(10_000)
    assert stored.storage.stats()["snapshots_written"] == 1
    stored.stop()
