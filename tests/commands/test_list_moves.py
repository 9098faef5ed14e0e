"""Elements that move between lists, or out of the first of several; how they are waited for is in
test_waiting."""

from __future__ import annotations

from typing import Any

import pytest
from helpers_pure import World, conversation, refusal

from memdbd.commands.table import COMMANDS
from memdbd.errors import WrongType
from memdbd.replies import NULL_ARRAY, Pending


@pytest.fixture
def world() -> World:
    return World()


def fill(world: World, key: bytes, letters: bytes) -> None:
    """Let ``key`` be a list of these letters alone."""
    world.run(b"rpush", key, *(letters[at : at + 1] for at in range(len(letters))))
    world.heard()


def letters(world: World, key: bytes) -> bytes:
    return b"".join(world.run(b"lrange", key, b"0", b"-1"))


def run(world: World, request: str) -> Any:
    return world.run(*request.encode().split())


WRONG_TYPE = f"WRONGTYPE {WrongType()}"


def test_in_text_elements_go_from_list_to_list_and_are_taken_with_their_key(world: World) -> None:
    conversation(
        world,
        """
        > rpush todo a b c d e
        {"result": 5}
        > lmove todo doing left right
        {"result": "a"}
        > rpoplpush todo doing
        {"result": "e"}
        > lrange doing 0 -1
        {"result": ["e", "a"]}
        > blpop nothing todo 0
        {"result": ["todo", "b"]}
        > lmpop 2 nothing todo right count 5
        {"result": ["todo", ["d", "c"]]}
        > lmpop 1 todo left
        {"result": null}
        """,
    )


class TestMove:
    @pytest.mark.parametrize(
        ("request_", "moved", "source", "destination"),
        [
            ("lmove k j left left", b"a", b"bc", b"axyz"),
            ("lmove k j left right", b"a", b"bc", b"xyza"),
            ("lmove k j RIGHT Left", b"c", b"ab", b"cxyz"),
            ("lmove k j right right", b"c", b"ab", b"xyzc"),
            ("rpoplpush k j", b"c", b"ab", b"cxyz"),
            ("blmove k j left right 0", b"a", b"bc", b"xyza"),
            ("brpoplpush k j 0", b"c", b"ab", b"cxyz"),
        ],
    )
    def test_takes_at_one_end_and_puts_at_another(
        self, world: World, request_: str, moved: bytes, source: bytes, destination: bytes
    ) -> None:
        fill(world, b"k", b"abc")
        fill(world, b"j", b"xyz")
        assert run(world, request_) == moved
        assert (letters(world, b"k"), letters(world, b"j")) == (source, destination)

    def test_is_announced_as_a_push_and_a_pop(self, world: World) -> None:
        fill(world, b"k", b"ab")
        run(world, "lmove k j left right")
        assert world.heard() == [("rpush", b"j"), ("lpop", b"k")]
        run(world, "rpoplpush k j")
        assert world.heard() == [("lpush", b"j"), ("rpop", b"k"), ("delete", b"k")]

    @pytest.mark.parametrize(
        ("request_", "turned"),
        [
            ("lmove k k left right", b"bca"),
            ("rpoplpush k k", b"cab"),
            ("lmove k k left left", b"abc"),
        ],
    )
    def test_a_list_may_be_turned_around(self, world: World, request_: str, turned: bytes) -> None:
        fill(world, b"k", b"abc")
        run(world, request_)
        assert letters(world, b"k") == turned
        assert [key for _, key in world.heard()] == [b"k", b"k"]

    def test_a_list_of_one_as_well_and_it_stays_with_its_deadline(self, world: World) -> None:
        fill(world, b"k", b"a")
        run(world, "expire k 100")
        assert run(world, "rpoplpush k k") == b"a"
        assert letters(world, b"k") == b"a"
        assert run(world, "ttl k") == 100

    def test_of_nothing_moves_nothing(self, world: World) -> None:
        world.run(b"set", b"s", b"text")
        world.heard()
        assert run(world, "lmove missing k left left") is None
        assert run(world, "rpoplpush missing s") is None
        assert world.heard() == []

    @pytest.mark.parametrize("request_", ["lmove {} {} left left", "rpoplpush {} {}"])
    @pytest.mark.parametrize("blocking", ["", "b"])
    def test_both_are_lists(self, world: World, request_: str, blocking: str) -> None:
        fill(world, b"k", b"ab")
        world.run(b"set", b"s", b"text")
        world.heard()
        request_ = blocking + request_ + (" 0" if blocking else "")
        assert refusal(world, *request_.format("s", "k").encode().split()) == WRONG_TYPE
        assert refusal(world, *request_.format("k", "s").encode().split()) == WRONG_TYPE
        assert letters(world, b"k") == b"ab"
        assert world.heard() == []

    @pytest.mark.parametrize(
        ("request_", "error"),
        [
            ("lmove s s middle left", "ERR syntax error"),
            ("lmove s s left middle", "ERR syntax error"),
            ("blmove s s left middle x", "ERR syntax error"),
            ("blmove s s left left x", "ERR timeout is not a float or out of range"),
            ("blmove s s left left -1", "ERR timeout is negative"),
            ("brpoplpush s s x", "ERR timeout is not a float or out of range"),
        ],
    )
    def test_ends_and_timeout_are_looked_at_before_the_keys(
        self, world: World, request_: str, error: str
    ) -> None:
        world.run(b"set", b"s", b"text")
        assert refusal(world, *request_.encode().split()) == error


