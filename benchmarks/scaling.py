"""Cost a request against the number of keys and of connections (of channels: ``fanout``).

Keys: redis-benchmark's SET and GET at depth 16, of one of them at random. Connections: GET of one
key, one request at a time on each of 50 of them, the rest idle; and on all of them in turn, 50 at
a time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from socket import socket

from benchmarks import load
from benchmarks.cells import BY_NAME, Case, Pace
from benchmarks.figures import Cell, Section
from benchmarks.lab import Lab, Measure
from benchmarks.redis_benchmark import per_request
from benchmarks.servers import Server

KEYS = (1000, 10_000, 100_000, 1_000_000, 5_000_000)
DEPTH = 16
CONNECTIONS = (1, 10, 100, 1000, 10_000)
ACTIVE = 50
SOME, ALL = "50 active", "all in turn"
GET = load.resp(b"GET", b"key")


def measure_keys(lab: Lab, section: Section) -> None:
    """Servers are filled once for each number of keys."""
    pace = Pace(lab.seconds)

    def cell(case: Case) -> Measure:
        return lambda peer, server: pace.measure(peer.name, server, case)

    for keys in KEYS[:-1] if lab.quick else KEYS:
        cases = [Case(BY_NAME[name], DEPTH, keys=keys) for name in ("SET", "GET")]
        cells: dict[Cell, Measure] = {(it.test.name, keys): cell(it) for it in cases}
        lab.alternate(section, cells, peers=lab.quick_peers)


def in_turn(server: Server, groups: Sequence[Sequence[socket]], seconds: float) -> dict[str, float]:
    """A request on each connection of a group, their answers, and on to the next group.

    All groups have had the same number of turns in the end.
    """
    requests = 0
    times, cpu, start = server.times(), server.cpu(), time.perf_counter()
    end = start + seconds
    while time.perf_counter() < end:
        for group in groups:
            for connection in group:
                connection.sendall(GET)
            for connection in group:
                load.await_replies(connection, 2)
            requests += len(group)
    wall = time.perf_counter() - start
    return {**per_request(server, requests, cpu, times), "rate": requests / wall}


def with_connections(server: Server, count: int, which: str, seconds: float) -> dict[str, float]:
    """The cost with so many of them, all of which have been used once."""
    with ExitStack() as stack:
        connections = load.open_all(server, count, stack)
        load.exchange(connections[0], load.resp(b"SET", b"key", b"xxx"), 1)
        if which == SOME:
            connections = connections[:: max(1, count // ACTIVE)][:ACTIVE]
        groups = [connections[at : at + ACTIVE] for at in range(0, len(connections), ACTIVE)]
        in_turn(server, groups, seconds / 10)
        return in_turn(server, groups, seconds)


def measure_connections(lab: Lab, section: Section) -> None:
    """Each measurement opens its own."""

    def cell(count: int, which: str) -> Measure:
        return lambda peer, server: with_connections(server, count, which, lab.seconds)

    cells: dict[Cell, Measure] = {
        (which, count): cell(count, which) for count in CONNECTIONS for which in (SOME, ALL)
    }
    lab.alternate(section, cells, peers=lab.quick_peers)
