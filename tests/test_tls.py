"""TLS in memory: what a client and the daemon make of each other's certificates, and of garbage.

The clients are Python's, which has an OpenSSL of its own.
"""

from __future__ import annotations

import contextlib
import ssl
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pki
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from harness import House, TurnClock, Wire
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from pki import CLIENT, SERVER, Authority, Identity, Keys, Paths
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.python.failure import Failure
from zope.interface import implementer

from memdbd.errors import ConfigError
from memdbd.tls import (
    HANDSHAKE,
    NO_TLS,
    Credentials,
    TLSConnection,
    TLSFactory,
    common_name,
    reason_of,
)

BOTH = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


@implementer(IHandshakeListener)
class Recorder(Protocol):
    """What stands behind TLS here: remembers what it is told."""

    def __init__(self) -> None:
        self.shaken = False
        self.heard = b""
        self.names: list[str | None] = []  # of the client, whenever something is heard of it
        self.lost: Failure | None = None

    def connectionMade(self) -> None:
        self.names.append(common_name(self.transport))

    def handshakeCompleted(self) -> None:
        self.shaken = True
        self.names.append(common_name(self.transport))

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.names.append(common_name(self.transport))
        self.lost = reason

    @property
    def reason(self) -> str:
        assert self.lost is not None
        return reason_of(self.lost)


class Nobody(ServerFactory):
    """Turns all away."""

    def buildProtocol(self, addr: object) -> None:
        return None


class Connection:
    """A connection with TLS whose ends are both here: the daemon's, with a :class:`Recorder` behind
    it or one of a House, and a client's in ``context``."""

    def __init__(
        self,
        credentials: Credentials,
        context: ssl.SSLContext | None = None,
        *,
        host: str | None = "localhost",
        session: ssl.SSLSession | None = None,
        house: House | None = None,
    ) -> None:
        self.inner = Recorder()
        wrapped = house.factory if house else ServerFactory.forProtocol(lambda: self.inner)
        self.clock = house.clock if house else TurnClock()
        tls = TLSFactory(credentials, wrapped, self.clock).buildProtocol(None)
        assert tls is not None
        self.tls = tls
        self.wire = Wire(self.clock, 50_000)
        self.wire.protocol = self.tls  # type: ignore[assignment] # or what stands in front of it
        self.tls.makeConnection(self.wire)
        self._taken = 0
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        if context is not None:
            self.client = context.wrap_bio(
                self._in, self._out, server_hostname=host, session=session
            )

    def sends(self, data: bytes) -> None:
        """Bytes as they come off the socket."""
        if data and self.wire.closed is None:
            self.tls.dataReceived(data)
        self.turn()

    def turn(self) -> None:
        """Let what is due be done, and the peer take what is sent to it."""
        while self.clock.turn() or self.wire.untaken or self.wire.writing:
            self.wire.take(len(self.wire.untaken))

    def ends(self) -> None:
        """The client goes, if it is not gone."""
        if self.wire.closed is None:
            self.wire._lose(ConnectionDone)

    def answer(self) -> bytes:
        """What the daemon's end has put on the wire since this was last asked."""
        found = bytes(self.wire.taken[self._taken :])
        self._taken += len(found)
        return found

    def said(self) -> bytes:
        """What the client's end has to send."""
        return self._out.read()

    def hears(self, data: bytes) -> None:
        """Bytes arrive at the client's end."""
        self._in.write(data)

    def exchange(self) -> None:
        """Let all arrive that either end has to say."""
        while (said := self.said()) or (answered := self.answer()):
            if said:
                self.sends(said)
            else:
                self.hears(answered)

    def shake(self) -> Exception | None:
        """Do the handshake, and give what the client's end says against it: with TLS 1.3 it hears
        only behind it that the daemon refuses its certificate."""
        try:
            for _ in range(4):
                try:
                    self.client.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    self.exchange()
            self.exchange()
            self.client.read(1)
        except ssl.SSLWantReadError:
            self.exchange()
            return None
        except ssl.SSLError as error:
            self.exchange()
            return error
        raise AssertionError("nobody has said anything")

    def asks(self, data: bytes) -> None:
        self.client.write(data)
        self.exchange()

    @property
    def serial(self) -> int:
        """Of the certificate that the client is shown."""
        return pki.serial_of(self.client.getpeercert(binary_form=True) or b"")


