"""The listeners: any Twisted endpoint string, and the connections behind all of them.

Safe as installed: what beyond this machine can be reached is looked at as soon as it is bound, by
the address that the system tells, so that it is the same however it was said where to listen; and
where nobody would have to log in there, the daemon does not start. A UNIX socket is for its owner
alone, from its first moment on, unless its endpoint has a mode.

May import: addresses, errors, factory, replies, tls.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IReactorCore,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from memdbd.addresses import is_loopback, shown
from memdbd.errors import ConfigError, ListenError
from memdbd.factory import MemDBFactory, RespFactory
from memdbd.replies import Reply
from memdbd.tls import Credentials, TLSFactory

# The parts of an endpoint string, and the name of a part that has one; a backslash makes any
# character an ordinary one.
_PART = re.compile(r"(?:[^:\\]|\\.)+", re.DOTALL)
_NAME = re.compile(r"((?:[^=\\]|\\.)*)=", re.DOTALL)


def _split(description: str) -> tuple[str, list[str]]:
    """The kind of an endpoint, and its other parts; a PROXY protocol in front is not a kind."""
    kind, *parts = _PART.findall(description) or [""]
    if kind == "haproxy" and parts:
        kind, *parts = parts
    return kind.replace("\\", ""), parts


def _is_unix(description: str) -> bool:
    return _split(description)[0] == "unix"


def _with_mode(description: str) -> str:
    """The endpoint string of a UNIX socket, with a mode: that of Twisted's would let all in."""
    named = [_NAME.match(part) for part in _split(description)[1]]
    names = [found[1] for found in named if found]
    # unix:PATH:MODE is said without names.
    if "mode" in names or named.count(None) + names.count("address") > 1:
        return description
    return f"{description}:mode=600"


def _with_backlog(description: str, backlog: int) -> str:
    """The endpoint string with a backlog, if it is of a kind that has one and names none: Twisted's
    is 50, and what is beyond it waits for a second."""
    kind, parts = _split(description)
    named = [_NAME.match(part) for part in parts]
    # tcp:PORT:INTERFACE:BACKLOG and unix:PATH:MODE:BACKLOG are said without names.
    is_said = "backlog" in [found[1] for found in named if found] or named.count(None) > 2
    if is_said or kind not in ("tcp", "tcp4", "tcp6", "unix"):
        return description
    return f"{description}:backlog={backlog}"


def endpoint(
    reactor: object, description: str, setting: str = "listen", backlog: int = 1024
) -> IStreamServerEndpoint:
    """The endpoint that a string describes. Raises ConfigError where it describes none."""
    if _split(description)[0] == "ssl":
        where = "and tcp: in place of ssl:" if setting == "tls_listen" else "in tls_listen"
        raise ConfigError(
            f"{setting}: {description!r} has a certificate of its own, which could not be renewed "
            f"without a restart; right is the address {where}, as in tls_listen = "
            '["tcp:65433:interface=127.0.0.1"], with tls_cert and tls_key'
        )
    complete = _with_mode(description) if _is_unix(description) else description
    complete = _with_backlog(complete, backlog)
    try:
        found: IStreamServerEndpoint = serverFromString(reactor, complete)
    except LookupError as error:  # of a systemd socket that was not handed over
        raise ConfigError(
            f"{setting}: {description!r} names a systemd socket that was not passed: {error}"
        ) from None
    except Exception as error:  # each kind of endpoint has its own
        # A TypeError names a function of Twisted's.
        why = "a part is missing or unknown" if isinstance(error, TypeError) else error
        raise ConfigError(
            f"{setting}: {description!r} cannot be listened on ({why}); right would be, for "
            "example, tcp:65432:interface=127.0.0.1 or unix:/run/memdbd.sock"
        ) from None
    return found


