"""A daemon on each of Twisted's reactors: all of them have the sockets read by a poll of ours."""

from __future__ import annotations

import contextlib
import signal
import socket
from pathlib import Path

import pytest
from harness import PATIENCE, Caller, Daemon


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["epoll", "poll", "select", "asyncio"])
def test_a_daemon_on_any_reactor_answers_whoever_asks(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "sock"
    large = b"$1000000\r\n" + b"x" * 1_000_000 + b"\r\n"
    with Daemon(
        tmp_path / "data",
        "--listen=tcp:0:interface=127.0.0.1",
        "--listen=haproxy:tcp:0:interface=127.0.0.1",
        f"--listen=unix:{path}",
        twistd=(f"--reactor={kind}",),
        listeners=3,
    ) as daemon:
        proxied = int(daemon.where[1].rpartition(":")[2])
        with contextlib.ExitStack() as stack:
            callers = [stack.enter_context(daemon.connect()) for _ in range(20)]
            for _ in range(5):
                caller = Caller(socket.create_connection(("127.0.0.1", proxied), PATIENCE))
                callers.append(stack.enter_context(caller))
                caller.sends(b"PROXY TCP4 127.0.0.1 127.0.0.1 1000 2000\r\n")
            for _ in range(5):
                sock = socket.socket(socket.AF_UNIX)
                sock.connect(str(path))
                callers.append(stack.enter_context(Caller(sock)))
            for number, caller in enumerate(callers):
                caller.sends(b"set k%d v%d\nget k%d\n" % (number, number, number))
            for number, caller in enumerate(callers):
                assert b'"v%d"' % number in caller.lines(2)[1]
            assert callers[0].asks(b"incr n") == b'{"result": 1}\n'
        with daemon.connect() as caller:
            caller.sends(b"*3\r\n$3\r\nset\r\n$3\r\nbig\r\n" + large)
            assert caller.line() == b"+OK\r\n"
            # More than any buffer takes, so that it is paused and resumed; and it hangs up before.
            caller.sends(b"*2\r\n$3\r\nget\r\n$3\r\nbig\r\n" * 20)
            caller.sock.shutdown(socket.SHUT_WR)
            assert caller.rest() == large * 20
        assert daemon.terminate() == -signal.SIGTERM
