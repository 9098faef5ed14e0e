"""Containers that nobody needs any more, freed a slice at a time.

To drop the last reference to a million objects holds the loop for 30 to 150 ms; here they wait, and
``dig`` frees so many of them at once. Strategy: a container is emptied from its end by whatever its
class has for that, and only the empty one is dropped. What a container of containers holds counts
too: a thousand small lists are many items. Imports nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# Smaller ones are freed where they fall: at 30 to 150 ns an item that takes less than 0.1 ms.
BURIED_FROM = 512  # items

_PLAIN = (bytes, int, float, tuple)  # items that are no containers of their own


class Graveyard:
    """Takes containers with ``bury``, and frees them with ``dig``.

    One that holds more than its items has a method ``release(count)``, which frees up to so many
    of everything, and says whether there is more; any other has ``popitem`` or ``pop``.
    """

    __slots__ = ("_dead", "waiting")

    def __init__(self) -> None:
        self._dead: list[Any] = []
        # Called when there is something to dig for, after there was nothing.
        self.waiting: Callable[[], object] = lambda: None

    def __len__(self) -> int:
        """How many containers wait to be freed."""
        return len(self._dead)

    def bury(self, container: Any) -> None:
        """Free it later, or now if it is small. It must be nobody else's.

        A plain dict is never small: it may be that of a database, with huge values in it.
        """
        if len(container) < BURIED_FROM and container.__class__ is not dict:
            return
        self._dead.append(container)
        if len(self._dead) == 1:
            self.waiting()

    def dig(self, count: int) -> bool:
        """Free about ``count`` items; False where there is nothing more to free."""
        while self._dead and count > 0:
            container = self._dead.pop()
            if hasattr(container, "release"):
                count -= self._release(container, count)
            else:
                count -= self._empty(container, count)
        return bool(self._dead)

    def _release(self, container: Any, count: int) -> int:
        """Free up to ``count`` items of it; gives how many, or a little more."""
        size = len(container)
        if container.release(count):
            self._dead.append(container)
            return count
        return max(size, 1)

    def _empty(self, container: Any, count: int) -> int:
        """The same by taking out one after another."""
        take = _popped_value if isinstance(container, dict) else _popped
        freed = 0
        while container and freed < count:
            freed += 1 + self._drop(take(container))
        if container:
            self._dead.append(container)  # above what was found in it: it is at hand
        return freed

    def _drop(self, item: Any) -> int:
        """Let go of what was taken out, or keep it for later; gives how many items are freed."""
        if isinstance(item, _PLAIN):
            return 0
        size = len(item)
        if size < BURIED_FROM:
            return size
        self._dead.append(item)
        return 0


def _popped(container: Any) -> Any:
    return container.pop()


def _popped_value(container: dict[Any, Any]) -> Any:
    return container.popitem()[1]
