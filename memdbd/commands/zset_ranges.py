"""Ranges of sorted sets: by rank, by score, or by member where all scores are the same.

Strategy: the words of a range become a function that gives the positions of a sorted set that are
in it, from where it starts up to where it stops; counting, listing, storing and removing are then
the same for all three kinds. May import: doubles, zsets and what it may import.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from memdbd.commands.access import MADE, WRITTEN
from memdbd.commands.arguments import Words, integer
from memdbd.commands.context import Context
from memdbd.commands.doubles import c_double
from memdbd.commands.spec import DESTINATION, KEY, STORES, Flag, Param, Tail, command
from memdbd.commands.zsets import READS_FAST, ZSET, scored, store_result
from memdbd.errors import CommandError, SyntaxFault
from memdbd.replies import Reply, Scored
from memdbd.structs.order import Entries, parted
from memdbd.structs.sortedset import PACKED_ENTRIES, PACKED_MEMBER, SortedSet

Span = Callable[[SortedSet], tuple[int, int]]  # where a range starts and stops
Kind = Callable[[bytes, bytes], Span]  # from how its ends are written

MIN_SCORE, MAX_SCORE = Param("min_score"), Param("max_score")
MIN_MEMBER, MAX_MEMBER = Param("min_member"), Param("max_member")
START, STOP = Param("start"), Param("stop")
LIMIT = Tail("[LIMIT <offset> <count>]")
LIMIT_AND_SCORES = Tail("[WITHSCORES] [LIMIT <offset> <count>]")
O_RANGE = "O(log n + k) for k members returned"
O_REMOVAL = "O(log n + k log n) for k members removed"


# The three kinds of range


def by_rank(start: bytes, stop: bytes) -> Span:
    """Positions, the last one included; a negative one counts from the end."""
    first, last = integer(start), integer(stop)

    def span(zset: SortedSet) -> tuple[int, int]:
        size = len(zset)
        begin = max(first + size, 0) if first < 0 else first
        return begin, max(begin, (last + size if last < 0 else last) + 1)

    return span


def by_score(low: bytes, high: bytes) -> Span:
    """Scores; a parenthesis before one says that it is not included."""
    ends = c_double(low.removeprefix(b"(")), c_double(high.removeprefix(b"("))
    if ends[0] is None or ends[1] is None:
        raise CommandError("min or max is not a float", "as 1.5, (1.5, -inf")
    low_score, high_score = ends[0], ends[1]
    low_open, high_open = low.startswith(b"("), high.startswith(b"(")
    return lambda zset: zset.span(low_score, high_score, low_open, high_open)


def by_member(low: bytes, high: bytes) -> Span:
    """Members behind a bracket, or behind a parenthesis and then not included; ``-`` is before all
    of them and ``+`` behind."""
    for end in (low, high):
        if end not in (b"-", b"+") and end[:1] not in (b"[", b"("):
            raise CommandError("min or max not valid string range item", "as [a, (a, -, +")
    if low == b"+" or high == b"-":
        return lambda zset: (0, 0)
    low_member = None if low == b"-" else low[1:]
    high_member = None if high == b"+" else high[1:]
    low_open, high_open = low.startswith(b"("), high.startswith(b"(")
    return lambda zset: zset.lex_span(low_member, high_member, low_open, high_open)


# Counting and removing


def _count(ctx: Context, key: bytes, span: Span) -> int:
    zset = ZSET.get(ctx.db, key)
    if zset is None:
        return 0
    start, stop = span(zset)
    return stop - start


def _remove(ctx: Context, key: bytes, span: Span, operation: str) -> int:
    zset = ZSET.get(ctx.db, key)
    if zset is None:
        return 0
    start, stop = span(zset)
    removed = min(stop, len(zset)) - start
    if removed <= 0:
        return 0
    if removed == len(zset):
        zset = SortedSet()  # a huge one is freed in slices, as a key that is deleted
        ctx.db.store(key, zset, operation, (b"DEL", key))
    else:
        gone = zset.cut(start, stop)
        ctx.db.store(key, zset, operation, (b"ZREM", key, *gone.members))
    return removed


@command(
    "zcount",
    KEY,
    MIN_SCORE,
    MAX_SCORE,
    flags=READS_FAST,
    summary="The number of members with scores in a range",
    complexity="O(log n)",
)
def zcount(ctx: Context, key: bytes, low: bytes, high: bytes) -> int:
    return _count(ctx, key, by_score(low, high))


@command(
    "zlexcount",
    KEY,
    MIN_MEMBER,
    MAX_MEMBER,
    flags=READS_FAST,
    summary="The number of members in a range of members, where all scores are the same",
    complexity="O(log n)",
)
def zlexcount(ctx: Context, key: bytes, low: bytes, high: bytes) -> int:
    return _count(ctx, key, by_member(low, high))


@command(
    "zremrangebyrank",
    KEY,
    START,
    STOP,
    flags=Flag.WRITE,
    access=WRITTEN,
    summary="Remove the members of a sorted set from one rank to another",
    complexity=O_REMOVAL,
)
def zremrangebyrank(ctx: Context, key: bytes, start: bytes, stop: bytes) -> int:
    return _remove(ctx, key, by_rank(start, stop), "zremrangebyrank")


@command(
    "zremrangebyscore",
    KEY,
    MIN_SCORE,
    MAX_SCORE,
    flags=Flag.WRITE,
    access=WRITTEN,
    summary="Remove the members with scores in a range",
    complexity=O_REMOVAL,
)
def zremrangebyscore(ctx: Context, key: bytes, low: bytes, high: bytes) -> int:
    return _remove(ctx, key, by_score(low, high), "zremrangebyscore")


@command(
    "zremrangebylex",
    KEY,
    MIN_MEMBER,
    MAX_MEMBER,
    flags=Flag.WRITE,
    access=WRITTEN,
    summary="Remove a range of members, where all scores are the same",
    complexity=O_REMOVAL,
)
def zremrangebylex(ctx: Context, key: bytes, low: bytes, high: bytes) -> int:
    return _remove(ctx, key, by_member(low, high), "zremrangebylex")


# Listing


@dataclass(frozen=True, slots=True)
class Query:
    """Which entries of a range a request asks for, and in which form.

    ``limit`` is how many at most behind the first ``offset``; a negative one is no limit.
    """

    kind: Kind
    reverse: bool
    offset: int
    limit: int
    with_scores: bool

    def span(self, first: bytes, second: bytes) -> Span:
        """The range between its ends as they are written; downwards, the upper one comes first."""
        if self.reverse and self.kind is not by_rank:
            return self.kind(second, first)
        return self.kind(first, second)

    def entries(self, zset: SortedSet, span: Span) -> Entries:
        """The entries of ``zset`` in a range."""
        start, stop = span(zset)
        if self.kind is by_rank:  # which counts from the end that it starts at
            return zset.slice(start, stop, self.reverse)
        if self.offset < 0:
            return parted()
        if self.reverse:
            start, stop = len(zset) - stop, len(zset) - start
        start = min(start + self.offset, stop)
        if self.limit >= 0:
            stop = min(start + self.limit, stop)
        return zset.slice(start, stop, self.reverse)


def _query(
    words: Sequence[bytes],
    kind: Kind | None = None,
    reverse: bool | None = None,
    *,
    stores: bool = False,
) -> Query:
    """Read the options, as far as the command has not decided on them."""
    left = Words(words)
    offset, limit, with_scores = 0, -1, False
    while left:
        option = left.option()
        if option == b"WITHSCORES" and not stores:
            with_scores = True
        elif option == b"LIMIT" and len(left) >= 2:
            offset, limit = left.take(integer), left.take(integer)
        elif option == b"REV" and reverse is None:
            reverse = True
        elif option in _KINDS and kind is None:
            kind = _KINDS[option]
        else:
            raise SyntaxFault
    kind = kind or by_rank
    if limit != -1 and kind is by_rank:
        raise CommandError(
            "syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX"
        )
    if with_scores and kind is by_member:
        raise CommandError("syntax error, WITHSCORES not supported in combination with BYLEX")
    return Query(kind, bool(reverse), offset, limit, with_scores)


_KINDS: dict[bytes, Kind] = {b"BYSCORE": by_score, b"BYLEX": by_member}


def _found(ctx: Context, key: bytes, query: Query, first: bytes, second: bytes) -> Entries:
    span = query.span(first, second)
    zset = ZSET.get(ctx.db, key)
    return parted() if zset is None else query.entries(zset, span)


def _list(
    ctx: Context, key: bytes, query: Query, first: bytes, second: bytes
) -> list[bytes] | Scored:
    entries = _found(ctx, key, query, first, second)
    return scored(entries) if query.with_scores else entries.members


@command(
    "zrange",
    KEY,
    START,
    STOP,
    Tail("[BYSCORE|BYLEX] [REV] [LIMIT <offset> <count>] [WITHSCORES]"),
    flags=Flag.READ,
    summary="A range of members, by rank, score or member",
    complexity=O_RANGE,
)
def zrange(ctx: Context, key: bytes, start: bytes, stop: bytes, *words: bytes) -> Reply:
    return _list(ctx, key, _query(words), start, stop)


@command(
    "zrangestore",
    DESTINATION,
    Param("source", is_key=True),
    START,
    STOP,
    Tail("[BYSCORE|BYLEX] [REV] [LIMIT <offset> <count>]"),
    flags=STORES,
    access=MADE,
    summary="Make a sorted set of a range of another",
    complexity=O_RANGE.replace("returned", "stored"),
)
def zrangestore(
    ctx: Context, destination: bytes, source: bytes, start: bytes, stop: bytes, *words: bytes
) -> int:
    entries = _found(ctx, source, _query(words, stores=True), start, stop)
    return store_result(ctx, destination, _added_in_turn(entries), "zrangestore")


def _added_in_turn(entries: Entries) -> dict[bytes, float]:
    """Members and scores as Redis has them that adds one after the other: what stands before a
    long member is packed by then, where -0 becomes 0."""
    scores = dict(zip(entries.members, entries.scores, strict=True))
    if len(scores) <= PACKED_ENTRIES:
        for member, score in scores.items():
            if len(member) > PACKED_MEMBER:
                break
            scores[member] = score or 0.0
    return scores


@command(
    "zrevrange",
    KEY,
    START,
    STOP,
    Tail("[WITHSCORES]"),
    flags=Flag.READ,
    summary="The members from one rank to another, counted from the highest score",
    complexity=O_RANGE,
)
def zrevrange(ctx: Context, key: bytes, start: bytes, stop: bytes, *words: bytes) -> Reply:
    return _list(ctx, key, _query(words, by_rank, reverse=True), start, stop)


@command(
    "zrangebyscore",
    KEY,
    MIN_SCORE,
    MAX_SCORE,
    LIMIT_AND_SCORES,
    flags=Flag.READ,
    summary="The members with scores in a range",
    complexity=O_RANGE,
)
def zrangebyscore(ctx: Context, key: bytes, low: bytes, high: bytes, *words: bytes) -> Reply:
    return _list(ctx, key, _query(words, by_score, reverse=False), low, high)


@command(
    "zrevrangebyscore",
    KEY,
    MAX_SCORE,
    MIN_SCORE,
    LIMIT_AND_SCORES,
    flags=Flag.READ,
    summary="The members with scores in a range, the highest first",
    complexity=O_RANGE,
)
def zrevrangebyscore(ctx: Context, key: bytes, high: bytes, low: bytes, *words: bytes) -> Reply:
    return _list(ctx, key, _query(words, by_score, reverse=True), high, low)


@command(
    "zrangebylex",
    KEY,
    MIN_MEMBER,
    MAX_MEMBER,
    LIMIT,
    flags=Flag.READ,
    summary="A range of members, where all scores are the same",
    complexity=O_RANGE,
)
def zrangebylex(ctx: Context, key: bytes, low: bytes, high: bytes, *words: bytes) -> Reply:
    return _list(ctx, key, _query(words, by_member, reverse=False), low, high)


@command(
    "zrevrangebylex",
    KEY,
    MAX_MEMBER,
    MIN_MEMBER,
    LIMIT,
    flags=Flag.READ,
    summary="A range of members, where all scores are the same, the last first",
    complexity=O_RANGE,
)
def zrevrangebylex(ctx: Context, key: bytes, high: bytes, low: bytes, *words: bytes) -> Reply:
    return _list(ctx, key, _query(words, by_member, reverse=True), high, low)


COMMANDS = (
    zcount,
    zlexcount,
    zremrangebyrank,
    zremrangebyscore,
    zremrangebylex,
    zrange,
    zrangestore,
    zrevrange,
    zrangebyscore,
    zrevrangebyscore,
    zrangebylex,
    zrevrangebylex,
)
