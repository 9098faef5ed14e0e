"""How long the loop is held by the worst that we know: the longest pause of a 1 ms ticker.

python -m benchmarks.loop_hold [--keys 1000000] [--tree DIR]

The ticker runs in the daemon's own loop (:mod:`benchmarks.ticking`). The table has the longest time
between two ticks by the clock (``pause``), the most CPU that the loop used between two (``CPU``:
free of what other processes took on a shared machine, but also of waits for the disk), the longest
run of Python's garbage collector, which is a part of these, the longest time between two ticks less
what other processes had of it (``own``), and the longest wait of a second connection for the answer
to a ``ping``. The first row, where nothing is done, is what the machine
and the measurement cost.
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles

from benchmarks import load
from benchmarks.servers import ROOT, Server, memdbd, pin_load, table
from benchmarks.ticking import SOCKET, Pauses

MIB = 1 << 20
FLOODS: dict[str, bytes] = {
    "empty lines": b"\n",
    "`x`, an unknown command": b"x\n",
    '`"`, an open quote': b'"\n',
    "`[]`, no request": b"[]\n",
    "`get a`, no such key": b"get a\n",
    '`get "a"`': b'get "a"\n',
    "`keys`, of none": b"keys\n",
    "blanks, 60 KiB a line": b" " * 60 * 1024 + b"\n",
    "words, 60 KiB a line": b"x " * 30 * 1024 + b"\n",
    "quoted words, 60 KiB a line": b'"" ' * 20 * 1024 + b"\n",
    "JSON array of 200,000 strings": b"[" + b'"",' * 199_999 + b'""]\n',
    "bytes without an end of line": b"x",
}


class Pinger(threading.Thread):
    """Sends ping on a connection of its own and notes the longest wait."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self._connection = server.connect()
        self._ended = False
        self.longest = 0.0

    def run(self) -> None:
        while not self._ended:
            start = time.perf_counter()
            load.exchange(self._connection, b"ping\n", 1)
            self.longest = max(self.longest, time.perf_counter() - start)
            time.sleep(0.001)

    def stop(self) -> float:
        """Milliseconds of the longest wait."""
        self._ended = True
        self.join()
        self._connection.close()
        return self.longest * 1000


class Rows(list[list[object]]):
    """The table as it grows."""

    def measure(self, name: str, server: Server, work: Callable[[], object]) -> None:
        """Run ``work`` while the ticker ticks and the pinger pings."""
        pauses = Pauses(str(server.directory / SOCKET))
        pinger = Pinger(server)
        pinger.start()
        pauses.take()
        start = time.perf_counter()
        remark = work()
        seconds = time.perf_counter() - start
        figures = [f"{it:.1f}" for it in (*pauses.take(), pinger.stop())]
        self.append([name, *figures, f"{seconds:.2f}", remark or ""])
        while pauses.take()[0] > 10:  # what a closed connection had left is still being answered
            time.sleep(0.2)


def flood(server: Server, unit: bytes, seconds: float = 3.0) -> str:
    """Send 1 MiB buffers of ``unit`` as fast as they are taken, and read all replies."""
    buffer = memoryview(unit * (MIB // len(unit) + 1))
    end = time.perf_counter() + seconds
    sent = 0
    connection = server.connect()
    connection.setblocking(False)
    selector = selectors.DefaultSelector()
    selector.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE)
    while time.perf_counter() < end:
        for _, events in selector.select(1):
            try:
                if events & selectors.EVENT_READ and not connection.recv(MIB):
                    raise ConnectionError
                if events & selectors.EVENT_WRITE:
                    sent += connection.send(buffer[sent % len(buffer) :])
            except BlockingIOError:
                pass
            except ConnectionError:  # a line over the limit: the next one, please
                selector.unregister(connection)
                connection.close()
                connection = server.connect()
                connection.setblocking(False)
                selector.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE)
    connection.close()
    return f"{sent / len(unit) / seconds:,.0f} a second"


def write_snapshot(path: Path, count: int, deadline: Callable[[int], int | None]) -> None:
    """A snapshot of 16-byte keys with 32-byte values; ``deadline(number)`` is in milliseconds."""
    from memdbd.commands.table import TYPES
    from memdbd.persistence.fs import FileSystem
    from memdbd.persistence.snapshot import SnapshotWriter, header_line, install, lines_of

    fs = FileSystem()
    keys = (b"key:%012d" % number for number in range(count))
    entries = (
        (0, key, b"value of %s......" % key, deadline(number)) for number, key in enumerate(keys)
    )
    writer = SnapshotWriter(fs, str(path), header_line(0, time.time(), None))
    for lines, number in lines_of(entries, {kind.python: kind for kind in TYPES}):
        writer.add(lines, number)
    writer.finish()
    install(fs, str(path))


@contextmanager
def loaded(
    count: int, tree: Path, deadline: Callable[[int], int | None] = lambda number: None
) -> Iterator[Server]:
    """A ticking daemon that has loaded ``count`` keys."""

    def prepare(directory: Path) -> None:
        write_snapshot(directory / "persistence.json", count, deadline)

    with memdbd(tree=tree, module="benchmarks.ticking", prepare=prepare) as server:
        yield server


