"""The databases: so many keyspaces under one roof, by their numbers.

May import: changes, effects, keyspace, waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from memdbd.changes import Changes
from memdbd.effects import NOTHING, Effect
from memdbd.keyspace import Keyspace, Value
from memdbd.waiting import Waiting

COUNT = 16  # as many as Redis has


class Databases:
    """The keyspaces that ``make(number)`` made, and what watches over all of them."""

    __slots__ = ("_all", "changes", "waiting")

    def __init__(self, make: Callable[[int], Keyspace], changes: Changes) -> None:
        self._all = [make(number) for number in range(COUNT)]
        self.changes = changes
        self.waiting: Waiting = changes.waiting

    def __getitem__(self, number: int) -> Keyspace:
        return self._all[number]

    def __iter__(self) -> Iterator[Keyspace]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def tell_of_new(self, hear: Callable[[int, bytes], object] | None) -> None:
        """Have ``hear(number, key)`` called for each key that was not there; None: no more."""
        for keyspace in self._all:
            keyspace.born = None if hear is None else partial(hear, keyspace.index)

    def replace(self, make: Callable[[int], Keyspace]) -> None:
        """Have new keyspaces take over from those that there are. Nobody is told."""
        for number, old in enumerate(self._all):
            self._all[number] = make(number)
            self._all[number].take_over(old)

    def swap(self, one: int, other: int) -> None:
        """Exchange the keys of two databases."""
        if one != other:
            self._all[one].swap(self._all[other])
            effect: Effect = (b"SWAPDB", b"%d" % one, b"%d" % other)
            for number in (one, other):
                self.changes.changed(number, "swapdb", None, effect)
                effect = NOTHING  # a second one would swap them back

    def copy(self, one: int, key: bytes, value: Value, other: int, new: bytes) -> None:
        """Set ``new`` in database ``other`` to ``value``, a copy of that of ``key`` in ``one``, and
        to its deadline, over what is there."""
        deadline = self._all[one].deadlines.get(key)
        self._all[other].set(new, value, deadline, "copy_to", NOTHING)
        # Behind it, for what is there may expire only now. Not the value: an effect that names the
        # key is short however long that is.
        self.changes.tell(one, (b"COPY", key, new, b"DB", b"%d" % other, b"REPLACE"))

    def clear(self) -> None:
        """Take out all keys of all databases. It is announced once, or for each that had any."""
        for keyspace in [each for each in self._all if each.values] or self._all[:1]:
            keyspace.clear()