def records(data: bytes) -> Iterator[bytes]:
    """The records of TLS that make up ``data``."""
    while data:
        end = 5 + int.from_bytes(data[3:5])
        assert len(data) >= end
        yield data[:end]
        data = data[end:]


def pipelined(connection: Connection, data: bytes) -> bytes:
    """What a client has to send that says this without waiting for the end of the handshake."""
    with contextlib.suppress(ssl.SSLWantReadError):
        connection.client.do_handshake()
    connection.sends(connection.said())
    connection.hears(connection.answer())
    connection.client.do_handshake()
    connection.client.write(data)
    return connection.said()


def trusting(keys: Keys, own: Paths | None = None) -> ssl.SSLContext:
    """The context of a client that trusts the CA and has a certificate of its own, or none."""
    context = ssl.create_default_context(cafile=str(keys.ca_path))
    if own is not None:
        context.load_cert_chain(own.certificate, own.key)
    return context


def only(context: ssl.SSLContext, version: ssl.TLSVersion) -> ssl.SSLContext:
    context.minimum_version = context.maximum_version = version
    return context


class TestAClientThatIsLetIn:
    @BOTH
    def test_without_a_certificate(self, keys: Keys, version: ssl.TLSVersion) -> None:
        connection = Connection(keys.credentials(), only(trusting(keys), version))
        assert connection.shake() is None
        assert connection.inner.shaken
        connection.asks(b"hello")
        assert connection.inner.heard == b"hello"
        assert connection.client.version() == version.name.replace("_", ".")
        assert connection.client.compression() is None

    @BOTH
    @pytest.mark.parametrize("clients", ["optional", "required"])
    def test_with_one(self, keys: Keys, version: ssl.TLSVersion, clients: str) -> None:
        context = only(trusting(keys, keys.client("alice")), version)
        connection = Connection(keys.credentials(clients, tls_user="cn"), context)
        assert connection.shake() is None
        connection.asks(b"hello")
        assert connection.inner.heard == b"hello"
        assert connection.inner.names == [None, "alice"]

    @BOTH
    def test_has_no_name_before_it_has_shown_that_the_certificate_is_its_own(
        self, keys: Keys, version: ssl.TLSVersion
    ) -> None:
        context = only(trusting(keys, keys.client("alice")), version)
        connection = Connection(keys.credentials("required", tls_user="cn"), context)
        names = []
        while not connection.inner.shaken:
            with contextlib.suppress(ssl.SSLWantReadError):
                connection.client.do_handshake()
            for record in records(connection.said()):
                names.append(common_name(connection.tls))
                assert not connection.inner.shaken
                connection.sends(record)
            connection.hears(connection.answer())
        assert len(names) > 3
        assert set(names) == {None}
        assert common_name(connection.tls) == "alice"

    def test_without_one_where_they_are_optional(self, keys: Keys) -> None:
        connection = Connection(keys.credentials("optional", tls_user="cn"), trusting(keys))
        assert connection.shake() is None
        assert connection.inner.names == [None, None]

    def test_with_one_that_nobody_asks_for(self, keys: Keys) -> None:
        connection = Connection(keys.credentials(), trusting(keys, keys.client("alice")))
        assert connection.shake() is None
        assert connection.inner.names == [None, None]

    def test_with_one_of_a_ca_in_between(self, keys: Keys) -> None:
        own = keys.client("carl", ca=Authority("lower", keys.ca))
        connection = Connection(keys.credentials("required", tls_user="cn"), trusting(keys, own))
        assert connection.shake() is None
        assert connection.inner.names == [None, "carl"]

    def test_with_one_of_a_ca_in_between_that_alone_is_known(self, keys: Keys) -> None:
        lower = Authority("lower", keys.ca)
        context = trusting(keys, keys.client("carl", ca=lower))
        lower.write_ca(keys.directory)
        assert Connection(keys.credentials("required", tls_user="cn"), context).shake() is None
        context = trusting(keys, keys.client("carl", ca=Authority("another", keys.ca)))
        context.load_verify_locations(keys.directory / "server.pem")
        assert Connection(keys.credentials("required", tls_user="cn"), context).shake() is not None

    def test_to_a_server_with_a_ca_in_between(self, keys: Keys) -> None:
        keys.serve(Authority("lower", Authority("upper", keys.ca)).issue("localhost"))
        assert Connection(keys.credentials(), trusting(keys)).shake() is None

    @pytest.mark.parametrize("names", [(), ("alice", "default")])
    def test_with_one_that_has_not_one_name(self, keys: Keys, names: tuple[str, ...]) -> None:
        context = trusting(keys, keys.client(*names))
        connection = Connection(keys.credentials("required", tls_user="cn"), context)
        assert connection.shake() is None
        assert connection.inner.names == [None, None]

    def test_has_no_name_where_certificates_do_not_say_who_one_is(self, keys: Keys) -> None:
        credentials = keys.credentials("required")
        connection = Connection(credentials, trusting(keys, keys.client("alice")))
        assert connection.shake() is None
        assert connection.inner.names == [None, None]
        credentials.reload(keys.settings("required", tls_user="cn"))
        assert common_name(connection.tls) == "alice"


