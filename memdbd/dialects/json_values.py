"""Values as JSON, written as people write it: with blanks behind ``:`` and ``,``.

Strategy: orjson only does the strings. Bytes are text where all of them are UTF-8; otherwise all
are base64, and a mark says so. So a long reply is looked through before any of it is written.

May import: errors, replies, streams.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from math import isfinite
from typing import Any

import orjson

from memdbd.dialects.streams import PIECE, emptied, held, is_streamed, nested
from memdbd.errors import CommandError
from memdbd.replies import (
    Double,
    Fields,
    Found,
    Members,
    NullArray,
    Page,
    Pairs,
    Push,
    Record,
    Reply,
    Scored,
    Several,
    Status,
    Verbatim,
)

Text = Callable[[bytes], str]

# How each pair is written.
_PAIR = {Pairs: b'{"field": %s, "value": %s}', Scored: b'{"member": %s, "score": %s}'}


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
    """The JSON of a long reply, and its mark, in pieces of which some are empty; None for one that
    is better made at once."""
    return chain(_marked(reply), emptied(reply)) if is_streamed(reply) else None


def _marked(reply: Reply) -> Iterator[bytes]:
    text: Text = bytes.decode
    mark = b""
    try:
        for _ in _pieces(reply, text):
            yield b""
    except UnicodeDecodeError:
        text, mark = _base64, b', "encoding": "base64"'
    yield from _pieces(reply, text)
    yield mark


def _pieces(reply: Reply, text: Text) -> Iterator[bytes]:
    within = nested(reply)
    if not is_streamed(reply):
        yield _json(reply, text)
    elif within is None:
        yield from _pieces_of_items(reply, text)
    else:
        between = b"["
        for each in within:
            yield between
            yield from _pieces(each, text)
            between = b", "
        yield b"]"


def _pieces_of_items(reply: Reply, text: Text) -> Iterator[bytes]:
    items = reply.items() if isinstance(reply, dict) else held(reply)
    # What each piece is made of: as short as a piece, and of the kind of the whole.
    kind: Any = list if isinstance(reply, Members) else reply.__class__
    between, end = (b"{", b"}") if kind is dict else (b"[", b"]")
    left = iter(items)
    while part := list(islice(left, PIECE)):
        yield between
        yield _json(kind(part), text)[1:-1]
        between = b", "
    yield end


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
        case Page():  # the cursor is ours, and never base64
            return b'{"cursor": "%s", "found": %s}' % (reply.cursor, _json(reply.found, text))
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
        case Pairs():
            pair = _PAIR[reply.__class__]
            return b"[%s]" % b", ".join(
                [pair % (_json(one, text), _json(other, text)) for one, other in reply.items]
            )
        case Record():
            return _json(_flat(reply), text)
        case Members() | Push():
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


def _flat(record: Record) -> dict[str, Reply]:
    fields: dict[str, Reply] = {}
    for name, value in record.fields.items():
        fields |= _flat(value) if isinstance(value, Record) else {name: value}
    return fields
