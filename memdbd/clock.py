"""Time that never steps.

Deadlines are wall-clock times in files, but a wall clock may be set back or forward while the
daemon runs. A :class:`Clock` reads the wall once, when it is made, and moves on by a clock that
only goes forward, so no step revives a key or kills it. What leaves the process (a file, a
timestamp) is shifted by :meth:`Clock.drift_ms`. Imports nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable


def _boot_time() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


# Seconds that only go forward; where the system can tell, the machine's sleep counts too.
steady = _boot_time if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic


class Clock:
    """The wall's time at its making, moved on by ``steady``; both give seconds."""

    __slots__ = ("_offset", "_steady", "_wall")

    def __init__(
        self, steady: Callable[[], float] = steady, wall: Callable[[], float] = time.time
    ) -> None:
        self._steady = steady
        self._wall = wall
        self._offset = wall() - steady()

    def seconds(self) -> float:
        """Seconds since the epoch as the wall told them at the start, never stepping."""
        return self._steady() + self._offset

    def ms(self) -> int:
        """:meth:`seconds` in whole milliseconds: what deadlines are compared with."""
        return int((self._steady() + self._offset) * 1000)

    def wall_us(self) -> int:
        """The wall's own microseconds since the epoch, steps and all."""
        return int(self._wall() * 1_000_000)

    def wall_ms(self) -> int:
        """The same in milliseconds."""
        return int(self._wall() * 1000)

    def drift_ms(self) -> int:
        """What to add to a time of this clock to have it as the wall tells it now.

        0 where that is less than a second: such a wall clock is kept in time and was not set, and
        no deadline is to come back from a file a millisecond off.
        """
        drift = self.wall_ms() - self.ms()
        return drift if abs(drift) >= 1000 else 0
