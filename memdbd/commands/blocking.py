"""What commands have in common that pop from the first of several keys, and may wait for it.

Those of lists and those of sorted sets: BLPOP and BZPOPMIN, LMPOP and ZMPOP, and so on.

May import: context, spec and what they may import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil, ldexp
from typing import Any, TypeVar

from memdbd.commands.access import KeyRange
from memdbd.commands.arguments import INT64_MAX, Words, at_least, number_of_keys
from memdbd.commands.context import Context
from memdbd.commands.spec import Tail
from memdbd.errors import CommandError, SyntaxFault
from memdbd.replies import NULL_ARRAY, Reply
from memdbd.structs import longdouble

End = TypeVar("End")

# What follows the name of BLPOP and its like, and where its keys are.
KEYS_AND_TIMEOUT = Tail("<key> … <timeout>", least=2)
ALL_BUT_THE_LAST = KeyRange(1, -2)
_how_many = at_least(1, "count should be greater than 0")


def timeout(raw: bytes) -> float:
    """Seconds to wait, 0 for as long as it takes; a part of a millisecond counts as a whole one.

    Raises CommandError where that is no time.
    """
    try:
        mantissa, exponent = longdouble.parse(raw)
    except ValueError:
        raise CommandError("timeout is not a float or out of range") from None
    try:
        ms = ceil(ldexp(mantissa, exponent) * 1000)
    except OverflowError:
        ms = -1
    if not 0 <= ms <= INT64_MAX:  # more than Redis can count becomes less than none there
        raise CommandError("timeout is negative")
    return max(ms, mantissa > 0) / 1000


def wait_for_any(
    ctx: Context, keys_and_timeout: Sequence[bytes], attempt: Callable[[bytes], Any]
) -> Reply:
    """What ``attempt`` gives for one of the keys, at once or later: see Context.wait_for."""
    *keys, last = keys_and_timeout
    return ctx.wait_for(keys, attempt, timeout(last), NULL_ARRAY)


def keys_end_and_count(words: Words, ends: Mapping[bytes, End]) -> tuple[Sequence[bytes], End, int]:
    """The words ``<numkeys> <key> … <end> [COUNT <count>]``, in which ``end`` is one of ``ends``.

    Raises CommandError where they are others.
    """
    numkeys = words.take(number_of_keys)
    if numkeys >= len(words):
        raise SyntaxFault
    keys = [words.take() for _ in range(numkeys)]
    end = ends.get(words.option())
    if end is None:
        raise SyntaxFault(f"behind the keys there is one of {b', '.join(ends).decode()}")
    count = 1
    if words:
        if words.option() != b"COUNT" or not words:
            raise SyntaxFault
        count = words.take(_how_many)
        if words:
            raise SyntaxFault
    return keys, end, count