def command(server: Server, line: bytes) -> Callable[[], None]:
    """Work that sends one command and waits for its reply."""

    def send() -> None:
        with server.connect() as connection:
            load.exchange(connection, line, 1)

    return send


def floods(rows: Rows, tree: Path) -> None:
    with memdbd(tree=tree, module="benchmarks.ticking") as server:
        time.sleep(1)
        rows.measure("nothing", server, lambda: time.sleep(3))
        for name, unit in FLOODS.items():
            rows.measure(name, server, lambda unit=unit: flood(server, unit))  # type: ignore[misc]


def large_keyspace(rows: Rows, count: int, tree: Path) -> None:
    hour = int(time.time() * 1000) + 3_600_000

    def tenth(number: int) -> int | None:
        return hour + number if number % 10 == 0 else None

    with loaded(count, tree, tenth) as server:
        name = f"{count:,} keys, a tenth with deadlines"
        rows.measure(f"{name}: save", server, command(server, b"save\n"))
        rows.measure(f"{name}: save, again", server, command(server, b"save\n"))
        rows.measure(f"{name}: save, 1 client sets", server, lambda: save_under_load(server))
        rows.measure(f"{name}: keys key:0*12", server, command(server, b"keys key:0*12\n"))
        rows.measure(f"{name}: keys", server, command(server, b"keys\n"))
        rows.measure(f"{name}: flushall", server, command(server, b"flushall\n"))
        rows.measure(f"{name}: all set again, with deadlines", server, lambda: fill(server, count))


def save_under_load(server: Server) -> None:
    sets = [b"set new:%d value of 32 bytes, more or less\n" % number for number in range(16_000)]
    batches = load.in_batches(sets, 16)
    with server.connect() as saver, server.connect() as setter:
        saver.sendall(b"save\n")
        saver.setblocking(False)
        at = 0
        while True:
            load.exchange(setter, batches[at % len(batches)], 16)
            at += 1
            try:
                saver.recv(100)
                return
            except BlockingIOError:
                pass


def fill(server: Server, count: int) -> None:
    with server.connect() as connection:
        for at in range(0, count, 1000):
            lines = [b"set_with_ttl k%d value 3600\n" % number for number in range(at, at + 1000)]
            load.exchange(connection, b"".join(lines), 1000)


def all_due(rows: Rows, count: int, tree: Path, *, listen: bool) -> None:
    """All keys fall due in the same millisecond; with ``listen``, somebody wants the events."""
    due = int(time.time() * 1000) + 12_000 + count // 100
    with loaded(count, tree, lambda number: due) as server:

        def wait() -> str:
            with server.connect() as connection:
                if not listen:
                    time.sleep(max(0, due / 1000 - time.time()))
                    while stats(connection)["expired"] < count:
                        time.sleep(0.1)
                    return f"all out {time.time() - due / 1000:.2f} s after"
                load.exchange(connection, b"subscribe db_updates\n", 1)
                arrivals = []
                seen = 0
                while seen < count:
                    try:
                        data = connection.recv(MIB)
                    except ConnectionResetError:  # it owed us more than subscriber_buffer
                        return f"listener CUT after {seen:,} events"
                    if not data:
                        return f"listener closed after {seen:,} events"
                    seen += data.count(b"\n")  # a line each
                    arrivals.append(time.time() - due / 1000)
                return f"events {arrivals[0]:.2f} to {arrivals[-1]:.2f} s after"

        left = due / 1000 - time.time()
        if left < 0:
            raise SystemExit("the machine is too slow to load in time")
        time.sleep(max(0, left - 1))
        name = f"{count:,} keys due at once, " + ("with a listener" if listen else "none listens")
        rows.measure(name, server, wait)


def lateness(tree: Path, count: int = 1000, milliseconds: int = 5000) -> str:
    """How late the event of a single key comes, on a daemon with nothing else to do."""
    begin = int(time.time() * 1000) + 3000
    deadlines = {b"key:%012d" % it: begin + it * milliseconds // count for it in range(count)}
    late: list[float] = []
    with (
        loaded(count, tree, lambda number: deadlines[b"key:%012d" % number]) as server,
        server.connect() as connection,
    ):
        lines = connection.makefile("rb")
        connection.sendall(b"subscribe db_updates\n")
        lines.readline()
        while len(late) < count:
            update = json.loads(json.loads(lines.readline())["message"])
            late.append(time.time() * 1000 - deadlines[update["key"].encode()])
    nearly_all = quantiles(late, n=100)[98]
    return f"median {median(late):.0f} ms, 99 % {nearly_all:.0f} ms, worst {max(late):.0f} ms"


def stats(connection: socket.socket) -> dict[str, int]:
    connection.sendall(b"stats\n")
    result: dict[str, int] = json.loads(connection.makefile("rb").readline())["result"]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--tree", type=Path, default=ROOT)
    options = parser.parse_args()
    pin_load()
    rows = Rows([["what", "pause ms", "CPU ms", "gc ms", "own ms", "ping ms", "s", ""]])
    floods(rows, options.tree)
    large_keyspace(rows, options.keys, options.tree)
    all_due(rows, options.keys, options.tree, listen=False)
    all_due(rows, options.keys, options.tree, listen=True)
    print(table(rows))
    print(f"\nHow late single `expire` events come: {lateness(options.tree)}")


if __name__ == "__main__":
    main()
