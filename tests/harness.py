"""Daemons for tests: one in memory, where time and the peers do as they are told, and real ones.

* :class:`House` is the daemon that ``makeService`` runs, put together by the same function, on a
  Clock and with a :class:`Peer` for each connection. Nothing of it waits: a test advances the
  clock.
* :class:`Daemon` is a process of its own on a port that the system picks, and :class:`Caller` a
  socket to it. Whatever they wait for, they give up on after PATIENCE.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sized
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Self, cast

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

import memdbd
from memdbd.assembly import assemble
from memdbd.clock import Clock as SteadyClock
from memdbd.committing import InThread
from memdbd.config import ENVIRONMENT, Config
from memdbd.core import VARIABLE as CORE
from memdbd.persistence.fs import FileSystem
from memdbd.protocol import MemDBProtocol
from memdbd.replies import Pending

# A daemon in memory

FIRST_PORT = 50_000  # of the peers of a House, each of which has the next
NOON = 1_700_000_000.0  # what the wall clock of a House shows first, in seconds of the epoch


class TurnClock(Clock):
    """A Clock with the turns of a real reactor, where ``advance`` runs whatever comes due."""

    def turn(self) -> bool:
        """Call what is due now, but not what that makes due; False where nothing was."""
        now = self.seconds()
        due = [call for call in self.calls if call.getTime() <= now]
        for call in due:
            if call in self.calls:  # not cancelled by one before it
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)
        return bool(due)

    def passes(self, seconds: float) -> None:
        """Let time go by, and call nothing."""
        self.rightNow += seconds


@implementer(ITCPTransport)
class Wire(StringTransport):
    """TCP with the rules of Twisted's own towards a peer that reads slowly, or not at all.

    Over bufferSize bytes that the peer has not taken, the producer is paused; when all are taken,
    it is resumed; ``loseConnection`` closes only then. What was taken is ``taken``.
    """

    bufferSize = 64 * 1024  # as in abstract.FileDescriptor

    def __init__(self, clock: Clock, port: int) -> None:
        super().__init__(
            hostAddress=IPv4Address("TCP", "127.0.0.1", 65432),
            peerAddress=IPv4Address("TCP", "127.0.0.1", port),
        )
        self.protocol: MemDBProtocol
        self.room = 0  # bytes that the socket takes at once
        self._tempDataBuffer: list[bytes] = []  # as the reactor's transports have it
        self.untaken = bytearray()
        self.taken = bytearray()
        self.closed: type[Exception] | None = None  # how the connection was lost
        self.no_delay = self.keep_alive = False  # as the socket's options are at first
        self._clock = clock
        self.writing = False  # whether the reactor looks for room to send
        self._producer_paused = False
        self._losing = False

    def write(self, data: bytes) -> None:
        if self._losing or self.closed:
            return
        self.untaken += data
        self.writing = True
        if self.producer is not None and len(self.untaken) > self.bufferSize:
            self._producer_paused = True
            self.producer.pauseProducing()

    @property
    def dataBuffer(self) -> bytes:
        return bytes(self.untaken)

    def writeSomeData(self, data: bytes) -> int | Exception:
        if self.closed:
            return ConnectionDone()
        sent = data[: self.room]
        self.taken += sent
        self.room -= len(sent)
        return len(sent)

    @property
    def socket(self) -> Wire:
        """What is below a transport of the reactor's: as far as it is used, this is it."""
        return self

    def send(self, data: bytes) -> int:
        sent = self.writeSomeData(data)
        if isinstance(sent, Exception):
            raise BrokenPipeError(str(sent))
        if not sent:
            raise BlockingIOError
        return sent

    def recv(self, most: int) -> bytes:
        raise BlockingIOError  # what comes is handed over, as if the reactor had read it

    def sendmsg(self, lines: list[bytes]) -> int:
        return self.send(b"".join(lines))

    def take(self, most: int) -> None:
        """The peer reads up to so many bytes."""
        self.taken += self.untaken[:most]
        del self.untaken[:most]
        if self.untaken or not self.writing:
            return
        self.writing = False
        if self.producer is not None and self._producer_paused:
            self._producer_paused = False
            self.producer.resumeProducing()
        elif self.disconnecting:
            self._lost(ConnectionDone)

    def unregisterProducer(self) -> None:
        super().unregisterProducer()
        self.writing = self.writing or self.disconnecting

    def loseConnection(self) -> None:
        if not self.disconnecting:
            super().loseConnection()
            self.writing = True

    def abortConnection(self) -> None:
        super().abortConnection()
        self._lost(ConnectionAborted)

    def loseWriteConnection(self) -> None:
        raise NotImplementedError("memdbd half-closes nothing")

    def getTcpNoDelay(self) -> bool:
        return self.no_delay

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled

    def getTcpKeepAlive(self) -> bool:
        return self.keep_alive

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self.keep_alive = enabled

    def _lost(self, how: type[Exception]) -> None:
        if not self._losing:
            self._losing = True
            self._clock.callLater(0, self._lose, how)

    def _lose(self, how: type[Exception]) -> None:
        self.closed = how
        self.protocol.connectionLost(Failure(how()))


