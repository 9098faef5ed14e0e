"""RESP's requests: what is one, however its bytes arrive, and what ends the connection."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from harness import pieces
from hypothesis import example, given
from hypothesis import strategies as st

from memdbd.dialects import exact
from memdbd.dialects.exact import split_words
from memdbd.dialects.resp import RespParser
from memdbd.errors import ProtocolError
from memdbd.limits import MIB, Limits

LIMITS = Limits()


def fed(*arriving: bytes, limits: Limits = LIMITS, wary: bool = False) -> list[list[bytes] | str]:
    """What a parser makes of pieces, an error as its text; nothing is fed after one. ``wary``: of a
    stranger's pieces."""
    parser = RespParser(limits)
    parser.be_wary(limits.unauthenticated_buffer if wary else None)
    requests: list[list[bytes] | str] = []
    for piece in arriving:
        for request in parser.feed_warily(piece) if wary else parser.feed(piece):
            if isinstance(request, ProtocolError):
                return [*requests, str(request)]
            assert isinstance(request, list)
            requests.append(request)
    return requests


def in_bytes(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def array(*words: bytes) -> bytes:
    return b"*%d\r\n%b" % (
        len(words),
        b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words),
    )


WORDS = st.lists(st.binary(max_size=12), min_size=1, max_size=5)
REQUESTS = st.lists(WORDS, max_size=8)


@given(requests=REQUESTS, cuts=st.lists(st.integers(0, 1000), max_size=8))
@example(requests=[[b"set", b"k", b"*1\r\n$4\r\nping\r\n"]] * 3, cuts=[])
def test_arrays_are_requests_however_they_arrive(
    requests: list[list[bytes]], cuts: list[int]
) -> None:
    data = b"".join(array(*words) for words in requests)
    assert fed(data) == requests
    assert fed(*in_bytes(data)) == requests
    assert fed(*pieces(data, cuts)) == requests


@pytest.mark.parametrize(
    ("data", "requests"),
    [
        (b"PING\r\n", [[b"PING"]]),
        (b"  set a \t b \n", [[b"set", b"a", b"b"]]),
        (b"\r\n\r\nPING\r\n", [[b"PING"]]),
        (b"*0\r\n*-1\r\nPING\r\n", [[b"PING"]]),
        (b"set \"a b\" 'c d'\r\n", [[b"set", b"a b", b"c d"]]),
        (array(b"SELECT", b"3") + b"PING\r\n", [[b"SELECT", b"3"], [b"PING"]]),
        (b"set a b\r\n" + array(b"ECHO", b"x"), [[b"set", b"a", b"b"], [b"ECHO", b"x"]]),
        (array(b"a") + b"b\r\n" + array(b"c") + b"d\r\n", [[b"a"], [b"b"], [b"c"], [b"d"]]),
    ],
)
def test_inline_commands_may_stand_between_arrays(data: bytes, requests: list[list[bytes]]) -> None:
    assert fed(data) == requests
    assert fed(*in_bytes(data)) == requests
    for seed in range(20):
        cuts = random.Random(seed).choices(range(len(data)), k=3)
        assert fed(*pieces(data, cuts)) == requests


EXPECTED = "Protocol error: expected '$', got '{}'"
FAULTS = [
    (b"*x\r\n", "Protocol error: invalid multibulk length"),
    (b"*01\r\n", "Protocol error: invalid multibulk length"),
    (b"*-0\r\n", "Protocol error: invalid multibulk length"),
    (b"*-9223372036854775809\r\n", "Protocol error: invalid multibulk length"),
    (b"*4294967295\r\n", "Protocol error: invalid multibulk length"),
    (b"*99999999999999999999\r\n", "Protocol error: invalid multibulk length"),
    (b"*1\r\n:5\r\n", EXPECTED.format(":")),
    (b"*1\r\n+OK\r\n", EXPECTED.format("+")),
    (b"*1\r\n*1\r\n$1\r\na\r\n", EXPECTED.format("*")),
    (b"*1\r\nPING\r\n", EXPECTED.format("P")),
    (b"*1\r\n$x\r\n", "Protocol error: invalid bulk length"),
    (b"*1\r\n$-1\r\n", "Protocol error: invalid bulk length"),
    (b"*1\r\n$%d\r\n" % (LIMITS.max_value + 1), "Protocol error: invalid bulk length"),
    (b'set "a\r\n', "Protocol error: unbalanced quotes in request"),
    (b'set "a"b\r\n', "Protocol error: unbalanced quotes in request"),
    (b"set 'a\r\n", "Protocol error: unbalanced quotes in request"),
    (b"x" * (LIMITS.max_line + 1), "Protocol error: too big inline request"),
    (b"*" + b"1" * (exact.MAX_HEADER + 1), "Protocol error: too big mbulk count string"),
    (b"*1\r\n$" + b"1" * (exact.MAX_HEADER + 1), "Protocol error: too big bulk count string"),
]


