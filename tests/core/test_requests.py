"""Both twins read the same requests, which are those that the exact reader reads."""

from __future__ import annotations

import importlib.util
import random
import sys
import tracemalloc
from types import ModuleType

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memdbd.core import parsing
from memdbd.dialects.exact import Array
from memdbd.errors import ProtocolError
from memdbd.limits import MIB, Limits

LIMITS = Limits()


def array(*words: bytes) -> bytes:
    """A request as clients send it."""
    strings = [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"*%d\r\n%b" % (len(words), b"".join(strings))


def exactly(data: bytes) -> tuple[list[list[bytes]], int]:
    """The canonical requests at the beginning of ``data`` and their end, by the exact reader."""
    found: list[list[bytes]] = []
    at = 0
    while data.startswith(b"*", at):
        reader = Array(LIMITS, None)
        try:
            end = reader.feed(data, at)
        except ProtocolError:
            break
        if end is None or not is_canonical(data, at, reader.words):
            break
        if reader.words:
            found.append(reader.words)
        at = end
    return found, at


def is_canonical(data: bytes, at: int, words: list[bytes]) -> bool:
    """Whether ``data`` says these words at ``at`` in the only way; ends of strings are any."""
    header = b"*%d\r\n" % len(words)
    if not data.startswith(header, at):
        return False
    at += len(header)
    for word in words:
        string = b"$%d\r\n%b" % (len(word), word)
        if not data.startswith(string, at):
            return False
        at += len(string) + 2
    return True


# What may be taken for something else: types, lengths, and line ends within words.
SPECIAL = [
    *(b"", b"\r\n", b"\n", b"*1\r\n", b"$", b"=7", b"+(=~>%|", b"*123456", b"~12345"),
    *(b"$3\r\nabc\r\n", b"x" * 2047, b"y" * 2048, b"z" * 70_000),
]
WORDS = st.binary(max_size=12) | st.sampled_from(SPECIAL)
REQUESTS = st.lists(st.lists(WORDS, min_size=1, max_size=11), max_size=8)
TOKENS = [
    *(b"*0\r\n", b"*1\r\n", b"*2\r\n", b"*3\r\n", b"*", b"$", b"$0\r\n\r\n", b"$1\r\na\r\n"),
    *(b"$3\r\nSET\r\n", b"$-1\r\n", b"*-1\r\n", b"+a\r\n", b"+OK\r\n", b"-ERR\r\n", b":1\r\n"),
    *(b"=7\r\ntxt:abc\r\n", b"(12345\r\n", b",1.5\r\n", b"#t\r\n", b"#f\r\n", b"_\r\n", b"!3\r\n"),
    *(b"~1\r\n", b">1\r\n", b"%1\r\n", b"|1\r\n", b"~0\r\n", b"%0\r\n", b"$01\r\na\r\n"),
    *(b"$+1\r\na\r\n", b"$1\r\naXY", b"$1\r\na$$", b"$2\r\n", b"*10000\r\n", b"*99999\r\n", b"\r"),
    *(b"*123456789012345678901\r\n", b"$123456789012345678901\r\n", b"\n", b"\r\n", b"PING\r\n"),
    *(b"$9223372036854775807\r\n", b"*9223372036854775807\r\n", b"*4294967295\r\n", b"*1\n$1\na\n"),
    *(b"+" + b"a" * 12 + b"\r\n", b"*2\r\n+GET\r\n$1\r\nk$$", b"$\r\n", b"*\r\n", b"$ 1\r\na\r\n"),
    *(b"*03\r\n", b"1"),
]
GARBAGE = st.lists(st.sampled_from(TOKENS) | st.binary(max_size=4), max_size=12).map(b"".join)


class TestRequests:
    @given(requests=REQUESTS)
    @example(requests=[[b"SET", b"k", b"v"]])
    @example(requests=[[b"GET", b"k"]] * 3)
    @example(requests=[[b"PING"], [b"SET", b"a\r\nb", b"=~"]])
    @example(requests=[[b"w"] * 12_000])
    def test_are_read_whole(self, parser: ModuleType, requests: list[list[bytes]]) -> None:
        data = b"".join(array(*words) for words in requests)
        assert parser.requests(data) == (requests, len(data))

    @given(requests=REQUESTS.filter(bool), data=st.data())
    def test_that_are_cut_off_are_left(
        self, parser: ModuleType, requests: list[list[bytes]], data: st.DataObject
    ) -> None:
        *before, last = (array(*words) for words in requests)
        cut = data.draw(st.integers(0, len(last) - 1))
        whole = b"".join(before)
        assert parser.requests(whole + last[:cut]) == (requests[:-1], len(whole))

    def test_are_cut_off_anywhere(self, parser: ModuleType) -> None:
        requests = [[b"SET", b"key", b"v" * 12], [b"PING"], [b"HSET", b"\r\n", b"", b"*1\r\n"]]
        data = b"".join(array(*words) for words in requests)
        for cut in range(len(data)):
            assert parser.requests(data[:cut]) == exactly(data[:cut])

    @pytest.mark.parametrize(
        "length", [9, 10, 99, 100, 1023, 1024, 2047, 2048, 9999, 10_000, 99_999, 100_000]
    )
    def test_may_have_words_of_any_length(self, parser: ModuleType, length: int) -> None:
        for words in ([b"x" * length], [b"GET", b"x" * length], [b"SET", b"k", b"x" * length]):
            data = array(*words)
            assert parser.requests(data) == ([words], len(data))
            assert parser.requests(data[:-1]) == ([], 0)
            assert parser.requests(data + b"*1\r\n") == ([words], len(data))

    def test_that_are_long_are_not_looked_at_byte_by_byte(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With a value of 64 KiB in which there is anything, that took 440 us."""
        monkeypatch.setattr(parsing, "_read", lambda data: pytest.fail("it was given to hiredis"))
        for size in (1024, 4096, 65_536):
            words = [b"SET", b"k", random.Random(size).randbytes(size).replace(b"\r\n*", b"\r\n.")]
            for count in (1, 2, 16):
                data = array(*words) * count
                assert parsing.requests(data) == ([words] * count, len(data))

    @pytest.mark.parametrize("count", [1, 2, 3, 9, 10, 99, 9999, 10_000, 100_000])
    def test_may_have_any_number_of_words(self, parser: ModuleType, count: int) -> None:
        words = [b"%d" % number for number in range(count)]
        data = array(*words)
        assert parser.requests(data) == ([words], len(data))
        assert parser.requests(data * 2 + data[:-1]) == ([words] * 2, 2 * len(data))

    def test_that_are_empty_are_skipped(self, parser: ModuleType) -> None:
        data = b"*0\r\n" + array(b"a") + b"*0\r\n*0\r\n"
        assert parser.requests(data) == ([[b"a"]], len(data))

    def test_are_lists_of_their_own(self, parser: ModuleType) -> None:
        data = array(b"PING") * 2
        (first, second), _ = parser.requests(data)
        first.append(b"x")
        assert second == [b"PING"]
        assert parser.requests(data)[0] == [[b"PING"], [b"PING"]]

    def test_that_were_read_before_are_not_seen_again(self, parser: ModuleType) -> None:
        for word in (b"get", b"GET", b"gex", b"ge", b"get\0", b"", b"x" * 16, b"x" * 17, b"GET"):
            assert parser.requests(array(word, b"k")) == ([[word, b"k"]], len(array(word, b"k")))


class TestWhatIsOdd:
    @given(data=GARBAGE)
    @example(data=b"~1\r\n$1\r\na\r\n")
    @example(data=array(b"a") + b"#f\r\n")  # which hiredis says like "no more"
    @example(data=b"*1\r\n=5\r\ntxt:a\r\n*2\r\n+a\r\n+b\r\n")
    @example(data=b"$0\r\n\r\n+\r\n+\r\n")
    @example(data=array(b"a") + b"*123456\r\n$1\r\na\r\n")
    @example(data=array(b"a", b"*123456"))
    def test_is_where_it_ends(self, parser: ModuleType, data: bytes) -> None:
        assert parser.requests(data) == exactly(data)

    @given(requests=REQUESTS, tail=GARBAGE)
    def test_behind_others_is_too(
        self, parser: ModuleType, requests: list[list[bytes]], tail: bytes
    ) -> None:
        data = b"".join(array(*words) for words in requests) + tail
        assert parser.requests(data) == exactly(data)

    @given(
        requests=st.lists(st.lists(st.binary(max_size=4), min_size=1, max_size=4), min_size=1),
        data=st.data(),
    )
    def test_by_a_byte_that_is_another(
        self, parser: ModuleType, requests: list[list[bytes]], data: st.DataObject
    ) -> None:
        sent = bytearray(b"".join(array(*words) for words in requests))
        for _ in range(data.draw(st.integers(1, 3))):
            at = data.draw(st.integers(0, len(sent) - 1))
            other = data.draw(
                st.sampled_from(b"*$+(=~>%|:-_#,!0123459\r\n\0a") | st.integers(0, 255)
            )
            match data.draw(st.sampled_from(["replace", "insert", "delete"])):
                case "replace":
                    sent[at] = other
                case "insert":
                    sent.insert(at, other)
                case "delete":
                    del sent[at : at + 1]
                    sent += b"*"
        assert parser.requests(bytes(sent)) == exactly(bytes(sent))

    @pytest.mark.parametrize(
        "header",
        [
            b"*1000000\r\n",
            b"*99999\r\n",
            b"*2147483647\r\n",
            b"*4294967296\r\n",
            b"*9999\r\n" * 7,
            b"~99999999\r\n",
            b"%99999999\r\n",
            b"*1\r\n$2000000000\r\n",
            b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$999999999\r\n",
        ],
    )
    def test_makes_no_room_for_what_is_not_there(self, parser: ModuleType, header: bytes) -> None:
        parser.requests(header)
        tracemalloc.start()
        try:
            assert parser.requests(header + b"$1\r\na\r\n") == ([], 0)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < MIB

    def test_leaves_nothing_for_the_next(self, parser: ModuleType) -> None:
        good = array(b"SET", b"k", b"v") * 3
        for odd in (*TOKENS, array(b"a")[:-3], array(b"a", b"b" * 2000)[:-3]):
            parser.requests(good + odd)
            assert parser.requests(good) == exactly(good)


@pytest.mark.slow
def test_whatever_tokens_there_are_they_read_the_same(parser: ModuleType) -> None:
    chance = random.Random(6)
    for _ in range(200_000):
        data = b"".join(chance.choices(TOKENS, k=chance.randrange(1, 9)))
        assert parser.requests(data) == exactly(data), data


def test_on_windows_no_long_string_comes_to_the_reader_that_takes_it_for_a_short_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert parsing.__file__ is not None
    spec = importlib.util.spec_from_file_location("core_on_windows", parsing.__file__)
    assert spec is not None
    assert spec.loader is not None
    there = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(there)
    monkeypatch.setattr(there, "hiredis", None)  # nothing may be read with it
    monkeypatch.setattr(there, "_reader", None)
    data = array(b"PING") * 2 + b"*1\r\n$4294967296\r\nAB"
    assert there.requests(data) == ([[b"PING"], [b"PING"]], 28)
