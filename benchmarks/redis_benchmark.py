"""redis-benchmark, as a load: running it on the load's core, and reading what it prints.

Its plain output is read and not ``--csv``, which has no 99.9 %.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.servers import HOST, LOAD_CPU, Server

TIMEOUT = 30.0  # seconds, of a run that should take one
BESIDE = 100  # bytes that are written beside a value, about


class Printed(NamedTuple):
    """What redis-benchmark says of one test: requests a second, and milliseconds.

    It counts in milliseconds, so a run that takes less than one has infinitely many.
    """

    rate: float
    p50: float
    p99: float
    p999: float


def parse(output: str) -> Printed:
    """What it printed, of one test.

    Raises ValueError where that is not what a test ends with.
    """
    rate = re.search(r"throughput summary: ([\d.]+|inf) requests per second", output)
    summary = re.search(r"avg +min +p50 +p95 +p99 +max *\n\s+([\d. ]+)", output)
    percentiles = re.findall(r"^([\d.]+)% <= ([\d.]+) milliseconds", output, re.MULTILINE)
    if not (rate and summary and percentiles):
        raise ValueError(f"redis-benchmark printed no figures: {output[-300:]!r}")
    _, _, p50, _, p99, _ = map(float, summary[1].split())
    beyond = next(float(ms) for percent, ms in percentiles if float(percent) >= 99.9)
    return Printed(float(rate[1]), p50, p99, beyond)


@dataclass(frozen=True)
class Load:
    """What redis-benchmark is to do."""

    what: Sequence[str]  # -t and a test of its own, or a command's words
    depth: int = 1
    clients: int = 50
    size: int = 3  # bytes of a value
    keys: int = 100_000  # from which it takes one at random


def run(server: Server, load: Load, requests: int) -> dict[str, float]:
    """The figures of so many requests, once the server is settled.

    Raises ValueError, CalledProcessError or TimeoutExpired where it fails, or answers were errors.
    """
    command = [
        "redis-benchmark", "-h", HOST, "-p", str(server.port), "-n", str(requests),
        "-P", str(load.depth), "-c", str(load.clients), "-r", str(load.keys),
        "-d", str(load.size), *load.what,
    ]  # fmt: skip
    server.settle(requests * (load.size + BESIDE))
    times, cpu, used = server.times(), server.cpu(), _children()
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        timeout=TIMEOUT,
        preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CPU}),
    )
    if "Error" in done.stderr or "Error from server" in done.stdout:
        raise ValueError(f"redis-benchmark was answered: {(done.stderr or done.stdout)[:300]}")
    printed = parse(done.stdout)
    wall = requests / printed.rate  # its start and end are no part of it
    return {
        **per_request(server, requests, cpu, times),
        "rate": printed.rate,
        "p50": printed.p50,
        "p99": printed.p99,
        "p999": printed.p999,
        "busy": share(server.cpu() - cpu, wall),
        "load": share(_children() - used, wall),
    }


def share(used: float, wall: float) -> float:
    """How much of its core a process had; all, where redis-benchmark's clock saw no time go by,
    which only tells whoever tries how many requests are enough that these were not."""
    return min(1.0, used / wall) if wall else 1.0


def _children() -> float:
    """Seconds of CPU of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def per_request(
    server: Server, requests: int, cpu: float, times: tuple[float, float]
) -> dict[str, float]:
    """CPU microseconds a request since ``cpu`` and ``times`` were read, and the system's share."""
    used = server.cpu() - cpu
    user, system = (now - then for now, then in zip(server.times(), times, strict=True))
    share = system / (user + system) if user + system else 0.0
    return {"cpu": used / requests * 1e6, "system": share}