@pytest.mark.parametrize(("data", "text"), FAULTS, ids=[repr(data[:20]) for data, _ in FAULTS])
def test_a_fault_is_told_in_redis_words_behind_what_was_whole(data: bytes, text: str) -> None:
    before = array(b"ECHO", b"a")
    assert fed(data) == [text]
    assert fed(before + data) == [[b"ECHO", b"a"], text]
    assert fed(before, data) == [[b"ECHO", b"a"], text]
    if len(data) < 100:
        assert fed(*in_bytes(before + data)) == [[b"ECHO", b"a"], text]


def test_an_unfinished_request_has_an_end() -> None:
    parser = RespParser(Limits(max_request=10 * MIB))
    word = b"$%d\r\n%b\r\n" % (MIB, bytes(MIB))
    assert list(parser.feed(b"*100\r\n")) == []
    for _ in range(9):
        assert list(parser.feed(word)) == []
    (answer,) = parser.feed(word)
    assert str(answer) == "Protocol error: request is too long"
    assert parser.met == "max_request"


@pytest.mark.parametrize("size", [100, 4096, 80_000])
def test_a_fault_far_behind_is_found_too(size: int) -> None:
    good = array(b"set", b"k", b"v" * 100)
    count = size // len(good) + 1
    requests = fed(good * count + good[:-40], b"x" * 38 + b"\r\n" + b"*1\r\n:1\r\n")
    assert requests[:-1] == [
        *[[b"set", b"k", b"v" * 100]] * count,
        [b"set", b"k", b"v" * 62 + b"x" * 38],
    ]
    assert requests[-1] == EXPECTED.format(":")


def means_the_same(
    garbage: bytes, cuts: list[int], limits: Limits = LIMITS, *, wary: bool = False
) -> None:
    whole = fed(garbage, limits=limits, wary=wary)
    assert fed(*in_bytes(garbage), limits=limits, wary=wary) == whole
    assert fed(*pieces(garbage, cuts), limits=limits, wary=wary) == whole


@pytest.mark.parametrize("cut", [0, 1, 3, 20, 100, 139])
def test_an_empty_line_after_much_in_pieces_is_nothing(cut: int) -> None:
    """As ``redis-cli --pipe`` sends one before its last request."""
    good = array(b"set", b"k", b"v" * 100)
    data = good * 500
    requests = fed(data[: -cut or None], data[len(data) - cut :] + b"\r\n" + array(b"ECHO", b"x"))
    assert requests == [[b"set", b"k", b"v" * 100]] * 500 + [[b"ECHO", b"x"]]


def test_a_header_is_taken_at_its_word_only_when_the_words_come() -> None:
    """hiredis would make room for two milliards of words at once, and again for each piece."""
    tracemalloc.start()
    parser = RespParser(LIMITS)
    for piece in in_bytes(b"*2147483647\r\n$1\r\na\r\n$1\r\nb"):
        assert list(parser.feed(piece)) == []
    for kind in b"*~>%|":
        fed(b"*1\r\n%c2000000000\r\n" % kind)
        fed(b"*2\r\n$1\r\na\r\n*1\r\n%c2000000000\r\n" % kind)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_a_long_request_in_small_pieces_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0
    length = exact._length

    def counted(digits: bytes) -> int | None:
        nonlocal read
        read += 1
        return length(digits)

    monkeypatch.setattr(exact, "_length", counted)
    words = [b"%d" % (number % 10) for number in range(2000)]
    assert fed(*in_bytes(array(*words))) == [words]
    assert read == 2001


@given(garbage=st.binary(max_size=80), cuts=st.lists(st.integers(0, 100), max_size=5))
@example(garbage=b"*1\r\n#f\r\n", cuts=[])
@example(garbage=b"#f\r\n", cuts=[])
@example(garbage=b"*2\r\n$1\r\na\r\n_\r\n", cuts=[])
def test_garbage_raises_nothing_and_means_the_same_however_it_arrives(
    garbage: bytes, cuts: list[int]
) -> None:
    means_the_same(garbage, cuts)


