"""The PEM files of TLS: the settings that name them, and the OpenSSL context that they make.

Strategy: each file is read once, understood with ``cryptography``, which can say what is wrong with
it, and handed to OpenSSL as what was understood. So what was checked is what is used, whoever
writes to the file meanwhile. What a certificate may be without being wrong (expired, say) is given
as warnings.

Imports errors alone; no Twisted, and no files: how one is read is an argument.
"""

from __future__ import annotations

import datetime
import math
import typing
from collections.abc import Callable, Sequence

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from OpenSSL.crypto import X509, X509Store, X509StoreFlags

from memdbd.errors import ConfigError

# Days before a certificate expires from which on a start and a reload tell of it.
SOON = 14

# Of TLS 1.2, what gives forward secrecy and encrypts with authentication; of 1.3, that is all.
CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"

Read = Callable[[str], bytes]  # the bytes of the file at a path; raises OSError
Verified = Callable[[SSL.Connection, X509, int, int, int], bool]  # pyOpenSSL's set_verify has it
Key = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)


class Settings(typing.Protocol):
    """The settings of TLS, as :class:`~memdbd.config.Config` has them."""

    @property
    def tls_listen(self) -> Sequence[str]: ...
    @property
    def tls_cert(self) -> str: ...
    @property
    def tls_key(self) -> str: ...
    @property
    def tls_ca(self) -> str: ...
    @property
    def tls_clients(self) -> str: ...
    @property
    def tls_user(self) -> str: ...


def check(settings: Settings) -> None:
    """Raise ConfigError if a setting is missing that another one needs. Reads no file."""
    if settings.tls_user != "none" and settings.tls_clients == "no":
        raise ConfigError(
            f"tls_user = {settings.tls_user} needs certificates of clients: set tls_clients to "
            "optional or required"
        )
    if settings.tls_clients != "no" and not settings.tls_ca:
        raise ConfigError(
            f"tls_clients = {settings.tls_clients} needs tls_ca, the file with the certificates "
            "of the CAs that clients' are from"
        )
    missing = [name for name in ("tls_cert", "tls_key") if not getattr(settings, name)]
    if settings.tls_listen and missing:
        raise ConfigError(f"tls_listen needs {' and '.join(missing)}: PEM files")


class Loaded(typing.NamedTuple):
    """What has been made of the files."""

    context: SSL.Context
    begins: datetime.datetime
    expires: datetime.datetime
    warnings: list[str]  # what there is to say of the server's own dates comes first

    def is_valid(self, when: datetime.datetime) -> bool:
        """Whether the server's certificate is valid at this time."""
        return self.begins <= when < self.expires


def load(settings: Settings, now: datetime.datetime, read: Read, verified: Verified) -> Loaded:
    """Make a context of the files that the settings name. Raises ConfigError, with the setting,
    the file and what is wrong.

    ``verified`` is what OpenSSL asks of each certificate that a client shows.
    """
    path = settings.tls_cert
    own, *between = _certificates("tls_cert", path, read)
    key = _key(settings.tls_key, read)
    _check_pair([own, *between], key, settings)
    warnings = _age(f"tls_cert: {path}", own, now)
    for one in between:
        warnings += _age(f"tls_cert: {path}: the certificate of {shown_name(one)}", one, now)
    if not _has_hosts(own):
        warnings.append(
            f"tls_cert: {path} names no host (subjectAltName), without which clients accept it "
            "for none"
        )

    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(CIPHERS)
    # No tickets: see above. Nor is there any other memory of sessions.
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_session_id(b"memdbd")
    # A connection on which nothing happens takes 36 KiB of OpenSSL's, and 51 without this.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    try:
        context.use_certificate(own)
        for one in between:
            context.add_extra_chain_cert(one)
        context.use_privatekey(key)
        context.check_privatekey()
    except SSL.Error as error:  # a key that is too short, a signature that is too weak
        raise ConfigError(f"tls_cert: {path}: OpenSSL refuses it: {words_of(error)}") from None

    if settings.tls_clients != "no":
        warnings += _ask_clients(context, settings, now, read, verified)
    elif settings.tls_ca:
        warnings.append(
            "tls_ca is set and tls_clients is no, so that no client is asked for a certificate"
        )
    return Loaded(context, own.not_valid_before_utc, own.not_valid_after_utc, warnings)


