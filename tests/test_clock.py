"""A clock that no step of the wall moves."""

from __future__ import annotations

import pytest

from memdbd.clock import Clock, steady


class Times:
    """A wall clock and a steady one, set by hand."""

    def __init__(self) -> None:
        self.wall = 1_700_000_000.0
        self.steady = 50.0
        self.clock = Clock(steady=lambda: self.steady, wall=lambda: self.wall)

    def go_on(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


def test_it_starts_at_the_wall() -> None:
    assert Times().clock.seconds() == 1_700_000_000.0
    assert Times().clock.ms() == 1_700_000_000_000


def test_it_goes_on_with_the_steady_clock() -> None:
    times = Times()
    times.go_on(1.5)
    assert times.clock.ms() == 1_700_000_001_500
    assert times.clock.drift_ms() == 0


def test_a_wall_set_back_does_not_take_it_back() -> None:
    times = Times()
    times.wall -= 3600
    times.go_on(2)
    assert times.clock.ms() == 1_700_000_002_000
    assert times.clock.wall_ms() == 1_699_996_402_000


def test_a_wall_set_forward_does_not_take_it_forward() -> None:
    times = Times()
    times.wall += 3600
    times.go_on(2)
    assert times.clock.ms() == 1_700_000_002_000
    assert times.clock.wall_us() == 1_700_003_602_000_000


def test_drift_makes_a_time_of_the_clock_one_of_the_wall() -> None:
    times = Times()
    for step in (-3600, +7200, -0.5):
        times.wall += step
        times.go_on(1)
        assert times.clock.ms() + times.clock.drift_ms() == times.clock.wall_ms()
    assert times.clock.drift_ms() == 3_599_500


@pytest.mark.parametrize(
    ("step", "drift"), [(0.9995, 0), (1, 1000), (-0.9985, 0), (-1, -1000), (0.001, 0)]
)
def test_less_than_a_second_is_no_drift(step: float, drift: int) -> None:
    times = Times()
    times.wall += step
    assert times.clock.drift_ms() == drift


def test_the_systems_steady_clock_never_goes_back() -> None:
    seen = [steady() for _ in range(1000)]
    assert seen == sorted(seen)


def test_the_default_clock_is_the_wall() -> None:
    clock = Clock()
    assert abs(clock.drift_ms()) <= 1000
