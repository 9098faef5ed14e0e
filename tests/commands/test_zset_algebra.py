"""What is made of several sorted sets."""

from __future__ import annotations

import pytest
from helpers_pure import World, conversation, refusal

from memdbd.replies import Scored

SYNTAX = "ERR syntax error"
NOT_AN_INTEGER = "ERR value is not an integer or out of range"
NOT_A_WEIGHT = "ERR weight value is not a float"
NOT_A_LIMIT = "ERR LIMIT can't be negative"
WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"


@pytest.fixture
def world() -> World:
    """Two sorted sets ``a`` and ``b``, a set ``s``, one with infinities ``i``, a string ``v``."""
    world = World()
    world.run(*b"zadd a 1 x 2 y 3 z".split())
    world.run(*b"zadd b 10 y 20 z 30 w".split())
    world.run(*b"sadd s x z".split())
    world.run(*b"zadd i -inf x +inf y 0 z".split())
    world.run(*b"set v v".split())
    world.heard()
    return world


def listed(world: World, line: str) -> str:
    """The members of a reply, with their scores where it has them."""
    reply = world.run(*line.encode().split())
    if isinstance(reply, Scored):
        return " ".join(f"{member.decode()}={score:g}" for member, score in reply.items)
    return " ".join(member.decode() for member in reply)


RESULTS = [
    ("union 1 a", "x=1 y=2 z=3"),
    ("union 2 a b", "x=1 y=12 z=23 w=30"),
    ("union 3 a nothing b", "x=1 y=12 z=23 w=30"),
    ("union 2 a a", "x=2 y=4 z=6"),
    ("union 2 a b weights 2 -1", "w=-30 z=-14 y=-6 x=2"),
    ("union 2 a b aggregate min", "x=1 y=2 z=3 w=30"),
    ("union 2 a b aggregate MAX", "x=1 y=10 z=20 w=30"),
    ("union 2 a b aggregate max aggregate sum weights 0 1 weights 1 1", "x=1 y=12 z=23 w=30"),
    ("union 2 a s", "x=2 y=2 z=4"),
    ("union 1 s weights 3", "x=3 z=3"),
    ("union 2 a s weights inf 0 aggregate min", "x=0 z=0 y=inf"),
    ("union 1 i weights 0", "x=0 y=0 z=0"),
    ("union 2 i i weights 1 -1", "x=0 y=0 z=0"),
    ("union 1 a weights -inf", "x=-inf y=-inf z=-inf"),
    ("union 1 nothing", ""),
    ("inter 1 a", "x=1 y=2 z=3"),
    ("inter 2 a b", "y=12 z=23"),
    ("inter 3 a b s", "z=24"),
    ("inter 3 a b s weights 1 10 100", "z=303"),
    ("inter 2 a b aggregate min", "y=2 z=3"),
    ("inter 2 a b aggregate max", "y=10 z=20"),
    ("inter 2 a nothing", ""),
    ("inter 2 i i weights 1 -1", "x=0 y=0 z=0"),
    ("inter 2 a i weights 1 0 aggregate min", "z=0 x=1 y=2"),
    ("diff 1 a", "x=1 y=2 z=3"),
    ("diff 2 a b", "x=1"),
    ("diff 2 a s", "y=2"),
    ("diff 2 s b", "x=1"),
    ("diff 2 a a", ""),
    ("diff 3 a nothing s", "y=2"),
    ("diff 2 nothing a", ""),
]


@pytest.mark.parametrize(("line", "result"), RESULTS)
def test_a_result_is_listed_by_score_then_member(world: World, line: str, result: str) -> None:
    assert listed(world, f"z{line} withscores") == result
    assert listed(world, f"z{line}") == " ".join(each.split("=")[0] for each in result.split())


@pytest.mark.parametrize(("line", "result"), RESULTS)
def test_a_result_is_stored(world: World, line: str, result: str) -> None:
    operation, rest = line.split(" ", 1)
    size = len(result.split())
    assert world.run(*f"z{operation}store to {rest}".encode().split()) == size
    assert world.heard() == ([(f"z{operation}store", b"to")] if result else [])
    assert listed(world, "zrange to 0 -1 withscores") == result


