"""Members at random with a count, as SRANDMEMBER, HRANDFIELD and ZRANDMEMBER share it.

A positive count asks for so many different members; a negative one for so many that may be the
same, however few there are. Redis streams the latter without end; here they are a list, so their
number has a bound.

May import: arguments, errors, pool.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from memdbd.commands.arguments import INT64_MAX, integer
from memdbd.errors import CommandError, SyntaxFault
from memdbd.structs.pool import Pool, Random

MAX_REPEATED = 250_000  # members that may be the same: more would hold the loop past 50 ms

# What the commands say of that in the documentation.
DIFFERS = f"A negative count is at least -{MAX_REPEATED}."


def read_count(word: bytes) -> int:
    """The count of members to choose. Raises CommandError where it is none."""
    count = integer(word)
    if count < -INT64_MAX:
        raise CommandError(
            f"value is out of range, value must between {-INT64_MAX} and {INT64_MAX}"
        )
    return count


def read_options(words: Sequence[bytes], with_values: bytes) -> tuple[int, bool]:
    """The count, and whether the option ``with_values`` follows: ``<count> [WITHVALUES]``.

    Raises CommandError for anything else.
    """
    count = read_count(words[0])
    if len(words) == 1:
        return count, False
    if len(words) > 2 or words[1].upper() != with_values:
        raise SyntaxFault(f"only {with_values.decode()} may follow the count")
    if abs(count) > INT64_MAX // 2:
        raise CommandError("value is out of range")
    return count, True


def chosen(
    members: Collection[bytes], pool: Callable[[], Pool[bytes]], count: int, random: Random
) -> list[bytes]:
    """So many of ``members``, of which there are some.

    ``pool()`` gives a pool of them; it is only called where not all are wanted. Raises
    CommandError for too many that may be the same.
    """
    if count >= len(members):
        return list(members)
    if count >= 0:
        return pool().sample(count, random)
    if count < -MAX_REPEATED:
        raise CommandError("value is out of range", DIFFERS)
    choice = pool().choice
    return [choice(random) for _ in range(-count)]
