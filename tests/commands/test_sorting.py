"""SORT: the elements of a list, set or sorted set in another order, as redis-server has it."""

from __future__ import annotations

import pytest
from helpers_pure import World, conversation, refusal

from memdbd.commands.access import Access
from memdbd.commands.table import COMMANDS
from memdbd.permissions import Pattern, Permissions, Selector

NOT_NUMBERS = "ERR One or more scores can't be converted into double"


@pytest.fixture
def world() -> World:
    """``l`` is the list ``b c a``, ``s`` its elements as a set, ``z`` as a sorted set ``c a b``;
    they weigh 3, 2 and 1 in strings and hashes; ``n`` is a list of numbers."""
    world = World()
    world.run(b"rpush", b"l", b"b", b"c", b"a")
    world.run(b"sadd", b"s", b"b", b"c", b"a")
    world.run(b"zadd", b"z", b"1", b"c", b"2", b"a", b"3", b"b")
    world.run(b"rpush", b"n", b"10", b"9", b"-1.5", b"1e1")
    for name, weight in (b"a", b"3"), (b"b", b"2"), (b"c", b"1"):
        world.run(b"set", b"w_" + name, weight)
        world.run(b"hset", b"h_" + name, b"f", weight)
    world.heard()
    return world


def ordered(world: World, request: bytes) -> bytes:
    """The elements that answer, with a blank between."""
    found = world.run(b"sort", *request.split())
    assert found == world.run(b"sort_ro", *request.split())
    return b" ".join(b"(nil)" if item is None else item for item in found)


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        # By number, and among equals by their bytes
        (b"n", b"-1.5 9 10 1e1"),
        (b"n DESC", b"1e1 10 9 -1.5"),
        (b"n DESC ASC", b"-1.5 9 10 1e1"),
        (b"n ALPHA", b"-1.5 10 1e1 9"),
        (b"l ALPHA", b"a b c"),
        (b"s alpha desc", b"c b a"),
        (b"z ALPHA", b"a b c"),
        (b"missing", b""),
        # By what other keys hold; what holds nothing weighs 0, and less than any text
        (b"l BY w_*", b"c b a"),
        (b"l BY w_* DESC", b"a b c"),
        (b"s BY h_*->f", b"c b a"),
        (b"z BY h_*->f ALPHA DESC", b"a b c"),
        (b"l BY missing_*", b"a b c"),
        (b"l BY missing_* DESC", b"c b a"),
        (b"l BY w_a* ALPHA", b"b c a"),
        # By a pattern that says nothing: not at all, where there is an order
        (b"l BY nosort", b"b c a"),
        (b"l BY nosort DESC", b"a c b"),
        (b"z BY nosort", b"c a b"),
        (b"z BY nosort DESC LIMIT 1 2", b"a c"),
        (b"l BY nosort BY w_*", b"b c a"),
        # A part of it
        (b"l ALPHA LIMIT 1 1", b"b"),
        (b"l ALPHA LIMIT 1 -1", b"b c"),
        (b"l ALPHA LIMIT -5 2", b"a b"),
        (b"l ALPHA LIMIT 0 0", b""),
        (b"l ALPHA LIMIT 7 1", b""),
        (b"l ALPHA LIMIT 0 9223372036854775807", b"a b c"),
        # What else there is of each
        (b"l ALPHA GET w_*", b"3 2 1"),
        (b"l ALPHA GET # GET h_*->f LIMIT 0 2", b"a 3 b 2"),
        (b"l ALPHA GET missing_* LIMIT 0 1", b"(nil)"),
        (b"l ALPHA GET nostar LIMIT 0 1", b"(nil)"),
        (b"l ALPHA GET h_* GET w_*->f GET h_*->x GET h_*-> LIMIT 0 1", b"(nil) (nil) (nil) (nil)"),
    ],
)
def test_elements_come_in_the_order_the_part_and_the_form_that_are_asked_for(
    world: World, request_: bytes, answer: bytes
) -> None:
    assert ordered(world, request_) == answer


def test_a_text_without_bytes_weighs_more_than_none(world: World) -> None:
    world.run(b"set", b"x_b", b"")
    assert ordered(world, b"l BY x_* ALPHA") == b"c a b"
    assert ordered(world, b"l BY x_* ALPHA DESC") == b"b c a"


def test_an_arrow_without_a_field_is_part_of_the_key(world: World) -> None:
    world.run(b"set", b"x_a->", b"found")
    assert ordered(world, b"l ALPHA GET x_*-> LIMIT 0 1") == b"found"


def test_only_the_first_star_is_replaced(world: World) -> None:
    world.run(b"set", b"a*", b"found")
    assert ordered(world, b"l ALPHA GET ** LIMIT 0 1") == b"found"


def test_a_set_in_no_order_has_all_its_members(world: World) -> None:
    assert sorted(world.run(b"sort", b"s", b"BY", b"nosort")) == [b"a", b"b", b"c"]


@pytest.mark.parametrize(
    "number",
    [b"", b"  7", b"+1", b"0x1F", b"0x.8p3", b"-inf", b"Infinity", b".5", b"5.", b"7\0x", b"\0x"],
)
def test_numbers_are_what_strtod_reads(world: World, number: bytes) -> None:
    world.run(b"rpush", b"k", number)
    assert world.run(b"sort", b"k") == [number]


@pytest.mark.parametrize(
    "text",
    [b"x", b"7 ", b" ", b"nan", b"1_0", b"1e400", b"-1e400", b"1e-400", b"5e-324", b"0x", b"1e"],
)
def test_what_is_no_number_or_too_large_or_small_is_refused(world: World, text: bytes) -> None:
    world.run(b"rpush", b"k", b"1", text)
    world.heard()
    assert refusal(world, b"sort", b"k", b"STORE", b"l") == NOT_NUMBERS
    world.run(b"set", b"w_b", text)
    assert refusal(world, b"sort_ro", b"s", b"BY", b"w_*") == NOT_NUMBERS
    assert world.heard() == [("set", b"w_b")]


