"""What is written of effects is what is read; whatever was not written so, is damaged."""

from __future__ import annotations

from typing import Any

import hiredis
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memdbd.effects import (
    AT_ONCE,
    EARLIEST,
    LATEST,
    NAMES,
    OF_ONE_KEY,
    OF_OTHERS,
    Damaged,
    Effect,
    decode,
    encode,
    touched,
)

WORDS = st.binary(max_size=30) | st.sampled_from([b"SET", b"k", b"", b"\r\n", b"*0\r\n", b"$-1"])
DEADLINES = st.integers(-(2**40), 2**63 - 1)
DRIFTS = st.integers(-(2**63), 2**63)
EFFECTS = st.lists(st.lists(WORDS | DEADLINES, min_size=1, max_size=6).map(tuple), max_size=5)
PLAIN = st.lists(st.lists(WORDS, min_size=1, max_size=6).map(tuple), max_size=5)
MEETING: list[Effect] = [(b"SET", b"k", b"v"), (b"DEL", b"k"), (b"RPUSH", b"l", b"", b"\r\n")]


def written(effects: list[Effect], drift: int) -> list[list[bytes]]:
    """The words of effects as a file has them."""
    return [
        [
            b"%d" % min(max(word + drift, EARLIEST), LATEST) if isinstance(word, int) else word
            for word in effect
        ]
        for effect in effects
    ]


class TestWhatIsWrittenIsRead:
    @given(effects=EFFECTS, drift=DRIFTS)
    def test_word_by_word_with_the_walls_deadlines(self, effects: list[Effect], drift: int) -> None:
        # A SET of three words has no deadline.
        effects = [each for each in effects if each[0] != b"SET" or len(each) != 3]
        assert list(decode(encode(effects, drift))) == written(effects, drift)

    @given(key=WORDS, value=WORDS)
    def test_a_set_too(self, key: bytes, value: bytes) -> None:
        assert list(decode(encode([(b"SET", key, value)], 7))) == [[b"SET", key, value]]

    @pytest.mark.parametrize("words", [0, 1, 100_000])
    def test_however_much_it_is(self, words: int) -> None:
        effect = (b"ZREM", b"k", *(b"%d" % number for number in range(words)))
        assert list(decode(encode([effect] * 3, 0))) == [list(effect)] * 3

    def test_as_resp_that_a_person_can_read(self) -> None:
        effects: list[Effect] = [(b"SET", b"k", b"v"), (b"PEXPIREAT", b"k", 1000)]
        assert encode(effects, 5) == (
            b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n"
            b"*3\r\n$9\r\nPEXPIREAT\r\n$1\r\nk\r\n$4\r\n1005\r\n"
        )


class TestDamaged:
    @given(
        payload=st.binary(max_size=60)
        | st.lists(
            st.sampled_from(
                [
                    b"*",
                    b"$",
                    b"1",
                    b"2",
                    b"3",
                    b"\r\n",
                    b"ab",
                    b"#f",
                    b"%1",
                    b"~1",
                    b">1",
                    b"|1",
                    b"(9",
                    b",1.5",
                    b"_",
                    b"-ERR",
                    b"+OK",
                    b":1",
                    b"=8",
                    b"!2",
                    b"-1",
                ]
            ),
            max_size=12,
        ).map(b"".join)
    )
    @example(b"#f\r\n")
    @example(b"*4294967295\r\n")
    @example(b"%1\r\n*0\r\n+x\r\n")
    @example(b"*1\r\n" * 20)
    @example(b"*1\r\n$-1\r\n")
    @example(b"$1\r\na\r\n")
    def test_garbage_is_no_other_exception_and_no_other_thing(self, payload: bytes) -> None:
        try:
            effects = list(decode(payload))
        except Damaged:
            return
        assert all(effect and all(type(word) is bytes for word in effect) for effect in effects)

    @pytest.mark.parametrize(
        "payload",
        [
            b"#f\r\n",
            b"*0\r\n",
            b"*-1\r\n",
            b"*4294967295\r\n",
            b"*100000000\r\n",
            b"*1\r\n:5\r\n",
            b"*1\r\n$-1\r\n",
            b"*1\r\n*1\r\n$1\r\na\r\n",
            b"*1\r\n-ERR no\r\n",
            b"%1\r\n*0\r\n+x\r\n",
            b">1\r\n$1\r\na\r\n",
            b"$1\r\na\r\n",
            b"DEL k\r\n",
            b"\0",
            b"*1\r\n" * 20,
        ],
    )
    @pytest.mark.parametrize("before", [b"", encode(MEETING, 0)], ids=["alone", "behind others"])
    def test_what_is_no_effect(self, payload: bytes, before: bytes) -> None:
        with pytest.raises(Damaged):
            list(decode(before + payload))

    def test_every_truncation_but_between_effects(self) -> None:
        whole = encode(MEETING, 0)
        ends = {len(encode(MEETING[:number], 0)): number for number in range(len(MEETING) + 1)}
        for size in range(len(whole) + 1):
            if size in ends:
                assert list(decode(whole[:size])) == written(MEETING[: ends[size]], 0)
            else:
                with pytest.raises(Damaged):
                    list(decode(whole[:size]))

    @given(effects=PLAIN, data=st.data())
    def test_every_truncation_of_any(self, effects: list[Effect], data: st.DataObject) -> None:
        whole = encode(effects, 0)
        size = data.draw(st.integers(0, len(whole)))
        ends = {len(encode(effects[:number], 0)): number for number in range(len(effects) + 1)}
        if size in ends:
            assert list(decode(whole[:size])) == written(effects[: ends[size]], 0)
        else:
            with pytest.raises(Damaged):
                list(decode(whole[:size]))

    @given(effects=PLAIN, tail=st.binary(min_size=1, max_size=6))
    @example(effects=[(b"DEL", b"k")], tail=b"\r\n")
    def test_what_stands_behind_is_seen(self, effects: list[Effect], tail: bytes) -> None:
        with pytest.raises(Damaged):
            list(decode(encode(effects, 0) + tail))


