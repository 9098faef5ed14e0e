"""Publish/subscribe: one message to many subscribers, and one to each of many channels.

Fan-out: one connection publishes to 1, 50 or 1,000 others, each of which must get each message.
At depth 1 there is one message on its way at a time, so the latency is what one publication takes
to its subscribers; pipelined, 16 are published at once, and 64 are on their way at most.

All messages are equally long, so how many bytes a subscriber has had says which messages they
were, and nothing is parsed: a delivery's latency is from the send of its batch to the read that
brought its last byte.
"""

from __future__ import annotations

import random
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from benchmarks import load
from benchmarks.figures import Cell, Section
from benchmarks.lab import Lab, Measure
from benchmarks.redis_benchmark import per_request
from benchmarks.servers import Server, cpu_of

CHANNEL = b"notifications"
PIPELINED = 16  # published at once
IN_FLIGHT = 64  # pipelined messages that not all have had yet, at most
SUBSCRIBERS = (1, 50, 1000)
CHANNELS = (1, 10, 100, 1000, 10_000, 100_000)
BUFFER = 1 << 18
SILENCE = 10.0  # seconds after which nothing more is expected


def payload(number: int) -> bytes:
    """The message of that number: 64 bytes."""
    return b"%064d" % number


def delivery(channel: bytes, number: int) -> bytes:
    """What a subscriber gets of it."""
    return load.resp(b"message", channel, payload(number))


class Readers:
    """Connections that are read as data comes, and how many bytes each has had."""

    def __init__(self, connections: Sequence[socket.socket]) -> None:
        self.received = {it.fileno(): 0 for it in connections}
        self._connections = {it.fileno(): it for it in connections}
        self._buffer = bytearray(BUFFER)
        self._poll = select.epoll()
        for number, connection in self._connections.items():
            connection.setblocking(False)
            self._poll.register(number, select.EPOLLIN)

    def read(self, timeout: float) -> Iterator[tuple[int, int, int]]:
        """What comes, as (connection, bytes before, bytes after); nothing if it comes too late."""
        for number, _ in self._poll.poll(timeout):
            before = self.received[number]
            read = self._connections[number].recv_into(self._buffer)
            if not read:
                raise SystemExit("the server has closed a connection")
            self.received[number] = after = before + read
            yield number, before, after

    def last(self, count: int) -> bytes:
        """The bytes that the last read brought, which were so many."""
        return bytes(self._buffer[:count])

    def close(self) -> None:
        self._poll.close()


@contextmanager
def subscribed(
    server: Server, channels: Sequence[Sequence[bytes]], *others: socket.socket
) -> Iterator[Readers]:
    """A connection for each sequence of channels, which has subscribed to them.

    ``others`` are read as well.
    """
    with ExitStack() as stack:
        connections = load.open_all(server, len(channels), stack)
        for connection, names in zip(connections, channels, strict=True):
            for first in range(0, len(names), 1000):
                some = names[first : first + 1000]
                load.exchange(connection, load.resp(b"SUBSCRIBE", *some), 6 * len(some))
        readers = Readers([*connections, *others])
        stack.callback(readers.close)
        yield readers


class FanOut:
    """One run: what has been published, and who has had which of it."""

    def __init__(self, readers: Readers, publisher: socket.socket, depth: int) -> None:
        self._readers = readers
        self._publisher = publisher
        self._depth = depth
        self._subscribers = len(readers.received) - 1
        self._witness = min(set(readers.received) - {publisher.fileno()})
        self._heard = bytearray()  # what the witness has had
        self._size = len(delivery(CHANNEL, 0))
        self._sent_at: list[float] = []  # by the number of the message
        self._seen: list[tuple[float, int, int]] = []  # when; from which message to which
        self._answers = 0
        self.deliveries = 0

    def run(self, seconds: float) -> None:
        """Publish for so long, and wait for all deliveries."""
        clock = time.perf_counter
        allowed = 0 if self._depth == 1 else (IN_FLIGHT - self._depth) * self._subscribers
        end = clock() + seconds
        while True:
            missing = len(self._sent_at) * self._subscribers - self.deliveries
            if self._answers == len(self._sent_at):
                if clock() < end and missing <= allowed:
                    self._publish(clock())
                elif not missing:
                    return
            self._read(clock)

    def _publish(self, now: float) -> None:
        first = len(self._sent_at)
        numbers = range(first, first + self._depth)
        batch = [load.resp(b"PUBLISH", CHANNEL, payload(number)) for number in numbers]
        self._sent_at += [now] * self._depth
        self._publisher.sendall(b"".join(batch))

    def _read(self, clock: Callable[[], float]) -> None:
        quiet = True
        for number, before, after in self._readers.read(SILENCE):
            quiet = False
            if number == self._publisher.fileno():
                self._answers += self._readers.last(after - before).count(b"\n")
                continue
            if number == self._witness:
                self._heard += self._readers.last(after - before)
            one, other = before // self._size, after // self._size
            if other > one:
                self._seen.append((clock(), one, other))
                self.deliveries += other - one
        if quiet:
            raise SystemExit("nothing is delivered any more")

    def check(self) -> None:
        """Raises ValueError if one has had too much, or the witness not what was published."""
        expected = b"".join(delivery(CHANNEL, it) for it in range(len(self._sent_at)))
        had = dict(self._readers.received)
        del had[self._publisher.fileno()]
        if self._heard != expected or set(had.values()) != {len(expected)}:
            raise ValueError("a message is missing, double or out of order")

    def latencies(self) -> list[float]:
        """Of all deliveries, in milliseconds and sorted."""
        return sorted(
            (when - self._sent_at[number]) * 1e3
            for when, one, other in self._seen
            for number in range(one, other)
        )


