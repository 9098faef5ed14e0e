"""What is near a place."""

from __future__ import annotations

from typing import Any

import pytest
from helpers_pure import World, conversation, refusal

from memdbd.commands.geo_search import georadius, georadius_ro, georadiusbymember
from memdbd.dialects.resp_replies import ENCODERS

SYNTAX = "ERR syntax error"
NOT_A_FLOAT = "ERR value is not a valid float"
NOT_AN_INTEGER = "ERR value is not an integer or out of range"
NO_UNIT = "ERR unsupported unit provided. please use M, KM, FT, MI"
NO_MEMBER = "ERR could not decode requested zset member"
WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"

# Kilometres from 15 37: b 56.4413, c 130.4235 (and 166.2742 from a), a 190.4424, far 1368.6.
PLACES = b"13.361389 38.115556 a 15.087269 37.502669 b 13.583333 37.316667 c 2.35 48.85 far"
MIDDLE = "fromlonlat 15 37"


@pytest.fixture
def world() -> World:
    world = World()
    world.run(b"geoadd", b"k", *PLACES.split())
    world.heard()
    return world


def found(world: World, line: str) -> str:
    reply: Any = world.run(*line.encode().split())
    return b" ".join(reply).decode()


@pytest.mark.parametrize(
    ("line", "members"),
    [
        (f"geosearch k {MIDDLE} byradius 200 km asc", "b c a"),
        (f"geosearch k byradius 200000 M asc {MIDDLE}", "b c a"),
        (f"geosearch k {MIDDLE} byradius 200 km desc", "a c b"),
        (f"geosearch k {MIDDLE} byradius 200 km asc desc", "a c b"),
        (f"geosearch k {MIDDLE} byradius 100 mi asc", "b c"),
        (f"geosearch k {MIDDLE} byradius 2000 km asc", "b c a far"),
        (f"geosearch k {MIDDLE} byradius 0 m asc", ""),
        (f"geosearch k {MIDDLE} byradius 2000 km", "c a b far"),
        (f"geosearch k {MIDDLE} byradius 2000 km count 2", "b c"),
        (f"geosearch k {MIDDLE} byradius 2000 km count 2 desc", "far a"),
        (f"geosearch k {MIDDLE} byradius 2000 km count 99", "b c a far"),
        (f"geosearch k {MIDDLE} bybox 300 300 km asc", "b c a"),
        (f"geosearch k {MIDDLE} bybox 270 110 km asc", "c"),
        ("geosearch k frommember a byradius 100 km asc", "a c"),
        ("geosearch k frommember a frommember b byradius 10 km asc", "b"),
        ("georadius k 15 37 200 km asc", "b c a"),
        ("georadius k 15 37 200 km count 1", "b"),
        ("georadius_ro k 15 37 200 km desc", "a c b"),
        ("georadiusbymember k a 100 km asc", "a c"),
        ("georadiusbymember_ro k a 100 km desc", "c a"),
        # of nothing
        (f"geosearch x {MIDDLE} byradius 200 km", ""),
        ("geosearch x frommember a byradius 200 km", ""),
        ("georadius x 15 37 200 km", ""),
        ("georadiusbymember x a 200 km", ""),
        ("georadiusbymember x a nonsense of", ""),
    ],
)
def test_places_are_found(world: World, line: str, members: str) -> None:
    assert found(world, line) == members


def test_any_stops_as_soon_as_there_are_enough(world: World) -> None:
    line = f"geosearch k {MIDDLE} byradius 2000 km count 3 any"
    assert found(world, line) == "c a b"  # as they are met
    assert found(world, f"{line} asc") == "b c a"


def test_what_is_wanted_is_shown_in_a_fixed_order(world: World) -> None:
    line = "georadius k 15 37 100 km withcoord withhash withdist"
    reply = world.run(*line.encode().split())
    start = b"*1\r\n*4\r\n$1\r\nb\r\n$7\r\n56.4413\r\n:3479447370796909\r\n*2\r\n"
    assert ENCODERS[2].encode(reply) == (
        start + b"$20\r\n15.08726745843887329\r\n$20\r\n37.50266842333162032\r\n"
    )
    assert ENCODERS[3].encode(reply) == (
        start + b",15.08726745843887329\r\n,37.50266842333162032\r\n"
    )
    (place,) = world.run(*b"georadius k 15 37 100 km withdist".split())
    assert ENCODERS[3].encode(place) == b"*2\r\n$1\r\nb\r\n$7\r\n56.4413\r\n"
    (place,) = world.run(*b"georadius k 15 37 100 km withhash".split())
    assert place.fields == {"member": b"b", "hash": 3479447370796909}


