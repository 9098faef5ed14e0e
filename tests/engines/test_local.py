"""The embedded engine: what it tells of a change, and what it runs before a command."""

from __future__ import annotations

import json
from sys import getsizeof
from typing import Any

import pytest
from harness import NOON, House, Peer
from zope.interface.verify import verifyObject

import memdbd.changes
from memdbd.engines.interface import IEngine
from memdbd.eviction import KEY_OVERHEAD, USE_OVERHEAD, BoundedKeyspace, Bounds
from memdbd.session import Session

OK = b'{"result": "OK"}\n'


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def peer(house: House) -> Peer:
    return house.connect()


class Updates:
    """A subscriber of ``db_updates``."""

    def __init__(self, house: House) -> None:
        self._peer = house.connect()
        self._peer.asks(b"subscribe db_updates\n")

    def heard(self) -> list[dict[str, Any]]:
        """What it was told since it was last asked."""
        pushed = [json.loads(line) for line in self._peer.hears().splitlines()]
        assert {message["channel"] for message in pushed} <= {"db_updates"}
        return [json.loads(message["message"]) for message in pushed]

    def operations(self) -> list[tuple[str, str | None]]:
        return [(update["operation"], update["key"]) for update in self.heard()]


def test_it_is_an_engine(house: House) -> None:
    assert verifyObject(IEngine, house.engine)


