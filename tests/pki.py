"""Certificates for tests: CAs that issue what a test asks for, good or bad.

::

    ca = Authority("the CA")
    server = ca.issue("localhost", hosts=["localhost", "127.0.0.1"])
    paths = server.write(tmp_path, "server")  # paths.certificate, paths.key
    trusted = ca.write_ca(tmp_path)  # ca.pem, the CA's certificate alone

:class:`Keys` is a directory with all that a daemon and its clients need.

Keys are of the curve P-256: to make one takes no time. Times are days from now, which is the
machine's, since OpenSSL asks no other clock.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from memdbd.config import Config
from memdbd.tls import Credentials

LOCAL = ("localhost", "127.0.0.1", "::1")

SERVER = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_FOR_CERTIFICATES = x509.KeyUsage(
    digital_signature=True,
    key_cert_sign=True,
    crl_sign=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


class Paths(NamedTuple):
    """The files of a certificate: with those that stand between it and its CA, and its key."""

    certificate: Path
    key: Path


class Identity:
    """A certificate with its key, and the certificates between it and its CA."""

    def __init__(
        self,
        certificate: x509.Certificate,
        key: Key,
        between: Sequence[x509.Certificate] = (),
    ) -> None:
        self.certificate = certificate
        self.key = key
        self.between = tuple(between)

    @property
    def serial(self) -> int:
        return self.certificate.serial_number

    @property
    def expires(self) -> str:
        """The day, as it is told of."""
        return f"{self.certificate.not_valid_after_utc:%Y-%m-%d}"

    @property
    def chain_pem(self) -> bytes:
        """The certificate, and then those between it and its CA."""
        chain = (self.certificate, *self.between)
        return b"".join(one.public_bytes(Encoding.PEM) for one in chain)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def write(self, directory: Path, name: str) -> Paths:
        """Write ``name.pem`` and ``name-key.pem``, in place of what is there."""
        paths = Paths(directory / f"{name}.pem", directory / f"{name}-key.pem")
        paths.certificate.write_bytes(self.chain_pem)
        paths.key.touch(0o600)
        paths.key.write_bytes(self.key_pem)
        return paths


class Authority(Identity):
    """A CA: of its own, or with ``issuer`` one between that and what it issues; without ``is_ca``
    it only behaves like one."""

    def __init__(
        self,
        name: str,
        issuer: Authority | None = None,
        *,
        is_ca: bool = True,
        begins: float = -10,
        ends: float = 3650,
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(named(name), key, begins, ends)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(_FOR_CERTIFICATES, critical=True)
        )
        certificate = _signed(builder, key, named(name), issuer)
        super().__init__(certificate, key, () if issuer is None else issuer.above)
        # What has to be shown beside a certificate of its own.
        self.above: tuple[x509.Certificate, ...] = ()
        if issuer is not None:
            self.above = (certificate, *issuer.above)

    def issue(
        self,
        *names: str,
        hosts: Sequence[str] = LOCAL,
        usage: x509.ObjectIdentifier | None = None,
        begins: float = -1,
        ends: float = 365,
        key: Key | None = None,
    ) -> Identity:
        """A certificate with these common names (of which there should be one), for these names and
        addresses of hosts, that is valid from and to so many days from now; ``usage``: for nothing
        else."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = named(*names)
        builder = _builder(subject, key, begins, ends).add_extension(
            x509.BasicConstraints(ca=False, path_length=None), critical=True
        )
        if hosts:
            alternatives = x509.SubjectAlternativeName([_host(host) for host in hosts])
            builder = builder.add_extension(alternatives, critical=False)
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        return Identity(_signed(builder, key, subject, self), key, self.above)

    def write_ca(self, directory: Path, name: str = "ca") -> Path:
        """Write ``name.pem`` with this certificate alone."""
        path = directory / f"{name}.pem"
        path.write_bytes(self.certificate.public_bytes(Encoding.PEM))
        return path


class Keys:
    """A directory with a server's files, and what signs certificates for it and its clients."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ca = Authority("the CA")
        self.ca_path = self.ca.write_ca(directory)
        self.server = self.serve(self.ca.issue("localhost"))

    def serve(self, server: Identity) -> Identity:
        """Put a certificate in the place of the server's."""
        server.write(self.directory, "server")
        return server

    def client(self, *names: str, ca: Authority | None = None, **more: Any) -> Paths:
        """The files of a client's certificate."""
        return (ca or self.ca).issue(*names, **more).write(self.directory, "client")

    def settings(self, clients: str = "no", **more: Any) -> Config:
        """The settings of a daemon with these files."""
        files = {
            "tls_cert": str(self.directory / "server.pem"),
            "tls_key": str(self.directory / "server-key.pem"),
            "tls_ca": str(self.ca_path) if clients != "no" else "",
        }
        return Config(**({"tls_listen": ("tcp:1",), "tls_clients": clients} | files | more))

    def flags(self, clients: str = "no", listen: str = "tcp:0:interface=127.0.0.1") -> list[str]:
        """The same as flags of twistd's."""
        settings = self.settings(clients, tls_listen=(listen,))
        names = ["tls_cert", "tls_key", "tls_ca", "tls_clients"]
        given = [(name.replace("_", "-"), getattr(settings, name)) for name in names]
        return [f"--tls-listen={listen}", *(f"--{name}={value}" for name, value in given if value)]

    def credentials(self, clients: str = "no", **more: Any) -> Credentials:
        """What a listener with these settings shows, loaded."""
        found = Credentials(self.settings(clients, **more), _wall_ms, _read)
        found.reload()
        return found


def _wall_ms() -> int:
    return int(now().timestamp() * 1000)


def _read(path: str) -> bytes:
    return Path(path).read_bytes()


def now() -> datetime.datetime:
    """The machine's time."""
    return datetime.datetime.now(datetime.UTC)


def serial_of(certificate: bytes) -> int:
    """The serial number of a certificate in DER, as Python's ``getpeercert`` gives it."""
    return x509.load_der_x509_certificate(certificate).serial_number


def named(*names: str) -> x509.Name:
    """A subject with these common names."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])


def _builder(subject: x509.Name, key: Key, begins: float, ends: float) -> x509.CertificateBuilder:
    today = now()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today + datetime.timedelta(days=begins))
        .not_valid_after(today + datetime.timedelta(days=ends))
        # Python's own verification asks for these two.
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    )


def _signed(
    builder: x509.CertificateBuilder,
    key: Key,
    subject: x509.Name,
    issuer: Authority | None,
) -> x509.Certificate:
    signing = key if issuer is None else issuer.key
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key())
    builder = builder.add_extension(identifier, critical=False)
    by = subject if issuer is None else issuer.certificate.subject
    return builder.issuer_name(by).sign(signing, SHA256())


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
