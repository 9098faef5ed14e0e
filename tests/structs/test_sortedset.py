"""Members in the order of their scores, whether they are few or many."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterable
from math import copysign, inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from memdbd.structs import sortedset
from memdbd.structs.order import Entry
from memdbd.structs.sortedset import PLAIN, SortedSet

SEED = 4
FEW = 6  # as many as a plain list holds, where a test sets it


@pytest.fixture(params=["plain", "big"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both kinds of order, whatever the number of members."""
    monkeypatch.setattr(sortedset, "PLAIN", PLAIN if request.param == "plain" else 0)


def board(**scores: float) -> SortedSet:
    return SortedSet({member.encode(): score for member, score in scores.items()})


def members(entries: Iterable[Entry]) -> str:
    return b"".join(member for _, member in entries).decode()


@pytest.mark.usefixtures("kind")
class TestOrder:
    def test_it_is_by_score_then_member(self) -> None:
        zset = board(b=2, a=2, d=-inf, c=1.5, e=inf)
        assert list(zset) == [(-inf, b"d"), (1.5, b"c"), (2, b"a"), (2, b"b"), (inf, b"e")]

    def test_members_are_compared_as_bytes(self) -> None:
        zset = SortedSet(dict.fromkeys([b"\xff", b"a\0", b"", b"a", b"B"], 0.0))
        assert [member for _, member in zset] == [b"", b"B", b"a", b"a\0", b"\xff"]

    def test_a_put_says_whether_the_member_is_new(self) -> None:
        zset = board(a=1)
        assert [zset.put(b"b", 2), zset.put(b"b", 3), zset.put(b"b", 3)] == [True, False, False]
        assert list(zset) == [(1, b"a"), (3, b"b")]

    def test_a_put_moves_a_member(self) -> None:
        zset = board(a=1, b=2, c=3)
        assert zset.rank(b"a") == 0
        zset.put(b"a", 2.5)
        assert (zset.rank(b"a"), zset.scores[b"a"], members(list(zset))) == (1, 2.5, "bac")

    def test_an_equal_score_is_no_change_not_even_of_the_sign_of_zero(self) -> None:
        zset = board(a=0.0)
        zset.put(b"a", -0.0)
        assert copysign(1, zset.scores[b"a"]) == 1

    def test_a_zero_of_either_sign_is_found_and_removed(self) -> None:
        zset = board(a=-0.0, b=0.0, c=1)
        assert [zset.rank(member) for member in (b"a", b"b", b"c")] == [0, 1, 2]
        assert zset.span(0.0, -0.0) == (0, 2)
        assert zset.span(-0.0, 1, low_open=True) == (2, 3)
        assert zset.remove(b"a")
        assert members(list(zset)) == "bc"

    def test_what_was_removed_is_gone(self) -> None:
        zset = board(a=1, b=2)
        assert [zset.remove(b"a"), zset.remove(b"a")] == [True, False]
        assert (len(zset), list(zset)) == (1, [(2, b"b")])

    def test_the_rank_of_a_member_that_is_not_there_is_a_key_error(self) -> None:
        with pytest.raises(KeyError):
            board(a=1).rank(b"b")

    def test_an_empty_one_answers_too(self) -> None:
        zset = SortedSet()
        assert (len(zset), list(zset), len(zset.slice(0, 9)), len(zset.cut(0, 9))) == (0, [], 0, 0)
        assert zset.span(-inf, inf) == zset.lex_span(None, None) == zset.lex_span(b"a", b"b")
        assert zset.span(-inf, inf) == (0, 0)


@pytest.mark.usefixtures("kind")
class TestPositions:
    def test_a_slice_is_that_of_the_order(self) -> None:
        zset = board(a=1, b=2, c=3, d=4)
        assert list(zset.slice(1, 3)) == [(2, b"b"), (3, b"c")]
        assert members(zset.slice(2, 99)) == "cd"
        assert members(zset.slice(3, 1)) == ""

    def test_a_reversed_slice_counts_from_the_end(self) -> None:
        zset = board(a=1, b=2, c=3, d=4)
        assert members(zset.slice(0, 1, reverse=True)) == "d"
        assert members(zset.slice(1, 3, reverse=True)) == "cb"
        assert members(zset.slice(2, 99, reverse=True)) == "ba"
        assert members(zset.slice(4, 9, reverse=True)) == ""

    def test_a_slice_is_the_callers(self) -> None:
        zset = board(a=1, b=2)
        zset.slice(0, 2).members.clear()
        zset.slice(0, 2, reverse=True).members.clear()
        assert members(list(zset)) == "ab"

    def test_a_cut_removes_what_it_gives(self) -> None:
        zset = board(a=1, b=2, c=3, d=4)
        assert list(zset.cut(1, 3)) == [(2, b"b"), (3, b"c")]
        assert (list(zset), zset.scores) == ([(1, b"a"), (4, b"d")], {b"a": 1, b"d": 4})
        assert members(zset.cut(0, 99)) == "ad"
        assert len(zset) == 0


