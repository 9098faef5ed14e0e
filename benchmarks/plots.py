"""The plots, as SVG: the same figures make the same files, byte for byte.

matplotlib is needed for nothing else (``benchmarks/requirements.txt``).

May import: figures, peers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.figures import Cell, Results, Section
from benchmarks.peers import ALL, COMPILED, FAKE, OURS, PYTHON, REDIS

COLOURS = {REDIS: "#c0392b", PYTHON: "#2e86c1", COMPILED: "#1e8449", FAKE: "#7d8a8c"}
STYLES = ("-", "--", ":")


def draw(results: Results, directory: Path) -> list[Path]:
    """All plots of which there are figures; gives the files.

    Raises ImportError if there is no matplotlib.
    """
    mpl = import_module("matplotlib")
    mpl.use("svg")
    # No random identifiers, and text as text: small, and the same each time.
    mpl.rcParams.update({"svg.hashsalt": "memdbd", "svg.fonttype": "none", "font.size": 9})
    plt = import_module("matplotlib.pyplot")
    directory.mkdir(parents=True, exist_ok=True)
    made = []
    for name, (section, plot) in PLOTS.items():
        if section in results and results[section].cells:
            figure = plot(plt, results[section])
            path = directory / f"{name}.svg"
            figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
            plt.close(figure)
            # matplotlib leaves blanks at the ends of lines, which git would complain of.
            path.write_text("".join(f"{it.rstrip()}\n" for it in path.read_text().splitlines()))
            made.append(path)
    return made


def bars(
    axes: Any, labels: Sequence[str], series: dict[str, list[float | None]], *, upright: bool = True
) -> None:
    """A group of bars for each label, one of them for each peer."""
    width = 0.8 / max(1, len(series))
    for number, (peer, values) in enumerate(series.items()):
        places = [at + (number - (len(series) - 1) / 2) * width for at in range(len(labels))]
        heights = [0 if it is None else it for it in values]
        draws = axes.bar if upright else axes.barh
        draws(places, heights, width, label=peer, color=COLOURS.get(peer))
    if upright:
        axes.set_xticks(range(len(labels)), labels, rotation=30, ha="right")
    else:
        axes.set_yticks(range(len(labels)), labels)
        axes.invert_yaxis()
    axes.grid(axis="y" if upright else "x", linewidth=0.3)
    axes.set_axisbelow(True)


def legend(axes: Any) -> None:
    if axes.get_legend_handles_labels()[0]:  # it complains where there is nothing
        axes.legend(fontsize=7)


def commands(plt: Any, section: Section) -> Any:
    """What of redis-server's speed each test is, a panel for each depth."""
    depths = list(dict.fromkeys(cell[1] for cell in section.cells))
    tests = list(dict.fromkeys(cell[0] for cell in section.cells))
    peers = [it for it in OURS if it in section.peers()]
    figure, panels = plt.subplots(
        1, len(depths), figsize=(3.2 * len(depths), 0.32 * len(tests) + 1), sharey=True,
        squeeze=False,
    )  # fmt: skip
    for axes, depth in zip(panels[0], depths, strict=True):
        series = {
            peer: [section.ratio((test, depth), peer, REDIS, "rate") for test in tests]
            for peer in peers
        }
        bars(axes, [str(test) for test in tests], series, upright=False)
        axes.axvline(1.0, color=COLOURS[REDIS], linewidth=1)
        axes.set_title(f"depth {depth}")
        axes.set_xlabel("of redis-server's throughput")
    handles = panels[0][0].get_legend_handles_labels()
    figure.legend(*handles, loc="upper center", bbox_to_anchor=(0.5, -0.03), ncols=2, fontsize=7)
    return figure


def latency(plt: Any, section: Section) -> Any:
    """p99 at the least depth."""
    depth = min(int(cell[1]) for cell in section.cells)
    tests = [cell[0] for cell in section.cells if cell[1] == depth]
    series = {
        peer: [section.middle((test, depth), peer, "p99") for test in tests]
        for peer in (REDIS, *OURS)
        if peer in section.peers()
    }
    figure, axes = plt.subplots(figsize=(9, 3))
    bars(axes, [str(test) for test in tests], series)
    axes.set_ylabel(f"p99 ms at depth {depth}")
    legend(axes)
    return figure


def by_cell(name: str, label: str, scale: float = 1.0) -> Callable[[Any, Section], Any]:
    """Bars of one figure, a group for each cell."""

    def plot(plt: Any, section: Section) -> Any:
        cells = list(section.cells)
        series: dict[str, list[float | None]] = {}
        for peer in in_order(section):
            values = [section.middle(cell, peer, name) for cell in cells]
            series[peer] = [None if it is None else it / scale for it in values]
        figure, axes = plt.subplots(figsize=(7, 3))
        bars(axes, [said(cell) for cell in cells], series)
        axes.set_ylabel(label)
        legend(axes)
        return figure

    return plot


def in_order(section: Section) -> list[str]:
    return [it for it in ALL if it in section.peers()]


def said(cell: Cell) -> str:
    if isinstance(cell[0], int):
        return f"{cell[0]:,} at depth {cell[1]}"
    return str(cell[0])


def lines(label: str) -> Callable[[Any, Section], Any]:
    """CPU a request against the last part of the cells, a line for each peer and first part."""

    def plot(plt: Any, section: Section) -> Any:
        figure, axes = plt.subplots(figsize=(6, 3.2))
        kinds = list(dict.fromkeys(cell[0] for cell in section.cells))
        for peer in in_order(section):
            for kind, style in zip(kinds, STYLES, strict=False):
                points = [
                    (int(cell[1]), cpu)
                    for cell in section.cells
                    if cell[0] == kind and (cpu := section.middle(cell, peer, "cpu")) is not None
                ]
                if points:
                    axes.plot(
                        *zip(*points, strict=True), style, marker="o", markersize=3,
                        color=COLOURS.get(peer), label=f"{peer}, {kind}",
                    )  # fmt: skip
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_xlabel(label)
        axes.set_ylabel("CPU µs a request")
        axes.grid(linewidth=0.3)
        legend(axes)
        return figure

    return plot


PLOTS: dict[str, tuple[str, Callable[[Any, Section], Any]]] = {
    "commands": ("commands", commands),
    "latency": ("commands", latency),
    "fanout": ("fanout", by_cell("rate", "million deliveries a second", 1e6)),
    "memory": ("memory", by_cell("bytes", "bytes each")),
    "keys": ("keys", lines("keys")),
    "connections": ("connections", lines("connections")),
    "channels": ("channels", lines("channels")),
}
