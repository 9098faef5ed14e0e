"""What was measured: by section, cell and peer, a list of figures that has one for each round.

A cell is what one measurement is of, such as ``("SET", 16)``; figures are numbers by name, the
same names throughout (see :data:`NAMES`). Kept as JSON, so that tables and plots can be made again
without measuring again, and so that a section can be measured alone.

May import: nothing of ours.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median

NAMES = {
    "rate": "requests (deliveries) a second, by the clock",
    "cpu": "microseconds of the server's CPU for each, user and system",
    "system": "the system's share of that: sampled, so the mean over the rounds says most",
    "p50": "milliseconds that half of them waited at most",
    "p99": "… 99 %",
    "p999": "… 99.9 %",
    "busy": "the share of the time that the server used its core",
    "load": "the share of the time that the load used its own",
    "bytes": "of resident memory, for each",
    "seconds": "by the clock",
    "cpu_seconds": "of the server's CPU",
}

Figures = Mapping[str, float]
Cell = tuple[str | int, ...]
LOAD_BOUND = 0.95  # a load that was busier than that was what bounded the rate


@dataclass
class Section:
    """What one section came to."""

    made: dict[str, str] = field(default_factory=dict)  # when, on what, with which versions
    cells: dict[Cell, dict[str, list[Figures | None]]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def put(self, cell: Cell, peer: str, number: int, figures: Figures) -> None:
        """``figures`` is what ``peer`` came to in ``cell`` in the round of that number."""
        unknown = set(figures) - set(NAMES)
        if unknown:
            raise ValueError(f"no such figures: {unknown}")
        rounds = self.cells.setdefault(cell, {}).setdefault(peer, [])
        rounds += [None] * (number + 1 - len(rounds))
        rounds[number] = {name: _short(value) for name, value in figures.items()}

    def middle(self, cell: Cell, peer: str, name: str) -> float | None:
        """The median over the rounds of one figure; None where there is none."""
        found = [it[name] for it in self._rounds(cell, peer) if it is not None and name in it]
        return median(found) if found else None

    def ratio(
        self, cell: Cell, peer: str, base: str, name: str, *, base_cell: Cell | None = None
    ) -> float | None:
        """The median over the rounds of a figure's ratio to what ``base`` had in the same round.

        ``base_cell`` is where it had it, if not in the same cell.
        """
        theirs = self._rounds(cell if base_cell is None else base_cell, base)
        pairs = zip(self._rounds(cell, peer), theirs, strict=False)
        found = [
            one[name] / other[name]
            for one, other in pairs
            if one is not None and other is not None and name in one and other.get(name)
        ]
        return median(found) if found else None

    def mean(self, cell: Cell, peer: str, name: str) -> float | None:
        """The mean over the rounds of one figure; None where there is none."""
        found = [it[name] for it in self._rounds(cell, peer) if it is not None and name in it]
        return mean(found) if found else None

    def peers(self) -> set[str]:
        """Those that have a figure in any cell."""
        return {peer for peers in self.cells.values() for peer in peers}

    def add(self, other: Section) -> None:
        """The rounds of another run beside those that are here."""
        self.made = other.made
        self.failures += other.failures
        first = 1 + max((number for _, _, number, _ in self._all()), default=-1)
        for cell, peer, number, figures in other._all():
            self.put(cell, peer, first + number, figures)

    def _rounds(self, cell: Cell, peer: str) -> list[Figures | None]:
        return self.cells.get(cell, {}).get(peer, [])

    def _all(self) -> Iterator[tuple[Cell, str, int, Figures]]:
        for cell, peers in self.cells.items():
            for peer, rounds in peers.items():
                for number, figures in enumerate(rounds):
                    if figures is not None:
                        yield cell, peer, number, figures


Results = dict[str, Section]


def _short(value: float) -> float:
    """Five digits: more than any of it is good for."""
    return float(f"{value:.5g}")


def read(path: Path) -> Results:
    """What has been measured so far; nothing if there is no such file."""
    if not path.exists():
        return {}
    results = {}
    for name, there in json.loads(path.read_text()).items():
        section = Section(there["made"], {}, there["failures"])
        for it in there["cells"]:
            section.cells.setdefault(tuple(it["cell"]), {})[it["peer"]] = it["rounds"]
        results[name] = section
    return results


def write(path: Path, results: Results) -> None:
    """All of it, a cell of a peer in each line."""
    sections = []
    for name, section in sorted(results.items()):
        cells = [
            json.dumps({"cell": cell, "peer": peer, "rounds": rounds}, ensure_ascii=False)
            for cell, peers in section.cells.items()
            for peer, rounds in peers.items()
        ]
        made, failures = (
            json.dumps(it, ensure_ascii=False) for it in (section.made, section.failures)
        )
        body = ",\n".join(cells)
        sections.append(
            f'{json.dumps(name)}: {{"made": {made},\n"failures": {failures},\n'
            f'"cells": [\n{body}\n]}}'
        )
    path.write_text("{\n" + ",\n".join(sections) + "\n}\n")


def shown(value: float | None, form: Callable[[float], str]) -> str:
    """A figure as a cell of a table shows it."""
    return "–" if value is None else form(value)
