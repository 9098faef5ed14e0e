"""Lists: bytes in a row, with both ends at hand.

May import: spec and what it may import.
"""

from __future__ import annotations

from collections import deque
from sys import getsizeof

from memdbd.commands.sizes import sampled
from memdbd.commands.spec import Command
from memdbd.commands.types import DataType

List = deque[bytes]

LIST: DataType[List] = DataType(
    name="list",
    python=deque,
    dump=lambda items, text: list(map(text, items)),
    load=lambda dumped, untext: deque(map(untext, dumped)),
    size=lambda items: getsizeof(items) + sampled(len(items), items),
    copy=deque.copy,
    encoding=lambda items: "quicklist",
)

COMMANDS: tuple[Command, ...] = ()
