"""Who is let in, and who has to go: how many connections there may be, and for how long.

Theory of operation. A STRANGER is a connection of which nobody knows yet who it is: it has not
logged in where that is needed, or not finished its TLS handshake. There are few, and they have
little time. When there is one more than there may be, the oldest of that network goes from which
most have come, so that whoever keeps silent by the hundred only drives out himself; one whose
password is being looked at goes last, wherever it is from. They leave when they are known or lost,
and not before, so that one who is sent away and does not go is still counted.

Strategy. One timer for all strangers, and one for all clients without requests, each set to when
the first of them may be due. Limits may change meanwhile, so neither looks farther ahead than a
second, or than a change of the limit is told of. Nothing here is on the way of a request.

May import: limits, session.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from ipaddress import IPv6Address
from itertools import chain
from typing import Any, Protocol

from twisted.logger import Logger

from memdbd.limits import Alarms, Limits
from memdbd.session import Session

# The farthest that a look at the strangers is away, and the nearest that one at the idle is.
STEP = 1.0  # seconds

# Connections that a port accepts in one turn of the reactor. Twisted takes 100, and 20 more each
# time that there are as many; to make one takes some 0.1 ms, with TLS some 0.3.
ACCEPTS = 16


class Timer(Protocol):
    """A call that has been put off."""

    def cancel(self) -> None: ...


CallLater = Callable[[float, Callable[[], object]], Timer]


class Connection(Protocol):
    """What there is to know of a connection here."""

    @property
    def session(self) -> Session: ...
    @property
    def host(self) -> str:
        """The other end's address."""

    @property
    def active(self) -> float:
        """When something came from it last, or was taken by it."""

    @property
    def may_idle(self) -> bool:
        """Whether it has a reason to send nothing: it listens, or waits for its reply."""

    def turn_away(self, limit: str, why: str) -> None:
        """End it at once, and say why."""


class _Stay:
    """How long a stranger has been here."""

    __slots__ = ("network", "since", "stopped")

    def __init__(self, network: str, since: float) -> None:
        self.network = network
        self.since = since
        self.stopped: float | None = None  # its time stands still since then


