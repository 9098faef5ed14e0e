"""Whole databases: which one is selected, how many keys it has, exchanging and emptying them.

May import: context, spec and what they may import.
"""

from __future__ import annotations

from collections.abc import Sequence

from memdbd.commands.arguments import FREEING, integer
from memdbd.commands.context import Context
from memdbd.commands.spec import KEY, Flag, Param, Tail, command
from memdbd.errors import CommandError, SyntaxFault
from memdbd.keyspace import Keyspace
from memdbd.replies import OK, Status

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1

MODE = Tail("[ASYNC|SYNC]")
MODE_DIFFERS = "ASYNC and SYNC are the same: what was there is freed in the background."


def read_index(raw: bytes) -> int:
    """The number of a database, which need not be there: a C int, as in Redis."""
    index = integer(raw)
    if not INT32_MIN <= index <= INT32_MAX:
        raise CommandError(f"value is out of range, value must between {INT32_MIN} and {INT32_MAX}")
    return index


def database(ctx: Context, index: int) -> Keyspace:
    """A database by its number. Raises CommandError where there is none."""
    if not 0 <= index < len(ctx.databases):
        raise CommandError("DB index is out of range")
    return ctx.databases[index]


@command(
    "select",
    Param("index", read_index),
    flags=Flag.CONNECTION | Flag.FAST,
    summary="Work on another database from now on",
    complexity="O(1)",
)
def select(ctx: Context, index: int) -> Status:
    ctx.select(index)
    return OK


@command(
    "dbsize",
    flags=Flag.READ | Flag.FAST,
    summary="Count the keys",
    complexity="O(1), or O(log n) with n deadlines",
    differs="A key past its deadline does not count, even if nothing has removed it yet.",
)
def dbsize(ctx: Context) -> int:
    return len(ctx.db)


@command(
    "move",
    KEY,
    Param("index", read_index),
    flags=Flag.WRITE | Flag.FAST,
    summary="Move a key to another database: 1, or 0 if there is none or it is there already",
    complexity="O(1)",
)
def move(ctx: Context, key: bytes, index: int) -> int:
    other = database(ctx, index)
    if other is ctx.db:
        raise CommandError("source and destination objects are the same")
    return int(ctx.db.move(key, other))


@command(
    "swapdb",
    Param("index"),
    Param("other"),
    flags=Flag.WRITE | Flag.FAST | Flag.DANGEROUS,
    summary="Exchange the keys of two databases",
    complexity="O(n) with n clients that watch keys of either or wait for them",
)
def swapdb(ctx: Context, index: bytes, other: bytes) -> Status:
    one, another = _read_index(index, "first"), _read_index(other, "second")
    ctx.databases.swap(database(ctx, one).index, database(ctx, another).index)
    return OK


def _read_index(raw: bytes, which: str) -> int:
    try:
        return read_index(raw)
    except CommandError:
        raise CommandError(f"invalid {which} DB index") from None


@command(
    "flushdb",
    MODE,
    flags=Flag.WRITE | Flag.DANGEROUS,
    summary="Delete all keys of this database",
    complexity="O(1); freeing n keys takes O(n) in the background",
    differs=MODE_DIFFERS,
)
def flushdb(ctx: Context, *mode: bytes) -> Status:
    _check_mode(mode)
    ctx.db.clear("flushdb")
    return OK


@command(
    "flushall",
    MODE,
    flags=Flag.WRITE | Flag.DANGEROUS,
    summary="Delete all keys of all databases",
    complexity="O(1); freeing n keys takes O(n) in the background",
    differs=MODE_DIFFERS,
)
def flushall(ctx: Context, *mode: bytes) -> Status:
    _check_mode(mode)
    ctx.databases.clear()
    return OK


def _check_mode(words: Sequence[bytes]) -> None:
    if len(words) > 1 or any(word.upper() not in FREEING for word in words):
        raise SyntaxFault("ASYNC or SYNC, or neither")


COMMANDS = (select, dbsize, move, swapdb, flushdb, flushall)
