"""The keys, their values and their deadlines: pure data, where time is an argument.

A key past its deadline is never seen, to the millisecond: each look at a key compares its deadline
with the clock, whatever the sweep has done. The sweep only takes out what nobody looks at, in
order of deadline, from a sorted list, so that it never scans.

Every change passes :attr:`Keyspace.changed` with the name of the operation, the key (None: all
keys) and its effect, after it was made. Whoever made the keyspace publishes, counts and journals it
from there; no handler does.

May import: effects, glob, structs, sortedcontainers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sortedcontainers import SortedList

from memdbd.effects import NOTHING, Effect
from memdbd.glob import matcher
from memdbd.structs.pool import Pool, Random

Value = Any  # one of the classes that a DataType names
Changed = Callable[[str, bytes | None, Effect], None]
# What a snapshot holds: by the number of a database, its values, and their deadlines in
# milliseconds of the wall clock.
Contents = Mapping[int, tuple[dict[bytes, Value], Mapping[bytes, int]]]
Bury = Callable[[Any], None]  # takes a container that is no longer needed, to free it in slices
Payload = Callable[[Value], bytes]  # gives what RESTORE makes a container of


# Operations that make a new key whatever was there: in Redis they delete that first.
ANEW = frozenset({"copy_to", "restore"})


def let_go(container: object) -> None:
    """Free it at once."""


class Keyspace:
    """Values by key, each with or without a deadline in milliseconds of ``clock``.

    ``clock()`` gives the present in milliseconds; it is only asked about keys that have a
    deadline. ``changed(operation, key, effect)`` hears of every change; ``payload(container)``
    gives a container's whole value as effects have it; ``bury(container)`` gets what may take long
    to free; ``index`` is its number among several.
    """

    __slots__ = (
        "_due",
        "_pool",
        "born",
        "bury",
        "changed",
        "clock",
        "deadlines",
        "evicted",
        "expired",
        "hits",
        "index",
        "misses",
        "payload",
        "values",
    )

    def __init__(
        self,
        clock: Callable[[], int],
        changed: Changed,
        payload: Payload,
        bury: Bury = let_go,
        index: int = 0,
    ) -> None:
        self.index = index
        self.payload = payload
        self.clock = clock
        self.changed = changed
        self.bury = bury
        # Hears of each key that was not there, before the change that it comes with, while
        # somebody wants to.
        self.born: Callable[[bytes], object] | None = None
        self.values: dict[bytes, Value] = {}
        self.deadlines: dict[bytes, int] = {}
        # The same deadlines, the next one first. A heap would be faster to fill, but cannot
        # forget: a key set again and again would leave all its old deadlines there.
        self._due = SortedList()
        self._pool: Pool[bytes] | None = None  # of the keys, once somebody scans them
        self.expired = 0
        self.hits = 0  # look-ups of keys that were there, and of others
        self.misses = 0
        self.evicted = 0

    # What is there

    def peek(self, key: bytes) -> Value | None:
        """The value of ``key``; None where there is none."""
        if key in self.deadlines and self.deadlines[key] <= self.clock():
            self._expire(key)
            return None
        return self.values.get(key)

    def has(self, key: bytes) -> bool:
        """Whether there is such a key. Changes nothing: what has expired stays for another look."""
        if key in self.deadlines and self.deadlines[key] <= self.clock():
            return False
        return key in self.values

    def look_up(self, key: bytes) -> Value | None:
        """The same as ``peek``, and counted as a hit or a miss."""
        value = self.peek(key)
        if value is None:
            self.misses += 1
        else:
            self.hits += 1
        return value

    def use(self, key: bytes) -> Value | None:
        """The same as ``peek``, but a use of the key, of which eviction takes note."""
        return self.peek(key)

    def get(self, key: bytes) -> Value | None:
        """Both: a use of the key, counted as a hit or a miss."""
        if key in self.deadlines and self.deadlines[key] <= self.clock():
            self._expire(key)
            self.misses += 1
            return None
        value = self.values.get(key)
        if value is None:
            self.misses += 1
        else:
            self.hits += 1
        return value

    def has_expired(self, keys: Iterable[bytes]) -> bool:
        """Whether one of ``keys`` is past its deadline."""
        deadlines, now = self.deadlines, self.clock()
        return any(deadlines[key] <= now for key in keys if key in deadlines)

    def ttl_ms(self, key: bytes) -> int | None:
        """Milliseconds left to a key that is there; None where it has no deadline."""
        deadline = self.deadlines.get(key)
        return None if deadline is None else deadline - self.clock()

    def keys(self, pattern: bytes = b"*") -> list[bytes]:
        """The keys that match, in the order in which they were first set."""
        if self.deadlines:
            now, deadlines, never = self.clock(), self.deadlines, float("inf")
            keys: Iterable[bytes] = [key for key in self.values if deadlines.get(key, never) > now]
        else:
            keys = self.values
        return list(keys) if pattern == b"*" else list(filter(matcher(pattern), keys))

    def scan(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """The next cursor, 0 at the end, and about ``count`` keys behind ``cursor``.

        From cursor 0 to cursor 0, each key that is there all the while is returned.
        """
        cursor, page = self._scanned().page(cursor, count)
        return cursor, [key for key in page if self.peek(key) is not None]

    def random_key(self, random: Random) -> bytes | None:
        """Any of the keys, each as likely; None where there is none."""
        pool = self._scanned()
        while self.values:
            key = pool.choice(random)
            if self.peek(key) is not None:
                return key
        return None

    def _scanned(self) -> Pool[bytes]:
        if self._pool is None:
            self._pool = Pool(self.values)
        return self._pool

    def __len__(self) -> int:
        if not self.deadlines:
            return len(self.values)
        due: int = self._due.bisect_left((self.clock() + 1,))
        return len(self.values) - due

    # Changes

    def set(
        self,
        key: bytes,
        value: Value,
        deadline: int | None = None,
        operation: str = "set",
        effect: Effect | None = None,
    ) -> None:
        """Set ``key`` to ``value`` with this deadline, or none; what was there is gone.

        ``effect``: where it is not that the key has this value now.
        """
        if key in self.deadlines:
            self.peek(key)  # what has passed its deadline expires, and is not replaced
        old = self.values.get(key)
        self.values[key] = value
        if old is None:
            if self._pool is not None:
                self._pool.add(key)
        elif old.__class__ is not bytes and old is not value:
            self.bury(old)
        if self.born is not None and (old is None or operation in ANEW):
            self.born(key)
        if deadline is not None or key in self.deadlines:
            self._set_deadline(key, deadline)
        if effect is None:
            effect = self._as_set(key, value, deadline)
        self.changed(operation, key, effect)

    def _as_set(self, key: bytes, value: Value, deadline: int | None) -> Effect:
        """The effect that ``key`` has this value and deadline, whatever was there."""
        if value.__class__ is not bytes:
            until = b"0" if deadline is None else deadline
            return b"RESTORE", key, until, self.payload(value), b"REPLACE", b"ABSTTL"
        if deadline is None:
            return b"SET", key, value
        return b"SET", key, value, b"PXAT", deadline

    def update(
        self, key: bytes, value: Value, operation: str, effect: Effect | None = None
    ) -> None:
        """Keep what a command has made of the value of ``key``; a deadline that it has, stays.

        A first ``get`` is the caller's: a key past its deadline must be gone before, or the new
        value would inherit it. (It is not looked at again here: what was got a moment ago may be
        part of the new value.) A container that was changed in place is handed in as well, with the
        effect that does to it what was done; when it is empty now, use :meth:`store`. A string may
        have one that is shorter than the whole of it.
        """
        if key not in self.values:
            if self._pool is not None:
                self._pool.add(key)
            if self.born is not None:
                self.born(key)
        self.values[key] = value
        if effect is None:
            if key in self.deadlines:
                effect = (b"SET", key, value, b"KEEPTTL")
            else:
                effect = (b"SET", key, value)
        self.changed(operation, key, effect)

    def store(self, key: bytes, container: Value, operation: str, effect: Effect) -> None:
        """The same for a container, of which an empty one is no value: its key is deleted."""
        if container:
            self.update(key, container, operation, effect)
        else:
            self._remove(key)
            self.changed(operation, key, effect)
            self.changed("delete", key, NOTHING)  # for that is in the other's effect

    @contextmanager
    def keeping_pool(self, keys: Iterable[bytes]) -> Iterator[None]:
        """What becomes of ``keys`` within, in ``values`` itself, is told to the pool."""
        pool, values = self._scanned(), self.values
        before = {key: key in values for key in keys}
        try:
            yield
        finally:
            for key, was_there in before.items():
                if was_there != (key in values):
                    (pool.discard if was_there else pool.add)(key)

    @property
    def has_pool(self) -> bool:
        """Whether the keys have a pool beside them, since somebody has scanned them."""
        return self._pool is not None

    def delete(self, key: bytes) -> bool:
        """Take ``key`` out; False where it was not there."""
        if self.peek(key) is None:
            return False
        self._remove(key)
        self.changed("delete", key, (b"DEL", key))
        return True

    def expire_at(self, key: bytes, deadline: int) -> bool:
        """Give ``key`` a deadline; False where it is not there. One that has passed deletes it."""
        if self.use(key) is None:
            return False
        if deadline <= self.clock():
            return self.delete(key)
        self._set_deadline(key, deadline)
        self.changed("set_ttl", key, (b"PEXPIREAT", key, deadline))
        return True

    def persist(self, key: bytes) -> bool:
        """Take the deadline off ``key``; False where it is not there or has none."""
        if self.use(key) is None or key not in self.deadlines:
            return False
        self._set_deadline(key, None)
        self.changed("persist", key, (b"PERSIST", key))
        return True

    def rename(self, key: bytes, new: bytes) -> bool:
        """Move value and deadline to ``new``, over what is there; False where ``key`` is not."""
        if self.get(key) is None:
            return False
        self.peek(new)  # if it has expired, that comes before the rename
        value, deadline = self._take(key)
        # As Redis has it: the new name is a new key whatever was there, and comes before all else.
        born, self.born = self.born, None
        if born is not None:
            born(new)
        self.changed("rename_from", key, NOTHING)
        # With the effect, for what is there may expire only now.
        self.set(new, value, deadline, "rename_to", (b"RENAME", key, new))
        self.born = born
        return True

    def move(self, key: bytes, other: Keyspace) -> bool:
        """Move ``key`` to another keyspace; False where it is not here, or is there already."""
        if self.get(key) is None or other.peek(key) is not None:
            return False
        value, deadline = self._take(key)
        self.changed("move_from", key, (b"MOVE", key, b"%d" % other.index))
        other.set(key, value, deadline, "move_to", NOTHING)
        return True

    def clear(self, operation: str = "flushall") -> None:
        """Take out all keys."""
        for container in (self.values, self.deadlines, self._due, self._pool):
            if container:
                self.bury(container)
        self.values = {}
        self.deadlines = {}
        self._due = SortedList()
        self._pool = None
        self.changed(operation, None, (b"FLUSHDB",))

    def swap(self, other: Keyspace) -> None:
        """Exchange all keys with another keyspace. Nobody is told."""
        for name in self._swapped:
            mine = getattr(self, name)
            setattr(self, name, getattr(other, name))
            setattr(other, name, mine)

    _swapped: tuple[str, ...] = ("values", "deadlines", "_due", "_pool")

    def sweep(self, limit: int) -> int:
        """Take out up to ``limit`` keys past their deadline, the longest past first.

        Gives how many there were; as many as ``limit`` means that there may be more.
        """
        now, due = self.clock(), self._due
        count = 0
        while count < limit and due and due[0][0] <= now:
            self._expire(due[0][1])
            count += 1
        return count

    # From and to disk

    def load(self, values: dict[bytes, Value], deadlines: Mapping[bytes, int]) -> None:
        """Take over what a snapshot held; the keyspace was empty, and nobody is told."""
        self.values = values
        self.deadlines = dict(deadlines)
        self._due = SortedList((deadline, key) for key, deadline in deadlines.items())

    def take_over(self, other: Keyspace) -> None:
        """Take the keys and the counts of another keyspace, in whose place this one is from now on.
        Nobody is told."""
        for name in (*Keyspace._swapped, "born", "expired", "evicted", "hits", "misses"):
            setattr(self, name, getattr(other, name))

    # The only ways in and out of the three containers

    def _expire(self, key: bytes) -> None:
        self._remove(key)
        self.expired += 1
        self.changed("expire", key, (b"DEL", key))

    def evict(self, key: bytes) -> None:
        """Take out a key to make room for others."""
        self._remove(key)
        self.evicted += 1
        self.changed("evict", key, (b"DEL", key))

    def _remove(self, key: bytes) -> None:
        value, _ = self._take(key)
        if value.__class__ is not bytes:
            self.bury(value)

    def _take(self, key: bytes) -> tuple[Value, int | None]:
        """Take ``key`` out; gives its value, that lives on, and its deadline."""
        value = self.values.pop(key)
        if self._pool is not None:
            self._pool.discard(key)
        deadline = self.deadlines.get(key)
        if deadline is not None:
            self._set_deadline(key, None)
        return value, deadline

    def _set_deadline(self, key: bytes, deadline: int | None) -> None:
        old = self.deadlines.pop(key, None)
        if old is not None:
            self._due.remove((old, key))
        if deadline is not None:
            self.deadlines[key] = deadline
            self._due.add((deadline, key))
