"""What SCAN and its kin have in common, and SCAN: arguments, pages, and what is never missed."""

from __future__ import annotations

from random import Random

import pytest
from helpers_pure import World, no_payload, refusal

from memdbd.commands.scanning import MOST, WHOLE, scan, scan_options
from memdbd.keyspace import Keyspace
from memdbd.structs.pool import Pool


@pytest.fixture
def world() -> World:
    return World()


def numbered(count: int) -> list[bytes]:
    return [b"key:%d" % number for number in range(count)]


def scanned_all(world: World, *words: bytes) -> list[bytes]:
    """All that a whole scan returns."""
    cursor, found = b"0", list[bytes]()
    while True:
        cursor, page = world.run(b"scan", cursor, *words)
        found += page
        if cursor == b"0":
            return found


class TestArguments:
    @pytest.mark.parametrize(
        "cursor", [b"0", b"", b"+0", b"-1", b"007", b"18446744073709551615", b"1\x002"]
    )
    def test_a_cursor_is_what_strtoul_reads(self, world: World, cursor: bytes) -> None:
        assert world.run(b"scan", cursor) == (b"0", [])

    @pytest.mark.parametrize(
        "cursor", [b"x", b" 0", b"0 ", b"1.5", b"-", b"18446744073709551616", b"9" * 100]
    )
    def test_what_else_is_sent_is_none(self, world: World, cursor: bytes) -> None:
        assert refusal(world, b"scan", cursor, b"nonsense") == "ERR invalid cursor"

    @pytest.mark.parametrize(
        ("words", "error"),
        [
            (b"MATCH", "syntax error"),
            (b"COUNT", "syntax error"),
            (b"TYPE", "syntax error"),
            (b"FOO 1", "syntax error"),
            (b"COUNT 0", "syntax error"),
            (b"COUNT -1 FOO", "syntax error"),
            (b"COUNT x FOO", "value is not an integer or out of range"),
            (b"COUNT 9223372036854775808", "value is not an integer or out of range"),
        ],
    )
    def test_options_that_are_wrong(self, world: World, words: bytes, error: str) -> None:
        assert refusal(world, b"scan", b"0", *words.split()) == f"ERR {error}"

    def test_the_type_is_an_option_for_keys_alone(self) -> None:
        with pytest.raises(Exception, match="syntax error"):
            scan_options([b"TYPE", b"set"])

    def test_however_many_are_asked_for_a_page_has_an_end(self) -> None:
        assert scan_options([b"count", b"9223372036854775807"]).count == MOST


class TestACollection:
    def test_a_small_one_is_given_whole_and_needs_no_pool(self) -> None:
        def no_pool() -> Pool[bytes]:
            raise AssertionError

        names = numbered(WHOLE)
        assert scan(names, no_pool, 0, [b"COUNT", b"1"]) == (b"0", names)
        assert scan(names, no_pool, 5, [b"MATCH", b"*:7"]) == (b"0", [b"key:7"])

    def test_a_larger_one_is_given_in_pages(self) -> None:
        names = numbered(WHOLE + 1)
        pool = Pool(names)
        cursor, page = scan(names, lambda: pool, 0, [])
        assert int(cursor) > 0
        assert len(page) == 10
        cursor, rest = scan(names, lambda: pool, int(cursor), [b"COUNT", b"1000"])
        assert cursor == b"0"
        assert sorted(page + rest) == sorted(names)


class TestScan:
    def test_all_keys_that_match_are_returned(self, world: World) -> None:
        for key in numbered(100):
            world.run(b"set", key, b"v")
        assert sorted(scanned_all(world)) == sorted(numbered(100))
        assert sorted(scanned_all(world, b"MATCH", b"key:7?")) == numbered(80)[70:]
        assert len(world.run(b"scan", b"0", b"COUNT", b"30")[1]) == 30

    def test_keys_of_a_type(self, world: World) -> None:
        world.run(b"set", b"a", b"v")
        world.run(b"rpush", b"b", b"v")
        world.run(b"sadd", b"c", b"v")
        assert scanned_all(world, b"TYPE", b"LiSt") == [b"b"]
        assert scanned_all(world, b"type", b"nonsense") == []
        assert scanned_all(world, b"TYPE", b"list", b"TYPE", b"set") == [b"c"]

    def test_expired_keys_are_not(self, world: World) -> None:
        for key in numbered(10):
            world.run(b"set", key, b"v")
        world.run(b"expire", b"key:3", b"10")
        assert len(scanned_all(world)) == 10
        world.now += 10_000
        assert sorted(scanned_all(world)) == sorted(set(numbered(10)) - {b"key:3"})

    def test_it_is_of_the_database_that_is_selected_also_after_a_swap(self, world: World) -> None:
        world.run(b"set", b"here", b"v")
        world.databases[1].set(b"there", b"v")
        assert scanned_all(world) == [b"here"]
        world.run(b"swapdb", b"0", b"1")
        assert scanned_all(world) == [b"there"]
        world.run(b"flushdb")
        assert scanned_all(world) == []


SIZE = 100_000


@pytest.mark.parametrize("seed", range(3))
def test_what_is_there_throughout_is_returned_whatever_comes_and_goes(seed: int) -> None:
    """100,000 keys, of which every other one stays; between two pages many of the others go, and
    come back, and new ones come, expire or change their names."""
    now, random = 0, Random(seed)
    db = Keyspace(lambda: now, lambda operation, key, effect: None, no_payload)
    for key in numbered(SIZE):
        db.set(key, b"v")
    staying, moving = set(numbered(SIZE)[::2]), numbered(SIZE)[1::2]
    cursor, found, pages = 0, set[bytes](), 0
    while cursor or not pages:
        cursor, page = db.scan(cursor, random.choice([1, 10, 1000]))
        found.update(page)
        pages += 1
        assert pages <= 3 * SIZE, "a scan comes to its end"
        for _ in range(random.choice([0, 20, 500])):
            key = moving[int(random.random() ** 2 * len(moving))]
            change = random.random()
            if change < 0.5:
                db.delete(key)
            elif change < 0.7:
                db.rename(key, b"renamed " + key)
            else:
                db.set(key, b"v", now + 5 if change < 0.8 else None)
        now += 1
    assert staying <= found
    assert found <= {*staying, *moving, *(b"renamed " + key for key in moving)}


def test_a_key_that_is_set_time_and_again_stays(world: World) -> None:
    for key in numbered(1000):
        world.run(b"set", key, b"v")
    cursor, found = b"0", set[bytes]()
    while cursor != b"0" or not found:
        cursor, page = world.run(b"scan", cursor)
        found.update(page)
        for key in numbered(1000)[::7]:
            world.run(b"set", key, b"another value")
            world.run(b"expire", key, b"100")
    assert found == set(numbered(1000))
