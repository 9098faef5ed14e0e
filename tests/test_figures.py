"""The daemon's figures under Redis's names."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
from harness import NOON, House, Peer, Stored
from twisted.logger import capturedLogs

from memdbd import __version__, core
from memdbd.limits import Limits


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def peer(house: House) -> Peer:
    return house.connect()


def told(house: House, *sections: str) -> dict[str, str]:
    """The fields of INFO, by their names, and the headings."""
    fields: dict[str, str] = {}
    for line in house.server.figures.text(sections).split("\r\n"):
        name, _, value = line.partition(":")
        fields[name] = value
    return fields


def headings(house: House, *sections: str) -> list[str]:
    text = house.server.figures.text(sections)
    return [line[2:] for line in text.split("\r\n") if line.startswith("# ")]


class TestSections:
    def test_are_those_that_redis_shows_unless_asked_for_others(self, house: House) -> None:
        usual = [
            "Server", "Clients", "Memory", "Persistence", "Stats", "Replication", "CPU", "Modules",
            "Errorstats", "Cluster", "Keyspace", "Limits",
        ]  # fmt: skip
        assert headings(house) == headings(house, "default") == usual
        assert headings(house, "default", "commandstats") == [
            *usual[:8], "Commandstats", *usual[8:],
        ]  # fmt: skip

    @pytest.mark.parametrize("name", ["all", "everything"])
    def test_are_all_there_if_all_are_asked_for(self, house: House, name: str) -> None:
        assert {"Commandstats", "Latencystats"} < set(headings(house, name))

    def test_are_those_that_are_asked_for(self, house: House) -> None:
        assert headings(house, "keyspace", "cpu", "nosuch") == ["CPU", "Keyspace"]
        assert house.server.figures.text(["nosuch"]) == ""

    def test_are_apart_by_an_empty_line(self, house: House) -> None:
        assert house.server.figures.text(["modules", "cluster"]) == (
            "# Modules\r\n\r\n# Cluster\r\ncluster_enabled:0\r\n"
        )


class TestFields:
    def test_say_who_the_server_is(self, house: House) -> None:
        house.passes(86_500.5)
        server = told(house, "server")
        assert server["redis_version"] == "7.0.15"
        assert server["memdbd_version"] == __version__
        assert server["memdbd_core"] == core.NAME
        assert server["process_id"] == str(os.getpid())
        assert server["uptime_in_seconds"] == "86500"
        assert server["uptime_in_days"] == "1"
        assert len(server["run_id"]) == 40
        assert told(house, "replication")["master_replid"] == server["run_id"]

    def test_tell_of_the_clients(self, house: House, peer: Peer) -> None:
        house.connect().sends(b"blpop none 0\n")
        house.settle()
        clients = told(house, "clients")
        assert clients["connected_clients"] == "2"
        assert clients["blocked_clients"] == "1"
        assert (clients["maxclients"], clients["clients_unauthenticated"]) == ("10000", "0")

    def test_tell_how_many_strangers_there_are_and_how_many_clients_there_may_be(self) -> None:
        house = House(password="secret", max_clients=7)
        house.connect()
        clients = told(house, "clients")
        assert (clients["maxclients"], clients["clients_unauthenticated"]) == ("7", "1")

    def test_tell_how_often_each_limit_was_met(self, house: House, peer: Peer) -> None:
        limits = told(house, "limits")
        names = [f"limit_{field.name}" for field in dataclasses.fields(Limits)]
        assert {*names, "limit_http", "limit_handshake", "limit_login_queue"} < set(limits)
        assert {limits[name] for name in names} == {"0"}
        with capturedLogs():
            peer.asks(b"keys " + b"x" * 1025 + b"\n")
        assert told(house, "limits")["limit_max_pattern"] == "1"

    def test_tell_how_many_connections_there_was_no_room_for(self) -> None:
        house = House(max_clients=1)
        with capturedLogs():
            house.connect()
            house.connect()
        assert told(house, "stats")["rejected_connections"] == "1"
        house.server.figures.reset()
        assert told(house, "stats")["rejected_connections"] == "0"

    def test_tell_of_memory_as_the_process_has_it_and_of_what_is_counted(
        self, house: House, peer: Peer
    ) -> None:
        memory = told(house, "memory")
        assert int(memory["used_memory"]) > 1 << 20
        assert memory["used_memory"] == memory["used_memory_rss"]
        assert memory["used_memory_human"].endswith("M")
        peer.asks(b"config set maxmemory 1gb\nset k v\n")
        memory = told(house, "memory")
        assert memory["used_memory_dataset"] == str(house.engine.stats()["memory_counted_bytes"])
        assert int(memory["used_memory_peak"]) >= int(memory["used_memory"]) > 1 << 20
        assert (memory["maxmemory"], memory["maxmemory_human"]) == ("1073741824", "1.00G")

    def test_tell_of_the_snapshot(self, house: House, peer: Peer) -> None:
        peer.asks(b"set k v\n")
        persistence = told(house, "persistence")
        assert persistence["rdb_changes_since_last_save"] == "1"
        assert persistence["rdb_last_save_time"] == str(int(NOON))
        assert persistence["rdb_last_bgsave_status"] == "ok"

    def test_tell_of_the_journal(self, tmp_path: Path) -> None:
        stored = Stored(tmp_path / "data", durability="always").start()
        peer = stored.house.connect()
        peer.asks(b"set k v\nsave\n", b"set k w\n")
        stored.house.passes(2.5)
        persistence = told(stored.house, "persistence")
        journal = tmp_path / "data" / "journal.00000002"
        snapshot = tmp_path / "data" / "persistence.json"
        assert {name: persistence[name] for name in persistence if "aof" in name} == {
            "aof_enabled": "1",
            "aof_rewrite_in_progress": "0",
            "aof_last_bgrewrite_status": "ok",
            "aof_last_write_status": "ok",
            "aof_current_size": str(journal.stat().st_size),
            "aof_base_size": str(snapshot.stat().st_size),
            "aof_pending_bio_fsync": "0",
        }
        assert persistence["durability"] == "always"
        assert persistence["state"] == "healthy"
        assert persistence["journal"] == str(journal)
        assert persistence["seconds_since_sync"] == "2.5"
        assert persistence["snapshot"] == str(snapshot)
        stored.stop()

    def test_count_requests_and_bytes(self, house: House, peer: Peer) -> None:
        peer.asks(b"get k\n", b"nosuch\n")
        stats = told(house, "stats")
        assert stats["total_connections_received"] == "1"
        assert stats["total_commands_processed"] == "1"
        assert stats["total_net_input_bytes"] == "13"
        assert stats["total_net_output_bytes"] == str(len(peer.wire.taken))
        assert stats["total_error_replies"] == "1"
        assert told(house, "errorstats")["errorstat_ERR"] == "count=1"

    def test_count_keys_that_were_evicted_or_have_expired(self, house: House, peer: Peer) -> None:
        peer.asks(b"set_with_ttl k v 1\n")
        house.passes(1)
        peer.asks(b"get k\nset a 1\nconfig set maxmemory-policy allkeys-lru maxmemory 1\n")
        stats = told(house, "stats")
        assert (stats["expired_keys"], stats["evicted_keys"]) == ("1", "1")

    def test_tell_how_many_commands_there_were_a_second(self, house: House, peer: Peer) -> None:
        told(house, "stats")
        peer.asks(b"get k\n" * 50)
        house.passes(5)
        assert told(house, "stats")["instantaneous_ops_per_sec"] == "10"

    def test_tell_of_each_command_that_was_called(self, house: House, peer: Peer) -> None:
        peer.asks(b"get k\nget k\nconfig get hz\n")
        stats = told(house, "commandstats")
        told_of_get = "calls=2,usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=0"
        assert stats["cmdstat_get"] == told_of_get
        assert set(stats) == {"# Commandstats", "cmdstat_get", "cmdstat_config|get", ""}

    def test_tell_of_each_database_that_has_keys(self, house: House, peer: Peer) -> None:
        peer.asks(b"set a 1\nset_with_ttl b 2 60\nselect 3\nset c 3\n")
        keyspace = told(house, "keyspace")
        assert keyspace["db0"] == "keys=2,expires=1,avg_ttl=0"
        assert keyspace["db3"] == "keys=1,expires=0,avg_ttl=0"
        assert "db1" not in keyspace


class TestReset:
    def test_counts_from_zero_again(self, house: House, peer: Peer) -> None:
        peer.asks(b"get k\n", b"get\n", b"nosuch\n")
        house.server.figures.reset()
        stats = told(house, "stats", "commandstats", "errorstats")
        assert stats["total_commands_processed"] == stats["total_error_replies"] == "0"
        assert "cmdstat_get" not in stats
        assert "errorstat_ERR" not in stats
        peer.asks(b"get k\n", b"nosuch\n")
        stats = told(house, "stats", "commandstats", "errorstats")
        assert stats["total_commands_processed"] == "1"
        assert stats["cmdstat_get"].startswith("calls=1,")
        assert stats["cmdstat_get"].endswith(",rejected_calls=0,failed_calls=0")
        assert stats["errorstat_ERR"] == "count=1"

    def test_leaves_what_others_watch(self, house: House, peer: Peer) -> None:
        peer.asks(b"get k\n")
        house.server.figures.reset()
        assert house.dispatcher.stats()["commands"] == 1


def test_memory_stats_tell_of_what_means_something_here(house: House, peer: Peer) -> None:
    peer.asks(b"set a 1\nset b 2\n")
    stats = house.server.figures.memory_stats()
    assert stats["keys.count"] == 2
    assert stats["total.allocated"] // 2 == stats["keys.bytes-per-key"]
