"""What only one can do at a time, and how others wait until it is done. Imports Twisted only."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred


class Busy:
    """True from ``begin`` to ``end``."""

    def __init__(self) -> None:
        self._waiting: list[Deferred[None]] | None = None

    def __bool__(self) -> bool:
        return self._waiting is not None

    def begin(self) -> None:
        self._waiting = []

    def end(self) -> Callable[[], None]:
        """It is done. Gives what lets those go on who wait, when what follows from it is done too;
        that may have begun it again."""
        waiting, self._waiting = self._waiting or [], None

        def go_on() -> None:
            for each in waiting:
                each.callback(None)

        return go_on

    async def idle(self) -> None:
        """Wait until it is done, and nobody has begun it again."""
        while self._waiting is not None:
            turn: Deferred[None] = Deferred()
            self._waiting.append(turn)
            await turn
