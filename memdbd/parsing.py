"""What the value of a setting may be, whether a file, a variable or a flag gives it.

A :data:`Parse` is made for each setting, in :mod:`memdbd.config`. A file has TOML's own types; in a
variable and in a flag all is text. Imports nothing of memdbd.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

# Gives a setting's value for what a file, a variable or a flag says; raises ValueError with a
# phrase that says what would be right.
Parse = Callable[[Any], Any]

# In a text. Python's own int() and float() also take "1_000", " 5 ", "1e3" and "٥".
_DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?")

# Names that other files of the directory have, or may have one day.
_TAKEN = re.compile(r"journal\..*|memdbd\.lock|repair-.*|.*\.(torn|tmp|imported)(\.[0-9]+)?")

_MOST = (1 << 63) - 1  # bytes; what is beyond it is a mistake

_UNITS = {"kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "b": 1, "": 1}
_SIZE = "must be a number of bytes, or one with kb, mb or gb behind it"
_SWITCH = {"true": True, "false": False}


def text(raw: Any) -> str:
    if not isinstance(raw, str) or not raw:
        raise ValueError("must be a text that is not empty")
    return raw


def texts(raw: Any) -> tuple[str, ...]:
    if isinstance(raw, str):  # in a variable, separated by blanks
        raw = raw.split()
    if not isinstance(raw, (list, tuple)) or not all(isinstance(one, str) and one for one in raw):
        raise ValueError("must be a list of texts")
    return tuple(raw)


def path(raw: Any) -> str:
    """The path of a file, or empty: none."""
    if not isinstance(raw, str):
        raise ValueError("must be the path of a file")
    return raw


def filename(raw: Any) -> str:
    if not isinstance(raw, str) or not raw or raw in (".", "..") or not {"/", "\\"}.isdisjoint(raw):
        raise ValueError("must be the name of a file, without a directory")
    if _TAKEN.fullmatch(raw):
        raise ValueError("must be a name that no other file of the directory can have")
    return raw


def password(raw: Any) -> str:
    """A password, or empty: none."""
    if not isinstance(raw, str):
        raise ValueError("must be a text")
    try:
        raw.encode()
    except UnicodeEncodeError:  # bytes of a variable
        raise ValueError("must be UTF-8") from None
    return raw


def number(least: float, most: float = float("inf"), *, whole: bool = True) -> Parse:
    """A number within these bounds."""
    kind = "a whole number" if whole else "a number"
    bounds = f" from {least} to {most}" if most != float("inf") else f" of at least {least}"

    def parse(raw: Any) -> float:
        number = raw
        if isinstance(raw, str) and _DECIMAL.fullmatch(raw):
            with suppress(ValueError):  # a fraction, or more digits than Python converts
                number = int(raw) if whole else float(raw)
        accepted = int if whole else (int, float)
        if isinstance(number, bool) or not isinstance(number, accepted):
            raise ValueError(f"must be {kind}{bounds}")
        if not least <= number <= most or number == float("inf"):
            raise ValueError(f"must be {kind}{bounds}")
        return number

    return parse


def size(raw: Any) -> int:
    """A number of bytes."""
    if isinstance(raw, str):
        words = raw.strip().lower()
        digits = words.rstrip("bgkm ")
        unit = _UNITS.get(words[len(digits) :].strip())
        if not (unit and digits.isascii() and digits.isdigit()):
            raise ValueError(_SIZE)
        # Python does not convert any number of digits.
        raw = int(digits) * unit if len(digits) < 99 else _MOST + 1
    if not isinstance(raw, int) or isinstance(raw, bool) or raw < 0:
        raise ValueError(_SIZE)
    if raw > _MOST:
        raise ValueError(f"must be at most {_MOST} bytes")
    return raw


def switch(raw: Any) -> bool:
    if isinstance(raw, str) and raw in _SWITCH:
        return _SWITCH[raw]
    if not isinstance(raw, bool):
        raise ValueError("must be true or false")
    return raw


def one_of(*words: str) -> Parse:
    """One of these words."""

    def parse(raw: Any) -> str:
        if raw not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return str(raw)

    return parse
