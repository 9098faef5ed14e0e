"""What the client says and hears, as pure functions: requests to lines, lines to replies.

Strategy: a request is one line, a JSON array, since that needs no quoting rules; only bytes that
are not UTF-8, which JSON cannot hold, make it fall back to quoted words with ``\\xHH``. A reply is
one line with a JSON object. What is data in it (``result``, ``channel``, ``message``) is given to
programs as ``bytes``, always: were it ``str`` whenever it happens to be UTF-8, a program storing
binary values would meet the other type only on some days. The names that the protocol gives to
fields are ``str``, always.

May import: errors.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from memdbd.errors import CommandError, ProtocolError

Word = str | bytes | int | float
Convert = Callable[[str], Any]

# Longer than any reply the server makes; it only keeps a peer gone mad from filling the memory.
MAX_REPLY = 1 << 30
# More lists in lists than any reply has, and few enough for recursion.
MAX_DEPTH = 32

# Of the fields whose names the server gives, such as ``score``, these hold data: a pair's, and what
# a scan has found.
_DATA = frozenset({"member", "field", "value", "found"})

# What is data in a line, and the field that says so where it is base64.
_MARKS = {
    "result": "encoding",
    "message": "encoding",
    "push": "encoding",
    "channel": "channel_encoding",
    "pattern": "pattern_encoding",
}

# How each reply of a listener begins that was made with ``--resp``.
_RESP = (b"-ERR", b"+", b"$", b"*", b":")

# How an alert begins that a server of TLS sends: of its type, for version 3.x.
_TLS_ALERT = b"\x15\x03"

_ESCAPED = [
    bytes([code]) if 0x20 <= code < 0x7F and code not in b'"\\' else b"\\x%02x" % code
    for code in range(256)
]


class SpeaksTLS(ProtocolError):
    """The server speaks TLS, and this connection does not."""

    hint = "use --tls"  # for who uses memdb

    def __init__(self) -> None:
        super().__init__("the server speaks TLS at this port")


class Reply(dict[str, Any]):
    """What the server answered: its fields, without those that only tell how they are encoded.

    Each string in ``result`` and ``channel`` is ``bytes`` (in lists and dicts as well, and where a
    result has names of its own, as those of a hash, they are too); the other fields
    (``ttl_remaining``, ``ttl_set``, ``action``, …) are as JSON has them, and so are those of the
    replies that a transaction's has in its list. ``line`` is the reply as it came, without its end
    of line.
    """

    def __init__(self, fields: dict[str, Any], line: bytes) -> None:
        super().__init__(fields)
        self.line = line


class ErrorReply(CommandError):
    """The server's ``{"error": …}``; ``line`` is the reply as it came, without its end of line."""

    def __init__(self, sentence: str, line: bytes) -> None:
        super().__init__(sentence)
        self.line = line


@dataclass(frozen=True, slots=True)
class Message:
    """A message that was published on a channel this connection has subscribed to.

    ``pattern`` is the one that it came for, if it did not for the channel's name.
    """

    channel: bytes
    message: bytes
    line: bytes
    pattern: bytes | None = None


@dataclass(frozen=True, slots=True)
class Push:
    """What else the server sends unasked: ``content`` is a line of MONITOR, or a list of which the
    first item says what it is, such as ``[b"invalidate", [b"key"]]``."""

    content: Any
    line: bytes


def as_bytes(word: Word) -> bytes:
    """The bytes that go over the wire for one word: text as UTF-8, numbers in decimal."""
    if isinstance(word, bytes):
        return word
    if isinstance(word, (str, int, float)):
        return str(word).encode()
    raise TypeError(f"a word of a request is str, bytes, int or float, not {type(word).__name__}")


def encode_request(words: Sequence[Word]) -> bytes:
    """The line, with its end, that asks for exactly these words, whatever bytes are in them."""
    if not words:
        raise ValueError("a request needs at least the name of a command")
    raw = [as_bytes(word) for word in words]
    try:
        return orjson.dumps([part.decode() for part in raw]) + b"\n"
    except UnicodeDecodeError:
        quoted = (b'"%s"' % b"".join([_ESCAPED[code] for code in part]) for part in raw)
        return b" ".join(quoted) + b"\n"


