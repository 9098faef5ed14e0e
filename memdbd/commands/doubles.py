"""Numbers with a fraction as Redis gets them from C's ``strtod``: scores, coordinates, bounds.

May import: errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from math import isinf, isnan

from memdbd.errors import CommandError

NOT_A_DOUBLE = "value is not a valid float"
_SURELY_FINITE = 300  # digits
_PLAIN = b"0123456789.-"


def double(raw: bytes, otherwise: str = NOT_A_DOUBLE) -> float:
    """The number that ``raw`` is, all of it; infinity has its names and is one, NaN is not.

    Raises CommandError(otherwise) where it is none, or is too large or too small for a float.
    """
    if raw.isdigit() and len(raw) < _SURELY_FINITE:  # as most are
        return float(raw)
    number = None if raw[:1].isspace() else _read(raw)
    if number is None or ((not number or isinf(number)) and _is_rounded(number, raw)):
        raise CommandError(otherwise)
    return number


def doubles(raws: Sequence[bytes]) -> list[float]:
    """The numbers that the first of ``raws`` are, up to one that is none."""
    # So written there are no other numbers, and none too large: a third of the time.
    if not b"".join(raws).strip(_PLAIN) and max(map(len, raws)) < _SURELY_FINITE:
        with suppress(ValueError):
            return list(map(float, raws))
    numbers = []
    for raw in raws:
        try:
            numbers.append(double(raw))
        except CommandError:
            break
    return numbers


def c_double(raw: bytes) -> float | None:
    """The same as a C string, where Redis checks less: it ends at a zero byte, blanks may stand
    before the number, nothing at all is 0, and what is too large is infinite. None where it is no
    number."""
    text = raw.partition(b"\0")[0]
    return _read(text) if text else 0.0


def _read(raw: bytes) -> float | None:
    if b"_" in raw or raw[-1:].isspace():  # which Python would pass over
        return None
    try:
        number = float.fromhex(raw.decode()) if b"x" in raw.lower() else float(raw)
    except ValueError:
        return None
    except OverflowError:  # of hexadecimal digits alone
        number = float("-inf" if b"-" in raw.lower().partition(b"p")[0] else "inf")
    return None if isnan(number) else number


def _is_rounded(number: float, raw: bytes) -> bool:
    """Whether what was read as 0 or as infinite is something else in writing."""
    if number:
        return b"n" not in raw.lower()  # as there is in both of its names
    return raw.lstrip(b"+-0.xX")[:1] not in (b"", b"e", b"E", b"p", b"P")
