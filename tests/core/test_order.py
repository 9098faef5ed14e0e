"""Both twins put entries in their places and take them out as a sorted list does, and a run of ZADD
is done as its requests one by one."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from math import inf
from types import ModuleType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memdbd.core.python import LONG
from memdbd.dialects.resp_replies import ENCODERS

SMALL = 8  # entries in a block, so that a few make many
Entry = tuple[float, bytes]

SCORES = st.sampled_from([-inf, -1.5, -5e-324, -0.0, 0.0, 5e-324, 1.0, 1.0 + 2**-52, 2.0, inf])
MEMBERS = st.sampled_from(
    [b"", b"\0", b"a", b"a\0", b"aa", b"b", b"\xff", b"\x7f", *(b"%d" % at for at in range(40))]
)
ENTRIES = st.tuples(SCORES, MEMBERS)
TIED = st.tuples(st.sampled_from([1.0, 2.0]), MEMBERS)  # of which several blocks have one score


def listed(blocks: Any) -> list[Entry]:
    """What is in it, which is in blocks as it should be."""
    assert all(0 < len(members) <= SMALL for members in blocks.members)
    assert list(map(len, blocks.scores)) == list(map(len, blocks.members))
    assert blocks.tops == [scores[-1] for scores in blocks.scores]
    assert {type(top) for top in blocks.tops} <= {float}
    starts = [sum(map(len, blocks.members[:at])) for at in range(len(blocks.members) + 1)]
    assert blocks.starts == starts[: len(blocks.starts)]
    return [
        entry
        for scores, members in zip(blocks.scores, blocks.members, strict=True)
        for entry in zip(scores, members, strict=True)
    ]


def shown(entries: Sequence[Entry]) -> list[tuple[str, bytes]]:
    return [(score.hex(), member) for score, member in entries]  # in which zeroes have a sign


def start_at(blocks: Any, known: int) -> None:
    """Have the positions of the first blocks known, as they are where somebody has asked."""
    sizes = list(map(len, blocks.members[:known]))
    blocks.starts[:] = [sum(sizes[:at]) for at in range(len(sizes) + 1)]


@settings(max_examples=200, deadline=None)
@given(
    first=st.lists(ENTRIES, max_size=60, unique=True)
    | st.lists(TIED, min_size=40, max_size=60, unique=True),
    changes=st.lists(ENTRIES | TIED, max_size=60),
    known=st.integers(0, 9),
)
def test_entries_come_and_go_as_in_a_sorted_list(
    order_twin: ModuleType, first: list[Entry], changes: list[Entry], known: int
) -> None:
    blocks, entries = order_twin.Blocks(SMALL), list[Entry]()
    for entry in first + changes:
        if entry in entries:
            at = bisect_left(entries, entry)
            there = entries.pop(at)
            assert blocks.remove(entry[0], bytes(bytearray(entry[1]))) is there[1]
        else:
            at = bisect_left(entries, entry)
            insort(entries, entry)
            blocks.add(*entry)
        assert shown(listed(blocks)) == shown(entries)
        start_at(blocks, known)


@pytest.mark.parametrize("downwards", [False, True])
def test_where_all_goes_blocks_go_too(order_twin: ModuleType, downwards: bool) -> None:
    blocks = order_twin.Blocks(SMALL)
    entries = [(float(at // 3), b"%02d" % at) for at in range(90)]
    for entry in entries:
        blocks.add(*entry)
    if downwards:
        entries.reverse()
    while entries:
        blocks.remove(*entries.pop())
        assert listed(blocks) == sorted(entries)
        assert len(blocks.members) <= 1 + len(entries) // (SMALL // 4)
    assert blocks.members == blocks.tops == blocks.scores == []


def test_what_is_not_there_cannot_be_taken_out(order_twin: ModuleType) -> None:
    blocks = order_twin.Blocks(SMALL)
    with pytest.raises(IndexError):
        blocks.remove(1.0, b"a")
    blocks.add(1.0, b"a")
    with pytest.raises(IndexError):
        blocks.remove(2.0, b"a")
    assert listed(blocks) == [(1.0, b"a")]


# ZADD

RAWS = st.sampled_from([b"0", b"-0", b"1", b"7", b"007", b"1.0", b"-3", b"inf", b"+7", b"1e3"])
PAIRS = st.lists(st.tuples(RAWS, MEMBERS), max_size=30)


@settings(max_examples=200, deadline=None)
@given(there=st.dictionaries(MEMBERS, SCORES, max_size=30), run=PAIRS, ordered=st.booleans())
@example(there={}, run=[(b"1", b"a")] * 3, ordered=True)
@example(there={b"a": 0.0}, run=[(b"-0", b"a"), (b"1", b"a"), (b"-0", b"a")], ordered=True)
def test_a_run_is_its_requests_one_by_one(
    order_twin: ModuleType,
    there: dict[bytes, float],
    run: list[tuple[bytes, bytes]],
    ordered: bool,
) -> None:
    scores = dict(there)
    blocks = order_twin.Blocks(SMALL) if ordered else None
    if blocks is not None:
        for member, score in there.items():
            blocks.add(score, member)
    replies, effect = [], [b"ZADD", b"key"]
    for raw, member in run:
        old, score = there.get(member), float(raw)
        replies.append(1 if old is None else 0)
        if old != score:
            there[member] = score
            effect += (raw if raw.isdigit() else b"%r" % score, member)
    got = [b"ZADD", b"key"]
    requests = [[b"zadd", b"key", *pair] for pair in run]
    done = order_twin.put_many(scores, blocks, requests, [float(raw) for raw, _ in run], got)
    assert (done, got) == (replies, effect)
    assert shown([(score, member) for member, score in scores.items()]) == shown(
        [(score, member) for member, score in there.items()]
    )
    if blocks is not None:
        assert shown(listed(blocks)) == shown(
            sorted((score, member) for member, score in there.items())
        )


def test_only_what_has_a_score_is_done(order_twin: ModuleType) -> None:
    scores: dict[bytes, float] = {}
    run = [(b"zadd", b"key", b"1", b"a"), (b"zadd", b"key", b"x", b"b")]
    for requests in (run, tuple(run), [list(words) for words in run]):
        effect: list[bytes] = []
        assert len(order_twin.put_many(scores, None, requests, [1.0], effect)) == 1
        assert scores == {b"a": 1.0}
        assert order_twin.put_many(scores, None, requests, [], effect) == []


def test_a_member_that_moves_stays_the_very_one(order_twin: ModuleType) -> None:
    """So that there are not two of it, one in the dict and one in the order."""
    member, again = (bytes(bytearray(b"member")) for _ in range(2))
    scores: dict[bytes, float] = {}
    blocks = order_twin.Blocks(SMALL)
    for raw, name in ((b"1", member), (b"2", again)):
        order_twin.put_many(scores, blocks, [[b"", b"", raw, name]], [float(raw)], [])
    assert blocks.members[0][0] is member
    assert next(iter(scores)) is member


# Replies

NUMBERS = st.sampled_from([0.0, -0.0, 1.0, -7.0, 0.1, 1e15, 1e16, 1e17, 2.0**62, 1e300, inf, -inf])
POPPED = st.one_of(
    st.lists(st.nothing()),
    st.tuples(MEMBERS, NUMBERS | st.floats(allow_nan=False) | st.integers().map(float)).map(list),
)


@given(replies=st.lists(POPPED, min_size=1), version=st.sampled_from((2, 3)))
def test_what_was_popped_is_encoded_as_any_list(
    order_twin: ModuleType, replies: list[Any], version: int
) -> None:
    encoded = [ENCODERS[version].encode(reply) for reply in replies]
    assert order_twin.popped(replies, version) == encoded
    assert order_twin.popped(tuple(replies), version) == encoded


@pytest.mark.parametrize(
    "reply",
    [None, b"a", 1, (b"a", 1.0), [b"a"], [b"a", 1], [1.0, b"a"], [b"a", 1.0, b"b"], [b"a", [1.0]]],
)
def test_other_replies_are_for_others(order_twin: ModuleType, reply: Any) -> None:
    assert order_twin.popped([[b"a", 1.0], reply], 2) is None


@pytest.mark.parametrize("size", [LONG - 1, LONG])
def test_a_long_member_is_for_others(order_twin: ModuleType, size: int) -> None:
    assert (order_twin.popped([[b"x" * size, 1.0]], 2) is None) is (size == LONG)
