"""What those who guess passwords get out of it, and what they cost the others.

python -m benchmarks.guessing [--rounds 7] [--seconds 3] [--samples 60]

First, how long a log-in takes: of users who are there or not, are off, have an old hash, with a
right password and a wrong one, each on a new connection, in random order; medians, and for each
kind a permutation test against the first (p: how often a difference of medians like this one would
come about by chance, were there none). Then the time that requests of a client take which is
logged in, one or a hundred at once, without and with ten others who guess as fast as they can, in
rounds that alternate. (A single request may take longer alone: an idle core has to wake up.)
The daemon has both cores, as it would have, and its clients one of them.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import random
import socket
import threading
import time
from collections import defaultdict
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

from benchmarks.servers import Server, memdbd, pin_load, table
from memdbd import passwords

RIGHT, WRONG = b"correct horse battery staple", b"Correct horse battery staple"
GUESSERS = 10
PERMUTATIONS = 2000

# The user and the password of each kind of log-in; the first is what the others are compared with.
KINDS = {
    "wrong password": (b"ann", WRONG),
    "right password": (b"ann", RIGHT),
    "no such user": (b"nobody-of-this-name", WRONG),
    "user without a password": (b"bare", WRONG),
    "user who is off, wrong": (b"off", WRONG),
    "user who is off, right": (b"off", RIGHT),
    "old hash, wrong": (b"old", WRONG),
}


def write_users(directory: Path) -> None:
    scrypt = passwords.make(RIGHT, os.urandom(16))
    sha256 = hashlib.sha256(RIGHT).hexdigest()
    (directory / "users").write_text(
        f"user ann on #{scrypt} ~* &* +@all\nuser bare on ~* +@all\nuser off off #{scrypt} +@all\n"
        f"user old on #{sha256} ~* +@all\n"
    )


def asked(connection: socket.socket, *words: bytes) -> bytes:
    """The reply, which is one line or two, to a request."""
    parts = b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
    connection.sendall(b"*%d\r\n%b" % (len(words), parts))
    return connection.recv(4096)


def time_of_login(server: Server, user: bytes, password: bytes) -> float:
    """Milliseconds between a log-in and its reply."""
    with server.connect() as connection:
        begun = time.perf_counter()
        asked(connection, b"AUTH", user, password)
        return (time.perf_counter() - begun) * 1000


def chance(some: list[float], others: list[float]) -> float:
    """How often medians would be that far apart if both were of one kind."""
    found = abs(median(some) - median(others))
    both, dice = some + others, random.Random(1)
    further = 0
    for _ in range(PERMUTATIONS):
        dice.shuffle(both)
        further += abs(median(both[: len(some)]) - median(both[len(some) :])) >= found
    return further / PERMUTATIONS


def show_timing(server: Server, samples: int) -> None:
    seen: dict[str, list[float]] = defaultdict(list)
    for _ in range(samples):
        for kind in random.sample([*KINDS], len(KINDS)):
            seen[kind].append(time_of_login(server, *KINDS[kind]))
            time.sleep(0.12)  # the rest behind one that failed
    first = next(iter(KINDS))
    rows: list[list[object]] = [["log-in", "median ms", "quartiles", "p"]]
    for kind in KINDS:
        times = sorted(seen[kind])
        quarter = len(times) // 4
        p = "" if kind == first else f"{chance(seen[first], times[:]):.2f}"
        quartiles = f"{times[quarter]:.1f} to {times[-quarter - 1]:.1f}"
        rows.append([kind, f"{median(times):.2f}", quartiles, p])
    print(table(rows))


class Guessers:
    """Ten who guess, each on connections of his own, until they are told to stop: in a process of
    their own, so that they do not slow who measures."""

    def __init__(self, server: Server) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.Process(target=_guess, args=(server, theirs))
        self._process.start()

    def stop(self) -> tuple[int, int, float]:
        """How many replies they had, how many of them let them in, and in how many seconds."""
        self._pipe.send(None)
        replies, got_in, seconds = self._pipe.recv()
        self._process.join()
        return replies, got_in, seconds


def _guess(server: Server, pipe: Connection) -> None:
    stop = threading.Event()
    counts = [0, 0]

    def guess() -> None:
        while not stop.is_set():
            try:
                with server.connect() as connection:
                    connection.settimeout(5)
                    while not stop.is_set():
                        reply = asked(connection, b"AUTH", b"ann", os.urandom(8).hex().encode())
                        if not reply:
                            break
                        counts[0] += 1
                        counts[1] += reply.startswith(b"+OK")
            except OSError:
                continue

    threads = [threading.Thread(target=guess) for _ in range(GUESSERS)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    pipe.recv()
    stop.set()
    for thread in threads:
        thread.join()
    pipe.send((*counts, time.perf_counter() - begun))


def seconds_of_requests(connection: socket.socket, depth: int, seconds: float) -> float:
    """The median of the seconds that so many GETs at once take."""
    request = b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n" * depth
    expected = len(b"$5\r\nvalue\r\n") * depth
    times = []
    end = time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        connection.sendall(request)
        missing = expected
        while missing:
            missing -= len(connection.recv(missing))
        times.append(time.perf_counter() - begun)
    return median(times)


def show_cost(server: Server, rounds: int, seconds: float) -> None:
    rows: list[list[object]] = [
        ["GETs at once", "alone us", f"with {GUESSERS} who guess us", "that is", "guesses/s", "in"]
    ]
    with server.connect() as connection:
        asked(connection, b"AUTH", b"ann", RIGHT)
        asked(connection, b"SET", b"key", b"value")
        for depth in (1, 100):
            alone, among = [], []
            replies, got_in, lasted = 0, 0, 0.0
            for _ in range(rounds):
                alone.append(seconds_of_requests(connection, depth, seconds) * 1e6)
                guessers = Guessers(server)
                among.append(seconds_of_requests(connection, depth, seconds) * 1e6)
                had, came_in, span = guessers.stop()
                replies, got_in, lasted = replies + had, got_in + came_in, lasted + span
            ratio = median(many / few for many, few in zip(among, alone, strict=True))
            rows.append(
                [depth, f"{median(alone):.0f}", f"{median(among):.0f}", f"{ratio - 1:+.0%}",
                 f"{replies / lasted:.1f}", got_in]
            )  # fmt: skip
    print(table(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--samples", type=int, default=60)
    options = parser.parse_args()
    with memdbd("--auth", "users:users", prepare=write_users) as server:
        os.sched_setaffinity(server.process.pid, {0, 1})
        pin_load()
        show_timing(server, options.samples)
        show_cost(server, options.rounds, options.seconds)


if __name__ == "__main__":
    main()
