"""Ranges of sorted sets: by rank, by score, by member."""

from __future__ import annotations

import pytest
from helpers_pure import World, conversation, refusal

from memdbd.replies import Scored

NOT_AN_INTEGER = "ERR value is not an integer or out of range"
NOT_A_BOUND = "ERR min or max is not a float"
NO_MEMBER = "ERR min or max not valid string range item"
SYNTAX = "ERR syntax error"
WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"


@pytest.fixture
def world() -> World:
    """``k``: a to e with scores from 1 to 5; ``lex``: a to e with the same score."""
    world = World()
    for at, member in enumerate(b"abcde", 1):
        world.run(b"zadd", b"k", b"%d" % at, bytes([member]))
        world.run(b"zadd", b"lex", b"0", bytes([member]))
    world.heard()
    return world


def words(line: str) -> list[bytes]:
    return [b"" if word == "''" else word.encode() for word in line.split(" ")]


def listed(world: World, line: str) -> str:
    """The members of a reply, in one word; with their scores where it has them."""
    reply = world.run(*words(line))
    if isinstance(reply, Scored):
        return "".join(f"{member.decode()}{score:g}" for member, score in reply.items)
    return b"".join(reply).decode()


@pytest.mark.parametrize(
    ("line", "members"),
    [
        # by rank
        ("zrange k 0 -1", "abcde"),
        ("zrange k 1 2", "bc"),
        ("zrange k -2 -1", "de"),
        ("zrange k -99 1", "ab"),
        ("zrange k 3 99", "de"),
        ("zrange k 3 2", ""),
        ("zrange k 9 99", ""),
        ("zrange k 0 -99", ""),
        ("zrange k 0 1 rev", "ed"),
        ("zrange k -2 99 rev", "ba"),
        ("zrange k 0 1 withscores", "a1b2"),
        ("zrange k 1 2 LIMIT 7 -1", "bc"),
        ("zrevrange k 0 1", "ed"),
        ("zrevrange k 0 1 WITHSCORES", "e5d4"),
        ("zrevrange k 9 99", ""),
        # by score
        ("zrange k 2 4 byscore", "bcd"),
        ("zrange k (2 (4 byscore", "c"),
        ("zrange k -inf +inf byscore", "abcde"),
        ("zrange k 4 2 byscore rev", "dcb"),
        ("zrange k 2 4 byscore rev", ""),
        ("zrange k 4 2 byscore rev limit 1 1 withscores", "c3"),
        ("zrange k '' inf byscore", "abcde"),
        ("zrange k ( 2.5 byscore", "ab"),
        ("zrangebyscore k 2 4", "bcd"),
        ("zrangebyscore k (2 4 withscores", "c3d4"),
        ("zrangebyscore k -inf inf limit 1 2", "bc"),
        ("zrangebyscore k -inf inf limit 1 -1", "bcde"),
        ("zrangebyscore k -inf inf limit 9 2", ""),
        ("zrangebyscore k -inf inf limit -1 2", ""),
        ("zrangebyscore k -inf inf limit -1 -1", ""),
        ("zrangebyscore k -inf inf limit 0 0", ""),
        ("zrangebyscore k -inf inf limit 1 9223372036854775807", "bcde"),
        ("zrangebyscore k -inf inf limit 9223372036854775807 1", ""),
        ("zrangebyscore k 4 2", ""),
        ("zrevrangebyscore k 4 2", "dcb"),
        ("zrevrangebyscore k +inf -inf limit 1 2", "dc"),
        ("zrevrangebyscore k (5 -inf limit 0 1 withscores", "d4"),
        # by member
        ("zrange lex - + bylex", "abcde"),
        ("zrange lex [b (d bylex", "bc"),
        ("zrange lex + [c bylex rev limit 1 9", "dc"),
        ("zrangebylex lex (a +", "bcde"),
        ("zrangebylex lex [aa [d", "bcd"),
        ("zrangebylex lex [c [c", "c"),
        ("zrangebylex lex (c (c", ""),
        ("zrangebylex lex + -", ""),
        ("zrangebylex lex - -", ""),
        ("zrangebylex lex + +", ""),
        ("zrangebylex lex - + limit 1 2", "bc"),
        ("zrevrangebylex lex (d -", "cba"),
        ("zrevrangebylex lex + - limit 4 1", "a"),
        # of nothing
        ("zrange x 0 -1", ""),
        ("zrange x 0 -1 withscores", ""),
        ("zrangebyscore x 0 1", ""),
        ("zrangebylex x - +", ""),
    ],
)
def test_a_range_is_listed(world: World, line: str, members: str) -> None:
    assert listed(world, line) == members


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("zcount k 2 4", 3),
        ("zcount k (2 (4", 1),
        ("zcount k 4 2", 0),
        ("zcount k -inf inf", 5),
        ("zcount x 0 1", 0),
        ("zlexcount lex - +", 5),
        ("zlexcount lex [b (d", 2),
        ("zlexcount lex + -", 0),
        ("zlexcount x - +", 0),
    ],
)
def test_a_range_is_counted(world: World, line: str, count: int) -> None:
    assert world.run(*words(line)) == count


