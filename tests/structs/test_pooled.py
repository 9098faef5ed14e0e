"""A set and a dict that can also choose at random and be paged through."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from sys import getsizeof
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from memdbd.structs.pool import Pool
from memdbd.structs.pooled import PooledDict, PooledSet

SEED = 20260
Make = Callable[[list[bytes]], Any]  # of one or the other


def members_of(pool: Pool[bytes]) -> list[bytes]:
    """All of a pool's members, in no order."""
    return sorted(pool.page(0, 1000)[1])


def numbered(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


class TestSet:
    def test_what_is_put_is_there_once(self) -> None:
        members = PooledSet([b"a"])
        assert (members.put(b"a"), members.put(b"b")) == (False, True)
        assert members.put_all([b"b", b"c", b"c"]) == 1
        assert members == {b"a", b"b", b"c"}

    def test_what_is_taken_is_gone(self) -> None:
        members = PooledSet(numbered(5))
        assert (members.take(b"0"), members.take(b"0")) == (True, False)
        assert members.take_all([b"0", b"1", b"2", b"2"]) == 2
        assert members == {b"3", b"4"}

    def test_any_is_each_as_likely(self) -> None:
        chance = random.Random(SEED)
        taken = Counter(PooledSet(numbered(4)).take_any(chance.random) for _ in range(8000))
        assert taken.keys() == set(numbered(4))
        assert all(1800 < count < 2200 for count in taken.values())

    def test_there_is_no_any_of_none(self) -> None:
        with pytest.raises(IndexError):
            PooledSet().take_any(random.random)


class TestDict:
    def test_a_field_that_is_put_again_is_not_new(self) -> None:
        fields = PooledDict({b"a": b"1"})
        assert (fields.put(b"a", b"2"), fields.put(b"b", b"3")) == (False, True)
        assert fields.put_all([(b"b", b"4"), (b"c", b"5"), (b"c", b"6")]) == 1
        assert fields == {b"a": b"2", b"b": b"4", b"c": b"6"}

    def test_what_is_taken_is_gone_whatever_its_value(self) -> None:
        fields = PooledDict({b"a": b""})
        assert (fields.take(b"a"), fields.take(b"a"), fields) == (True, False, {})


@pytest.mark.parametrize("make", [PooledSet, PooledDict.fromkeys], ids=["set", "dict"])
class TestPool:
    def test_one_that_nobody_asked_has_none_and_costs_what_pythons_own_does(
        self, make: Make
    ) -> None:
        container = make(numbered(1000))
        own = set if isinstance(container, PooledSet) else dict.fromkeys
        assert container._pool is None
        assert getsizeof(container) - getsizeof(own(numbered(1000))) < 64

    def test_one_that_was_asked_counts_its_pool(self, make: Make) -> None:
        container = make(numbered(1000))
        before = getsizeof(container)
        assert len(container.pool) == 1000
        assert getsizeof(container) == before + 8000

    def test_a_copy_has_one_of_its_own(self, make: Make) -> None:
        container = make(numbered(3))
        assert len(container.pool) == 3
        copy = type(container)(container)
        copy.take(b"0")
        assert (members_of(container.pool), members_of(copy.pool)) == (numbered(3), [b"1", b"2"])

    def test_a_huge_one_is_released_in_slices_with_its_pool(self, make: Make) -> None:
        container = make(numbered(10))
        container.pool.discard(b"9")  # a stale entry, to be released as well
        container.pool.discard(b"8")
        assert [container.release(4) for _ in range(3)] == [True, True, False]
        assert (len(container), len(container.pool)) == (0, 0)

    def test_without_a_pool_as_well(self, make: Make) -> None:
        container = make(numbered(10))
        assert [container.release(5) for _ in range(2)] == [True, False]


NAMES = st.sampled_from(numbered(20))


class Changes(RuleBasedStateMachine):
    """Both, beside Python's own, while members come and go, and at some time are asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.set, self.plain_set = PooledSet(), set[bytes]()
        self.dict, self.plain_dict = PooledDict(), dict[bytes, bytes]()
        self.random = random.Random(SEED).random
        self.value = 0

    def next_value(self) -> bytes:
        self.value += 1
        return b"%d" % self.value

    @rule()
    def ask_the_set(self) -> None:
        assert members_of(self.set.pool) == sorted(self.plain_set)

    @rule()
    def ask_the_dict(self) -> None:
        assert members_of(self.dict.pool) == sorted(self.plain_dict)

    @rule(name=NAMES)
    def put(self, name: bytes) -> None:
        value = self.next_value()
        assert self.set.put(name) == (name not in self.plain_set)
        assert self.dict.put(name, value) == (name not in self.plain_dict)
        self.plain_set.add(name)
        self.plain_dict[name] = value

    @rule(names=st.lists(NAMES))
    def put_all(self, names: list[bytes]) -> None:
        items = [(name, self.next_value()) for name in names]
        assert self.set.put_all(names) == len(set(names) - self.plain_set)
        assert self.dict.put_all(items) == len(set(names) - self.plain_dict.keys())
        self.plain_set.update(names)
        self.plain_dict.update(items)

    @rule(name=NAMES)
    def take(self, name: bytes) -> None:
        assert self.set.take(name) == (name in self.plain_set)
        assert self.dict.take(name) == (name in self.plain_dict)
        self.plain_set.discard(name)
        self.plain_dict.pop(name, None)

    @rule(names=st.lists(NAMES))
    def take_all(self, names: list[bytes]) -> None:
        assert self.set.take_all(names) == len(self.plain_set.intersection(names))
        self.plain_set.difference_update(names)

    @precondition(lambda self: self.plain_set)
    @rule()
    def take_any(self) -> None:
        self.plain_set.remove(self.set.take_any(self.random))

    @invariant()
    def they_hold_what_pythons_own_hold(self) -> None:
        assert (self.set, self.dict) == (self.plain_set, self.plain_dict)

    @invariant()
    def a_pool_that_is_there_has_heard_of_all(self) -> None:
        for container in (self.set, self.dict):
            assert isinstance(container, PooledSet | PooledDict)
            if container._pool is not None:
                assert members_of(container._pool) == sorted(container)


TestChanges = Changes.TestCase
TestChanges.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
