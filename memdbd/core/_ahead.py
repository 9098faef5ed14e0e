# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, cdivision=True
"""A look ahead: what a run of requests will look up in a large dict or set is had from memory
before. It has no twin that does it in Python, where there is nothing that could be had earlier.

Theory of operation. Of a key in a large dict nothing is in the processor's cache: neither its place
in the table, nor the entry that is named there, nor that entry's key, nor its value. A look-up
waits for each of them in turn, and the next look-up for it: 0.5 us a key, where the system is
called in between. Here the first of them is asked for of all keys of a run, then the second of all,
and so on; none waits for another, and the look-ups that follow find all in the cache. For 27 GETs
of a turn, among 100,000 keys, that is 7 us in place of 17; for 100 of a pipeline, a third of all
that they cost.

For that, a dict's table is read as the interpreter lays it out: a head, places by the lower bits of
the hash, entries in the order in which they came. (A set's has the entries in their places.) That
is its own business, but it is the same in Python 3.11, 3.12 and 3.13; in any other, nothing is done
here. Nothing is written, and what is found is not used.

It is in Python's syntax, but only runs compiled. Imports nothing of memdbd.
"""

from __future__ import annotations

from collections.abc import Sequence

import cython

if not cython.compiled:
    raise ImportError("memdbd/core/_ahead.py is not compiled")

from cython.cimports.cpython.bytes import PyBytes_CheckExact
from cython.cimports.cpython.dict import PyDict_Check
from cython.cimports.cpython.object import PyObject, PyObject_Hash
from cython.cimports.cpython.set import PyAnySet_Check
from cython.cimports.cpython.version import PY_VERSION_HEX
from cython.cimports.libc.stdint import int32_t, uint8_t, uint32_t, uint64_t
from cython.cimports.memdbd.core._ahead import ask_for

# PyDictKeysObject, PyDictKeyEntry and PyDictObject.
_Table = cython.struct(
    references=cython.Py_ssize_t,
    log2_size=uint8_t,  # of the number of places
    log2_bytes=uint8_t,  # of what they take
    kind=uint8_t,
    version=uint32_t,
    usable=cython.Py_ssize_t,
    entries=cython.Py_ssize_t,
)
_Entry = cython.struct(hash=cython.size_t, key=cython.p_char, value=cython.p_char)
_Dict = cython.struct(
    references=cython.Py_ssize_t,
    type=cython.p_void,
    used=cython.Py_ssize_t,
    version=uint64_t,
    table=cython.pointer(_Table),
)
# setentry and PySetObject
_Member = cython.struct(key=cython.p_char, hash=cython.size_t)
_Set = cython.struct(
    references=cython.Py_ssize_t,
    type=cython.p_void,
    filled=cython.Py_ssize_t,
    used=cython.Py_ssize_t,
    mask=cython.size_t,
    table=cython.pointer(_Member),
)
_BYTES = cython.declare(cython.Py_ssize_t, 32)  # where those of a bytes object are
_OF_ANY_KEYS = cython.declare(cython.int, 0)  # a kind of table

# Without the lock of the interpreter, objects begin otherwise.
_is_known = cython.declare(
    cython.bint,
    0x030B0000 <= PY_VERSION_HEX < 0x030E0000
    and cython.sizeof(PyObject) == 2 * cython.sizeof(cython.p_void),
)

# What is small is mostly in the cache: a dict whose table has fewer places than 2 ** LEAST (up to
# 21,845 keys), a set whose table has no more (up to 39,321 members). Of a dict's table with fewer,
# and of one with more than 2 ** MOST, a place is a number of another size.
_LEAST = cython.declare(cython.int, 16)
_MOST = cython.declare(cython.int, 31)
_AT_ONCE = cython.declare(cython.Py_ssize_t, 64)