class TestAClientThatIsRefused:
    """What the daemon hears, which is for its log, and what the client does."""

    def outcome(
        self, keys: Keys, version: ssl.TLSVersion, own: Paths | None, clients: str = "required"
    ) -> tuple[str, str]:
        context = only(trusting(keys, own), version)
        user = "none" if clients == "no" else "cn"
        connection = Connection(keys.credentials(clients, tls_user=user), context)
        error = connection.shake()
        assert isinstance(error, ssl.SSLError)
        assert not connection.inner.shaken
        assert connection.inner.heard == b""
        assert set(connection.inner.names) == {None}
        assert connection.wire.closed
        return connection.inner.reason, str(error.reason).replace("_", " ").lower()

    @BOTH
    @pytest.mark.parametrize("clients", ["optional", "required"])
    def test_for_an_expired_certificate(
        self, keys: Keys, version: ssl.TLSVersion, clients: str
    ) -> None:
        own = keys.ca.issue("bob", ends=-0.5)
        paths = own.write(keys.directory, "client")
        said, heard = self.outcome(keys, version, paths, clients)
        assert said == f"its certificate has expired ({own.expires}, CN='bob')"
        assert "certificate expired" in heard

    @BOTH
    def test_for_one_that_is_not_valid_yet(self, keys: Keys, version: ssl.TLSVersion) -> None:
        own = keys.ca.issue("bob", begins=3)
        paths = own.write(keys.directory, "client")
        said, heard = self.outcome(keys, version, paths)
        first = f"{own.certificate.not_valid_before_utc:%Y-%m-%d}"
        assert said == f"its certificate is not valid before {first} (CN='bob')"
        assert "bad certificate" in heard

    @BOTH
    @pytest.mark.parametrize("clients", ["optional", "required"])
    @pytest.mark.parametrize("name", ["another CA", "the CA"])
    def test_for_one_of_a_foreign_ca(
        self, keys: Keys, version: ssl.TLSVersion, clients: str, name: str
    ) -> None:
        paths = keys.client("eve", ca=Authority(name))
        said, heard = self.outcome(keys, version, paths, clients)
        assert said == "its certificate is from a CA that tls_ca does not know (CN='eve')"
        assert "unknown ca" in heard

    @BOTH
    def test_for_one_that_it_has_signed_itself(self, keys: Keys, version: ssl.TLSVersion) -> None:
        paths = Authority("eve").write(keys.directory, "client")
        said, heard = self.outcome(keys, version, paths)
        assert said == "its certificate is signed by itself, and tls_ca does not have it (CN='eve')"
        assert "unknown ca" in heard

    @BOTH
    def test_for_having_none(self, keys: Keys, version: ssl.TLSVersion) -> None:
        said, heard = self.outcome(keys, version, None)
        assert said == "it has no certificate, and tls_clients is required"
        assert heard.endswith(("certificate required", "handshake failure"))

    @BOTH
    def test_for_one_that_is_made_for_servers(self, keys: Keys, version: ssl.TLSVersion) -> None:
        assert Connection(
            keys.credentials("required"),
            only(trusting(keys, keys.client("bob", usage=CLIENT)), version),
        ).inner
        said, heard = self.outcome(keys, version, keys.client("bob", usage=SERVER))
        assert said == "its certificate is not made for clients (extended key usage) (CN='bob')"
        assert "unsupported certificate" in heard

    @BOTH
    def test_for_a_ca_in_between_that_has_expired(
        self, keys: Keys, version: ssl.TLSVersion
    ) -> None:
        lower = Authority("lower", keys.ca, ends=-1)
        said, heard = self.outcome(keys, version, keys.client("carl", ca=lower))
        assert said == f"a CA of its certificate has expired ({lower.expires}, CN='lower')"
        assert "certificate expired" in heard

    @BOTH
    def test_for_a_certificate_that_was_issued_by_no_ca(
        self, keys: Keys, version: ssl.TLSVersion
    ) -> None:
        paths = keys.client("eve", ca=Authority("alice", keys.ca, is_ca=False))
        said, _ = self.outcome(keys, version, paths)
        assert said == "a CA of its certificate is no CA (CN='alice')"

    @BOTH
    def test_whose_name_cannot_forge_a_line_of_the_log(
        self, keys: Keys, version: ssl.TLSVersion
    ) -> None:
        name = "bob\n2026-01-01 memdbd: \x1b[2J\u2028'x"
        said, _ = self.outcome(keys, version, keys.client(name, ca=Authority("another")))
        assert said.isprintable()
        assert said.isascii()
        assert r"\n2026" in said

    @BOTH
    @pytest.mark.parametrize(
        ("part", "other", "shown"),
        [
            (b"\x0c\x03eve", b"\x14\x03\xff\xfe\xfd", "(CN='')"),  # no text, though it says so
            (b"\x0c\x03eve", b"\x03\x03\x00ve", "(CN='')"),  # a name of bits
            (b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07", "nor can it be read"),  # version 8
        ],
    )
    def test_whose_certificate_only_openssl_can_read(
        self, keys: Keys, version: ssl.TLSVersion, part: bytes, other: bytes, shown: str
    ) -> None:
        paths = odd(Authority("another CA").issue("eve"), part, other, keys.directory)
        said, _ = self.outcome(keys, version, paths)
        assert said.startswith("its certificate is from a CA that tls_ca does not know")
        assert said.endswith(shown)

    def test_for_tls_1_1(self, keys: Keys) -> None:
        context = trusting(keys)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            only(context, ssl.TLSVersion.TLSv1_1)
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        connection = Connection(keys.credentials(), context)
        error = connection.shake()
        assert isinstance(error, ssl.SSLError)
        assert "PROTOCOL_VERSION" in error.reason  # the alert: it is the server that refuses
        assert connection.inner.reason == "it speaks TLS 1.1 at most; 1.2 is the least"

    @pytest.mark.parametrize("cipher", ["AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA", "AES256-SHA"])
    def test_for_ciphers_that_are_weak_or_tell_all_when_the_key_is_lost(
        self, keys: Keys, cipher: str
    ) -> None:
        keys.serve(keys.ca.issue("localhost", key=rsa.generate_private_key(65537, 2048)))
        context = only(trusting(keys), ssl.TLSVersion.TLSv1_2)
        context.set_ciphers(f"{cipher}:@SECLEVEL=0")
        connection = Connection(keys.credentials(), context)
        assert connection.shake() is not None
        assert connection.inner.reason == "it has no cipher in common with this server"


def odd(identity: Identity, part: bytes, other: bytes, directory: Path) -> Paths:
    """The files of a certificate of which a part has been changed."""
    paths = identity.write(directory, "client")
    whole = identity.certificate.public_bytes(Encoding.DER)
    assert part in whole
    paths.certificate.write_text(ssl.DER_cert_to_PEM_cert(whole.replace(part, other)))
    return paths


class TestAClientThatRefuses:
    """The server's certificate is not to its liking."""

    def outcome(self, keys: Keys, version: ssl.TLSVersion, host: str = "localhost") -> str:
        connection = Connection(keys.credentials(), only(trusting(keys), version), host=host)
        assert isinstance(connection.shake(), ssl.SSLCertVerificationError)
        assert not connection.inner.shaken
        return connection.inner.reason

    @BOTH
    def test_one_that_has_expired(self, keys: Keys, version: ssl.TLSVersion) -> None:
        keys.serve(keys.ca.issue("localhost", ends=-0.5))
        said = self.outcome(keys, version)
        assert said == "it does not accept this server's certificate: it finds it expired"

    @BOTH
    def test_one_of_a_foreign_ca(self, keys: Keys, version: ssl.TLSVersion) -> None:
        keys.serve(Authority("another CA").issue("localhost"))
        said = self.outcome(keys, version)
        assert said == "it does not accept this server's certificate: it does not know the CA"

    @BOTH
    def test_one_for_another_host(self, keys: Keys, version: ssl.TLSVersion) -> None:
        said = self.outcome(keys, version, host="db.example")
        assert said.startswith("it does not accept this server's certificate, which may be for an")


class TestReloading:
    def test_new_connections_are_shown_the_new_certificate(self, keys: Keys) -> None:
        credentials = keys.credentials()
        before = Connection(credentials, trusting(keys))
        half = Connection(credentials, trusting(keys))
        assert before.shake() is None
        new = keys.serve(keys.ca.issue("localhost"))
        credentials.reload()
        after = Connection(credentials, trusting(keys))
        assert after.shake() is None
        assert (before.serial, after.serial) == (keys.server.serial, new.serial)
        # Who was there goes on, and who was about to come comes.
        before.asks(b"still here")
        assert before.inner.heard == b"still here"
        assert half.shake() is None

    def test_a_ca_that_goes_takes_its_clients_with_it(self, keys: Keys) -> None:
        credentials = keys.credentials("required")
        context = trusting(keys, keys.client("alice"))
        assert Connection(credentials, context).shake() is None
        Authority("another CA").write_ca(keys.directory)
        credentials.reload()
        connection = Connection(credentials, context)
        assert connection.shake() is not None
        assert "is from a CA that tls_ca does not know" in connection.inner.reason

    def test_other_settings_may_come_with_it(self, keys: Keys) -> None:
        credentials = keys.credentials()
        assert not credentials.requires_certificates
        credentials.reload(keys.settings("required"))
        assert credentials.requires_certificates
        connection = Connection(credentials, trusting(keys))
        assert connection.shake() is not None
        assert connection.inner.reason == "it has no certificate, and tls_clients is required"

    @pytest.mark.parametrize("name", ["server.pem", "server-key.pem", "ca.pem"])
    @pytest.mark.parametrize("damage", ["missing", "nonsense", "another's"])
    def test_a_file_that_is_wrong_changes_nothing(self, keys: Keys, name: str, damage: str) -> None:
        credentials = keys.credentials("required")
        keys.serve(keys.ca.issue("localhost"))
        Authority("another CA").write_ca(keys.directory)
        path = keys.directory / name
        if damage == "missing":
            path.unlink()
        elif damage == "nonsense":
            path.write_bytes(b"nonsense")
        elif name == "ca.pem":
            path.write_bytes(keys.server.key_pem)
        else:
            other = keys.ca.issue("localhost")
            path.write_bytes(other.key_pem if "key" in name else other.chain_pem)
        with pytest.raises(ConfigError, match=f"^tls_(cert|key|ca): .*{name}"):
            credentials.reload()
        connection = Connection(credentials, trusting_old(keys, keys.client("alice")))
        assert connection.shake() is None
        assert connection.serial == keys.server.serial

    def test_settings_that_do_not_go_together_change_nothing(self, keys: Keys) -> None:
        credentials = keys.credentials()
        with pytest.raises(ConfigError, match="tls_user = cn needs certificates of clients"):
            credentials.reload(keys.settings(tls_user="cn"))
        assert Connection(credentials, trusting(keys)).shake() is None

    def test_what_is_prepared_changes_nothing_until_it_is_used(self, keys: Keys) -> None:
        credentials = keys.credentials()
        new = keys.serve(keys.ca.issue("localhost"))
        use = credentials.prepare(keys.settings("required"))
        (keys.directory / "server.pem").unlink()
        assert not credentials.requires_certificates
        connection = Connection(credentials, trusting(keys))
        assert connection.shake() is None
        assert connection.serial == keys.server.serial
        use()
        assert credentials.requires_certificates
        connection = Connection(credentials, trusting(keys, keys.client("alice")))
        assert connection.shake() is None
        assert connection.serial == new.serial

    def test_what_there_is_to_be_warned_of_is_logged_each_time(self, keys: Keys) -> None:
        soon = keys.serve(keys.ca.issue("localhost", ends=3.5))
        with capturedLogs() as events:
            credentials = keys.credentials()
        (event,) = events
        assert event["log_level"] is LogLevel.warn
        path = keys.directory / "server.pem"
        assert formatEvent(event) == f"tls_cert: {path} expires in 4 days ({soon.expires})"
        with capturedLogs() as events:
            credentials.reload()
        assert len(events) == 1
        assert credentials.info() == {"tls_certificate_expires": soon.expires}


def trusting_old(keys: Keys, own: Paths) -> ssl.SSLContext:
    """The same as ``trusting``, though the CA's file is another one by now."""
    context = ssl.create_default_context(cadata=keys.ca.chain_pem.decode())
    context.load_cert_chain(own.certificate, own.key)
    return context


class TestSessions:
    """A session that is resumed would bring back a client that is no longer to be let in."""

    @BOTH
    @pytest.mark.parametrize("clients", ["no", "required"])
    def test_none_is_resumed(self, keys: Keys, version: ssl.TLSVersion, clients: str) -> None:
        credentials = keys.credentials(clients)
        context = only(trusting(keys, keys.client("alice")), version)
        first = Connection(credentials, context)
        assert first.shake() is None
        first.asks(b"hello")
        session = first.client.session
        assert session is not None
        again = Connection(credentials, context, session=session)
        assert again.shake() is None
        assert again.client.session_reused is False

    def test_nothing_is_renegotiated(self, keys: Keys) -> None:
        connection = Connection(keys.credentials())
        client = SSL.Connection(SSL.Context(SSL.TLSv1_2_METHOD), None)
        client.set_connect_state()

        def exchange() -> None:
            for _ in range(6):
                with contextlib.suppress(SSL.WantReadError):
                    client.do_handshake()
                while True:
                    try:
                        connection.sends(client.bio_read(65536))
                    except SSL.WantReadError:
                        break
                if answer := connection.answer():
                    client.bio_write(answer)

        exchange()
        assert connection.inner.shaken
        assert client.renegotiate()
        with pytest.raises(SSL.Error, match="no renegotiation"):
            exchange()


class TestConnections:
    def test_a_peer_that_does_not_answer_the_end_does_not_keep_the_connection(
        self, keys: Keys
    ) -> None:
        connection = Connection(keys.credentials(), trusting(keys))
        assert connection.shake() is None
        transport = connection.inner.transport
        assert isinstance(transport, TLSConnection)
        transport.write(b"goodbye")
        transport.loseConnection()
        connection.turn()
        assert connection.wire.closed is ConnectionDone
        connection.hears(connection.answer())
        assert connection.client.read(100) == b"goodbye"
        assert connection.client.read(100) == b""  # the end, and not a broken connection

    def test_what_is_written_leaves_at_once(self, keys: Keys) -> None:
        connection = Connection(keys.credentials(), trusting(keys))
        assert connection.shake() is None
        assert isinstance(connection.inner.transport, TLSConnection)
        connection.inner.transport.write(b"hello")
        assert connection.wire.untaken  # and not in another turn

    def test_a_factory_may_turn_a_client_away(self, keys: Keys) -> None:
        factory = TLSFactory(keys.credentials(), Nobody(), TurnClock())
        assert factory.buildProtocol(None) is None

    @pytest.mark.parametrize(
        ("client", "reason"),
        [
            (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "it speaks HTTP, and no TLS"),
            (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", "it speaks HTTP, and no TLS"),
            (b"CONNECT x HTTP/1.1\r\n\r\n", "it speaks HTTP, and no TLS"),
            (b"*1\r\n$4\r\nPING\r\n", "it speaks no TLS"),
            (b"get username\r\n", "it speaks no TLS"),
            (b"\0" * 100, "it speaks no TLS"),
        ],
    )
    def test_plain_text_is_told_from_tls(self, keys: Keys, client: bytes, reason: str) -> None:
        connection = Connection(keys.credentials())
        connection.sends(client)
        assert connection.wire.closed
        assert connection.answer() == NO_TLS
        assert connection.inner.reason == reason

    def test_a_client_that_is_told_so_knows_what_is_wrong(self) -> None:
        client = ssl.create_default_context()
        incoming = ssl.MemoryBIO()
        incoming.write(NO_TLS)
        hello = client.wrap_bio(incoming, ssl.MemoryBIO(), server_hostname="localhost")
        with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
            hello.do_handshake()

    def test_the_socket_below_may_be_none_of_tcp(self, keys: Keys) -> None:
        class Local(StringTransport):
            """A UNIX socket."""

        wrapped = TLSFactory(keys.credentials(), ServerFactory.forProtocol(Recorder), TurnClock())
        tls = wrapped.buildProtocol(None)
        assert tls is not None
        tls.makeConnection(Local())
        tls.setTcpNoDelay(True)
        tls.setTcpKeepAlive(True)
        connection = Connection(keys.credentials())
        connection.tls.setTcpNoDelay(True)
        connection.tls.setTcpKeepAlive(True)
        assert (connection.wire.no_delay, connection.wire.keep_alive) == (True, True)

    def test_a_handshake_of_many_bytes_is_not_waited_for(self, keys: Keys) -> None:
        connection = Connection(keys.credentials())
        # Of a hello that says it is of 128 KiB, which OpenSSL would collect.
        record = b"\x16\x03\x01\x20\x00" + b"\x01\x01\xff\x00".ljust(8192, b"x")
        for _ in range(HANDSHAKE // len(record)):
            connection.sends(record)
        assert not connection.wire.closed
        connection.sends(record)
        assert connection.wire.closed is ConnectionAborted
        assert connection.inner.reason == (
            f"it sends over {HANDSHAKE} bytes, and has not done the handshake"
        )

    def test_a_handshake_of_as_many_bytes_as_there_may_be_is_waited_for_and_no_more(
        self, keys: Keys
    ) -> None:
        connection = Connection(keys.credentials())
        hello = b"\x16\x03\x01\x20\x00" + b"\x01\x01\xff\x00".ljust(8192, b"x")
        connection.sends((hello * 5)[:HANDSHAKE])
        assert not connection.wire.closed
        connection.sends(b"x")
        assert connection.wire.closed is ConnectionAborted

    @pytest.mark.parametrize("piece", [4096, 1 << 20])
    def test_what_comes_right_behind_the_handshake_is_none_of_it(
        self, keys: Keys, piece: int
    ) -> None:
        connection = Connection(keys.credentials(), trusting(keys))
        data = pipelined(connection, b"x" * 3 * HANDSHAKE)
        for at in range(0, len(data), piece):
            connection.sends(data[at : at + piece])
        assert not connection.wire.closed
        assert len(connection.inner.heard) == 3 * HANDSHAKE

    def test_many_bytes_are_no_harm_behind_it(self, keys: Keys) -> None:
        connection = Connection(keys.credentials(), trusting(keys))
        assert connection.shake() is None
        connection.asks(b"x" * 3 * HANDSHAKE)
        assert len(connection.inner.heard) == 3 * HANDSHAKE


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionDone(), "it went before the handshake was done"),
        (ConnectionLost(), "it went before the handshake was done"),
        (ConnectionAborted(), "it was given up before the handshake was done"),
        (
            SSL.Error([("SSL routines", "", "ssl/tls alert internal error")]),
            "it ended the handshake with the alert 'internal error'",
        ),
        (
            SSL.Error([("SSL routines", "", "bad extension")]),
            "its handshake is wrong: bad extension",
        ),
        (SSL.Error([]), "its handshake is wrong"),
        (SSL.Error(), "its handshake is wrong"),
        (SSL.SysCallError(-1, "Unexpected EOF"), "its handshake is wrong"),
        (ValueError("odd"), "of an error: ValueError('odd')"),
    ],
)
def test_there_is_a_reason_for_whatever_ends_a_handshake(error: Exception, reason: str) -> None:
    assert reason_of(error) == reason
    assert reason_of(Failure(error)) == reason


