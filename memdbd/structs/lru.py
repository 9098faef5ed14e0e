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
    """Up to ``capacity`` entries (None: any number); a put beyond drops the least recently used.

    ``evictions`` counts what was dropped for that reason.
    """

    __slots__ = ("_entries", "capacity", "evictions")

    def __init__(self, capacity: int | None = None) -> None:
        self.capacity = capacity
        self.evictions = 0
        self._entries: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """The value of ``key``, which is now the last used; None where there is none."""
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        """Set the value of ``key`` (not None), which is now the last used."""
        entries = self._entries
        entries[key] = value
        entries.move_to_end(key)
        if self.capacity is not None and len(entries) > self.capacity:
            entries.popitem(last=False)
            self.evictions += 1

    def pop(self, key: K) -> V | None:
        """Forget ``key``; gives the value that it had."""
        return self._entries.pop(key, None)

    def clear(self) -> None:
        """Forget all; the count of evictions stays."""
        self._entries.clear()

    def __iter__(self) -> Iterator[K]:
        """The keys, the one used longest ago first."""
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries
