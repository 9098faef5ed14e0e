"""How long a daemon needs to start again, beside redis-server in the same run.

python -m benchmarks.loading [--keys 1000000 5000000] [--frames 1000000] [--rounds 3]

16-byte keys, 32-byte values, a tenth with deadlines. ``snapshot`` is all keys in a snapshot, made
by the servers themselves with SAVE. ``journal`` is so many SET, 50 in a frame, and no snapshot; of
redis-server the log as it was appended to, which is never rewritten. Both are started on the same
core, and killed by SIGKILL, so that they find the same each time. A time is from the start of the
process to the first PONG, less the same with nothing to load: by the clock, and of CPU. ``ratio``
is redis-server's time by ours, of CPU. Medians over the rounds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager
from statistics import median

from benchmarks import load
from benchmarks.servers import Server, memdbd, pin_load, redis, table
from benchmarks.snapshot import ask, key_of, restart, value_of

TURN = 50  # requests at a time, which are a frame of ours

Starting = Callable[[], AbstractContextManager[Server]]
SNAPSHOT: dict[str, Starting] = {"memdbd": memdbd, "redis-server": redis}
JOURNAL: dict[str, Starting] = {
    "memdbd": lambda: memdbd("--snapshot-after", "0", "--durability", "no"),
    "redis-server": lambda: redis(
        "--appendonly", "yes", "--appendfsync", "no", "--auto-aof-rewrite-percentage", "0"
    ),
}


def set_of(number: int) -> bytes:
    key, value = key_of(number), value_of(number)
    if number % 10:
        return load.resp(b"set", key, value)
    return load.resp(b"setex", key, b"36000", value)


def fill(server: Server, count: int, batch: int) -> None:
    with server.connect() as connection:
        for first in range(0, count, batch):
            numbers = range(first, min(first + batch, count))
            load.exchange(connection, b"".join(map(set_of, numbers)), len(numbers))


def started(server: Server, count: int, rounds: int) -> tuple[float, float]:
    """Seconds, by the clock and of CPU, until it answers and has all of its keys."""
    times = []
    for _ in range(rounds):
        server.process.kill()
        server.process.wait()
        times.append(restart(server))
        with server.connect() as connection:
            size = int(ask(connection, load.resp(b"dbsize"))[1:])
        if size != count:
            raise SystemExit(f"{server.name} has {size} of {count} keys")
    wall, cpu = zip(*times, strict=True)
    return median(wall), median(cpu)


def measure(
    name: str, starting: dict[str, Starting], count: int, rounds: int, *, saves: bool
) -> list[object]:
    cells: list[object] = [name, f"{count:,}"]
    took = []
    for start in starting.values():
        with start() as server:
            empty = started(server, 0, rounds)
            fill(server, count, 1000 if saves else TURN)
            if saves:
                with server.connect() as connection:
                    ask(connection, load.resp(b"save"))
            full = started(server, count, rounds)
            server.process.kill()
            server.process.wait()
        took.append([of_full - of_empty for of_full, of_empty in zip(full, empty, strict=True)])
        cells += [f"{seconds:.2f}" for seconds in took[-1]]
    (_, ours), (_, theirs) = took
    return [*cells, f"{theirs / ours:.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keys", type=int, nargs="+", default=[1_000_000, 5_000_000])
    parser.add_argument("--frames", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    pin_load()
    heads = [f"{name} {what}" for name in SNAPSHOT for what in ("s", "cpu s")]
    rows: list[list[object]] = [["what", "keys", *heads, "ratio"]]
    rows += [
        measure("snapshot", SNAPSHOT, count, options.rounds, saves=True) for count in options.keys
    ]
    rows += [
        measure("journal", JOURNAL, count, options.rounds, saves=False) for count in options.frames
    ]
    print(table(rows))


if __name__ == "__main__":
    main()
