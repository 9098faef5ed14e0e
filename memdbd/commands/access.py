"""The keys and channels that a request names, and the right that each of its keys needs.

Strategy: a command's declaration says where its keys are, mostly by which of its parameters are
keys; else by one of the objects here, or by a function that reads the request's words. The rights
are a tuple in the keys' order, or of a function, where options decide.

May import: arguments, errors.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from memdbd.commands.arguments import integer
from memdbd.errors import CommandError

# Where the keys of a request are, or its channels.
FindKeys = Callable[[Sequence[bytes]], Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Keys at fixed places of a request: the first, the last (negative: from its end), the step."""

    first: int
    last: int
    step: int = 1

    def __call__(self, argv: Sequence[bytes]) -> Sequence[bytes]:
        last = self.last if self.last >= 0 else len(argv) + self.last
        return argv[self.first : last + 1 : self.step] if self.first else ()


NO_KEYS = KeyRange(0, 0, 0)


@dataclass(frozen=True, slots=True)
class CountedKeys:
    """Keys behind their number, which is word ``at`` and at least ``least``; before them those at
    the places ``more``.

    Raises CommandError where that number is none of that request's.
    """

    at: int
    more: tuple[int, ...] = ()
    least: int = 1

    def __call__(self, argv: Sequence[bytes]) -> Sequence[bytes]:
        first = self.at + 1
        count = integer(argv[self.at]) if first <= len(argv) else -1
        if not self.least <= count <= len(argv) - first:
            raise CommandError("Invalid arguments specified for command")
        return [*(argv[place] for place in self.more), *argv[first : first + count]]


def counted_keys(at: int, *more: int, least: int = 1) -> CountedKeys:
    """Where keys are behind their number: see :class:`CountedKeys`."""
    return CountedKeys(at, more, least)


class Access(enum.Flag):
    """The right that a key of a request needs, as Redis 7.0's key specifications have it: to be
    read, where what it holds is told or kept elsewhere, and to be written, where that is changed.

    A key with NONE is one of which only is asked whether it is there, of which type, or how long:
    any right to it is enough.
    """

    NONE = 0
    READ = enum.auto()
    WRITE = enum.auto()
    BOTH = READ | WRITE


# One for each key of a request in order; the last is that of all further keys.
Accesses = tuple[Access, ...]
FindAccess = Callable[[Sequence[bytes]], Accesses]

ASKED = (Access.NONE,)
READ = (Access.READ,)
WRITTEN = (Access.WRITE,)
CHANGED = (Access.BOTH,)  # in a way that tells of what was there
MOVED = (Access.BOTH, Access.WRITE)  # from the first key to the second
MADE = (Access.WRITE, Access.READ)  # the first key, of the others
STORED = (Access.READ, Access.WRITE)  # in the last keys, what is found in the first
