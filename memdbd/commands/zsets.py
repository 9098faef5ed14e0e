"""Sorted sets: members in the order of their scores. Here is their type, and what is done with
members that are named; ranges, what is made of several sets, and taking from the ends have modules
of their own.

May import: core, doubles, sampling, scanning, spec, together and what they may import.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from math import isnan
from sys import getsizeof
from typing import Any

from memdbd.commands.access import ASKED, WRITTEN
from memdbd.commands.context import Context
from memdbd.commands.doubles import double, doubles
from memdbd.commands.sampling import DIFFERS, chosen, read_options
from memdbd.commands.scanning import CURSOR, SCAN_OPTIONS, scan
from memdbd.commands.sizes import sampled
from memdbd.commands.spec import KEY, Flag, Param, Tail, command
from memdbd.commands.together import Run, by_key, note
from memdbd.commands.types import DataType, Text, Untext
from memdbd.core import ahead
from memdbd.effects import Effect
from memdbd.errors import CommandError, SyntaxFault
from memdbd.keyspace import Value
from memdbd.replies import Double, Page, Reply, Scored
from memdbd.structs.order import Entries, Entry
from memdbd.structs.sortedset import SortedSet

# What a member costs beside itself: its score, and its place in the order.
ENTRY = 24 + 8 + 8  # bytes

MEMBER = Param("member")
MEMBERS = Param("member", many=True)
READS_FAST = Flag.READ | Flag.FAST


def _dump(value: SortedSet, text: Text) -> list[list[object]]:
    # JSON has no infinite numbers, so all scores are texts that Python reads back exactly.
    return [[text(member), repr(score)] for score, member in value]


def _load(dumped: Any, untext: Untext) -> SortedSet:
    if not isinstance(dumped, list):
        raise TypeError("a sorted set is an array of members with their scores")
    scores = {untext(member): _loaded_score(score) for member, score in dumped}
    if not scores or len(scores) < len(dumped):
        raise ValueError("no members, or one of them twice")
    # In a packed one there is no -0.0: whoever has it, was none.
    return SortedSet(scores, may_pack=not any(score == "-0.0" for _, score in dumped))


def _loaded_score(dumped: str) -> float:
    score = float(dumped)
    if isnan(score) or repr(score) != dumped:
        raise ValueError("not a score")
    return score


ZSET: DataType[SortedSet] = DataType(
    name="zset",
    python=SortedSet,
    dump=_dump,
    load=_load,
    size=lambda value: (
        getsizeof(value.scores) + sampled(len(value), value.scores) + ENTRY * len(value)
    ),
    copy=SortedSet.copy,
    encoding=lambda value: "listpack" if value.is_packed else "skiplist",
)


class _Pairs(Sequence[tuple[bytes, float]]):
    """Members and scores of entries, each pair made when it is encoded: a million at once would
    hold the loop for 200 ms."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Entries) -> None:
        self._entries = entries

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[tuple[bytes, float]]:
        return zip(self._entries.members, self._entries.scores, strict=True)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return _Pairs(self._entries[at])
        score, member = self._entries[at]
        return member, score


def scored(entries: Entries) -> Scored:
    """The reply of members with their scores."""
    return Scored(_Pairs(entries))


def store_result(
    ctx: Context, destination: bytes, scores: dict[bytes, float], operation: str
) -> int:
    """Put what a command has made at ``destination``, whatever was there; gives how many there are.

    Where there are none, the key is deleted.
    """
    if scores:
        ctx.db.set(destination, SortedSet(scores), operation=operation)
    else:
        ctx.db.delete(destination)
    return len(scores)


# Adding

_ADD_OPTIONS = frozenset((b"NX", b"XX", b"GT", b"LT", b"CH", b"INCR"))


def split_options(
    words: Sequence[bytes], known: AbstractSet[bytes]
) -> tuple[AbstractSet[bytes], Sequence[bytes]]:
    """The options that ``words`` begin with, in upper case, and what follows them."""
    at = 0
    while at < len(words) and words[at].upper() in known:
        at += 1
    return {word.upper() for word in words[:at]}, words[at:]


