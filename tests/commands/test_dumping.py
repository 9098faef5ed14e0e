"""DUMP and RESTORE: values of all types there and back, and all that is no payload of ours."""

from __future__ import annotations

from zlib import crc32

import orjson
import pytest
from helpers_pure import NOW, World, refusal
from hypothesis import given
from hypothesis import strategies as st

from memdbd.commands.arguments import INT64_MAX
from memdbd.commands.dumping import VERSION
from memdbd.structs.sortedset import SortedSet

WRONG = "ERR DUMP payload version or checksum are wrong"
BYTES = st.binary(max_size=20)
VALUES = st.one_of(
    st.tuples(st.just(b"set"), BYTES.map(lambda value: [value])),
    st.tuples(st.sampled_from([b"rpush", b"sadd"]), st.lists(BYTES, min_size=1)),
    st.tuples(
        st.just(b"hset"),
        st.dictionaries(BYTES, BYTES, min_size=1).map(
            lambda fields: [word for pair in fields.items() for word in pair]
        ),
    ),
    st.tuples(
        st.just(b"zadd"),
        st.dictionaries(BYTES, st.floats(allow_nan=False), min_size=1).map(
            lambda scores: [
                word for each, score in scores.items() for word in (repr(score).encode(), each)
            ]
        ),
    ),
)


@pytest.fixture
def world() -> World:
    return World()


def payload(value: object, version: int = VERSION) -> bytes:
    """What says of itself that it is a payload."""
    body = orjson.dumps(value) + bytes([version])
    return body + crc32(body).to_bytes(4, "big")


@given(VALUES)
def test_what_was_dumped_is_restored(made: tuple[bytes, list[bytes]]) -> None:
    world = World()
    command, words = made
    world.run(command, b"k", *words)
    assert world.run(b"restore", b"new", b"0", world.run(b"dump", b"k")).text == "OK"
    old, new = world.db.values[b"k"], world.db.values[b"new"]
    assert new.__class__ is old.__class__
    assert list(new) == list(old) if isinstance(old, SortedSet) else new == old


def test_there_is_nothing_to_dump_of_no_key(world: World) -> None:
    assert world.run(b"dump", b"k") is None


class TestRestore:
    @pytest.mark.parametrize(
        ("words", "deadline"),
        [
            (b"0", None),
            (b"0 ABSTTL", None),
            (b"1500", NOW + 1500),
            (b"%d absttl" % (NOW + 1500), NOW + 1500),
        ],
    )
    def test_the_deadline_is_given_in_milliseconds(
        self, world: World, words: bytes, deadline: int | None
    ) -> None:
        milliseconds, *options = words.split()
        world.run(b"restore", b"k", milliseconds, payload(["string", "v"]), *options)
        assert world.db.deadlines.get(b"k") == deadline
        assert world.heard() == [("restore", b"k")]

    def test_one_that_has_passed_leaves_no_key(self, world: World) -> None:
        world.run(b"set", b"old", b"v")
        world.heard()
        for key in (b"new", b"old"):
            world.run(b"restore", key, b"%d" % NOW, payload(["string", "v"]), b"ABSTTL", b"REPLACE")
        assert world.run(b"dbsize") == 0
        assert world.heard() == [("delete", b"old")]

    def test_what_is_there_is_replaced_only_if_that_is_said(self, world: World) -> None:
        dumped = payload(["list", ["a", "b"]])
        world.run(b"set_with_ttl", b"k", b"v", b"10")
        assert (
            refusal(world, b"restore", b"k", b"-5", b"no payload")
            == "BUSYKEY Target key name already exists."
        )
        world.run(b"restore", b"k", b"0", dumped, b"REPLACE", b"IDLETIME", b"7")
        assert world.run(b"lrange", b"k", b"0", b"-1") == [b"a", b"b"]
        assert world.run(b"ttl", b"k") == -1

    @pytest.mark.parametrize(
        ("words", "error"),
        [
            (b"x FOO", "syntax error"),
            (b"x IDLETIME", "syntax error"),
            (b"x IDLETIME -1", "Invalid IDLETIME value, must be >= 0"),
            (b"x IDLETIME x", "value is not an integer or out of range"),
            (b"x FREQ 256", "Invalid FREQ value, must be >= 0 and <= 255"),
            (b"x FREQ -1", "Invalid FREQ value, must be >= 0 and <= 255"),
            (b"x FREQ x", "value is not an integer or out of range"),
            (b"x FREQ 1 IDLETIME 1", "syntax error"),
            (b"x IDLETIME 0 FREQ 1", "syntax error"),
            (b"x REPLACE", "value is not an integer or out of range"),
            (b"-1", "Invalid TTL value, must be >= 0"),
            (b"%d" % INT64_MAX, "DUMP payload version or checksum are wrong"),
            (b"0 ABSTTL REPLACE FREQ 255", "DUMP payload version or checksum are wrong"),
        ],
    )
    def test_what_is_refused_in_the_order_of_redis(
        self, world: World, words: bytes, error: str
    ) -> None:
        milliseconds, *options = words.split()
        assert refusal(world, b"restore", b"k", milliseconds, b"x", *options) == f"ERR {error}"
        assert world.heard() == []

    def test_a_time_that_is_too_far_away_is_refused(self, world: World) -> None:
        dumped = payload(["list", ["a"]])
        assert (
            refusal(world, b"restore", b"k", b"%d" % INT64_MAX, dumped)
            == "ERR invalid expire time in 'restore' command"
        )


class TestAPayload:
    def test_one_that_is_damaged_anywhere_is_refused(self, world: World) -> None:
        dumped = payload(["list", ["one", "two"]])
        for at in range(len(dumped)):
            damaged = dumped[:at] + bytes([dumped[at] ^ 1]) + dumped[at + 1 :]
            assert refusal(world, b"restore", b"k", b"0", damaged) == WRONG
            assert refusal(world, b"restore", b"k", b"0", dumped[:at]) == WRONG

    def test_one_of_another_version_is_refused(self, world: World) -> None:
        other = payload(["string", "v"], version=VERSION + 1)
        assert refusal(world, b"restore", b"k", b"0", other) == WRONG

    def test_one_of_redis_is_refused(self, world: World) -> None:
        theirs = b"\x00\x01v\x0a\x00\xb0\xa5\x3e\x8c\x3c\x1e\x5e\x14"
        assert refusal(world, b"restore", b"k", b"0", theirs) == WRONG
        assert refusal(world, b"restore", b"k", b"0", b"") == WRONG
        assert refusal(world, b"restore", b"k", b"0", bytes(12)) == WRONG

    @pytest.mark.parametrize(
        "value",
        [
            None,
            [],
            ["string"],
            ["string", "v", "more"],
            ["stream", []],
            [["list"], ["v"]],
            ["string", 5],
            ["string", "\u0100"],
            ["list", []],
            ["list", 5],
            ["list", [5]],
            ["set", []],
            ["set", [None]],
            ["hash", {}],
            ["hash", {"f": 1}],
            ["hash", ["f", "v"]],
            ["hash", "fv"],
            ["zset", []],
            ["zset", ["a"]],
            ["zset", [["a", "x"]]],
            ["zset", [["a", "nan"]]],
            ["zset", [["a", [1]]]],
        ],
    )
    def test_one_that_nobody_dumped_is_refused(self, world: World, value: object) -> None:
        made_up = payload(value)
        assert refusal(world, b"restore", b"k", b"0", made_up) == "ERR Bad data format"
        assert world.heard() == []
