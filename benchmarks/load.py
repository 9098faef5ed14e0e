"""The load: requests made beforehand, sent down raw sockets, their replies counted by newlines.

A round sends one batch on each connection and then waits for all their replies, so the server has
the batches of all connections to work on while the load sends and counts. The load measures its
own CPU as well: where it is busy nearly all the time, the server was waiting for it, and only the
server's CPU a command says something.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks.servers import Server, cpu_of

CHUNK = 1 << 18
LOT = 100  # connections that are opened at once
PATIENCE = 20.0  # seconds for an answer


@dataclass(frozen=True)
class Outcome:
    """What one run of a load came to."""

    commands: int
    wall: float  # seconds
    server_cpu: float  # seconds
    load_cpu: float  # seconds

    @property
    def rate(self) -> float:
        """Commands a second, by the clock."""
        return self.commands / self.wall

    @property
    def cost(self) -> float:
        """Microseconds of the server's CPU for a command."""
        return self.server_cpu / self.commands * 1e6

    @property
    def server_busy(self) -> float:
        """The share of the time that the server was busy."""
        return self.server_cpu / self.wall

    @property
    def load_busy(self) -> float:
        """The share of the time that the load itself was busy."""
        return self.load_cpu / self.wall


def open_all(server: Server, count: int, stack: ExitStack) -> list[socket.socket]:
    """So many connections, a lot after the other; a lot's last has had an answer to PING.

    All at once overflow the server's backlog, and then the kernel waits a second to try again.
    """
    connections: list[socket.socket] = []
    for _ in range(count):
        connections.append(stack.enter_context(server.connect()))
        connections[-1].settimeout(PATIENCE)
        if len(connections) % LOT == 0:
            exchange(connections[-1], resp(b"PING"), 1)
    return connections


def exchange(connection: socket.socket, batch: bytes, newlines: int) -> None:
    """Send a batch and wait for its replies: so many newlines in all."""
    connection.sendall(batch)
    await_replies(connection, newlines)


def await_replies(connection: socket.socket, newlines: int, *, no_errors: bool = False) -> None:
    """Read until so many newlines have come; ``no_errors``: raises ValueError if one begins one."""
    recv = connection.recv
    while newlines > 0:
        data = recv(CHUNK)
        if not data:
            raise SystemExit("the server has closed the connection")
        if no_errors and (data.startswith(b"-") or b"\n-" in data):
            raise ValueError(f"the server answers {data[:200]!r}")
        newlines -= data.count(b"\n")


def run(
    server: Server,
    connections: Sequence[socket.socket],
    batches: Sequence[bytes],
    *,
    depth: int,
    newlines: int,
    seconds: float,
) -> Outcome:
    """Load ``server`` for so many seconds with batches of ``depth`` commands.

    ``newlines`` is how many the replies to a batch have in all.
    """
    sends = [connection.sendall for connection in connections]
    at = rounds = 0
    server_cpu, load_cpu, start = server.cpu(), cpu_of(), time.perf_counter()
    end = start + seconds
    while time.perf_counter() < end:
        for send in sends:
            send(batches[at])
            at = at + 1 if at + 1 < len(batches) else 0
        for connection in connections:
            await_replies(connection, newlines)
        rounds += 1
    wall = time.perf_counter() - start
    return Outcome(
        rounds * depth * len(connections), wall, server.cpu() - server_cpu, cpu_of() - load_cpu
    )


def text(*words: bytes) -> bytes:
    """A request in the text dialect."""
    return b" ".join(words) + b"\n"


def resp(*words: bytes) -> bytes:
    """A request in RESP."""
    parts = [b"$%d\r\n%s\r\n" % (len(word), word) for word in words]
    return b"*%d\r\n%s" % (len(words), b"".join(parts))


def in_batches(requests: Sequence[bytes], depth: int) -> list[bytes]:
    """The requests joined, ``depth`` at a time."""
    return [b"".join(requests[at : at + depth]) for at in range(0, len(requests), depth)]
