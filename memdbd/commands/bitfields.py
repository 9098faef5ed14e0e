"""Fields of 1 to 64 bits anywhere in a string, that are numbers: BITFIELD.

Strategy: a request is read completely into operations, and only then carried out on a bytearray.
An operation takes the few bytes around its field as one integer.

May import: bits and what it may import.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memdbd.commands.access import CHANGED, READ, Accesses
from memdbd.commands.arguments import INT64_MAX, Words, integer
from memdbd.commands.bits import check_writable, read_offset
from memdbd.commands.context import Context
from memdbd.commands.spec import KEY, Flag, Tail, command
from memdbd.commands.strings import STRING
from memdbd.commands.substrings import LESS_GROWTH, overwritten
from memdbd.errors import CommandError, SyntaxFault

BAD_TYPE = (
    "Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is."
)
WRAP, SATURATE, FAIL = b"WRAP", b"SAT", b"FAIL"


@dataclass(frozen=True, slots=True)
class Field:
    """Where a number is in a string, and of what type: so many bits, from that one on."""

    offset: int
    bits: int
    is_signed: bool

    @property
    def end(self) -> int:
        """Bytes that a string has at least to hold it."""
        return (self.offset + self.bits + 7) >> 3

    def get(self, data: bytes | bytearray) -> int:
        field = self._around(data) >> self._behind & (1 << self.bits) - 1
        return self._signed(field)

    def put(self, data: bytearray, number: int) -> None:
        """Write a number that fits; ``data`` is as long as it must be."""
        change = (self.get(data) ^ number) & (1 << self.bits) - 1
        around = self._around(data) ^ change << self._behind
        first = self.offset >> 3
        data[first : self.end] = around.to_bytes(self.end - first)

    @property
    def least(self) -> int:
        return -1 << self.bits - 1 if self.is_signed else 0

    @property
    def most(self) -> int:
        return self.least + (1 << self.bits) - 1

    def fitted(self, number: int, overflow: bytes) -> int | None:
        """What is written where ``number`` should be: if it does not fit, as ``overflow`` says."""
        if self.least <= number <= self.most:
            return number
        if overflow == SATURATE:
            return max(self.least, min(self.most, number))
        return None if overflow == FAIL else self._signed(number & (1 << self.bits) - 1)

    @property
    def _behind(self) -> int:
        """Bits of its last byte that are none of its own."""
        return 8 * self.end - self.offset - self.bits

    def _around(self, data: bytes | bytearray) -> int:
        """The bytes in which it is; those behind the end of ``data`` are 0."""
        first = self.offset >> 3
        return int.from_bytes(data[first : self.end].ljust(self.end - first, b"\0"))

    def _signed(self, field: int) -> int:
        is_negative = self.is_signed and field >> self.bits - 1
        return field - (1 << self.bits) if is_negative else field


@dataclass(frozen=True, slots=True)
class Operation:
    """One of a request: GET, or else SET or INCRBY with a number."""

    name: bytes
    field: Field
    number: int = 0
    overflow: bytes = WRAP

    @property
    def writes(self) -> bool:
        return self.name != b"GET"

    def run(self, data: bytearray) -> int | None:
        """Carry it out; gives what is answered, null for a number that does not fit and fails."""
        old = self.field.get(data)
        if not self.writes:
            return old
        new = self.field.fitted(self._wanted(old), self.overflow)
        if new is None:
            return None
        self.field.put(data, new)
        return new if self.name == b"INCRBY" else old

    def _wanted(self, old: int) -> int:
        """The number to be written, if it fits."""
        if self.name == b"INCRBY":
            return old + self.number
        return self.number + (1 << 64) if self._is_taken_for_great else self.number

    @property
    def _is_taken_for_great(self) -> bool:
        """Whether Redis takes a negative number for a great one: any in an unsigned field, and in a
        signed one what is so far below its most that the distance overflows 64 bits."""
        field = self.field
        is_far = field.bits < 64 and field.most - self.number > INT64_MAX
        return self.number < 0 and (is_far or not field.is_signed)


def _operations(words: Sequence[bytes]) -> list[Operation]:
    """What a request wants to have done. Raises CommandError for the first thing wrong with it."""
    found: list[Operation] = []
    overflow, rest = WRAP, Words(words)
    while rest:
        name = rest.option()
        if name == b"OVERFLOW":
            overflow = rest.option()
            if overflow not in (WRAP, SATURATE, FAIL):
                raise CommandError("Invalid OVERFLOW type specified")
        elif name == b"GET" and len(rest) >= 2:
            found.append(Operation(name, _read_field(rest)))
        elif name in (b"SET", b"INCRBY") and len(rest) >= 3:
            found.append(Operation(name, _read_field(rest), rest.take(integer), overflow))
        else:
            raise SyntaxFault
    return found


def _read_field(words: Words) -> Field:
    """A type, such as ``u8``, and an offset: in bits, or behind a ``#`` in fields of that type."""
    kind, offset = words.take(), words.take()
    sign = kind[:1]
    try:
        bits = integer(kind[1:]) if sign in (b"i", b"u") else 0
    except CommandError:
        bits = 0
    if not 1 <= bits <= (64 if sign == b"i" else 63):
        raise CommandError(BAD_TYPE)
    at = read_offset(offset.removeprefix(b"#"), bits if offset.startswith(b"#") else 1)
    return Field(at, bits, sign == b"i")


