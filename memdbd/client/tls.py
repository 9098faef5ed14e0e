"""TLS towards a server: :class:`TLS` says how, :class:`TLSEndpoint` does it.

Strategy: an endpoint in front of another, so that whoever connects need not know. It has succeeded
when the handshake has: Twisted's own fires before, and a program would learn in its first request
that nobody is there whom it trusts. The files are read again for each connection, so that renewed
certificates are those of the next.

All of Twisted's verification is done, by the same means (OpenSSL for the chain, service_identity
for the name), in a callback of ours: from Twisted's, nobody learns what was wrong.

The name is written in ASCII once, and that is looked up, sent and verified: Python's resolver and
Twisted's TLS have two standards for it, by which it may be the name of two hosts.

May import: tlsfaults; Twisted, pyOpenSSL, cryptography, service_identity, idna.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, cast

import idna
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import (
    verify_certificate_hostname,
    verify_certificate_ip_address,
)
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.endpoints import quoteStringArgument, wrapClientTLS
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from memdbd.client.tlsfaults import TLSFault, of_chain, of_error, of_name, reason_of
from memdbd.errors import ConfigError

# Twisted's take any certificate, from anybody.
UNVERIFIED = "ssl: endpoints do not verify the server"

# What stands between the colons of an endpoint's description, in which \\: is none of them; and a
# name and a value in that.
_PART = re.compile(r"(?:^|:)((?:[^:\\]|\\.)*)", re.DOTALL)
_NAMED = re.compile(r"((?:[^=\\]|\\.)*)=(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TLS:
    """How TLS is spoken with a server.

    ``ca``: a PEM file with the certificates of the CAs that are trusted; None: those that the
    system trusts. ``cert`` and ``key``: PEM files with a certificate of ours, those between it and
    its CA behind it, and its key, for a server that asks for one. ``name``: the name, or address,
    that the server's certificate must have; None: that of the endpoint.
    """

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    name: str | None = None


class HandshakeCancelled(CancelledError):
    """The handshake was given up by whoever waited for it."""


@implementer(IStreamClientEndpoint)
class TLSEndpoint:
    """``plain``, with TLS as ``tls`` says; ``name`` is that of the server.

    Raises ConfigError for files that cannot be used. Connecting fails with
    :class:`~memdbd.client.tlsfaults.TLSFault`.
    """

    def __init__(
        self, clock: IReactorTime, plain: IStreamClientEndpoint, tls: TLS, name: str
    ) -> None:
        self._clock = clock
        self._plain = plain
        self._tls = tls
        self._name = name
        _Creator(tls, name)  # to know at once whether that can be

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        try:
            creator = _Creator(self._tls, self._name)
        except ConfigError as error:  # renewed meanwhile, but not well
            return fail(TLSFault(str(error)))
        return _Attempt(creator, protocolFactory).start(
            wrapClientTLS(creator, self._plain, self._clock)
        )


class _Attempt(Factory):
    """A connection on its way. ``secured`` fires with what ``inner`` makes, when that has TLS."""

    noisy = False

    def __init__(self, creator: _Creator, inner: IProtocolFactory) -> None:
        self.creator = creator
        self.inner = inner
        self.secured: Deferred[IProtocol] = Deferred(self._cancel)
        self._connecting: Deferred[Any] = Deferred()
        self._guard: _Guard | None = None

    def start(self, endpoint: IStreamClientEndpoint) -> Deferred[IProtocol]:
        self._connecting = endpoint.connect(self)
        # That it is connected is nothing yet.
        self._connecting.addErrback(self.failed)
        return self.secured

    def buildProtocol(self, addr: IAddress | None) -> _Guard:
        self._guard = _Guard(self, addr)
        return self._guard

    def failed(self, failure: Failure) -> None:
        if not self.secured.called:
            self.secured.errback(failure)

    def _cancel(self, _: object) -> None:
        if self._guard is None:
            self._connecting.cancel()
        else:
            self.secured.errback(HandshakeCancelled())
            self._guard.give_up(HandshakeCancelled())


@implementer(IHandshakeListener)
class _Guard(Protocol):
    """Stands before a protocol, which is made when the handshake is done, and tells it in our words
    what TLS has ended for."""

    def __init__(self, attempt: _Attempt, address: IAddress | None) -> None:
        self._attempt = attempt
        self._address = address
        self._inner: IProtocol | None = None
        self.fault: BaseException | None = None  # why we have ended it, if we have

    def give_up(self, why: BaseException) -> None:
        """End the connection for a reason of ours."""
        self.fault = why
        cast(Any, self.transport).abortConnection()

    def handshakeCompleted(self) -> None:
        inner = self._attempt.inner.buildProtocol(cast(IAddress, self._address))
        if inner is None or self.transport is None:
            self.give_up(CancelledError())
            return
        self._inner = inner
        # From here on we are not in between.
        self.dataReceived = inner.dataReceived  # type: ignore[method-assign]
        inner.makeConnection(self.transport)
        self._attempt.secured.callback(inner)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        problem = Failure(self._plainly(reason.value))
        if self._inner is not None:
            self._inner.connectionLost(problem)
        else:
            self._attempt.failed(problem)

    def _plainly(self, problem: BaseException | None) -> BaseException:
        if self.fault is not None:
            return self.fault
        if isinstance(problem, SSL.Error):
            creator = self._attempt.creator
            fault = of_error(problem, creator.name, creator.has_certificate)
            if fault is not None:
                return fault
            problem = ConnectionLost()
        if self._inner is None and isinstance(problem, (ConnectionDone, ConnectionLost)):
            return TLSFault(
                "the server closed the connection during the TLS handshake",
                "is it TLS that it speaks at this port?",
                lasts=False,
            )
        return problem or ConnectionLost()


@implementer(IOpenSSLClientConnectionCreator)
class _Creator:
    """Makes OpenSSL's half of connections to the server ``name``. Raises ConfigError."""

    def __init__(self, tls: TLS, name: str) -> None:
        self.name = name
        self._ascii = name_in_ascii(name)
        self._ca = tls.ca
        ours = _certificate(tls)
        self.has_certificate = bool(ours)
        # Twisted's own bounds: TLS 1.2 and 1.3.
        self._options = optionsForClientTLS(
            self._ascii,
            trustRoot=platformTrust() if tls.ca is None else _authorities(tls.ca),
            extraCertificateOptions=ours,
        )

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        connection: SSL.Connection = self._options.clientConnectionForTLS(tlsProtocol)
        guard: _Guard = tlsProtocol.wrappedProtocol

        def verify(_: object, raw: crypto.X509, error: int, depth: int, is_ok: int) -> bool:
            try:
                certificate = raw.to_cryptography()
                if not is_ok:
                    guard.fault = of_chain(error, depth, certificate, self._ca)
                elif depth == 0 and not self._is_named(certificate):
                    guard.fault = of_name(certificate, self.name)
            except Exception as problem:  # nothing that it has in it may pass for a yes
                guard.fault = TLSFault(f"the server's certificate cannot be read: {problem}")
            return guard.fault is None

        # In place of Twisted's, which says the same yes or no, and no reason.
        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, verify)
        return connection

    def _is_named(self, certificate: x509.Certificate) -> bool:
        try:
            if _is_address(self._ascii):
                verify_certificate_ip_address(certificate, self._ascii)
            else:
                verify_certificate_hostname(certificate, self._ascii)
        except (VerificationError, CertificateError):
            return False
        return True


