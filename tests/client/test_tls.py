"""TLS towards a server in memory: nothing is said to one that is not trusted, and why it is not."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from cryptography.x509.oid import ExtensionOID
from harness import outcome
from OpenSSL import SSL
from pki import CLIENT, SERVER, Authority, Identity
from twisted.internet.endpoints import clientFromString
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from memdbd.client import TLS, TLSFault, connect, tlsfaults
from memdbd.client import tls as tls_module
from memdbd.client.tls import Description, TLSEndpoint
from memdbd.client.tlsfaults import HandshakeTimeout
from memdbd.errors import ConfigError

PONG = b'{"result": "PONG"}\n'

# Of the curve secp192k1, by OpenSSL; here nobody can make one.
ODD_KEY = """\
-----BEGIN PRIVATE KEY-----
MGwCAQAwEAYHKoZIzj0CAQYFK4EEAB8EVTBTAgEBBBijZbsdoXWW2IBGqH89H5CZ
2TlZc/vh/VyhNAMyAAT7TH+q0F2WnsWWa5CDd4XRTMjQCb//GK+OLG/u4GTvydMt
psjA9t6YlDeL3tL5WNg=
-----END PRIVATE KEY-----
"""
ODD_CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBUDCCAQagAwIBAgIUCzxeGtiosdj7aQp701DCm7fs/oUwCgYIKoZIzj0EAwIw
DjEMMAoGA1UEAwwDb2RkMCAXDTI2MTEyMzE0Mzg1MVoYDzIxMjYxMDMwMTQzODUx
WjAOMQwwCgYDVQQDDANvZGQwRjAQBgcqhkjOPQIBBgUrgQQAHwMyAAT7TH+q0F2W
nsWWa5CDd4XRTMjQCb//GK+OLG/u4GTvydMtpsjA9t6YlDeL3tL5WNijUzBRMB0G
A1UdDgQWBBQcq6uFqycbd+pRsZ7IXXiYBMgUwTAfBgNVHSMEGDAWgBQcq6uFqycb
d+pRsZ7IXXiYBMgUwTAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCAzgAMDUC
GQCjAi6f5frMriqpUYQDyePPGX9+Rc9oq4ACGDFU85B47p4r+bDiM+2PjoaZg17l
ucgFkQ==
-----END CERTIFICATE-----
"""


@pytest.fixture(scope="module")
def ca() -> Authority:
    return Authority("our CA")


@pytest.fixture(scope="module")
def stranger() -> Authority:
    return Authority("another CA")


class Peer:
    """A server that speaks TLS with what reaches the test's endpoint, and answers all with PONG."""

    def __init__(
        self,
        endpoint: Any,
        paths: tuple[Path, Path],
        *,
        clients: Path | None = None,
        version: ssl.TLSVersion | None = None,
    ) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*paths)
        if version is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version = min(version, ssl.TLSVersion.TLSv1_2)
                context.maximum_version = version
            context.set_ciphers("ALL:@SECLEVEL=0")
        if clients is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(clients)
        context.sni_callback = self._named
        self.endpoint = endpoint
        self.server_name: str | None = None
        self.heard = b""
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)
        self._is_ready = self._is_over = False

    def talks(self, clock: Clock) -> None:
        """Have all that either says come to the other, until one has gone or both are silent."""
        clock.advance(0)
        while not self._is_over and (sent := self.endpoint.sent()):
            self._in.write(sent)
            self._work()
            if said := self._out.read():
                self.endpoint.protocol.dataReceived(said)
            clock.advance(0)
            transport = self.endpoint.transport
            if self._is_over or transport.disconnecting or transport.disconnected:
                self._is_over = True
                self.endpoint.lose(ConnectionDone())

    def _work(self) -> None:
        try:
            if not self._is_ready:
                self._tls.do_handshake()
                self._is_ready = True
            while said := self._tls.read():
                self.heard += said
                self._tls.write(PONG)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self._is_over = True  # behind its alert

    def _named(self, tls: object, name: str | None, context: object) -> None:
        self.server_name = name


