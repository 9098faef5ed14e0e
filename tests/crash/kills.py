"""SIGKILL at random moments, to real daemons under load, and what is there when they start again.

PYTHONPATH=tests:. python -m crash.kills [--kills 300] [--seed 1] [--lanes 2]

A :class:`Lane` is a directory with one daemon after the other. Several clients write to it, each to
a database of its own, in both dialects, pipelined and not (:mod:`crash.writes`). The daemon is
killed under this load, while it starts, or while a snapshot is made, whose process is killed with
it or left. The next one, under any policy, must have the state behind a write that is not before
the last one that was acknowledged, nor behind the last one that was sent: exactly that state, in
each client's database, so that no write is lost, nothing is back that was deleted, and no
transaction is there by half. The clients go on from there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import hiredis
from crash.writes import READS, SHARED, TALLY, State, Words, Write, Writer, differences
from harness import PATIENCE, TWISTD, Daemon, environment, run

POLICIES = ("always", "everysec", "no")
CLOCKS = 100.0  # ms that the daemon's clock and ours may be apart
CLIENTS = ((False, 1), (False, 1), (False, 16), (False, 16), (True, 1), (True, 16))  # text, depth
NOT_YET = object()


class Violation(AssertionError):
    """A promise was broken."""


def encoded(words: Words, *, text: bool) -> bytes:
    if text:
        return json.dumps([word.decode() for word in words]).encode() + b"\n"
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(it), it) for it in words)


class Replies:
    """The replies in what comes from a socket; raises Violation for an error."""

    def __init__(self, *, text: bool) -> None:
        self._text = text
        self._reader = hiredis.Reader(notEnoughData=NOT_YET)
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Any]:
        if self._text:
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                if b'"error"' in line:
                    raise Violation(f"refused: {line!r}")
                result = json.loads(line)["result"]
                yield result.encode() if isinstance(result, str) else result
            return
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not NOT_YET:
            for one in reply if isinstance(reply, list) else [reply]:
                if isinstance(one, hiredis.ReplyError):
                    raise Violation(f"refused: {one}")
            yield reply


class Client:
    """Writes to the database ``number``, up to ``depth`` writes ahead of the replies.

    ``acknowledged`` is the state behind the last write that was replied to; those in ``sent`` may
    have been done or not.
    """

    def __init__(self, number: int, random: Random, *, text: bool, depth: int) -> None:
        self.number = number
        self.acknowledged: State = {}
        self.sent: deque[Write] = deque()
        self.counts: Counter[str] = Counter()
        self._writer = Writer(random, number, text=text)
        self._state: State = {}  # behind all that was sent
        self._text = text
        self._depth = depth
        self._out = b""
        self._awaited = 0  # replies to the first of those sent

    def connect(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.sock.setblocking(False)
        self._replies = Replies(text=self._text)
        self._send(Write(((b"SELECT", b"%d" % self.number),), ()))

    def write(self) -> None:
        """Send as much as may be sent."""
        while len(self.sent) < self._depth and not (self.sent and self.sent[-1].popped):
            self._send(self._writer.next(self._state))
        self.push()

    def push(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while self._out:
                self._out = self._out[self.sock.send(self._out) :]

    @property
    def has_more(self) -> bool:
        """Whether the socket took not all."""
        return bool(self._out)

    def _send(self, write: Write) -> None:
        if not self.sent:
            self._awaited = len(write.requests)
        self.sent.append(write)
        self._state = write.outcomes(self._state)[0]
        self._out += b"".join(encoded(words, text=self._text) for words in write.requests)

    def read(self) -> bool:
        """Hear what is replied; whether there may be more."""
        try:
            data = self.sock.recv(1 << 20)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        for reply in self._replies.feed(data):
            self._awaited -= 1
            if not self._awaited:
                self._acknowledge(self.sent.popleft(), reply)
                self._awaited = len(self.sent[0].requests) if self.sent else 0
        return bool(data)

    def _acknowledge(self, write: Write, reply: Any) -> None:
        if write.popped is not None:
            self.acknowledged = write.after_pop(self.acknowledged, reply)
            self._state = self.acknowledged
        else:
            (self.acknowledged,) = write.outcomes(self.acknowledged)
        self.counts["acknowledged"] += 1
        self.counts["transactions"] += write.is_transaction

    def hang_up(self) -> None:
        """The daemon is dead: hear what it has still said."""
        self.sock.setblocking(True)
        while self.read():
            pass
        self.sock.close()
        self._out = b""

    def check(self, found: State, from_ms: float, to_ms: float) -> None:
        """Compare with what is found, and go on from there. Raises Violation."""
        candidates = [self.acknowledged]
        faults = [[*differences(found, self.acknowledged, from_ms, to_ms, CLOCKS)]]
        for write in self.sent:
            if not all(faults):
                break
            candidates = [state for each in candidates for state in write.outcomes(each)]
            faults += [[*differences(found, it, from_ms, to_ms, CLOCKS)] for it in candidates]
        if all(faults):
            best = min(faults, key=len)
            raise Violation(
                f"database {self.number} is in no state from the last write that was acknowledged "
                f"to the last that was sent ({len(self.sent)} later); the nearest differs in: "
                + "; ".join(best[:5])
            )
        self.counts["in doubt"] += len(self.sent)
        self.counts["transactions"] += sum(write.is_transaction for write in self.sent)
        self.acknowledged = self._state = found
        self.sent.clear()


class Lane:
    """One directory, and the daemons that live and die on it."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self._name = f"seed {seed}"
        self._random = Random(seed)
        self._directory = directory
        self._clients = [
            Client(number, Random(f"{seed} {number}"), text=text, depth=depth)
            for number, (text, depth) in enumerate(CLIENTS)
        ]

    def run(self, kills: int) -> None:
        """So many kills, and at last two stops in order. Raises Violation."""
        try:
            while self.counts["kills"] < kills:
                if self._random.random() < 0.2:
                    self._kill_at_start()
                else:
                    self._live()
            for _ in range(2):
                with self._daemon("everysec") as daemon:
                    daemon.terminate()
        except AssertionError as fault:
            kept = f"kill {self.counts['kills']} of {self._name} in {self._directory}"
            raise Violation(f"after {kept}: {fault}") from fault
        for client in self._clients:
            self.counts += client.counts

    def _kill_at_start(self) -> None:
        """In its imports, or in recovery."""
        policy = self._random.choice(POLICIES)
        flags = f"--data-dir={self._directory}", "--port=0", f"--durability={policy}"
        process = subprocess.Popen(
            [TWISTD, "--nodaemon", "--pidfile=", "memdb", *flags],
            cwd=self._directory.parent,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(self._random.uniform(0.2, 0.5))
            raise Violation("the daemon does not start")
        process.kill()
        process.wait()
        self._count("kills while it starts", policy)

    def _live(self) -> None:
        policy = self._random.choice(POLICIES)
        saves = self._random.random() < 0.35
        seconds = self._random.uniform(0.2, 1.0) if saves else self._random.uniform(0.01, 0.25)
        with self._daemon(policy) as daemon:
            with socket.create_connection(("127.0.0.1", daemon.port), PATIENCE) as admin:
                if saves:
                    admin.sendall(encoded((b"SAVE",), text=False))
                if self._random.random() < 0.1:
                    policy = self._random.choice(POLICIES)
                    words = b"CONFIG", b"SET", b"appendfsync", policy.encode()
                    admin.sendall(encoded(words, text=False))
                for client in self._clients:
                    client.connect(daemon.port)
                self._load(seconds)
                if saves and self._random.random() < 0.4:
                    # It is made the sooner; to be killed when it is about to be installed, or is.
                    admin.settimeout(PATIENCE)
                    admin.recv(100)
                    self._load(self._random.uniform(0.001, 0.1))
                helpers = children(daemon.pid) if self._random.random() < 0.5 else []
                daemon.kill()
            for pid in helpers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for client in self._clients:
                client.hang_up()
            snapshots = sum("keys saved" in line for line in daemon.log)
            self.counts["snapshots"] += snapshots
            during = saves and not snapshots
            self._count("kills while a snapshot is made" if during else "kills under load", policy)

    def _count(self, kind: str, policy: str) -> None:
        self.counts.update(("kills", kind, f"kills under {policy}"))

    @contextlib.contextmanager
    def _daemon(self, policy: str) -> Iterator[Daemon]:
        """One that has recovered, and whose data is right."""
        flags = f"--durability={policy}", "--snapshot-interval=0"
        try:
            daemon = Daemon(self._directory, *flags)
        except AssertionError:
            refused = run(self._directory, "--port=0", f"--data-dir={self._directory}")
            raise Violation(f"it does not start: {refused.stderr.strip()}") from None
        try:
            self.counts["starts"] += 1
            self.counts["torn tails"] += sum("cut off" in line for line in daemon.log)
            self._check(daemon.port)
            yield daemon
        finally:
            daemon.end()

    def _check(self, port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
            for client in self._clients:
                from_ms = time.time() * 1000
                found = contents(sock, client.number)
                client.check(found, from_ms, time.time() * 1000)
            (tally,) = asked(sock, [(b"SELECT", b"%d" % SHARED), (b"GET", TALLY)])[1:]
        tallies = [int(client.acknowledged.get(TALLY, (b"0",))[0]) for client in self._clients]
        if int(tally or 0) != sum(tallies):
            raise Violation(f"the clients' {tallies} are not the {tally} that they have in common")

    def _load(self, seconds: float) -> None:
        """Let all clients write for this time."""
        end = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            for client in self._clients:
                selector.register(client.sock, selectors.EVENT_READ, client)
                client.write()
            while (left := end - time.monotonic()) > 0:
                for key, events in selector.select(left):
                    client = key.data
                    if events & selectors.EVENT_READ and not client.read():
                        raise Violation("the daemon has hung up")
                    client.write()
                    wanted = selectors.EVENT_READ | client.has_more * selectors.EVENT_WRITE
                    if key.events != wanted:
                        selector.modify(client.sock, wanted, client)


def contents(sock: socket.socket, database: int) -> State:
    """All that is in this database."""
    _, keys = asked(sock, [(b"SELECT", b"%d" % database), (b"KEYS", b"*")])
    requests: list[Words] = []
    for key in keys:
        (name, *rest), _ = READS[key[:1]]
        requests += [(name, key, *rest), (b"PEXPIRETIME", key)]
    replies = asked(sock, requests)
    found: State = {}
    for key, reply, deadline in zip(keys, replies[::2], replies[1::2], strict=True):
        if reply is not None and deadline != -2:  # not gone meanwhile
            found[key] = READS[key[:1]][1](reply), None if deadline == -1 else deadline
    return found


def asked(sock: socket.socket, requests: Iterable[Words]) -> list[Any]:
    """The replies to these requests."""
    parts = [encoded(words, text=False) for words in requests]
    sock.sendall(b"".join(parts))
    replies: list[Any] = []
    source = Replies(text=False)
    while len(replies) < len(parts):
        data = sock.recv(1 << 20)
        if not data:
            raise Violation("the daemon has hung up")
        replies += source.feed(data)
    return replies


def children(pid: int) -> list[int]:
    """The processes that it has started (Linux)."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, path.read_text().split())
    return found


def run_lanes(directory: Path, kills: int, seed: int, lanes: int) -> Counter[str]:
    """So many kills altogether, in lanes side by side. Raises Violation."""
    those = [Lane(directory / f"lane-{number}", seed + number) for number in range(lanes)]
    shares = [kills // lanes + (number < kills % lanes) for number in range(lanes)]
    with ThreadPoolExecutor(lanes) as pool:
        list(pool.map(Lane.run, those, shares))
    total: Counter[str] = Counter()
    for lane in those:
        total += lane.counts
    return total


def told(counts: Counter[str]) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in sorted(counts.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lanes", type=int, default=2)
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="memdbd-kills-") as directory:
        counts = run_lanes(Path(directory), options.kills, options.seed, options.lanes)
    print(f"{time.monotonic() - began:.0f} s; {told(counts)}")


if __name__ == "__main__":
    main()
