"""Pipelined ``set`` and ``get`` in the text dialect, against redis-server with SET and GET.

python -m benchmarks.text_pipeline [--rounds 5] [--seconds 1] [--tree DIR …]

The servers take turns, round by round, in a new order each; the table has medians over the
rounds, and the ratio is the median of the rounds' ratios (redis-server's CPU a command over
memdbd's: 0.4 means that memdbd does 0.4 of the commands with the same CPU). ``… busy`` is how busy
the two were. Where the load was busy 0.9 of the time and more, the rate is the load's and not the
server's; where neither was, the machine was busy with something else, or (one connection) they
waited for each other, and only the CPU a command says something. ``--tree`` names another copy of
the code to run beside, as often as wanted; the first is the repository's own.
"""

from __future__ import annotations

import argparse
import random
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benchmarks import load
from benchmarks.servers import ROOT, Server, memdbd, pin_load, redis, table

DEPTHS = (1, 16, 100)
CONNECTIONS = (1, 50)
KEYS = 10_000
VALUE = b"john_doe_of_somewhere_0123456789"  # 32 bytes
OPERATIONS = ("set", "get")


def requests(operation: str, dialect: str) -> list[bytes]:
    make = load.resp if dialect == "redis" else load.text
    value = [VALUE] if operation == "set" else []
    return [make(operation.encode(), b"user:%010d" % number, *value) for number in range(KEYS)]


def measure(
    server: Server, operation: str, depth: int, connections: int, seconds: float
) -> load.Outcome:
    batches = load.in_batches(requests(operation, server.name)[: KEYS // depth * depth], depth)
    # RESP answers GET with two lines.
    newlines = depth * (2 if (server.name, operation) == ("redis", "get") else 1)
    with ExitStack() as stack:
        sockets = [stack.enter_context(server.connect()) for _ in range(connections)]
        load.run(server, sockets, batches, depth=depth, newlines=newlines, seconds=seconds / 10)
        return load.run(server, sockets, batches, depth=depth, newlines=newlines, seconds=seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--tree", type=Path, action="append", default=[])
    parser.add_argument("--depth", type=int, action="append")
    options = parser.parse_args()
    pin_load()
    with ExitStack() as stack:
        servers = [stack.enter_context(redis())]
        servers += [stack.enter_context(memdbd(tree=it)) for it in [ROOT, *options.tree]]
        cases = [
            (depth, connections, operation)
            for depth in options.depth or DEPTHS
            for connections in CONNECTIONS
            for operation in OPERATIONS
        ]
        outcomes: dict[tuple[object, ...], list[load.Outcome]] = {}
        for server in servers:  # the keys that are read must be there
            measure(server, "set", 100, 1, 0.5)
        for _ in range(options.rounds):
            for case in cases:
                for server in random.sample(servers, len(servers)):
                    depth, connections, operation = case
                    outcome = measure(server, operation, depth, connections, options.seconds)
                    outcomes.setdefault((*case, server), []).append(outcome)
    rows: list[list[object]] = [
        [
            "depth",
            "connections",
            "command",
            "server",
            "commands/s",
            "CPU µs",
            "ratio",
            "server busy",
            "load busy",
        ]
    ]
    for case in cases:
        baseline = outcomes[*case, servers[0]]
        for server in servers:
            mine = outcomes[*case, server]
            ratio = median(one.cost / two.cost for one, two in zip(baseline, mine, strict=True))
            rows.append(
                [
                    *case,
                    server.name,
                    f"{median(it.rate for it in mine):,.0f}",
                    f"{median(it.cost for it in mine):.2f}",
                    f"{ratio:.2f}",
                    f"{median(it.server_busy for it in mine):.2f}",
                    f"{median(it.load_busy for it in mine):.2f}",
                ]
            )
    print(table(rows))


if __name__ == "__main__":
    main()
