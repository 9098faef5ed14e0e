"""When a key expires: what a request says of it, made a deadline, with Redis's errors.

A deadline is in milliseconds of the keyspace's clock, which starts as the wall's. Strategy: a
:class:`Unit` for each of the four ways to give a time, EX, PX, EXAT and PXAT; commands that have
one of them in their name (EXPIRE, SETEX, PEXPIREAT) use the same four. SET and GETEX take them as
options, of which a request is read completely before any of it is converted, as in Redis.

May import: context, spec and what they may import.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from memdbd.commands.arguments import INT64_MAX, INT64_MIN, Words, integer
from memdbd.commands.context import Context
from memdbd.errors import CommandError, SyntaxFault


@dataclass(frozen=True, slots=True)
class Unit:
    """How a time is given: in so many milliseconds each, from now on or from 1970."""

    ms: int
    is_absolute: bool = False


SECONDS, MILLISECONDS = Unit(1000), Unit(1)
SECONDS_AT, MILLISECONDS_AT = Unit(1000, is_absolute=True), Unit(1, is_absolute=True)

# By the option's name.
UNITS = {
    b"EX": SECONDS,
    b"PX": MILLISECONDS,
    b"EXAT": SECONDS_AT,
    b"PXAT": MILLISECONDS_AT,
}

# Options of which a request has one at most, if it may be several times.
_CHOICES = (frozenset({*UNITS, b"KEEPTTL", b"PERSIST"}), frozenset({b"NX", b"XX"}))


def deadline_of(ctx: Context, name: str, number: int, unit: Unit) -> int:
    """The deadline that ``number`` of ``unit`` says; it may have passed.

    Raises CommandError, in the name of the command ``name``, where it is out of range.
    """
    given = number * unit.ms
    deadline = given if unit.is_absolute else given + ctx.db.clock()
    if not INT64_MIN <= given <= INT64_MAX or deadline > INT64_MAX:
        raise CommandError(f"invalid expire time in '{name}' command")
    return deadline


def deadline_ahead(ctx: Context, name: str, number: int, unit: Unit) -> int:
    """The same for commands that take no times before now, or before 1970 where it is absolute."""
    if number <= 0:
        raise CommandError(f"invalid expire time in '{name}' command")
    return deadline_of(ctx, name, number, unit)


def whole_seconds(ms: int) -> int:
    """Milliseconds as whole seconds, half a second rounded up, as Redis's TTL has it."""
    return (ms + 500) // 1000


def read_options(words: Sequence[bytes], plain: frozenset[bytes]) -> dict[bytes, bytes]:
    """The options of a request by their names: some of ``plain``, and one of UNITS with its number.

    Raises SyntaxFault for all else, and where there are two that exclude each other.
    """
    options: dict[bytes, bytes] = {}
    rest = Words(words)
    while rest:
        name = rest.option()
        if name in UNITS:
            options[name] = rest.take()
        elif name in plain:
            options[name] = b""
        else:
            raise SyntaxFault
    if any(len(choice & options.keys()) > 1 for choice in _CHOICES):
        raise SyntaxFault
    return options


def deadline_given(ctx: Context, name: str, options: Mapping[bytes, bytes]) -> int | None:
    """The deadline that these options give, if any; as ``deadline_ahead``."""
    for option, unit in UNITS.items():
        if option in options:
            return deadline_ahead(ctx, name, integer(options[option]), unit)
    return None
