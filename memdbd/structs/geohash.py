"""Places on the earth as numbers whose order keeps neighbours together, for a sorted set.

The numbers, positions, distances and areas are those of redis-server 7.0. Imports nothing but math.

Strategy: both coordinates are halved 26 times, and the bits of the halves, interleaved, are the
score: places in one cell of the grid after so many halvings have the same first bits, so a cell is
one range of scores. What is near a place lies in its cell of a size that fits, or in one of the
eight around it; whatever is found there is then measured.

Sources: Redis 7.0, geohash.c, geohash_helper.c and geo.c, for the grid and the areas; "Bit
Twiddling Hacks" (Sean Anderson) for the interleaving; the haversine formula for distances.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import asin, cos, isfinite, nan, pi, sin, sqrt
from typing import NamedTuple

# Degrees: the limits of the web's Mercator projection (EPSG:3857), beyond which is no place.
LONGITUDE_MOST = 180.0
LATITUDE_MOST = 85.05112878

_EARTH_RADIUS = 6372797.560856  # metres: WGS 84's quadratic mean
_HALF_EQUATOR = 20037726.37  # metres
_DEGREE = pi / 180

_STEPS = 26  # halvings of each coordinate
_AROUND = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1))
_ALPHABET = "0123456789bcdefghjkmnpqrstuvwxyz"
_MASK = (1 << 64) - 1


class Circle(NamedTuple):
    """What is within ``radius`` metres of a place."""

    longitude: float
    latitude: float
    radius: float

    @property
    def extent(self) -> tuple[float, float, float]:
        """Half its width and half its height, and how far it reaches, in metres."""
        return self.radius, self.radius, self.radius

    def measure(self, longitude: float, latitude: float) -> float | None:
        """The distance of a place to the centre in metres; None if it is outside."""
        metres = distance(self.longitude, self.latitude, longitude, latitude)
        return None if metres > self.radius else metres


class Box(NamedTuple):
    """What is within half of ``width`` and half of ``height`` metres of a place."""

    longitude: float
    latitude: float
    width: float
    height: float

    @property
    def extent(self) -> tuple[float, float, float]:
        """Half its width and half its height, and how far it reaches, in metres."""
        width, height = self.width / 2, self.height / 2
        return width, height, sqrt(width * width + height * height)

    def measure(self, longitude: float, latitude: float) -> float | None:
        """The distance of a place to the centre in metres; None if it is outside."""
        if (
            _meridian(latitude, self.latitude) > self.height / 2
            or distance(longitude, latitude, self.longitude, latitude) > self.width / 2
        ):
            return None
        return distance(self.longitude, self.latitude, longitude, latitude)


def encode(longitude: float, latitude: float) -> float:
    """The score of a place, of which the coordinates are within the limits.

    A float holds its 52 bits. At a longitude of 180 they are 54, of which the last may be lost.
    """
    return float(_cell_of(longitude, latitude, _STEPS).bits)


def decode(score: float) -> tuple[float, float]:
    """The longitude and latitude of a score: the middle of its cell. Any float is somewhere."""
    bits = _unsigned(score)
    west, south, east, north = _Cell(_odd_bits(bits >> 1), _odd_bits(bits), _STEPS).edges()
    longitude, latitude = (west + east) / 2, (south + north) / 2
    return (
        max(-LONGITUDE_MOST, min(longitude, LONGITUDE_MOST)),
        max(-LATITUDE_MOST, min(latitude, LATITUDE_MOST)),
    )


def text(score: float) -> str:
    """The geohash as it is written everywhere: 11 characters, where the whole globe is halved.

    A score has bits for ten; the last is 0, as in Redis.
    """
    bits = _cell_of(*decode(score), _STEPS, latitude_most=90).bits
    digits = (bits >> shift & 31 for shift in range(2 * _STEPS - 5, 0, -5))
    return "".join(_ALPHABET[digit] for digit in digits) + _ALPHABET[0]


def distance(
    longitude: float, latitude: float, other_longitude: float, other_latitude: float
) -> float:
    """Metres along a great circle, by the haversine formula."""
    v = sin((other_longitude * _DEGREE - longitude * _DEGREE) / 2)
    if not v:
        return _meridian(latitude, other_latitude)
    north, other_north = latitude * _DEGREE, other_latitude * _DEGREE
    u = sin((other_north - north) / 2)
    root = sqrt(u * u + cos(north) * cos(other_north) * v * v)
    return 2.0 * _EARTH_RADIUS * asin(min(root, 1.0))  # rounding must not take it beyond


def score_ranges(shape: Circle | Box) -> Iterator[tuple[float, float]]:
    """Where places in ``shape`` can be: up to nine ranges of scores, without their upper ends.

    They come in Redis's order, in which a search that does not sort finds what it finds. Where
    ``shape`` is most of the globe, two may be the same.
    """
    previous = None
    for cell in _cells(shape):
        if cell != previous:
            yield cell.scores()
        previous = cell


class _Cell(NamedTuple):
    """One of the 2 ** ``steps`` times 2 ** ``steps`` cells of a grid, counted from the south-west.

    At the very limits in the east and north it is one beyond the last.
    """

    x: int
    y: int
    steps: int

    @property
    def bits(self) -> int:
        return _spread(self.y) | _spread(self.x) << 1

    def scores(self) -> tuple[float, float]:
        """The lowest score in it, and the first beyond."""
        bits, shift = self.bits, 2 * (_STEPS - self.steps)
        return float(bits << shift), float(bits + 1 << shift)

    def edges(self) -> tuple[float, float, float, float]:
        """Its west, south, east and north, in degrees."""
        n = 1 << self.steps
        wide, high = 2 * LONGITUDE_MOST, 2 * LATITUDE_MOST
        return (
            self.x / n * wide - LONGITUDE_MOST,
            self.y / n * high - LATITUDE_MOST,
            (self.x + 1) / n * wide - LONGITUDE_MOST,
            (self.y + 1) / n * high - LATITUDE_MOST,
        )

    def beside(self, east: int, north: int) -> _Cell:
        """The cell so many to the east and north; beyond an edge is the other edge."""
        n = 1 << self.steps
        x = (self.x + east) % n if east else self.x
        y = (self.y + north) % n if north else self.y
        return _Cell(x, y, self.steps)


def _cells(shape: Circle | Box) -> Iterator[_Cell]:
    """The cell of the centre of ``shape``, and those around it that ``shape`` reaches."""
    west, south, east, north = _bounds(shape)
    steps = _fitting_steps(shape.extent[2], shape.latitude)
    cell = _cell_of(shape.longitude, shape.latitude, steps)
    if steps > 1 and (
        cell.beside(0, 1).edges()[3] < north
        or cell.beside(0, -1).edges()[1] > south
        or cell.beside(1, 0).edges()[2] < east
        or cell.beside(-1, 0).edges()[0] > west
    ):  # even its neighbours are too small
        steps -= 1
        cell = _cell_of(shape.longitude, shape.latitude, steps)
    cell_west, cell_south, cell_east, cell_north = cell.edges()
    yield cell
    for to_east, to_north in _AROUND:
        needless = (
            (to_north < 0 and cell_south < south)
            or (to_north > 0 and cell_north > north)
            or (to_east < 0 and cell_west < west)
            or (to_east > 0 and cell_east > east)
        )
        if steps < 2 or not needless:
            yield cell.beside(to_east, to_north)


def _cell_of(
    longitude: float, latitude: float, steps: int, latitude_most: float = LATITUDE_MOST
) -> _Cell:
    """The cell of a place, in a grid that goes so far to the north and south."""
    x = (longitude + LONGITUDE_MOST) / (2 * LONGITUDE_MOST)
    y = (latitude + latitude_most) / (2 * latitude_most)
    return _Cell(int(x * (1 << steps)), int(y * (1 << steps)), steps)


def _bounds(shape: Circle | Box) -> tuple[float, float, float, float]:
    """The west, south, east and north of ``shape`` in degrees, beyond the globe's where it is huge.

    A degree of longitude is shortest at the edge towards the pole: that is where it is measured.
    """
    width, height, _ = shape.extent
    high = height / _EARTH_RADIUS / _DEGREE
    edge = (shape.latitude - high if shape.latitude < 0 else shape.latitude + high) * _DEGREE
    wide = width / _EARTH_RADIUS / (cos(edge) if isfinite(edge) else nan) / _DEGREE
    return (
        shape.longitude - wide,
        shape.latitude - high,
        shape.longitude + wide,
        shape.latitude + high,
    )


def _fitting_steps(reach: float, latitude: float) -> int:
    """After how many halvings nine cells are enough for what reaches so many metres, at most."""
    if not reach:
        return _STEPS
    steps = -1
    while reach < _HALF_EQUATOR:
        reach *= 2
        steps += 1
    # Cells are narrower towards the poles.
    steps -= (abs(latitude) > 66) + (abs(latitude) > 80)
    return max(1, min(steps, _STEPS))


def _meridian(latitude: float, other_latitude: float) -> float:
    """Metres to the north or south: as the haversine formula has it, but no sine to undo."""
    return _EARTH_RADIUS * abs(other_latitude * _DEGREE - latitude * _DEGREE)


def _unsigned(score: float) -> int:
    """A float as 64 bits, as C makes it one, where that is defined or on x86-64."""
    if -(1 << 63) <= score < 1 << 64:
        return int(score) & _MASK
    return 0 if score > 0 else 1 << 63


def _spread(n: int) -> int:
    """The 32 bits of ``n`` with a 0 before each."""
    n = (n | n << 16) & 0x0000FFFF0000FFFF
    n = (n | n << 8) & 0x00FF00FF00FF00FF
    n = (n | n << 4) & 0x0F0F0F0F0F0F0F0F
    n = (n | n << 2) & 0x3333333333333333
    return (n | n << 1) & 0x5555555555555555


def _odd_bits(n: int) -> int:
    """Every other bit of ``n``, from the lowest on: what ``_spread`` spread."""
    n &= 0x5555555555555555
    n = (n | n >> 1) & 0x3333333333333333
    n = (n | n >> 2) & 0x0F0F0F0F0F0F0F0F
    n = (n | n >> 4) & 0x00FF00FF00FF00FF
    n = (n | n >> 8) & 0x0000FFFF0000FFFF
    return (n | n >> 16) & 0x00000000FFFFFFFF
