"""Redis's categories of commands, by which permissions name many at once: ``+@read``.

Strategy: they are derived from a command's flags, and from what it works on, which the table says.

May import: spec.
"""

from __future__ import annotations

from functools import cache

from memdbd.commands.spec import Command, Flag

# In Redis's order.
CATEGORIES = (
    "keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap",
    "hyperloglog", "geo", "stream", "pubsub", "admin", "fast", "slow", "blocking", "dangerous",
    "connection", "transaction", "scripting",
)  # fmt: skip
_CATEGORIES = (
    ("write", Flag.WRITE),
    ("read", Flag.READ),
    ("admin", Flag.ADMIN),
    ("dangerous", Flag.ADMIN | Flag.DANGEROUS),
    ("pubsub", Flag.PUBSUB),
    ("blocking", Flag.BLOCKING),
    ("connection", Flag.CONNECTION),
    ("transaction", Flag.TRANSACTION),
)
_ALSO_ADMIN = frozenset({"lastsave", "role"})  # they are in that category without the flag


def categories(record: Command) -> list[str]:
    """The names of the categories that a command belongs to, without their ``@``."""
    found = set(_of_flags(record.flags))
    if record.name in _ALSO_ADMIN:
        found.add("admin")
    found.update(record.kinds)
    found.add("fast" if record.flags & Flag.FAST else "slow")
    return sorted(found, key=CATEGORIES.index)


@cache  # to look at a flag is to call enum: for all commands, a third of a daemon's assembly
def _of_flags(flags: Flag) -> frozenset[str]:
    return frozenset(name for name, flag in _CATEGORIES if flags & flag)