def put_members(
    ctx: Context, key: bytes, entries: Iterable[Entry], options: AbstractSet[bytes]
) -> int | float | None:
    """Give members their scores, as far as the options of ZADD allow it.

    Gives how many are new, with CH how many are new or changed; with INCR the score of the only
    one, None if that was not allowed.
    """
    zset = ZSET.get(ctx.db, key)
    if zset is None:
        if b"XX" in options:
            return None if b"INCR" in options else 0
        zset = SortedSet()
    scores, before = zset.scores, len(zset)
    effect = [b"ZADD", key]  # with the scores that came out, which Python reads back exactly
    allowed: float | None = None
    for score, member in entries:
        old = scores.get(member)
        allowed = _allowed(old, score, options) if options else score
        if allowed is not None and allowed != old:
            zset.put(member, allowed)
            effect += (b"%r" % scores[member], member)
    changed = len(effect) // 2 - 1
    if changed:
        ctx.db.update(key, zset, "zincr" if b"INCR" in options else "zadd", tuple(effect))
    if b"INCR" in options:
        return allowed
    return changed if b"CH" in options else len(zset) - before


def _allowed(old: float | None, score: float, options: AbstractSet[bytes]) -> float | None:
    """The score that a member gets which has ``old``; None where it keeps that."""
    if old is None:
        return None if b"XX" in options else score
    if b"NX" in options:
        return None
    if b"INCR" in options:
        score += old
        if isnan(score):
            raise CommandError("resulting score is not a number (NaN)")
    if (b"GT" in options and score <= old) or (b"LT" in options and score >= old):
        return None
    return score


def _check(options: AbstractSet[bytes], members: int) -> None:
    if {b"NX", b"XX"} <= options:
        raise CommandError("XX and NX options at the same time are not compatible")
    if len(options & {b"NX", b"GT", b"LT"}) > 1:
        raise CommandError("GT, LT, and/or NX options at the same time are not compatible")
    if b"INCR" in options and members > 1:
        raise CommandError("INCR option supports a single increment-element pair")


