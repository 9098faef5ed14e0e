"""A mapping in order of use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memdbd.structs.lru import LRU


def filled(capacity: int | None = None) -> LRU[str, int]:
    lru: LRU[str, int] = LRU(capacity)
    for at, key in enumerate("abc"):
        lru.put(key, at)
    return lru


def test_keys_come_in_order_of_their_last_use_the_oldest_first() -> None:
    lru = filled()
    lru.get("a")
    lru.put("b", 9)
    assert list(lru) == ["c", "a", "b"]


def test_a_put_beyond_the_capacity_drops_the_least_recently_used() -> None:
    lru = filled(capacity=3)
    lru.get("a")
    lru.put("d", 4)
    assert list(lru) == ["c", "a", "d"]
    assert lru.get("b") is None
    assert lru.evictions == 1


def test_another_capacity_drops_what_is_beyond_it_and_makes_room() -> None:
    lru = filled(capacity=3)
    lru.get("a")
    lru.resize(2)
    assert (list(lru), lru.evictions) == (["c", "a"], 1)
    lru.resize(3)
    lru.put("d", 4)
    assert list(lru) == ["c", "a", "d"]


def test_a_put_of_a_key_that_is_there_drops_nothing() -> None:
    lru = filled(capacity=3)
    lru.put("a", 7)
    assert (lru.get("a"), len(lru), lru.evictions) == (7, 3, 0)


def test_a_miss_is_none_and_changes_no_order() -> None:
    lru = filled()
    assert lru.get("x") is None
    assert list(lru) == ["a", "b", "c"]


def test_values_that_are_false_are_values() -> None:
    lru = filled()
    assert lru.get("a") == 0
    assert list(lru) == ["b", "c", "a"]


def test_looking_whether_a_key_is_there_is_no_use() -> None:
    lru = filled()
    assert "a" in lru
    assert "x" not in lru
    assert list(lru) == ["a", "b", "c"]


def test_pop_forgets_a_key_and_is_no_eviction() -> None:
    lru = filled()
    assert lru.pop("b") == 1
    assert lru.pop("b") is None
    assert list(lru) == ["a", "c"]
    assert lru.evictions == 0


def test_release_forgets_so_many_and_says_whether_there_are_more() -> None:
    lru = filled()
    assert (lru.release(2), len(lru)) == (True, 1)
    assert (lru.release(2), len(lru), lru.evictions) == (False, 0, 0)


@pytest.mark.parametrize("capacity", [1, 2, 3])
def test_the_capacity_is_never_exceeded(capacity: int) -> None:
    lru: LRU[int, int] = LRU(capacity)
    for key in range(10):
        lru.put(key, key)
        assert len(lru) == min(key + 1, capacity)
    assert list(lru) == list(range(10 - capacity, 10))


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.sampled_from(["get", "put", "pop"]), st.integers(0, 6)), max_size=40),
)
def test_it_does_what_a_list_in_order_of_use_does(
    capacity: int, steps: list[tuple[str, int]]
) -> None:
    lru: LRU[int, int] = LRU(capacity)
    order: list[int] = []
    for step, key in steps:
        known = key in order
        if step == "put":
            lru.put(key, key * 10)
        else:
            found = lru.get(key) if step == "get" else lru.pop(key)
            assert found == (key * 10 if known else None)
        if known:
            order.remove(key)
        if step == "put" or (step == "get" and known):
            order = [*order, key][-capacity:]
        assert list(lru) == order


def test_weight_bounds_what_is_kept_and_is_counted() -> None:
    lru: LRU[str, int] = LRU(capacity=10, most=100)
    lru.put("a", 1, 60)
    lru.put("b", 2, 30)
    assert (list(lru), lru.weight) == (["a", "b"], 90)
    lru.put("c", 3, 20)
    assert (list(lru), lru.weight, lru.evictions) == (["b", "c"], 50, 1)
    lru.put("b", 4, 10)
    assert (list(lru), lru.weight) == (["c", "b"], 30)
    lru.put("huge", 5, 101)
    assert (list(lru), lru.weight, lru.evictions) == (["c", "b"], 30, 1)
    lru.pop("b")
    assert lru.weight == 20
    assert (lru.release(10), lru.weight) == (False, 0)
