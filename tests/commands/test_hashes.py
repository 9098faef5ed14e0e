"""Fields and their values."""

from __future__ import annotations

from collections import Counter

import pytest
from helpers_pure import World, conversation, refusal

from memdbd.commands.arguments import INT64_MAX, INT64_MIN
from memdbd.commands.hashes import HASH
from memdbd.commands.sampling import MAX_REPEATED
from memdbd.dialects.resp_replies import ENCODERS
from memdbd.errors import WrongType
from memdbd.replies import OK, Pairs
from memdbd.structs.pooled import PooledDict


@pytest.fixture
def world() -> World:
    return World()


def numbered(count: int) -> dict[bytes, bytes]:
    return {b"%d" % number: b"v%d" % number for number in range(count)}


def fill(world: World, key: bytes, fields: dict[bytes, bytes]) -> None:
    world.run(b"hset", key, *(word for item in fields.items() for word in item))
    world.heard()


def test_in_text_the_value_of_hsetnx_is_the_rest_of_the_line(world: World) -> None:
    conversation(
        world,
        """
        > hsetnx u n John Smith
        {"result": 1}
        > hget u n
        {"result": "John Smith"}
        """,
    )


def test_in_text_a_hash_is_an_object_of_its_fields(world: World) -> None:
    conversation(
        world,
        """
        > hset user:1 name john age 41
        {"result": 2}
        > hset user:1 name "John Doe" mail j@example.org
        {"result": 1}
        > hget user:1 name
        {"result": "John Doe"}
        > hget user:1 phone
        {"result": null}
        > hmget user:1 age phone
        {"result": ["41", null]}
        > hgetall user:1
        {"result": {"name": "John Doe", "age": "41", "mail": "j@example.org"}}
        > hkeys user:1
        {"result": ["name", "age", "mail"]}
        > hvals user:1
        {"result": ["John Doe", "41", "j@example.org"]}
        > hlen user:1
        {"result": 3}
        > hexists user:1 age
        {"result": 1}
        > hstrlen user:1 name
        {"result": 8}
        > hincrby user:1 age 1
        {"result": 42}
        > hincrbyfloat user:1 age 0.5
        {"result": "42.5"}
        > hdel user:1 name age phone
        {"result": 2}
        > hmset user:1 mail john@example.org
        {"result": "OK"}
        > hdel user:1 mail
        {"result": 1}
        > exists user:1
        {"result": 0}
        """,
    )


@pytest.mark.parametrize(
    ("argv", "reply"),
    [
        ([b"hget", b"x", b"f"], None),
        ([b"hmget", b"x", b"f", b"g"], [None, None]),
        ([b"hgetall", b"x"], {}),
        ([b"hkeys", b"x"], []),
        ([b"hvals", b"x"], []),
        ([b"hdel", b"x", b"f"], 0),
        ([b"hexists", b"x", b"f"], 0),
        ([b"hlen", b"x"], 0),
        ([b"hstrlen", b"x", b"f"], 0),
        ([b"hrandfield", b"x"], None),
        ([b"hrandfield", b"x", b"2"], []),
        ([b"hrandfield", b"x", b"-2", b"WITHVALUES"], []),
        ([b"hscan", b"x", b"0", b"NONSENSE"], (b"0", {})),
    ],
)
def test_a_key_that_is_not_there_is_an_empty_hash(
    world: World, argv: list[bytes], reply: object
) -> None:
    assert world.run(*argv) == reply
    assert world.heard() == []


@pytest.mark.parametrize(
    "argv",
    [
        [b"hset", b"s", b"f", b"v"],
        [b"hmset", b"s", b"f", b"v"],
        [b"hsetnx", b"s", b"f", b"v"],
        [b"hget", b"s", b"f"],
        [b"hmget", b"s", b"f"],
        [b"hgetall", b"s"],
        [b"hkeys", b"s"],
        [b"hvals", b"s"],
        [b"hdel", b"s", b"f"],
        [b"hexists", b"s", b"f"],
        [b"hlen", b"s"],
        [b"hstrlen", b"s", b"f"],
        [b"hincrby", b"s", b"f", b"1"],
        [b"hincrbyfloat", b"s", b"f", b"1"],
        [b"hrandfield", b"s"],
        [b"hrandfield", b"s", b"0"],
        [b"hscan", b"s", b"0", b"NONSENSE"],
    ],
)
def test_a_value_of_another_type_is_refusal(world: World, argv: list[bytes]) -> None:
    world.run(b"set", b"s", b"v")
    world.heard()
    with pytest.raises(WrongType):
        world.run(*argv)
    assert world.heard() == []


