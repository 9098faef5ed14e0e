"""A set and a dict that can also choose at random and be paged through, once somebody asks.

They are Python's own, so that all of their operations are as fast; beside them stands a
:class:`~memdbd.structs.pool.Pool` from the first time that it is needed. Members come and go by
``put`` and ``take`` alone. May import: pool.
"""

from __future__ import annotations

from memdbd.structs.pool import Pool


class PooledSet(set[bytes]):
    """A set of bytes with a pool of its members."""

    __slots__ = ("_pool",)

    _pool: Pool[bytes] | None

    def __init__(self, members: object = ()) -> None:
        super().__init__(members)  # type: ignore[call-overload] # as set itself
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

    def take(self, member: bytes) -> bool:
        """Remove a member; False where it is not there."""
        if member not in self:
            return False
        self.remove(member)
        if self._pool is not None:
            self._pool.discard(member)
        return True


class PooledDict(dict[bytes, bytes]):
    """A dict of bytes with a pool of its keys."""

    __slots__ = ("_pool",)

    _pool: Pool[bytes] | None

    def __init__(self, items: object = ()) -> None:
        super().__init__(items)  # type: ignore[call-overload] # as dict itself
        self._pool = None

    @property
    def pool(self) -> Pool[bytes]:
        """The keys, in an order of its own."""
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

    def take(self, field: bytes) -> bytes | None:
        """Remove a field and give its value; None where it is not there."""
        value = self.pop(field, None)
        if value is not None and self._pool is not None:
            self._pool.discard(field)
        return value
