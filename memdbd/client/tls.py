"""TLS towards a server: :class:`TLS` says how, :class:`TLSEndpoint` does it.

Strategy: an endpoint in front of another, so that whoever connects need not know. It has succeeded
when the handshake has: Twisted's own fires before, and a program would learn in its first request
that nobody is there whom it trusts. The files are read again for each connection, so that renewed
certificates are those of the next.

All of Twisted's verification is done, by the same means (OpenSSL for the chain, service_identity
for the name), in a callback of ours: from Twisted's, nobody learns what was wrong.

May import: tlsfaults; Twisted, pyOpenSSL, cryptography, service_identity.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import (
    verify_certificate_hostname,
    verify_certificate_ip_address,
)
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.endpoints import wrapClientTLS
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
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from memdbd.client.tlsfaults import TLSFault, of_chain, of_error, of_name
from memdbd.errors import ConfigError

# What stands between the colons of an endpoint's description, in which \\: is none of them.
_PART = re.compile(r"(?:[^:\\]|\\.)+")


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
        self._ca = tls.ca
        ours = _certificate(tls)
        self.has_certificate = bool(ours)
        # Twisted's own bounds: TLS 1.2 and 1.3.
        self._options = optionsForClientTLS(
            name,
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
            if isIPAddress(self.name) or isIPv6Address(self.name):
                verify_certificate_ip_address(certificate, self.name)
            else:
                verify_certificate_hostname(certificate, _ascii(self.name))
        except (VerificationError, CertificateError):
            return False
        return True


def _ascii(name: str) -> str:
    return name if name.isascii() else name.encode("idna").decode("ascii")


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
    except Exception:  # of many kinds, in words about the code
        raise ConfigError(f"{tls.key} is not a private key in PEM") from None
    if key.public_key() != first.public_key():
        raise ConfigError(f"{tls.key} is not the key of {tls.cert}")
    return {"certificate": first, "privateKey": key, "extraCertChain": between}


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


def host_of(endpoint: str) -> str | None:
    """The host in the description of an endpoint of TCP, which its certificate has to name; None
    where it is one of another kind."""
    kind, *arguments = _PART.findall(endpoint) or [""]
    if kind != "tcp":
        return None
    named = dict(each.split("=", 1) for each in arguments if "=" in each)
    plain = [each for each in arguments if "=" not in each]
    host = named.get("host") or next(iter(plain), "")
    return re.sub(r"\\(.)", r"\1", host) or None
