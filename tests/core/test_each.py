"""What comes by several connections is read at once only where each has sent one request."""

from __future__ import annotations

import random
import re
import tracemalloc

import pytest
from core.test_requests import GARBAGE, TOKENS, WORDS, array, exactly
from hypothesis import example, given
from hypothesis import strategies as st

from memdbd.core.parsing import SHORT, of_each
from memdbd.core.text import line_of_each, lines
from memdbd.limits import MIB

GOOD = [array(b"SET", b"k", b"v"), array(b"SET", b"key", b"")]
REQUEST = st.lists(WORDS, min_size=1, max_size=11).filter(lambda it: len(array(*it)) < SHORT)
NOT_FOR_HIREDIS = re.compile(rb"[*~>%|]\d{5}|=\d+\r")
ALIKE = st.lists(st.tuples(st.just(b"SET"), st.binary(max_size=90), st.binary(max_size=12)))


def check(buffers: list[bytes]) -> None:
    """What is said of these buffers is so, and leaves nothing for others."""
    asked = of_each(buffers)
    if asked is not None:
        found, are_alike = asked
        assert [exactly(data) for data in buffers] == [
            ([words], len(data)) for words, data in zip(found, buffers, strict=True)
        ]
        assert are_alike == (len({(words[0], len(words)) for words in found}) == 1)
    assert of_each(GOOD) == ([[b"SET", b"k", b"v"], [b"SET", b"key", b""]], True)


class TestRequestsOneEach:
    @given(requests=st.lists(REQUEST, min_size=1, max_size=12))
    @example(requests=[[b"GET", b"k"], [b"SET", b"k", b"v"], [b"w"] * 12])
    @example(requests=[[b"GET", b"k"], [b"TTL", b"k"]])
    @example(requests=[[b"SET", b"*1\r\n", b"+(=~>%|"], [b"SET", b"k", b"*"]])
    def test_are_read(self, requests: list[list[bytes]]) -> None:
        buffers = [array(*words) for words in requests]
        check(buffers)
        if NOT_FOR_HIREDIS.search(b"".join(buffers)):
            return
        asked = of_each(buffers)
        assert asked is not None
        assert asked[0] == requests

    @given(requests=ALIKE.filter(bool))
    def test_are_alike(self, requests: list[tuple[bytes, ...]]) -> None:
        buffers = [array(*words) for words in requests]
        if not any(b"*" in data[1:] for data in buffers):
            assert of_each(buffers) == ([list(words) for words in requests], True)
        check(buffers)

    def test_are_lists_of_their_own(self) -> None:
        asked = of_each([array(b"PING")] * 3)
        assert asked is not None
        first, second, _ = asked[0]
        first.append(b"x")
        assert second == [b"PING"]

    def test_are_short(self) -> None:
        size = SHORT - len(array(b"GET", b"", b"")) - 3
        data = array(b"GET", b"x" * size, b"")
        assert len(data) == SHORT - 1
        assert of_each([*GOOD, data]) is not None
        assert of_each([*GOOD, array(b"x" * SHORT)]) is None


