"""What was to be shown (issue 6), and what was found of it: the worst cell of each.

May import: figures, peers, servers (for ``table``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from benchmarks.figures import Cell, Results, Section, shown
from benchmarks.peers import COMPILED, OURS, REDIS
from benchmarks.servers import table

HOT = ("SET", "GET", "INCR", "LPUSH", "SADD", "HSET", "ZADD")
Value = Callable[[Section, Cell, str], float | None]


@dataclass(frozen=True)
class Floor:
    """One thing to be shown: of some cells of a section, for some of our peers."""

    what: str
    section: str
    of: Callable[[Cell], bool]
    value: Value
    wanted: float
    at_most: bool = False  # or else it is wanted at least
    peers: tuple[str, ...] = OURS


def against_redis(name: str) -> Value:
    return lambda section, cell, peer: section.ratio(cell, peer, REDIS, name)


def against_resp(section: Section, cell: Cell, peer: str) -> float | None:
    return section.ratio(cell, peer, peer, "rate", base_cell=(*cell[:2], "RESP"))


def kibibytes(section: Section, cell: Cell, peer: str) -> float | None:
    found = section.middle(cell, peer, "bytes")
    return None if found is None else found / 1024


def tests(names: Iterable[str], *depths: int) -> Callable[[Cell], bool]:
    wanted = set(names)
    return lambda cell: cell[0] in wanted and (not depths or cell[1] in depths)


def large(cell: Cell) -> bool:
    return cell[1] == 65536


FLOORS = (
    Floor("speed, hot commands, depth 1", "commands", tests(HOT, 1), against_redis("rate"), 0.95),
    Floor(
        "speed, hot commands, depth 16 and 100",
        "commands",
        tests(HOT, 16, 100),
        against_redis("rate"),
        0.6,
    ),
    Floor(
        "speed, SET, GET, INCR, depth 16 and 100",
        "commands",
        tests(HOT[:3], 16, 100),
        against_redis("rate"),
        0.9,
        peers=(COMPILED,),
    ),
    Floor("p99, hot commands, depth 1", "commands", tests(HOT, 1), against_redis("p99"), 1.5, True),
    Floor(
        "deliveries a second, 50 and 1,000 subscribers",
        "fanout",
        lambda cell: cell[0] in (50, 1000),
        against_redis("rate"),
        0.8,
    ),
    Floor(
        "memory of small strings", "memory", tests(["strings"]), against_redis("bytes"), 1.6, True
    ),
    Floor(
        "KiB of an idle connection",
        "idle",
        lambda cell: True,
        kibibytes,
        10,
        True,
    ),
    Floor("speed, LRANGE_600", "commands", tests(["LRANGE_600"]), against_redis("rate"), 0.8),
    Floor("speed, values of 64 KiB", "values", large, against_redis("rate"), 0.8),
    Floor("text beside RESP", "text", lambda cell: cell[2] == "text", against_resp, 0.8),
)


def found(results: Results) -> str:
    """The table."""
    rows: list[list[object]] = [["what", "wanted", "server", "worst", "median", "cells short"]]
    for floor in FLOORS:
        section = results.get(floor.section)
        if section is not None:
            rows += of_floor(floor, section)
    return table(rows)


def of_floor(floor: Floor, section: Section) -> Iterator[list[object]]:
    """A line for each peer."""
    wanted = f"{'≤' if floor.at_most else '≥'} {floor.wanted}"
    for peer in floor.peers:
        values = {
            cell: value
            for cell in section.cells
            if floor.of(cell) and (value := floor.value(section, cell, peer)) is not None
        }
        if not values:
            continue
        ordered = sorted(values, key=values.__getitem__, reverse=floor.at_most)
        worst, middle = ordered[0], ordered[len(ordered) // 2]
        short = sum(
            value > floor.wanted if floor.at_most else value < floor.wanted
            for value in values.values()
        )
        yield [
            floor.what,
            wanted,
            peer,
            f"{shown(values[worst], '{:.2f}'.format)} ({' '.join(map(str, worst))})",
            shown(values[middle], "{:.2f}".format),
            f"{short} of {len(values)}",
        ]
