"""The core of the text dialect in Python: what the compiled one, ``_text.py``, does too.

Strategy. A line is split on its blanks, 0.15 µs for each, and what that might be wrong for is left
to others. Replies are made for a whole run at once, by one join: what is between two is the end of
one line and the beginning of the next. Whether there is anything to escape in all of their strings,
orjson says of them joined. Where there is, it writes them indented, so that what it puts between
two can be replaced: a line end is never within its strings.

May import: replies, orjson.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from memdbd.replies import OK

# Requests


def lines(data: bytes, usual: dict[bytes, int], most: int) -> tuple[list[list[bytes]], int]:
    """The requests of up to ``most`` plain lines, which is one or more, at the beginning of
    ``data``, and where they end.

    A plain line has no quotes, its first word is in ``usual``, and it has no more words than that
    says; or it has none, and is no request. What begins with one that is not plain, or not
    complete, is for others.
    """
    has_quotes = b'"' in data or b"'" in data
    end = data.find(b"\n") + 1
    if end == len(data) and not has_quotes:
        # One line, as of all who wait for each reply: half the time of what follows.
        words = data.split()
        if not words:
            return [], end
        return ([words], end) if len(words) <= usual.get(words[0], 0) else ([], 0)
    if has_quotes:
        quotes = [at for at in (data.find(b'"'), data.find(b"'")) if at >= 0]
        end = data.rfind(b"\n", 0, min(quotes)) + 1
    else:
        end = data.rfind(b"\n") + 1
    found: list[list[bytes]] = []
    parts = data[:end].split(b"\n", most)
    end -= len(parts.pop())
    for line in parts:
        words = line.split()
        if words:
            if len(words) > usual.get(words[0], 0):
                at = next(at for at, part in enumerate(parts) if part is line)
                return found, sum(map(len, parts[:at])) + at
            found.append(words)
    return found, end


def line_of_each(
    buffers: Sequence[bytes], usual: dict[bytes, int]
) -> tuple[list[list[bytes]], bool] | None:
    """The requests that several buffers are, each a plain line, and whether they are alike: all
    have the same first word, and as many. None where one of them is anything else.

    It takes 0.2 µs for each of 50, and 0.3 one by one.
    """
    data = b"".join(buffers)
    if b'"' in data or b"'" in data:
        return None
    plain = data.split(b"\n")
    # Where each line is as long as its buffer without the end, each buffer ends with the only one.
    if plain.pop() or [len(line) + 1 for line in plain] != list(map(len, buffers)):
        return None
    found = list(map(bytes.split, plain))
    if not all(found):
        return None
    names = [words[0] for words in found]
    counts = set(map(len, found))
    if names.count(names[0]) == len(names):
        return (found, len(counts) == 1) if max(counts) <= usual.get(names[0], 0) else None
    if any(len(words) > usual.get(words[0], 0) for words in found):
        return None
    return found, False


# Replies

_BEGIN = b'{"result": '
_BETWEEN = b",\n  "  # what orjson writes between two when it indents

_STRINGS = frozenset({bytes})
_NUMBERS = frozenset({int})
_STATUS = frozenset({type(OK)})
_PLAIN = frozenset({bytes, int, type(None)})


def line(value: bytes, end: bytes) -> bytes | None:
    """``{"result": ``, the JSON of a string, and ``end``; None where it is not UTF-8."""
    try:
        # A sum, since formatting bytes with % takes twice as long.
        return _BEGIN + orjson.dumps(value.decode()) + end
    except UnicodeDecodeError:
        return None


def json(replies: Sequence[Any], end: bytes, longest: int) -> bytes | None:
    """For each of one or more replies ``{"result": ``, its JSON and ``end``, one behind the other.

    None where they are neither all of them OK, nor all bytes, None and integers of 64 bits; and
    where bytes are not UTF-8, or ``longest`` and more in one.
    """
    kinds = set(map(type, replies))
    try:
        if kinds == _STRINGS:
            if max(map(len, replies)) >= longest:
                return None
            return _BEGIN + quoted(replies, end + _BEGIN) + end
        if kinds == _NUMBERS:
            return _BEGIN + members(replies, end + _BEGIN) + end
        if kinds == _STATUS:
            # What compares equal to it is the same.
            is_ok = replies.count(OK) == len(replies)
            return (_BEGIN + b'"OK"' + end) * len(replies) if is_ok else None
        if kinds <= _PLAIN:
            strings = [len(reply) for reply in replies if reply.__class__ is bytes]
            if max(strings, default=0) >= longest:
                return None
            said = [reply.decode() if reply.__class__ is bytes else reply for reply in replies]
            return _BEGIN + members(said, end + _BEGIN) + end
    except (UnicodeDecodeError, TypeError):  # the latter for a number of more than 64 bits
        return None
    return None


def json_each(
    replies: Sequence[Any], counts: Sequence[int], end: bytes, longest: int
) -> list[bytes] | None:
    """What ``json`` gives for so many of one or more replies, then for so many: the counts are one
    or more each, and come to all. None where it gives that for all of them.

    ``end`` has a line end at its end, and no other. Raises ValueError where there are more counts
    than replies for them.
    """
    if len(counts) == len(replies):  # one for each, as mostly
        made = json(replies, end, longest)
        return None if made is None else made.splitlines(keepends=True)
    lines = []
    begin = 0
    for count in counts:
        stop = begin + count
        if not begin < stop <= len(replies):
            raise ValueError("the counts are not those of the replies")
        line = json(replies[begin:stop], end, longest)
        if line is None or (replies[begin] is OK) != (replies[0] is OK):
            return None
        lines.append(line)
        begin = stop
    return lines


def array(items: Sequence[Any], most: int) -> bytes | None:
    """The JSON of a list, with a blank behind each comma.

    None where there is another in it than bytes, None and integers of 64 bits; and where bytes are
    not UTF-8, or come to ``most`` and more in all.
    """
    if not items:
        return b"[]"
    try:
        kinds = set(map(type, items))
        if kinds == _STRINGS:
            return b"[%b]" % quoted(items, b", ") if sum(map(len, items)) < most else None
        if kinds <= _PLAIN:
            if sum([len(item) for item in items if item.__class__ is bytes]) >= most:
                return None
            said = [item.decode() if item.__class__ is bytes else item for item in items]
            return b"[%b]" % members(said, b", ")
    except (UnicodeDecodeError, TypeError):  # the latter for a number of more than 64 bits
        pass
    return None


def quoted(strings: Sequence[bytes], between: bytes) -> bytes:
    """The JSON of strings, which are one or more, with ``between`` between them: 20 ns for each.

    Raises UnicodeDecodeError where one is not UTF-8, and TypeError where one is no bytes.
    """
    joined = b" ".join(strings)
    if len(orjson.dumps(joined.decode())) == len(joined) + 2:  # nothing in them is escaped
        return b'"%b"' % (b'"' + between + b'"').join(strings)
    return members(list(map(bytes.decode, strings)), between)


def members(values: Sequence[str | int | None] | dict[str, str], between: bytes) -> bytes:
    """The JSON of such values, or of fields of an object, which are one or more, with ``between``
    between them.

    Raises TypeError where one is a number of more than 64 bits.
    """
    return orjson.dumps(values, option=orjson.OPT_INDENT_2)[4:-2].replace(_BETWEEN, between)
