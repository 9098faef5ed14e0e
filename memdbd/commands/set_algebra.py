"""Sets made of sets: what they have in common, what any of them has, what only the first has.

Strategy: members come out of chains of filters that run in C, so that nothing is kept between, and
whoever wants but a few of them stops there. May import: sets and what it may import.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import filterfalse, islice

from memdbd.commands.access import MADE, counted_keys
from memdbd.commands.arguments import Words, limit_of_count, number_of_keys
from memdbd.commands.context import Context
from memdbd.commands.sets import SET
from memdbd.commands.spec import DESTINATION, KEYS, STORES, Flag, Param, Tail, command
from memdbd.errors import CommandError, SyntaxFault
from memdbd.replies import Members
from memdbd.structs.pooled import PooledSet

O_INTERSECTION = "O(n k), n being the members of the smallest of k sets"
O_UNION = "O(n), n being the members of all sets"
O_DIFFERENCE = "O(n k), n being the members of the first of k sets"


def _sets(ctx: Context, keys: Iterable[bytes]) -> list[AbstractSet[bytes]]:
    """The sets of ``keys``; where there is none, an empty one."""
    return [SET.get(ctx.db, key) or frozenset() for key in keys]


def _intersection(ctx: Context, keys: Iterable[bytes]) -> Iterator[bytes]:
    smallest, *others = sorted(_sets(ctx, keys), key=len)
    members = iter(smallest)
    for other in others:
        members = filter(other.__contains__, members)
    return members


def _union(ctx: Context, keys: Iterable[bytes]) -> Iterable[bytes]:
    return frozenset().union(*_sets(ctx, keys))


def _difference(ctx: Context, keys: Iterable[bytes]) -> Iterator[bytes]:
    first, *others = _sets(ctx, keys)
    members = iter(first)
    for other in sorted(others, key=len, reverse=True):  # who most likely has it, is asked first
        members = filterfalse(other.__contains__, members)
    return members


def _store(ctx: Context, destination: bytes, members: Iterable[bytes], operation: str) -> int:
    """Let ``destination`` be a set of ``members``, whatever it was; gives how many there are."""
    result = PooledSet(members)
    if result:
        ctx.db.set(destination, result, operation=operation)
    else:
        ctx.db.delete(destination)
    return len(result)


@command(
    "sinter",
    KEYS,
    flags=Flag.READ,
    summary="The members that all sets have",
    complexity=O_INTERSECTION,
)
def sinter(ctx: Context, *keys: bytes) -> Members:
    return Members(list(_intersection(ctx, keys)))


@command(
    "sinterstore",
    DESTINATION,
    KEYS,
    flags=STORES,
    access=MADE,
    summary="Store the members that all sets have; gives how many",
    complexity=O_INTERSECTION,
)
def sinterstore(ctx: Context, destination: bytes, *keys: bytes) -> int:
    return _store(ctx, destination, _intersection(ctx, keys), "sinterstore")


@command(
    "sintercard",
    Param("numkeys", number_of_keys),
    Tail("<key> … [LIMIT <limit>]", least=1),
    flags=Flag.READ,
    summary="Count the members that all sets have, up to a limit",
    complexity=O_INTERSECTION,
    keys=counted_keys(1),
)
def sintercard(ctx: Context, count: int, *words: bytes) -> int:
    if count > len(words):
        raise CommandError("Number of keys can't be greater than number of args")
    limit = _read_limit(words[count:])
    members = _intersection(ctx, words[:count])
    return sum(1 for _ in islice(members, limit or None))


def _read_limit(words: Sequence[bytes]) -> int:
    """The limit that the options say; 0 is none."""
    limit, left = 0, Words(words)
    while left:
        if left.option() != b"LIMIT":
            raise SyntaxFault("only LIMIT may follow the keys")
        limit = left.take(limit_of_count)
    return limit


@command(
    "sunion",
    KEYS,
    flags=Flag.READ,
    summary="The members that any of the sets has",
    complexity=O_UNION,
)
def sunion(ctx: Context, *keys: bytes) -> Members:
    return Members(list(_union(ctx, keys)))


@command(
    "sunionstore",
    DESTINATION,
    KEYS,
    flags=STORES,
    access=MADE,
    summary="Store the members that any of the sets has; gives how many",
    complexity=O_UNION,
)
def sunionstore(ctx: Context, destination: bytes, *keys: bytes) -> int:
    return _store(ctx, destination, _union(ctx, keys), "sunionstore")


@command(
    "sdiff",
    KEYS,
    flags=Flag.READ,
    summary="The members that only the first set has",
    complexity=O_DIFFERENCE,
)
def sdiff(ctx: Context, *keys: bytes) -> Members:
    return Members(list(_difference(ctx, keys)))


@command(
    "sdiffstore",
    DESTINATION,
    KEYS,
    flags=STORES,
    access=MADE,
    summary="Store the members that only the first set has; gives how many",
    complexity=O_DIFFERENCE,
)
def sdiffstore(ctx: Context, destination: bytes, *keys: bytes) -> int:
    return _store(ctx, destination, _difference(ctx, keys), "sdiffstore")


COMMANDS = (sinter, sinterstore, sintercard, sunion, sunionstore, sdiff, sdiffstore)