class TestSet:
    @pytest.mark.parametrize("name", [b"hset", b"hmset"])
    def test_a_field_without_a_value_is_refused_before_the_type(
        self, world: World, name: bytes
    ) -> None:
        world.run(b"set", b"s", b"v")
        error = f"ERR wrong number of arguments for '{name.decode()}' command"
        assert refusal(world, name, b"s", b"f", b"v", b"g") == error

    def test_a_field_that_is_given_twice_is_one(self, world: World) -> None:
        assert world.run(b"hset", b"h", b"f", b"1", b"f", b"2") == 1
        assert world.run(b"hget", b"h", b"f") == b"2"

    def test_each_way_is_told_as_one_change(self, world: World) -> None:
        assert world.run(b"hset", b"h", b"f", b"1", b"g", b"2") == 2
        assert world.run(b"hset", b"h", b"f", b"1") == 0
        assert world.run(b"hmset", b"h", b"f", b"1") is OK
        assert world.run(b"hsetnx", b"h", b"e", b"1") == 1
        assert world.heard() == [("hset", b"h")] * 4

    def test_nx_leaves_what_is_there(self, world: World) -> None:
        fill(world, b"h", {b"f": b"1"})
        assert world.run(b"hsetnx", b"h", b"f", b"2") == 0
        assert world.run(b"hget", b"h", b"f") == b"1"
        assert world.heard() == []

    def test_an_empty_field_and_value_are_there(self, world: World) -> None:
        world.run(b"hset", b"h", b"", b"")
        assert world.run(b"hgetall", b"h") == {b"": b""}
        assert world.run(b"hexists", b"h", b"") == 1
        assert world.run(b"hdel", b"h", b"") == 1


class TestGetAll:
    def test_later_changes_are_not_seen_in_it(self, world: World) -> None:
        fill(world, b"h", {b"f": b"1"})
        reply = world.run(b"hgetall", b"h")
        world.run(b"hset", b"h", b"f", b"2")
        assert (reply, type(reply)) == ({b"f": b"1"}, dict)


class TestDelete:
    def test_it_is_told_only_if_there_was_one(self, world: World) -> None:
        fill(world, b"h", numbered(3))
        world.run(b"hdel", b"h", b"x")
        world.run(b"hdel", b"h", b"0", b"x", b"0")
        assert world.heard() == [("hdel", b"h")]

    def test_a_hash_that_is_empty_is_deleted(self, world: World) -> None:
        fill(world, b"h", numbered(2))
        assert world.run(b"hdel", b"h", b"0", b"1") == 2
        assert world.heard() == [("hdel", b"h"), ("delete", b"h")]