def test_a_client_without_tls_has_no_name() -> None:
    assert common_name(Wire(House().clock, 50_000)) is None


_SHARED: dict[str, Any] = {}  # what is too slow to be made for each example


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    keys = Keys(tmp_path_factory.mktemp("keys"))
    _SHARED.update(keys=keys, credentials=keys.credentials("required"))
    yield _SHARED
    _SHARED.clear()


RECORD = st.builds(
    lambda kind, version, data: bytes([kind, *version]) + len(data).to_bytes(2) + data,
    st.sampled_from([20, 21, 22, 23]),
    st.sampled_from([(3, 1), (3, 3), (3, 4), (2, 0)]),
    st.one_of(
        st.binary(max_size=200),
        st.builds(
            lambda kind, data: bytes([kind]) + len(data).to_bytes(3) + data,
            st.integers(0, 24),
            st.binary(max_size=200),
        ),
    ),
)


@settings(deadline=None, max_examples=150)
@given(pieces=st.lists(st.one_of(RECORD, st.binary(max_size=100)), max_size=8))
@pytest.mark.usefixtures("shared")
def test_garbage_instead_of_a_handshake_ends_in_a_reason_and_nothing_else(
    pieces: list[bytes],
) -> None:
    with capturedLogs() as events:
        connection = Connection(_SHARED["credentials"])
        for piece in pieces:
            connection.sends(piece)
        connection.ends()
    assert events == []
    assert not connection.inner.shaken
    assert connection.inner.heard == b""
    assert connection.inner.reason.isprintable()
    assert "of an error" not in connection.inner.reason


