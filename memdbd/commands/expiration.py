"""When keys expire: giving them a deadline, asking for it, taking it off.

May import: context, expiry, spec, together and what they may import.
"""

from __future__ import annotations

from collections.abc import Sequence

from memdbd.commands.access import WRITTEN
from memdbd.commands.arguments import integer
from memdbd.commands.context import Context
from memdbd.commands.expiry import (
    MILLISECONDS,
    MILLISECONDS_AT,
    SECONDS,
    SECONDS_AT,
    Unit,
    deadline_of,
    whole_seconds,
)
from memdbd.commands.spec import KEY, Command, Flag, Param, Tail, command
from memdbd.commands.together import Run
from memdbd.effects import Effect
from memdbd.errors import CommandError, shown

NO_KEY, NO_DEADLINE = -2, -1  # what TTL answers, as in Redis

CONDITIONS = Tail("[NX|XX|GT|LT]")
EXPIRE = Flag.WRITE | Flag.FAST
ASK = Flag.READ | Flag.FAST
IN_SORTED_ORDER = "O(log n) with n deadlines"


@command(
    "expire",
    KEY,
    Param("seconds"),
    CONDITIONS,
    flags=EXPIRE,
    access=WRITTEN,
    summary="Let a key expire in so many seconds: 1, or 0 if there is no such key",
    complexity=IN_SORTED_ORDER,
)
def expire(ctx: Context, key: bytes, seconds: bytes, *conditions: bytes) -> int:
    return _expire(ctx, expire, key, seconds, SECONDS, conditions)


@command(
    "pexpire",
    KEY,
    Param("milliseconds"),
    CONDITIONS,
    flags=EXPIRE,
    access=WRITTEN,
    summary="Let a key expire in so many milliseconds",
    complexity=IN_SORTED_ORDER,
)
def pexpire(ctx: Context, key: bytes, milliseconds: bytes, *conditions: bytes) -> int:
    return _expire(ctx, pexpire, key, milliseconds, MILLISECONDS, conditions)


@command(
    "expireat",
    KEY,
    Param("unix-seconds"),
    CONDITIONS,
    flags=EXPIRE,
    access=WRITTEN,
    summary="Let a key expire at a time in seconds since 1970",
    complexity=IN_SORTED_ORDER,
)
def expireat(ctx: Context, key: bytes, seconds: bytes, *conditions: bytes) -> int:
    return _expire(ctx, expireat, key, seconds, SECONDS_AT, conditions)


@command(
    "pexpireat",
    KEY,
    Param("unix-milliseconds"),
    CONDITIONS,
    flags=EXPIRE,
    access=WRITTEN,
    summary="Let a key expire at a time in milliseconds since 1970",
    complexity=IN_SORTED_ORDER,
)
def pexpireat(ctx: Context, key: bytes, milliseconds: bytes, *conditions: bytes) -> int:
    return _expire(ctx, pexpireat, key, milliseconds, MILLISECONDS_AT, conditions)


def _expire(
    ctx: Context, command: Command, key: bytes, time: bytes, unit: Unit, words: Sequence[bytes]
) -> int:
    conditions = _conditions(words)  # their errors come before those of the number
    try:
        number = integer(time)
    except CommandError as error:
        error.hint = f"usage: {command.usage}"
        raise
    deadline = deadline_of(ctx, command.name, number, unit)
    if ctx.db.get(key) is None or not _allow(conditions, ctx.db.deadlines.get(key), deadline):
        return 0
    return int(ctx.db.expire_at(key, deadline))


def _conditions(words: Sequence[bytes]) -> set[bytes]:
    conditions = set()
    for word in words:
        condition = word.upper()
        if condition not in (b"NX", b"XX", b"GT", b"LT"):
            raise CommandError(f"Unsupported option {shown(word)}")
        conditions.add(condition)
    if b"NX" in conditions and len(conditions) > 1:
        raise CommandError("NX and XX, GT or LT options at the same time are not compatible")
    if {b"GT", b"LT"} <= conditions:
        raise CommandError("GT and LT options at the same time are not compatible")
    return conditions


def _allow(conditions: set[bytes], old: int | None, new: int) -> bool:
    """Whether all conditions are met; no deadline is later than any, to GT and LT."""
    if old is None:
        return not conditions & {b"XX", b"GT"}
    return not (
        b"NX" in conditions
        or (b"GT" in conditions and new <= old)
        or (b"LT" in conditions and new >= old)
    )


@command(
    "ttl",
    KEY,
    flags=ASK,
    summary="Whole seconds until a key expires; -1 if it does not, -2 if there is no such key",
    complexity="O(1)",
)
def ttl(ctx: Context, key: bytes) -> int:
    left = _left(ctx, key)
    return left if left < 0 else whole_seconds(left)


def _ttl_many(ctx: Context, run: Run, effects: list[Effect]) -> list[int]:
    left = _left_many(ctx, run)
    return [each if each < 0 else whole_seconds(each) for each in left]


ttl.together_in_context(_ttl_many)


@command(
    "pttl",
    KEY,
    flags=ASK,
    summary="Milliseconds until a key expires, or as for TTL",
    complexity="O(1)",
)
def pttl(ctx: Context, key: bytes) -> int:
    return _left(ctx, key)


def _pttl_many(ctx: Context, run: Run, effects: list[Effect]) -> list[int]:
    return _left_many(ctx, run)


pttl.together_in_context(_pttl_many)


@command(
    "expiretime",
    KEY,
    flags=ASK,
    summary="When a key expires, in seconds since 1970, or as for TTL",
    complexity="O(1)",
)
def expiretime(ctx: Context, key: bytes) -> int:
    deadline = _deadline(ctx, key)
    return deadline if deadline < 0 else whole_seconds(deadline)


@command(
    "pexpiretime",
    KEY,
    flags=ASK,
    summary="When a key expires, in milliseconds since 1970, or as for TTL",
    complexity="O(1)",
)
def pexpiretime(ctx: Context, key: bytes) -> int:
    return _deadline(ctx, key)


def _left(ctx: Context, key: bytes) -> int:
    """Milliseconds, or NO_DEADLINE or NO_KEY."""
    deadline = _deadline(ctx, key)
    # Time may go by since it was seen that the deadline has not passed.
    return deadline if deadline < 0 else max(deadline - ctx.db.clock(), 0)


def _left_many(ctx: Context, run: Run) -> list[int]:
    """The same for several keys, of which none is past its deadline."""
    values, deadline_of_key = ctx.db.values, ctx.db.deadlines.get
    now = ctx.db.clock()
    left: list[int] = []
    for _, key in run:
        deadline = deadline_of_key(key)
        if deadline is not None:
            left.append(max(deadline - now, 0))
        else:
            left.append(NO_DEADLINE if key in values else NO_KEY)
    return left


def _deadline(ctx: Context, key: bytes) -> int:
    if ctx.db.look_up(key) is None:
        return NO_KEY
    return ctx.db.deadlines.get(key, NO_DEADLINE)


@command(
    "persist",
    KEY,
    flags=EXPIRE,
    access=WRITTEN,
    summary="Take the deadline off a key: 1, or 0 if it has none",
    complexity=IN_SORTED_ORDER,
)
def persist(ctx: Context, key: bytes) -> int:
    return int(ctx.db.persist(key))


COMMANDS = (
    expire,
    pexpire,
    expireat,
    pexpireat,
    ttl,
    pttl,
    expiretime,
    pexpiretime,
    persist,
)