def _told_outside(description: str) -> str | None:
    """The address that an endpoint string names, if that can be told from it and others than this
    machine reach it."""
    kind, parts = _split(description)
    if kind not in ("tcp", "tcp4", "tcp6"):
        return None
    named, plain = {}, []
    for part in parts:
        found = _NAME.match(part)
        if found:
            named[found[1]] = _unescaped(part[found.end() :])
        else:
            plain.append(_unescaped(part))
    port, host, *_ = [*plain, "", ""]
    everywhere = "::" if kind == "tcp6" else "0.0.0.0"  # noqa: S104 # what no interface means
    host = named.get("interface", host) or everywhere
    port = named.get("port", port)
    try:
        if is_loopback(host) or not port.isdecimal():
            return None
        family = IPv6Address if ipaddress.ip_address(host).version == 6 else IPv4Address
    except ValueError:  # a name: what it stands for is known when it is bound
        return None
    return shown(family("TCP", host, int(port)))


def _unescaped(part: str) -> str:
    return re.sub(r"\\(.)", r"\1", part, flags=re.DOTALL)


class _Listener(NamedTuple):
    """One of the endpoints, what is made for its clients, and what it speaks, for people."""

    text: str
    endpoint: IStreamServerEndpoint
    factory: IProtocolFactory
    speaks: str = ""


