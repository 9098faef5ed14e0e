"""Hashes: fields and their values.

May import: spec and what it may import.
"""

from __future__ import annotations

from sys import getsizeof

from memdbd.commands.sizes import sampled
from memdbd.commands.spec import Command
from memdbd.commands.types import DataType
from memdbd.structs.pooled import PooledDict

HASH: DataType[PooledDict] = DataType(
    name="hash",
    python=PooledDict,
    dump=lambda fields, text: {text(field): text(value) for field, value in fields.items()},
    load=lambda dumped, untext: PooledDict(
        (untext(field), untext(value)) for field, value in dumped.items()
    ),
    size=lambda fields: (
        getsizeof(fields) + sampled(len(fields), fields) + sampled(len(fields), fields.values())
    ),
    copy=PooledDict,
    encoding=lambda fields: "hashtable",
)

COMMANDS: tuple[Command, ...] = ()