class TestStore:
    @pytest.mark.parametrize(
        ("line", "event"),
        [
            (f"geosearchstore to k {MIDDLE} byradius 100 km", "geosearchstore"),
            ("georadius k 15 37 100 km store to", "georadiusstore"),
            ("georadiusbymember k b 1 km store to", "georadiusstore"),
        ],
    )
    def test_places_are_stored_over_whatever_was_there(
        self, world: World, line: str, event: str
    ) -> None:
        world.run(b"set", b"to", b"v")
        world.heard()
        assert world.run(*line.encode().split()) == 1
        assert world.heard() == [(event, b"to")]
        assert world.run(*b"zscore to b".split()) == world.run(*b"zscore k b".split())

    @pytest.mark.parametrize(
        "line",
        [
            f"geosearchstore to k {MIDDLE} byradius 100 km storedist",
            "georadius k 15 37 100 km storedist to",
            "georadius k 15 37 100 km store other storedist to",
        ],
    )
    def test_or_how_far_they_are_in_the_unit_that_was_said(self, world: World, line: str) -> None:
        assert world.run(*line.encode().split()) == 1
        assert world.run(*b"zscore to b".split()) == pytest.approx(56.4413, abs=1e-4)
        assert world.run(*b"exists other".split()) == 0

    @pytest.mark.parametrize(
        "line",
        [
            f"geosearchstore to k {MIDDLE} byradius 1 m",
            f"geosearchstore to x {MIDDLE} byradius 100 km",
            "georadius k 15 37 1 m store to",
            "georadius x 15 37 1 m store to",
            "georadiusbymember x a 1 m storedist to",
        ],
    )
    def test_where_nothing_is_found_the_key_is_deleted(self, world: World, line: str) -> None:
        world.run(b"set", b"to", b"v")
        world.heard()
        assert world.run(*line.encode().split()) == 0
        assert world.heard() == [("delete", b"to")]

    def test_only_so_many_are_stored(self, world: World) -> None:
        assert world.run(*f"geosearchstore k k {MIDDLE} byradius 2000 km count 2".encode().split())
        assert world.run(*b"zrange k 0 -1".split()) == [b"c", b"b"]


