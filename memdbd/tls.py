"""TLS: which certificates the listeners show and ask for, and why a handshake failed, in words.

Theory of operation. A listener's factory is wrapped in a :class:`TLSFactory`, which asks one
:class:`Credentials` for the OpenSSL context of each new connection. A context never changes: to
read the files anew is to make another one, from files of which each is read once, and to put it in
the place of the old if nothing is wrong with any. Connections keep the context that they began
with. Nothing is resumed, for a resumed session would bring back a client whose certificate a
reload no longer accepts, or that has expired since; what is left is one signature a connection.

OpenSSL says little about whom it refuses and why. So the verification of a client's certificate
goes through a callback that raises what is wrong with it, as an error of OpenSSL's own kind:
Twisted hands it to ``connectionLost``, and :func:`reason_of` makes a sentence of it.

May import: certificates, errors.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any, cast

from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IReactorTime,
    ITCPTransport,
)
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from memdbd.certificates import (
    Loaded,
    Read,
    Settings,
    check,
    day,
    load,
    only_name,
    shown_name,
    words_of,
)
from memdbd.errors import ConfigError

# Bytes that a client may send before the handshake is done: several times what one with a chain
# of certificates needs. OpenSSL alone would take, and keep, a hello of 128 KiB.
HANDSHAKE = 32 * 1024

RECORD = 0x16  # the first byte of a handshake
# To one that begins otherwise: an alert of RFC 8446, fatal, protocol_version. A client that knows
# TLS can tell from it which port it is at; others show an odd answer, and not just an end.
NO_TLS = b"\x15\x03\x03\x00\x02\x02\x46"


@implementer(IOpenSSLServerConnectionCreator)
class Credentials:
    """The certificates in use: gives each new connection its context.

    ``wall_ms()`` is the time of the wall, in milliseconds of the epoch.
    """

    _log = Logger()

    def __init__(self, settings: Settings, wall_ms: Callable[[], int], read: Read) -> None:
        """Raises ConfigError where settings are missing; the files are read by the first
        ``reload``."""
        check(settings)
        self._settings = settings
        self._wall_ms = wall_ms
        self._read = read
        self._loaded: Loaded | None = None

    @property
    def requires_certificates(self) -> bool:
        """Whether nobody connects without a certificate that a CA of ``tls_ca`` has issued."""
        return self._settings.tls_clients == "required"

    @property
    def name_users(self) -> bool:
        """Whether a client is the user that its certificate names."""
        return self._settings.tls_user == "cn"

    def info(self) -> dict[str, str]:
        """What is known of the certificate, for ``info``."""
        loaded = self._loaded
        return {} if loaded is None else {"tls_certificate_expires": day(loaded.expires)}

    def reload(self, settings: Settings | None = None) -> None:
        """Read the files anew, those of ``settings`` if they are given. Connections that come from
        now on get what is in them.

        Raises ConfigError, with the setting, the file and what is wrong; then all is as before.
        """
        self.prepare(self._settings if settings is None else settings)()

    def prepare(self, settings: Settings) -> Callable[[], None]:
        """Read the files of ``settings``; what is given back puts them in use.

        So that a reload can find out whether all is well before it changes anything. Raises
        ConfigError as ``reload`` does; also where a certificate that nobody accepts would take the
        place of one that is valid. (A start is better than none, and so is a reload of all else.)
        """
        check(settings)
        when = datetime.datetime.fromtimestamp(self._wall_ms() / 1000, datetime.UTC)
        loaded, before = load(settings, when, self._read, _verified), self._loaded
        if before is not None and before.is_valid(when) and not loaded.is_valid(when):
            raise ConfigError(loaded.warnings[0])

        def use() -> None:
            self._settings, self._loaded = settings, loaded
            for warning in loaded.warnings:
                self._log.warn("{warning}", warning=warning)

        return use

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return SSL.Connection(cast(Loaded, self._loaded).context, None)


# Who a client is


def common_name(transport: object) -> str | None:
    """The name by which the verified certificate of the peer says who it is.

    None where ``tls_user`` has it that nobody is asked so; where there is no certificate, or no
    name or several in it; and where the handshake is not done.
    """
    if not isinstance(transport, TLSConnection) or not transport.factory.credentials.name_users:
        return None
    connection = transport.getHandle()
    # Before it has ended the handshake, a peer may show a certificate that is not its own.
    if connection is None or connection.get_peer_finished() is None:
        return None
    certificate = connection.get_peer_certificate()
    try:
        return None if certificate is None else only_name(certificate.to_cryptography())
    except Exception:  # what OpenSSL can read is not always what others can
        return None


# What is wrong with a handshake

_CODES = SSL.X509VerificationCodes
_UNKNOWN_CA = "is from a CA that tls_ca does not know"
_FAULTS = {
    _CODES.ERR_UNABLE_TO_GET_ISSUER_CERT: _UNKNOWN_CA,
    _CODES.ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY: _UNKNOWN_CA,
    _CODES.ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE: _UNKNOWN_CA,
    _CODES.ERR_SELF_SIGNED_CERT_IN_CHAIN: _UNKNOWN_CA,
    _CODES.ERR_DEPTH_ZERO_SELF_SIGNED_CERT: "is signed by itself, and tls_ca does not have it",
    _CODES.ERR_CERT_SIGNATURE_FAILURE: "is not signed by the CA that it names",
    _CODES.ERR_CERT_HAS_EXPIRED: "has expired",
    _CODES.ERR_CERT_NOT_YET_VALID: "is not valid yet",
    _CODES.ERR_INVALID_PURPOSE: "is not made for clients (extended key usage)",
    _CODES.ERR_INVALID_CA: "is no CA",
    _CODES.ERR_CERT_CHAIN_TOO_LONG: "has too many CAs between itself and tls_ca",
    66: "has a key that is too small",
    67: "was issued by a CA with a key that is too small",
    68: "was signed with a hash that is too weak",
}

# In OpenSSL's words, which differ between its versions.
_REASONS = {
    "peer did not return a certificate": "it has no certificate, and tls_clients is required",
    "http request": "it speaks HTTP, and no TLS",
    "https proxy request": "it speaks HTTP, and no TLS",
    "wrong version number": "it speaks no TLS",
    "unknown protocol": "it speaks no TLS",
    "unsupported protocol": "it speaks TLS 1.1 at most; 1.2 is the least",
    "version too low": "it speaks TLS 1.1 at most; 1.2 is the least",
    "no shared cipher": "it has no cipher in common with this server",
    "no suitable key share": "it has no key exchange in common with this server",
    "no suitable groups": "it has no key exchange in common with this server",
    "no suitable signature algorithm": "it has no signature in common with this server",
    "no shared signature algorithms": "it has no signature in common with this server",
}

_REFUSES_OURS = "it does not accept this server's certificate"
_ALERTS = {
    "unknown ca": f"{_REFUSES_OURS}: it does not know the CA",
    "certificate expired": f"{_REFUSES_OURS}: it finds it expired",
    "certificate revoked": f"{_REFUSES_OURS}: it finds it revoked",
    "bad certificate": f"{_REFUSES_OURS}, which may be for another host",
    "certificate unknown": f"{_REFUSES_OURS}, which may be for another host",
    "unsupported certificate": f"{_REFUSES_OURS}: it is not of a kind that it can use",
}


class HandshakeRefused(SSL.Error):
    """A client is refused in the handshake; ``reason`` says why, in a clause about "it"."""

    def __init__(self, reason: str) -> None:
        # In the form of OpenSSL's own, in which Twisted looks for the end of a connection.
        super().__init__([("memdbd", "", reason)])
        self.reason = reason


def _verified(
    connection: SSL.Connection, certificate: X509, code: int, depth: int, is_well: int
) -> bool:
    """What OpenSSL calls for each certificate of a chain, and for each fault that it finds."""
    if is_well:
        return True
    whose = "a CA of its certificate" if depth else "its certificate"
    raise HandshakeRefused(f"{whose} {_fault(certificate, code)}")


def _fault(certificate: X509, code: int) -> str:
    fault = _FAULTS.get(code, f"is refused by OpenSSL (X509_V_ERR {code})")
    try:
        one = certificate.to_cryptography()
        named = f"CN={shown_name(one)}"
        if code == _CODES.ERR_CERT_HAS_EXPIRED:
            return f"has expired ({day(one.not_valid_after_utc)}, {named})"
        if code == _CODES.ERR_CERT_NOT_YET_VALID:
            return f"is not valid before {day(one.not_valid_before_utc)} ({named})"
    except Exception:  # what OpenSSL can read is not always what others can
        return f"{fault}; nor can it be read"
    return f"{fault} ({named})"


def reason_of(problem: Failure | BaseException) -> str:
    """Why a connection ended before its handshake was done: a clause about "it", the client."""
    error = problem.value if isinstance(problem, Failure) else problem
    if isinstance(error, HandshakeRefused):
        return error.reason
    if isinstance(error, SSL.Error):
        words = words_of(error)
        for known in (_REASONS, _ALERTS):
            for word, reason in known.items():
                if word in words:
                    return reason
        if "alert " in words:
            return f"it ended the handshake with the alert {words.rpartition('alert ')[2]!r}"
        return f"its handshake is wrong: {words}" if words else "its handshake is wrong"
    if isinstance(error, ConnectionAborted):
        return "it was given up before the handshake was done"
    if isinstance(error, (ConnectionDone, ConnectionLost)):
        return "it went before the handshake was done"
    return f"of an error: {error!r}"


# Connections


class TLSConnection(TLSMemoryBIOProtocol):
    """The transport of a connection with TLS.

    Not Twisted's own choice (BufferingTLSTransport), which keeps what is written for another turn
    of the reactor: each of ours is written once a turn already.
    """

    factory: TLSFactory

    _before = 0  # bytes that came before the handshake was done

    def dataReceived(self, data: bytes) -> None:
        if not self._handshakeDone:
            if not self._before and data[0] != RECORD:
                self._below.write(NO_TLS)  # OpenSSL would say nothing
            room = HANDSHAKE - self._before
            self._before += len(data)
            if self._before > HANDSHAKE:  # requests may come right behind it, and be none of it
                if room > 0:
                    super().dataReceived(data[:room])
                    data = data[room:]
                if not self._handshakeDone:
                    if not self._aborted:
                        reason = f"it sends over {HANDSHAKE} bytes, and has not done the handshake"
                        self.failVerification(Failure(HandshakeRefused(reason)))
                    return
        super().dataReceived(data)

    def loseConnection(self) -> None:
        super().loseConnection()
        # It has told the peer. To wait for an answer, which is not read as long as nothing is
        # wanted from us, would be to keep the connection.
        self._below.loseConnection()

    # What is said to have TLS is said to have these; but it may be above a UNIX socket.

    def setTcpNoDelay(self, enabled: bool) -> None:
        if ITCPTransport.providedBy(self._below):
            self._below.setTcpNoDelay(enabled)

    def setTcpKeepAlive(self, enabled: bool) -> None:
        if ITCPTransport.providedBy(self._below):
            self._below.setTcpKeepAlive(enabled)

    @property
    def _below(self) -> Any:
        return self.transport


class TLSFactory(TLSMemoryBIOFactory):
    """Makes the connections of ``wrapped`` behind TLS."""

    protocol = TLSConnection

    def __init__(
        self, credentials: Credentials, wrapped: IProtocolFactory, reactor: IReactorTime
    ) -> None:
        super().__init__(credentials, False, wrapped, reactor)
        self.credentials = credentials

    def buildProtocol(  # type: ignore[override] # any factory may build none
        self, addr: IAddress | None
    ) -> TLSConnection | None:
        inner = self.wrappedFactory.buildProtocol(addr)
        return None if inner is None else self.protocol(self, inner)