def _ask_clients(
    context: SSL.Context,
    settings: Settings,
    now: datetime.datetime,
    read: Read,
    verified: Verified,
) -> list[str]:
    """Have clients asked for certificates; gives what there is to be warned of."""
    path = settings.tls_ca
    warnings = []
    store = typing.cast(X509Store, context.get_cert_store())  # there from the beginning
    for one in _certificates("tls_ca", path, read):
        store.add_cert(X509.from_cryptography(one))
        warnings += _age(f"tls_ca: {path}: the certificate of {shown_name(one)}", one, now)
    # A CA in between is one, too, whoever has issued it.
    store.set_flags(X509StoreFlags.PARTIAL_CHAIN)
    required = settings.tls_clients == "required"
    mode = SSL.VERIFY_PEER | (SSL.VERIFY_FAIL_IF_NO_PEER_CERT if required else 0)
    context.set_verify(mode, verified)
    return warnings


def _contents(setting: str, path: str, read: Read) -> bytes:
    try:
        return read(path)
    except OSError as error:
        raise ConfigError(f"{setting}: {path} cannot be read: {error.strerror}") from None


def _certificates(setting: str, path: str, read: Read) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_contents(setting, path, read))
    except ValueError as error:
        raise ConfigError(
            f"{setting}: {path} must have a certificate in PEM (BEGIN CERTIFICATE): "
            f"{_first_line(error)}"
        ) from None


def _key(path: str, read: Read) -> Key:
    try:
        key = load_pem_private_key(_contents("tls_key", path, read), None)
    except TypeError:
        raise ConfigError(
            f"tls_key: {path} is encrypted; it must be a key without a passphrase"
        ) from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            f"tls_key: {path} must have a private key in PEM (BEGIN PRIVATE KEY): "
            f"{_first_line(error)}"
        ) from None
    if not isinstance(key, Key):
        raise ConfigError(f"tls_key: {path} must be a key of RSA, ECDSA or EdDSA")
    return key


def _check_pair(chain: list[x509.Certificate], key: Key, settings: Settings) -> None:
    """Raise ConfigError if the key is not that of the first certificate."""
    public = key.public_key()
    try:
        if chain[0].public_key() == public:
            return
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            f"tls_cert: {settings.tls_cert}: its first certificate, that of "
            f"{shown_name(chain[0])}, has a key of no kind that can be used: {_first_line(error)}"
        ) from None
    places = [place for place, one in enumerate(chain, 1) if _is_of(one, public)]
    why = f"it belongs to the certificate {places[0]} of it" if places else "it is of another one"
    raise ConfigError(
        f"tls_key: {settings.tls_key} does not belong to the first certificate of "
        f"{settings.tls_cert} (tls_cert), which must be this server's: {why}"
    )


def _is_of(certificate: x509.Certificate, key: object) -> bool:
    try:
        return certificate.public_key() == key
    except (ValueError, UnsupportedAlgorithm):  # OpenSSL may know what to do with it
        return False


def _age(what: str, certificate: x509.Certificate, now: datetime.datetime) -> list[str]:
    """What there is to be warned of about the time for which a certificate is valid."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    left = (ends - now) / datetime.timedelta(days=1)
    if left <= 0:
        return [f"{what} has expired ({day(ends)}): nobody accepts it"]
    if now < begins:
        return [f"{what} is not valid before {day(begins)}: nobody accepts it until then"]
    if left < SOON:
        days = math.ceil(left)
        return [f"{what} expires in {days} day{'s' * (days > 1)} ({day(ends)})"]
    return []


def _has_hosts(certificate: x509.Certificate) -> bool:
    try:
        certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return False
    return True


def day(when: datetime.datetime) -> str:
    """The day of a moment, as it is told of."""
    return f"{when:%Y-%m-%d}"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].partition(". ")[0] or type(error).__name__


def only_name(certificate: x509.Certificate) -> str | None:
    """The common name of a certificate; None where there is none, or several."""
    try:
        found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except Exception:  # whatever OpenSSL takes it for; a TypeError, if it is of bits
        return None
    if len(found) != 1 or not isinstance(found[0].value, str):
        return None
    return found[0].value or None


def shown_name(certificate: x509.Certificate) -> str:
    """A certificate's name, for people: from whom it comes, it may be anything."""
    return ascii((only_name(certificate) or "")[:64])


def words_of(error: SSL.Error) -> str:
    """What OpenSSL says, in small letters; its cause comes first."""
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return ", ".join(entry[-1] for entry in queue).lower()
