"""The innermost loops: bytes to requests, requests over the keys, replies and effects to bytes.

There are two twins with the same functions, which do the same for whatever they are given. One is
in Python, complete and to be read first: ``python.py``, and ``text.py`` for the text dialect, and
``order.py`` for sorted sets. Of the other's, ``_compiled.py``, ``_text.py`` and ``_order.py``,
Cython makes C where memdbd is installed with a C compiler; where they are there, they are taken.
The environment variable ``MEMDB_CORE`` chooses otherwise: ``python``, or ``compiled``, which is an
error where it is not there. This is the only place where anybody chooses.

May import: replies, hiredis, orjson; of the process, its environment.
"""

from __future__ import annotations

from os import environ
from typing import TYPE_CHECKING

from memdbd.core.python import LONG, MOST  # which both go by

VARIABLE = "MEMDB_CORE"


def _chosen() -> str:
    """The name of the twin to take.

    Raises SystemExit where that cannot be, with a line for whoever has set the variable: it is read
    when memdbd is imported, before there is anybody who could say it.
    """
    asked = environ.get(VARIABLE, "")
    if asked not in ("", "python", "compiled"):
        raise SystemExit(f"memdbd: {VARIABLE} is 'compiled' or 'python', or not set; not {asked!r}")
    if asked == "python":
        return asked
    try:
        import memdbd.core._compiled
        import memdbd.core._order
        import memdbd.core._text  # noqa: F401
    except ImportError:
        if asked:
            raise SystemExit(
                f"memdbd: {VARIABLE} is 'compiled', but memdbd was installed without its compiled "
                f"core: install it again where there is a C compiler, or unset {VARIABLE}"
            ) from None
        return "python"
    return "compiled"


NAME = _chosen()  # "python" or "compiled"

if NAME == "compiled":
    from memdbd.core._compiled import (
        alike,
        effects,
        get_many,
        incr_many,
        pieces,
        requests,
        resp,
        set_many,
    )
    from memdbd.core._text import array, json, line, lines
else:
    from memdbd.core.python import (
        alike,
        effects,
        get_many,
        incr_many,
        pieces,
        requests,
        resp,
        set_many,
    )
    from memdbd.core.text import array, json, line, lines

if TYPE_CHECKING or NAME == "python":  # the types of a class that is C's are said there
    from memdbd.core.order import Blocks, popped, put_many
else:
    from memdbd.core._order import Blocks, popped, put_many

__all__ = [
    "LONG",
    "MOST",
    "NAME",
    "Blocks",
    "alike",
    "array",
    "effects",
    "get_many",
    "incr_many",
    "json",
    "line",
    "lines",
    "pieces",
    "popped",
    "put_many",
    "requests",
    "resp",
    "set_many",
]
