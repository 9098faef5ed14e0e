"""HyperLogLog: about how many different elements were added (the standard error is 0.81 %).

The values and the numbers are those of redis-server 7.0, bit by bit. Imports math and functools.

Strategy: a value is bytes, as Redis stores it: a header, then 16,384 registers. An element's hash
chooses one and raises it to the place of the hash's first 1. Dense, a register is 6 bits; sparse, a
run of equal ones is one or two bytes, until that is more than 3,000. To count or merge, all become
bytes of one long integer, so that a few operations in C go over them all.

Sources: Flajolet et al., "HyperLogLog" (2007), for the registers; Ertl, "New cardinality
estimation algorithms for HyperLogLog sketches" (arXiv:1702.01284, 2017), for the estimator;
Austin Appleby's MurmurHash64A; Redis 7.0, hyperloglog.c, for the two forms and their parameters.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from math import inf, sqrt

# The header: magic, encoding, 3 unused bytes, and the number last counted, in 8 bytes, least
# first, of which the highest bit says that it is out of date.
_MAGIC = b"HYLL"
_ENCODING = 4
_DENSE, _SPARSE = 0, 1
_CACHE = slice(8, 16)
_STALE_AT, _STALE = 15, 0x80
_HEADER = 16

_P = 14  # bits of a hash that choose the register
_Q = 64 - _P  # those in which zeroes are counted
_REGISTERS = 1 << _P
_DENSE_SIZE = _HEADER + _REGISTERS * 6 // 8
_ALPHA = 0.721347520444481703680  # 0.5 / ln 2

# The sparse form: 00nnnnnn is n + 1 registers that are 0; 01nnnnnn nnnnnnnn as well, for more than
# 64 of them; 1vvvvvnn is n + 1 registers that are v + 1.
_SPARSE_MOST = 3000  # bytes, with the header: Redis's default of hll-sparse-max-bytes
_LONG, _VALUE = 0x40, 0x80
_ZEROES_MOST, _VALUE_MOST, _EQUAL_MOST = 64, 32, 4
# The registers that a first byte stands for, and how many; none where there is a second byte.
_RUNS = (
    *(bytes(op + 1) for op in range(_LONG)),
    *(b"" for _ in range(_LONG, _VALUE)),
    *(bytes([(op >> 2 & 31) + 1]) * ((op & 3) + 1) for op in range(_VALUE, 256)),
)
_SPANS = bytes(map(len, _RUNS))
_STRIDE = 24  # operations that a search tries to go over at once

_SEED = 0xADC83B19
_MULTIPLIER = 0xC6A4A7935BD1E995
_MASK = (1 << 64) - 1

_HIGH_BITS = int.from_bytes(bytes([0x80]) * _REGISTERS)


class Corrupt(ValueError):
    """A sparse value whose runs are not 16,384 registers together."""


def create() -> bytes:
    """A value to which nothing was added: all registers 0."""
    value = bytearray(_HEADER)
    value[: len(_MAGIC)] = _MAGIC
    value[_ENCODING] = _SPARSE
    value[_STALE_AT] = _STALE
    return bytes(value + _run(0, _REGISTERS))


def is_valid(value: bytes) -> bool:
    """Whether ``value`` looks like one of ours; its runs are looked at only when they are used."""
    return (
        len(value) >= _HEADER
        and value.startswith(_MAGIC)
        and (value[_ENCODING] == _SPARSE or (value[_ENCODING], len(value)) == (_DENSE, _DENSE_SIZE))
    )


def add(value: bytes, elements: Iterable[bytes]) -> tuple[bytes, bool]:
    """``value`` with ``elements``, and whether that is another one; Corrupt.

    It takes a few µs an element, some tens in a sparse value of a thousand, and 40 ns a byte of a
    long element.
    """
    after, changed = bytearray(value), False
    for element in elements:
        changed |= _raise_register(after, *_place(element))
    if not changed:
        return value, False
    after[_STALE_AT] |= _STALE
    return bytes(after), True


def count(values: Iterable[bytes]) -> int:
    """About how many different elements were added to all of ``values`` together; Corrupt."""
    return _estimate(_union(values))


def count_one(value: bytes) -> tuple[int, bytes]:
    """As ``count`` of one, which keeps the number: gives it, and the value that has it in it."""
    if not value[_STALE_AT] & _STALE:
        return int.from_bytes(value[_CACHE], "little"), value
    number = count([value])
    after = bytearray(value)
    after[_CACHE] = (number & _MASK).to_bytes(8, "little")
    return number, bytes(after)


def merge(value: bytes, others: Iterable[bytes]) -> bytes:
    """``value`` with all that was added to ``others``; Corrupt.

    It is dense if one of them is.
    """
    others = list(others)
    registers = _union([value, *others])
    after = bytearray(value)
    if any(one[_ENCODING] == _DENSE for one in (value, *others)):
        after[:] = _dense(value, registers)
    else:  # one by one, as the form depends on the order
        for index, (old, new) in enumerate(zip(_registers(value), registers, strict=True)):
            if new > old:
                _raise_register(after, index, new)
    after[_STALE_AT] |= _STALE
    return bytes(after)


# The hash


def _murmur(data: bytes) -> int:
    """MurmurHash64A, with Redis's seed."""
    tail = len(data) & ~7
    h = (_SEED ^ len(data) * _MULTIPLIER) & _MASK
    for at in range(0, tail, 8):
        k = int.from_bytes(data[at : at + 8], "little") * _MULTIPLIER & _MASK
        h = (h ^ (k ^ k >> 47) * _MULTIPLIER) * _MULTIPLIER & _MASK
    if tail < len(data):
        h = (h ^ int.from_bytes(data[tail:], "little")) * _MULTIPLIER & _MASK
    h = (h ^ h >> 47) * _MULTIPLIER & _MASK
    return h ^ h >> 47


