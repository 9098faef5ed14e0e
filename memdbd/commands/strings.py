"""Strings: values that are bytes.

May import: context, spec, types and what they may import, and keys.
"""

from __future__ import annotations

from sys import getsizeof

from memdbd.commands.context import Context
from memdbd.commands.keys import deadline_in, whole_seconds
from memdbd.commands.spec import (
    INT64_MAX,
    INT64_MIN,
    KEY,
    VALUE,
    Flag,
    Param,
    command,
    integer,
)
from memdbd.commands.types import DataType
from memdbd.errors import CommandError
from memdbd.replies import OK, Fields, Found, Status

MAX_VALUE = 64 * 1024 * 1024  # bytes that APPEND lets a value grow to
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


@command("get", KEY, flags=Flag.READ, summary="The value of a key")
def get(ctx: Context, key: bytes) -> bytes | None:
    return STRING.get(ctx.db, key)


@get.in_text()
def get_in_text(ctx: Context, key: bytes) -> Found:
    value = STRING.get(ctx.db, key)
    if value is None or (left := ctx.db.ttl_ms(key)) is None:
        return Found(key, value, None)
    return Found(key, value, whole_seconds(left))


REPLACE = Flag.WRITE | Flag.GROWS | Flag.REPLACES


@command("set", KEY, VALUE, flags=REPLACE, summary="Set a key; clears its deadline")
def set_(ctx: Context, key: bytes, value: bytes) -> Status:
    ctx.db.set(key, value)
    return OK


@command(
    "set_with_ttl",
    KEY,
    VALUE,
    Param("ttl", integer, optional=True),
    flags=REPLACE,
    summary="Set a key that expires in so many seconds (default_ttl if none are given)",
)
def set_with_ttl(ctx: Context, key: bytes, value: bytes, ttl: int | None = None) -> Fields:
    if ttl is None:
        ttl = ctx.server.default_ttl
    if ttl < 1:
        raise CommandError(
            "invalid expire time in 'set_with_ttl' command", "<ttl> is at least 1 second"
        )
    ctx.db.set(key, value, deadline_in(ctx, "set_with_ttl", ttl), operation="set_with_ttl")
    return Fields(OK, {"ttl_set": ttl})


@command("incr", KEY, flags=Flag.WRITE | Flag.GROWS, summary="Add one to a number; 0 if not set")
def incr(ctx: Context, key: bytes) -> int:
    value = STRING.get(ctx.db, key)
    number = 1 if value is None else integer(value) + 1
    if not INT64_MIN <= number <= INT64_MAX:
        raise CommandError("increment or decrement would overflow")
    ctx.db.update(key, b"%d" % number, operation="incr")
    return number


@command(
    "append",
    KEY,
    VALUE,
    flags=Flag.WRITE | Flag.GROWS,
    summary="Append to a value; gives its new length in bytes",
)
def append(ctx: Context, key: bytes, value: bytes) -> int:
    value = (STRING.get(ctx.db, key) or b"") + value
    if len(value) > MAX_VALUE:
        raise CommandError(f"string exceeds maximum allowed size ({MAX_VALUE} bytes)")
    ctx.db.update(key, value, operation="append")
    return len(value)


COMMANDS = (get, set_, set_with_ttl, incr, append)
