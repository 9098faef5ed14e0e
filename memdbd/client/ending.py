"""How a tool ends at a signal while no reactor runs, or while the reactor waits for what blocks.

Strategy: SystemExit is raised where the program is, so that whatever cleans up does. In the middle
of a reactor's own work that must not be, and it has handlers of its own, which it hears of in its
next turn. Only a write that may block is ended by a signal: there might be no next turn.

May import: exits.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from memdbd.client import exits

_SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)  # Windows has no SIGHUP
]


def end_on_signals() -> None:
    """Have those signals raise SystemExit that would otherwise kill."""
    for number in _SIGNALS:
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _raise)


class Signals:
    """Hears of each signal before whoever has handled it so far. ``release`` gives them back."""

    def __init__(self) -> None:
        self._is_waiting = False
        self._received = 0
        self._handlers: dict[int, Callable[[int, FrameType | None], object]] = {}
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):
                self._handlers[number] = handler
                signal.signal(number, self._heard)

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Have signals raise SystemExit in here, and one that came before it too: whoever handles
        them has had no turn since."""
        self._is_waiting = True
        try:
            if self._received:
                _raise(self._received, None)
            yield
        finally:
            self._is_waiting = False

    def release(self) -> None:
        """Hear no more of them. May be called more than once."""
        while self._handlers:
            signal.signal(*self._handlers.popitem())

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self._received = number
        if self._is_waiting:
            _raise(number, frame)
        self._handlers[number](number, frame)


def _raise(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(exits.SIGNAL + number)
