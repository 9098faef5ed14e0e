"""The tables of ``docs/benchmarks.md``, made of what was measured.

What a section came to stands there between two markers, so that each can be made anew alone::

    <!-- benchmarks.compare: begin NAME -->
    <!-- benchmarks.compare: end NAME -->

May import: figures, floors, machine, peers, servers (for ``table``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from benchmarks import floors, machine
from benchmarks.figures import LOAD_BOUND, Cell, Results, Section, shown
from benchmarks.peers import ALL, OURS, REDIS
from benchmarks.servers import table

Column = Callable[[Section, Cell, str], str]
BOUND = "°"  # behind a ratio of speeds where the load was the bound


def put(document: str, name: str, body: str) -> str:
    """The document with a section's part made anew.

    Raises ValueError where it has no such part.
    """
    begin, end = (f"<!-- benchmarks.compare: {it} {name} -->" for it in ("begin", "end"))
    pattern = re.compile(f"{re.escape(begin)}\n.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(document):
        raise ValueError(f"the document has no {begin}")
    return pattern.sub(lambda _: f"{begin}\n{body.strip()}\n{end}", document, count=1)


def figure(name: str, form: str) -> Column:
    """The median of one figure."""
    return lambda section, cell, peer: shown(section.middle(cell, peer, name), form.format)


def part(of_all: float, of_system: float) -> Column:
    """So much of the CPU a request, and so much of the system's share of it."""

    def column(section: Section, cell: Cell, peer: str) -> str:
        cpu, share = section.middle(cell, peer, "cpu"), section.mean(cell, peer, "system")
        if cpu is None or share is None:
            return shown(None, str)
        return f"{cpu * (of_all + of_system * share):.2f}"

    return column


def speed(section: Section, cell: Cell, peer: str) -> str:
    """What of redis-server's speed it is, marked where the load was the bound."""
    ratio = section.ratio(cell, peer, REDIS, "rate")
    return shown(ratio, "{:.2f}".format) + (BOUND if load_bound(section, cell, peer) else "")


def load_bound(section: Section, cell: Cell, peer: str) -> bool:
    """Whether the load was busy all the time, with that peer or with redis-server."""
    busy = [section.middle(cell, it, "load") for it in (peer, REDIS)]
    return peer != REDIS and any(it is not None and it > LOAD_BOUND for it in busy)


def thrift(section: Section, cell: Cell, peer: str) -> str:
    """redis-server's CPU a request by its own: above 1, it takes less."""
    ratio = section.ratio(cell, peer, REDIS, "cpu")
    return shown(1 / ratio if ratio else None, "{:.2f}".format)


COLUMNS: dict[str, Column] = {
    "a second": figure("rate", "{:,.0f}"),
    "of its speed": speed,
    "CPU µs": figure("cpu", "{:.2f}"),
    "user": part(1.0, -1.0),
    "system": part(0.0, 1.0),
    "CPU ratio": thrift,
    "p50 ms": figure("p50", "{:.2f}"),
    "p99 ms": figure("p99", "{:.2f}"),
    "p99.9 ms": figure("p999", "{:.2f}"),
    "busy": figure("busy", "{:.2f}"),
    "load busy": figure("load", "{:.2f}"),
}
SCALING = ("CPU µs", "user", "system", "CPU ratio")


def long_table(
    section: Section, cells: Sequence[str], columns: Mapping[str, Column] = COLUMNS
) -> str:
    """A line for each cell and peer; ``cells`` are the names of the parts of a cell."""
    rows: list[Sequence[object]] = [[*cells, "server", *columns]]
    for cell, peers in section.cells.items():
        parts = [f"{it:,}" if isinstance(it, int) else it for it in cell]
        rows += [
            [*parts, peer, *(column(section, cell, peer) for column in columns.values())]
            for peer in sorted(peers, key=ALL.index)
        ]
    return table(rows)


def folded(title: str, body: str) -> str:
    """What is only shown to who asks for it."""
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def picture(name: str, text: str) -> str:
    return f"![{text}](plots/{name}.svg)"


def wide_table(section: Section) -> str:
    """A line for each test, a column for each depth of each of ours: speed / thrift."""
    peers = [it for it in OURS if it in section.peers()]
    tests = list(dict.fromkeys(cell[0] for cell in section.cells))
    depths = list(dict.fromkeys(cell[1] for cell in section.cells))
    rows: list[Sequence[object]] = [
        ["test", *(f"{peer}, depth {depth}" for peer in peers for depth in depths)]
    ]
    for test in tests:
        cells = [
            f"{speed(section, (test, depth), peer)} / {thrift(section, (test, depth), peer)}"
            for peer in peers
            for depth in depths
        ]
        rows.append([test, *cells])
    return table(rows)


