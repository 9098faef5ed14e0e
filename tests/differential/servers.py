"""The servers, and connections to them.

A :class:`Target` is where a server listens. :func:`redis_server` and :func:`memdbd` start one for
as long as a ``with`` lasts. A :class:`Connection` sends bytes and gives what came back, unread.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import PATIENCE, Daemon, tool

SILENCE = 10.0  # seconds without a byte after which a server is taken to hang

_CHUNK = 1 << 18


@dataclass(frozen=True)
class Target:
    """Where a server listens: a host and a port, or with port 0 the path of a socket."""

    name: str
    host: str
    port: int = 0

    @classmethod
    def parse(cls, name: str, text: str) -> Target:
        """From ``HOST:PORT`` or a path. Raises ValueError."""
        if "/" in text:
            return cls(name, text)
        host, _, port = text.rpartition(":")
        return cls(name, host or "127.0.0.1", int(port))

    def connect(self) -> Connection:
        """A new connection."""
        return Connection(self.dial())

    def dial(self) -> socket.socket:
        """A new socket to it."""
        if self.port:
            sock = socket.create_connection((self.host, self.port), SILENCE)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.settimeout(SILENCE)
            sock.connect(self.host)
        except OSError:
            sock.close()
            raise
        return sock


class Connection:
    """A socket; ``closed`` once the server has closed it."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.closed = False

    def send(self, data: bytes) -> None:
        """Send, unless the server has closed."""
        if self.closed:
            return
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            self.closed = True

    def until(self, end: bytes, silence: float = SILENCE) -> bytes:
        """All that comes up to these bytes at its end, or what there is after so much silence."""
        data = bytearray()
        self._socket.settimeout(silence)
        while not data.endswith(end) and (piece := self.receive()):
            data += piece
        return bytes(data)

    def waiting(self) -> bytes:
        """What has come and was not read."""
        data = bytearray()
        while not self.closed and select.select([self._socket], [], [], 0)[0]:
            data += self.receive()
        return bytes(data)

    def close(self) -> None:
        """Close from this side."""
        self.closed = True
        self._socket.close()

    def receive(self) -> bytes:
        """What comes next; nothing if it takes too long, or the server closes."""
        if self.closed:
            return b""
        try:
            piece = self._socket.recv(_CHUNK)
        except TimeoutError:
            return b""
        except ConnectionResetError:
            piece = b""
        self.closed = not piece
        return piece


@contextlib.contextmanager
def redis_server(name: str = "redis", tcp: bool = False) -> Iterator[Target]:
    """A redis-server of its own that saves nothing, on a socket in a new directory."""
    program = tool("redis-server")
    with tempfile.TemporaryDirectory() as scratch:
        where = Target(name, "127.0.0.1", _free_port()) if tcp else Target(name, f"{scratch}/sock")
        settings = {
            "port": str(where.port),
            "unixsocket": "" if tcp else where.host,
            "save": "",
            "appendonly": "no",
            "dir": scratch,
            "slowlog-log-slower-than": "-1",
            "hz": "500",  # how often it looks whose time to wait is over
        }
        process = subprocess.Popen(
            [program, *(word for key, value in settings.items() for word in (f"--{key}", value))],
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"LC_ALL": "C"},  # SORT ALPHA collates by it
        )
        try:
            _wait_for(where, process)
            yield where
        finally:
            process.kill()
            process.wait(PATIENCE)


@contextlib.contextmanager
def memdbd(name: str = "memdbd") -> Iterator[Target]:
    """A memdbd with a listener that speaks RESP only, and no limit on its memory."""
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        flags = ("--resp=tcp:0:interface=127.0.0.1", "--max-memory=0", "--login-attempts=1000")
        with Daemon(data, *flags, listeners=2) as daemon:
            host, _, port = daemon.where[1].rpartition(":")
            yield Target(name, host, int(port))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def _wait_for(target: Target, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            target.connect().close()
            return
        time.sleep(0.02)
    raise RuntimeError(f"{target.name} does not listen on {target.host}:{target.port}")
