"""What SCAN, SSCAN, HSCAN and ZSCAN have in common: their arguments, and the pages they give.

Strategy: a small collection is returned whole, as Redis does with what it keeps packed; only a
bigger one gets a pool, which knows what a cursor is. Those three are written as::

    @command("sscan", KEY, CURSOR, SCAN_OPTIONS, ...)
    def sscan(ctx: Context, key: bytes, cursor: int, *words: bytes) -> Reply:
        members = SET.get(ctx.db, key)
        if members is None:  # before the options are looked at, as in Redis
            return Page(b"0", [])
        return Page(*scan(members, lambda: members.pool, cursor, words))

May import: arguments, errors, glob, spec, structs.pool.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from memdbd.commands.arguments import Words, integer
from memdbd.commands.spec import Param, Tail
from memdbd.errors import CommandError, SyntaxFault
from memdbd.glob import matcher
from memdbd.structs.pool import Pool

WHOLE = 128  # entries up to which a collection is returned at once
PAGE = 10  # entries that are looked at for a page where COUNT does not say
MOST = 10_000  # and whatever it says: about 5 ms
UINT64_MAX = 2**64 - 1

_CURSOR = re.compile(rb"[+-]?[0-9]{1,20}|")


def read_cursor(raw: bytes) -> int:
    """A cursor as C's strtoul reads it, up to a zero byte: nothing is 0, and what is negative
    counts from 2**64."""
    text = raw.partition(b"\0")[0]
    if _CURSOR.fullmatch(text):
        number = int(text or b"0")
        if abs(number) <= UINT64_MAX:
            return number & UINT64_MAX
    raise CommandError("invalid cursor")


CURSOR = Param("cursor", read_cursor)
SCAN_OPTIONS = Tail("[MATCH <pattern>] [COUNT <count>]")


@dataclass(slots=True)
class ScanOptions:
    """What a request asks for: names that match, of so many; and, of keys, those of a type."""

    pattern: bytes = b"*"
    count: int = PAGE
    type: str | None = None

    def matching(self, names: Collection[bytes]) -> list[bytes]:
        """Those of ``names`` that match the pattern. Raises CommandError where it is too long."""
        return list(names if self.pattern == b"*" else filter(matcher(self.pattern), names))


def scan_options(words: Sequence[bytes], *, of_keys: bool = False) -> ScanOptions:
    """Read the options; that of a type exists where keys are scanned."""
    options, left = ScanOptions(), Words(words)
    while left:
        option = left.option()
        if option == b"MATCH":
            options.pattern = left.take()
        elif option == b"COUNT":
            count = left.take(integer)
            if count < 1:
                raise SyntaxFault("<count> is at least 1")
            options.count = min(count, MOST)
        elif option == b"TYPE" and of_keys:
            options.type = left.take().lower().decode("latin-1")
        else:
            raise SyntaxFault()
    return options


def scan(
    names: Collection[bytes],
    pool: Callable[[], Pool[bytes]],
    cursor: int,
    words: Sequence[bytes],
) -> tuple[bytes, list[bytes]]:
    """The next cursor, 0 at the end, and those of the next page of ``names`` that match.

    ``pool()`` gives the pool of the same names; it is only called where they are many. Raises
    CommandError for options that are wrong.
    """
    options = scan_options(words)
    if len(names) <= WHOLE:
        return b"0", options.matching(names)
    cursor, page = pool().page(cursor, options.count)
    return b"%d" % cursor, options.matching(page)
