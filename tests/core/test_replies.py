"""Both twins encode the same replies, and effects, in the same way."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memdbd.core.python import CITED, EARLIEST, LATEST, MOST, Effect
from memdbd.replies import NULL_ARRAY, OK, PONG, Status

NULL = b"$-1\r\n"
INT64 = st.integers(-(2**63), 2**63 - 1)
STRINGS = st.binary(max_size=30) | st.sampled_from(
    [
        b"",
        b"\r\n",
        b"x" * 9,
        b"x" * 10,
        b"x" * 99,
        b"x" * 100,
        b"x" * 1023,
        b"x" * 1024,
        b"x" * 2048,
        b"x" * 9999,
    ]
)
EDGES = [0, 9, 10, -1, -9, -10, 10**18, 10**19, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**30]
INTEGERS = INT64 | st.integers() | st.sampled_from(EDGES)
PLAIN = st.one_of(
    st.lists(STRINGS),
    st.lists(INTEGERS),
    st.lists(st.just(OK)),
    st.lists(st.none() | STRINGS),
    st.lists(st.none() | STRINGS | INTEGERS | st.just(OK)),
)


class Bytes(bytes):
    """What is no reply, but nearly."""


class Integer(int):
    """What is no reply, but nearly."""


ODD = [
    *(True, False, 1.5, "text", [b"a"], (), {}, {b"a"}, bytearray(b"a"), memoryview(b"a"), PONG),
    *(NULL_ARRAY, Status("OK"), Bytes(b"a"), Integer(7), object(), ValueError("x")),
]


def encoded(replies: list[Any], null: bytes) -> bytes:
    """What RESP says of plain replies, one by one."""
    return b"".join(
        null
        if reply is None
        else b"+OK\r\n"
        if reply is OK
        else f":{reply}\r\n".encode()
        if isinstance(reply, int)
        else b"$" + str(len(reply)).encode() + b"\r\n" + reply + b"\r\n"
        for reply in replies
    )


class TestReplies:
    @given(replies=PLAIN, null=st.sampled_from([NULL, b"_\r\n"]))
    @example(replies=[], null=NULL)
    @example(replies=EDGES, null=NULL)
    @example(replies=[b"xxx"] * 600, null=NULL)
    @example(replies=[b"x" * 1024] * 9, null=NULL)
    @example(replies=[b"xxx"] * 9 + [b"xx"], null=NULL)
    @example(replies=[b"x" * 1024] * 9 + [b""], null=NULL)
    @example(replies=[None] * 5, null=b"_\r\n")
    def test_are_what_resp_says(self, twin: ModuleType, replies: list[Any], null: bytes) -> None:
        assert twin.resp(replies, null) == encoded(replies, null)
        assert twin.resp(tuple(replies), null) == encoded(replies, null)
        each = [encoded([reply], null) for reply in replies]
        assert twin.each(replies, null) == twin.each(tuple(replies), null) == each

    @pytest.mark.parametrize("odd", ODD, ids=repr)
    @pytest.mark.parametrize("others", [[], [b"a"] * 8, [1] * 8, [OK] * 8, [None] * 8, [b"a", 1]])
    def test_of_another_kind_are_for_others(
        self, twin: ModuleType, odd: object, others: list[Any]
    ) -> None:
        # No reply is one of these; whatever takes it for a string writes it as one.
        is_alike = isinstance(odd, (bytes, bytearray, memoryview))
        allowed = [None, encoded([*others, b"a"], NULL)] if is_alike else [None]
        for at in range(len(others) + 1):
            assert twin.resp([*others[:at], odd, *others[at:]], NULL) in allowed
            assert twin.each([*others[:at], odd, *others[at:]], NULL) is None

    @pytest.mark.parametrize(
        "make",
        [
            lambda size: [b"x" * (size - 11)],  # $262133\r\n…\r\n
            lambda size: [b"x" * (size - 11 - 5), OK],
            lambda size: [b"x" * (size - 11 - 5), None],
            lambda size: [b"x" * (size - 11 - 10 * 7), *[b"x"] * 10],
            lambda size: [*[OK] * 1000, b"x" * (size - 5000 - 11)],
            lambda size: [b"x" * (size - 11 - 23), -(10**18)],
        ],
    )
    def test_of_more_than_is_made_at_once_are_for_others(
        self, twin: ModuleType, make: Callable[[int], list[Any]]
    ) -> None:
        most = twin.resp(make(MOST), NULL)
        assert most is not None
        assert len(most) == MOST
        assert most == encoded(make(MOST), NULL)
        assert twin.resp(make(MOST + 1), NULL) is None
        assert twin.resp(make(10 * MOST), NULL) is None

    @pytest.mark.parametrize(
        ("reply", "size"), [(OK, 5), (None, 5), (7, 4), (b"", 6), (b"x", 7), (b"x" * 1000, 1009)]
    )
    def test_that_are_too_many_are_for_others(
        self, twin: ModuleType, reply: Any, size: int
    ) -> None:
        count = MOST // size
        assert twin.resp([reply] * count, NULL) == encoded([reply] * count, NULL)
        assert twin.resp([reply] * (count + 1), NULL) is None

    @given(replies=st.lists(PLAIN, max_size=4), null=st.sampled_from([NULL, b"_\r\n"]))
    @example(replies=[[b"xxx"] * 300, [], [b"x"] * 10, [EDGES[-1]]], null=NULL)
    def test_are_arrays_too(self, twin: ModuleType, replies: list[list[Any]], null: bytes) -> None:
        expected = [b"*%d\r\n" % len(each) + encoded(each, null) for each in replies]
        assert twin.arrays(replies, null) == twin.arrays(tuple(replies), null) == expected

    @pytest.mark.parametrize("odd", [b"a", None, (b"a",), [1.5], [[b"a"]], [b"x" * MOST]], ids=repr)
    def test_that_are_no_arrays_of_such_are_for_others(self, twin: ModuleType, odd: Any) -> None:
        for replies in ([odd], [[b"a"], odd], [odd, [10**30]], [[10**30], odd]):
            assert twin.arrays(replies, NULL) is None

    @given(strings=st.lists(STRINGS))
    def test_of_strings_have_a_weight(self, twin: ModuleType, strings: list[bytes]) -> None:
        weight = len(b"".join(strings))
        assert twin.weight(strings) == twin.weight(tuple(strings)) == weight
        assert twin.weight([*strings, bytearray(b"abc")]) == weight + 3

    def test_of_a_number_that_is_too_long_are_for_others(self, twin: ModuleType) -> None:
        assert twin.resp([10**4000] * 3, NULL) == encoded([10**4000] * 3, NULL)
        assert twin.resp([10**4000] * 66, NULL) is None
        assert twin.each([7, 10**4000], NULL) == [b":7\r\n", encoded([10**4000], NULL)]


WORDS = st.binary(max_size=30) | st.sampled_from([b"SET", b"k", b"", b"x" * 1023, b"x" * 5000])
DEADLINES = st.integers(-(2**40), 2**63 - 1) | st.integers(-(2**70), 2**70)
DRIFTS = st.integers(-(2**66), 2**66) | st.just(0)
EFFECTS = st.lists(
    st.tuples(st.just(b"SET"), WORDS, WORDS)
    | st.tuples(WORDS, WORDS, WORDS | DEADLINES)
    | st.lists(WORDS | DEADLINES, min_size=1, max_size=12).map(tuple),
    max_size=5,
) | st.lists(  # so many of one name as to be put together at once
    st.tuples(st.just(b"SET"), WORDS, WORDS) | st.tuples(st.just(b"SET"), WORDS, DEADLINES),
    min_size=9,
    max_size=12,
)


class TestEffects:
    @given(effects=EFFECTS, drift=DRIFTS)
    @example(effects=[], drift=0)
    @example(effects=[(b"x" * 2048, b"k", b"v")] * 9, drift=0)
    @example(effects=[(b"SET", b"k", b"v")] * 9, drift=0)
    @example(effects=[(b"SET", b"k", b"v"), (b"DEL", b"k", b"l")] * 9, drift=0)
    @example(effects=[(b"HSET", b"k", b"%d" % each, b"v") for each in range(12)], drift=0)
    @example(effects=[(b"SET", b"k", b"v"), (b"MSET", b"k", b"v", b"l", b"w" * 2048)], drift=0)
    @example(effects=[(b"SET", b"k", b"v", b"PXAT", 5), (b"FLUSHDB",)] * 9, drift=0)
    @example(effects=[(b"PEXPIREAT", b"k", 2**63 - 1), (b"PEXPIREAT", b"k", 0)], drift=1)
    def test_are_arrays_with_deadlines_of_the_wall(
        self, twin: ModuleType, effects: list[Effect], drift: int
    ) -> None:
        expected = b""
        for effect in effects:
            words = [
                word
                if isinstance(word, bytes)
                else str(max(EARLIEST, min(LATEST, word + drift))).encode()
                for word in effect
            ]
            expected += b"*%d\r\n" % len(words) + encoded(words, NULL)
        assert twin.effects(effects, drift) == expected
        assert twin.effects(iter(effects), drift) == expected
        assert twin.effects(tuple(effects), drift) == expected

    @given(effects=EFFECTS, long=st.lists(st.integers(0, 9), max_size=4))
    def test_are_the_same_in_pieces(
        self, twin: ModuleType, effects: list[Effect], long: list[int]
    ) -> None:
        some = list(effects)
        for at in long:
            some.insert(at, (b"SET", b"k%d" % at, bytes(CITED + at)))
        pieces = twin.pieces(some, 7)
        assert b"".join(pieces) == twin.effects(some, 7)
        assert all(pieces) or not some
        assert len(pieces) == 1 + 2 * len(long)

    def test_are_pieces_of_which_long_words_are_not_copied(self, twin: ModuleType) -> None:
        long, short = bytes(CITED), bytes(CITED - 1)
        effects = [(b"SET", b"a", short), (b"HSET", b"k", b"f", long), (b"PEXPIREAT", b"k", 3)]
        pieces = twin.pieces(effects, 0)
        assert [piece is long for piece in pieces] == [False, True, False]
        assert len(twin.pieces(effects[:1], 0)) == 1

    def test_may_have_any_number_of_words(self, twin: ModuleType) -> None:
        effect = (b"ZREM", b"k", *(b"%d" % number for number in range(100_000)))
        assert twin.effects([effect], 0) == b"*100002\r\n" + encoded(list(effect), NULL)

    def test_of_anything_but_bytes_and_deadlines_are_a_mistake(self, twin: ModuleType) -> None:
        for odd in (None, "text", 1.5, [b"k"]):
            with pytest.raises(TypeError):
                twin.effects([(b"SET", b"k", odd)], 0)
            with pytest.raises(TypeError):
                twin.effects([(b"HSET", b"k", b"f", odd)], 0)


def test_both_twins_write_the_same_of_much(twin: ModuleType) -> None:
    chance = random.Random(3)
    replies = [chance.randbytes(chance.randrange(300)) for _ in range(1000)]
    assert twin.resp(replies, NULL) == encoded(replies, NULL)
