"""Values as JSON, written as people write it: with blanks behind ``:`` and ``,``.

Strategy: orjson only does the strings. Bytes are text where all of them are UTF-8; otherwise all
are base64, and a mark says so. So a long or large reply is looked through before any of it is
written. Lists of strings, and the names and values of a hash, are done all at once (core).

May import: core, errors, replies, streams.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import chain, islice
from math import isfinite
from typing import Any

import orjson

from memdbd import core
from memdbd.core import members
from memdbd.dialects.streams import (
    BULK,
    CHUNK,
    LARGE,
    PIECE,
    SOME,
    Large,
    emptied,
    held,
    in_chunks,
    is_streamed,
    nested,
)
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

# How each pair is written: what is before, between and behind its two.
_AROUND: dict[Any, tuple[bytes, bytes, bytes]] = {
    dict: (b"", b": ", b""),
    Pairs: (b'{"field": ', b', "value": ', b"}"),
    Scored: (b'{"member": ', b', "score": ', b"}"),
}
_SCALARS = frozenset({int, bool, type(None)})
_PAIR = {kind: b"%b%%s%b%%s%b" % around for kind, around in _AROUND.items()}


def _base64(data: bytes) -> str:
    return b64encode(data).decode()


# For ``most``, the bytes of a string from which Large is raised: for none.
ANY = 1 << 62


def error_text(error: Exception) -> bytes:
    """The JSON of what an error says, its code and its hint with it."""
    text = str(error)
    if isinstance(error, CommandError):
        if error.code != "ERR":
            text = f"{error.code} {text}"
        if error.hint:
            text = f"{text.removesuffix('.')}; {error.hint}"  # some of Redis's end in a dot
    return orjson.dumps(text.encode("utf-8", "backslashreplace").decode())


def marked(mark: str, reply: Reply, *, only_small: bool = False) -> bytes:
    """The JSON of a reply; where it has bytes that are not UTF-8, all its bytes are base64, and a
    field named ``mark`` behind it says so.

    ``only_small``: raises Large where it may be larger than is good to be made at once.
    """
    most = BULK if only_small else ANY
    try:
        return _json(reply, bytes.decode, most)
    except UnicodeDecodeError:
        return b'%s, "%s": "base64"' % (_json(reply, _base64, most), mark.encode())


def pieces(reply: Reply) -> Iterator[bytes]:
    """The JSON of a reply, and its mark, in pieces of which some are empty."""
    return chain(_marked(reply), emptied(reply))


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
    try:
        if not is_streamed(reply):
            yield _json(reply, text, BULK)
            return
    except Large:
        pass
    match reply:
        case bytes():
            yield from _pieces_of_string(reply, text)
        case Page():
            yield b'{"cursor": "%b", "found": ' % reply.cursor
            yield from _pieces(reply.found, text)
            yield b"}"
        case Fields():
            yield from _pieces(reply.result, text)
        case Record():
            yield from _pieces(_flat(reply), text)
        case _ if (within := nested(reply)) is not None:
            yield b"["
            yield from _one_by_one(within, list, text)
            yield b"]"
        case _:
            yield from _pieces_of_items(reply, text)


def _pieces_of_string(value: bytes, text: Text) -> Iterator[bytes]:
    at = 0
    yield b'"'
    while at < len(value):
        end = at + CHUNK // 3 * 3  # each three bytes have their own four in base64
        for _ in range(3 if text is bytes.decode else 0):
            # Not in the middle of a character, of which no more than three bytes are one.
            end -= end < len(value) and value[end] & 0xC0 == 0x80
        yield orjson.dumps(text(value[at:end]))[1:-1]
        at = end
    yield b'"'


def _pieces_of_items(reply: Reply, text: Text) -> Iterator[bytes]:
    items = reply.items() if isinstance(reply, dict) else held(reply)
    # What each piece is made of: as short as a piece, and of the kind of the whole.
    kind: Any = reply.__class__ if isinstance(reply, (dict, Pairs)) else list
    between, end = (b"{", b"}") if kind is dict else (b"[", b"]")
    left = iter(items)
    while part := list(islice(left, PIECE)):
        yield between
        between = b", "
        try:
            yield _json(kind(part), text, BULK)[1:-1]
        except Large:
            yield from in_chunks(_one_by_one(part, kind, text))
    yield end


def _one_by_one(part: Sequence[Any], kind: Any, text: Text) -> Iterator[bytes]:
    begin, middle, end = _AROUND.get(kind, (b"", b"", b""))
    for at, item in enumerate(part):
        yield b", " if at else b""
        yield begin
        if kind is list:
            yield from _pieces(item, text)
        else:
            yield from _pieces(item[0], text)
            yield middle
            yield from _pieces(item[1], text)
        yield end


def _json_fields(fields: dict[bytes, bytes], text: Text, most: int) -> bytes:
    """The JSON of names and values that are strings, as those of a hash. Raises TypeError for
    others."""
    if most is not ANY and sum(map(len, fields)) + sum(map(len, fields.values())) >= LARGE:
        raise Large
    if not fields:
        return b""
    names, values = map(text, fields), map(text, fields.values())
    return members(dict(zip(names, values, strict=True)), b", ")


def _json(reply: Reply, text: Text, most: int = ANY) -> bytes:
    if reply.__class__ in _SCALARS:
        return orjson.dumps(reply)
    match reply:
        case bytes():
            if len(reply) >= most:
                raise Large
            return orjson.dumps(text(reply))
        case str():  # ours; half a character may be in it, of a file's name that is not UTF-8
            return orjson.dumps(reply.encode("utf-8", "backslashreplace").decode())
        case Page():  # the cursor is ours, and never base64
            return b'{"cursor": "%s", "found": %s}' % (reply.cursor, _json(reply.found, text, most))
        case list() | tuple():
            made = core.array(reply, LARGE) if text is bytes.decode else None
            if made is not None:
                return made
            return b"[%s]" % _all_of((_json(item, text, most) for item in reply), most)
        case dict():
            try:
                return b"{%s}" % _json_fields(reply, text, most)
            except TypeError:
                return b"{%s}" % _of_pairs(reply.items(), dict, text, most)
        case float():
            return orjson.dumps(reply) if isfinite(reply) else orjson.dumps(str(reply))
        case _:
            return _rarely(reply, text, most)


def _of_pairs(pairs: Collection[tuple[Reply, Reply]], kind: Any, text: Text, most: int) -> bytes:
    pair = _PAIR[kind]
    if len(pairs) <= SOME:
        return b", ".join(
            [pair % (_json(one, text, most), _json(other, text, most)) for one, other in pairs]
        )
    made = (pair % (_json(one, text, most), _json(other, text, most)) for one, other in pairs)
    return _all_of(made, most)


def _all_of(items: Iterator[bytes], most: int) -> bytes:
    if most is ANY:
        return b", ".join(items)
    parts: list[bytes] = []
    size = 0
    while some := b", ".join(islice(items, SOME)):
        parts.append(some)
        size += len(some)
        if size >= LARGE:
            raise Large
    return b", ".join(parts)


def _rarely(reply: Reply, text: Text, most: int) -> bytes:
    """The same for what is not most of all replies."""
    match reply:
        case Status() | Verbatim():
            return orjson.dumps(reply.text)
        case Pairs():
            return b"[%s]" % _of_pairs(reply.items, reply.__class__, text, most)
        case Record():
            return _json(_flat(reply), text, most)
        case Members() | Push():
            return _json(list(reply.items), text, most)
        case Several():
            return _json(reply.replies, text, most)
        case Double():
            return reply.digits.encode()
        case NullArray():
            return b"null"
        case Fields() | Found():
            return _json(reply.result if isinstance(reply, Fields) else reply.value, text, most)
        case Exception():
            return b'{"error": %s}' % error_text(reply)
        case _:
            return orjson.dumps(reply)


def _flat(record: Record) -> dict[str, Reply]:
    fields: dict[str, Reply] = {}
    for name, value in record.fields.items():
        fields |= _flat(value) if isinstance(value, Record) else {name: value}
    return fields