class Peer:
    """The other end of a connection to a :class:`House`.

    ``reads`` is whether it takes what is sent to it; ``pushy`` makes all its pieces arrive at
    once although the daemon has paused the transport, as TLS hands over what it has decrypted.
    """

    def __init__(self, house: House, number: int) -> None:
        self.number = number
        self.reads = True
        self.pushy = False
        self.wire = Wire(house.clock, FIRST_PORT + number)
        built = house.factory.buildProtocol(self.wire.getPeer())
        self.protocol = cast(MemDBProtocol, built)  # or, where there is no room, a Refusal
        self.wire.protocol = self.protocol
        self.protocol.makeConnection(self.wire)
        self._house = house
        self._coming: list[bytes] = []
        self._ends = False
        self._seen = 0

    def sends(self, *pieces: bytes) -> None:
        """Send bytes; each piece arrives by itself, in the turns to come."""
        self._coming += pieces

    def ends(self) -> None:
        """Send no more, as ``shutdown(SHUT_WR)`` does."""
        self._ends = True

    def vanishes(self) -> None:
        """Lose the connection."""
        self.wire._lose(ConnectionDone)

    def hears(self) -> bytes:
        """What has come since it was last asked, when the daemon has nothing more to do now."""
        self._house.settle()
        news = bytes(self.wire.taken[self._seen :])
        self._seen = len(self.wire.taken)
        return news

    def asks(self, *pieces: bytes) -> bytes:
        """Send bytes, and hear what comes back."""
        self.sends(*pieces)
        return self.hears()

    @property
    def closed(self) -> bool:
        """Whether the connection is no more."""
        return self.wire.closed is not None

    def step(self) -> bool:
        """Let the next thing arrive in either direction; False where there is none."""
        wire = self.wire
        if wire.closed:
            return False
        if self.reads and wire.writing:
            wire.take(len(wire.untaken))
            return True
        if wire.disconnecting or not (self.pushy or wire.producerState == "producing"):
            return False
        if self._coming:
            self.protocol.dataReceived(self._coming.pop(0))
            while self.pushy and self._coming:
                self.protocol.dataReceived(self._coming.pop(0))
            return True
        if self._ends:
            self._ends = False
            self.protocol.readConnectionLost()
            return True
        return False


def soon(clock: Clock, work: Callable[[], Any], /) -> Deferred[Any]:
    """Work in a thread: what it gives is there in the next turn."""
    done: Deferred[Any] = Deferred()
    clock.callLater(0, maybeDeferred(work).chainDeferred, done)
    return done