class TestWhatIsNot:
    @given(buffers=st.lists(GARBAGE | REQUEST.map(lambda it: array(*it)), min_size=1, max_size=6))
    @example(buffers=[b"*0\r\n", b"*0\r\n"])
    @example(buffers=[b"$1\r\n*\r\n", b"$1\r\n*\r\n"])
    @example(buffers=[b"*1\r\n*0\r\n", b"$0\r\n\r\n"])
    @example(buffers=[b"*2\r\n+a\r\n=5\r\ntxt:a\r\n"])
    # Arrays of arrays, as long as if these were strings of as many bytes.
    @example(buffers=[b"*5\r\n" + b"*0\r\n" * 3 + b"*1\r\n$0\r\n\r\n" * 2])
    @example(buffers=[array(b"a") * 2, b""])
    @example(buffers=[array(b"a")[:-2], b"\r\n" + array(b"b")])
    # Cut where the second goes on as the first would have; the third makes the number right.
    @example(
        buffers=[b"*3\r\n$3\r\nSET\r\n$2\r\n", b"*3\r\n$3\r\nSET\r\n" + array(b"SET", b"k", b"v")]
    )
    def test_is_none_of_them(self, buffers: list[bytes]) -> None:
        check(buffers)

    @given(
        requests=st.lists(st.lists(st.binary(max_size=6), min_size=1, max_size=4), min_size=1),
        data=st.data(),
    )
    def test_but_was_cut_elsewhere(self, requests: list[list[bytes]], data: st.DataObject) -> None:
        """As many buffers as requests, of the same bytes: only one way to cut them is right."""
        sent = b"".join(array(*words) for words in requests)
        cuts = data.draw(
            st.lists(
                st.integers(0, len(sent)), min_size=len(requests) - 1, max_size=len(requests) - 1
            ).map(sorted)
        )
        buffers = [sent[i:j] for i, j in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
        check(buffers)

    @pytest.mark.parametrize("header", [b"*99999\r\n", b"~99999999\r\n", b"*9999\r\n" * 7])
    def test_gets_no_room_for_what_is_not_there(self, header: bytes) -> None:
        of_each([*GOOD, header])
        tracemalloc.start()
        try:
            assert of_each([*GOOD, header]) is None
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < MIB


@pytest.mark.slow
def test_whatever_tokens_there_are_it_is_right() -> None:
    chance = random.Random(8)
    words = [*TOKENS, *GOOD, *GOOD, *GOOD]
    for _ in range(100_000):
        check(
            [
                b"".join(chance.choices(words, k=chance.choice((1, 1, 1, 2, 3, 5))))
                for _ in range(chance.randrange(1, 5))
            ]
        )


USUAL = {b"get": 2, b"set": 3, b"ping": 1}
LINE_PARTS = st.sampled_from(
    [
        b"get",
        b"set",
        b"ping",
        b"k",
        b" ",
        b"  ",
        b"\t",
        b"\r",
        b"\n",
        b"'",
        b'"',
        b"\0",
        b"\xff",
        b"v",
    ]
)
LINES = st.lists(LINE_PARTS, max_size=8).map(b"".join)
PLAIN = st.sampled_from([b"get k\n", b"get  key\r\n", b"set k v\n", b" ping\n", b"get\n"])


class TestLinesOneEach:
    @given(buffers=st.lists(PLAIN, min_size=1, max_size=9))
    @example(buffers=[b"get k\n", b"get\n"])
    def test_are_read(self, buffers: list[bytes]) -> None:
        found = [data.split() for data in buffers]
        are_alike = len({(words[0], len(words)) for words in found}) == 1
        assert line_of_each(buffers, USUAL) == (found, are_alike)

    @given(buffers=st.lists(LINES | PLAIN, min_size=1, max_size=6))
    @example(buffers=[b"get k", b"\nget k\n"])
    @example(buffers=[b"get k\nget k\n", b""])
    @example(buffers=[b"get k\n", b"get k\n", b"get k"])
    @example(buffers=[b"get k l\n"] * 3)
    @example(buffers=[b"set k v\n", b"ping k\n"])
    @example(buffers=[b"GET k\n"])
    @example(buffers=[b"\n", b"get k\n"])
    def test_are_those_that_each_is_by_itself(self, buffers: list[bytes]) -> None:
        one_by_one = [lines(data, USUAL, 9) for data in buffers]
        asked = line_of_each(buffers, USUAL)
        if asked is None:
            assert any(
                len(found) != 1 or end != len(data) or data.count(b"\n") > 1
                for (found, end), data in zip(one_by_one, buffers, strict=True)
            ) or any(b"'" in data or b'"' in data for data in buffers)
        else:
            assert [
                ([words], len(data)) for words, data in zip(asked[0], buffers, strict=True)
            ] == (one_by_one)
