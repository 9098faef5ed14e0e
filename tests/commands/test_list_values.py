"""Lists: inserting beside, removing and finding elements."""

from __future__ import annotations

import pytest
from helpers_pure import World, conversation, refusal

from memdbd.commands.arguments import INT64_MAX, INT64_MIN
from memdbd.errors import WrongType

NO_RANK = (
    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... "
    "or use negative to start from the end of the list"
)


@pytest.fixture
def world() -> World:
    return World()


def fill(world: World, letters: bytes) -> None:
    """Let ``k`` be a list of these letters alone."""
    world.db.delete(b"k")
    world.run(b"rpush", b"k", *(letters[at : at + 1] for at in range(len(letters))))
    world.heard()


def letters(world: World) -> bytes:
    return b"".join(world.run(b"lrange", b"k", b"0", b"-1"))


def test_in_text_a_value_with_blanks_is_inserted_found_and_removed(world: World) -> None:
    conversation(
        world,
        """
        > rpush k one three one
        {"result": 3}
        > linsert k before three some words
        {"result": 4}
        > lpos k some
        {"result": null}
        > lpos k one count 0
        {"result": [0, 3]}
        > lrem k 0 one
        {"result": 2}
        > lrem k 1 some words
        {"result": 1}
        > lrange k 0 -1
        {"result": ["three"]}
        """,
    )


class TestInsert:
    @pytest.mark.parametrize(
        ("side", "pivot", "expected"),
        [
            (b"BEFORE", b"a", b"xabab"),
            (b"after", b"a", b"axbab"),
            (b"Before", b"b", b"axbab"),
            (b"AFTER", b"b", b"abxab"),
        ],
    )
    def test_stands_beside_the_first_pivot(
        self, world: World, side: bytes, pivot: bytes, expected: bytes
    ) -> None:
        fill(world, b"abab")
        assert world.run(b"linsert", b"k", side, pivot, b"x") == 5
        assert letters(world) == expected
        assert world.heard() == [("linsert", b"k")]

    def test_without_a_pivot_or_a_list_nothing_is_done(self, world: World) -> None:
        assert world.run(b"linsert", b"k", b"before", b"a", b"x") == 0
        fill(world, b"abab")
        assert world.run(b"linsert", b"k", b"before", b"z", b"x") == -1
        assert world.heard() == []


class TestRemove:
    @pytest.mark.parametrize(
        ("count", "removed", "expected"),
        [
            (0, 4, b"bcb"),
            (1, 1, b"baacab"),
            (-1, 1, b"abaacb"),
            (2, 2, b"bacab"),
            (-2, 2, b"abacb"),
            (3, 3, b"bcab"),
            (4, 4, b"bcb"),
            (-4, 4, b"bcb"),
            (99, 4, b"bcb"),
            (INT64_MAX, 4, b"bcb"),
            (INT64_MIN, 4, b"bcb"),
        ],
    )
    def test_takes_so_many_from_either_end(
        self, world: World, count: int, removed: int, expected: bytes
    ) -> None:
        fill(world, b"abaacab")
        assert world.run(b"lrem", b"k", b"%d" % count, b"a") == removed
        assert letters(world) == expected
        assert world.heard() == [("lrem", b"k")]

    def test_the_last_takes_the_key_with_it(self, world: World) -> None:
        fill(world, b"aa")
        assert world.run(b"lrem", b"k", b"0", b"a") == 2
        assert world.heard() == [("lrem", b"k"), ("delete", b"k")]

    def test_what_is_not_there_is_no_change(self, world: World) -> None:
        assert world.run(b"lrem", b"k", b"0", b"a") == 0
        fill(world, b"bcb")
        assert world.run(b"lrem", b"k", b"-1", b"a") == 0
        assert letters(world) == b"bcb"
        assert world.heard() == []

    def test_the_count_is_looked_at_before_the_key(self, world: World) -> None:
        world.run(b"set", b"k", b"text")
        error = refusal(world, b"lrem", b"k", b"x", b"a")
        assert error == "ERR value is not an integer or out of range"


class TestPosition:
    @pytest.mark.parametrize(
        ("options", "found"),
        [
            ("", 0),
            ("RANK 2", 2),
            ("RANK 4", 5),
            ("RANK 5", None),
            ("RANK -1", 5),
            ("RANK -4", 0),
            ("RANK -5", None),
            (f"RANK {INT64_MAX}", None),
            (f"RANK -{INT64_MAX}", None),
            (f"RANK {INT64_MIN}", 5),  # as in Redis
            ("COUNT 0", [0, 2, 3, 5]),
            ("COUNT 2", [0, 2]),
            (f"COUNT {INT64_MAX}", [0, 2, 3, 5]),
            ("COUNT 0 RANK -1", [5, 3, 2, 0]),
            ("COUNT 2 RANK -2", [3, 2]),
            ("COUNT 1 RANK 9", []),
            (f"COUNT {INT64_MAX} RANK {INT64_MAX}", []),
            ("MAXLEN 1", 0),
            ("MAXLEN 0 RANK 4", 5),
            ("MAXLEN 5 RANK 4", None),
            ("MAXLEN 6 RANK 4", 5),
            ("COUNT 0 MAXLEN 3", [0, 2]),
            ("COUNT 0 MAXLEN 3 RANK -1", [5]),
            ("COUNT 0 MAXLEN 99 RANK -2", [3, 2, 0]),
            (f"COUNT 0 MAXLEN {INT64_MAX}", [0, 2, 3, 5]),
            ("count 9 COUNT 1 rank 1 RANK 2", [2]),
        ],
    )
    def test_rank_count_and_maxlen(
        self, world: World, options: str, found: int | list[int] | None
    ) -> None:
        fill(world, b"abaacab")
        assert world.run(b"lpos", b"k", b"a", *options.encode().split()) == found
        assert world.heard() == []

    @pytest.mark.parametrize("letters", [b"", b"bcb"])
    def test_of_nothing(self, world: World, letters: bytes) -> None:
        if letters:
            fill(world, letters)
        assert world.run(b"lpos", b"k", b"a") is None
        assert world.run(b"lpos", b"k", b"a", b"COUNT", b"0") == []

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ("RANK", "ERR syntax error"),
            ("COUNT", "ERR syntax error"),
            ("SOME 1", "ERR syntax error"),
            ("RANK 0", NO_RANK),
            ("RANK x", "ERR value is not an integer or out of range"),
            ("COUNT -1", "ERR COUNT can't be negative"),
            ("COUNT x", "ERR COUNT can't be negative"),
            ("MAXLEN -1", "ERR MAXLEN can't be negative"),
            ("MAXLEN x", "ERR MAXLEN can't be negative"),
            ("COUNT -1 SOME", "ERR COUNT can't be negative"),
        ],
    )
    def test_what_is_wrong_is_said_before_the_key_is_looked_at(
        self, world: World, options: str, error: str
    ) -> None:
        world.run(b"set", b"k", b"text")
        assert refusal(world, b"lpos", b"k", b"a", *options.encode().split()) == error


@pytest.mark.parametrize("request_", ["linsert k before a b", "lrem k 0 a", "lpos k a"])
def test_another_type_is_refusal(world: World, request_: str) -> None:
    world.run(b"set", b"k", b"text")
    with pytest.raises(WrongType):
        world.run(*request_.encode().split())
    assert world.run(b"get", b"k") == b"text"


def test_linsert_looks_at_its_side_before_the_key(world: World) -> None:
    world.run(b"set", b"k", b"text")
    assert refusal(world, b"linsert", b"k", b"aside", b"a", b"b") == "ERR syntax error"
