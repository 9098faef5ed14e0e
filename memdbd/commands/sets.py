"""Sets: bytes in no order, each once.

May import: core, context, sampling, scanning, spec, together, types and what they may import.
"""

from __future__ import annotations

from itertools import compress
from sys import getsizeof
from typing import Any

from memdbd.commands.access import ASKED, MOVED, WRITTEN
from memdbd.commands.arguments import integer, natural
from memdbd.commands.context import Context
from memdbd.commands.sampling import DIFFERS, chosen, read_count
from memdbd.commands.scanning import CURSOR, SCAN_OPTIONS, scan
from memdbd.commands.sizes import sampled
from memdbd.commands.spec import DESTINATION, KEY, Flag, Param, Tail, command
from memdbd.commands.together import Run, by_key, note
from memdbd.commands.types import DataType, Untext
from memdbd.core import LONG, MOST, ahead, weight
from memdbd.effects import NOTHING, Effect
from memdbd.errors import CommandError, SyntaxFault
from memdbd.keyspace import Value
from memdbd.replies import Members, Page
from memdbd.structs.pooled import PooledSet

INTSET = 512  # members up to which Redis keeps a set of integers packed


def _load(dumped: Any, untext: Untext) -> PooledSet:
    if not isinstance(dumped, list) or not dumped:
        raise TypeError("a set is an array of members")
    return PooledSet(map(untext, dumped))


def _encoding(members: PooledSet) -> str:
    if len(members) > INTSET:
        return "hashtable"
    try:
        for member in members:
            integer(member)
    except CommandError:
        return "hashtable"
    return "intset"


SET: DataType[PooledSet] = DataType(
    name="set",
    python=PooledSet,
    dump=lambda members, text: list(map(text, members)),
    load=_load,
    size=lambda members: getsizeof(members) + sampled(len(members), members),
    copy=PooledSet,
    encoding=_encoding,
)

MEMBER = Param("member")
MEMBERS = Param("member", many=True)


@command(
    "sadd",
    KEY,
    MEMBERS,
    flags=Flag.WRITE | Flag.GROWS | Flag.FAST,
    access=WRITTEN,
    summary="Add members to a set; gives how many are new",
    complexity="O(1) a member",
)
def sadd(ctx: Context, key: bytes, *members: bytes) -> int:
    there = SET.get(ctx.db, key)
    if there is None:
        there = PooledSet()
    new = [member for member in members if member not in there]
    if not new:
        return 0
    added = there.put_all(new)
    ctx.db.store(key, there, "sadd", (b"SADD", key, *new))
    return added


@sadd.together
def sadd_many(values: dict[bytes, Value], run: Run, effects: list[Effect]) -> list[int]:
    replies: list[int] = []
    for key, requests in by_key(run):
        there = values.get(key)
        if there is None:
            there = values[key] = PooledSet()
        elif there.__class__ is not PooledSet:
            break
        ahead(there, requests, 2)
        members = [argv[2] for argv in requests]
        added = there.put_each(members)
        replies += added
        new = list(compress(members, added))
        if new:
            note(effects, (b"SADD", key, *new), len(new))
    return replies


@command(
    "srem",
    KEY,
    MEMBERS,
    flags=Flag.WRITE | Flag.FAST,
    access=WRITTEN,
    summary="Remove members from a set; gives how many were there",
    complexity="O(1) a member",
)
def srem(ctx: Context, key: bytes, *members: bytes) -> int:
    there = SET.get(ctx.db, key)
    gone = [] if there is None else [member for member in members if member in there]
    if there is None or not gone:
        return 0
    removed = there.take_all(gone)
    ctx.db.store(key, there, "srem", (b"SREM", key, *gone))
    return removed


@command(
    "smove",
    Param("source", is_key=True),
    DESTINATION,
    MEMBER,
    flags=Flag.WRITE | Flag.FAST,
    access=MOVED,
    summary="Move a member to another set: 1, or 0 if it is not there",
    complexity="O(1)",
)
def smove(ctx: Context, source: bytes, destination: bytes, member: bytes) -> int:
    there = SET.get(ctx.db, source)
    if there is None:
        return 0
    other = SET.get(ctx.db, destination)
    if there is other or member not in there:
        return int(member in there)
    there.take(member)
    ctx.db.store(source, there, "srem", (b"SREM", source, member))
    if other is None:
        other = PooledSet()
    if other.put(member):
        ctx.db.store(destination, other, "sadd", (b"SADD", destination, member))
    return 1


@command(
    "smembers",
    KEY,
    flags=Flag.READ,
    summary="The members of a set",
    complexity="O(n), n being its members",
)
def smembers(ctx: Context, key: bytes) -> Members:
    return Members(list(SET.get(ctx.db, key) or ()))


