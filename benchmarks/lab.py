"""The order in which everything is measured: rounds, in which the peers take turns.

Whatever fails is noted, its server is thrown away, and the rest goes on.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.figures import Cell, Figures, Section
from benchmarks.peers import Field, Peer
from benchmarks.servers import Server

Measure = Callable[[Peer, Server], Figures]


@dataclass
class Lab:
    """What all sections are measured by."""

    peers: Sequence[Peer]
    rounds: int
    seconds: float  # that one measurement is to take
    quick: bool = False
    tests: Sequence[str] = ()  # of redis-benchmark's, if not all
    depths: Sequence[int] = ()
    say: Callable[[str], None] = field(default=lambda line: print(line, file=sys.stderr))

    @property
    def quick_peers(self) -> list[Peer]:
        """Those that can take as many requests, and as many connections, as the rest."""
        return [it for it in self.peers if not it.slow]

    def alternate(
        self,
        section: Section,
        cells: Mapping[Cell, Measure],
        *,
        peers: Iterable[Peer] | None = None,
        flags: Mapping[str, Sequence[str]] | None = None,
        rounds: int | None = None,
    ) -> None:
        """Measure each cell with each peer in each round, their servers side by side.

        Each round begins with another peer. ``flags`` are more of them for a peer, by its name.
        """
        order = list(self.peers if peers is None else peers)
        with Field(flags or {}) as servers:
            for number in range(self.rounds if rounds is None else rounds):
                for cell, measure in cells.items():
                    for peer in order:
                        self.attempt(section, servers, cell, peer, number, measure)
                order = order[1:] + order[:1]

    def attempt(
        self,
        section: Section,
        servers: Field,
        cell: Cell,
        peer: Peer,
        number: int,
        measure: Measure,
    ) -> None:
        """Measure one cell with one peer, or note why that is not possible."""
        start = time.perf_counter()
        try:
            figures = measure(peer, servers.server(peer))
        # SystemExit is how a benchmark says that its server does not answer.
        except (Exception, SystemExit) as error:
            log = servers.log(peer)
            servers.discard(peer)
            what = f"{' '.join(map(str, cell))}, {peer.name}, round {number + 1}: {reason(error)}"
            section.failures.append(what)
            self.say(f"FAILED {what}\n{log}")
        else:
            section.put(cell, peer.name, number, figures)
            took = time.perf_counter() - start
            brief = ", ".join(f"{name} {value:.5g}" for name, value in figures.items())
            self.say(f"{' '.join(map(str, cell))}, {peer.name} ({took:.1f} s): {brief}")


def reason(error: BaseException) -> str:
    """Why it failed, in one line."""
    if isinstance(error, subprocess.CalledProcessError):
        said = (error.stderr or error.stdout or "").strip().splitlines()
        return f"exit code {error.returncode}: {said[-1] if said else ''}"
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
