"""Both twins do for a run what a loop over its requests would do, and stop where it is unusual."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memdbd.commands.arguments import integer
from memdbd.core.python import LONG, MOST, NOTHING, Effect
from memdbd.errors import CommandError, ProtocolError
from memdbd.replies import OK

KEYS = st.sampled_from([b"a", b"b", b"c", b"d", b"", b"long key " * 9])
NUMBERS = [
    *(b"0", b"1", b"-1", b"9", b"-9", b"10", b"99", b"1023", b"1024", b"2047", b"2048", b"123456"),
    b"999999999999999999",
    *(b"9223372036854775806", b"9223372036854775807", b"-9223372036854775808", b"-10"),
]
NO_NUMBERS = [
    *(b"", b"-", b"+1", b" 1", b"1 ", b"01", b"-0", b"00", b"1_0", b"1.0", b"0x1", b"text", b"1\0"),
    *(b"9223372036854775808", b"-9223372036854775809", b"1" * 20, b"1" * 5000, b"--1", b"\xb2"),
    *(
        b"-01",
        b"18446744073709551615",
        b"18446744073709551616",
        b"99999999999999999999",
        b"\xd9\xa1",
    ),
]
VALUES = st.one_of(
    st.sampled_from(NUMBERS),
    st.sampled_from(NO_NUMBERS),
    st.binary(max_size=9),
    st.sampled_from([[b"item"], {b"member"}, {b"field": b"value"}, [], {}]),
)
KEYSPACES = st.dictionaries(KEYS, VALUES, max_size=5)

Many = Callable[[dict[bytes, Any], Any, list[Effect]], list[Any]]


def get(values: dict[bytes, Any], words: list[bytes], effects: list[Effect]) -> Any:
    value = values.get(words[1])
    if value is not None and not isinstance(value, bytes):
        raise LookupError
    return value


def set_(values: dict[bytes, Any], words: list[bytes], effects: list[Effect]) -> Any:
    _, key, value = words
    if not isinstance(values.get(key, b""), bytes):
        raise LookupError
    values[key] = value
    effects.append((b"SET", key, value))
    return OK


def incr(values: dict[bytes, Any], words: list[bytes], effects: list[Effect]) -> Any:
    old = values.get(words[1], b"0")
    try:
        number = integer(old) + 1 if isinstance(old, bytes) else None
    except CommandError:
        raise LookupError from None
    if number is None or number == 2**63:
        raise LookupError
    values[words[1]] = b"%d" % number
    effects.append((b"SET", words[1], b"%d" % number))
    return number


ONE = {"get_many": get, "set_many": set_, "incr_many": incr}


def compare(twin: ModuleType, name: str, keyspace: dict[bytes, Any], run: Any) -> None:
    """Do a run at once and one by one, and have all that comes of it the same."""
    values, effects = dict(keyspace), [(b"DEL", b"before")]
    got = getattr(twin, name)(values, run, effects)
    values_by_one: dict[bytes, Any] = dict(keyspace)
    effects_by_one: list[Effect] = [(b"DEL", b"before")]
    replies = []
    for words in run:
        try:
            replies.append(ONE[name](values_by_one, words, effects_by_one))
        except LookupError:
            break
    assert got == replies
    assert list(map(type, got)) == list(map(type, replies))
    assert list(values.items()) == list(values_by_one.items())
    assert effects == [effects_by_one[0], *summed(effects_by_one[1:])]


def summed(sets: list[Effect]) -> list[Effect]:
    """The effect of several SETs: one MSET, and as many changes as there are."""
    if len(sets) < 2:
        return sets
    words = [word for _, key, value in sets for word in (key, value)]
    return [(b"MSET", *words), *[NOTHING] * (len(sets) - 1)]


@given(keyspace=KEYSPACES, keys=st.lists(KEYS, max_size=9))
@example(keyspace={}, keys=[b"a"] * 9)
@example(keyspace={b"a": b"9223372036854775805"}, keys=[b"a"] * 4)
@example(keyspace={b"a": b"-2"}, keys=[b"a"] * 4)
@pytest.mark.parametrize("name", ["get_many", "incr_many"])
def test_of_one_key_each(
    twin: ModuleType, name: str, keyspace: dict[bytes, Any], keys: list[bytes]
) -> None:
    compare(twin, name, keyspace, [[b"name", key] for key in keys])


@given(keyspace=KEYSPACES, pairs=st.lists(st.tuples(KEYS, st.binary(max_size=9)), max_size=9))
@example(keyspace={b"b": [b"item"]}, pairs=[(b"a", b"1"), (b"b", b"2"), (b"c", b"3")])
def test_of_a_key_and_a_value_each(
    twin: ModuleType, keyspace: dict[bytes, Any], pairs: list[tuple[bytes, bytes]]
) -> None:
    compare(twin, "set_many", keyspace, [[b"set", *pair] for pair in pairs])


@pytest.mark.parametrize("value", [*NUMBERS, *NO_NUMBERS])
def test_a_number_is_what_incr_takes_for_one(twin: ModuleType, value: bytes) -> None:
    compare(twin, "incr_many", {b"k": value}, [[b"INCR", b"k"]] * 2)


@pytest.mark.parametrize("size", [LONG - 1, LONG])
def test_a_value_that_is_long_is_for_others(twin: ModuleType, size: int) -> None:
    got = twin.get_many({b"k": b"x" * size}, [[b"GET", b"none"], [b"GET", b"k"]], [])
    assert got == ([None, b"x" * size] if size < LONG else [None])


def test_values_of_more_than_is_encoded_at_once_are_for_others(twin: ModuleType) -> None:
    values = {b"k": b"x" * 1024, b"l": b"x"}
    run = [[b"GET", b"k"]] * (MOST // 1024) + [[b"GET", b"none"], [b"GET", b"l"]]
    assert twin.get_many(values, run, []) == [b"x" * 1024] * (MOST // 1024) + [None]


@pytest.mark.parametrize("name", ONE)
def test_a_run_may_be_any_sequence(twin: ModuleType, name: str) -> None:
    run = [(b"name", b"a", b"1"), (b"name", b"b", b"2")]
    if name != "set_many":
        run = [words[:2] for words in run]  # type: ignore[misc]
    for given_ in (run, tuple(run), [list(words) for words in run]):
        compare(twin, name, {b"a": b"5"}, given_)


@pytest.mark.parametrize("name", ONE)
def test_a_run_of_none_is_nothing(twin: ModuleType, name: str) -> None:
    compare(twin, name, {b"a": b"5"}, [])


def test_what_is_set_is_the_very_bytes_that_came(twin: ModuleType) -> None:
    key, value = b"key %d" % id(twin), b"value %d" % id(twin)
    values: dict[bytes, Any] = {}
    effects: list[Effect] = []
    twin.set_many(values, [[b"SET", key, value]], effects)
    assert values[key] is value
    assert effects[0][2] is value
    assert twin.get_many(values, [[b"GET", key]], [])[0] is value


@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize("words", [[], [b"name"]])
def test_a_request_of_too_few_words_is_a_mistake(
    twin: ModuleType, name: str, words: list[bytes]
) -> None:
    with pytest.raises((IndexError, ValueError)):
        getattr(twin, name)({}, [words], [])


NO_REQUESTS = [ProtocolError("no"), None]
REQUESTS = st.lists(
    st.lists(st.sampled_from([b"GET", b"get", b"SET", b"GE", b"GET\0"]), max_size=3)
    | st.sampled_from(NO_REQUESTS),
    min_size=1,
    max_size=8,
)


@given(requests=REQUESTS, data=st.data())
@example(requests=[[b"GET", b"a"]] * 8, data=None)
def test_requests_are_alike_by_name_and_number_of_words(
    twin: ModuleType, requests: list[Any], data: st.DataObject | None
) -> None:
    at = data.draw(st.integers(0, len(requests) - 1)) if data is not None else 0
    most = data.draw(st.integers(1, 9)) if data is not None else 256
    count = 0
    for request in requests[at : at + most]:
        # Names that are equal need not be the same object.
        if not all(isinstance(each, list) and each for each in (request, requests[at])):
            break
        if (bytes(bytearray(request[0])), len(request)) != (requests[at][0], len(requests[at])):
            break
        count += 1
    assert twin.alike(requests, at, most) == count
    assert twin.alike(tuple(requests), at, most) == count
