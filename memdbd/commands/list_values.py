"""Lists: what looks for elements by their values.

Strategy: one pass over the list, in C wherever there is something for it.

May import: lists and what it may import.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import compress, count, islice

from memdbd.commands.access import WRITTEN
from memdbd.commands.arguments import INT64_MIN, Words, at_least, integer
from memdbd.commands.context import Context
from memdbd.commands.lists import LIST, List
from memdbd.commands.spec import KEY, VALUE, Flag, Param, Tail, command
from memdbd.errors import CommandError, SyntaxFault


def _side(raw: bytes) -> int:
    """How far from the pivot the new element is inserted."""
    try:
        return {b"BEFORE": 0, b"AFTER": 1}[raw.upper()]
    except KeyError:
        raise SyntaxFault from None


@command(
    "linsert",
    KEY,
    Param("BEFORE|AFTER", _side),
    Param("pivot"),
    VALUE,
    flags=Flag.WRITE | Flag.GROWS,
    access=WRITTEN,
    summary="Insert an element beside another, the first that is equal to pivot; gives the new "
    "length, -1 where there is no such element, 0 where there is no list",
    complexity="O(n), n being the elements of the list",
)
def linsert(ctx: Context, key: bytes, side: int, pivot: bytes, value: bytes) -> int:
    items = LIST.get(ctx.db, key)
    if items is None:
        return 0
    try:
        items.insert(items.index(pivot) + side, value)
    except ValueError:
        return -1
    where = b"AFTER" if side else b"BEFORE"
    ctx.db.update(key, items, "linsert", (b"LINSERT", key, where, pivot, value))
    return len(items)


@command(
    "lrem",
    KEY,
    Param("count", integer),
    VALUE,
    flags=Flag.WRITE,
    access=WRITTEN,
    summary="Remove the first so many elements that are equal to value; the last ones for a "
    "negative count, all for 0; gives how many there were",
    complexity="O(n), n being the elements of the list",
)
def lrem(ctx: Context, key: bytes, number: int, value: bytes) -> int:
    items = LIST.get(ctx.db, key)
    if items is None or value not in items:
        return 0
    before = len(items)
    if number < 0:
        items.reverse()
    _remove(items, value, abs(number) or before)
    if number < 0:
        items.reverse()
    ctx.db.store(key, items, "lrem", (b"LREM", key, b"%d" % number, value))
    return before - len(items)


def _remove(items: List, value: bytes, most: int) -> None:
    """Remove the first ``most`` elements that are equal to ``value``; there is one at least."""
    if most == 1:
        items.remove(value)
        return
    kept, rest = [], iter(items)
    for item in rest:
        if item != value:
            kept.append(item)
        elif most > 1:
            most -= 1
        else:
            break
    kept.extend(rest)
    items.clear()
    items.extend(kept)


_count = at_least(0, "COUNT can't be negative")
_maxlen = at_least(0, "MAXLEN can't be negative")


@dataclass(slots=True)
class _Search:
    """Which of an element's places LPOS gives: see its options."""

    rank: int = 1
    count: int | None = None
    maxlen: int = 0

    def read(self, words: Words) -> None:
        while words:
            option = words.option()
            if option == b"RANK":
                self.rank = _rank(words.take())
            elif option == b"COUNT":
                self.count = words.take(_count)
            elif option == b"MAXLEN":
                self.maxlen = words.take(_maxlen)
            else:
                raise SyntaxFault

    def places(self, items: List, element: bytes) -> list[int]:
        size = len(items)
        walk = iter(items) if self.rank > 0 else reversed(items)
        compared = islice(walk, min(self.maxlen, size) or size)
        matches = compress(count(), map(element.__eq__, compared))
        skipped = min(abs(self.rank) - 1, size)
        most = 1 if self.count is None else self.count or size
        places = list(islice(matches, skipped, skipped + min(most, size)))
        return places if self.rank > 0 else [size - 1 - place for place in places]


def _rank(raw: bytes) -> int:
    rank = integer(raw)
    if rank == 0:
        raise CommandError(
            "RANK can't be zero: use 1 to start from the first match, 2 from the second ... "
            "or use negative to start from the end of the list"
        )
    return -1 if rank == INT64_MIN else rank  # its opposite overflows in Redis, and becomes this


@command(
    "lpos",
    KEY,
    Param("element"),
    Tail("[RANK <rank>] [COUNT <count>] [MAXLEN <len>]"),
    flags=Flag.READ,
    summary="The place of an element in a list, or with COUNT so many of its places (0: all)",
    complexity="O(n), n being the elements of the list, or MAXLEN",
    differs="COUNT holds with a RANK of -2**63 too.",
)
def lpos(ctx: Context, key: bytes, element: bytes, *options: bytes) -> int | list[int] | None:
    search = _Search()
    search.read(Words(options))
    items = LIST.get(ctx.db, key)
    places = [] if items is None else search.places(items, element)
    if search.count is not None:
        return places
    return places[0] if places else None


COMMANDS = (linsert, lrem, lpos)
