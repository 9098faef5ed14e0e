"""The order of measuring, and what becomes of what fails; what a server is filled with."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import hiredis
import pytest

from benchmarks import cells, filling
from benchmarks.figures import Section
from benchmarks.filling import Stock
from benchmarks.lab import Lab
from benchmarks.peers import Peer
from benchmarks.servers import Server, cpu_of


class Started:
    """Servers that are none: who started, and who was stopped."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.count = itertools.count()
        self.stopped: list[str] = []

    def peer(self, name: str) -> Peer:
        def start(*flags: str) -> AbstractContextManager[Server]:
            return self._server(f"{name} {next(self.count)} {' '.join(flags)}".strip())

        return Peer(name, start)

    @contextmanager
    def _server(self, name: str) -> Iterator[Server]:
        process = SimpleNamespace(kill=lambda: None, wait=lambda: None)
        (self.directory / "log").write_text(f"{name} says why")
        yield cast(Server, SimpleNamespace(name=name, process=process, directory=self.directory))
        self.stopped.append(name)


@pytest.fixture
def started(tmp_path: Path) -> Started:
    return Started(tmp_path)


def lab(peers: list[Peer], rounds: int, said: list[str] | None = None) -> Lab:
    return Lab(peers, rounds, 0.1, say=([] if said is None else said).append)


def test_another_peer_is_first_in_each_round(started: Started) -> None:
    order: list[str] = []
    peers = [started.peer(name) for name in "abc"]

    def measure(peer: Peer, server: Server) -> dict[str, float]:
        order.append(peer.name)
        return {"rate": 1.0}

    lab(peers, 3).alternate(Section(), {("x",): measure})
    assert "".join(order) == "abcbcacab"


def test_what_fails_is_noted_its_server_thrown_away_and_the_rest_goes_on(started: Started) -> None:
    seen: list[str] = []
    said: list[str] = []
    section = Section()

    def measure(peer: Peer, server: Server) -> dict[str, float]:
        seen.append(server.name)
        if seen == ["a 0"]:
            raise SystemExit("it does not\nanswer")
        return {"rate": 1.0}

    lab([started.peer("a")], 2, said).alternate(section, {("x", 1): measure, ("y", 1): measure})
    assert section.failures == ["x 1, a, round 1: SystemExit: it does not answer"]
    assert seen == ["a 0", "a 1", "a 1", "a 1"]
    assert started.stopped == ["a 0", "a 1"]
    assert section.cells["x", 1]["a"] == [None, {"rate": 1.0}]
    assert "a 0 says why" in said[0]


def test_a_server_that_does_not_start_is_a_failure_like_any_other() -> None:
    def start(*flags: str) -> AbstractContextManager[Server]:
        raise SystemExit("no")

    section = Section()
    lab([Peer("a", start)], 1).alternate(section, {("x",): lambda peer, server: {}})
    assert section.failures == ["x, a, round 1: SystemExit: no"]


def test_flags_are_for_the_peer_that_they_name(started: Started) -> None:
    seen: list[str] = []

    def measure(peer: Peer, server: Server) -> dict[str, float]:
        seen.append(server.name)
        return {}

    peers = [started.peer("a"), started.peer("b")]
    lab(peers, 1).alternate(Section(), {("x",): measure}, flags={"b": ["--more"]})
    assert seen == ["a 0", "b 1 --more"]


def test_interrupting_stops_the_servers(started: Started) -> None:
    def measure(peer: Peer, server: Server) -> dict[str, float]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lab([started.peer("a")], 1).alternate(Section(), {("x",): measure})
    assert started.stopped == ["a 0"]


def requests(stock: Stock) -> list[list[bytes]]:
    reader = hiredis.Reader()
    for request in filling.KINDS[stock.kind](stock):
        reader.feed(request)
    return list(iter(reader.gets, False))


