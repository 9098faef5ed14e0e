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

# Bytes that are looked at first: there may be many small requests in a buffer.
WINDOW = 4096

_ANY_NUMBER = 1 << 62
_DOLLAR = ord("$")
_INTEGER = re.compile(rb"0|-?[1-9][0-9]{0,18}")


class LimitMet(ProtocolError):
    """A peer has sent more than it may; ``limit`` is the name of the limit."""

    def __init__(self, limit: str, message: str) -> None:
        super().__init__(f"Protocol error: {message}")
        self.limit = limit


class Array:
    """The exact reader of one array, which may come in any number of pieces.

    ``allowance`` is the bytes that it may have if it is a stranger's, else None; it may change
    meanwhile. ``feed(data, at)`` gives where it ends in ``data``, or None if it does not yet.
    """

    __slots__ = (
        "_at", "_buffer", "_count", "_length", "_limits", "_read_before", "allowance", "words",
    )  # fmt: skip

    def __init__(self, limits: Limits, allowance: int | None) -> None:
        self.words: list[bytes] = []
        self.allowance = allowance
        self._limits = limits
        self._buffer = bytearray()
        self._at = 0  # how far the buffer is read
        self._read_before = 0  # bytes that are not in it any more
        self._count: int | None = None  # of the words to come; None before the header
        self._length: int | None = None  # of the word that comes now; None before its header

    def feed(self, data: bytes, at: int) -> int | None:
        size = WINDOW
        while at < len(data):
            if self._length is not None:
                # What is missing of a word comes at once, and is copied once: 64 KiB are 3 µs.
                size = max(size, self._at + self._length + 2 - len(self._buffer))
            piece = memoryview(data)[at : at + size]
            self._buffer += piece
            at += len(piece)
            if self._read():
                return at - (len(self._buffer) - self._at)
            size *= 2
        self._check(self._read_before + len(self._buffer))
        # What has become words need not be kept twice.
        del self._buffer[: self._at]
        self._read_before += self._at
        self._at = 0
        return None

    def _check(self, size: int) -> None:
        """Raise ProtocolError where a request may not have so many bytes."""
        if self.allowance is not None and size > self.allowance:
            raise LimitMet("unauthenticated_buffer", "unauthenticated request is too long")
        if size > self._limits.max_request:
            raise LimitMet("max_request", "request is too long")

    def _read(self) -> bool:
        """Read on; whether that was all of it."""
        if self._count is None:
            digits = self._header("too big mbulk count string")
            if digits is None:
                return False
            count = _length(digits)
            if count is None or count > MAX_WORDS:
                raise ProtocolError("Protocol error: invalid multibulk length")
            self._count = max(count, 0)
        # Each time: whoever began it may have been somebody then.
        is_strangers = self.allowance is not None
        if is_strangers and self._count > self._limits.unauthenticated_arguments:
            raise LimitMet("unauthenticated_arguments", "unauthenticated multibulk length")
        while len(self.words) < self._count:
            if self._length is None and not self._read_length():
                return False
            end = self._at + self._length  # type: ignore[operator] # just read
            if len(self._buffer) < end + 2:
                return False
            self.words.append(bytes(memoryview(self._buffer)[self._at : end]))
            self._at = end + 2  # Redis does not look at these two either
            self._length = None
        return True

    def _read_length(self) -> bool:
        begun = self._at
        digits = self._header("too big bulk count string")
        if digits is None:
            return False
        if self._buffer[begun] != _DOLLAR:
            got = self._buffer[begun : begun + 1].decode("latin-1")
            raise ProtocolError(f"Protocol error: expected '$', got '{got}'")
        length = _length(digits)
        if length is None or length < 0:
            raise ProtocolError("Protocol error: invalid bulk length")
        if length > self._limits.max_value:
            raise LimitMet("max_value", "invalid bulk length")
        if self.allowance is not None and length > self._limits.unauthenticated_argument:
            raise LimitMet("unauthenticated_argument", "unauthenticated bulk length")
        self._check(self._read_before + self._at + length + 2)  # before it comes
        self._length = length
        return True

    def _header(self, too_long: str) -> bytes | None:
        """What stands behind the type byte of the next line; None where its end is not there."""
        end = self._buffer.find(b"\r", self._at)
        if end < 0 or end + 2 > len(self._buffer):
            if len(self._buffer) - self._at > MAX_HEADER:
                raise ProtocolError(f"Protocol error: {too_long}")
            return None
        digits = bytes(self._buffer[self._at + 1 : end])
        self._at = end + 2
        return digits


def _length(digits: bytes) -> int | None:
    length = int(digits) if _INTEGER.fullmatch(digits) else None
    return length if length is None or -(2**63) <= length < 2**63 else None


class Line:
    """The exact reader of one inline command, as :class:`Array`."""

    __slots__ = ("_begun", "_limits", "allowance", "words")

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
