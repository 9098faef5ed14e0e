"""What a request costs, without a look at any clock: opcodes, calls and bytes, and their budget.

    PYTHONPATH=. python tests/cost.py              the table, and what is over its budget
    PYTHONPATH=. python tests/cost.py --record     makes it the budget, in tests/budget.json

Strategy. Requests go the whole way through a daemon in memory (a :class:`~harness.Stored`, whose
journal is a real file): bytes into ``dataReceived``, the end of the turn, bytes out. Meanwhile the
interpreter tells of each opcode and each call. Those count that are memdbd's own: an opcode of one
of its modules, a call from one or of one. What Twisted, the harness and the standard library do is
theirs, and differs by their versions; that they are called is ours. Then the same once more, with
tracemalloc: how many bytes were held at once at most. That sees into a compiled core as well, of
which opcodes and calls only show that it was called.

The same code costs the same, to the opcode; only so can a budget find a single look-up that nobody
needed. So nothing is left to chance: each measurement is a process of its own, with one hash seed
and without the collector; the daemon's time is a Clock that stands still, so that no slice ends and
no timer comes due; every request was run some times before, so that what is made once is there; all
requests of a kind are of one size, and so is what they find. Bytes are given some room: another
release of a library may have other objects.

Opcodes are others in each minor version of Python, and the budget has those that were recorded.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple, cast

from harness import FIRST_PORT, Stored, Wire

import memdbd
from memdbd import core
from memdbd.protocol import MemDBProtocol

BUDGET = Path(__file__).with_name("budget.json")
PYTHON = ".".join(platform.python_version_tuple()[:2])
CORES = ("python", "compiled")
OURS = str(Path(memdbd.__file__).parent) + os.sep

DEPTHS = (1, 16, 100)
WARM = 3  # times that a batch is run before it is measured
CONNECTIONS = 50  # of which the bytes of one are a share

UNSEEN = 0.05  # of a gain, below which it need not be recorded
ROOM = 0.02  # of bytes


class Cost(NamedTuple):
    """What a batch of requests costs, or a connection from its beginning to its first reply."""

    opcodes: int
    calls: int
    bytes: int  # at most at once, beyond those before; of a connection, those that it keeps


Costs = Mapping[str, Cost]  # by what it is that costs: "resp get x16"


# The meter


class Meter:
    """Counts the opcodes of our own code, and the calls from it and of it."""

    def __init__(self, ours: str = OURS) -> None:
        self.opcodes = self.calls = 0
        self._ours = ours  # what the paths of its files start with
        self._known: dict[CodeType, bool] = {}

    def opcodes_of(self, act: Callable[[], object]) -> int:
        """How many opcodes of ours are run."""
        self.opcodes = 0
        with self._traced() if sys.version_info < (3, 12) else self._monitored():
            act()
        return self.opcodes

    def calls_of(self, act: Callable[[], object]) -> int:
        """How many calls are made by us, or of us."""
        self.calls = 0
        sys.setprofile(self._called)
        try:
            act()
        finally:
            sys.setprofile(None)
        return self.calls

    def _is_ours(self, code: CodeType) -> bool:
        known = self._known.get(code)
        if known is None:
            known = self._known[code] = code.co_filename.startswith(self._ours)
        return known

    @contextmanager
    def _traced(self) -> Iterator[None]:
        sys.settrace(self._entered)
        try:
            yield
        finally:
            sys.settrace(None)

    def _entered(self, frame: FrameType, event: str, _: object) -> Any:
        if not self._is_ours(frame.f_code):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._stepped

    def _stepped(self, frame: FrameType, event: str, _: object) -> Any:
        if event == "opcode":
            self.opcodes += 1
        return self._stepped

    @contextmanager
    def _monitored(self) -> Iterator[None]:
        # From 3.12 on: there, a trace misses the opcodes of what is run for the first time.
        monitoring: Any = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
        tool, event = monitoring.PROFILER_ID, monitoring.events.INSTRUCTION

        def step(code: CodeType, offset: int) -> Any:
            if not self._is_ours(code):
                return monitoring.DISABLE  # of no other opcode, until that is undone
            self.opcodes += 1
            return None

        monitoring.use_tool_id(tool, "memdbd")
        monitoring.register_callback(tool, event, step)
        monitoring.set_events(tool, event)
        try:
            yield
        finally:
            monitoring.set_events(tool, 0)
            monitoring.register_callback(tool, event, None)
            monitoring.free_tool_id(tool)
            monitoring.restart_events()

    def _called(self, frame: FrameType, event: str, _: object) -> None:
        if event == "c_call":  # made by this frame
            self.calls += self._is_ours(frame.f_code)
        elif event == "call":  # of this frame; or it goes on, if it is a generator's
            by = frame.f_back
            self.calls += self._is_ours(frame.f_code) or (
                by is not None and self._is_ours(by.f_code)
            )


def held(act: Callable[[], object]) -> int:
    """Bytes that are held at most at once while something is done; tracemalloc is on."""
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    act()
    return tracemalloc.get_traced_memory()[1] - before


# What is measured


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


class Sink(Wire):
    """A socket whose peer takes all at once; what it was is kept where somebody looks at it."""

    keeps = True

    def writeSomeData(self, data: bytes) -> int | Exception:
        if self.keeps:
            self.taken += data
        return len(data)


class Scene:
    """A daemon with data, and one dialect's clients."""

    def __init__(self, directory: Path, dialect: str) -> None:
        self.dialect = dialect
        self._written = DIALECTS[dialect]
        self.stored = Stored(directory).start()
        self.house = self.stored.house
        self._turn = self.house.factory.turn
        self._number = 0  # of the next request
        self._wires: list[Sink] = []
        self._client = self._join()
        for words in FILLING:
            for number in range(THERE):
                self.turn(self._client, self._written(words(-number)))
        for _ in range(LISTENERS):
            self.turn(self._join(), self._written([b"subscribe", b"news"]))

    def _join(self) -> MemDBProtocol:
        wire = self.wire()
        self._wires.append(wire)
        return self.connect(wire)

    def wire(self) -> Sink:
        """A socket that somebody has connected."""
        return Sink(self.house.clock, FIRST_PORT)

    def connect(self, wire: Sink) -> MemDBProtocol:
        """A connection that has been answered once."""
        protocol = cast(MemDBProtocol, self.house.factory.buildProtocol(wire.getPeer()))
        wire.protocol = protocol
        protocol.makeConnection(wire)
        self.turn(protocol, self._written([b"ping"]))
        return protocol

    def turn(self, protocol: MemDBProtocol, data: bytes) -> None:
        """A turn of the reactor in which one socket has something, as the poll has it."""
        self._turn.begin()
        protocol.dataReceived(data)
        self._turn.end()

    def batch(self, case: Case, depth: int) -> Callable[[], None]:
        """So many requests in one piece, to be measured."""
        numbers = range(self._number, self._number + depth)
        self._number += depth
        data = b"".join(self._written(case.words(number)) for number in numbers)
        return partial(self.turn, self._client, data)

    def look(self, *, closely: bool) -> None:
        """Keep what the sockets take, or not."""
        for wire in self._wires:
            wire.keeps = closely
            wire.taken.clear()

    def check(self, case: Case, depth: int) -> None:
        """Run a batch, and see that it is answered as it ought to be: an error may be cheap."""
        self.look(closely=True)
        self.batch(case, depth)()
        mine, *others = (bytes(wire.taken) for wire in self._wires)
        self.look(closely=False)
        pattern = case.resp if self.dialect == "resp" else case.text
        assert re.fullmatch(b"(?:%s){%d}" % (pattern, depth), mine), mine
        assert all(heard.count(VALUE) == depth * bool(case.listeners) for heard in others), others


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