class Listeners(Service):
    """Listens on the endpoints that ``descriptions`` describe while it runs; on those of ``resp``
    for RESP only, on those of ``tls`` behind TLS with ``credentials``.

    ``is_open()``: whether one who connects need not log in; ``has_users``: though there may be
    users who do. Then it refuses to listen beyond this
    machine, except with ``allow_open``, and where a certificate is required. Where one cannot
    listen, the daemon does not start; or stops, if that is known only later.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        descriptions: Sequence[str],
        factory: MemDBFactory,
        resp: Sequence[str] = (),
        *,
        tls: Sequence[str] = (),
        credentials: Credentials | None = None,
        is_open: Callable[[], bool] = lambda: True,
        allow_open: bool = False,
        has_users: bool = False,
        backlog: int = 1024,
    ) -> None:
        self._reactor = reactor
        self._factory = factory
        self._credentials = credentials
        self._is_open = is_open
        self.allow_open = allow_open
        self._has_users = has_users
        only_resp = RespFactory(factory)
        made = partial(endpoint, reactor, backlog=backlog)
        self._listeners = [
            *(_Listener(text, made(text, "listen"), factory) for text in descriptions),
            *(_Listener(text, made(text, "resp"), only_resp, " for RESP only") for text in resp),
        ]
        if tls and credentials is not None:
            behind_tls = TLSFactory(credentials, factory, reactor)
            self._listeners += [
                _Listener(text, made(text, "tls_listen"), behind_tls, " with TLS") for text in tls
            ]
        self._ports: list[tuple[IListeningPort, _Listener]] = []
        self._bound = False
        # Called with each TCP port that is listened on for both dialects.
        self.heard: Callable[[int], object] = lambda port: None

    def info(self) -> dict[str, Reply]:
        """Where it listens, for ``info``."""
        return {"listening_on": [shown(port.getHost()) for port, _ in self._ports]}

    def refusal(self, where: str) -> str:
        """Why what others reach is not listened on while nobody has to log in.

        What to do comes first: of a start that failed, twistd shows a hundred characters.
        """
        what = "set password (MEMDB_PASSWORD) or auth"
        if self._has_users:
            what = "the user default is nopass: have it off, or set password (MEMDB_PASSWORD)"
        return (
            f"{what}, or allow_open = true: {where} is open to the network and nobody has to log in"
        )

    def exposed(self, *, certificates: bool) -> list[str]:
        """The addresses that are listened on and that others than this machine reach;
        ``certificates``: without those where clients need one."""
        return [
            shown(port.getHost())
            for port, listener in self._ports
            if _is_reached(port) and not (_has_tls(listener) and certificates)
        ]

    def privilegedStartService(self) -> None:
        """Refuse, before there is a data directory and all is loaded from it, what need not be
        bound to be known: see ``startService``. Raises ListenError."""
        super().privilegedStartService()
        if self.allow_open or not self._is_open():
            return
        for listener in self._listeners:
            where = _told_outside(listener.text)
            if where is not None and not (_has_tls(listener) and self._needs_certificates):
                raise ListenError(self.refusal(where))

    def startService(self) -> None:
        """Bind: not before the data is loaded, and so after twistd gave up root, if it did; what
        can be read of the certificates can be read again, then.

        Raises ListenError, and ConfigError of certificates.
        """
        super().startService()
        if self._credentials is not None and any(_has_tls(one) for one in self._listeners):
            self._credentials.reload()
        self._bind()

    def stopService(self) -> Deferred[None]:
        """Accept no more, then let each client have its last replies and go."""
        super().stopService()
        self._bound = False
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        while self._ports:
            await maybeDeferred(self._ports.pop()[0].stopListening)
        await self._factory.close_all()

    def _bind(self) -> None:
        self._bound = True
        for listener in self._listeners:
            failed: list[Failure] = []
            with _private() if _is_unix(listener.text) else contextlib.nullcontext():
                listening = listener.endpoint.listen(listener.factory)
            listening.addCallback(self._listening, listener)
            if not listening.called:
                listening.addErrback(self._failed_late, listener.text)
                continue
            listening.addErrback(failed.append)
            if failed:
                self._bound = False
                # Nobody has been accepted, nor will be: the reactor does not run.
                while self._ports:
                    self._ports.pop()[0].stopListening()
                if isinstance(failed[0].value, ListenError):
                    raise failed[0].value
                raise ListenError(f"{_cause(failed[0])}: cannot listen on {listener.text}")

    def _listening(self, port: IListeningPort, listener: _Listener) -> None:
        if not self._bound:  # stopped in the meantime
            port.stopListening()
            return
        address = port.getHost()
        is_authenticated = _has_tls(listener) and self._needs_certificates
        is_exposed = _is_reached(port) and not is_authenticated and self._is_open()
        if is_exposed and not self.allow_open:
            port.stopListening()
            raise ListenError(self.refusal(shown(address)))
        self._ports.append((port, listener))
        if isinstance(address, (IPv4Address, IPv6Address)) and listener.factory is self._factory:
            self.heard(address.port)
        self._log.info(
            "listening on {address}{speaks}", address=shown(address), speaks=listener.speaks
        )
        if is_exposed:
            self._log.warn(
                "{address} is open to the network, and there is no authentication: whoever "
                "reaches it may read and delete everything",
                address=shown(address),
            )

    @property
    def _needs_certificates(self) -> bool:
        return self._credentials is not None and self._credentials.requires_certificates

    def _failed_late(self, failure: Failure, text: str) -> None:
        """The start can no longer be refused, but a daemon that is deaf must not look well."""
        if not self._bound:
            return
        self._log.critical(
            "cannot listen on {endpoint}, so the daemon stops: {reason}",
            endpoint=text,
            reason=failure.getErrorMessage(),
        )
        IReactorCore(self._reactor).stop()


def _cause(failure: Failure) -> str:
    """Why, in a few words that come first: twistd cuts what it shows of a failed start."""
    if isinstance(failure.value, CannotListenError):
        error = failure.value.socketError
        return getattr(error, "strerror", None) or str(error)
    return failure.getErrorMessage()


def _has_tls(listener: _Listener) -> bool:
    return isinstance(listener.factory, TLSFactory)


def _is_reached(port: IListeningPort) -> bool:
    """Whether others than this machine reach a port."""
    address = port.getHost()
    if isinstance(address, (IPv4Address, IPv6Address)):
        return not is_loopback(address.host)
    return not isinstance(address, UNIXAddress)  # of what we do not know, the worst


@contextlib.contextmanager
def _private() -> Iterator[None]:
    """What is made in here is for its owner alone. A mode that is set behind the bind comes late:
    whoever connects in between is in."""
    before = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(before)