class TestPopOfTheFirst:
    @pytest.mark.parametrize(
        ("request_", "popped", "left"),
        [
            ("blpop missing k j 0", [b"k", b"a"], b"bc"),
            ("brpop missing k j 0", [b"k", b"c"], b"ab"),
            ("lmpop 3 missing k j left", [b"k", [b"a"]], b"bc"),
            ("lmpop 3 missing k j RIGHT COUNT 2", [b"k", [b"c", b"b"]], b"a"),
            ("lmpop 1 k left count 3", [b"k", [b"a", b"b", b"c"]], b""),
            ("lmpop 1 k right count 9223372036854775807", [b"k", [b"c", b"b", b"a"]], b""),
            ("blmpop 0 3 missing k j left", [b"k", [b"a"]], b"bc"),
            ("blmpop 0 2 missing k right count 2", [b"k", [b"c", b"b"]], b"a"),
        ],
    )
    def test_takes_out_of_the_first_list_there_is(
        self, world: World, request_: str, popped: list[Any], left: bytes
    ) -> None:
        fill(world, b"k", b"abc")
        fill(world, b"j", b"xyz")
        assert run(world, request_) == popped
        assert (letters(world, b"k"), letters(world, b"j")) == (left, b"xyz")
        gone = [] if left else [("delete", b"k")]
        operation = "lpop" if popped[1] in (b"a", [b"a"], [b"a", b"b", b"c"]) else "rpop"
        assert world.heard() == [(operation, b"k"), *gone]

    def test_of_nothing_gives_nothing_or_waits(self, world: World) -> None:
        assert run(world, "lmpop 2 a b left") is NULL_ARRAY
        assert isinstance(run(world, "blmpop 0 2 a b left"), Pending)
        assert world.heard() == []

    @pytest.mark.parametrize("request_", ["blpop {} 0", "lmpop 2 {} left", "blmpop 0 2 {} left"])
    def test_another_type_is_an_error_unless_a_list_comes_before_it(
        self, world: World, request_: str
    ) -> None:
        world.run(b"set", b"s", b"text")
        assert refusal(world, *request_.format("missing s").encode().split()) == WRONG_TYPE
        fill(world, b"k", b"ab")
        assert refusal(world, *request_.format("s k").encode().split()) == WRONG_TYPE
        assert letters(world, b"k") == b"ab"
        assert run(world, request_.format("k s"))[0] == b"k"

    @pytest.mark.parametrize(
        ("request_", "error"),
        [
            ("blpop s x", "ERR timeout is not a float or out of range"),
            ("brpop s -1", "ERR timeout is negative"),
            ("lmpop 0 s left", "ERR numkeys should be greater than 0"),
            ("lmpop 1 s middle", "ERR syntax error"),
            # What comes first in the request is looked at last.
            ("blmpop x 0 s left", "ERR numkeys should be greater than 0"),
            ("blmpop x 1 s left count 0", "ERR count should be greater than 0"),
            ("blmpop x 1 s middle", "ERR syntax error"),
            ("blmpop x 1 s left", "ERR timeout is not a float or out of range"),
        ],
    )
    def test_the_rest_is_looked_at_before_the_keys(
        self, world: World, request_: str, error: str
    ) -> None:
        world.run(b"set", b"s", b"text")
        assert refusal(world, *request_.encode().split()) == error


@pytest.mark.parametrize(
    ("request_", "keys"),
    [
        (b"blpop a b c 0", b"a b c"),
        (b"brpop a 0", b"a"),
        (b"lmove a b left left", b"a b"),
        (b"blmove a b left left 0", b"a b"),
        (b"rpoplpush a b", b"a b"),
        (b"brpoplpush a b 0", b"a b"),
        (b"lmpop 2 a b left", b"a b"),
        (b"blmpop 0 2 a b left", b"a b"),
    ],
)
def test_where_the_keys_are(request_: bytes, keys: bytes) -> None:
    argv = request_.split()
    assert list(COMMANDS[argv[0]].keys_of(argv)) == keys.split()
