"""What has to be in a server before it is measured, by names that redis-benchmark uses.

A :class:`Stock` is one kind of it and how much; :func:`stock` makes it be there and nothing else,
over one connection and in deep pipelines, and does nothing where it is there already.
"""

from __future__ import annotations

import socket
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from benchmarks import load
from benchmarks.servers import Server

PAUSE = 0.02  # seconds, in which a server at rest uses less than a tenth of its core
BATCH = 1000  # requests at a time
MANY = 100  # elements that one request brings

Fill = Callable[["Stock"], Iterator[bytes]]


@dataclass(frozen=True)
class Stock:
    """What is in a server: so many of a kind, with values of so many bytes."""

    kind: str = "nothing"
    count: int = 0
    size: int = 3


def _strings(stock: Stock) -> Iterator[bytes]:
    value = b"x" * stock.size
    head = b"*3\r\n$3\r\nSET\r\n$16\r\nkey:%012d\r\n" + b"$%d\r\n%s\r\n" % (len(value), value)
    return (head % number for number in range(stock.count))


def _counters(stock: Stock) -> Iterator[bytes]:
    return (load.resp(b"SET", b"counter:%012d" % it, b"0") for it in range(stock.count))


def _elements(command: bytes, key: bytes, *extra: bytes, after: bytes | None = None) -> Fill:
    """Elements of one key, a hundred in a request: each with ``extra`` before, ``after`` behind."""

    def fill(stock: Stock) -> Iterator[bytes]:
        for first in range(0, stock.count, MANY):
            words = [command, key]
            for number in range(first, min(first + MANY, stock.count)):
                words += [*(it % number if b"%" in it else it for it in extra)]
                words += [b"element:%012d" % number]
                words += [] if after is None else [after]
            yield load.resp(*words)

    return fill


def _list(stock: Stock) -> Iterator[bytes]:
    value = b"x" * stock.size
    for first in range(0, stock.count, MANY):
        values = [value] * min(MANY, stock.count - first)
        yield load.resp(b"RPUSH", b"mylist", *values)


KINDS: dict[str, Fill] = {
    "nothing": lambda stock: iter(()),
    "strings": _strings,
    "counters": _counters,
    "list": _list,
    "set": _elements(b"SADD", b"myset"),
    "hash": _elements(b"HSET", b"myhash", after=b"xxx"),
    "sorted set": _elements(b"ZADD", b"myzset", b"%012d"),
}

_in: weakref.WeakKeyDictionary[Server, Stock] = weakref.WeakKeyDictionary()


def stock(server: Server, wanted: Stock, *, anew: bool = False) -> None:
    """Make ``wanted`` be there and nothing else; ``anew``: what is there has been used up."""
    if _in.get(server) == wanted and not anew:
        return
    _in.pop(server, None)
    with server.connect() as connection:
        connection.settimeout(60)
        connection.sendall(load.resp(b"FLUSHALL"))
        if not (reply := connection.recv(1000)).startswith(b"+OK"):
            raise ValueError(f"FLUSHALL: {reply!r}")
        send(connection, KINDS[wanted.kind](wanted), newlines=1)
    rest(server)
    _in[server] = wanted


def rest(server: Server) -> None:
    """Wait until it has nothing more to do: memdbd frees what was flushed little by little.

    That would be taken for what the first requests cost: 46 µs an LPUSH in place of 21.
    """
    for _ in range(250):
        used = server.cpu()
        time.sleep(PAUSE)
        if server.cpu() - used < PAUSE / 10:
            return
    raise ValueError("the server does not come to rest")


def send(connection: socket.socket, requests: Iterator[bytes], newlines: int) -> None:
    """All of them, each of which is answered in so many lines, in batches.

    Raises ValueError if an answer was an error.
    """
    while batch := list(islice(requests, BATCH)):
        connection.sendall(b"".join(batch))
        load.await_replies(connection, len(batch) * newlines, no_errors=True)
