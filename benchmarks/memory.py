"""What ``max_memory`` counts, against what the process really grows by.

python -m benchmarks.memory [--keys 1000000] [--quick] [--tree DIR]

Fills a BoundedKeyspace, each time in a new process, with keys and values of one size, and compares
``BoundedKeyspace.memory`` with the growth of the resident size. ``a key`` is what a key costs
beside its own object and its value's, by the resident size: what KEY_OVERHEAD and, where there
are deadlines, DEADLINE_OVERHEAD stand for. ``off`` is counted over real: 1.10 counts 10 % too
much. At the end stand the overheads that fit best for each policy, and how far off they are at
worst: they minimise the largest relative error over the shapes.

A dict doubles its table when it is two thirds full, so what a key costs depends on how many there
are; the last table shows that, with one shape.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.servers import ROOT, rss_of, table

KEY_SIZES = (8, 16, 64)
VALUE_SIZES = (3, 32, 1024, 16 * 1024)
POLICIES = ("allkeys-lru", "volatile-lru", "volatile-ttl", "noeviction")
LARGEST = 3 * 1024**3  # bytes of values in one process: of large ones there are fewer
COUNTS = (500_000, 690_000, 710_000, 1_000_000, 1_390_000, 1_410_000, 2_000_000)


@dataclass(frozen=True)
class Shape:
    """What one process is filled with."""

    key: int
    value: int
    deadlines: bool
    policy: Any
    count: int


@dataclass(frozen=True)
class Seen:
    """What came of it, in bytes; ``objects``: what the key and value objects say of their size."""

    shape: Shape
    real: int
    counted: int
    objects: int

    @property
    def off(self) -> float:
        return self.counted / self.real

    @property
    def each(self) -> float:
        """Bytes a key costs beside the objects."""
        return (self.real - self.objects) / self.shape.count


def fill(shape: Shape) -> Seen:
    """In this process, which must be new."""
    from sys import getsizeof

    from memdbd.eviction import BoundedKeyspace

    keyspace = BoundedKeyspace(
        lambda: 0, lambda *change: None, lambda value: b"", shape.policy, {bytes: getsizeof}
    )
    now = 1_800_000_000_000
    shuffled = random.Random(1)
    before = rss_of()
    objects = 0
    for number in range(shape.count):
        key = b"%0*d" % (shape.key, number)
        value = b"%0*d" % (shape.value, number % 1000)
        objects += getsizeof(key) + getsizeof(value)
        deadline = now + shuffled.randrange(3_600_000) if shape.deadlines else None
        keyspace.set(key, value, deadline)
    return Seen(shape, rss_of() - before, keyspace.memory, objects)


def in_new_process(shape: Shape, tree: Path) -> Seen:
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", "--shape", json.dumps(asdict(shape))],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{tree}:{ROOT}", "PYTHONSAFEPATH": "1"},
        stdout=subprocess.PIPE,
        check=True,
    )
    seen = json.loads(run.stdout)
    return Seen(shape, seen["real"], seen["counted"], seen["objects"])


def fit(seen: Iterable[Seen]) -> tuple[int, float]:
    """The overhead a key that is nearest, and the largest relative error then.

    The largest of |(objects + overhead) / real - 1| is least where the worst on both sides are
    equal; a search over whole bytes is quick enough.
    """
    shapes = list(seen)

    def worst(overhead: int) -> float:
        return max(abs((it.objects + overhead * it.shape.count) / it.real - 1) for it in shapes)

    best = min(range(2000), key=worst)
    return best, worst(best)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--quick", action="store_true", help="two policies, fewer shapes")
    parser.add_argument("--tree", type=Path, default=ROOT)
    parser.add_argument("--shape", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.shape:
        seen = fill(Shape(**json.loads(options.shape)))
        print(json.dumps({"real": seen.real, "counted": seen.counted, "objects": seen.objects}))
        return
    policies = POLICIES[:2] if options.quick else POLICIES
    values = VALUE_SIZES[:2] if options.quick else VALUE_SIZES
    rows: list[list[object]] = [
        ["policy", "deadlines", "key", "value", "keys", "real MB", "counted MB", "off", "a key"]
    ]
    seen_of: dict[tuple[str, bool], list[Seen]] = {}
    for policy, deadlines, key, value in product(policies, (False, True), KEY_SIZES, values):
        count = min(options.keys, LARGEST // value)
        seen = in_new_process(Shape(key, value, deadlines, policy, count), options.tree)
        seen_of.setdefault((policy, deadlines), []).append(seen)
        megabytes = [f"{size / 1e6:.0f}" for size in (seen.real, seen.counted)]
        yes = "yes" if deadlines else "no"
        each = f"{seen.each:.0f}"
        rows.append([policy, yes, key, value, count, *megabytes, f"{seen.off:.2f}", each])
    print(table(rows))
    print()
    rows = [["policy", "overhead a key", "worst error", "with a deadline, more", "worst error"]]
    for policy in policies:
        without, error = fit(seen_of[policy, False])
        with_it, other_error = fit(seen_of[policy, True])
        rows.append([policy, without, f"{error:.0%}", with_it - without, f"{other_error:.0%}"])
    print(table(rows))
    print()
    rows = [["keys", "a key", "off"]]
    for count in COUNTS:
        seen = in_new_process(Shape(16, 32, False, "allkeys-lru", count), options.tree)
        rows.append([count, f"{seen.each:.0f}", f"{seen.off:.2f}"])
    print(table(rows))


if __name__ == "__main__":
    main()
