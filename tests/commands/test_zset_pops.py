"""Taking members from the ends of sorted sets, and waiting for some."""

from __future__ import annotations

from typing import Any

import pytest
from helpers_pure import World, conversation, refusal

from memdbd.dialects.resp_replies import ENCODERS
from memdbd.replies import NULL_ARRAY, Pending

SYNTAX = "ERR syntax error"
WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"


@pytest.fixture
def world() -> World:
    return World()


def fill(world: World) -> None:
    """``k``: a, b and c with scores from 1 to 3."""
    world.run(*b"zadd k 1 a 2 b 3 c".split())
    world.heard()


def left(world: World) -> str:
    return b"".join(world.run(b"zrange", b"k", b"0", b"-1")).decode()


def waiting(world: World, line: str) -> list[Any]:
    """Send what has to wait; gives a list in which its reply will be."""
    pending = world.run(*line.encode().split())
    assert isinstance(pending, Pending)
    replies: list[Any] = []
    pending.then(replies.append)
    return replies


A1_IN_2 = b"$1\r\na\r\n$1\r\n1\r\n"
A1_IN_3 = b"$1\r\na\r\n,1\r\n"


@pytest.mark.parametrize(
    ("line", "in_2", "in_3", "after"),
    [
        ("zpopmin k", b"*2\r\n" + A1_IN_2, b"*2\r\n" + A1_IN_3, "bc"),
        ("zpopmin k 1", b"*2\r\n" + A1_IN_2, b"*1\r\n*2\r\n" + A1_IN_3, "bc"),
        (
            "zpopmax k 2",
            b"*4\r\n$1\r\nc\r\n$1\r\n3\r\n$1\r\nb\r\n$1\r\n2\r\n",
            b"*2\r\n*2\r\n$1\r\nc\r\n,3\r\n*2\r\n$1\r\nb\r\n,2\r\n",
            "a",
        ),
        ("zpopmin k 0", b"*0\r\n", b"*0\r\n", "abc"),
        ("zpopmin x", b"*0\r\n", b"*0\r\n", "abc"),
        ("zpopmax x 5", b"*0\r\n", b"*0\r\n", "abc"),
        ("bzpopmin k 0", b"*3\r\n$1\r\nk\r\n" + A1_IN_2, b"*3\r\n$1\r\nk\r\n" + A1_IN_3, "bc"),
        (
            "bzpopmax x k 0",
            b"*3\r\n$1\r\nk\r\n$1\r\nc\r\n$1\r\n3\r\n",
            b"*3\r\n$1\r\nk\r\n$1\r\nc\r\n,3\r\n",
            "ab",
        ),
        (
            "zmpop 2 x k min",
            b"*2\r\n$1\r\nk\r\n*1\r\n*2\r\n" + A1_IN_2,
            b"*2\r\n$1\r\nk\r\n*1\r\n*2\r\n" + A1_IN_3,
            "bc",
        ),
        (
            "bzmpop 0 1 k max count 2",
            b"*2\r\n$1\r\nk\r\n*2\r\n*2\r\n$1\r\nc\r\n$1\r\n3\r\n*2\r\n$1\r\nb\r\n$1\r\n2\r\n",
            b"*2\r\n$1\r\nk\r\n*2\r\n*2\r\n$1\r\nc\r\n,3\r\n*2\r\n$1\r\nb\r\n,2\r\n",
            "a",
        ),
        ("zmpop 1 x min", b"*-1\r\n", b"_\r\n", "abc"),
    ],
)
def test_replies_have_the_forms_of_redis(
    world: World, line: str, in_2: bytes, in_3: bytes, after: str
) -> None:
    for version, expected in ((2, in_2), (3, in_3)):
        world.run(b"del", b"k")
        fill(world)
        assert ENCODERS[version].encode(world.run(*line.encode().split())) == expected
        assert left(world) == after


def test_in_text_members_and_scores_are_named(world: World) -> None:
    conversation(
        world,
        """
        > zadd k 1 a 2 b 3 c 4 d 5 e 6 f
        {"result": 6}
        > zpopmin k
        {"result": [{"member": "a", "score": 1.0}]}
        > zpopmax k 1
        {"result": [{"member": "f", "score": 6.0}]}
        > bzpopmin k 0
        {"result": ["k", [{"member": "b", "score": 2.0}]]}
        > bzpopmax k 0
        {"result": ["k", [{"member": "e", "score": 5.0}]]}
        > zmpop 1 k min
        {"result": ["k", [{"member": "c", "score": 3.0}]]}
        > bzmpop 0 1 k min
        {"result": ["k", [{"member": "d", "score": 4.0}]]}
        > zpopmin k
        {"result": []}
        > zmpop 1 k min
        {"result": null}
        """,
    )