class TestIncrease:
    def test_what_is_not_there_is_0(self, world: World) -> None:
        assert world.run(b"hincrby", b"h", b"f", b"-3") == -3
        assert world.run(b"hincrbyfloat", b"i", b"f", b"1.5") == b"1.5"
        assert world.run(b"hget", b"h", b"f") == b"-3"
        assert world.heard() == [("hincrby", b"h"), ("hincrbyfloat", b"i")]

    def test_a_fraction_is_added_as_c_does_it(self, world: World) -> None:
        fill(world, b"h", {b"f": b"3.1"})
        assert world.run(b"hincrbyfloat", b"h", b"f", b"0.2") == b"3.3"
        assert world.run(b"hincrbyfloat", b"h", b"f", b"1.7e1") == b"20.3"

    @pytest.mark.parametrize(
        ("value", "increment", "sum_"),
        [
            (INT64_MAX - 1, 1, INT64_MAX),
            (INT64_MIN + 1, -1, INT64_MIN),
            (INT64_MAX, INT64_MIN, -1),
        ],
    )
    def test_the_sum_may_be_any_integer_of_64_bits(
        self, world: World, value: int, increment: int, sum_: int
    ) -> None:
        fill(world, b"h", {b"f": b"%d" % value})
        assert world.run(b"hincrby", b"h", b"f", b"%d" % increment) == sum_

    @pytest.mark.parametrize(
        ("name", "value", "increment", "error"),
        [
            ("hincrby", "1", "x", "ERR value is not an integer or out of range"),
            ("hincrby", "x", "x", "ERR value is not an integer or out of range"),
            ("hincrby", "x", "1", "ERR hash value is not an integer"),
            ("hincrby", "01", "1", "ERR hash value is not an integer"),
            ("hincrby", str(INT64_MAX), "1", "ERR increment or decrement would overflow"),
            ("hincrby", str(INT64_MIN), "-1", "ERR increment or decrement would overflow"),
            ("hincrbyfloat", "1", "x", "ERR value is not a valid float"),
            ("hincrbyfloat", "1", "nan", "ERR value is not a valid float"),
            ("hincrbyfloat", "1", "1e5000", "ERR value is not a valid float"),
            ("hincrbyfloat", "x", "-inf", "ERR value is NaN or Infinity"),
            ("hincrbyfloat", "x", "1", "ERR hash value is not a float"),
            ("hincrbyfloat", " 1", "1", "ERR hash value is not a float"),
            ("hincrbyfloat", "inf", "1", "ERR increment would produce NaN or Infinity"),
            ("hincrbyfloat", "1e4932", "1e4932", "ERR increment would produce NaN or Infinity"),
        ],
    )
    def test_what_cannot_be_added_is_refused(
        self, world: World, name: str, value: str, increment: str, error: str
    ) -> None:
        fill(world, b"h", {b"f": value.encode()})
        assert refusal(world, name.encode(), b"h", b"f", increment.encode()) == error
        assert world.run(b"hget", b"h", b"f") == value.encode()
        assert world.heard() == []

    @pytest.mark.parametrize("name", [b"hincrby", b"hincrbyfloat"])
    def test_the_increment_is_read_before_the_type(self, world: World, name: bytes) -> None:
        world.run(b"set", b"s", b"v")
        assert refusal(world, name, b"s", b"f", b"x").startswith("ERR value is not a")


class TestRandom:
    def test_each_field_is_as_likely(self, world: World) -> None:
        fill(world, b"h", numbered(4))
        found = Counter[bytes](world.run(b"hrandfield", b"h") for _ in range(2000))
        assert found.keys() == numbered(4).keys()
        assert all(400 < count < 600 for count in found.values())

    @pytest.mark.parametrize("count", [0, 1, 4, 5, 6, INT64_MAX])
    def test_a_count_gives_so_many_different_ones(self, world: World, count: int) -> None:
        fill(world, b"h", numbered(5))
        found = world.run(b"hrandfield", b"h", b"%d" % count)
        assert len(found) == len(set(found)) == min(count, 5)
        assert set(found) <= numbered(5).keys()

    def test_a_negative_count_gives_so_many_that_may_repeat(self, world: World) -> None:
        fill(world, b"h", numbered(2))
        found = Counter[bytes](world.run(b"hrandfield", b"h", b"-2000"))
        assert found.total() == 2000
        assert all(850 < found[field] < 1150 for field in numbered(2))

    @pytest.mark.parametrize("count", [b"3", b"9", b"-9"])
    def test_their_values_may_stand_beside_them(self, world: World, count: bytes) -> None:
        fill(world, b"h", numbered(3))
        pairs = world.run(b"hrandfield", b"h", count, b"withvalues")
        assert type(pairs) is Pairs
        assert len(pairs.items) == abs(int(count)) or count == b"9"
        assert set(pairs.items) <= set(numbered(3).items())

    def test_more_repeated_ones_than_memory_should_hold_are_refused(self, world: World) -> None:
        fill(world, b"h", numbered(1))
        too_many = b"%d" % (-MAX_REPEATED - 1)
        assert refusal(world, b"hrandfield", b"h", too_many) == "ERR value is out of range"
        too_many = b"-%d" % (2**62 - 1)
        assert refusal(world, b"hrandfield", b"h", too_many, b"WITHVALUES") == (
            "ERR value is out of range"
        )

    @pytest.mark.parametrize(
        ("words", "error"),
        [
            ("x", "ERR value is not an integer or out of range"),
            ("x WITHVALUES y", "ERR value is not an integer or out of range"),
            (
                "-9223372036854775808",
                "ERR value is out of range, value must between "
                "-9223372036854775807 and 9223372036854775807",
            ),
            ("9223372036854775807 x", "ERR syntax error"),
            ("1 WITHVALUES y", "ERR syntax error"),
            ("4611686018427387904 WITHVALUES", "ERR value is out of range"),
            ("-4611686018427387904 WITHVALUES", "ERR value is out of range"),
            (
                "4611686018427387903 WITHVALUES",
                "WRONGTYPE Operation against a key holding the wrong kind of value",
            ),
        ],
    )
    def test_the_options_are_read_before_the_type(
        self, world: World, words: str, error: str
    ) -> None:
        world.run(b"set", b"s", b"v")
        assert refusal(world, b"hrandfield", b"s", *words.encode().split()) == error


