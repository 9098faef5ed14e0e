"""Lists: bytes in a row, with both ends at hand.

Here is what works at the ends of one list or by places in it; what looks for values is in
list_values, and what moves elements or waits for them in list_moves.

Strategy: a list is a deque, so that both ends are O(1). What is inside is reached from the nearer
end, and looked for and changed by methods that are written in C, wherever there is one.

May import: core, context, sizes, spec, together, types and what they may import.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from sys import getsizeof
from typing import Any

from memdbd.commands.access import ASKED, WRITTEN
from memdbd.commands.arguments import integer, natural
from memdbd.commands.context import Context
from memdbd.commands.sizes import sampled
from memdbd.commands.spec import KEY, VALUE, Flag, Param, command
from memdbd.commands.together import Run, by_key, note, short
from memdbd.commands.types import DataType, Untext
from memdbd.core import MOST, WEIGHED, weight
from memdbd.effects import NOTHING, Effect
from memdbd.errors import CommandError
from memdbd.keyspace import Value
from memdbd.replies import NULL_ARRAY, OK, NullArray, Status

List = deque[bytes]


def _load(dumped: Any, untext: Untext) -> List:
    if not isinstance(dumped, list) or not dumped:
        raise TypeError("a list is an array of elements")
    return deque(map(untext, dumped))


LIST: DataType[List] = DataType(
    name="list",
    python=deque,
    dump=lambda items, text: list(map(text, items)),
    load=_load,
    size=lambda items: getsizeof(items) + sampled(len(items), items),
    copy=deque.copy,
    encoding=lambda items: "quicklist",
)

ELEMENTS = Param("element", many=True)
_NO_ITEMS: List = deque()  # of a key that is not there
# Of a deque, so many stand side by side: one of these blocks is passed in one step.
BLOCK = 64
HEADER = 8  # bytes that an element takes in a reply beside its own


@dataclass(frozen=True, slots=True)
class End:
    """One end of a list: how an element comes and goes there, what is announced of it, and the
    commands that do it again."""

    push: Callable[[List, bytes], None]
    push_all: Callable[[List, Iterable[bytes]], None]
    pop: Callable[[List], bytes]
    seen: Callable[[List], Iterator[bytes]]  # the elements from there on
    pushed: str
    popped: str
    pushes: bytes
    pops: bytes


LEFT = End(
    *(deque.appendleft, deque.extendleft, deque.popleft, iter),
    *("lpush", "lpop", b"LPUSH", b"LPOP"),
)
RIGHT = End(
    *(deque.append, deque.extend, deque.pop, reversed),
    *("rpush", "rpop", b"RPUSH", b"RPOP"),
)


# At the ends

PUSH = Flag.WRITE | Flag.GROWS | Flag.FAST


@command(
    "lpush",
    KEY,
    ELEMENTS,
    flags=PUSH,
    access=WRITTEN,
    summary="Put elements in front of a list, one after the other; gives its new length",
    complexity="O(1) an element",
)
def lpush(ctx: Context, key: bytes, *elements: bytes) -> int:
    return _push(ctx, key, elements, LEFT)


@lpush.together
def lpush_many(values: dict[bytes, Value], run: Run, effects: list[Effect]) -> list[int]:
    return _push_many(values, run, effects, LEFT)


@command(
    "rpush",
    KEY,
    ELEMENTS,
    flags=PUSH,
    access=WRITTEN,
    summary="Put elements behind a list; gives its new length",
    complexity="O(1) an element",
)
def rpush(ctx: Context, key: bytes, *elements: bytes) -> int:
    return _push(ctx, key, elements, RIGHT)


@rpush.together
def rpush_many(values: dict[bytes, Value], run: Run, effects: list[Effect]) -> list[int]:
    return _push_many(values, run, effects, RIGHT)


def _push(ctx: Context, key: bytes, elements: tuple[bytes, ...], end: End) -> int:
    items = LIST.get(ctx.db, key)
    if items is None:
        items = deque()
    end.push_all(items, elements)
    ctx.db.update(key, items, end.pushed, (end.pushes, key, *elements))
    return len(items)


def _push_many(values: dict[bytes, Value], run: Run, effects: list[Effect], end: End) -> list[int]:
    replies: list[int] = []
    for key, requests in by_key(run):
        items = values.get(key)
        if items is None:
            items = values[key] = deque()
        elif items.__class__ is not deque:
            break
        elements = [argv[2] for argv in requests]
        size = len(items)
        end.push_all(items, elements)
        note(effects, (end.pushes, key, *elements), len(elements))
        replies += range(size + 1, len(items) + 1)
    return replies


@command(
    "lpushx",
    KEY,
    ELEMENTS,
    flags=PUSH,
    access=WRITTEN,
    summary="Put elements in front of a list; gives its new length, or 0 if there is none",
    complexity="O(1) an element",
)
def lpushx(ctx: Context, key: bytes, *elements: bytes) -> int:
    return 0 if LIST.get(ctx.db, key) is None else _push(ctx, key, elements, LEFT)


@command(
    "rpushx",
    KEY,
    ELEMENTS,
    flags=PUSH,
    access=WRITTEN,
    summary="Put elements behind a list; gives its new length, or 0 if there is none",
    complexity="O(1) an element",
)
def rpushx(ctx: Context, key: bytes, *elements: bytes) -> int:
    return 0 if LIST.get(ctx.db, key) is None else _push(ctx, key, elements, RIGHT)


POPS = Param("count", natural, optional=True)


@command(
    "lpop",
    KEY,
    POPS,
    flags=Flag.WRITE | Flag.FAST,
    summary="Take the first element out of a list, or so many of them",
    complexity="O(1) an element",
)
def lpop(
    ctx: Context, key: bytes, number: int | None = None
) -> bytes | list[bytes] | NullArray | None:
    return _pop(ctx, key, LEFT, number)


@lpop.together
def lpop_many(values: dict[bytes, Value], run: Run, effects: list[Effect]) -> list[bytes | None]:
    return _pop_many(values, run, effects, LEFT)


@command(
    "rpop",
    KEY,
    POPS,
    flags=Flag.WRITE | Flag.FAST,
    summary="Take the last element out of a list, or so many of them, the last one first",
    complexity="O(1) an element",
)
def rpop(
    ctx: Context, key: bytes, number: int | None = None
) -> bytes | list[bytes] | NullArray | None:
    return _pop(ctx, key, RIGHT, number)


@rpop.together
def rpop_many(values: dict[bytes, Value], run: Run, effects: list[Effect]) -> list[bytes | None]:
    return _pop_many(values, run, effects, RIGHT)


def _pop(
    ctx: Context, key: bytes, end: End, number: int | None
) -> bytes | list[bytes] | NullArray | None:
    items = LIST.get(ctx.db, key)
    if items is None:
        return None if number is None else NULL_ARRAY
    if number is None:
        return take_one(ctx, key, items, end)
    return take(ctx, key, items, end, number) if number else []


def _pop_many(
    values: dict[bytes, Value], run: Run, effects: list[Effect], end: End
) -> list[bytes | None]:
    replies: list[bytes | None] = []
    room = MOST
    for key, requests in by_key(run):
        asked = len(requests)
        items = values.get(key)
        if items is None:
            replies += [None] * asked
            continue
        if items.__class__ is not deque:
            break
        taken = short(islice(end.seen(items), asked), room)
        if not taken:
            break
        room -= weight(taken)
        for _ in taken:
            end.pop(items)
        replies += taken
        changes = len(taken)
        effect = (end.pops, key) if changes == 1 else (end.pops, key, b"%d" % changes)
        if items:
            note(effects, effect, changes)
        else:
            del values[key]
            note(effects, effect, changes + 1)
            replies += [None] * (asked - changes)
    return replies


def take_one(ctx: Context, key: bytes, items: List, end: End) -> bytes:
    """Take the element at an end out of the list of ``key``."""
    element = end.pop(items)
    ctx.db.store(key, items, end.popped, (end.pops, key))
    return element


def take(ctx: Context, key: bytes, items: List, end: End, number: int) -> list[bytes]:
    """Take up to ``number`` elements out of the list of ``key``, one or more, from an end on."""
    pop = end.pop
    taken = [pop(items) for _ in range(min(number, len(items)))]
    ctx.db.store(key, items, end.popped, (end.pops, key, b"%d" % len(taken)))
    return taken


@command(
    "llen",
    KEY,
    flags=Flag.READ | Flag.FAST,
    access=ASKED,
    summary="Count a list's elements",
    complexity="O(1)",
)
def llen(ctx: Context, key: bytes) -> int:
    return len(LIST.get(ctx.db, key) or ())


# By their places, which are counted from 0, and from the end down from -1

START, STOP = Param("start", integer), Param("stop", integer)


def _places(size: int, start: int, stop: int) -> tuple[int, int]:
    """The first place of a range, and the first behind it, among ``size`` elements."""
    first = max(start + size, 0) if start < 0 else start
    behind = (stop + size if stop < 0 else min(stop, size - 1)) + 1
    return (first, behind) if first < behind else (0, 0)


def _between(items: List, first: int, behind: int) -> list[bytes]:
    """The elements from one place to before another: O(their number) near either end."""
    size = len(items)
    before, after = first, size - behind  # elements to pass from the left, or from the right
    if behind - first < BLOCK < min(before, after):
        return [items[place] for place in range(first, behind)]  # each passes whole blocks
    if before <= after:
        return list(islice(items, first, behind))
    found = list(islice(reversed(items), after, size - first))
    found.reverse()
    return found


@command(
    "lrange",
    KEY,
    START,
    STOP,
    flags=Flag.READ,
    summary="The elements of a list from one place to another: 0 is the first, -1 the last",
    complexity="O(s + n), s being the places to the nearer end and n the elements returned",
)
def lrange(ctx: Context, key: bytes, start: int, stop: int) -> list[bytes]:
    items = LIST.get(ctx.db, key)
    return [] if items is None else _between(items, *_places(len(items), start, stop))


@lrange.together
def lrange_many(values: dict[bytes, Value], run: Run, effects: list[Effect]) -> list[list[bytes]]:
    replies: list[list[bytes]] = []
    room = MOST
    for _, key, start, stop in run:
        items = values.get(key, _NO_ITEMS)
        if items.__class__ is not deque:
            break
        try:
            first, behind = _places(len(items), integer(start), integer(stop))
        except CommandError:
            break
        # None of them holds the loop: they are near an end, and not many.
        if max(min(first, len(items) - behind), behind - first) > WEIGHED:
            break
        found = _between(items, first, behind)
        room -= weight(found) + HEADER * len(found)
        if room < 0:
            break
        replies.append(found)
    return replies


@command(
    "lindex",
    KEY,
    Param("index"),
    flags=Flag.READ,
    summary="The element at one place of a list: 0 is the first, -1 the last",
    complexity="O(n), n being the places to the nearer end",
)
def lindex(ctx: Context, key: bytes, index: bytes) -> bytes | None:
    items = LIST.get(ctx.db, key)
    if items is None:
        return None
    try:
        return items[integer(index)]
    except IndexError:
        return None


@command(
    "lset",
    KEY,
    Param("index"),
    VALUE,
    flags=Flag.WRITE | Flag.GROWS,
    access=WRITTEN,
    summary="Replace the element at one place of a list",
    complexity="O(n), n being the places to the nearer end",
)
def lset(ctx: Context, key: bytes, index: bytes, value: bytes) -> Status:
    items = LIST.get(ctx.db, key)
    if items is None:
        raise CommandError("no such key")
    try:
        items[integer(index)] = value
    except IndexError:
        raise CommandError("index out of range") from None
    ctx.db.update(key, items, "lset", (b"LSET", key, index, value))
    return OK


@command(
    "ltrim",
    KEY,
    START,
    STOP,
    flags=Flag.WRITE,
    access=WRITTEN,
    summary="Leave nothing of a list but what is from one place to another",
    complexity="O(n), n being the elements that go, or those that stay if they are fewer",
)
def ltrim(ctx: Context, key: bytes, start: int, stop: int) -> Status:
    items = LIST.get(ctx.db, key)
    if items is not None:
        size = len(items)
        first, behind = _places(size, start, stop)
        if behind - first > len(items) // 2:
            for _ in range(len(items) - behind):
                items.pop()
            for _ in range(first):
                items.popleft()
        elif first < behind:
            kept = deque(_between(items, first, behind))
            ctx.db.bury(items)
            items = kept
        else:
            items = deque()
        effect = NOTHING if len(items) == size else (b"LTRIM", key, b"%d" % start, b"%d" % stop)
        ctx.db.store(key, items, "ltrim", effect)
    return OK


COMMANDS = (
    *(lpush, rpush, lpushx, rpushx, lpop, rpop, llen),
    *(lrange, lindex, lset, ltrim),
)
