"""Hashes: fields and their values.

May import: core, context, sampling, scanning, spec, together, types and what they may import,
longdouble.
"""

from __future__ import annotations

from sys import getsizeof
from typing import Any

from memdbd.commands.access import ASKED, WRITTEN
from memdbd.commands.arguments import INT64_MAX, INT64_MIN, integer
from memdbd.commands.context import Context
from memdbd.commands.sampling import DIFFERS, chosen, read_options
from memdbd.commands.scanning import CURSOR, SCAN_OPTIONS, scan
from memdbd.commands.sizes import sampled
from memdbd.commands.spec import KEY, VALUE, Command, Flag, Param, Tail, command
from memdbd.commands.together import Run, by_key, note
from memdbd.commands.types import DataType, Untext
from memdbd.core import LONG, MOST, ahead
from memdbd.effects import Effect
from memdbd.errors import CommandError
from memdbd.keyspace import Value
from memdbd.replies import OK, Page, Pairs, Status
from memdbd.structs.longdouble import LongDouble, add, human, parse
from memdbd.structs.pooled import PooledDict

LISTPACK = 512  # fields up to which Redis keeps a hash packed,
LISTPACK_VALUE = 64  # if none of them, and no value, has more bytes than this


def _load(dumped: Any, untext: Untext) -> PooledDict:
    if not isinstance(dumped, dict) or not dumped:
        raise TypeError("a hash is an object of fields")
    return PooledDict((untext(field), untext(value)) for field, value in dumped.items())


def _encoding(fields: PooledDict) -> str:
    if len(fields) <= LISTPACK and all(
        len(field) <= LISTPACK_VALUE and len(value) <= LISTPACK_VALUE
        for field, value in fields.items()
    ):
        return "listpack"
    return "hashtable"


HASH: DataType[PooledDict] = DataType(
    name="hash",
    python=PooledDict,
    dump=lambda fields, text: {text(field): text(value) for field, value in fields.items()},
    load=_load,
    size=lambda fields: (
        getsizeof(fields) + sampled(len(fields), fields) + sampled(len(fields), fields.values())
    ),
    copy=PooledDict,
    encoding=_encoding,
)

FIELD = Param("field")
FIELDS = Param("field", many=True)
FIELDS_AND_VALUES = Tail("<field> <value> …", least=2)
PUTS = Flag.WRITE | Flag.GROWS | Flag.FAST


def _value(ctx: Context, key: bytes, field: bytes) -> bytes | None:
    fields = HASH.get(ctx.db, key)
    return None if fields is None else fields.get(field)


@command(
    "hset",
    KEY,
    FIELDS_AND_VALUES,
    flags=PUTS,
    access=WRITTEN,
    summary="Set fields of a hash; gives how many are new",
    complexity="O(1) a field",
)
def hset(ctx: Context, key: bytes, *words: bytes) -> int:
    return _set(ctx, key, words, hset)


@hset.together
def hset_many(values: dict[bytes, Value], run: Run, effects: list[Effect]) -> list[int]:
    replies: list[int] = []
    for key, requests in by_key(run):
        fields = values.get(key)
        if fields is None:
            fields = values[key] = PooledDict()
        elif fields.__class__ is not PooledDict:
            break
        ahead(fields, requests, 2)
        names, items = [argv[2] for argv in requests], [argv[3] for argv in requests]
        replies += fields.put_each(names, items)
        words = [b""] * (2 * len(names))
        words[::2], words[1::2] = names, items
        note(effects, (b"HSET", key, *words), len(names))
    return replies


@command(
    "hmset",
    KEY,
    FIELDS_AND_VALUES,
    flags=PUTS,
    access=WRITTEN,
    summary="Set fields of a hash",
    complexity="O(1) a field",
)
def hmset(ctx: Context, key: bytes, *words: bytes) -> Status:
    _set(ctx, key, words, hmset)
    return OK


@hmset.together
def hmset_many(values: dict[bytes, Value], run: Run, effects: list[Effect]) -> list[Status]:
    return [OK] * len(hset_many(values, run, effects))