class House:
    """A daemon without sockets and files, on a Clock: the parts that ``makeService`` runs, of which
    no service is started. Settings are those of :class:`~memdbd.config.Config`.

    Without a ``data_dir``, a test resolves the ``saves``; with one, it is a :class:`Stored`'s.
    """

    def __init__(
        self,
        fs: FileSystem | None = None,
        in_thread: InThread | None = None,
        **settings: Any,
    ) -> None:
        self.clock = TurnClock()
        self.wall_step = 0.0  # seconds by which someone has set the wall clock
        self.time = SteadyClock(
            steady=self.clock.seconds,
            wall=lambda: NOON + self.clock.seconds() + self.wall_step,
        )
        parts = assemble(
            self.clock,
            self.time,
            Config(**settings),
            fs or FileSystem(),
            in_thread or partial(soon, self.clock),
            self.clock.seconds,
            Random(1).random,
        )
        self.parts = parts
        self.channels = parts.channels
        self.server = parts.daemon
        self.engine = parts.engine
        self.dispatcher = parts.dispatcher
        self.factory = parts.factory
        self.saves: list[Pending] = []  # those that wait
        if "data_dir" not in settings:
            self.server.saver = self._save
        self.peers: list[Peer] = []

    def connect(self) -> Peer:
        """A new connection."""
        peer = Peer(self, len(self.peers))
        self.peers.append(peer)
        return peer

    def turn(self) -> bool:
        """One turn of the reactor: a piece of each peer's comes in, then what is due is called.

        False where there was nothing to do.
        """
        moved = [peer.step() for peer in self.peers]
        return self.clock.turn() or any(moved)

    def settle(self) -> None:
        """Turn until there is nothing to do at this moment."""
        while self.turn():
            pass

    def passes(self, seconds: float) -> None:
        """Let time go by."""
        self.settle()
        self.clock.passes(seconds)
        self.settle()

    def remains(self) -> dict[str, int]:
        """Let all peers go, and tell what is kept for them all the same: nothing, one hopes."""
        for peer in self.peers:
            if not peer.closed:
                peer.vanishes()
        self.settle()
        engine, daemon, channels = self.engine, self.server, self.channels
        kept: dict[str, Sized] = {
            "clients": [*daemon.clients],
            "connections": self.factory.connections,
            "channels": channels.channels,
            "patterns": channels.patterns,
            "shards": channels.shards,
            "watchers": engine.changes.watchers,
            "waiters": engine.waiting,
            "queues": engine.waiting._queues,
            "held": daemon.pause._held,
            "monitors": daemon.monitors._sessions,
            "trackers": daemon.trackers._known,
            "prefixes": daemon.trackers._prefixes,
        }
        return {what: len(those) for what, those in kept.items() if those}

    def _save(self) -> Pending:
        self.saves.append(Pending())
        return self.saves[-1]


class Stored:
    """A :class:`House` with the storage of a real directory, whose disk work is done at once."""

    def __init__(
        self,
        directory: Path,
        fs: FileSystem | None = None,
        interval: float = 60.0,
        **settings: Any,
    ) -> None:
        self.directory = directory
        self.snapshot = directory / "persistence.json"
        self.held: list[Callable[[], None]] | None = None  # a list: disk work waits to be let go
        self._waiting: list[Deferred[None]] = []
        self.house = House(
            fs,
            self._in_thread,
            data_dir=str(directory),
            snapshot_interval=interval,
            **settings,
        )
        self.storage = self.house.parts.storage

    def start(self) -> Self:
        """Lock and load."""
        self.storage.startService()
        return self

    def stop(self) -> None:
        """Stop, with whatever has to be written."""
        stopped = self.storage.stopService()
        self.house.settle()
        self.let_all_go()
        assert stopped.called
        stopped.addErrback(lambda failure: failure.raiseException())

    def let_go(self, which: int = 0) -> None:
        """Let a piece of work be done, of those that wait; at first, that which waits longest."""
        assert self.held
        work, done = self.held.pop(which), self._waiting.pop(which)
        maybeDeferred(work).chainDeferred(done)
        self.house.settle()

    def let_all_go(self) -> None:
        """Let all that waits be done, and what follows from it; hold nothing from now on."""
        while self.held:
            self.let_go()
        self.held = None

    def _in_thread(self, work: Callable[[], Any], /) -> Deferred[Any]:
        if self.held is None:
            return soon(self.house.clock, work)
        self.held.append(work)
        self._waiting.append(Deferred())
        return self._waiting[-1]


# A daemon in a process of its own

TWISTD = Path(sys.executable).with_name("twistd")
PATIENCE = 60  # seconds after which a test gives up on another process

_LISTENING = re.compile(r"listening on (?P<where>[^\s\"]+)")
_OF_MANAGERS = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS")


