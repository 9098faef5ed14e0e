"""Both twins read the same plain lines, and write the same lines of JSON."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memdbd.replies import OK, PONG


@pytest.fixture(scope="session")
def twin(text_twin: ModuleType) -> ModuleType:
    return text_twin


USUAL = {b"get": 1 << 30, b"set": 3, b"ping": 2, b"a_name_of_many_letters": 2, b"\x00": 2}

TOKENS = st.sampled_from(
    [
        *(b"get", b"set", b"ping", b"GET", b"a_name_of_many_letters", b"k", b"v", b"two words"),
        *(b" ", b"  ", b"\t", b"\r", b"\v", b"\f", b"\n", b"\n\n", b"\r\n", b"set k v\n"),
        *(b'"', b"'", b"[", b"\x00", b"\xff", b"\x85", b"\xc2\xa0", b" ".join([b"w"] * 20)),
        # Next to a blank or a quote, or with one bit more.
        *(b"\x08", b"\x0e", b"\x1f", b"!", b"#", b"&", b"(", b"\x7f", b"\x8a", b"\xa2", b"\xa7"),
        *(b"a_word_of_24_bytes_in_all", b"\xe2\x80\xa8", b"\x00" * 9),
    ]
)
DATA = st.lists(TOKENS | st.binary(max_size=3), max_size=20).map(b"".join)


def plain(data: bytes, most: int) -> tuple[list[list[bytes]], int]:
    """What ``lines`` is to say, line by line."""
    found, at = [], 0
    for line in data.split(b"\n")[:-1][:most]:
        words = line.split()
        if b'"' in line or b"'" in line or (words and len(words) > USUAL.get(words[0], 0)):
            break
        found += [words] if words else []
        at += len(line) + 1
    return found, at


class TestLines:
    @pytest.mark.parametrize(
        ("data", "requests", "left"),
        [
            (b"get k\n", [[b"get", b"k"]], b""),
            (b" get\tk \r\n\n \r\nping\n", [[b"get", b"k"], [b"ping"]], b""),
            (b"get k", [], b"get k"),
            (b"", [], b""),
            (b"\n", [], b""),
            (b"\nge", [], b"ge"),
            (
                b"set k v\nset k two words\nget k\n",
                [[b"set", b"k", b"v"]],
                b"set k two words\nget k\n",
            ),
            (b"get k\nget 'k'\n", [[b"get", b"k"]], b"get 'k'\n"),
            (b'get k\nget a "\n', [[b"get", b"k"]], b'get a "\n'),
            (b'["get", "k"]\n', [], b'["get", "k"]\n'),
            (b"Get k\n", [], b"Get k\n"),
            (b"get \xff\x00\n", [[b"get", b"\xff\x00"]], b""),
            (b"get" + b" k" * 40 + b"\n", [[b"get"] + [b"k"] * 40], b""),
        ],
    )
    def test_that_are_plain_are_read_up_to_one_that_is_not(
        self, twin: ModuleType, data: bytes, requests: list[list[bytes]], left: bytes
    ) -> None:
        assert twin.lines(data, USUAL, 256) == (requests, len(data) - len(left))

    @settings(max_examples=400, deadline=None)
    @given(data=DATA, most=st.integers(1, 4) | st.just(256))
    @example(data=b"\n\nget k\n", most=2)
    def test_are_those_that_are_plain_one_by_one(
        self, twin: ModuleType, data: bytes, most: int
    ) -> None:
        assert twin.lines(data, USUAL, most) == plain(data, most)

    def test_may_have_any_byte_in_any_place(self, twin: ModuleType) -> None:
        for byte in range(256):
            for at in range(26):
                word = bytearray(b"a_word_of_24_bytes_in_all_")
                word[at] = byte
                data = b"get " + word + b"\nget " + word[at:] + word[:at] + b" k\n"
                assert twin.lines(data, USUAL, 256) == plain(data, 256), data

    def test_are_read_when_they_are_complete(self, twin: ModuleType) -> None:
        data = b"get a_word_of_24_bytes_in_all\r\n\n set key_of_9 value \x00\xff\xe2\x80\xa8\nping"
        for size in range(len(data) + 1):
            assert twin.lines(data[:size], USUAL, 256) == plain(data[:size], 256)

    @pytest.mark.parametrize("words", [15, 16, 17, 1000])
    def test_may_have_any_number_of_words(self, twin: ModuleType, words: int) -> None:
        request = [b"get", *(b"%d" % number for number in range(words - 1))]
        line = b" ".join(request) + b"\n"
        assert twin.lines(b"get k\n" + line * 2, USUAL, 3) == (
            [[b"get", b"k"], request, request],
            6 + 2 * len(line),
        )


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).map(str.encode)
# What would end a string, a line, or what is written between two.
ODD = st.sampled_from(
    [
        b"",
        b'"',
        b"\\",
        b'","',
        b'", "',
        b",\n  ",
        b'",\n  "',
        b"\n",
        b"\x1f",
        b"\x7f",
        b" ",
        b"null",
    ]
)
INTEGERS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 9, 10, 99, 100, -1, -9, -10])
ALIKE = (
    st.lists(st.just(OK), min_size=1, max_size=300)
    | st.lists(INTEGERS, min_size=1)
    | st.lists(TEXTS | ODD, min_size=1)
    | st.lists(TEXTS | ODD | st.none(), min_size=1)
    | st.lists(TEXTS | ODD | st.none() | INTEGERS, min_size=1)
)
END = b', "x": "\\n"}\n'


def said(reply: Any) -> str:
    value = reply.decode() if isinstance(reply, bytes) else "OK" if reply is OK else reply
    return '{"result": ' + json.dumps(value, ensure_ascii=False) + END.decode()


class TestArray:
    @settings(max_examples=400, deadline=None)
    @given(items=st.lists(TEXTS | ODD) | st.lists(TEXTS | ODD | INTEGERS | st.none()))
    @example(items=[-(2**63), 2**63 - 1, 2**63])
    @example(items=[])
    def test_is_as_people_write_it(self, twin: ModuleType, items: list[Any]) -> None:
        made = twin.array(items, 1000)
        said = [item.decode() if isinstance(item, bytes) else item for item in items]
        assert made == json.dumps(said, ensure_ascii=False).encode()
        assert twin.array(tuple(items), 1000) == made

    @settings(deadline=None)
    @given(
        items=st.lists(TEXTS | INTEGERS),
        other=st.sampled_from([OK, True, 1.5, "a", [b"a"], 2**64, b"\xff"]),
    )
    def test_with_anything_else_is_not_made(
        self, twin: ModuleType, items: list[Any], other: Any
    ) -> None:
        assert twin.array([*items, other], 1000) is None
        assert twin.array([other, *items], 1000) is None

    def test_of_halves_of_a_character_is_not_made(self, twin: ModuleType) -> None:
        assert twin.array([b"\xc3", b"\xbc"], 1000) is None

    def test_that_is_large_is_not_made(self, twin: ModuleType) -> None:
        for items in ([b"12", b"345"], [1, b"12345"], [b"12", None, b"345"]):
            assert twin.array(items, 5) is None
            assert twin.array(items, 6) is not None


class TestALine:
    @given(value=TEXTS | ODD, end=TEXTS)
    @example(value=b"\x7f", end=b"")
    def test_of_text_says_it(self, twin: ModuleType, value: bytes, end: bytes) -> None:
        text = json.dumps({"result": value.decode()}, ensure_ascii=False)
        assert twin.line(value, end) == text[:-1].encode() + end

    @pytest.mark.parametrize("value", [b"\xff", b"a\xc3", b"\xed\xa0\x80"])
    def test_of_what_is_no_text_is_not_made(self, twin: ModuleType, value: bytes) -> None:
        assert twin.line(value, END) is None


class TestJson:
    @settings(max_examples=400, deadline=None)
    @given(replies=ALIKE)
    @example(replies=[-(2**63), 2**63 - 1, 2**63])
    @example(replies=[b"\x7f", b"\xc2\x80"])
    def test_of_what_is_alike_is_what_each_says(self, twin: ModuleType, replies: list[Any]) -> None:
        assert twin.json(replies, END, 100) == "".join(map(said, replies)).encode()
        assert twin.json(tuple(replies), END, 100) == twin.json(replies, END, 100)

    @settings(deadline=None)
    @given(replies=ALIKE, other=st.sampled_from([PONG, True, 1.5, "a", [b"a"], 2**64, b"\xff"]))
    def test_of_anything_else_is_not_made(
        self, twin: ModuleType, replies: list[Any], other: Any
    ) -> None:
        assert twin.json([*replies, other], END, 100) is None
        assert twin.json([other, *replies], END, 100) is None

    def test_of_some_that_are_ok_is_not_made(self, twin: ModuleType) -> None:
        for other in (1, None, b"OK"):
            assert twin.json([OK, other], END, 100) is twin.json([other, OK], END, 100) is None

    def test_of_halves_of_a_character_is_not_made(self, twin: ModuleType) -> None:
        assert twin.json([b"\xc3", b"\xbc"], END, 100) is None

    def test_of_long_strings_is_not_made(self, twin: ModuleType) -> None:
        for replies in ([b"12345"], [b"", b"12345"], [None, b"12345"], [1, b"12345"]):
            assert twin.json(replies, END, 5) is None
            assert twin.json(replies, END, 6) is not None


COUNTS = st.lists(st.integers(1, 4), min_size=1, max_size=8) | st.integers(1, 40).map([1].__mul__)
ANY = TEXTS | ODD | INTEGERS | st.none() | st.sampled_from([OK, b"\xff", b"12345" * 9, 2**63])


class TestJsonOfEach:
    @settings(max_examples=400, deadline=None)
    @given(data=st.data(), counts=COUNTS)
    def test_is_what_json_gives_for_so_many(
        self, twin: ModuleType, data: st.DataObject, counts: list[int]
    ) -> None:
        size = sum(counts)
        plain, replies = (st.lists(one, min_size=size, max_size=size) for one in (TEXTS, ANY))
        some = data.draw(plain | replies)
        made = []
        at = 0
        for count in counts:
            made.append(twin.json(some[at : at + count], END, 40))
            at += count
        expected = None if twin.json(some, END, 40) is None else made
        assert twin.json_each(some, counts, END, 40) == expected
        assert twin.json_each(tuple(some), counts, END, 40) == expected

    def test_is_not_made_where_some_are_long(self, twin: ModuleType) -> None:
        for replies in ([b"12345", b"1", b"1"], [b"1", b"1", b"12345"]):
            for counts in ([1, 1, 1], [1, 2], [2, 1], [3]):
                assert twin.json_each(replies, counts, END, 5) is None
                assert twin.json_each(replies, counts, END, 6) is not None

    def test_is_not_made_where_some_are_ok(self, twin: ModuleType) -> None:
        for counts in ([1, 1, 1], [1, 2], [2, 1]):
            for replies in ([OK, 1, 1], [1, OK, OK], [1, 1, OK]):
                assert twin.json_each(replies, counts, END, 100) is None

    @pytest.mark.parametrize("counts", [[4], [1, 3], [3, 1], [1, 2**40], [-1, 4]])
    def test_is_not_made_of_more_than_there_are(self, twin: ModuleType, counts: list[int]) -> None:
        with pytest.raises(ValueError, match="the counts are not those of the replies"):
            twin.json_each([1, 2, 3], counts, END, 100)
