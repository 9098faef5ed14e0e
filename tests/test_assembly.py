"""The daemon put together: that each setting reaches its part, and that ``info`` and ``stats`` tell
of all parts. What the parts do with that is for their own tests, which run on the same wiring."""

from __future__ import annotations

import json
import os
import platform
import time
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NoReturn

import pytest
from harness import House, Stored, soon
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent

from memdbd import __version__, core
from memdbd.assembly import Parts, assemble
from memdbd.clock import Clock
from memdbd.compacting import CompactorProcess
from memdbd.config import Config
from memdbd.errors import ConfigError, StorageError
from memdbd.limits import Limits
from memdbd.persistence.fs import FileSystem


def listening(*endpoints: str) -> tuple[Parts, MemoryReactorClock]:
    """The parts on a reactor in memory, their listeners started."""
    reactor = MemoryReactorClock()
    settings = Config(listen=endpoints, allow_open=True)
    parts = assemble(
        reactor,
        Clock(),
        settings,
        FileSystem(),
        partial(soon, reactor),
        reactor.seconds,
        Random(1).random,
    )
    parts.listeners.privilegedStartService()
    parts.listeners.startService()
    return parts, reactor


def result(house: House, request: bytes) -> Any:
    return json.loads(house.connect().asks(request + b"\n"))["result"]


class TestInfo:
    def test_tells_of_the_server_the_disk_and_the_figures_in_this_order(self) -> None:
        house = House()
        house.passes(90.5)
        info = result(house, b"info")
        assert list(info) == ["server", "persistence", "stats"]
        assert info["server"] == {
            "version": __version__,
            "python": platform.python_version(),
            "core": core.NAME,
            "reactor": "TurnClock",
            "pid": os.getpid(),
            "uptime_seconds": 90,
            "listening_on": [],
        }

    def test_tells_where_it_listens(self) -> None:
        parts, _ = listening("tcp:1", "tcp:2")
        assert parts.daemon.info()["server"]["listening_on"] == ["0.0.0.0:1", "0.0.0.0:2"]

    def test_and_stats_have_the_figures_of_all_parts_each_under_a_name_of_its_own(self) -> None:
        house = House()
        parts = house.parts
        told = [
            part.stats()
            for part in (
                parts.factory,
                parts.dispatcher,
                parts.engine,
                parts.dialects,
                parts.storage,
            )
        ]
        stats = result(house, b"stats")
        assert sorted(stats) == sorted(name for figures in told for name in figures)
        assert set(result(house, b"info")["stats"]) == set(stats)