def _place(element: bytes) -> tuple[int, int]:
    """The register of ``element``, and one more than the zeroes that it found."""
    h = _murmur(element)
    rest = h >> _P | 1 << _Q
    return h & _REGISTERS - 1, (rest & -rest).bit_length()


# One register


def _raise_register(value: bytearray, index: int, to: int) -> bool:
    """Raise a register, in place; False if it is as high already."""
    if value[_ENCODING] == _SPARSE:
        return _raise_sparse(value, index, to)
    at, shift = _HEADER + index * 6 // 8, index * 6 % 8
    pair = value[at : at + 2]  # the last register is all in the last byte
    bits = int.from_bytes(pair, "little")
    old = bits >> shift & 63
    if to <= old:
        return False
    value[at : at + 2] = (bits ^ (old ^ to) << shift).to_bytes(len(pair), "little")
    return True


def _raise_sparse(value: bytearray, index: int, to: int) -> bool:
    """As ``_raise_register``: the run in which it is becomes up to three."""
    at, previous, first = _find(value, index)
    width, span = _extent(value, at)
    old = _RUNS[value[at]][0] if width == 1 else 0
    if to <= old:
        return False
    below, above = index - first, first + span - 1 - index
    runs = b""
    if to <= _VALUE_MOST:
        runs = _run(old, below) + _run(to, 1) + _run(old, above)
    growth = len(runs) - width
    if to > _VALUE_MOST or (growth > 0 and len(value) + growth > _SPARSE_MOST):
        value[:] = _dense(value, _registers(value))
        return _raise_register(value, index, to)
    value[at : at + width] = runs
    _join_equal(value, previous)
    return True


def _find(value: bytearray, index: int) -> tuple[int, int, int]:
    """Where the run with this register is, where the one before it, and the run's first register.

    The first run has itself before it.
    """
    at = previous = _HEADER
    first = 0
    while at < len(value):
        spans = value[at : at + _STRIDE].translate(_SPANS)
        if 0 not in spans and first + sum(spans) <= index:
            first += sum(spans)
            at += len(spans)
            previous = at - 1
            continue
        stop = at + len(spans)
        while at < stop:
            width, span = _extent(value, at)
            if index < first + span:
                return at, previous, first
            previous = at
            at += width
            first += span
    raise Corrupt("the runs end before the last register")


def _join_equal(value: bytearray, at: int) -> None:
    """Join neighbours that are equal and fit into one run, over five steps from ``at``."""
    for _ in range(5):
        if at >= len(value):
            break
        op, following = value[at], value[at + 1] if at + 1 < len(value) else 0
        joined = (op & 3) + (following & 3) + 2
        if op & following & _VALUE and op >> 2 == following >> 2 and joined <= _EQUAL_MOST:
            value[at : at + 2] = _run(_RUNS[op][0], joined)
        else:
            at += _extent(value, at)[0]


def _run(register: int, span: int) -> bytes:
    """So many registers of one value in the sparse form; nothing for none."""
    if not span:
        return b""
    if register:
        return bytes([_VALUE | register - 1 << 2 | span - 1])
    if span <= _ZEROES_MOST:
        return bytes([span - 1])
    return bytes([_LONG | span - 1 >> 8, span - 1 & 255])


