"""What commands share that wait for one of several keys."""

from __future__ import annotations

import pytest

from memdbd.commands.arguments import Words
from memdbd.commands.blocking import keys_end_and_count, timeout
from memdbd.errors import CommandError

NO_FLOAT = "timeout is not a float or out of range"
NEGATIVE = "timeout is negative"


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        (b"0", 0),
        (b"-0", 0),
        (b"1", 1),
        (b"+1", 1),
        (b".5", 0.5),
        (b"5.", 5),
        (b"0.1", 0.1),
        (b"1e2", 100),
        (b"0x10", 16),
        (b"0x1p-1", 0.5),
        # Whole milliseconds, rounded up.
        (b"0.0015", 0.002),
        (b"0.0000001", 0.001),
        (b"1e-400", 0.001),
        (b"-0.0009", 0),
        (b"9223372036854774", 9223372036854774.0),
    ],
)
def test_a_timeout_is_seconds(raw: bytes, seconds: float) -> None:
    assert timeout(raw) == seconds


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        *((raw, NO_FLOAT) for raw in (b"", b"abc", b" 1", b"1 ", b"1e", b"nan", b"1_0", b"1\0")),
        *((raw, NO_FLOAT) for raw in (b"1e-5000", b"0x")),
        *((raw, NEGATIVE) for raw in (b"-1", b"-0.001", b"-inf")),
        # More than 64 bits of milliseconds become negative in Redis.
        *((raw, NEGATIVE) for raw in (b"inf", b"INFINITY", b"1e16", b"1e400", b"1e4932")),
    ],
)
def test_anything_else_is_none(raw: bytes, error: str) -> None:
    with pytest.raises(CommandError) as caught:
        timeout(raw)
    assert str(caught.value) == error


ENDS = {b"LEFT": "left", b"RIGHT": "right"}


@pytest.mark.parametrize(
    ("words", "read"),
    [
        (b"1 a LEFT", ([b"a"], "left", 1)),
        (b"2 a LEFT right", ([b"a", b"LEFT"], "right", 1)),
        (b"1 a Left count 3", ([b"a"], "left", 3)),
        (b"1 a LEFT COUNT 9223372036854775807", ([b"a"], "left", 2**63 - 1)),
    ],
)
def test_keys_behind_their_number_an_end_and_a_count(
    words: bytes, read: tuple[list[bytes], str, int]
) -> None:
    assert keys_end_and_count(Words(words.split()), ENDS) == read


@pytest.mark.parametrize(
    ("words", "error"),
    [
        *((b"%b a LEFT" % raw, "numkeys") for raw in (b"0", b"-1", b"x", b"9223372036854775808")),
        *((b"1 a LEFT COUNT %b" % raw, "count") for raw in (b"0", b"-1", b"x", b"1.0")),
        (b"1 a LEFT COUNT 0 more", "count"),
        (b"1 a", ""),
        (b"2 a LEFT", ""),
        (b"9223372036854775807 a LEFT", ""),
        (b"1 a MIDDLE", ""),
        (b"1 a LEFT more", ""),
        (b"1 a LEFT COUNT", ""),
        (b"1 a LEFT LIMIT 1", ""),
        (b"1 a LEFT COUNT 1 COUNT 0", ""),
    ],
)
def test_other_words_than_these_are_refused_in_redis_s_words(words: bytes, error: str) -> None:
    with pytest.raises(CommandError) as caught:
        keys_end_and_count(Words(words.split()), ENDS)
    expected = f"{error} should be greater than 0" if error else "syntax error"
    assert str(caught.value) == expected