def _set(ctx: Context, key: bytes, words: tuple[bytes, ...], asked: Command) -> int:
    if len(words) % 2:
        raise asked.wrong_number()
    fields = HASH.get(ctx.db, key)
    if fields is None:
        fields = PooledDict()
    new = fields.put_all(zip(words[::2], words[1::2], strict=True))
    ctx.db.store(key, fields, "hset", (b"HSET", key, *words))
    return new


@command(
    "hsetnx",
    KEY,
    FIELD,
    VALUE,
    flags=PUTS,
    access=WRITTEN,
    summary="Set a field of a hash, unless it is there: 1, or 0 if it is",
    complexity="O(1)",
)
def hsetnx(ctx: Context, key: bytes, field: bytes, value: bytes) -> int:
    fields = HASH.get(ctx.db, key)
    if fields is None:
        fields = PooledDict()
    elif field in fields:
        return 0
    fields.put(field, value)
    ctx.db.store(key, fields, "hset", (b"HSET", key, field, value))
    return 1


@command(
    "hget",
    KEY,
    FIELD,
    flags=Flag.READ | Flag.FAST,
    summary="The value of a field of a hash",
    complexity="O(1)",
)
def hget(ctx: Context, key: bytes, field: bytes) -> bytes | None:
    return _value(ctx, key, field)


@hget.together
def hget_many(values: dict[bytes, Value], run: Run, effects: list[Effect]) -> list[bytes | None]:
    found: list[bytes | None] = []
    room = MOST
    for _, key, field in run:
        fields = values.get(key)
        if fields is None:
            found.append(None)
        elif fields.__class__ is PooledDict:
            value = fields.get(field)
            if value is not None:
                size = len(value)
                room -= size
                if size >= LONG or room < 0:
                    break
            found.append(value)
        else:
            break
    return found


@command(
    "hmget",
    KEY,
    FIELDS,
    flags=Flag.READ | Flag.FAST,
    summary="The values of several fields of a hash",
    complexity="O(1) a field",
)
def hmget(ctx: Context, key: bytes, *names: bytes) -> list[bytes | None]:
    fields = HASH.get(ctx.db, key)
    return [None] * len(names) if fields is None else list(map(fields.get, names))


@command(
    "hgetall",
    KEY,
    flags=Flag.READ,
    summary="The fields of a hash with their values",
    complexity="O(n), n being its fields",
)
def hgetall(ctx: Context, key: bytes) -> dict[bytes, bytes]:
    return dict(HASH.get(ctx.db, key) or {})


@command(
    "hkeys",
    KEY,
    flags=Flag.READ,
    summary="The fields of a hash",
    complexity="O(n), n being its fields",
)
def hkeys(ctx: Context, key: bytes) -> list[bytes]:
    return list(HASH.get(ctx.db, key) or ())


@command(
    "hvals",
    KEY,
    flags=Flag.READ,
    summary="The values of a hash",
    complexity="O(n), n being its fields",
)
def hvals(ctx: Context, key: bytes) -> list[bytes]:
    fields = HASH.get(ctx.db, key)
    return [] if fields is None else list(fields.values())


@command(
    "hdel",
    KEY,
    FIELDS,
    flags=Flag.WRITE | Flag.FAST,
    access=WRITTEN,
    summary="Delete fields of a hash; gives how many there were",
    complexity="O(1) a field",
)
def hdel(ctx: Context, key: bytes, *names: bytes) -> int:
    fields = HASH.get(ctx.db, key)
    gone = [] if fields is None else list(filter(fields.take, names))
    if gone:
        ctx.db.store(key, fields, "hdel", (b"HDEL", key, *gone))
    return len(gone)


@command(
    "hexists",
    KEY,
    FIELD,
    flags=Flag.READ | Flag.FAST,
    access=ASKED,
    summary="Whether a hash has a field, 1 or 0",
    complexity="O(1)",
)
def hexists(ctx: Context, key: bytes, field: bytes) -> int:
    return int(field in (HASH.get(ctx.db, key) or ()))


@command(
    "hlen",
    KEY,
    flags=Flag.READ | Flag.FAST,
    access=ASKED,
    summary="Count the fields of a hash",
    complexity="O(1)",
)
def hlen(ctx: Context, key: bytes) -> int:
    return len(HASH.get(ctx.db, key) or ())


