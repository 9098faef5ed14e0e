# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, cdivision=True
"""The order of a sorted set: the functions and the class of ``order.py``, in C that Cython makes of
this.

Strategy. What each promises is said in order.py, and the blocks lie as they do there; what is rare
is left to it. Scores are looked at as they lie in their arrays, with none made an object.

It is in Python's syntax, but only runs compiled. May import: core.order, core.python.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cython

if not cython.compiled:
    raise ImportError("memdbd/core/_order.py is not compiled")

from cython.cimports.cpython.array import array, resize_smart
from cython.cimports.cpython.bytes import (
    PyBytes_AS_STRING,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cython.cimports.cpython.dict import PyDict_GetItemWithError
from cython.cimports.cpython.float import PyFloat_AS_DOUBLE
from cython.cimports.cpython.list import PyList_GET_ITEM, PyList_GET_SIZE, PyList_Insert
from cython.cimports.cpython.object import PyObject
from cython.cimports.libc.stdio import snprintf
from cython.cimports.libc.string import memcmp, memcpy, memmove

from memdbd.core import order, python

_LONG = cython.declare(cython.Py_ssize_t, python.LONG)
_EXACT = cython.declare(cython.double, 1e15)  # integers up to which have all their digits


@cython.cclass
class Blocks:
    least = cython.declare(cython.Py_ssize_t, visibility="public")
    most = cython.declare(cython.Py_ssize_t, visibility="public")
    members = cython.declare(list, visibility="public")
    scores = cython.declare(list, visibility="public")
    tops = cython.declare(list, visibility="public")
    starts = cython.declare(list, visibility="public")

    def __init__(self, most: cython.Py_ssize_t) -> None:
        self.most = most
        self.least = most // 4
        self.members = []
        self.scores = []
        self.tops = []
        self.starts = [0]

    def add(self, score: cython.double, member: bytes) -> None:
        _add(self, score, member)

    def remove(self, score: cython.double, member: bytes) -> bytes:
        return _remove(self, score, member)

    def tied(self, score: cython.double, member: bytes, at: cython.Py_ssize_t) -> int:
        return _block(self, score, member)


@cython.cfunc
@cython.exceptval(-1)
def _add(blocks: Blocks, score: cython.double, member: bytes) -> cython.int:
    at: cython.Py_ssize_t = _block(blocks, score, member)
    is_last: cython.bint = at == PyList_GET_SIZE(blocks.tops)
    if is_last:
        if at == 0:
            order.replace(blocks, 0, 0, [member], order.array("d", [score]))
            return 0
        at -= 1
    members: list = blocks.members[at]
    scores: array = blocks.scores[at]
    size: cython.Py_ssize_t = PyList_GET_SIZE(members)
    place: cython.Py_ssize_t
    if is_last:
        place = size
        blocks.tops[at] = score
    else:
        place = _place(scores.data.as_doubles, members, score, member)
    resize_smart(scores, size + 1)
    begun: cython.p_double = scores.data.as_doubles + place
    memmove(begun + 1, begun, (size - place) * cython.sizeof(cython.double))
    begun[0] = score
    PyList_Insert(members, place, member)
    if size + 1 > blocks.most:
        order.replace(blocks, at, at + 1, members, scores)
    else:
        _forget(blocks, at)
    return 0


@cython.cfunc
@cython.boundscheck(True)  # whoever takes out what is not there, gets an error before any harm
def _remove(blocks: Blocks, score: cython.double, member: bytes) -> bytes:
    at: cython.Py_ssize_t = _block(blocks, score, member)
    members: list = blocks.members[at]
    scores: array = blocks.scores[at]
    size: cython.Py_ssize_t = PyList_GET_SIZE(members) - 1
    place: cython.Py_ssize_t = _place(scores.data.as_doubles, members, score, member)
    found: bytes = members[place]
    begun: cython.p_double = scores.data.as_doubles + place
    memmove(begun, begun + 1, (size - place) * cython.sizeof(cython.double))
    resize_smart(scores, size)
    del members[place]
    if size < blocks.least or size == place:
        order.mend(blocks, at)
    else:
        _forget(blocks, at)
    return found


@cython.cfunc
@cython.exceptval(check=False)
def _block(blocks: Blocks, score: cython.double, member: bytes) -> cython.Py_ssize_t:
    """The first block whose last entry is not before this one; their number, if there is none."""
    low: cython.Py_ssize_t = 0
    high: cython.Py_ssize_t = PyList_GET_SIZE(blocks.tops)
    middle: cython.Py_ssize_t
    top: cython.double
    members: list
    while low < high:
        middle = (low + high) // 2
        top = PyFloat_AS_DOUBLE(cython.cast(object, PyList_GET_ITEM(blocks.tops, middle)))
        members = cython.cast(list, cython.cast(object, PyList_GET_ITEM(blocks.members, middle)))
        if top < score or (
            top == score and _is_before(members, PyList_GET_SIZE(members) - 1, member)
        ):
            low = middle + 1
        else:
            high = middle
    return low


@cython.cfunc
@cython.exceptval(check=False)
def _place(
    scores: cython.p_double, members: list, score: cython.double, member: bytes
) -> cython.Py_ssize_t:
    """The first place of a block where there is no entry that is before this one."""
    low: cython.Py_ssize_t = 0
    high: cython.Py_ssize_t = PyList_GET_SIZE(members)
    middle: cython.Py_ssize_t
    while low < high:
        middle = (low + high) // 2
        if scores[middle] < score or (
            scores[middle] == score and _is_before(members, middle, member)
        ):
            low = middle + 1
        else:
            high = middle
    return low


@cython.cfunc
@cython.exceptval(check=False)
def _is_before(members: list, at: cython.Py_ssize_t, member: bytes) -> cython.bint:
    """Whether the member there is less than this one."""
    one: bytes = cython.cast(bytes, cython.cast(object, PyList_GET_ITEM(members, at)))
    if one is member:
        return False
    length: cython.Py_ssize_t = PyBytes_GET_SIZE(one)
    size: cython.Py_ssize_t = PyBytes_GET_SIZE(member)
    compared: cython.int = memcmp(
        PyBytes_AS_STRING(one), PyBytes_AS_STRING(member), min(length, size)
    )
    return compared < 0 or (compared == 0 and length < size)


@cython.cfunc
@cython.inline
@cython.exceptval(-1)
def _forget(blocks: Blocks, at: cython.Py_ssize_t) -> cython.int:
    if PyList_GET_SIZE(blocks.starts) > at + 1:
        del blocks.starts[at + 1 :]
    return 0


@cython.boundscheck(True)  # whoever made the run, made its requests
def put_many(
    scores: dict[bytes, float],
    blocks: Blocks | None,
    run: Sequence[Sequence[bytes]],
    given: list[float],
    effect: list[bytes],
) -> list[int]:
    replies: list = []
    words: list
    raw: bytes
    member: bytes
    known: cython.pointer(PyObject)
    old: cython.double = 0
    at: cython.Py_ssize_t
    for at in range(len(given)):
        request = run[at]
        words = request if type(request) is list else list(request)
        raw = words[2]
        member = words[3]
        score: float = given[at]
        known = PyDict_GetItemWithError(scores, member)
        if known is cython.NULL:
            replies.append(1)
        else:
            replies.append(0)
            old = cython.cast(object, known)
            if old == score:
                continue
        scores[member] = score
        effect.append(raw if _are_digits(raw) else b"%r" % score)
        effect.append(member)
        if blocks is not None:
            if known is not cython.NULL:
                member = _remove(blocks, old, member)
            _add(blocks, score, member)
    return replies


@cython.cfunc
@cython.exceptval(check=False)
def _are_digits(raw: bytes) -> cython.bint:
    at: cython.p_char = PyBytes_AS_STRING(raw)
    end: cython.p_char = at + PyBytes_GET_SIZE(raw)
    if at == end:
        return False
    while at < end:
        if cython.cast(cython.uint, at[0]) - 48 > 9:
            return False
        at += 1
    return True


# Replies


@cython.boundscheck(True)
def popped(replies: Sequence[Any], version: cython.int) -> list[bytes] | None:
    if type(replies) is not list:
        return order.popped(replies, version)
    all_of_them: list = replies
    encoded: list = []
    words: list
    digits: bytes
    score: cython.double
    size: cython.int
    text = cython.declare(cython.char[64])
    for reply in all_of_them:
        if type(reply) is not list:
            return None
        words = reply
        if len(words) == 0:
            encoded.append(b"*0\r\n")
            continue
        if len(words) != 2:
            return None
        member = words[0]
        if type(member) is not bytes or type(words[1]) is not float or len(member) >= _LONG:
            return None
        score = words[1]
        # As most are: exactly the digits that they have in Python, in a third of the time.
        if -_EXACT < score < _EXACT and score == cython.cast(cython.longlong, score) and score != 0:
            size = snprintf(text, 64, "%lld", cython.cast(cython.longlong, score))
            digits = text[:size]
        else:
            digits = b"%.17g" % score
        encoded.append(_entry(member, digits, version))
    return encoded


@cython.cfunc
def _entry(member: bytes, digits: bytes, version: cython.int) -> bytes:
    head = cython.declare(cython.char[64])
    behind = cython.declare(cython.char[64])
    size: cython.Py_ssize_t = PyBytes_GET_SIZE(member)
    length: cython.Py_ssize_t = PyBytes_GET_SIZE(digits)
    before: cython.Py_ssize_t = snprintf(
        head, 64, "*2\r\n$%lld\r\n", cython.cast(cython.longlong, size)
    )
    between: cython.Py_ssize_t
    if version == 2:
        between = snprintf(behind, 64, "\r\n$%lld\r\n", cython.cast(cython.longlong, length))
    else:
        between = snprintf(behind, 64, "\r\n,")
    encoded: bytes = PyBytes_FromStringAndSize(cython.NULL, before + size + between + length + 2)
    out: cython.p_char = PyBytes_AS_STRING(encoded)
    memcpy(out, head, before)
    out += before
    memcpy(out, PyBytes_AS_STRING(member), size)
    out += size
    memcpy(out, behind, between)
    out += between
    memcpy(out, PyBytes_AS_STRING(digits), length)
    out += length
    out[0] = b"\r"
    out[1] = b"\n"
    return encoded
