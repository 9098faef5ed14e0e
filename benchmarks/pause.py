"""How long the loop is held while a snapshot is made, and what the compactor needs.

python -m benchmarks.pause [--keys 1000000 5000000] [--changed 20000 200000] [--rounds 3]
                           [--compactor-elsewhere]

16-byte keys, 32-byte values, a tenth with deadlines; so many of them, chosen at random, are set
anew, and then SAVE is sent. A ticker runs in the daemon's own loop (:mod:`benchmarks.ticking`):
``tick`` is the longest time between two ticks of a millisecond, ``CPU`` the most that the loop used
between two, ``gc`` the longest run of Python's collector, ``own`` the longest time between two less
that in which another process had the core, be it the compactor or none of ours. Meanwhile a client
on the other core sends PING each millisecond: ``ping`` is the longest wait for the answer, and what
99.9 % waited at most. All of them are the worst of all rounds. ``nothing`` is the same without a
SAVE: what the machine and the measurement cost. The compactor is on the daemon's core, or, if that
is said, on the client's. ``memory`` is the most that the compactor had at a time, ``s`` the median
time of a SAVE.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks import load
from benchmarks.compaction import FILE, make_snapshot
from benchmarks.servers import LOAD_CPU, Server, memdbd, pin_load, table
from benchmarks.snapshot import BATCH, key_of, value_of
from benchmarks.ticking import SOCKET, Pauses
from memdbd.persistence.fs import FileSystem

NOTHING = 3.0  # seconds of the row in which nothing is done


class Pinger(threading.Thread):
    """Sends PING each millisecond on a connection of its own."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self._connection = server.connect()
        self._ended = False
        self.waits: list[float] = []  # seconds

    def run(self) -> None:
        while not self._ended:
            start = time.perf_counter()
            self._connection.sendall(b"*1\r\n$4\r\nPING\r\n")
            self._connection.recv(100)
            waited = time.perf_counter() - start
            self.waits.append(waited)
            time.sleep(max(0.0, 0.001 - waited))

    def stop(self) -> list[float]:
        self._ended = True
        self.join()
        self._connection.close()
        return self.waits


class Compactor(threading.Thread):
    """Looks at the children of a daemon: how much memory they have had."""

    def __init__(self, server: Server, elsewhere: bool) -> None:
        super().__init__(daemon=True)
        self._tasks = Path(f"/proc/{server.process.pid}/task")
        self._elsewhere = elsewhere
        self._ended = False
        self.memory = 0  # bytes

    def run(self) -> None:
        while not self._ended:
            for task in self._tasks.iterdir():
                for pid in map(int, (task / "children").read_text().split()):
                    with contextlib.suppress(OSError, KeyError):  # it has just ended
                        self._look(pid)
            time.sleep(0.02)

    def _look(self, pid: int) -> None:
        if self._elsewhere:
            os.sched_setaffinity(pid, {LOAD_CPU})
        lines = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        )
        self.memory = max(self.memory, int(lines["VmHWM"].split()[0]) * 1024)

    def stop(self) -> int:
        self._ended = True
        self.join()
        return self.memory


def save(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(b"*1\r\n$4\r\nSAVE\r\n")
        reply = connection.recv(1000)
    if reply != b"+OK\r\n":
        raise SystemExit(f"no snapshot: {reply!r}")


def change(server: Server, keys: int, changed: int, seed: int) -> None:
    numbers = random.Random(seed).sample(range(keys), changed)
    with server.connect() as connection:
        for first in range(0, changed, BATCH):
            batch = [
                load.resp(b"set", key_of(number), value_of(number + seed))
                for number in numbers[first : first + BATCH]
            ]
            load.exchange(connection, b"".join(batch), len(batch))


class Row:
    """The worst of some rounds."""

    def __init__(self) -> None:
        self.ticks = [0.0, 0.0, 0.0, 0.0]
        self.waits: list[float] = []
        self.seconds: list[float] = []
        self.memory = 0

    def measure(self, server: Server, work: Callable[[], object], elsewhere: bool) -> None:
        pauses = Pauses(str(server.directory / SOCKET))
        pinger, compactor = Pinger(server), Compactor(server, elsewhere)
        pauses.take()
        compactor.start()
        pinger.start()
        start = time.perf_counter()
        work()
        self.seconds.append(time.perf_counter() - start)
        self.waits += pinger.stop()
        self.memory = max(self.memory, compactor.stop())
        self.ticks = [*map(max, self.ticks, pauses.take())]

    def cells(self) -> list[str]:
        waits = sorted(self.waits)
        return [
            *(f"{it:.1f}" for it in self.ticks),
            f"{waits[-1] * 1000:.1f}",
            f"{waits[len(waits) * 999 // 1000] * 1000:.1f}",
            f"{median(self.seconds):.2f}",
            f"{self.memory / 1e6:.0f}" if self.memory else "",
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keys", type=int, nargs="+", default=[1_000_000, 5_000_000])
    parser.add_argument("--changed", type=int, nargs="+", default=[20_000, 200_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compactor-elsewhere", action="store_true")
    options = parser.parse_args()
    pin_load()
    rows: list[list[object]] = [
        [
            "keys",
            "changed",
            "tick ms",
            "CPU ms",
            "gc ms",
            "own ms",
            "ping ms",
            "99.9 % ms",
            "s",
            "memory MB",
        ]
    ]
    for keys in options.keys:

        def prepare(directory: Path, keys: int = keys) -> None:
            make_snapshot(FileSystem(), str(directory / FILE), keys)

        with memdbd(
            "--snapshot-after", "0", module="benchmarks.ticking", prepare=prepare
        ) as server:
            for changed in (None, *options.changed):
                row = Row()
                for seed in range(options.rounds):
                    if changed is None:
                        row.measure(server, lambda: time.sleep(NOTHING), False)
                        continue
                    change(server, keys, changed, seed)
                    row.measure(server, lambda: save(server), options.compactor_elsewhere)
                shown = "nothing" if changed is None else f"{changed:,}"
                rows.append([f"{keys:,}", shown, *row.cells()])
    print(table(rows))


if __name__ == "__main__":
    main()
