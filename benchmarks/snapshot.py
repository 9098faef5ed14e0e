"""Save and load of a million keys, beside redis-server in the same run.

python -m benchmarks.snapshot [--keys 1000000] [--rounds 3] [--tree DIR]

16-byte keys, 32-byte values, a tenth with deadlines. Each round starts each server anew: it is
filled, grows by so much a key, is told to save, is stopped by SIGTERM and starts again on what it
has left; then all keys are counted and some compared. ``load`` is from the start of the process
to the first connection accepted, less the same with nothing to load. Medians over the rounds.

The two do not do the same: redis-server writes a binary file (compressing nothing that is as short
as this), memdbd lines of JSON, between the turns of a loop that goes on serving.
"""

from __future__ import annotations

import argparse
import json
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import load
from benchmarks.servers import ROOT, Server, memdbd, pin_load, redis, table

BATCH = 1000


@dataclass(frozen=True)
class Dialect:
    """How one of the servers is talked to, and where its data is."""

    request: Callable[..., bytes]
    start: Callable[[], AbstractContextManager[Server]]
    file: str
    text: bool


def value_of(number: int) -> bytes:
    return b"value of key %019d" % number


def key_of(number: int) -> bytes:
    return b"key:%012d" % number


def set_of(number: int, dialect: Dialect) -> bytes:
    key, value = key_of(number), value_of(number)
    if number % 10:
        return dialect.request(b"set", key, value)
    if dialect.text:
        return dialect.request(b"set_with_ttl", key, value, b"36000")
    return dialect.request(b"setex", key, b"36000", value)


def fill(server: Server, dialect: Dialect, count: int) -> None:
    with server.connect() as connection:
        for first in range(0, count, BATCH):
            numbers = range(first, min(first + BATCH, count))
            batch = b"".join([set_of(number, dialect) for number in numbers])
            load.exchange(connection, batch, len(numbers))


def ask(connection: socket.socket, request: bytes, lines: int = 1) -> bytes:
    """The last line of the reply to one request."""
    connection.sendall(request)
    reply = b""
    while reply.count(b"\n") < lines:
        reply += connection.recv(1000)
    return reply.splitlines()[-1]


def check(server: Server, dialect: Dialect, count: int) -> None:
    """All must be there."""
    text = dialect.text
    with server.connect() as connection:
        size = ask(connection, dialect.request(b"dbsize"))
        found = json.loads(size)["result"] if text else int(size[1:])
        if found != count:
            raise SystemExit(f"{server.name} has {found} of {count} keys")
        for number in range(0, count, count // 100):
            reply = ask(connection, dialect.request(b"get", key_of(number)), 1 if text else 2)
            if value_of(number) not in reply:
                raise SystemExit(f"{server.name} has lost {key_of(number)!r}: {reply!r}")
            ttl = ask(connection, dialect.request(b"ttl", key_of(number)))
            left = json.loads(ttl)["result"] if text else int(ttl[1:])
            if (left > 0) != (number % 10 == 0):
                raise SystemExit(f"{server.name}: ttl of {key_of(number)!r} is {left}")


@dataclass
class Round:
    """What one round came to: seconds and bytes."""

    memory: float = 0
    save: float = 0
    save_cpu: float = 0
    size: float = 0
    load: float = 0
    load_cpu: float = 0
    memory_loaded: float = 0


def restart(server: Server) -> tuple[float, float]:
    """Seconds by the clock, and of CPU, to a connection that is accepted."""
    start = time.perf_counter()
    server.start()
    server.wait()
    with server.connect() as connection:
        # redis-server accepts while it loads, but does not answer well.
        while b"LOADING" in ask(connection, b"ping\r\n"):
            time.sleep(0.001)
    return time.perf_counter() - start, server.cpu()


def run(dialect: Dialect, count: int) -> Round:
    result = Round()
    with dialect.start() as server:
        server.stop()
        wall, cpu = restart(server)
        empty = server.rss()
        fill(server, dialect, count)
        result.memory = (server.rss() - empty) / count
        start, used = time.perf_counter(), server.cpu()
        with server.connect() as connection:
            ask(connection, dialect.request(b"save"))
        result.save = time.perf_counter() - start
        result.save_cpu = server.cpu() - used
        result.size = (server.directory / dialect.file).stat().st_size
        server.stop()
        loaded_wall, loaded_cpu = restart(server)
        result.load, result.load_cpu = loaded_wall - wall, loaded_cpu - cpu
        result.memory_loaded = (server.rss() - empty) / count
        check(server, dialect, count)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tree", type=Path, default=ROOT)
    options = parser.parse_args()
    pin_load()
    dialects = {
        "redis": Dialect(load.resp, redis, "dump.rdb", False),
        options.tree.name: Dialect(
            load.text,
            partial(memdbd, tree=options.tree),
            "persistence.json",
            True,
        ),
    }
    rounds: dict[str, list[Round]] = {name: [] for name in dialects}
    for _ in range(options.rounds):
        for name, dialect in dialects.items():
            rounds[name].append(run(dialect, options.keys))
    rows: list[list[object]] = [
        [
            "server",
            "save s",
            "save CPU s",
            "file MB",
            "load s",
            "load CPU s",
            "bytes a key, filled",
            "bytes a key, loaded",
        ]
    ]
    for name, them in rounds.items():
        figures = {field: median(getattr(it, field) for it in them) for field in vars(them[0])}
        rows.append(
            [
                name,
                f"{figures['save']:.2f}",
                f"{figures['save_cpu']:.2f}",
                f"{figures['size'] / 1e6:.1f}",
                f"{figures['load']:.2f}",
                f"{figures['load_cpu']:.2f}",
                f"{figures['memory']:.0f}",
                f"{figures['memory_loaded']:.0f}",
            ]
        )
    print(table(rows))


if __name__ == "__main__":
    main()
