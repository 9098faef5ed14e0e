"""What was measured: medians, ratios, and the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.figures import Section, read, write

CELL = ("SET", 16)


def section(**rates: list[float | None]) -> Section:
    """A section with one cell, which has the rates of each peer, round by round."""
    made = Section({"date": "today"})
    for peer, values in rates.items():
        for number, value in enumerate(values):
            if value is not None:
                made.put(CELL, peer, number, {"rate": value})
    return made


def test_a_figure_is_the_median_over_the_rounds() -> None:
    assert section(ours=[1.0, 50.0, 2.0]).middle(CELL, "ours", "rate") == 2.0


def test_a_round_that_failed_is_no_figure() -> None:
    assert section(ours=[None, 3.0, 4.0]).middle(CELL, "ours", "rate") == 3.5
    assert section(ours=[None]).middle(CELL, "ours", "rate") is None


def test_a_ratio_is_the_median_of_those_within_a_round() -> None:
    # The machine was half as fast in the second round: medians of each alone would say 1.5.
    both = section(ours=[30.0, 10.0, 30.0], redis=[20.0, 20.0, 10.0])
    assert both.ratio(CELL, "ours", "redis", "rate") == 1.5
    assert section(ours=[8.0, 1.0], redis=[4.0, None]).ratio(CELL, "ours", "redis", "rate") == 2.0
    assert section(ours=[8.0]).ratio(CELL, "ours", "redis", "rate") is None


def test_a_ratio_can_be_to_another_cell() -> None:
    made = section(ours=[8.0])
    made.put(("SET", 1), "ours", 0, {"rate": 2.0})
    assert made.ratio(CELL, "ours", "ours", "rate", base_cell=("SET", 1)) == 4.0


def test_a_figure_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="speed"):
        Section().put(CELL, "ours", 0, {"speed": 1.0})


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    assert read(path) == {}
    results = {"commands": section(ours=[1.0, None, 2.0], redis=[3.0]), "idle": Section()}
    results["idle"].failures.append("one cell “failed”")
    write(path, results)
    assert read(path) == results


def test_rounds_of_another_run_come_behind_those_that_are_there() -> None:
    first = section(ours=[1.0, 2.0], redis=[1.0, 1.0])
    first.add(section(ours=[9.0], redis=[3.0]))
    assert first.middle(CELL, "ours", "rate") == 2.0
    assert first.ratio(CELL, "ours", "redis", "rate") == 2.0  # of 1, 2 and 3
