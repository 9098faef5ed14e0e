"""A keyspace with bounds: how many keys, how much memory, and who has to go.

A :class:`BoundedKeyspace` takes the place of a :class:`~memdbd.keyspace.Keyspace` where a bound is
set, so that without one nothing is paid. Before a command that may grow runs, ``make_room`` evicts
by the policy, exactly in its order, or refuses the command.

How memory is counted: for each key the sizes of the key and value objects, plus what the
containers hold for it, as measured; ``docs/operations.md`` says how far that is from the growth of
the process.

May import: errors, keyspace, structs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from sys import getsizeof
from typing import Literal, get_args

from memdbd.errors import OutOfMemory
from memdbd.keyspace import Bury, Changed, Keyspace, Value, let_go
from memdbd.structs.lru import LRU

Policy = Literal["noeviction", "allkeys-lru", "volatile-lru", "volatile-ttl"]
POLICIES: tuple[Policy, ...] = get_args(Policy)

# Bytes beside the objects of key and value: what a key costs in the dicts of a bounded keyspace,
# its place in the order of use, and a deadline. Fitted to the growth of the process over 1M keys
# of many shapes (benchmarks/memory.py): within 2 % of it under allkeys-lru; under the others up to
# 20 % too much for the smallest keys, and when a dict has just doubled up to 17 % too little.
KEY_OVERHEAD = 140
USE_OVERHEAD = 108
DEADLINE_OVERHEAD = 160

# What is past its deadline goes before anything that lives: so many keys between two looks at
# whether that was enough.
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

    __slots__ = (
        "_bounds",
        "_sizes",
        "_sizes_of",
        "_used_last",
        "deadline_overhead",
        "evicted",
        "key_overhead",
        "memory",
    )

    def __init__(
        self,
        clock: Callable[[], int],
        changed: Changed,
        bounds: Bounds,
        sizes: Sizes,
        bury: Bury = let_go,
        index: int = 0,
    ) -> None:
        super().__init__(clock, changed, bury, index)
        self._bounds = bounds
        self._sizes_of = sizes
        self._sizes: dict[bytes, int] = {}
        # The order of eviction of the two LRU policies: of all keys, or of those with a deadline.
        self._used_last: LRU[bytes, bool] = LRU()
        self.key_overhead = KEY_OVERHEAD + USE_OVERHEAD * (bounds.policy == "allkeys-lru")
        self.deadline_overhead = DEADLINE_OVERHEAD + USE_OVERHEAD * (
            bounds.policy == "volatile-lru"
        )
        self.memory = 0  # bytes, as counted
        self.evicted = 0

    def make_room(self, keys: Sequence[bytes], size: int, *, replaces: bool = False) -> None:
        """Make room for a command over ``keys`` by evicting others.

        ``size``: bytes of the objects that it brings beside its keys. ``replaces``: what its keys
        hold now will be gone. Raises OutOfMemory, with nothing evicted, where that would not be
        enough; the command must not be run then.
        """
        spared = dict.fromkeys(keys)
        while True:
            over_keys, over_bytes = self._excess_of(spared, size, replaces)
            if over_keys <= 0 and over_bytes <= 0:
                return
            if not self.sweep(SWEPT_FIRST):
                break
        victims, enough = self._victims(spared, over_keys, over_bytes)
        if not enough:
            bounds = self._bounds
            reached = (
                f"max_keys ({bounds.max_keys})"
                if over_keys > 0
                else f"max_memory ({bounds.max_memory} bytes)"
            )
            raise OutOfMemory(
                f"command not allowed: {reached} is reached and eviction "
                f"'{bounds.policy}' finds too little to evict"
            )
        self._evict(victims)

    def fit(self) -> None:
        """Evict as far as needed and possible to be within the bounds."""
        if max(self._excess(0, 0)) > 0:
            self.sweep(SWEPT_FIRST)
            self._evict(self._victims({}, *self._excess(0, 0))[0])

    def _excess_of(self, keys: Mapping[bytes, None], size: int, replaces: bool) -> tuple[int, int]:
        """By how many keys and bytes a command would pass the bounds: see make_room."""
        new = [key for key in keys if key not in self.values]
        size += sum(map(self._own_size, new))
        if replaces:
            size -= sum(
                self._sizes[key] - self._own_size(key) for key in keys if key in self._sizes
            )
        over_keys, over_bytes = self._excess(len(new), size)
        # What adds nothing is never too much, whatever was there before.
        return over_keys if new else 0, over_bytes if size > 0 else 0

    def _excess(self, keys: int, size: int) -> tuple[int, int]:
        """By how many keys and bytes the bounds would be passed with so many more."""
        bounds = self._bounds
        return (
            len(self.values) + keys - bounds.max_keys if bounds.max_keys else 0,
            self.memory + size - bounds.max_memory if bounds.max_memory else 0,
        )

    def _victims(
        self, spared: Mapping[bytes, None], keys: int, size: int
    ) -> tuple[list[bytes], bool]:
        """Those who have to go by the policy to be rid of so many keys and bytes, in their order;
        and whether that is enough."""
        victims: list[bytes] = []
        for key in self._order():
            if keys <= 0 and size <= 0:
                break
            if key not in spared:
                victims.append(key)
                keys -= 1
                size -= self._sizes[key] + self.deadline_overhead * (key in self.deadlines)
        return victims, keys <= 0 and size <= 0

    def _order(self) -> Iterable[bytes]:
        """The keys that may be evicted, who goes first first."""
        if self._bounds.policy == "noeviction":
            return ()
        if self._bounds.policy == "volatile-ttl":
            return (key for _, key in self._due)
        return self._used_last

    def _evict(self, victims: Iterable[bytes]) -> None:
        for key in victims:
            self._remove(key)
            self.evicted += 1
            self.changed("evict", key)

    # Each way in and out, with the book-keeping

    def get(self, key: bytes) -> Value | None:
        value = self.peek(key)
        if value is not None:
            self._used_last.get(key)
        return value

    def set(
        self, key: bytes, value: Value, deadline: int | None = None, operation: str = "set"
    ) -> None:
        # Behind it: what was there may just expire, and takes its own count with it.
        super().set(key, value, deadline, operation)
        self._count(key, value)

    def update(self, key: bytes, value: Value, operation: str) -> None:
        super().update(key, value, operation)
        self._count(key, value)

    def clear(self, operation: str = "flushall") -> None:
        self.bury(self._sizes)
        self.bury(self._used_last)
        self._sizes = {}
        self._used_last = LRU()
        self.memory = 0
        super().clear(operation)

    _swapped = (*Keyspace._swapped, "_sizes", "_used_last", "memory")

    def load(self, values: dict[bytes, Value], deadlines: Mapping[bytes, int]) -> None:
        super().load(values, deadlines)
        for key, value in values.items():
            self._count(key, value)
        self.memory += self.deadline_overhead * len(deadlines)
        if self._bounds.policy == "volatile-lru":
            for key in deadlines:
                self._used_last.put(key, True)
        # Now, when nobody waits, and not all of it before the next command.
        self.fit()

    def _own_size(self, key: bytes) -> int:
        """Bytes that a key costs whatever its value."""
        return self.key_overhead + getsizeof(key)

    def _count(self, key: bytes, value: Value) -> None:
        size = self._own_size(key) + self._sizes_of[type(value)](value)
        self.memory += size - self._sizes.get(key, 0)
        self._sizes[key] = size
        if self._bounds.policy == "allkeys-lru":
            self._used_last.put(key, True)
        else:
            self._used_last.get(key)

    def _take(self, key: bytes) -> tuple[Value, int | None]:
        self.memory -= self._sizes.pop(key)
        self._used_last.pop(key)
        return super()._take(key)

    def _set_deadline(self, key: bytes, deadline: int | None) -> None:
        had = key in self.deadlines
        super()._set_deadline(key, deadline)
        self.memory += self.deadline_overhead * ((deadline is not None) - had)
        if self._bounds.policy == "volatile-lru":
            if deadline is None:
                self._used_last.pop(key)
            else:
                self._used_last.put(key, True)
