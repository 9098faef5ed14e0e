"""Whatever lets go of a huge value does not free it in one go: that is left to the graveyard."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from sys import getallocatedblocks

import pytest
from helpers_pure import NOW, World

SIZE = 50_000
MOST = 2000  # blocks of memory that a request may free: it has 50,000 at least

MEMBERS = [b"member %d of many" % number for number in range(SIZE)]
FILLS: dict[str, list[bytes]] = {
    "list": [b"rpush", b"k", *MEMBERS],
    "set": [b"sadd", b"k", *MEMBERS],
    "hash": [b"hset", b"k", *MEMBERS],
    "zset": [b"zadd", b"k", *(word for each in MEMBERS for word in (b"1", each))],
}


def expire(world: World) -> None:
    world.now = NOW + 1000
    world.run(b"get", b"k")


def sweep(world: World) -> None:
    world.now = NOW + 1000
    assert world.db.sweep(10) == 1


# Each way to lose a value that has one second to live.
ENDS: dict[str, Callable[[World], object]] = {
    "DEL": lambda world: world.run(b"del", b"k"),
    "UNLINK": lambda world: world.run(b"unlink", b"k"),
    "delete": lambda world: world.say("delete k"),
    "SET": lambda world: world.run(b"set", b"k", b"v"),
    "RENAME over it": lambda world: world.run(b"rename", b"other", b"k"),
    "COPY over it": lambda world: world.run(b"copy", b"other", b"k", b"REPLACE"),
    "SORT over it": lambda world: world.run(b"sort", b"few", b"STORE", b"k"),
    "SORT of nothing over it": lambda world: world.run(b"sort", b"x", b"STORE", b"k"),
    "EXPIRE with no time left": lambda world: world.run(b"expire", b"k", b"0"),
    "FLUSHDB": lambda world: world.run(b"flushdb"),
    "FLUSHALL": lambda world: world.run(b"flushall", b"SYNC"),
    "a look at its deadline": expire,
    "the sweep": sweep,
}


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """No collector in between, which would free blocks of its own."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def filled(fill: list[bytes]) -> World:
    world = World()
    world.run(fill[0], fill[1], *(bytes(bytearray(word)) for word in fill[2:]))  # its own objects
    world.run(b"expire", b"k", b"1")
    world.run(b"set", b"other", b"v")
    world.run(b"rpush", b"few", b"1", b"2")
    return world


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("fill", FILLS.values(), ids=FILLS)
def test_a_huge_value_outlives_its_key(fill: list[bytes], end: Callable[[World], object]) -> None:
    world = filled(fill)
    before = getallocatedblocks()
    end(world)
    assert before - getallocatedblocks() < MOST


def test_many_keys_outlive_their_database() -> None:
    world = World()
    for number in range(SIZE):
        world.run(b"set_with_ttl", b"k%d" % number, b"value %d" % number, b"10")
    world.run(b"scan", b"0")
    before = getallocatedblocks()
    world.run(b"flushall")
    assert before - getallocatedblocks() < MOST
