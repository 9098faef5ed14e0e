"""Whatever lets go of a huge value does not free it in one go: that is left to the graveyard."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from sys import getallocatedblocks

import pytest
from helpers_pure import NOW, World

SIZE = 10_000
MOST = 2000  # blocks of memory that a request may free: it has 10,000 at least

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


def restore(world: World) -> None:
    dumped = world.run(b"dump", b"other")
    world.run(b"restore", b"k", b"0", dumped, b"REPLACE")


def sweep(world: World) -> None:
    world.now = NOW + 1000
    assert world.db.sweep(10) == 1


NEAR = [b"places", b"FROMMEMBER", b"here", b"BYRADIUS", b"9", b"km"]

# Each way to lose a value that has one second to live.
ENDS: dict[str, Callable[[World], object]] = {
    "DEL": lambda world: world.run(b"del", b"k"),
    "UNLINK": lambda world: world.run(b"unlink", b"k"),
    "delete": lambda world: world.say("delete k"),
    "SET": lambda world: world.run(b"set", b"k", b"v"),
    "RENAME over it": lambda world: world.run(b"rename", b"other", b"k"),
    "COPY over it": lambda world: world.run(b"copy", b"other", b"k", b"REPLACE"),
    "MSET": lambda world: world.run(b"mset", b"other", b"w", b"k", b"v"),
    "BITOP over it": lambda world: world.run(b"bitop", b"NOT", b"k", b"other"),
    "BITOP of nothing over it": lambda world: world.run(b"bitop", b"AND", b"k", b"x"),
    "RESTORE over it": restore,
    "SINTERSTORE over it": lambda world: world.run(b"sinterstore", b"k", b"some"),
    "SUNIONSTORE over it": lambda world: world.run(b"sunionstore", b"k", b"some"),
    "SDIFFSTORE of nothing over it": lambda world: world.run(b"sdiffstore", b"k", b"x"),
    "ZUNIONSTORE over it": lambda world: world.run(b"zunionstore", b"k", b"1", b"some"),
    "ZINTERSTORE over it": lambda world: world.run(b"zinterstore", b"k", b"1", b"some"),
    "ZDIFFSTORE of nothing over it": lambda world: world.run(b"zdiffstore", b"k", b"1", b"x"),
    "ZRANGESTORE over it": lambda world: world.run(b"zrangestore", b"k", b"places", b"0", b"-1"),
    "GEOSEARCHSTORE over it": lambda world: world.run(b"geosearchstore", b"k", *NEAR),
    "GEORADIUS over it": lambda world: world.run(
        b"georadius", b"places", b"13", b"38", b"9", b"km", b"STORE", b"k"
    ),
    "SORT over it": lambda world: world.run(b"sort", b"few", b"STORE", b"k"),
    "SORT of nothing over it": lambda world: world.run(b"sort", b"x", b"STORE", b"k"),
    "EXPIRE with no time left": lambda world: world.run(b"expire", b"k", b"0"),
    "FLUSHDB": lambda world: world.run(b"flushdb"),
    "FLUSHALL": lambda world: world.run(b"flushall", b"SYNC"),
    "a look at its deadline": expire,
    "the sweep": sweep,
}

# Each way to drop all elements, or all but one, of a value of some type. What SPOP and its like
# take out is not dropped: it is in the reply.
EMPTYINGS: dict[str, tuple[str, list[bytes]]] = {
    "LTRIM to nothing": ("list", [b"ltrim", b"k", b"1", b"0"]),
    "LTRIM to one": ("list", [b"ltrim", b"k", b"7", b"7"]),
    "ZREMRANGEBYRANK": ("zset", [b"zremrangebyrank", b"k", b"0", b"-1"]),
    "ZREMRANGEBYSCORE": ("zset", [b"zremrangebyscore", b"k", b"-inf", b"+inf"]),
    "ZREMRANGEBYLEX": ("zset", [b"zremrangebylex", b"k", b"-", b"+"]),
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
    world.run(b"sadd", b"some", b"1", b"2")
    world.run(b"geoadd", b"places", b"13", b"38", b"here")
    return world


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("fill", FILLS.values(), ids=FILLS)
def test_a_huge_value_outlives_its_key(fill: list[bytes], end: Callable[[World], object]) -> None:
    world = filled(fill)
    huge = id(world.db.values[b"k"])
    before = getallocatedblocks()
    end(world)
    assert before - getallocatedblocks() < MOST
    assert id(world.db.values.get(b"k")) != huge


@pytest.mark.parametrize(("name", "request_"), EMPTYINGS.values(), ids=EMPTYINGS)
def test_what_is_dropped_of_a_huge_value_is_not_freed_at_once(
    name: str, request_: list[bytes]
) -> None:
    world = filled(FILLS[name])
    before = getallocatedblocks()
    reply = world.run(*request_)
    assert before - getallocatedblocks() < MOST
    assert reply


def test_many_keys_outlive_their_database() -> None:
    world = World()
    for number in range(SIZE):
        world.run(b"set_with_ttl", b"k%d" % number, b"value %d" % number, b"10")
    world.run(b"scan", b"0")
    before = getallocatedblocks()
    world.run(b"flushall")
    assert before - getallocatedblocks() < MOST
