"""Ten thousand connections, half a million messages, a million keys.

The figures are printed and not judged: what a machine can do is for ``benchmarks``.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Caller, Daemon

pytestmark = pytest.mark.slow

CONNECTIONS = 10_000
SUBSCRIBERS = 500
MESSAGES = 1000
KEYS = 1_000_000
BATCH = 10_000


@pytest.fixture
def _many_files() -> Iterator[None]:
    """A limit on open files that lets this process and a daemon have all the connections."""
    needed = CONNECTIONS + 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, max(hard, needed)))
    except (ValueError, OSError):
        missing = f"needs {needed} open files, and only {hard} are allowed (ulimit -Hn)"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("_many_files")
def test_ten_thousand_connections_are_all_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.ExitStack() as stack:
        daemon = stack.enter_context(Daemon(tmp_path / "data", "--max-clients=20000"))
        observer = stack.enter_context(daemon.connect())
        observer.asks(b"ping")
        before = daemon.resident()
        callers = [stack.enter_context(daemon.connect()) for _ in range(CONNECTIONS)]
        for number, caller in enumerate(callers):
            caller.sends(b"echo %d\n" % number)
        for number, caller in enumerate(callers):
            assert caller.line() == b'{"result": "%d"}\n' % number
        stats = json.loads(observer.asks(b"stats"))["result"]
        assert stats["connections"] == CONNECTIONS + 1
        each = (daemon.resident() - before) / CONNECTIONS

        subscribers = callers[:: CONNECTIONS // SUBSCRIBERS]
        for caller in subscribers:
            caller.sends(b"subscribe news\n")
        for caller in subscribers:
            caller.line()
        assert observer.asks(b"list_subscribers news") == b'{"result": %d}\n' % SUBSCRIBERS
        start = time.perf_counter()
        observer.sends(b"".join(b"publish news message %d\n" % n for n in range(MESSAGES)))
        assert observer.lines(MESSAGES) == [b'{"result": "OK"}\n'] * MESSAGES
        published = time.perf_counter() - start
        expected = [b'{"channel": "news", "message": "message %d"}\n' % n for n in range(MESSAGES)]
        for caller in subscribers:
            assert caller.lines(MESSAGES) == expected
        for caller in callers:  # and nobody else got any of them
            assert caller.asks(b"ping") == b'{"result": "PONG"}\n'
    with capsys.disabled():
        print(
            f"\n{CONNECTIONS} connections: {each:.0f} bytes of the daemon's memory each; "
            f"{MESSAGES} messages to {SUBSCRIBERS} subscribers published in {published:.2f} s"
        )


def has_deadline(number: int) -> bool:
    return number % 10 == 0


def ttl(number: int) -> int:
    return 100_000 + number % 977


def writes(numbers: range) -> tuple[bytes, bytes]:
    """Requests that set these keys, and what they are answered."""
    requests, replies = [], []
    for number in numbers:
        if has_deadline(number):
            requests.append(b"set_with_ttl key:%d value-%d %d\n" % (number, number, ttl(number)))
            replies.append(b'{"result": "OK", "ttl_set": %d}\n' % ttl(number))
        else:
            requests.append(b"set key:%d value-%d\n" % (number, number))
            replies.append(b'{"result": "OK"}\n')
    return b"".join(requests), b"".join(replies)


def exactly(sock: socket.socket, size: int) -> bytes:
    """The next bytes of a connection."""
    found = bytearray()
    while len(found) < size and (more := sock.recv(size - len(found))):
        found += more
    return bytes(found)


def check_all(caller: Caller) -> None:
    """Every key has its value, and a deadline where it should."""
    for start in range(0, KEYS, BATCH):
        numbers = range(start, start + BATCH)
        caller.sends(b"".join(b"get key:%d\n" % number for number in numbers))
        for number, line in zip(numbers, caller.lines(BATCH), strict=True):
            reply = json.loads(line)
            assert reply["result"] == f"value-{number}"
            if has_deadline(number):
                assert ttl(number) - 1000 < reply["ttl_remaining"] <= ttl(number)
            else:
                assert reply["ttl_remaining"] is None


def test_a_million_keys_are_there_after_a_restart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    with Daemon(data, "--snapshot-interval=100000") as daemon, daemon.connect() as caller:
        empty = daemon.resident()
        began = time.time()
        start = time.perf_counter()
        for first in range(0, KEYS, BATCH):
            requests, replies = writes(range(first, first + BATCH))
            caller.sends(requests)
            assert exactly(caller.sock, len(replies)) == replies
        setting = time.perf_counter() - start
        written = time.time()
        each = (daemon.resident() - empty) / KEYS
        start = time.perf_counter()
        daemon.terminate()
        stopping = time.perf_counter() - start

    with (data / "persistence.json").open() as file:
        records = json.load(file)[1:-1]
    assert {record["key"]: record["value"] for record in records} == {
        f"key:{number}": f"value-{number}" for number in range(KEYS)
    }
    deadlines = {record["key"]: record["deadline"] for record in records if "deadline" in record}
    assert len(deadlines) == KEYS // 10
    for number in random.Random(7).choices(range(0, KEYS, 10), k=1000):
        deadline = deadlines[f"key:{number}"] / 1000 - ttl(number)
        assert began - 1 <= deadline <= written + 1
    del records, deadlines

    start = time.perf_counter()
    with Daemon(data) as daemon, daemon.connect() as caller:
        assert caller.asks(b"dbsize") == b'{"result": %d}\n' % KEYS
        starting = time.perf_counter() - start
        stats = json.loads(caller.asks(b"stats"))["result"]
        assert stats["keys_with_deadline"] == KEYS // 10
        check_all(caller)
    with capsys.disabled():
        print(
            f"\n{KEYS} keys: set in {setting:.1f} s, {each:.0f} bytes of memory each, "
            f"stopped and saved in {stopping:.2f} s, started and loaded in {starting:.2f} s"
        )
