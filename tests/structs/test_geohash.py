"""Places as scores, their distances, and what is near: as redis-server 7.0 has them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structs.redis_server import Redis, redis_server

from memdbd.structs.geohash import (
    LATITUDE_MOST,
    Box,
    Circle,
    decode,
    distance,
    encode,
    score_ranges,
    text,
)
from memdbd.structs.sortedset import SortedSet

Place = tuple[float, float]  # longitude, latitude

PALERMO = (13.361389, 38.115556)
CATANIA = (15.087269, 37.502669)
# The poles, the date line, and where Redis changes what it does.
LONGITUDES = [-180.0, -179.9999, -90.0, 0.0, 45.0, 90.0, 179.9999, 180.0]
LATITUDES = [-LATITUDE_MOST, -85.0, -66.0, 0.0, 66.1, 80.0, 80.1, 84.9, LATITUDE_MOST]

longitudes = st.floats(-180, 180) | st.sampled_from(LONGITUDES)
latitudes = st.floats(-LATITUDE_MOST, LATITUDE_MOST) | st.sampled_from(LATITUDES)
places = st.tuples(longitudes, latitudes)


def near(board: SortedSet, shape: Circle | Box) -> list[bytes]:
    """The members whose scores are in the shape's ranges and whose places are in the shape."""
    return [
        member
        for low, high in score_ranges(shape)
        for score, member in board.slice(*board.span(low, high, high_open=True))
        if shape.measure(*decode(score)) is not None
    ]


class TestKnown:
    """The example of Redis's documentation."""

    def test_places_have_their_scores(self) -> None:
        assert encode(*PALERMO) == 3479099956230698
        assert encode(*CATANIA) == 3479447370796909

    def test_a_score_has_its_position(self) -> None:
        assert decode(3479099956230698) == (13.361389338970184, 38.1155563954963)

    def test_scores_have_their_texts(self) -> None:
        assert text(3479099956230698) == "sqc8b49rny0"
        assert text(3479447370796909) == "sqdtr74hyu0"

    def test_places_have_their_distance(self) -> None:
        palermo, catania = decode(encode(*PALERMO)), decode(encode(*CATANIA))
        assert round(distance(*palermo, *catania), 4) == 166274.1516
        assert distance(*palermo, *palermo) == 0

    def test_what_is_near_is_found(self) -> None:
        board = SortedSet({b"Palermo": encode(*PALERMO), b"Catania": encode(*CATANIA)})
        assert near(board, Circle(15, 37, 100_000)) == [b"Catania"]
        assert near(board, Circle(15, 37, 200_000)) == [b"Palermo", b"Catania"]
        assert near(board, Box(15, 37, 400_000, 400_000)) == [b"Palermo", b"Catania"]


@given(places)
def test_a_place_is_decoded_to_within_a_metre(place: Place) -> None:
    assert distance(*place, *decode(encode(*place))) < 1


@given(places, places)
def test_a_distance_is_the_same_there_and_back_and_half_the_globe_at_most(
    place: Place, other: Place
) -> None:
    assert distance(*place, *other) == pytest.approx(distance(*other, *place), abs=1e-6)
    assert 0 <= distance(*place, *other) < 20_020_741


@given(st.floats(allow_nan=False))
def test_any_score_is_somewhere(score: float) -> None:
    longitude, latitude = decode(score)
    assert -180 <= longitude <= 180
    assert -LATITUDE_MOST <= latitude <= LATITUDE_MOST
    assert len(text(score)) == 11


@given(
    st.lists(st.tuples(st.floats(-170, 170), st.floats(-60, 60)), max_size=20),
    st.floats(-100, 100),
    st.floats(-50, 50),
    st.floats(0, 2_000_000),
)
def test_what_is_near_is_all_found_and_once(
    others: list[Place], longitude: float, latitude: float, radius: float
) -> None:
    board = SortedSet({b"%d" % at: encode(*other) for at, other in enumerate(others)})
    circle = Circle(longitude, latitude, radius)
    expected = [
        member
        for member, score in board.scores.items()
        if distance(longitude, latitude, *decode(score)) <= radius
    ]
    assert sorted(near(board, circle)) == sorted(expected)


def any_place(chance: random.Random) -> Place:
    longitude = chance.choice([chance.uniform(-180, 180), chance.choice(LONGITUDES)])
    latitude = chance.uniform(-LATITUDE_MOST, LATITUDE_MOST)
    return longitude, chance.choice([latitude, chance.choice(LATITUDES)])


