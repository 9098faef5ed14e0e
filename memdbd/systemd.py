"""Tell systemd how the daemon is: ready, alive, reloading, stopping.

* :class:`Notifier` says one thing: newline-separated assignments in a datagram to
  ``$NOTIFY_SOCKET`` (sd_notify(3)). Where nobody listens it is silent.
* :class:`SystemdService` says it at the right time. Its beat comes from the reactor, so a beat
  that does not come is a reactor that no longer turns, and systemd's watchdog restarts the daemon.

Sockets handed over by systemd are not here: they are Twisted endpoints
(``systemd:domain=INET:name=memdbd``). The units are in ``etc/systemd``.

May import: services.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from memdbd.services import Periodic

STATUS_INTERVAL = 30.0  # seconds between two STATUS lines where no watchdog asks for more


class Notifier:
    """The way to the service manager that started this process.

    ``address`` is a socket's path, or ``@`` and a name in Linux's abstract namespace; None makes
    every send a silent no-op. ``watchdog`` is the silence in seconds after which the manager takes
    the process for hung, or None.
    """

    _log = Logger()

    def __init__(self, address: str | None, watchdog: float | None = None) -> None:
        self.address = address
        self.watchdog = watchdog
        self._complained = False

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], pid: int) -> Notifier:
        """What systemd's variables in ``environ`` say to the process ``pid``."""
        return cls(environ.get("NOTIFY_SOCKET") or None, _watchdog_seconds(environ, pid))

    def send(self, *assignments: str) -> bool:
        """Send ``NAME=value`` assignments; gives whether the manager got them. Never raises.

        The first failure is logged; later ones are not, since one comes with every beat.
        """
        if self.address is None:
            return False
        # A line break inside a value would start an assignment of its own.
        datagram = "\n".join(" ".join(text.splitlines()) for text in assignments)
        abstract = self.address.startswith("@")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                # A manager that does not read its socket must not hold up the reactor.
                sock.setblocking(False)
                sock.sendto(
                    datagram.encode(errors="replace"),
                    "\0" + self.address[1:] if abstract else self.address,
                )
        except OSError as error:
            if not self._complained:
                self._complained = True
                self._log.warn(
                    "cannot notify systemd at {address}: {error}; further failures are not logged",
                    address=self.address,
                    error=error,
                )
            return False
        return True


def _watchdog_seconds(environ: Mapping[str, str], pid: int) -> float | None:
    """The watchdog's interval, if it watches ``pid`` (sd_watchdog_enabled(3))."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    # A child inherits the variables, but the watchdog is not its own.
    ours = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
    if not ours or not microseconds.isdecimal() or int(microseconds) == 0:
        return None
    return int(microseconds) / 1_000_000


class SystemdService(Periodic):
    """Sends READY=1 once the daemon serves, then the watchdog's beat and STATUS, then STOPPING=1.

    ``status`` gives one line for people, shown by ``systemctl status``; ``monotonic_us()`` is the
    time of CLOCK_MONOTONIC in microseconds, by which systemd goes. Add this service to its
    MultiService last: services are stopped in reverse order, so that STOPPING=1 goes out before
    the last snapshot begins. (It also ends the watchdog: systemd watches running services only.)
    """

    def __init__(
        self,
        notifier: Notifier,
        clock: IReactorTime,
        status: Callable[[], str],
        monotonic_us: Callable[[], int],
    ) -> None:
        interval = STATUS_INTERVAL
        if notifier.watchdog is not None:
            # Half of the limit, as sd_watchdog_enabled(3) advises: one beat may be late.
            interval = min(interval, notifier.watchdog / 2)
        super().__init__(clock, interval, self._beat)
        self._notifier = notifier
        self._clock = clock
        self._status = status
        self._monotonic_us = monotonic_us
        self._ready = False
        self._starting: IDelayedCall | None = None

    def startService(self) -> None:
        if self._notifier.address is not None:
            super().startService()
            # twistd binds the ports and starts all services, which load the data, before it runs
            # the reactor. Its first turn is thus the first moment at which a client is answered.
            self._starting = self._clock.callLater(0, self._guarded, self._beat)

    def reloading(self) -> None:
        """The settings are being read anew; :meth:`reloaded` says how that ended."""
        if self._ready:
            # The manager compares it with the time at which it asked for a reload.
            self._notifier.send("RELOADING=1", f"MONOTONIC_USEC={self._monotonic_us()}")

    def reloaded(self, outcome: str) -> None:
        """It serves, with what the reload has come to."""
        if self._ready and self.running:
            self._notifier.send("READY=1", f"STATUS={outcome}")

    def stopService(self) -> None:
        self._notifier.send("STOPPING=1", "STATUS=Stopping")
        if self._starting is not None and self._starting.active():
            self._starting.cancel()
        super().stopService()

    def _beat(self) -> None:
        # READY=1 is repeated until it got through: without it systemd ends the daemon.
        assignments = [] if self._ready else ["READY=1"]
        if self._notifier.watchdog is not None:
            assignments.append("WATCHDOG=1")
        # The beat goes on without a status.
        self._guarded(lambda: assignments.append("STATUS=" + self._status()))
        if self._notifier.send(*assignments):
            self._ready = True
