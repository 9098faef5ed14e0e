"""Parts of strings: what is appended, cut out and overwritten.

May import: strings and what it may import.
"""

from __future__ import annotations

from memdbd.commands.access import ASKED, WRITTEN
from memdbd.commands.arguments import integer
from memdbd.commands.context import Context
from memdbd.commands.spec import KEY, VALUE, Flag, Param, command
from memdbd.commands.strings import STRING
from memdbd.effects import Effect
from memdbd.errors import CommandError

MAX_VALUE = 64 * 1024 * 1024  # bytes that a value may be made to grow to
LESS_GROWTH = "A value grows to 64 MiB at most, not to 512."


def check_size(size: int) -> None:
    """CommandError where a value may not be made as long as ``size`` bytes."""
    if size > MAX_VALUE:
        raise CommandError("string exceeds maximum allowed size (proto-max-bulk-len)")


def patched(value: bytes, at: int, data: bytes) -> bytes:
    """``value`` with ``data`` at a place; there are zeroes before it where it was shorter."""
    view, gap = memoryview(value), bytes(max(0, at - len(value)))
    return b"".join((view[:at], gap, data, view[at + len(data) :]))  # copied but once


def overwritten(key: bytes, at: int, data: bytes) -> Effect | None:
    """The effect of having ``patched`` a key's value; None where only the whole of it will do, for
    it is longer than SETRANGE may make it."""
    if at + len(data) > MAX_VALUE:
        return None
    return b"SETRANGE", key, b"%d" % at, data


def span(start: int, end: int, size: int) -> tuple[int, int]:
    """The first and the last of ``size`` items that a request means; the last before the first
    where it means none.

    Negative ones count from the end. What is before the first item is the first, for both.
    """
    first = max(start + size, 0) if start < 0 else start
    last = max(end + size, 0) if end < 0 else end
    return first, min(last, size - 1)


def is_backwards(start: int, end: int) -> bool:
    """Whether a request means nothing, however long the value: what Redis asks first.

    Without that, ``span`` might make the first item of both.
    """
    return end < start < 0


@command(
    "append",
    KEY,
    VALUE,
    flags=Flag.WRITE | Flag.GROWS | Flag.FAST,
    access=WRITTEN,
    summary="Append to a value; gives its new length in bytes",
    complexity="O(n), n being the new length",
    differs=LESS_GROWTH,
)
def append(ctx: Context, key: bytes, value: bytes) -> int:
    old = STRING.get(ctx.db, key)
    if old is None:
        ctx.db.update(key, value, "append")
        return len(value)
    check_size(len(old) + len(value))
    ctx.db.update(key, old + value, "append", (b"APPEND", key, value))
    return len(old) + len(value)


@command(
    "strlen",
    KEY,
    flags=Flag.READ | Flag.FAST,
    access=ASKED,
    summary="The length of a value in bytes; 0 if there is none",
    complexity="O(1)",
)
def strlen(ctx: Context, key: bytes) -> int:
    return len(STRING.get(ctx.db, key) or b"")


@command(
    "setrange",
    KEY,
    Param("offset", integer),
    VALUE,
    flags=Flag.WRITE | Flag.GROWS,
    access=WRITTEN,
    summary="Overwrite a part of a value from a byte on; gives the new length",
    complexity="O(n), n being the new length",
    differs=LESS_GROWTH,
)
def setrange(ctx: Context, key: bytes, offset: int, part: bytes) -> int:
    if offset < 0:
        raise CommandError("offset is out of range")
    value = STRING.get(ctx.db, key) or b""
    if not part:
        return len(value)
    check_size(offset + len(part))
    value = patched(value, offset, part)
    ctx.db.update(key, value, "setrange", overwritten(key, offset, part))
    return len(value)


SPAN = (Param("start", integer), Param("end", integer))
SPAN_COMPLEXITY = "O(n), n being the bytes returned"


@command(
    "getrange",
    KEY,
    *SPAN,
    flags=Flag.READ,
    summary="The bytes of a value from start to end; negative ones count from its end",
    complexity=SPAN_COMPLEXITY,
)
def getrange(ctx: Context, key: bytes, start: int, end: int) -> bytes:
    value = STRING.get(ctx.db, key) or b""
    if is_backwards(start, end):
        return b""
    first, last = span(start, end, len(value))
    return value[first : last + 1]


substr = command(
    "substr",
    KEY,
    *SPAN,
    flags=Flag.READ,
    summary="The same as getrange, by its older name",
    complexity=SPAN_COMPLEXITY,
)(getrange.handler)


COMMANDS = (append, strlen, setrange, getrange, substr)
