"""Numbers with a fraction, as Redis gets them from C."""

from __future__ import annotations

from math import copysign, inf

import pytest

from memdbd.commands.doubles import c_double, double
from memdbd.errors import CommandError

# What redis-server 7.0 takes for a score.
TAKEN = {
    b"0": 0.0,
    b"+5": 5.0,
    b".5": 0.5,
    b"5.": 5.0,
    b"1e5": 1e5,
    b"1E-5": 1e-5,
    b"007": 7.0,
    b"0e-999": 0.0,
    b"-0.000e9": 0.0,
    b"1e-320": 1e-320,
    b"inf": inf,
    b"+inf": inf,
    b"-Infinity": -inf,
    b"INF": inf,
    b"0x10": 16.0,
    b"0X1P3": 8.0,
    b"-0x1.8": -1.5,
    b"0x0p-5": 0.0,
}
REFUSED = [
    *(b"", b" ", b" 1", b"1 ", b"\t1", b"1\0", b"1_0", b"a", b".", b"-", b"1e", b"0x", b"1,5"),
    *(b"nan", b"NaN", b"nan(1)", b"infi", b"1e400", b"-1e400", b"1e-400", b"0x1p2000"),
    *(b"-0x1p2000", b"0x1p-2000", b"\xd9\xa1", b"9" * 400),
]


@pytest.mark.parametrize(("raw", "number"), TAKEN.items())
def test_what_is_a_number_in_c_is_one(raw: bytes, number: float) -> None:
    assert double(raw) == number


def test_the_sign_of_zero_is_kept() -> None:
    assert copysign(1, double(b"-0")) == -1


@pytest.mark.parametrize("raw", REFUSED)
def test_anything_else_is_refused(raw: bytes) -> None:
    with pytest.raises(CommandError, match=r"^value is not a valid float$"):
        double(raw)


def test_a_command_may_have_an_error_of_its_own() -> None:
    with pytest.raises(CommandError, match=r"^need numeric radius$"):
        double(b"far", "need numeric radius")


@pytest.mark.parametrize(
    ("raw", "number"),
    {
        **TAKEN,
        b"": 0.0,
        b"\0": 0.0,
        b" \t1": 1.0,
        b"1\0 and more": 1.0,
        b"1e400": inf,
        b"-0x1P2000": -inf,
        b"0x1p2000": inf,
        b"1e-400": 0.0,
        b"1 ": None,
        b" ": None,
        b"nan": None,
        b"x": None,
    }.items(),
)
def test_a_c_string_is_checked_less(raw: bytes, number: float | None) -> None:
    assert c_double(raw) == number
