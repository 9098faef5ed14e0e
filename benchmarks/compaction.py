"""What the compactor needs to make a new snapshot, by how many keys there are and have changed.

python -m benchmarks.compaction [--keys 1000000 5000000] [--changed 20000 200000] [--rounds 3]
                                [--times 1] [--batch 50] [--on DIR]

16-byte keys, 32-byte values, a tenth with deadlines. The old snapshot and one sealed segment are
made by the writers of the daemon; in the segment are that many keys, chosen at random, each set
``times`` times, so many in a frame. Then the compactor is run as the daemon runs it. ``CPU`` is of
the whole process, with its start (``start`` is what that costs alone); ``at the disk`` is how much
longer it took by the clock; ``memory`` is the most that the process had at a time. ``load`` is what
a daemon needs to read the new snapshot, as CPU and as memory of a process that does nothing else.
Medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.servers import SERVER_CPU, table
from benchmarks.snapshot import key_of, value_of
from memdbd.commands.table import TYPES
from memdbd.effects import Effect, encode
from memdbd.persistence.frames import BEGINNING
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.journal import Journal, NextSegment
from memdbd.persistence.snapshot import (
    Entry,
    SnapshotWriter,
    header_line,
    install,
    lines_of,
)

FILE = "persistence.json"
CREATED = 1_795_403_907.0
DEADLINE = int(CREATED * 1000) + 36_000_000

LOAD = """\
import os, sys, time
from memdbd.commands.table import TYPES
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.loading import read
start = time.process_time()
snapshot = read(FileSystem(), sys.argv[1], {kind.name: kind for kind in TYPES})
used = time.process_time() - start
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(snapshot.size, used, int(status["VmHWM"].split()[0]) * 1024, flush=True)
os._exit(0)
"""


def entry_of(number: int) -> Entry:
    return 0, key_of(number), value_of(number), None if number % 10 else DEADLINE


def effect_of(number: int) -> Effect:
    if number % 10:
        return b"SET", key_of(number), value_of(number + 1)
    return b"SET", key_of(number), value_of(number + 1), b"PXAT", DEADLINE


def make_snapshot(fs: FileSystem, path: str, keys: int) -> None:
    writer = SnapshotWriter(fs, path, header_line(0, CREATED, None))
    kinds = {kind.python: kind for kind in TYPES}
    for lines, count in lines_of(map(entry_of, range(keys)), kinds):
        writer.add(lines, count)
    writer.finish()
    install(fs, path)


def batches(numbers: Sequence[int], batch: int) -> Iterator[list[Effect]]:
    for first in range(0, len(numbers), batch):
        yield [effect_of(number) for number in numbers[first : first + batch]]


def make_journal(fs: FileSystem, directory: str, numbers: Sequence[int], batch: int) -> int:
    """A sealed segment and the next one; gives the sealed one's length in bytes."""
    journal: Journal = NextSegment(fs, directory, 1, 0x5EA1ED).begin(BEGINNING)
    for effects in batches(numbers, batch):
        journal.append(encode(effects, 0))
    journal.sync()
    journal.close()
    NextSegment(fs, directory, 2, 0x0BE9).begin(journal.link).close()
    return journal.length


@dataclass(frozen=True)
class Run:
    """What one run came to: seconds and bytes."""

    wall: float
    cpu: float
    output: dict[str, int]


def run(*command: str) -> Run:
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status:
        raise SystemExit(f"{command} has failed")
    return Run(wall, used.ru_utime + used.ru_stime, json.loads(output) if output else {})


def load(path: str) -> tuple[float, int]:
    """CPU seconds and bytes of memory of reading a snapshot."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD, path], capture_output=True, text=True, check=True
    )
    _, seconds, memory = done.stdout.split()
    return float(seconds), int(memory)


def measure(options: argparse.Namespace, keys: int) -> Iterator[list[object]]:
    fs = FileSystem()
    with tempfile.TemporaryDirectory(dir=options.on) as directory:
        path = str(Path(directory, FILE))
        make_snapshot(fs, path, keys)
        for changed in options.changed:
            for name in ("journal.00000001", "journal.00000002"):
                Path(directory, name).unlink(missing_ok=True)
            chosen = random.Random(1).sample(range(keys), changed) * options.times
            length = make_journal(fs, directory, chosen, options.batch)
            runs = []
            for _ in range(options.rounds):
                compactor = ["-m", "memdbd.persistence.compactor", directory, FILE, "2"]
                runs.append(run(*compactor))
                assert runs[-1].output["count"] == keys
                assert runs[-1].output["changed"] == changed
            cpu, wall = (median(getattr(each, name) for each in runs) for name in ("cpu", "wall"))
            yield [
                f"{keys:,}",
                f"{changed:,}",
                f"{length / 1e6:.1f}",
                f"{runs[0].output['bytes'] / 1e6:.0f}",
                f"{wall:.2f}",
                f"{cpu:.2f}",
                f"{wall - cpu:.2f}",
                f"{cpu / keys * 1e6:.2f}",
                f"{max(each.output['memory'] for each in runs) / 1e6:.0f}",
            ]
        loads = [load(f"{path}.tmp") for _ in range(options.rounds)]
        seconds, memory = median(each for each, _ in loads), loads[0][1]
        print(f"load of {keys:,} keys: {seconds:.2f} s of CPU, {memory / 1e6:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, nargs="+", default=[1_000_000, 5_000_000])
    parser.add_argument("--changed", type=int, nargs="+", default=[20_000, 200_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--on", type=Path, default=None)
    options = parser.parse_args()
    os.sched_setaffinity(0, {SERVER_CPU})
    start = [run("-c", "import memdbd.persistence.compactor") for _ in range(options.rounds)]
    print(f"start: {median(each.cpu for each in start):.2f} s of CPU")
    rows: list[list[object]] = [
        [
            "keys",
            "changed",
            "journal MB",
            "snapshot MB",
            "s",
            "CPU s",
            "at the disk s",
            "CPU s a million keys",
            "memory MB",
        ]
    ]
    for keys in options.keys:
        rows.extend(measure(options, keys))
    print(table(rows))


if __name__ == "__main__":
    main()
