"""Lists, at their ends and by places."""

from __future__ import annotations

from collections import deque
from random import Random

import pytest
from helpers_pure import World, conversation, refusal

from memdbd.commands.arguments import INT64_MAX, INT64_MIN
from memdbd.commands.lists import BLOCK, LIST
from memdbd.errors import WrongType
from memdbd.replies import NULL_ARRAY, OK

SIZES = [0, 1, 2, 3, BLOCK - 1, BLOCK, 3 * BLOCK, 10 * BLOCK + 7]


@pytest.fixture
def world() -> World:
    return World()


def numbered(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def fill(world: World, *elements: bytes) -> None:
    """Let ``k`` be a list of these alone."""
    world.db.delete(b"k")
    if elements:
        world.run(b"rpush", b"k", *elements)
    world.heard()


def elements(world: World, key: bytes = b"k") -> list[bytes]:
    found: list[bytes] = world.run(b"lrange", key, b"0", b"-1")
    return found


def test_in_text_a_list_is_a_queue_at_both_ends(world: World) -> None:
    conversation(
        world,
        """
        > rpush queue a b
        {"result": 2}
        > lpush queue c d
        {"result": 4}
        > lrange queue 0 -1
        {"result": ["d", "c", "a", "b"]}
        > lpop queue
        {"result": "d"}
        > rpop queue 2
        {"result": ["b", "a"]}
        > llen queue
        {"result": 1}
        > lset queue 0 some words
        {"result": "OK"}
        > lindex queue -1
        {"result": "some words"}
        > type queue
        {"result": "list"}
        > object encoding queue
        {"result": "quicklist"}
        > lpop queue
        {"result": "some words"}
        > exists queue
        {"result": 0}
        """,
    )


class TestPush:
    def test_announces_itself_once(self, world: World) -> None:
        assert world.run(b"lpush", b"k", b"a", b"b") == 2
        assert world.run(b"rpush", b"k", b"c", b"d") == 4
        assert world.heard() == [("lpush", b"k"), ("rpush", b"k")]
        assert elements(world) == [b"b", b"a", b"c", b"d"]

    def test_keeps_a_deadline(self, world: World) -> None:
        fill(world, b"a")
        world.run(b"expire", b"k", b"100")
        world.run(b"rpush", b"k", b"b")
        assert world.run(b"ttl", b"k") == 100

    def test_to_a_list_that_has_expired_makes_a_new_one(self, world: World) -> None:
        fill(world, b"a")
        world.run(b"expire", b"k", b"1")
        world.now += 1000
        assert world.run(b"rpush", b"k", b"b") == 1
        assert world.run(b"ttl", b"k") == -1

    @pytest.mark.parametrize(("name", "expected"), [(b"lpushx", b"cba"), (b"rpushx", b"abc")])
    def test_only_to_a_list_that_is_there(self, world: World, name: bytes, expected: bytes) -> None:
        assert world.run(name, b"k", b"a") == 0
        assert world.run(b"exists", b"k") == 0
        assert world.heard() == []
        fill(world, b"a")
        assert world.run(name, b"k", b"b", b"c") == 3
        assert b"".join(elements(world)) == expected
        assert world.heard() == [(name[:-1].decode(), b"k")]


class TestPop:
    @pytest.mark.parametrize(("name", "popped"), [(b"lpop", b"a"), (b"rpop", b"c")])
    def test_takes_one(self, world: World, name: bytes, popped: bytes) -> None:
        fill(world, b"a", b"b", b"c")
        assert world.run(name, b"k") == popped
        assert world.run(b"llen", b"k") == 2
        assert world.heard() == [(name.decode(), b"k")]

    @pytest.mark.parametrize(
        ("name", "popped", "left"), [(b"lpop", b"abc", [b"d"]), (b"rpop", b"dcb", [b"a"])]
    )
    def test_takes_several(
        self, world: World, name: bytes, popped: bytes, left: list[bytes]
    ) -> None:
        fill(world, b"a", b"b", b"c", b"d")
        assert b"".join(world.run(name, b"k", b"3")) == popped
        assert world.heard() == [(name.decode(), b"k")]
        assert elements(world) == left

    @pytest.mark.parametrize("name", [b"lpop", b"rpop"])
    @pytest.mark.parametrize("count", [(), (b"2",), (b"%d" % INT64_MAX,)])
    def test_the_last_takes_the_key_with_it(
        self, world: World, name: bytes, count: tuple[bytes, ...]
    ) -> None:
        fill(world, b"a")
        assert world.run(name, b"k", *count) == ([b"a"] if count else b"a")
        assert world.heard() == [(name.decode(), b"k"), ("delete", b"k")]
        assert world.run(b"exists", b"k") == 0

    @pytest.mark.parametrize("name", [b"lpop", b"rpop"])
    def test_of_nothing_gives_nothing(self, world: World, name: bytes) -> None:
        assert world.run(name, b"k") is None
        assert world.run(name, b"k", b"0") is NULL_ARRAY
        assert world.run(name, b"k", b"1") is NULL_ARRAY
        fill(world, b"a")
        assert world.run(name, b"k", b"0") == []
        assert world.heard() == []

    @pytest.mark.parametrize("name", [b"lpop", b"rpop"])
    @pytest.mark.parametrize("count", [b"-1", b"x", b"", b"9223372036854775808"])
    def test_a_count_is_not_negative(self, world: World, name: bytes, count: bytes) -> None:
        world.run(b"set", b"k", b"text")  # which is of no interest before that
        assert refusal(world, name, b"k", count) == "ERR value is out of range, must be positive"


class TestRange:
    @pytest.mark.parametrize("size", SIZES)
    def test_is_a_slice(self, world: World, size: int) -> None:
        items = numbered(size)
        fill(world, *items)
        near = [0, 1, 2, BLOCK // 2, size // 2, size // 2 + BLOCK, size - 1, size, size + 1]
        for start in {*near, *(-place for place in near), INT64_MAX, INT64_MIN}:
            for stop in {*near, *(-place for place in near), INT64_MAX, INT64_MIN}:
                first = max(start + size, 0) if start < 0 else start
                last = stop + size if stop < 0 else stop
                expected = items[first : last + 1] if last >= 0 else []
                found = world.run(b"lrange", b"k", b"%d" % start, b"%d" % stop)
                assert (start, stop, found) == (start, stop, expected)

    def test_numbers_are_looked_at_before_the_key(self, world: World) -> None:
        world.run(b"set", b"s", b"text")
        for name in (b"lrange", b"ltrim"):
            for key in (b"s", b"missing"):
                error = refusal(world, name, key, b"0", b"x")
                assert error == "ERR value is not an integer or out of range"


class TestIndex:
    def test_counts_from_either_end(self, world: World) -> None:
        fill(world, b"a", b"b", b"c")
        found = [world.run(b"lindex", b"k", b"%d" % index) for index in (-4, -3, -1, 0, 2, 3)]
        assert found == [None, b"a", b"c", b"a", b"c", None]
        assert world.run(b"lindex", b"k", b"%d" % INT64_MIN) is None

    def test_a_missing_key_comes_before_a_number(self, world: World) -> None:
        assert world.run(b"lindex", b"k", b"x") is None
        fill(world, b"a")
        assert (
            refusal(world, b"lindex", b"k", b"x") == "ERR value is not an integer or out of range"
        )


class TestSet:
    def test_replaces_an_element(self, world: World) -> None:
        fill(world, b"a", b"b", b"c")
        assert world.run(b"lset", b"k", b"-1", b"z") is OK
        assert world.run(b"lset", b"k", b"0", b"y") is OK
        assert elements(world) == [b"y", b"b", b"z"]
        assert world.heard() == [("lset", b"k")] * 2

    def test_what_can_be_wrong(self, world: World) -> None:
        assert refusal(world, b"lset", b"k", b"x", b"v") == "ERR no such key"
        fill(world, b"a")
        assert refusal(world, b"lset", b"k", b"x", b"v") == (
            "ERR value is not an integer or out of range"
        )
        for index in (b"1", b"-2", b"%d" % INT64_MAX, b"%d" % INT64_MIN):
            assert refusal(world, b"lset", b"k", index, b"v") == "ERR index out of range"
        assert world.heard() == []


class TestTrim:
    @pytest.mark.parametrize("size", SIZES[1:])
    def test_leaves_a_slice(self, world: World, size: int) -> None:
        items = numbered(size)
        places = {0, 1, size // 4, size // 2, size - 1, size, -1, -2, -size, -size - 1}
        for start in places:
            for stop in places:
                fill(world, *items)
                expected = world.run(b"lrange", b"k", b"%d" % start, b"%d" % stop)
                assert world.run(b"ltrim", b"k", b"%d" % start, b"%d" % stop) is OK
                assert elements(world) == expected
                gone = [] if expected else [("delete", b"k")]
                assert world.heard() == [("ltrim", b"k"), *gone]

    def test_what_goes_is_buried_once(self, world: World) -> None:
        buried: list[object] = []
        world.db.bury = buried.append
        fill(world, *numbered(1000))
        items = LIST.get(world.db, b"k")
        world.run(b"ltrim", b"k", b"10", b"20")
        assert buried == [items]
        rest = LIST.get(world.db, b"k")
        world.run(b"ltrim", b"k", b"1", b"0")
        assert [len(each) for each in (items, rest)] == [1000, 11]  # type: ignore[arg-type]
        assert [id(each) for each in buried] == [id(items), id(rest)]

    def test_of_nothing_is_no_change(self, world: World) -> None:
        assert world.run(b"ltrim", b"k", b"0", b"1") is OK
        assert world.heard() == []


@pytest.mark.parametrize(
    "request_",
    [
        "lpush k a",
        "rpush k a",
        "lpushx k a",
        "rpushx k a",
        "lpop k",
        "rpop k",
        "lpop k 0",
        "lpop k 1",
        "llen k",
        "lrange k 0 1",
        "lindex k x",
        "lset k x v",
        "ltrim k 0 1",
    ],
)
def test_another_type_is_refusal(world: World, request_: str) -> None:
    world.run(b"set", b"k", b"text")
    world.heard()
    with pytest.raises(WrongType):
        world.run(*request_.encode().split())
    assert world.heard() == []
    assert world.run(b"get", b"k") == b"text"


def test_lists_are_what_a_deque_is(world: World) -> None:
    random = Random(3)
    model: deque[bytes] = deque()
    for number in range(3000):
        value = b"%d" % number
        match random.choice(["lpush", "rpush", "lpush", "rpush", "lpop", "rpop", "lset", "ltrim"]):
            case "lpush":
                model.appendleft(value)
                world.run(b"lpush", b"k", value)
            case "rpush":
                model.append(value)
                world.run(b"rpush", b"k", value)
            case "lpop":
                assert world.run(b"lpop", b"k") == (model.popleft() if model else None)
            case "rpop":
                assert world.run(b"rpop", b"k") == (model.pop() if model else None)
            case "lset" if model:
                place = random.randrange(len(model))
                model[place] = value
                world.run(b"lset", b"k", b"%d" % place, value)
            case "ltrim" if model:
                model.popleft()
                world.run(b"ltrim", b"k", b"1", b"-1")
        assert elements(world) == list(model)
