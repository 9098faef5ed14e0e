# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, cdivision=True
"""The compiled core: the functions of ``python.py``, in C that Cython makes of this.

Strategy. What each function promises is said there, and what is rare is left to it: a class
that is not the usual one, an integer of more than 64 bits. What is written is measured first, in a
pass over the same objects, so that there is one piece of memory of the right size, and nothing
grows. Only objects of exactly the usual classes are looked into by C's means, and between two looks
at a borrowed one nothing runs that could free it.

It is in Python's syntax, but only runs compiled. May import: replies, core.python.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import cython

if not cython.compiled:
    raise ImportError("memdbd/core/_compiled.py is not compiled")

from cython.cimports.cpython.bytes import (
    PyBytes_AS_STRING,
    PyBytes_CheckExact,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cython.cimports.cpython.dict import PyDict_GetItemWithError
from cython.cimports.cpython.long import (
    PyLong_AsLongLongAndOverflow,
    PyLong_AsSsize_t,
    PyLong_CheckExact,
)
from cython.cimports.cpython.object import PyObject
from cython.cimports.libc.string import memcpy

from memdbd.core import python
from memdbd.replies import OK

Effect = tuple[bytes | int, ...]

_OK = cython.declare(object, OK)
_OK_LINE = cython.declare(bytes, b"+OK\r\n")
_SET = cython.declare(bytes, b"SET")
_MSET = cython.declare(bytes, b"MSET")
_NOTHING = cython.declare(tuple, python.NOTHING)
_MOST = cython.declare(cython.Py_ssize_t, python.MOST)
_LONG = cython.declare(cython.Py_ssize_t, python.LONG)
_EARLIEST = cython.declare(object, python.EARLIEST)
_LATEST = cython.declare(object, python.LATEST)
_CITED = cython.declare(cython.Py_ssize_t, python.CITED)
_OTHER = cython.declare(cython.Py_ssize_t, -1)
_LARGE = cython.declare(cython.Py_ssize_t, -2)
_ANY = cython.declare(cython.Py_ssize_t, 2**62)
_LAST = cython.declare(cython.longlong, 2**63 - 1)


# Replies


def resp(replies: Sequence[Any], null: bytes) -> bytes | None:
    if type(replies) is not list:
        return python.resp(replies, null)
    return _resp(replies, 0, len(replies), null)


def resp_each(replies: Sequence[Any], counts: Sequence[int], null: bytes) -> list[bytes] | None:
    if type(replies) is not list or type(counts) is not list:
        return python.resp_each(replies, counts, null)
    all_of_them: list = replies
    lines: list = []
    begin: cython.Py_ssize_t = 0
    stop: cython.Py_ssize_t
    for count in counts:
        stop = begin + PyLong_AsSsize_t(count)
        if not begin < stop <= len(all_of_them):
            raise ValueError("the counts are not those of the replies")
        line = _resp(all_of_them, begin, stop, null)
        if line is None:
            return None
        lines.append(line)
        begin = stop
    return lines


@cython.cfunc
def _resp(items: list, begin: cython.Py_ssize_t, stop: cython.Py_ssize_t, null: bytes) -> object:
    """The bytes of some of the replies, from ``begin`` up to ``stop``."""
    size: cython.Py_ssize_t = _measured(items, begin, stop, null)
    if size < 0:
        return None if size == _OTHER else python.resp(items[begin:stop], null)
    encoded: bytes = PyBytes_FromStringAndSize(cython.NULL, size)
    _put_all(PyBytes_AS_STRING(encoded), items, begin, stop, null)
    return encoded


def arrays(replies: Sequence[Any], null: bytes) -> list[bytes] | None:
    if type(replies) is not list:
        return python.arrays(replies, null)
    lines: list = []
    out: cython.p_char
    items: list
    size: cython.Py_ssize_t
    line: bytes = b""
    last: object = None
    for reply in cython.cast(list, replies):
        if type(reply) is not list:
            return None
        if reply is not last:
            last = reply
            items = reply
            size = _measured(items, 0, len(items), null)
            if size < 0:
                return None if size == _OTHER else python.arrays(replies, null)
            line = PyBytes_FromStringAndSize(cython.NULL, size + _digits(len(items)) + 3)
            out = PyBytes_AS_STRING(line)
            out[0] = b"*"
            _put_all(_put_line(out + 1, len(items)), items, 0, len(items), null)
        lines.append(line)
    return lines


def weight(strings: Sequence[bytes]) -> int:
    if type(strings) is not list:
        return python.weight(strings)
    items: list = strings
    size: cython.Py_ssize_t = 0
    at: cython.Py_ssize_t
    for at in range(len(items)):
        item = items[at]
        if not PyBytes_CheckExact(item):
            return python.weight(strings)
        size += PyBytes_GET_SIZE(item)
    return size


@cython.cfunc
@cython.exceptval(check=False)
def _measured(
    items: list, begin: cython.Py_ssize_t, stop: cython.Py_ssize_t, null: bytes
) -> cython.Py_ssize_t:
    """The bytes of some replies; _OTHER where that is more than _MOST, or one is of another kind,
    and _LARGE where there is an integer that does not fit."""
    size: cython.Py_ssize_t = 0
    length: cython.Py_ssize_t
    number: cython.longlong
    overflow: cython.int = 0
    at: cython.Py_ssize_t
    for at in range(begin, stop):
        item = items[at]
        if PyBytes_CheckExact(item):
            length = PyBytes_GET_SIZE(item)
            size += length + _digits(length) + 5
        elif item is None:
            size += PyBytes_GET_SIZE(null)
        elif item is _OK:
            size += 5
        elif PyLong_CheckExact(item):
            number = PyLong_AsLongLongAndOverflow(item, cython.address(overflow))
            if overflow:
                return _LARGE
            size += _signed_digits(number) + 3
        else:
            return _OTHER
        if size > _MOST:
            return _OTHER
    return size


@cython.cfunc
@cython.exceptval(check=False)
def _put_all(
    out: cython.p_char,
    items: list,
    begin: cython.Py_ssize_t,
    stop: cython.Py_ssize_t,
    null: bytes,
) -> cython.p_char:
    overflow: cython.int = 0
    at: cython.Py_ssize_t
    for at in range(begin, stop):
        item = items[at]
        if PyBytes_CheckExact(item):
            out = _put_string(out, item)
        elif item is None:
            out = _put(out, null)
        elif item is _OK:
            memcpy(out, cython.cast(cython.p_char, b"+OK\r\n"), 5)
            out += 5
        else:
            out[0] = b":"
            out = _put_line(out + 1, PyLong_AsLongLongAndOverflow(item, cython.address(overflow)))
    return out


def each(replies: Sequence[Any], null: bytes) -> list[bytes] | None:
    if type(replies) is not list:
        return python.each(replies, null)
    items: list = replies
    lines: list = []
    text = cython.declare(cython.char[24])
    number: cython.longlong
    length: cython.Py_ssize_t
    overflow: cython.int = 0
    line: bytes
    at: cython.Py_ssize_t
    for at in range(len(items)):
        item = items[at]
        if PyBytes_CheckExact(item):
            length = PyBytes_GET_SIZE(item)
            line = PyBytes_FromStringAndSize(cython.NULL, length + _digits(length) + 5)
            _put_string(PyBytes_AS_STRING(line), item)
        elif item is None:
            line = null
        elif item is _OK:
            line = _OK_LINE
        elif PyLong_CheckExact(item):
            number = PyLong_AsLongLongAndOverflow(item, cython.address(overflow))
            if overflow:
                return python.each(replies, null)
            text[0] = b":"
            line = PyBytes_FromStringAndSize(text, _put_line(text + 1, number) - text)
        else:
            return None
        lines.append(line)
    return lines


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _digits(number: cython.ulonglong) -> cython.Py_ssize_t:
    count: cython.Py_ssize_t = 1
    while number >= 10:
        number //= 10
        count += 1
    return count


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _amount(number: cython.longlong) -> cython.ulonglong:
    """The same without its sign, which the least one has none of its own kind without."""
    return -cython.cast(cython.ulonglong, number) if number < 0 else number


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _signed_digits(number: cython.longlong) -> cython.Py_ssize_t:
    return _digits(_amount(number)) + (1 if number < 0 else 0)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _put_number(out: cython.p_char, number: cython.longlong) -> cython.p_char:
    amount: cython.ulonglong = _amount(number)
    if number < 0:
        out[0] = b"-"
        out += 1
    out += _digits(amount)
    end: cython.p_char = out
    out -= 1
    while amount >= 10:
        out[0] = 48 + cython.cast(cython.char, amount % 10)
        out -= 1
        amount //= 10
    out[0] = 48 + cython.cast(cython.char, amount)
    return end


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _put_line(out: cython.p_char, number: cython.longlong) -> cython.p_char:
    out = _put_number(out, number)
    out[0] = b"\r"
    out[1] = b"\n"
    return out + 2


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _put(out: cython.p_char, string: bytes) -> cython.p_char:
    length: cython.Py_ssize_t = PyBytes_GET_SIZE(string)
    memcpy(out, PyBytes_AS_STRING(string), length)
    return out + length


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _put_string(out: cython.p_char, string: bytes) -> cython.p_char:
    out[0] = b"$"
    out = _put(_put_line(out + 1, PyBytes_GET_SIZE(string)), string)
    out[0] = b"\r"
    out[1] = b"\n"
    return out + 2


# Effects


def effects(effects: Iterable[Effect], drift: int) -> bytes:
    all_of_them: list = effects if type(effects) is list else list(effects)
    encoded = _encoded(all_of_them, drift, _ANY)
    return python.effects(all_of_them, drift) if encoded is None else encoded


def pieces(effects: Iterable[Effect], drift: int) -> list[bytes]:
    all_of_them: list = effects if type(effects) is list else list(effects)
    encoded = _encoded(all_of_them, drift, _CITED)
    return python.pieces(all_of_them, drift) if encoded is None else [encoded]


@cython.cfunc
def _encoded(all_of_them: list, drift: object, most: cython.Py_ssize_t) -> object:
    """The effects; None where there is a word of ``most`` bytes and more, or one of another kind
    than is usual."""
    size: cython.Py_ssize_t = 0
    length: cython.Py_ssize_t
    at: cython.Py_ssize_t
    number: cython.Py_ssize_t
    effect: tuple
    for at in range(len(all_of_them)):
        effect = all_of_them[at]
        size += _digits(len(effect)) + 3
        for number in range(len(effect)):
            word = effect[number]
            if PyBytes_CheckExact(word):
                length = PyBytes_GET_SIZE(word)
                if length >= most:
                    return None
            elif PyLong_CheckExact(word):
                length = _digits(_deadline(word, drift))
            else:
                return None
            size += length + _digits(length) + 5
    encoded: bytes = PyBytes_FromStringAndSize(cython.NULL, size)
    out: cython.p_char = PyBytes_AS_STRING(encoded)
    deadline: cython.longlong
    for at in range(len(all_of_them)):
        effect = all_of_them[at]
        out[0] = b"*"
        out = _put_line(out + 1, len(effect))
        for number in range(len(effect)):
            word = effect[number]
            if PyBytes_CheckExact(word):
                out = _put_string(out, word)
            else:
                deadline = _deadline(word, drift)
                out[0] = b"$"
                out = _put_line(out + 1, _digits(deadline))
                out = _put_line(out, deadline)
    return encoded


@cython.cfunc
@cython.exceptval(-1)
def _deadline(deadline: object, drift: object) -> cython.longlong:
    return min(max(deadline + drift, _EARLIEST), _LATEST)


# Commands over a run of requests


@cython.boundscheck(True)  # whoever made the run, made its requests
def alike(requests: Sequence[object], at: int, most: int) -> int:
    if type(requests) is not list:
        return python.alike(requests, at, most)
    all_of_them: list = requests
    first = all_of_them[at]
    if type(first) is not list or not first:
        return 0
    begun: cython.Py_ssize_t = at
    end: cython.Py_ssize_t = min(len(all_of_them), begun + cython.cast(cython.Py_ssize_t, most))
    words: list = first
    size: cython.Py_ssize_t = len(words)
    name: object = words[0]
    place: cython.Py_ssize_t = begun + 1
    while place < end:
        request = all_of_them[place]
        if type(request) is not list:
            break
        words = request
        if len(words) != size or (words[0] is not name and words[0] != name):
            break
        place += 1
    return place - begun


@cython.boundscheck(True)
def get_many(
    values: dict[bytes, Any], run: Sequence[Sequence[bytes]], effects: list[Effect]
) -> list[Any]:
    if type(run) is not list:
        return python.get_many(values, run, effects)
    requests: list = run
    found: list = []
    words: list
    at: cython.Py_ssize_t
    value: cython.pointer(PyObject)
    size: cython.Py_ssize_t
    room: cython.Py_ssize_t = _MOST
    for at in range(len(requests)):
        request = requests[at]
        words = request if type(request) is list else list(request)
        value = PyDict_GetItemWithError(values, words[1])
        if value is cython.NULL:
            found.append(None)
        elif PyBytes_CheckExact(cython.cast(object, value)):
            size = PyBytes_GET_SIZE(cython.cast(object, value))
            room -= size
            if size >= _LONG or room < 0:
                break
            found.append(cython.cast(object, value))
        else:
            break
    return found


@cython.boundscheck(True)  # whoever made the run, made its requests
def set_many(
    values: dict[bytes, Any], run: Sequence[Sequence[bytes]], effects: list[Effect]
) -> list[Any]:
    if type(run) is not list:
        return python.set_many(values, run, effects)
    requests: list = run
    done: list = []
    effect: list = [_MSET]
    words: list
    at: cython.Py_ssize_t
    old: cython.pointer(PyObject)
    for at in range(len(requests)):
        request = requests[at]
        words = request if type(request) is list else list(request)
        key = words[1]
        value = words[2]
        old = PyDict_GetItemWithError(values, key)
        if old is not cython.NULL and not PyBytes_CheckExact(cython.cast(object, old)):
            break
        values[key] = value
        effect.append(key)
        effect.append(value)
        done.append(_OK)
    _note_set(effects, effect)
    return done


@cython.boundscheck(True)  # whoever made the run, made its requests
def incr_many(
    values: dict[bytes, Any], run: Sequence[Sequence[bytes]], effects: list[Effect]
) -> list[Any]:
    if type(run) is not list:
        return python.incr_many(values, run, effects)
    requests: list = run
    done: list = []
    effect: list = [_MSET]
    words: list
    at: cython.Py_ssize_t
    old: cython.pointer(PyObject)
    number: cython.longlong
    text = cython.declare(cython.char[24])
    for at in range(len(requests)):
        request = requests[at]
        words = request if type(request) is list else list(request)
        key = words[1]
        old = PyDict_GetItemWithError(values, key)
        number = 0
        if old is not cython.NULL and not _is_number(
            cython.cast(object, old), cython.address(number)
        ):
            break
        if number == _LAST:
            break
        number += 1
        value = PyBytes_FromStringAndSize(text, _put_number(text, number) - text)
        values[key] = value
        effect.append(key)
        effect.append(value)
        done.append(number)
    _note_set(effects, effect)
    return done


@cython.cfunc
@cython.exceptval(-1)
def _note_set(effects: list, words: list) -> cython.int:
    changes: cython.Py_ssize_t = len(words) // 2
    if changes == 1:
        words[0] = _SET
    if changes > 0:
        effects.append(tuple(words))
        effects += [_NOTHING] * (changes - 1)
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def _is_number(value: object, number: cython.p_longlong) -> cython.bint:
    """Whether it is an integer of 64 bits, written in the only way; which, is put at ``number``."""
    if not PyBytes_CheckExact(value):
        return False
    length: cython.Py_ssize_t = PyBytes_GET_SIZE(value)
    at: cython.p_char = PyBytes_AS_STRING(value)
    end: cython.p_char = at + length
    is_negative: cython.bint = length > 0 and at[0] == b"-"
    if is_negative:
        at += 1
    # Of 20 digits and more, none has only 64 bits; of 19, all fit where there is no sign.
    if at == end or end - at > 19 or (at[0] == b"0" and length > 1):
        return False
    amount: cython.ulonglong = 0
    digit: cython.uint
    while at < end:
        digit = cython.cast(cython.uint, at[0]) - 48
        if digit > 9:
            return False
        amount = amount * 10 + digit
        at += 1
    if amount > cython.cast(cython.ulonglong, _LAST) + (1 if is_negative else 0):
        return False
    if is_negative:
        amount = -amount
    number[0] = cython.cast(cython.longlong, amount)
    return True
