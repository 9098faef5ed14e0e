"""The text dialect's replies and messages: each exactly one line of JSON.

Strategy: a table from the reply's class to what encodes it; the JSON of values is made in
json_values. The lines of long values are kept, and replies of very many items or bytes come in
pieces. Where the replies to a run of the same command are alike and short, the core makes them all
at once.

May import: core, errors, replies, structs, json_values, streams.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import orjson

from memdbd import core
from memdbd.dialects.json_values import error_text, marked, pieces
from memdbd.dialects.streams import (
    LARGE,
    LONG,
    STREAMED,
    Large,
    Stream,
    emptied,
    is_streamed,
    size_of,
)
from memdbd.errors import CommandError, ProtocolError
from memdbd.replies import (
    OK,
    Fields,
    Found,
    FoundAll,
    Message,
    NoReply,
    Push,
    Reply,
    Results,
    Status,
)
from memdbd.structs.lru import LRU

_OK_LINE = b'{"result": "OK"}\n'
_NULL_LINE = b'{"result": null}\n'
_NOT_FOUND_LINE = b'{"result": null, "ttl_remaining": null}\n'
_RESULT = b'{"result": '
_END = b"}\n"
_NO_TTL = b', "ttl_remaining": null}\n'


class TextEncoder:
    """Makes lines of replies, for all connections; keeps the last ``cache_capacity`` long ones.

    The read cache holds the lines of long values that ``get`` found, by key (of a key with a
    deadline, the line up to its seconds). An entry counts only for the very object it was made of,
    so it can be useless but never stale.
    """

    __slots__ = ("_by_class", "_cache", "hits", "misses")

    # Bytes of a value from which its line is kept: over a socket, 1.3 times as fast from here on
    # for all but plain ASCII, which gains from 16 KiB (benchmarks/read_cache.py).
    CACHED_FROM = 1024
    # Bytes of values and lines that are kept in all.
    CACHED_MOST = 16 * 1024 * 1024

    def __init__(self, cache_capacity: int) -> None:
        self._cache: LRU[bytes, tuple[bytes, bytes, bytes]] = LRU(cache_capacity, self.CACHED_MOST)
        self.hits = 0
        self.misses = 0
        self._by_class: dict[type, Callable[[Any], bytes | Stream]] = {
            Found: self._found,
            int: lambda reply: b'{"result": %d}\n' % reply,
            type(None): lambda reply: _NULL_LINE,
            bytes: _bulk,
            list: _list,
            Fields: _fields,
            Results: self._results,
            NoReply: lambda reply: b"",
            CommandError: _error,
            ProtocolError: _error,
        }

    def cache(self, capacity: int) -> None:
        """Keep up to so many lines from now on."""
        self._cache.resize(capacity)

    def encode(self, reply: Reply) -> bytes | Stream:
        """The line for a reply or an error, or the pieces of a very long one."""
        if reply is OK:
            return _OK_LINE
        encode = self._by_class.get(reply.__class__)
        if encode is not None:
            return encode(reply)
        return _error(reply) if isinstance(reply, Exception) else _any(reply)

    def encode_many(self, replies: Sequence[Reply] | FoundAll) -> bytes | None:
        """The lines for the replies to a run of one request or more. None for those that are not
        all alike and shorter than what is kept, and have to be encoded one by one."""
        if isinstance(replies, FoundAll):
            return core.json(replies.values, _NO_TTL, self.CACHED_FROM)
        return core.json(replies, _END, self.CACHED_FROM)

    def encode_shares(
        self, replies: Sequence[Reply] | FoundAll, counts: Sequence[int]
    ) -> list[bytes] | None:
        """The lines of so many replies each. None where :meth:`encode_many` has none of all."""
        if isinstance(replies, FoundAll):
            return core.json_each(replies.values, counts, _NO_TTL, self.CACHED_FROM)
        return core.json_each(replies, counts, _END, self.CACHED_FROM)

    def message(self, message: Message) -> bytes:
        """The line that pushes a message, made once for all who listen in this dialect."""
        line = message.encoded.get(TextEncoder)
        if line is None:
            pattern = b""
            if message.pattern is not None:
                pattern = b'"pattern": %b, ' % _string("pattern_encoding", message.pattern)
            line = message.encoded[TextEncoder] = b'{%b"channel": %b, "message": %b}\n' % (
                pattern,
                _string("channel_encoding", message.channel),
                _string("encoding", message.payload),
            )
        return line

    def push(self, push: Push | Status) -> bytes:
        """The line of something else that was not asked for."""
        return b'{"push": %s}\n' % marked("encoding", push)

    def stats(self) -> dict[str, int]:
        """What the read cache has done."""
        return {
            "read_cache_hits": self.hits,
            "read_cache_misses": self.misses,
            "read_cache_evictions": self._cache.evictions,
            "read_cache_entries": len(self._cache),
        }

    def _found(self, reply: Found) -> bytes | Stream:
        value = reply.value
        if value is None:
            return _NOT_FOUND_LINE
        # What does not change with time: all of the line, or all but the seconds.
        end = _NO_TTL if reply.ttl is None else b""
        if len(value) < self.CACHED_FROM:
            line = core.line(value, end) or _line_of(value, end)
        elif len(value) >= LARGE:
            end = end or b', "ttl_remaining": %d}\n' % (reply.ttl or 0)
            return Stream(_line(pieces(value), end), len(value))
        elif self._cache.capacity:
            line = self._cached(reply.key, value, end)
        else:
            line = _line_of(value, end)
        return line if reply.ttl is None else line + b', "ttl_remaining": %d}\n' % reply.ttl

    def _results(self, reply: Results) -> bytes | Stream:
        pieces, size = self._objects(reply.replies), 0
        if is_streamed(reply):
            return Stream(chain(pieces, emptied(reply)), size_of(reply))
        made = []
        for piece in pieces:
            made.append(piece)
            size += len(piece)
            if size >= LARGE:
                return Stream(chain(made, pieces), size_of(reply))
        return b"".join(made)

    def _objects(self, replies: Sequence[Reply]) -> Iterator[bytes]:
        """The line of a transaction: an array of the objects that each command would have got."""
        yield b'{"result": ['
        for at, reply in enumerate(replies):
            if at:
                yield b", "
            line = self.encode(reply)
            for piece in line.pieces if isinstance(line, Stream) else (line,):
                yield piece.rstrip(b"\n")
        yield b"]}\n"

    def _cached(self, key: bytes, value: bytes, end: bytes) -> bytes:
        entry = self._cache.get(key)
        if entry is not None and entry[0] is value and entry[1] is end:
            self.hits += 1
            return entry[2]
        self.misses += 1
        line = _line_of(value, end)
        self._cache.put(key, (value, end, line), len(value) + len(line))
        return line


def _in_pieces(reply: Reply) -> Stream:
    return Stream(_line(pieces(reply)), size_of(reply))


def _line(found: Iterator[bytes], end: bytes = b"}\n") -> Iterator[bytes]:
    yield _RESULT
    yield from found
    yield end


def _error(error: Exception) -> bytes:
    return b'{"error": %s}\n' % error_text(error)


def _fields(reply: Fields) -> bytes:
    parts = [b'"result": ' + marked("encoding", reply.result)]
    for name, value in reply.extra.items():
        parts.append(b'"%s": %s' % (name.encode(), marked(f"{name}_encoding", value)))
    return b"{%s}\n" % b", ".join(parts)


def _any(reply: Reply) -> bytes | Stream:
    if reply.__class__ in STREAMED and is_streamed(reply):
        return _in_pieces(reply)
    try:
        return b'{"result": %s}\n' % marked("encoding", reply, only_small=True)
    except Large:
        if size_of(reply) >= LARGE:
            return _in_pieces(reply)
        return b'{"result": %s}\n' % marked("encoding", reply)


def _list(reply: list[Reply]) -> bytes | Stream:
    made = core.array(reply, LARGE) if len(reply) < LONG else None
    return _any(reply) if made is None else b'{"result": %b}\n' % made


def _bulk(value: bytes) -> bytes | Stream:
    return _line_of(value, _END) if len(value) < LARGE else _in_pieces(value)


def _line_of(value: bytes, end: bytes) -> bytes:
    """The line for a string, with its mark where it needs one, up to ``end``."""
    return core.line(value, end) or _RESULT + marked("encoding", value) + end


def _string(mark: str, value: bytes) -> bytes:
    """The JSON of a string, with its mark where it needs one."""
    try:
        return orjson.dumps(value.decode())
    except UnicodeDecodeError:
        return marked(mark, value)