class TestTouched:
    @pytest.mark.parametrize("name", sorted(OF_ONE_KEY), ids=bytes.decode)
    def test_the_key_behind_the_name(self, name: bytes) -> None:
        assert list(touched([(name, b"k", b"l", 5)])) == [(0, b"k")]

    @pytest.mark.parametrize(
        ("effect", "places"),
        [
            ((b"CLOSE",), []),
            ((b"SELECT", b"3"), []),
            ((b"FLUSHDB",), [(0, None)]),
            ((b"MOVE", b"k", b"3"), [(0, b"k"), (3, b"k")]),
            ((b"MSET", b"k", b"v", b"l", b"w"), [(0, b"k"), (0, b"l")]),
            ((b"COPY", b"k", b"l", b"DB", b"3", b"REPLACE"), [(0, b"k"), (3, b"l")]),
            ((b"RENAME", b"k", b"l"), [(0, b"k"), (0, b"l")]),
            ((b"SWAPDB", b"3", b"15"), [(3, None), (15, None)]),
        ],
    )
    def test_all_that_the_others_name(
        self, effect: Effect, places: list[tuple[int, bytes | None]]
    ) -> None:
        assert effect[0] in OF_OTHERS
        assert list(touched([effect])) == places

    def test_in_the_database_that_was_selected_last(self) -> None:
        effects: list[Effect] = [
            *((b"DEL", b"a"), (b"SELECT", b"3"), (b"DEL", b"b"), (b"MOVE", b"c", b"5")),
            *((b"FLUSHDB",), (b"SELECT", b"0"), (b"RENAME", b"d", b"e")),
        ]
        assert list(touched(effects)) == [
            *((0, b"a"), (3, b"b"), (3, b"c"), (5, b"c"), (3, None), (0, b"d"), (0, b"e")),
        ]

    def test_as_they_are_read_too(self) -> None:
        effects: list[Effect] = [(b"SELECT", b"3"), (b"PEXPIREAT", b"k", 5)]
        assert list(touched(decode(encode(effects, 0)))) == [(3, b"k")]

    def test_of_every_name_there_is(self) -> None:
        assert {*OF_ONE_KEY, *OF_OTHERS} == NAMES
        assert not OF_ONE_KEY & OF_OTHERS


def test_much_is_read_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    # What the reader has is moved up for each effect that it gives.
    fed: list[int] = []

    class Reader(hiredis.Reader):
        def feed(self, data: Any, *where: Any) -> None:
            fed.append(len(data))
            super().feed(data)

    monkeypatch.setattr("memdbd.effects.hiredis.Reader", Reader)
    effects: list[Effect] = [(b"SET", b"k%d" % number, b"v" * 300) for number in range(10_000)]
    assert list(decode(encode(effects, 0))) == [list(effect) for effect in effects]
    assert max(fed) <= AT_ONCE
