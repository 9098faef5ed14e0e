"""The text dialect's replies and messages: each exactly one line of JSON.

Strategy: a table from the reply's class to what encodes it. There are blanks behind ``:`` and
``,`` as people write JSON, so orjson only does the strings. The lines of long values are kept.

May import: errors, replies, structs, commands.spec.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any

import orjson

from memdbd.errors import CommandError, ProtocolError
from memdbd.replies import (
    OK,
    Double,
    Fields,
    Found,
    Members,
    Message,
    NoReply,
    NullArray,
    Pairs,
    Push,
    Reply,
    Results,
    Scored,
    Several,
    Status,
    Verbatim,
)
from memdbd.structs.lru import LRU

_OK_LINE = b'{"result": "OK"}\n'
_NOT_FOUND_LINE = b'{"result": null, "ttl_remaining": null}\n'
_RESULT = b'{"result": '
_NO_TTL = b', "ttl_remaining": null}\n'

Text = Callable[[bytes], str]


def _base64(data: bytes) -> str:
    return b64encode(data).decode()


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
        self._by_class: dict[type, Callable[[Any], bytes]] = {
            Found: self._found,
            Fields: _fields,
            Results: self._results,
            NoReply: lambda reply: b"",
            CommandError: _error,
            ProtocolError: _error,
        }

    def encode(self, reply: Reply) -> bytes:
        """The line for a reply or an error."""
        if reply is OK:
            return _OK_LINE
        encode = self._by_class.get(reply.__class__)
        if encode is not None:
            return encode(reply)
        if isinstance(reply, Exception):
            return _error(reply)
        return b'{"result": %s}\n' % _marked("encoding", reply)

    def message(self, message: Message) -> bytes:
        """The line that pushes a message, made once for all who listen in this dialect."""
        line = message.encoded.get(TextEncoder)
        if line is None:
            pattern = b""
            if message.pattern is not None:
                pattern = b'"pattern": %s, ' % _marked("pattern_encoding", message.pattern)
            line = message.encoded[TextEncoder] = b'{%s"channel": %s, "message": %s}\n' % (
                pattern,
                _marked("channel_encoding", message.channel),
                _marked("encoding", message.payload),
            )
        return line

    def push(self, push: Push | Status) -> bytes:
        """The line of something else that was not asked for."""
        return b'{"push": %s}\n' % _marked("encoding", push)

    def stats(self) -> dict[str, int]:
        """What the read cache has done."""
        return {
            "read_cache_hits": self.hits,
            "read_cache_misses": self.misses,
            "read_cache_evictions": self._cache.evictions,
            "read_cache_entries": len(self._cache),
        }

    def _found(self, reply: Found) -> bytes:
        value = reply.value
        if value is None:
            return _NOT_FOUND_LINE
        # What does not change with time: all of the line, or all but the seconds.
        end = _NO_TTL if reply.ttl is None else b""
        if len(value) >= self.CACHED_FROM and self._cache.capacity:
            line = self._cached(reply.key, value, end)
        else:
            # A sum, since formatting bytes with % takes twice as long.
            line = _RESULT + _string(value) + end
        return line if reply.ttl is None else line + b', "ttl_remaining": %d}\n' % reply.ttl

    def _results(self, reply: Results) -> bytes:
        lines = [self.encode(each).rstrip(b"\n") for each in reply.replies]
        return b'{"result": [%s]}\n' % b", ".join(lines)

    def _cached(self, key: bytes, value: bytes, end: bytes) -> bytes:
        entry = self._cache.get(key)
        if entry is not None and entry[0] is value and entry[1] is end:
            self.hits += 1
            return entry[2]
        self.misses += 1
        line = _RESULT + _string(value) + end
        self._cache.put(key, (value, end, line), len(value) + len(line))
        return line


def _error(error: Exception) -> bytes:
    return b'{"error": %s}\n' % _error_text(error)


def _error_text(error: Exception) -> bytes:
    text = str(error)
    if isinstance(error, CommandError):
        if error.code != "ERR":
            text = f"{error.code} {text}"
        if error.hint:
            text = f"{text}; {error.hint}"
    return _json(text, _base64)


def _fields(reply: Fields) -> bytes:
    parts = [b'"result": ' + _marked("encoding", reply.result)]
    for name, value in reply.extra.items():
        parts.append(b'"%s": %s' % (name.encode(), _marked(f"{name}_encoding", value)))
    return b"{%s}\n" % b", ".join(parts)


def _string(value: bytes) -> bytes:
    """The JSON of a result that is a string, with its mark where it needs one."""
    try:
        return orjson.dumps(value.decode())
    except UnicodeDecodeError:
        return _marked("encoding", value)


def _marked(mark: str, reply: Reply) -> bytes:
    """The JSON of a reply; where it has bytes that are not UTF-8, all its bytes are base64, and a
    field named ``mark`` behind it says so."""
    try:
        return _json(reply, bytes.decode)
    except UnicodeDecodeError:
        return b'%s, "%s": "base64"' % (_json(reply, _base64), mark.encode())


def _json_strings(items: Sequence[bytes], text: Text) -> bytes:
    """Strings alone, as nearly all lists are: a tenth of the time. Raises TypeError for others.

    By the thousand, since each result of orjson holds 4 KiB until it is joined.
    """
    return b", ".join(
        b", ".join(map(orjson.dumps, map(text, items[at : at + 1000])))
        for at in range(0, len(items), 1000)
    )


def _json(reply: Reply, text: Text) -> bytes:
    match reply:
        case bytes():
            return orjson.dumps(text(reply))
        case str():  # ours; half a character may be in it, of a file's name that is not UTF-8
            return orjson.dumps(reply.encode("utf-8", "backslashreplace").decode())
        case list() | tuple():
            try:
                return b"[%s]" % _json_strings(reply, text)
            except TypeError:
                return b"[%s]" % b", ".join([_json(item, text) for item in reply])
        case dict():
            return b"{%s}" % b", ".join(
                [b"%s: %s" % (_json(key, text), _json(item, text)) for key, item in reply.items()]
            )
        case float():
            return orjson.dumps(reply) if isfinite(reply) else orjson.dumps(str(reply))
        case _:
            return _rarely(reply, text)


def _rarely(reply: Reply, text: Text) -> bytes:
    """The same for what is not most of all replies."""
    match reply:
        case Status() | Verbatim():
            return orjson.dumps(reply.text)
        case Scored():
            return b"[%s]" % b", ".join(
                [
                    b'{"member": %s, "score": %s}' % (_json(member, text), _json(score, text))
                    for member, score in reply.items
                ]
            )
        case Members() | Pairs() | Push():
            return _json(list(reply.items), text)
        case Several():
            return _json(reply.replies, text)
        case Double():
            return reply.digits.encode()
        case NullArray():
            return b"null"
        case Fields() | Found():
            return _json(reply.result if isinstance(reply, Fields) else reply.value, text)
        case Exception():
            return b'{"error": %s}' % _error_text(reply)
        case _:
            return orjson.dumps(reply)
