"""The document: which parts are made anew, what the tables say, and the plots."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import floors, machine, plots, report
from benchmarks.figures import Figures, Section
from benchmarks.peers import COMPILED, PYTHON, REDIS

DOCUMENT = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- benchmarks.compare: begin idle -->", "<!-- benchmarks.compare: end idle -->"
CELL = ("SET", 1)


def section(*cells: tuple[tuple[str | int, ...], str, Figures]) -> Section:
    made = Section({"date": "today", "rounds": "1 round"})
    for cell, peer, figures in cells:
        made.put(cell, peer, 0, figures)
    return made


def test_a_part_is_put_in_place_of_the_old_one_and_nothing_else_changes() -> None:
    before = f"above\n{BEGIN}\nold\n{END}\nbelow {END}\n"
    after = report.put(before, "idle", "new \\1\n")
    assert after == f"above\n{BEGIN}\nnew \\1\n{END}\nbelow {END}\n"
    assert report.put(after, "idle", "new \\1\n") == after


def test_a_document_without_the_part_is_refused() -> None:
    with pytest.raises(ValueError, match="begin idle"):
        report.put("nothing", "idle", "new")


def test_the_document_has_a_place_for_each_part() -> None:
    document = DOCUMENT.read_text()
    for name in (*report.REPORTS, "machine", "floors"):
        assert f"here {name}" in report.put(document, name, f"here {name}")


def test_a_ratio_of_speeds_is_marked_where_the_load_was_the_bound() -> None:
    def with_loads(redis: float, ours: float) -> str:
        return report.speed(
            section(
                (CELL, REDIS, {"rate": 10.0, "load": redis}),
                (CELL, PYTHON, {"rate": 9.0, "load": ours}),
            ),
            CELL,
            PYTHON,
        )

    assert with_loads(0.5, 0.5) == "0.90"
    assert with_loads(0.97, 0.5) == with_loads(0.5, 0.97) == "0.90°"


def test_less_cpu_is_a_ratio_above_one() -> None:
    made = section((CELL, REDIS, {"cpu": 6.0}), (CELL, PYTHON, {"cpu": 4.0}))
    assert report.thrift(made, CELL, PYTHON) == "1.50"


def test_user_and_system_are_parts_of_what_a_request_costs() -> None:
    made = section((CELL, REDIS, {"cpu": 6.0, "system": 0.25}))
    shown = report.long_table(made, ["test", "depth"])
    assert "| 6.00   | 4.50 | 1.50   |" in shown


def test_what_there_is_no_figure_of_is_left_open() -> None:
    made = section((CELL, REDIS, {"rate": 10.0}), (CELL, PYTHON, {"cpu": 4.0}))
    assert report.speed(made, CELL, PYTHON) == report.thrift(made, CELL, PYTHON) == "–"


def test_what_failed_stands_below_the_table() -> None:
    made = section((("SET", 1, 1), REDIS, {"rate": 10.0}))
    made.failures.append("GET 1, redis-server: it has closed the connection")
    assert report.of_section("clients", made).endswith(
        "- failed: GET 1, redis-server: it has closed the connection"
    )


def test_a_floor_shows_the_worst_cell_and_how_many_fall_short() -> None:
    rates = {"SET": 0.96, "GET": 0.5, "INCR": 1.2, "PING_MBULK": 0.1}  # the last is none of them
    cells = [((test, 1), PYTHON, {"rate": rate}) for test, rate in rates.items()]
    made = section(*cells, *(((test, 1), REDIS, {"rate": 1.0}) for test in rates))
    (line,) = floors.of_floor(floors.FLOORS[0], made)
    assert line[1:] == ["≥ 0.95", PYTHON, "0.50 (GET 1)", "0.96", "1 of 3"]


def test_where_less_is_better_the_worst_is_the_most() -> None:
    (floor,) = (it for it in floors.FLOORS if it.section == "idle")
    sizes = {"opened": 2048.0, "answered once": 20480.0}
    made = section(*(((name, 10), COMPILED, {"bytes": size}) for name, size in sizes.items()))
    (line,) = floors.of_floor(floor, made)
    assert line[3:] == ["20.00 (answered once 10)", "2.00", "1 of 2"]


def test_the_same_figures_make_the_same_plots(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="a requirement of the benchmarks alone")
    peers = (REDIS, PYTHON, COMPILED)
    figures = {"rate": 5.0, "cpu": 4.0, "p99": 1.0, "bytes": 7.0}
    results = {
        name: section(*(((1, 1), peer, figures) for peer in peers)) for name in report.REPORTS
    }
    first, again = (plots.draw(results, tmp_path / it) for it in ("one", "two"))
    assert [it.name for it in first] == [f"{name}.svg" for name in plots.PLOTS]
    assert [it.read_bytes() for it in first] == [it.read_bytes() for it in again]


def test_every_picture_that_is_shown_is_one_that_is_made() -> None:
    figures = {"rate": 5.0, "cpu": 4.0}
    for name, made in report.REPORTS.items():
        three = name in ("text", "values", "clients")
        body = made(section((("x", 1, "text") if three else ("x", 1), REDIS, figures)))
        for line in body.splitlines():
            if line.startswith("!["):
                assert line.rpartition("/")[2].removesuffix(".svg)") in plots.PLOTS, name


def test_the_header_leaves_out_what_is_not_there() -> None:
    assert machine.sentence({"Python": "3.11", "fakeredis": ""}) == "Python 3.11"
