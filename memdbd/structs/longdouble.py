"""Numbers with a fraction as INCRBYFLOAT adds them: C's long double, as it is on x86.

That has 64 bits of mantissa, more than Python's float, so that 3.1 + 0.2 gives 3.3. All results are
bit by bit those of redis-server 7.0 on x86-64.

Strategy: a number is a whole one times a power of two. Between, Python's integers are exact;
rounding to 64 bits, half to even, is all that there is to imitate. Imports decimal, re and typing.

Sources: the Intel 64 and IA-32 manual, volume 1, 4.2.2, for the format; the C standard, 7.22.1.3
(strtold) and 7.21.6.1 (printf), for how it is read and written; Redis 7.0, util.c, ``string2ld``
and ``ld2string``, for what is refused and how many digits there are.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import NamedTuple

_MANTISSA = 64  # bits
_LEAST = -16445  # the exponent of the smallest number, whose mantissa is 1
_OVER = 16384  # numbers of more bits than this are infinite
_PLACES = 17  # digits that are written behind the point
_MAX_TEXT = 5 * 1024  # bytes of text from which it is no number to Redis
# No text of that length is a number in range if its exponent is more, unless it is 0.
_MAX_EXPONENT = {2: 40_000, 10: 11_000}


class LongDouble(NamedTuple):
    """The number ``mantissa * 2 ** exponent``."""

    mantissa: int
    exponent: int

    @property
    def is_finite(self) -> bool:
        return self.mantissa.bit_length() + self.exponent <= _OVER


_INFINITE = 1 << 20  # as an exponent

_NUMBER = re.compile(
    r"""(?P<sign>[+-]?)
        (?: (?P<infinite> inf (?:inity)? )
          | 0x (?=\.?[0-9a-f]) (?P<hex>[0-9a-f]*) (?:\. (?P<hex_behind>[0-9a-f]*))?
               (?:p (?P<two>[+-]?[0-9]+))?
          | (?=\.?[0-9]) (?P<digits>[0-9]*) (?:\. (?P<behind>[0-9]*))?
               (?:e (?P<ten>[+-]?[0-9]+))?
        )""",
    re.VERBOSE | re.IGNORECASE,
)


def parse(raw: bytes) -> LongDouble:
    """The number nearest to what is written; ValueError if it is none, or out of range."""
    found = _NUMBER.fullmatch(raw.decode("latin-1")) if len(raw) < _MAX_TEXT else None
    if found is None:
        raise ValueError("not a number")
    sign = -1 if found["sign"] == "-" else 1
    if found["infinite"]:
        return LongDouble(sign, _INFINITE)
    if found["hex"] is not None:
        behind = found["hex_behind"] or ""
        power = _exponent(found["two"], 2) - 4 * len(behind)
        return _in_range(sign * int(found["hex"] + behind, 16), 2, power)
    behind = found["behind"] or ""
    power = _exponent(found["ten"], 10) - len(behind)
    return _in_range(sign * _integer(found["digits"] + behind), 10, power)


def add(a: LongDouble, b: LongDouble) -> LongDouble:
    """The sum, rounded; OverflowError where it would not be finite, or one of both is not."""
    if a.is_finite and b.is_finite:
        least = min(a.exponent, b.exponent)
        total = (a.mantissa << a.exponent - least) + (b.mantissa << b.exponent - least)
        if (rounded := _rounded(total, 2, least)).is_finite:
            return rounded
    raise OverflowError("the sum is not finite")


def human(number: LongDouble) -> bytes:
    """A finite number to 17 places behind the point, without zeroes at the end or an exponent."""
    scaled = _divided(*_shifted(number.mantissa * 10**_PLACES, 1, -number.exponent))
    digits = str(Decimal(abs(scaled))).zfill(_PLACES + 1)  # str alone refuses more than 4,300
    text = f"{digits[:-_PLACES]}.{digits[-_PLACES:]}".rstrip("0").rstrip(".")
    return f"-{text}".encode() if scaled < 0 else text.encode()


def _integer(digits: str) -> int:
    """As int, which refuses more than 4,300 digits."""
    return int(digits) if len(digits) < 1000 else int(Decimal(digits))


def _exponent(digits: str | None, base: int) -> int:
    """The exponent that is written, or one that is as much out of range."""
    most = _MAX_EXPONENT[base]
    return max(-most, min(most, _integer(digits or "0")))


def _in_range(number: int, base: int, power: int) -> LongDouble:
    """``number * base ** power``; ValueError where that is infinite, or nothing is left of it."""
    rounded = _rounded(number, base, power)
    if not rounded.is_finite or (number and not rounded.mantissa):
        raise ValueError("out of range")
    return rounded


def _rounded(number: int, base: int, power: int) -> LongDouble:
    """``number * base ** power``, to 64 bits or to a multiple of the smallest number."""
    by = 1
    if power < 0:
        by = base**-power
    else:
        number *= base**power
    # With this exponent, the mantissa has 64 bits or one more.
    exponent = max(number.bit_length() - by.bit_length() - _MANTISSA, _LEAST)
    number, by = _shifted(number, by, exponent)
    if abs(number) >= by << _MANTISSA:
        exponent, by = exponent + 1, by * 2
    return LongDouble(_divided(number, by), exponent)


def _shifted(number: int, by: int, exponent: int) -> tuple[int, int]:
    """A fraction, over ``2 ** exponent``."""
    return (number << -exponent, by) if exponent < 0 else (number, by << exponent)


def _divided(number: int, by: int) -> int:
    """The whole number nearest to a fraction; between two, the even one."""
    quotient, rest = divmod(number, by)
    return quotient + (2 * rest > by or (2 * rest == by and quotient & 1))