def _add(ctx: Context, key: bytes, words: Sequence[bytes], *given: bytes) -> int | float | None:
    """ZADD with the options ``given``, and those that it asks for."""
    options, pairs = split_options(words, _ADD_OPTIONS)
    if not pairs or len(pairs) % 2:
        raise SyntaxFault("each member comes behind its score")
    if options or given:
        options |= frozenset(given)
        _check(options, len(pairs) // 2)
    scores = [double(raw) for raw in pairs[::2]]
    return put_members(ctx, key, zip(scores, pairs[1::2], strict=True), options)


@command(
    "zadd",
    KEY,
    Tail("[NX|XX] [GT|LT] [CH] [INCR] <score> <member> …", least=2),
    flags=Flag.WRITE | Flag.GROWS | Flag.FAST,
    access=WRITTEN,
    summary="Add members to a sorted set, or give them other scores",
    complexity="O(log n) a member",
)
def zadd(ctx: Context, key: bytes, *words: bytes) -> int | float | None:
    return _add(ctx, key, words)


@zadd.together
def zadd_many(values: dict[bytes, Value], run: Run, effects: list[Effect]) -> list[int]:
    replies: list[int] = []
    given = doubles([argv[2] for argv in run])
    if not given:
        return replies
    for key, requests in by_key(run[: len(given)]):
        zset = values.get(key)
        if zset is None:
            zset = values[key] = SortedSet()
        elif zset.__class__ is not SortedSet:
            break
        ahead(zset.scores, requests, 3)
        effect, done = [b"ZADD", key], len(replies)
        replies += zset.put_many(requests, given[done : done + len(requests)], effect)
        if len(effect) > 2:
            note(effects, tuple(effect), len(effect) // 2 - 1)
    return replies


@command(
    "zincrby",
    KEY,
    Param("increment"),
    MEMBER,
    flags=Flag.WRITE | Flag.GROWS | Flag.FAST,
    summary="Add to the score of a member, which is 0 where there is none",
    complexity="O(log n)",
)
def zincrby(ctx: Context, key: bytes, *increment_and_member: bytes) -> int | float | None:
    return _add(ctx, key, increment_and_member, b"INCR")


@command(
    "zrem",
    KEY,
    MEMBERS,
    flags=Flag.WRITE | Flag.FAST,
    access=WRITTEN,
    summary="Remove members from a sorted set",
    complexity="O(log n) a member",
)
def zrem(ctx: Context, key: bytes, *members: bytes) -> int:
    zset = ZSET.get(ctx.db, key)
    if zset is None:
        return 0
    gone = list(filter(zset.remove, members))
    if gone:
        ctx.db.store(key, zset, "zrem", (b"ZREM", key, *gone))
    return len(gone)


# Looking at members


@command(
    "zcard",
    KEY,
    flags=READS_FAST,
    access=ASKED,
    summary="The number of members of a sorted set",
    complexity="O(1)",
)
def zcard(ctx: Context, key: bytes) -> int:
    return len(ZSET.get(ctx.db, key) or ())


@command(
    "zscore",
    KEY,
    MEMBER,
    flags=READS_FAST,
    summary="The score of a member",
    complexity="O(1)",
)
def zscore(ctx: Context, key: bytes, member: bytes) -> float | None:
    zset = ZSET.get(ctx.db, key)
    return None if zset is None else zset.scores.get(member)


@zscore.together
def zscore_many(values: dict[bytes, Value], run: Run, effects: list[Effect]) -> list[float | None]:
    replies: list[float | None] = []
    for _, key, member in run:
        zset = values.get(key)
        if zset is not None and zset.__class__ is not SortedSet:
            break
        replies.append(zset.scores.get(member) if zset else None)
    return replies


@command(
    "zmscore",
    KEY,
    MEMBERS,
    flags=READS_FAST,
    summary="The scores of several members",
    complexity="O(1) a member",
)
def zmscore(ctx: Context, key: bytes, *members: bytes) -> list[float | None]:
    zset = ZSET.get(ctx.db, key)
    return [None] * len(members) if zset is None else list(map(zset.scores.get, members))


@command(
    "zrank",
    KEY,
    MEMBER,
    flags=READS_FAST,
    summary="How many members have lower scores than this one",
    complexity="O(log n)",
)
def zrank(ctx: Context, key: bytes, member: bytes) -> int | None:
    zset = ZSET.get(ctx.db, key)
    return zset.rank(member) if zset is not None and member in zset.scores else None


@command(
    "zrevrank",
    KEY,
    MEMBER,
    flags=READS_FAST,
    summary="How many members have higher scores than this one",
    complexity="O(log n)",
)
def zrevrank(ctx: Context, key: bytes, member: bytes) -> int | None:
    zset = ZSET.get(ctx.db, key)
    if zset is None or member not in zset.scores:
        return None
    return len(zset) - 1 - zset.rank(member)


@command(
    "zrandmember",
    KEY,
    Tail("[<count> [WITHSCORES]]"),
    flags=Flag.READ,
    summary="Members at random: different ones, or with a negative count any",
    complexity="O(1) a member; once for a sorted set, when first asked, O(n)",
    differs=DIFFERS,
)
def zrandmember(ctx: Context, key: bytes, *words: bytes) -> Reply:
    count, with_scores = read_options(words, b"WITHSCORES") if words else (None, False)
    zset, random = ZSET.get(ctx.db, key), ctx.server.random
    if count is None:
        return None if zset is None else zset.pool.choice(random)
    if zset is None:
        return []
    members = chosen(zset.scores, lambda: zset.pool, count, random)
    return Scored([(each, zset.scores[each]) for each in members]) if with_scores else members


@command(
    "zscan",
    KEY,
    CURSOR,
    SCAN_OPTIONS,
    flags=Flag.READ,
    summary="The next members of a sorted set behind a cursor, and the cursor behind them",
    complexity="O(1) a member; once for a sorted set, when it is first scanned, O(n)",
)
def zscan(ctx: Context, key: bytes, cursor: int, *words: bytes) -> Page:
    zset = ZSET.get(ctx.db, key)
    if zset is None:
        return Page(b"0", [])
    behind, members = scan(zset.scores, lambda: zset.pool, cursor, words)
    scores, is_packed = zset.scores, zset.is_packed
    return Page(behind, Scored([(each, _scanned(scores[each], is_packed)) for each in members]))


def _scanned(score: float, is_packed: bool) -> float | Double:
    """A score as ZSCAN shows it: where Redis keeps it packed, an integer of more than 17 digits has
    them all."""
    return Double(str(int(score))) if is_packed and 1e17 <= abs(score) <= 2**62 else score


COMMANDS = (
    zadd,
    zincrby,
    zrem,
    zcard,
    zscore,
    zmscore,
    zrank,
    zrevrank,
    zrandmember,
    zscan,
)