@pytest.mark.parametrize(
    ("line", "removed", "left"),
    [
        ("zremrangebyrank k 1 2", 2, "ade"),
        ("zremrangebyrank k -2 -1", 2, "abc"),
        ("zremrangebyrank k 9 99", 0, "abcde"),
        ("zremrangebyrank k 3 1", 0, "abcde"),
        ("zremrangebyrank k 0 99", 5, ""),
        ("zremrangebyscore k (1 3", 2, "ade"),
        ("zremrangebyscore k 7 9", 0, "abcde"),
        ("zremrangebyscore k -inf +inf", 5, ""),
        ("zremrangebylex lex [b (d", 2, "ade"),
        ("zremrangebylex lex + -", 0, "abcde"),
        ("zremrangebylex lex - +", 5, ""),
    ],
)
def test_a_range_is_removed(world: World, line: str, removed: int, left: str) -> None:
    name, key, *_ = line.split()
    assert world.run(*words(line)) == removed
    assert listed(world, f"zrange {key} 0 -1") == left
    heard = [(name, key.encode())] * bool(removed) + [("delete", key.encode())] * (left == "")
    assert world.heard() == heard


def test_nothing_is_removed_from_nothing(world: World) -> None:
    assert world.run(b"zremrangebyrank", b"x", b"0", b"-1") == 0
    assert world.heard() == []


class TestStore:
    def test_a_range_is_stored_over_whatever_was_there(self, world: World) -> None:
        world.run(b"set", b"to", b"v")
        world.run(b"expire", b"to", b"60")
        world.heard()
        assert world.run(*words("zrangestore to k 0 1 rev")) == 2
        assert listed(world, "zrange to 0 -1 withscores") == "d4e5"
        assert world.heard() == [("zrangestore", b"to")]
        assert world.run(b"ttl", b"to") == -1

    def test_an_empty_range_deletes_what_was_there(self, world: World) -> None:
        assert world.run(*words("zrangestore k k 7 9 byscore")) == 0
        assert world.heard() == [("delete", b"k")]
        assert world.run(*words("zrangestore to x 0 -1")) == 0
        assert world.heard() == []

    def test_the_result_is_not_its_source(self, world: World) -> None:
        world.run(*words("zrangestore to k 0 -1"))
        world.run(*words("zadd to 9 z"))
        assert listed(world, "zrange k 0 -1") == "abcde"

    def test_a_source_may_be_the_destination(self, world: World) -> None:
        assert world.run(*words("zrangestore lex lex [b [c bylex limit 1 1")) == 1
        assert listed(world, "zrange lex 0 -1") == "c"

    def test_it_shows_no_scores(self, world: World) -> None:
        assert refusal(world, *words("zrangestore to k 0 1 withscores")) == SYNTAX