RESP_BYTES = st.lists(
    st.sampled_from(
        [b"*", b"$", b":", b"+", b"1", b"2", b"3", b"\r\n", b"a", b"-1", b"PING", b'"']
    ),
    max_size=30,
).map(b"".join)


@given(garbage=RESP_BYTES, cuts=st.lists(st.integers(0, 100), max_size=5))
def test_garbage_that_looks_like_resp_means_the_same_however_it_arrives(
    garbage: bytes, cuts: list[int]
) -> None:
    means_the_same(garbage, cuts)


BOTH_BYTES = st.one_of(RESP_BYTES, st.binary(max_size=80))


@given(garbage=BOTH_BYTES, cuts=st.lists(st.integers(0, 100), max_size=5))
@example(garbage=array(b"a", b"b" * 8), cuts=[])
@example(garbage=array(b"a") * 6, cuts=[])
def test_over_a_limit_it_means_the_same_too(garbage: bytes, cuts: list[int]) -> None:
    small = Limits(max_value=7, max_request=30, max_line=10)
    means_the_same(garbage, cuts, small)
    stranger = Limits(
        unauthenticated_arguments=2,
        unauthenticated_argument=5,
        unauthenticated_buffer=30,
        unauthenticated_requests=5,
    )
    means_the_same(garbage, cuts, stranger, wary=True)


@given(garbage=BOTH_BYTES, cuts=st.lists(st.integers(0, 100), max_size=5))
def test_of_a_stranger_below_the_limits_it_means_what_it_always_does(
    garbage: bytes, cuts: list[int]
) -> None:
    wide = Limits(
        unauthenticated_arguments=2**31,
        unauthenticated_argument=LIMITS.max_value,
        unauthenticated_buffer=LIMITS.max_request,
    )
    assert fed(*pieces(garbage, cuts), limits=wide, wary=True) == fed(garbage)


@pytest.mark.parametrize(
    ("data", "limit", "text"),
    [
        (array(b"a" * 11), "max_value", "Protocol error: invalid bulk length"),
        (array(*[b"a" * 10] * 3), "max_request", "Protocol error: request is too long"),
        (b"x" * 41 + b"\r\n", "max_line", "Protocol error: too big inline request"),
        (b"a bb " + b"x" * 11 + b"\r\n", "max_value", "Protocol error: invalid bulk length"),
        (b'a "' + b"x" * 11 + b'"\r\n', "max_value", "Protocol error: invalid bulk length"),
    ],
)
def test_whole_requests_have_the_same_limits(data: bytes, limit: str, text: str) -> None:
    """hiredis knows none of them."""
    limits = Limits(max_value=10, max_request=50, max_line=40)
    good = array(b"a" * 10)
    parser = RespParser(limits)
    *before, fault = parser.feed(good * 20 + data + good)
    assert before == [[b"a" * 10]] * 20
    assert str(fault) == text
    assert parser.met == limit


def test_a_request_is_too_long_as_soon_as_it_says_so() -> None:
    parser = RespParser(Limits(max_value=10 * MIB, max_request=10 * MIB))
    (fault,) = parser.feed(b"*3\r\n$1\r\na\r\n$10485760\r\n")
    assert str(fault) == "Protocol error: request is too long"


@pytest.mark.parametrize("line", [b"a b c\r\n", b"a b c d e"])
def test_a_line_is_too_long_for_a_request_too(line: bytes) -> None:
    parser = RespParser(Limits(max_request=4))
    (fault,) = parser.feed(line)
    assert str(fault) == "Protocol error: request is too long"
    assert parser.met == "max_request"


def test_a_line_may_be_quoted_to_more_bytes_than_its_words_have() -> None:
    parser = RespParser(Limits(max_value=4))
    assert list(parser.feed(b'"\\x61\\x62\\x63\\x64" "" efgh\r\n')) == [[b"abcd", b"", b"efgh"]]


@pytest.mark.parametrize(
    ("head", "more", "limit"),
    [
        (b"*20\r\n$1000000\r\n", b"x" * 50, "unauthenticated_arguments"),
        (b"*2\r\n$1000000\r\n", b"x" * 50, "unauthenticated_buffer"),
        (b"ECHO ", b"x" * 50, "unauthenticated_buffer"),
    ],
)
def test_what_a_client_has_begun_goes_on_as_that_of_a_stranger_if_it_is_one_then(
    head: bytes, more: bytes, limit: str
) -> None:
    parser = RespParser(LIMITS)
    assert list(parser.feed(array(b"RESET") + head)) == [[b"RESET"]]
    parser.be_wary(50)
    (fault,) = parser.feed_warily(more)
    assert isinstance(fault, ProtocolError)
    assert parser.met == limit


