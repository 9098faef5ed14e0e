"""HELP behind a word that several commands begin with, derived from their records.

May import: context, spec and what they may import.
"""

from __future__ import annotations

from collections.abc import Collection

from memdbd.commands.context import Context
from memdbd.commands.spec import Command, Flag
from memdbd.replies import Status

INDENT = " " * 4  # of a summary under its usage, as Redis has it


def help_of(container: str, subcommands: Collection[Command]) -> Command:
    """The subcommand that shows all others of ``container``."""
    lines = [f"{container.upper()} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"]
    for each in subcommands:
        word = each.name.split(" ")[1].upper()
        lines.append(" ".join([word, *(param.usage for param in each.params)]))
        lines.append(f"{INDENT}{each.summary}.")
    lines += ["HELP", f"{INDENT}Prints this help."]
    reply = [Status(line) for line in lines]

    def show(ctx: Context) -> list[Status]:
        return reply

    name, first = f"{container} help", next(iter(subcommands))
    flags = first.flags & Flag.CONNECTION or Flag.SERVER
    record = Command(name, show, (), flags, "Show the subcommands", complexity="O(1)")
    record.kinds = first.kinds
    return record
