"""Times in requests, and the deadlines that they mean."""

from __future__ import annotations

import pytest
from helpers_pure import NOW, World

from memdbd.commands.arguments import INT64_MAX, INT64_MIN
from memdbd.commands.expiry import (
    MILLISECONDS,
    MILLISECONDS_AT,
    SECONDS,
    SECONDS_AT,
    Unit,
    deadline_ahead,
    deadline_of,
    whole_seconds,
)
from memdbd.errors import CommandError


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(
    ("number", "unit", "deadline"),
    [
        (5, SECONDS, NOW + 5000),
        (5, MILLISECONDS, NOW + 5),
        (5, SECONDS_AT, 5000),
        (5, MILLISECONDS_AT, 5),
        (-5, SECONDS, NOW - 5000),
        (-5, MILLISECONDS_AT, -5),
        (0, SECONDS, NOW),
        (INT64_MAX - NOW, MILLISECONDS, INT64_MAX),
        (INT64_MAX, MILLISECONDS_AT, INT64_MAX),
        (INT64_MAX // 1000, SECONDS_AT, INT64_MAX // 1000 * 1000),
        (INT64_MIN, MILLISECONDS, INT64_MIN + NOW),
    ],
)
def test_a_time_is_from_now_or_from_1970(
    world: World, number: int, unit: Unit, deadline: int
) -> None:
    assert deadline_of(world.context, "expire", number, unit) == deadline


@pytest.mark.parametrize(
    ("number", "unit"),
    [
        (INT64_MAX - NOW + 1, MILLISECONDS),
        (INT64_MAX // 1000, SECONDS),
        (INT64_MAX // 1000 + 1, SECONDS_AT),
        (INT64_MIN // 1000 - 1, SECONDS),
    ],
)
def test_what_64_bits_cannot_hold_is_refused_in_the_name_of_the_command(
    world: World, number: int, unit: Unit
) -> None:
    with pytest.raises(CommandError) as refusal:
        deadline_of(world.context, "expire", number, unit)
    assert str(refusal.value) == "invalid expire time in 'expire' command"


@pytest.mark.parametrize("unit", [SECONDS, MILLISECONDS, SECONDS_AT, MILLISECONDS_AT])
def test_some_commands_take_only_times_ahead(world: World, unit: Unit) -> None:
    assert deadline_ahead(world.context, "set", 1, unit) > 0
    for number in (0, -1):
        with pytest.raises(CommandError, match="invalid expire time in 'set' command"):
            deadline_ahead(world.context, "set", number, unit)


@pytest.mark.parametrize(("ms", "seconds"), [(0, 0), (499, 0), (500, 1), (1499, 1), (1500, 2)])
def test_half_a_second_is_rounded_up(ms: int, seconds: int) -> None:
    assert whole_seconds(ms) == seconds
