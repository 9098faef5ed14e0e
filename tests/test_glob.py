"""Redis's glob patterns, without Redis's pattern that explodes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memdbd.errors import CommandError
from memdbd.glob import bound_by, matcher
from memdbd.limits import Limits


def matches(pattern: bytes, text: bytes) -> bool:
    return bool(matcher(pattern)(text))


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        # literals
        (b"", [b""], [b"a"]),
        (b"abc", [b"abc"], [b"ab", b"abcd", b"ABC", b"xabc", b"abc\n"]),
        # ? is one byte, any byte
        (b"h?llo", [b"hello", b"h\nllo", b"h\x00llo", b"h\xffllo"], [b"hllo", b"heello"]),
        (b"?", [b"?", b"\n"], [b"", b"ab", "é".encode()]),
        # * is any bytes, none too, unless that were all
        (b"*", [b"a", b"\n\x00\xff"], [b""]),
        (b"h*llo", [b"hllo", b"heeeello", b"h\n\nllo"], [b"hll", b"xhllo", b"hlloo"]),
        (b"a**b", [b"ab", b"axb"], [b"a"]),
        (b"**", [b"a", b"abc"], [b""]),
        (b"a*", [b"a", b"ab"], [b"", b"ba"]),
        (b"*a", [b"a", b"ba", b"aa"], [b"ab", b""]),
        (b"*a*b*", [b"ab", b"xaxbx"], [b"ba", b"a"]),
        (b"a*a", [b"aa", b"aba", b"aaa"], [b"a"]),
        (b"*ab*ab", [b"abab", b"ababab", b"aab_ab"], [b"ab", b"aab"]),
        (b"?*", [b"a", b"ab"], [b""]),
        # sets
        (b"h[ae]llo", [b"hallo", b"hello"], [b"hillo", b"hllo", b"haello"]),
        (b"[^a]", [b"b", b"^", b"\n", b"\xff"], [b"a", b"", b"bb"]),
        (b"[a^]", [b"a", b"^"], [b"b"]),
        (b"[!a]", [b"!", b"a"], [b"b"]),
        (b"[*]", [b"*"], [b"", b"a"]),
        (b"[?]", [b"?"], [b"a"]),
        (b"[a-c]x", [b"ax", b"bx", b"cx"], [b"dx", b"-x"]),
        (b"[z-a]", [b"a", b"m", b"z"], [b"A", b"-"]),
        (b"[^b-d]", [b"a", b"e"], [b"b", b"c", b"d"]),
        (b"[a-cx-z]", [b"b", b"y"], [b"m", b"-"]),
        (b"[-a]", [b"-", b"a"], [b"b"]),
        (b"[\x00-\x1f]", [b"\x00", b"\n", b"\x1f"], [b" "]),
        (b"[\x80-\xff]", [b"\x80", b"\xff"], [b"\x7f"]),
        (b"[.]", [b"."], [b"a"]),
        (b"[&&|~]", [b"&", b"|", b"~"], [b"a"]),
        # a ] behind a - is the end of the range, not of the set
        (b"[a-]", [b"a", b"]", b"^"], [b"-", b"b"]),
        (b"[a-]z]", [b"a", b"z"], [b"-", b"az]", b"b"]),
        # sets that are not closed end with the pattern
        (b"[abc", [b"a", b"c"], [b"[abc", b"d", b""]),
        (b"[a-c", [b"b"], [b"d", b"-"]),
        (b"[a-", [b"a", b"-"], [b"b"]),
        (b"x[", [], [b"x", b"x[", b"xa"]),
        (b"x[^", [b"xa", b"x^"], [b"x"]),
        (b"[^abc", [b"d"], [b"a", b""]),
        # empty sets match nothing, inverted ones anything
        (b"[]", [], [b"", b"]", b"a", b"[]"]),
        (b"[]a", [], [b"a", b"]a", b"]"]),
        (b"[^]", [b"a", b"]", b"\n"], [b"", b"ab"]),
        # escapes
        (rb"\*", [b"*"], [b"", b"a", rb"\*"]),
        (rb"\?\[\]", [b"?[]"], [b"a[]"]),
        (rb"\a", [b"a"], [rb"\a"]),
        (rb"a\\b", [rb"a\b"], [rb"a\\b"]),
        (b"a\\", [b"a\\"], [b"a"]),
        (b"\\\n", [b"\n"], [b"n"]),
        (rb"[\]]", [b"]"], [b"\\", b"a"]),
        (rb"[\^a]", [b"^", b"a"], [b"b", b"\\"]),
        (rb"[a\-c]", [b"a", b"-", b"c"], [b"b", b"\\"]),
        (rb"[\\]", [b"\\"], [b"]"]),
        (b"[\\", [b"\\"], [b"[", b""]),
        (b"[ab\\", [b"a", b"\\"], [b"c"]),
        # what means something to a regular expression, means nothing here
        (b"a.c", [b"a.c"], [b"abc"]),
        (b"(a|b)+$", [b"(a|b)+$"], [b"a", b"aa"]),
        (rb"\d", [b"d"], [b"1"]),
        (b"^a$", [b"^a$"], [b"a"]),
    ],
)
def test_a_pattern_matches_what_redis_says(
    pattern: bytes, yes: list[bytes], no: list[bytes]
) -> None:
    assert [text for text in yes if not matches(pattern, text)] == []
    assert [text for text in no if matches(pattern, text)] == []


def redis_matches(pattern: bytes, text: bytes) -> bool:
    """Redis's ``stringmatchlen`` (``src/util.c``), step by step, for a C whose char is unsigned.

    Left out: ``skipLongerMatches`` and the limit of nesting, which only save time.
    """

    @cache
    def from_here(p: int, t: int) -> bool:
        while p < len(pattern) and t < len(text):
            if pattern[p : p + 1] == b"*":
                while pattern[p + 1 : p + 2] == b"*":
                    p += 1
                if p + 1 == len(pattern):
                    return True
                return any(from_here(p + 1, later) for later in range(t, len(text)))
            if pattern[p : p + 1] == b"[":
                met, p = one_of(p + 1, text[t])
                if not met:
                    return False
            elif pattern[p : p + 1] != b"?":
                if pattern[p : p + 1] == b"\\" and len(pattern) - p >= 2:
                    p += 1
                if pattern[p] != text[t]:
                    return False
            t += 1
            p += 1
            if t == len(text):
                while pattern[p : p + 1] == b"*":
                    p += 1
                break
        return p == len(pattern) and t == len(text)

    def one_of(p: int, byte: int) -> tuple[bool, int]:
        """Whether ``byte`` is of the set whose members start at ``p``; where its ``]`` is."""
        inverted = pattern[p : p + 1] == b"^"
        p += inverted
        met = False
        while True:
            left = len(pattern) - p
            if pattern[p : p + 1] == b"\\" and left >= 2:
                p += 1
                met |= pattern[p] == byte
            elif pattern[p : p + 1] == b"]":
                break
            elif left == 0:
                p -= 1
                break
            elif left >= 3 and pattern[p + 1 : p + 2] == b"-":
                start, end = pattern[p], pattern[p + 2]
                if start > end:
                    start, end = end, start
                p += 2
                met |= start <= byte <= end
            else:
                met |= pattern[p] == byte
            p += 1
        return met != inverted, p

    return from_here(0, 0)


PIECES = st.sampled_from([*b"aabbc-]^[*?\\z\n\xff"])
PATTERNS = st.lists(PIECES, max_size=10).map(bytes)
TEXTS = st.lists(PIECES, max_size=7).map(bytes)


@settings(deadline=None, max_examples=500)
@given(PATTERNS, TEXTS)
def test_a_pattern_matches_what_redis_own_algorithm_matches(pattern: bytes, text: bytes) -> None:
    assert matches(pattern, text) == redis_matches(pattern, text)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_bytes_are_a_pattern(pattern: bytes, text: bytes) -> None:
    matches(pattern, text)


@given(st.binary(max_size=60))
def test_a_text_with_each_byte_escaped_matches_only_itself(text: bytes) -> None:
    pattern = b"".join(b"\\" + text[at : at + 1] for at in range(len(text)))
    assert matches(pattern, text)
    assert not matches(pattern, text + b"x")


@pytest.mark.parametrize(
    "pattern",
    [b"a*" * 10 + b"b", b"a*" * 500 + b"b", b"*a" * 500 + b"*b", b"*?" * 500 + b"b", b"*" * 1000],
)
def test_no_pattern_explodes(pattern: bytes) -> None:
    # Tried with going back, the first of these already takes longer than anyone would wait.
    assert matches(pattern, b"a" * 60_000) == (pattern == b"*" * 1000)
    assert matches(pattern, b"a" * 60_000 + b"b")


@pytest.fixture
def limits() -> Iterator[Limits]:
    limits = Limits()
    bound_by(limits)
    yield limits
    bound_by(Limits())


@pytest.mark.parametrize("longest", [1024, 3])
def test_a_pattern_over_the_limit_is_refused(limits: Limits, longest: int) -> None:
    limits.max_pattern = longest
    assert matches(b"a" * longest, b"a" * longest)
    with pytest.raises(CommandError, match=f"too long, at most {longest} bytes are") as refused:
        matcher(b"a" * (longest + 1))
    assert refused.value.limit == "max_pattern"


def test_one_that_was_not_is_refused_when_the_limit_has_changed(limits: Limits) -> None:
    matcher(b"abcd*")
    limits.max_pattern = 4
    with pytest.raises(CommandError, match="too long"):
        matcher(b"abcd*")