class TestUpdates:
    @pytest.mark.parametrize(
        ("request_", "operations"),
        [
            (b"set k w", [("set", "k")]),
            (b"set new v", [("set", "new")]),
            (b"set_with_ttl k w 60", [("set_with_ttl", "k")]),
            (b"delete k", [("delete", "k")]),
            (b"expire k 60", [("set_ttl", "k")]),
            (b"expire k 0", [("delete", "k")]),
            (b"persist mortal", [("persist", "mortal")]),
            (b"rename k l", [("rename_from", "k"), ("rename_to", "l")]),
            (b"incr n", [("incr", "n")]),
            (b"append k w", [("append", "k")]),
            (b"flushall", [("flushall", None)]),
        ],
    )
    def test_each_change_is_told_once(
        self, house: House, peer: Peer, request_: bytes, operations: list[tuple[str, str]]
    ) -> None:
        peer.asks(b"set k v\nset_with_ttl mortal v 60\n")
        updates, before = Updates(house), house.engine.dirty
        peer.asks(request_ + b"\n")
        assert updates.operations() == operations
        assert house.engine.dirty == before + len(operations)

    @pytest.mark.parametrize(
        "request_", [b"get k", b"delete none", b"persist k", b"incr k", b"rename none k", b"keys"]
    )
    def test_what_changes_nothing_is_not_told(
        self, house: House, peer: Peer, request_: bytes
    ) -> None:
        peer.asks(b"set k v\n")
        updates, before = Updates(house), house.engine.dirty
        peer.asks(request_ + b"\n")
        assert updates.heard() == []
        assert house.engine.dirty == before

    @pytest.mark.parametrize("seen_by", ["sweep", "get"])
    def test_an_expired_key_is_told_once_whoever_notices(
        self, house: House, peer: Peer, seen_by: str
    ) -> None:
        peer.asks(b"set_with_ttl k v 60\n")
        updates = Updates(house)
        house.passes(60)
        for _ in range(2):
            if seen_by == "sweep":
                house.engine.databases[0].sweep(100)
            else:
                peer.asks(b"get k\n")
        assert updates.operations() == [("expire", "k")]

    def test_an_evicted_key_is_told(self) -> None:
        house = House(max_keys=1, eviction="allkeys-lru")
        updates, peer = Updates(house), house.connect()
        peer.asks(b"set a 1\nset b 2\n")
        assert updates.operations() == [("set", "a"), ("evict", "a"), ("set", "b")]

    def test_they_are_told_in_order_with_the_walls_time(self, house: House, peer: Peer) -> None:
        updates = Updates(house)
        house.passes(1.25)
        house.wall_step = 10_000
        peer.asks(b"set a 1\nset b 2\n")
        assert updates.heard() == [
            {"operation": "set", "key": "a", "timestamp": NOON + 10_001.25},
            {"operation": "set", "key": "b", "timestamp": NOON + 10_001.25},
        ]

    def test_a_key_that_is_not_utf8_is_marked_base64(self, house: House, peer: Peer) -> None:
        updates = Updates(house)
        peer.asks(b'set "\\xff\\x00" v\n')
        assert updates.heard() == [
            {"operation": "set", "key": "/wA=", "encoding": "base64", "timestamp": NOON}
        ]

    @pytest.mark.parametrize(
        "key", ['"', "\\", "\n", "\x00", "\x7f", "\u2028", "\N{GRINNING FACE}"]
    )
    def test_any_key_makes_valid_json(self, house: House, peer: Peer, key: str) -> None:
        updates = Updates(house)
        peer.asks(json.dumps(["set", key, "v"]).encode() + b"\n")
        assert [update["key"] for update in updates.heard()] == [key]

    def test_without_a_subscriber_no_message_is_made(
        self, house: House, peer: Peer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(memdbd.changes, "update", None)
        peer.asks(b"subscribe other\nset k v\ndelete k\n")
        assert house.channels.published == 0
        assert house.dispatcher.failures == 0

    def test_when_the_last_subscriber_is_gone_no_more_are_made(
        self, house: House, peer: Peer
    ) -> None:
        subscriber = house.connect()
        subscriber.asks(b"subscribe db_updates\n")
        peer.asks(b"set a 1\n")
        subscriber.vanishes()
        peer.asks(b"set b 2\n")
        assert house.channels.published == 1


class TestBounds:
    def test_without_any_the_keyspace_is_the_plain_one(self, house: House) -> None:
        assert not isinstance(house.engine.databases[0], BoundedKeyspace)
        assert "memory_counted_bytes" not in house.engine.stats()

    def test_a_value_that_is_replaced_does_not_count_twice(self) -> None:
        peer = House(max_memory=100_000).connect()
        large = b"x" * 60_000
        for command in (b"set k %b\n", b"set_with_ttl k %b 60\n", b"set k %b\n"):
            assert b'"OK"' in peer.asks(command % large)
        assert b"OOM" in peer.asks(b"append k %b\n" % large)

    def test_a_delete_at_the_bound_takes_its_own_key_only(self) -> None:
        room = 2 * (KEY_OVERHEAD + USE_OVERHEAD + getsizeof(b"a") + getsizeof(b"1"))
        house = House(max_memory=room, eviction="allkeys-lru")
        peer = house.connect()
        peer.asks(b"set a 1\nset b 1\n")
        assert house.engine.databases[0].keys() == [b"a", b"b"]
        assert peer.asks(b"delete b\n") == OK
        assert house.engine.databases[0].keys() == [b"a"]

    def test_growing_by_the_way_evicts_at_once(self) -> None:
        room = 2 * (KEY_OVERHEAD + USE_OVERHEAD + getsizeof(b"a") + getsizeof(b"1"))
        house = House(max_memory=room, eviction="allkeys-lru")
        peer = house.connect()
        peer.asks(b"set a 1\nset b 1\n")
        assert peer.asks(b"expire b 100\n") == b'{"result": 1}\n'
        assert house.engine.databases[0].keys() == [b"b"]

    def test_what_makes_a_key_larger_by_the_way_evicts_and_is_not_refused(self) -> None:
        room = KEY_OVERHEAD * 3 // 2
        house = House(max_memory=room, eviction="noeviction")
        peer = house.connect()
        long_name = b"n" * room
        assert peer.asks(b"set a 1\nrename a %b\npersist %b\n" % (long_name, long_name)) == (
            OK + OK + b'{"result": 0}\n'
        )

    def test_at_the_bound_a_write_is_refused_and_changes_nothing(self) -> None:
        house = House(max_keys=1)
        peer = house.connect()
        assert peer.asks(b"set a 1\n") == OK
        refused = json.loads(peer.asks(b"set b 2\n"))["error"]
        assert refused.startswith("OOM command not allowed: max_keys (1) is reached")
        assert house.engine.databases[0].values == {b"a": b"1"}
        assert peer.asks(b"set a 2\nget a\ndelete a\nset b 2\n") == (
            OK + b'{"result": "2", "ttl_remaining": null}\n' + OK + OK
        )

    def test_a_request_that_does_not_say_its_keys_is_refused_in_the_commands_own_words(
        self,
    ) -> None:
        peer = House(max_keys=10).connect()
        assert peer.asks(b"zunionstore d 0 k\n") == House().connect().asks(b"zunionstore d 0 k\n")

    def test_stats_tell_of_them(self) -> None:
        house = House(max_keys=1, eviction="allkeys-lru")
        house.connect().asks(b"set a 1\nset b 2\n")
        stats = house.engine.stats()
        assert (stats["keys"], stats["evicted"]) == (1, 1)
        assert stats["memory_counted_bytes"] > 0


class TestBoundsAtRunTime:
    def test_the_first_one_counts_what_is_there_and_evicts_what_is_too_much(
        self, house: House, peer: Peer
    ) -> None:
        peer.asks(b"set a 1\nset b 2\nselect 3\nset c 3\n")
        updates = Updates(house)
        house.engine.bound(Bounds(max_keys=2, policy="allkeys-lru"))
        assert updates.operations() == [("evict", "a")]

    def test_clients_that_are_connected_work_within_it(self, house: House, peer: Peer) -> None:
        peer.asks(b"select 3\nset a 1\n")
        house.engine.bound(Bounds(max_keys=1))
        assert b"OOM" in peer.asks(b"set b 2\n")
        assert b'"1"' in peer.asks(b"get a\n")

    def test_without_one_again_the_keyspaces_are_the_plain_ones(self, peer: Peer) -> None:
        house = House(max_keys=1)
        peer = house.connect()
        peer.asks(b"set a 1\n")
        house.engine.bound(Bounds())
        assert not any(isinstance(each, BoundedKeyspace) for each in house.engine.databases)
        assert peer.asks(b"set b 2\nget a\n").startswith(OK + b'{"result": "1"')

    def test_another_policy_decides_from_then_on(self, peer: Peer) -> None:
        house = House(max_keys=2, eviction="noeviction")
        peer = house.connect()
        peer.asks(b"set_with_ttl a 1 100\nset_with_ttl b 2 50\n")
        assert b"OOM" in peer.asks(b"set c 3\n")
        house.engine.bound(Bounds(max_keys=2, policy="volatile-ttl"))
        assert peer.asks(b"set c 3\n") == OK
        assert house.engine.databases[0].keys() == [b"a", b"c"]

    def test_what_was_evicted_stays_counted(self) -> None:
        house = House(max_keys=1, eviction="allkeys-lru")
        house.connect().asks(b"set a 1\nset b 2\n")
        house.engine.bound(Bounds())
        assert house.engine.stats()["evicted"] == 1

    def test_a_context_that_nobody_uses_any_more_is_not_kept(self, house: House) -> None:
        session = Session(1, house.channels, deliver=print, push=print)
        context = house.engine.context(session)
        assert list(house.engine._contexts) == [context]
        del context
        assert list(house.engine._contexts) == []


class TestFromAndToDisk:
    def test_entries_are_all_that_there_is(self, house: House, peer: Peer) -> None:
        peer.asks(b"set_with_ttl a 1 60\nset b 2\nselect 3\nset c 3\n")
        assert list(house.engine.entries()) == [
            (0, b"a", b"1", int(NOON + 60) * 1000),
            (0, b"b", b"2", None),
            (3, b"c", b"3", None),
        ]

    def test_entries_that_go_meanwhile_are_left_out(self, house: House, peer: Peer) -> None:
        peer.asks(b"set a 1\nset b 2\n")
        entries = house.engine.entries()
        next(entries)
        peer.asks(b"delete b\n")
        assert list(entries) == []

    def test_a_load_is_no_change_and_is_not_told(self, house: House) -> None:
        updates = Updates(house)
        house.engine.load({0: ({b"a": b"1"}, {})})
        assert updates.heard() == []
        assert house.engine.dirty == 0

    def test_a_load_keeps_within_the_bounds_count(self) -> None:
        house = House(max_keys=2, eviction="allkeys-lru")
        house.engine.load({0: ({b"a": b"1", b"b": b"2"}, {})})
        house.connect().asks(b"get a\nset c 3\n")
        assert list(house.engine.databases[0].values) == [b"a", b"c"]

    def test_what_was_loaded_beyond_the_bounds_goes_at_once(self) -> None:
        house = House(max_keys=2, eviction="allkeys-lru")
        house.engine.load({0: ({b"a": b"1", b"b": b"2"}, {}), 1: ({b"c": b"3"}, {})})
        assert [list(house.engine.databases[number].values) for number in (0, 1)] == [
            [b"b"],
            [b"c"],
        ]

    def test_deadlines_are_the_walls_outside_and_the_steady_clocks_inside(
        self, house: House
    ) -> None:
        house.wall_step = 5000
        wall = int(NOON + 5060) * 1000
        house.engine.load({0: ({b"a": b"1"}, {b"a": wall})})
        assert house.engine.databases[0].deadlines == {b"a": int(NOON + 60) * 1000}
        assert list(house.engine.entries()) == [(0, b"a", b"1", wall)]


def test_what_is_read_is_a_hit_or_a_miss_and_what_is_changed_is_neither(house: House) -> None:
    peer = house.connect()
    peer.asks(b"set a 1\nincr a\nlpush l x\nlpop nothing\ndel nothing\n")
    peer.asks(b"get a\nlrange l 0 -1\nmget a nothing\nget nothing\n")
    stats = house.engine.stats()
    assert (stats["key_hits"], stats["key_misses"]) == (3, 2)
    house.engine.bound(Bounds(max_keys=10))
    assert (house.engine.stats()["key_hits"], house.engine.stats()["key_misses"]) == (3, 2)
