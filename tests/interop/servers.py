"""The servers that the tests compare: memdbd with its two listeners, and Debian's redis-server."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from harness import PATIENCE, Daemon, tool

HOST = "127.0.0.1"


class Ports(NamedTuple):
    """Where a memdbd listens: ``main`` finds out what a peer speaks, ``resp`` is told."""

    main: int
    resp: int


@contextlib.contextmanager
def memdbd(directory: Path) -> Iterator[Ports]:
    """A memdbd that keeps its data in the directory."""
    flags = ("--port=0", f"--resp=tcp:0:interface={HOST}")
    with Daemon(directory / "data", *flags, listeners=2) as daemon:
        main, resp = (int(where.rpartition(":")[2]) for where in daemon.where)
        yield Ports(main, resp)


@contextlib.contextmanager
def redis_server(directory: Path) -> Iterator[int]:
    """A redis-server that writes to the directory only when it is told to; gives its port."""
    with socket.create_server((HOST, 0)) as taken:
        port: int = taken.getsockname()[1]
    settings = ["--bind", HOST, "--port", str(port), "--save", "", "--dir", str(directory)]
    with subprocess.Popen(
        [tool("redis-server"), *settings], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        log: list[str] = []
        for line in process.stdout:
            log.append(line)
            if "Ready to accept connections" in line:
                break
        else:
            raise AssertionError(f"redis-server did not start:\n{''.join(log)}")
        # It must not block on a full pipe; what it says later is nobody's concern here.
        draining = threading.Thread(target=process.stdout.read, daemon=True)
        draining.start()
        try:
            yield port
        finally:
            process.terminate()
            process.wait(PATIENCE)
            draining.join(PATIENCE)
