"""The commands there are, and the types of value: explicit lists that can be printed.

``python -m memdbd.commands.document`` prints the first as documentation. May import: all of
commands.
"""

from __future__ import annotations

from typing import Any

from memdbd.commands import (
    bitfields,
    bits,
    client_kill,
    client_tracking,
    clients,
    configuration,
    connection,
    counters,
    databases,
    debugging,
    dumping,
    expiration,
    geo,
    geo_search,
    hashes,
    hyperloglogs,
    introspection,
    keys,
    lcs,
    list_moves,
    list_values,
    lists,
    memory,
    monitoring,
    pubsub,
    scripting,
    server,
    set_algebra,
    sets,
    slowness,
    sorting,
    strings,
    substrings,
    transactions,
    zset_algebra,
    zset_pops,
    zset_ranges,
    zsets,
)
from memdbd.commands.helping import help_of
from memdbd.commands.spec import Command, Container
from memdbd.commands.types import DataType

GROUPS = (
    strings,
    substrings,
    counters,
    bits,
    bitfields,
    lcs,
    hyperloglogs,
    keys,
    expiration,
    databases,
    sorting,
    dumping,
    lists,
    list_values,
    list_moves,
    sets,
    set_algebra,
    hashes,
    zsets,
    zset_ranges,
    zset_algebra,
    zset_pops,
    geo,
    geo_search,
    pubsub,
    transactions,
    connection,
    clients,
    client_kill,
    client_tracking,
    server,
    configuration,
    slowness,
    memory,
    scripting,
    debugging,
    monitoring,
    introspection,
)

_EVERY: tuple[Command, ...] = tuple(command for group in GROUPS for command in group.COMMANDS)

# By the name as it is sent, in lower case.
COMMANDS: dict[bytes, Command] = {
    command.name.encode(): command for command in _EVERY if command.words == 1
}


def _containers() -> dict[bytes, Container]:
    subcommands: dict[str, dict[bytes, Command]] = {}
    for command in _EVERY:
        if command.words == 2:
            first, second = command.name.split(" ")
            subcommands.setdefault(first, {})[second.encode()] = command
    for name, behind in subcommands.items():
        behind[b"help"] = help_of(name, behind.values())
    return {
        name.encode(): Container(name, behind, COMMANDS.pop(name.encode(), None))
        for name, behind in subcommands.items()
    }


# Those of two words, by the first.
CONTAINERS: dict[bytes, Container] = _containers()

TYPES: tuple[DataType[Any], ...] = (
    strings.STRING,
    lists.LIST,
    sets.SET,
    hashes.HASH,
    zsets.ZSET,
)
