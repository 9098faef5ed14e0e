"""What a request costs, without a look at any clock: opcodes, calls and bytes, and their budget.

    PYTHONPATH=. python tests/cost.py              the table, and what is over its budget
    PYTHONPATH=. python tests/cost.py --record     makes it the budget, in tests/budget.json

Strategy. The same code costs the same, to the opcode; only so can a budget find a single look-up
that nobody needed. So each measurement is a process of its own, with one hash seed and without the
collector; what is done there is in errands.py, what is counted in metering.py. Bytes are given some
room: another release of a library may have other objects.

Opcodes are others in each minor version of Python, and the budget has those that were recorded.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from errands import OURS, Cost, Costs, measure

import memdbd
from memdbd import core

BUDGET = Path(__file__).with_name("budget.json")
PYTHON = ".".join(platform.python_version_tuple()[:2])
CORES = ("python", "compiled")

UNSEEN = 0.05  # of a gain, below which it need not be recorded
ROOM = 0.02  # of bytes


class NotThere(Exception):
    """A core that is not there to be measured, or a budget that was not recorded."""


def measured(of: str) -> Costs:
    """What everything costs with one of the CORES, in a process of its own."""
    path = str(Path(memdbd.__file__).parents[1])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [sys.executable, __file__, "--measure"],  # not -m, which looks where we are
        env=kept | {"MEMDB_CORE": of, "PYTHONHASHSEED": "0", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        *_, last = done.stderr.strip().splitlines() or ["it says nothing"]
        if of == "compiled" and last.startswith("memdbd: MEMDB_CORE is"):
            raise NotThere(last)
        raise AssertionError(done.stderr)
    return {name: Cost(*numbers) for name, numbers in json.loads(done.stdout).items()}


def budget(of: str, path: Path = BUDGET) -> Costs:
    """What everything may cost with one of the CORES, in this version of Python."""
    recorded = _recorded(path)
    if PYTHON not in recorded:
        raise NotThere(f"{path.name} has no budget for Python {PYTHON}, but for {[*recorded]}")
    assert of in recorded[PYTHON], f"{path.name} has no budget of the {of} core"
    return {name: Cost(*numbers) for name, numbers in recorded[PYTHON][of].items()}


def _recorded(path: Path) -> dict[str, dict[str, Costs]]:
    return json.loads(path.read_text()) if path.exists() else {}


def record(of: str, costs: Costs, path: Path = BUDGET) -> None:
    """Make costs the budget, and keep that of other cores and versions."""
    recorded = _recorded(path)
    recorded.setdefault(PYTHON, {})[of] = costs
    # A line for each, so that a change of the file can be read.
    lines = json.dumps(recorded, indent=1, sort_keys=True)
    path.write_text(
        re.sub(r"\[([^]]*)\]", lambda cell: f"[{' '.join(cell[1].split())}]", lines) + "\n"
    )


def dearer(costs: Costs, allowed: Costs) -> list[str]:
    """What costs more than it may, a line each; the worst first."""
    found = []
    for name, kind, now, most in _pairs(costs, allowed):
        if now > most + (ROOM * most if kind == "bytes" else 0):
            found.append((now / most, f"{name}: {_times(name, kind, now, most)}, over its budget"))
    return [line for _, line in sorted(found, reverse=True)]


def cheaper(costs: Costs, allowed: Costs) -> list[str]:
    """What costs so much less than it may that it is to be recorded."""
    return [
        f"{name}: {_times(name, kind, now, most)}, a gain that is not recorded"
        for name, kind, now, most in _pairs(costs, allowed)
        if now < most * (1 - UNSEEN)
    ]


def _pairs(costs: Costs, allowed: Costs) -> Iterator[tuple[str, str, int, int]]:
    for name in costs.keys() & allowed.keys():
        for kind, now, most in zip(Cost._fields, costs[name], allowed[name], strict=True):
            yield name, kind, now, most


def _times(name: str, kind: str, now: int, most: int) -> str:
    _, _, depth = name.rpartition(" x")
    many = int(depth) if depth.isdecimal() else 1
    each = " a request" if many > 1 else ""
    return f"{now / many:.6g} {kind}{each} in place of {most / many:.6g} ({now - most:+})"


def main() -> int:
    """The command line; gives 1 where something costs more than it may."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--record", action="store_true", help="make it the budget")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        if core.FAULT:
            raise SystemExit(f"memdbd: {core.FAULT}")
        assert os.environ["MEMDB_CORE"] == core.NAME
        json.dump(measure(), sys.stdout)
        return 0
    print(f"Python {PYTHON}, {OURS}")
    status = 0
    for of in CORES:
        try:
            costs = measured(of)
        except NotThere as missing:
            print(f"\n{of}: NOT MEASURED: {missing}")
            continue
        status |= _tell(of, costs, recording=options.record)
        if options.record:
            record(of, costs)
    return status


def _tell(of: str, costs: Costs, *, recording: bool) -> int:
    print(f"\n{of + ', a request':32}{'opcodes':>10}{'calls':>8}   bytes of the batch")
    for name, cost in costs.items():
        _, _, depth = name.rpartition(" x")
        many = int(depth) if depth.isdecimal() else 1
        print(f"{name:32}{cost.opcodes / many:10.1f}{cost.calls / many:8.1f}{cost.bytes:9}")
    try:
        allowed = budget(of)
    except (NotThere, AssertionError) as missing:
        print(missing)
        return 0
    over = dearer(costs, allowed)
    print(*over, *cheaper(costs, allowed), sep="\n")
    return 1 if over and not recording else 0


if __name__ == "__main__":
    sys.exit(main())
