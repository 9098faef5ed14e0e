"""The requests whose cost is told, and the daemon that answers them: see cost.py.

Nothing here waits, and nothing is left to chance. The daemon is a :class:`~harness.Stored`, whose
journal is a real file, and whose time is a Clock that stands still, so that no slice ends and no
timer comes due; requests come from a socket that its poll has ready, and go the whole way, to the
end of the turn and into the socket. Each was run some times before, so that what is made once is
there; all of a kind are of one size, and so is what they find.
"""

from __future__ import annotations

import gc
import os
import re
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from select import EPOLLIN
from typing import NamedTuple, cast

from harness import FIRST_PORT, Stored, Wire
from metering import Meter, held
from twisted.internet.task import Clock

import memdbd
from memdbd.protocol import MemDBProtocol

OURS = str(Path(memdbd.__file__).parent) + os.sep

DEPTHS = (1, 16, 100)
WARM = 3  # times that a batch is run before it is measured
CLIENTS = 10  # that ask in one turn, a request each
CONNECTIONS = 50  # of which the bytes of one are a share


class Cost(NamedTuple):
    """What a batch of requests costs, or a connection from its beginning to its first reply."""

    opcodes: int
    calls: int
    bytes: int  # at most at once, beyond those before; of a connection, those that it keeps


Costs = Mapping[str, Cost]  # by what it is that costs: "resp get x16"


class Case(NamedTuple):
    """A command, as requests that are all of one size."""

    name: str
    words: Callable[[int], list[bytes]]  # of a request, from its number
    resp: bytes  # a pattern of its reply
    text: bytes
    listeners: int = 0  # those who hear of it


def _key(number: int) -> bytes:
    return b"key:%03d" % (number % max(DEPTHS))


def _member(number: int) -> bytes:
    return b"element:%012d" % number


VALUE = b"a-value-of-24-characters"
LISTENERS = 10
ONE = (rb":1\r\n", rb'\{"result": 1\}\n')
THOUSANDS = (rb":\d{4}\r\n", rb'\{"result": \d{4}\}\n')

PING = Case("ping", lambda number: [b"ping"], rb"\+PONG\r\n", rb'\{"result": "PONG"\}\n')
GET = Case(
    "get",
    lambda number: [b"get", _key(number)],
    rb"\$24\r\n%s\r\n" % VALUE,
    rb'\{"result": "%s", "ttl_remaining": null\}\n' % VALUE,
)
SET = Case(
    "set", lambda number: [b"set", _key(number), VALUE], rb"\+OK\r\n", rb'\{"result": "OK"\}\n'
)
INCR = Case("incr", lambda number: [b"incr", b"counter"], *THOUSANDS)
# Each of these brings a member that was not there.
LPUSH = Case("lpush", lambda number: [b"lpush", b"list", _member(number)], *THOUSANDS)
SADD = Case("sadd", lambda number: [b"sadd", b"group", _member(number)], *ONE)
HSET = Case("hset", lambda number: [b"hset", b"record", _member(number), VALUE], *ONE)
ZADD = Case("zadd", lambda number: [b"zadd", b"board", b"%d" % (number % 9), _member(number)], *ONE)
PUBLISH = Case(
    f"publish to {LISTENERS}",
    lambda number: [b"publish", b"news", VALUE],
    rb":%d\r\n" % LISTENERS,
    rb'\{"result": "OK"\}\n',
    listeners=LISTENERS,
)
CASES = (PING, GET, SET, INCR, LPUSH, SADD, HSET, ZADD, PUBLISH)

# What is in each collection before: so many that none grows its table while it is measured, and
# that all counts have four digits.
THERE = 1400


def resp(words: list[bytes]) -> bytes:
    """A request in RESP."""
    parts = [b"$%d\r\n%s\r\n" % (len(word), word) for word in words]
    return b"*%d\r\n%s" % (len(words), b"".join(parts))


def text(words: list[bytes]) -> bytes:
    """A request in the text dialect."""
    return b" ".join(words) + b"\n"


DIALECTS: dict[str, Callable[[list[bytes]], bytes]] = {"resp": resp, "text": text}


class Plug(Wire):
    """A transport and its socket, which has what its peer has sent, and takes all that is sent to
    that; it is kept where somebody looks at it."""

    keeps = True

    def __init__(self, clock: Clock, number: int) -> None:
        super().__init__(clock, FIRST_PORT + number)
        self.come: list[bytes] = []
        self._number = number

    def fileno(self) -> int:
        return self._number

    def recv(self, size: int) -> bytes:
        return self.come.pop()

    def send(self, data: bytes) -> int:
        if self.keeps:
            self.taken += data
        return len(data)


class Ready:
    """An epoll, which is told what is ready."""

    def __init__(self) -> None:
        self.now: list[tuple[int, int]] = []

    def register(self, descriptor: int, events: int) -> None:
        pass

    def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
        ready, self.now = self.now, []
        return ready


