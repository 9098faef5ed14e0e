"""Ways to a daemon: the sockets that it listens on, the reactors, the tools that people have."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness import PATIENCE, Caller, Daemon, environment, tool

PONG = b'{"result": "PONG"}\n'

# What somebody types, and what comes back: rows of the table in docs/protocol.md.
TYPED = b"""\
set username john_doe
get username
set_with_ttl temp_token abc123 60
get temp_token
delete nobody
keys
subscribe notifications
publish notifications "Hello World"
list_channels
list_subscribers notifications
gte username
exit
"""
SHOWN = b"""\
{"result": "OK"}
{"result": "john_doe", "ttl_remaining": null}
{"result": "OK", "ttl_set": 60}
{"result": "abc123", "ttl_remaining": 60}
{"result": "Key not found"}
{"result": ["username", "temp_token"]}
{"result": "OK", "action": "subscribe", "channel": "notifications"}
{"result": "OK"}
{"channel": "notifications", "message": "Hello World"}
{"result": ["notifications"]}
{"result": 1}
{"error": "unknown command 'gte', did you mean 'get'?"}
{"result": "OK"}
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.mark.parametrize("reactor", ["asyncio", "select"])
def test_any_reactor_serves_and_saves(data: Path, reactor: str) -> None:
    with Daemon(data, twistd=(f"--reactor={reactor}",)) as daemon, daemon.connect() as caller:
        caller.sends(TYPED)
        assert caller.rest() == SHOWN
        with daemon.connect() as other:
            named = json.loads(other.asks(b"info"))["result"]["server"]["reactor"].lower()
            assert reactor in named
        daemon.terminate()
        assert daemon.errors() == ""
    with Daemon(data) as daemon, daemon.connect() as caller:
        assert caller.asks(b"dbsize") == b'{"result": 2}\n'


def test_asyncio_expires_keys_by_itself(data: Path) -> None:
    with Daemon(data, twistd=("--reactor=asyncio",)) as daemon, daemon.connect() as caller:
        caller.asks(b"subscribe db_updates")
        caller.sends(b"set_with_ttl k v 1\n")
        updates = [json.loads(line).get("message") for line in caller.lines(3)]
        assert json.loads(updates[-1])["operation"] == "expire"


def test_the_memdbd_script_is_twistd_in_the_foreground(data: Path) -> None:
    code = "import sys; sys.argv[0] = 'memdbd'; from memdbd.tap import main; main()"
    with Daemon(data, command=(sys.executable, "-c", code)) as daemon, daemon.connect() as caller:
        assert caller.asks(b"ping") == PONG
        assert not list(data.parent.glob("*.pid"))
        daemon.terminate()
        assert daemon.errors() == ""


def test_a_unix_socket(data: Path) -> None:
    path = data.parent / "memdb.sock"
    with Daemon(data, f"--listen=unix:{path}:mode=600") as daemon:
        assert daemon.where == [f"unix:{path}"]
        assert path.stat().st_mode & 0o777 == 0o600
        with unix(path) as caller:
            caller.sends(TYPED)
            assert caller.rest() == SHOWN
        daemon.terminate()
    assert not path.exists()


def test_a_unix_socket_left_by_a_killed_daemon_is_taken_over(data: Path) -> None:
    path = data.parent / "memdb.sock"
    with Daemon(data, f"--listen=unix:{path}") as daemon:
        daemon.kill()
    assert path.exists()
    with Daemon(data, f"--listen=unix:{path}"), unix(path) as caller:
        assert caller.asks(b"ping") == PONG


def test_several_listeners_are_one_database(data: Path) -> None:
    path = data.parent / "memdb.sock"
    flags = ["--listen=tcp:0:interface=127.0.0.1", f"--listen=unix:{path}"]
    with Daemon(data, *flags, listeners=2) as daemon, daemon.connect() as tcp, unix(path) as other:
        tcp.asks(b"subscribe ch")
        assert other.asks(b"publish ch hello") == b'{"result": "OK"}\n'
        assert tcp.line() == b'{"channel": "ch", "message": "hello"}\n'


