"""A mapping that knows which of its keys was used longest ago.

It serves twice: as the order of eviction of a bounded keyspace, and as the read cache of ready
replies. An OrderedDict keeps the order: its end is the key used last. Imports nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class LRU(Generic[K, V]):
    """Up to ``capacity`` entries that weigh up to ``most`` together (None: any number, any weight).

    A put beyond drops the least recently used. ``evictions`` counts what was dropped for that
    reason, ``weight`` is that of all entries.
    """

    __slots__ = ("_entries", "_weights", "capacity", "evictions", "most", "weight")

    def __init__(self, capacity: int | None = None, most: int | None = None) -> None:
        self.capacity = capacity
        self.most = most
        self.evictions = 0
        self.weight = 0
        self._entries: OrderedDict[K, V] = OrderedDict()
        self._weights: dict[K, int] = {}  # of those that weigh anything

    def get(self, key: K) -> V | None:
        """The value of ``key``, which is now the last used; None where there is none."""
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: K, value: V, weight: int = 0) -> None:
        """Set the value of ``key`` (not None), which is now the last used.

        One that weighs more than all may is not kept.
        """
        entries = self._entries
        if self.most is not None:
            self.pop(key)
            if weight > self.most:
                return
            self._weights[key] = weight
            self.weight += weight
        entries[key] = value
        entries.move_to_end(key)
        self._fit()

    def resize(self, capacity: int) -> None:
        """Have room for so many entries from now on."""
        self.capacity = capacity
        self._fit()

    def _fit(self) -> None:
        while self._is_over():
            self.pop(next(iter(self._entries)))
            self.evictions += 1

    def pop(self, key: K) -> V | None:
        """Forget ``key``; gives the value that it had."""
        self.weight -= self._weights.pop(key, 0)
        return self._entries.pop(key, None)

    def release(self, count: int) -> bool:
        """Forget up to ``count`` entries; True while there are more.

        For one that nobody uses any more: a huge one is freed in slices, without a long pause.
        """
        for _ in range(min(count, len(self._entries))):
            key, _ = self._entries.popitem()
            self.weight -= self._weights.pop(key, 0)
        return bool(self._entries)

    def _is_over(self) -> bool:
        return (self.capacity is not None and len(self._entries) > self.capacity) or (
            self.most is not None and self.weight > self.most
        )

    def __iter__(self) -> Iterator[K]:
        """The keys, the one used longest ago first."""
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries
