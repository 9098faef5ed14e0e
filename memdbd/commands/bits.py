"""Bits of strings. Bit 0 is the highest of the first byte; behind the end all are 0.

Strategy: a value is as long as 64 MiB, so all that goes over it does so in C, by the block or by
the integer. Fields of several bits are bitfields'.

May import: substrings and what it may import.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import and_, or_, xor

from memdbd.commands.access import MADE
from memdbd.commands.arguments import integer
from memdbd.commands.context import Context
from memdbd.commands.spec import DESTINATION, KEY, STORES, Flag, Param, Tail, command
from memdbd.commands.strings import STRING
from memdbd.commands.substrings import (
    LESS_GROWTH,
    MAX_VALUE,
    is_backwards,
    overwritten,
    patched,
    span,
)
from memdbd.errors import CommandError, SyntaxFault

MAX_OFFSET = 8 * 512 * 1024 * 1024  # a bit from here on is none to Redis
BLOCK = 4096  # bytes that are looked at together
COMPLEMENT = bytes(range(255, -1, -1))  # of each byte
OUT_OF_RANGE = "bit offset is not an integer or out of range"


def read_offset(raw: bytes, unit: int = 1) -> int:
    """The number of a bit, which is given in units of so many bits."""
    try:
        offset = integer(raw) * unit
    except CommandError:
        offset = -1
    if not 0 <= offset < MAX_OFFSET:
        raise CommandError(OUT_OF_RANGE)
    return offset


def check_writable(offset: int) -> None:
    """CommandError where a value may not be made so long that it has this bit."""
    if offset >> 3 >= MAX_VALUE:
        raise CommandError(OUT_OF_RANGE)


def _read_bit(raw: bytes) -> int:
    if raw not in (b"0", b"1"):
        raise CommandError("bit is not an integer or out of range")
    return int(raw)


OFFSET = Param("offset", read_offset)


@command(
    "setbit",
    KEY,
    OFFSET,
    Param("bit", _read_bit),
    flags=Flag.WRITE | Flag.GROWS,
    summary="Set or clear a bit; gives what it was",
    complexity="O(n), n being the new length in bytes",
    differs=LESS_GROWTH,
)
def setbit(ctx: Context, key: bytes, offset: int, bit: int) -> int:
    value = STRING.get(ctx.db, key) or b""
    check_writable(offset)
    place, mask = offset >> 3, 128 >> (offset & 7)
    byte = value[place] if place < len(value) else 0
    old = int(byte & mask != 0)
    if old != bit or place >= len(value):
        byte = byte & ~mask | mask * bit
        changed = bytes((byte,))
        effect = overwritten(key, place, changed)
        ctx.db.update(key, patched(value, place, changed), "setbit", effect)
    return old


@command(
    "getbit",
    KEY,
    OFFSET,
    flags=Flag.READ | Flag.FAST,
    summary="A bit: 0 or 1",
    complexity="O(1)",
)
def getbit(ctx: Context, key: bytes, offset: int) -> int:
    value = STRING.get(ctx.db, key) or b""
    place = offset >> 3
    return value[place] >> (7 - (offset & 7)) & 1 if place < len(value) else 0


@command(
    "bitcount",
    KEY,
    Tail("[<start> <end> [BYTE|BIT]]"),
    flags=Flag.READ,
    summary="Count the bits that are 1, in a value or a part of it",
    complexity="O(n), n being the bytes looked at",
)
def bitcount(ctx: Context, key: bytes, *words: bytes) -> int:
    value = STRING.get(ctx.db, key)
    if value is None:
        return 0
    if not words:
        return _count(value)
    if len(words) not in (2, 3):
        raise SyntaxFault
    start, end = map(integer, words[:2])
    if is_backwards(start, end):
        return 0  # before the unit is looked at, as in Redis
    if not _is_by_bit(words[2:]):
        first, last = span(start, end, len(value))
        return _count(value[first : last + 1])
    first, last = span(start, end, 8 * len(value))
    return _count(_cut(value, first, last, 0)) if first <= last else 0


def _is_by_bit(words: Sequence[bytes]) -> bool:
    """Whether places are those of bits: the last word of a request, if it is given."""
    unit = words[0].upper() if words else b"BYTE"
    if unit not in (b"BYTE", b"BIT"):
        raise SyntaxFault
    return unit == b"BIT"


def _cut(value: bytes, first: int, last: int, filler: int) -> bytes:
    """The bytes in which these bits are; in the others of these bytes there is ``filler``."""
    data = bytearray(value[first >> 3 : (last >> 3) + 1])
    before, behind = 0xFF00 >> (first & 7) & 0xFF, 0x7F >> (last & 7)
    for at, mask in ((0, before), (-1, behind)):
        data[at] = data[at] | mask if filler else data[at] & ~mask
    return bytes(data)


def _count(data: bytes) -> int:
    return sum(
        int.from_bytes(data[at : at + BLOCK]).bit_count() for at in range(0, len(data), BLOCK)
    )


@command(
    "bitpos",
    KEY,
    Param("bit", integer),
    Tail("[<start> [<end> [BYTE|BIT]]]"),
    flags=Flag.READ,
    summary="The place of the first bit that is 0, or 1; -1 if there is none",
    complexity="O(n), n being the bytes looked at",
)
def bitpos(ctx: Context, key: bytes, bit: int, *words: bytes) -> int:
    if bit not in (0, 1):
        raise CommandError("The bit argument must be 1 or 0.")
    value = STRING.get(ctx.db, key)
    if value is None:
        return -bit
    if len(words) > 3:
        raise SyntaxFault
    start = integer(words[0]) if words else 0
    by_bit = _is_by_bit(words[2:])
    end = integer(words[1]) if len(words) > 1 else -1
    return _position(value, bit, start, end, by_bit=by_bit, is_open=len(words) < 2)


def _position(value: bytes, bit: int, start: int, end: int, *, by_bit: bool, is_open: bool) -> int:
    """The place of the first such bit; in an open range, the zeroes behind the end count too."""
    unit = 1 if by_bit else 8
    size = 8 * len(value) // unit
    first, last = span(start, end, size)
    if first > last:
        return -1
    first, last = first * unit, last * unit + unit - 1
    place = _first(_cut(value, first, last, 1 - bit), bit)
    if place is not None:
        return (first & ~7) + place
    return last + 1 if is_open and not bit else -1


def _first(data: bytes, bit: int) -> int | None:
    """The place of the first bit that is ``bit``."""
    others = bytes([0 if bit else 0xFF]) * BLOCK
    for at in range(0, len(data), BLOCK):
        block = data[at : at + BLOCK]
        if block != others[: len(block)]:
            found = int.from_bytes(block if bit else block.translate(COMPLEMENT))
            return 8 * (at + len(block)) - found.bit_length()
    return None


OPERATIONS: dict[bytes, Callable[[int, int], int]] = {b"AND": and_, b"OR": or_, b"XOR": xor}


@command(
    "bitop",
    Param("operation"),
    DESTINATION,
    Param("key", is_key=True, many=True),
    flags=STORES,
    access=MADE,
    summary="Keep the AND, OR, XOR or NOT of values bit by bit; gives the length in bytes",
    complexity="O(n), n being the longest value's bytes",
)
def bitop(ctx: Context, name: bytes, destination: bytes, *keys: bytes) -> int:
    name = name.upper()
    if name not in OPERATIONS and name != b"NOT":
        raise SyntaxFault
    if name == b"NOT" and len(keys) > 1:
        raise CommandError("BITOP NOT must be called with a single source key.")
    values = [STRING.get(ctx.db, key) or b"" for key in keys]
    size = max(map(len, values))
    if not size:
        ctx.db.delete(destination)
    elif name == b"NOT":
        ctx.db.set(destination, values[0].translate(COMPLEMENT))
    else:
        ctx.db.set(destination, _combined(OPERATIONS[name], values, size))
    return size


def _combined(operation: Callable[[int, int], int], values: Sequence[bytes], size: int) -> bytes:
    # With the first byte as the lowest, zeroes behind the end cost nothing.
    numbers = [int.from_bytes(value, "little") for value in values]
    return reduce(operation, numbers).to_bytes(size, "little")


COMMANDS = (setbit, getbit, bitcount, bitpos, bitop)
