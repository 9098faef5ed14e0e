"""The exact readers of RESP's requests: an array of bulk strings, an inline command.

They go on where they stopped when more arrives, and follow ``processInlineBuffer``,
``processMultibulkBuffer`` (networking.c) and ``sdssplitargs`` (sds.c) of Redis 7.0, with their
errors. What a peer may send is bounded here; a stranger may send less.

May import: errors, limits.
"""

from __future__ import annotations

import re

from memdbd.errors import ProtocolError
from memdbd.limits import Limits

MAX_HEADER = 64 * 1024  # bytes of a line that says how much comes
MAX_WORDS = 2**31 - 1

# Pieces of a word that are shorter are put together: one that is kept by itself takes 200 bytes
# more than it has.
FEW_BYTES = 4096

_ANY_NUMBER = 1 << 62
_INTEGER = re.compile(rb"0|-?[1-9][0-9]{0,18}")


class LimitMet(ProtocolError):
    """A peer has sent more than it may; ``limit`` is the name of the limit."""

    def __init__(self, limit: str, message: str) -> None:
        super().__init__(f"Protocol error: {message}")
        self.limit = limit


class Array:
    """The exact reader of one array, which may come in any number of pieces.

    ``allowance`` is the bytes that it may have if it is a stranger's, else None; it may change
    meanwhile. ``feed(data, at)`` gives where it ends in ``data``, or None if it does not yet; then
    ``missing`` is how many bytes have not come of the word in whose middle it is.

    Of a word that has come in part, the pieces are kept as they came, and joined when it is whole:
    64 KiB are copied once so, where a buffer that grows would copy them three times, 3 us each.
    """

    __slots__ = (
        "_count", "_is_word", "_limits", "_line", "_pieces", "_size", "allowance", "missing",
        "words",
    )  # fmt: skip

    def __init__(self, limits: Limits, allowance: int | None) -> None:
        self.words: list[bytes] = []
        self.allowance = allowance
        self._limits = limits
        self._size = 0  # bytes that have come
        self._line = bytearray()  # what has come of a line that says how much comes
        self._count: int | None = None  # of all words; None before the header
        self._is_word = False  # comes now; else a line
        self.missing = 0  # bytes of it that have not come, with the two behind it
        self._pieces: list[memoryview | bytearray] = []  # what has come of it

    def feed(self, data: bytes, at: int) -> int | None:
        begun, size, words = at - self._size, len(data), self.words
        if self._count is not None:
            self._check_count(self._count)  # each time: it may have been somebody who began it
        while self._count is None or len(words) < self._count:
            if not self._is_word:
                end = data.find(b"\r", at) + 2
                if self._line or not 2 <= end <= size:
                    end = self._go_on_with_line(data, at)
                    if end == 0:
                        break
                    line = bytes(self._line)
                    self._line.clear()
                else:
                    line = data[at : end - 2]
                at = end
                if self._count is None:
                    self._count = self._count_in(line)
                else:
                    self.missing = self._length_in(line, at - begun) + 2
                    self._is_word = True
            elif self.missing <= size - at:
                words.append(self._word(data, at))
                at += self.missing  # Redis does not look at the last two either
                self.missing = 0
                self._is_word = False
            else:
                self._keep(data, at)
                break
        else:
            return at
        self._size = size - begun
        self._check(self._size)
        return None

    def _check(self, size: int) -> None:
        """Raise ProtocolError where a request may not have so many bytes."""
        if self.allowance is not None and size > self.allowance:
            raise LimitMet("unauthenticated_buffer", "unauthenticated request is too long")
        if size > self._limits.max_request:
            raise LimitMet("max_request", "request is too long")

    def _check_count(self, count: int) -> None:
        """The same where it may not have so many words."""
        if self.allowance is not None and count > self._limits.unauthenticated_arguments:
            raise LimitMet("unauthenticated_arguments", "unauthenticated multibulk length")

    def _go_on_with_line(self, data: bytes, at: int) -> int:
        """Where what is behind a line begins, which is then in ``_line``; 0 where its end is not
        there."""
        line = self._line
        if line.endswith(b"\r") and at < len(data):
            del line[-1]
            return at + 1  # whatever that byte is, as Redis has it
        end = data.find(b"\r", at)
        if 0 <= end <= len(data) - 2:
            line += data[at:end]
            return end + 2
        line += data[at:]
        if len(line) > MAX_HEADER:
            which = "mbulk" if self._count is None else "bulk"
            raise ProtocolError(f"Protocol error: too big {which} count string")
        return 0

    def _count_in(self, line: bytes) -> int:
        count = _length(line[1:])
        if count is None or count > MAX_WORDS:
            raise ProtocolError("Protocol error: invalid multibulk length")
        self._check_count(count)
        return max(count, 0)

    def _length_in(self, line: bytes, size: int) -> int:
        """The length in the header of a word; ``size``: the bytes of the request up to it."""
        if line[:1] != b"$":
            got = (line[:1] or b"\r").decode("latin-1")
            raise ProtocolError(f"Protocol error: expected '$', got '{got}'")
        length = _length(line[1:])
        if length is None or length < 0:
            raise ProtocolError("Protocol error: invalid bulk length")
        if length > self._limits.max_value:
            raise LimitMet("max_value", "invalid bulk length")
        if self.allowance is not None and length > self._limits.unauthenticated_argument:
            raise LimitMet("unauthenticated_argument", "unauthenticated bulk length")
        self._check(size + length + 2)  # before it comes
        return length

    def _keep(self, data: bytes, at: int) -> None:
        """Keep what ``data`` has of a word, which is all that is behind ``at``."""
        left = self.missing - 2
        self.missing -= len(data) - at
        if left <= 0 or at == len(data):
            return
        pieces = self._pieces
        piece = memoryview(data)[at : at + left]
        if len(piece) >= FEW_BYTES:
            pieces.append(piece)
        elif pieces and isinstance(pieces[-1], bytearray):
            pieces[-1] += piece
        else:
            pieces.append(bytearray(piece))

    def _word(self, data: bytes, at: int) -> bytes:
        """The word whose last bytes are at ``at``."""
        end = max(at + self.missing - 2, at)
        if not self._pieces:
            return data[at:end]
        word = b"".join((*self._pieces, memoryview(data)[at:end]))
        self._pieces.clear()
        return word


