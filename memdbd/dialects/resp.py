"""RESP's requests: arrays of bulk strings, and inline commands between them. Replies are in
resp_replies.

Strategy. Whole buffers go through hiredis, which takes 0.15 µs a request but knows replies only: it
would accept what is no request, cannot read inline commands, loses its buffer at the first byte
that it does not understand, and makes room for as many words as a header announces. So it only ever
gets a buffer that begins between two requests and announces nothing huge, and what it gave is
checked. Whatever it could not finish (the beginning of a request, an inline command, a fault) is
read by the exact readers (:mod:`memdbd.dialects.exact`), which go on where they stopped when more
arrives. Nothing raises for anything that a peer can send.

A stranger's requests are all read exactly, one by one, as they are asked for: none is made that may
not be answered any more, and what is behind a log-in is read as that of whoever has logged in.

May import: errors, limits, commands.spec, batch, exact, hiredis.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import hiredis

from memdbd.commands.spec import Request
from memdbd.dialects.batch import Batch, one_by_one
from memdbd.dialects.exact import Array, LimitMet, Line
from memdbd.errors import ProtocolError
from memdbd.limits import Limits

_STAR = ord("*")
_HUGE = re.compile(rb"\*[0-9]{6}")  # for so many words hiredis would make room at once
_ALSO_HUGE = re.compile(rb"[~>%|][0-9]{6}")  # the same, of what can be in no request
_ONLY_BYTES = frozenset({bytes})

# Behind a buffer, it comes out of hiredis as what it is where the buffer was complete, and
# disappears in the request that is not.
_SENTINEL, _SENTINEL_SEEN = b"+!\r\n", b"!"


class RespParser:
    """Makes requests of the bytes of one connection.

    ``met`` is the limit that one has met, if one has. Where the peer is no stranger any more,
    ``feed_warily``, once it has been called, goes on as ``feed``.
    """

    __slots__ = ("_allowance", "_limits", "_reader", "_seen", "_unfinished", "met")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._reader: Any = None  # made when it is needed
        self._unfinished: Array | Line | None = None
        self._seen = 0  # requests of a stranger
        self._allowance: int | None = None
        self.met = ""

    def be_wary(self, allowance: int | None) -> None:
        """The peer is a stranger, of whom a request may have so many bytes; or, with None, not. So
        is what has come of a request: whoever resets the connection may have begun one behind."""
        self._allowance = allowance
        if self._unfinished is not None:
            self._unfinished.allowance = allowance

    def feed(self, data: bytes) -> Batch:
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
                self._begin(data[at])
                at = self._finish(data, requests, at)
        except ProtocolError as fault:
            requests.append(self._noted(fault))
        return Batch(requests)

    def feed_warily(self, data: bytes) -> Batch:
        """The same for a stranger, who may send less, and not often."""
        return one_by_one(self._one_by_one(data))

    def _one_by_one(self, data: bytes) -> Iterator[Request]:
        limits, at = self._limits, 0
        while self._allowance is not None:
            requests: list[Request] = []
            try:
                if self._unfinished is None and at < len(data):
                    self._seen += 1
                    if self._seen > limits.unauthenticated_requests:
                        raise LimitMet("unauthenticated_requests", "unauthenticated requests")
                    self._begin(data[at])
                at = self._finish(data, requests, at)
            except ProtocolError as fault:
                yield self._noted(fault)
                return
            yield from requests
            if at == len(data):
                return
        yield from self.feed(data[at:])

    def _begin(self, first: int) -> None:
        """Begin to read a request exactly."""
        kind = Array if first == _STAR else Line
        self._unfinished = kind(self._limits, self._allowance)

    def _noted(self, fault: ProtocolError) -> ProtocolError:
        if isinstance(fault, LimitMet):
            self.met = fault.limit
        return fault

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
        if reader is None:
            reader = self._reader = hiredis.Reader()
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
        if len(data) > self._limits.max_value or len(data) > self._limits.max_request:
            # Nearly never, since a socket is read by less. The exact reader knows what is wrong.
            found, all_found = found[: self._count_small(found)], found
            is_whole = is_whole and len(found) == len(all_found)
        requests += found if all(found) else filter(None, found)
        if is_whole:
            return len(data)
        self._reader = None
        return _size(found)

    def _count_small(self, requests: Sequence[list[bytes]]) -> int:
        """How many of them there are in front of one that is over a limit."""
        limits = self._limits
        for count, words in enumerate(requests):
            longest = max(map(len, words), default=0)
            if longest > limits.max_value or _size([words]) > limits.max_request:
                return count
        return len(requests)


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
