"""SIGHUP to a real daemon: what it reads anew, what it says of it, and that nobody is sent away."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import PATIENCE, TWISTD, Daemon, environment, tool
from pki import Authority, Keys

if not hasattr(signal, "SIGHUP"):
    pytest.skip("there is no SIGHUP on Windows", allow_module_level=True)

OK = b'{"result": "OK"}\n'
PONG = b'{"result": "PONG"}\n'
HANGUP = 1 << (signal.SIGHUP - 1)  # in the masks of /proc


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "memdbd.toml"
    path.write_text("")
    return path


def reloads(daemon: Daemon) -> str:
    """Have the daemon read all anew; gives what it says of it in the end."""
    daemon.signal(signal.SIGHUP)
    return daemon.logs(r"(reloaded: .*|not reloaded.*)$")[1]


def test_settings_are_followed_and_the_clients_stay(data: Path, file: Path) -> None:
    with Daemon(data, f"--config={file}") as daemon, daemon.connect() as caller:
        assert caller.asks(b"set_with_ttl k v") == b'{"result": "OK", "ttl_set": 3600}\n'
        file.write_text("default_ttl = 5\nbacklog = 7\n")
        assert reloads(daemon) == "reloaded: default_ttl"
        assert any("needs a restart: backlog" in line for line in daemon.log)
        assert caller.asks(b"set_with_ttl k v") == b'{"result": "OK", "ttl_set": 5}\n'
        file.write_text("default_ttl = 5\nmax_keyz = 7\n")
        assert reloads(daemon) == (
            f"not reloaded, and nothing has changed: {file}: max_keyz: there is no such setting; "
            "did you mean max_keys?"
        )
        assert any("#error] not reloaded" in line for line in daemon.log)
        assert caller.asks(b"ping") == PONG
        daemon.terminate()
        assert daemon.errors() == ""


def test_the_log_follows_its_level_and_form(data: Path, file: Path) -> None:
    with Daemon(data, f"--config={file}") as daemon:
        file.write_text('log_format = "json"\n')
        daemon.signal(signal.SIGHUP)
        assert daemon.logs('"message": "reloaded: log_format"').string.startswith('{"time": ')
        before = len(daemon.log)
        file.write_text('log_format = "json"\nlog_level = "warn"\ndefault_ttl = 5\n')
        daemon.signal(signal.SIGHUP)
        with daemon.connect() as caller:
            while b'"ttl_set": 5}' not in caller.asks(b"set_with_ttl k v"):
                pass
        daemon.signal(signal.SIGTERM)
        daemon.ended()
        assert daemon.log[before:] == []


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux where the daemon is")
def test_a_reload_in_the_background_finds_its_file_from_another_directory(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "memdbd.toml").write_text("")
    start = [
        str(TWISTD),
        f"--rundir={tmp_path / 'run'}",
        "memdb",
        "--port=0",
        "--config=memdbd.toml",
    ]
    subprocess.run(start, cwd=tmp_path, env=environment(), check=True, timeout=PATIENCE)
    log = tmp_path / "twistd.log"
    pid = int((tmp_path / "twistd.pid").read_text())
    assert os.readlink(f"/proc/{pid}/cwd") == str(tmp_path / "run")
    watched = os.pidfd_open(pid)
    try:
        (tmp_path / "memdbd.toml").write_text("max_keys = 5\n")
        os.kill(pid, signal.SIGHUP)
        (port,) = re.findall(r"listening on 127.0.0.1:(\d+)", log.read_text())
        with socket.create_connection(("127.0.0.1", int(port)), PATIENCE) as sock:
            lines = sock.makefile("rb")
            while "reloaded: max_keys" not in log.read_text():
                sock.sendall(b"ping\n")
                assert lines.readline() == PONG
    finally:
        os.kill(pid, signal.SIGKILL)
        os.close(watched)


def test_users_change_for_those_who_are_there(data: Path, tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text("user default off\nuser ada on nopass ~* +@all\n")
    with Daemon(data, f"--auth=users:{users}") as daemon:
        with daemon.connect() as ada, daemon.connect() as bob:
            assert ada.asks(b"auth ada x") == OK
            assert b"NOAUTH" in bob.asks(b"get k")
            assert ada.asks(b"set k v") == OK
            users.write_text("user default off\nuser bob on nopass ~* +@read\n")
            assert reloads(daemon) == "reloaded: users (2)"
            with contextlib.suppress(ConnectionResetError):
                assert ada.rest() == b""
            assert bob.asks(b"auth bob x") == OK
            assert b'"v"' in bob.asks(b"get k")
            assert b"NOPERM" in bob.asks(b"set k v")
        users.write_text("user default off\nuser bob nonsense\n")
        assert f"{users}, line 2: " in reloads(daemon)
        with daemon.connect() as bob:
            assert bob.asks(b"auth bob x") == OK


def test_a_password_is_followed_and_is_in_no_log(data: Path, file: Path) -> None:
    with Daemon(data, f"--config={file}") as daemon, daemon.connect() as early:
        file.write_text('password = "sesame, open up"\n')
        assert reloads(daemon) == "reloaded: password"
        with daemon.connect() as caller:
            assert b"NOAUTH" in caller.asks(b"get k")
            assert caller.asks(b'auth "sesame, open up"') == OK
        assert early.asks(b"ping") == PONG
        assert reloads(daemon) == "reloaded: nothing has changed"
        daemon.terminate()
        assert not [line for line in daemon.log if "sesame" in line]
        assert daemon.errors() == ""


def test_a_password_is_nowhere_to_be_seen(data: Path, file: Path) -> None:
    secret = "sesame, open up"
    file.write_text('password = "sesame of the file"\n')
    with Daemon(data, f"--config={file}", env={"MEMDB_PASSWORD": secret}) as daemon:
        with daemon.connect() as caller:
            assert caller.asks(b'auth "sesame, open up"') == OK
            seen = [
                caller.asks(request)
                for request in (b"info", b"config get *", b"stats", b"slowlog get", b"client list")
            ]
        listed = subprocess.run(
            [tool("ps", "procps"), "-ww", "-o", "args=", "-p", str(daemon.pid)],
            capture_output=True,
            check=True,
        )
        assert b"memdb" in listed.stdout
        assert reloads(daemon) == "reloaded: nothing has changed"
        file.write_text('password = "sesame of the file\n')
        assert "is not TOML" in reloads(daemon)
        daemon.terminate()
        told = b"".join([*seen, listed.stdout, *(line.encode() for line in daemon.log)])
        assert b"sesame" not in told
        assert daemon.errors() == ""


def test_the_last_way_in_is_not_closed_nor_opened_to_all(data: Path, file: Path) -> None:
    file.write_text('password = "sesame"\n')
    with Daemon(data, "--host=0.0.0.0", f"--config={file}") as daemon:
        file.write_text("")
        said = reloads(daemon)
        assert said.startswith("not reloaded, and nothing has changed: set password ")
        assert f"or allow_open = true: 0.0.0.0:{daemon.port} is open" in said
        with daemon.connect() as caller:
            assert b"NOAUTH" in caller.asks(b"get k")


def test_new_certificates_are_shown_to_who_comes_and_a_wrong_one_is_refused(
    data: Path, tmp_path: Path
) -> None:
    keys = Keys(tmp_path)
    with Daemon(data, *keys.flags("no"), listeners=2) as daemon:
        port = int(daemon.where[1].rpartition(":")[2])
        before = shown(port)
        new = Authority("another CA").issue("localhost", ends=77)
        new.write(tmp_path, "server")
        assert reloads(daemon) == f"reloaded: certificates (until {new.expires})"
        after = shown(port)
        assert after != before
        (tmp_path / "server-key.pem").write_bytes(keys.ca.key_pem)
        assert "tls_key: " in reloads(daemon)
        assert shown(port) == after


def shown(port: int) -> str:
    """The certificate that a server shows."""
    said = subprocess.run(
        [tool("openssl"), "s_client", "-connect", f"127.0.0.1:{port}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    found = re.search(r"-----BEGIN CERTIFICATE-----.*-----END CERTIFICATE-----", said.stdout, re.S)
    assert found is not None, said.stdout + said.stderr
    return found[0]


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The service manager's end of sd_notify's protocol."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(PATIENCE)
        yield sock


def test_the_service_manager_hears_when_it_begins_and_how_it_ends(
    data: Path, file: Path, manager: socket.socket
) -> None:
    env = {"NOTIFY_SOCKET": manager.getsockname()}
    with Daemon(data, f"--config={file}", env=env) as daemon:
        assert manager.recv(4096).startswith(b"READY=1\n")
        file.write_text("max_keys = 5\n")
        daemon.signal(signal.SIGHUP)
        assert re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=\d+", manager.recv(4096))
        assert manager.recv(4096) == b"READY=1\nSTATUS=reloaded: max_keys"
        file.write_text("max_keys\n")
        daemon.signal(signal.SIGHUP)
        assert manager.recv(4096).startswith(b"RELOADING=1\n")
        assert manager.recv(4096).startswith(b"READY=1\nSTATUS=not reloaded, and nothing has chan")


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux whether the signal is caught")
def test_at_the_start_it_does_no_harm_before_all_is_read(data: Path) -> None:
    with Daemon(data) as daemon, daemon.connect() as caller:
        caller.sends(b"".join(b"set k%d v\n" % number for number in range(100_000)))
        assert len(caller.lines(100_000)) == 100_000
        daemon.kill()
    process = subprocess.Popen(
        [TWISTD, "--nodaemon", "--pidfile=", "memdb", "--port=0", f"--data-dir={data}"],
        cwd=data.parent,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    started = threading.Event()

    def hang_up() -> None:
        while not started.wait(0.001):
            process.send_signal(signal.SIGHUP)

    hanging_up = threading.Thread(target=hang_up)
    try:
        status = Path(f"/proc/{process.pid}/status")
        while not heeds_hangups(status.read_text()):
            assert process.poll() is None
        hanging_up.start()
        assert process.stdout is not None
        log = []
        for line in process.stdout:
            log.append(line)
            if "reloaded: " in line:
                break
        told = "".join(log)
        assert "100000 keys loaded" in told
        assert told.index("listening on") < told.index("reloaded: nothing has changed")
    finally:
        started.set()
        if hanging_up.ident is not None:
            hanging_up.join(PATIENCE)
        process.kill()
        process.communicate()


def heeds_hangups(status: str) -> bool:
    """Whether a process no longer dies of SIGHUP."""
    masks = re.findall(r"Sig(?:Ign|Cgt):\s+([0-9a-f]+)", status)
    return any(int(mask, 16) & HANGUP for mask in masks)