SHOWN = "is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
GEOSEARCH_ERRORS = [
    ("geosearch s 1 2 3 4 5", WRONG_TYPE),
    ("geosearch k fromlonlat 15 x byradius 1 m", NOT_A_FLOAT),
    (
        "geosearch k fromlonlat 15 99 byradius 1 m",
        "ERR invalid longitude,latitude pair 15.000000,99.000000",
    ),
    ("geosearch k frommember x byradius x m", NO_MEMBER),
    ("geosearch k frommember a fromlonlat 15 37 byradius 1 m", SYNTAX),
    (f"geosearch k {MIDDLE} frommember a byradius 1 m", SYNTAX),
    (f"geosearch k {MIDDLE} byradius 1 m bybox 1 1 m", SYNTAX),
    (f"geosearch k {MIDDLE} bybox 1 1 m byradius 1 m", SYNTAX),
    (f"geosearch k {MIDDLE} byradius x y", "ERR need numeric radius"),
    (f"geosearch k {MIDDLE} byradius -1 y", "ERR radius cannot be negative"),
    (f"geosearch k {MIDDLE} byradius 1 y", NO_UNIT),
    (f"geosearch k {MIDDLE} bybox x x y", "ERR need numeric width"),
    (f"geosearch k {MIDDLE} bybox -1 x y", "ERR need numeric height"),
    (f"geosearch k {MIDDLE} bybox 1 -1 y", "ERR height or width cannot be negative"),
    (f"geosearch k {MIDDLE} bybox 1 1 y", NO_UNIT),
    (f"geosearch k {MIDDLE} bybox 1 1", SYNTAX),
    (f"geosearch k {MIDDLE} byradius 1 m count 0", "ERR COUNT must be > 0"),
    (f"geosearch k {MIDDLE} byradius 1 m count x", NOT_AN_INTEGER),
    (f"geosearch k {MIDDLE} byradius 1 m count", SYNTAX),
    (f"geosearch k {MIDDLE} byradius 1 m any", "ERR the ANY argument requires COUNT argument"),
    (f"geosearch k {MIDDLE} byradius 1 m storedist", SYNTAX),
    (f"geosearch k {MIDDLE} byradius 1 m store to", SYNTAX),
    (
        "geosearch k byradius 1 m asc asc any",
        "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for GEOSEARCH",
    ),
    (
        f"geosearchstore to k {MIDDLE} asc any",
        "ERR exactly one of BYRADIUS and BYBOX can be specified for GEOSEARCHSTORE",
    ),
    ("geosearchstore to k asc asc asc asc withdist", f"ERR GEOSEARCHSTORE {SHOWN}"),
    ("geosearch x frommember a byradius x m", "ERR need numeric radius"),
]
OLDER_ERRORS = [
    ("georadius s x 37 1 m", WRONG_TYPE),
    ("georadius k x 37 x y", NOT_A_FLOAT),
    ("georadius x 15 37 x y", "ERR need numeric radius"),
    ("georadius k 15 37 1 y nonsense", NO_UNIT),
    ("georadius k 15 37 1 m nonsense", SYNTAX),
    ("georadius k 15 37 1 m store", SYNTAX),
    ("georadius k 15 37 1 m count 1 store to withhash", f"ERR STORE option in GEORADIUS {SHOWN}"),
    ("georadius k 15 37 1 m any", "ERR the ANY argument requires COUNT argument"),
    ("georadius_ro k 15 37 1 m store to", SYNTAX),
    ("georadiusbymember k x x y", NO_MEMBER),
    ("georadiusbymember k a -1 y", "ERR radius cannot be negative"),
    ("georadiusbymember x a 1 m nonsense", SYNTAX),
    ("georadiusbymember_ro k a 1 m storedist to", SYNTAX),
]


@pytest.mark.parametrize(("line", "error"), [*GEOSEARCH_ERRORS, *OLDER_ERRORS])
def test_errors_are_those_of_redis_in_its_order(world: World, line: str, error: str) -> None:
    world.run(b"set", b"s", b"v")
    world.heard()
    assert refusal(world, *line.encode().split()) == error
    assert world.heard() == []


@pytest.mark.parametrize(
    ("command", "line", "keys"),
    [
        (georadius, "georadius k 15 37 1 m", "k"),
        (georadius, "georadius k 15 37 1 m STORE to", "k to"),
        (georadius, "georadius k 15 37 1 m storedist two store one store x", "k one x two"),
        (georadius, "georadius k 15 37 store x 1 m store", "k"),
        (georadiusbymember, "georadiusbymember k a 1 m store to", "k to"),
        (georadius_ro, "georadius_ro k 15 37 1 m store to", "k"),
    ],
)
def test_the_key_that_is_stored_is_one_of_its_keys(command: Any, line: str, keys: str) -> None:
    assert list(command.keys_of(line.encode().split())) == keys.encode().split()


def test_it_is_spoken_in_text_too(world: World) -> None:
    conversation(
        world,
        """
        > geosearch k fromlonlat 15 37 byradius 150 km asc withdist
        {"result": [{"member": "b", "distance": 56.4413}, {"member": "c", "distance": 130.4235}]}
        > georadiusbymember k b 1 m withhash
        {"result": [{"member": "b", "hash": 3479447370796909}]}
        > geosearch k fromlonlat 15 37 bybox 400 400 km count 1
        {"result": ["b"]}
        """,
    )
    (place,) = world.ask("georadiusbymember k b 1 m withcoord withdist withhash")["result"]
    assert place == {
        "member": "b",
        "distance": 0.0,
        "hash": 3479447370796909,
        "longitude": 15.08726745843887329,
        "latitude": 37.50266842333162032,
    }
