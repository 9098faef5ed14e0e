"""The innermost loops: bytes to requests, requests over the keys, replies and effects to bytes.

There are two twins with the same functions, which do the same for whatever they are given. One is
in Python, complete and to be read first: ``python.py``, and ``text.py`` for the text dialect. Of
the other's, ``_compiled.py`` and ``_text.py``, Cython makes C where memdbd is installed with a C
compiler; where they are there, they are taken. The environment variable ``MEMDB_CORE`` chooses
otherwise: ``python``, or ``compiled``, which is an error where it is not there. This is the only
place where anybody chooses.

May import: replies, hiredis, orjson; of the process, its environment.
"""

from __future__ import annotations

from os import environ

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
        import memdbd.core._ahead
        import memdbd.core._compiled
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
    from memdbd.core._ahead import ahead
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
        ahead,
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

__all__ = [
    "LONG",
    "MOST",
    "NAME",
    "ahead",
    "alike",
    "array",
    "effects",
    "get_many",
    "incr_many",
    "json",
    "line",
    "lines",
    "pieces",
    "requests",
    "resp",
    "set_many",
]