class TestStore:
    def test_the_result_is_a_list_in_the_place_of_what_was_there(self, world: World) -> None:
        world.run(b"set_with_ttl", b"to", b"old", b"10")
        world.heard()
        assert world.run(b"sort", b"l", b"ALPHA", b"STORE", b"to") == 3
        assert world.heard() == [("sortstore", b"to")]
        assert world.run(b"lrange", b"to", b"0", b"-1") == [b"a", b"b", b"c"]
        assert world.run(b"ttl", b"to") == -1

    def test_what_was_not_found_is_empty(self, world: World) -> None:
        request = b"sort l ALPHA GET missing_* GET # LIMIT 0 1 STORE l"
        assert world.run(*request.split()) == 2
        assert world.run(b"lrange", b"l", b"0", b"-1") == [b"", b"a"]

    def test_nothing_is_no_list(self, world: World) -> None:
        assert world.run(b"sort", b"missing", b"STORE", b"l") == 0
        assert world.run(b"sort", b"missing", b"STORE", b"l") == 0
        assert world.heard() == [("delete", b"l")]

    def test_a_set_in_no_order_is_stored_in_that_of_its_bytes(self, world: World) -> None:
        for order, expected in (b"ASC", [b"a", b"b", b"c"]), (b"DESC", [b"c", b"b", b"a"]):
            world.run(b"sort", b"s", b"BY", b"nosort", order, b"STORE", b"to")
            assert world.run(b"lrange", b"to", b"0", b"-1") == expected

    def test_the_last_one_named_counts(self, world: World) -> None:
        world.run(b"sort", b"n", b"STORE", b"one", b"STORE", b"other")
        assert world.heard() == [("sortstore", b"other")]


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (b"sort w_a", "WRONGTYPE Operation against a key holding the wrong kind of value"),
        (b"sort h_a", "WRONGTYPE Operation against a key holding the wrong kind of value"),
        (b"sort w_a foo", "ERR syntax error"),
        (b"sort l LIMIT 1", "ERR syntax error"),
        (b"sort l LIMIT x", "ERR syntax error"),
        (b"sort l LIMIT x 1", "ERR value is not an integer or out of range"),
        (b"sort l LIMIT 1 x foo", "ERR value is not an integer or out of range"),
        (b"sort l BY", "ERR syntax error"),
        (b"sort l GET", "ERR syntax error"),
        (b"sort l STORE", "ERR syntax error"),
        (b"sort_ro l STORE to", "ERR syntax error"),
        (b"sort l", NOT_NUMBERS),
    ],
)
def test_what_redis_refuses_is_refused_in_its_words_and_stores_nothing(
    world: World, request_: bytes, error: str
) -> None:
    assert refusal(world, *request_.split()) == error
    assert world.heard() == []


DENIED = "option of SORT denied due to insufficient ACL permissions."
ONLY_L = Selector(frozenset({"sort", "sort_ro"}), keys=(Pattern(b"l"),))
READS_ALL = Selector(frozenset({"sort", "sort_ro"}), keys=(Pattern(b"*", Access.READ),))


@pytest.mark.parametrize("name", [b"sort", b"sort_ro"])
@pytest.mark.parametrize(
    ("words", "denied"),
    [
        (b"BY w_*", "BY"),
        (b"GET w_*", "GET"),
        (b"GET #", "GET"),
        (b"BY w_* foo", "BY"),
        (b"BY nosort", ""),
        (b"DESC", ""),
    ],
)
def test_patterns_are_for_those_who_may_read_all_keys(
    world: World, name: bytes, words: bytes, denied: str
) -> None:
    request = (name, b"l", b"ALPHA", *words.split())
    world.session.permissions = Permissions([ONLY_L])
    if denied:
        assert refusal(world, *request) == f"ERR {denied} {DENIED}"
    else:
        assert world.run(*request)
    world.session.permissions = Permissions([ONLY_L, READS_ALL])
    if b"foo" not in words:
        assert world.run(*request)


@pytest.mark.parametrize(
    ("request_", "keys"),
    [
        (b"sort l", b"l"),
        (b"sort l ALPHA STORE to", b"l to"),
        (b"sort l GET store BY store LIMIT store store", b"l"),
        (b"sort l store one GET x STORE other", b"l other"),
        (b"sort l store", b"l"),
        (b"sort l GET", b"l"),
    ],
)
def test_its_keys_are_the_source_and_the_last_destination(request_: bytes, keys: bytes) -> None:
    assert list(COMMANDS[b"sort"].keys_of(request_.split())) == keys.split()


def test_in_text_it_answers_with_the_elements_or_with_how_many_were_stored(world: World) -> None:
    conversation(
        world,
        """
        > sort l by w_* get # get missing_* limit 0 2
        {"result": ["c", null, "b", null]}
        > sort n desc store sorted
        {"result": 4}
        """,
    )


def test_a_sorted_set_is_not_packed_any_more_so_that_minus_zero_stays(world: World) -> None:
    world.run(b"zadd", b"z", b"-0", b"before")
    assert world.run(b"object", b"encoding", b"z") == b"listpack"
    world.run(b"sort", b"z", b"ALPHA")
    world.run(b"zadd", b"z", b"-0", b"behind")
    assert world.run(b"object", b"encoding", b"z") == b"skiplist"
    assert [world.db.values[b"z"].scores[each].hex() for each in (b"before", b"behind")] == [
        "0x0.0p+0",
        "-0x0.0p+0",
    ]
