"""``docs/commands.md``, made of the command table.

``python -m memdbd.commands.document > docs/commands.md`` writes it; with ``--check FILE`` it only
says whether the file is what the table says, and exits with 1 if not.

May import: table.
"""

from __future__ import annotations

import sys
from pathlib import Path

from memdbd.commands.spec import Command, Flag
from memdbd.commands.table import COMMANDS, GROUPS

HEAD = """\
# Commands

Made from the command table by `python -m memdbd.commands.document`; do not edit by hand.

`<x>` is one argument, `[…]` may be left out, `…` inside the brackets takes the rest of a line in
the text dialect, and `…` behind them may be repeated. Names are case-insensitive. The replies are
in [protocol.md](protocol.md).
"""

TABLE_HEAD = "| command | what it does | flags |\n|---|---|---|\n"


def _row(command: Command) -> str:
    does = ", ".join(flag.name.lower() for flag in Flag if flag in command.flags and flag.name)
    return f"| `{command.usage}` | {command.summary} | {does} |"


def document() -> str:
    """The text of the file."""
    parts = [HEAD]
    for group in GROUPS:
        first_line = (group.__doc__ or "").partition("\n")[0]
        name = group.__name__.rpartition(".")[2]
        rows = "\n".join(map(_row, group.COMMANDS))
        parts.append(f"\n## {name}\n\n{first_line}\n\n{TABLE_HEAD}{rows}\n")
    parts.append(f"\n{len(COMMANDS)} commands.\n")
    return "".join(parts)


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