@pytest.mark.parametrize("host", ["localhost", "::1"])
def test_a_host_by_its_name_or_in_ipv6(data: Path, host: str) -> None:
    with Daemon(data, f"--host={host}") as daemon:
        address = "::1" if host == "::1" else "127.0.0.1"
        with Caller(socket.create_connection((address, daemon.port), PATIENCE)) as caller:
            assert caller.asks(b"ping") == PONG


def test_nc_gets_every_reply_and_the_end(data: Path) -> None:
    with Daemon(data) as daemon:
        requests = TYPED.replace(b"exit\n", b"") + b"incr n\n" * 2000
        got = subprocess.run(
            [tool("nc", "netcat-openbsd"), "-N", "127.0.0.1", str(daemon.port)],
            input=requests,
            capture_output=True,
            timeout=PATIENCE,
            check=True,
        )
        counted = b"".join(b'{"result": %d}\n' % number for number in range(1, 2001))
        assert got.stdout == SHOWN.rpartition(b'{"result": "OK"}\n')[0] + counted


def test_telnet_gets_the_replies_of_the_table(data: Path) -> None:
    telnet = tool("telnet")
    with (
        Daemon(data) as daemon,
        subprocess.Popen(
            [telnet, "127.0.0.1", str(daemon.port)],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            while not process.stdout.readline().startswith(b"Escape character"):
                pass
            # One by one, as a person does: telnet drops what it has not sent when the other closes.
            answers = iter(SHOWN.splitlines(keepends=True))
            for line in TYPED.splitlines(keepends=True):
                process.stdin.write(line)
                process.stdin.flush()
                assert process.stdout.readline() == next(answers)
                if line.startswith(b"publish"):
                    assert process.stdout.readline() == next(answers)
            assert process.stdout.read() == b""
            process.wait(PATIENCE)
        finally:
            process.kill()


def test_a_line_over_the_limit_gets_its_error_before_the_end(data: Path) -> None:
    with Daemon(data) as daemon, daemon.connect() as caller:
        caller.sends(b"ping\n" + b"x" * 65_537)
        assert caller.lines(2) == [
            PONG,
            b'{"error": "line is too long: at most 65536 bytes are allowed"}\n',
        ]
        assert caller.line() == b""


def test_replies_longer_than_all_buffers_arrive_whole(data: Path) -> None:
    with Daemon(data) as daemon, daemon.connect() as caller:
        value = b"x" * 65_000
        caller.asks(b"set k " + value)
        caller.sends(b"get k\n" * 500)
        caller.sock.shutdown(socket.SHUT_WR)
        assert caller.rest() == (b'{"result": "' + value + b'", "ttl_remaining": null}\n') * 500


def unix(path: Path) -> Caller:
    """A connection to a UNIX socket."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(path))
    return Caller(sock)


def test_a_line_that_is_far_too_long_gets_its_error_each_time(data: Path) -> None:
    with Daemon(data) as daemon:
        for _ in range(10):
            with daemon.connect() as caller:
                caller.sends(b'["set", "k", "' + b"x" * 3_000_000 + b'"]\n')
                assert b"line is too long" in caller.line()
                assert caller.rest() == b""


def test_telnet_goes_on_after_an_interrupt(data: Path) -> None:
    tmux = [tool("tmux"), "-L", f"memdbd-{os.getpid()}"]

    def terminal(*words: str) -> str:
        done = subprocess.run([*tmux, *words], capture_output=True, text=True, check=True)
        return done.stdout

    def types_and_sees(*keys: str, shown: str) -> None:
        terminal("send-keys", *keys, "Enter")
        end = time.monotonic() + PATIENCE
        while shown not in (screen := terminal("capture-pane", "-p")):
            assert time.monotonic() < end, screen
            time.sleep(0.05)

    with Daemon(data) as daemon:
        terminal("new-session", "-d", f"{tool('telnet')} 127.0.0.1 {daemon.port}")
        try:
            types_and_sees("ping", shown='{"result": "PONG"}')
            types_and_sees("C-c", "echo here", shown='{"result": "here"}')
        finally:
            terminal("kill-server")