LIMITED = "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX"
SCORED = "ERR syntax error, WITHSCORES not supported in combination with BYLEX"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("zrange s a b nonsense", SYNTAX),
        ("zrange s a b limit 1", SYNTAX),
        ("zrange s a b limit 1 x", NOT_AN_INTEGER),
        ("zrange s a b limit 1 2", LIMITED),
        ("zrange s a b bylex byscore", SYNTAX),
        ("zrange s a b rev rev", SYNTAX),
        ("zrange s a b bylex withscores", SCORED),
        ("zrange s a b", NOT_AN_INTEGER),
        ("zrange s 1 2.5", NOT_AN_INTEGER),
        ("zrange s 1 x byscore", NOT_A_BOUND),
        ("zrange s 1 ((2 byscore", NOT_A_BOUND),
        ("zrange s nan 1 byscore", NOT_A_BOUND),
        ("zrange s a [b bylex", NO_MEMBER),
        ("zrange s [a '' bylex", NO_MEMBER),
        ("zrange s [a ++ bylex", NO_MEMBER),
        ("zrange s 0 1", WRONG_TYPE),
        ("zrevrange s 0 1 rev", SYNTAX),
        ("zrevrange s 0 1 byscore", SYNTAX),
        ("zrangebyscore s 0 1 rev", SYNTAX),
        ("zrangebyscore s x 1", NOT_A_BOUND),
        ("zrangebyscore s 0 1", WRONG_TYPE),
        ("zrevrangebyscore s 0 1", WRONG_TYPE),
        ("zrangebylex s - + withscores", SCORED),
        ("zrangebylex s - 1", NO_MEMBER),
        ("zrangebylex s - +", WRONG_TYPE),
        ("zrevrangebylex s + -", WRONG_TYPE),
        ("zrangestore to s 0 1", WRONG_TYPE),
        ("zcount s 1 x", NOT_A_BOUND),
        ("zcount s 1 2", WRONG_TYPE),
        ("zlexcount s 1 2", NO_MEMBER),
        ("zlexcount s - +", WRONG_TYPE),
        ("zremrangebyrank s 1 x", NOT_AN_INTEGER),
        ("zremrangebyrank s 1 2", WRONG_TYPE),
        ("zremrangebyscore s 1 x", NOT_A_BOUND),
        ("zremrangebyscore s 1 2", WRONG_TYPE),
        ("zremrangebylex s 1 2", NO_MEMBER),
        ("zremrangebylex s - +", WRONG_TYPE),
    ],
)
def test_errors_are_those_of_redis_in_its_order(world: World, line: str, error: str) -> None:
    world.run(b"set", b"s", b"v")
    assert refusal(world, *words(line)) == error


def test_the_text_dialect_shows_how_ends_are_written(world: World) -> None:
    conversation(
        world,
        """
        > zcount k one 2
        {"error": "min or max is not a float; as 1.5, (1.5, -inf"}
        > zlexcount lex a b
        {"error": "min or max not valid string range item; as [a, (a, -, +"}
        """,
    )


def test_a_page_behind_many_members_is_found_at_once(world: World) -> None:
    count = 20_000
    world.run(b"zadd", b"big", *(word for n in range(count) for word in (b"%d" % n, b"m%d" % n)))
    line = "zrangebyscore big -inf +inf limit 19990 2 withscores"
    assert listed(world, line) == "m1999019990m1999119991"
    assert listed(world, "zrange big 19990 19991") == "m19990m19991"


def test_what_is_stored_is_packed_up_to_its_first_long_member(world: World) -> None:
    world.run(b"zadd", b"from", b"0", b"l" * 65, b"-0", b"before", b"-0", b"then")
    world.run(b"zrangestore", b"to", b"from", b"0", b"-1")
    scores = world.db.values[b"to"].scores
    assert {member[:6]: score.hex() for member, score in scores.items()} == {
        b"before": "0x0.0p+0",
        b"llllll": "0x0.0p+0",
        b"then": "-0x0.0p+0",
    }