@pytest.mark.usefixtures("kind")
class TestSpans:
    @pytest.mark.parametrize(
        ("low", "high", "low_open", "high_open", "found"),
        [
            (2, 3, False, False, "bcd"),
            (2, 3, True, False, "d"),
            (2, 3, False, True, "bc"),
            (2, 3, True, True, ""),
            (2, 2, False, False, "bc"),
            (2, 2, True, False, ""),
            (2.5, 2.6, False, False, ""),
            (-inf, inf, False, False, "abcde"),
            (-inf, inf, True, True, "bcd"),
            (inf, inf, False, False, "e"),
            (inf, -inf, False, False, ""),
            (3, 2, False, False, ""),
        ],
    )
    def test_by_score(
        self, low: float, high: float, low_open: bool, high_open: bool, found: str
    ) -> None:
        zset = board(a=-inf, b=2, c=2, d=3, e=inf)
        assert members(zset.slice(*zset.span(low, high, low_open, high_open))) == found

    @pytest.mark.parametrize(
        ("low", "high", "low_open", "high_open", "found"),
        [
            (None, None, False, False, "abcd"),
            (b"b", b"c", False, False, "bc"),
            (b"b", b"c", True, False, "c"),
            (b"b", b"c", False, True, "b"),
            (b"aa", b"bb", False, False, "b"),
            (b"aa", b"bb", True, True, "b"),
            (None, b"b", False, True, "a"),
            (b"c", None, True, False, "d"),
            (b"z", None, False, False, ""),
            (b"c", b"b", False, False, ""),
        ],
    )
    def test_by_member(
        self, low: bytes | None, high: bytes | None, low_open: bool, high_open: bool, found: str
    ) -> None:
        zset = board(a=7, b=7, c=7, d=7)
        assert members(zset.slice(*zset.lex_span(low, high, low_open, high_open))) == found

    scores = st.sampled_from([-inf, -1.0, -5e-324, -0.0, 0.0, 5e-324, 1.0, 1.0 + 2**-52, inf])

    @given(st.lists(scores, max_size=12), scores, scores, st.booleans(), st.booleans())
    def test_it_holds_what_is_within_and_nothing_else(
        self, scores: list[float], low: float, high: float, low_open: bool, high_open: bool
    ) -> None:
        zset = SortedSet({b"%d" % at: score for at, score in enumerate(scores)})
        found = {member for _, member in zset.slice(*zset.span(low, high, low_open, high_open))}
        assert found == {
            member
            for member, score in zset.scores.items()
            if (low < score or (low == score and not low_open))
            and (score < high or (score == high and not high_open))
        }


@pytest.mark.usefixtures("kind")
class TestWhole:
    def test_a_copy_is_another(self) -> None:
        zset = board(a=1, b=2)
        zset.rank(b"a")
        copy = zset.copy()
        copy.put(b"c", 3)
        zset.remove(b"a")
        assert (members(list(zset)), members(list(copy))) == ("b", "abc")
        assert (zset.scores, copy.scores) == ({b"b": 2}, {b"a": 1, b"b": 2, b"c": 3})

    def test_a_huge_one_is_released_in_slices(self) -> None:
        for zset in (board(a=1, b=2, c=3, d=4, e=5), board(a=1, b=2, c=3, d=4, e=5)):
            assert [zset.release(2) for _ in range(3)] == [True, True, False]
            assert (len(zset), list(zset)) == (0, [])


def test_no_order_is_made_before_it_is_asked_for() -> None:
    zset = SortedSet()
    for at in range(PLAIN):
        zset.put(b"%d" % at, at)
    zset.remove(b"7")
    assert zset._order is None
    assert zset.rank(b"8") == 7


def test_beyond_a_few_thousand_members_there_is_always_one() -> None:
    zset = SortedSet()
    for at in range(PLAIN + 1):
        zset.put(b"%d" % at, at)
    assert zset._order is not None
    assert SortedSet(zset.scores)._order is not None