@pytest.mark.parametrize(
    ("kind", "words_before", "words_each"),
    [("list", 2, 1), ("set", 2, 1), ("hash", 2, 2), ("sorted set", 2, 2)],
)
def test_one_key_gets_exactly_as_many_elements(
    kind: str, words_before: int, words_each: int
) -> None:
    sent = requests(Stock(kind, 1234))
    assert sum((len(it) - words_before) // words_each for it in sent) == 1234
    assert {len(it[words_before:]) % words_each for it in sent} == {0}


def test_keys_are_those_that_redis_benchmark_asks_for() -> None:
    assert requests(Stock("strings", 2, 5)) == [
        [b"SET", b"key:000000000000", b"xxxxx"],
        [b"SET", b"key:000000000001", b"xxxxx"],
    ]
    assert requests(Stock("counters", 1)) == [[b"SET", b"counter:000000000000", b"0"]]
    (members,) = requests(Stock("sorted set", 2))
    assert members[2:] == [
        b"000000000000", b"element:000000000000", b"000000000001", b"element:000000000001"
    ]  # fmt: skip


class Bench:
    """In place of redis-benchmark: so many requests a second; what it was asked, and on what."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, rate: float) -> None:
        self.rate = rate
        self.runs: list[int] = []
        self.stocks: list[tuple[Stock, bool]] = []
        monkeypatch.setattr(cells, "run", self._run)
        monkeypatch.setattr(cells, "stock", self._stock)

    def _run(self, server: Server, load: Any, requests: int) -> dict[str, float]:
        self.runs.append(requests)
        return {"rate": self.rate}

    def _stock(self, server: Server, wanted: Stock, *, anew: bool) -> None:
        self.stocks.append((wanted, anew))


def measured(bench: Bench, name: str, depth: int, times: int = 1, **more: int) -> None:
    pace = cells.Pace(0.5)
    case = cells.Case(cells.BY_NAME[name], depth, **more)
    for _ in range(times):
        pace.measure("a", cast(Server, object()), case)


def test_a_measurement_has_as_many_requests_as_take_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(monkeypatch, 100_000.0)
    measured(bench, "SET", 1, times=3)
    assert bench.runs[-3:] == [50_000] * 3
    # It was tried out once, and not again in each round.
    assert sorted(Counter(bench.runs).values())[-1] == 3


def test_a_client_has_many_requests_so_that_its_connecting_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(monkeypatch, 8_000.0)
    measured(bench, "SET", 1)
    assert bench.runs[-1] == 5000  # and not the 4,000 of half a second
    slow = Bench(monkeypatch, 1000.0)
    measured(slow, "SET", 1)
    assert slow.runs[-1] == 1000  # a second


def test_a_pop_finds_as_many_elements_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, 10_000_000.0)
    measured(bench, "LPOP", 100)
    assert bench.runs[-1] == cells.MOST_POPPED
    assert bench.stocks[-1] == (Stock("list", cells.MOST_POPPED), True)
    assert [it.count for it, _ in bench.stocks] == bench.runs


def test_what_is_only_read_or_overwritten_is_put_there_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(monkeypatch, 1000.0)
    measured(bench, "GET", 1, size=64, keys=500)
    assert bench.stocks[-1] == (Stock("strings", 500, 64), False)
    measured(bench, "LRANGE_600", 1)
    assert bench.stocks[-1] == (Stock("list", 600), False)
    measured(bench, "LPUSH", 1)
    assert bench.stocks[-1] == (Stock("nothing", 0), True)


def test_a_server_with_infinite_speed_is_tried_with_more(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, float("inf"))

    def slower(server: Server, load: Any, requests: int) -> dict[str, float]:
        bench.runs.append(requests)
        return {"rate": float("inf") if len(bench.runs) < 3 else requests / 0.1}

    monkeypatch.setattr(cells, "run", slower)
    measured(bench, "GET", 1)
    assert bench.runs == [200, 800, 3200, 16_000]


def test_the_cpu_of_a_process_is_what_its_own_clock_says() -> None:
    from time import process_time

    before = process_time()
    seen = cpu_of()
    assert before <= seen <= process_time()
