"""Counters: strings that are read as numbers, and added to.

May import: strings and what it may import, core and structs.longdouble.
"""

from __future__ import annotations

from memdbd import core
from memdbd.commands.arguments import INT64_MAX, INT64_MIN, integer
from memdbd.commands.context import Context
from memdbd.commands.spec import KEY, Flag, Param, command
from memdbd.commands.strings import STRING
from memdbd.errors import CommandError
from memdbd.structs import longdouble
from memdbd.structs.longdouble import LongDouble

COUNTS = Flag.WRITE | Flag.GROWS | Flag.FAST
STEP = Param("step", integer)


def _add(ctx: Context, key: bytes, step: int, operation: str) -> int:
    value = STRING.get(ctx.db, key)
    number = step if value is None else integer(value) + step
    if not INT64_MIN <= number <= INT64_MAX:
        raise CommandError("increment or decrement would overflow")
    ctx.db.update(key, b"%d" % number, operation)
    return number


@command(
    "incr",
    KEY,
    flags=COUNTS,
    summary="Add one to a number, counting from 0 where there is none",
    complexity="O(1)",
)
def incr(ctx: Context, key: bytes) -> int:
    return _add(ctx, key, 1, "incr")


incr.together(core.incr_many)


@command(
    "decr",
    KEY,
    flags=COUNTS,
    summary="Take one from a number, counting from 0 where there is none",
    complexity="O(1)",
)
def decr(ctx: Context, key: bytes) -> int:
    return _add(ctx, key, -1, "incrby")


@command(
    "incrby",
    KEY,
    STEP,
    flags=COUNTS,
    summary="Add to a number, counting from 0 where there is none",
    complexity="O(1)",
)
def incrby(ctx: Context, key: bytes, step: int) -> int:
    return _add(ctx, key, step, "incrby")


@command(
    "decrby",
    KEY,
    STEP,
    flags=COUNTS,
    summary="Take from a number, counting from 0 where there is none",
    complexity="O(1)",
)
def decrby(ctx: Context, key: bytes, step: int) -> int:
    if step == INT64_MIN:  # there is none to add that is as much
        raise CommandError("decrement would overflow")
    return _add(ctx, key, -step, "incrby")


@command(
    "incrbyfloat",
    KEY,
    Param("step"),
    flags=COUNTS,
    summary="Add to a number that may have a fraction, counting from 0 where there is none",
    complexity="O(1)",
)
def incrbyfloat(ctx: Context, key: bytes, step: bytes) -> bytes:
    value = STRING.get(ctx.db, key)
    number = _with_fraction(b"0" if value is None else value)
    try:
        number = longdouble.add(number, _with_fraction(step))
    except OverflowError:
        raise CommandError("increment would produce NaN or Infinity") from None
    written = longdouble.human(number)
    ctx.db.update(key, written, operation="incrbyfloat")
    return written


def _with_fraction(raw: bytes) -> LongDouble:
    try:
        return longdouble.parse(raw)
    except ValueError:
        raise CommandError("value is not a valid float") from None


COMMANDS = (incr, decr, incrby, decrby, incrbyfloat)