def _extent(value: bytes | bytearray, at: int) -> tuple[int, int]:
    """How many bytes the run at ``at`` takes, and how many registers it stands for."""
    op = value[at]
    if span := _SPANS[op]:
        return 1, span
    low = value[at + 1] if at + 1 < len(value) else 0
    return 2, ((op & 63) << 8 | low) + 1


# All registers


def _registers(value: bytes | bytearray) -> bytes:
    """All registers, a byte for each."""
    if value[_ENCODING] == _SPARSE:
        return _sparse_registers(value)
    # 3 bytes are 4 registers: 11000000 22221111 33333322, each from its lowest bit on.
    a, b, c = (value[_HEADER + part :: 3] for part in range(3))
    registers = bytearray(_REGISTERS)
    registers[0::4] = _shift(a, 0, 63)
    registers[1::4] = _either(_shift(a, -6, 63), _shift(b, 2, 63))
    registers[2::4] = _either(_shift(b, -4, 63), _shift(c, 4, 63))
    registers[3::4] = _shift(c, -2, 63)
    return bytes(registers)


def _sparse_registers(value: bytes | bytearray) -> bytes:
    runs, size, at = [], 0, _HEADER
    while at < len(value):
        width, span = _extent(value, at)
        size += span
        if size > _REGISTERS:  # no value, however it was made, takes more time or memory
            break
        runs.append(_RUNS[value[at]] or bytes(span))
        at += width
    if size != _REGISTERS:
        raise Corrupt("the runs are not 16,384 registers")
    return b"".join(runs)


def _dense(value: bytes | bytearray, registers: bytes) -> bytes:
    """These registers in the dense form, after the header of ``value``."""
    header = bytearray(value[:_HEADER])
    header[_ENCODING] = _DENSE
    r0, r1, r2, r3 = (registers[part::4] for part in range(4))
    packed = bytearray(_DENSE_SIZE - _HEADER)
    packed[0::3] = _either(r0, _shift(r1, 6))
    packed[1::3] = _either(_shift(r1, -2), _shift(r2, 4))
    packed[2::3] = _either(_shift(r2, -4), _shift(r3, 2))
    return bytes(header + packed)


def _shift(data: bytes | bytearray, left: int, mask: int = 255) -> bytes | bytearray:
    """Each byte shifted to the left, or right where negative, and masked."""
    return data.translate(_shifted(left, mask))


@cache
def _shifted(left: int, mask: int) -> bytes:
    return bytes((byte << left if left > 0 else byte >> -left) & mask for byte in range(256))


def _either(a: bytes | bytearray, b: bytes | bytearray) -> bytes:
    """Bitwise or."""
    return (int.from_bytes(a) | int.from_bytes(b)).to_bytes(len(a))


def _union(values: Iterable[bytes]) -> bytes:
    """The registers, each the highest of all ``values``."""
    highest = 0
    for value in values:
        other = int.from_bytes(_registers(value))
        # A register has 6 bits, so its byte's high bit is free: it is borrowed from where the
        # register is lower than the other, and elsewhere makes a mask of those that stay.
        stays = (highest | _HIGH_BITS) - other & _HIGH_BITS
        stays -= stays >> 7
        highest = other ^ (other ^ highest) & stays
    return highest.to_bytes(_REGISTERS)


# The number


def _estimate(registers: bytes) -> int:
    """Ertl's improved raw estimator, in the order of Redis's operations on floats."""
    # To find that there is none takes a tenth of counting none.
    tally = [registers.count(height) if height in registers else 0 for height in range(_Q + 2)]
    z = _REGISTERS * _tau((_REGISTERS - tally[_Q + 1]) / _REGISTERS)
    for height in range(_Q, 0, -1):
        z = (z + tally[height]) * 0.5
    z += _REGISTERS * _sigma(tally[0] / _REGISTERS)
    number = _ALPHA * _REGISTERS * _REGISTERS / z if z else inf
    if number >= 1 << 63:  # only a forged value gets there, and C rounds it to this
        return -1 << 63
    return int(number) + (number % 1 >= 0.5)


def _sigma(x: float) -> float:
    """What the registers that are 0 add."""
    if x == 1:
        return inf
    y, z, before = 1.0, x, -1.0
    while z != before:
        before = z
        x *= x
        z += x * y
        y += y
    return z


def _tau(x: float) -> float:
    """What those take away in which all counted bits were zeroes."""
    if x in (0, 1):
        return 0.0
    y, z, before = 1.0, 1 - x, -1.0
    while z != before:
        before = z
        x = sqrt(x)
        y *= 0.5
        z -= (1 - x) * (1 - x) * y
    return z / 3
