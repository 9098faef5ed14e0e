"""A look ahead asks for what is there, whatever there is; and changes nothing."""

from __future__ import annotations

import sys
from random import Random
from types import ModuleType
from typing import Any

import pytest
from core.conftest import loaded

from memdbd.core import python
from memdbd.structs.pooled import PooledDict, PooledSet

LARGE = 40_000  # more keys than a table has that is not looked at


@pytest.fixture(scope="module")
def compiled() -> ModuleType:
    return loaded("_ahead")


def run_of(*keys: bytes) -> list[list[bytes]]:
    return [[b"GET", key] for key in keys]


def keys_of(count: int, name: bytes = b"key") -> list[bytes]:
    return [b"%b:%012d" % (name, number) for number in range(count)]


@pytest.mark.parametrize("kind", [dict, PooledDict])
@pytest.mark.parametrize("count", [LARGE, 5 * LARGE])
def test_most_keys_of_a_large_dict_are_found_at_the_first_look(
    compiled: ModuleType, kind: Any, count: int
) -> None:
    # So it is read as this version of Python has laid it out.
    values = kind({key: key for key in keys_of(count)})
    some = Random(1).sample(keys_of(count), 1000)
    assert 500 < compiled.ahead(values, run_of(*some), 1) <= 1000
    assert compiled.ahead(values, [[b"HGET", b"name", key] for key in some], 2) > 500
    assert compiled.ahead(values, run_of(*keys_of(1000, b"none")), 1) == 0
    for key in keys_of(count)[::2]:
        del values[key]
    assert 0 < compiled.ahead(values, run_of(*keys_of(count)[1::2]), 1) <= count / 2
    assert compiled.ahead(values, run_of(*keys_of(count)[::2]), 1) == 0


@pytest.mark.parametrize("words", [1, 3, 64, 500])
def test_all_keys_of_a_request_are_looked_for(compiled: ModuleType, words: int) -> None:
    keys = keys_of(LARGE)
    values = {key: key for key in keys}
    mset = [word for key in keys[:words] for word in (key, key)]
    found = compiled.ahead(values, run_of(*keys[:words]), 1)
    assert 0.4 * words < found <= words
    assert compiled.ahead(values, [[b"MSET", *mset]], 1, 2) == found
    assert compiled.ahead(values, [[b"MSET", *mset]] * 3, 1, 2) == 3 * found
    assert compiled.ahead(values, [[b"MSET", *mset, b"key"]], 1, 2) == found
    assert compiled.ahead(values, [[b"DEL", *keys[:words]]], 1, 1) == found
    assert compiled.ahead(values, [[b"DEL", *keys[:words]], [b"DEL"]], 1, 1) <= found


@pytest.mark.parametrize("count", [LARGE, 5 * LARGE])
def test_most_members_of_a_large_set_are_found_at_the_first_look(
    compiled: ModuleType, count: int
) -> None:
    members = PooledSet(keys_of(count))
    some = Random(1).sample(keys_of(count), 1000)
    assert 500 < compiled.ahead(members, run_of(*some), 1) <= 1000
    assert compiled.ahead(members, run_of(*keys_of(1000, b"none")), 1) == 0
    members.take_all(keys_of(count)[::2])
    assert 0 < compiled.ahead(members, run_of(*keys_of(count)[1::2]), 1) <= count / 2
    assert compiled.ahead(members, run_of(*keys_of(count)[::2]), 1) == 0


def test_nothing_is_looked_for_in_what_is_small_or_something_else(compiled: ModuleType) -> None:
    run = run_of(*keys_of(9))
    small = dict.fromkeys(keys_of(20_000))
    texts = {str(number): b"" for number in range(LARGE)}
    for where in ({}, small, texts, set(), set(keys_of(9)), list(run), None):
        assert compiled.ahead(where, run, 1) == 0
    large = dict.fromkeys(keys_of(LARGE))
    assert compiled.ahead(large, [], 1) == 0
    assert compiled.ahead(large, tuple(run), 1) == 0


@pytest.mark.parametrize("odd", [(b"GET", b"a"), [b"GET"], [], [b"GET", "text"], None, b"GET"])
def test_it_ends_at_a_request_that_is_none(compiled: ModuleType, odd: Any) -> None:
    values = dict.fromkeys(keys_of(LARGE))
    keys = keys_of(200)
    whole = compiled.ahead(values, run_of(*keys[:64]), 1)
    assert compiled.ahead(values, [*run_of(*keys[:100]), odd, *run_of(*keys)], 1) == whole > 0


def test_nothing_is_changed_and_no_reference_held(compiled: ModuleType) -> None:
    values = {key: b"value of " + key for key in keys_of(LARGE)}
    before = dict(values)
    run = run_of(*[bytes([*key]) for key in keys_of(300)])
    found = list(values.items())[:300]

    def counts() -> list[int]:
        words = [word for pair in (*run, *found) for word in pair]
        return [sys.getrefcount(word) for word in (*words, *run, values, run)]

    first = counts()
    for _ in range(10):
        compiled.ahead(values, run, 1)
    assert counts() == first
    assert values == before


def test_in_python_there_is_nothing_to_be_had_earlier() -> None:
    values = dict.fromkeys(keys_of(LARGE))
    assert python.ahead(values, run_of(*keys_of(9)), 1) == 0