class Scene:
    """A daemon with data, and one dialect's clients."""

    def __init__(self, directory: Path, dialect: str) -> None:
        self.dialect = dialect
        self._written = DIALECTS[dialect]
        self.stored = Stored(directory).start()
        self._house = self.stored.house
        self._poll = self._house.factory.poll
        self._ready = self._poll._epoll = Ready()
        self._number = 0  # of the next request
        self._plugs = [self.plug(number) for number in range(CLIENTS + LISTENERS)]
        self._clients, listeners = self._plugs[:CLIENTS], self._plugs[CLIENTS:]
        for client in self._clients:
            self.connect(client)
        for words in FILLING:
            for number in range(THERE):
                self.turn([self._clients[0]], [self._written(words(-number))])
        for listener in listeners:
            self.connect(listener)
            self.turn([listener], [self._written([b"subscribe", b"news"])])

    def plug(self, number: int) -> Plug:
        """A transport, whose connection is still to be made."""
        return Plug(self._house.clock, number)

    def connect(self, plug: Plug) -> None:
        """A connection that has been answered once."""
        protocol = cast(MemDBProtocol, self._house.factory.buildProtocol(plug.getPeer()))
        plug.protocol = protocol
        protocol.makeConnection(plug)
        self._poll.addReader(plug)
        self.turn([plug], [self._written([b"ping"])])

    def turn(self, plugs: list[Plug], data: list[bytes]) -> None:
        """A turn in which some sockets can be read, and what there is."""
        for plug, piece in zip(plugs, data, strict=True):
            plug.come.append(piece)
            self._ready.now.append((plug.fileno(), EPOLLIN))
        self._poll.doRead()

    def batch(self, case: Case, clients: int, depth: int) -> Callable[[], None]:
        """A turn with so many requests of each client, in one piece."""
        data = []
        for _ in range(clients):
            numbers = range(self._number, self._number + depth)
            self._number += depth
            data.append(b"".join(self._written(case.words(number)) for number in numbers))
        return partial(self.turn, self._clients[:clients], data)

    def look(self, *, closely: bool) -> None:
        """Keep what the sockets take, or not."""
        for plug in self._plugs:
            plug.keeps = closely
            plug.taken.clear()

    def check(self, case: Case, clients: int, depth: int) -> None:
        """Run a batch, and see that it is answered as it ought to be: an error may be cheap."""
        self.look(closely=True)
        self.batch(case, clients, depth)()
        taken = [bytes(plug.taken) for plug in self._plugs]
        self.look(closely=False)
        pattern = case.resp if self.dialect == "resp" else case.text
        for mine in taken[:clients]:
            assert re.fullmatch(b"(?:%s){%d}" % (pattern, depth), mine), mine
        for heard in taken[CLIENTS:]:
            assert heard.count(VALUE) == clients * depth * bool(case.listeners), heard


FILLING: list[Callable[[int], list[bytes]]] = [
    *(case.words for case in (SET, LPUSH, SADD, HSET, ZADD, INCR)),
]


@contextmanager
def scene(dialect: str) -> Iterator[Scene]:
    with tempfile.TemporaryDirectory() as directory:
        scene = Scene(Path(directory), dialect)
        scene.look(closely=False)
        gc.collect()
        gc.disable()
        try:
            yield scene
        finally:
            gc.enable()
            scene.stored.stop()


def _counted(scene: Scene, case: Case, clients: int, depth: int) -> Cost:
    meter = Meter(OURS)
    for _ in range(WARM):
        scene.check(case, clients, depth)
    opcodes = meter.opcodes_of(scene.batch(case, clients, depth))
    calls = meter.calls_of(scene.batch(case, clients, depth))
    tracemalloc.start()
    try:
        scene.batch(case, clients, depth)()
        return Cost(opcodes, calls, held(scene.batch(case, clients, depth)))
    finally:
        tracemalloc.stop()


def _connection(scene: Scene) -> Cost:
    meter = Meter(OURS)
    plugs = [scene.plug(number) for number in range(100, 100 + WARM + 2 + CONNECTIONS)]
    for plug in plugs:
        plug.keeps = False
    connects = [partial(scene.connect, plug) for plug in plugs]
    while len(connects) > 2 + CONNECTIONS:
        connects.pop()()
    opcodes = meter.opcodes_of(connects.pop())
    calls = meter.calls_of(connects.pop())
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for connect in connects:
            connect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return Cost(opcodes, calls, (after - before) // CONNECTIONS)


def measure() -> Costs:
    """What everything costs in this process."""
    found: dict[str, Cost] = {}
    for dialect in DIALECTS:
        with scene(dialect) as there:
            for case in CASES:
                for depth in DEPTHS:
                    found[f"{dialect} {case.name} x{depth}"] = _counted(there, case, 1, depth)
                name = f"{dialect} {case.name}, of clients x{CLIENTS}"
                found[name] = _counted(there, case, CLIENTS, 1)
            found[f"{dialect} connection"] = _connection(there)
    return found
