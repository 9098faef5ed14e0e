"""Fan-out: which messages a subscriber has had, and how long they took."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from benchmarks import load
from benchmarks.fanout import CHANNEL, FanOut, Readers, delivery, percentile

ANSWER = b":2\r\n"


class Server:
    """The other ends of two subscribers' connections and of the publisher's."""

    def __init__(self, stack: ExitStack, depth: int) -> None:
        pairs = [socket.socketpair() for _ in range(3)]
        for pair in pairs:
            for it in pair:
                stack.enter_context(it)
        self.one, self.other, self.publisher = (far for _, far in pairs)
        near = [near for near, _ in pairs]
        readers = Readers(near)
        stack.callback(readers.close)
        self.now = 0.0
        self.run = FanOut(readers, near[2], depth)

    def publish(self, at: float) -> None:
        self.run._publish(at)

    def read(self, at: float) -> None:
        self.run._read(lambda: at)


@pytest.fixture
def server() -> Iterator[Server]:
    with ExitStack() as stack:
        yield Server(stack, 2)


def test_all_deliveries_are_of_one_length() -> None:
    assert len({len(delivery(CHANNEL, number)) for number in (0, 9, 10, 123_456_789)}) == 1


def test_as_many_are_published_at_once_as_the_depth_is(server: Server) -> None:
    server.publish(0.0)
    sent = server.publisher.recv(10_000)
    assert sent.count(load.resp(b"PUBLISH", CHANNEL)[4:]) == 2


def test_a_delivery_takes_from_its_publication_to_the_read_of_its_last_byte(
    server: Server,
) -> None:
    server.publish(1.0)
    first, second = delivery(CHANNEL, 0), delivery(CHANNEL, 1)
    server.one.sendall(first + second[:10])
    server.read(at=1.005)
    server.one.sendall(second[10:])
    server.other.sendall(first + second)
    server.publisher.sendall(ANSWER * 2)
    server.read(at=1.010)
    assert server.run.deliveries == 4
    assert server.run.latencies() == pytest.approx([5.0, 10.0, 10.0, 10.0])
    server.run.check()


@pytest.mark.parametrize(
    ("one", "other"),
    [((0, 1), (0,)), ((0, 1), (0, 1, 1)), ((1, 0), (0, 1))],
    ids=["missing", "double", "out of order"],
)
def test_what_does_not_come_as_it_was_published_is_an_error(
    server: Server, one: tuple[int, ...], other: tuple[int, ...]
) -> None:
    server.publish(1.0)
    server.one.sendall(b"".join(delivery(CHANNEL, it) for it in one))
    server.other.sendall(b"".join(delivery(CHANNEL, it) for it in other))
    server.read(at=1.0)
    with pytest.raises(ValueError, match="missing, double or out of order"):
        server.run.check()


def test_a_percentile_is_one_of_the_figures() -> None:
    waited = [float(number) for number in range(1, 1001)]
    assert percentile(waited, 0.5) == 501.0
    assert percentile(waited, 0.999) == 1000.0
    assert percentile([7.0], 0.99) == 7.0
