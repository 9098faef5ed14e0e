"""From the command line to a server: where it is, how it is spoken with, who logs in.

May import: options, asking, login, tls, errors, Twisted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python import usage

from memdbd.client.asking import (
    NoTerminal,
    ask,
    from_environment,
    from_file,
    is_open_to_all,
)
from memdbd.client.login import DEFAULT_USER, Login
from memdbd.client.tls import TLS, UNVERIFIED, Description, TLSEndpoint
from memdbd.errors import ConfigError

# Each kind of endpoint that is followed by an address; others come from plugins of Twisted's.
KINDS = ("tcp", "tls", "unix")

_URL = re.compile(r"(redis|valkey|http)s?://", re.IGNORECASE)

# What is nothing without --tls, by the names of TLS's fields.
_OF_TLS = {"ca": "cacert", "cert": "cert", "key": "key", "name": "sni"}


@dataclass(frozen=True, slots=True)
class Access:
    """A server called ``name``, and with whom it is logged in."""

    name: str
    endpoint: IStreamClientEndpoint
    login: Login | None = None


def access(
    reactor: Any,
    options: Mapping[str, Any],
    environment: Mapping[str, str],
    is_terminal: Callable[[], bool],
    complain: Callable[[str], object],
) -> Access:
    """What the options of a command line say. Asks for a password, if that is how it is said;
    ``is_terminal()``: whether standard input is one. Raises UsageError."""
    endpoint = client_endpoint(reactor, options["connect"], tls_of(options))
    login = login_of(options, environment, is_terminal, complain)
    return Access(options["connect"], endpoint, login)


def login_of(
    options: Mapping[str, Any],
    environment: Mapping[str, str],
    is_terminal: Callable[[], bool],
    complain: Callable[[str], object],
) -> Login | None:
    """Who logs in, if anybody does. What the command line says goes before the environment.

    Raises UsageError.
    """
    user, path = options["user"], options["password-file"]
    if path is not None and options["ask"]:
        raise usage.UsageError("--password-file and --ask are two answers to one question")
    if path is not None:
        password: bytes | None = _from_file(path, complain)
    elif options["ask"]:
        password = _asked(user)
    else:
        password = from_environment(environment)
        if password is None and user is not None:
            if not is_terminal():
                raise usage.UsageError(
                    f"--user {user} needs a password: in the first line of --password-file, in the "
                    "variable MEMDB_PASSWORD, or with --ask"
                )
            password = _asked(user)
    return None if password is None else Login(user, password)


def _from_file(path: str, complain: Callable[[str], object]) -> bytes:
    try:
        password = from_file(path)
        if is_open_to_all(path):
            complain(f"memdb: all users of this machine can read {path}; chmod 600 changes that")
    except OSError as error:
        raise usage.UsageError(f"cannot read {path}: {error.strerror}") from None
    if not password:
        raise usage.UsageError(f"{path} has no password in its first line")
    return password


def _asked(user: str | None) -> bytes:
    try:
        password = ask(f"Password of {user or DEFAULT_USER}: ")
    except NoTerminal:
        raise usage.UsageError("there is no terminal to ask for the password") from None
    if not password:
        raise usage.UsageError("no password was given")
    return password


def tls_of(options: Mapping[str, Any]) -> TLS | None:
    """How TLS is spoken, if it is. Raises UsageError."""
    given = {field: options[name] for field, name in _OF_TLS.items()}
    if options["tls"]:
        if (given["cert"] is None) != (given["key"] is None):
            raise usage.UsageError("--cert and --key go together: a certificate, and its key")
        return TLS(**given)
    for field, name in _OF_TLS.items():
        if given[field] is not None:
            raise usage.UsageError(f"--{name} is nothing without --tls")
    return None


def client_endpoint(reactor: Any, text: str, tls: TLS | None = None) -> IStreamClientEndpoint:
    """The endpoint that the value of ``--connect`` describes; ``host:port`` is one of TCP.

    Raises UsageError for what describes none, and for one that would trust any server.
    """
    _check_habits(text)
    if Description(text).kind == "SSL":  # nor is it the name of a host
        raise usage.UsageError(f"{UNVERIFIED}; say --tls with tcp:HOST:PORT")
    host, _, port = text.rpartition(":")
    if host and ":" not in host and host not in KINDS and port.isdecimal():
        text = f"tcp:{text}"
    return _endpoint(reactor, text) if tls is None else _secured(reactor, text, tls)


def _check_habits(text: str) -> None:
    """Raise UsageError for what other programs would take."""
    if _URL.match(text):
        # Not shown once more: there may be a password in it.
        url = urlsplit(text)
        try:
            where = f"{url.hostname or 'HOST'}:{url.port or 'PORT'}"
        except ValueError:
            where = "HOST:PORT"
        tls = " --tls" if url.scheme in ("rediss", "valkeys", "https") else ""
        user = "; the user with --user, the password with --ask or --password-file"
        raise usage.UsageError(
            f"--connect takes no URL; say --connect {where}{tls}{user if '@' in text else ''}"
        )
    if text.startswith("/"):
        raise usage.UsageError(f"--connect {text} is a path; say --connect unix:{text}")
    if text and ":" not in text and text not in KINDS and not text.isdecimal():
        raise usage.UsageError(f"--connect {text} has no port; say --connect {text}:PORT")


def _endpoint(reactor: Any, text: str) -> IStreamClientEndpoint:
    try:
        endpoint: IStreamClientEndpoint = clientFromString(reactor, text)
    except (LookupError, RuntimeError, TypeError, ValueError):  # in words about Twisted's code
        raise usage.UsageError(
            "--connect must be an endpoint, such as tcp:127.0.0.1:65432 or"
            f" unix:/run/memdbd.sock, not {text!r}"
        ) from None
    except Exception:  # a file that it names, or what is in it
        raise usage.UsageError(
            f"--connect {text}: trustRoots must be a directory with only .pem certificates,"
            " certificate and privateKey a .pem file each"
        ) from None
    return endpoint


def _secured(reactor: Any, text: str, tls: TLS) -> IStreamClientEndpoint:
    said = Description(text)
    if said.kind == "TLS":
        raise usage.UsageError(
            f"--connect {text} speaks TLS by itself: with --tls, say tcp:HOST:PORT"
        )
    try:
        endpoint = _endpoint(reactor, said.in_ascii())
        name = tls.name or said.host
        if name is None:
            raise usage.UsageError(
                f"--connect {text} names no host: --sni NAME says whose certificate is expected"
                " there"
            )
        return TLSEndpoint(reactor, endpoint, tls, name)
    except ConfigError as error:
        raise usage.UsageError(str(error)) from None
