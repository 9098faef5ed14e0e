"""Bounds: how many keys, how much memory, and who has to go.

The bounds are those of all databases together: an :class:`Eviction` keeps them. While there are
any, :class:`BoundedKeyspace` takes the place of :class:`~memdbd.keyspace.Keyspace`, so that without
one nothing is paid. Before a command that may grow runs, ``make_room`` evicts by the policy,
exactly in its order: first in the command's own database, then in those behind it, and around to
the one before it. Or it refuses the command.

How memory is counted: for each key the sizes of the key and value objects, plus what the
containers hold for it, as measured; ``docs/operations.md`` says how far that is from the growth of
the process.

May import: effects, errors, keyspace, structs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from sys import getsizeof
from typing import Literal, get_args

from memdbd.effects import Effect
from memdbd.errors import OutOfMemory
from memdbd.keyspace import Bury, Changed, Keyspace, Payload, Value, let_go
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
    """A keyspace that counts its memory and knows who has to go first by ``policy``; ``sizes``
    gives the size of a value by its class."""

    __slots__ = (
        "_policy",
        "_sizes",
        "_sizes_of",
        "_used_last",
        "deadline_overhead",
        "key_overhead",
        "memory",
    )

    def __init__(
        self,
        clock: Callable[[], int],
        changed: Changed,
        payload: Payload,
        policy: Policy,
        sizes: Sizes,
        bury: Bury = let_go,
        index: int = 0,
    ) -> None:
        super().__init__(clock, changed, payload, bury, index)
        self._policy = policy
        self._sizes_of = sizes
        self._sizes: dict[bytes, int] = {}
        # The order of eviction of the two LRU policies: of all keys, or of those with a deadline.
        self._used_last: LRU[bytes, bool] = LRU()
        self.key_overhead = KEY_OVERHEAD + USE_OVERHEAD * (policy == "allkeys-lru")
        self.deadline_overhead = DEADLINE_OVERHEAD + USE_OVERHEAD * (policy == "volatile-lru")
        self.memory = 0  # bytes, as counted

    def growth(self, keys: Iterable[bytes], size: int, *, replaces: bool) -> tuple[int, int]:
        """How many keys and bytes a command over ``keys`` adds: see :meth:`Eviction.make_room`."""
        new = [key for key in keys if key not in self.values]
        size += sum(map(self._own_size, new))
        if replaces:
            size -= sum(
                self._sizes[key] - self._own_size(key) for key in keys if key in self._sizes
            )
        return len(new), size

    def candidates(self) -> Iterable[bytes]:
        """The keys that may be evicted, who goes first first."""
        if self._policy == "noeviction":
            return ()
        if self._policy == "volatile-ttl":
            return (key for _, key in self._due)
        return self._used_last

    def freed_by(self, key: bytes) -> int:
        """Bytes that are freed where ``key`` is evicted."""
        return self._sizes[key] + self.deadline_overhead * (key in self.deadlines)

    # Each way in and out, with the book-keeping

    def get(self, key: bytes) -> Value | None:
        value = super().get(key)
        if value is not None:
            self._used_last.get(key)
        return value

    def use(self, key: bytes) -> Value | None:
        value = super().use(key)
        if value is not None:
            self._used_last.get(key)
        return value

    def set(
        self,
        key: bytes,
        value: Value,
        deadline: int | None = None,
        operation: str = "set",
        effect: Effect | None = None,
    ) -> None:
        # Behind it: what was there may just expire, and takes its own count with it.
        super().set(key, value, deadline, operation, effect)
        self._count(key, value)

    def update(
        self, key: bytes, value: Value, operation: str, effect: Effect | None = None
    ) -> None:
        super().update(key, value, operation, effect)
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
        self._count_all()

    def take_over(self, other: Keyspace) -> None:
        super().take_over(other)
        self._count_all()

    def _count_all(self) -> None:
        """Begin the books: who is first in the keyspace counts as the one that was not used for
        longest."""
        for key, value in self.values.items():
            self._count(key, value)
        self.memory += self.deadline_overhead * len(self.deadlines)
        if self._policy == "volatile-lru":
            for key in self.deadlines:
                self._used_last.put(key, True)

    def _own_size(self, key: bytes) -> int:
        """Bytes that a key costs whatever its value."""
        return self.key_overhead + getsizeof(key)

    def _count(self, key: bytes, value: Value) -> None:
        size = self._own_size(key) + self._sizes_of[type(value)](value)
        self.memory += size - self._sizes.get(key, 0)
        self._sizes[key] = size
        if self._policy == "allkeys-lru":
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
        if self._policy == "volatile-lru":
            if deadline is None:
                self._used_last.pop(key)
            else:
                self._used_last.put(key, True)


class Eviction:
    """Keeps ``keyspaces``, by their numbers, within ``bounds`` together."""

    def __init__(self, keyspaces: Sequence[BoundedKeyspace], bounds: Bounds) -> None:
        self._keyspaces = keyspaces
        self._bounds = bounds

    @property
    def memory(self) -> int:
        """Bytes, as counted."""
        return sum([each.memory for each in self._keyspaces])

    def make_room(
        self, database: int, keys: Sequence[bytes], size: int, *, replaces: bool = False
    ) -> None:
        """Make room for a command over ``keys`` of a database by evicting others.

        ``size``: bytes of the objects that it brings beside its keys. ``replaces``: what its keys
        hold now will be gone. Raises OutOfMemory, with nothing evicted, where that would not be
        enough; the command must not be run then.
        """
        home = self._keyspaces[database]
        spared = dict.fromkeys(keys)
        while True:
            new, more = home.growth(spared, size, replaces=replaces)
            over_keys, over_bytes = self._excess(new, more)
            # What adds nothing is never too much, whatever was there before.
            over_keys, over_bytes = over_keys if new else 0, over_bytes if more > 0 else 0
            if over_keys <= 0 and over_bytes <= 0:
                return
            if not self._sweep():
                break
        victims, enough = self._victims(database, spared, over_keys, over_bytes)
        if not enough:
            raise self._refusal(over_keys > 0)
        _evict(victims)

    def fit(self, database: int = 0) -> None:
        """Evict as far as needed and possible to be within the bounds, of this database first."""
        if max(self._excess(0, 0)) > 0:
            self._sweep()
            _evict(self._victims(database, {}, *self._excess(0, 0))[0])

    def _excess(self, keys: int, size: int) -> tuple[int, int]:
        """By how many keys and bytes the bounds would be passed with so many more."""
        bounds = self._bounds
        if bounds.max_keys:
            keys += sum([len(each.values) for each in self._keyspaces]) - bounds.max_keys
        if bounds.max_memory:
            size += self.memory - bounds.max_memory
        return keys if bounds.max_keys else 0, size if bounds.max_memory else 0

    def _sweep(self) -> int:
        return sum([each.sweep(SWEPT_FIRST) for each in self._keyspaces])

    def _victims(
        self, database: int, spared: Mapping[bytes, None], keys: int, size: int
    ) -> tuple[list[tuple[BoundedKeyspace, bytes]], bool]:
        """Those who have to go by the policy to be rid of so many keys and bytes, in their order;
        and whether that is enough."""
        victims: list[tuple[BoundedKeyspace, bytes]] = []
        for keyspace in (*self._keyspaces[database:], *self._keyspaces[:database]):
            for key in keyspace.candidates():
                if keys <= 0 and size <= 0:
                    return victims, True
                if key not in spared or keyspace.index != database:
                    victims.append((keyspace, key))
                    keys -= 1
                    size -= keyspace.freed_by(key)
        return victims, keys <= 0 and size <= 0

    def _refusal(self, of_keys: bool) -> OutOfMemory:
        bounds = self._bounds
        why = f"eviction '{bounds.policy}' finds too little to evict"
        if of_keys:
            return OutOfMemory(
                f"command not allowed: max_keys ({bounds.max_keys}) is reached and {why}"
            )
        return OutOfMemory(
            "command not allowed when used memory > 'maxmemory'.",
            f"max_memory ({bounds.max_memory} bytes) is reached and {why}",
        )


def _evict(victims: Iterable[tuple[BoundedKeyspace, bytes]]) -> None:
    for keyspace, key in victims:
        keyspace.evict(key)