@command(
    "sismember",
    KEY,
    MEMBER,
    flags=Flag.READ | Flag.FAST,
    access=ASKED,
    summary="Whether a set has a member, 1 or 0",
    complexity="O(1)",
)
def sismember(ctx: Context, key: bytes, member: bytes) -> int:
    return int(member in (SET.get(ctx.db, key) or ()))


@sismember.together
def sismember_many(values: dict[bytes, Value], run: Run, effects: list[Effect]) -> list[int]:
    replies: list[int] = []
    for _, key, member in run:
        there = values.get(key)
        if there is not None and there.__class__ is not PooledSet:
            break
        replies.append(1 if there and member in there else 0)
    return replies


@command(
    "smismember",
    KEY,
    MEMBERS,
    flags=Flag.READ | Flag.FAST,
    summary="Which of some members a set has, 1 or 0 for each",
    complexity="O(1) a member",
)
def smismember(ctx: Context, key: bytes, *members: bytes) -> list[int]:
    there = SET.get(ctx.db, key) or ()
    return [int(member in there) for member in members]


@command(
    "scard",
    KEY,
    flags=Flag.READ | Flag.FAST,
    access=ASKED,
    summary="Count the members of a set",
    complexity="O(1)",
)
def scard(ctx: Context, key: bytes) -> int:
    return len(SET.get(ctx.db, key) or ())


@command(
    "spop",
    KEY,
    Tail("[<count>]"),
    flags=Flag.WRITE | Flag.FAST,
    summary="Remove a member, or several, at random, and give them",
    complexity="O(1) a member; once for a set, when it is first chosen from, O(n) of its members",
    differs="Never a hit in INFO, as it is in Redis where all members are taken by their number.",
)
def spop(ctx: Context, key: bytes, *words: bytes) -> bytes | Members | None:
    if len(words) > 1:
        raise SyntaxFault("only a count may follow the key")
    count = natural(words[0]) if words else None
    there = SET.get(ctx.db, key)
    if count is not None:
        return Members(_popped(ctx, key, there, count) if there and count else [])
    if there is None:
        return None
    member = there.take_any(ctx.server.random)
    ctx.db.store(key, there, "spop", (b"SREM", key, member))
    return member


@spop.together_in_context
def spop_many(ctx: Context, run: Run, effects: list[Effect]) -> list[bytes | None]:
    replies: list[bytes | None] = []
    values, random = ctx.db.values, ctx.server.random
    room = MOST
    for key, requests in by_key(run):
        there = values.get(key)
        if there is None:
            replies += [None] * len(requests)
            continue
        if there.__class__ is not PooledSet:
            break
        taken = there.take_short(min(len(requests), len(there)), random, LONG, room)
        room -= weight(taken)
        if taken:
            replies += taken
            note(effects, (b"SREM", key, *taken), len(taken))
        if not there:
            del values[key]
            effects.append(NOTHING)  # as for the handler's, whose key is deleted with its last
            replies += [None] * (len(requests) - len(taken))
        elif len(taken) < len(requests):
            break
    return replies


def _popped(ctx: Context, key: bytes, there: PooledSet, count: int) -> list[bytes]:
    if count >= len(there):
        members = list(there)
        there = PooledSet()  # what was there is left as it is, to be freed in slices
        ctx.db.store(key, there, "spop", (b"DEL", key))
    else:
        members = [there.take_any(ctx.server.random) for _ in range(count)]
        ctx.db.store(key, there, "spop", (b"SREM", key, *members))
    return members


@command(
    "srandmember",
    KEY,
    Tail("[<count>]"),
    flags=Flag.READ,
    summary="A member at random, or several; of a negative count, some may be the same",
    complexity="O(1) a member; once for a set, when it is first chosen from, O(n) of its members",
    differs=DIFFERS,
)
def srandmember(ctx: Context, key: bytes, *words: bytes) -> bytes | list[bytes] | None:
    if len(words) > 1:
        raise SyntaxFault("only a count may follow the key")
    count = read_count(words[0]) if words else None
    there = SET.get(ctx.db, key)
    if count is None:
        return None if there is None else there.pool.choice(ctx.server.random)
    if there is None:
        return []
    return chosen(there, lambda: there.pool, count, ctx.server.random)


@command(
    "sscan",
    KEY,
    CURSOR,
    SCAN_OPTIONS,
    flags=Flag.READ,
    summary="The next members of a set behind a cursor, and the cursor behind them",
    complexity="O(1) a member; once for a set, when it is first scanned, O(n) of its members",
)
def sscan(ctx: Context, key: bytes, cursor: int, *words: bytes) -> Page:
    there = SET.get(ctx.db, key)
    if there is None:
        return Page(b"0", [])
    return Page(*scan(there, lambda: there.pool, cursor, words))


COMMANDS = (
    sadd,
    srem,
    smove,
    smembers,
    sismember,
    smismember,
    scard,
    spop,
    srandmember,
    sscan,
)
