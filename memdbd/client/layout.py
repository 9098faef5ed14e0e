"""Where the characters of a typed line come to stand on a screen of so many columns; pure.

Strategy: place each character as the terminal does (one that no longer fits goes to the next row),
so that the cursor can be moved relatively, without asking the terminal where it is. The width of a
character is Unicode's East Asian Width, and combining marks have none; emoji that a terminal joins
into one are counted apart. Imports nothing of memdbd.
"""

from __future__ import annotations

import unicodedata
from typing import NamedTuple


class Place(NamedTuple):
    """A row and a column, counted from where the prompt starts."""

    row: int
    column: int


def visible(char: str) -> str:
    """A character as it is shown: what cannot be printed as its escape, a tab as ``\\t``."""
    if char.isprintable() or unicodedata.category(char) in ("Mn", "Me", "Zs"):
        return char
    return repr(char)[1:-1]


def width(char: str) -> int:
    """How many columns a printable character takes."""
    if char.isascii():
        return 1
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def place(text: str, columns: int) -> Place:
    """Where the cursor stands after ``text``, which is printable, on a screen ``columns`` wide.

    After the last column of a row it stands at the start of the next, where a terminal moves it
    only with the next character: whoever draws has to help there.
    """
    row = column = 0
    if text.isascii():
        return Place(*divmod(len(text), columns))
    for char in text:
        needed = width(char)
        if column + needed > columns:
            row, column = row + 1, 0
        column += needed
    return Place(row + 1, 0) if column >= columns else Place(row, column)
