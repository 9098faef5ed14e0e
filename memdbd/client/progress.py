"""How far a long work is: one line on a terminal, drawn over itself, and nothing anywhere else.

Imports nothing of memdbd.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

INTERVAL = 0.1  # seconds between two drawings
WIDTH = 24  # of the bar
COLUMNS = 80  # of a terminal that does not tell


class Progress:
    """``advance`` for what is done, ``clear`` at the end. ``out`` is a terminal, or None.

    ``total`` is how many there are as far as anyone knows; 0 where nobody does.
    """

    def __init__(self, out: TextIO | None, clock: Callable[[], float], what: str = "keys") -> None:
        self.total = 0
        self.done = 0
        self._out = out
        self._clock = clock
        self._what = what
        self._start = self._drawn_at = clock()
        self._drawn = 0

    def advance(self, count: int = 1) -> None:
        """So many more are done."""
        self.done += count
        if self._out is not None and self._clock() - self._drawn_at >= INTERVAL:
            self._draw()

    def restart(self, what: str) -> None:
        """Begin with another work on as many."""
        self.clear()
        self.total, self.done, self._what = max(self.total, self.done), 0, what
        self._start = self._clock()

    def clear(self) -> None:
        """Take the line away."""
        if self._drawn:
            self._write("\r" + " " * self._drawn + "\r")
            self._drawn = 0

    def _draw(self) -> None:
        now = self._clock()
        self._drawn_at = now
        rate = self.done / max(now - self._start, 1e-9)
        line = f"{self.done:,} {self._what}, {rate:,.0f}/s"
        if self.total:
            # More may come while one counts.
            share = min(self.done / self.total, 1.0)
            bar = "#" * int(share * WIDTH)
            line = f"[{bar:<{WIDTH}}] {share:4.0%}  {self.done:,} of {self.total:,} {self._what}, "
            line += f"{rate:,.0f}/s"
        most = self._columns() - 1  # in the last one, some terminals begin a new line
        if len(line) > most:
            line = line.partition("]")[2].lstrip() or line  # without the bar
        line = line[:most]
        self._write("\r" + line.ljust(self._drawn))
        self._drawn = len(line)

    def _columns(self) -> int:
        with suppress(OSError, ValueError, AttributeError):  # it is no terminal after all
            if self._out is not None:
                return os.get_terminal_size(self._out.fileno()).columns or COLUMNS
        return COLUMNS

    def _write(self, text: str) -> None:
        if self._out is not None:
            with suppress(OSError, ValueError):  # the terminal is gone: nobody looks
                self._out.write(text)
                self._out.flush()
