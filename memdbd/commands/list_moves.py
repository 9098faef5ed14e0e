"""What moves elements from one list to another or out of the first of several, and waits for them.

Strategy: a command that waits is the one that does not, tried again whenever one of its keys
changes; see :mod:`memdbd.waiting` for who comes first.

May import: blocking, lists and what they may import.
"""

from __future__ import annotations

from collections import deque

from memdbd.commands.access import MOVED, counted_keys
from memdbd.commands.arguments import Words
from memdbd.commands.blocking import (
    ALL_BUT_THE_LAST,
    KEYS_AND_TIMEOUT,
    keys_end_and_count,
    timeout,
    wait_for_any,
)
from memdbd.commands.context import Context
from memdbd.commands.lists import LEFT, LIST, RIGHT, End, take, take_one
from memdbd.commands.spec import DESTINATION, Flag, Param, Tail, command
from memdbd.errors import CommandError, SyntaxFault, WrongType
from memdbd.replies import NULL_ARRAY, NullArray, Reply

ENDS = {b"LEFT": LEFT, b"RIGHT": RIGHT}


def _end(raw: bytes) -> End:
    try:
        return ENDS[raw.upper()]
    except KeyError:
        raise SyntaxFault from None


SOURCE = Param("source", is_key=True)
FROM, TO = Param("LEFT|RIGHT", _end), Param("LEFT|RIGHT", _end)
TIMEOUT = Param("timeout", timeout)
FOREVER = "a timeout of 0 seconds is as long as it takes"


# From one list to another


class WrongDestination(CommandError):
    """The destination is no list.

    Whoever waits is told so, while a source that becomes something else is waited for: that is
    what a WrongType means to :mod:`memdbd.waiting`.
    """

    code = WrongType.code

    def __init__(self) -> None:
        super().__init__(str(WrongType()))


def _move(ctx: Context, source: bytes, destination: bytes, out: End, into: End) -> bytes | None:
    """Move an element; gives it, or None where there is none.

    Raises WrongType and WrongDestination.
    """
    items = LIST.get(ctx.db, source)
    if items is None:
        return None
    try:
        others = LIST.get(ctx.db, destination)
    except WrongType:
        raise WrongDestination from None
    if others is None:
        others = deque()
    element = out.pop(items)
    into.push(others, element)
    # In this order, so that a list that is moved within is at no time empty, and gone.
    ctx.db.update(destination, others, into.pushed, (into.pushes, destination, element))
    ctx.db.store(source, items, out.popped, (out.pops, source))
    return element


def _move_or_wait(
    ctx: Context, source: bytes, destination: bytes, out: End, into: End, seconds: float
) -> Reply:
    return ctx.wait_for(
        [source],
        lambda source: _move(ctx, source, destination, out, into),
        seconds,
        # As in Redis: it is an array of nothing that those get who have waited, and only they.
        NULL_ARRAY if ctx.may_wait else None,
    )


MOVE = Flag.WRITE | Flag.GROWS


@command(
    "lmove",
    SOURCE,
    DESTINATION,
    FROM,
    TO,
    flags=MOVE,
    access=MOVED,
    summary="Move the element at one end of a list to an end of another list, or of the same",
    complexity="O(1)",
)
def lmove(ctx: Context, source: bytes, destination: bytes, out: End, into: End) -> bytes | None:
    return _move(ctx, source, destination, out, into)


@command(
    "rpoplpush",
    SOURCE,
    DESTINATION,
    flags=MOVE,
    access=MOVED,
    summary="Move the last element of a list to the front of another list, or of the same",
    complexity="O(1)",
)
def rpoplpush(ctx: Context, source: bytes, destination: bytes) -> bytes | None:
    return _move(ctx, source, destination, RIGHT, LEFT)


@command(
    "blmove",
    SOURCE,
    DESTINATION,
    FROM,
    TO,
    TIMEOUT,
    flags=MOVE | Flag.BLOCKING,
    access=MOVED,
    summary=f"The same as lmove as soon as there is an element; {FOREVER}",
    complexity="O(1)",
)
def blmove(
    ctx: Context, source: bytes, destination: bytes, out: End, into: End, seconds: float
) -> Reply:
    return _move_or_wait(ctx, source, destination, out, into, seconds)


@command(
    "brpoplpush",
    SOURCE,
    DESTINATION,
    TIMEOUT,
    flags=MOVE | Flag.BLOCKING,
    access=MOVED,
    summary=f"The same as rpoplpush as soon as there is an element; {FOREVER}",
    complexity="O(1)",
)
def brpoplpush(ctx: Context, source: bytes, destination: bytes, seconds: float) -> Reply:
    return _move_or_wait(ctx, source, destination, RIGHT, LEFT, seconds)


# Out of the first of several lists


def _pop_with_key(ctx: Context, key: bytes, end: End) -> list[bytes] | None:
    items = LIST.get(ctx.db, key)
    return None if items is None else [key, take_one(ctx, key, items, end)]


def _take_with_key(ctx: Context, key: bytes, end: End, number: int) -> list[Reply] | None:
    items = LIST.get(ctx.db, key)
    return None if items is None else [key, take(ctx, key, items, end, number)]


@command(
    "blpop",
    KEYS_AND_TIMEOUT,
    flags=Flag.WRITE | Flag.BLOCKING,
    summary="The first of these lists that has an element, and its first one, which is taken out, "
    f"as soon as there is one; {FOREVER}",
    keys=ALL_BUT_THE_LAST,
    complexity="O(n), n being the keys",
)
def blpop(ctx: Context, *words: bytes) -> Reply:
    return wait_for_any(ctx, words, lambda key: _pop_with_key(ctx, key, LEFT))


@command(
    "brpop",
    KEYS_AND_TIMEOUT,
    flags=Flag.WRITE | Flag.BLOCKING,
    summary="The first of these lists that has an element, and its last one, which is taken out, "
    f"as soon as there is one; {FOREVER}",
    keys=ALL_BUT_THE_LAST,
    complexity="O(n), n being the keys",
)
def brpop(ctx: Context, *words: bytes) -> Reply:
    return wait_for_any(ctx, words, lambda key: _pop_with_key(ctx, key, RIGHT))


LISTS_AND_END = "<numkeys> <key> … <LEFT|RIGHT> [COUNT <count>]"


@command(
    "lmpop",
    Tail(LISTS_AND_END, least=3),
    flags=Flag.WRITE,
    summary="The first of these lists that has an element, and the count at one of its ends, which "
    "are taken out",
    keys=counted_keys(1),
    complexity="O(n + m), n being the keys and m the elements",
)
def lmpop(ctx: Context, *words: bytes) -> list[Reply] | NullArray:
    keys, end, number = keys_end_and_count(Words(words), ENDS)
    found = (_take_with_key(ctx, key, end, number) for key in keys)
    return next(filter(None, found), NULL_ARRAY)


@command(
    "blmpop",
    Tail(f"<timeout> {LISTS_AND_END}", least=4),
    flags=Flag.WRITE | Flag.BLOCKING,
    summary=f"The same as lmpop as soon as there is an element; {FOREVER}",
    keys=counted_keys(2),
    complexity="O(n + m), n being the keys and m the elements",
)
def blmpop(ctx: Context, seconds: bytes, *words: bytes) -> Reply:
    keys, end, number = keys_end_and_count(Words(words), ENDS)
    return ctx.wait_for(
        keys, lambda key: _take_with_key(ctx, key, end, number), timeout(seconds), NULL_ARRAY
    )


COMMANDS = (lmove, rpoplpush, blmove, brpoplpush, blpop, brpop, lmpop, blmpop)
