"""The lines' lower-case words: small alphabets, so that commands meet each other's values, and odd
members among them.

Each type has keys of its own, so that most commands find what they need; ``nearly`` puts other
keys in their place. Some keys are kept apart from that, where Redis leaves something open:

* ``lex``: a range by member is only defined where all scores are the same;
* ``hll``: how an implementation keeps its registers is its own affair.

Deadlines are far away or in the past, so that nothing expires while it is compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from differential.grammar.language import Atom

FAR = 4_102_444_800  # 2100-01-01, in seconds: absolute deadlines start here
FAR_SPAN = 1000  # and are within so many seconds
ODD = 0.05  # how often a number is none, or an extreme one

# What stands where a number should, and is none, or only just, or an extreme one.
STRANGE: tuple[bytes, ...] = (
    *(b"1.5", b" 1", b"1 ", b"+1", b"01", b"-0", b"1e5", b"inf", b"-inf", b"+inf", b"nan"),
    *(b"0x10", b"", b"12345678901234567890", b"-12345678901234567890", b"abc", b"1_000", b"3.0"),
    *(b"9223372036854775807", b"-9223372036854775808", b"9223372036854775808", b"-1", b"0", b"1"),
    *(b"9223372036854775806", b"-9223372036854775807", b"18446744073709551615", b"-9999999999"),
    *(b"4294967295", b"4294967296", b"2147483647", b"2147483648", b"-2147483649", b"99999999999"),
    *(b"1.7976931348623157e308", b"4.9e-324", b"1e400", b".5", b"5.", b"1e", b"--1", b"\xb2"),
    *(b"\x00", b"\r\n", b"1\x00", b"\xff\xfe", b"infinity", b"-Infinity", b"NaN", b"*", b"#"),
)

STRINGS = (b"s1", b"s2", b"")
LISTS = (b"l1", b"l2", b"l\r\n")
SETS = (b"set1", b"set2", b"set\xff\x00")
HASHES = (b"h1", b"h2", b"h{x}")
ZSETS = (b"z1", b"z2", b"z\xc3\xa9")
GEOS = (b"g1", b"g2")
NUMBERS = (b"n1", b"n2")
BITS = (b"b1", b"b2", b"b3")
ANY_KEY = (*STRINGS, *LISTS, *SETS, *HASHES, *ZSETS, *GEOS, *NUMBERS, b"b1", b"missing")

VALUES = (b"a", b"b", b"abc", b"Hello", b"", b"10", b"3.5", b"-7", b"x" * 70, b"\xff\x00\r\n")
MEMBERS = (b"a", b"b", b"c", b"d", b"e", b"1", b"2", b"30", b"", b"\xff\x00\r\n", b"m" * 66)
FIELDS = (b"f", b"g", b"h", b"i", b"1", b"", b"\xfe\r\n", b"F" * 66)
CHANNELS = (b"news", b"news.a", b"weather", b"", b"\xff\r\n", b"n[ew")
PATTERNS = (
    *(b"*", b"?", b"s*", b"*1", b"[a-m]*", b"[^l]*", b"news*", b"n?ws", b"\\*", b"[", b"*\x00*"),
    *(b"", b"h{x}", b"set[12]", b"**1", b"[1-", b"z[2-0]", b"f", b"w*", b"a", b"nothing"),
)
SCORES = (
    *(b"0", b"1", b"2", b"-1", b"3", b"10", b"1.5", b"0.1", b"0.2", b"0.3", b"-2.75", b"1e3"),
    *(b"inf", b"-inf", b"+inf", b"3.0", b"1e17", b"1e21", b"123456789012345678", b"-0.0", b"0.5"),
    *(b"1.7976931348623157e308", b"5e-324", b"3.141592653589793", b"1e-7", b"0.1", b"5", b"4"),
)
ENCODINGS = (b"u8", b"i8", b"u1", b"i1", b"u63", b"i64", b"i5", b"u16", b"i32", b"u4", b"U8")
NO_ENCODINGS = (b"u64", b"i65", b"u0", b"i0", b"x8", b"u", b"8", b"i-8", b"u8x", b"", b"i08")
# Places with something special, and the member that has it: two at the same place would be
# equally far from everywhere, and Redis does not say in which order they come.
EXTREME_PLACES = (
    *((b"180", b"85.05112878", b"a"), (b"-180", b"-85.05112878", b"b"), (b"0", b"0", b"c")),
    (b"0x10", b"1", b"d"),
    *((b"13.361389", b"38.115556", b"Palermo"), (b"15.087269", b"37.502669", b"Catania")),
    *((b"-0.0000001", b"0.0000001", b"e"), (b"179.999999", b"-1e-5", b"\xff\x00\r\n")),
)
NO_PLACES = (
    *((b"181", b"0"), (b"0", b"86"), (b"-180.1", b"-85.1"), (b"nan", b"0"), (b"x", b"1")),
    *((b"inf", b"1"), (b"1", b""), (b" 1", b"1")),
)


def pick(*choices: bytes) -> Atom:
    """One of these."""
    return lambda rng: [rng.choice(choices)]


def number(low: int, high: int) -> Atom:
    """Mostly an integer in this range."""
    plain = tuple(b"%d" % value for value in range(low, high + 1))

    def draw(rng: Random) -> list[bytes]:
        return [rng.choice(STRANGE if rng.random() < ODD else plain)]

    return draw


def _increment(rng: Random) -> list[bytes]:
    """Mostly a small integer; sometimes one that brings an overflow near."""
    chance = rng.random()
    if chance < 0.8:
        return [b"%d" % rng.randint(-5, 20)]
    if chance < 0.92:
        return [b"%d" % (rng.choice((1, -1)) * (2**63 - rng.randint(0, 30)))]
    return [rng.choice(STRANGE)]


def _floating(rng: Random) -> list[bytes]:
    chance = rng.random()
    if chance < 0.35:
        return [rng.choice(SCORES)]
    if chance < 0.65:
        return [b"%.*f" % (rng.randint(0, 6), rng.uniform(-100, 100))]
    if chance < 0.92:
        return [b"%d" % rng.randint(-10, 30)]
    return [rng.choice(STRANGE)]


def _bound(rng: Random) -> list[bytes]:
    """An end of a range of scores."""
    chance = rng.random()
    if chance < 0.3:
        return [rng.choice((b"-inf", b"+inf", b"inf"))]
    score = rng.choice(SCORES)
    return [b"(" + score if chance < 0.55 else score]


def _lexical(rng: Random) -> list[bytes]:
    """An end of a range of members."""
    chance = rng.random()
    if chance < 0.35:
        return [rng.choice((b"-", b"+"))]
    if chance < 0.95:
        return [rng.choice((b"[", b"(")) + rng.choice(MEMBERS)]
    return [rng.choice((b"a", b"", b"[", b"(", b"--", b"+x", b"inf"))]


def _seconds(rng: Random) -> list[bytes]:
    """Until a deadline: far away, and no two the same, since GT and LT compare them."""
    if rng.random() < 0.12:
        return [rng.choice((b"0", b"-1", *STRANGE))]
    return [b"%d" % rng.randint(10_000, 10_000_000)]


def _milliseconds(rng: Random) -> list[bytes]:
    if rng.random() < 0.12:
        return [rng.choice((b"0", b"-1", *STRANGE))]
    return [b"%d" % rng.randint(10_000_000, 10_000_000_000)]


def _at(rng: Random) -> list[bytes]:
    """A deadline in seconds: one of a few far ones, or past."""
    if rng.random() < 0.15:
        return [rng.choice((b"1", b"1000000000", *STRANGE))]
    return [b"%d" % (FAR + rng.randint(0, 5))]


def _at_milliseconds(rng: Random) -> list[bytes]:
    if rng.random() < 0.15:
        return [rng.choice((b"1", b"1000000000000", *STRANGE))]
    return [b"%d" % (FAR * 1000 + rng.randint(0, 5))]


def _bit(rng: Random) -> list[bytes]:
    return [
        rng.choice((b"2", b"-1", b"x", b"", b"01") if rng.random() < ODD else (b"0", b"1", b"1"))
    ]


def _encoding(rng: Random) -> list[bytes]:
    return [rng.choice(NO_ENCODINGS if rng.random() < ODD else ENCODINGS)]


def _field_offset(rng: Random) -> list[bytes]:
    """Where a bit field starts: in bits, or in its own widths."""
    if rng.random() < ODD:
        return [rng.choice((b"#", b"#-1", b"##1", b"1#", *STRANGE))]
    return [rng.choice((b"", b"#")) + b"%d" % rng.randint(0, 20)]


def _place(rng: Random) -> list[bytes]:
    """Longitude, latitude, member."""
    chance = rng.random()
    if chance < 0.06:
        return list(rng.choice(EXTREME_PLACES))
    member = rng.choice((*MEMBERS, b"Palermo", b"Catania"))
    if chance < 0.1:
        return [*rng.choice(NO_PLACES), member]
    return [*_coordinates(rng), member]


def _coordinates(rng: Random) -> list[bytes]:
    """Longitude and latitude; half of them near Sicily, so that circles catch some."""
    if rng.random() < 0.03:
        return list(rng.choice(NO_PLACES))
    if rng.random() < 0.5:
        return [b"%.6f" % rng.uniform(12, 16), b"%.6f" % rng.uniform(36, 39)]
    return [b"%.4f" % rng.uniform(-180, 180), b"%.5f" % rng.uniform(-85, 85)]


def _unit(rng: Random) -> list[bytes]:
    if rng.random() < ODD:
        return [rng.choice((b"parsec", b"", b"k", b"kmm"))]
    return [rng.choice((b"m", b"km", b"km", b"ft", b"mi", b"KM", b"Mi"))]


def _distance(rng: Random) -> list[bytes]:
    if rng.random() < ODD:
        return [rng.choice((b"-1", b"0", b"nan", b"inf", b"abc", b"", b"1e400", b"1e9"))]
    return [b"%.*f" % (rng.randint(0, 2), 10 ** rng.uniform(0, 4.3))]


ATOMS: Mapping[str, Atom] = {
    # Keys
    "key": pick(*ANY_KEY),
    "str": pick(*STRINGS),
    "num": pick(*NUMBERS),
    "bits": pick(*BITS),
    "list": pick(*LISTS),
    "set": pick(*SETS),
    "hash": pick(*HASHES),
    "zset": pick(*ZSETS),
    "zsets": pick(*ZSETS, *ZSETS, *SETS),  # sets do where scores are combined
    "geo": pick(*GEOS),
    "lex": pick(b"lex1", b"lex1", b"lex2", b"nolex", b"notlex"),
    "lexes": pick(b"lex1", b"lex2"),
    "notlex": pick(b"notlex"),
    "hll": pick(b"hll1", b"hll2", b"hll3"),
    "missing": pick(b"missing"),
    "sortable": pick(b"sort:list", b"sort:list", b"sort:set", b"sort:zset"),
    "sortlist": pick(b"sort:list"),
    "sortset": pick(b"sort:set"),
    "sortzset": pick(b"sort:zset"),
    "weight": pick(*(b"w_%d" % n for n in range(6))),
    "weighthash": pick(*(b"wh_%d" % n for n in range(6))),
    "sorted": pick(b"sort:to"),
    # Texts
    "value": pick(*VALUES),
    "member": pick(*MEMBERS),
    "field": pick(*FIELDS),
    "digit": number(0, 5),
    "channel": pick(*CHANNELS),
    "pattern": pick(*PATTERNS),
    "memberpattern": pick(b"*", b"?", b"[a-c]", b"m*", b"", b"3?", b"\\a", b"[^a]*", b"nothing"),
    "weightpattern": pick(b"w_*", b"w_*", b"wh_*->f", b"wh_*->g", b"*", b"x*->", b"none_*"),
    "nosort": pick(b"nosort", b"nosort", b"", b"w_"),
    "getpattern": pick(b"#", b"w_*", b"wh_*->f", b"wh_*->g", b"none_*", b"*", b"nostar", b"wh_*->"),
    "typename": pick(*(b"string", b"list", b"set", b"zset", b"hash", b"stream", b"LIST", b"x")),
    "clientname": pick(b"", b"me", b"you", b"with space", b"a\nb", b"\xff", b"!~"),
    "badpayload": pick(
        b"", b"garbage", b"\x00\x03abc\x0a\x00" + b"12345678", b"\x00" * 11 + b"\x01"
    ),
    # Numbers
    "int": _increment,
    "float": _floating,
    "index": number(-7, 7),
    "offset": number(0, 40),
    "count": number(0, 6),
    "negative": number(-6, 6),
    "huge": pick(b"1000", b"100000"),
    "cursor": number(0, 0),
    "anycursor": pick(b"5", b"abc", b"", b"-1", b"1.5", b" 0", b"18446744073709551616", b"00"),
    "db": pick(b"0", b"1", b"2", b"15", b"1", b"2", b"0", b"16", b"-1", b"abc", b"", b"1.5", b"01"),
    "otherdb": pick(b"0", b"1", b"2", b"15"),
    "bit": _bit,
    "bitoffset": number(0, 60),
    "encoding": _encoding,
    "fieldoffset": _field_offset,
    "score": _floating,
    "bound": _bound,
    "lexical": _lexical,
    "samescore": pick(b"0"),
    # Deadlines, and waiting: a millisecond where a key is missing, or not at all
    "seconds": _seconds,
    "milliseconds": _milliseconds,
    "at": _at,
    "atms": _at_milliseconds,
    "wait": pick(b"0.001", b"0.001", b"1e-3", b"-1", b"abc", b"", b"nan", b"-inf", b" 1"),
    # Geography
    "place": _place,
    "coordinates": _coordinates,
    "distance": _distance,
    "unit": _unit,
    "spot": pick(*MEMBERS, b"Palermo", b"Catania"),
}
