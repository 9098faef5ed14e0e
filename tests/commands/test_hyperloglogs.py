"""HyperLogLogs as commands; what they count is tested with their structure."""

from __future__ import annotations

import pytest
from helpers_pure import World, refusal

from memdbd.errors import WrongType
from memdbd.replies import OK
from memdbd.structs import hyperloglog


@pytest.fixture
def world() -> World:
    return World()


NO_HLL = "Key is not a valid HyperLogLog string value."


class TestPfadd:
    def test_it_tells_whether_anything_has_changed(self, world: World) -> None:
        assert world.run(b"pfadd", b"k", b"a", b"b") == 1
        assert world.run(b"pfadd", b"k", b"b", b"a") == 0
        assert world.run(b"pfcount", b"k") == 2
        assert world.heard() == [("pfadd", b"k"), ("pfcount", b"k")]

    def test_without_elements_it_makes_an_empty_one(self, world: World) -> None:
        assert [world.run(b"pfadd", b"k") for _ in range(2)] == [1, 0]
        assert world.run(b"pfcount", b"k") == 0

    def test_the_deadline_stays(self, world: World) -> None:
        world.run(b"pfadd", b"k", b"a")
        world.run(b"expire", b"k", b"10")
        world.run(b"pfadd", b"k", b"b")
        assert world.run(b"ttl", b"k") == 10


class TestPfcount:
    def test_it_counts_what_was_added_to_any(self, world: World) -> None:
        world.run(b"pfadd", b"a", b"1", b"2")
        world.run(b"pfadd", b"b", b"2", b"3")
        assert world.run(b"pfcount", b"a", b"nothing", b"b") == 3
        assert world.run(b"pfcount", b"nothing") == 0
        assert world.run(b"pfcount", b"nothing", b"nothing") == 0

    def test_the_number_is_kept_in_the_value_as_in_redis(self, world: World) -> None:
        world.run(b"pfadd", b"k", b"a")
        world.run(b"pfcount", b"k")
        assert world.run(b"get", b"k")[8:16] == b"\1" + bytes(7)
        world.heard()
        world.run(b"pfcount", b"k")
        assert world.heard() == []


class TestPfmerge:
    def test_it_adds_what_was_added_to_others(self, world: World) -> None:
        world.run(b"pfadd", b"a", b"1", b"2")
        world.run(b"pfadd", b"b", b"2", b"3")
        world.heard()
        assert world.run(b"pfmerge", b"a", b"b", b"nothing") is OK
        assert world.run(b"pfcount", b"a") == 3
        assert world.heard() == [("pfadd", b"a"), ("pfcount", b"a")]

    def test_of_nothing_it_makes_an_empty_one(self, world: World) -> None:
        assert world.run(b"pfmerge", b"a") is OK
        assert world.run(b"get", b"a") == hyperloglog.create()


@pytest.mark.parametrize(
    "argv",
    [
        (b"pfadd", b"s", b"a"),
        (b"pfcount", b"s"),
        (b"pfcount", b"h", b"s"),
        (b"pfmerge", b"s", b"h"),
        (b"pfmerge", b"h", b"s"),
    ],
)
class TestRefusals:
    def test_another_string_is_none(self, world: World, argv: tuple[bytes, ...]) -> None:
        world.run(b"pfadd", b"h", b"a")
        world.run(b"set", b"s", b"HYLL")
        world.heard()
        assert refusal(world, *argv) == f"WRONGTYPE {NO_HLL}"
        assert world.heard() == []

    def test_another_type_is_none(self, world: World, argv: tuple[bytes, ...]) -> None:
        world.run(b"pfadd", b"h", b"a")
        world.run(b"rpush", b"s", b"x")
        with pytest.raises(WrongType):
            world.run(*argv)

    def test_a_broken_one_is_told_as_such(self, world: World, argv: tuple[bytes, ...]) -> None:
        world.run(b"pfadd", b"h", b"a")
        world.run(b"set", b"s", hyperloglog.create()[:-2])
        assert refusal(world, *argv) == "INVALIDOBJ Corrupted HLL object detected"
