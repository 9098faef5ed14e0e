"""A program in a real terminal: a tmux window of its own, which a test types into and reads."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from pathlib import Path
from typing import Self

from harness import PATIENCE, environment, tool

COLUMNS, ROWS = 100, 200  # rows for a whole session, so that none scrolls away


class Terminal:
    """The window; it goes when the test is done with it."""

    def __init__(self, directory: Path, *command: str) -> None:
        self._tmux = [tool("tmux"), "-S", str(directory / "tmux"), "-f", "/dev/null"]
        # No history is kept, and the screen outlives the program, also when it is interrupted.
        program = f"REDISCLI_HISTFILE=/dev/null {shlex.join(command)}"
        line = f"trap : INT; {program}; echo ended $?; exec cat"
        size = ["-x", str(COLUMNS), "-y", str(ROWS)]
        self._run("new-session", "-d", *size, f"sh -c {shlex.quote(line)}")

    def types(self, line: str) -> None:
        """Type a line and press Enter."""
        self._run("send-keys", "-l", line)
        self._run("send-keys", "Enter")

    def presses(self, key: str) -> None:
        self._run("send-keys", key)

    def shows(self, pattern: str, times: int = 1) -> str:
        """Wait until the pattern is on the screen so many times; gives the screen."""
        end = time.monotonic() + PATIENCE
        while len(re.findall(pattern, screen := self.screen())) < times:
            assert time.monotonic() < end, f"{screen}\n--- lacks {pattern!r}, {times} times"
            time.sleep(0.02)
        return screen

    def screen(self) -> str:
        """What is on the screen, without the blanks at the ends of lines and below."""
        lines = self._run("capture-pane", "-p").split("\n")
        return "\n".join(line.rstrip() for line in lines).rstrip()

    def close(self) -> None:
        self._run("kill-server")

    def _run(self, *words: str) -> str:
        done = subprocess.run(
            [*self._tmux, *words],
            env=environment(LC_ALL="C.UTF-8"),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        return done.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
