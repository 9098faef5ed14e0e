"""``docs/commands.md``, made of the command table.

``python -m memdbd.commands.document > docs/commands.md`` writes it; with ``--check FILE`` it only
says whether the file is what the table says, and exits with 1 if not.

May import: spec, table.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

from memdbd.commands.spec import Command, Flag
from memdbd.commands.table import COMMANDS, CONTAINERS, GROUPS, Group

HEAD = """\
# Commands

Made from the command table by `python -m memdbd.commands.document`; do not edit by hand.

`<x>` is one argument, `[…]` may be left out, `…` inside the brackets takes the rest of a line in
the text dialect, and `…` behind them may be repeated. A rest that is not quoted takes all that is
left, words of options too: `set y v ex 10` sets `y` to `v ex 10`, and `set y "v" ex 10` to `v` for
ten seconds. Names are case-insensitive. The replies are in [protocol.md](protocol.md). What is said
of no command to differ is as in Redis 7.0. Each word that several commands begin with, such as
`config`, also has `help`, which lists them.

Of the flags, *grows* says that a command may be refused or evict others where a bound is reached,
*replaces* that what its keys held is gone and so makes room for it, *alone* that it cannot be part
of a transaction, *at_once* that inside of one it is not queued, *listener* that it may also be sent
by a RESP2 client that is subscribed, *secret* that its arguments are shown to nobody, *no_auth*
that a client may send it that has not logged in, and *looks_up* that what it reads is a hit or a
miss in INFO, though it writes.
"""

TABLE_HEAD = "| command | what it does | cost | flags |\n|---|---|---|---|\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _row(command: Command) -> str:
    does = ", ".join(flag.name.lower() for flag in Flag if flag in command.flags and flag.name)
    cells = (f"`{command.usage}`", command.summary, command.complexity, does)
    return f"| {' | '.join(map(_cell, cells))} |"


def _about(module: ModuleType) -> str:
    """The first sentence of what the module says of itself."""
    text = " ".join((module.__doc__ or "").partition("\n\n")[0].split())
    return text.partition(". ")[0].rstrip(".") + "."


def _section(group: Group) -> str:
    commands = group.commands()
    about = " ".join(map(_about, group.modules))
    rows = "\n".join(map(_row, commands))
    differences = "".join(f"- `{each.name}`: {each.differs}\n" for each in commands if each.differs)
    section = f"\n## {group.title}\n\n{about}\n\n{TABLE_HEAD}{rows}\n"
    return f"{section}\nNot as in Redis:\n\n{differences}" if differences else section


def document() -> str:
    """The text of the file."""
    subcommands = sum(len(container.subcommands) for container in CONTAINERS.values())
    count = (
        f"\n{len(COMMANDS) + len(CONTAINERS)} commands, and {subcommands} subcommands of them.\n"
    )
    return "".join([HEAD, *map(_section, GROUPS), count])


def main(argv: list[str]) -> int:
    """Print the document, or check a file against it; gives the exit status."""
    if argv[:1] == ["--check"] and len(argv) == 2:
        if Path(argv[1]).read_text(encoding="utf-8") == document():
            return 0
        print(f"{argv[1]} is not what the command table says: make it again", file=sys.stderr)
        return 1
    if argv:
        print("usage: python -m memdbd.commands.document [--check FILE]", file=sys.stderr)
        return 2
    print(document(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
