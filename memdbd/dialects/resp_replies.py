"""RESP's replies, in its versions 2 and 3, and what is pushed in it.

Strategy: a table from the reply's class to what encodes it, one for each version; RESP2 says with
arrays and strings what RESP3 has types for. Long lists are encoded piece by piece, so that they do
not hold the loop. The forms are those of ``addReply…`` in Redis 7.0's networking.c.

May import: errors, replies, streams.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

from memdbd.dialects.streams import PIECE, Stream, emptied, held, is_streamed, nested
from memdbd.errors import CommandError, ProtocolError
from memdbd.replies import (
    BulkDouble,
    Double,
    Fields,
    Members,
    Message,
    NoReply,
    NullArray,
    Page,
    Pairs,
    Push,
    Record,
    Reply,
    Results,
    Scored,
    Several,
    Status,
    Verbatim,
)

_OK = b"+OK\r\n"
_KINDS: dict[type, bytes] = {dict: b"%", Members: b"~"}  # those of RESP3 alone
# What may not stand in a line, for it would end it.
_CONTROL = str.maketrans({"\r": " ", "\n": " ", "\0": " "})


class RespEncoder:
    """Makes bytes of replies, in one ``version`` of RESP, for all connections."""

    __slots__ = ("_by_class", "_null", "_null_array", "version")

    def __init__(self, version: int) -> None:
        self.version = version
        self._null = b"$-1\r\n" if version == 2 else b"_\r\n"
        self._null_array = b"*-1\r\n" if version == 2 else b"_\r\n"
        self._by_class: dict[type, Callable[[Any], bytes]] = {
            bytes: _bulk,
            int: lambda reply: b":%d\r\n" % reply,
            type(None): lambda reply: self._null,
            Status: lambda reply: b"+%b\r\n" % reply.text.encode(),
            list: self._array,
            tuple: self._array,
            str: lambda reply: _bulk(reply.encode("utf-8", "surrogateescape")),
            CommandError: _error,
            ProtocolError: _error,
            NullArray: lambda reply: self._null_array,
            NoReply: lambda reply: b"",
            Page: _page,
            Record: lambda reply: self._array(list(reply.fields.values())),
            BulkDouble: lambda reply: _bulk(reply.digits.encode()),
            Results: lambda reply: self._array(reply.replies),
            Several: lambda reply: b"".join(map(self.encode, reply.replies)),
            Fields: lambda reply: self.encode(reply.result),
        }
        if version == 2:
            self._by_class |= {
                bool: lambda reply: b":%d\r\n" % reply,
                float: lambda reply: _bulk(_digits(reply)),
                dict: lambda reply: self._flat(reply.items()),
                Members: lambda reply: self._array(reply.items),
                Pairs: lambda reply: self._flat(reply.items),
                Scored: lambda reply: self._flat(reply.items),
                Double: lambda reply: _bulk(reply.digits.encode()),
                Verbatim: lambda reply: _bulk(reply.text.encode()),
                Push: lambda reply: self._array(reply.items),
            }
        else:
            self._by_class |= {
                bool: lambda reply: b"#t\r\n" if reply else b"#f\r\n",
                float: lambda reply: b",%b\r\n" % _digits(reply),
                dict: self._map,
                Members: lambda reply: self._items(b"~", reply.items),
                Pairs: lambda reply: self._array(reply.items),
                Scored: lambda reply: self._array(reply.items),
                Double: lambda reply: b",%b\r\n" % reply.digits.encode(),
                Verbatim: _verbatim,
                Push: lambda reply: self._items(b">", reply.items),
            }

    def encode(self, reply: Reply) -> bytes:
        """The bytes of a reply or an error."""
        encode = self._by_class.get(reply.__class__)
        if encode is not None:
            return encode(reply)
        if isinstance(reply, Exception):
            return _error(reply)
        raise TypeError(f"no reply: {type(reply).__name__}")

    def stream(self, reply: Reply) -> Stream | None:
        """The pieces of a long reply; None for one that is better encoded as a whole.

        It is emptied when it is sent.
        """
        return Stream(chain(self._pieces(reply), emptied(reply))) if is_streamed(reply) else None

    def message(self, message: Message) -> bytes:
        """The bytes that push a message, made once for all who listen in this version."""
        encoded = message.encoded.get(self.version)
        if encoded is None:
            items = [message.kind, message.channel, message.payload]
            if message.pattern is not None:
                items.insert(1, message.pattern)
            encoded = message.encoded[self.version] = self.encode(Push(*items))
        return encoded

    def _array(self, items: Sequence[Reply]) -> bytes:
        return self._items(b"*", items)

    def _items(self, kind: bytes, items: Sequence[Reply]) -> bytes:
        return b"%b%d\r\n%b" % (kind, len(items), b"".join(map(self.encode, items)))

    def _flat(self, pairs: Any) -> bytes:
        return b"*%d\r\n%b" % (2 * len(pairs), self._joined(pairs))

    def _map(self, reply: dict[Any, Reply]) -> bytes:
        return b"%%%d\r\n%b" % (len(reply), self._joined(reply.items()))

    def _joined(self, pairs: Any) -> bytes:
        encode = self.encode
        return b"".join([encode(one) for pair in pairs for one in pair])

    def _pieces(self, reply: Reply) -> Iterator[bytes]:
        within = nested(reply)
        if not is_streamed(reply):
            yield self.encode(reply)
        elif within is None:
            yield from self._pieces_of_items(reply)
        else:
            yield b"*%d\r\n" % len(within)
            for each in within:
                yield from self._pieces(each)

    def _pieces_of_items(self, reply: Reply) -> Iterator[bytes]:
        items = held(reply)
        kind, size, flat = b"*", len(items), False
        if isinstance(reply, dict):
            items, flat = reply.items(), True
        elif isinstance(reply, Pairs):
            flat = self.version == 2
        if self.version == 3:
            kind = _KINDS.get(reply.__class__, kind)
        elif flat:
            size *= 2
        yield b"%b%d\r\n" % (kind, size)
        left = iter(items)
        while piece := list(islice(left, PIECE)):
            yield self._joined(piece) if flat else b"".join(map(self.encode, piece))


def _bulk(reply: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(reply), reply)


def _page(page: Page) -> bytes:
    return ENCODERS[2].encode(list(page))  # in RESP3 too


def _digits(number: float) -> bytes:
    return b"%.17g" % number


def _verbatim(reply: Verbatim) -> bytes:
    text = reply.text.encode()
    return b"=%d\r\ntxt:%b\r\n" % (len(text) + 4, text)


def _error(error: Exception) -> bytes:
    code = error.code if isinstance(error, CommandError) else "ERR"
    # As Redis does it: trimmed of line ends, and without any within.
    text = str(error).strip("\r\n").translate(_CONTROL).encode("utf-8", "surrogateescape")
    return b"-%b %b\r\n" % (code.encode(), text)


ENCODERS = {2: RespEncoder(2), 3: RespEncoder(3)}
