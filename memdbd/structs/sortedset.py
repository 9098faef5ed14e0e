"""A sorted set: members with scores, in the order of score, then member.

May import: core, order, pool; math.

Strategy: a dict knows the score of each member, and an :class:`~memdbd.structs.order.Order` their
order. Up to PLAIN members that is made when something first asks for it, so that one that is only
written and looked up is a dict. Beyond, it is always there: making it then would stop everything, a
second for a million members. A pool stands beside them from the first time that somebody scans the
members or chooses some at random.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf, nextafter

from memdbd.core import put_many
from memdbd.structs.order import Entries, Entry, Order
from memdbd.structs.pool import Pool

PLAIN = 4000  # to sort so many the first time takes 2 ms

# Up to so many members of so many bytes each, Redis keeps a sorted set packed, until there are more
# or longer ones. There, an integer is kept as one, so that -0.0 becomes 0.
PACKED_ENTRIES = 128
PACKED_MEMBER = 64


class SortedSet:
    """Members and their scores: any floats but NaN. It keeps ``scores``, and does not copy it.

    ``is_packed``: whether Redis would still keep it packed, which it never does unless
    ``may_pack``. Read ``scores`` at will, and change it only through the methods. A position is the
    number of entries before it; the entries from ``start`` up to ``stop``, not included, are those
    of ``order[start:stop]``.
    """

    __slots__ = ("_order", "_pool", "is_packed", "scores")

    def __init__(self, scores: dict[bytes, float] | None = None, *, may_pack: bool = True) -> None:
        self.scores: dict[bytes, float] = {} if scores is None else scores
        self._pool: Pool[bytes] | None = None
        self._order: Order | None = None
        self.is_packed = (
            may_pack
            and len(self.scores) <= PACKED_ENTRIES
            and not any(len(member) > PACKED_MEMBER for member in self.scores)
        )
        if self.is_packed:
            for member, score in self.scores.items():
                self.scores[member] = score or 0.0
        if len(self.scores) > PLAIN:
            self._order = self._made()

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Entry]:
        """The entries in order; nothing may change meanwhile."""
        return iter(self._ordered())

    def copy(self) -> SortedSet:
        """Another one with the same entries."""
        copy = SortedSet()
        copy.scores = self.scores.copy()
        copy.is_packed = self.is_packed
        copy._order = None if self._order is None else Order(list(self._order))
        return copy

    @property
    def pool(self) -> Pool[bytes]:
        """The members, in an order of its own."""
        if self._pool is None:
            self._pool = Pool(self.scores)
        return self._pool

    # One member

    def put(self, member: bytes, score: float) -> bool:
        """Add ``member`` or move it to another score; True if it is new. O(log n).

        A score that is equal to the one it has changes nothing: 0.0 does not become -0.0.
        """
        old = self.scores.get(member)
        if old == score:
            return False
        self.put_beside(member, score, old)
        return old is None

    def put_beside(self, member: bytes, score: float, old: float | None) -> None:
        """The same for whoever has looked up its ``old`` score, which is another, or None."""
        scores, order = self.scores, self._order
        if self.is_packed:
            if old is None and (len(scores) >= PACKED_ENTRIES or len(member) > PACKED_MEMBER):
                self.is_packed = False
            else:
                score = score or 0.0
        scores[member] = score
        if order is not None:
            if old is not None:
                member = order.remove(old, member)  # of two that are equal, the dict's own
            order.add(score, member)
        if old is None:
            if self._pool is not None:
                self._pool.add(member)
            if order is None and len(scores) > PLAIN:
                self._order = self._made()

    def put_many(
        self, run: Sequence[Sequence[bytes]], given: Sequence[float], effect: list[bytes]
    ) -> list[int]:
        """ZADD of each request of a run: see ``core/order.py``."""
        if not self.is_packed and self._pool is None:
            replies = put_many(self.scores, self._order, run, given, effect)
            if self._order is None and len(self.scores) > PLAIN:
                self._order = self._made()
            return replies
        replies = []
        for (_, _, raw, member), score in zip(run, given, strict=False):
            old = self.scores.get(member)
            replies.append(1 if old is None else 0)
            if old != score:
                self.put_beside(member, score, old)
                effect += (raw if raw.isdigit() else b"%r" % self.scores[member], member)
        return replies

    def remove(self, member: bytes) -> bool:
        """Take ``member`` away; False if it is not there. O(log n)."""
        score = self.scores.pop(member, None)
        if score is None:
            return False
        if self._order is not None:
            self._order.remove(score, member)
        if self._pool is not None:
            self._pool.discard(member)
        return True

    def rank(self, member: bytes) -> int:
        """The position of ``member``; KeyError if it is not there. O(log n)."""
        return self._ordered().rank(self.scores[member], member)

    # Positions and ranges

    def span(
        self, low: float, high: float, low_open: bool = False, high_open: bool = False
    ) -> tuple[int, int]:
        """Where the scores from ``low`` to ``high`` start and stop; an open end is not included."""
        start = self._after(low) if low_open else self._ordered().rank(low)
        stop = self._ordered().rank(high) if high_open else self._after(high)
        return start, max(start, stop)

    def lex_span(
        self,
        low: bytes | None,
        high: bytes | None,
        low_open: bool = False,
        high_open: bool = False,
    ) -> tuple[int, int]:
        """As ``span`` by member, where all scores are the same; None is an end without a bound.

        Where scores differ, this means little, and as little in Redis: the answer is within those
        of the lowest score, and an end without a bound that of all.
        """
        if not self.scores:
            return 0, 0
        order = self._ordered()
        score = order.slice(0, 1).scores[0]
        start, stop = 0, len(self)
        if low is not None:  # the least bytes beyond b are b and a zero
            start = order.rank(score, low + b"\0" if low_open else low)
        if high is not None:
            stop = order.rank(score, high if high_open else high + b"\0")
        return start, max(start, stop)

    def slice(self, start: int, stop: int, reverse: bool = False) -> Entries:
        """The entries at these positions, not negative ones; ``reverse`` counts from the end.

        O(log n) and the entries.
        """
        if not reverse:
            return self._ordered().slice(start, stop)
        size = len(self)
        entries = self._ordered().slice(max(size - stop, 0), max(size - start, 0))
        entries.reverse()
        return entries

    def cut(self, start: int, stop: int) -> Entries:
        """Remove the entries at these positions, not negative ones, and give them in order."""
        entries = self._ordered().cut(start, stop)
        for member in entries.members:
            del self.scores[member]
        if self._pool is not None:
            for member in entries.members:
                self._pool.discard(member)
        return entries

    def release(self, count: int) -> bool:
        """Forget up to ``count`` members; True while there are more.

        For one that nobody uses any more: a huge one is freed in slices, without a long pause.
        """
        scores, order = self.scores, self._order
        for _ in range(min(count, len(scores))):
            scores.popitem()
        if order is not None:
            order.release(count)
        return (self._pool is not None and self._pool.release(count)) or bool(scores)

    def _made(self) -> Order:
        return Order(sorted(zip(self.scores.values(), self.scores, strict=True)))

    def _ordered(self) -> Order:
        if self._order is None:
            self._order = self._made()
        return self._order

    def _after(self, score: float) -> int:
        """How many entries have this score or a lower one."""
        return len(self) if score == inf else self._ordered().rank(nextafter(score, inf))
