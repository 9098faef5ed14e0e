"""Starting and stopping the servers that are measured, and reading what they cost.

A server runs on one core and whoever loads it on the other. What counts is the CPU time that it
used, from /proc: on a shared machine it is far steadier than the time on the clock.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from mmap import MAP_ANONYMOUS, MAP_POPULATE, MAP_PRIVATE, mmap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # the tree that is measured if none is named
HOST = "127.0.0.1"
SERVER_CPU, LOAD_CPU = 0, 1
PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")
SHORT = 64 * 1024 * 1024  # bytes that a server writes in a run where values are short, at most


class Server:
    """A running server: where it listens, and what it has used so far."""

    def __init__(
        self,
        tree: Path,
        command: Sequence[str],
        port: int,
        directory: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = tree.name
        self.port = port
        self.directory = directory  # where it runs and keeps its data
        self._command = command
        self._environment = {**os.environ, "PYTHONPATH": f"{tree}:{ROOT}", **(environment or {})}
        self.start()

    def connect(self) -> socket.socket:
        """A connection to it."""
        connection = socket.create_connection((HOST, self.port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def cpu(self) -> float:
        """Seconds of CPU that all its threads have used, user and system."""
        return cpu_of(self.process.pid)

    def times(self) -> tuple[float, float]:
        """The same, user and system apart, in steps of 10 ms: good for their share only."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) / TICKS, int(fields[12]) / TICKS

    def rss(self) -> int:
        """Bytes of memory that it has resident."""
        return rss_of(self.process.pid)

    def settle(self, amount: int = 0) -> None:
        """Have what it writes from now on, so many bytes or SHORT, find the machine as it was for
        whoever came before.

        What is written to files goes to memory first, and that has a state: more than a tenth of it
        to be written, and writers wait for the disk; and on a virtual machine, a page that was not
        used for long has to be had from the host, which takes 10 us, 160 for a value of 64 KiB. So
        all is written now, the pages with its files are given up, to be used again, and as many as
        it will take are had from the host, which has those back that were free for seconds.
        """
        os.sync()  # and not its own files alone: the disk is everybody's
        for path in filter(Path.is_file, self.directory.rglob("*")):
            with suppress(FileNotFoundError):  # some are there for a moment only
                file = os.open(path, os.O_RDONLY)
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(file)
        # Twice as many were seen to be too few: what is sent and received takes some too.
        pages = min(4 * max(amount, SHORT), os.sysconf("SC_AVPHYS_PAGES") * PAGE // 2)
        mmap(-1, pages, flags=MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE).close()

    def stop(self) -> None:
        """SIGTERM, and wait; one that does not go is killed."""
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def start(self) -> None:
        """Start it, or start it again on what it has left in its directory."""
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(
                self._command,
                cwd=self.directory,
                env=self._environment,
                stdout=log,
                stderr=log,
                # Before it has threads: each begins on the cores of who started it. (We have none.)
                preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CPU}),  # noqa: PLW1509
            )

    def wait(self) -> None:
        """Wait until it accepts connections."""
        for _ in range(12_000):
            if self.process.poll() is not None:
                break
            try:
                self.connect().close()
                return
            except OSError:
                time.sleep(0.005)
        log = (self.directory / "log").read_text()
        raise SystemExit(f"{self.name} does not start: {log}")


def cpu_of(pid: int = 0) -> float:
    """Seconds of CPU of a process and all the threads it has had; 0: of this one.

    To the nanosecond, where /proc/PID/stat has it in 10 ms: the clock is the one that
    clock_getcpuclockid(3) gives for a process.
    """
    return time.clock_gettime((~pid << 3) | _SCHED)


_SCHED = 2  # CPUCLOCK_SCHED, of Linux's <linux/posix-timers.h>


def rss_of(pid: int | str = "self") -> int:
    """Bytes of memory that a process has resident."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


@contextmanager
def memdbd(
    *flags: str,
    tree: Path = ROOT,
    module: str = "",
    prepare: Callable[[Path], None] = lambda directory: None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """A daemon of the code in ``tree``, with no snapshots at intervals, in a new directory.

    ``module`` is run in place of twistd, with the same flags. ``prepare`` is called with the
    directory first. ``environment`` is what there is in it beside our own.
    """
    run = ["-m", module] if module else ["-c", _TWISTD, "--nodaemon", "--pidfile=", "memdb"]
    command = [sys.executable, *run, "--data-dir", ".", "--snapshot-interval", "0", *flags]
    with running(tree, command, prepare, environment) as server:
        yield server


_TWISTD = "from twisted.scripts.twistd import run; run()"


@contextmanager
def redis(*flags: str) -> Iterator[Server]:
    """A redis-server that keeps nothing on disk, but for ``save``."""
    command = ["redis-server", "--bind", HOST, "--save", "", "--appendonly", "no", *flags]
    with running(Path("redis"), command) as server:
        yield server


@contextmanager
def running(
    tree: Path,
    command: Sequence[str],
    prepare: Callable[[Path], None] = lambda directory: None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """A server that is started by a command, to which ``--port`` is added."""
    with tempfile.TemporaryDirectory(prefix="memdbd-benchmark-") as name:
        directory = Path(name)
        prepare(directory)
        port = free_port()
        server = Server(tree, [*command, "--port", str(port)], port, directory, environment)
        try:
            server.wait()
            yield server
        finally:
            if server.process.poll() is None:
                server.stop()


def free_port() -> int:
    """A port on which nobody listens now."""
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def pin_load() -> None:
    """Keep this process off the server's core."""
    os.sched_setaffinity(0, {LOAD_CPU})


def table(rows: Sequence[Sequence[object]]) -> str:
    """Rows as a table of Markdown; the first has the headings."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in texts]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