def name_in_ascii(name: str) -> str:
    """The name of a host as certificates have it, by IDNA 2008 as Twisted does. Raises ConfigError
    for what none can have."""
    if _is_address(name):
        return name
    try:
        return idna.encode(name).decode("ascii")
    except UnicodeError:
        raise ConfigError(
            f"{name!r} can be in no certificate, which has names of letters, digits and hyphens, or"
            " addresses: --sni says which it has"
        ) from None


def _is_address(name: str) -> bool:
    return isIPAddress(name) or isIPv6Address(name)


def _authorities(path: str) -> Any:
    found = _certificates(path)
    return trustRootFromCertificates([Certificate(crypto.X509.from_cryptography(x)) for x in found])


def _certificate(tls: TLS) -> dict[str, Any]:
    """Ours with its key, and those between it and its CA, as arguments of CertificateOptions."""
    if tls.cert is None or tls.key is None:
        if tls.cert is not tls.key:
            given, missing = ("certificate", "key") if tls.key is None else ("key", "certificate")
            raise ConfigError(f"a {given} of ours needs its {missing} too")
        return {}
    first, *between = _certificates(tls.cert)
    raw = _read(tls.key)
    try:
        key = load_pem_private_key(raw, None)
    except TypeError:
        raise ConfigError(
            f"{tls.key} is encrypted; a program needs a key without a passphrase"
        ) from None
    except UnsupportedAlgorithm:
        raise ConfigError(f"--key {tls.key} is a key of a kind that cannot be used") from None
    except Exception:  # of many kinds, in words about the code
        raise ConfigError(f"{tls.key} is not a private key in PEM") from None
    try:
        is_its_key = key.public_key() == first.public_key()
    except (UnsupportedAlgorithm, ValueError):  # such as a curve that nobody else has
        raise ConfigError(f"--cert {tls.cert} has a key of a kind that cannot be used") from None
    if not is_its_key:
        raise ConfigError(f"{tls.key} is not the key of {tls.cert}")
    ours: dict[str, Any] = {"certificate": first, "privateKey": key, "extraCertChain": between}
    try:
        # OpenSSL would else be asked in the middle of a connection, where nobody hears its answer.
        CertificateOptions(**ours).getContext()
    except SSL.Error as error:  # such as a key that is too short
        raise ConfigError(f"--cert {tls.cert} cannot be used: {reason_of(error)}") from None
    return ours


def _certificates(path: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read(path))
    except ValueError:
        raise ConfigError(f"{path} is not a file with certificates in PEM") from None


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None


class Description:
    """The description of an endpoint, read as Twisted reads it: to look at the words before the
    first colon is not enough, since in ``timeout=1:SSL:…`` the kind is ``ssl``."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.plain: list[str] = []
        self.named: dict[str, str] = {}
        for part in _PART.findall(text):
            found = _NAMED.fullmatch(part)
            if found is None:
                self.plain.append(_unquoted(part))
            else:
                self.named[_unquoted(found[1])] = _unquoted(found[2])
        self.kind = self.plain.pop(0).upper() if self.plain else ""

    @property
    def host(self) -> str | None:
        """The host of an endpoint of TCP, which its certificate has to name; None where it is one
        of another kind."""
        if self.kind != "TCP":
            return None
        # What stands in its place goes before what is named.
        if len(self.plain) == 2 or (self.plain and "host" not in self.named):
            return self.plain[0] or None
        return self.named.get("host") or None

    def in_ascii(self) -> str:
        """The description with its host as certificates name it. Raises ConfigError."""
        if self.host is None or self.host.isascii():
            return self._text
        ports = self.plain[-1:] if len(self.plain) == 2 or "host" in self.named else []
        named = self.named | {"host": name_in_ascii(self.host)}
        written = (f"{quoteStringArgument(k)}={quoteStringArgument(v)}" for k, v in named.items())
        return ":".join(("tcp", *map(quoteStringArgument, ports), *written))


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)
