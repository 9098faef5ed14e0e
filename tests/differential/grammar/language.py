"""The language of the grammar's lines, which is that of Redis's own documentation.

======================  ==========================================================
``SET``, ``NX``         this word, in any case
``value``               what the atom of this name draws (``atoms``)
``'timeout``            the word after the quote as it stands
``[a] [b]``             each is there or not; neighbours come in any order
``(a|b)``, ``[a|b]``    one of these
``{a b}``               once or several times
``#{a}``                their number, then so many
``={a}``                as many as the ``#{}`` before
``!`` at the start      this line is sent as drawn: it is never made nearly valid
======================  ==========================================================

A line is parsed once, to nodes that write arguments to a list; nothing is known here of commands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

Atom = Callable[[Random], list[bytes]]

OPTIONAL = 0.35  # how often an option is there
OTHER_CASE = 0.15  # how often a word is not in capitals
MANY = 0.004  # how often a repetition is long, so that values outgrow their compact encodings
_TOKEN = re.compile(r"[#=]?\{|[][()}|]|[^][(){}|\s]+")


class Draw:
    """One drawing of a line: the arguments so far, and the count that ``={}`` repeats."""

    __slots__ = ("argv", "count", "rng")

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.argv: list[bytes] = []
        self.count = 1


class Node(Protocol):
    """A part of a line."""

    def write(self, draw: Draw) -> None:
        """Add arguments."""

    def parts(self) -> Iterator[Node]:
        """The nodes in it."""


@dataclass(frozen=True)
class Word:
    """A word of Redis's."""

    text: str
    cases: tuple[bytes, ...] = field(init=False)

    def __post_init__(self) -> None:
        forms = (self.text.lower(), self.text.title(), self.text.swapcase())
        object.__setattr__(self, "cases", tuple(form.encode() for form in (self.text, *forms)))

    def write(self, draw: Draw) -> None:
        other = draw.rng.random() < OTHER_CASE
        draw.argv.append(draw.rng.choice(self.cases) if other else self.cases[0])

    def parts(self) -> Iterator[Node]:
        return iter(())


@dataclass(frozen=True)
class Literal:
    """A word that is always the same."""

    word: bytes

    def write(self, draw: Draw) -> None:
        draw.argv.append(self.word)

    def parts(self) -> Iterator[Node]:
        return iter(())


@dataclass(frozen=True)
class Value:
    """What an atom draws."""

    atom: Atom

    def write(self, draw: Draw) -> None:
        draw.argv += self.atom(draw.rng)

    def parts(self) -> Iterator[Node]:
        return iter(())


@dataclass(frozen=True)
class Either:
    """One of several."""

    choices: tuple[Node, ...]

    def write(self, draw: Draw) -> None:
        draw.rng.choice(self.choices).write(draw)

    def parts(self) -> Iterator[Node]:
        return iter(self.choices)


@dataclass(frozen=True)
class Options:
    """Neighbouring options: some of them, in any order."""

    options: tuple[Node, ...]

    def write(self, draw: Draw) -> None:
        there = [option for option in self.options if draw.rng.random() < OPTIONAL]
        if len(there) > 1:
            draw.rng.shuffle(there)
        for option in there:
            option.write(draw)

    def parts(self) -> Iterator[Node]:
        return iter(self.options)


@dataclass(frozen=True)
class Repeated:
    """Several times the same; ``mode`` is "" or "#" or "="."""

    node: Node
    mode: str

    def write(self, draw: Draw) -> None:
        rng = draw.rng
        if self.mode == "=":
            times = draw.count
        else:
            times = rng.randint(100, 300) if rng.random() < MANY else rng.choice((1, 1, 1, 2, 2, 3))
        if self.mode == "#":
            draw.count = times
            draw.argv.append(b"%d" % times)
        for _ in range(times):
            self.node.write(draw)

    def parts(self) -> Iterator[Node]:
        return iter((self.node,))


@dataclass(frozen=True)
class Row:
    """One after the other."""

    nodes: tuple[Node, ...]

    def write(self, draw: Draw) -> None:
        for node in self.nodes:
            node.write(draw)

    def parts(self) -> Iterator[Node]:
        return iter(self.nodes)


@dataclass(frozen=True)
class Line:
    """A line of the grammar: one command with its arguments, drawn anew each time."""

    text: str
    node: Node
    verbatim: bool

    def draw(self, rng: Random) -> list[bytes]:
        """A command."""
        draw = Draw(rng)
        self.node.write(draw)
        return draw.argv

    def words(self) -> set[str]:
        """All words of Redis's that it can contain."""
        found: set[str] = set()
        waiting: list[Node] = [self.node]
        while waiting:
            node = waiting.pop()
            if isinstance(node, Word):
                found.add(node.text)
            waiting += node.parts()
        return found


def parse(text: str, atoms: Mapping[str, Atom]) -> Line:
    """The line that this text says. Raises ValueError where it says none."""
    verbatim = text.startswith("!")
    tokens = _TOKEN.findall(text.removeprefix("!"))
    node, rest = _either(tokens, atoms)
    if rest:
        raise ValueError(f"{text!r}: {rest[0]!r} closes nothing")
    return Line(text, node, verbatim)


def _either(tokens: list[str], atoms: Mapping[str, Atom]) -> tuple[Node, list[str]]:
    choices: list[Node] = []
    while True:
        row, tokens = _row(tokens, atoms)
        choices.append(row)
        if not tokens or tokens[0] != "|":
            return (choices[0] if len(choices) == 1 else Either(tuple(choices))), tokens
        tokens = tokens[1:]


def _row(tokens: list[str], atoms: Mapping[str, Atom]) -> tuple[Node, list[str]]:
    nodes: list[Node] = []
    while tokens and tokens[0] not in ("|", "]", ")", "}"):
        if tokens[0] == "[":
            options: list[Node] = []
            while tokens and tokens[0] == "[":
                option, tokens = _enclosed(tokens, "]", atoms)
                options.append(option)
            nodes.append(Options(tuple(options)))
        elif tokens[0] == "(":
            choice, tokens = _enclosed(tokens, ")", atoms)
            nodes.append(choice)
        elif tokens[0].endswith("{"):
            mode = tokens[0][:-1]
            repeated, tokens = _enclosed(tokens, "}", atoms)
            nodes.append(Repeated(repeated, mode))
        else:
            nodes.append(_leaf(tokens[0], atoms))
            tokens = tokens[1:]
    return (nodes[0] if len(nodes) == 1 else Row(tuple(nodes))), tokens


def _enclosed(tokens: list[str], close: str, atoms: Mapping[str, Atom]) -> tuple[Node, list[str]]:
    node, rest = _either(tokens[1:], atoms)
    if not rest or rest[0] != close:
        raise ValueError(f"{' '.join(tokens)!r} lacks its {close!r}")
    return node, rest[1:]


def _leaf(token: str, atoms: Mapping[str, Atom]) -> Node:
    if token.startswith("'"):
        return Literal(token[1:].encode())
    if not token.islower():
        return Word(token)
    if token not in atoms:
        raise ValueError(f"{token!r} is no atom; as a word of its own it needs a quote before it")
    return Value(atoms[token])
