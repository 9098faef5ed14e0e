"""What nobody needs any more is freed in slices: counted in blocks of memory, not in time."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Iterator
from sys import getallocatedblocks
from typing import Any

import pytest
from sortedcontainers import SortedList

from memdbd.structs.graveyard import BURIED_FROM, Graveyard
from memdbd.structs.lru import LRU
from memdbd.structs.pool import Pool
from memdbd.structs.pooled import PooledDict, PooledSet
from memdbd.structs.sortedset import SortedSet

SIZE = 20_000  # items of what is buried
SLICE = 1000
MOST = 5 * SLICE  # blocks that a slice may free: an item has up to five
KEPT = 2200  # blocks that stay: Python has some tuples at hand for the next who need one


def members(size: int = SIZE) -> list[bytes]:
    return [b"member %d of many" % number for number in range(size)]


def an_lru() -> LRU[bytes, bool]:
    lru: LRU[bytes, bool] = LRU()
    for member in members():
        lru.put(member, True)
    return lru


def a_pool_with_stale_entries() -> Pool[bytes]:
    entries = members()
    pool = Pool(entries)
    for member in entries[: SIZE // 10]:
        pool.discard(member)
    return pool


def a_set_with_a_pool() -> PooledSet:
    value = PooledSet(members())
    assert len(value.pool) == SIZE
    return value


def a_hash_with_a_pool() -> PooledDict:
    value = PooledDict((member, member + b"'s value") for member in members())
    assert len(value.pool) == SIZE
    return value


def a_sorted_set_with_a_pool() -> SortedSet:
    value = SortedSet({member: float(at) for at, member in enumerate(members())})
    assert len(value.pool) == SIZE
    return value


CONTAINERS: dict[str, Callable[[], Any]] = {
    "a dict": lambda: {member: b"of " + member for member in members()},
    "a dict of deadlines": lambda: {member: 10**12 + at for at, member in enumerate(members())},
    "a set": lambda: set(members()),
    "a list": members,
    "a deque": lambda: deque(members()),
    "a sorted list": lambda: SortedList(enumerate(members())),
    "an LRU": an_lru,
    "a pool": lambda: Pool(members()),
    "a pool with stale entries": a_pool_with_stale_entries,
    "a set's value": lambda: PooledSet(members()),
    "a set's value with a pool": a_set_with_a_pool,
    "a hash": lambda: PooledDict((member, b"of " + member) for member in members()),
    "a hash with a pool": a_hash_with_a_pool,
    "a sorted set with a pool": a_sorted_set_with_a_pool,
    "values that are small containers": lambda: {
        member: deque(members(50)) for member in members(SIZE // 50)
    },
    "values that are large containers": lambda: {
        b"%d" % number: PooledSet(members(SIZE // 10)) for number in range(10)
    },
    "few values that are large containers": lambda: {b"k": deque(members())},
    "a list in a list in a list": lambda: [[members(), *members()], *members()],
}


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """No collector in between, which would free blocks of its own."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def dug(graveyard: Graveyard) -> list[int]:
    """How many blocks of memory each slice freed, until there is nothing left."""
    freed = []
    more = True
    while more:
        before = getallocatedblocks()
        more = graveyard.dig(SLICE)
        freed.append(before - getallocatedblocks())
    return freed


@pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS)
def test_a_slice_frees_about_as_many_as_it_may_and_all_slices_all(
    make: Callable[[], Any],
) -> None:
    graveyard = Graveyard()
    before = getallocatedblocks()
    graveyard.bury(make())
    made = getallocatedblocks() - before
    freed = dug(graveyard)
    assert max(freed) <= MOST
    assert made - sum(freed) < KEPT
    assert not graveyard.dig(SLICE)


def test_a_small_container_is_freed_where_it_falls() -> None:
    graveyard = Graveyard()
    before = getallocatedblocks()
    graveyard.bury(members(BURIED_FROM - 1))
    assert not graveyard.dig(1)
    assert getallocatedblocks() - before < 10


def test_it_says_when_there_is_something_to_dig_for_after_there_was_nothing() -> None:
    graveyard, said = Graveyard(), list[str]()
    graveyard.waiting = lambda: said.append("waiting")
    graveyard.bury(members())
    graveyard.bury(members())
    assert said == ["waiting"]
    dug(graveyard)
    graveyard.bury(members(BURIED_FROM - 1))
    assert said == ["waiting"]
    graveyard.bury(members(BURIED_FROM))
    assert said == ["waiting", "waiting"]


def test_what_cannot_be_freed_in_slices_is_told_once_and_the_rest_is_freed() -> None:
    graveyard, first, last = Graveyard(), members(), members()
    graveyard.bury(first)
    graveyard.bury(tuple(members()))
    graveyard.bury(last)
    with pytest.raises(AttributeError):
        dug(graveyard)
    dug(graveyard)
    assert first == last == []
