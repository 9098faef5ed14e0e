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
    """The requests of up to ``most`` plain lines at the beginning of ``data``, and where they end.

    A plain line has no quotes, its first word is in ``usual``, and it has no more words than that
    says; or it has none, and is no request. What begins with one that is not plain, or not
    complete, is for others.
    """
    end = data.rfind(b"\n") + 1
    if b'"' in data or b"'" in data:
        quotes = [at for at in (data.find(b'"'), data.find(b"'")) if at >= 0]
        end = data.rfind(b"\n", 0, min(quotes)) + 1
    elif end == len(data) == data.find(b"\n") + 1 and most > 0:
        # One line, as of all who wait for each reply: half the time of what follows.
        words = data.split()
        if not words:
            return [], end
        return ([words], end) if len(words) <= usual.get(words[0], 0) else ([], 0)
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


# Replies

_BEGIN = b'{"result": '
_BETWEEN = b",\n  "  # what orjson writes between two when it indents

_STRINGS = frozenset({bytes})
_NUMBERS = frozenset({int})
_STATUS = frozenset({type(OK)})
_PLAIN = frozenset({bytes, int, type(None)})


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
            return _BEGIN + scalars(replies, end + _BEGIN) + end
        if kinds == _STATUS:
            # What compares equal to it is the same.
            is_ok = replies.count(OK) == len(replies)
            return (_BEGIN + b'"OK"' + end) * len(replies) if is_ok else None
        if kinds <= _PLAIN:
            strings = [len(reply) for reply in replies if reply.__class__ is bytes]
            if max(strings, default=0) >= longest:
                return None
            said = [reply.decode() if reply.__class__ is bytes else reply for reply in replies]
            return _BEGIN + scalars(said, end + _BEGIN) + end
    except (UnicodeDecodeError, TypeError):  # the latter for a number of more than 64 bits
        return None
    return None


def quoted(strings: Sequence[bytes], between: bytes) -> bytes:
    """The JSON of strings, which are one or more, with ``between`` between them: 20 ns for each.

    Raises UnicodeDecodeError where one is not UTF-8, and TypeError where one is no bytes.
    """
    joined = b" ".join(strings)
    if len(orjson.dumps(joined.decode())) == len(joined) + 2:  # nothing in them is escaped
        return b'"%b"' % (b'"' + between + b'"').join(strings)
    return scalars(list(map(bytes.decode, strings)), between)


def scalars(values: Sequence[str | int | None], between: bytes) -> bytes:
    """The JSON of such values, which are one or more, with ``between`` between them.

    Raises TypeError where one is a number of more than 64 bits.
    """
    return orjson.dumps(values, option=orjson.OPT_INDENT_2)[4:-2].replace(_BETWEEN, between)
