"""Sequences: what is played on both servers, drawn from a group's lines by one random number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from random import Random

from differential.grammar import GROUPS
from differential.grammar.group import Group
from differential.grammar.guard import Guard, chooses, resynchronised
from differential.grammar.language import Line
from differential.grammar.nearly import elsewhere, nearly, with_option
from differential.resp import Argv, Request

LENGTH = 50  # commands in a sequence, besides those that fill the database first
STEPS = 30  # the same, where each of them is waited for
FILLING = 8
ONE_MORE_OPTION = 0.03
# Down a pipe, how often a command comes several times in a row, and how often: memdbd runs these
# together.
RUNS = 0.06
IN_A_RUN = (3, 9)


@dataclass(frozen=True)
class Sequence:
    """Commands, the group they come from, and the version of RESP in which they are replied to."""

    group: Group
    resp: int
    requests: tuple[Request, ...]

    @property
    def is_stepped(self) -> bool:
        """Whether each command is waited for before the next is sent."""
        return self.group.clients > 0

    @property
    def is_safe(self) -> bool:
        """Whether it can be played, and has one outcome."""
        guard = Guard(stepped=self.is_stepped)
        return all(map(guard.allows, self.requests)) and resynchronised(self.requests)

    def keeping(self, requests: Iterable[Request]) -> Sequence:
        """The same with other commands."""
        return replace(self, requests=tuple(requests))


def draw(group: Group, resp: int, rng: Random, length: int | None = None) -> Sequence:
    """A sequence of about ``length`` commands."""
    last = max(0, group.clients - 1)
    requests = [Request(argv, last) for argv in group.opening]
    # Who listens from the start does nothing else.
    callers = last if group.opening else last + 1
    guard = Guard(stepped=group.clients > 0)

    def add(argv: Argv, client: int) -> None:
        request = Request(argv, client)
        if guard.allows(request):
            requests.append(request)
            if chooses(request):
                requests.append(Request((b"DEL", argv[1]), client))

    if fill := _fill(group.name):
        for _ in range(rng.randint(2, FILLING)):
            add(tuple(rng.choice(fill).draw(rng)), 0)
    for _ in range(length or (STEPS if group.clients else LENGTH)):
        if not group.clients and rng.random() < RUNS:
            for argv in _run(group, rng):
                add(argv, 0)
        else:
            add(_command(group, rng), rng.randrange(callers))
    return Sequence(group, resp, tuple(requests))


def _command(group: Group, rng: Random) -> Argv:
    line = _line(group, rng)
    argv = line.draw(rng)
    if not line.verbatim:
        if rng.random() < group.strays:
            argv = elsewhere(argv, rng)
        if rng.random() < group.nearly:
            argv = nearly(argv, rng)
        options = _options(line)
        if options and rng.random() < ONE_MORE_OPTION:
            argv = with_option(argv, options, rng)
    return tuple(argv)


def _line(group: Group, rng: Random) -> Line:
    borrowed = group.borrow and rng.random() < group.share
    return rng.choice(GROUPS[rng.choice(group.borrow)].lines if borrowed else group.lines)


def _run(group: Group, rng: Random) -> Iterator[Argv]:
    """The same command with as many words, half the time of the same key, again and again."""
    line = _line(group, rng)
    first = line.draw(rng)
    same_key = rng.random() < 0.5
    yield tuple(first)
    for _ in range(rng.randint(*IN_A_RUN)):
        argv = line.draw(rng)
        if len(argv) == len(first):
            yield (*argv[:1], *first[1:2], *argv[2:]) if same_key else tuple(argv)


@cache
def _fill(name: str) -> tuple[Line, ...]:
    group = GROUPS[name]
    borrowed = [line for source in group.borrow for line in GROUPS[source].fill]
    return (*group.fill, *borrowed)


@cache
def _options(line: Line) -> tuple[bytes, ...]:
    """The words of a line, but for the command's own."""
    own = line.text.split()[0]
    return tuple(sorted(word.encode() for word in line.words() if word != own))
