"""How a connection arrives, is somebody or a stranger, and is cut.

What a stranger may send is in ``test_limits.py``; TLS over sockets in ``e2e/test_tls.py``.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
from harness import House, Wire
from OpenSSL import SSL
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import ISSLTransport
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from zope.interface import implementer

from memdbd.permissions import STRANGER
from memdbd.protocol import MemDBProtocol


@implementer(ISSLTransport)
class Tunnel(Wire):
    """A transport as TLS gives it, whose handshake is the bytes ``hello``."""

    def __init__(self, house: House, port: int) -> None:
        super().__init__(house.clock, port)
        self.transport = SimpleNamespace(bufferSize=0)
        self.came = b""

    def getPeerCertificate(self) -> None:
        """There is none."""

    def dataReceived(self, data: bytes) -> None:
        self.came += data
        if self.came == b"hello":
            self.protocol.handshakeCompleted()
        elif self.came.startswith(b"hello"):
            self.protocol.dataReceived(data)


class Guest:
    """The other end of a :class:`Tunnel`."""

    def __init__(self, house: House, port: int = 50_000) -> None:
        self.house = house
        self.wire = Tunnel(house, port)
        built = house.factory.buildProtocol(self.wire.getPeer())
        self.wire.protocol = self.protocol = cast(MemDBProtocol, built)
        self.protocol.makeConnection(self.wire)

    def asks(self, data: bytes) -> bytes:
        self.wire.dataReceived(data)
        return self.hears()

    def hears(self) -> bytes:
        self.house.settle()
        self.wire.take(1 << 20)
        said = bytes(self.wire.taken)
        self.wire.taken.clear()
        return said


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def house(told: list[str]) -> House:
    house = House()
    house.factory.alarms._tell = told.append
    return house


class TestBeforeTheHandshakeIsDone:
    def test_it_is_nobody_who_may_do_nothing(self, house: House) -> None:
        session = Guest(house).protocol.session
        assert session.user is None
        assert session.permissions is STRANGER
        assert len(house.factory.admission) == 1

    def test_it_has_as_much_time_as_to_log_in(self, house: House, told: list[str]) -> None:
        guest = Guest(house)
        house.passes(5)
        assert guest.wire.closed is ConnectionAborted
        assert told == [
            "client 1 at 127.0.0.1:50000 is cut: it has not done its TLS handshake within 5 s"
        ]
        assert house.factory.alarms.counts == {"login_timeout": 1}
        assert house.remains() == {}

    @pytest.mark.parametrize(
        ("how", "reason"),
        [
            (ConnectionDone(), "it went before the handshake was done"),
            (SSL.Error([("SSL", "", "unsupported protocol")]), "it speaks TLS 1.1 at most"),
        ],
    )
    def test_its_end_is_told_with_the_reason(
        self, house: House, told: list[str], how: Exception, reason: str
    ) -> None:
        guest = Guest(house)
        guest.wire.dataReceived(b"he")
        guest.protocol.connectionLost(Failure(how))
        (sentence,) = told
        assert sentence.startswith(f"client 1 at 127.0.0.1:50000 is refused: {reason}")
        assert house.factory.alarms.counts == {"handshake": 1}
        assert len(house.factory.admission) == 0

    def test_it_is_told_even_of_a_socket_without_an_address(
        self, house: House, told: list[str]
    ) -> None:
        guest = Guest(house)
        guest.wire.dataReceived(b"he")
        del guest.wire.hostAddr  # as of a TCP socket that was lost
        guest.protocol.connectionLost(Failure(ConnectionDone()))
        assert "127.0.0.1:50000" in told[0]

    def test_its_end_is_not_told_where_it_has_not_begun(self, house: House) -> None:
        """As of whoever only looks whether there is somebody."""
        Guest(house).protocol.connectionLost(Failure(ConnectionDone()))
        assert house.factory.alarms.counts == {}


class TestTheHandshake:
    def test_lets_it_in(self, house: House) -> None:
        guest = Guest(house)
        assert guest.asks(b"hello") == b""
        assert guest.asks(b"ping\n") == b'{"result": "PONG"}\n'
        assert len(house.factory.admission) == 0
        guest.protocol.connectionLost(Failure(ConnectionDone()))
        assert house.factory.alarms.counts == {}

    def test_lets_it_log_in(self) -> None:
        house = House(password="secret")
        guest = Guest(house)
        guest.asks(b"hello")
        assert guest.protocol.session.permissions is STRANGER
        assert len(house.factory.admission) == 1
        assert guest.asks(b"auth secret\n") == b'{"result": "OK"}\n'
        assert len(house.factory.admission) == 0

    def test_leaves_a_stranger_its_time_to_log_in(self) -> None:
        house = House(password="secret")
        guest, other = Guest(house), house.connect()
        house.passes(4)
        guest.asks(b"hello")
        with capturedLogs():
            house.passes(4.9)
            assert not guest.wire.disconnecting
            assert other.closed
            house.passes(0.2)
        assert b"nobody has done so within 5 s" in guest.hears()

    def test_leaves_a_stranger_half_of_the_bytes(self) -> None:
        house = House(password="secret")
        guest = Guest(house)
        guest.asks(b"hello")
        assert guest.asks(b"x" * 32_768) == b""
        assert b"a line has at most 32768 bytes" in guest.asks(b"x")

    def test_waits_for_the_next_turn_where_this_one_has_no_time(self, house: House) -> None:
        turn = house.factory.turn
        turn.is_late()
        house.clock.rightNow += turn.BUDGET
        guest = Guest(house)
        guest.wire.dataReceived(b"he")
        guest.wire.dataReceived(b"llo")
        assert guest.wire.came == b""
        house.settle()
        assert guest.wire.came == b"hello"
        assert guest.asks(b"ping\n") == b'{"result": "PONG"}\n'

    def test_is_forgotten_of_one_who_has_gone_meanwhile(self, house: House) -> None:
        house.factory.turn.is_late()
        house.clock.rightNow += house.factory.turn.BUDGET
        guest = Guest(house)
        guest.wire.dataReceived(b"hello")
        guest.protocol.connectionLost(Failure(ConnectionDone()))
        house.settle()
        assert guest.wire.came == b""
        assert house.remains() == {}

    def test_does_not_wait_with_more_than_a_handshake_needs(self, house: House) -> None:
        house.factory.turn.is_late()
        house.clock.rightNow += house.factory.turn.BUDGET
        guest = Guest(house)
        guest.wire.dataReceived(b"x" * 30_000)
        guest.wire.dataReceived(b"x" * 3000)
        assert len(guest.wire.came) == 33_000


class TestWhatIsToldOfIt:
    def test_is_whether_it_has_tls_and_has_logged_in(self) -> None:
        house = House(password="secret")
        guest, plain = Guest(house), house.connect()
        plain.asks(b"auth wrong\n")

        def told(protocol: MemDBProtocol) -> list[str | int]:
            fields = house.server.clients.fields(protocol)
            return [fields[name] for name in ("auth", "failures", "tls", "user")]

        assert told(guest.protocol) == [0, 0, 1, "default"]
        assert told(plain.protocol) == [0, 1, 0, "default"]
        plain.asks(b"auth secret\n")
        house.passes(1)  # behind a failure, there is a rest
        assert told(plain.protocol) == [1, 0, 0, "default"]


def test_one_for_whom_there_is_no_room_makes_no_handshake() -> None:
    house = House(max_clients=1)
    house.connect()
    guest = Guest(house)
    assert guest.wire.disconnected
    assert guest.wire.untaken == b""
