"""Places on the earth: sorted sets of which the scores say where their members are.

Here is what is done with places that are named; searches have a module of their own. May import:
doubles, zsets and what it may import, structs.geohash.
"""

from __future__ import annotations

from collections.abc import Sequence

from memdbd.commands.access import WRITTEN
from memdbd.commands.context import Context
from memdbd.commands.doubles import double
from memdbd.commands.spec import KEY, Flag, Param, Tail, command
from memdbd.commands.zsets import ZSET, put_members, split_options
from memdbd.errors import CommandError, SyntaxFault
from memdbd.replies import NULL_ARRAY, BulkDouble, Double, Record, Reply
from memdbd.structs.geohash import (
    LATITUDE_MOST,
    LONGITUDE_MOST,
    decode,
    distance,
    encode,
    text,
)

METRES = {b"M": 1.0, b"KM": 1000.0, b"FT": 0.3048, b"MI": 1609.34}

OPTIONAL_MEMBERS = Tail("[<member> …]")
_ADD_OPTIONS = frozenset((b"NX", b"XX", b"CH"))


def metres_of(unit: bytes) -> float:
    """How many metres a unit is. Raises CommandError where there is no such unit."""
    metres = METRES.get(unit.upper())
    if metres is None:
        raise CommandError("unsupported unit provided. please use M, KM, FT, MI")
    return metres


def position(longitude: bytes, latitude: bytes) -> tuple[float, float]:
    """The coordinates of a place. Raises CommandError where there is no such place."""
    x, y = double(longitude), double(latitude)
    if not (abs(x) <= LONGITUDE_MOST and abs(y) <= LATITUDE_MOST):
        raise CommandError(f"invalid longitude,latitude pair {x:f},{y:f}")
    return x, y


def coordinates(longitude: float, latitude: float) -> Record:
    """The reply that says where a place is."""
    return Record(longitude=_coordinate(longitude), latitude=_coordinate(latitude))


def _coordinate(degrees: float) -> Double:
    """17 digits behind the point, but no zeros at the end."""
    return Double(f"{degrees:.17f}".rstrip("0").rstrip("."))


def shown_distance(metres: float, unit: float) -> BulkDouble:
    """The reply that says how far it is, in a unit of so many metres."""
    return BulkDouble(f"{metres / unit:.4f}")


def _scores(ctx: Context, key: bytes, members: Sequence[bytes]) -> list[float | None]:
    zset = ZSET.get(ctx.db, key)
    return [None] * len(members) if zset is None else list(map(zset.scores.get, members))


@command(
    "geoadd",
    KEY,
    Tail("[NX|XX] [CH] <longitude> <latitude> <member> …", least=3),
    flags=Flag.WRITE | Flag.GROWS,
    access=WRITTEN,
    summary="Add places, or move them",
    complexity="O(log n) a place",
)
def geoadd(ctx: Context, key: bytes, *words: bytes) -> int | float | None:
    options, places = split_options(words, _ADD_OPTIONS)
    if not places or len(places) % 3 or {b"NX", b"XX"} <= options:
        raise SyntaxFault("each member comes behind its longitude and latitude")
    scores = [encode(*position(*places[at : at + 2])) for at in range(0, len(places), 3)]
    return put_members(ctx, key, zip(scores, places[2::3], strict=True), options)


@command(
    "geopos",
    KEY,
    OPTIONAL_MEMBERS,
    flags=Flag.READ,
    summary="The longitudes and latitudes of places",
    complexity="O(1) a place",
)
def geopos(ctx: Context, key: bytes, *members: bytes) -> list[Reply]:
    return [
        NULL_ARRAY if score is None else coordinates(*decode(score))
        for score in _scores(ctx, key, members)
    ]


@command(
    "geohash",
    KEY,
    OPTIONAL_MEMBERS,
    flags=Flag.READ,
    summary="The geohashes of places, as they are written everywhere",
    complexity="O(1) a place",
)
def geohash(ctx: Context, key: bytes, *members: bytes) -> list[bytes | None]:
    return [None if score is None else text(score).encode() for score in _scores(ctx, key, members)]


@command(
    "geodist",
    KEY,
    Param("member"),
    Param("other_member"),
    Tail("[M|KM|FT|MI]"),
    flags=Flag.READ,
    summary="How far it is from one place to another, in metres if nothing else is said",
    complexity="O(1)",
)
def geodist(
    ctx: Context, key: bytes, member: bytes, other: bytes, *unit: bytes
) -> BulkDouble | None:
    if len(unit) > 1:
        raise SyntaxFault
    metres = metres_of(unit[0]) if unit else 1.0
    start, end = _scores(ctx, key, (member, other))
    if start is None or end is None:
        return None
    return shown_distance(distance(*decode(start), *decode(end)), metres)


COMMANDS = (
    geoadd,
    geopos,
    geohash,
    geodist,
)
