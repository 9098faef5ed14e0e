"""Running a script of a client against a server, and what makes two runs the same.

A script takes HOST and PORT, and what else it may be told, as arguments; it prints one line of
JSON for each command, with what is a server's own choice left out (see ``scripts/canonical.py``).
So two servers that answer alike print the same lines.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import environment
from interop.servers import HOST

TESTS = Path(__file__).parents[1]  # where ``-m`` finds a script as interop.scripts.…
SCRIPTS = TESTS / "interop/scripts"
PATIENCE = 120  # seconds after which a script has failed
ENOUGH = 60  # different commands in a script


@dataclass(frozen=True)
class Script:
    """A command line that wants HOST, PORT and ``arguments``, and the environment for it."""

    command: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()


Transcript = list[str]

Compare = Callable[[Script, int], None]


def transcript(script: Script, port: int) -> Transcript:
    """The lines that the script prints with the server on the port."""
    try:
        done = subprocess.run(
            [*script.command, HOST, str(port), *script.arguments],
            env=environment(**dict(script.variables)),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as expired:
        told = (expired.stdout or b"").decode().splitlines()
        raise AssertionError(f"the script hangs after {told[-1:]}") from None
    lines = done.stdout.splitlines()
    assert done.returncode == 0, f"after {lines[-1:]}:\n{done.stderr}"
    return lines


def different_commands(lines: Transcript) -> set[str]:
    """The first words of what was called."""
    return {json.loads(line)["command"].split(" ")[0].lower() for line in lines}
