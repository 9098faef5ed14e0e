"""Values as JSON, written as people write it: with blanks behind ``:`` and ``,``.

Strategy: orjson only does the strings. Bytes are text where all of them are UTF-8; otherwise all
are base64, and a mark says so. So a long reply is looked through before any of it is written.

May import: errors, replies, streams.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from math import isfinite
from typing import Any

import orjson

from memdbd.dialects.streams import LONG, PIECE, emptied
from memdbd.errors import CommandError
from memdbd.replies import (
    Double,
    Fields,
    Found,
    Members,
    NullArray,
    Pairs,
    Push,
    Reply,
    Scored,
    Several,
    Status,
    Verbatim,
)

Text = Callable[[bytes], str]


def _base64(data: bytes) -> str:
    return b64encode(data).decode()


def error_text(error: Exception) -> bytes:
    """The JSON of what an error says, its code and its hint with it."""
    text = str(error)
    if isinstance(error, CommandError):
        if error.code != "ERR":
            text = f"{error.code} {text}"
        if error.hint:
            text = f"{text}; {error.hint}"
    return orjson.dumps(text.encode("utf-8", "backslashreplace").decode())


def marked(mark: str, reply: Reply) -> bytes:
    """The JSON of a reply; where it has bytes that are not UTF-8, all its bytes are base64, and a
    field named ``mark`` behind it says so."""
    try:
        return _json(reply, bytes.decode)
    except UnicodeDecodeError:
        return b'%s, "%s": "base64"' % (_json(reply, _base64), mark.encode())


def pieces(reply: Any) -> Iterator[bytes] | None:
    """The JSON of a long list, dict or pairs, and its mark, in pieces of which some are empty; None
    for one that is better made at once."""
    kind = type(reply)
    if kind in (Members, Pairs):
        kind, reply = list, reply.items
    elif kind is Scored:
        reply = reply.items
    if len(reply) < LONG:
        return None
    # What each piece is made of: as short as a piece, and of the kind of the whole.
    items = reply.items() if kind is dict else reply
    brackets = b"{}" if kind is dict else b"[]"
    return chain(_pieces(lambda: (kind(part) for part in _parts(items)), brackets), emptied(reply))


def _parts(items: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(items)
    while part := list(islice(iterator, PIECE)):
        yield part


def _pieces(parts: Callable[[], Iterator[Any]], brackets: bytes) -> Iterator[bytes]:
    text: Text = bytes.decode
    mark = b""
    for part in parts():
        try:
            _json(part, text)
        except UnicodeDecodeError:
            text, mark = _base64, b', "encoding": "base64"'
            break
        yield b""
    between = brackets[:1]
    for part in parts():
        yield between
        yield _json(part, text)[1:-1]
        between = b", "
    yield brackets[1:] + mark


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
            return b'{"error": %s}' % error_text(reply)
        case _:
            return orjson.dumps(reply)
