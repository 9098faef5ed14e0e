"""Nobody comes in from the network without logging in, unless somebody has said so.

On real sockets: each way in which a daemon may come to one that others reach. That nothing is
accepted is looked at from outside, by a client that tries without a pause while the daemon starts.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import PATIENCE, TWISTD, Caller, Daemon, environment, run
from pki import Keys

PONG = b'{"result": "PONG"}\n'
REFUSED = re.compile(
    r"memdbd: set password \(MEMDB_PASSWORD\) or auth, or allow_open = true: (?P<where>\S+) is "
    r"open to the network and nobody has to log in\n"
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


@pytest.fixture
def port() -> int:
    """A port that was free a moment ago, on all addresses."""
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::", 0))
        found: int = probe.getsockname()[1]
        return found


@contextlib.contextmanager
def trying(port: int) -> Iterator[list[bytes]]:
    """Try to be served at the port, again and again; gives what was heard."""
    heard: list[bytes] = []
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", port), PATIENCE) as caller,
            ):
                caller.sendall(b"ping\n")
                heard.append(caller.recv(100))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield heard
    finally:
        over.set()
        thread.join(PATIENCE)


def refused(ended: subprocess.CompletedProcess[str]) -> str:
    """The address for which the daemon did not start."""
    assert ended.returncode == 1
    assert "Traceback" not in ended.stdout + ended.stderr
    said = REFUSED.fullmatch(ended.stderr)
    assert said is not None, ended.stderr
    return said["where"]


# Runs a program with a socket as the first that is passed to it.
AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
passed = dict(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="memdbd")
os.execve(sys.argv[2], sys.argv[2:], {**os.environ, **passed})
"""

WAYS = {
    "host and port": (["--host=0.0.0.0", "--port={port}"], "0.0.0.0:{port}"),
    "host and port in IPv6": (["--host=::", "--port={port}"], "[::]:{port}"),
    "no interface": (["--listen=tcp:{port}"], "0.0.0.0:{port}"),
    "an interface": (["--listen=tcp:{port}:interface=0.0.0.0"], "0.0.0.0:{port}"),
    "behind a proxy": (["--listen=haproxy:tcp:{port}"], "0.0.0.0:{port}"),
    "RESP only": (["--port=0", "--resp=tcp:{port}"], "0.0.0.0:{port}"),
    "TLS": (["--port=0", "{tls}"], "0.0.0.0:{port}"),
}


class TestAStartIsRefused:
    @pytest.mark.parametrize("way", WAYS)
    def test_with_what_would_allow_it_and_nobody_gets_in(
        self, data: Path, keys: Keys, port: int, way: str
    ) -> None:
        given, where = WAYS[way]
        flags = [flag.format(port=port, tls="{tls}") for flag in given]
        if "{tls}" in flags:
            flags = ["--port=0", *keys.flags("optional", f"tcp:{port}")]
        with trying(port) as heard:
            ended = run(data.parent, *flags, f"--data-dir={data}")
        assert refused(ended) == where.format(port=port)
        assert not data.exists()
        assert set(heard) <= {b""}

    @pytest.mark.parametrize("host", ["0.0.0.0", "::"])
    def test_on_a_socket_that_the_service_manager_has_bound(self, data: Path, host: str) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        domain = "INET6" if ":" in host else "INET"
        with socket.create_server((host, 0), family=family, dualstack_ipv6=":" in host) as passed:
            port = passed.getsockname()[1]
            twistd = [str(TWISTD), "--nodaemon", "--pidfile=", "memdb", f"--data-dir={data}"]
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as early:
                early.sendall(b"ping\n")
                ended = subprocess.run(
                    [
                        *(sys.executable, "-c", AS_SYSTEMD, str(passed.fileno()), *twistd),
                        f"--listen=systemd:domain={domain}:name=memdbd",
                    ],
                    cwd=data.parent,
                    env=environment(),
                    pass_fds=(passed.fileno(),),
                    capture_output=True,
                    text=True,
                    timeout=PATIENCE,
                    check=False,
                )
                shown = f"[{host}]" if ":" in host else host
                assert refused(ended) == f"{shown}:{port}"
                # It is still in the queue of the socket, which is not ours to close.
                early.setblocking(False)
                with pytest.raises(BlockingIOError):
                    early.recv(100)

    def test_for_an_ssl_endpoint_with_where_it_is_to_go(self, data: Path) -> None:
        ended = run(data.parent, f"--data-dir={data}", "--listen=ssl:0:privateKey=key.pem")
        assert ended.returncode == 1
        assert ended.stderr.startswith("memdbd: listen: 'ssl:0:privateKey=key.pem' has a certif")
        assert "tls_listen" in ended.stderr
        assert ended.stderr.count("\n") == 1


class TestAStartIsNot:
    def test_where_somebody_has_said_so_and_the_log_warns(self, data: Path) -> None:
        with Daemon(data, "--host=0.0.0.0", "--allow-open=true") as daemon:
            daemon.logs("is open to the network, and there is no authentication")
            with daemon.connect() as caller:
                assert caller.asks(b"ping") == PONG

    def test_where_there_is_a_password(self, data: Path) -> None:
        password = {"MEMDB_PASSWORD": "correct horse"}
        with Daemon(data, "--host=0.0.0.0", env=password) as daemon, daemon.connect() as caller:
            assert b"NOAUTH" in caller.asks(b"ping")
            daemon.terminate()
            assert not [line for line in daemon.log if "open to the network" in line]

    def test_where_a_certificate_is_required(self, data: Path, keys: Keys) -> None:
        flags = keys.flags("required", "tcp:0")
        with Daemon(data, *flags, listeners=2) as daemon:
            assert daemon.where[1].startswith("0.0.0.0:")


def test_a_unix_socket_is_for_its_owner_alone(data: Path) -> None:
    path = data.parent / "memdb.sock"
    with Daemon(data, f"--listen=unix:{path}") as daemon:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(path))
        with Caller(sock) as caller:
            assert caller.asks(b"ping") == PONG
        # What else the daemon makes has the mode that it would have anyway.
        before = os.umask(0)
        os.umask(before)
        assert daemon.terminate() in (0, -signal.SIGTERM)
        snapshot = data / "persistence.json"
        assert not snapshot.exists() or stat.S_IMODE(snapshot.stat().st_mode) & before == 0