def environment(**more: str) -> dict[str, str]:
    """The environment for a process: none of our settings, and the memdbd and the core of it that
    are tested."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name == CORE or not (name.startswith(ENVIRONMENT) or name in _OF_MANAGERS)
    }
    kept["PYTHONPATH"] = str(Path(memdbd.__file__).parents[1])
    kept["PYTHONUNBUFFERED"] = "1"
    return kept | more


def tool(name: str, package: str = "") -> str:
    """The path of a program; the test is skipped where it is missing, except in CI."""
    path = shutil.which(name)
    if path is None:
        missing = f"{name} is not installed (Debian: apt-get install {package or name})"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return path


def run(
    directory: Path, *flags: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``twistd --nodaemon memdb`` with flags with which it ends by itself."""
    return subprocess.run(
        [TWISTD, "--nodaemon", "--pidfile=", "memdb", *flags],
        cwd=directory,
        env=environment(**(env or {})),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


class Caller:
    """A client's socket, in blocking calls."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.settimeout(PATIENCE)
        self._lines = sock.makefile("rb")

    def sends(self, data: bytes) -> None:
        self.sock.sendall(data)

    def line(self) -> bytes:
        """The next line; empty at the end of the connection."""
        return self._lines.readline()

    def lines(self, count: int) -> list[bytes]:
        """The next lines; fewer at the end of the connection."""
        found: list[bytes] = []
        while len(found) < count and (line := self.line()):
            found.append(line)
        return found

    def asks(self, request: bytes) -> bytes:
        """Send one line, and give the next that comes."""
        self.sends(request + b"\n")
        return self.line()

    def rest(self) -> bytes:
        """All that comes until the daemon closes."""
        return self._lines.read()

    def close(self) -> None:
        self._lines.close()
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Daemon:
    """A memdbd that runs in the foreground, in a process of its own, on a port that it picks.

    ``command`` is what to run in place of ``twistd --nodaemon``; ``where`` has the addresses that
    it listens on, as it logged them.
    """

    def __init__(
        self,
        directory: Path,
        *flags: str,
        twistd: tuple[str, ...] = (),
        command: tuple[str, ...] = (),
        env: Mapping[str, str] | None = None,
        listeners: int = 1,
    ) -> None:
        listen = () if any(flag.startswith("--listen") for flag in flags) else ("--port=0",)
        start = command or (str(TWISTD), "--nodaemon", "--pidfile=", *twistd, "memdb")
        self.process = subprocess.Popen(
            [*start, f"--data-dir={directory}", *listen, *flags],
            cwd=directory.parent,
            env=environment(**(env or {})),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log: list[str] = []
        self._news: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.where = [self.logs(_LISTENING)["where"] for _ in range(listeners)]
        except BaseException:
            self.end()
            raise

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def port(self) -> int:
        """The port of the first listener."""
        return int(self.where[0].rpartition(":")[2])

    def connect(self) -> Caller:
        """A new connection over TCP."""
        return Caller(socket.create_connection(("127.0.0.1", self.port), PATIENCE))

    def connect_tls(self, certificate: Path) -> Caller:
        """A new connection over TLS, to a daemon with this certificate for ``localhost``."""
        context = ssl.create_default_context(cafile=str(certificate))
        raw = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        return Caller(context.wrap_socket(raw, server_hostname="localhost"))

    def logs(self, pattern: str | re.Pattern[str]) -> re.Match[str]:
        """Wait for the next line of the log with ``pattern`` in it."""
        while (line := self._news.get(timeout=PATIENCE)) is not None:
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"the daemon has ended and logged no {pattern!r}: {self.log}")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        """Wait for the end of the process; gives its exit status."""
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status

    def terminate(self) -> int:
        """Stop it as a service manager does; gives its exit status."""
        self.signal(signal.SIGTERM)
        return self.ended()

    def kill(self) -> None:
        """Stop it as the kernel does when memory is short."""
        self.signal(signal.SIGKILL)
        self.ended()

    def errors(self) -> str:
        """What the process, which has ended, wrote to standard error."""
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def resident(self) -> int:
        """Bytes of memory that the process holds (Linux)."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024

    def end(self) -> None:
        """End it, whatever state it is in."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.ended()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.log.append(line)
            self._news.put(line)
        self._news.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


# Small helpers


def outcome(deferred: Deferred[Any]) -> Any:
    """The result a Deferred has now, or its exception; ``...`` if there is none yet."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    if not results:
        return ...
    return results[0].value if isinstance(results[0], Failure) else results[0]


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    """``data``, cut before each of these positions."""
    places = sorted({0, *(cut % (len(data) + 1) for cut in cuts), len(data)})
    for start, end in itertools.pairwise(places):
        yield data[start:end]
