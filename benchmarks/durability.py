"""What each policy of durability costs, beside redis-server with the same one.

python -m benchmarks.durability [--requests 60000] [--rounds 5] [--depth 1 16] [--tree DIR …]

Each server runs pinned to one core and redis-benchmark on the other: SET of 3 bytes to 100,000 keys
in random order, 50 connections. memdbd runs with ``--durability``, redis-server with ``appendonly
yes`` and the same ``appendfsync``, both on the same file system, and neither compacts its journal
meanwhile. A round has each server once, started anew; rounds are alternated. Shown are medians:
requests a second, CPU time a request (user and system, of all the server's threads), latency, and
the median over the rounds of what of redis-server's speed that is in the same round. ``none`` is
redis-server without a journal. Under that, by the same rounds, what each policy costs against
``no``.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
from collections import defaultdict
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.servers import HOST, LOAD_CPU, ROOT, Server, memdbd, redis, table

POLICIES = ("no", "everysec", "always")
NONE = "none"  # redis-server alone: no journal at all
REDIS = "redis"


class Figures(NamedTuple):
    """What one run came to."""

    rps: float
    cpu: float  # microseconds a request
    p50: float  # milliseconds
    p99: float


def measure(server: Server, depth: int, requests: int) -> Figures:
    server.settle()
    before = server.cpu()
    done = subprocess.run(
        [
            "redis-benchmark", "-h", HOST, "-p", str(server.port), "-t", "set", "-n", str(requests),
            "-P", str(depth), "-c", "50", "-r", "100000", "--csv",
        ],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CPU}),
    )  # fmt: skip
    used = server.cpu() - before
    (row,) = csv.DictReader(done.stdout.splitlines())
    return Figures(
        float(row["rps"]),
        used / requests * 1e6,
        float(row["p50_latency_ms"]),
        float(row["p99_latency_ms"]),
    )


def ours(policy: str, tree: Path) -> AbstractContextManager[Server]:
    return memdbd("--durability", policy, "--snapshot-after", "0", tree=tree)


def theirs(policy: str) -> AbstractContextManager[Server]:
    if policy == NONE:
        return redis()
    return redis(
        "--appendonly", "yes", "--appendfsync", policy, "--auto-aof-rewrite-percentage", "0"
    )  # fmt: skip


Seen = dict[tuple[str, str, int], list[Figures]]  # by server, policy and depth; one a round


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--depth", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--policy", nargs="+", default=POLICIES, choices=POLICIES)
    parser.add_argument("--tree", type=Path, nargs="+", default=[ROOT])
    options = parser.parse_args()
    seen: Seen = defaultdict(list)
    for number in range(options.rounds):
        for policy in options.policy:
            starts = [
                (REDIS, theirs(policy)),
                *((str(it), ours(policy, it)) for it in options.tree),
            ]
            # Who comes first finds the disk as another has left it: that must not be always the
            # same one.
            for name, starting in starts if number % 2 else reversed(starts):
                run(seen, name, policy, starting, options)
        run(seen, REDIS, NONE, theirs(NONE), options)
    show(seen, options)


def run(
    seen: Seen,
    name: str,
    policy: str,
    starting: AbstractContextManager[Server],
    options: argparse.Namespace,
) -> None:
    with starting as server:
        for depth in options.depth:
            measure(server, depth, options.requests // 10)
            # As long for each depth, about.
            requests = options.requests * (1 if depth == 1 else 4)
            seen[name, policy, depth].append(measure(server, depth, requests))


def show(seen: Seen, options: argparse.Namespace) -> None:
    rows: list[list[object]] = [
        ["policy", "depth", "server", "SET/s", "of redis", "CPU µs", "p50 ms", "p99 ms"]
    ]
    costs: list[list[object]] = [["policy", "depth", "server", "of its speed with `no`"]]
    names = {str(tree): tree.name if len(options.tree) > 1 else "memdbd" for tree in options.tree}
    names[REDIS] = "redis-server"
    for policy in (*options.policy, NONE):
        for depth in options.depth:
            for server, shown in names.items():
                figures = seen.get((server, policy, depth))
                if figures is None:
                    continue
                middle = Figures(*map(median, zip(*figures, strict=True)))
                rows.append(
                    [policy, depth, shown, f"{middle.rps:,.0f}",
                     f"{ratio(figures, seen[REDIS, policy, depth]):.2f}",
                     f"{middle.cpu:.2f}", f"{middle.p50:.2f}", f"{middle.p99:.2f}"]
                )  # fmt: skip
                against = seen.get((server, "no", depth))
                if against and policy != "no":
                    costs.append([policy, depth, shown, f"{ratio(figures, against):.2f}"])
    print(table(rows))
    print()
    print(table(costs))


def ratio(these: list[Figures], those: list[Figures]) -> float:
    """The median over the rounds of the ratio of speeds in the same round."""
    return median(one.rps / other.rps for one, other in zip(these, those, strict=True))


if __name__ == "__main__":
    main()
