"""What sets have in common, what any of them has, and what only the first has."""

from __future__ import annotations

import pytest
from helpers_pure import NOW, World, conversation, refusal
from hypothesis import given
from hypothesis import strategies as st

from memdbd.commands import set_algebra
from memdbd.errors import WrongType
from memdbd.replies import Members
from memdbd.structs.pooled import PooledSet

OPERATIONS = (b"sinter", b"sunion", b"sdiff")


@pytest.fixture
def world() -> World:
    world = World()
    world.run(b"sadd", b"a", b"1", b"2", b"3", b"4")
    world.run(b"sadd", b"b", b"3", b"4", b"5")
    world.run(b"sadd", b"c", b"4", b"6")
    world.run(b"set", b"text", b"v")
    world.heard()
    return world


def found(world: World, *argv: bytes) -> bytes:
    """The members that a request gives, each a digit, in order."""
    reply = world.run(*argv)
    assert isinstance(reply, Members)
    return b"".join(sorted(reply.items))


TABLE = [
    (b"sinter", [b"a"], b"1234"),
    (b"sinter", [b"a", b"b"], b"34"),
    (b"sinter", [b"a", b"b", b"c"], b"4"),
    (b"sinter", [b"a", b"a"], b"1234"),
    (b"sinter", [b"a", b"none"], b""),
    (b"sinter", [b"none"], b""),
    (b"sunion", [b"a"], b"1234"),
    (b"sunion", [b"a", b"b", b"c"], b"123456"),
    (b"sunion", [b"none", b"c", b"none"], b"46"),
    (b"sunion", [b"none"], b""),
    (b"sdiff", [b"a"], b"1234"),
    (b"sdiff", [b"a", b"b"], b"12"),
    (b"sdiff", [b"b", b"a", b"c"], b"5"),
    (b"sdiff", [b"a", b"none", b"c"], b"123"),
    (b"sdiff", [b"none", b"a"], b""),
    (b"sdiff", [b"a", b"a"], b""),
]


@pytest.mark.parametrize(("operation", "keys", "result"), TABLE)
class TestEach:
    def test_it_gives_the_members(
        self, world: World, operation: bytes, keys: list[bytes], result: bytes
    ) -> None:
        assert found(world, operation, *keys) == result
        assert world.heard() == []

    def test_it_is_stored_over_what_is_there(
        self, world: World, operation: bytes, keys: list[bytes], result: bytes
    ) -> None:
        event = operation.decode() + "store"
        world.db.set(b"text", b"v", deadline=NOW + 1000)
        world.heard()
        assert world.run(operation + b"store", b"text", *keys) == len(result)
        if result:
            assert found(world, b"smembers", b"text") == result
            assert world.heard() == [(event, b"text")]
            assert world.db.ttl_ms(b"text") is None
        else:
            assert world.run(b"type", b"text").text == "none"
            assert world.heard() == [("delete", b"text")]

    def test_a_source_may_be_the_destination(
        self, world: World, operation: bytes, keys: list[bytes], result: bytes
    ) -> None:
        assert world.run(operation + b"store", keys[-1], *keys) == len(result)
        assert found(world, b"smembers", keys[-1]) == result


@pytest.mark.parametrize("operation", OPERATIONS)
class TestAll:
    def test_what_is_stored_is_independent(self, world: World, operation: bytes) -> None:
        world.run(operation + b"store", b"d", b"a")
        world.run(b"spop", b"d")
        world.run(b"sadd", b"d", b"new")
        assert found(world, b"smembers", b"a") == b"1234"
        assert type(world.db.values[b"d"]) is PooledSet

    @pytest.mark.parametrize("keys", [[b"text"], [b"none", b"text"], [b"a", b"none", b"text"]])
    def test_each_source_must_be_a_set(
        self, world: World, operation: bytes, keys: list[bytes]
    ) -> None:
        with pytest.raises(WrongType):
            world.run(operation, *keys)
        with pytest.raises(WrongType):
            world.run(operation + b"store", b"a", *keys)
        assert found(world, b"smembers", b"a") == b"1234"

    def test_nothing_stored_over_nothing_is_no_change(self, world: World, operation: bytes) -> None:
        assert world.run(operation + b"store", b"d", b"none") == 0
        assert world.heard() == []


@given(st.lists(st.frozensets(st.integers(0, 9)), min_size=1, max_size=4))
def test_they_are_what_pythons_sets_make(sets: list[frozenset[int]]) -> None:
    world = World()
    keys = [b"s%d" % at for at in range(len(sets))]
    for key, members in zip(keys, sets, strict=True):
        if members:
            world.run(b"sadd", key, *(b"%d" % member for member in members))

    def digits(members: frozenset[int]) -> bytes:
        return b"".join(b"%d" % member for member in sorted(members))

    first, *others = sets
    assert found(world, b"sinter", *keys) == digits(first.intersection(*others))
    assert found(world, b"sunion", *keys) == digits(first.union(*others))
    assert found(world, b"sdiff", *keys) == digits(first.difference(*others))
    count = len(first.intersection(*others))
    assert world.run(b"sintercard", b"%d" % len(keys), *keys) == count


class TestCardinality:
    @pytest.mark.parametrize(
        ("words", "count"),
        [
            ("1 a", 4),
            ("2 a b", 2),
            ("2 a none", 0),
            ("2 a b LIMIT 0", 2),
            ("2 a b limit 1", 1),
            ("2 a b LIMIT 9", 2),
            ("1 a LIMIT 1 LIMIT 3", 3),
        ],
    )
    def test_it_counts_up_to_the_limit(self, world: World, words: str, count: int) -> None:
        assert world.run(b"sintercard", *words.encode().split()) == count

    @pytest.mark.parametrize(
        ("words", "error"),
        [
            ("0 a", "ERR numkeys should be greater than 0"),
            ("-1 a", "ERR numkeys should be greater than 0"),
            ("x a", "ERR numkeys should be greater than 0"),
            ("2 a", "ERR Number of keys can't be greater than number of args"),
            ("9223372036854775807 a", "ERR Number of keys can't be greater than number of args"),
            ("1 text LIMIT -1", "ERR LIMIT can't be negative"),
            ("1 text LIMIT x", "ERR LIMIT can't be negative"),
            ("1 text LIMIT", "ERR syntax error"),
            ("1 text b", "ERR syntax error"),
            ("1 text LIMIT 1 b", "ERR syntax error"),
            (
                "2 a text LIMIT 1",
                "WRONGTYPE Operation against a key holding the wrong kind of value",
            ),
            ("1", "ERR wrong number of arguments for 'sintercard' command"),
        ],
    )
    def test_the_arguments_are_checked_before_the_types(
        self, world: World, words: str, error: str
    ) -> None:
        assert refusal(world, b"sintercard", *words.encode().split()) == error

    def test_it_stops_at_the_limit(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        looked_for = []

        class Watched(set[bytes]):
            def __contains__(self, member: object) -> bool:
                looked_for.append(member)
                return super().__contains__(member)

        members = [b"%d" % number for number in range(1000)]
        sets = [set(members), Watched(members)]
        monkeypatch.setattr(set_algebra, "_sets", lambda ctx, keys: sets)
        assert world.run(b"sintercard", b"2", b"a", b"b", b"LIMIT", b"10") == 10
        assert len(looked_for) == 10


def test_in_text_what_sets_have_in_common_is_a_list(world: World) -> None:
    conversation(
        world,
        """
        > sinter a b c
        {"result": ["4"]}
        > sdiffstore d b a
        {"result": 1}
        > smembers d
        {"result": ["5"]}
        > sunion x y
        {"result": []}
        """,
    )
