"""What a group of the grammar is: its lines, and how sequences of it are played."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import dedent

from differential.grammar.atoms import ATOMS
from differential.grammar.language import Atom, Line, parse
from differential.resp import Argv


@dataclass(frozen=True)
class Group:
    """Commands that go together.

    ``fill`` makes values for the others to meet, and is never made nearly valid. Of ``borrow``'s
    groups lines are mixed in, ``share`` of all. ``strays`` is how often a command goes to other
    keys than its own, ``nearly`` how often it is made nearly valid. With ``clients``, a sequence
    is played step by step by so many, and each of ``opening`` is what the last of them sends
    first. ``before`` and ``after`` put the server's settings in place and back.
    """

    name: str
    lines: tuple[Line, ...]
    fill: tuple[Line, ...] = ()
    borrow: tuple[str, ...] = ()
    share: float = 0.0
    strays: float = 0.06
    nearly: float = 0.12
    clients: int = 0
    opening: tuple[Argv, ...] = ()
    before: tuple[Argv, ...] = ()
    after: tuple[Argv, ...] = ()


def lines(text: str, **atoms: Atom) -> tuple[Line, ...]:
    """The lines of a text, in which these ``atoms`` are known besides those of all groups.

    A line that is indented deeper goes on with the one before.
    """
    return tuple(parse(line, {**ATOMS, **atoms}) for line in _joined(text))


def _joined(text: str) -> Iterator[str]:
    line = ""
    for part in dedent(text).strip().splitlines():
        if part.startswith(" "):
            line += part
        else:
            if line:
                yield line
            line = part
    if line:
        yield line
