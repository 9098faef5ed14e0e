"""A set and a dict that can also choose at random and be paged through, once somebody asks.

They are Python's own, so that all that only reads is as fast, and one that nobody asks costs as
much as those; beside them stands a :class:`~memdbd.structs.pool.Pool` from the first time that it
is needed. It has to hear of each member that comes and goes, so that the methods defined here are
the only ways in and out: ``add``, ``pop``, ``|=`` and the like leave the pool behind. What ``&``,
``|``, ``-`` and ``copy`` give has no pool and is for reading: a new value is ``PooledSet(...)`` of
it. May import: pool.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from memdbd.structs.pool import Pool, Random

POINTER = 8  # bytes that the pool takes for a member


class PooledSet(set[bytes]):
    """A set of bytes with a pool of its members."""

    __slots__ = ("_pool",)

    _pool: Pool[bytes] | None

    def __init__(self, members: Iterable[bytes] = ()) -> None:
        super().__init__(members)
        self._pool = None

    @property
    def pool(self) -> Pool[bytes]:
        """The members, in an order of its own."""
        if self._pool is None:
            self._pool = Pool(self)
        return self._pool

    def put(self, member: bytes) -> bool:
        """Add a member; False where it is there already."""
        if member in self:
            return False
        self.add(member)
        if self._pool is not None:
            self._pool.add(member)
        return True

    def put_all(self, members: Iterable[bytes]) -> int:
        """Add members; gives how many were not there."""
        if self._pool is not None:
            return sum(map(self.put, members))
        before = len(self)
        self.update(members)
        return len(self) - before

    def put_each(self, members: Sequence[bytes]) -> list[int]:
        """Add members one after the other; gives for each how many were added, 1 or 0."""
        if self._pool is not None:
            return list(map(int, map(self.put, members)))
        known = _known(self, members)
        before = len(self)
        self.update(members)
        return _counted(members, known, len(self) - before)

    def take(self, member: bytes) -> bool:
        """Remove a member; False where it is not there."""
        if member not in self:
            return False
        self.remove(member)
        if self._pool is not None:
            self._pool.discard(member)
        return True

    def take_all(self, members: Iterable[bytes]) -> int:
        """Remove members; gives how many were there."""
        if self._pool is not None:
            return sum(map(self.take, members))
        before = len(self)
        self.difference_update(members)
        return before - len(self)

    def take_any(self, random: Random) -> bytes:
        """Remove a member, each as likely, and give it. IndexError where there is none."""
        member = self.pool.take(random)
        self.remove(member)
        return member

    def take_short(self, count: int, random: Random, long: int, room: int) -> list[bytes]:
        """Remove several, but none that is long: see :meth:`Pool.take_short`."""
        members = self.pool.take_short(count, random, long, room)
        self.difference_update(members)
        return members

    def release(self, count: int) -> bool:
        """Forget up to ``count`` members; True while there are more.

        For one that nobody uses any more: a huge one is freed in slices, without a long pause.
        """
        for _ in range(min(count, len(self))):
            self.pop()
        return (self._pool is not None and self._pool.release(count)) or bool(self)

    def __sizeof__(self) -> int:
        return super().__sizeof__() + _size_of(self._pool)


class PooledDict(dict[bytes, bytes]):
    """A dict of bytes with a pool of its keys, the fields."""

    __slots__ = ("_pool",)

    _pool: Pool[bytes] | None

    def __init__(self, items: Mapping[bytes, bytes] | Iterable[tuple[bytes, bytes]] = ()) -> None:
        super().__init__(items)
        self._pool = None

    @property
    def pool(self) -> Pool[bytes]:
        """The fields, in an order of its own."""
        if self._pool is None:
            self._pool = Pool(self)
        return self._pool

    def put(self, field: bytes, value: bytes) -> bool:
        """Set a field; False where it was there already."""
        is_new = field not in self
        self[field] = value
        if is_new and self._pool is not None:
            self._pool.add(field)
        return is_new

    def put_all(self, items: Iterable[tuple[bytes, bytes]]) -> int:
        """Set fields; gives how many were not there."""
        if self._pool is not None:
            return sum(self.put(field, value) for field, value in items)
        before = len(self)
        self.update(items)
        return len(self) - before

    def put_each(self, fields: Sequence[bytes], values: Sequence[bytes]) -> list[int]:
        """Set fields one after the other; gives for each how many were not there, 1 or 0."""
        if self._pool is not None:
            return list(map(int, map(self.put, fields, values)))
        known = _known(self, fields)
        before = len(self)
        self.update(zip(fields, values, strict=True))
        return _counted(fields, known, len(self) - before)

    def take(self, field: bytes) -> bool:
        """Remove a field; False where it is not there."""
        if self.pop(field, None) is None:
            return False
        if self._pool is not None:
            self._pool.discard(field)
        return True

    def release(self, count: int) -> bool:
        """Forget up to ``count`` fields; True while there are more. See :class:`PooledSet`."""
        for _ in range(min(count, len(self))):
            self.popitem()
        return (self._pool is not None and self._pool.release(count)) or bool(self)

    def __sizeof__(self) -> int:
        return super().__sizeof__() + _size_of(self._pool)


def _known(there: PooledSet | PooledDict, names: Sequence[bytes]) -> list[bool]:
    """Which of some names are there.

    To find one among many is to wait for memory several times. In a loop as tight as this, with the
    hashes made before, the processor waits for several at once: of 100,000, to look for one and to
    put it takes 233 ns in a set, and 289 one by one; in a dict 500, and 700.
    """
    all(map(hash, names))  # which they keep
    return list(map(there.__contains__, names))


def _counted(names: Sequence[bytes], known: Sequence[bool], new: int) -> list[int]:
    """How many each of these has added, 1 or 0, where so many were new altogether."""
    added = [0 if is_known else 1 for is_known in known]
    if sum(added) == new:  # as mostly
        return added
    seen: set[bytes] = set()
    for at, name in enumerate(names):
        if name in seen:
            added[at] = 0
        seen.add(name)
    return added


def _size_of(pool: Pool[bytes] | None) -> int:
    return 0 if pool is None else POINTER * len(pool)
