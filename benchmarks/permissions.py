"""What it costs to look whether a client may do what it asks for.

python -m benchmarks.permissions [--requests 400000] [--rounds 7] [--before TREE]

CPU time of the server a request, redis-benchmark at depth 100 with 50 connections, the server
pinned to one core: for a user who may do everything, of whom nothing is looked at; one who may not
use some commands; one who may use keys with a prefix; one whose keys match another pattern. Rounds
alternate between them, and medians are shown. ``--before`` is a tree of the code before there were
users, which takes part in the same rounds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benchmarks.servers import HOST, LOAD_CPU, Server, memdbd, table

USERS = {
    "everything": "~* &* +@all",
    "some commands": "~* &* +@all -@dangerous",
    "keys with a prefix": "~key:* &* +@all -@dangerous",
    "keys by a pattern": "~k?y:* &* +@all -@dangerous",
}
DEPTH = 100


def name_of(user: str) -> str:
    return user.replace(" ", "-")


def write_users(directory: Path) -> None:
    lines = [f"user {name_of(user)} on nopass {rules}\n" for user, rules in USERS.items()]
    (directory / "users").write_text("user default on nopass ~* &* +@all\n" + "".join(lines))


def measure(server: Server, test: str, requests: int, user: str) -> float:
    """CPU microseconds a request."""
    login = ["--user", name_of(user), "-a", "any"] if user else []
    before = server.cpu()
    subprocess.run(
        [
            "redis-benchmark", "-h", HOST, "-p", str(server.port), "-t", test, "-n", str(requests),
            "-P", str(DEPTH), "-c", "50", "-r", "100000", "-q", *login,
        ],
        capture_output=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CPU}),
    )  # fmt: skip
    return (server.cpu() - before) / requests * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--before", type=Path)
    options = parser.parse_args()
    seen: dict[tuple[str, str], list[float]] = defaultdict(list)
    with ExitStack() as running:
        now = running.enter_context(memdbd("--auth", "users:users", prepare=write_users))
        before = running.enter_context(memdbd(tree=options.before)) if options.before else None
        for _ in range(options.rounds):
            for test in ("set", "get"):
                if before is not None:
                    seen["before", test].append(measure(before, test, options.requests, ""))
                for user in USERS:
                    seen[user, test].append(measure(now, test, options.requests, user))
    rows: list[list[object]] = [["user", "SET µs", "of everything", "GET µs", "of everything"]]
    base = {test: median(seen["everything", test]) for test in ("set", "get")}
    for user in dict.fromkeys(user for user, _ in seen):
        row: list[object] = [user]
        for test, least in base.items():
            cost = median(seen[user, test])
            row += [f"{cost:.3f}", f"{cost / least - 1:+.1%}"]
        rows.append(row)
    print(table(rows))


if __name__ == "__main__":
    main()
