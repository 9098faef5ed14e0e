"""Entries stay in order, through whatever comes and goes, in blocks of any number."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memdbd.structs import order as module
from memdbd.structs.order import Entry, Order, parted

SMALL = 8  # entries in a block, so that a few make many


@pytest.fixture(autouse=True)
def small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", SMALL)
        yield


def check(order: Order, entries: list[Entry]) -> None:
    """It holds these, and its blocks are neither empty nor too long."""
    assert list(order) == entries
    assert list(order.slice(0, len(entries) + 1)) == entries
    assert order.tops == [scores[-1] for scores in order.scores]
    assert list(map(len, order.scores)) == list(map(len, order.members))
    assert all(0 < len(members) <= SMALL for members in order.members)


def entries_of(rng: Random, scores: int) -> Entry:
    return float(rng.randrange(scores)), b"%d" % rng.randrange(100)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), scores=st.sampled_from((1, 5, 1000)))
def test_it_does_what_a_sorted_list_does(seed: int, scores: int) -> None:
    rng = Random(seed)
    entries = sorted({entries_of(rng, scores) for _ in range(rng.choice((0, 1, 30, 90)))})
    order = Order(entries)
    check(order, entries)
    grows = rng.random()
    for _ in range(80):
        entry = entries_of(rng, scores)
        at = bisect_left(entries, entry)
        assert order.rank(*entry) == at
        assert order.rank(entry[0]) == bisect_left(entries, (entry[0], b""))
        chance = rng.random()
        if chance < 0.1:
            stop = at + rng.choice((0, 1, 2, 20))
            found = list(order.slice(at, stop))
            assert found == list(order.cut(at, stop)) == entries[at:stop]
            del entries[at:stop]
        elif chance < 0.15:
            assert len(order.slice(at, at - 1)) == len(order.cut(at, at)) == 0
            assert len(order.slice(len(entries), len(entries) + 2)) == 0
        elif entry not in entries and rng.random() < grows:
            insort(entries, entry)
            order.add(*entry)
        elif entries and rng.random() >= grows:
            order.remove(*entries.pop(min(at, len(entries) - 1)))
        check(order, entries)


def test_zeroes_of_either_sign_are_the_same() -> None:
    order = Order([(-1.0, b"x"), (-0.0, b"a"), (0.0, b"b")])
    order.add(-0.0, b"c")
    order.remove(0.0, b"a")
    assert [member for _, member in order] == [b"x", b"b", b"c"]
    assert order.rank(0.0) == order.rank(-0.0) == 1


def test_where_all_goes_blocks_go_too() -> None:
    entries = [(float(at), b"") for at in range(100)]
    order = Order(entries)
    Random(1).shuffle(entries)
    while entries:
        order.remove(*entries.pop())
        assert len(order.members) <= 1 + len(entries) // (SMALL // 4)
    assert order.members == []


def test_it_is_released_in_slices() -> None:
    order = Order([(float(at), b"") for at in range(100)])
    order.release(10)
    assert 100 - 10 - SMALL <= len(list(order)) <= 90
    order.release(90)
    assert list(order) == []


def test_entries_are_their_parts() -> None:
    entries = parted([(1.0, b"a"), (2.0, b"b"), (2.0, b"c")])
    assert (entries.members, list(entries.scores)) == ([b"a", b"b", b"c"], [1.0, 2.0, 2.0])
    assert (len(entries), entries[0], entries[-1]) == (3, (1.0, b"a"), (2.0, b"c"))
    assert list(entries[1:]) == [(2.0, b"b"), (2.0, b"c")]
    entries.reverse()
    assert list(entries) == [(2.0, b"c"), (2.0, b"b"), (1.0, b"a")]


def test_what_is_sliced_is_the_callers() -> None:
    order = Order([(float(at), b"") for at in range(2 * SMALL)])
    for stop in (2, SMALL + 2):
        order.slice(0, stop).reverse()
    assert [score for score, _ in order] == list(range(2 * SMALL))
