"""The words of a request, read: integers, and options from left to right.

May import: errors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from memdbd.errors import CommandError, SyntaxFault

# Longer integers are refused before they are parsed: int() of 10 MB of digits holds the loop.
MAX_INTEGER_DIGITS = 20
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

NOT_AN_INTEGER = "value is not an integer or out of range"

# How what is deleted is to be freed, which is all the same here.
FREEING = (b"ASYNC", b"SYNC")

Converter = Callable[[bytes], Any]


def integer(raw: bytes) -> int:
    """A signed 64-bit decimal integer, as Redis reads one: no blanks, no plus sign, no zeros."""
    if len(raw) <= MAX_INTEGER_DIGITS:
        try:
            number = int(raw)
        except ValueError:
            pass
        else:
            if INT64_MIN <= number <= INT64_MAX and b"%d" % number == raw:
                return number
    raise CommandError(NOT_AN_INTEGER)


def at_least(least: int, otherwise: str) -> Callable[[bytes], int]:
    """A converter to an integer that is ``least`` or more; for all else it has one error."""

    def convert(raw: bytes) -> int:
        try:
            number = integer(raw)
        except CommandError:
            number = least - 1
        if number < least:
            raise CommandError(otherwise)
        return number

    return convert


natural = at_least(0, "value is out of range, must be positive")
number_of_keys = at_least(1, "numkeys should be greater than 0")
limit_of_count = at_least(0, "LIMIT can't be negative")


class Words:
    """The words of a :class:`Tail`, read from left to right.

    ``take()`` gives the next as it is, ``take(integer)`` converted; where there is none, the
    request has a syntax error. ``option()`` gives the next in upper case, for comparison, and
    ``back()`` lays the last one back.
    """

    __slots__ = ("_at", "_words")

    def __init__(self, words: Sequence[bytes]) -> None:
        self._words = words
        self._at = 0

    def __bool__(self) -> bool:
        """Whether there are more."""
        return self._at < len(self._words)

    def __len__(self) -> int:
        return len(self._words) - self._at

    def take(self, convert: Converter | None = None) -> Any:
        if self._at >= len(self._words):
            raise SyntaxFault
        word = self._words[self._at]
        self._at += 1
        return word if convert is None else convert(word)

    def option(self) -> bytes:
        word: bytes = self.take()
        return word.upper()

    def back(self) -> None:
        self._at -= 1

    def rest(self) -> Sequence[bytes]:
        """All that are left."""
        rest = self._words[self._at :]
        self._at = len(self._words)
        return rest
