"""RESP's requests: arrays of bulk strings, and inline commands between them. Replies are in
resp_replies.

Strategy. Whole buffers go through hiredis, which takes 0.15 µs a request but knows replies only: it
would accept what is no request, cannot read inline commands, and loses its buffer at the first byte
that it does not understand. So what it gave is checked a buffer at a time; and the bytes since the
last request that was certainly complete are kept, as long as they are few, and read again by the
exact reader of this module where hiredis gave up or something other than requests came out. The
exact reader follows ``processInlineBuffer``, ``processMultibulkBuffer`` (networking.c) and
``sdssplitargs`` (sds.c) of Redis 7.0, with their errors. Nothing raises for anything that a peer
can send.

May import: errors, commands.spec, hiredis.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain

import hiredis

from memdbd.commands.spec import Request
from memdbd.errors import ProtocolError

MAX_INLINE = 64 * 1024  # bytes of a line
MAX_BULK = 512 * 1024 * 1024  # bytes of one word
MAX_WORDS = 2**31 - 1
MAX_REQUEST = 128 * 1024 * 1024  # bytes of a request that is not complete yet

# So many bytes at most are kept to be read again. Beyond, a fault is still found, but may be told
# in hiredis's words.
KEPT = 16 * 1024

_ARRAY = b"*"
_INTEGER = re.compile(rb"-?(?:0|[1-9][0-9]{0,18})")
_ONLY_BYTES = frozenset({bytes})


class RespParser:
    """Makes requests of the bytes of one connection."""

    __slots__ = ("_incomplete", "_kept", "_lines", "_reader")

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._incomplete = 0  # bytes since the last request
        # The bytes since a place between two requests, or None where that is not known.
        self._kept: bytearray | None = bytearray()
        # Inline commands are being read, and this is the beginning of the next.
        self._lines: bytearray | None = bytearray()

    def feed(self, data: bytes) -> Iterator[Request]:
        """The requests that ``data`` completes.

        After a fault comes a ProtocolError as the last; nothing may be fed after it.
        """
        if self._lines is not None:
            if not self._lines and data.startswith(_ARRAY):
                self._lines = None
            else:
                self._lines += data
                return iter(self._exactly(bytes(self._lines), 0))
        return iter(self._arrays(data))

    def _arrays(self, data: bytes) -> list[Request]:
        kept = self._kept
        if kept is not None:
            kept += data
        requests: list[Request] = []
        fault = False
        try:
            self._reader.feed(data)
            while (request := self._reader.gets()) is not False:
                requests.append(request)
        except (hiredis.ProtocolError, MemoryError):
            fault = True
        if not _are_requests(requests):
            fault = True
        if fault:
            return self._again(data, requests)
        if requests:
            self._incomplete = len(data)
            if _ends_with(data, requests[-1]):
                self._incomplete = 0
                self._kept = bytearray()
                return _without_empty(requests)
        else:
            self._incomplete += len(data)
        if self._incomplete > MAX_REQUEST:
            requests.append(ProtocolError("Protocol error: request is too long"))
        elif kept is not None:
            if len(kept) > KEPT:
                self._kept = None
            else:
                # It may never become one: better to say so now than to wait for ever.
                return self._again(data, requests)
        return _without_empty(requests)

    def _again(self, data: bytes, requests: list[Request]) -> list[Request]:
        """The requests of what was kept, or of the last ``data``, which hiredis has read up to
        ``requests``; exactly."""
        if self._kept is not None:
            return self._exactly(bytes(self._kept), 0)
        good = list(_before_fault(requests))
        at = _end_of(data, good)
        if at is None:
            return [*good, ProtocolError("Protocol error: unexpected bytes where a request begins")]
        return [*good, *self._exactly(data[at:], 0)]

    def _exactly(self, data: bytes, at: int) -> list[Request]:
        """The requests of ``data``, which begins between two, and how to go on behind them."""
        requests: list[Request] = []
        try:
            while at < len(data):
                read = _read_array if data.startswith(_ARRAY, at) else _read_line
                found = read(data, at)
                if found is None:
                    break
                words, at = found
                if words:
                    requests.append(words)
        except ProtocolError as fault:
            requests.append(fault)
        rest = data[at:]
        if rest and not rest.startswith(_ARRAY):
            self._lines = bytearray(rest)
            rest = b""
        elif not rest:
            # Whatever comes next says what it is.
            self._lines = bytearray()
        else:
            self._lines = None
        self._reader = hiredis.Reader()
        self._kept = bytearray(rest)
        self._incomplete = len(rest)
        if rest:
            self._reader.feed(rest)
        return requests


def _are_requests(replies: list[Request]) -> bool:
    """Whether what hiredis has read are arrays of bulk strings (or of nothing)."""
    try:
        kinds = set(map(type, chain.from_iterable(replies)))  # type: ignore[arg-type]
    except TypeError:  # a null array is no request, but may come
        return False
    return kinds <= _ONLY_BYTES and set(map(type, replies)) <= {list}


def _before_fault(replies: list[Request]) -> Iterable[list[bytes]]:
    for reply in replies:
        if not _are_requests([reply]):
            return
        if reply:
            yield reply  # type: ignore[misc] # which is what was asked


def _encoded(words: list[bytes]) -> bytes:
    """A request as clients send it."""
    array = b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words])
    return b"*%d\r\n%b" % (len(words), array)


def _end_of(data: bytes, requests: list[list[bytes]]) -> int | None:
    """Where the last of ``requests`` ends in ``data``, in which the first may only have its end;
    None where that cannot be told."""
    if not requests:
        return None
    first, *others = map(_encoded, requests)
    others_joined = b"".join(others)
    for begun in range(len(first)):
        if data.startswith(first[begun:]) and data.startswith(others_joined, len(first) - begun):
            return len(first) - begun + len(others_joined)
    return None


def _without_empty(requests: list[Request]) -> list[Request]:
    return requests if all(requests) else list(filter(None, requests))


def _ends_with(data: bytes, request: Request) -> bool:
    """Whether ``data`` ends where this request does, as nearly all do."""
    words: list[bytes] = request  # type: ignore[assignment]
    if not words:
        return data.endswith(b"*0\r\n")
    last = words[-1]
    if not data.endswith(b"\r\n") or not data.endswith(last, 0, -2):
        return False
    if len(data) > KEPT:
        return True  # nothing depends on it but whether bytes are kept
    return data.endswith(_encoded(words))


def _read_array(data: bytes, at: int) -> tuple[list[bytes], int] | None:
    """The array at ``at`` and where it ends; None where it does not yet."""
    header = _header(data, at, "too big mbulk count string")
    if header is None:
        return None
    digits, at = header
    count = _length(digits)
    if count is None or count > MAX_WORDS:
        raise ProtocolError("Protocol error: invalid multibulk length")
    words: list[bytes] = []
    while len(words) < count:
        header = _header(data, at, "too big bulk count string")
        if header is None:
            if at < len(data) and data[at : at + 1] != b"$" and b"\r" in data[at:]:
                raise _expected_dollar(data, at)
            return None
        digits, behind = header
        if data[at : at + 1] != b"$":
            raise _expected_dollar(data, at)
        length = _length(digits)
        if length is None or not 0 <= length <= MAX_BULK:
            raise ProtocolError("Protocol error: invalid bulk length")
        if len(data) < behind + length + 2:
            return None
        words.append(data[behind : behind + length])
        at = behind + length + 2  # Redis does not look at these two either
    return words, at


def _header(data: bytes, at: int, too_long: str) -> tuple[bytes, int] | None:
    """What stands behind the type byte of the line at ``at``, and where the next begins."""
    end = data.find(b"\r", at)
    if end < 0 or end + 2 > len(data):
        if len(data) - at > MAX_INLINE:
            raise ProtocolError(f"Protocol error: {too_long}")
        return None
    return data[at + 1 : end], end + 2


def _length(digits: bytes) -> int | None:
    return int(digits) if _INTEGER.fullmatch(digits) else None


def _expected_dollar(data: bytes, at: int) -> ProtocolError:
    got = data[at : at + 1].decode("latin-1")
    return ProtocolError(f"Protocol error: expected '$', got '{got}'")


def _read_line(data: bytes, at: int) -> tuple[list[bytes], int] | None:
    """The words of the inline command at ``at`` and where it ends; None where it does not yet."""
    end = data.find(b"\n", at)
    if end < 0:
        if len(data) - at > MAX_INLINE:
            raise ProtocolError("Protocol error: too big inline request")
        return None
    line = data[at:end]
    words = split_words(line.removesuffix(b"\r"))
    if words is None:
        raise ProtocolError("Protocol error: unbalanced quotes in request")
    return words, end + 1


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