@settings(deadline=None, max_examples=100)
@given(
    cut=st.integers(0, 2000),
    garbage=st.binary(min_size=1, max_size=300),
    late=st.booleans(),
)
@pytest.mark.usefixtures("shared")
def test_garbage_in_a_handshake_or_behind_it_ends_the_connection_and_nothing_else(
    cut: int, garbage: bytes, late: bool
) -> None:
    keys = _SHARED["keys"]
    if "context" not in _SHARED:
        _SHARED["context"] = trusting(keys, keys.client("alice"))
    with capturedLogs() as events:
        connection = Connection(_SHARED["credentials"], _SHARED["context"])
        if late:
            assert connection.shake() is None
        else:
            with pytest.raises(ssl.SSLWantReadError):
                connection.client.do_handshake()
            connection.sends(connection.said()[:cut])
        connection.sends(garbage)
        connection.ends()
    assert events == []
    assert connection.inner.shaken is late
    assert connection.inner.heard == b""
    assert connection.inner.lost is not None


class TestTheDaemonBehindIt:
    """What is sent at once where nothing waits to be sent must not go past TLS."""

    def test_nothing_leaves_but_records_of_tls(self, keys: Keys) -> None:
        house = House()
        connection = Connection(keys.credentials(), trusting(keys), house=house)
        connection.wire.room = 1 << 20  # the socket below takes all that it is given
        assert connection.shake() is None
        seen = len(connection.wire.taken)
        connection.asks(b"echo a-secret\nping\n")
        assert connection.client.read(1000) == b'{"result": "a-secret"}\n{"result": "PONG"}\n'
        sent = bytes(connection.wire.taken[seen:])
        assert sent
        assert b"a-secret" not in sent
        assert {record[:3] for record in records(sent)} == {b"\x17\x03\x03"}  # data, encrypted

    def test_requests_right_behind_the_handshake_are_served_when_the_turn_is_late(
        self, keys: Keys
    ) -> None:
        house = House()
        connection = Connection(keys.credentials(), trusting(keys), house=house)
        data = pipelined(connection, (b"set k " + b"v" * 8000 + b"\n") * 7)
        turn = house.factory.turn
        for at in range(0, len(data), 4096):
            turn.is_late()
            turn._late_from = -1.0  # others have used up this turn
            connection.tls.dataReceived(data[at : at + 4096])
        connection.turn()
        connection.hears(connection.answer())
        assert connection.client.read(1000) == b'{"result": "OK"}\n' * 7
        assert not house.factory.alarms.counts

    @pytest.mark.parametrize(
        ("name", "is_default"), [("default", True), ("bob", False), ("off", False), (None, True)]
    )
    def test_a_certificate_that_names_nobody_is_not_the_user_default_who_is_open(
        self, keys: Keys, name: str | None, is_default: bool
    ) -> None:
        house = House()
        house.factory.gate.users.set(b"off", (b"off", b"nopass", b"+@all"))
        own = keys.client(name) if name else None
        credentials = keys.credentials("optional", tls_user="cn")
        connection = Connection(credentials, trusting(keys, own), house=house)
        assert connection.shake() is None
        for again in (b"", b"reset\n"):
            connection.asks(again + b"acl whoami\n")
            expected = b'{"result": "default"}\n' if is_default else b"NOAUTH"
            assert expected in connection.client.read(1000)

    def test_a_long_reply_arrives_whole(self, keys: Keys) -> None:
        house = House()
        connection = Connection(keys.credentials(), trusting(keys), house=house)
        assert connection.shake() is None
        value = b"x" * 1_000_000
        connection.asks(b'["set", "k", "' + value + b'"]\nget k\n')
        heard = b""
        while not heard.endswith(b"null}\n"):
            heard += connection.client.read(1 << 20)
        assert heard == b'{"result": "OK"}\n{"result": "' + value + b'", "ttl_remaining": null}\n'
