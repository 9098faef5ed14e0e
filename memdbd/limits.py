"""What a client may do and have, and what is noted when one meets a limit.

Strategy: one object holds all limits, and whoever keeps one reads it there each time, so that a
reload is an assignment. Each time that a limit is met it is counted under its own name, which is
its setting's; the log hears of it once a minute and limit, with how often it was since.

Imports nothing of memdbd.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

KIB = 1024
MIB = 1024 * KIB


@dataclass(slots=True)
class Limits:
    """All limits, by the names of their settings: sizes in bytes, durations in seconds. Where it is
    said so, 0 is none."""

    # How many there may be, and for how long.
    max_clients: int = 10_000
    max_unauthenticated: int = 256  # clients that have not logged in
    login_timeout: float = 5.0  # to log in; and before that, to finish a TLS handshake
    login_attempts: int = 3  # that fail, and the connection ends
    idle_timeout: float = 0.0  # without a request, of those who do not subscribe; 0: none
    tcp_keepalive: int = 60  # until a silent peer is asked whether it is there; 0: never

    # What they may send.
    max_value: int = 64 * MIB
    max_request: int = 128 * MIB
    max_line: int = 64 * KIB  # of words, in the text dialect
    max_json_line: int = MIB
    max_pattern: int = KIB
    unauthenticated_arguments: int = 10
    unauthenticated_argument: int = 16 * KIB
    unauthenticated_buffer: int = 64 * KIB  # of a request that is not complete; half with TLS
    unauthenticated_requests: int = 64  # after which a client that has not logged in is cut

    # What may wait for them.
    pause_output: int = 64 * KIB  # from here on, nothing more is read from the client
    output_limit: int = 64 * MIB  # from here on, it is cut
    subscriber_buffer: int = 32 * MIB  # the same for messages
    subscriber_soft: int = 8 * MIB  # the same, if it is for as long as
    subscriber_seconds: float = 60.0

    def follow(self, other: Limits) -> None:
        """Be as ``other`` from now on."""
        for field in fields(self):
            setattr(self, field.name, getattr(other, field.name))


class Alarms:
    """Counts how often each limit was met, and tells of it.

    ``seconds()`` is the time; ``tell(sentence)`` writes to the log. ``counts`` has the names.
    """

    EVERY = 60.0  # seconds between two lines about the same limit

    # Names under which something else than a limit is counted.
    OTHERS = ("http", "handshake", "login_queue")

    def __init__(self, seconds: Callable[[], float], tell: Callable[[str], object]) -> None:
        self.counts: dict[str, int] = {}
        self._seconds = seconds
        self._tell = tell
        self._told: dict[str, tuple[float, int]] = {}  # when, and the count by then

    def count(self, name: str) -> int:
        """The limit ``name`` was met, as it may be any time, and the log need not hear of it; gives
        how often it was by now."""
        count = self.counts[name] = self.counts.get(name, 0) + 1
        return count

    def fire(self, name: str, sentence: str) -> None:
        """The limit ``name`` was met. ``sentence`` says by whom, and what follows; whatever a peer
        has sent is in it as its repr."""
        count = self.count(name)
        when, before = self._told.get(name, (None, 0))
        now = self._seconds()
        if when is not None and now < when + self.EVERY:
            return
        self._told[name] = now, count
        more = count - before - 1
        self._tell(f"{sentence} ({more} more of these since the last line)" if more else sentence)

    def figures(self) -> dict[str, int]:
        """How often each limit was met, those too that never were."""
        names = [*(field.name for field in fields(Limits)), *self.OTHERS]
        return dict.fromkeys(names, 0) | self.counts
