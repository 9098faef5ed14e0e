"""Bytes in no order, each once."""

from __future__ import annotations

from collections import Counter

import pytest
from helpers_pure import World, conversation, refusal

from memdbd.commands.arguments import INT64_MAX
from memdbd.commands.sampling import MAX_REPEATED
from memdbd.commands.sets import SET
from memdbd.errors import WrongType
from memdbd.replies import Members
from memdbd.structs.pooled import PooledSet


@pytest.fixture
def world() -> World:
    return World()


def numbered(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def members(world: World, key: bytes) -> list[bytes]:
    return sorted(world.run(b"smembers", key).items)


def test_in_text_a_set_is_a_list_that_ends_with_its_last_member(world: World) -> None:
    conversation(
        world,
        """
        > sadd fruit apple pear apple
        {"result": 2}
        > sadd fruit apple fig
        {"result": 1}
        > scard fruit
        {"result": 3}
        > sismember fruit fig
        {"result": 1}
        > smismember fruit apple plum
        {"result": [1, 0]}
        > srem fruit apple fig plum
        {"result": 2}
        > smembers fruit
        {"result": ["pear"]}
        > spop fruit
        {"result": "pear"}
        > exists fruit
        {"result": 0}
        """,
    )


@pytest.mark.parametrize(
    ("argv", "reply"),
    [
        ([b"srem", b"x", b"a"], 0),
        ([b"scard", b"x"], 0),
        ([b"sismember", b"x", b"a"], 0),
        ([b"smismember", b"x", b"a", b"b"], [0, 0]),
        ([b"smove", b"x", b"y", b"a"], 0),
        ([b"spop", b"x"], None),
        ([b"srandmember", b"x"], None),
        ([b"srandmember", b"x", b"3"], []),
        ([b"srandmember", b"x", b"-%d" % INT64_MAX], []),
        ([b"sscan", b"x", b"0", b"NONSENSE"], (b"0", [])),
    ],
)
def test_a_key_that_is_not_there_is_an_empty_set(
    world: World, argv: list[bytes], reply: object
) -> None:
    assert world.run(*argv) == reply
    assert world.heard() == []


@pytest.mark.parametrize("argv", [[b"smembers", b"x"], [b"spop", b"x", b"3"]])
def test_its_members_are_an_empty_set_too(world: World, argv: list[bytes]) -> None:
    reply = world.run(*argv)
    assert isinstance(reply, Members)
    assert reply.items == []


@pytest.mark.parametrize(
    "argv",
    [
        [b"sadd", b"s", b"a"],
        [b"srem", b"s", b"a"],
        [b"smove", b"s", b"x", b"a"],
        [b"smove", b"set", b"s", b"a"],
        [b"smembers", b"s"],
        [b"sismember", b"s", b"a"],
        [b"smismember", b"s", b"a"],
        [b"scard", b"s"],
        [b"spop", b"s"],
        [b"spop", b"s", b"0"],
        [b"srandmember", b"s"],
        [b"srandmember", b"s", b"0"],
        [b"sscan", b"s", b"0", b"NONSENSE"],
    ],
)
def test_a_value_of_another_type_is_refusal(world: World, argv: list[bytes]) -> None:
    world.run(b"set", b"s", b"v")
    world.run(b"sadd", b"set", b"a")
    world.heard()
    with pytest.raises(WrongType):
        world.run(*argv)
    assert world.heard() == []
    assert members(world, b"set") == [b"a"]


class TestChanges:
    def test_each_is_told_once_and_only_if_it_is_one(self, world: World) -> None:
        world.run(b"sadd", b"s", b"a", b"b")
        world.run(b"sadd", b"s", b"a")
        world.run(b"srem", b"s", b"x")
        world.run(b"srem", b"s", b"a", b"x")
        assert world.heard() == [("sadd", b"s"), ("srem", b"s")]

    def test_a_set_that_is_empty_is_deleted(self, world: World) -> None:
        world.run(b"sadd", b"s", b"a")
        world.run(b"srem", b"s", b"a")
        assert world.heard() == [("sadd", b"s"), ("srem", b"s"), ("delete", b"s")]


class TestMove:
    def test_the_member_is_in_the_other_set_then(self, world: World) -> None:
        world.run(b"sadd", b"s", b"a", b"b")
        assert world.run(b"smove", b"s", b"t", b"a") == 1
        assert (members(world, b"s"), members(world, b"t")) == ([b"b"], [b"a"])
        assert world.heard() == [("sadd", b"s"), ("srem", b"s"), ("sadd", b"t")]

    def test_the_last_one_takes_the_key_with_it(self, world: World) -> None:
        world.run(b"sadd", b"s", b"a")
        world.heard()
        assert world.run(b"smove", b"s", b"t", b"a") == 1
        assert world.heard() == [("srem", b"s"), ("delete", b"s"), ("sadd", b"t")]

    def test_where_it_is_there_already_it_is_removed_alone(self, world: World) -> None:
        world.run(b"sadd", b"s", b"a", b"b")
        world.run(b"sadd", b"t", b"a")
        world.heard()
        assert world.run(b"smove", b"s", b"t", b"a") == 1
        assert world.heard() == [("srem", b"s")]

    @pytest.mark.parametrize(("member", "reply"), [(b"a", 1), (b"x", 0)])
    def test_to_the_same_set_changes_nothing(self, world: World, member: bytes, reply: int) -> None:
        world.run(b"sadd", b"s", b"a")
        world.heard()
        assert world.run(b"smove", b"s", b"s", member) == reply
        assert world.heard() == []

    def test_without_the_source_the_destinations_type_does_not_matter(self, world: World) -> None:
        world.run(b"set", b"t", b"v")
        assert world.run(b"smove", b"x", b"t", b"a") == 0


class TestPop:
    def test_each_member_is_as_likely(self, world: World) -> None:
        popped: Counter[bytes] = Counter()
        for _ in range(2000):
            world.run(b"sadd", b"s", *numbered(4))
            popped[world.run(b"spop", b"s")] += 1
        assert popped.keys() == set(numbered(4))
        assert all(400 < count < 600 for count in popped.values())

    def test_a_count_pops_so_many(self, world: World) -> None:
        world.run(b"sadd", b"s", *numbered(10))
        world.heard()
        popped = world.run(b"spop", b"s", b"4").items
        assert sorted(popped + members(world, b"s")) == numbered(10)
        assert len(popped) == 4
        assert world.heard() == [("spop", b"s")]

    @pytest.mark.parametrize("count", [b"3", b"4", b"%d" % INT64_MAX])
    def test_a_count_of_all_deletes_the_key(self, world: World, count: bytes) -> None:
        world.run(b"sadd", b"s", *numbered(3))
        world.heard()
        assert sorted(world.run(b"spop", b"s", count).items) == numbered(3)
        assert world.heard() == [("spop", b"s"), ("delete", b"s")]

    def test_a_count_of_none_changes_nothing(self, world: World) -> None:
        world.run(b"sadd", b"s", b"a")
        world.heard()
        assert world.run(b"spop", b"s", b"0").items == []
        assert world.heard() == []

    @pytest.mark.parametrize("count", [b"-1", b"x", b"1.0", b"", b"9223372036854775808"])
    def test_what_is_no_count_is_refused(self, world: World, count: bytes) -> None:
        world.run(b"set", b"s", b"v")  # looked at before the type
        error = "ERR value is out of range, must be positive"
        assert refusal(world, b"spop", b"s", count) == error

    def test_more_than_a_count_is_a_syntax_error(self, world: World) -> None:
        assert refusal(world, b"spop", b"s", b"x", b"y").startswith("ERR syntax error")


class TestRandom:
    def test_one_stays_where_it_is(self, world: World) -> None:
        world.run(b"sadd", b"s", b"a")
        world.heard()
        assert world.run(b"srandmember", b"s") == b"a"
        assert world.heard() == []

    @pytest.mark.parametrize("count", [0, 1, 4, 5, 6, INT64_MAX])
    def test_a_count_gives_so_many_different_ones(self, world: World, count: int) -> None:
        world.run(b"sadd", b"s", *numbered(5))
        found = world.run(b"srandmember", b"s", b"%d" % count)
        assert len(found) == len(set(found)) == min(count, 5)
        assert set(found) <= set(numbered(5))

    def test_a_negative_count_gives_so_many_that_may_repeat(self, world: World) -> None:
        world.run(b"sadd", b"s", *numbered(3))
        found = Counter[bytes](world.run(b"srandmember", b"s", b"-3000"))
        assert found.keys() == set(numbered(3))
        assert found.total() == 3000
        assert all(850 < count < 1150 for count in found.values())

    def test_all_of_them_are_given_without_a_pool(self, world: World) -> None:
        world.run(b"sadd", b"s", *numbered(3))
        world.run(b"srandmember", b"s", b"3")
        assert world.db.values[b"s"]._pool is None

    def test_more_repeated_ones_than_memory_should_hold_are_refused(self, world: World) -> None:
        world.run(b"sadd", b"s", b"a")
        too_many = b"%d" % (-MAX_REPEATED - 1)
        assert refusal(world, b"srandmember", b"s", too_many) == "ERR value is out of range"
        assert refusal(world, b"srandmember", b"s", b"-%d" % 2**62) == "ERR value is out of range"

    @pytest.mark.parametrize(
        ("words", "error"),
        [
            ([b"x"], "ERR value is not an integer or out of range"),
            (
                [b"-9223372036854775808"],
                "ERR value is out of range, value must between "
                "-9223372036854775807 and 9223372036854775807",
            ),
            ([b"x", b"y"], "ERR syntax error"),
        ],
    )
    def test_what_is_no_count_is_refused(
        self, world: World, words: list[bytes], error: str
    ) -> None:
        world.run(b"set", b"s", b"v")  # looked at before the type
        assert refusal(world, b"srandmember", b"s", *words) == error


class TestScan:
    def test_a_small_set_comes_whole(self, world: World) -> None:
        world.run(b"sadd", b"s", *numbered(100))
        cursor, found = world.run(b"sscan", b"s", b"0", b"COUNT", b"2", b"MATCH", b"?")
        assert (cursor, sorted(found)) == (b"0", numbered(10))

    def test_a_big_one_comes_in_pages_and_what_stays_is_returned(self, world: World) -> None:
        world.run(b"sadd", b"s", *numbered(1000))
        cursor, found = world.run(b"sscan", b"s", b"0", b"COUNT", b"50")
        assert len(found) == 50
        world.run(b"srem", b"s", *numbered(500))
        while cursor != b"0":
            world.run(b"spop", b"s")
            cursor, page = world.run(b"sscan", b"s", cursor, b"COUNT", b"50")
            found += page
        assert set(members(world, b"s")) <= set(found)

    def test_a_wrong_cursor_comes_before_the_type_and_options_after(self, world: World) -> None:
        world.run(b"set", b"s", b"v")
        assert refusal(world, b"sscan", b"s", b"x", b"NONSENSE") == "ERR invalid cursor"
        world.run(b"sadd", b"t", b"a")
        assert refusal(world, b"sscan", b"t", b"0", b"NONSENSE") == "ERR syntax error"
        assert refusal(world, b"sscan", b"t", b"0", b"COUNT", b"0").startswith("ERR syntax error")


class TestType:
    @pytest.mark.parametrize(
        ("held", "encoding"),
        [
            ([b"1", b"-9223372036854775808"], "intset"),
            (numbered(512), "intset"),
            (numbered(513), "hashtable"),
            ([b"1", b"01"], "hashtable"),
            ([b"9223372036854775808"], "hashtable"),
            ([b"a"], "hashtable"),
        ],
    )
    def test_the_encoding_is_named_as_in_redis(self, held: list[bytes], encoding: str) -> None:
        assert SET.encoding(PooledSet(held)) == encoding

    def test_what_is_dumped_can_be_loaded(self) -> None:
        there = PooledSet([b"a", b"\xc3\xa4"])
        dumped = SET.dump(there, bytes.decode)
        assert sorted(dumped) == ["a", "ä"]
        loaded = SET.load(dumped, str.encode)
        assert (loaded, type(loaded)) == (there, PooledSet)

    @pytest.mark.parametrize("dumped", [[], {}, "text", None, [1], {"a": "b"}])
    def test_what_cannot_have_been_dumped_is_not_loaded(self, dumped: object) -> None:
        with pytest.raises(TypeError):
            SET.load(dumped, str.encode)

    def test_a_copy_is_independent(self) -> None:
        there = PooledSet([b"a"])
        copy = SET.copy(there)
        copy.put(b"b")
        assert (there, type(copy)) == ({b"a"}, PooledSet)

    def test_the_size_grows_with_the_members(self) -> None:
        small, big = PooledSet(numbered(1000)), PooledSet(numbered(2000))
        assert 1000 * 64 < SET.size(small) < SET.size(big) < 2 * SET.size(small) + 100_000
