"""RESP's replies, in its versions 2 and 3, and what is pushed in it.

Strategy: a table from the reply's class to what encodes it, one for each version; RESP2 says with
arrays and strings what RESP3 has types for. Long and large replies are encoded piece by piece, so
that they neither hold the loop nor fill the memory: SMALL are encoders that raise Large before they
make much. The forms are those of ``addReply…`` in Redis 7.0's networking.c.

May import: core, errors, replies, streams.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

from memdbd import core
from memdbd.dialects.streams import (
    BULK,
    LARGE,
    PIECE,
    SOME,
    Large,
    Stream,
    chunks_of,
    emptied,
    held,
    in_chunks,
    is_streamed,
    nested,
    size_of,
)
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
_KINDS: dict[type, bytes] = {dict: b"%", Members: b"~", Push: b">"}  # those of RESP3 alone
# What may not stand in a line, for it would end it.
_CONTROL = str.maketrans({"\r": " ", "\n": " ", "\0": " "})


class RespEncoder:
    """Makes bytes of replies, in one ``version`` of RESP, for all connections. ``null`` is None.

    ``only_small``: raises Large where a reply may be larger than is good to be made at once.
    """

    __slots__ = ("_by_class", "_null_array", "_only_small", "null", "version")

    def __init__(self, version: int, *, only_small: bool = False) -> None:
        self.version = version
        self._only_small = only_small
        bulk = _small_bulk if only_small else _bulk
        self.null = b"$-1\r\n" if version == 2 else b"_\r\n"
        self._null_array = b"*-1\r\n" if version == 2 else b"_\r\n"
        self._by_class: dict[type, Callable[[Any], bytes]] = {
            bytes: bulk,
            int: lambda reply: b":%d\r\n" % reply,
            type(None): lambda reply: self.null,
            Status: lambda reply: b"+%b\r\n" % reply.text.encode(),
            list: self._array,
            tuple: self._array,
            str: lambda reply: bulk(reply.encode("utf-8", "surrogateescape")),
            CommandError: _error,
            ProtocolError: _error,
            NullArray: lambda reply: self._null_array,
            NoReply: lambda reply: b"",
            Page: self._page,
            Record: lambda reply: self._array(list(reply.fields.values())),
            BulkDouble: lambda reply: _bulk(reply.digits.encode()),
            Results: lambda reply: self._array(reply.replies),
            Several: lambda reply: self._all_of(reply.replies),
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
        return self.in_pieces(reply) if is_streamed(reply) else None

    def unless_large(self, reply: Reply) -> bytes | Stream:
        """The bytes of a reply that may be large, or its pieces if it is."""
        return self.in_pieces(reply) if size_of(reply) >= LARGE else self.encode(reply)

    def in_pieces(self, reply: Reply) -> Stream:
        """The pieces of any reply."""
        return Stream(chain(self._pieces(reply), emptied(reply)), size_of(reply))

    def message(self, message: Message) -> bytes:
        """The bytes that push a message, made once for all who listen in this version."""
        encoded = message.encoded.get(self.version)
        if encoded is None:
            begin = b"*" if self.version == 2 else b">"
            kind, channel, payload = message.kind, message.channel, message.payload
            if message.pattern is None:  # as most: in one step, a third of the time
                encoded = b"%b3\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (
                    begin, len(kind), kind, len(channel), channel, len(payload), payload
                )  # fmt: skip
            else:
                encoded = self.encode(Push(kind, message.pattern, channel, payload))
            message.encoded[self.version] = encoded
        return encoded

    def _array(self, items: Sequence[Reply]) -> bytes:
        return self._items(b"*", items)

    def _items(self, kind: bytes, items: Sequence[Reply]) -> bytes:
        return b"%b%d\r\n%b" % (kind, len(items), self._all_of(items))

    def _all_of(self, items: Sequence[Reply]) -> bytes:
        # Strings, as mostly: 5 to 70 ns each, 250 one by one.
        plain = core.resp(items if items.__class__ is list else list(items), self.null)
        if plain is not None:
            return plain
        if not self._only_small or len(items) <= SOME:
            return b"".join(map(self.encode, items))
        parts, size = [], 0
        for at in range(0, len(items), SOME):
            parts.append(b"".join(map(self.encode, items[at : at + SOME])))
            size += len(parts[-1])
            if size >= LARGE:
                raise Large
        return b"".join(parts)

    def _page(self, page: Page) -> bytes:
        return (SMALL if self._only_small else ENCODERS)[2].encode(list(page))  # in RESP3 too

    def _flat(self, pairs: Any) -> bytes:
        return b"*%d\r\n%b" % (2 * len(pairs), self._joined(pairs))

    def _map(self, reply: dict[Any, Reply]) -> bytes:
        return b"%%%d\r\n%b" % (len(reply), self._joined(reply.items()))

    def _joined(self, pairs: Any) -> bytes:
        return self._all_of(list(chain.from_iterable(pairs)))

    # Piece by piece

    def _pieces(self, reply: Reply) -> Iterator[bytes]:
        """The bytes of a reply, in pieces of which none is much longer than a few MiB."""
        try:
            if not is_streamed(reply):
                yield SMALL[self.version].encode(reply)
                return
        except Large:
            pass
        match reply:
            case bytes():
                yield b"$%d\r\n" % len(reply)
                yield from chunks_of(reply)
                yield b"\r\n"
            case str():
                yield from self._pieces(reply.encode("utf-8", "surrogateescape"))
            case Page():
                yield from ENCODERS[2]._pieces(list(reply))
            case Fields():
                yield from self._pieces(reply.result)
            case Several():
                yield from self._pieces_of(reply.replies)
            case Record():
                yield from self._pieces(list(reply.fields.values()))
            case _:
                yield from self._pieces_of_container(reply)

    def _pieces_of_container(self, reply: Reply) -> Iterator[bytes]:
        within = nested(reply)
        items = held(reply) if within is None else within
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
        if within is None:
            yield from self._pieces_of(items, flat=flat)
        else:
            for each in within:
                yield from self._pieces(each)

    def _pieces_of(self, items: Iterable[Any], *, flat: bool = False) -> Iterator[bytes]:
        left, small = iter(items), SMALL[self.version]
        while piece := list(islice(left, PIECE)):
            if flat:
                piece = list(chain.from_iterable(piece))
            try:
                yield small._all_of(piece)
            except Large:
                yield from in_chunks(chain.from_iterable(map(self._pieces, piece)))


def _bulk(reply: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(reply), reply)


def _small_bulk(reply: bytes) -> bytes:
    size = len(reply)
    if size >= BULK:
        raise Large
    return b"$%d\r\n%b\r\n" % (size, reply)


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
SMALL = {2: RespEncoder(2, only_small=True), 3: RespEncoder(3, only_small=True)}