def _counted(scene: Scene, case: Case, depth: int) -> Cost:
    meter = Meter()
    for _ in range(WARM):
        scene.check(case, depth)
    opcodes = meter.opcodes_of(scene.batch(case, depth))
    calls = meter.calls_of(scene.batch(case, depth))
    tracemalloc.start()
    try:
        scene.batch(case, depth)()
        return Cost(opcodes, calls, held(scene.batch(case, depth)))
    finally:
        tracemalloc.stop()


def _connection(scene: Scene) -> Cost:
    meter = Meter()
    wires = [scene.wire() for _ in range(WARM + 2 + CONNECTIONS)]
    for wire in wires:
        wire.keeps = False
    connects = [partial(scene.connect, wire) for wire in wires]
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
                    found[f"{dialect} {case.name} x{depth}"] = _counted(there, case, depth)
            found[f"{dialect} connection"] = _connection(there)
    return found


# The budget


class NotThere(Exception):
    """A core that is not there to be measured, or a budget that was not recorded."""


def measured(of: str) -> Costs:
    """What everything costs with one of the CORES, in a process of its own."""
    path = os.pathsep.join([str(Path(memdbd.__file__).parents[1]), str(Path(__file__).parent)])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [sys.executable, "-m", "cost", "--measure"],
        env=kept | {"MEMDB_CORE": of, "PYTHONHASHSEED": "0", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        *_, last = done.stderr.strip().splitlines() or ["it says nothing"]
        if of == "compiled" and last.startswith("ImportError"):
            raise NotThere(last)
        raise AssertionError(done.stderr)
    return {name: Cost(*numbers) for name, numbers in json.loads(done.stdout).items()}


def budget(of: str, path: Path = BUDGET) -> Costs:
    """What everything may cost with one of the CORES, in this version of Python."""
    recorded = _recorded(path)
    if PYTHON not in recorded:
        raise NotThere(f"{path.name} has no budget for Python {PYTHON}, but for {[*recorded]}")
    assert of in recorded[PYTHON], f"{path.name} has no budget of the {of} core"
    return {name: Cost(*numbers) for name, numbers in recorded[PYTHON][of].items()}


def _recorded(path: Path) -> dict[str, dict[str, Costs]]:
    return json.loads(path.read_text()) if path.exists() else {}


def record(of: str, costs: Costs, path: Path = BUDGET) -> None:
    """Make costs the budget, and keep that of other cores and versions."""
    recorded = _recorded(path)
    recorded.setdefault(PYTHON, {})[of] = costs
    # A line for each, so that a change of the file can be read.
    lines = json.dumps(recorded, indent=1, sort_keys=True)
    path.write_text(
        re.sub(r"\[([^]]*)\]", lambda cell: f"[{' '.join(cell[1].split())}]", lines) + "\n"
    )


def dearer(costs: Costs, allowed: Costs) -> list[str]:
    """What costs more than it may, a line each; the worst first."""
    found = []
    for name, kind, now, most in _pairs(costs, allowed):
        if now > most + (ROOM * most if kind == "bytes" else 0):
            found.append((now / most, f"{name}: {_times(name, kind, now, most)}, over its budget"))
    return [line for _, line in sorted(found, reverse=True)]


def cheaper(costs: Costs, allowed: Costs) -> list[str]:
    """What costs so much less than it may that it is to be recorded."""
    return [
        f"{name}: {_times(name, kind, now, most)}, a gain that is not recorded"
        for name, kind, now, most in _pairs(costs, allowed)
        if now < most * (1 - UNSEEN)
    ]


def _pairs(costs: Costs, allowed: Costs) -> Iterator[tuple[str, str, int, int]]:
    for name in costs.keys() & allowed.keys():
        for kind, now, most in zip(Cost._fields, costs[name], allowed[name], strict=True):
            yield name, kind, now, most


def _times(name: str, kind: str, now: int, most: int) -> str:
    _, _, depth = name.rpartition(" x")
    many = int(depth) if depth.isdecimal() else 1
    each = " a request" if many > 1 else ""
    return f"{now / many:.6g} {kind}{each} in place of {most / many:.6g} ({now - most:+})"


def main() -> int:
    """The command line; gives 1 where something costs more than it may."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--record", action="store_true", help="make it the budget")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        assert os.environ["MEMDB_CORE"] == core.NAME
        json.dump(measure(), sys.stdout)
        return 0
    print(f"Python {PYTHON}, {OURS}")
    status = 0
    for of in CORES:
        try:
            costs = measured(of)
        except NotThere as missing:
            print(f"\n{of}: NOT MEASURED: {missing}")
            continue
        status |= _tell(of, costs, recording=options.record)
        if options.record:
            record(of, costs)
    return status


def _tell(of: str, costs: Costs, *, recording: bool) -> int:
    print(f"\n{of + ', a request':32}{'opcodes':>10}{'calls':>8}   bytes of the batch")
    for name, cost in costs.items():
        _, _, depth = name.rpartition(" x")
        many = int(depth) if depth.isdecimal() else 1
        print(f"{name:32}{cost.opcodes / many:10.1f}{cost.calls / many:8.1f}{cost.bytes:9}")
    try:
        allowed = budget(of)
    except (NotThere, AssertionError) as missing:
        print(missing)
        return 0
    over = dearer(costs, allowed)
    print(*over, *cheaper(costs, allowed), sep="\n")
    return 1 if over and not recording else 0


if __name__ == "__main__":
    sys.exit(main())
