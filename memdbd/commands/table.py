"""The commands there are, and the types of value: explicit lists that can be printed.

``python -m memdbd.commands.document`` prints the first as documentation. May import: all of
commands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from memdbd.commands import (
    acl,
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
from memdbd.commands.spec import Command, Container, Flag
from memdbd.commands.types import DataType


@dataclass(frozen=True, slots=True)
class Group:
    """Commands that belong together: a section of the documentation, whatever modules it takes.

    ``kinds`` are what they work on, by the names of Redis's categories; empty for no type.
    """

    title: str
    modules: tuple[ModuleType, ...]
    kinds: tuple[str, ...] = ()

    def commands(self) -> list[Command]:
        return [command for module in self.modules for command in module.COMMANDS]


GROUPS = (
    Group("Strings", (strings, substrings, counters, lcs), ("string",)),
    Group("Bits", (bits, bitfields), ("bitmap",)),
    Group("HyperLogLogs", (hyperloglogs,), ("hyperloglog",)),
    Group("Keys", (keys, expiration, databases, dumping), ("keyspace",)),
    Group("Sorting", (sorting,), ("list", "set", "sortedset")),
    Group("Lists", (lists, list_values, list_moves), ("list",)),
    Group("Sets", (sets, set_algebra), ("set",)),
    Group("Hashes", (hashes,), ("hash",)),
    Group("Sorted sets", (zsets, zset_ranges, zset_algebra, zset_pops), ("sortedset",)),
    Group("Geo", (geo, geo_search), ("geo",)),
    Group("Publish and subscribe", (pubsub,)),
    Group("Transactions", (transactions,)),
    Group("Connection", (connection,)),
    Group("Clients", (clients, client_kill, client_tracking)),
    Group("Users", (acl,)),
    Group("Scripting", (scripting,), ("scripting",)),
    Group("Server", (server, configuration, slowness, memory, monitoring, debugging)),
    Group("The command table", (introspection,)),
)


def _every(groups: Sequence[Group]) -> Iterator[Command]:
    """The commands of all groups, each told what it works on."""
    for group in groups:
        for command in group.commands():
            if not command.flags & Flag.CONNECTION:
                command.kinds = command.text.kinds = group.kinds
            yield command


def _by_name(every: Iterable[Command]) -> tuple[dict[bytes, Command], dict[bytes, Container]]:
    """Commands by their names, and those of two words, with their help, behind the first."""
    commands: dict[bytes, Command] = {}
    subcommands: dict[bytes, dict[bytes, Command]] = {}
    for command in every:
        first, blank, second = command.name.encode().partition(b" ")
        (subcommands.setdefault(first, {}) if blank else commands)[second or first] = command
    containers = {}
    for first, behind in subcommands.items():
        name = first.decode()
        behind[b"help"] = help_of(name, behind.values())
        containers[first] = Container(name, behind, commands.get(first))
    alone = {name: found for name, found in commands.items() if name not in containers}
    return alone, containers


# By the name as it is sent, in lower case: commands, and the first words of those that have two.
COMMANDS, CONTAINERS = _by_name(_every(GROUPS))

TYPES: tuple[DataType[Any], ...] = (
    strings.STRING,
    lists.LIST,
    sets.SET,
    hashes.HASH,
    zsets.ZSET,
)
