# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, cdivision=True
"""Bytes to requests: the function of ``parsing.py``, in C that Cython makes of this.

Strategy. What it promises is said there. The bytes are gone through once, by hand: each one that
says a length is looked at, so that nothing has to be proven afterwards, as of what hiredis gives.

It is in Python's syntax, but only runs compiled. May import: nothing of memdbd.
"""

from __future__ import annotations

import cython

if not cython.compiled:
    raise ImportError("memdbd/core/_parsing.py is not compiled")

from cython.cimports.cpython.bytes import (
    PyBytes_AS_STRING,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cython.cimports.cpython.list import PyList_GET_ITEM, PyList_New, PyList_SET_ITEM
from cython.cimports.cpython.ref import Py_INCREF
from cython.cimports.libc.string import memcmp

# First words of requests that have come before, by length and first byte. They are the same few,
# and one that is here need not be made (20 ns), nor hashed when its command is looked up.
_NAME = cython.declare(cython.Py_ssize_t, 16)
_names = cython.declare(list, [b""] * 1024)


def requests(data: bytes) -> tuple[list[list[bytes]], int]:
    begun: cython.p_char = PyBytes_AS_STRING(data)
    end: cython.p_char = begun + PyBytes_GET_SIZE(data)
    at: cython.p_char = begun
    done: cython.p_char = begun
    count: cython.Py_ssize_t = 0
    length: cython.Py_ssize_t = 0
    number: cython.Py_ssize_t
    found: list = []
    words: list
    word: bytes
    while at < end and at[0] == b"*":
        at = _length(at, end, cython.address(count))
        # A word has six bytes at least: no room is made for any that cannot be there.
        if at is cython.NULL or count > (end - at) // 6:
            break
        words = PyList_New(count)
        for number in range(count):
            if at == end or at[0] != b"$":
                return found, done - begun
            at = _length(at, end, cython.address(length))
            if at is cython.NULL or length > end - at - 2:
                return found, done - begun
            if number == 0 and length <= _NAME:
                word = _name(at, length)
            else:
                word = PyBytes_FromStringAndSize(at, length)
            Py_INCREF(word)  # for the list, which takes it
            PyList_SET_ITEM(words, number, word)
            at += length + 2
        if count > 0:
            found.append(words)
        done = at
    return found, done - begun


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _length(at: cython.p_char, end: cython.p_char, length: cython.p_Py_ssize_t) -> cython.p_char:
    """Read the number behind the type byte at ``at``; gives where its line has ended. NULL: there
    is none, or it is not complete."""
    value: cython.Py_ssize_t = 0
    digit: cython.uint
    at += 1
    begun: cython.p_char = at
    while at < end and at - begun < 18:
        digit = cython.cast(cython.uint, at[0]) - 48
        if digit > 9:
            break
        value = value * 10 + digit
        at += 1
    if at == begun or (begun[0] == b"0" and at - begun > 1):
        return cython.NULL
    if end - at < 2 or at[0] != b"\r" or at[1] != b"\n":
        return cython.NULL
    length[0] = value
    return at + 2


@cython.cfunc
def _name(at: cython.p_char, length: cython.Py_ssize_t) -> bytes:
    """The first word of a request, of up to _NAME bytes."""
    if length == 0:
        return b""
    slot: cython.Py_ssize_t = (length - 1) * 64 + (at[0] & 63)
    name: bytes = cython.cast(bytes, cython.cast(object, PyList_GET_ITEM(_names, slot)))
    if PyBytes_GET_SIZE(name) != length or memcmp(PyBytes_AS_STRING(name), at, length) != 0:
        name = PyBytes_FromStringAndSize(at, length)
        _names[slot] = name
    return name
