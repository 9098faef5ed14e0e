"""Sorted sets made of others: union, intersection, difference. Sets count as sorted sets of which
all scores are 1.

Strategy: a source is what tells the score of a member, whichever type it is of; each operation
makes a dict of scores out of sources, in Redis's order, on which the last digits of sums depend.

May import: doubles, sets, zsets and what it may import.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import isnan

from memdbd.commands.access import MADE, counted_keys
from memdbd.commands.arguments import Words, integer, limit_of_count
from memdbd.commands.context import Context
from memdbd.commands.doubles import double
from memdbd.commands.sets import SET
from memdbd.commands.spec import DESTINATION, STORES, Flag, Param, Tail, command
from memdbd.commands.zsets import ZSET, scored, store_result
from memdbd.errors import CommandError, SyntaxFault, WrongType
from memdbd.replies import Reply, Scored
from memdbd.structs.order import parted


@dataclass(slots=True)
class Source:
    """A set or sorted set; ``score(member)`` is that of one of its members."""

    members: Collection[bytes]
    score: Callable[[bytes], float]
    weight: float = 1.0


def _add(one: float, other: float) -> float:
    total = one + other
    return 0.0 if isnan(total) else total  # of two infinities


def _min(one: float, other: float) -> float:
    return other if other < one else one  # which stays where the other is NaN


def _max(one: float, other: float) -> float:
    return other if other > one else one


Aggregate = Callable[[float, float], float]
Combine = Callable[[list[Source], Aggregate], dict[bytes, float]]

_AGGREGATES: dict[bytes, Aggregate] = {b"SUM": _add, b"MIN": _min, b"MAX": _max}


def _weighted(score: float, weight: float) -> float:
    """The first score of a member."""
    product = score * weight
    return 0.0 if isnan(product) else product  # of 0 and an infinity


def _union(sources: list[Source], aggregate: Aggregate) -> dict[bytes, float]:
    scores: dict[bytes, float] = {}
    for source in _smallest_first(sources):
        score_of, weight = source.score, source.weight
        for member in source.members:
            score = _weighted(score_of(member), weight)
            old = scores.get(member)
            scores[member] = score if old is None else aggregate(old, score)
    return scores


def _intersection(sources: list[Source], aggregate: Aggregate) -> dict[bytes, float]:
    smallest, *others = _smallest_first(sources)
    scores: dict[bytes, float] = {}
    for member in _common(sources):
        total = _weighted(smallest.score(member), smallest.weight)
        for other in others:
            total = aggregate(total, other.score(member) * other.weight)
        scores[member] = total
    return scores


def _difference(sources: list[Source], _: Aggregate) -> dict[bytes, float]:
    first, *others = sources
    return {
        member: first.score(member)
        for member in first.members
        if not any(member in other.members for other in others)
    }


def _smallest_first(sources: list[Source]) -> list[Source]:
    return sorted(sources, key=lambda source: len(source.members))


def _common(sources: list[Source]) -> Iterator[bytes]:
    """The members that all of them have."""
    smallest, *others = _smallest_first(sources)
    members = iter(smallest.members)
    for other in others:
        members = filter(other.members.__contains__, members)
    return members


# Requests


def _source(ctx: Context, key: bytes) -> Source:
    value = ctx.db.get(key)
    if value is None:
        return Source((), _NO_SCORES.__getitem__)
    if isinstance(value, SET.python):
        return Source(value, lambda member: 1.0)
    if isinstance(value, ZSET.python):
        return Source(value.scores, value.scores.__getitem__)
    raise WrongType


_NO_SCORES: dict[bytes, float] = {}


def _sources(
    ctx: Context, name: str, numkeys: int, words: Sequence[bytes]
) -> tuple[list[Source], Words]:
    """The sources of a request, and the words behind their keys."""
    if numkeys < 1:
        raise CommandError(f"at least 1 input key is needed for '{name}' command")
    if numkeys > len(words):
        raise SyntaxFault("there are fewer keys than <numkeys> says")
    return [_source(ctx, key) for key in words[:numkeys]], Words(words[numkeys:])


def _scores(
    ctx: Context,
    name: str,
    combine: Combine,
    numkeys: int,
    words: Sequence[bytes],
    *,
    stores: bool = False,
) -> tuple[dict[bytes, float], bool]:
    """What a request makes of its sources, and whether it is to be listed with scores."""
    sources, left = _sources(ctx, name, numkeys, words)
    changes_scores = combine is not _difference
    aggregate: Aggregate = _add
    with_scores = False
    while left:
        option = left.option()
        if option == b"WEIGHTS" and changes_scores and len(left) >= numkeys:
            for source in sources:
                source.weight = double(left.take(), "weight value is not a float")
        elif option == b"AGGREGATE" and changes_scores:
            aggregate = _aggregate(left.option())
        elif option == b"WITHSCORES" and not stores:
            with_scores = True
        else:
            raise SyntaxFault
    return combine(sources, aggregate), with_scores


def _aggregate(word: bytes) -> Aggregate:
    if word not in _AGGREGATES:
        raise SyntaxFault("AGGREGATE SUM, MIN or MAX")
    return _AGGREGATES[word]


def _list(
    ctx: Context, name: str, combine: Combine, numkeys: int, words: Sequence[bytes]
) -> list[bytes] | Scored:
    scores, with_scores = _scores(ctx, name, combine, numkeys, words)
    entries = sorted(zip(scores.values(), scores, strict=True))
    return scored(parted(entries)) if with_scores else [member for _, member in entries]


def _store(
    ctx: Context,
    name: str,
    combine: Combine,
    destination: bytes,
    numkeys: int,
    words: Sequence[bytes],
) -> int:
    scores, _ = _scores(ctx, name, combine, numkeys, words, stores=True)
    return store_result(ctx, destination, scores, name)


NUMKEYS = Param("numkeys", integer)
_WEIGHED = "<key> … [WEIGHTS <weight> …] [AGGREGATE SUM|MIN|MAX]"
WEIGHED = Tail(_WEIGHED, least=1)
WEIGHED_OR_SCORED = Tail(f"{_WEIGHED} [WITHSCORES]", least=1)

O_UNION = "O(n log n), n being the members of all sources"
O_INTERSECTION = "O(n k + m log m), n being the members of the smallest of k sources, m the result"
O_DIFFERENCE = "O(n k + m log m), n being the members of the first of k sources, m the result"


@command(
    "zunion",
    NUMKEYS,
    WEIGHED_OR_SCORED,
    flags=Flag.READ,
    summary="The members of any of several sorted sets, with all their scores",
    complexity=O_UNION,
    keys=counted_keys(1),
)
def zunion(ctx: Context, numkeys: int, *words: bytes) -> Reply:
    return _list(ctx, "zunion", _union, numkeys, words)


@command(
    "zinter",
    NUMKEYS,
    WEIGHED_OR_SCORED,
    flags=Flag.READ,
    summary="The members that several sorted sets have in common, with all their scores",
    complexity=O_INTERSECTION,
    keys=counted_keys(1),
)
def zinter(ctx: Context, numkeys: int, *words: bytes) -> Reply:
    return _list(ctx, "zinter", _intersection, numkeys, words)


@command(
    "zdiff",
    NUMKEYS,
    Tail("<key> … [WITHSCORES]", least=1),
    flags=Flag.READ,
    summary="The members that of several sorted sets only the first has",
    complexity=O_DIFFERENCE,
    keys=counted_keys(1),
)
def zdiff(ctx: Context, numkeys: int, *words: bytes) -> Reply:
    return _list(ctx, "zdiff", _difference, numkeys, words)


@command(
    "zintercard",
    NUMKEYS,
    Tail("<key> … [LIMIT <limit>]", least=1),
    flags=Flag.READ,
    summary="How many members several sorted sets have in common",
    complexity="O(n k), n being the members of the smallest of k sources",
    keys=counted_keys(1),
)
def zintercard(ctx: Context, numkeys: int, *words: bytes) -> int:
    sources, left = _sources(ctx, "zintercard", numkeys, words)
    limit = 0
    while left:
        if left.option() != b"LIMIT":
            raise SyntaxFault
        limit = left.take(limit_of_count)
    return sum(1 for _ in islice(_common(sources), limit or None))


@command(
    "zunionstore",
    DESTINATION,
    NUMKEYS,
    WEIGHED,
    flags=STORES,
    access=MADE,
    summary="Make a sorted set of what ZUNION gives",
    complexity=O_UNION,
    keys=counted_keys(2, 1),
)
def zunionstore(ctx: Context, destination: bytes, numkeys: int, *words: bytes) -> int:
    return _store(ctx, "zunionstore", _union, destination, numkeys, words)


@command(
    "zinterstore",
    DESTINATION,
    NUMKEYS,
    WEIGHED,
    flags=STORES,
    access=MADE,
    summary="Make a sorted set of what ZINTER gives",
    complexity=O_INTERSECTION,
    keys=counted_keys(2, 1),
)
def zinterstore(ctx: Context, destination: bytes, numkeys: int, *words: bytes) -> int:
    return _store(ctx, "zinterstore", _intersection, destination, numkeys, words)


@command(
    "zdiffstore",
    DESTINATION,
    NUMKEYS,
    Tail("<key> …", least=1),
    flags=STORES,
    access=MADE,
    summary="Make a sorted set of what ZDIFF gives",
    complexity=O_DIFFERENCE,
    keys=counted_keys(2, 1),
)
def zdiffstore(ctx: Context, destination: bytes, numkeys: int, *words: bytes) -> int:
    return _store(ctx, "zdiffstore", _difference, destination, numkeys, words)


COMMANDS = (
    zunion,
    zinter,
    zdiff,
    zintercard,
    zunionstore,
    zinterstore,
    zdiffstore,
)
