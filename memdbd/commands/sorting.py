"""SORT and SORT_RO: the elements of a list, set or sorted set in another order.

Strategy, as in Redis's ``sort.c``: the elements get weights (themselves, or what other keys hold),
are sorted by them, cut by LIMIT, and replaced by what GET finds for each. A request does not name
the keys that these patterns lead to, so who uses them must have the right to read all there are.

May import: arguments, context, doubles, the types of value, and what they may import.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from memdbd.commands.access import STORED, Access
from memdbd.commands.arguments import Words, integer
from memdbd.commands.context import Context
from memdbd.commands.doubles import double
from memdbd.commands.hashes import HASH
from memdbd.commands.lists import LIST
from memdbd.commands.sets import SET
from memdbd.commands.spec import KEY, STORES, Command, Flag, Tail, command
from memdbd.commands.zsets import ZSET
from memdbd.errors import CommandError, SyntaxFault, WrongType
from memdbd.keyspace import Value

Lookup = Callable[[bytes], bytes | None]  # what a pattern leads to for an element

_USAGE = "[BY <pattern>] [LIMIT <offset> <count>] [GET <pattern> …] [ASC|DESC] [ALPHA]"
_DIFFERS = (
    "ALPHA compares all bytes; Redis, without STORE, those up to a zero byte. No good number is "
    "refused; Redis refuses all after one that was too small, in whatever command."
)
_COMPLEXITY = "O(n + m log m) with n elements, and m if they are sorted"

_DENIED = "option of SORT denied due to insufficient ACL permissions."
NOT_NUMBERS = "One or more scores can't be converted into double"
BLANKS = b" \t\n\v\f\r"
SMALLEST = 2.0**-1022  # beside 0; of what is below, C says that digits are lost


@dataclass(slots=True)
class Order:
    """What a request asks for. ``by`` is None where the elements are their own weights."""

    by: bytes | None = None
    is_sorted: bool = True
    descending: bool = False
    alpha: bool = False
    offset: int = 0
    count: int = -1
    get: list[bytes] = field(default_factory=list)
    store: bytes | None = None


def _read(ctx: Context, record: Command, key: bytes, words: Sequence[bytes]) -> Order:
    allowed, request = ctx.session.permissions, [record.name.encode(), key, *words]
    every_key = allowed is None or allowed.may_have_every_key(record, request, Access.READ)
    order, left = Order(), Words(words)
    while left:
        option = left.option()
        if option in (b"ASC", b"DESC"):
            order.descending = option == b"DESC"
        elif option == b"ALPHA":
            order.alpha = True
        elif option == b"LIMIT" and len(left) >= 2:
            order.offset, order.count = left.take(integer), left.take(integer)
        elif option == b"STORE" and record.writes:
            order.store = left.take()
        elif option == b"BY":
            order.by = left.take()
            # A pattern that is the same for all elements says that there is nothing to sort by.
            order.is_sorted &= b"*" in order.by
            if b"*" in order.by and not every_key:
                raise CommandError(f"BY {_DENIED}")
        elif option == b"GET":
            order.get.append(left.take())
            if not every_key:
                raise CommandError(f"GET {_DENIED}")
        else:
            raise SyntaxFault()
    return order


def _keys(argv: Sequence[bytes]) -> Sequence[bytes]:
    """The key to sort, and the last one to store to; those of patterns cannot be told."""
    keys, words = list(argv[1:2]), Words(argv[2:])
    while words:
        option = words.option()
        if option == b"STORE" and words:
            keys[1:] = [words.take()]
            words.back()  # it may be the word itself again
        for _ in range({b"LIMIT": 2, b"GET": 1, b"BY": 1}.get(option, 0)):
            if words:
                words.take()
    return keys


@command(
    "sort",
    KEY,
    Tail(f"{_USAGE} [STORE <destination>]"),
    flags=STORES | Flag.DANGEROUS,
    access=STORED,
    summary="Sort a list, set or sorted set; gives the elements, or how many were stored",
    complexity=_COMPLEXITY,
    differs=_DIFFERS,
    keys=_keys,
)
def sort(ctx: Context, key: bytes, *words: bytes) -> list[bytes | None] | int:
    order = _read(ctx, sort, key, words)
    found = _sorted(ctx, key, order)
    if order.store is None:
        return found
    if found:
        items = LIST.python(b"" if item is None else item for item in found)
        ctx.db.set(order.store, items, operation="sortstore")
    else:
        ctx.db.delete(order.store)
    return len(found)


@command(
    "sort_ro",
    KEY,
    Tail(_USAGE),
    flags=Flag.READ | Flag.DANGEROUS,
    summary="Sort a list, set or sorted set; gives the elements",
    complexity=_COMPLEXITY,
    differs=_DIFFERS,
    keys=lambda argv: argv[1:2],  # no fixed place: there may be more, of patterns
)
def sort_ro(ctx: Context, key: bytes, *words: bytes) -> list[bytes | None]:
    return _sorted(ctx, key, _read(ctx, sort_ro, key, words))


def _sorted(ctx: Context, key: bytes, order: Order) -> list[bytes | None]:
    value = ctx.db.get(key)
    elements = _elements(value)
    if order.is_sorted:
        lookup = None if order.by is None else _lookup(ctx, order.by)
        elements = _in_order(elements, lookup, order.alpha, order.descending)
    elif value.__class__ is not SET.python:
        if order.descending:
            elements.reverse()
    elif order.store is not None:  # what is stored is to be in an order that means something
        elements = _in_order(elements, None, True, order.descending)
    start = max(order.offset, 0)
    elements = elements[start : None if order.count < 0 else start + order.count]
    if not order.get:
        return list(elements)
    lookups = [_lookup(ctx, pattern) for pattern in order.get]
    return [lookup(element) for element in elements for lookup in lookups]


def _elements(value: Value | None) -> list[bytes]:
    """The elements in their own order. Raises WrongType for a value that has none."""
    if value is None:
        return []
    if value.__class__ is ZSET.python:
        value.is_packed = False  # as Redis leaves one that it has looked through
        return [member for _, member in value]
    if value.__class__ in (LIST.python, SET.python):
        return list(value)
    raise WrongType


def _in_order(
    elements: list[bytes], lookup: Lookup | None, alpha: bool, descending: bool
) -> list[bytes]:
    weights: Iterable[bytes | None] = elements if lookup is None else map(lookup, elements)
    keys: list[Any]
    if alpha:
        keys = [(weight is not None, weight) for weight in weights]  # those without one first
    else:
        keys = list(zip(map(_number, weights), elements, strict=True))
    order = sorted(range(len(elements)), key=keys.__getitem__, reverse=descending)
    return [elements[at] for at in order]


def _number(weight: bytes | None) -> float:
    """A weight as a number, 0 where there is none. Raises CommandError where it is no number, or
    one that is too large or too small."""
    text = (weight or b"").partition(b"\0")[0]  # as a text in C ends there
    number = double(text.lstrip(BLANKS), NOT_NUMBERS) if text else 0.0
    if 0 < abs(number) < SMALLEST:
        raise CommandError(NOT_NUMBERS)
    return number


def _lookup(ctx: Context, pattern: bytes) -> Lookup:
    """What ``pattern`` leads to for an element: the element itself for ``#``, else the string at
    the key that it makes of the pattern's ``*``, or the field of a hash there (``*->field``)."""
    if pattern == b"#":
        return lambda element: element
    before, star, after = pattern.partition(b"*")
    if not star:
        return lambda element: None
    after, arrow, name = after.partition(b"->")
    db = ctx.db
    if not name:
        after += arrow

        def string(element: bytes) -> bytes | None:
            value = db.get(before + element + after)
            return value if value.__class__ is bytes else None

        return string

    def in_hash(element: bytes) -> bytes | None:
        value = db.get(before + element + after)
        return value.get(name) if value.__class__ is HASH.python else None

    return in_hash


COMMANDS = (sort, sort_ro)
