"""Listeners: what an endpoint string becomes, and how it is refused.

On a reactor in memory; that the ports are real ones is for ``tests/e2e`` to show.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from harness import House, outcome
from pki import Keys
from twisted.internet import unix
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.python.failure import Failure

from memdbd.addresses import is_loopback, shown
from memdbd.config import Config
from memdbd.errors import ConfigError, ListenError
from memdbd.listeners import Listeners
from memdbd.tls import TLSFactory


class Reactor(MemoryReactorClock):
    """A reactor in memory on which some ports are taken, and all know their addresses."""

    def __init__(self, *taken: int) -> None:
        super().__init__()
        self.taken = taken
        self.ports: list[Port] = []
        self.umasks: list[int] = []  # that of the process at each bind

    def listenTCP(self, port: int, factory: object, backlog: int = 50, interface: str = "") -> Port:
        if port in self.taken:
            raise CannotListenError("127.0.0.1", port, OSError("Address already in use"))
        super().listenTCP(port, factory, backlog, interface)
        kind = IPv6Address if ":" in interface else IPv4Address
        return self._listens(Port(kind("TCP", interface or "0.0.0.0", port)))

    def listenUNIX(
        self,
        address: str,
        factory: object,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: int = 0,
    ) -> Any:
        super().listenUNIX(address, factory, backlog, mode, wantPID)
        return self._listens(Port(UNIXAddress(address)))

    def _listens(self, port: Port) -> Port:
        self.umasks.append(os.umask(0))
        os.umask(self.umasks[-1])
        self.ports.append(port)
        return port


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

    def __init__(self, address: Any = None) -> None:
        self.address = address or IPv4Address("TCP", "0.0.0.0", 65432)
        self.stopped = False

    def getHost(self) -> Any:
        return self.address

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


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


def started(reactor: Reactor, house: House, *descriptions: str, **settings: Any) -> Listeners:
    """Listeners that are open to all, if the settings say nothing else."""
    listeners = Listeners(reactor, descriptions, house.factory, **({"allow_open": True} | settings))
    listeners.privilegedStartService()
    listeners.startService()
    return listeners


class TestListening:
    def test_on_tcp(self, house: House) -> None:
        reactor = Reactor()
        listeners = started(reactor, house, "tcp:65432:interface=127.0.0.1:backlog=7")
        assert reactor.tcpServers == [(65432, house.factory, 7, "127.0.0.1")]
        assert reactor.unixServers == []
        assert listeners.info() == {"listening_on": ["127.0.0.1:65432"]}

    @pytest.mark.parametrize(
        ("description", "backlog"),
        [
            ("tcp:65432", 9),
            ("tcp:65432:127.0.0.1", 9),
            ("tcp:65432:127.0.0.1:7", 7),
            ("tcp:backlog=7:port=65432", 7),
            (r"tcp6:65432:interface=\:\:1", 9),
            ("haproxy:tcp:65432", 9),
            ("unix:/run/s", 9),
            ("unix:/run/s:mode=660:backlog=7", 7),
        ],
    )
    def test_with_the_backlog_that_is_set_unless_it_names_one(
        self, house: House, description: str, backlog: int
    ) -> None:
        reactor = Reactor()
        started(reactor, house, description, backlog=9)
        assert [each[2] for each in reactor.tcpServers + reactor.unixServers] == [backlog]

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
        [
            ("127.0.0.1", True),
            ("127.1.2.3", True),
            ("::1", True),
            ("::ffff:127.0.0.1", True),
            ("0.0.0.0", False),
            ("::", False),
            ("10.0.0.1", False),
            ("::ffff:10.0.0.1", False),
            ("::ffff:0.0.0.0", False),
            ("fe80::1%eth0", False),
        ],
    )
    def test_this_machine_alone_reaches_its_loopback(self, host: str, only_here: bool) -> None:
        assert is_loopback(host) is only_here

    def test_begins_with_the_start_and_not_before_the_data_is_loaded(self, house: House) -> None:
        reactor = Reactor()
        listeners = Listeners(reactor, ["tcp:1"], house.factory, allow_open=True)
        listeners.privilegedStartService()
        assert reactor.tcpServers == []
        listeners.startService()
        assert len(reactor.tcpServers) == 1


class TestRefusals:
    def test_a_port_in_use_is_named(self, house: House) -> None:
        listeners = Listeners(
            Reactor(65432), ["tcp:1", "tcp:65432"], house.factory, allow_open=True
        )
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

    @pytest.mark.parametrize(
        "description",
        ["ssl:1", "ssl:1:privateKey=key.pem:interface=127.0.0.1", r"s\sl:1", "haproxy:ssl:1"],
    )
    @pytest.mark.parametrize("setting", ["listen", "resp", "tls_listen"])
    def test_a_certificate_that_could_not_be_renewed_is_for_tls_listen(
        self, house: House, keys: Keys, setting: str, description: str
    ) -> None:
        where = {"listen": (), "resp": (), "tls_listen": ()} | {setting: (description,)}
        with pytest.raises(ConfigError) as refusal:
            Listeners(
                Reactor(),
                where["listen"],
                house.factory,
                where["resp"],
                tls=where["tls_listen"],
                credentials=keys.credentials(),
            )
        said = str(refusal.value)
        assert said.startswith(f"{setting}: {description!r} has a certificate of its own, which ")
        assert 'tls_listen = ["tcp:65433:interface=127.0.0.1"]' in said
        assert ("tcp: in place of ssl:" in said) is (setting == "tls_listen")

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


HERE = [
    "tcp:1:interface=127.0.0.1",
    "tcp:1:interface=127.1.2.3",
    r"tcp:1:interface=\:\:1",
    r"tcp:1:interface=\:\:ffff\:127.0.0.1",
    "unix:/run/memdbd.sock",
]
EVERYWHERE = [
    *Config(server_host="0.0.0.0").endpoints,
    *Config(server_host="::").endpoints,
    "tcp:1",
    "tcp:port=1",
    "tcp:1:interface=10.0.0.1",
    r"tcp:1:interface=\:\:ffff\:10.0.0.1",
    r"tcp:1:interface=2001\:db8\:\:1",
    "haproxy:tcp:1",
]
WAYS = ["listen", "resp", "tls"]


def listeners_at(
    reactor: Reactor,
    house: House,
    keys: Keys,
    way: str,
    *descriptions: str,
    clients: str = "no",
    **settings: Any,
) -> Listeners:
    """Listeners at these addresses, for both dialects, for RESP only, or with TLS."""
    return Listeners(
        reactor,
        descriptions if way == "listen" else (),
        house.factory,
        descriptions if way == "resp" else (),
        tls=descriptions if way == "tls" else (),
        credentials=keys.credentials(clients),
        **settings,
    )


class TestWithoutAuthentication:
    """Nobody but this machine is let in, unless somebody has said so."""

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("description", EVERYWHERE)
    def test_an_address_that_others_reach_is_refused_with_what_would_allow_it(
        self, house: House, keys: Keys, way: str, description: str
    ) -> None:
        reactor = Reactor()
        listeners = listeners_at(reactor, house, keys, way, description)
        with pytest.raises(ListenError) as refusal:
            listeners.startService()
        (port,) = reactor.ports
        assert port.stopped
        said = str(refusal.value)
        # All that can be done, and where, is in what twistd shows of it.
        what, _, where = said[:100].partition(": ")
        assert what == "set password (MEMDB_PASSWORD) or auth, or allow_open = true"
        assert where.startswith(shown(port.address))
        assert said.endswith(" is open to the network and nobody has to log in")
        assert listeners.info() == {"listening_on": []}

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize(
        ("description", "where"),
        [
            ("tcp:1", "0.0.0.0:1"),
            ("tcp:port=1:interface=", "0.0.0.0:1"),
            ("tcp:1:192.0.2.7", "192.0.2.7:1"),
            ("tcp:1:interface=192.0.2.7:backlog=5", "192.0.2.7:1"),
            (r"tcp:1:interface=\:\:", "[::]:1"),
            ("tcp6:1", "[::]:1"),
            ("haproxy:tcp:1", "0.0.0.0:1"),
        ],
    )
    def test_one_that_can_be_told_is_refused_before_the_data_is_loaded(
        self, house: House, keys: Keys, way: str, description: str, where: str
    ) -> None:
        reactor = Reactor()
        listeners = listeners_at(reactor, house, keys, way, description)
        with pytest.raises(ListenError) as refusal:
            listeners.privilegedStartService()
        assert f" = true: {where} is open to the network" in str(refusal.value)
        assert reactor.ports == []
        listeners.allow_open = True
        listeners.privilegedStartService()

    @pytest.mark.parametrize(
        "description",
        [
            "tcp:1:interface=127.0.0.1",
            r"tcp:1:interface=\:\:1",
            "tcp:1:interface=localhost",
            "unix:s",
        ],
    )
    def test_one_that_cannot_be_told_or_is_of_this_machine_is_not_refused_then(
        self, house: House, description: str
    ) -> None:
        Listeners(Reactor(), (description,), house.factory).privilegedStartService()

    def test_the_user_default_is_named_where_there_are_users(self, house: House) -> None:
        listeners = Listeners(Reactor(), ("tcp:1",), house.factory, has_users=True)
        with pytest.raises(ListenError, match=r"^the user default is nopass: have it off, or "):
            listeners.startService()

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("description", HERE)
    def test_an_address_of_this_machine_alone_is_not(
        self, house: House, keys: Keys, way: str, description: str
    ) -> None:
        reactor = Reactor()
        listeners = listeners_at(reactor, house, keys, way, description)
        listeners.startService()
        assert not reactor.ports[0].stopped
        assert listeners.exposed(certificates=False) == []

    @pytest.mark.parametrize("way", WAYS)
    def test_one_that_is_meant_to_be_open_is_warned_of(
        self, house: House, keys: Keys, way: str
    ) -> None:
        listeners = listeners_at(Reactor(), house, keys, way, "tcp:1", allow_open=True)
        with capturedLogs() as events:
            listeners.startService()
        (warning,) = (event for event in events if event["log_level"] is LogLevel.warn)
        assert formatEvent(warning).startswith("0.0.0.0:1 is open to the network, and there is no")

    @pytest.mark.parametrize("way", WAYS)
    def test_where_one_has_to_log_in_nothing_is_said(
        self, house: House, keys: Keys, way: str
    ) -> None:
        listeners = listeners_at(Reactor(), house, keys, way, "tcp:1", is_open=lambda: False)
        with capturedLogs() as events:
            listeners.startService()
        assert [event for event in events if event["log_level"] is not LogLevel.info] == []
        assert listeners.exposed(certificates=False) == ["0.0.0.0:1"]

    @pytest.mark.parametrize(("clients", "enough"), [("optional", False), ("required", True)])
    def test_a_certificate_that_is_required_is_authentication(
        self, house: House, keys: Keys, clients: str, enough: bool
    ) -> None:
        reactor = Reactor()
        listeners = listeners_at(reactor, house, keys, "tls", "tcp:1", clients=clients)
        if enough:
            with capturedLogs() as events:
                listeners.privilegedStartService()
                listeners.startService()
            assert [event for event in events if event["log_level"] is not LogLevel.info] == []
            assert listeners.exposed(certificates=True) == []
            assert listeners.exposed(certificates=False) == ["0.0.0.0:1"]
        else:
            with pytest.raises(ListenError):
                listeners.startService()

    def test_it_is_none_for_those_who_come_without_tls(self, house: House, keys: Keys) -> None:
        listeners = listeners_at(Reactor(), house, keys, "listen", "tcp:1", clients="required")
        with pytest.raises(ListenError, match=r"0\.0\.0\.0:1 is open"):
            listeners.startService()

    def test_not_one_address_is_left_open_when_one_is_refused(
        self, house: House, keys: Keys
    ) -> None:
        reactor = Reactor()
        listeners = listeners_at(
            reactor, house, keys, "listen", "tcp:1:interface=127.0.0.1", "tcp:2", "tcp:3"
        )
        with pytest.raises(ListenError, match=r"0\.0\.0\.0:2 is open"):
            listeners.startService()
        assert [port.stopped for port in reactor.ports] == [True, True]

    def test_an_address_that_is_none_of_ours_is_taken_for_one_that_others_reach(
        self, house: House, keys: Keys, slow: Slow
    ) -> None:
        reactor = Reactor()
        listeners_at(reactor, house, keys, "listen", "onion:1").startService()
        port = Port("an onion")
        with capturedLogs() as events:
            slow.listening.callback(port)
        assert port.stopped
        (event,) = events
        assert event["log_level"] is LogLevel.critical
        assert "an onion is open to the network" in formatEvent(event)
        assert reactor.hasStopped


class TestTLS:
    def test_is_spoken_in_front_of_the_main_factory(self, house: House, keys: Keys) -> None:
        reactor = Reactor()
        listeners = listeners_at(reactor, house, keys, "tls", "tcp:1:interface=127.0.0.1")
        heard: list[int] = []
        listeners.heard = heard.append
        with capturedLogs() as events:
            listeners.startService()
        assert [formatEvent(event) for event in events] == ["listening on 127.0.0.1:1 with TLS"]
        ((_, factory, _, _),) = reactor.tcpServers
        assert isinstance(factory, TLSFactory)
        assert factory.wrappedFactory is house.factory
        assert heard == []

    def test_reads_its_files_when_it_starts(self, house: House, keys: Keys) -> None:
        reactor = Reactor()
        listeners = listeners_at(reactor, house, keys, "tls", "tcp:1:interface=127.0.0.1")
        path = keys.directory / "server-key.pem"
        path.unlink()
        with pytest.raises(ConfigError, match=f"^tls_key: {path} cannot be read: No such file"):
            listeners.startService()
        assert reactor.ports == []

    def test_is_not_needed(self, house: House, keys: Keys) -> None:
        (keys.directory / "server.pem").unlink()
        listeners = Listeners(Reactor(), HERE, house.factory, credentials=None)
        listeners.startService()
        assert listeners.exposed(certificates=False) == []


class TestTheModeOfAUnixSocket:
    @pytest.mark.parametrize(
        ("description", "mode"),
        [
            ("unix:/run/s", 0o600),
            ("unix:/run/s:backlog=7", 0o600),
            ("unix:address=/run/s", 0o600),
            (r"unix:/run/mode\=666", 0o600),
            (r"unix:/run/s\:mode\=666", 0o600),
            ("unix:/run/666", 0o600),
            (r"u\nix:/run/s", 0o600),
            ("haproxy:unix:/run/s", 0o600),
            ("unix:/run/s:mode=660", 0o660),
            ("unix:mode=660:address=/run/s", 0o660),
            ("unix:/run/s:660", 0o660),
            ("haproxy:unix:/run/s:mode=660", 0o660),
        ],
    )
    def test_lets_in_its_owner_alone_where_none_is_given(
        self, house: House, description: str, mode: int
    ) -> None:
        reactor = Reactor()
        started(reactor, house, description)
        assert [server[3] for server in reactor.unixServers] == [mode]
        assert reactor.umasks == [0o177]

    def test_nothing_else_is_made_with_it(self, house: House) -> None:
        reactor = Reactor()
        before = os.umask(0o022)
        try:
            started(reactor, house, "unix:/run/s", "tcp:1", "unix:/run/t")
            assert reactor.umasks == [0o177, 0o022, 0o177]
            assert os.umask(0o022) == 0o022
        finally:
            os.umask(before)

    @pytest.mark.parametrize(("asked", "mode"), [("", 0o600), (":mode=666", 0o666)])
    def test_is_never_wider_than_in_the_end(
        self,
        house: House,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        asked: str,
        mode: int,
    ) -> None:
        path = tmp_path / "s"
        seen: list[int] = []
        ports: list[unix.Port] = []
        change = os.chmod

        def look_and_change(changed: Any, mode: int) -> None:
            seen.append(stat.S_IMODE(path.stat().st_mode))
            change(changed, mode)

        class Binding(Reactor):
            """A reactor that binds what it is told to."""

            def listenUNIX(
                self, address: Any, factory: Any, backlog: int = 50, mode: int = 0, wantPID: int = 0
            ) -> Any:
                port = unix.Port(address, factory, backlog, mode, self)
                port.startListening()
                ports.append(port)
                return port

        monkeypatch.setattr(os, "chmod", look_and_change)
        before = os.umask(0)
        try:
            listeners = started(Binding(), house, f"unix:{path}{asked}")
        finally:
            os.umask(before)
        assert seen == [0o600]  # between the bind and Twisted's own change
        assert stat.S_IMODE(path.stat().st_mode) == mode
        listeners.stopService()
        ports[0].socket.close()  # which the reactor would do in its next turn


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
