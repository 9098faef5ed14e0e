"""RESP's requests: arrays of bulk strings, and inline commands between them. Replies are in
resp_replies.

Strategy. Whole buffers go through hiredis, which takes 0.15 µs a request but knows replies only: it
would accept what is no request, cannot read inline commands, loses its buffer at the first byte
that it does not understand, and makes room for as many words as a header announces. So it only ever
gets a buffer that begins between two requests and announces nothing huge, and what it gave is
checked. Whatever it could not finish (the beginning of a request, an inline command, a fault) is
read by the exact reader of this module, which goes on where it stopped when more arrives. That one
follows ``processInlineBuffer``, ``processMultibulkBuffer`` (networking.c) and ``sdssplitargs``
(sds.c) of Redis 7.0, with their errors. Nothing raises for anything that a peer can send.

May import: errors, commands.spec, hiredis.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import hiredis

from memdbd.commands.spec import Request
from memdbd.errors import ProtocolError

MAX_INLINE = 64 * 1024  # bytes of a line
MAX_BULK = 512 * 1024 * 1024  # bytes of one word
MAX_WORDS = 2**31 - 1
MAX_REQUEST = 128 * 1024 * 1024  # bytes of a request that is not complete yet

# Bytes that the exact reader looks at first: there may be many small requests in a buffer.
WINDOW = 4096

_STAR, _DOLLAR = b"*$"
_INTEGER = re.compile(rb"0|-?[1-9][0-9]{0,18}")
_HUGE = re.compile(rb"\*[0-9]{6}")  # for so many words hiredis would make room at once
_ALSO_HUGE = re.compile(rb"[~>%|][0-9]{6}")  # the same, of what can be in no request
_ONLY_BYTES = frozenset({bytes})

# Behind a buffer, it comes out of hiredis as what it is where the buffer was complete, and
# disappears in the request that is not.
_SENTINEL, _SENTINEL_SEEN = b"+!\r\n", b"!"


class RespParser:
    """Makes requests of the bytes of one connection."""

    __slots__ = ("_reader", "_unfinished")

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._unfinished: _Array | _Line | None = None

    def feed(self, data: bytes) -> Iterator[Request]:
        """The requests that ``data`` completes.

        After a fault comes a ProtocolError as the last; nothing may be fed after it.
        """
        requests: list[Request] = []
        try:
            at = self._finish(data, requests)
            if data.startswith(b"*", at) and not _is_huge(data):
                at = self._fast(data[at:] if at else data, requests) + at
            # One that hiredis did not like is followed by more of its kind, as a rule.
            while at < len(data):
                self._unfinished = _Array() if data[at] == _STAR else _Line()
                at = self._finish(data, requests, at)
        except ProtocolError as fault:
            requests.append(fault)
        return iter(requests)

    def _finish(self, data: bytes, requests: list[Request], at: int = 0) -> int:
        """Go on with the unfinished request, if any; gives where it ends in ``data``."""
        unfinished = self._unfinished
        if unfinished is None:
            return at
        end = unfinished.feed(data, at)
        if end is None:
            return len(data)
        self._unfinished = None
        if unfinished.words:
            requests.append(unfinished.words)
        return end

    def _fast(self, data: bytes, requests: list[Request]) -> int:
        """Read what hiredis can of a buffer that begins between two requests; gives its end."""
        reader = self._reader
        found: list[Any] = []
        try:
            reader.feed(data)
            while (request := reader.gets()) is not False:
                found.append(request)
            reader.feed(_SENTINEL)
            is_whole = reader.gets() == _SENTINEL_SEEN
        except hiredis.ProtocolError:
            is_whole = False
        if not _are_requests(found, data):
            is_whole = False
            found = found[: _count_good(found)]
        requests += found if all(found) else filter(None, found)
        if is_whole:
            return len(data)
        self._reader = hiredis.Reader()
        return _size(found)


def _is_huge(data: bytes) -> bool:
    """Whether something in ``data`` may announce more than hiredis should make room for."""
    if _HUGE.search(data) is not None:
        return True
    # Four looks for a byte that is mostly not there are far quicker than the expression.
    rare = b"~" in data or b">" in data or b"%" in data or b"|" in data
    return rare and _ALSO_HUGE.search(data) is not None


def _are_requests(replies: Sequence[Any], data: bytes) -> bool:
    """Whether what hiredis has read of ``data`` are arrays of bulk strings."""
    try:
        words = set(map(type, chain.from_iterable(replies)))
    except TypeError:  # numbers or null arrays
        return False
    return (
        words <= _ONLY_BYTES
        and set(map(type, replies)) <= {list}
        # A simple string looks the same, but is said without a dollar. (One in a value may hide
        # it, and then it is taken for a bulk string.)
        and data.count(b"$") >= sum(map(len, replies))
    )


def _count_good(replies: Sequence[Any]) -> int:
    """How many of them are certainly requests: none, where one may be made of simple strings."""
    for count, reply in enumerate(replies):
        if not isinstance(reply, list) or set(map(type, reply)) - _ONLY_BYTES:
            return count
    return 0


def _size(requests: Sequence[list[bytes]]) -> int:
    """The bytes of requests as they were sent: there is only one way to say a length."""
    lengths = list(map(len, chain.from_iterable(requests)))
    return (
        sum(map(_digits, map(len, requests)))
        + 3 * len(requests)  # *…\r\n
        + sum(lengths)
        + sum(map(_digits, lengths))
        + 5 * len(lengths)  # $…\r\n…\r\n
    )


_DIGITS = bytes(len(str(number)) for number in range(10_000))


def _digits(number: int) -> int:
    return _DIGITS[number] if number < 10_000 else len(str(number))


class _Array:
    """The exact reader of one array, which may come in any number of pieces.

    ``feed(data, at)`` gives where it ends in ``data``, or None if it does not yet.
    """

    __slots__ = ("_at", "_buffer", "_count", "_length", "words")

    def __init__(self) -> None:
        self.words: list[bytes] = []
        self._buffer = bytearray()
        self._at = 0  # how far the buffer is read
        self._count: int | None = None  # of the words to come; None before the header
        self._length: int | None = None  # of the word that comes now; None before its header

    def feed(self, data: bytes, at: int) -> int | None:
        size = WINDOW
        while at < len(data):
            piece = data[at : at + size]
            self._buffer += piece
            at += len(piece)
            if self._read():
                return at - (len(self._buffer) - self._at)
            size *= 2
        if len(self._buffer) > MAX_REQUEST:
            raise ProtocolError("Protocol error: request is too long")
        return None

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
        while len(self.words) < self._count:
            if self._length is None and not self._read_length():
                return False
            end = self._at + self._length  # type: ignore[operator] # just read
            if len(self._buffer) < end + 2:
                return False
            self.words.append(bytes(self._buffer[self._at : end]))
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
        if length is None or not 0 <= length <= MAX_BULK:
            raise ProtocolError("Protocol error: invalid bulk length")
        self._length = length
        return True

    def _header(self, too_long: str) -> bytes | None:
        """What stands behind the type byte of the next line; None where its end is not there."""
        end = self._buffer.find(b"\r", self._at)
        if end < 0 or end + 2 > len(self._buffer):
            if len(self._buffer) - self._at > MAX_INLINE:
                raise ProtocolError(f"Protocol error: {too_long}")
            return None
        digits = bytes(self._buffer[self._at + 1 : end])
        self._at = end + 2
        return digits


def _length(digits: bytes) -> int | None:
    length = int(digits) if _INTEGER.fullmatch(digits) else None
    return length if length is None or -(2**63) <= length < 2**63 else None


class _Line:
    """The exact reader of one inline command, as :class:`_Array`."""

    __slots__ = ("_begun", "words")

    def __init__(self) -> None:
        self.words: list[bytes] = []
        self._begun = bytearray()

    def feed(self, data: bytes, at: int) -> int | None:
        end = data.find(b"\n", at)
        self._begun += data[at : end if end >= 0 else None]
        if end < 0:
            if len(self._begun) > MAX_INLINE:
                raise ProtocolError("Protocol error: too big inline request")
            return None
        words = split_words(bytes(self._begun.removesuffix(b"\r")))
        if words is None:
            raise ProtocolError("Protocol error: unbalanced quotes in request")
        self.words = words
        return end + 1


_WORD = re.compile(
    rb"""
    (?: "(?P<double>(?:[^"\\]|\\.)*+)" | '(?P<single>(?:[^'\\]|\\.)*+)' | [^\s"'\0] | \0 )
    """,
    re.VERBOSE | re.DOTALL,
)
_BLANK = b" \t\n\v\f\r"
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a"}


def split_words(line: bytes) -> list[bytes] | None:
    """The words of an inline command, quoted as for redis-cli; None where quotes do not match.

    A quoted piece ends its word: a blank or the end must follow it. It may begin inside a word.
    """
    words: list[bytes] = []
    at, end = 0, len(line)
    while True:
        while at < end and line[at] in _BLANK:
            at += 1
        if at == end:
            return words
        word = b""
        while at < end and line[at] not in _BLANK:
            piece = _WORD.match(line, at)
            if piece is None:
                return None
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
