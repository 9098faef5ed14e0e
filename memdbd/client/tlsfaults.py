"""What goes wrong with TLS, in sentences: OpenSSL's own words are for those who wrote it.

Strategy: a certificate that is refused by us is looked at where OpenSSL asks about it, since
afterwards all it says is "certificate verify failed". What the server refuses comes as an alert,
and with TLS 1.3 one about our certificate comes when for us the handshake is long over.

May import: errors; Twisted (for TimeoutError), pyOpenSSL and cryptography.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet.defer import TimeoutError

from memdbd.errors import MemDBError

# Names of a certificate that are told.
MOST_NAMES = 5

# OpenSSL's numbers of what may be wrong with a chain (x509_vfy.h).
_NOT_YET_VALID, _EXPIRED = 9, 10
_UNTRUSTED = frozenset({2, 18, 19, 20, 21, 27})
_REASONS = {
    7: "is not genuine: a signature in its chain is wrong",
    23: "has been revoked",
    24: "was issued by one that is no CA's",
    26: "is not one for servers",
    66: "has a key that is too short to be safe",
    67: "is from a CA whose key is too short to be safe",
    68: "has a signature of a kind that is not safe",
    79: "was issued by one that is no CA's",
}

# What a server says of our certificate; each is a part of an alert's name.
_OF_OURS = {
    "certificate expired": "it has expired",
    "unknown ca": "it is not from a CA that the server knows",
    "certificate revoked": "it has been revoked",
    "unsupported certificate": "it is not one for clients",
    "bad certificate": "it is none that the server can take",
    "certificate unknown": "the server does not say why",
    "access denied": "nobody with it is let in",
    "decrypt error": "its key is not the right one",
}
_OLD = ("protocol version", "unsupported protocol", "no protocols available", "version too low")
_NOT_TLS = ("wrong version number", "packet length too long", "http request", "bad record type")


class TLSFault(MemDBError):
    """There is no TLS with the server, or no more; says why.

    ``hint`` is what helps, in words about the options of ``memdb``. ``lasts``: it will be so at the
    next attempt too, if nobody does something about it.
    """

    def __init__(self, sentence: str, hint: str = "", *, lasts: bool = True) -> None:
        super().__init__(sentence)
        self.hint = hint
        self.lasts = lasts

    @property
    def told(self) -> str:
        """It all, as part of a sentence."""
        return f"{self}: {self.hint}" if self.hint else str(self)


class HandshakeTimeout(TimeoutError):
    """The server did not answer the handshake."""


def of_chain(error: int, depth: int, certificate: x509.Certificate, ca: str | None) -> TLSFault:
    """What OpenSSL has found wrong with a certificate: of the server at ``depth`` 0, of a CA above.

    ``ca`` is the file with the CAs that we trust; None: those of the system.
    """
    whose = "the server's certificate"
    if depth:
        whose = f"the certificate of its CA {_common_name(certificate)}"
    if error == _EXPIRED:
        return TLSFault(f"{whose} has expired ({certificate.not_valid_after_utc:%Y-%m-%d})")
    if error == _NOT_YET_VALID:
        return TLSFault(
            f"{whose} is valid only from {certificate.not_valid_before_utc:%Y-%m-%d}",
            "is the clock of this machine right?",
        )
    if error in _UNTRUSTED:
        if ca is not None:
            return TLSFault(f"the server's certificate is not from a CA in {ca}")
        return TLSFault(
            "the server's certificate is not from a CA that this system trusts",
            "--cacert FILE says which one is to be trusted",
        )
    reason = _REASONS.get(error, f"cannot be verified (OpenSSL's error {error})")
    return TLSFault(f"{whose} {reason}")


def of_name(certificate: x509.Certificate, name: str) -> TLSFault:
    """The server's certificate is genuine, but not that of ``name``."""
    names = names_in(certificate)
    if not names:
        return TLSFault("the server's certificate names no host: it has none in its subjectAltName")
    more = [f"{len(names) - MOST_NAMES} more"] if len(names) > MOST_NAMES else []
    told = ", ".join([*names[:MOST_NAMES], *more])
    return TLSFault(
        f"the server's certificate is for {told}, not for {name}",
        "--sni NAME says which name it has to have",
    )


def names_in(certificate: x509.Certificate) -> list[str]:
    """The hosts and addresses that a certificate is for, with nothing that is not printed."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    names = [
        *found.get_values_for_type(x509.DNSName),
        *map(str, found.get_values_for_type(x509.IPAddress)),
    ]
    return ["".join(char if char.isprintable() else "?" for char in name) for name in names]


def of_error(error: SSL.Error, name: str, has_certificate: bool) -> TLSFault | None:
    """What OpenSSL or the server says, of a server that has to be ``name``.

    ``has_certificate``: we have shown one. None where it says nothing but that the connection is
    over.
    """
    reason = reason_of(error)
    if not reason or "unexpected eof" in reason:
        return None
    if "certificate required" in reason:
        return TLSFault("the server wants a certificate", "give --cert and --key")
    if "handshake failure" in reason:
        if has_certificate:
            return TLSFault("the server refused the handshake")
        return TLSFault(
            "the server refused the handshake; it may want a certificate",
            "--cert and --key give one",
        )
    for part, sentence in _OF_OURS.items():
        if part in reason and "alert" in reason:
            return TLSFault(f"the server refused our certificate: {sentence}")
    if "unrecognized name" in reason:
        return TLSFault(f"the server has no certificate for {name}", "--sni NAME says another name")
    if any(part in reason for part in _OLD):
        return TLSFault("the server speaks no TLS from 1.2 on")
    if any(part in reason for part in _NOT_TLS):
        return TLSFault("the server does not speak TLS at this port")
    return TLSFault(f"TLS has failed: {reason}", lasts=False)


def reason_of(error: SSL.Error) -> str:
    """OpenSSL's own words for the last thing that went wrong; empty where there are none."""
    queue = error.args[0] if error.args else None
    if isinstance(queue, list) and queue:
        return str(queue[-1][-1]).lower()
    return ""


def _common_name(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return repr(str(names[0].value)) if names else repr(certificate.subject.rfc4514_string())
