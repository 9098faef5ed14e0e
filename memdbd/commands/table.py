"""The commands there are, and the types of value: explicit lists that can be printed.

``python -m memdbd.commands.document`` prints the first as documentation. May import: all of
commands.
"""

from __future__ import annotations

from memdbd.commands import connection, keys, pubsub, server, strings
from memdbd.commands.spec import Command, DataType

GROUPS = (strings, keys, pubsub, connection, server)

# By the name as it is sent, in lower case.
COMMANDS: dict[bytes, Command] = {
    command.name.encode(): command for group in GROUPS for command in group.COMMANDS
}

TYPES: tuple[DataType, ...] = (strings.STRING,)