def commands(section: Section) -> str:
    return "\n\n".join(
        [
            wide_table(section),
            picture("commands", "Throughput as a part of redis-server's, by test and depth"),
            picture("latency", "p99 latency at depth 1, by test"),
            folded("All figures", long_table(section, ["test", "depth"])),
        ]
    )


def text(section: Section) -> str:
    """A line for each command, depth and peer, with both dialects."""
    rows: list[Sequence[object]] = [
        ["command", "depth", "server", "text a second", "RESP a second", "of its speed",
         "text CPU µs", "RESP CPU µs", "CPU ratio", "load busy, text", "RESP"]
    ]  # fmt: skip
    for command, depth in dict.fromkeys((cell[0], cell[1]) for cell in section.cells):
        one, other = (command, depth, "text"), (command, depth, "RESP")
        for peer in section.cells.get(one, {}):
            cpu = section.ratio(other, peer, peer, "cpu", base_cell=one)
            rows.append(
                [
                    command,
                    depth,
                    peer,
                    *(figure("rate", "{:,.0f}")(section, it, peer) for it in (one, other)),
                    shown(section.ratio(one, peer, peer, "rate", base_cell=other), "{:.2f}".format),
                    *(figure("cpu", "{:.2f}")(section, it, peer) for it in (one, other)),
                    shown(cpu, "{:.2f}".format),
                    *(figure("load", "{:.2f}")(section, it, peer) for it in (one, other)),
                ]
            )
    return table(rows)


def bytes_each(section: Section, cells: Sequence[str]) -> str:
    columns: dict[str, Column] = {
        "bytes each": figure("bytes", "{:,.0f}"),
        "of redis-server's": lambda it, cell, peer: shown(
            it.ratio(cell, peer, REDIS, "bytes"), "{:.2f}".format
        ),
    }
    return long_table(section, cells, columns)


def memory(section: Section) -> str:
    body = bytes_each(section, ["what", "how many"])
    return f"{body}\n\n{picture('memory', 'Bytes of memory each')}"


def starting(section: Section) -> str:
    columns: dict[str, Column] = {
        "s": figure("seconds", "{:.2f}"),
        "CPU s": figure("cpu_seconds", "{:.2f}"),
        "of redis-server's CPU": lambda it, cell, peer: shown(
            it.ratio(cell, peer, REDIS, "cpu_seconds"), "{:.2f}".format
        ),
    }
    return long_table(section, ["from", "keys"], columns)


def scaling(name: str, parts: Sequence[str], what: str) -> Callable[[Section], str]:
    columns = {it: COLUMNS[it] for it in SCALING}

    def report(section: Section) -> str:
        plot = picture(name, f"CPU a request against the number of {what}")
        return f"{plot}\n\n{folded('All figures', long_table(section, parts, columns))}"

    return report


REPORTS: dict[str, Callable[[Section], str]] = {
    "commands": commands,
    "values": lambda section: long_table(section, ["test", "bytes", "depth"]),
    "clients": lambda section: long_table(section, ["test", "clients", "depth"]),
    "text": text,
    "fanout": lambda section: "\n\n".join(
        [
            long_table(section, ["subscribers", "depth"]),
            picture("fanout", "Deliveries a second, by the number of subscribers"),
        ]
    ),
    "memory": memory,
    "starting": starting,
    "idle": lambda section: bytes_each(section, ["connections", "how many"]),
    "keys": scaling("keys", ["test", "keys"], "keys"),
    "connections": scaling("connections", ["which", "connections"], "connections"),
    "channels": scaling("channels", ["test", "channels"], "channels"),
}


def of_section(name: str, section: Section) -> str:
    """The Markdown of one section: when it was made, its tables, and what failed."""
    made = section.made
    when = f"Made {made.get('date')}, memdbd {made.get('memdbd')}, {made.get('rounds')}."
    if made.get("without"):
        when += f" Without {made['without']}."
    failed = "".join(f"- failed: {it}\n" for it in section.failures)
    return f"{when}\n\n{REPORTS[name](section)}\n\n{failed}".strip()


def whole(document: str, results: Results) -> str:
    """The document with all that there are results of."""
    for name in REPORTS:
        if name in results:
            document = put(document, name, of_section(name, results[name]))
    latest = max((it.made for it in results.values()), key=lambda made: made.get("date", ""))
    document = put(document, "machine", machine.sentence(latest) + ".")
    return put(document, "floors", floors.found(results))
