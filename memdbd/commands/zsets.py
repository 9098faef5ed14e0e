"""Sorted sets: members in the order of their scores.

May import: spec and what it may import.
"""

from __future__ import annotations

from sys import getsizeof

from memdbd.commands.sizes import sampled
from memdbd.commands.spec import Command
from memdbd.commands.types import DataType, Text, Untext
from memdbd.structs.sortedset import SortedSet

# What a member costs beside itself: its score, and its place in the order.
ENTRY = 24 + 56 + 8  # bytes


def _dump(value: SortedSet, text: Text) -> list[list[object]]:
    # JSON has no infinite numbers, so all scores are texts that Python reads back exactly.
    return [[text(member), repr(score)] for score, member in value]


def _load(dumped: list[list[str]], untext: Untext) -> SortedSet:
    return SortedSet({untext(member): float(score) for member, score in dumped})


ZSET: DataType[SortedSet] = DataType(
    name="zset",
    python=SortedSet,
    dump=_dump,
    load=_load,
    size=lambda value: (
        getsizeof(value.scores) + sampled(len(value), value.scores) + ENTRY * len(value)
    ),
    copy=SortedSet.copy,
    encoding=lambda value: "skiplist",
)

COMMANDS: tuple[Command, ...] = ()
