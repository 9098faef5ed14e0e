"""Standard input and output as descriptors that others have too, and how not to disturb them.

Twisted makes the descriptors it reads and writes non-blocking. That is a property of what was
opened, not of our number for it, so it holds for each process that has inherited the same: the
shell, or a ``cat`` at the other end of our pipe that prints to the same terminal.

Strategy: a terminal is opened once more, which gives a description of our own. A pipe cannot be;
it is made blocking again at the end. Imports nothing of memdbd.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress


def occupy_standard_descriptors() -> None:
    """Keep a closed standard stream's number from becoming that of a socket of ours.

    Read-only, so that standard input is empty and writing fails as it would have.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)


def own_terminals() -> dict[str, int]:
    """New descriptors for standard input and output, each only if it is a terminal.

    They are under the names that StandardIO has for them as arguments.
    """
    own: dict[str, int] = {}
    for name, fd in ("stdin", 0), ("stdout", 1):
        # No terminal; or its device is not ours to open, as after su. AttributeError: Windows.
        with suppress(OSError, AttributeError):
            own[name] = os.open(os.ttyname(fd), os.O_RDWR | os.O_NOCTTY)
    return own


@contextmanager
def blocking_restored() -> Iterator[None]:
    """Leave the standard streams blocking or not as they were: whoever started us may go on
    using them."""
    before: dict[int, bool] = {}
    for fd in (0, 1, 2):
        with suppress(OSError):
            before[fd] = os.get_blocking(fd)
    try:
        yield
    finally:
        for fd, blocking in before.items():
            with suppress(OSError):
                os.set_blocking(fd, blocking)