def ahead(where: object, run: Sequence[Sequence[bytes]], word: int, step: int = 0) -> int:
    """Have from memory what it takes to look up word number ``word`` of each of these requests in
    ``where``, and every ``step``-th behind it where that is not 0. Gives how many of them were
    found at the first look, which only a test needs."""
    if not _is_known or type(run) is not list:
        return 0
    is_dict: cython.bint = PyDict_Check(where)
    if not (_is_large_dict(where) if is_dict else PyAnySet_Check(where) and _is_large_set(where)):
        return 0
    words: list[object]
    hashes = cython.declare(cython.size_t[64])
    count: cython.Py_ssize_t = 0
    first: cython.Py_ssize_t = word
    further: cython.Py_ssize_t = step
    number: cython.Py_ssize_t
    hits: cython.Py_ssize_t = 0
    for request in cython.cast(list, run):
        if type(request) is not list:
            return hits
        words = request
        number = first
        while True:
            if number >= len(words) or not PyBytes_CheckExact(words[number]):
                return hits
            hashes[count] = PyObject_Hash(words[number])  # which it keeps
            count += 1
            if count == _AT_ONCE:
                hits += _looked_at(where, is_dict, hashes, count)
                count = 0
            number += further
            if further == 0 or number >= len(words):
                break
    return hits + _looked_at(where, is_dict, hashes, count)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _looked_at(
    where: object,
    is_dict: cython.bint,
    hashes: cython.pointer(cython.size_t),
    count: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    return _in_dict(where, hashes, count) if is_dict else _in_set(where, hashes, count)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _is_large_dict(where: object) -> cython.bint:
    table: cython.pointer(_Table) = _as_dict(where).table
    return table.kind == _OF_ANY_KEYS and _LEAST <= table.log2_size <= _MOST


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _is_large_set(where: object) -> cython.bint:
    return _as_set(where).mask >> _LEAST != 0


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _in_dict(
    where: object, hashes: cython.pointer(cython.size_t), count: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    table: cython.pointer(_Table) = _as_dict(where).table
    one: cython.size_t = 1
    mask: cython.size_t = (one << table.log2_size) - 1
    places: cython.pointer(int32_t) = cython.cast(cython.pointer(int32_t), table + 1)
    entries: cython.pointer(_Entry) = cython.cast(
        cython.pointer(_Entry), cython.cast(cython.p_char, places) + (one << table.log2_bytes)
    )
    found = cython.declare(cython.pointer(_Entry)[64])
    at: cython.Py_ssize_t
    place: int32_t
    hits: cython.Py_ssize_t = 0
    for at in range(count):
        ask_for(places + (hashes[at] & mask))
    for at in range(count):
        place = places[hashes[at] & mask]
        found[at] = entries + (place if place >= 0 else 0)
        ask_for(found[at])
    for at in range(count):
        if found[at].hash == hashes[at]:
            hits += 1
            ask_for(found[at].key)
            ask_for(found[at].key + _BYTES)  # mostly in another line of the cache
            ask_for(found[at].value)
    return hits


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _in_set(
    where: object, hashes: cython.pointer(cython.size_t), count: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    table: cython.pointer(_Member) = _as_set(where).table
    mask: cython.size_t = _as_set(where).mask
    member: cython.pointer(_Member)
    at: cython.Py_ssize_t
    hits: cython.Py_ssize_t = 0
    for at in range(count):
        ask_for(table + (hashes[at] & mask))
    for at in range(count):
        member = table + (hashes[at] & mask)
        if member.hash == hashes[at] and member.key is not cython.NULL:
            hits += 1
            ask_for(member.key)
            ask_for(member.key + _BYTES)
    return hits


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _as_dict(where: object) -> cython.pointer(_Dict):
    return cython.cast(cython.pointer(_Dict), cython.cast(cython.p_void, where))


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _as_set(where: object) -> cython.pointer(_Set):
    return cython.cast(cython.pointer(_Set), cython.cast(cython.p_void, where))
