"""An order of the members of a set, or of the keys of a dict, which have none of their own.

It makes two things possible that neither can do: a uniform random choice in O(1), and a cursor
that returns all that stays while the rest changes. It is made for the collections that are asked
for one of these, and then told of each change. Imports nothing but types.

Strategy: a list of the members, and a small set of those entries that are stale, their members
removed since. A hand goes over the list, a few entries a removal, and fills the place of a stale
entry with the last one. So an entry only ever moves down, which is what the cursor lives on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

M = TypeVar("M")

Random = Callable[[], float]  # uniform in [0, 1), as random.random

# How many entries the hand looks at for each removal. Say that a round starts with L living and at
# most as many stale ones. It ends within (L + L) / 4 removals, which is what is stale then, while
# at least L - L / 2 live: again no more are stale than live. Meanwhile it is 3 to 1 at the worst,
# measured below 1 to 1. With two looks, removals just behind the hand leave 50 to 1.
_LOOKS = 4


class Pool(Generic[M]):
    """The members of ``members`` in some order: 8 bytes for each, and a look-up's cost a change.

    The owner of the members tells of each that comes (``add``) and goes (``discard``); neither
    may be told twice. A choice from an empty pool is an IndexError.
    """

    __slots__ = ("_entries", "_hand", "_next", "_stale")

    def __init__(self, members: Iterable[M] = ()) -> None:
        self._entries = list(members)
        self._stale: set[M] = set()  # entries whose members are gone
        self._next = -1  # the place that is taken next, if it has been said
        self._hand = 0  # the entries from here up have been looked at in this round

    def __len__(self) -> int:
        return len(self._entries) - len(self._stale)

    def add(self, member: M) -> None:
        """``member``, which was not there, is there now."""
        self._next = -1
        if member in self._stale:
            self._stale.remove(member)
        else:
            self._entries.append(member)

    def discard(self, member: M) -> None:
        """``member``, which was there, is gone."""
        self._next = -1
        self._stale.add(member)
        self._clean()

    def choice(self, random: Random) -> M:
        """A living member, each as likely as the others."""
        return self._entries[self._pick(random)]

    def next(self, random: Random) -> M:
        """As ``choice``, and what ``take`` takes if nothing changes before: whoever would rather
        not have it now, must leave it to the next, or it would be less likely than others."""
        at = self._next
        if at < 0:
            at = self._next = self._pick(random)
        return self._entries[at]

    def take(self, random: Random) -> M:
        """As ``choice``, and the member is discarded; its owner has yet to remove it."""
        at = self._next
        member = self._fill(at if at >= 0 else self._pick(random))
        self._clean()
        return member

    def take_short(
        self: Pool[bytes], count: int, random: Random, long: int, room: int
    ) -> list[bytes]:
        """As so many times ``take``, which is no more than there are, but up to the first member of
        ``long`` bytes or for which there is no ``room``: that is the ``next``."""
        # By ``next``, ``take`` and what they call, it takes twice the time.
        entries, stale = self._entries, self._stale
        taken: list[bytes] = []
        at, self._next = self._next, -1
        while len(taken) < count:
            if at < 0:
                at = self._pick(random) if stale else int(random() * len(entries))
            member = entries[at]
            size = len(member)
            room -= size
            if size >= long or room < 0:
                self._next = at
                break
            last = entries.pop()
            if at < len(entries):
                entries[at] = last
            taken.append(member)
            at = -1
            if stale:
                self._clean()
        return taken

    def sample(self, count: int, random: Random) -> list[M]:
        """``count`` different members, each such selection as likely; all where there are fewer.

        Their order means nothing. O(count).
        """
        if count * 2 > len(self):  # choosing what to leave out is less work, and as fair
            left_out = self.sample(len(self) - count, random)
            without = self._stale.union(left_out)
            return [entry for entry in self._entries if entry not in without]
        chosen: dict[M, None] = {}
        while len(chosen) < count:
            chosen[self.choice(random)] = None
        return list(chosen)

    def page(self, cursor: int, count: int) -> tuple[int, list[M]]:
        """Up to ``count`` members (at least 1) from ``cursor`` on, and the cursor of the next page.

        A cursor of 0 is the beginning, and as an answer the end. What is there from the first
        page to the last is returned, and what comes or goes meanwhile may be, or be twice. There
        are no more pages than entries at the start over ``count``, rounded up; one may be empty.

        A cursor is the number of entries below those returned. They are returned from the end
        down, where new ones come in and from where entries move down into free places: so what
        has not been returned stays below the cursor.
        """
        end = min(cursor or len(self._entries), len(self._entries))
        start = max(end - count, 0)
        entries, stale = self._entries[start:end], self._stale
        return start, [entry for entry in entries if entry not in stale] if stale else entries

    def release(self, count: int) -> bool:
        """Forget up to ``count`` members; True while there are more.

        For a pool that nobody uses any more: a huge one is freed in slices, without a long pause.
        """
        del self._entries[-count:]
        for _ in range(min(count, len(self._stale))):
            self._stale.pop()
        return bool(self._entries or self._stale)

    def _clean(self) -> None:
        """Let the hand look at the next few entries."""
        entries, stale = self._entries, self._stale
        hand = min(self._hand, len(entries))
        for _ in range(min(_LOOKS, len(entries))):
            if not stale:
                break
            hand = (hand or len(entries)) - 1
            if entries[hand] in stale:
                stale.remove(self._fill(hand))
        self._hand = hand

    def _pick(self, random: Random) -> int:
        """The place of a random living member; O(1), as each stale one is met but once."""
        entries, stale = self._entries, self._stale
        while True:
            at = int(random() * len(entries))
            if not stale or entries[at] not in stale:
                return at
            stale.remove(self._fill(at))

    def _fill(self, at: int) -> M:
        """Take the entry at ``at`` away: the last one moves down into its place."""
        self._next = -1
        entries = self._entries
        last = entries.pop()
        if at == len(entries):
            return last
        gone, entries[at] = entries[at], last
        return gone