@pytest.mark.parametrize("name", [b"zpopmin", b"zpopmax"])
def test_a_pop_is_announced_once_and_the_last_deletes_the_key(world: World, name: bytes) -> None:
    fill(world)
    world.run(name, b"k", b"2")
    assert world.heard() == [(name.decode(), b"k")]
    world.run(name, b"k", b"2")
    assert world.heard() == [(name.decode(), b"k"), ("delete", b"k")]
    world.run(name, b"k", b"2")
    assert world.heard() == []


@pytest.mark.parametrize(
    ("line", "event"),
    [
        ("zmpop 1 k min", "zpopmin"),
        ("zmpop 1 k MAX count 2", "zpopmax"),
        ("bzmpop 0 1 k min", "zpopmin"),
        ("bzpopmin k 0", "zpopmin"),
        ("bzpopmax k 0", "zpopmax"),
    ],
)
def test_the_other_forms_are_announced_as_these(world: World, line: str, event: str) -> None:
    fill(world)
    world.run(*line.encode().split())
    assert world.heard() == [(event, b"k")]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("zpopmin s 1 2", SYNTAX),
        ("zpopmin s x", "ERR value is out of range, must be positive"),
        ("zpopmax s -1", "ERR value is out of range, must be positive"),
        ("zpopmin s", WRONG_TYPE),
        ("zpopmin s 0", WRONG_TYPE),
        ("bzpopmin s x", "ERR timeout is not a float or out of range"),
        ("bzpopmax s -1", "ERR timeout is negative"),
        ("bzpopmin s k 0", WRONG_TYPE),
        ("bzpopmin x s k 0", WRONG_TYPE),
        ("zmpop 0 s min", "ERR numkeys should be greater than 0"),
        ("zmpop x s min", "ERR numkeys should be greater than 0"),
        ("zmpop 2 s min", SYNTAX),
        ("zmpop 1 s left", SYNTAX),
        ("zmpop 1 s min count", SYNTAX),
        ("zmpop 1 s min count 0", "ERR count should be greater than 0"),
        ("zmpop 1 s min count 1 count 1", SYNTAX),
        ("zmpop 2 x s min", WRONG_TYPE),
        ("bzmpop x 0 s min", "ERR numkeys should be greater than 0"),
        ("bzmpop x 1 s min count 0", "ERR count should be greater than 0"),
        ("bzmpop x 1 s min", "ERR timeout is not a float or out of range"),
        ("bzmpop -1 1 s min", "ERR timeout is negative"),
        ("bzmpop 0 1 s min", WRONG_TYPE),
    ],
)
def test_errors_are_those_of_redis_in_its_order(world: World, line: str, error: str) -> None:
    fill(world)
    world.run(b"set", b"s", b"v")
    assert refusal(world, *line.encode().split()) == error
    assert left(world) == "abc"


class TestWaiting:
    @pytest.mark.parametrize(
        ("line", "reply"),
        [
            ("bzpopmin x k 0", [b"k", b"a", 1.0]),
            ("bzpopmax x k 0", [b"k", b"c", 3.0]),
            ("bzmpop 0 2 x k min count 2", [b"k", [[b"a", 1.0], [b"b", 2.0]]]),
        ],
    )
    def test_a_member_that_comes_is_taken(self, world: World, line: str, reply: object) -> None:
        replies = waiting(world, line)
        fill(world)
        assert replies == [reply]

    def test_what_comes_in_another_way_is_taken_too(self, world: World) -> None:
        replies = waiting(world, "bzpopmin k 0")
        world.run(*b"geoadd other 13 38 a".split())
        assert replies == []
        world.run(*b"rename other k".split())
        assert [reply[:2] for reply in replies] == [[b"k", b"a"]]

    def test_a_value_of_another_type_is_not_what_was_waited_for(self, world: World) -> None:
        replies = waiting(world, "bzpopmin k 0")
        world.run(*b"rpush k a".split())
        assert replies == []
        world.run(*b"del k".split())
        fill(world)
        assert replies == [[b"k", b"a", 1.0]]

    def test_whoever_waits_no_longer_gets_nothing(self, world: World) -> None:
        replies = waiting(world, "bzpopmin k 0")
        world.databases.waiting.unblock(world.session, None)
        assert replies == [NULL_ARRAY]
        fill(world)
        assert left(world) == "abc"

    @pytest.mark.parametrize("line", ["bzpopmin k 0", "bzpopmax k 0", "bzmpop 0 1 k min"])
    def test_nobody_waits_inside_a_transaction(self, world: World, line: str) -> None:
        world.context.may_wait = False
        assert world.run(*line.encode().split()) is NULL_ARRAY
