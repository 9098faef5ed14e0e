"""Numbers with a fraction, as C's long double on x86 adds them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structs.redis_server import Command, Redis, redis_server

from memdbd.structs.longdouble import add, human, parse


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with redis_server(tmp_path_factory.mktemp("redis")) as redis:
        yield redis


def total(a: str, b: str) -> str:
    return human(add(parse(a.encode()), parse(b.encode()))).decode()


@pytest.mark.parametrize(
    ("a", "b", "sum_"),
    [
        ("3.1", "0.2", "3.3"),
        ("10.50", "0.1", "10.6"),
        ("5.0e3", "2.0e2", "5200"),
        ("-0.5", "0.5", "0"),
        ("1e-30", "-2e-30", "0"),  # not -0
        ("1.23456789012345678901", "1e17", "100000000000000001.234375"),
        ("18446744073709551615", "0", "18446744073709551615"),  # the most that is exact
        ("18446744073709551617", "0", "18446744073709551616"),  # between two: the even one
        ("18446744073709551619", "0", "18446744073709551620"),
        ("0x1.8p1", "-0XA", "-7"),
        (".5", "5.", "5.5"),
        ("+1", "-0", "1"),
        ("0e-99999", "0e99999", "0"),
    ],
)
def test_known_sums(a: str, b: str, sum_: str) -> None:
    """As redis-server 7.0.15 gives them."""
    assert total(a, b) == sum_


@pytest.mark.parametrize(
    "text",
    ["", ".", "e5", "1e", "0x", "0xp1", "--1", " 1", "1 ", "1\0", "1_0", "1,5", "nan", "\u0661"],
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a number"):
        parse(text.encode())


@pytest.mark.parametrize("text", ["1e4933", "-1e4933", "1e-4952", "0x1p16384", "1e" + "9" * 5000])
def test_what_is_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="out of range"):
        parse(text.encode())


def test_the_longest_text_that_is_read_has_5119_bytes() -> None:
    assert total("0" * 5118 + "1", "0") == "1"
    with pytest.raises(ValueError, match="not a number"):
        parse(b"0" * 5119 + b"1")


def test_a_number_of_all_digits_there_can_be_is_written() -> None:
    assert total("1" + "0" * 4932, "0").startswith("100000000000000000000601")
    assert len(total("1" + "0" * 4932, "0")) == 4933


@pytest.mark.parametrize(
    ("a", "b"), [("inf", "1"), ("1", "-Infinity"), ("inf", "-inf"), ("1.1e4932", "1.1e4932")]
)
def test_a_sum_that_is_not_finite_is_an_overflow(a: str, b: str) -> None:
    with pytest.raises(OverflowError):
        total(a, b)


def test_finite_is_what_is_no_infinity() -> None:
    assert parse(b"1.18e4932").is_finite
    assert not parse(b"-inf").is_finite


def numbers() -> st.SearchStrategy[str]:
    digits = st.text("0123456789", min_size=1, max_size=30)
    exponents = st.just("") | st.one_of(
        st.integers(-30, 30), st.integers(-4990, -4900), st.integers(4880, 4940)
    ).map(lambda power: f"e{power}")
    decimal = st.builds("{}{}.{}{}".format, st.sampled_from(["", "-"]), digits, digits, exponents)
    mantissas = st.integers((1 << 64) - 2, (1 << 66) + 2).map("{:x}".format)
    powers = st.one_of(
        st.integers(-140, 10), st.integers(-16520, -16430), st.integers(16310, 16330)
    )
    return decimal | st.builds("0x{}p{}".format, mantissas, powers)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(numbers(), numbers()), min_size=20, max_size=20))
def test_all_sums_are_those_of_redis(redis: Redis, pairs: list[tuple[str, str]]) -> None:
    commands: list[Command] = []
    for a, b in pairs:
        commands += ("SET", "k", a), ("INCRBYFLOAT", "k", b)
    replies = redis.hear_all(commands)
    for (a, b), expected in zip(pairs, replies[1::2], strict=True):
        try:
            found = total(a, b)
        except ValueError:
            found = "ERR value is not a valid float"
        except OverflowError:
            found = "ERR increment would produce NaN or Infinity"
        said = expected.decode() if isinstance(expected, bytes) else str(expected)
        assert (a, b, found) == (a, b, said)
