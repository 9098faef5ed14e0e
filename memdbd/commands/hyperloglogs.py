"""HyperLogLogs: strings that tell about how many different elements were added to them.

May import: strings and what it may import, and structs.hyperloglog.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from memdbd.commands.access import WRITTEN, Access
from memdbd.commands.context import Context
from memdbd.commands.spec import KEY, KEYS, STORES, Flag, Param, command
from memdbd.commands.strings import STRING
from memdbd.errors import CommandError
from memdbd.replies import OK, Status
from memdbd.structs import hyperloglog

WORD = 8  # bytes of an effect for each of its words, besides the word
NUMBER = slice(8, 16)  # where a value has the number that was counted last


class NotHyperLogLog(CommandError):
    """The key holds a string that is none."""

    code = "WRONGTYPE"

    def __init__(self) -> None:
        super().__init__("Key is not a valid HyperLogLog string value.")


def _get(ctx: Context, key: bytes) -> bytes | None:
    value = STRING.get(ctx.db, key)
    if value is not None and not hyperloglog.is_valid(value):
        raise NotHyperLogLog
    return value


@contextmanager
def _looking_inside() -> Iterator[None]:
    """What is only seen to be broken when it is used."""
    try:
        yield
    except hyperloglog.Corrupt:
        raise CommandError("Corrupted HLL object detected", code="INVALIDOBJ") from None


@command(
    "pfadd",
    KEY,
    Param("element", optional=True, many=True),
    flags=Flag.WRITE | Flag.GROWS | Flag.FAST,
    access=WRITTEN,
    summary="Add elements to a HyperLogLog: 1 if that changes what it tells, or 0",
    complexity="O(1) an element",
)
def pfadd(ctx: Context, key: bytes, *elements: bytes) -> int:
    old = _get(ctx, key)
    with _looking_inside():
        value, changed = hyperloglog.add(old or hyperloglog.create(), elements)
    if old is not None and not changed:
        return 0
    # The elements do the same again, to the byte; but there may be more of them than registers.
    is_shorter = sum(map(len, elements)) + WORD * len(elements) < len(value)
    effect = (b"PFADD", key, *elements) if is_shorter else None
    ctx.db.update(key, value, "pfadd", effect)
    return 1


@command(
    "pfcount",
    KEYS,
    flags=Flag.READ,
    summary="About how many different elements were added to HyperLogLogs",
    complexity="O(1) for one that has not changed since; O(n) for n of them",
)
def pfcount(ctx: Context, *keys: bytes) -> int:
    values = [value for key in keys if (value := _get(ctx, key)) is not None]
    with _looking_inside():
        if len(keys) > 1:
            return hyperloglog.count(values) if values else 0
        return _count_one(ctx, keys[0], values[0]) if values else 0


def _count_one(ctx: Context, key: bytes, value: bytes) -> int:
    """The number, which is kept in the value."""
    number, counted = hyperloglog.count_one(value)
    if counted is not value:
        effect = (b"SETRANGE", key, b"%d" % NUMBER.start, counted[NUMBER])
        ctx.db.update(key, counted, "pfcount", effect)
    return number


@command(
    "pfmerge",
    KEY,
    Param("source", is_key=True, optional=True, many=True),
    flags=STORES,
    access=(Access.BOTH, Access.READ),
    summary="Add to a HyperLogLog all that was added to others",
    complexity="O(n), n being the HyperLogLogs",
    differs="Without others, a user needs the right to the key all the same; in Redis, to none.",
)
def pfmerge(ctx: Context, key: bytes, *sources: bytes) -> Status:
    value = _get(ctx, key)
    others = [other for source in sources if (other := _get(ctx, source)) is not None]
    with _looking_inside():
        merged = hyperloglog.merge(value or hyperloglog.create(), others)
    ctx.db.update(key, merged, "pfadd")
    return OK


COMMANDS = (pfadd, pfcount, pfmerge)
