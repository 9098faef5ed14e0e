"""redis-benchmark's own tests, on memdbd and on redis-server.

python -m benchmarks.redis_benchmark [--requests 60000] [--rounds 3] [--depth 1 16]

Each server runs pinned to one core and redis-benchmark on the other, 50 connections; rounds
alternate between the servers, and medians are shown: requests a second, CPU time a request (user
and system, of the server), and what of redis-server's speed that is.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
from collections import defaultdict
from statistics import median

from benchmarks.servers import HOST, LOAD_CPU, Server, memdbd, redis, table

TESTS = (
    "ping_mbulk", "set", "get", "incr", "lpush", "rpush", "lpop", "rpop", "sadd", "hset", "spop",
    "zadd", "zpopmin", "lrange_100", "lrange_600", "mset",
)  # fmt: skip


def measure(server: Server, test: str, depth: int, requests: int) -> tuple[float, float]:
    """Requests a second, and CPU microseconds each."""
    before = server.cpu()
    done = subprocess.run(
        [
            "redis-benchmark", "-h", HOST, "-p", str(server.port), "-t", test, "-n", str(requests),
            "-P", str(depth), "-c", "50", "-r", "100000", "--csv",
        ],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CPU}),
    )  # fmt: skip
    used = server.cpu() - before
    rows = list(csv.DictReader(done.stdout.splitlines()))
    # What a test of LRANGE pushes first is a row of its own.
    return float(rows[-1]["rps"]), used / (requests * len(rows)) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--depth", type=int, nargs="+", default=[1, 16])
    options = parser.parse_args()
    seen: dict[tuple[str, int, str], list[tuple[float, float]]] = defaultdict(list)
    with memdbd() as ours, redis() as theirs:
        for _ in range(options.rounds):
            for depth in options.depth:
                for test in TESTS:
                    for name, server in (("memdbd", ours), ("redis", theirs)):
                        requests = options.requests // (10 if "lrange" in test else 1)
                        seen[test, depth, name].append(measure(server, test, depth, requests))
    rows: list[list[object]] = [
        ["test", "depth", "memdbd/s", "redis/s", "ratio", "memdbd CPU µs", "redis CPU µs"]
    ]
    for depth in options.depth:
        for test in TESTS:
            ours_rps, ours_cpu = map(median, zip(*seen[test, depth, "memdbd"], strict=True))
            rps, cpu = map(median, zip(*seen[test, depth, "redis"], strict=True))
            rows.append(
                [test, depth, f"{ours_rps:,.0f}", f"{rps:,.0f}", f"{ours_rps / rps:.2f}",
                 f"{ours_cpu:.2f}", f"{cpu:.2f}"]
            )  # fmt: skip
    print(table(rows))


if __name__ == "__main__":
    main()