def test_what_a_stranger_has_begun_goes_on_as_that_of_a_client_if_it_is_one_then() -> None:
    parser = RespParser(LIMITS)
    parser.be_wary(20)
    assert list(parser.feed_warily(b"*2\r\n$4\r\nECHO\r\n")) == []
    parser.be_wary(None)
    assert list(parser.feed(b"$40\r\n%b\r\n" % (b"x" * 40))) == [[b"ECHO", b"x" * 40]]


@pytest.mark.parametrize(
    ("data", "missing"),
    [
        (array(b"a"), 0),
        (b"*2\r\n$1\r\na\r\n", 0),
        (b"*2\r\n$1\r\na\r\n$1000", 0),
        (b"*2\r\n$1\r\na\r\n$1000\r\n", 1002),
        (array(b"a") + b"*2\r\n$1000\r\n" + b"x" * 900, 102),
        (b"*2\r\n$1000\r\n" + b"x" * 1000 + b"\r\n", 0),
        (b"ECHO x", 0),
    ],
)
def test_it_says_how_much_is_missing_of_a_word(data: bytes, missing: int) -> None:
    for arriving in ([data], in_bytes(data)):
        parser = RespParser(LIMITS)
        for piece in arriving:
            assert list(parser.feed(piece)) in ([], [[b"a"]])
        assert parser.missing == missing


def test_what_has_become_a_word_is_not_kept_as_it_came() -> None:
    parser = RespParser(LIMITS)
    word = b"$%d\r\n%b\r\n" % (MIB, bytes(MIB))
    tracemalloc.start()
    try:
        assert list(parser.feed(b"*30\r\n")) == []
        for _ in range(20):
            for at in range(0, len(word), 65_536):
                assert list(parser.feed(word[at : at + 65_536])) == []
        assert tracemalloc.get_traced_memory()[0] < 23 * MIB
    finally:
        tracemalloc.stop()


LENGTHS = st.sampled_from([0, 1, exact.FEW_BYTES - 1, exact.FEW_BYTES, 70_000]) | st.integers(0, 9)


@given(
    lengths=st.lists(LENGTHS, min_size=1, max_size=5),
    cuts=st.lists(st.integers(0, 200_000), max_size=12),
)
@example(lengths=[70_000, 70_000], cuts=[70_011, 70_012, 70_013, 70_014])  # about a word's end
@example(lengths=[70_000], cuts=[9, 10, 11, 5000, 5001])  # short pieces between long ones
def test_long_words_are_the_same_in_whatever_pieces_they_arrive(
    lengths: list[int], cuts: list[int]
) -> None:
    words = [random.Random(length).randbytes(length) for length in lengths]
    data = array(*words) + array(b"PING")
    assert fed(*pieces(data, cuts)) == [words, [b"PING"]]


def test_a_long_word_in_small_pieces_takes_no_more_than_its_bytes() -> None:
    """Each piece by itself would take a hundred bytes beside its own two."""
    parser = RespParser(LIMITS)
    assert list(parser.feed(b"*1\r\n$%d\r\n" % MIB)) == []
    tracemalloc.start()
    try:
        for number in range(MIB // 2):
            parser.feed(b"%02d" % (number % 100))
        assert tracemalloc.get_traced_memory()[1] < 3 * MIB
    finally:
        tracemalloc.stop()
    (request,) = parser.feed(b"\r\n")
    assert isinstance(request, list)
    assert list(map(len, request)) == [MIB]


def test_a_long_word_is_copied_once() -> None:
    """Its pieces are there until it is; a buffer of them would be its bytes a third time."""
    parser = RespParser(LIMITS)
    assert list(parser.feed(b"*1\r\n$%d\r\n" % (4 * MIB))) == []
    tracemalloc.start()
    try:
        for _ in range(64):
            parser.feed(bytes(65_536))
        requests = parser.feed(b"\r\n").requests
        assert tracemalloc.get_traced_memory()[1] < 9 * MIB
    finally:
        tracemalloc.stop()
    assert requests == [[bytes(4 * MIB)]]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (rb'"\n\r\t\b\a\x41\q\""', [b'\n\r\t\b\aAq"']),
        (rb"'\'\n'", [b"'\\n"]),
        (b'a"b c"', [b"ab c"]),
        (b'""', [b""]),
        (b"\0 a", [b"\0", b"a"]),
    ],
)
def test_words_are_quoted_as_for_redis_cli(line: bytes, words: list[bytes]) -> None:
    assert split_words(line) == words