class Attempt:
    """A client that connects to the test's endpoint with TLS."""

    def __init__(self, endpoint: Any, tls: TLS, name: str = "localhost") -> None:
        self.clock = Clock()
        self.endpoint = endpoint
        secured = TLSEndpoint(self.clock, endpoint, tls, name)
        self.connecting = connect(self.clock, secured, timeout=5)
        endpoint.accept()

    def with_peer(self, peer: Peer) -> Any:
        """What comes of it."""
        peer.talks(self.clock)
        return outcome(self.connecting)


@pytest.fixture
def fault(endpoint: Any, tmp_path: Path, ca: Authority) -> Callable[..., tuple[TLSFault, Peer]]:
    """The fault that it comes to, with a server of this identity; and that server."""

    def fault(
        identity: Identity, tls: TLS | None = None, name: str = "localhost", **how: Any
    ) -> tuple[TLSFault, Peer]:
        peer = Peer(endpoint, identity.write(tmp_path, "server"), **how)
        found = Attempt(endpoint, tls or TLS(ca=str(ca.write_ca(tmp_path))), name).with_peer(peer)
        assert isinstance(found, TLSFault), found
        return found, peer

    return fault


class TestTheServersCertificate:
    @pytest.mark.parametrize("version", [None, ssl.TLSVersion.TLSv1_2])
    @pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
    def test_one_from_our_ca_for_the_right_name_is_spoken_to(
        self, endpoint: Any, tmp_path: Path, ca: Authority, name: str, version: Any
    ) -> None:
        peer = Peer(endpoint, ca.issue("it").write(tmp_path, "server"), version=version)
        attempt = Attempt(endpoint, TLS(ca=str(ca.write_ca(tmp_path))), name)
        assert not attempt.connecting.called  # connected is not enough
        client = attempt.with_peer(peer)
        asked = client.execute("ping")
        peer.talks(attempt.clock)
        assert outcome(asked) == {"result": b"PONG"}
        assert peer.heard == b'["ping"]\n'
        assert peer.server_name == (name if name == "localhost" else None)

    def test_a_certificate_between_it_and_its_ca_is_no_obstacle(
        self, endpoint: Any, tmp_path: Path, ca: Authority
    ) -> None:
        between = Authority("between", ca)
        peer = Peer(endpoint, between.issue("it").write(tmp_path, "server"))
        client = Attempt(endpoint, TLS(ca=str(ca.write_ca(tmp_path)))).with_peer(peer)
        assert client.execute("ping")

    def test_an_expired_one_is_refused_with_the_day(self, fault: Any, ca: Authority) -> None:
        server = ca.issue("it", begins=-20, ends=-2)
        found, peer = fault(server)
        assert str(found) == f"the server's certificate has expired ({server.expires})"
        assert found.lasts
        assert peer.heard == b""

    def test_one_of_tomorrow_is_refused_and_asks_for_the_clock(
        self, fault: Any, ca: Authority
    ) -> None:
        found, _ = fault(ca.issue("it", begins=2, ends=20))
        assert str(found).startswith("the server's certificate is valid only from 2")
        assert found.hint == "is the clock of this machine right?"

    def test_one_of_another_ca_is_refused_and_names_the_file(
        self, fault: Any, tmp_path: Path, stranger: Authority
    ) -> None:
        found, _ = fault(stranger.issue("it"))
        assert str(found) == f"the server's certificate is not from a CA in {tmp_path}/ca.pem"

    def test_without_a_file_it_has_to_be_from_a_ca_of_the_system(
        self, fault: Any, ca: Authority
    ) -> None:
        found, _ = fault(ca.issue("it"), TLS())
        assert str(found) == "the server's certificate is not from a CA that this system trusts"
        assert "--cacert" in found.hint

    def test_one_that_it_has_signed_itself_is_trusted_if_it_is_the_file(
        self, endpoint: Any, tmp_path: Path
    ) -> None:
        issued = Authority("itself").issue("itself")
        key, old = issued.key, issued.certificate
        names = old.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        own = (
            x509.CertificateBuilder()
            .subject_name(old.subject)
            .issuer_name(old.subject)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(old.not_valid_before_utc)
            .not_valid_after(old.not_valid_after_utc)
            .add_extension(names, critical=False)
            .sign(key, SHA256())
        )
        paths = Identity(own, key).write(tmp_path, "server")
        client = Attempt(endpoint, TLS(ca=str(paths.certificate))).with_peer(Peer(endpoint, paths))
        assert client.execute("ping")

    def test_a_ca_that_has_expired_is_named(self, fault: Any, tmp_path: Path) -> None:
        old = Authority("Old & Sons", ends=-1)
        found, _ = fault(old.issue("it"), TLS(ca=str(old.write_ca(tmp_path, "old"))))
        assert str(found) == (f"the certificate of its CA 'Old & Sons' has expired ({old.expires})")

    @pytest.mark.parametrize(
        ("hosts", "name", "told"),
        [
            (["db.example"], "localhost", "is for db.example, not for localhost"),
            (["db.example", "10.0.0.1"], "127.0.0.1", "db.example, 10.0.0.1, not for 127.0.0.1"),
            (["localhost"], "127.0.0.1", "is for localhost, not for 127.0.0.1"),
            (["127.0.0.1"], "localhost", "is for 127.0.0.1, not for localhost"),
            (["*.example"], "a.b.example", "is for *.example, not for a.b.example"),
            ([f"n{n}" for n in range(9)], "x", "n0, n1, n2, n3, n4, 4 more, not for x"),
            ([], "it", "names no host"),
        ],
    )
    def test_one_for_another_name_is_refused_with_the_names_it_has(
        self, fault: Any, ca: Authority, hosts: list[str], name: str, told: str
    ) -> None:
        found, peer = fault(ca.issue("it", hosts=hosts), name=name)
        assert told in str(found)
        assert peer.heard == b""

    def test_one_for_clients_is_none_for_servers(self, fault: Any, ca: Authority) -> None:
        found, _ = fault(ca.issue("it", usage=CLIENT))
        assert str(found) == "the server's certificate is not one for servers"

    @pytest.mark.parametrize(
        ("name", "written"),
        [
            ("bücher.example", "xn--bcher-kva.example"),
            ("faß.example", "xn--fa-hia.example"),  # fass.example, by the older standard
        ],
    )
    def test_a_name_beyond_ascii_is_looked_for_as_it_is_written_in_certificates(
        self, endpoint: Any, tmp_path: Path, ca: Authority, name: str, written: str
    ) -> None:
        peer = Peer(endpoint, ca.issue("it", hosts=[written]).write(tmp_path, "server"))
        tls = TLS(ca=str(ca.write_ca(tmp_path)))
        assert Attempt(endpoint, tls, name).with_peer(peer).execute("ping")
        assert peer.server_name == written

    def test_a_name_that_is_only_like_it_is_another(self, fault: Any, ca: Authority) -> None:
        found, peer = fault(ca.issue("it", hosts=["fass.example"]), name="faß.example")
        assert str(found).endswith("is for fass.example, not for faß.example")
        assert peer.heard == b""

    @pytest.mark.parametrize(
        "problem", [ValueError, TypeError, AttributeError, IndexError, KeyError, Exception]
    )
    @pytest.mark.parametrize("place", ["names_in", "of_chain", "verify_certificate_hostname"])
    def test_one_at_whose_sight_anything_fails_is_refused(
        self,
        fault: Any,
        ca: Authority,
        stranger: Authority,
        monkeypatch: pytest.MonkeyPatch,
        place: str,
        problem: type[Exception],
    ) -> None:
        def fails(*_: object) -> NoReturn:
            raise problem("of no kind that is thought of")

        where = tlsfaults if place == "names_in" else tls_module
        monkeypatch.setattr(where, place, fails)
        server = (stranger if place == "of_chain" else ca).issue("it", hosts=["localhost"])
        found, peer = fault(server, name="other" if place == "names_in" else "localhost")
        assert str(found).startswith("the server's certificate cannot be read: ")
        assert peer.heard == b""

    def test_one_with_a_name_that_cannot_be_read_is_refused(
        self, fault: Any, ca: Authority
    ) -> None:
        good = ca.issue("it", hosts=["localhost"])
        # An address of five bytes, in front of the right name.
        garbled = x509.UnrecognizedExtension(
            ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"\x30\x12\x87\x05aaaaa\x82\x09localhost"
        )
        old = good.certificate
        certificate = (
            x509.CertificateBuilder()
            .subject_name(old.subject)
            .issuer_name(old.issuer)
            .public_key(good.key.public_key())
            .serial_number(1)
            .not_valid_before(old.not_valid_before_utc)
            .not_valid_after(old.not_valid_after_utc)
            .add_extension(garbled, critical=False)
            .sign(ca.key, SHA256())
        )
        found, peer = fault(Identity(certificate, good.key))
        assert str(found).startswith("the server's certificate cannot be read: ")
        assert peer.heard == b""


