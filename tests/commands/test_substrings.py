"""Parts of strings."""

from __future__ import annotations

import pytest
from helpers_pure import World, conversation

from memdbd.commands.substrings import MAX_VALUE
from memdbd.errors import CommandError, WrongType


@pytest.fixture
def world() -> World:
    return World()


class TestAppend:
    def test_it_gives_the_new_length_in_bytes(self, world: World) -> None:
        conversation(
            world,
            """
            > append k Hello
            {"result": 5}
            > append k " Wörld"
            {"result": 12}
            > append k and more words
            {"result": 26}
            > get k
            {"result": "Hello Wörldand more words", "ttl_remaining": null}
            """,
        )
        assert world.heard() == [("append", b"k")] * 3

    def test_the_deadline_stays(self, world: World) -> None:
        world.say("set_with_ttl k a 60")
        world.say("append k b")
        assert world.ask("get k") == {"result": "ab", "ttl_remaining": 60}

    def test_an_expired_value_is_not_appended_to(self, world: World) -> None:
        world.say("set_with_ttl k old 60")
        world.now += 60_000
        assert world.ask("append k new") == {"result": 3}
        assert world.ask("get k") == {"result": "new", "ttl_remaining": None}

    def test_a_value_does_not_grow_over_its_bound(self, world: World) -> None:
        world.db.set(b"k", bytes(MAX_VALUE))
        with pytest.raises(CommandError, match="string exceeds maximum allowed size"):
            world.run(b"append", b"k", b"x")
        assert len(world.db.get(b"k") or b"") == MAX_VALUE

    def test_a_value_may_grow_up_to_its_bound(self, world: World) -> None:
        world.db.set(b"k", bytes(MAX_VALUE - 1))
        assert world.run(b"append", b"k", b"x") == MAX_VALUE

    def test_nothing_appended_to_nothing_is_an_empty_value(self, world: World) -> None:
        assert world.run(b"append", b"k", b"") == 0
        assert world.run(b"exists", b"k") == 1


class TestSetrange:
    @pytest.mark.parametrize(
        ("value", "offset", "part", "after"),
        [
            (b"Hello World", b"6", b"Redis", b"Hello Redis"),
            (b"abc", b"1", b"x", b"axc"),
            (b"abc", b"2", b"xyz", b"abxyz"),
            (b"abc", b"5", b"x", b"abc\0\0x"),
            (b"", b"2", b"x", b"\0\0x"),
        ],
    )
    def test_it_overwrites_from_there_on(
        self, world: World, value: bytes, offset: bytes, part: bytes, after: bytes
    ) -> None:
        world.run(b"set", b"k", value)
        assert world.run(b"setrange", b"k", offset, part) == len(after)
        assert world.run(b"get", b"k") == after
        assert world.heard() == [("set", b"k"), ("setrange", b"k")]

    def test_an_empty_part_changes_nothing_and_makes_no_key(self, world: World) -> None:
        assert world.run(b"setrange", b"k", b"100", b"") == 0
        assert world.run(b"exists", b"k") == 0
        world.run(b"set", b"k", b"abc")
        assert world.run(b"setrange", b"k", b"%d" % (2**62), b"") == 3
        assert world.heard() == [("set", b"k")]

    @pytest.mark.parametrize(
        ("offset", "error"),
        [
            (b"-1", "offset is out of range"),
            (b"one", "value is not an integer or out of range"),
            (b"%d" % MAX_VALUE, "string exceeds maximum allowed size (proto-max-bulk-len)"),
            (b"%d" % (2**63 - 1), "string exceeds maximum allowed size (proto-max-bulk-len)"),
        ],
    )
    def test_an_offset_out_of_range_is_refused(
        self, world: World, offset: bytes, error: str
    ) -> None:
        with pytest.raises(CommandError) as refusal:
            world.run(b"setrange", b"k", offset, b"x")
        assert str(refusal.value) == error

    def test_the_deadline_stays(self, world: World) -> None:
        world.run(b"set", b"k", b"abc", b"EX", b"10")
        world.run(b"setrange", b"k", b"0", b"x")
        assert world.run(b"ttl", b"k") == 10


class TestGetrange:
    @pytest.mark.parametrize("name", [b"getrange", b"substr"])
    @pytest.mark.parametrize(
        ("start", "end", "part"),
        [
            (0, 3, b"This"),
            (-3, -1, b"ing"),
            (0, -1, b"This is a string"),
            (10, 100, b"string"),
            (5, 3, b""),
            (16, 20, b""),
            (-100, 3, b"This"),
            (-1, -3, b""),
            (0, -100, b"T"),  # what is before the first is the first
            (-100, -99, b"T"),
            (-99, -100, b""),  # unless they are the wrong way round
        ],
    )
    def test_it_gives_the_bytes_from_start_to_end(
        self, world: World, name: bytes, start: int, end: int, part: bytes
    ) -> None:
        world.run(b"set", b"k", b"This is a string")
        assert world.run(name, b"k", b"%d" % start, b"%d" % end) == part

    def test_there_is_nothing_in_nothing(self, world: World) -> None:
        assert world.run(b"getrange", b"k", b"0", b"-1") == b""
        world.run(b"set", b"k", b"")
        assert world.run(b"getrange", b"k", b"0", b"0") == b""


def test_strlen_counts_bytes(world: World) -> None:
    world.say("set k Wörld")
    assert world.ask("strlen k") == {"result": 6}
    assert world.ask("strlen x") == {"result": 0}


@pytest.mark.parametrize(
    "argv",
    [
        (b"append", b"l", b"v"),
        (b"strlen", b"l"),
        (b"setrange", b"l", b"0", b""),
        (b"getrange", b"l", b"0", b"1"),
        (b"substr", b"l", b"0", b"1"),
    ],
)
def test_what_is_no_string_is_refused_and_stays(world: World, argv: tuple[bytes, ...]) -> None:
    world.run(b"rpush", b"l", b"x")
    with pytest.raises(WrongType):
        world.run(*argv)
    assert world.heard() == [("rpush", b"l")]