class TestStore:
    def test_it_takes_the_place_of_whatever_was_there(self, world: World) -> None:
        world.run(b"expire", b"v", b"60")
        world.heard()
        assert world.run(*b"zunionstore v 1 a".split()) == 3
        assert world.run(b"ttl", b"v") == -1
        assert world.heard() == [("zunionstore", b"v")]

    def test_nothing_deletes_what_was_there(self, world: World) -> None:
        assert world.run(*b"zinterstore v 2 a nothing".split()) == 0
        assert world.heard() == [("delete", b"v")]

    def test_a_source_may_be_the_destination(self, world: World) -> None:
        assert world.run(*b"zdiffstore a 2 a b".split()) == 1
        assert listed(world, "zrange a 0 -1 withscores") == "x=1"

    def test_the_result_is_not_its_source(self, world: World) -> None:
        world.run(*b"zunionstore to 1 a".split())
        world.run(*b"zadd to 9 new".split())
        assert listed(world, "zrange a 0 -1") == "x y z"

    def test_a_negative_zero_is_kept_only_where_redis_packs_nothing(self, world: World) -> None:
        world.run(b"zadd", b"k", b"0", b"a")
        (pair,) = world.run(*b"zunion 1 k weights -1 withscores".split()).items
        assert repr(pair[1]) == "-0.0"
        world.run(*b"zunionstore to 1 k weights -1".split())
        assert repr(world.run(b"zscore", b"to", b"a")) == "0.0"


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("zintercard 2 a b", 2),
        ("zintercard 2 a b limit 0", 2),
        ("zintercard 2 a b limit 1", 1),
        ("zintercard 2 a b limit 1 limit 9", 2),
        ("zintercard 2 a s", 2),
        ("zintercard 1 a", 3),
        ("zintercard 2 a nothing", 0),
    ],
)
def test_members_in_common_are_counted_up_to_a_limit(world: World, line: str, count: int) -> None:
    assert world.run(*line.encode().split()) == count


@pytest.mark.parametrize("name", ["zunion", "zinter", "zdiff", "zintercard"])
@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("x v", NOT_AN_INTEGER),
        ("0 v", "ERR at least 1 input key is needed for '{name}' command"),
        ("-1 v", "ERR at least 1 input key is needed for '{name}' command"),
        ("2 v", SYNTAX),
        ("1 v nonsense", WRONG_TYPE),
        ("1 a nonsense", SYNTAX),
        ("1 a b", SYNTAX),
    ],
)
def test_errors_are_those_of_redis_in_its_order(
    world: World, name: str, words: str, error: str
) -> None:
    assert refusal(world, *f"{name} {words}".encode().split()) == error.format(name=name)
    if name != "zintercard":
        stores = f"{name}store"
        line = f"{stores} to {words}".encode()
        assert refusal(world, *line.split()) == error.format(name=stores)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("zunion 2 a b weights 1", SYNTAX),
        ("zunion 2 a b weights 1 x", NOT_A_WEIGHT),
        ("zunion 2 a b weights nan 1", NOT_A_WEIGHT),
        ("zunion 2 a b weights 1 2 3", SYNTAX),
        ("zunion 1 a aggregate", SYNTAX),
        ("zunion 1 a aggregate avg", SYNTAX),
        ("zunionstore to 1 a withscores", SYNTAX),
        ("zdiff 1 a weights 1", SYNTAX),
        ("zdiff 1 a aggregate sum", SYNTAX),
        ("zdiffstore to 1 a withscores", SYNTAX),
        ("zintercard 1 a limit", SYNTAX),
        ("zintercard 1 a limit -1", NOT_A_LIMIT),
        ("zintercard 1 a limit x", NOT_A_LIMIT),
        ("zintercard 1 a weights 1", SYNTAX),
        ("zintercard 1 a withscores", SYNTAX),
    ],
)
def test_options_are_checked(world: World, line: str, error: str) -> None:
    assert refusal(world, *line.encode().split()) == error
    assert world.heard() == []


def test_it_is_spoken_in_text_too(world: World) -> None:
    conversation(
        world,
        """
        > zinter 2 a b withscores
        {"result": [{"member": "y", "score": 12.0}, {"member": "z", "score": 23.0}]}
        > zunionstore to 2 a b weights 1 x
        {"error": "weight value is not a float"}
        """,
    )
