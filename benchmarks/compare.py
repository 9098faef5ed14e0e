"""memdbd beside redis-server and fakeredis: all that ``docs/benchmarks.md`` begins with.

python -m benchmarks.compare [--quick] [--only SECTION …] [--rounds N] [--core python|compiled|both]

The servers run pinned to one core and the load to the other, and take turns in each round; figures
are medians over the rounds, ratios the median of the rounds' ratios. What is measured is kept in
``benchmarks/results.json``, of which the tables and plots of ``docs/`` are made (``--report``
makes them again without measuring); a section that is measured again takes the place of what was
there, or with ``--add`` its rounds come beside it. ``--quick`` is for trying: short and small, and
kept only with ``--write``. Tables are printed in any case.

A peer that is not there is said and left out; so is a cell that fails, but the exit code is 1 then.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import (
    cells,
    fanout,
    figures,
    floors,
    machine,
    memory_use,
    peers,
    plots,
    report,
    scaling,
    starting,
    text_dialect,
)
from benchmarks.figures import Results, Section
from benchmarks.lab import Lab, reason
from benchmarks.servers import ROOT, pin_load

RESULTS = ROOT / "benchmarks" / "results.json"
DOCUMENT = ROOT / "docs" / "benchmarks.md"
ROUNDS, SECONDS = 5, 0.35  # of each measurement
QUICK_SECONDS = 0.1


@dataclass(frozen=True)
class Plan:
    """How a section is measured."""

    measure: Callable[[Lab, Section], None]
    rounds: int = ROUNDS  # unless the command line has others
    quick: int = 1  # with --quick
    once: bool = False  # whatever the command line has


SECTIONS = {
    "commands": Plan(cells.measure_commands, quick=2),
    "values": Plan(cells.measure_values),
    "clients": Plan(cells.measure_clients),
    "text": Plan(text_dialect.measure_text),
    "fanout": Plan(fanout.measure_fan_out),
    "memory": Plan(memory_use.measure_memory, once=True),
    "starting": Plan(starting.measure_starting, 3),
    "idle": Plan(memory_use.measure_idle, once=True),
    "keys": Plan(scaling.measure_keys, 3),
    "connections": Plan(scaling.measure_connections, 3),
    "channels": Plan(fanout.measure_channels, 3),
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="some minutes, to try: it is printed, and not kept")
    add(
        "--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), metavar="SECTION",
        help=f"measure these sections (all): {', '.join(SECTIONS)}",
    )  # fmt: skip
    add(
        "--rounds", type=int, metavar="N",
        help=f"of each measurement ({ROUNDS}; 3 of starting, keys, connections, channels; "
        "with --quick 1, of commands 2; 1 of memory and idle in any case)",
    )  # fmt: skip
    add(
        "--seconds", type=float, metavar="S",
        help=f"of each measurement ({SECONDS}, with --quick {QUICK_SECONDS})",
    )  # fmt: skip
    add(
        "--core", choices=("python", "compiled", "both"), default="both",
        help="memdbd's, which is measured (%(default)s)",
    )  # fmt: skip
    add(
        "--test", nargs="+", type=str.upper, default=(), metavar="NAME",
        help="of the section commands, such as SET (all); what is measured is not kept",
    )  # fmt: skip
    add(
        "--depth", nargs="+", type=int, default=(), metavar="N",
        help="of the section commands (1, 16 and 100); what is measured is not kept",
    )  # fmt: skip
    add("--no-fake", action="store_true", help="leave fakeredis out")
    add("--tree", type=Path, default=ROOT, help="whose memdbd is measured (%(default)s)")
    add("--report", action="store_true", help="measure nothing: make the tables and plots again")
    add("--add", action="store_true", help="add to the rounds that there are, not in place of them")
    add("--write", action="store_true", help="keep what is measured with --quick, --test, --depth")
    add(
        "--results", type=Path, default=RESULTS, metavar="FILE",
        help="where what was measured is kept (%(default)s)",
    )  # fmt: skip
    add(
        "--document", type=Path, default=DOCUMENT, metavar="FILE",
        help="in which the tables are; its plots go to plots/ beside it (%(default)s)",
    )  # fmt: skip
    return parser.parse_args()


def main() -> None:
    options = arguments()
    results = figures.read(options.results)
    if options.report:
        publish(results, options.document)
        return
    partly = options.quick or options.test or options.depth
    keep = options.write or not partly
    failures = 0
    new: Results = {}
    lab, missing = prepared(options)
    for name in options.only:
        section = new[name] = measured(lab, name, options)
        section.made["without"] = "; ".join(missing)
        # fakeredis now and then owes a reply for ever; that is shown, but no failure of this run.
        failures += sum(peers.FAKE not in it for it in section.failures)
        print(f"\n## {name}\n\n{report.of_section(name, section)}", flush=True)
        if keep:  # now, so that it is there if the next one ends all
            if options.add and name in results:
                results[name].add(section)
            else:
                results[name] = section
            figures.write(options.results, results)
    print(f"\n## floors\n\n{floors.found(new)}\n\n{failures} failures")
    if keep:
        publish(results, options.document)
    sys.exit(1 if failures else 0)


def prepared(options: argparse.Namespace) -> tuple[Lab, list[str]]:
    """What all is measured by, and what is said of peers that cannot be had."""
    pin_load()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # for the servers, too
    # So that they are stopped, where it is ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    cores = ("python", "compiled") if options.core == "both" else (options.core,)
    there, missing = peers.found(cores, options.tree)
    if options.no_fake:
        there = [it for it in there if it.name != peers.FAKE]
        missing = [it for it in missing if not it.startswith(peers.FAKE)]
    lab = Lab(
        there,
        options.rounds or ROUNDS,
        options.seconds or (QUICK_SECONDS if options.quick else SECONDS),
        options.quick,
        options.test,
        options.depth,
    )
    return lab, missing


def measured(lab: Lab, name: str, options: argparse.Namespace) -> Section:
    """One section."""
    plan = SECTIONS[name]
    rounds = options.rounds or (plan.quick if options.quick else plan.rounds)
    rounds = 1 if plan.once else rounds
    what = f"{rounds} round{'s' if rounds > 1 else ''} of {lab.seconds} s"
    section = Section(machine.described(options.tree) | {"rounds": what})
    try:
        plan.measure(dataclasses.replace(lab, rounds=rounds), section)
    except Exception as error:  # of no one cell: the next section may go well
        section.failures.append(reason(error))
        lab.say(f"FAILED {name}: {reason(error)}")
    return section


def publish(results: Results, document: Path) -> None:
    """Make the tables and the plots."""
    document.write_text(report.whole(document.read_text(), results))
    try:
        plots.draw(results, document.parent / "plots")
    except ImportError as error:
        print(f"no plots: {error} (pip install -r benchmarks/requirements.txt)", file=sys.stderr)


if __name__ == "__main__":
    main()
