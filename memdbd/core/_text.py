# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, cdivision=True
"""The compiled core of the text dialect: the functions of ``text.py``, in C that Cython makes of
this.

Strategy. As in ``_compiled.py``: what is rare is left to text.py, and what is written is measured
first. A line is looked through once, a word at a time, and its words are made when all of it is
known to be plain.

It is in Python's syntax, but only runs compiled. May import: replies, core.text.
"""

from __future__ import annotations

from collections.abc import Sequence
from sys import byteorder, maxsize
from typing import Any

import cython

if not cython.compiled:
    raise ImportError("memdbd/core/_text.py is not compiled")

from cython.cimports.cpython.bytes import (
    PyBytes_AS_STRING,
    PyBytes_CheckExact,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cython.cimports.cpython.dict import PyDict_GetItemWithError
from cython.cimports.cpython.list import PyList_GET_ITEM, PyList_New, PyList_SET_ITEM
from cython.cimports.cpython.long import (
    PyLong_AsLongLongAndOverflow,
    PyLong_AsSsize_t,
    PyLong_CheckExact,
)
from cython.cimports.cpython.object import PyObject
from cython.cimports.cpython.ref import Py_INCREF
from cython.cimports.libc.stdint import uint64_t
from cython.cimports.libc.string import memcmp, memcpy

from memdbd.core import text as python
from memdbd.replies import OK

_OK = cython.declare(object, OK)

# What a byte is in a line: part of a word, a blank, or the end of what is plain.
_WORD = cython.declare(cython.uchar, 0)
_BLANK = cython.declare(cython.uchar, 1)
_END = cython.declare(cython.uchar, 2)
_KINDS = cython.declare(cython.uchar[256])
_byte: cython.int
for _byte in range(256):
    _KINDS[_byte] = _WORD
for _byte in (9, 11, 12, 13, 32):
    _KINDS[_byte] = _BLANK
for _byte in (10, 34, 39):  # the line's, and quotes
    _KINDS[_byte] = _END

# Bytes from which on they are looked at by eight.
_EIGHT = cython.declare(cython.Py_ssize_t, 8 if byteorder == "little" else maxsize)

# The first words that have come before, by length and first byte: they are the same few, and one
# that is there already need not be made (20 ns), nor hashed when it is looked up.
_names = cython.declare(list, [b""] * (16 * 64))


# Requests


def lines(
    data: bytes, usual: dict[bytes, int], most: cython.Py_ssize_t
) -> tuple[list[list[bytes]], int]:
    begun: cython.p_uchar = cython.cast(cython.p_uchar, PyBytes_AS_STRING(data))
    end: cython.p_uchar = begun + PyBytes_GET_SIZE(data)
    at: cython.p_uchar = begun
    done: cython.p_uchar = begun
    begin: cython.p_uchar
    starts = cython.declare(cython.p_uchar[16])
    ends = cython.declare(cython.p_uchar[16])
    count: cython.Py_ssize_t
    number: cython.Py_ssize_t
    limit: cython.pointer(PyObject)
    last: object = None  # the first word of the line before, and what is usual for it
    last_limit: cython.Py_ssize_t = 0
    found: list = []
    words: list
    word: bytes
    while most > 0:
        most -= 1
        count = 0
        while True:
            begin = at
            at = _word_end(at, end)
            if at > begin:
                if count < 16:
                    starts[count] = begin
                    ends[count] = at
                count += 1
            if at == end or _KINDS[at[0]] == _END:
                break
            at += 1
        if at == end or at[0] != 10:
            break
        at += 1
        if count > 0:
            word = _name(cython.cast(cython.p_char, starts[0]), ends[0] - starts[0])
            if word is not last:
                limit = PyDict_GetItemWithError(usual, word)
                if limit is cython.NULL:
                    break
                last = word
                last_limit = PyLong_AsSsize_t(cython.cast(object, limit))
            if last_limit < count:
                break
            if count <= 16:
                words = PyList_New(count)
                Py_INCREF(word)
                PyList_SET_ITEM(words, 0, word)
                for number in range(1, count):
                    word = PyBytes_FromStringAndSize(
                        cython.cast(cython.p_char, starts[number]), ends[number] - starts[number]
                    )
                    Py_INCREF(word)
                    PyList_SET_ITEM(words, number, word)
            else:
                words = data[done - begun : at - begun].split()
            found.append(words)
        done = at
    return found, done - begun


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _word_end(at: cython.p_uchar, end: cython.p_uchar) -> cython.p_uchar:
    """Where the word at ``at`` ends: a blank, a quote, a line's end, or ``end``.

    Eight bytes at a time, where the first of them is the lowest: 15 ns for 50, byte by byte 30. In
    ``odd``, the highest bit of each of them is set that is less than 33, or a quote, and less than
    128. The lowest of those is always right; what is above may have been borrowed from.
    """
    eight: uint64_t = 0
    odd: uint64_t
    ones: uint64_t = 0x01010101
    ones |= ones << 32
    while end - at >= _EIGHT:
        memcpy(cython.address(eight), at, 8)
        odd = eight - ones * 33
        odd |= (eight ^ (ones * 34)) - ones
        odd |= (eight ^ (ones * 39)) - ones
        odd &= ~eight & (ones << 7)
        if odd == 0:
            at += 8
            continue
        # The bytes below the lowest bit: those of ``ones`` which are below, added up.
        odd = (odd & -odd) >> 7
        at += (((odd - 1) & ones) * ones) >> 56
        if _KINDS[at[0]] != _WORD:
            return at
        at += 1  # another of those less than 33
    while at < end and _KINDS[at[0]] == _WORD:
        at += 1
    return at


@cython.cfunc
def _name(at: cython.p_char, length: cython.Py_ssize_t) -> bytes:
    """The first word of a line, which has a byte at least."""
    if length > 16:
        return PyBytes_FromStringAndSize(at, length)
    slot: cython.Py_ssize_t = (length - 1) * 64 + (at[0] & 63)
    name: bytes = cython.cast(bytes, cython.cast(object, PyList_GET_ITEM(_names, slot)))
    if PyBytes_GET_SIZE(name) != length or memcmp(PyBytes_AS_STRING(name), at, length) != 0:
        name = PyBytes_FromStringAndSize(at, length)
        _names[slot] = name
    return name


# Replies


def line(value: bytes, end: bytes) -> bytes | None:
    length: cython.Py_ssize_t = PyBytes_GET_SIZE(value)
    if not _is_plain(cython.cast(cython.p_uchar, PyBytes_AS_STRING(value)), length):
        return python.line(value, end)
    # Not with what orjson does, which makes room for 4 KiB first.
    encoded: bytes = PyBytes_FromStringAndSize(cython.NULL, 13 + length + PyBytes_GET_SIZE(end))
    out: cython.p_char = PyBytes_AS_STRING(encoded)
    memcpy(out, cython.cast(cython.p_char, b'{"result": '), 11)
    out = _put_item(out + 11, value)
    memcpy(out, PyBytes_AS_STRING(end), PyBytes_GET_SIZE(end))
    return encoded


def json(replies: Sequence[Any], end: bytes, longest: cython.Py_ssize_t) -> bytes | None:
    if type(replies) is not list:
        return python.json(replies, end, longest)
    return _json(replies, 0, len(replies), end, longest)


def json_each(
    replies: Sequence[Any], counts: Sequence[int], end: bytes, longest: cython.Py_ssize_t
) -> list[bytes] | None:
    if type(replies) is not list or type(counts) is not list:
        return python.json_each(replies, counts, end, longest)
    all_of_them: list = replies
    lines: list = []
    begin: cython.Py_ssize_t = 0
    stop: cython.Py_ssize_t
    for count in counts:
        stop = begin + PyLong_AsSsize_t(count)
        if not begin < stop <= len(all_of_them):
            raise ValueError("the counts are not those of the replies")
        line = _json(all_of_them, begin, stop, end, longest)
        if line is None or (all_of_them[begin] is _OK) != (all_of_them[0] is _OK):
            return None
        lines.append(line)
        begin = stop
    return lines


@cython.cfunc
def _json(
    items: list,
    begin: cython.Py_ssize_t,
    stop: cython.Py_ssize_t,
    end: bytes,
    longest: cython.Py_ssize_t,
) -> object:
    """The lines of some of the replies, from ``begin`` up to ``stop``."""
    size: cython.Py_ssize_t = (stop - begin) * (11 + PyBytes_GET_SIZE(end))
    oks: cython.Py_ssize_t = 0
    length: cython.Py_ssize_t
    number: cython.longlong
    overflow: cython.int = 0
    at: cython.Py_ssize_t
    for at in range(begin, stop):
        item = items[at]
        if PyBytes_CheckExact(item):
            length = PyBytes_GET_SIZE(item)
            if length >= longest:
                return None
            if not _is_plain(cython.cast(cython.p_uchar, PyBytes_AS_STRING(item)), length):
                return python.json(items[begin:stop], end, longest)
            size += length + 2
        elif item is _OK:
            oks += 1
            size += 4
        elif item is None:
            size += 4
        elif PyLong_CheckExact(item):
            number = PyLong_AsLongLongAndOverflow(item, cython.address(overflow))
            if overflow:
                return python.json(items[begin:stop], end, longest)
            size += _digits(number)
        else:
            return None
    if 0 < oks < stop - begin:
        return None
    encoded: bytes = PyBytes_FromStringAndSize(cython.NULL, size)
    out: cython.p_char = PyBytes_AS_STRING(encoded)
    for at in range(begin, stop):
        item = items[at]
        memcpy(out, cython.cast(cython.p_char, b'{"result": '), 11)
        out += 11
        out = _put_item(out, item)
        memcpy(out, PyBytes_AS_STRING(end), PyBytes_GET_SIZE(end))
        out += PyBytes_GET_SIZE(end)
    return encoded


def array(items: Sequence[Any], most: cython.Py_ssize_t) -> bytes | None:
    if type(items) is not list:
        return python.array(items, most)
    them: list = items
    size: cython.Py_ssize_t = 0  # of the bytes in it
    more: cython.Py_ssize_t = 2 * len(them) if them else 2  # of all else: the brackets, ", "
    number: cython.longlong
    overflow: cython.int = 0
    at: cython.Py_ssize_t
    for at in range(len(them)):
        item = them[at]
        if PyBytes_CheckExact(item):
            if not _is_plain(
                cython.cast(cython.p_uchar, PyBytes_AS_STRING(item)), PyBytes_GET_SIZE(item)
            ):
                return python.array(items, most)
            size += PyBytes_GET_SIZE(item)
            if size >= most:
                return None
            more += 2
        elif item is None:
            more += 4
        elif PyLong_CheckExact(item):
            number = PyLong_AsLongLongAndOverflow(item, cython.address(overflow))
            if overflow:
                return python.array(items, most)
            more += _digits(number)
        else:
            return None
    encoded: bytes = PyBytes_FromStringAndSize(cython.NULL, size + more)
    out: cython.p_char = PyBytes_AS_STRING(encoded)
    out[0] = b"["
    out += 1
    for at in range(len(them)):
        item = them[at]
        if at > 0:
            out[0] = b","
            out[1] = b" "
            out += 2
        out = _put_item(out, item)
    out[0] = b"]"
    return encoded


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _put_item(out: cython.p_char, item: object) -> cython.p_char:
    """Writes plain bytes, None, OK, or an integer; gives where it ends."""
    length: cython.Py_ssize_t
    overflow: cython.int = 0
    if PyBytes_CheckExact(item):
        length = PyBytes_GET_SIZE(item)
        out[0] = b'"'
        memcpy(out + 1, PyBytes_AS_STRING(item), length)
        out[length + 1] = b'"'
        return out + length + 2
    if item is None:
        memcpy(out, cython.cast(cython.p_char, b"null"), 4)
        return out + 4
    if item is _OK:
        memcpy(out, cython.cast(cython.p_char, b'"OK"'), 4)
        return out + 4
    return _put(out, PyLong_AsLongLongAndOverflow(item, cython.address(overflow)))


@cython.cfunc
@cython.exceptval(check=False)
def _is_plain(at: cython.p_uchar, length: cython.Py_ssize_t) -> cython.bint:
    """Whether it is ASCII, and stands between quotes as it is. Without an early end, so that C
    looks at many bytes at a time: 3 ns for 32."""
    odd: cython.uchar = 0
    number: cython.Py_ssize_t
    for number in range(length):
        odd |= (at[number] < 32) | (at[number] > 126) | (at[number] == 34) | (at[number] == 92)
    return odd == 0


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _amount(number: cython.longlong) -> cython.ulonglong:
    """The number without its sign, which the least one has none of its own kind without."""
    return -cython.cast(cython.ulonglong, number) if number < 0 else number


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _digits(number: cython.longlong) -> cython.Py_ssize_t:
    """The bytes of a number in decimal, with its sign."""
    amount: cython.ulonglong = _amount(number)
    count: cython.Py_ssize_t = 2 if number < 0 else 1
    while amount >= 10:
        amount //= 10
        count += 1
    return count


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _put(out: cython.p_char, number: cython.longlong) -> cython.p_char:
    """Writes a number; gives where it ends."""
    amount: cython.ulonglong = _amount(number)
    end: cython.p_char = out + _digits(number)
    at: cython.p_char = end - 1
    while amount >= 10:
        at[0] = 48 + cython.cast(cython.char, amount % 10)
        at -= 1
        amount //= 10
    at[0] = 48 + cython.cast(cython.char, amount)
    if number < 0:
        out[0] = b"-"
    return end
