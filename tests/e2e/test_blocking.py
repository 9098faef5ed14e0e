"""A thousand clients that wait for one list, over real sockets, and what happens when some go."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import PATIENCE, Caller, Daemon

pytestmark = pytest.mark.slow

CLIENTS = 1000
FIN_WAIT2 = 5  # TCP's state when the other end knows that this one sends no more


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with Daemon(tmp_path / "data") as daemon:
        yield daemon


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def request(*words: bytes) -> bytes:
    bulks = b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
    return b"*%d\r\n%b" % (len(words), bulks)


def number(caller: Caller, *words: bytes) -> int:
    """What a command gives that is answered with an integer."""
    caller.sends(request(*words))
    return int(caller.line().removeprefix(b":"))


def popped(caller: Caller) -> int | None:
    """The number that a client has got for its BLPOP; None at the end of the connection."""
    lines = caller.lines(5)
    if not lines:
        return None
    *head, value = lines
    assert head[:3] == [b"*2\r\n", b"$5\r\n", b"queue\r\n"]
    return int(value)


def wait_for_waiting(observer: Caller, count: int) -> None:
    """Wait until so many clients do."""
    until = time.monotonic() + PATIENCE
    while json.loads(observer.asks(b"stats"))["result"]["clients_waiting"] != count:
        assert time.monotonic() < until, f"there were never {count} that wait"


def waiting(daemon: Daemon, stack: contextlib.ExitStack, count: int) -> list[Caller]:
    """Clients that wait for the queue, in this order."""
    observer = stack.enter_context(daemon.connect())
    callers = []
    for arrived in range(1, count + 1):
        caller = stack.enter_context(daemon.connect())
        caller.sends(request(b"BLPOP", b"queue", b"0"))
        wait_for_waiting(observer, arrived)
        callers.append(caller)
    return callers


def hang_up(caller: Caller) -> None:
    """Go away in a way in which what was sent before can still be read."""
    caller.sock.shutdown(socket.SHUT_WR)


def is_hung_up(caller: Caller) -> bool:
    """Whether that has arrived at the daemon's end (Linux)."""
    state = caller.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return bool(state == FIN_WAIT2)


def test_a_thousand_are_served_in_the_order_in_which_they_came(
    daemon: Daemon, stack: contextlib.ExitStack
) -> None:
    callers = waiting(daemon, stack, CLIENTS)
    pusher = stack.enter_context(daemon.connect())
    numbers = [b"%d" % each for each in range(CLIENTS + 5)]
    at, sizes = 0, random.Random(1)
    while at < len(numbers):  # one at a time, a few, or many
        size = sizes.choice((1, 1, 3, 50))
        pusher.sends(request(b"RPUSH", b"queue", *numbers[at : at + size]))
        at += size
    assert [popped(caller) for caller in callers] == list(range(CLIENTS))
    pusher.close()
    with daemon.connect() as other:
        assert number(other, b"LLEN", b"queue") == 5
    for caller in callers:  # and nobody gets anything twice
        caller.sends(request(b"ECHO", b"end"))
        assert caller.lines(2) == [b"$3\r\n", b"end\r\n"]


def test_who_has_gone_away_gets_nothing_although_the_daemon_hears_of_it_later(
    daemon: Daemon, stack: contextlib.ExitStack
) -> None:
    callers = waiting(daemon, stack, 60)
    gone, left = callers[::2], callers[1::2]
    pusher = stack.enter_context(daemon.connect())
    number(pusher, b"LLEN", b"queue")
    # While it does nothing, the push arrives first, and then all that hang up.
    daemon.signal(signal.SIGSTOP)
    pusher.sends(request(b"RPUSH", b"queue", *(b"%d" % each for each in range(len(left) + 5))))
    for caller in gone:
        hang_up(caller)
    while not all(map(is_hung_up, gone)):
        time.sleep(0.001)
    daemon.signal(signal.SIGCONT)
    assert [popped(caller) for caller in left] == list(range(len(left)))
    assert [popped(caller) for caller in gone] == [None] * len(gone)
    pusher.lines(1)
    assert number(pusher, b"LLEN", b"queue") == 5


def test_no_element_is_lost_with_those_who_go_away_while_elements_arrive(
    daemon: Daemon, stack: contextlib.ExitStack
) -> None:
    callers = waiting(daemon, stack, 400)
    pusher = stack.enter_context(daemon.connect())
    pushed = 300

    def push() -> None:
        for each in range(pushed):
            number(pusher, b"RPUSH", b"queue", b"%d" % each)

    thread = threading.Thread(target=push)
    thread.start()
    gone = random.Random(2).sample(range(len(callers)), 200)
    for place in gone:
        hang_up(callers[place])
    thread.join(PATIENCE)
    assert not thread.is_alive()
    # Who has hung up got one before that was heard, or none, and then the end.
    got = [popped(callers[place]) for place in gone]
    assert all(callers[place].rest() == b"" for place in gone)
    found = [each for each in got if each is not None]
    left = number(pusher, b"LLEN", b"queue")
    survivors = [caller for place, caller in enumerate(callers) if place not in set(gone)]
    served = pushed - len(found) - left
    assert 0 <= served <= len(survivors)
    assert left == 0 or served == len(survivors)
    numbers = [popped(caller) for caller in survivors[:served]]
    assert numbers == sorted(numbers)  # type: ignore[type-var]
    assert sorted([*found, *numbers]) == list(range(pushed - left))  # type: ignore[type-var]


def test_timeouts_are_never_early_and_nearly_never_late(
    daemon: Daemon, stack: contextlib.ExitStack, capsys: pytest.CaptureFixture[str]
) -> None:
    late: list[float] = []
    for _ in range(20):
        callers = [stack.enter_context(daemon.connect()) for _ in range(10)]
        began = []
        for caller in callers:
            began.append(time.monotonic())
            caller.sends(request(b"BLPOP", b"queue", b"0.05"))
        for caller, start in zip(callers, began, strict=True):
            assert caller.line() == b"*-1\r\n"
            late.append(time.monotonic() - start - 0.05)
    assert min(late) >= -0.001  # of a clock in whole milliseconds
    assert max(late) < PATIENCE
    with capsys.disabled():
        middle, most = sorted(late)[len(late) // 2], max(late)
        print(f"\n{len(late)} timeouts: late by {middle * 1e3:.1f} ms, {most * 1e3:.1f} ms at most")