class TestOurCertificate:
    """A server that wants one. With TLS 1.3 it refuses when the handshake is over for us."""

    @pytest.fixture(params=[None, ssl.TLSVersion.TLSv1_2])
    def refusal(
        self, request: Any, endpoint: Any, tmp_path: Path, ca: Authority
    ) -> Callable[[Identity | None], TLSFault]:
        def refusal(ours: Identity | None) -> TLSFault:
            trusted = ca.write_ca(tmp_path)
            server = ca.issue("it").write(tmp_path, "server")
            peer = Peer(endpoint, server, clients=trusted, version=request.param)
            files = () if ours is None else ours.write(tmp_path, "client")
            attempt = Attempt(endpoint, TLS(str(trusted), *map(str, files)))
            found = attempt.with_peer(peer)
            if not isinstance(found, TLSFault):
                assert request.param is None
                found = outcome(found.execute("ping"))
            assert isinstance(found, TLSFault)
            assert found.lasts
            return found

        return refusal

    def test_none_is_told_to_be_wanted(self, refusal: Any) -> None:
        found = refusal(None)
        assert "want a certificate" in str(found) or "wants a certificate" in str(found)
        assert "--cert and --key" in found.hint

    def test_an_expired_one_is_told_of(self, refusal: Any, ca: Authority) -> None:
        found = refusal(ca.issue("ann", begins=-20, ends=-2))
        assert str(found) == "the server refused our certificate: it has expired"

    def test_one_of_another_ca_is_told_of(self, refusal: Any, stranger: Authority) -> None:
        assert str(refusal(stranger.issue("ann"))) == (
            "the server refused our certificate: it is not from a CA that the server knows"
        )

    def test_one_for_servers_is_told_of(self, refusal: Any, ca: Authority) -> None:
        found = refusal(ca.issue("ann", usage=SERVER))
        assert str(found) == "the server refused our certificate: it is not one for clients"

    @pytest.mark.parametrize("between", [False, True])
    def test_a_good_one_is_let_in(
        self, endpoint: Any, tmp_path: Path, ca: Authority, between: bool
    ) -> None:
        trusted = ca.write_ca(tmp_path)
        peer = Peer(endpoint, ca.issue("it").write(tmp_path, "server"), clients=trusted)
        issuer = Authority("between", ca) if between else ca
        ours = issuer.issue("ann").write(tmp_path, "client")
        attempt = Attempt(endpoint, TLS(str(trusted), str(ours.certificate), str(ours.key)))
        asked = attempt.with_peer(peer).execute("ping")
        peer.talks(attempt.clock)
        assert outcome(asked) == {"result": b"PONG"}


