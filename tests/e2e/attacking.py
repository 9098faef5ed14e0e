"""Tools of those who attack a daemon, and of those who look at what it cost.

* :class:`Watched` is a daemon with a ticker in its loop, which somebody who is logged in asks what
  it knows of itself.
* :func:`watching` tells what happened within: the longest hold of the loop, and the memory that it
  took at the most.

What attacks it is in ``strangers.py``.

How long the loop was held is the processor's time that its thread used between two ticks of a
millisecond: whatever else the machine does meanwhile is not in it. ``clock`` is the time of the
clock between two, and only shown.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import PATIENCE, Caller, Daemon
from pki import Keys

from benchmarks.ticking import SOCKET, Pauses

KIB = 1024
MIB = 1024 * KIB
HOLD = 50.0  # milliseconds that nobody who has not logged in may hold the loop
EACH = 128 * KIB  # bytes of memory that he may cost

PASSWORD = "correct-horse-battery-staple"
# Has malloc give back at once what a hash took. Otherwise it keeps that, in pieces, and the next
# one takes as much again: no memory of the connections, but as much as that of all of them.
GIVEN_BACK = {"MALLOC_MMAP_THRESHOLD_": str(MIB)}

_TICKED = Path(__file__).with_name("ticked.py")


def request(*words: bytes) -> bytes:
    """A request in RESP."""
    bulks = b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
    return b"*%d\r\n%b" % (len(words), bulks)


def show(row: str, *figures: object) -> None:
    """Print what was seen."""
    print(f"\n    {row}: {', '.join(map(str, figures))}", end="")


class Watched(Daemon):
    """A daemon that asks everybody for the password, except where ``open``; with ``keys``, its
    second listener speaks TLS."""

    def __init__(
        self,
        directory: Path,
        *flags: str,
        open: bool = False,
        keys: Keys | None = None,
        clients: str = "no",
        env: Mapping[str, str] | None = None,
        files: int = 0,
        listeners: int = 1,
    ) -> None:
        """``clients``: as tls_clients; ``files``: how many it may have open; ``listeners``: how
        many there are in plain text."""
        tls = () if keys is None else keys.flags(clients)
        few = ("sh", "-c", f'ulimit -n {files}; exec "$@"', "sh") if files else ()
        self._keys = keys
        self._theirs: list[socket.socket] = []
        self._asked = 0  # commands of the observer's
        directory.mkdir(parents=True, exist_ok=True)
        super().__init__(
            directory / "data",
            *tls,
            *flags,
            command=(*few, sys.executable, str(_TICKED), "--nodaemon", "--pidfile=", "memdb"),
            env=({} if open else {"MEMDB_PASSWORD": PASSWORD}) | dict(env or {}),
            listeners=listeners + bool(tls),
        )
        self.pauses = Pauses(str(directory / SOCKET))
        self.observer = self.connect()
        if not open:
            assert self.observer.asks(b"auth " + PASSWORD.encode()) == b'{"result": "OK"}\n'

    @property
    def tls_port(self) -> int:
        return int(self.where[1].rpartition(":")[2])

    # Connections, which are closed with it

    def strangers(
        self, count: int, *, small: bool = False, host: str = "", tls: bool = False
    ) -> list[socket.socket]:
        """So many connections; ``small``: with little room for what they do not read; ``host``:
        from there; ``tls``: to the listener with TLS."""
        found = []
        for _ in range(count):
            sock = socket.socket()
            self._theirs.append(sock)
            if small:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * KIB)
            if host:
                sock.bind((host, 0))
            sock.settimeout(PATIENCE)
            sock.connect(("127.0.0.1", self.tls_port if tls else self.port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            found.append(sock)
        return found

    def behind_tls(self, them: Sequence[socket.socket]) -> list[socket.socket]:
        """The same connections, with the handshake done."""
        assert self._keys is not None
        context = ssl.create_default_context(cafile=str(self._keys.ca_path))
        found: list[socket.socket] = []
        for sock in them:
            found.append(context.wrap_socket(sock, server_hostname="localhost"))
            self._theirs.append(found[-1])
        return found

    # What it tells of itself

    def tells(self, line: bytes) -> Any:
        """The result of a command of the observer's."""
        self._asked += 1
        reply = json.loads(self.observer.asks(line))
        assert "result" in reply, reply
        return reply["result"]

    def fired(self, name: str) -> int:
        """How often a limit was met."""
        found: int = self.tells(b"info limits")["limits"][f"limit_{name}"]
        return found

    def clients(self) -> int:
        """How many are connected, the observer among them."""
        found: int = self.tells(b"stats")["connections"]
        return found

    def turns(self, count: int = 3) -> None:
        """Wait for so many turns of its loop."""
        for _ in range(count):
            self._asked += 1
            assert self.observer.asks(b"ping") == b'{"result": "PONG"}\n'

    def until(self, is_so: Callable[[], bool], what: str) -> None:
        """Wait until something is so."""
        end = time.monotonic() + PATIENCE
        while not is_so():
            assert time.monotonic() < end, f"never: {what}"
            time.sleep(0.01)  # or it would have nothing else to do

    def settle(self) -> None:
        """Wait until it has read all that it is going to read, and answered it."""
        before: object = None
        while (now := (self.unread(), self.tells(b"stats")["commands"] - self._asked)) != before:
            before = now
            self.turns(5)

    def unread(self) -> dict[str, str]:
        """What waits at its ports in the system's buffers, by the peer's address."""
        ports = {f":{int(where.rpartition(':')[2]):04X}" for where in self.where}
        found = {}
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, ours, theirs, state, queues, *_ = line.split()
            if ours[-5:] in ports and state != "06":  # TIME_WAIT
                found[theirs] = queues.partition(":")[2] + state
        return found

    def publish(self, size: int) -> int:
        """Have something published, and written, of so many bytes; gives these."""
        value = b"x" * size
        assert self.tells(b'["publish", "news", "%b"]' % value) == "OK"
        assert self.tells(b'["set", "%b", "x"]' % value[:16_000]) == "OK"
        return size

    def owes(self, size: int) -> bool:
        """Whether somebody is owed so much."""
        waiting: list[int] = [client["omem"] for client in self.tells(b"client list")]
        return max(waiting) > size

    # Its memory

    def forget_peak(self) -> None:
        """Begin anew with what ``peak`` is of."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def peak(self) -> int:
        """The most bytes of memory that it has had."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * KIB

    # What is done to it

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """It does nothing meanwhile, so that all that is sent to it comes at once."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def end(self) -> None:
        for sock in self._theirs:
            sock.close()
        for each in ("observer", "pauses"):
            if (it := getattr(self, each, None)) is not None:
                it.close() if isinstance(it, Caller) else it._socket.close()
        super().end()


Make = Callable[..., Watched]


@dataclass
class Seen:
    """What was seen of a daemon while ``what`` was done to it: milliseconds, bytes."""

    what: str = ""
    hold: float = 0.0
    clock: float = 0.0
    growth: int = 0

    def each(self, connections: int) -> int:
        """Bytes for each of so many connections."""
        return self.growth // connections

    def __str__(self) -> str:
        return f"{self.held}, {self.grown}"

    @property
    def held(self) -> str:
        return f"loop held {self.hold:.1f} ms{self._by}"

    @property
    def grown(self) -> str:
        return f"memory +{self.growth / MIB:.2f} MiB{self._by}"

    @property
    def _by(self) -> str:
        return f" ({self.what})" if self.what else ""


class Rows(list[Seen]):
    """What was seen of one thing after another."""

    @property
    def longest(self) -> Seen:
        return max(self, key=lambda seen: seen.hold)

    @property
    def largest(self) -> Seen:
        return max(self, key=lambda seen: seen.growth)

    def __str__(self) -> str:
        return f"{self.longest.held}, {self.largest.grown}"


@contextlib.contextmanager
def watching(
    daemon: Watched, what: str = "", rows: list[Seen] | None = None, *, ends: bool = True
) -> Iterator[Seen]:
    """See what a daemon spends on what is done within, and on what follows from it at once;
    not ``ends``: that never does."""
    settle = daemon.settle if ends else daemon.turns
    seen = Seen(what)
    settle()
    before = daemon.resident()
    daemon.forget_peak()
    daemon.pauses.take()
    yield seen
    settle()
    seen.clock, seen.hold, _, _ = daemon.pauses.take()
    seen.growth = max(daemon.peak() - before, 0)
    if rows is not None:
        rows.append(seen)
