"""What connections cost: memory for each of 10,000, and one message to 500 subscribers.

python -m benchmarks.connections [--connections 10000] [--tree DIR]

First all connections are opened and each asks ``ping`` and gets its answer; memory is the growth
of the daemon's resident size (what the kernel keeps for a socket is not in it), before and after
the answer. Then 500 of them subscribe, one connection publishes 1,000 messages of 64 bytes, 10 at
a time, and every subscriber must get each, in order. With redis-server the same in RESP.
"""

from __future__ import annotations

import argparse
import resource
import selectors
import socket
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks import load
from benchmarks.servers import ROOT, Server, memdbd, pin_load, redis, table

SUBSCRIBERS = 500
MESSAGES = 1000
BATCH = 10
CHANNEL = b"notifications"


def message(number: int) -> bytes:
    return b"message-%06d-%049d" % (number, 0)


def open_all(server: Server, count: int, stack: ExitStack) -> list[socket.socket]:
    return [stack.enter_context(server.connect()) for _ in range(count)]


def ask_all(connections: list[socket.socket], request: bytes, newlines: int) -> None:
    for connection in connections:
        connection.sendall(request)
    for connection in connections:
        load.await_replies(connection, newlines)


def receive_all(
    publisher: socket.socket, subscribers: list[socket.socket], request: bytes
) -> float:
    """Publish all, read all; gives seconds. Raises SystemExit if one is missing."""
    make = load.resp if request.startswith(b"*") else load.text
    requests = [make(b"publish", CHANNEL, message(number)) for number in range(MESSAGES)]
    batches = load.in_batches(requests, BATCH)
    received: dict[socket.socket, list[bytes]] = {it: [] for it in subscribers}
    lines = 7 if request.startswith(b"*") else 1  # that a message takes
    missing = dict.fromkeys(subscribers, MESSAGES * lines)
    selector = selectors.DefaultSelector()
    for subscriber in subscribers:
        subscriber.setblocking(False)
        selector.register(subscriber, selectors.EVENT_READ)
    selector.register(publisher, selectors.EVENT_READ)
    start = time.perf_counter()
    answers = 0
    publisher.sendall(batches.pop(0))
    while any_missing(missing, answers):
        for key, _ in selector.select(10):
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            data = connection.recv(1 << 20)
            if connection is publisher:
                answers += data.count(b"\n")
                if answers % BATCH == 0 and batches:
                    publisher.sendall(batches.pop(0))
            else:
                received[connection].append(data)
                missing[connection] -= data.count(b"\n")
    seconds = time.perf_counter() - start
    for pieces in received.values():
        stream = b"".join(pieces)
        at = 0
        for number in range(MESSAGES):
            at = stream.find(message(number), at) + 1
            if not at:
                raise SystemExit(f"message {number} is missing or out of order")
    return seconds


def any_missing(missing: dict[socket.socket, int], answers: int) -> bool:
    return answers < MESSAGES or max(missing.values()) > 0


def measure(server: Server, count: int) -> list[object]:
    make = load.resp if server.name == "redis" else load.text
    confirmations = 6 if server.name == "redis" else 1
    with ExitStack() as stack:
        time.sleep(0.5)
        empty = server.rss()
        connections = open_all(server, count, stack)
        ask_all(connections[-1:], make(b"ping"), 1)
        idle = (server.rss() - empty) / count
        ask_all(connections, make(b"ping"), 1)
        answered = (server.rss() - empty) / count
        publisher, subscribers = connections[0], connections[1 : SUBSCRIBERS + 1]
        ask_all(subscribers, make(b"subscribe", CHANNEL), confirmations)
        cpu = server.cpu()
        seconds = receive_all(publisher, subscribers, make(b"ping"))
        used = server.cpu() - cpu
    deliveries = SUBSCRIBERS * MESSAGES
    return [
        server.name,
        f"{idle / 1024:.1f}",
        f"{answered / 1024:.1f}",
        f"{deliveries / seconds:,.0f}",
        f"{used / deliveries * 1e6:.2f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--tree", type=Path, default=ROOT)
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    pin_load()
    rows: list[list[object]] = [
        ["server", "KiB opened", "KiB answered", "deliveries/s", "CPU µs a delivery"]
    ]
    with redis("--maxclients", str(options.connections + 100)) as server:
        rows.append(measure(server, options.connections))
    with memdbd(tree=options.tree) as server:
        rows.append(measure(server, options.connections))
    print(table(rows))


if __name__ == "__main__":
    main()