class Admission:
    """Keeps the number of clients, and their time, within ``limits``.

    ``connections`` are all there are. ``seconds`` is the time, ``call_later`` puts off.
    """

    _log = Logger()

    def __init__(
        self,
        limits: Limits,
        alarms: Alarms,
        connections: Collection[Connection],
        seconds: Callable[[], float],
        call_later: CallLater,
    ) -> None:
        self._limits = limits
        self._alarms = alarms
        self._connections = connections
        self._seconds = seconds
        self._call_later = call_later
        self._strangers: dict[Connection, _Stay] = {}  # in order of arrival
        self._networks: dict[str, dict[Connection, None]] = {}  # the same, from where they are
        self._look_at_strangers: Timer | None = None
        self._look_at_idle: Timer | None = None
        self._ports: set[Any] = set()  # that have accepted something in this turn
        self.ceiling: int | None = None  # clients for which there are files
        self.rejected = 0

    def __len__(self) -> int:
        """How many strangers there are."""
        return len(self._strangers)

    # How many

    @property
    def most(self) -> int:
        """How many clients there may be."""
        most = self._limits.max_clients
        return most if self.ceiling is None else min(most, self.ceiling)

    def has_room(self, host: str) -> bool:
        """Whether one more client may come, from ``host``; a stranger may have to go for it."""
        if len(self._connections) < self.most:
            return True
        if self._strangers:
            self._drop_one("max_clients", f"there are {self.most} clients, and one more has come")
            return True
        self.rejected += 1
        self._alarms.fire(
            "max_clients", f"a client at {host} is refused: there are {self.most} already"
        )
        return False

    def _drop_one(self, limit: str, why: str) -> None:
        """Have a stranger go."""

        def many_and_old(network: dict[Connection, None]) -> tuple[int, int]:
            return len(network), -next(iter(network)).session.number

        candidates = max(self._networks.values(), key=many_and_old)
        others = chain(candidates, self._strangers)
        idle = (each for each in others if not each.session.logging_in)
        victim = next(idle, next(iter(candidates)))
        self.leaves(victim)
        self._turn_away(victim, limit, why)

    def _turn_away(self, connection: Connection, limit: str, why: str) -> None:
        """Have one go. What fails in that is no matter of whoever else is to go, or has come."""
        try:
            connection.turn_away(limit, why)
        except Exception:
            self._log.failure("a defect of memdbd: a connection is not ended")

    # For how long: strangers

    def is_stranger(self, connection: Connection) -> None:
        """Nobody knows who this is; said twice is said once."""
        if connection in self._strangers:
            return
        if len(self._strangers) >= self._limits.max_unauthenticated:
            most = self._limits.max_unauthenticated
            self._drop_one("max_unauthenticated", f"more than {most} clients have not logged in")
        network = network_of(connection.host)
        self._strangers[connection] = _Stay(network, self._seconds())
        self._networks.setdefault(network, {})[connection] = None
        if self._look_at_strangers is None:
            self._watch_strangers()

    def leaves(self, connection: Connection) -> None:
        """It is known, or gone; whoever is no stranger is none afterwards."""
        stay = self._strangers.pop(connection, None)
        if stay is None:
            return
        network = self._networks[stay.network]
        del network[connection]
        if not network:
            del self._networks[stay.network]
        if not self._strangers and self._look_at_strangers is not None:
            self._look_at_strangers.cancel()
            self._look_at_strangers = None

    def begins_anew(self, connection: Connection) -> None:
        """A stranger has finished its handshake: now it has its time to log in."""
        stay = self._strangers.get(connection)
        if stay is not None:
            stay.since = self._seconds()

    def waits(self, connection: Connection) -> None:
        """A stranger waits for us: its time stands still."""
        stay = self._strangers.get(connection)
        if stay is not None and stay.stopped is None:
            stay.stopped = self._seconds()

    def goes_on(self, connection: Connection) -> None:
        """It does not any more; its time goes on."""
        stay = self._strangers.get(connection)
        if stay is not None and stay.stopped is not None:
            stay.since += self._seconds() - stay.stopped
            stay.stopped = None

    def _watch_strangers(self) -> None:
        running = (stay.since for stay in self._strangers.values() if stay.stopped is None)
        due = min(running, default=self._seconds()) + self._limits.login_timeout
        wait = min(max(due - self._seconds(), 0.0), STEP)
        self._look_at_strangers = self._call_later(wait, self._send_late_ones_away)

    def _send_late_ones_away(self) -> None:
        self._look_at_strangers = None
        patience = self._limits.login_timeout
        latest = self._seconds() - patience
        for connection, stay in tuple(self._strangers.items()):
            if stay.stopped is None and stay.since <= latest:
                self.leaves(connection)
                why = f"it has not logged in within {patience:g} s"
                self._turn_away(connection, "login_timeout", why)
        if self._strangers and self._look_at_strangers is None:
            self._watch_strangers()

    # For how long: clients without requests

    def watch_idle(self) -> None:
        """Look at who is idle, if there is a limit to it: it may just have been set."""
        if self._look_at_idle is not None:
            self._look_at_idle.cancel()
        self._look_at_idle = None
        if self._limits.idle_timeout and self._connections:
            self._look_at_idle = self._call_later(STEP, self._send_idle_ones_away)

    @property
    def is_watching_idle(self) -> bool:
        return self._look_at_idle is not None

    def stop(self) -> None:
        """Look at nobody any more."""
        for timer in (self._look_at_strangers, self._look_at_idle):
            if timer is not None:
                timer.cancel()
        self._look_at_strangers = self._look_at_idle = None

    def _send_idle_ones_away(self) -> None:
        self._look_at_idle = None
        patience = self._limits.idle_timeout
        if not patience or not self._connections:
            return
        now = self._seconds()
        latest, first = now - patience, now
        for connection in tuple(self._connections):
            active = connection.active
            if active > first or connection.may_idle:
                continue
            if active <= latest:
                why = f"it has sent nothing for {patience:g} s"
                self._turn_away(connection, "idle_timeout", why)
            else:
                first = active
        self._look_at_idle = self._call_later(
            max(first + patience - now, STEP), self._send_idle_ones_away
        )

    # How many at once

    def accepted_at(self, port: Any) -> None:
        """A port of Twisted's has accepted a connection: keep it from accepting too many more."""
        if not self._ports:
            self._call_later(0, self._bound_ports)
        self._ports.add(port)

    def _bound_ports(self) -> None:
        for port in self._ports:
            port.numberAccepts = ACCEPTS
        self._ports.clear()


def network_of(host: str) -> str:
    """Whom an address belongs to: with IPv6, everybody has 2**64 of them."""
    if ":" not in host:
        return host
    address = IPv6Address(host.partition("%")[0])
    return str(address.ipv4_mapped or address.packed[:8].hex())
