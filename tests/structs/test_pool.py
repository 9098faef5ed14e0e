"""Members in an order: chosen at random, returned page by page while they change."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from math import ceil, comb, sqrt

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from memdbd.structs.pool import Pool

SEED = 4


def with_gaps(count: int) -> tuple[Pool[int], set[int]]:
    """A pool and its members: ``count`` of them, among about a quarter as many stale entries."""
    pool, members = Pool(range(2 * count)), set(range(2 * count))
    chance = random.Random(SEED)
    while len(members) > count:
        pool.discard(gone := chance.choice(sorted(members)))
        members.remove(gone)
    return pool, members


def pages(pool: Pool[int], count: int) -> list[list[int]]:
    cursor, first = pool.page(0, count)
    found = [first]
    while cursor:
        cursor, page = pool.page(cursor, count)
        found.append(page)
    return found


def is_fair(counts: Counter[object], kinds: int) -> bool:
    """Whether each of so many kinds came about as often: chi squared, within 5 deviations."""
    expected = counts.total() / kinds
    chi2 = sum((n - expected) ** 2 / expected for n in counts.values())
    chi2 += (kinds - len(counts)) * expected
    return chi2 < kinds + 5 * sqrt(2 * kinds)


def test_it_holds_what_it_was_made_of_and_what_was_added() -> None:
    pool = Pool("ab")
    pool.add("c")
    assert len(pool) == 3
    assert sorted(pool.page(0, 10)[1]) == ["a", "b", "c"]


def test_what_was_discarded_is_gone_and_may_come_back() -> None:
    pool = Pool("abc")
    pool.discard("b")
    assert (len(pool), sorted(pool.page(0, 10)[1])) == (2, ["a", "c"])
    pool.add("b")
    assert (len(pool), sorted(pool.page(0, 10)[1])) == (3, ["a", "b", "c"])


def test_an_empty_pool_has_no_choice_and_one_page() -> None:
    pool = Pool([1])
    pool.discard(1)
    with pytest.raises(IndexError):
        pool.choice(random.random)
    with pytest.raises(IndexError):
        pool.take(random.random)
    assert pool.page(0, 10) == (0, [])
    assert (pool.sample(3, random.random), len(pool)) == ([], 0)


def test_a_choice_is_uniform_over_those_that_live() -> None:
    chance = random.Random(SEED)
    pool, members = with_gaps(50)
    counts = Counter[object](pool.choice(chance.random) for _ in range(50_000))
    assert counts.keys() == members
    assert is_fair(counts, 50)


def test_a_choice_is_uniform_where_each_meets_stale_entries() -> None:
    chance = random.Random(SEED)
    counts: Counter[object] = Counter()
    for _ in range(10_000):
        pool, members = with_gaps(5)
        counts[pool.choice(chance.random)] += 1
    assert counts.keys() == members
    assert is_fair(counts, 5)


def test_what_is_taken_is_each_member_once() -> None:
    pool, members = with_gaps(100)
    taken = [pool.take(random.random) for _ in members]
    assert (sorted(taken), len(pool)) == (sorted(members), 0)


def test_the_first_taken_is_uniform() -> None:
    chance = random.Random(SEED)
    counts = Counter[object](Pool(range(5)).take(chance.random) for _ in range(10_000))
    assert is_fair(counts, 5)


def test_the_next_is_uniform_and_what_is_taken_then() -> None:
    chance = random.Random(SEED)
    counts: Counter[object] = Counter()
    for _ in range(10_000):
        pool, _ = with_gaps(5)
        member = pool.next(chance.random)
        assert pool.next(chance.random) == member
        assert pool.take(chance.random) == member
        counts[member] += 1
    assert is_fair(counts, 5)


def test_who_comes_behind_the_next_is_as_likely_as_it() -> None:
    chance = random.Random(SEED)
    counts: Counter[object] = Counter()
    for _ in range(10_000):
        pool = Pool([0])
        pool.next(chance.random)
        pool.add(1)
        counts[pool.take(chance.random)] += 1
    assert is_fair(counts, 2)


LONG = b"x" * 9


def few(*, stale: bool = False) -> Pool[bytes]:
    """Some members, one of them long."""
    pool = Pool([b"a", b"b", b"c", b"d", LONG, *([b"gone"] if stale else [])])
    if stale:
        pool.discard(b"gone")
    return pool


@pytest.mark.parametrize("stale", [False, True])
@pytest.mark.parametrize(("long", "room"), [(9, 100), (100, 8), (100, 100), (100, 10), (1, 100)])
def test_what_is_taken_at_once_is_what_is_taken_one_by_one(
    long: int, room: int, *, stale: bool
) -> None:
    for seed in range(200):
        one, other = few(stale=stale), few(stale=stale)
        chance, again = random.Random(seed), random.Random(seed)
        taken = one.take_short(4, chance.random, long, room)
        left = room - sum(map(len, taken))
        assert taken == [other.take(again.random) for _ in taken]
        if len(taken) < 4:
            following = other.next(again.random)
            assert one.next(chance.random) == following
            assert len(following) >= long or len(following) > left
        assert one.page(0, 9) == other.page(0, 9)  # in the same places
        assert one.take(random.Random(1).random) == other.take(random.Random(1).random)


def test_nothing_is_taken_at_once_of_nothing() -> None:
    assert Pool[bytes]().take_short(0, random.random, 9, 9) == []


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5])
def test_each_sample_of_a_size_is_as_likely(count: int) -> None:
    chance = random.Random(SEED)
    pool = Pool(range(6))
    pool.discard(2)
    counts = Counter[object](frozenset(pool.sample(count, chance.random)) for _ in range(10_000))
    assert all(isinstance(kind, frozenset) and len(kind - {2}) == count for kind in counts)
    assert is_fair(counts, comb(5, count))


def test_a_sample_larger_than_the_pool_is_all_of_it() -> None:
    pool, members = with_gaps(20)
    assert sorted(pool.sample(21, random.random)) == sorted(members)


@pytest.mark.parametrize("count", [1, 3, 7, 20, 1000])
def test_pages_return_each_member_once_where_nothing_changes(count: int) -> None:
    pool, members = with_gaps(40)
    found = pages(pool, count)
    assert sorted(member for page in found for member in page) == sorted(members)
    assert all(len(page) <= count for page in found)


@pytest.mark.parametrize("cursor", [11, 10**20])
def test_a_cursor_beyond_the_end_is_the_end(cursor: int) -> None:
    assert Pool(range(10)).page(cursor, 4) == (6, [6, 7, 8, 9])


def test_a_huge_pool_is_released_in_slices() -> None:
    pool = Pool(range(10))
    assert [pool.release(4) for _ in range(3)] == [True, True, False]
    assert pool.page(0, 10) == (0, [])


def behind_the_hand(entries: list[int], stale: set[int], hand: int) -> int:
    """A living one that the hand has just looked at: it will take a whole round to come back."""
    return next(e for e in entries[hand:] + entries[:hand][::-1] if e not in stale)


def at_the_bottom(entries: list[int], stale: set[int], hand: int) -> int:
    return next(e for e in entries if e not in stale)


@pytest.mark.parametrize("choose", [behind_the_hand, at_the_bottom])
def test_no_order_of_removals_leaves_more_stale_than_living(
    choose: Callable[[list[int], set[int], int], int],
) -> None:
    pool = Pool(range(1000))
    while len(pool) > 10:
        pool.discard(choose(pool._entries, pool._stale, pool._hand))
        assert len(pool._stale) <= len(pool)


class Scan:
    """An iteration with pages of one size: what it has yet to return, and may take."""

    def __init__(self, members: set[int], entries: int, size: int) -> None:
        self.cursor = 0
        self.missing = set(members)
        self.size = size
        self.pages_left = max(1, ceil(entries / size))


class Changes(RuleBasedStateMachine):
    """Any number of iterations while members come, go, come back, are chosen and taken."""

    def __init__(self) -> None:
        super().__init__()
        self.members = set(range(12))
        self.pool = Pool(self.members)
        self.scans: list[Scan] = []
        self.random = random.Random(SEED).random

    def gone(self, member: int) -> None:
        self.members.remove(member)
        for scan in self.scans:
            scan.missing.discard(member)

    @rule(member=st.integers(0, 30))
    def add_or_discard(self, member: int) -> None:
        if member in self.members:
            self.pool.discard(member)
            self.gone(member)
        else:
            self.pool.add(member)
            self.members.add(member)

    @precondition(lambda self: self.members)
    @rule()
    def choose(self) -> None:
        assert self.pool.choice(self.random) in self.members

    @precondition(lambda self: self.members)
    @rule()
    def take(self) -> None:
        member = self.pool.take(self.random)
        assert member in self.members
        self.gone(member)

    @precondition(lambda self: self.members)
    @rule()
    def say_next(self) -> None:
        assert self.pool.next(self.random) in self.members

    @rule(count=st.integers(0, 10))
    def sample(self, count: int) -> None:
        sample = self.pool.sample(count, self.random)
        assert len(set(sample)) == len(sample) == min(count, len(self.members))
        assert self.members >= set(sample)

    @rule(size=st.integers(1, 8))
    def start(self, size: int) -> None:
        entries = len(self.pool._entries)
        self.scans.append(Scan(self.members, entries, size))
        self.go_on(self.scans[-1])

    @precondition(lambda self: self.scans)
    @rule(data=st.data())
    def go_on_with_one(self, data: st.DataObject) -> None:
        self.go_on(data.draw(st.sampled_from(self.scans)))

    def go_on(self, scan: Scan) -> None:
        scan.cursor, page = self.pool.page(scan.cursor, scan.size)
        assert len(page) <= scan.size
        assert self.members >= set(page)
        scan.missing -= set(page)
        scan.pages_left -= 1
        assert scan.pages_left >= 0
        if not scan.cursor:
            assert not scan.missing, "there throughout, and not returned"
            self.scans.remove(scan)

    @invariant()
    def it_holds_the_members_and_few_stale_entries(self) -> None:
        assert len(self.pool) == len(self.members)
        assert set(self.pool._entries) == self.members | self.pool._stale
        assert len(set(self.pool._entries)) == len(self.pool._entries)
        assert len(self.pool._stale) <= 3 * len(self.members)

    def teardown(self) -> None:
        for scan in list(self.scans):
            while scan in self.scans:
                self.go_on(scan)


TestChanges = Changes.TestCase
TestChanges.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
