"""Replies of the text dialect to runs of the same command, made all at once: the same lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memdbd.dialects.interface import TextDialect, shares
from memdbd.dialects.text import LineRules
from memdbd.dialects.text_replies import TextEncoder
from memdbd.limits import Limits
from memdbd.replies import OK, PONG, Double, Found, FoundAll, Members, Reply

LONG = b"x" * TextEncoder.CACHED_FROM


TEXT = TextDialect(LineRules({}), TextEncoder(0), {}, {}, Limits())


def many(replies: Sequence[Reply] | FoundAll) -> bytes | None:
    return TextEncoder(0).encode_many(replies)


def one_by_one(replies: Any) -> bytes:
    lines: list[Any] = [TextEncoder(0).encode(reply) for reply in replies]
    return b"".join(lines)


def found(values: Sequence[bytes | None]) -> FoundAll:
    run = [[b"get", b"key %d" % number] for number in range(len(values) + 1)]
    return FoundAll(run, values)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).map(str.encode)
# What would end a string, a line, or what orjson writes between two.
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
        b"\x00",
        b"\x7f",
        b" ",
        b"null",
    ]
)
STRINGS = TEXTS | ODD
INTEGERS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 1])
ANYTHING = st.sampled_from(
    [
        OK,
        PONG,
        True,
        1.5,
        float("inf"),
        Double("1.50"),
        Members([b"a"]),
        [b"a"],
        {b"a": b"b"},
        "a",
        2**64,
    ]
)

# Runs of which each is all of one kind, and must be made at once.
ALIKE = (
    st.lists(st.just(OK), min_size=1, max_size=300)
    | st.lists(INTEGERS, min_size=1)
    | st.lists(INTEGERS | st.none(), min_size=1)
    | st.lists(STRINGS, min_size=1)
    | st.lists(STRINGS | st.none(), min_size=1)
)
MIXED = st.lists(
    STRINGS | INTEGERS | st.none() | st.binary(max_size=3) | ANYTHING | st.just(LONG), min_size=1
)


class TestARun:
    @pytest.mark.parametrize(
        ("replies", "lines"),
        [
            ([OK, OK], b'{"result": "OK"}\n{"result": "OK"}\n'),
            ([1, -2], b'{"result": 1}\n{"result": -2}\n'),
            ([None], b'{"result": null}\n'),
            ([b"a", b"b"], b'{"result": "a"}\n{"result": "b"}\n'),
            ([b"a", None], b'{"result": "a"}\n{"result": null}\n'),
            ([b'"', b""], b'{"result": "\\""}\n{"result": ""}\n'),
            (
                found([b"a", None]),
                b'{"result": "a", "ttl_remaining": null}\n'
                b'{"result": null, "ttl_remaining": null}\n',
            ),
            (
                found([b"\n", b"ab"]),
                b'{"result": "\\n", "ttl_remaining": null}\n'
                b'{"result": "ab", "ttl_remaining": null}\n',
            ),
        ],
    )
    def test_has_exactly_these_lines(self, replies: Any, lines: bytes) -> None:
        assert many(replies) == lines == one_by_one(replies)

    @settings(max_examples=300, deadline=None)
    @given(ALIKE)
    @example([b"\xc3\xbc", None])
    def test_of_one_kind_is_made_at_once(self, replies: list[Reply]) -> None:
        assert many(replies) == one_by_one(replies)

    @settings(deadline=None)
    @given(st.lists(STRINGS | st.none(), min_size=1))
    def test_of_what_was_found_is_made_at_once(self, values: list[bytes | None]) -> None:
        assert many(found(values)) == one_by_one(found(values))

    @settings(max_examples=300, deadline=None)
    @given(MIXED)
    @example([b"\xc3", b"\xbc"])  # which is UTF-8 together
    @example([2**64])
    @example([b"a", PONG])
    @example([OK, PONG])
    def test_of_any_replies_is_right_or_left_to_be_made_one_by_one(
        self, replies: list[Reply]
    ) -> None:
        assert many(replies) in (None, one_by_one(replies))

    @settings(deadline=None)
    @given(st.lists(st.binary(max_size=3) | st.none() | st.just(LONG), min_size=1))
    def test_of_any_values_is_right_or_left_to_be_made_one_by_one(
        self, values: list[bytes | None]
    ) -> None:
        assert many(found(values)) in (None, one_by_one(found(values)))

    @pytest.mark.parametrize("value", [b"\xff", LONG])
    def test_with_bytes_or_long_ones_is_left_to_be_made_one_by_one(self, value: bytes) -> None:
        for values in ([value], [b"a", value], [None, value]):
            assert many(values) is many(found(values)) is None

    def test_leaves_what_is_kept_to_the_read_cache(self) -> None:
        encoder = TextEncoder(2)
        values = [LONG[:-1], LONG]
        assert encoder.encode_many(found(values[:1])) == one_by_one(found(values[:1]))
        assert encoder.encode_many(found(values)) is None
        for each in found(values):
            encoder.encode(each)
        assert encoder.stats()["read_cache_entries"] == 1


class TestSharesOfARun:
    @settings(max_examples=300, deadline=None)
    @given(MIXED, st.integers(1, 3))
    @example([b"a", LONG, None, b"\xff", 1], 1)
    @example([b"a", LONG, None, b"\xff", 1], 2)
    @example([b"a", None, None, b"", b"x"], 2)
    @example([OK] * 8, 3)
    def test_has_the_lines_of_so_many(self, replies: list[Reply], count: int) -> None:
        values = [each for each in replies if each is None or isinstance(each, bytes)]
        for some in (replies, found(values or [None])):
            counts = [count] * (len(some) // count)
            counts += [len(some) % count] if len(some) % count else []
            parts = [one_by_one(share) for share in shares(some, counts)]
            assert b"".join(parts) == one_by_one(some)
            assert TEXT.encode_shares(some, counts) == parts


class TestWhatWasFound:
    def test_is_the_replies_to_the_first_requests(self) -> None:
        run = [[b"get", b"a"], [b"get", b"b"], [b"get", b"c"]]
        all_found = FoundAll(run, [b"x", None])
        assert len(all_found) == 2
        each: list[Found] = list(all_found)
        assert [(one.key, one.value, one.ttl) for one in each] == [
            (b"a", b"x", None),
            (b"b", None, None),
        ]


class TestAList:
    @settings(max_examples=300, deadline=None)
    @given(st.lists(STRINGS) | st.lists(STRINGS | st.none() | INTEGERS))
    def test_is_written_as_people_write_it(self, items: list[Any]) -> None:
        said = [item.decode() if isinstance(item, bytes) else item for item in items]
        line = json.dumps({"result": said}, ensure_ascii=False)
        assert TextEncoder(0).encode(items) == line.encode() + b"\n"

    @settings(max_examples=300, deadline=None)
    @given(st.dictionaries(STRINGS, STRINGS) | st.dictionaries(STRINGS, STRINGS | st.none()))
    def test_of_fields_is_written_so_too(self, fields: dict[bytes, bytes | None]) -> None:
        said = {
            name.decode(): None if value is None else value.decode()
            for name, value in fields.items()
        }
        line = json.dumps({"result": said}, ensure_ascii=False)
        assert TextEncoder(0).encode(fields) == line.encode() + b"\n"
