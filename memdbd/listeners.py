"""The listeners: any Twisted endpoint string, and the connections behind all of them.

May import: errors, protocol.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IAddress, IListeningPort, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from memdbd.errors import ConfigError, ListenError
from memdbd.protocol import MemDBFactory
from memdbd.replies import Reply


def endpoint(reactor: object, description: str) -> IStreamServerEndpoint:
    """The endpoint that a string describes. Raises ConfigError where it describes none."""
    try:
        found: IStreamServerEndpoint = serverFromString(reactor, description)
    except LookupError as error:  # of a systemd socket that was not handed over
        raise ConfigError(
            f"listen: {description!r} names a systemd socket that was not passed: {error}"
        ) from None
    except Exception as error:  # each kind of endpoint has its own, such as OpenSSL's
        raise ConfigError(f"listen: {description!r} is not a Twisted endpoint: {error}") from None
    return found


class Listeners(Service):
    """Listens on all ``endpoints`` (by their strings) while it runs."""

    _log = Logger()

    def __init__(self, reactor: object, descriptions: Sequence[str], factory: MemDBFactory) -> None:
        self._endpoints = {text: endpoint(reactor, text) for text in descriptions}
        self._factory = factory
        self._ports: list[IListeningPort] = []

    def info(self) -> dict[str, Reply]:
        """Where it listens, for ``info``."""
        return {"listening_on": [_shown(port.getHost()) for port in self._ports]}

    def privilegedStartService(self) -> None:
        """Bind, before twistd gives up root; a connection waits until the reactor runs.

        Raises ListenError.
        """
        super().privilegedStartService()
        self._bind()

    def startService(self) -> None:
        super().startService()
        if not self._ports:
            self._bind()

    def stopService(self) -> Deferred[None]:
        """Accept no more, then let each client have its last replies and go."""
        super().stopService()
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        while self._ports:
            await maybeDeferred(self._ports.pop().stopListening)
        await self._factory.close_all()

    def _bind(self) -> None:
        for text, each in self._endpoints.items():
            failed: list[Failure] = []
            each.listen(self._factory).addCallbacks(self._listening, failed.append)
            if failed:
                raise ListenError(f"cannot listen on {text}: {failed[0].getErrorMessage()}")

    def _listening(self, port: IListeningPort) -> None:
        self._ports.append(port)
        self._log.info("listening on {address}", address=_shown(port.getHost()))


def _shown(address: IAddress) -> str:
    match address:
        case IPv4Address():
            return f"{address.host}:{address.port}"
        case IPv6Address():
            return f"[{address.host}]:{address.port}"
        case UNIXAddress():
            return f"unix:{os.fsdecode(address.name or b'')}"
        case _:
            return str(address)