def _length(digits: bytes) -> int | None:
    length = int(digits) if _INTEGER.fullmatch(digits) else None
    return length if length is None or -(2**63) <= length < 2**63 else None


class Line:
    """The exact reader of one inline command, as :class:`Array`."""

    __slots__ = ("_begun", "_limits", "allowance", "words")

    missing = 0  # as far as anybody knows

    def __init__(self, limits: Limits, allowance: int | None) -> None:
        self.words: list[bytes] = []
        self.allowance = allowance
        self._begun = bytearray()
        self._limits = limits

    def feed(self, data: bytes, at: int) -> int | None:
        limits = self._limits
        end = data.find(b"\n", at)
        self._begun += data[at : end if end >= 0 else None]
        if self.allowance is not None and len(self._begun) > self.allowance:
            raise LimitMet("unauthenticated_buffer", "unauthenticated request is too long")
        if len(self._begun) > limits.max_line:
            raise LimitMet("max_line", "too big inline request")
        if len(self._begun) > limits.max_request:
            raise LimitMet("max_request", "request is too long")
        if end < 0:
            return None
        line = bytes(self._begun.removesuffix(b"\r"))
        if self.allowance is None:
            words = split_words(line)
        else:
            most, longest = limits.unauthenticated_arguments, limits.unauthenticated_argument
            words = split_words(line, most, longest)
            if words and max(map(len, words)) > longest:
                raise LimitMet("unauthenticated_argument", "unauthenticated bulk length")
            if words and len(words) > most:
                raise LimitMet("unauthenticated_arguments", "unauthenticated multibulk length")
        if words is None:
            raise ProtocolError("Protocol error: unbalanced quotes in request")
        if len(line) > limits.max_value and max(map(len, words), default=0) > limits.max_value:
            raise LimitMet("max_value", "invalid bulk length")
        self.words = words
        return end + 1


_WORD = re.compile(
    rb"""
    (?: "(?P<double>(?:[^"\\]|\\.)*+)" | '(?P<single>(?:[^'\\]|\\.)*+)' | [^\s"']++ )
    """,
    re.VERBOSE | re.DOTALL,
)
_BLANK = b" \t\n\v\f\r"
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a"}


def split_words(
    line: bytes, most: int = _ANY_NUMBER, longest: int = _ANY_NUMBER
) -> list[bytes] | None:
    """The words of an inline command, quoted as for redis-cli; None where quotes do not match.
    Those behind ``most`` or behind one longer than ``longest`` may be missing.

    A quoted piece ends its word: a blank or the end must follow it. It may begin inside a word.
    """
    words: list[bytes] = []
    at, end = 0, len(line)
    while True:
        while at < end and line[at] in _BLANK:
            at += 1
        if at == end or len(words) > most:
            return words
        word = b""
        while at < end and line[at] not in _BLANK:
            piece = _WORD.match(line, at)
            if piece is None:
                return None
            if piece.end() - at > longest + 2:  # with its quotes; escapes are not worth the time
                return [*words, piece[0]]
            at = piece.end()
            if piece["double"] is not None:
                word += _ESCAPE.sub(_unescaped, piece["double"])
            elif piece["single"] is not None:
                word += piece["single"].replace(b"\\'", b"'")
            else:
                word += piece[0]
                continue
            if at < end and line[at] not in _BLANK:
                return None
        words.append(word)


def _unescaped(escape: re.Match[bytes]) -> bytes:
    code = escape[1]
    if len(code) == 3:
        return bytes.fromhex(code[1:].decode())
    return _ESCAPES.get(code, code)
