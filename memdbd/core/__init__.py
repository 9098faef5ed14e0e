"""The innermost loops: bytes to requests, requests over the keys, replies and effects to bytes.

There are two twins with the same functions, which do the same for whatever they are given. One is
in Python, complete and to be read first: ``parsing.py`` and ``python.py``, ``text.py`` for the text
dialect, ``order.py`` for sorted sets, and ``lanes.py`` for what is done with many connections at
once. Of the other's, whose modules have the same names behind a ``_`` (but ``_compiled.py``, which
is python.py's), Cython makes C where memdbd is installed with a C compiler; where they are there,
they are taken. ``_ahead.py`` is only among those: what it does makes a difference to nothing but
time. The environment variable ``MEMDB_CORE`` chooses otherwise: ``python``, or ``compiled``; where
that cannot be followed, the daemon refuses to start (:data:`FAULT`). This is the only place where
anybody chooses.

May import: replies, hiredis, orjson; of the process, its environment.
"""

from __future__ import annotations

from os import environ
from sys import platform
from typing import TYPE_CHECKING

# What both go by.
from memdbd.core.lanes import Rest
from memdbd.core.order import mend, replace
from memdbd.core.python import LONG, MOST, REPLACEABLE
from memdbd.core.text import members

VARIABLE = "MEMDB_CORE"

# A socket of Windows is no descriptor; and there is no epoll for which they would be of use.
HAS_COMPILED_LANES = platform != "win32"


def _chosen() -> tuple[str, str]:
    """The name of the twin to take, and what is wrong with the one that was asked for, if it is
    another."""
    asked = environ.get(VARIABLE, "")
    if asked == "python":
        return asked, ""
    fault = ""
    if asked not in ("", "compiled"):
        fault = f"{VARIABLE} is 'compiled' or 'python', or not set; not {asked!r}"
    try:
        import memdbd.core._ahead
        import memdbd.core._compiled
        import memdbd.core._order
        import memdbd.core._parsing
        import memdbd.core._text

        if HAS_COMPILED_LANES:
            import memdbd.core._lanes  # noqa: F401
    except ImportError:
        if asked == "compiled":
            fault = (
                f"{VARIABLE} is 'compiled', but memdbd was installed without its compiled core: "
                f"install it again where there is a C compiler, or unset {VARIABLE}"
            )
        return "python", fault
    return "compiled", fault


# The twin that is taken, "python" or "compiled"; and why it is not what the variable asks for, in a
# sentence, or "". That is the daemon's business, which refuses to start: whatever else imports the
# table of commands, such as the client, does with either.
NAME, FAULT = _chosen()

if NAME == "compiled":
    from memdbd.core._ahead import ahead
    from memdbd.core._compiled import (
        alike,
        arrays,
        each,
        effects,
        get_many,
        incr_many,
        pieces,
        resp,
        resp_each,
        set_many,
        weight,
    )
    from memdbd.core._parsing import requests
    from memdbd.core._text import array, json, json_each, line, lines
else:
    from memdbd.core.parsing import requests
    from memdbd.core.python import (
        ahead,
        alike,
        arrays,
        each,
        effects,
        get_many,
        incr_many,
        pieces,
        resp,
        resp_each,
        set_many,
        weight,
    )
    from memdbd.core.text import array, json, json_each, line, lines

# To a checker of types, the classes of the twins are not the same.
if TYPE_CHECKING or NAME == "python":
    from memdbd.core.order import Blocks, popped, put_many
else:
    from memdbd.core._order import Blocks, popped, put_many

if TYPE_CHECKING or NAME == "python" or not HAS_COMPILED_LANES:
    from memdbd.core.lanes import Group, Lane, answered, send_all, send_each, take, take_in
else:
    from memdbd.core._lanes import Group, Lane, answered, send_all, send_each, take, take_in

__all__ = [
    "FAULT",
    "LONG",
    "MOST",
    "NAME",
    "REPLACEABLE",
    "Blocks",
    "Group",
    "Lane",
    "Rest",
    "ahead",
    "alike",
    "answered",
    "array",
    "arrays",
    "each",
    "effects",
    "get_many",
    "incr_many",
    "json",
    "json_each",
    "line",
    "lines",
    "members",
    "mend",
    "pieces",
    "popped",
    "put_many",
    "replace",
    "requests",
    "resp",
    "resp_each",
    "send_all",
    "send_each",
    "set_many",
    "take",
    "take_in",
    "weight",
]
