"""redis-benchmark's matrix: its own tests at each depth, larger values, fewer and more clients.

For each test there is what it finds in the server, put there by us: GET finds all of its keys, and
a pop as many elements as it takes. So each server works on the same, however many requests it got,
and no pop finds nothing. The LRANGE tests are their commands, on a list of 600: as
``-t lrange_…`` does it, it pushes first, and one could not tell apart what that took.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from benchmarks.figures import Cell, Figures, Section
from benchmarks.filling import Stock, stock
from benchmarks.lab import Lab, Measure
from benchmarks.redis_benchmark import Load, run
from benchmarks.servers import Server

KEYS = 100_000  # that there are, of which each request takes one at random
FEW = 1000  # for the slow
MOST_POPPED = 200_000  # requests of a pop at most, since as many elements are put there first
EACH = 100  # requests of a client at least
DEPTHS = (1, 16, 100)


@dataclass(frozen=True)
class Test:
    """A test of redis-benchmark's."""

    name: str
    finds: str = "nothing"
    count: int | None = None  # of that, or else as many as there are keys
    uses_up: bool = False  # it takes away what it finds, one for each request
    grows: bool = False  # it adds to what it finds, without end
    words: tuple[str, ...] = ()  # the command, where it is not started by its name

    @property
    def what(self) -> tuple[str, ...]:
        return self.words or ("-t", self.name.lower())


TESTS = (
    Test("PING_MBULK"),
    Test("SET", "strings"),
    Test("GET", "strings"),
    Test("INCR", "counters"),
    Test("LPUSH", grows=True),
    Test("RPUSH", grows=True),
    Test("LPOP", "list", uses_up=True),
    Test("RPOP", "list", uses_up=True),
    Test("SADD", "set"),
    Test("HSET", "hash"),
    Test("SPOP", "set", uses_up=True),
    Test("ZADD", "sorted set"),
    Test("ZPOPMIN", "sorted set", uses_up=True),
    *(
        Test(f"LRANGE_{it}", "list", 600, words=("lrange", "mylist", "0", str(it - 1)))
        for it in (100, 300, 500, 600)
    ),
    Test("MSET", "strings"),
)
BY_NAME = {test.name: test for test in TESTS}


@dataclass(frozen=True)
class Case:
    """One cell of the matrix."""

    test: Test
    depth: int
    clients: int = 50
    size: int = 3
    keys: int = KEYS

    def load(self) -> Load:
        return Load(self.test.what, self.depth, self.clients, self.size, self.keys)


def commands(tests: Iterable[str], depths: Iterable[int]) -> list[Case]:
    return [Case(BY_NAME[name], depth) for name in tests for depth in depths]


def values() -> list[Case]:
    return [
        # Of large ones there are fewer, 64 MiB in all.
        Case(BY_NAME[name], depth, size=size, keys=min(KEYS, (64 << 20) // size))
        for size in (1024, 65536)
        for name in ("SET", "GET")
        for depth in (1, 16)
    ]


def clients() -> list[Case]:
    return [
        Case(BY_NAME[name], depth, count)
        for count in (1, 1000)
        for name in ("SET", "GET")
        for depth in (1, 16)
    ]


class Pace:
    """How many requests of each case make so many seconds of each server, found by trying."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._requests: dict[tuple[str, Case], int] = {}

    def measure(self, peer: str, server: Server, case: Case) -> Figures:
        """The figures of one run."""
        if (peer, case) not in self._requests:
            self._requests[peer, case] = self._try(server, case)
        return self._run(server, case, self._requests[peer, case])

    def _try(self, server: Server, case: Case) -> int:
        """Double until it is long enough to tell; that is the first warmth for the server, too."""
        # Connecting costs what some requests cost: with many clients, it takes more of them.
        seconds = self._seconds * max(1.0, case.clients / 400)
        requests = max(200, case.depth * case.clients)
        while True:
            took = requests / self._run(server, case, requests)["rate"]
            if took > seconds / 8:
                break
            requests *= 4
        # A connection of ours costs some 100 µs, which is to be no more than one of each request's;
        # but nothing takes much longer than a second for that.
        least = min(EACH * case.clients, round(requests / took))
        wanted = max(round(requests / took * seconds), case.depth * case.clients, least)
        return min(wanted, MOST_POPPED) if case.test.uses_up else wanted

    def _run(self, server: Server, case: Case, requests: int) -> dict[str, float]:
        test = case.test
        if test.uses_up:
            count = requests
        elif test.finds == "nothing":
            count = 0
        else:
            count = case.keys if test.count is None else test.count
        stock(server, Stock(test.finds, count, case.size), anew=test.uses_up or test.grows)
        return run(server, case.load(), requests)


def measure(lab: Lab, section: Section, cases: Mapping[Cell, Case], *, slow: bool = False) -> None:
    """Measure them; ``slow``: with the slow peer, too, up to depth 16."""
    pace = Pace(lab.seconds)

    def cell(case: Case) -> Measure:
        return lambda peer, server: pace.measure(peer.name, server, case)

    cells = {name: cell(case) for name, case in cases.items()}
    lab.alternate(section, cells, peers=lab.quick_peers)
    if slow:
        few = {
            name: cell(replace(case, keys=FEW))  # 100,000 take it ten seconds to fill in
            for name, case in cases.items()
            if case.depth <= 16
        }
        lab.alternate(section, few, peers=[it for it in lab.peers if it.slow], rounds=1)


def measure_commands(lab: Lab, section: Section) -> None:
    """Its own tests at each depth, with 50 clients and values of 3 bytes."""
    cases = commands(lab.tests or BY_NAME, lab.depths or DEPTHS)
    measure(lab, section, {(it.test.name, it.depth): it for it in cases}, slow=True)


def measure_values(lab: Lab, section: Section) -> None:
    """Larger values."""
    measure(lab, section, {(it.test.name, it.size, it.depth): it for it in values()})


def measure_clients(lab: Lab, section: Section) -> None:
    """One client, and a thousand."""
    measure(lab, section, {(it.test.name, it.clients, it.depth): it for it in clients()})
