"""twistd with a ticker in its loop: ``python ticked.py --nodaemon memdb …``.

The ticker is :mod:`benchmarks.ticking`'s, and answers at the same socket.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.protocol import Factory, Protocol
from twisted.scripts.twistd import run

sys.path.append(str(Path(__file__).parents[2]))  # last, so that memdbd is the installed one

from benchmarks.ticking import SOCKET, Ticker

reactor: Any = installed


class Answer(Protocol):
    """Tells, when it is asked, what the ticker has seen since it was last asked."""

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(b"%.3f %.3f %.3f %.3f\n" % tuple(ticker.take()))


if __name__ == "__main__":
    ticker = Ticker(reactor)
    reactor.listenUNIX(SOCKET, Factory.forProtocol(Answer))
    reactor.callWhenRunning(ticker.tick)
    sys.argv[0] = "twistd"
    run()
