# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, cdivision=True
"""The compiled lanes: the classes and functions of ``lanes.py``, in C that Cython makes of this.

Strategy. What each promises is said in lanes.py. Sockets are read and written by the system's own
calls, into one buffer for all: what a call by way of the socket's methods takes beside those is 0.2
us. While the loops run, nothing else does that could close a socket: no descriptor can become
another's. What is no socket of the system's, is asked by its methods.

It is in Python's syntax, but only runs compiled. May import: core.lanes, core._compiled,
core._parsing, core._text.
"""

from __future__ import annotations

import socket as sockets
from os import strerror
from typing import Any

import cython

if not cython.compiled:
    raise ImportError("memdbd/core/_lanes.py is not compiled")

from cython.cimports.cpython.bytes import (
    PyBytes_AS_STRING,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cython.cimports.cpython.dict import PyDict_GetItemWithError
from cython.cimports.cpython.object import PyObject
from cython.cimports.libc.errno import errno
from cython.cimports.posix.unistd import read, write

from memdbd.core import lanes as python
from memdbd.core._compiled import alike
from memdbd.core._parsing import requests
from memdbd.core._text import lines

_AMOUNT = cython.declare(cython.Py_ssize_t, python.AMOUNT)
_MOST_OF_LINES = cython.declare(cython.Py_ssize_t, python.MOST_OF_LINES)
_MOST_OF_ONE = cython.declare(object, python.MOST_OF_ONE)
_MOST_OF_ALL = cython.declare(cython.Py_ssize_t, python.MOST_OF_ALL)
_MOST_GROUPS = cython.declare(cython.Py_ssize_t, python.MOST_GROUPS)
_alike = cython.declare(object, alike)
_lines = cython.declare(object, lines)
_requests = cython.declare(object, requests)
_buffer = cython.declare(cython.char[81920])

if python.AMOUNT > 81920:
    raise ImportError("the buffer of memdbd/core/_lanes.py is too small")


@cython.cclass
class Group:
    command = cython.declare(object, visibility="public")
    counts = cython.declare(list, visibility="public")
    lanes = cython.declare(list, visibility="public")
    run = cython.declare(list, visibility="public")
    least = cython.declare(cython.Py_ssize_t, visibility="public")
    most = cython.declare(cython.Py_ssize_t, visibility="public")
    spoiled = cython.declare(cython.bint, visibility="public")

    def __init__(self, command: Any, least: int, most: int) -> None:
        self.command = command
        self.least = least
        self.most = most
        self.clear()

    def clear(self) -> None:
        self.lanes = []
        self.counts = []
        self.run = []
        self.spoiled = False


@cython.cclass
class Lane:
    active = cython.declare(cython.double, visibility="public")
    connection = cython.declare(object, visibility="public")
    descriptor = cython.declare(cython.int)  # less than 0: it is for the methods
    group = cython.declare(Group, visibility="public")
    groups = cython.declare(object, visibility="public")
    idle = cython.declare(cython.bint, visibility="public")
    is_clear = cython.declare(cython.bint, visibility="public")
    receive = cython.declare(object, visibility="public")
    send = cython.declare(object, visibility="public")
    session = cython.declare(object, visibility="public")
    usual = cython.declare(object, visibility="public")

    def __init__(self, connection: Any, session: Any) -> None:
        self.connection = connection
        self.session = session
        self.descriptor = -1

    def attach(self, socket: Any) -> None:
        self.receive, self.send = socket.recv, socket.send
        if isinstance(socket, sockets.socket):
            self.descriptor = socket.fileno()

    def close(self) -> None:
        self.is_clear = False
        self.groups = None
        self.spoil()

    def spoil(self) -> None:
        if self.group is not None:
            self.group.spoiled = True


def take_in(
    ready: list, lanes: dict, began: cython.double, most: cython.Py_ssize_t, begun: list
) -> tuple[int, list]:
    size: cython.Py_ssize_t = 0
    got: cython.Py_ssize_t
    rest: list = []
    lane: Lane
    event: tuple
    data: bytes
    found: cython.pointer(PyObject)
    for event in ready:
        descriptor = event[0]
        found = PyDict_GetItemWithError(lanes, descriptor)
        if found is cython.NULL:
            rest.append((descriptor, None, None, None))
            continue
        lane = cython.cast(object, found)
        if lane.groups is None or not lane.idle:
            rest.append((descriptor, None, None, None))
            continue
        if lane.descriptor >= 0:
            got = read(lane.descriptor, _buffer, _AMOUNT)
            if got < 0:
                rest.append((descriptor, lane, OSError(errno, strerror(errno)), None))
                continue
            data = PyBytes_FromStringAndSize(_buffer, got)
        else:
            try:
                data = lane.receive(_AMOUNT)
            except OSError as error:
                rest.append((descriptor, lane, error, None))
                continue
        size += len(data)
        lane.active = began
        try:
            left = take(lane, data, most, begun)
        except Exception:  # a defect, which its connection meets again, and nobody else
            left = None
        if left is not True:
            rest.append((descriptor, lane, data, left))
    return size, rest


@cython.ccall
def take(lane: Lane, data: bytes, most: cython.Py_ssize_t, begun: list) -> object:
    size: cython.Py_ssize_t = PyBytes_GET_SIZE(data)
    found: list
    if size > most or (lane.usual is not None and size > _MOST_OF_LINES):
        return None
    both: tuple
    if lane.usual is None:
        both = _requests(data)
    else:
        both = _lines(data, lane.usual, _MOST_OF_ONE)
    if cython.cast(cython.Py_ssize_t, both[1]) != size:
        return None
    found = both[0]
    count: cython.Py_ssize_t = len(found)
    if count != 1 and (
        count == 0 or cython.cast(cython.Py_ssize_t, _alike(found, 0, _MOST_OF_ONE)) != count
    ):
        return found
    words: list = found[0]
    place: cython.pointer(PyObject) = PyDict_GetItemWithError(lane.groups, words[0])
    if place is cython.NULL:
        return found
    group: Group = cython.cast(object, place)
    if not group.least <= len(words) <= group.most:
        return found
    if not group.lanes:
        if len(begun) >= _MOST_GROUPS:
            return found
        begun.append(group)
    if count == 1:
        group.run.append(words)
    else:
        if len(group.run) + count > _MOST_OF_ALL:
            return found
        group.run.extend(found)
    group.lanes.append(lane)
    group.counts.append(count)
    lane.group = group
    lane.idle = False
    return True


def answered(lanes: list, command: Any) -> None:
    lane: Lane
    for lane in lanes:
        lane.group = None
        lane.idle = True
        lane.session.last = command


def send_each(lanes: list, lines: list) -> list:
    rest: list = []
    lane: Lane
    line: bytes
    at: cython.Py_ssize_t
    if len(lanes) != len(lines):
        raise ValueError("there are not as many lines as lanes")
    for at in range(len(lanes)):
        lane = lanes[at]
        line = lines[at]
        _send(lane, line, rest)
    return rest


def send_all(lanes: list, line: bytes) -> list:
    rest: list = []
    lane: Lane
    for lane in lanes:
        _send(lane, line, rest)
    return rest


@cython.cfunc
@cython.inline
def _send(lane: Lane, line: bytes, rest: list) -> cython.int:
    """Send a line, and append to ``rest`` what is left of it."""
    sent: cython.Py_ssize_t = 0
    if lane.is_clear:
        if lane.descriptor >= 0:
            sent = write(lane.descriptor, PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line))
            if sent < 0:
                sent = 0
        else:
            try:
                sent = lane.send(line)
            except OSError:
                sent = 0
    if sent != PyBytes_GET_SIZE(line):
        rest.append((lane, line[sent:]))
    return 0