def test_many_members_are_in_order_through_many_changes() -> None:
    chance = random.Random(SEED)
    scores = {b"%d" % at: float(chance.randrange(100)) for at in range(12_000)}
    zset = SortedSet(dict(scores))
    for _ in range(10_000):
        member = b"%d" % chance.randrange(15_000)
        if chance.random() < 0.5:
            assert zset.remove(member) == (scores.pop(member, None) is not None)
        else:
            score = float(chance.randrange(100))
            assert zset.put(member, score) == (member not in scores)
            scores[member] = score
    order = sorted((score, member) for member, score in scores.items())
    assert list(zset) == order
    assert [zset.rank(member) for _, member in order] == list(range(len(order)))
    assert list(zset.slice(1000, 9000, reverse=True)) == order[::-1][1000:9000]
    assert list(zset.cut(1000, 9000)) == order[1000:9000]
    assert list(zset) == order[:1000] + order[9000:]
    assert zset.scores == {member: score for score, member in zset}


class Model(RuleBasedStateMachine):
    """It does what a sorted list does, back and forth over the number where its order changes."""

    names = st.sampled_from([b"%d" % at for at in range(2 * FEW)])
    scores = st.sampled_from([-inf, -1.5, 0.0, 1.0, 2.0, inf])
    positions = st.integers(0, 2 * FEW)

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(sortedset, "PLAIN", FEW)

    def teardown(self) -> None:
        self.patch.undo()

    @initialize(scores=st.dictionaries(names, scores))
    def start(self, scores: dict[bytes, float]) -> None:
        self.zset = SortedSet(dict(scores))
        self.order = sorted((score, member) for member, score in scores.items())

    @rule(member=names, score=scores)
    def put(self, member: bytes, score: float) -> None:
        rest = [entry for entry in self.order if entry[1] != member]
        assert self.zset.put(member, score) == (len(rest) == len(self.order))
        self.order = sorted([*rest, (score, member)])

    @rule(member=names)
    def remove(self, member: bytes) -> None:
        rest = [entry for entry in self.order if entry[1] != member]
        assert self.zset.remove(member) == (len(rest) < len(self.order))
        self.order = rest

    @rule(start=positions, stop=positions)
    def cut(self, start: int, stop: int) -> None:
        assert list(self.zset.cut(start, stop)) == self.order[start:stop]
        del self.order[start:stop]

    @rule(start=positions, stop=positions)
    def slice(self, start: int, stop: int) -> None:
        assert list(self.zset.slice(start, stop)) == self.order[start:stop]
        assert list(self.zset.slice(start, stop, reverse=True)) == self.order[::-1][start:stop]

    @precondition(lambda self: self.order)
    @rule(at=positions)
    def rank(self, at: int) -> None:
        at %= len(self.order)
        assert self.zset.rank(self.order[at][1]) == at

    @rule(low=scores, high=scores)
    def span(self, low: float, high: float) -> None:
        start, stop = bisect_left(self.order, (low, b"")), bisect_left(self.order, (high, b":"))
        assert self.zset.span(low, high) == (start, max(start, stop))

    @rule()
    def copy(self) -> None:
        self.zset = self.zset.copy()

    @invariant()
    def scores_and_members_agree(self) -> None:
        assert self.zset.scores == {member: score for score, member in self.order}
        assert len(self.zset) == len(self.order)


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=200, deadline=None)


@pytest.mark.usefixtures("kind")
class TestPool:
    def test_it_knows_of_every_change(self) -> None:
        zset = board(a=1, b=2, c=3, d=4)
        assert sorted(zset.pool.page(0, 9)[1]) == [b"a", b"b", b"c", b"d"]
        zset.put(b"e", 5)
        zset.put(b"a", 9)
        zset.remove(b"b")
        zset.remove(b"x")
        zset.cut(0, 1)
        assert sorted(zset.pool.page(0, 9)[1]) == sorted(zset.scores) == [b"a", b"d", b"e"]
        assert len(zset.pool) == 3

    def test_a_copy_has_one_of_its_own(self) -> None:
        zset = board(a=1, b=2)
        assert len(zset.pool) == 2
        copy = zset.copy()
        copy.remove(b"a")
        assert (len(zset.pool), len(copy.pool)) == (2, 1)

    def test_it_is_released_with_the_members(self) -> None:
        zset = board(a=1, b=2, c=3)
        pool = zset.pool
        assert zset.release(2)
        assert len(pool) == 1