class TestScan:
    def test_fields_and_values_stand_by_turns_in_resp(self, world: World) -> None:
        fill(world, b"h", {b"f": b"v"})
        page = world.run(b"hscan", b"h", b"0")
        assert page == (b"0", {b"f": b"v"})
        flat = b"*2\r\n$1\r\n0\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n"
        assert ENCODERS[2].encode(page) == ENCODERS[3].encode(page) == flat

    def test_and_are_an_object_in_text(self, world: World) -> None:
        fill(world, b"h", {b"f": b"v"})
        conversation(
            world,
            """
            > hscan h 0
            {"result": {"cursor": "0", "found": {"f": "v"}}}
            > hscan nothing 0
            {"result": {"cursor": "0", "found": {}}}
            > hrandfield h 1 withvalues
            {"result": [{"field": "f", "value": "v"}]}
            """,
        )

    def test_a_pattern_is_for_the_fields(self, world: World) -> None:
        fill(world, b"h", {b"ab": b"v", b"b": b"ab"})
        assert world.run(b"hscan", b"h", b"0", b"MATCH", b"a*") == (b"0", {b"ab": b"v"})

    def test_a_big_one_comes_in_pages_and_what_stays_is_returned(self, world: World) -> None:
        fill(world, b"h", numbered(1000))
        found: dict[bytes, bytes] = {}
        cursor = b"0"
        for step in range(100):
            cursor, page = world.run(b"hscan", b"h", cursor, b"COUNT", b"30")
            found |= page
            world.run(b"hdel", b"h", b"%d" % step)
            world.run(b"hset", b"h", b"new%d" % step, b"v")
            if cursor == b"0":
                break
        assert cursor == b"0"
        kept = {field: value for field, value in numbered(1000).items() if int(field) > step}
        assert kept.items() <= found.items()

    def test_a_wrong_cursor_comes_before_the_type_and_options_after(self, world: World) -> None:
        world.run(b"set", b"s", b"v")
        assert refusal(world, b"hscan", b"s", b"x", b"NONSENSE") == "ERR invalid cursor"
        fill(world, b"h", numbered(1))
        assert refusal(world, b"hscan", b"h", b"0", b"NONSENSE") == "ERR syntax error"


class TestType:
    @pytest.mark.parametrize(
        ("fields", "encoding"),
        [
            ({b"f": b"v"}, "listpack"),
            ({b"f" * 64: b"v" * 64}, "listpack"),
            ({b"f" * 65: b"v"}, "hashtable"),
            ({b"f": b"v" * 65}, "hashtable"),
            (numbered(512), "listpack"),
            (numbered(513), "hashtable"),
        ],
    )
    def test_the_encoding_is_named_as_in_redis(
        self, fields: dict[bytes, bytes], encoding: str
    ) -> None:
        assert HASH.encoding(PooledDict(fields)) == encoding

    def test_what_is_dumped_can_be_loaded(self) -> None:
        fields = PooledDict({b"a": b"1", b"\xc3\xa4": b""})
        dumped = HASH.dump(fields, bytes.decode)
        assert dumped == {"a": "1", "ä": ""}
        loaded = HASH.load(dumped, str.encode)
        assert (loaded, type(loaded)) == (fields, PooledDict)

    @pytest.mark.parametrize("dumped", [[], {}, "text", None, ["a"], {"a": 1}])
    def test_what_cannot_have_been_dumped_is_not_loaded(self, dumped: object) -> None:
        with pytest.raises(TypeError):
            HASH.load(dumped, str.encode)

    def test_a_copy_is_independent(self) -> None:
        fields = PooledDict({b"a": b"1"})
        copy = HASH.copy(fields)
        copy.put(b"a", b"2")
        assert (fields, type(copy)) == ({b"a": b"1"}, PooledDict)

    def test_the_size_counts_fields_and_values(self) -> None:
        fields = {b"%d" % number: b"v" * 1000 for number in range(100)}
        assert 100_000 < HASH.size(PooledDict(fields)) < 125_000