def fan_out(server: Server, subscribers: int, depth: int, seconds: float) -> dict[str, float]:
    """Deliveries a second, their cost and their latency."""
    with (
        server.connect() as publisher,
        subscribed(server, [[CHANNEL]] * subscribers, publisher) as readers,
    ):
        run = FanOut(readers, publisher, depth)
        times, cpu, load_cpu, start = server.times(), server.cpu(), cpu_of(), time.perf_counter()
        run.run(seconds)
        wall = time.perf_counter() - start
        figures = per_request(server, run.deliveries, cpu, times)
        busy, load_busy = (server.cpu() - cpu) / wall, (cpu_of() - load_cpu) / wall
        run.check()
    waited = run.latencies()
    return {
        **figures,
        "rate": run.deliveries / wall,
        "p50": percentile(waited, 0.5),
        "p99": percentile(waited, 0.99),
        "p999": percentile(waited, 0.999),
        "busy": busy,
        "load": load_busy,
    }


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest that all but so large a share of them do not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def measure_fan_out(lab: Lab, section: Section) -> None:
    """All of it; fakeredis, with its thread a connection, is left out."""

    def cell(subscribers: int, depth: int) -> Measure:
        return lambda peer, server: fan_out(server, subscribers, depth, lab.seconds)

    cells: dict[Cell, Measure] = {
        (count, depth): cell(count, depth) for count in SUBSCRIBERS for depth in (1, PIPELINED)
    }
    lab.alternate(section, cells, peers=lab.quick_peers)


def name_of(number: int) -> bytes:
    """A channel; their names are equally long."""
    return b"channel:%08d" % number


def publish_among(server: Server, channels: int, seconds: float) -> dict[str, float]:
    """What it costs to publish to one of so many channels, each of which has a subscriber.

    It is the same for all, so that the same is sent however many there are: with one each, what
    is published at once would be one send to few of them, and 16 to many.
    """
    names = [name_of(number) for number in range(channels)]
    chosen = random.Random(1)
    requests = [
        load.resp(b"PUBLISH", chosen.choice(names), payload(number))
        for number in range(PIPELINED * 200)
    ]
    batches = load.in_batches(requests, PIPELINED)
    size = len(delivery(name_of(0), 0))

    with subscribed(server, [names]) as readers, server.connect() as publisher:

        def publish(seconds: float) -> int:
            end = time.perf_counter() + seconds
            rounds = 0
            while time.perf_counter() < end:
                load.exchange(publisher, batches[rounds % len(batches)], PIPELINED)
                rounds += 1
                for _ in readers.read(0):
                    pass
            return rounds * PIPELINED

        published = publish(seconds / 10)
        times, cpu, start = server.times(), server.cpu(), time.perf_counter()
        measured = publish(seconds)
        wall = time.perf_counter() - start
        figures = per_request(server, measured, cpu, times)
        while sum(readers.received.values()) < (published + measured) * size:
            if not list(readers.read(SILENCE)):
                raise SystemExit("a message has not come")
    return {**figures, "rate": measured / wall}


def measure_channels(lab: Lab, section: Section) -> None:
    """Cost against the number of channels."""

    def cell(channels: int) -> Measure:
        return lambda peer, server: publish_among(server, channels, lab.seconds)

    cells: dict[Cell, Measure] = {("PUBLISH", count): cell(count) for count in CHANNELS}
    lab.alternate(section, cells, peers=lab.quick_peers)
