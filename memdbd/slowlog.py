"""What took long: the slowest commands of late, and the worst moments by their kind.

Both are fed by one observer of the dispatcher, a :class:`Watch`, which is only called for requests
that took at least as long as either wants to hear of.

May import: clients, session, commands.spec, commands.secrets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from memdbd.clients import Clients
from memdbd.commands.secrets import without_secrets
from memdbd.commands.spec import Command, Flag
from memdbd.session import Session

MAX_WORDS = 32  # of a request that are kept
MAX_WORD = 128  # bytes of a word that are kept
MAX_SAMPLES = 160  # of each kind of event


def shortened(argv: Sequence[bytes]) -> list[bytes]:
    """The words of a request as far as they are worth keeping, as Redis's slow log has them."""
    kept = [
        word if len(word) <= MAX_WORD
        else b"%b... (%d more bytes)" % (word[:MAX_WORD], len(word) - MAX_WORD)
        for word in argv[: MAX_WORDS if len(argv) <= MAX_WORDS else MAX_WORDS - 1]
    ]  # fmt: skip
    if len(argv) > MAX_WORDS:
        kept.append(b"... (%d more arguments)" % (len(argv) - MAX_WORDS + 1))
    return kept


@dataclass(frozen=True, slots=True)
class Slow:
    """One request that took long."""

    number: int
    when: int  # seconds of the wall clock
    micros: int
    argv: list[bytes]
    peer: str
    name: bytes


class SlowLog:
    """The last ``length`` requests that took at least ``threshold`` seconds (None: no matter)."""

    def __init__(self) -> None:
        self.threshold: float | None = 0.01
        self._next = 0
        self._entries: deque[Slow] = deque(maxlen=128)

    def add(self, argv: Sequence[bytes], seconds: float, when: int, peer: str, name: bytes) -> None:
        """Keep a request, if it took long enough."""
        if self.threshold is None or seconds < self.threshold:
            return
        micros = int(seconds * 1_000_000)
        self._entries.appendleft(Slow(self._next, when, micros, shortened(argv), peer, name))
        self._next += 1

    def resize(self, length: int) -> None:
        """Keep so many from now on; the newest of what there is stays."""
        self._entries = deque(islice(self._entries, length), maxlen=length)

    def last(self, count: int | None = None) -> list[Slow]:
        """The newest entries first; None: all of them."""
        return list(islice(self._entries, count))

    def clear(self) -> None:
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)


class Latency:
    """Moments that took at least ``threshold`` milliseconds (0: none are kept), by their kind."""

    def __init__(self) -> None:
        self.threshold = 0
        self._samples: dict[str, deque[tuple[int, int]]] = {}
        self._worst: dict[str, int] = {}

    def add(self, event: str, seconds: float, when: int) -> None:
        """Keep a moment, if it was long enough; of one second, the worst."""
        ms = int(seconds * 1000)
        if not self.threshold or ms < self.threshold:
            return
        samples = self._samples.setdefault(event, deque(maxlen=MAX_SAMPLES))
        if samples and samples[-1][0] == when:
            ms = max(ms, samples.pop()[1])
        samples.append((when, ms))
        self._worst[event] = max(ms, self._worst.get(event, 0))

    def history(self, event: str) -> list[tuple[int, int]]:
        """Seconds of the wall clock and milliseconds of the kept moments, the oldest first."""
        return list(self._samples.get(event, ()))

    def latest(self) -> list[tuple[str, int, int, int]]:
        """Of each kind: its name, the time and the milliseconds of the last, and the worst."""
        return [
            (event, *samples[-1], self._worst[event]) for event, samples in self._samples.items()
        ]

    def clear(self, events: Sequence[str] = ()) -> int:
        """Forget these kinds, or all; gives how many there were."""
        gone = [event for event in events or tuple(self._samples) if event in self._samples]
        for event in gone:
            del self._samples[event], self._worst[event]
        return len(gone)


class Watch:
    """Tells both of what took long; ``wall_ms()`` is the time of day."""

    def __init__(
        self, slowlog: SlowLog, latency: Latency, clients: Clients, wall_ms: Callable[[], int]
    ) -> None:
        self.slowlog = slowlog
        self.latency = latency
        self._clients = clients
        self._wall_ms = wall_ms

    @property
    def least(self) -> float:
        """Seconds from which either wants to hear of a request."""
        slow, latency = self.slowlog.threshold, self.latency.threshold
        return min(
            float("inf") if slow is None else slow, latency / 1000 if latency else float("inf")
        )

    def saw(
        self, session: Session, command: Command, argv: Sequence[bytes], seconds: float
    ) -> None:
        """A request is done, and took so long."""
        when = self._wall_ms() // 1000
        client = self._clients.get(session.number)
        peer = client.peer if client else ""
        if command.name != "exec":  # what took long in it is there itself
            self.slowlog.add(without_secrets(command, argv), seconds, when, peer, session.name)
        event = "fast-command" if command.flags & Flag.FAST else "command"
        self.latency.add(event, seconds, when)
