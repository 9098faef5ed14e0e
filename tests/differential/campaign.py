"""A campaign: many sequences on two servers, and what was found.

Sequence ``n`` of a seed is always the same, whatever was found before. A difference is taken once
for each signature: it is shown by as short a sequence as does show it. Where an earlier difference,
deliberate or not, has left the databases apart, so that what follows differs too, a sequence
without the commands of the earlier ones does not show it, and it is not counted.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, cycle
from random import Random

from differential import state
from differential.compare import (
    Difference,
    Transaction,
    Witness,
    piped,
    same_chunk,
    stepped,
)
from differential.differences import why
from differential.grammar.group import Group
from differential.grammar.sequences import Sequence as Played
from differential.grammar.sequences import draw
from differential.players import (
    BRISK,
    UNHURRIED,
    Chunks,
    Pace,
    Player,
    down_a_pipe,
    step_by_step,
)
from differential.resp import Argv, Request, command_name
from differential.servers import Target
from differential.shrink import shrink

ITERATE_EVERY = 10  # in how many sequences the state is once read by SCAN and its kin
SHRINKING = 20.0  # seconds after which a sequence is short enough
TRIES = 10  # how many differences with one signature are made short
_EMPTY: Argv = (b"FLUSHALL",)


@dataclass(frozen=True)
class Finding:
    """A difference, and the shortest sequence that shows it."""

    sequence: Played
    difference: Difference
    shown_again: bool

    @property
    def signature(self) -> tuple[str, ...]:
        """The same for the same defect: of a state, with the command that has led to it."""
        if self.difference.signature[0] != "state":
            return self.difference.signature
        last = command_name(self.sequence.requests[-1].argv)
        return (*self.difference.signature, last.decode("latin-1"))

    def __str__(self) -> str:
        title = " / ".join(self.signature)
        again = "" if self.shown_again else " (seen once, and not again)"
        commands = [f"    {request}" for request in self.sequence.requests]
        return "\n".join(
            (
                f"{self.sequence.group.name}, RESP{self.sequence.resp}: {title}{again}",
                *commands,
                f"  redis  {self.difference.redis}",
                f"  memdbd {self.difference.memdbd}",
            )
        )


@dataclass
class Report:
    """What a campaign has done so far."""

    commands: Counter[str] = field(default_factory=Counter)  # of each group
    deliberate: Counter[str] = field(default_factory=Counter)  # for each reason
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def total(self) -> int:
        return sum(self.commands.values())


class Campaign:
    """Two servers, and sequences played on both."""

    def __init__(self, redis: Target, memdbd: Target, witness: Witness | None = None) -> None:
        self.players = [Player(redis), Player(memdbd)]
        self.report = Report()
        self._witness = witness
        self._tries: Counter[tuple[str, ...]] = Counter()
        self._known: set[tuple[str, ...]] = set()

    def run(
        self,
        groups: Sequence[Group],
        versions: Sequence[int],
        commands: int,
        seed: int,
        progress: Callable[[Report], None] = lambda report: None,
        most: int = 50,
    ) -> Report:
        """Play sequences of these groups in turn until so many commands have been sent, or so
        many differences found; ``progress`` is called after each sequence."""
        start = time.monotonic()
        turns = cycle([(group, version) for group in groups for version in versions])
        for number, (group, version) in zip(count(), turns):
            sequence = draw(group, version, Random(f"{seed}/{number}"))
            self.play(sequence, iterate=number % ITERATE_EVERY == 0)
            self.report.seconds = time.monotonic() - start
            progress(self.report)
            if self.report.total >= commands or len(self.report.findings) >= most:
                break
        return self.report

    def play(self, sequence: Played, iterate: bool = False) -> list[Finding]:
        """Play one sequence; gives what is new in it."""
        self.report.commands[sequence.group.name] += len(sequence.requests)
        found: list[Finding] = []
        earlier: set[int] = set()
        for difference in list(self._differences(sequence, iterate, UNHURRIED, self._witness)):
            if reason := why(difference):
                self.report.deliberate[reason] += 1
            elif self._may_be_new(difference):
                finding = self._looked_into(sequence, difference, earlier, iterate)
                if finding is not None:
                    found.append(finding)
            earlier.add(difference.at)
        self.report.findings += found
        return found

    def close(self) -> None:
        for player in self.players:
            player.close()

    def _may_be_new(self, difference: Difference) -> bool:
        signature = difference.signature
        return signature not in self._known and self._tries[signature] < TRIES

    def _looked_into(
        self, sequence: Played, difference: Difference, earlier: set[int], iterate: bool
    ) -> Finding | None:
        """The difference by itself; None if it is there only because of earlier ones."""
        deadline = time.monotonic() + SHRINKING

        def shown_by(requests: list[Request]) -> Difference | None:
            shorter = sequence.keeping(requests)
            if not shorter.is_safe or time.monotonic() > deadline:
                return None
            first = _first(self._differences(shorter, iterate))
            return first if first and first.signature == difference.signature else None

        without = [
            request
            for at, request in enumerate(sequence.requests[: difference.at + 1])
            if at not in earlier or (at == difference.at and difference.argv)
        ]
        is_shown = shown_by(without) is not None
        if earlier and not is_shown:
            return None
        self._tries[difference.signature] += 1
        if not is_shown:
            return Finding(sequence, difference, shown_again=False)
        shortest = shrink(without, lambda requests: shown_by(requests) is not None)
        deadline = math.inf
        again = shown_by(shortest)
        finding = Finding(sequence.keeping(shortest), again or difference, again is not None)
        if finding.signature in self._known:
            return None
        self._known.add(finding.signature)
        return finding

    def _differences(
        self,
        sequence: Played,
        iterate: bool,
        pace: Pace = BRISK,
        witness: Witness | None = None,
    ) -> Iterator[Difference]:
        """What differs when this is played, of servers that answer at all."""
        try:
            yield from self._compared(sequence, iterate, pace, witness)
        except ConnectionError as error:
            last = len(sequence.requests) - 1
            yield Difference(last, "both answer", str(error), ("a server does not answer",))

    def _compared(
        self, sequence: Played, iterate: bool, pace: Pace, witness: Witness | None
    ) -> Iterator[Difference]:
        """Play, and compare replies and then states, of databases that are empty at first."""
        self._tell((*sequence.group.before, _EMPTY))
        if sequence.is_stepped:
            steps, other_steps = step_by_step(self.players, sequence, pace, _alike)
            self._tell(sequence.group.after)
            yield from stepped(sequence, steps, other_steps, witness)
        else:
            replies, other_replies = down_a_pipe(self.players, sequence, pace)
            self._tell(sequence.group.after)
            yield from piped(sequence, replies, other_replies, witness)
        ours, theirs = (state.read(player, iterate) for player in self.players)
        last = len(sequence.requests) - 1
        for place, one, other in state.differing(ours, theirs):
            signature = ("state", one.kind.decode(), other.kind.decode())
            yield Difference(last, f"{place}: {one}", f"{place}: {other}", signature)

    def _tell(self, commands: Sequence[Argv]) -> None:
        if commands:
            for player in self.players:
                player.tell(commands)


def _first(differences: Iterator[Difference]) -> Difference | None:
    """The first that is not deliberate, if no deliberate one may have led to it."""
    deliberate_at: int | None = None
    for each in differences:
        if not why(each):
            follows = deliberate_at is not None and not (each.argv and each.at == deliberate_at)
            return None if follows else each
        if deliberate_at is None:
            deliberate_at = each.at
    return None


def _alike(request: Request, one: Chunks, other: Chunks) -> bool:
    return all(same_chunk(request, *pair, Transaction()) for pair in zip(one, other, strict=True))