class TestOthers:
    def test_a_server_of_tls_1_1_is_refused(self, fault: Any, ca: Authority) -> None:
        found, _ = fault(ca.issue("it"), version=ssl.TLSVersion.TLSv1_1)
        assert str(found) == "the server speaks no TLS from 1.2 on"

    @pytest.mark.parametrize(
        "said",
        [b'{"error": "line is too long"}\n', b"-ERR Protocol error\r\n", b"HTTP/1.1 400 Bad\r\n"],
    )
    def test_a_server_without_tls_is_told_of(self, endpoint: Any, said: bytes) -> None:
        attempt = Attempt(endpoint, TLS())
        endpoint.protocol.dataReceived(said)
        endpoint.lose(ConnectionDone())
        found = outcome(attempt.connecting)
        assert isinstance(found, TLSFault)
        assert str(found) == "the server does not speak TLS at this port"

    @pytest.mark.parametrize("reason", [ConnectionDone(), ConnectionLost()])
    def test_one_that_only_closes_is_perhaps_one_without_tls(
        self, endpoint: Any, reason: Exception
    ) -> None:
        attempt = Attempt(endpoint, TLS())
        endpoint.lose(reason)
        found = outcome(attempt.connecting)
        assert isinstance(found, TLSFault)
        assert str(found) == "the server closed the connection during the TLS handshake"
        assert found.hint == "is it TLS that it speaks at this port?"
        assert not found.lasts

    def test_one_that_says_nothing_is_given_up(self, endpoint: Any) -> None:
        attempt = Attempt(endpoint, TLS())
        attempt.clock.advance(5)
        assert isinstance(outcome(attempt.connecting), HandshakeTimeout)
        assert endpoint.transport.disconnected
        endpoint.lose(ConnectionDone())

    def test_a_connection_that_cannot_be_made_fails_as_without_tls(self, endpoint: Any) -> None:
        clock = Clock()
        connecting = connect(clock, TLSEndpoint(clock, endpoint, TLS(), "localhost"))
        endpoint.refuse(OSError("no route"))
        assert isinstance(outcome(connecting), OSError)

    def test_an_attempt_can_be_given_up_before_there_is_a_connection(self, endpoint: Any) -> None:
        clock = Clock()
        connecting = connect(clock, TLSEndpoint(clock, endpoint, TLS(), "x"), timeout=5)
        clock.advance(5)
        assert "connecting" in str(outcome(connecting))

    def test_a_connection_that_is_lost_later_is_lost_as_one_without_tls(
        self, endpoint: Any, tmp_path: Path, ca: Authority
    ) -> None:
        peer = Peer(endpoint, ca.issue("it").write(tmp_path, "server"))
        attempt = Attempt(endpoint, TLS(ca=str(ca.write_ca(tmp_path))))
        client = attempt.with_peer(peer)
        endpoint.protocol.connectionLost(Failure(ConnectionLost()))
        assert isinstance(outcome(client.when_disconnected()), ConnectionLost)


