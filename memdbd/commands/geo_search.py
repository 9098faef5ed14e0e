"""What is near a place: GEOSEARCH, and the older forms of it.

Strategy: the words of a request become a Search, whichever form they have; what it finds is a list
of places, which is answered or stored. Members are looked up while the options are read, from left
to right, so that errors come in Redis's order.

May import: geo, zsets and what they may import, structs.geohash.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from memdbd.commands.access import MADE, STORED, FindKeys
from memdbd.commands.arguments import Words, integer
from memdbd.commands.context import Context
from memdbd.commands.doubles import double
from memdbd.commands.geo import coordinates, metres_of, position, shown_distance
from memdbd.commands.spec import DESTINATION, KEY, STORES, Flag, Param, Tail, command
from memdbd.commands.zsets import MEMBER, ZSET, store_result
from memdbd.errors import CommandError, SyntaxFault
from memdbd.replies import Record, Reply
from memdbd.structs.geohash import Box, Circle, decode, score_ranges
from memdbd.structs.sortedset import SortedSet

_SHOWN = frozenset((b"WITHDIST", b"WITHHASH", b"WITHCOORD"))
_FLAGS = _SHOWN | {b"ANY"}


class Place(NamedTuple):
    """What was found, and how many metres it is from the middle."""

    member: bytes
    score: float
    longitude: float
    latitude: float
    metres: float


@dataclass(slots=True)
class Search:
    """What a request asks for, as far as it has been read.

    ``zset`` is None where there is no key, and nothing is found; then the ``middle`` means nothing
    if it is a member. ``radius`` and ``box`` are in metres, and so is the ``unit`` of the reply.
    ``flags`` are options that are but a word.
    """

    zset: SortedSet | None
    middle: tuple[float, float] | None = None
    radius: float | None = None
    box: tuple[float, float] | None = None
    unit: float = 1.0
    descending: bool | None = None
    count: int = 0  # 0: all
    flags: set[bytes] = field(default_factory=set)
    destination: bytes | None = None
    stores_distance: bool = False

    # Reading

    def read_member(self, member: bytes) -> None:
        self.middle = 0.0, 0.0
        if self.zset is not None:
            score = self.zset.scores.get(member)
            if score is None:
                raise CommandError("could not decode requested zset member")
            self.middle = decode(score)

    def read_radius(self, radius: bytes, unit: bytes) -> None:
        number = double(radius, "need numeric radius")
        if number < 0:
            raise CommandError("radius cannot be negative")
        self.unit = metres_of(unit)
        self.radius = number * self.unit

    def read_box(self, width: bytes, height: bytes, unit: bytes) -> None:
        wide = double(width, "need numeric width")
        high = double(height, "need numeric height")
        if wide < 0 or high < 0:
            raise CommandError("height or width cannot be negative")
        self.unit = metres_of(unit)
        self.box = wide * self.unit, high * self.unit

    def read_option(self, option: bytes, left: Words) -> None:
        """Take in an option that all forms have. Raises CommandError for any other."""
        if option in _FLAGS:
            self.flags.add(option)
        elif option in (b"ASC", b"DESC"):
            self.descending = option == b"DESC"
        elif option == b"COUNT":
            self.count = left.take(integer)
            if self.count <= 0:
                raise CommandError("COUNT must be > 0")
        else:
            raise SyntaxFault

    def check_destination(self, named: str) -> None:
        """Raise CommandError where something is to be stored and shown; ``named`` is what
        stores."""
        if self.destination is not None and self.flags & _SHOWN:
            raise CommandError(
                f"{named} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )

    def check_any(self) -> None:
        """Raise CommandError where ANY is there without COUNT."""
        if b"ANY" in self.flags and not self.count:
            raise CommandError("the ANY argument requires COUNT argument")

    # Answering

    def run(self, ctx: Context, operation: str) -> Reply:
        """The reply; what is stored is announced as ``operation``."""
        places = [] if self.zset is None else self._places(self.zset)
        if self.destination is None:
            return [self._shown(place) for place in places]
        scores = {
            place.member: place.metres / self.unit if self.stores_distance else place.score
            for place in places
        }
        store_result(ctx, self.destination, scores, operation)
        return len(places)

    def _places(self, zset: SortedSet) -> list[Place]:
        """What is found in ``zset``, in the order that is asked for; the nearest, where not all
        are wanted."""
        takes_any = b"ANY" in self.flags
        found = list(islice(_within(zset, self._area()), self.count if takes_any else None))
        if self.descending is not None or (self.count and not takes_any):
            found.sort(key=lambda place: place.metres, reverse=bool(self.descending))
        return found[: self.count] if self.count else found

    def _area(self) -> Circle | Box:
        longitude, latitude = self.middle or (0.0, 0.0)
        if self.box is not None:
            return Box(longitude, latitude, *self.box)
        return Circle(longitude, latitude, self.radius or 0.0)

    def _shown(self, place: Place) -> Reply:
        if not self.flags & _SHOWN:
            return place.member
        shown = Record(member=place.member)
        if b"WITHDIST" in self.flags:
            shown.fields["distance"] = shown_distance(place.metres, self.unit)
        if b"WITHHASH" in self.flags:
            shown.fields["hash"] = int(place.score)
        if b"WITHCOORD" in self.flags:
            shown.fields["position"] = coordinates(place.longitude, place.latitude)
        return shown


def _within(zset: SortedSet, area: Circle | Box) -> Iterator[Place]:
    for low, high in score_ranges(area):
        for score, member in zset.slice(*zset.span(low, high, high_open=True)):
            longitude, latitude = decode(score)
            metres = area.measure(longitude, latitude)
            if metres is not None:
                yield Place(member, score, longitude, latitude, metres)


# GEOSEARCH

_SEARCHES = (
    "FROMMEMBER <member>|FROMLONLAT <longitude> <latitude> "
    "BYRADIUS <radius> M|KM|FT|MI|BYBOX <width> <height> M|KM|FT|MI "
    "[ASC|DESC] [COUNT <count> [ANY]]"
)
DIFFERS = "Errors name the command in capitals, however it was sent."
O_SEARCH = "O(n + log m), n being the places in squares around the area, m all"


def _search(
    ctx: Context, name: str, key: bytes, words: Sequence[bytes], destination: bytes | None = None
) -> Reply:
    search = Search(ZSET.get(ctx.db, key), destination=destination)
    origin = b""
    left = Words(words)
    while left:
        option = left.option()
        if option == b"FROMMEMBER" and left and origin != b"FROMLONLAT":
            search.read_member(left.take())
            origin = option
        elif option == b"FROMLONLAT" and len(left) >= 2 and origin != b"FROMMEMBER":
            search.middle = position(left.take(), left.take())
            origin = option
        elif option == b"BYRADIUS" and len(left) >= 2 and search.box is None:
            search.read_radius(left.take(), left.take())
        elif option == b"BYBOX" and len(left) >= 3 and search.radius is None:
            search.read_box(left.take(), left.take(), left.take())
        elif option == b"STOREDIST" and destination is not None:
            search.stores_distance = True
        else:
            search.read_option(option, left)
    search.check_destination("GEOSEARCHSTORE")
    if not origin:
        raise CommandError(f"exactly one of FROMMEMBER or FROMLONLAT can be specified for {name}")
    if search.radius is None and search.box is None:
        raise CommandError(f"exactly one of BYRADIUS and BYBOX can be specified for {name}")
    search.check_any()
    return search.run(ctx, "geosearchstore")


@command(
    "geosearch",
    KEY,
    Tail(f"{_SEARCHES} [WITHCOORD] [WITHDIST] [WITHHASH]", least=5),
    flags=Flag.READ,
    summary="The places in a circle or a box",
    complexity=O_SEARCH,
    differs=DIFFERS,
)
def geosearch(ctx: Context, key: bytes, *words: bytes) -> Reply:
    return _search(ctx, "GEOSEARCH", key, words)


@command(
    "geosearchstore",
    DESTINATION,
    Param("source", is_key=True),
    Tail(f"{_SEARCHES} [STOREDIST]", least=5),
    flags=STORES,
    access=MADE,
    summary="Make a sorted set of the places in a circle or a box, or of how far they are",
    complexity=O_SEARCH,
    differs=DIFFERS,
)
def geosearchstore(ctx: Context, destination: bytes, source: bytes, *words: bytes) -> Reply:
    return _search(ctx, "GEOSEARCHSTORE", source, words, destination)


# The older forms

_SHOWS = "[WITHCOORD] [WITHDIST] [WITHHASH] [COUNT <count> [ANY]] [ASC|DESC]"
SHOWS = Tail(_SHOWS)
SHOWS_OR_STORES = Tail(f"{_SHOWS} [STORE <key>|STOREDIST <key>]")
LONGITUDE, LATITUDE = Param("longitude"), Param("latitude")
RADIUS, UNIT = Param("radius"), Param("unit")


_STORES = (b"STORE", b"STOREDIST")
ALL_ARE_KEYS = (
    "Where STORE or STOREDIST is said more than once, a user needs the right to all of those keys; "
    "in Redis, to the first."
)


def _keys(options_at: int) -> FindKeys:
    """The key that is searched, and those in which something is stored: as Redis tells them, first
    those behind STORE. Of a word that is there more than once, Redis tells only the first key and
    stores to the last, to which the user may have no right: all are told here."""

    def find(argv: Sequence[bytes]) -> Sequence[bytes]:
        words = [word.upper() for word in argv[:-1]]
        options = range(options_at, len(words))
        behind = [at + 1 for store in _STORES for at in options if words[at] == store]
        return [*argv[1:2], *(argv[at] for at in behind)]

    return find


def _finish(ctx: Context, search: Search, words: Sequence[bytes], *, stores: bool) -> Reply:
    """Read the options of an older form, and answer it."""
    left = Words(words)
    while left:
        option = left.option()
        if stores and option in _STORES:
            search.destination = left.take()
            search.stores_distance = option == b"STOREDIST"
        else:
            search.read_option(option, left)
    search.check_destination("STORE option in GEORADIUS")
    search.check_any()
    return search.run(ctx, "georadiusstore")


def _around_position(ctx: Context, key: bytes, words: Sequence[bytes], *, stores: bool) -> Reply:
    longitude, latitude, radius, unit, *options = words
    search = Search(ZSET.get(ctx.db, key))
    search.middle = position(longitude, latitude)
    search.read_radius(radius, unit)
    return _finish(ctx, search, options, stores=stores)


def _around_member(ctx: Context, key: bytes, words: Sequence[bytes], *, stores: bool) -> Reply:
    member, radius, unit, *options = words
    search = Search(ZSET.get(ctx.db, key))
    if search.zset is not None:  # else even the radius is not looked at
        search.read_member(member)
        search.read_radius(radius, unit)
    return _finish(ctx, search, options, stores=stores)


@command(
    "georadius",
    KEY,
    LONGITUDE,
    LATITUDE,
    RADIUS,
    UNIT,
    SHOWS_OR_STORES,
    flags=STORES,
    access=STORED,
    summary="The places around a position",
    complexity=O_SEARCH,
    keys=_keys(6),
    differs=ALL_ARE_KEYS,
)
def georadius(ctx: Context, key: bytes, *words: bytes) -> Reply:
    return _around_position(ctx, key, words, stores=True)


@command(
    "georadius_ro",
    KEY,
    LONGITUDE,
    LATITUDE,
    RADIUS,
    UNIT,
    SHOWS,
    flags=Flag.READ,
    summary="The places around a position, never stored",
    complexity=O_SEARCH,
)
def georadius_ro(ctx: Context, key: bytes, *words: bytes) -> Reply:
    return _around_position(ctx, key, words, stores=False)


@command(
    "georadiusbymember",
    KEY,
    MEMBER,
    RADIUS,
    UNIT,
    SHOWS_OR_STORES,
    flags=STORES,
    access=STORED,
    summary="The places around a place of the same set",
    complexity=O_SEARCH,
    keys=_keys(5),
    differs=ALL_ARE_KEYS,
)
def georadiusbymember(ctx: Context, key: bytes, *words: bytes) -> Reply:
    return _around_member(ctx, key, words, stores=True)


@command(
    "georadiusbymember_ro",
    KEY,
    MEMBER,
    RADIUS,
    UNIT,
    SHOWS,
    flags=Flag.READ,
    summary="The places around a place of the same set, never stored",
    complexity=O_SEARCH,
)
def georadiusbymember_ro(ctx: Context, key: bytes, *words: bytes) -> Reply:
    return _around_member(ctx, key, words, stores=False)


COMMANDS = (
    geosearch,
    geosearchstore,
    georadius,
    georadius_ro,
    georadiusbymember,
    georadiusbymember_ro,
)
