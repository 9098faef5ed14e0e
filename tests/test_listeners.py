"""Listeners: what an endpoint string becomes, and how it is refused.

On a reactor in memory; that the ports are real ones is for ``tests/e2e`` to show.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness import House, outcome
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.python.failure import Failure

from memdbd.addresses import is_loopback
from memdbd.errors import ConfigError, ListenError
from memdbd.listeners import Listeners


class Reactor(MemoryReactorClock):
    """A reactor in memory on which some ports are taken."""

    def __init__(self, *taken: int) -> None:
        super().__init__()
        self.taken = taken

    def listenTCP(self, port: int, *arguments: Any, **named: Any) -> Any:
        if port in self.taken:
            raise CannotListenError("127.0.0.1", port, OSError("Address already in use"))
        return super().listenTCP(port, *arguments, **named)


class Slow:
    """An endpoint that does not know at once whether it can listen."""

    def __init__(self) -> None:
        self.asked = 0
        self.listening: Deferred[Port] = Deferred()

    def listen(self, factory: object) -> Deferred[Port]:
        self.asked += 1
        return self.listening


class Port:
    """A port that is listened on."""

    stopped = False

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "0.0.0.0", 65432)

    def stopListening(self) -> None:
        self.stopped = True


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    """The endpoint that each string describes."""
    slow = Slow()
    monkeypatch.setattr("memdbd.listeners.serverFromString", lambda reactor, text: slow)
    return slow


@pytest.fixture
def house() -> House:
    return House()


def started(reactor: Reactor, house: House, *descriptions: str) -> Listeners:
    listeners = Listeners(reactor, descriptions, house.factory)
    listeners.privilegedStartService()
    listeners.startService()
    return listeners


class TestListening:
    def test_on_tcp(self, house: House) -> None:
        reactor = Reactor()
        listeners = started(reactor, house, "tcp:65432:interface=127.0.0.1:backlog=7")
        assert reactor.tcpServers == [(65432, house.factory, 7, "127.0.0.1")]
        assert reactor.unixServers == []
        # The port in memory does not know its interface.
        assert listeners.info() == {"listening_on": ["0.0.0.0:65432"]}

    def test_on_ipv6(self, house: House) -> None:
        listeners = started(Reactor(), house, r"tcp:65432:interface=\:\:1")
        assert listeners.info() == {"listening_on": ["[::1]:65432"]}

    def test_on_a_unix_socket(self, house: House, tmp_path: Path) -> None:
        reactor = Reactor()
        listeners = started(reactor, house, f"unix:{tmp_path}/memdb.sock:mode=600")
        assert [(server[0], server[3]) for server in reactor.unixServers] == [
            (f"{tmp_path}/memdb.sock", 0o600)
        ]
        assert listeners.info() == {"listening_on": [f"unix:{tmp_path}/memdb.sock"]}

    def test_on_several_at_once(self, house: House, tmp_path: Path) -> None:
        where = ["tcp:1", r"tcp:2:interface=\:\:1", f"unix:{tmp_path}/s"]
        listeners = started(Reactor(), house, *where)
        assert listeners.info() == {"listening_on": ["0.0.0.0:1", "[::1]:2", f"unix:{tmp_path}/s"]}

    def test_each_address_is_logged(self, house: House) -> None:
        with capturedLogs() as events:
            started(Reactor(), house, "tcp:1", "tcp:2")
        said = [event for event in events if event["log_level"] == LogLevel.info]
        assert [event["address"] for event in said] == ["0.0.0.0:1", "0.0.0.0:2"]

    def test_one_that_the_network_reaches_is_warned_of(self, house: House) -> None:
        with capturedLogs() as events:
            started(Reactor(), house, "tcp:1")
        assert [event["log_level"].name for event in events] == ["info", "warn"]
        assert formatEvent(events[1]).startswith("0.0.0.0:1 is open to the network, and there ")

    @pytest.mark.parametrize(
        ("host", "only_here"),
        [("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("fe80::1%eth0", False)],
    )
    def test_this_machine_alone_reaches_its_loopback(self, host: str, only_here: bool) -> None:
        assert is_loopback(host) is only_here

    def test_begins_with_the_start_and_not_before_the_data_is_loaded(self, house: House) -> None:
        reactor = Reactor()
        listeners = Listeners(reactor, ["tcp:1"], house.factory)
        listeners.privilegedStartService()
        assert reactor.tcpServers == []
        listeners.startService()
        assert len(reactor.tcpServers) == 1


class TestRefusals:
    def test_a_port_in_use_is_named(self, house: House) -> None:
        listeners = Listeners(Reactor(65432), ["tcp:1", "tcp:65432"], house.factory)
        with pytest.raises(ListenError) as refusal:
            listeners.startService()
        assert str(refusal.value) == "Address already in use: cannot listen on tcp:65432"

    @pytest.mark.parametrize(
        "description",
        [
            "",
            "65432",
            "127.0.0.1:65432",
            "tcp",
            "tcp:",
            "tcp:http",
            "tcp:1:frob=2",
            "tcp:0:interface=::1",
            "tcp:\\",
            "unix:/tmp/s:mode=9",
            "ssl:0:privateKey=/nowhere/key.pem",
            "systemd:",
        ],
    )
    def test_what_is_no_endpoint_is_shown_with_the_reason(
        self, house: House, description: str
    ) -> None:
        with pytest.raises(ConfigError) as refusal:
            Listeners(Reactor(), [description], house.factory)
        said = str(refusal.value)
        assert said.startswith(f"listen: {description!r} cannot be listened on (")
        assert said.endswith("tcp:65432:interface=127.0.0.1 or unix:/run/memdbd.sock")
        assert "()" not in said.replace("int()", "")

    def test_a_certificate_that_is_none_is_no_endpoint(self, house: House, tmp_path: Path) -> None:
        key = tmp_path / "key.pem"
        key.write_text("nonsense")
        with pytest.raises(ConfigError, match="cannot be listened on"):
            Listeners(Reactor(), [f"ssl:0:privateKey={key}"], house.factory)

    @pytest.mark.parametrize("which", ["name=memdbd", "index=0"])
    def test_a_systemd_socket_that_was_not_passed_is_named(
        self, house: House, which: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for variable in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
            monkeypatch.delenv(variable, raising=False)
        description = f"systemd:domain=INET:{which}"
        with pytest.raises(ConfigError) as refusal:
            Listeners(Reactor(), [description], house.factory)
        assert f"{description!r} names a systemd socket that was not passed" in str(refusal.value)

    def test_none_listens_before_all_descriptions_are_understood(self, house: House) -> None:
        reactor = Reactor()
        with pytest.raises(ConfigError):
            Listeners(reactor, ["tcp:1", "nonsense"], house.factory)
        assert reactor.tcpServers == []


class TestALateAnswer:
    """Of an endpoint that knows only when the daemon is started whether it can listen."""

    def test_that_it_listens_is_all_that_is_needed(self, house: House, slow: Slow) -> None:
        reactor = Reactor()
        listeners = started(reactor, house, "slow:")
        assert (slow.asked, listeners.info()) == (1, {"listening_on": []})
        slow.listening.callback(Port())
        assert listeners.info() == {"listening_on": ["0.0.0.0:65432"]}
        assert not reactor.hasStopped

    def test_that_it_cannot_is_logged_and_stops_the_daemon(self, house: House, slow: Slow) -> None:
        reactor = Reactor()
        started(reactor, house, "slow:")
        assert not reactor.hasStopped
        with capturedLogs() as events:
            slow.listening.errback(Failure(OSError("no such relay")))
        (event,) = events
        assert event["log_level"] is LogLevel.critical
        assert (event["endpoint"], event["reason"]) == ("slow:", "no such relay")
        assert reactor.hasStopped

    def test_that_it_cannot_is_nothing_to_a_daemon_that_stops(
        self, house: House, slow: Slow
    ) -> None:
        reactor = Reactor()
        started(reactor, house, "slow:").stopService()
        slow.listening.errback(Failure(OSError("no such relay")))
        assert not reactor.hasStopped  # a second stop is an error

    def test_that_it_listens_is_taken_back_by_a_daemon_that_stops(
        self, house: House, slow: Slow
    ) -> None:
        listeners = started(Reactor(), house, "slow:")
        listeners.stopService()
        port = Port()
        slow.listening.callback(port)
        assert listeners.info() == {"listening_on": []}
        assert port.stopped


class TestTheStop:
    def test_accepts_no_more_and_then_closes_who_is_there(self, house: House) -> None:
        listeners = started(Reactor(), house, "tcp:1", "tcp:2")
        peer = house.connect()
        peer.asks(b"ping\n")
        stopped = listeners.stopService()
        assert listeners.info() == {"listening_on": []}
        assert not stopped.called
        house.settle()
        assert peer.closed
        assert outcome(stopped) is None

    def test_with_nobody_there_is_done_at_once(self, house: House) -> None:
        assert outcome(started(Reactor(), house, "tcp:1").stopService()) is None
