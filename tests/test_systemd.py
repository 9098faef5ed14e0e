"""The daemon's words to systemd, and the units that systemd reads.

In rising order of cost: the notifier on a real datagram socket, the service on a Clock, the units
under systemd's own checker, and a daemon started by systemd's own socket activation. What a real
systemd makes of the units is in ``e2e/test_sandbox.py``.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import PATIENCE, TWISTD, tool
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

import memdbd
from memdbd.systemd import STATUS_INTERVAL, Notifier, SystemdService

if sys.platform != "linux":
    pytest.skip("systemd is on Linux only", allow_module_level=True)

UNITS = Path(__file__).parents[1] / "etc" / "systemd"


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The service manager's end of the protocol, bound to the path ``notify``."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(PATIENCE)
        yield sock


def received(manager: socket.socket) -> list[str]:
    """The assignments in the next datagram."""
    return manager.recv(4096).decode().split("\n")


# The notifier


def test_assignments_travel_in_one_datagram(manager: socket.socket) -> None:
    assert Notifier(manager.getsockname()).send("READY=1", "STATUS=2 keys")
    assert manager.recv(4096) == b"READY=1\nSTATUS=2 keys"


def test_an_abstract_socket_is_reached() -> None:
    name = f"memdbd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name)
        manager.settimeout(PATIENCE)
        assert Notifier("@" + name).send("READY=1")
        assert received(manager) == ["READY=1"]


def test_a_line_break_in_a_value_does_not_start_an_assignment(manager: socket.socket) -> None:
    Notifier(manager.getsockname()).send("STATUS=two\nSTOPPING=1")
    assert received(manager) == ["STATUS=two STOPPING=1"]


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}])
def test_without_a_service_manager_nothing_is_sent_or_logged(environ: dict[str, str]) -> None:
    with capturedLogs() as events:
        assert not Notifier.from_environment(environ, pid=7).send("READY=1")
    assert events == []


def test_a_failing_send_is_logged_once(tmp_path: Path) -> None:
    notifier = Notifier(str(tmp_path / "nobody"))
    with capturedLogs() as events:
        assert not notifier.send("READY=1")
        assert not notifier.send("WATCHDOG=1")
    assert [event["address"] for event in events] == [notifier.address]


def test_a_manager_that_does_not_read_does_not_hold_up_the_sender(manager: socket.socket) -> None:
    notifier = Notifier(manager.getsockname())
    with capturedLogs() as events:
        while notifier.send("STATUS=" + "x" * 4000):
            pass
    assert len(events) == 1


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "7"}, 0.5),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_ours_only_if_it_names_us(
    environ: dict[str, str], seconds: float | None
) -> None:
    assert Notifier.from_environment(environ, pid=7).watchdog == seconds


# The service


class Told(Notifier):
    """A notifier that keeps what it was told; ``up`` is whether the manager gets it."""

    def __init__(self, watchdog: float | None = None) -> None:
        super().__init__("@nowhere", watchdog)
        self.sent: list[tuple[str, ...]] = []
        self.up = True

    def send(self, *assignments: str) -> bool:
        self.sent.append(assignments)
        return self.up


class Daemon:
    """A service with everything around it."""

    def __init__(self, watchdog: float | None = None) -> None:
        self.told = Told(watchdog)
        self.clock = Clock()
        self.keys = 0
        self.service = SystemdService(self.told, self.clock, self.status, lambda: 1_500_000)

    def status(self) -> str:
        return f"{10 // (10 - self.keys)} connections, {self.keys} keys"

    def turn(self, seconds: float = 0) -> list[tuple[str, ...]]:
        """What is sent while the reactor runs for so long."""
        before = len(self.told.sent)
        self.clock.advance(seconds)
        return self.told.sent[before:]


def test_ready_is_sent_on_the_first_turn_of_the_reactor_and_once() -> None:
    daemon = Daemon()
    daemon.service.startService()
    assert daemon.told.sent == []  # other services may still be loading
    assert daemon.turn() == [("READY=1", "STATUS=1 connections, 0 keys")]
    assert daemon.turn(STATUS_INTERVAL) == [("STATUS=1 connections, 0 keys",)]


def test_ready_is_repeated_until_it_got_through() -> None:
    daemon = Daemon()
    daemon.told.up = False
    daemon.service.startService()
    assert daemon.turn()[0][0] == "READY=1"
    daemon.told.up = True
    assert daemon.turn(STATUS_INTERVAL)[0][0] == "READY=1"
    assert daemon.turn(STATUS_INTERVAL) == [("STATUS=1 connections, 0 keys",)]


def test_the_watchdog_is_fed_at_half_its_interval() -> None:
    daemon = Daemon(watchdog=4.0)
    daemon.service.startService()
    assert daemon.turn() == [("READY=1", "WATCHDOG=1", "STATUS=1 connections, 0 keys")]
    assert daemon.turn(1.9) == []
    assert daemon.turn(0.1) == [("WATCHDOG=1", "STATUS=1 connections, 0 keys")]
    daemon.keys = 5
    assert daemon.turn(2.0) == [("WATCHDOG=1", "STATUS=2 connections, 5 keys")]


def test_a_failing_send_does_not_stop_the_beat() -> None:
    daemon = Daemon(watchdog=4.0)
    daemon.service.startService()
    daemon.turn()
    daemon.told.up = False
    assert len(daemon.turn(2.0)) == 1
    assert len(daemon.turn(2.0)) == 1


def test_a_failing_status_does_not_stop_the_beat() -> None:
    daemon = Daemon(watchdog=4.0)
    daemon.service.startService()
    daemon.turn()
    daemon.keys = 10
    with capturedLogs() as events:
        assert daemon.turn(2.0) == [("WATCHDOG=1",)]
    assert len(events) == daemon.service.failures == 1
    daemon.keys = 5
    assert daemon.turn(2.0) == [("WATCHDOG=1", "STATUS=2 connections, 5 keys")]


def test_a_reload_is_told_with_the_time_that_systemd_goes_by() -> None:
    daemon = Daemon()
    daemon.service.startService()
    daemon.turn()
    daemon.service.reloading()
    daemon.service.reloaded("reloaded: max_clients")
    assert daemon.told.sent[-2:] == [
        ("RELOADING=1", "MONOTONIC_USEC=1500000"),
        ("READY=1", "STATUS=reloaded: max_clients"),
    ]


def test_a_reload_before_it_served_is_not_what_makes_it_ready() -> None:
    daemon = Daemon()
    daemon.service.startService()
    daemon.service.reloading()
    daemon.service.reloaded("reloaded: max_clients")
    assert daemon.told.sent == []
    assert daemon.turn()[0][0] == "READY=1"


def test_stopping_is_the_last_word() -> None:
    daemon = Daemon(watchdog=4.0)
    daemon.service.startService()
    daemon.turn()
    daemon.service.reloading()
    daemon.service.stopService()
    daemon.service.reloaded("not reloaded, since it stops")
    assert daemon.told.sent[-1][0] == "STOPPING=1"
    assert daemon.turn(60.0) == []
    assert daemon.clock.getDelayedCalls() == []


def test_a_daemon_stopped_before_it_served_was_never_ready() -> None:
    daemon = Daemon()
    daemon.service.startService()
    daemon.service.stopService()
    daemon.turn(60.0)
    assert daemon.told.sent == [("STOPPING=1", "STATUS=Stopping")]


def test_without_a_service_manager_no_timer_runs() -> None:
    clock = Clock()
    service = SystemdService(Notifier(None), clock, str, int)
    service.startService()
    assert clock.getDelayedCalls() == []
    service.stopService()


# The units


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    for file in UNITS.rglob("*.*"):
        if file.is_file():
            # Only the directory of the program is another: systemd wants the program to exist.
            text = file.read_text().replace("/opt/memdbd/bin/twistd", str(TWISTD))
            place = tmp_path / file.relative_to(UNITS)
            place.parent.mkdir(exist_ok=True)
            place.write_text(text)
    units = sorted(path for path in tmp_path.iterdir() if path.is_file())
    assert [unit.name for unit in units] == [
        "memdbd-tls.socket",
        "memdbd.service",
        "memdbd.socket",
    ]
    verified = subprocess.run(
        [tool("systemd-analyze", "systemd"), "verify", *units],
        capture_output=True,
        text=True,
        check=False,
    )
    # An unknown setting is only a line on stderr, with exit status 0.
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


def test_the_service_is_exposed_by_at_most_one_and_a_half_points_of_ten() -> None:
    command = [tool("systemd-analyze", "systemd"), "security", "--offline=true", "--no-pager"]
    review = subprocess.run(
        [*command, "--threshold=15", UNITS / "memdbd.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert review.returncode == 0, review.stdout + review.stderr


@pytest.mark.parametrize(
    ("socket_unit", "unit", "setting"),
    [
        ("memdbd.socket", "memdbd.service", " --listen="),
        ("memdbd-tls.socket", "memdbd.service.d/tls.conf", "Environment=MEMDB_TLS_LISTEN="),
    ],
)
def test_the_service_listens_on_the_socket_by_its_name(
    socket_unit: str, unit: str, setting: str
) -> None:
    name = re.search(r"^FileDescriptorName=(.+)$", (UNITS / socket_unit).read_text(), re.M)
    assert name is not None
    assert f"{setting}systemd:domain=INET:name={name[1]}\n" in (UNITS / unit).read_text()


def test_a_reload_is_the_signal_that_the_daemon_takes_for_one() -> None:
    assert "\nExecReload=/bin/kill -HUP $MAINPID\n" in (UNITS / "memdbd.service").read_text()


@pytest.mark.slow
def test_a_socket_from_systemd_is_served(manager: socket.socket, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    # The environment of the daemon is only what -E gives it: as from systemd, nothing of ours.
    environment = {
        "NOTIFY_SOCKET": manager.getsockname(),
        "WATCHDOG_USEC": "400000",
        "PYTHONPATH": str(Path(memdbd.__file__).parents[1]),
    }
    activate = [
        tool("systemd-socket-activate", "systemd"),
        "--fdname=memdbd",
        f"--listen=127.0.0.1:{port}",
    ]
    activate += [f"--setenv={name}={value}" for name, value in environment.items()]
    daemon = [str(TWISTD), "--nodaemon", "--pidfile=", "memdb", f"--data-dir={tmp_path / 'data'}"]
    daemon += ["--listen=systemd:domain=INET:name=memdbd"]

    process = subprocess.Popen([*activate, *daemon], cwd=tmp_path, stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        assert b"Listening on" in process.stderr.readline()
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
            client.sendall(b"ping\n")  # the first connection starts the daemon
            assert client.makefile("rb").readline() == b'{"result": "PONG"}\n'
        ready = received(manager)
        assert ready[:2] == ["READY=1", "WATCHDOG=1"]
        assert re.fullmatch(r"STATUS=.+", ready[2])
        assert received(manager)[0] == "WATCHDOG=1"
        process.send_signal(signal.SIGTERM)
        while (words := received(manager))[0] == "WATCHDOG=1":
            pass
        assert words[0] == "STOPPING=1"
        process.wait(timeout=PATIENCE)
        # Twisted ends with the signal it was stopped by, which systemd counts as a clean end.
        assert process.returncode in (0, -signal.SIGTERM)
    finally:
        process.kill()
        print(process.communicate()[1].decode())  # shown where the test failed
