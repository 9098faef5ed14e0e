"""memdbd with a ticker in its loop: run in place of twistd, with memdbd's flags.

The ticker is due every millisecond and keeps the longest time between two ticks, the most CPU used
between two, the longest run of the garbage collector, and the longest time between two ticks less
that in which another process had the core (Linux): what is the daemon's own, with its waits for the
disk and for its other threads. A line sent to the UNIX socket ``ticker`` in the directory it runs
in is answered with these, in milliseconds, and starts again.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
import time
from typing import Any

SOCKET = "ticker"


class Ticker:
    """Ticks every millisecond of ``reactor``."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._last = self._now()
        self._longest = [0.0, 0.0, 0.0, 0.0]
        self._scheduled = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        self._waited = self._waits()
        self._collecting_since = 0.0
        gc.callbacks.append(self._collector)

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.perf_counter(), time.thread_time()

    def _waits(self) -> float:
        """Seconds in which this thread could have run, and another one had the core."""
        return int(os.pread(self._scheduled, 100, 0).split()[1]) / 1e9

    def _collector(self, phase: str, info: object) -> None:
        now = time.thread_time()
        if phase == "start":
            self._collecting_since = now
        else:
            self._longest[2] = max(self._longest[2], now - self._collecting_since)

    def tick(self) -> None:
        """What the reactor calls every millisecond, or as soon as it can."""
        now = self._now()
        for at in (0, 1):
            self._longest[at] = max(self._longest[at], now[at] - self._last[at])
        waited = self._waits()
        held = now[0] - self._last[0] - (waited - self._waited)
        self._longest[3] = max(self._longest[3], held)
        self._last, self._waited = now, waited
        self._reactor.callLater(0.001, self.tick)

    def take(self) -> list[float]:
        """Milliseconds since the last call: the longest time between two ticks, the most CPU that
        the loop used between two, the longest run of the collector, and the longest time between
        two ticks in which no other process had the core."""
        longest, self._longest = self._longest, [0.0, 0.0, 0.0, 0.0]
        return [seconds * 1000 for seconds in longest]


class Pauses:
    """The ticker as seen from outside."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)

    def take(self) -> list[float]:
        """The four figures of :meth:`Ticker.take`."""
        time.sleep(0.02)  # a tick must have ended the last pause
        self._socket.sendall(b"\n")
        return [float(it) for it in self._socket.recv(100).split()]


def main() -> None:
    from twisted.internet import reactor as installed
    from twisted.internet.protocol import Factory, Protocol
    from twisted.logger import globalLogBeginner, textFileLogObserver

    from memdbd.tap import Options, makeService

    class Answer(Protocol):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(b"%.3f %.3f %.3f %.3f" % tuple(ticker.take()))  # type: ignore[union-attr]

    reactor: Any = installed
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)])
    options = Options()
    options.parent = None
    options.parseOptions(sys.argv[1:])
    root = makeService(options)
    ticker = Ticker(reactor)
    reactor.listenUNIX(SOCKET, Factory.forProtocol(Answer))
    reactor.callWhenRunning(ticker.tick)
    reactor.addSystemEventTrigger("before", "shutdown", root.stopService)
    root.startService()
    reactor.run()


if __name__ == "__main__":
    main()
