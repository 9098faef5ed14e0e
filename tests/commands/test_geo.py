"""Places that are named: where they are, and how far apart."""

from __future__ import annotations

import pytest
from helpers_pure import World, conversation, refusal

from memdbd.dialects.resp_replies import ENCODERS

SYNTAX = "ERR syntax error"
NOT_A_FLOAT = "ERR value is not a valid float"
NO_UNIT = "ERR unsupported unit provided. please use M, KM, FT, MI"
WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"


@pytest.fixture
def world() -> World:
    """The example of Redis's documentation: Palermo and Catania."""
    world = World()
    world.run(*b"geoadd sicily 13.361389 38.115556 Palermo 15.087269 37.502669 Catania".split())
    world.heard()
    return world


def test_in_text_places_are_numbers_and_objects_of_them(world: World) -> None:
    conversation(
        world,
        """
        > geoadd sicily 14.01 37.49 Enna 13.58 37.31 Agrigento
        {"result": 2}
        > geodist sicily Palermo Catania km
        {"result": 166.2742}
        > geohash sicily Palermo nowhere
        {"result": ["sqc8b49rny0", null]}
        > geopos sicily Palermo nowhere
        {"result": [{"longitude": 13.36138933897018433, "latitude": 38.11555639549629859}, null]}
        > geodist sicily Palermo Catania parsec
        {"error": "unsupported unit provided. please use M, KM, FT, MI"}
        """,
    )


class TestAdd:
    def test_it_is_zadd_with_a_score_that_says_where(self, world: World) -> None:
        assert world.run(b"zscore", b"sicily", b"Palermo") == 3479099956230698.0
        assert world.run(*b"geoadd sicily ch 13 38 Palermo 14 37 new".split()) == 2
        assert world.heard() == [("zadd", b"sicily")]

    @pytest.mark.parametrize(
        ("words", "reply", "count"),
        [
            ("nx 13 38 Palermo", 0, 2),
            ("nx 13 38 new", 1, 3),
            ("xx 13 38 new", 0, 2),
            ("xx ch 13 38 Palermo", 1, 2),
            ("NX CH 13 38 Palermo 13 38 new", 1, 3),
        ],
    )
    def test_options_say_who_is_placed(
        self, world: World, words: str, reply: int, count: int
    ) -> None:
        assert world.run(b"geoadd", b"sicily", *words.encode().split()) == reply
        assert world.run(b"zcard", b"sicily") == count

    @pytest.mark.parametrize(
        ("words", "error"),
        [
            ("1 2 a 3", SYNTAX),
            ("nx xx 1 2 a", SYNTAX),
            ("ch ch ch", SYNTAX),
            ("incr 1 2 a", SYNTAX),
            ("x 2 a", NOT_A_FLOAT),
            ("1 nan a", NOT_A_FLOAT),
            ("181 2 a", "ERR invalid longitude,latitude pair 181.000000,2.000000"),
            ("1 -85.06 a", "ERR invalid longitude,latitude pair 1.000000,-85.060000"),
            ("1 inf a", "ERR invalid longitude,latitude pair 1.000000,inf"),
            ("1 2 a 3 x b", NOT_A_FLOAT),
            ("1 2 a", WRONG_TYPE),
        ],
    )
    def test_what_is_wrong_is_said_before_the_type_of_the_key(
        self, world: World, words: str, error: str
    ) -> None:
        world.run(b"set", b"s", b"v")
        assert refusal(world, b"geoadd", b"s", *words.encode().split()) == error


@pytest.mark.parametrize(
    ("unit", "distance"),
    [
        ("", "166274.1516"),
        ("m", "166274.1516"),
        ("km", "166.2742"),
        ("Mi", "103.3182"),
        ("FT", "545518.8700"),
    ],
)
def test_a_distance_is_in_any_unit(world: World, unit: str, distance: str) -> None:
    line = f"geodist sicily Palermo Catania {unit}"
    assert world.run(*line.encode().split()).digits == distance


def test_a_distance_is_a_string_in_both_versions_of_resp(world: World) -> None:
    reply = world.run(*b"geodist sicily Palermo Catania km".split())
    assert ENCODERS[2].encode(reply) == ENCODERS[3].encode(reply) == b"$8\r\n166.2742\r\n"


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("geodist sicily Palermo nowhere", None),
        ("geodist nothing a b", None),
        ("geohash nothing a b", [None, None]),
        ("geohash sicily", []),
        ("geopos sicily", []),
    ],
)
def test_what_is_not_there_is_nowhere(world: World, line: str, reply: object) -> None:
    assert world.run(*line.encode().split()) == reply


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("geodist s a b parsec", NO_UNIT),
        ("geodist s a b m m", SYNTAX),
        ("geodist s a b m", WRONG_TYPE),
        ("geopos s a", WRONG_TYPE),
        ("geohash s a", WRONG_TYPE),
    ],
)
def test_errors_are_those_of_redis_in_its_order(world: World, line: str, error: str) -> None:
    world.run(b"set", b"s", b"v")
    assert refusal(world, *line.encode().split()) == error


def test_coordinates_are_doubles_where_the_protocol_has_them(world: World) -> None:
    reply = world.run(*b"geopos sicily Palermo nowhere".split())
    assert ENCODERS[2].encode(reply) == (
        b"*2\r\n*2\r\n$20\r\n13.36138933897018433\r\n$20\r\n38.11555639549629859\r\n*-1\r\n"
    )
    assert ENCODERS[3].encode(reply) == (
        b"*2\r\n*2\r\n,13.36138933897018433\r\n,38.11555639549629859\r\n_\r\n"
    )