@pytest.fixture
def chance() -> random.Random:
    return random.Random(5)


@pytest.fixture(scope="module")
def placed() -> dict[bytes, Place]:
    """Places all over the globe, and many at its edges."""
    chance = random.Random(4)
    return {b"%d" % at: any_place(chance) for at in range(10_000)}


@pytest.fixture(scope="module")
def board(placed: dict[bytes, Place]) -> SortedSet:
    return SortedSet({member: encode(*place) for member, place in placed.items()})


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory, placed: dict[bytes, Place]) -> Iterator[Redis]:
    """A server that has the same under ``places``."""
    with redis_server(tmp_path_factory.mktemp("redis")) as redis:
        redis.ask_all(
            [("GEOADD", "places", *at(place), member) for member, place in placed.items()]
        )
        yield redis


def at(place: Place) -> tuple[str, str]:
    """The words of a place in a command."""
    return repr(place[0]), repr(place[1])


def scored(words: list[bytes]) -> list[tuple[float, bytes]]:
    """The reply of ZRANGE with WITHSCORES, as entries."""
    return [(float(score), member) for member, score in zip(words[::2], words[1::2], strict=True)]


class TestAsRedis:
    def test_the_scores_are_the_same(self, redis: Redis, board: SortedSet) -> None:
        assert scored(redis.ask("ZRANGE", "places", 0, -1, "WITHSCORES")) == list(board)

    def test_positions_and_texts_are_the_same(self, redis: Redis, board: SortedSet) -> None:
        positions = redis.ask("GEOPOS", "places", *board.scores)
        texts = redis.ask("GEOHASH", "places", *board.scores)
        for score, *told in zip(board.scores.values(), positions, texts, strict=True):
            shown = [f"{x:.17f}".rstrip("0").rstrip(".").encode() for x in decode(score)]
            assert [shown, text(score).encode()] == told

    def test_distances_are_the_same(
        self, redis: Redis, board: SortedSet, chance: random.Random
    ) -> None:
        members = list(board.scores)
        pairs = [(chance.choice(members), chance.choice(members)) for _ in members]
        replies = redis.ask_all([("GEODIST", "places", *pair) for pair in pairs])
        for (one, other), reply in zip(pairs, replies, strict=True):
            metres = distance(*decode(board.scores[one]), *decode(board.scores[other]))
            assert b"%.4f" % metres == reply

    def test_distances_are_the_same_to_the_last_bit(
        self, redis: Redis, board: SortedSet, chance: random.Random
    ) -> None:
        places = [any_place(chance) for _ in range(5)]
        places += [decode(score) for score in chance.sample(list(board.scores.values()), 5)]
        for place in places:  # the latter share their longitude with many
            search = ("FROMLONLAT", *at(place), "BYRADIUS", 1e9, "m", "STOREDIST")
            redis.ask("GEOSEARCHSTORE", "far", "places", *search)
            for metres, member in scored(redis.ask("ZRANGE", "far", 0, -1, "WITHSCORES")):
                assert metres == distance(*place, *decode(board.scores[member]))

    @pytest.mark.parametrize("by", ["BYRADIUS", "BYBOX"])
    def test_what_is_near_is_the_same_and_in_the_same_order(
        self, redis: Redis, board: SortedSet, chance: random.Random, by: str
    ) -> None:
        sizes = [0.0, 5009431.5925, 20037726.37, 1e300, inf]
        sizes += [10 ** chance.uniform(0, 8) for _ in range(150)]
        for size in sizes:
            place = any_place(chance)
            metres = [size] if by == "BYRADIUS" else [size, 10 ** chance.uniform(0, 8)]
            shape = Circle(*place, size) if by == "BYRADIUS" else Box(*place, *metres)
            found = redis.ask("GEOSEARCH", "places", "FROMLONLAT", *at(place), by, *metres, "m")
            assert near(board, shape) == found, shape

    @pytest.mark.parametrize(
        "score", [-0.5, 1.9, -1.0, -(2.0**40), 2.0**53, 2.0**63, 2.0**64, 1e300, -1e300, inf, -inf]
    )
    def test_the_score_of_no_place_is_taken_for_the_same(self, redis: Redis, score: float) -> None:
        redis.ask("ZADD", "odd", score, "member")
        ((longitude, latitude),) = redis.ask("GEOPOS", "odd", "member")
        assert (float(longitude), float(latitude)) == decode(score)
        assert redis.ask("GEOHASH", "odd", "member") == [text(score).encode()]
