"""Taking members from either end of a sorted set, and waiting until there are some.

Replies have three forms: members and scores by turns, in arrays of two, or, in the text dialect,
named. May import: core, blocking, together, zsets and what it may import.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from memdbd.commands.access import counted_keys
from memdbd.commands.arguments import Words, natural
from memdbd.commands.blocking import (
    ALL_BUT_THE_LAST,
    KEYS_AND_TIMEOUT,
    keys_end_and_count,
    timeout,
    wait_for_any,
)
from memdbd.commands.context import Context
from memdbd.commands.spec import KEY, Flag, Param, Tail, command
from memdbd.commands.together import Run, by_key, note, short
from memdbd.commands.zsets import ZSET, scored
from memdbd.core import MOST
from memdbd.effects import Effect
from memdbd.errors import SyntaxFault
from memdbd.keyspace import Value
from memdbd.replies import NULL_ARRAY, Reply, Scored
from memdbd.structs.order import Entries, parted
from memdbd.structs.sortedset import SortedSet


class End(NamedTuple):
    """One end of a sorted set, and what taking from it is called."""

    is_top: bool
    operation: str


LOWEST = End(False, "zpopmin")
HIGHEST = End(True, "zpopmax")
_ENDS = {b"MIN": LOWEST, b"MAX": HIGHEST}

Form = Callable[[bytes, Entries], Reply]  # of a key and what was popped there

COUNT = Tail("[<count>]")
COUNTED_KEYS = Tail("<numkeys> <key> … MIN|MAX [COUNT <count>]", least=3)
O_POP = "O(k log n) for k members"
O_POP_ONE = "O(log n)"
POPS = Flag.WRITE | Flag.FAST


def _flat(key: bytes, popped: Entries) -> Reply:
    return [key, *(each for score, member in popped for each in (member, score))]


def _nested(key: bytes, popped: Entries) -> Reply:
    return [key, [[member, score] for score, member in popped]]


def _named(key: bytes, popped: Entries) -> Reply:
    return [key, scored(popped)]


def _pop(ctx: Context, key: bytes, zset: SortedSet, end: End, count: int) -> Entries:
    popped = _cut(zset, end, count)
    ctx.db.store(key, zset, end.operation, _effect(key, zset, popped))
    return popped


def _cut(zset: SortedSet, end: End, count: int) -> Entries:
    size = len(zset)
    if not end.is_top:
        return zset.cut(0, min(count, size))
    popped = zset.cut(max(size - count, 0), size)
    popped.reverse()
    return popped


def _effect(key: bytes, zset: SortedSet, popped: Entries) -> Effect:
    return (b"ZREM", key, *popped.members) if zset else (b"DEL", key)


def _pop_key(ctx: Context, key: bytes, end: End, count: int, form: Form) -> Reply | None:
    """The reply to popping there; None where there is nothing."""
    zset = ZSET.get(ctx.db, key)
    return None if zset is None else form(key, _pop(ctx, key, zset, end, count))


# From one key


def _pop_some(ctx: Context, key: bytes, words: Sequence[bytes], end: End) -> Entries:
    """What ``<key> [<count>]`` asks for."""
    if len(words) > 1:
        raise SyntaxFault
    count = natural(words[0]) if words else 1
    zset = ZSET.get(ctx.db, key)
    return _pop(ctx, key, zset, end, count) if zset is not None and count else parted()


def _popped(ctx: Context, key: bytes, words: Sequence[bytes], end: End) -> list[Reply] | Scored:
    entries = _pop_some(ctx, key, words, end)
    if words:
        return scored(entries)
    return [each for score, member in entries for each in (member, score)]


def _pop_many(
    values: dict[bytes, Value], run: Run, effects: list[Effect], end: End
) -> list[list[Reply]]:
    replies: list[list[Reply]] = []
    room = MOST
    for key, requests in by_key(run):
        asked = len(requests)
        zset = values.get(key)
        if zset is None:
            replies += [[] for _ in range(asked)]
            continue
        if zset.__class__ is not SortedSet:
            break
        ahead = zset.slice(0, asked, reverse=end.is_top)
        taken = short(ahead.members, room)
        if not taken:
            break
        room -= sum(map(len, taken))
        popped = _cut(zset, end, len(taken))
        replies += [[member, score] for score, member in popped]
        changes = len(popped)
        effect = _effect(key, zset, popped)
        if zset:
            note(effects, effect, changes)
        else:
            del values[key]
            note(effects, effect, changes + 1)
            replies += [[] for _ in range(asked - changes)]
    return replies


@command(
    "zpopmin",
    KEY,
    COUNT,
    flags=POPS,
    summary="Take members with the lowest scores out of a sorted set",
    complexity=O_POP,
)
def zpopmin(ctx: Context, key: bytes, *count: bytes) -> Reply:
    return _popped(ctx, key, count, LOWEST)


@zpopmin.together
def zpopmin_many(values: dict[bytes, Value], run: Run, effects: list[Effect]) -> list[list[Reply]]:
    return _pop_many(values, run, effects, LOWEST)


@zpopmin.in_text()
def zpopmin_in_text(ctx: Context, key: bytes, *count: bytes) -> Scored:
    return scored(_pop_some(ctx, key, count, LOWEST))


@command(
    "zpopmax",
    KEY,
    COUNT,
    flags=POPS,
    summary="Take members with the highest scores out of a sorted set",
    complexity=O_POP,
)
def zpopmax(ctx: Context, key: bytes, *count: bytes) -> Reply:
    return _popped(ctx, key, count, HIGHEST)


@zpopmax.together
def zpopmax_many(values: dict[bytes, Value], run: Run, effects: list[Effect]) -> list[list[Reply]]:
    return _pop_many(values, run, effects, HIGHEST)


@zpopmax.in_text()
def zpopmax_in_text(ctx: Context, key: bytes, *count: bytes) -> Scored:
    return scored(_pop_some(ctx, key, count, HIGHEST))


def _bzpop(ctx: Context, keys_and_timeout: Sequence[bytes], end: End, form: Form) -> Reply:
    return wait_for_any(ctx, keys_and_timeout, lambda key: _pop_key(ctx, key, end, 1, form))


@command(
    "bzpopmin",
    KEYS_AND_TIMEOUT,
    flags=POPS | Flag.BLOCKING,
    summary="Take the member with the lowest score out of the first sorted set that has any, or "
    "wait so many seconds for one",
    complexity=O_POP_ONE,
    keys=ALL_BUT_THE_LAST,
)
def bzpopmin(ctx: Context, *keys_and_timeout: bytes) -> Reply:
    return _bzpop(ctx, keys_and_timeout, LOWEST, _flat)


@bzpopmin.in_text()
def bzpopmin_in_text(ctx: Context, *keys_and_timeout: bytes) -> Reply:
    return _bzpop(ctx, keys_and_timeout, LOWEST, _named)


@command(
    "bzpopmax",
    KEYS_AND_TIMEOUT,
    flags=POPS | Flag.BLOCKING,
    summary="Take the member with the highest score out of the first sorted set that has any, or "
    "wait so many seconds for one",
    complexity=O_POP_ONE,
    keys=ALL_BUT_THE_LAST,
)
def bzpopmax(ctx: Context, *keys_and_timeout: bytes) -> Reply:
    return _bzpop(ctx, keys_and_timeout, HIGHEST, _flat)


@bzpopmax.in_text()
def bzpopmax_in_text(ctx: Context, *keys_and_timeout: bytes) -> Reply:
    return _bzpop(ctx, keys_and_timeout, HIGHEST, _named)


# From the first of several keys


def _zmpop(ctx: Context, words: Sequence[bytes], form: Form) -> Reply:
    keys, end, count = keys_end_and_count(Words(words), _ENDS)
    for key in keys:
        reply = _pop_key(ctx, key, end, count, form)
        if reply is not None:
            return reply
    return NULL_ARRAY


def _bzmpop(ctx: Context, raw_timeout: bytes, words: Sequence[bytes], form: Form) -> Reply:
    keys, end, count = keys_end_and_count(Words(words), _ENDS)
    return ctx.wait_for(
        keys,
        lambda key: _pop_key(ctx, key, end, count, form),
        timeout(raw_timeout),
        NULL_ARRAY,
    )


@command(
    "zmpop",
    COUNTED_KEYS,
    flags=Flag.WRITE,
    summary="Take members from an end of the first sorted set that has any",
    complexity=O_POP,
    keys=counted_keys(1),
)
def zmpop(ctx: Context, *words: bytes) -> Reply:
    return _zmpop(ctx, words, _nested)


@zmpop.in_text()
def zmpop_in_text(ctx: Context, *words: bytes) -> Reply:
    return _zmpop(ctx, words, _named)


@command(
    "bzmpop",
    Param("timeout"),
    COUNTED_KEYS,
    flags=Flag.WRITE | Flag.BLOCKING,
    summary="Take members from an end of the first sorted set that has any, or wait so many "
    "seconds for one",
    complexity=O_POP,
    keys=counted_keys(2),
)
def bzmpop(ctx: Context, raw_timeout: bytes, *words: bytes) -> Reply:
    return _bzmpop(ctx, raw_timeout, words, _nested)


@bzmpop.in_text()
def bzmpop_in_text(ctx: Context, raw_timeout: bytes, *words: bytes) -> Reply:
    return _bzmpop(ctx, raw_timeout, words, _named)


COMMANDS = (
    zpopmin,
    zpopmax,
    bzpopmin,
    bzpopmax,
    zmpop,
    bzmpop,
)
