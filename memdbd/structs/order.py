"""Entries in order, each a score and a member, for sorted sets: what is asked of it by rank and by
position. Where entries are put and taken out one by one, and how they lie in blocks, is in
``core/order.py``, on which this builds.

The positions at which the blocks start are summed up when somebody asks for one.

May import: core, array, bisect, itertools.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain
from typing import Any

from memdbd.core import Blocks, mend, replace

Entry = tuple[float, bytes]  # a score and its member

BLOCK = 1024


class Entries(Sequence[Entry]):
    """Some entries: their members, and the score of each. They only become tuples, at 60 ns each,
    for whoever asks for them."""

    __slots__ = ("members", "scores")

    def __init__(self, members: list[bytes], scores: array[float]) -> None:
        self.members = members
        self.scores = scores

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[Entry]:
        return zip(self.scores, self.members, strict=True)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return Entries(self.members[at], self.scores[at])
        return self.scores[at], self.members[at]

    def reverse(self) -> None:
        """Have the last one first."""
        self.members.reverse()
        self.scores.reverse()


def parted(entries: Iterable[Entry] = ()) -> Entries:
    """Entries that are tuples now."""
    members = list[bytes]()
    scores = array("d")
    for score, member in entries:
        members.append(member)
        scores.append(score)
    return Entries(members, scores)


class Order(Blocks):
    """A sorted list of different entries, made of some that are sorted already.

    A position is the number of entries before it; none is negative.
    """

    __slots__ = ()

    def __init__(self, entries: Iterable[Entry]) -> None:
        super().__init__(BLOCK)
        all_of_them = parted(entries)
        replace(self, 0, 0, all_of_them.members, all_of_them.scores)

    def __iter__(self) -> Iterator[Entry]:
        return zip(chain.from_iterable(self.scores), chain.from_iterable(self.members), strict=True)

    def rank(self, score: float, member: bytes | None = None) -> int:
        """How many entries are less than this one; a score alone is before all that have it."""
        tops = self.tops
        at = bisect_left(tops, score)
        if member is not None and at < len(tops) and tops[at] == score:
            at = self.tied(score, member, at)
        start = self._summed(at)[at]
        if at == len(tops):
            return start
        scores, members = self.scores[at], self.members[at]
        place = bisect_left(scores, score)
        if member is not None and scores[place] == score:
            place = bisect_left(members, member, place, bisect_right(scores, score, place))
        return start + place

    # Positions

    def slice(self, start: int, stop: int) -> Entries:
        """The entries from one position to before another."""
        blocks = self.members
        if start >= stop or not blocks:
            return parted()
        size = stop - start
        at, start = self._found(start)
        members = blocks[at][start : start + size]
        scores = self.scores[at][start : start + size]
        while len(members) < size and at + 1 < len(blocks):
            at += 1
            left = size - len(members)
            members += blocks[at][:left]
            scores += self.scores[at][:left]
        return Entries(members, scores)

    def cut(self, start: int, stop: int) -> Entries:
        """The same, and take them out."""
        found = self.slice(start, stop)
        if not found:
            return found
        begin, first = self._found(start)
        end, last = self._found(start + len(found) - 1)
        if begin == end:
            del self.members[begin][first : last + 1], self.scores[begin][first : last + 1]
        else:
            members = self.members[begin][:first] + self.members[end][last + 1 :]
            scores = self.scores[begin][:first] + self.scores[end][last + 1 :]
            replace(self, begin, end + 1, members, scores)
        if begin < len(self.members):
            mend(self, begin)
        return found

    def release(self, count: int) -> None:
        """Forget the last ``count`` entries, and some more: it is not used any more."""
        while count > 0 and self.members:
            count -= len(self.members.pop())
            self.scores.pop()
        self.tops.clear()

    def _found(self, position: int) -> tuple[int, int]:
        """The block that a position is in, or the last one, and its place there."""
        if position < len(self.members[0]):
            return 0, position
        starts = self._summed(len(self.members))
        at = min(bisect_right(starts, position), len(self.members)) - 1
        return at, position - starts[at]

    def _summed(self, upto: int) -> list[int]:
        """The positions of the blocks up to one, at least."""
        starts = self.starts
        known = len(starts) - 1
        if known < upto:
            starts += accumulate(map(len, self.members[known:]), initial=starts.pop())
        return starts
