"""RESP's requests: arrays of bulk strings, and inline commands between them. Replies are in
resp_replies.

Strategy. What begins between two requests goes through the core (:mod:`memdbd.core`) by whole
buffers, which gives the canonical requests in it, nearly always all. Whatever it stops at (the
beginning of a request, an inline command, a fault) is read by the exact readers
(:mod:`memdbd.dialects.exact`), which go on where they stopped when more arrives. Nothing raises for
anything that a peer can send.

A stranger's requests are all read exactly, one by one, as they are asked for: none is made that may
not be answered any more, and what is behind a log-in is read as that of whoever has logged in.

May import: core, errors, limits, commands.spec, batch, exact.
"""

from __future__ import annotations

from collections.abc import Iterator

from memdbd import core
from memdbd.commands.spec import Request
from memdbd.dialects.batch import Batch, one_by_one
from memdbd.dialects.exact import Array, LimitMet, Line
from memdbd.errors import ProtocolError
from memdbd.limits import Limits

_STAR = ord("*")


class RespParser:
    """Makes requests of the bytes of one connection.

    ``met`` is the limit that one has met, if one has. Where the peer is no stranger any more,
    ``feed_warily``, once it has been called, goes on as ``feed``.
    """

    __slots__ = ("_allowance", "_limits", "_seen", "_unfinished", "met")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
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

    @property
    def has_begun(self) -> bool:
        """Whether a part of a request has come."""
        return self._unfinished is not None

    @property
    def missing(self) -> int:
        """Bytes that have not come of the word in whose middle it is, as far as that is known."""
        return 0 if self._unfinished is None else self._unfinished.missing

    def read(self, data: bytes) -> list[Request] | None:
        """The requests that ``data`` is, where it is nothing but whole and canonical ones; None,
        with nothing read, where it is to be fed."""
        limits, size = self._limits, len(data)
        if self._unfinished is None and size <= limits.max_value and size <= limits.max_request:
            requests, end = core.requests(data)
            if end == size:
                return requests  # type: ignore[return-value] # more than it gives
        return None

    def feed(self, data: bytes) -> Batch:
        """The requests that ``data`` completes.

        After a fault comes a ProtocolError as the last; nothing may be fed after it.
        """
        limits, size = self._limits, len(data)
        requests: list[Request] = []
        # A socket is read by less than is too long, as a rule; else the exact readers know.
        is_usual = size <= limits.max_value and size <= limits.max_request
        try:
            at = self._finish(data, requests, 0)
            # More of the kind of one that was longer than what is left would not be whole: to give
            # that to the core would be to copy up to 64 KiB for nothing.
            left = size - at
            if is_usual and left and not (requests and _bytes_of(requests[0]) > left):
                found, end = core.requests(data[at:])
                requests += found
                at += end
            # One that the core did not like is followed by more of its kind, as a rule.
            while at < size:
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

    def _finish(self, data: bytes, requests: list[Request], at: int) -> int:
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


def _bytes_of(request: Request) -> int:
    """How many bytes the words of a request have."""
    return sum(map(len, request)) if isinstance(request, list) else 0