class TestFiles:
    def test_what_cannot_be_used_is_told_at_once(
        self, endpoint: Any, tmp_path: Path, ca: Authority, stranger: Authority
    ) -> None:
        ours, other = ca.issue("a").write(tmp_path, "a"), ca.issue("b").write(tmp_path, "b")
        (tmp_path / "empty").touch()
        locked = tmp_path / "locked.pem"
        locked.write_bytes(
            ca.issue("c").key.private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
            )
        )
        none, empty = str(tmp_path / "none"), str(tmp_path / "empty")
        cert, key = map(str, ours)
        odd = tmp_path / "odd.pem"  # a curve that cryptography does not know
        odd.write_text(ODD_CERTIFICATE)
        odd_key = tmp_path / "odd-key.pem"
        odd_key.write_text(ODD_KEY)
        for tls, complaint in [
            (TLS(cert=str(odd), key=key), f"--cert {odd} has a key of a kind that cannot be used"),
            (TLS(cert=cert, key=str(odd_key)), f"--key {odd_key} is a key of a kind that cannot"),
            (TLS(ca=none), f"cannot read {none}: No such file or directory"),
            (TLS(ca=empty), f"{empty} is not a file with certificates in PEM"),
            (TLS(ca=key), f"{key} is not a file with certificates in PEM"),
            (TLS(cert=cert, key=none), f"cannot read {none}: No such file or directory"),
            (TLS(cert=cert, key=empty), f"{empty} is not a private key in PEM"),
            (TLS(cert=cert, key=str(locked)), "is encrypted"),
            (TLS(cert=cert, key=str(other.key)), f"{other.key} is not the key of {cert}"),
            (TLS(cert=cert), "a certificate of ours needs its key too"),
            (TLS(key=key), "a key of ours needs its certificate too"),
        ]:
            with pytest.raises(ConfigError) as raised:
                TLSEndpoint(Clock(), endpoint, tls, "localhost")
            assert complaint in str(raised.value)

    def test_one_that_openssl_will_not_show_is_told_before_there_is_a_connection(
        self, endpoint: Any, tmp_path: Path, ca: Authority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Which key is too short differs from one OpenSSL to the next.
        def refuses(_: object, certificate: object) -> NoReturn:
            raise SSL.Error([("SSL routines", "", "ee key too small")])

        cert, key = map(str, ca.issue("a").write(tmp_path, "a"))
        monkeypatch.setattr(SSL.Context, "use_certificate", refuses)
        with pytest.raises(ConfigError) as raised:
            TLSEndpoint(Clock(), endpoint, TLS(cert=cert, key=key), "localhost")
        assert str(raised.value) == f"--cert {cert} cannot be used: ee key too small"

    def test_renewed_ones_are_those_of_the_next_connection(
        self, endpoint: Any, tmp_path: Path, ca: Authority, stranger: Authority
    ) -> None:
        clock = Clock()
        trusted = stranger.write_ca(tmp_path, "trusted")
        secured = TLSEndpoint(clock, endpoint, TLS(ca=str(trusted)), "localhost")
        for authority, is_trusted in (stranger, False), (ca, True):
            authority.write_ca(tmp_path, "trusted")
            connecting = connect(clock, secured)
            endpoint.accept()
            Peer(endpoint, ca.issue("it").write(tmp_path, "server")).talks(clock)
            assert isinstance(outcome(connecting), TLSFault) != is_trusted
        trusted.unlink()
        found = outcome(connect(clock, secured))
        assert isinstance(found, TLSFault)
        assert "No such file" in str(found)


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        ("tcp:db.example:65433", "db.example"),
        ("tcp:host=db.example:port=1", "db.example"),
        ("tcp:port=1:host=db.example", "db.example"),
        (r"tcp:\:\:1:65433", "::1"),
        ("tcp:good:65433:host=evil", "good"),
        ("tcp:65433:host=db.example", "db.example"),
        ("tcp:port=1:db.example", "db.example"),
        ("timeout=1:tcp:db.example:1", "db.example"),
        (r"tcp:a\=b:1", "a=b"),
        ("TCP:db.example:1", "db.example"),
        ("tcp::1:host=evil", None),
        ("unix:/run/memdbd.sock", None),
        ("tls:a:1", None),
        ("tcp", None),
        ("", None),
    ],
)
def test_the_host_of_an_endpoint_is_whose_certificate_is_expected(
    endpoint: str, host: str | None
) -> None:
    assert Description(endpoint).host == host
    if host is not None:
        found: Any = clientFromString(MemoryReactorClock(), endpoint)
        assert found._host == host
