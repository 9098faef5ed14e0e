"""The text dialect beside RESP, of the same daemon: the same commands, 50 connections, our load.

The bytes are not the same: a text request is shorter, its reply is a line of JSON.
"""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks import load
from benchmarks.figures import Cell, Section
from benchmarks.lab import Lab, Measure
from benchmarks.redis_benchmark import per_request
from benchmarks.servers import Server

DEPTHS = (1, 16, 100)
CONNECTIONS = 50
KEYS = 10_000
VALUE = b"john_doe_of_somewhere_0123456789"  # 32 bytes
COMMANDS = ("set", "get", "incr")
DIALECTS = {"text": load.text, "RESP": load.resp}


def requests(command: str, dialect: str) -> list[bytes]:
    """One for each key."""
    make = DIALECTS[dialect]
    value = [VALUE] if command == "set" else []
    key = b"counter:%09d" if command == "incr" else b"user:%010d"
    return [make(command.encode(), key % number, *value) for number in range(KEYS)]


def measure(
    server: Server, command: str, depth: int, dialect: str, seconds: float
) -> dict[str, float]:
    """Commands a second and what they cost, once all keys are there."""
    batches = load.in_batches(requests(command, dialect)[: KEYS // depth * depth], depth)
    newlines = depth * (2 if (dialect, command) == ("RESP", "get") else 1)
    with ExitStack() as stack:
        # By one of their own: what has begun in RESP reads lines as RESP's inline commands.
        first = requests("set" if command == "get" else command, "RESP")
        load.exchange(stack.enter_context(server.connect()), b"".join(first), len(first))
        sockets = load.open_all(server, CONNECTIONS, stack)
        load.run(server, sockets, batches, depth=depth, newlines=newlines, seconds=seconds / 10)
        server.settle()
        times, cpu = server.times(), server.cpu()
        outcome = load.run(
            server, sockets, batches, depth=depth, newlines=newlines, seconds=seconds
        )
        figures = per_request(server, outcome.commands, cpu, times)
    return {
        **figures,
        "rate": outcome.rate,
        "busy": outcome.server_busy,
        "load": outcome.load_busy,
    }


def measure_text(lab: Lab, section: Section) -> None:
    """All of it, of each of our own peers; the dialects take turns."""

    def cell(command: str, depth: int, dialect: str) -> Measure:
        return lambda peer, server: measure(server, command, depth, dialect, lab.seconds)

    cells: dict[Cell, Measure] = {
        (command, depth, dialect): cell(command, depth, dialect)
        for command in COMMANDS
        for depth in DEPTHS
        for dialect in DIALECTS
    }
    lab.alternate(section, cells, peers=[it for it in lab.peers if it.ours])
