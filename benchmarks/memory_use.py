"""What a million of something takes, and an idle connection: growth of the resident size.

What the kernel keeps for a connection is not in it. Each shape has servers of its own, with
nothing else in them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice

from benchmarks import load
from benchmarks.figures import Cell, Section
from benchmarks.filling import MANY, send
from benchmarks.lab import Lab, Measure
from benchmarks.servers import Server

MILLION = 1_000_000
CONNECTIONS = 10_000
FIELDS = [b"field:%02d" % number for number in range(5)]


def strings(count: int) -> Iterator[bytes]:
    """A key of 16 bytes, a value of 32."""
    return (load.resp(b"SET", b"key:%012d" % it, b"value:%026d" % it) for it in range(count))


def hashes(count: int) -> Iterator[bytes]:
    """Five fields of 8 bytes, each with a value of 8."""
    for number in range(count):
        pairs = [word for field in FIELDS for word in (field, b"%08d" % number)]
        yield load.resp(b"HSET", b"key:%012d" % number, *pairs)


def elements(command: bytes, *, scored: bool = False) -> Fill:
    """Elements of 16 bytes in one key."""

    def fill(count: int) -> Iterator[bytes]:
        numbers = iter(range(count))
        while some := list(islice(numbers, MANY)):
            words = [command, b"key"]
            for number in some:
                words += [b"%d" % number] if scored else []
                words.append(b"element:%08d" % number)
            yield load.resp(*words)

    return fill


Fill = Callable[[int], Iterator[bytes]]
SHAPES: dict[str, Fill] = {
    "strings": strings,
    "hashes of 5 fields": hashes,
    "elements of a list": elements(b"RPUSH"),
    "members of a set": elements(b"SADD"),
    "members of a sorted set": elements(b"ZADD", scored=True),
}


def settled(server: Server) -> int:
    """The resident size, once it has stopped to change: replies and journals have been freed."""
    sizes = [server.rss()]
    for _ in range(20):
        time.sleep(0.1)
        sizes.append(server.rss())
        if len(set(sizes[-3:])) == 1 and len(sizes) > 3:
            break
    return sizes[-1]


def filled(server: Server, shape: str, count: int) -> dict[str, float]:
    """Bytes each, of so many."""
    empty = settled(server)
    with server.connect() as connection:
        connection.settimeout(60)
        send(connection, SHAPES[shape](count), newlines=1)
    return {"bytes": (settled(server) - empty) / count}


def connected(server: Server, count: int, *, ask: bool) -> dict[str, float]:
    """Bytes each, of so many connections that are open; ``ask``: and have had an answer."""
    empty = settled(server)
    ping = load.resp(b"PING")
    with ExitStack() as stack:
        connections = load.open_all(server, count, stack)
        for connection in connections if ask else connections[-1:]:
            load.exchange(connection, ping, 1)
        return {"bytes": (settled(server) - empty) / count}


def measure_memory(lab: Lab, section: Section) -> None:
    """All shapes, once: there is nothing to take the median of."""

    def cell(shape: str) -> Measure:
        return lambda peer, server: filled(server, shape, count)

    count = MILLION // 10 if lab.quick else MILLION
    for shape in SHAPES:
        cells: dict[Cell, Measure] = {(shape, count): cell(shape)}
        lab.alternate(section, cells, peers=lab.quick_peers)


def measure_idle(lab: Lab, section: Section) -> None:
    """Connections that do nothing; one that has had an answer had buffers made for it."""

    def cell(ask: bool) -> Measure:
        return lambda peer, server: connected(server, CONNECTIONS, ask=ask)

    for name, ask in (("opened", False), ("answered once", True)):
        cells: dict[Cell, Measure] = {(name, CONNECTIONS): cell(ask)}
        lab.alternate(section, cells, peers=lab.quick_peers)
