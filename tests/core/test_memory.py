"""What the core takes of memory, it gives back, and it holds no reference too many or too few."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from memdbd.core.python import LONG, Effect
from memdbd.replies import OK

ROUNDS = 200
WAYS = 18


def array(*words: bytes) -> bytes:
    strings = [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"*%d\r\n%b" % (len(words), b"".join(strings))


def each_way(twin: ModuleType) -> list[Callable[[], object]]:
    """The functions with what makes them go each of their ways."""
    key, value, null = b"the key of %d" % id(twin), b"the value of %d" % id(twin), b"_\r\n"
    values: dict[bytes, Any] = {key: value, b"n": b"300", b"l": [value], b"x": b"x" * LONG}
    deadline = 10**13
    gets = [[b"GET", key], [b"GET", b"none"], [b"GET", b"x"]]
    sets = [[b"SET", key, value], [b"SET", b"new", value], [b"SET", b"l", value]]
    incrs = [[b"INCR", b"n"], [b"INCR", b"m"], [b"INCR", key]]

    def many(name: str, run: Any) -> None:
        getattr(twin, name)(dict(values), run, [])

    def mistaken() -> None:
        with pytest.raises(TypeError):
            twin.effects([(b"SET", key, None)], 0)

    return [
        lambda: twin.resp([key, None, OK, 5, 10**6, -(2**63)], null),
        lambda: twin.resp([key, value, 2**70], null),
        lambda: twin.resp([key, value, "odd"], null),
        lambda: twin.resp([key, value * 20_000], null),
        lambda: twin.resp((key, value) * 5, null),
        lambda: twin.each([key, None, OK, 5, -(2**63)], null),
        lambda: twin.each([key, value, 2**70], null),
        lambda: twin.each([key, value, "odd"], null),
        lambda: twin.arrays([[key, None, OK, 5], [], [value]], null),
        lambda: twin.arrays([[key], [value, 2**70]], null),
        lambda: twin.arrays([[key], [value, "odd"]], null),
        lambda: twin.weight([key, value]),
        lambda: twin.effects([(b"SET", key, value), (b"PEXPIREAT", key, deadline)], 10**6),
        mistaken,
        lambda: many("get_many", gets),
        lambda: many("set_many", sets),
        lambda: many("incr_many", incrs),
        lambda: many("get_many", tuple(gets)),
    ]


def leaves_nothing(way: Callable[[], object]) -> None:
    for _ in range(ROUNDS):
        way()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(ROUNDS):
        way()
    gc.collect()
    # One block a round would be as many as there are rounds.
    assert abs(sys.getallocatedblocks() - before) < ROUNDS // 2


@pytest.mark.parametrize("number", range(WAYS))
def test_no_way_leaves_anything_behind(twin: ModuleType, number: int) -> None:
    leaves_nothing(each_way(twin)[number])


def test_each_way_is_gone(twin: ModuleType) -> None:
    assert len(each_way(twin)) == WAYS


@pytest.mark.parametrize(
    "more", [b"", b"*3\r\n$3\r\nSET\r\n+OK\r\n", b"*3\r\n$3\r\nSET\r\n$99\r\n", b"*x\r\n"]
)
@pytest.mark.parametrize("count", [0, 1, 5])
def test_no_request_leaves_anything_behind(parser: ModuleType, count: int, more: bytes) -> None:
    data = array(b"SET", b"the key of %d" % id(parser), b"a value") * count + more
    leaves_nothing(lambda: parser.requests(data))


def test_every_reference_is_counted(twin: ModuleType) -> None:
    key, value = b"key %d" % id(twin), b"value %d" % id(twin)
    number = 10**15
    values: dict[bytes, Any] = {}
    effects: list[Effect] = []

    def counted() -> list[int]:
        return [sys.getrefcount(each) for each in (key, value, number)]

    before = counted()
    for _ in range(ROUNDS):
        twin.set_many(values, [[b"SET", key, value]] * 3, effects)
        twin.get_many(values, [[b"GET", key]] * 3, effects)
        twin.incr_many(values, [[b"INCR", key]], effects)
        twin.resp([key, value, number], b"_\r\n")
        twin.effects([(b"SET", key, value), (b"PEXPIREAT", key, number)], 0)
    values.clear()
    effects.clear()
    assert counted() == before


def test_what_is_shared_is_counted_as_well(twin: ModuleType) -> None:
    gc.collect()
    before = sys.getrefcount(OK)
    for _ in range(ROUNDS):
        twin.set_many({}, [[b"SET", b"k", b"v"]] * 3, [])
        twin.resp([OK, None, OK, b"", 1], b"_\r\n")
    gc.collect()
    assert sys.getrefcount(OK) == before
