"""The listeners: any Twisted endpoint string, and the connections behind all of them.

May import: addresses, errors, factory, replies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IListeningPort,
    IReactorCore,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

from memdbd.addresses import is_loopback, shown
from memdbd.errors import ConfigError, ListenError
from memdbd.factory import MemDBFactory, RespFactory
from memdbd.replies import Reply


def endpoint(reactor: object, description: str, setting: str = "listen") -> IStreamServerEndpoint:
    """The endpoint that a string describes. Raises ConfigError where it describes none."""
    try:
        found: IStreamServerEndpoint = serverFromString(reactor, description)
    except LookupError as error:  # of a systemd socket that was not handed over
        raise ConfigError(
            f"{setting}: {description!r} names a systemd socket that was not passed: {error}"
        ) from None
    except Exception as error:  # each kind of endpoint has its own, such as OpenSSL's
        # A TypeError names a function of Twisted's.
        why = "a part is missing or unknown" if isinstance(error, TypeError) else error
        raise ConfigError(
            f"{setting}: {description!r} cannot be listened on ({why}); right would be, for "
            "example, tcp:65432:interface=127.0.0.1 or unix:/run/memdbd.sock"
        ) from None
    return found


class Listeners(Service):
    """Listens on the endpoints that ``descriptions`` describe while it runs; on those of ``resp``
    for RESP only.

    Where one cannot listen, the daemon does not start; or stops, if that is known only later.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: object,
        descriptions: Sequence[str],
        factory: MemDBFactory,
        resp: Sequence[str] = (),
    ) -> None:
        self._reactor = reactor
        only_resp = RespFactory(factory)
        self._endpoints: dict[str, tuple[IStreamServerEndpoint, ServerFactory]] = {
            text: (endpoint(reactor, text), factory) for text in descriptions
        } | {text: (endpoint(reactor, text, "resp"), only_resp) for text in resp}
        self._factory = factory
        self._ports: list[IListeningPort] = []
        self._bound = False
        # Called with each TCP port that is listened on for both dialects.
        self.heard: Callable[[int], object] = lambda port: None

    def info(self) -> dict[str, Reply]:
        """Where it listens, for ``info``."""
        return {"listening_on": [shown(port.getHost()) for port in self._ports]}

    def startService(self) -> None:
        """Bind: not before the data is loaded, and so after twistd gave up root, if it did.

        Raises ListenError.
        """
        super().startService()
        self._bind()

    def stopService(self) -> Deferred[None]:
        """Accept no more, then let each client have its last replies and go."""
        super().stopService()
        self._bound = False
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        while self._ports:
            await maybeDeferred(self._ports.pop().stopListening)
        await self._factory.close_all()

    def _bind(self) -> None:
        self._bound = True
        for text, (each, factory) in self._endpoints.items():
            failed: list[Failure] = []
            listening = each.listen(factory).addCallback(self._listening, factory)
            if not listening.called:
                listening.addErrback(self._failed_late, text)
                continue
            listening.addErrback(failed.append)
            if failed:
                raise ListenError(f"{_cause(failed[0])}: cannot listen on {text}")

    def _listening(self, port: IListeningPort, factory: ServerFactory) -> None:
        if not self._bound:  # stopped in the meantime
            port.stopListening()
            return
        self._ports.append(port)
        address = port.getHost()
        is_main = factory is self._factory
        if isinstance(address, (IPv4Address, IPv6Address)) and is_main:
            self.heard(address.port)
        speaks = "" if is_main else " for RESP only"
        self._log.info("listening on {address}{speaks}", address=shown(address), speaks=speaks)
        if isinstance(address, (IPv4Address, IPv6Address)) and not is_loopback(address.host):
            self._log.warn(
                "{address} is open to the network, and there is no authentication: whoever "
                "reaches it may read and delete everything",
                address=shown(address),
            )

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
