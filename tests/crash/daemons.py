"""The daemon on a :class:`~crash.disk.CrashDisk`, with clients, driven turn by turn.

The store, its services and the protocol are the real ones, in a :class:`~harness.House`; the
compactor is called in place of its process. What a thread would do is done in between the turns:
``lag`` turns after it was asked for, or at once and only told of so many turns later (``early``).
Without ``saves_at_end`` it stops with nothing but the journal.

``writer`` sets the key n to the next number in each turn, so that its reply, another client's GET,
and a message each tell which turn somebody knows of.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from crash.disk import DIRECTORY, CrashDisk
from crash.promises import Story, state_of_contents
from harness import House, Peer
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

COUNTER = b"n"


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no start of a daemon tidy all memory up: there are thousands of them."""
    nothing = SimpleNamespace(collect=_not, freeze=_not)
    monkeypatch.setattr("memdbd.storage.gc", nothing)


def _not(*_: object) -> None:
    pass


class _Work:
    """Something that a thread is to do, and then to tell."""

    def __init__(self, function: Callable[[], Any], turns: int) -> None:
        self.function = function
        self.told: Deferred[Any] = Deferred()
        self.turns = turns
        self.result: Any = None
        self.is_done = False

    def do(self) -> None:
        self.is_done = True
        try:
            self.result = self.function()
        except Exception:
            self.result = Failure()


class Hearer:
    """Reads what was handed to a client's transport, line by line."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self._seen = 0
        self._rest = b""

    def news(self) -> Iterator[dict[str, Any]]:
        wire = self.peer.wire
        sent = bytes(wire.taken + wire.untaken)
        *lines, self._rest = (self._rest + sent[self._seen :]).split(b"\n")
        self._seen = len(sent)
        for line in lines:
            yield json.loads(line)


class Daemon:
    """One life of it. ``start`` raises StorageError as the service does."""

    def __init__(
        self,
        disk: CrashDisk,
        story: Story,
        *,
        durability: str,
        lag: int = 0,
        early: bool = False,
        saves_at_end: bool = True,
    ) -> None:
        self.disk = disk
        self.story = story
        self.errors: list[str] = []  # that clients got for writes
        self._lag = lag
        self._early = early
        self._works: list[_Work] = []
        self._turn_of: dict[int, int] = {}  # of each value of the counter
        self._count = 0
        self.house = House(
            disk,
            self._in_thread,
            data_dir=DIRECTORY,
            durability=durability,
            snapshot_interval=3600.0 if saves_at_end else 0.0,
        )
        self.storage = self.house.parts.storage
        turn = self.house.factory.turn
        self._commit = turn.commit
        turn.commit = self._observed_commit
        self._connect()
        self._is_late = False
        story.now = self.house.clock.seconds

    def start(self) -> None:
        self.storage.startService()
        first = int(self._values().get(COUNTER, b"0"))
        self._turn_of[first] = len(self.story.states) - 1
        self._count = first

    def _connect(self) -> None:
        connect = self.house.connect
        self.writer, self.other = Hearer(connect()), Hearer(connect())
        self.reader, self.subscriber = Hearer(connect()), Hearer(connect())
        self.subscriber.peer.sends(b"subscribe news\n")

    # A turn

    def turn(self, *requests: bytes) -> None:
        """One turn, in which the counter goes up and another client sends these requests."""
        self._reconnect()
        self._count += 1
        count = self._count
        self.writer.peer.sends(b"multi\nset n %d\npublish news %d\nget n\nexec\n" % (count, count))
        if requests:
            self.other.peer.sends(b"".join(request + b"\n" for request in requests))
        self.passes()

    def reads(self) -> None:
        self._reconnect()
        self.reader.peer.sends(b"get n\n")
        self.passes()

    def asks(self, request: bytes) -> dict[str, Any] | None:
        """What a client is told that has just come; None where that is nothing."""
        hearer = Hearer(self.house.connect())
        hearer.peer.sends(request + b"\n")
        self.settle()
        replies = [*hearer.news()]
        hearer.peer.vanishes()
        return replies[0] if replies else None

    def passes(self) -> None:
        """One turn, in which nobody sends anything."""
        for peer in self.house.peers:
            if peer.wire.writing and not peer.closed:
                peer.wire.take(len(peer.wire.untaken))  # or its next request would wait a turn
        self.house.turn()
        for work in () if self._is_late else self._works.copy():
            if work.is_done or work.turns <= 0:
                if not work.is_done:
                    work.do()
                if work.turns <= 0:
                    self._works.remove(work)
                    work.told.callback(work.result)
            elif self._early:
                work.do()
            work.turns -= 1
        self.listen()

    @contextmanager
    def late(self) -> Iterator[None]:
        """No thread gets anything done meanwhile."""
        self._is_late = True
        yield
        self._is_late = False

    def settle(self) -> None:
        """Turns until nothing is left to do."""
        while self.house.turn() or self._works:
            self.passes()
        self.listen()

    def seconds(self, count: int) -> None:
        """Time goes by, and everything that is due is done."""
        for _ in range(count):
            self.settle()
            self.house.clock.passes(1.0)
            self.settle()

    def saves(self) -> None:
        """A new segment, and a snapshot of what is before it."""
        self.storage.save()

    def stop(self) -> None:
        self._write_state()
        stopped = self.storage.stopService()
        for _ in range(200):
            if stopped.called:
                break
            self.passes()
        assert stopped.called
        stopped.addErrback(lambda failure: failure.raiseException())

    # What is told

    def listen(self) -> None:
        """Hear what was handed to the clients' transports."""
        story = self.story
        for line in self.writer.news():
            result = line.get("result")
            if isinstance(result, list):
                story.hear(self._turn(result[-1]["result"]))
            elif "error" in line:
                self.errors.append(line["error"])
        for line in self.reader.news():
            if line.get("result") is not None:
                story.hear(self._turn(line["result"]))
        for line in self.subscriber.news():
            if "message" in line:
                story.hear(self._turn(line["message"]))
        for _ in self.other.news():
            pass

    def _turn(self, count: str) -> int:
        """The turn that has brought the counter to this, or beyond it in the same frame; one that
        no disk can have where nobody was to hear of it yet."""
        brought = [turn for value, turn in self._turn_of.items() if value >= int(count)]
        return min(brought, default=len(self.story.states))

    def _reconnect(self) -> None:
        """Clients that were sent away come back."""
        if any(hearer.peer.closed for hearer in (self.writer, self.other, self.reader)):
            self._connect()

    def _observed_commit(self) -> bool:
        self._write_state()
        return self._commit()

    def _write_state(self) -> None:
        if self.house.engine.changes.effects:
            databases = self.house.engine.databases
            contents = {each.index: (each.values, each.deadlines) for each in databases}
            turn = self.story.did(state_of_contents(contents))
            self._turn_of[int(self._values().get(COUNTER, b"0"))] = turn

    def _values(self) -> dict[bytes, Any]:
        return self.house.engine.databases[0].values

    def _in_thread(self, function: Callable[[], Any]) -> Deferred[Any]:
        self._works.append(_Work(function, self._lag))
        return self._works[-1].told