OPERATIONS_TAIL = Tail(
    "[GET <type> <offset>] [OVERFLOW WRAP|SAT|FAIL] "
    "[SET <type> <offset> <number>] [INCRBY <type> <offset> <step>] …"
)


# How many words these take, which write nothing.
_READ_ONLY = {b"GET": 2, b"OVERFLOW": 1}


def _access(argv: Sequence[bytes]) -> Accesses:
    """The key is only read where nothing else is asked for, and all that is complete."""
    at = 2
    while at < len(argv):
        at += 1 + _READ_ONLY.get(argv[at].upper(), len(argv))
    return READ if at == len(argv) else CHANGED


@command(
    "bitfield",
    KEY,
    OPERATIONS_TAIL,
    flags=Flag.WRITE | Flag.GROWS,
    access=_access,
    summary="Read and write numbers of 1 to 64 bits anywhere in a value",
    complexity="O(1) an operation; O(n) for all that write, n being the new length in bytes",
    differs=f"{LESS_GROWTH} A key that comes to be is announced, whether or not anything could be "
    "written to it. What only reads is no hit or miss in INFO, as BITFIELD_RO is.",
)
def bitfield(ctx: Context, key: bytes, *words: bytes) -> list[int | None]:
    operations = _operations(words)
    writing = [operation for operation in operations if operation.writes]
    if not writing:
        return _read_only(ctx, key, operations)
    value = STRING.get(ctx.db, key) or b""
    check_writable(max(operation.field.offset for operation in writing))
    size = max(operation.field.end for operation in writing)
    data = bytearray(value.ljust(size, b"\0"))
    replies = [operation.run(data) for operation in operations]
    if data != value:
        first = min(operation.field.offset for operation in writing) >> 3
        effect = overwritten(key, first, bytes(data[first:size]))
        ctx.db.update(key, bytes(data), "setbit", effect)
    return replies


@command(
    "bitfield_ro",
    KEY,
    Tail("[GET <type> <offset>] …"),
    flags=Flag.READ | Flag.FAST,
    summary="Read numbers of 1 to 64 bits anywhere in a value",
    complexity="O(1) an operation",
)
def bitfield_ro(ctx: Context, key: bytes, *words: bytes) -> list[int | None]:
    operations = _operations(words)
    if any(operation.writes for operation in operations):
        raise CommandError("BITFIELD_RO only supports the GET subcommand")
    return _read_only(ctx, key, operations)


def _read_only(ctx: Context, key: bytes, operations: Sequence[Operation]) -> list[int | None]:
    value = STRING.get(ctx.db, key) or b""
    return [operation.field.get(value) for operation in operations]


COMMANDS = (bitfield, bitfield_ro)
