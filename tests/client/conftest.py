"""What several tests of the client share: a daemon, ``memdb`` as a process, an endpoint of ours."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

import memdbd

ROOT = Path(__file__).parents[2]
HERE = str(Path(memdbd.__file__).parents[1])  # where the memdbd is that is tested
ENVIRONMENT = {**os.environ, "PYTHONPATH": HERE}
TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real daemon on a port of its own; gives its endpoint."""
    directory = tmp_path_factory.mktemp("daemon")
    process = subprocess.Popen(
        [*TWISTD, "--nodaemon", "--pidfile=", "memdb", "--port=0", f"--data-dir={directory}/data"],
        cwd=directory,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    said = b""
    for line in process.stdout:
        said += line
        if found := re.search(rb"listening on 127\.0\.0\.1:(\d+)", line):
            break
    else:
        pytest.fail(f"the daemon did not start:\n{said.decode()}")
    # It must not block on a full pipe; what it says later is nobody's concern here.
    draining = threading.Thread(target=process.stdout.read, daemon=True)
    draining.start()
    yield f"tcp:127.0.0.1:{int(found[1])}"
    process.terminate()
    process.wait(timeout=20)
    draining.join(timeout=5)
    process.stdout.close()


@pytest.fixture
def memdb() -> Callable[..., list[str]]:
    """The command line of ``memdb`` for an endpoint and further words."""

    def command(endpoint: str, *words: str | bytes) -> list[Any]:
        return [sys.executable, "-m", "memdbd.client.cli", "--connect", endpoint, *words]

    return command


@pytest.fixture
def run(memdb: Callable[..., list[str]]) -> Callable[..., tuple[int, bytes, bytes]]:
    """Run ``memdb`` to its end; gives exit status, standard output and standard error."""

    def run(endpoint: str, *words: str | bytes, given: bytes = b"") -> tuple[int, bytes, bytes]:
        done = subprocess.run(
            memdb(endpoint, *words),
            input=given,
            env=ENVIRONMENT,
            capture_output=True,
            timeout=30,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def peer() -> Iterator[Callable[[Callable[[socket.socket], None]], str]]:
    """A server that does what a test says with its one connection; gives its endpoint."""
    threads: list[threading.Thread] = []

    def serve(script: Callable[[socket.socket], None]) -> str:
        listening = socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]

        def once() -> None:
            with listening:
                connection, _ = listening.accept()
            with connection:
                connection.settimeout(20)
                script(connection)

        threads.append(threading.Thread(target=once, daemon=True))
        threads[-1].start()
        return f"tcp:127.0.0.1:{port}"

    yield serve
    for thread in threads:
        thread.join(timeout=20)


@implementer(IStreamClientEndpoint)
class TestEndpoint:
    """An endpoint whose attempts to connect are decided by the test."""

    __test__ = False

    def __init__(self) -> None:
        self._attempts: list[tuple[IProtocolFactory, Deferred[Any]]] = []
        self.protocol: Any = None
        self.transport = StringTransport()

    @property
    def waiting(self) -> bool:
        return bool(self._attempts)

    def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
        attempt: Deferred[Any] = Deferred()
        self._attempts.append((factory, attempt))
        return attempt

    def accept(self) -> None:
        """Let the attempt that waits succeed."""
        factory, attempt = self._attempts.pop()
        self.protocol = factory.buildProtocol(None)  # type: ignore[arg-type]
        self.transport = StringTransport()
        self.protocol.makeConnection(self.transport)
        attempt.callback(self.protocol)

    def refuse(self, reason: Exception) -> None:
        """Let it fail."""
        _, attempt = self._attempts.pop()
        attempt.errback(reason)

    def lose(self, reason: Exception) -> None:
        """Lose the connection."""
        self.protocol.connectionLost(Failure(reason))

    def says(self, *lines: bytes) -> None:
        """The server sends lines."""
        self.protocol.dataReceived(b"".join(line + b"\n" for line in lines))

    def sent(self) -> bytes:
        """What was sent to the server since it was last asked."""
        sent: bytes = self.transport.value()
        self.transport.clear()
        return sent


@pytest.fixture
def endpoint() -> TestEndpoint:
    return TestEndpoint()


class Screen:
    """As much of a terminal as the client uses: what stands on it after some output."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self._rows: list[list[str]] = [[]]
        self._row = self._column = 0

    def write(self, output: bytes) -> None:
        for token in re.findall(r"\x1b\[[0-9]*[A-Z]|.", output.decode(), re.DOTALL):
            if token.startswith("\x1b"):
                self._command(token[-1], token[2:-1])
            elif token == "\n":
                self._go(self._row + 1, 0)
            elif token == "\r":
                self._column = 0
            else:
                assert token.isprintable(), repr(token)
                if self._column == self.columns:
                    self._go(self._row + 1, 0)
                row = self._rows[self._row]
                row += " " * (self._column + 1 - len(row))
                row[self._column] = token
                self._column += 1

    @property
    def lines(self) -> list[str]:
        """The rows, the cursor in its place shown as ``|``."""
        rows = ["".join(row) for row in self._rows]
        here = rows[self._row].ljust(self._column)
        rows[self._row] = here[: self._column] + "|" + here[self._column :]
        return rows

    def _command(self, name: str, argument: str) -> None:
        if name == "A":
            self._go(self._row - int(argument), self._column)
        elif name == "C":
            self._column += int(argument)
        elif name == "K":
            del self._rows[self._row][self._column :]
        elif name == "J" and argument == "2":
            self._rows[:] = [[]]
        elif name == "J":
            del self._rows[self._row + 1 :]
            del self._rows[self._row][self._column :]
        elif name == "H":
            self._go(0, 0)
        else:
            pytest.fail(f"a sequence that this screen lacks: {name}")

    def _go(self, row: int, column: int) -> None:
        assert row >= 0
        while row >= len(self._rows):
            self._rows.append([])
        self._row, self._column = row, column


@pytest.fixture
def screen() -> Callable[[int], Screen]:
    return Screen
