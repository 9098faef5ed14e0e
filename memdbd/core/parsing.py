"""Bytes to requests, in Python; the compiled core's, in ``_parsing.py``, does the same.

Theory of operation. What a canonical request is, ``_walk`` says: it is the whole of the rules, and
takes 1.5 µs a request, however long. Short ones go through hiredis, which takes 0.15 µs but knows
replies only: it would take for a request what is none, it does not say where it has stopped, and it
makes room for as many words as a header announces. So it gets nothing that may announce much, what
it gave is proven, and where that fails the buffer is walked. One request alone, by far the most
frequent buffer, is split at its line ends, in 0.4 µs.

May import: hiredis.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from sys import platform
from typing import Any

import hiredis

Words = Sequence[bytes]

# Bytes of what is looked at as a whole; and headers of strings by length: a look into a list takes
# a fifth of the time to format a number.
_SHORT = 2048
_HEADS = [b"$%d" % length for length in range(_SHORT)]


def requests(data: bytes) -> tuple[list[list[bytes]], int]:
    """The complete canonical requests at the beginning of ``data``, and where they end.

    A canonical request is an array of at least one bulk string, with lengths as Redis writes them.
    The two bytes behind a string are not looked at, as Redis does not. Empty arrays are skipped.
    Whatever is odd, or not complete, is for others: ``data[end:]`` begins with it.
    """
    count, size = _FEW.get(data[:4]), len(data)
    # Short, or with no other behind it as far as one look tells, which is quick for a byte; or with
    # none that begins soon.
    if count is not None and (
        size < SHORT or data.find(b"*", 1, _SHORT) < 0 or data.find(b"\r\n*", 1, SHORT) < 0
    ):
        parts = (data if size <= _SHORT else data[:_SHORT]).split(b"\r\n", 2 * count + 1)
        if len(parts) != 2 * count + 2:
            return _walk(data)  # it is long, or not complete
        if not parts[-1] and size < _SHORT:
            # One by one where there are 2 or 3, as mostly: half the time of what does for all.
            if count == 3:
                _, head, name, head2, key, head3, value, _ = parts
                if (
                    head == _HEADS[len(name)]
                    and head2 == _HEADS[len(key)]
                    and head3 == _HEADS[len(value)]
                ):
                    return [[name, key, value]], size
            elif count == 2:
                _, head, name, head2, key, _ = parts
                if head == _HEADS[len(name)] and head2 == _HEADS[len(key)]:
                    return [[name, key]], size
            else:
                words = parts[2::2]
                if parts[1:-1:2] == [_HEADS[len(word)] for word in words]:
                    return [words], size
        if size >= SHORT:
            # For all that is proven of what hiredis gave, each byte is looked at: 6 us for 1 KiB of
            # text, 13 of anything, 440 for 64 KiB.
            return _walk(data)
    found = _read(data)
    return _walk(data) if found is None else found


_FEW = {b"*%d\r\n" % count: count for count in range(1, 10)}
SHORT = 384  # bytes of a buffer in which it is not worth to look for another one

# What hiredis must not get. For so many words it would make room at once: 80 KB and more. On
# Windows it takes a string of 4 GiB for a short one, and reads on behind the buffer
# (redis/hiredis#1333). Behind a verbatim string it reads two bytes too far (in hiredis-py).
_HUGE = re.compile(rb"\*[0-9]{5}|\$[0-9]{10}" if platform == "win32" else rb"\*[0-9]{5}")
# The types that hiredis makes bytes, lists and dicts of, but for ``*`` and ``$``, and what it must
# not get of them. (To look for an int takes 20 ns, for a byte 190; and for each of these, a third
# of the time that it takes for any of them.)
_OTHERS: dict[int, re.Pattern[bytes] | None] = {
    ord(kind): re.compile(rb"\%b[0-9]{5}" % kind) for kind in (b"~", b">", b"%", b"|")
}
_OTHERS[ord("=")] = re.compile(rb"=[0-9]+\r")
_OTHERS[ord("+")] = _OTHERS[ord("(")] = None

# Behind a buffer, it comes out of hiredis as what it is where the buffer was complete, and
# disappears in the request that is not.
_SENTINEL, _SENTINEL_SEEN = b"+!\r\n", b"!"

# What the reader gives when there is nothing more: not False, which it makes of ``#f``.
_NO_MORE = object()

# For all connections: it only gets what begins between two requests, and is thrown away where it
# is in the middle of one.
_reader: Any = hiredis.Reader(notEnoughData=_NO_MORE)


def _read(data: bytes) -> tuple[list[list[bytes]], int] | None:
    """The same, by means of hiredis; None where there is something in ``data`` that it cannot be
    trusted with."""
    global _reader  # noqa: PLW0603
    others = _others(data)
    if others is None:
        return None
    reader = _reader
    try:
        reader.feed(data)
        found = list(iter(reader.gets, _NO_MORE))
        reader.feed(_SENTINEL)
        is_whole = reader.gets() == _SENTINEL_SEEN
        # A TypeError where there is anything in it but arrays of strings, or empty things.
        are_words = all(map(b"".join, found))
    except (hiredis.ProtocolError, TypeError):
        _reader = hiredis.Reader(notEnoughData=_NO_MORE)
        return None
    if not is_whole:
        _reader = hiredis.Reader(notEnoughData=_NO_MORE)
    if not are_words or (others and not _are_of_words(others, data, found)):
        return None
    return found, len(data) if is_whole else _size(found)


def _others(data: bytes) -> list[int] | None:
    """Which of the OTHERS are in ``data``; None where hiredis must not get it."""
    if _HUGE.search(data) is not None:
        return None
    others = [*filter(data.__contains__, _OTHERS)]
    for kind in others:
        bad = _OTHERS[kind]
        if bad is not None and bad.search(data) is not None:
            return None
    return others


def _are_of_words(others: Iterable[int], data: bytes, found: Iterable[Words]) -> bool:
    """Whether these bytes are only in the words that hiredis has found in ``data``.

    Each byte of a word is one of the data's. Where that has no more of a kind than the words, none
    stands for a type: these are arrays and strings, and their lengths are canonical, for hiredis
    takes no others.
    """
    words = b"".join(chain.from_iterable(found))
    return all(data.count(kind) == words.count(kind) for kind in others)


# Several buffers


def of_each(buffers: Sequence[bytes]) -> tuple[list[list[bytes]], bool] | None:
    """The requests that several short buffers are, one each, and whether they are alike: all have
    the same first word, and as many. None where one of them is anything else.

    Together they are an array for hiredis, so that it is called once: with all that has to be
    proven, it takes 0.3 µs for each of 50, and 0.5 one by one.
    """
    sizes = list(map(len, buffers))
    if len(sizes) >= _MOST_AT_ONCE:
        return None
    data = b"".join(buffers)
    others = _others(data)
    if others is None:
        return None
    reader = _spare.pop() if _spare else hiredis.Reader(notEnoughData=_NO_MORE)
    try:
        reader.feed(b"*%d\r\n%b" % (len(sizes), data))
        found: Any = reader.gets()
        if found is not _NO_MORE and _are_requests(found, data, others):
            # Where each request is as long as its buffer, the first ends where its buffer does, so
            # that the second begins where its buffer does, and so on: each buffer is one.
            are_alike, proven = _sizes(found)
            if proven == sizes:
                _spare.append(reader)
                return found, are_alike
    except (hiredis.ProtocolError, TypeError, IndexError):
        pass  # there is something else among them, or longer than any of the buffers
    return None


_MOST_AT_ONCE = 10_000  # which is HUGE
_BYTES = frozenset({bytes})
_spare: list[Any] = []  # a reader that is between two requests


def _are_requests(found: Sequence[Words], data: bytes, others: Iterable[int]) -> bool:
    """Whether all of what was found in ``data`` are requests, if they are arrays."""
    if not all(found):
        return False
    # With no more asterisks than arrays, none is a word.
    if data.count(b"*") != len(found) and set(map(type, chain.from_iterable(found))) != _BYTES:
        return False
    return not others or _are_of_words(others, data, found)


def _sizes(found: Sequence[Words]) -> tuple[bool, list[int]]:
    """Whether short requests are alike, and the bytes of each as it was sent.

    Raises TypeError or IndexError where there is anything else among them.
    """
    count = len(found[0])
    if any(map(count.__ne__, map(len, found))):
        return False, [
            _HEADERS[len(it)] + sum(map(_SIZES.__getitem__, map(len, it))) for it in found
        ]
    names, *columns = zip(*found, strict=True)  # the first words of all, the second, and so on
    # What is of the same size in all, as most is; and what is not.
    size, parts = _HEADERS[count], []
    are_alike = names.count(names[0]) == len(names)
    if are_alike:
        size += _SIZES[len(names[0])]
    else:
        columns.append(names)
    for words in columns:
        lengths = list(map(len, words))
        length = lengths[0]
        if lengths.count(length) == len(lengths):
            size += _SIZES[length]
        else:
            parts.append(map(_SIZES.__getitem__, lengths))
    sizes = list(map(sum, zip(repeat(size), *parts))) if parts else [size] * len(found)
    return are_alike, sizes


# Bytes of an array's header by the number of its words, and of a string by its length.
_HEADERS = [len(b"*%d\r\n" % count) for count in range(SHORT)]
_SIZES = [len(b"$%d\r\n\r\n" % length) + length for length in range(SHORT)]


def _size(found: Sequence[Words]) -> int:
    """The bytes of requests as they were sent: there is only one way to say a length."""
    lengths = list(map(len, chain.from_iterable(found)))
    return (
        sum(map(_digits, map(len, found)))
        + 3 * len(found)  # *…\r\n
        + sum(lengths)
        + sum(map(_digits, lengths))
        + 5 * len(lengths)  # $…\r\n…\r\n
    )


_DIGITS = bytes(len(str(number)) for number in range(10_000))


def _digits(number: int) -> int:
    return _DIGITS[number] if number < 10_000 else len(str(number))


def _walk(data: bytes) -> tuple[list[list[bytes]], int]:
    """The same as ``requests``, word by word."""
    found: list[list[bytes]] = []
    find, counts, lengths, size = data.find, _COUNTS.get, _LENGTHS.get, len(data)
    end = 0
    while True:
        at = find(b"\r\n", end, end + _HEADER)
        count = counts(data[end:at]) if at > end else -1
        if count is None:
            count = _number(b"*", data[end:at])
        if count < 0:
            return found, end
        words = []
        for _ in range(count):
            at += 2
            begun = find(b"\r\n", at, at + _HEADER)
            length = lengths(data[at:begun]) if begun > at else -1
            if length is None:
                length = _number(b"$", data[at:begun])
            begun += 2
            at = begun + length
            if length < 0 or at + 2 > size:
                return found, end
            words.append(data[begun:at])
        if words:
            found.append(words)
        end = at + 2


_HEADER = 21  # bytes of the longest that is read, with its end
_COUNTS = {b"*%d" % count: count for count in range(_SHORT)}
_LENGTHS = {head: length for length, head in enumerate(_HEADS)}
_NUMBER = re.compile(rb"0|[1-9][0-9]{0,17}")


def _number(kind: bytes, header: bytes) -> int:
    """The number in a header of this kind; less than 0 where there is none."""
    if header[:1] != kind or _NUMBER.fullmatch(header, 1) is None:
        return -1
    return int(header[1:])
