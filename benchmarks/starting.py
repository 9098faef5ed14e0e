"""What a start takes: with nothing, with a million keys in a snapshot, with them in a journal.

From the start of the process to the first answer that has all keys, by the clock and of CPU. The
server has been killed before, so that it finds the same each time. fakeredis keeps nothing, and
starts with nothing only.
"""

from __future__ import annotations

import socket
import time

from benchmarks import load
from benchmarks.figures import Cell, Section
from benchmarks.filling import send
from benchmarks.lab import Lab, Measure
from benchmarks.memory_use import MILLION, strings
from benchmarks.peers import REDIS, Peer
from benchmarks.servers import Server

PATIENCE = 120.0  # seconds
# Seconds in which all that was answered is written: redis-server puts that off while it syncs, for
# two seconds at most. Killed before, it had 990,272 of a million keys.
PUT_OFF = 2.1


def ask(connection: socket.socket, request: bytes) -> bytes:
    """A reply of one line."""
    connection.sendall(request)
    reply = b""
    while not reply.endswith(b"\n"):
        data = connection.recv(1000)
        if not data:
            raise ConnectionError("the server has closed the connection")
        reply += data
    return reply


def restarted(server: Server, keys: int) -> dict[str, float]:
    """What a start takes until ``server`` has so many keys.

    Raises ValueError if it has others.
    """
    server.process.kill()
    server.process.wait()
    start = time.perf_counter()
    server.start()
    server.wait()
    with server.connect() as connection:
        connection.settimeout(PATIENCE)
        # redis-server accepts connections while it loads, and says so.
        while b"LOADING" in (reply := ask(connection, load.resp(b"DBSIZE"))):
            time.sleep(0.001)
    figures = {"seconds": time.perf_counter() - start, "cpu_seconds": server.cpu()}
    if reply != b":%d\r\n" % keys:
        raise ValueError(f"it has {reply!r} of {keys} keys")
    return figures


def fill(server: Server, keys: int, *, save: bool) -> None:
    """So many keys, as strings, in a file; ``save``: and a snapshot of them."""
    with server.connect() as connection:
        connection.settimeout(PATIENCE)
        send(connection, strings(keys), newlines=1)
        if save and not (reply := ask(connection, load.resp(b"SAVE"))).startswith(b"+"):
            raise ValueError(f"SAVE: {reply!r}")
    time.sleep(PUT_OFF)


def measure_starting(lab: Lab, section: Section) -> None:
    """All of it; each server is filled once and started in each round."""
    keys = MILLION // 10 if lab.quick else MILLION

    def empty(peer: Peer, server: Server) -> dict[str, float]:
        return restarted(server, 0)

    def full(save: bool) -> Measure:
        there: set[Server] = set()

        def measure(peer: Peer, server: Server) -> dict[str, float]:
            if server not in there:
                fill(server, keys, save=save)
                there.add(server)
            return restarted(server, keys)

        return measure

    nothing: dict[Cell, Measure] = {("nothing", 0): empty}
    lab.alternate(section, nothing)
    for name, save in (("snapshot", True), ("journal", False)):
        cells: dict[Cell, Measure] = {(name, keys): full(save)}
        # With a journal, redis-server does not look at its snapshot.
        flags = {REDIS: ["--appendonly", "no"]} if save else {}
        lab.alternate(section, cells, peers=lab.quick_peers, flags=flags)