@command(
    "hstrlen",
    KEY,
    FIELD,
    flags=Flag.READ | Flag.FAST,
    access=ASKED,
    summary="The length of a field's value in bytes; 0 if it is not there",
    complexity="O(1)",
)
def hstrlen(ctx: Context, key: bytes, field: bytes) -> int:
    return len(_value(ctx, key, field) or b"")


@command(
    "hincrby",
    KEY,
    FIELD,
    Param("increment", integer),
    flags=PUTS,
    summary="Add to the number that a field holds, 0 if it is not there; gives the sum",
    complexity="O(1)",
)
def hincrby(ctx: Context, key: bytes, field: bytes, increment: int) -> int:
    fields = HASH.get(ctx.db, key)
    if fields is None:
        fields = PooledDict()
    try:
        number = integer(fields.get(field, b"0")) + increment
    except CommandError:
        raise CommandError("hash value is not an integer") from None
    if not INT64_MIN <= number <= INT64_MAX:
        raise CommandError("increment or decrement would overflow")
    value = b"%d" % number
    fields.put(field, value)
    ctx.db.store(key, fields, "hincrby", (b"HSET", key, field, value))
    return number


def _finite(raw: bytes) -> LongDouble:
    try:
        number = parse(raw)
    except ValueError:
        raise CommandError("value is not a valid float") from None
    if not number.is_finite:
        raise CommandError("value is NaN or Infinity")
    return number


@command(
    "hincrbyfloat",
    KEY,
    FIELD,
    Param("increment", _finite),
    flags=PUTS,
    summary="Add a fraction to the number that a field holds, 0 if it is not there; gives the sum",
    complexity="O(1)",
)
def hincrbyfloat(ctx: Context, key: bytes, field: bytes, increment: LongDouble) -> bytes:
    fields = HASH.get(ctx.db, key)
    if fields is None:
        fields = PooledDict()
    try:
        value = human(add(parse(fields.get(field, b"0")), increment))
    except ValueError:
        raise CommandError("hash value is not a float") from None
    except OverflowError:
        raise CommandError("increment would produce NaN or Infinity") from None
    fields.put(field, value)
    ctx.db.store(key, fields, "hincrbyfloat", (b"HSET", key, field, value))
    return value


@command(
    "hrandfield",
    KEY,
    Tail("[<count> [WITHVALUES]]"),
    flags=Flag.READ,
    summary="A field of a hash at random, or several; of a negative count, some may be the same",
    complexity="O(1) a field; once for a hash, when it is first chosen from, O(n) of its fields",
    differs=DIFFERS,
)
def hrandfield(ctx: Context, key: bytes, *words: bytes) -> bytes | list[bytes] | Pairs | None:
    if not words:
        fields = HASH.get(ctx.db, key)
        return None if fields is None else fields.pool.choice(ctx.server.random)
    count, with_values = read_options(words, b"WITHVALUES")
    fields = HASH.get(ctx.db, key)
    if fields is None:
        return []
    names = chosen(fields, lambda: fields.pool, count, ctx.server.random)
    return Pairs([(name, fields[name]) for name in names]) if with_values else names


@command(
    "hscan",
    KEY,
    CURSOR,
    SCAN_OPTIONS,
    flags=Flag.READ,
    summary="The next fields of a hash behind a cursor, and the cursor behind them",
    complexity="O(1) a field; once for a hash, when it is first scanned, O(n) of its fields",
)
def hscan(ctx: Context, key: bytes, cursor: int, *words: bytes) -> Page:
    fields = HASH.get(ctx.db, key)
    if fields is None:
        return Page(b"0", {})
    behind, names = scan(fields, lambda: fields.pool, cursor, words)
    return Page(behind, {name: fields[name] for name in names})


COMMANDS = (
    hset,
    hmset,
    hsetnx,
    hget,
    hmget,
    hgetall,
    hkeys,
    hvals,
    hdel,
    hexists,
    hlen,
    hstrlen,
    hincrby,
    hincrbyfloat,
    hrandfield,
    hscan,
)