class TestTheSettings:
    def test_that_bound_the_keyspace_reach_it(self) -> None:
        house = House(max_keys=1, eviction="allkeys-lru")
        house.connect().asks(b"set a 1\nset b 2\n")
        assert list(house.engine.databases[0].values) == [b"b"]

    def test_default_ttl_reaches_the_commands(self) -> None:
        house = House(default_ttl=5)
        house.connect().asks(b"set_with_ttl k v\n")
        assert result(house, b"ttl k") == 5

    @pytest.mark.parametrize(("capacity", "entries"), [(0, 0), (2, 2)])
    def test_cache_capacity_reaches_the_encoder(self, capacity: int, entries: int) -> None:
        house = House(cache_capacity=capacity)
        for key in (b"a", b"b", b"c"):
            house.connect().asks(b"set %b %b\n" % (key, b"x" * 10_000) + b"get %b\n" % key * 2)
        assert result(house, b"stats")["read_cache_entries"] == entries

    def test_limits_reach_the_connections(self) -> None:
        assert House(subscriber_buffer=7).factory.limits == Limits(subscriber_buffer=7)

    def test_what_the_log_hears_of_a_limit_may_have_braces(self) -> None:
        with capturedLogs() as events:
            House().factory.alarms.fire("http", "{a} {log_source}")
        assert [formatEvent(event) for event in events] == ["{a} {log_source}"]

    def test_sweep_interval_reaches_the_sweeper_of_the_same_keyspace(self) -> None:
        house = House(sweep_interval=2)
        house.connect().asks(b"set_with_ttl k v 1\n")
        house.parts.sweeper.startService()
        house.passes(1.9)
        assert house.engine.databases[0].values == {b"k": b"v"}
        house.passes(0.1)
        assert house.engine.databases[0].values == {}

    def test_snapshot_interval_reaches_the_storage_and_save_does(self, tmp_path: Path) -> None:
        stored = Stored(tmp_path / "data", interval=7).start()
        peer = stored.house.connect()
        peer.asks(b"set k v\n")
        stored.house.passes(7)
        assert stored.storage.stats()["snapshots_written"] == 1
        assert peer.asks(b"save\n") == b'{"result": "OK"}\n'
        assert stored.storage.stats()["snapshots_written"] == 2
        stored.stop()

    def test_durability_reaches_the_committer_and_redis_s_parameter(self) -> None:
        house = House(durability="always")
        assert house.parts.storage.info()["durability"] == "always"
        assert house.server.parameters["appendfsync"] == "always"

    def test_snapshot_after_reaches_the_snapshots_and_redis_s_parameter(self) -> None:
        house = House(snapshot_after=1 << 20)
        assert house.parts.storage.snapshots.after == 1 << 20
        assert house.server.parameters["auto-aof-rewrite-min-size"] == str(1 << 20)

    def test_storage_file_reaches_the_storage(self, tmp_path: Path) -> None:
        stored = Stored(tmp_path / "data", storage_file="x.json").start()
        assert stored.house.connect().asks(b"save\n") == b'{"result": "OK"}\n'
        assert (tmp_path / "data" / "x.json").exists()
        stored.stop()

    def test_the_compactor_is_run_as_is_said(self, tmp_path: Path) -> None:
        reactor = MemoryReactorClock()
        asked: list[tuple[object, ...]] = []

        class Compactor(CompactorProcess):
            def __call__(self, *arguments: object) -> NoReturn:
                asked.append(arguments)
                raise StorageError("not today")

        directory = str(tmp_path / "data")
        parts = assemble(
            reactor,
            Clock(),
            Config(data_dir=directory),
            FileSystem(),
            partial(soon, reactor),
            reactor.seconds,
            Random(1).random,
            Compactor(),
        )
        parts.storage.startService()
        with capturedLogs():
            parts.storage.save()
            reactor.pump([0] * 10)
        ((where, path, segment, created),) = asked
        assert (where, path, segment) == (directory, f"{directory}/persistence.json", 2)
        assert created == pytest.approx(time.time(), abs=600)
        stopped = parts.storage.stopService()
        reactor.pump([0] * 10)
        assert stopped.called

    def test_listen_reaches_the_listeners_of_the_same_connections(self) -> None:
        parts, reactor = listening("tcp:4:interface=127.0.0.1:backlog=7")
        assert reactor.tcpServers == [(4, parts.factory, 7, "127.0.0.1")]

    def test_the_port_that_is_listened_on_is_known_as_redis_s_parameter(self) -> None:
        parts, _ = listening("tcp:7")
        assert parts.daemon.parameters["port"] == "7"
        assert "tcp_port:7\r\n" in parts.daemon.figures.text(["server"])

    def test_listen_with_what_is_no_endpoint_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="'nonsense' cannot be listened on"):
            listening("nonsense")


def test_the_parts_work_on_each_other() -> None:
    parts = House().parts
    assert parts.engine.channels is parts.channels
    assert parts.factory.channels is parts.channels
    assert parts.factory.engine is parts.engine
    assert parts.factory.dispatcher is parts.dispatcher
    assert parts.factory.dialects is parts.dialects


def test_nothing_is_touched_before_the_parts_are_started(tmp_path: Path) -> None:
    House(data_dir=str(tmp_path / "data"))
    assert not (tmp_path / "data").exists()
