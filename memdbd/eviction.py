"""A keyspace with bounds: how many keys, how much memory, and who has to go.

A :class:`BoundedKeyspace` takes the place of a :class:`~memdbd.keyspace.Keyspace` where a bound is
set, so that without one nothing is paid. Before a command that may grow runs, ``make_room`` evicts
by the policy, exactly in its order, or refuses the command.

How memory is counted: for each key the sizes of the key and value objects, plus what the
containers hold for it (``KEY_OVERHEAD``, and ``DEADLINE_OVERHEAD`` where it has a deadline), as
measured; ``docs/operations.md`` says how far that is from the process's growth.

May import: errors, keyspace, structs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from sys import getsizeof
from typing import Literal, get_args

from memdbd.errors import OutOfMemory
from memdbd.keyspace import Changed, Keyspace, Value
from memdbd.structs.lru import LRU

Policy = Literal["noeviction", "allkeys-lru", "volatile-lru", "volatile-ttl"]
POLICIES: tuple[Policy, ...] = get_args(Policy)

# Bytes a key costs beside its own object and its value's: its place in the three dicts of a
# bounded keyspace and in the order of use. A deadline: a tuple, an int, two places. Measured
# over 1M keys against the process's resident size (benchmarks/memory.py).
KEY_OVERHEAD = 400
DEADLINE_OVERHEAD = 250

# Up to so many keys past their deadline go before anything that lives is evicted.
SWEPT_FIRST = 1000

Sizes = Mapping[type, Callable[[Value], int]]  # of a value, by its class


@dataclass(frozen=True, slots=True)
class Bounds:
    """At most so many keys and bytes (0: any), and what gives way when one is reached."""

    max_keys: int = 0
    max_memory: int = 0
    policy: Policy = "noeviction"

    def __bool__(self) -> bool:
        return bool(self.max_keys or self.max_memory)


class BoundedKeyspace(Keyspace):
    """A keyspace that keeps within ``bounds``; ``sizes`` gives the size of a value by its class."""

    __slots__ = ("_bounds", "_sizes", "_sizes_of", "_used_last", "evicted", "memory")

    def __init__(
        self, clock: Callable[[], int], changed: Changed, bounds: Bounds, sizes: Sizes
    ) -> None:
        super().__init__(clock, changed)
        self._bounds = bounds
        self._sizes_of = sizes
        self._sizes: dict[bytes, int] = {}
        # The order of eviction of the two LRU policies: of all keys, or of those with a deadline.
        self._used_last: LRU[bytes, bool] = LRU()
        self.memory = 0  # bytes, as counted
        self.evicted = 0

    def fit(self) -> None:
        """Evict as far as needed and possible to be within the bounds."""
        bounds = self._bounds
        while (bounds.max_keys and len(self.values) > bounds.max_keys) or (
            bounds.max_memory and self.memory > bounds.max_memory
        ):
            if self.sweep(SWEPT_FIRST):
                continue
            victim = self._victim(())
            if victim is None:
                return
            self._evict(victim)

    def make_room(self, keys: Sequence[bytes], size: int) -> None:
        """Make room for a command over ``keys`` that brings ``size`` bytes, by evicting others.

        Raises OutOfMemory where nothing (more) may go; the command must not be run then.
        """
        new = sum(key not in self.values for key in dict.fromkeys(keys))
        size += new * KEY_OVERHEAD
        if self._fits(new, size):
            return
        self.sweep(SWEPT_FIRST)
        while not self._fits(new, size):
            if self._bounds.max_memory and size > self._bounds.max_memory:
                raise OutOfMemory(
                    f"command not allowed: it needs {size} bytes, more than max_memory "
                    f"({self._bounds.max_memory} bytes)"
                )
            victim = self._victim(keys)
            if victim is None:
                raise OutOfMemory(
                    f"command not allowed: {self._reached(new)} is reached and eviction "
                    f"'{self._bounds.policy}' finds no key to evict"
                )
            self._evict(victim)

    def _evict(self, victim: bytes) -> None:
        self._remove(victim)
        self.evicted += 1
        self.changed("evict", victim)

    def _fits(self, new: int, size: int) -> bool:
        return not self._over_keys(new) and (
            not self._bounds.max_memory or self.memory + size <= self._bounds.max_memory
        )

    def _over_keys(self, new: int) -> bool:
        limit = self._bounds.max_keys
        return bool(limit and new and len(self.values) + new > limit)

    def _reached(self, new: int) -> str:
        if self._over_keys(new):
            return f"max_keys ({self._bounds.max_keys})"
        return f"max_memory ({self._bounds.max_memory} bytes)"

    def _victim(self, spared: Sequence[bytes]) -> bytes | None:
        """The key that has to go first by the policy, those of the command itself spared."""
        if self._bounds.policy == "noeviction":
            return None
        if self._bounds.policy == "volatile-ttl":
            order: Iterable[bytes] = (key for _, key in self._due)
        else:
            order = self._used_last
        return next((key for key in order if key not in spared), None)

    # Each way in and out, with the book-keeping

    def get(self, key: bytes) -> Value | None:
        value = self.peek(key)
        if value is not None:
            self._used_last.get(key)
        return value

    def set(
        self, key: bytes, value: Value, deadline: int | None = None, operation: str = "set"
    ) -> None:
        self._count(key, value)
        super().set(key, value, deadline, operation)

    def update(self, key: bytes, value: Value, operation: str) -> None:
        self._count(key, value)
        super().update(key, value, operation)

    def clear(self) -> None:
        self._sizes.clear()
        self._used_last.clear()
        self.memory = 0
        super().clear()

    def load(self, values: dict[bytes, Value], deadlines: Mapping[bytes, int]) -> None:
        super().load(values, deadlines)
        for key, value in values.items():
            self._count(key, value)
        self.memory += DEADLINE_OVERHEAD * len(deadlines)
        if self._bounds.policy == "volatile-lru":
            for key in deadlines:
                self._used_last.put(key, True)
        # Now, when nobody waits, and not all of it before the next command.
        self.fit()

    def _count(self, key: bytes, value: Value) -> None:
        size = KEY_OVERHEAD + getsizeof(key) + self._sizes_of[type(value)](value)
        self.memory += size - self._sizes.get(key, 0)
        self._sizes[key] = size
        if self._bounds.policy == "allkeys-lru":
            self._used_last.put(key, True)
        else:
            self._used_last.get(key)

    def _remove(self, key: bytes) -> None:
        self.memory -= self._sizes.pop(key)
        self._used_last.pop(key)
        super()._remove(key)

    def _set_deadline(self, key: bytes, deadline: int | None) -> None:
        had = key in self.deadlines
        super()._set_deadline(key, deadline)
        self.memory += DEADLINE_OVERHEAD * ((deadline is not None) - had)
        if self._bounds.policy == "volatile-lru":
            if deadline is None:
                self._used_last.pop(key)
            else:
                self._used_last.put(key, True)
