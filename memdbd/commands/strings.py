"""Strings: values that are bytes, as a whole. Their parts are substrings', their bits bits', and
numbers counters'.

May import: core, context, expiry, spec, together, types and what they may import.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from sys import getsizeof

from memdbd import core
from memdbd.commands.access import CHANGED, WRITTEN, Accesses, KeyRange
from memdbd.commands.arguments import integer
from memdbd.commands.context import Context
from memdbd.commands.expiry import (
    MILLISECONDS,
    SECONDS,
    Unit,
    deadline_ahead,
    deadline_given,
    deadline_of,
    read_options,
    whole_seconds,
)
from memdbd.commands.spec import KEY, KEYS, VALUE, Flag, Param, Tail, command
from memdbd.commands.together import note
from memdbd.commands.types import DataType
from memdbd.effects import Effect
from memdbd.errors import CommandError
from memdbd.keyspace import Value
from memdbd.replies import OK, Fields, Found, FoundAll, Status

EMBEDDED = 44  # bytes up to which Redis keeps a string within its object


def _encoding(value: bytes) -> str:
    """What Redis would keep it as: a number, a short string, or another."""
    try:
        integer(value)
    except CommandError:
        return "embstr" if len(value) <= EMBEDDED else "raw"
    return "int"


STRING: DataType[bytes] = DataType(
    name="string",
    python=bytes,
    dump=lambda value, text: text(value),
    load=lambda dumped, untext: untext(dumped),
    size=getsizeof,
    copy=lambda value: value,
    encoding=_encoding,
)


@command("get", KEY, flags=Flag.READ | Flag.FAST, summary="The value of a key", complexity="O(1)")
def get(ctx: Context, key: bytes) -> bytes | None:
    return STRING.get(ctx.db, key)


get.together(core.get_many, tells_missing=True)


@get.in_text()
def get_in_text(ctx: Context, key: bytes) -> Found:
    value = STRING.get(ctx.db, key)
    if value is None or (left := ctx.db.ttl_ms(key)) is None:
        return Found(key, value, None)
    return Found(key, value, whole_seconds(left))


def _get_many_in_text(
    values: dict[bytes, Value], run: Sequence[Sequence[bytes]], effects: list[Effect]
) -> FoundAll:
    return FoundAll(run, core.get_many(values, run, effects))


get_in_text.together(_get_many_in_text, tells_missing=True)


@command(
    "mget",
    KEYS,
    flags=Flag.READ | Flag.FAST,
    summary="The values of several keys; null for one that is not there or no string",
    complexity="O(n), n being the keys",
)
def mget(ctx: Context, *keys: bytes) -> list[bytes | None]:
    values = map(ctx.db.get, keys)
    return [value if value.__class__ is bytes else None for value in values]


# Setting

REPLACE = Flag.WRITE | Flag.GROWS | Flag.REPLACES
SET_PLAIN = frozenset({b"NX", b"XX", b"GET", b"KEEPTTL"})
TIMES = "EX <seconds>|PX <ms>|EXAT <unix-seconds>|PXAT <unix-ms>"


def _access_of_set(argv: Sequence[bytes]) -> Accesses:
    return CHANGED if any(word.upper() == b"GET" for word in argv[3:]) else WRITTEN


@command(
    "set",
    KEY,
    VALUE,
    Tail(f"[NX|XX] [GET] [{TIMES}|KEEPTTL]"),
    flags=REPLACE | Flag.LOOKS_UP,
    access=_access_of_set,
    summary="Set a key, whatever it held; it expires only if that is said",
    complexity="O(1)",
)
def set_(ctx: Context, key: bytes, value: bytes, *words: bytes) -> Status | bytes | None:
    if words:
        return _set(ctx, key, value, read_options(words, SET_PLAIN))
    ctx.db.set(key, value)
    return OK


set_.together(core.set_many)


def _set(
    ctx: Context, key: bytes, value: bytes, options: dict[bytes, bytes]
) -> Status | bytes | None:
    """SET with options."""
    deadline = deadline_given(ctx, "set", options)
    gets = b"GET" in options
    old = STRING.get(ctx.db, key) if gets else ctx.db.peek(key)
    if b"NX" in options if old is not None else b"XX" in options:
        return old if gets else None
    if deadline is not None:
        ctx.db.set(key, value, deadline, operation="set_with_ttl")
    else:
        ctx.db.set(key, value, ctx.db.deadlines.get(key) if b"KEEPTTL" in options else None)
    return old if gets else OK


@command(
    "set_with_ttl",
    KEY,
    VALUE,
    Param("ttl", integer, optional=True),
    flags=REPLACE,
    access=WRITTEN,
    summary="Set a key that expires in so many seconds (default_ttl if none are given)",
    complexity="O(1)",
)
def set_with_ttl(ctx: Context, key: bytes, value: bytes, ttl: int | None = None) -> Fields:
    if ttl is None:
        ttl = ctx.server.default_ttl
    if ttl < 1:
        raise CommandError(
            "invalid expire time in 'set_with_ttl' command", "<ttl> is at least 1 second"
        )
    deadline = deadline_of(ctx, "set_with_ttl", ttl, SECONDS)
    ctx.db.set(key, value, deadline, operation="set_with_ttl")
    return Fields(OK, {"ttl_set": ttl})


@command(
    "setex",
    KEY,
    Param("seconds", integer),
    VALUE,
    flags=REPLACE,
    access=WRITTEN,
    summary="Set a key that expires in so many seconds",
    complexity="O(1)",
)
def setex(ctx: Context, key: bytes, seconds: int, value: bytes) -> Status:
    return _set_for(ctx, "setex", key, seconds, SECONDS, value)


@command(
    "psetex",
    KEY,
    Param("ms", integer),
    VALUE,
    flags=REPLACE,
    access=WRITTEN,
    summary="Set a key that expires in so many milliseconds",
    complexity="O(1)",
)
def psetex(ctx: Context, key: bytes, ms: int, value: bytes) -> Status:
    return _set_for(ctx, "psetex", key, ms, MILLISECONDS, value)


def _set_for(ctx: Context, name: str, key: bytes, time: int, unit: Unit, value: bytes) -> Status:
    deadline = deadline_ahead(ctx, name, time, unit)
    ctx.db.set(key, value, deadline, operation="set_with_ttl")
    return OK


@command(
    "setnx",
    KEY,
    VALUE,
    flags=REPLACE | Flag.FAST,
    access=WRITTEN,
    summary="Set a key that is not there: 1, or 0 if it is",
    complexity="O(1)",
)
def setnx(ctx: Context, key: bytes, value: bytes) -> int:
    if ctx.db.peek(key) is not None:
        return 0
    ctx.db.set(key, value)
    return 1


PAIRS = (KEY, Param("value"), Tail("[<key> <value>] …"))
EVERY_OTHER = KeyRange(1, -1, 2)


@command(
    "mset",
    *PAIRS,
    keys=EVERY_OTHER,
    flags=REPLACE,
    access=WRITTEN,
    summary="Set several keys, whatever they held",
    complexity="O(n), n being the keys",
)
def mset(ctx: Context, *pairs: bytes) -> Status:
    if len(pairs) % 2:
        raise mset.wrong_number()
    _set_all(ctx, pairs)
    return OK


def _mset_many(
    values: dict[bytes, Value], run: Sequence[Sequence[bytes]], effects: list[Effect]
) -> list[Status]:
    # All keys of all requests in one step: a third less than request by request.
    keys = [key for argv in run for key in argv[1::2]]
    new = [value for argv in run for value in argv[2::2]]
    # A key without a value is one more key.
    if len(keys) == len(new) and core.REPLACEABLE.issuperset(map(type, map(values.get, keys))):
        values.update(zip(keys, new, strict=True))
        words = [word for argv in run for word in argv[1:]]
        note(effects, (b"MSET", *words), len(keys))
        return [OK] * len(run)
    if len(run) == 1:
        return []
    done = takewhile(bool, (_mset_many(values, (argv,), effects) for argv in run))
    return [OK for _ in done]


mset.together(_mset_many, any_number=True)


@command(
    "msetnx",
    *PAIRS,
    keys=EVERY_OTHER,
    flags=REPLACE,
    access=WRITTEN,
    summary="Set several keys of which none is there: 1, or 0 if one is",
    complexity="O(n), n being the keys",
)
def msetnx(ctx: Context, *pairs: bytes) -> int:
    if len(pairs) % 2:
        raise msetnx.wrong_number()
    if any(ctx.db.peek(key) is not None for key in pairs[::2]):
        return 0
    _set_all(ctx, pairs)
    return 1


def _set_all(ctx: Context, pairs: Sequence[bytes]) -> None:
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        ctx.db.set(key, value)


# Getting, and something else at once


@command(
    "getset",
    KEY,
    VALUE,
    flags=REPLACE | Flag.FAST | Flag.LOOKS_UP,
    summary="Set a key; gives the value that it had",
    complexity="O(1)",
)
def getset(ctx: Context, key: bytes, value: bytes) -> bytes | None:
    old = STRING.get(ctx.db, key)
    ctx.db.set(key, value)
    return old


@command(
    "getdel",
    KEY,
    flags=Flag.WRITE | Flag.FAST | Flag.LOOKS_UP,
    summary="Delete a key; gives the value that it had",
    complexity="O(1)",
)
def getdel(ctx: Context, key: bytes) -> bytes | None:
    old = STRING.get(ctx.db, key)
    if old is not None:
        ctx.db.delete(key)
    return old


GETEX_PLAIN = frozenset({b"PERSIST"})


@command(
    "getex",
    KEY,
    Tail(f"[{TIMES}|PERSIST]"),
    flags=Flag.WRITE | Flag.FAST | Flag.LOOKS_UP,
    summary="The value of a key, whose deadline is set, or taken off",
    complexity="O(1)",
)
def getex(ctx: Context, key: bytes, *words: bytes) -> bytes | None:
    options = read_options(words, GETEX_PLAIN)
    value = STRING.get(ctx.db, key)
    if value is None:
        return None
    deadline = deadline_given(ctx, "getex", options)
    if deadline is not None:
        ctx.db.expire_at(key, deadline)
    elif b"PERSIST" in options:
        ctx.db.persist(key)
    return value


COMMANDS = (
    get,
    mget,
    set_,
    set_with_ttl,
    setex,
    psetex,
    setnx,
    mset,
    msetnx,
    getset,
    getdel,
    getex,
)
