"""LCS: the longest common subsequence of two strings.

Strategy: Redis fills a table L, where L[i][j] is the length for the first i bytes of one string and
j of the other, and walks back through it. Along a row L grows by 0 or 1, so a row is a number with
a bit for each j, and the next one takes a few operations on it: n rows of m bits in n * m / 30
steps of Python's integers. The walk needs no more than these bits.

Sources: Hyyrö, "Bit-parallel LCS-length computation revisited" (2004), for the rows; Redis 7.0,
t_string.c, for which of several subsequences is found, and for the limits.

May import: strings and what it may import.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from memdbd.commands.arguments import Words, integer
from memdbd.commands.context import Context
from memdbd.commands.spec import KEY, Flag, Param, Tail, command
from memdbd.commands.strings import STRING
from memdbd.errors import CommandError, SyntaxFault, WrongType
from memdbd.replies import Reply

MAX_LENGTH = 128 * 1024  # bytes of a string: some 0.1 s
MAX_TABLE = 512 * 1024 * 1024  # bytes of the table that Redis would fill
CELL = 4  # bytes

# Where the bytes of one run are in both strings, the first and the last.
Run = tuple[int, int, int, int]


@command(
    "lcs",
    KEY,
    Param("key", is_key=True),
    Tail("[LEN|IDX [MINMATCHLEN <length>] [WITHMATCHLEN]]"),
    flags=Flag.READ,
    summary="The longest common subsequence of two values, its length, or where it is in both",
    complexity="O(n*m), n and m being the lengths",
    differs="Values of more than 128 KiB are too long, since nobody else is served meanwhile.",
)
def lcs(ctx: Context, one: bytes, other: bytes, *words: bytes) -> Reply:
    try:
        a, b = (STRING.get(ctx.db, key) or b"" for key in (one, other))
    except WrongType:
        raise CommandError("The specified keys must contain string values") from None
    options, least = _read(words)
    _check_lengths(len(a), len(b))
    rows = _rows(a, b)
    length = len(b) - rows[-1].bit_count()
    if b"LEN" in options:
        return length
    if b"IDX" not in options:
        return b"".join(reversed([a[first : last + 1] for first, last, _, _ in _runs(a, b, rows)]))
    matches = [run for run in _runs(a, b, rows) if run[1] - run[0] + 1 >= least]
    return {
        b"matches": [_match(run, with_length=b"WITHMATCHLEN" in options) for run in matches],
        b"len": length,
    }


def _read(words: Sequence[bytes]) -> tuple[set[bytes], int]:
    """The options, and the length that a match has at least."""
    options: set[bytes] = set()
    least, rest = 0, Words(words)
    while rest:
        option = rest.option()
        if option == b"MINMATCHLEN":
            least = rest.take(integer)
        elif option in (b"LEN", b"IDX", b"WITHMATCHLEN"):
            options.add(option)
        else:
            raise SyntaxFault
    if options >= {b"LEN", b"IDX"}:
        raise CommandError("If you want both the length and indexes, please just use IDX.")
    return options, least


def _check_lengths(n: int, m: int) -> None:
    if max(n, m) > MAX_LENGTH:
        raise CommandError("String too long for LCS")
    if (n + 1) * (m + 1) * CELL > MAX_TABLE:
        raise CommandError(
            "Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"
        )


def _rows(a: bytes, b: bytes) -> list[int]:
    """The rows of the table, from that for no bytes of ``a``: bit j is 0 where the length for j + 1
    bytes of ``b`` is one more than for j."""
    places = _places(b)
    everywhere = row = (1 << len(b)) - 1
    rows = [row]
    for byte in a:
        matching = row & places.get(byte, 0)
        row = (row + matching | row - matching) & everywhere
        rows.append(row)
    return rows


def _places(text: bytes) -> dict[int, int]:
    """For each byte in ``text``, a number with the bits of the places where it is."""
    places: dict[int, bytearray] = {}
    for at, byte in enumerate(text):
        if byte not in places:
            places[byte] = bytearray(len(text) // 8 + 1)
        places[byte][at >> 3] |= 1 << (at & 7)
    return {byte: int.from_bytes(bits, "little") for byte, bits in places.items()}


def _runs(a: bytes, b: bytes, rows: Sequence[int]) -> Iterator[Run]:
    """The longest runs of bytes of the subsequence that are side by side in both, the last first.

    The walk is from the end: over a byte that both have; or else along the greater of the two
    lengths, and along ``b`` where they are equal.
    """
    places, i, j = _places(b), len(a), len(b)
    end = i, j
    while i and j:
        if a[i - 1] == b[j - 1]:
            i, j = i - 1, j - 1
            if i and j and a[i - 1] == b[j - 1]:
                continue
            yield i, end[0] - 1, j, end[1] - 1
        else:
            # All at once as far as nothing happens: to a byte that both have, or a step of L.
            stops = (~rows[i] | places.get(a[i - 1], 0)) & (1 << j) - 1
            j = stops.bit_length()
            if j and a[i - 1] != b[j - 1]:
                i -= 1
        end = i, j


def _match(run: Run, *, with_length: bool) -> list[Reply]:
    """A run as it is answered."""
    first, last, other_first, other_last = run
    match: list[Reply] = [[first, last], [other_first, other_last]]
    return [*match, last - first + 1] if with_length else match


COMMANDS = (lcs,)
