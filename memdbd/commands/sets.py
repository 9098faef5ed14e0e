"""Sets: bytes in no order, each once.

May import: spec and what it may import.
"""

from __future__ import annotations

from sys import getsizeof

from memdbd.commands.sizes import sampled
from memdbd.commands.spec import Command
from memdbd.commands.types import DataType
from memdbd.structs.pooled import PooledSet

SET: DataType[PooledSet] = DataType(
    name="set",
    python=PooledSet,
    dump=lambda members, text: list(map(text, members)),
    load=lambda dumped, untext: PooledSet(map(untext, dumped)),
    size=lambda members: getsizeof(members) + sampled(len(members), members),
    copy=PooledSet,
    encoding=lambda members: "hashtable",
)

COMMANDS: tuple[Command, ...] = ()
