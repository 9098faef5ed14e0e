"""What a value of a million items costs, and how long it holds the loop to read and to drop it.

python -m benchmarks.huge_values [--items 1000000]

For each type: the growth of the server's resident memory an item (16-byte members, hashes with
16-byte values), and the longest time between a PING on a second connection and its answer, of one
sent every millisecond, while all of the value is read, while it is deleted, and while it expires.
The PING waits for the load generator's own core too, so a few milliseconds mean nothing. With
redis-server the same.
"""

from __future__ import annotations

import argparse
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.servers import Server, memdbd, pin_load, redis, table

KEY = b"huge"
CHUNK = 5000  # items of one request that fills


@dataclass(frozen=True)
class Shape:
    """A type: the command that fills it, what an item is, and what reads all of it."""

    name: str
    fill: bytes
    item: Callable[[int], list[bytes]]
    read: list[bytes]


SHAPES = (
    Shape("list", b"rpush", lambda n: [b"element:%08d" % n], [b"lrange", KEY, b"0", b"-1"]),
    Shape("set", b"sadd", lambda n: [b"element:%08d" % n], [b"smembers", KEY]),
    Shape("hash", b"hset", lambda n: [b"element:%08d" % n, b"value:%010d" % n], [b"hgetall", KEY]),
    Shape(
        "sorted set",
        b"zadd",
        lambda n: [b"%d" % (n * 7919 % 1_000_003), b"element:%08d" % n],
        [b"zrange", KEY, b"0", b"-1", b"withscores"],
    ),
)


def request(*words: bytes) -> bytes:
    return b"*%d\r\n%b" % (
        len(words),
        b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words),
    )


def ask(connection: socket.socket, *words: bytes) -> None:
    """Send a request whose reply is short, and wait for it."""
    connection.sendall(request(*words))
    if connection.recv(65536).startswith(b"-"):
        raise SystemExit(f"{words[0]!r} is refused")


def read_all(server: Server, words: list[bytes]) -> None:
    """Read a reply to its end, which a marker behind it tells."""
    marker = b"the end of the reply"
    with server.connect() as connection:
        connection.sendall(request(*words) + request(b"echo", marker))
        tail = b""
        while marker not in tail:
            tail = tail[-64:] + connection.recv(1 << 20)


class Pinger:
    """Sends a PING every millisecond, and remembers the longest wait for an answer."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._stopped = False
        self.worst = 0.0
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with self._server.connect() as connection:
            while not self._stopped:
                start = time.perf_counter()
                ask(connection, b"ping")
                self.worst = max(self.worst, time.perf_counter() - start)
                time.sleep(0.001)

    def __enter__(self) -> Pinger:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        self._thread.join()

    def during(self, function: Callable[[], None]) -> str:
        """The longest wait in milliseconds while ``function`` runs, and half a second on."""
        time.sleep(0.1)
        self.worst = 0.0
        function()
        time.sleep(0.5)
        return f"{self.worst * 1000:.0f}"


def rows(name: str, server: Server, items: int) -> Iterator[list[object]]:
    with server.connect() as connection, Pinger(server) as pinger:

        def fill(shape: Shape) -> None:
            for start in range(0, items, CHUNK):
                words = [word for n in range(start, start + CHUNK) for word in shape.item(n)]
                ask(connection, shape.fill, KEY, *words)

        def expire() -> None:
            ask(connection, b"pexpire", KEY, b"50")
            time.sleep(0.3)

        for shape in SHAPES:
            before = server.rss()
            fill(shape)
            size = (server.rss() - before) / items
            reading = pinger.during(lambda shape=shape: read_all(server, shape.read))  # type: ignore[misc]
            deleting = pinger.during(lambda: ask(connection, b"del", KEY))
            fill(shape)
            expiring = pinger.during(expire)
            yield [shape.name, name, f"{size:.0f}", reading, deleting, expiring]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--items", type=int, default=1_000_000)
    options = parser.parse_args()
    pin_load()
    found: list[list[object]] = []
    with memdbd() as server:
        found += rows("memdbd", server, options.items)
    with redis() as server:
        found += rows("redis", server, options.items)
    found.sort(key=lambda row: [shape.name for shape in SHAPES].index(str(row[0])))
    head: list[object] = [
        "type", "server", "bytes an item", "read all, ms", "delete, ms", "expire, ms"
    ]  # fmt: skip
    print(table([head, *found]))


if __name__ == "__main__":
    main()