def parse_object(line: bytes) -> dict[str, Any]:
    """The JSON object in a line; raises ProtocolError if it is none, or one nested too deep."""
    try:
        parsed = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        if is_tls(line):
            raise SpeaksTLS from None
        if line.startswith(_RESP):
            raise ProtocolError(f"this port speaks RESP only: {_start(line)}") from None
        raise ProtocolError(
            f"the server sent a line that is not JSON ({error}): {_start(line)}"
        ) from None
    if not isinstance(parsed, dict):
        raise ProtocolError(f"the server sent JSON that is not an object: {_start(line)}")
    if _deeper(parsed, MAX_DEPTH):
        raise ProtocolError(f"the server sent JSON of more than {MAX_DEPTH} levels: {_start(line)}")
    return parsed


def is_tls(said: bytes) -> bool:
    """Whether the first thing that a server says, or the beginning of it, is TLS."""
    return said.startswith(_TLS_ALERT)


def unpack(value: Any, encoding: object, own: Convert = str.encode) -> Any:
    """A ``result``: its strings made bytes, from base64 if that is its ``encoding``; those in it
    that are the server's own, and never encoded, made what ``own`` gives.

    The names in an object of strings alone are data (a hash's fields), those in any other are the
    server's. Raises ProtocolError for another encoding or damaged base64.
    """
    if encoding not in (None, "base64"):
        raise ProtocolError(f"the server sent an encoding that this client lacks: {encoding!r}")
    return _unpack_result(value, str.encode if encoding is None else _from_base64, own)


def _unpack_result(value: Any, data: Convert, own: Convert) -> Any:
    if isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
        return {data(name): data(item) for name, item in value.items()}
    return _unpack_within(value, data, own)


def _unpack_within(value: Any, data: Convert, own: Convert) -> Any:
    if isinstance(value, str):
        return data(value)
    if isinstance(value, list):
        return [_unpack_within(item, data, own) for item in value]
    if isinstance(value, dict):
        if "result" in value or "error" in value:
            return _unpack_fields(value)
        return {
            name: _unpack_result(item, data, own)
            if name in _DATA
            else _unpack_within(item, own, own)
            for name, item in value.items()
        }
    return value


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProtocolError(f"the server sent damaged base64: {error}") from None


def _unpack_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a line, or of one reply in a transaction's, without their marks of encoding."""
    marks = set(_MARKS.values())
    return {
        name: unpack(value, fields.get(_MARKS[name])) if name in _MARKS else value
        for name, value in fields.items()
        if name not in marks
    }


def decode_line(line: bytes) -> Reply | ErrorReply | Message | Push:
    """What one line from the server means; raises ProtocolError if it is nothing of ours."""
    fields = parse_object(line)
    if "error" in fields:
        return ErrorReply(str(fields["error"]), line)
    fields = _unpack_fields(fields)
    if "result" in fields:
        return Reply(fields, line)
    if "push" in fields:
        return Push(fields["push"], line)
    channel, message, pattern = map(fields.get, ("channel", "message", "pattern"))
    if (
        isinstance(channel, bytes)
        and isinstance(message, bytes)
        and (pattern is None or isinstance(pattern, bytes))
    ):
        return Message(channel, message, line, pattern)
    raise ProtocolError(f"the server sent neither a reply nor a message: {_start(line)}")


class LineSplitter:
    """Makes lines of a stream, in time linear in its bytes however it is cut.

    An unfinished line is kept as the pieces it came in: joining them for each piece would be
    quadratic for a reply of many megabytes.
    """

    def __init__(self, max_length: int = MAX_REPLY) -> None:
        self._pieces: list[bytes] = []
        self._length = 0
        self._max_length = max_length

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that ``data`` completes, without their ends (``\\n`` or ``\\r\\n``).

        Raises ProtocolError once an unfinished line is longer than the bound.
        """
        first, *rest = data.split(b"\n")
        self._pieces.append(first)
        self._length += len(first)
        if self._length > self._max_length:
            raise ProtocolError(f"a line is longer than {self._max_length} bytes")
        if not rest:
            return []
        last = rest.pop()
        lines = [b"".join(self._pieces), *rest]
        self._pieces = [last]
        self._length = len(last)
        return [line.removesuffix(b"\r") for line in lines]

    def finish(self) -> bytes:
        """The line that the stream ended in the middle of, empty if it ended with a whole one."""
        last = b"".join(self._pieces)
        self._pieces, self._length = [], 0
        return last.removesuffix(b"\r")


def _deeper(value: list[Any] | dict[str, Any], levels: int) -> bool:
    """Whether there are more levels of lists and dicts than so many in ``value``, itself one."""
    if not levels:
        return True
    items = value.values() if isinstance(value, dict) else value
    return any(isinstance(item, (list, dict)) and _deeper(item, levels - 1) for item in items)


def _start(line: bytes) -> str:
    return repr(line if len(line) <= 80 else line[:80] + b"...")
