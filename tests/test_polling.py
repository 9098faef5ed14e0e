"""The poll of our own: what Twisted's reactors do with a socket that can be read, done in one loop,
on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import select
import socket
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from harness import PATIENCE
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.pollreactor import PollReactor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.selectreactor import SelectReactor
from twisted.internet.tcp import Server
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from zope.interface import implementer

from memdbd.core import Lane, Rest, take_in
from memdbd.polling import LONG, STRETCH, Poll
from memdbd.turn import Turn

USUAL = 64 * 1024  # bytes that are read at once


class Visitor(Protocol):
    """A connection that writes down what becomes of it, and has its socket read by the poll."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.name = "abcdefgh"[len(room.visitors) % 8]
        self.got = b""
        self.lost: type[BaseException] | None = None
        self.then: Callable[[bytes], object] = lambda data: None
        room.visitors.append(self)

    def connectionMade(self) -> None:
        self.room.poll.adopt(self.transport)

    def dataReceived(self, data: bytes) -> None:
        self.got += data
        self.room.record.append(self.name)
        self.then(data)

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        self.lost = reason.type
        self.room.record.append(f"{self.name} lost")


@implementer(IHalfCloseableProtocol)
class Listener(Visitor):
    """One that goes on when its peer has nothing more to say."""

    def readConnectionLost(self) -> None:
        self.room.record.append(f"{self.name} has heard all")

    def writeConnectionLost(self) -> None:
        """Of no interest."""


class Nobody:
    """Where nobody's requests are gathered, since nobody has a lane."""

    def take_in(self, ready: list[tuple[int, int]], lanes: dict[int, Lane]) -> list[Rest]:
        return take_in(ready, lanes, 0.0, 0, [])[1]


class Room:
    """A reactor with a poll, whose turns are written down, and a port."""

    def __init__(self, reactor: Any, kind: type[Visitor] = Visitor) -> None:
        self.reactor = reactor
        self.now = 0.0
        self.record: list[str] = []
        self.visitors: list[Visitor] = []
        self.callers: list[socket.socket] = []
        self.turn = Turn(reactor, lambda: self.now)
        self.turn.commit = self._commit
        self.poll = Poll(reactor, self.turn, Nobody(), lambda: self.now)
        self.factory = Factory.forProtocol(lambda: kind(self))
        self.factory.noisy = False

    def _commit(self) -> bool:
        self.record.append("end")
        return True

    def opens(self, count: int = 1) -> list[tuple[socket.socket, Visitor]]:
        """New connections: their peers' sockets, and themselves."""
        port = self.reactor.listenTCP(0, self.factory, interface="127.0.0.1")
        before = len(self.visitors)
        for _ in range(count):
            self._calls(socket.create_connection(("127.0.0.1", port.getHost().port)))
        return self._came(before, count)

    def opens_unix(self, path: Path, count: int) -> list[tuple[socket.socket, Visitor]]:
        """The same over a socket of the file system."""
        self.reactor.listenUNIX(str(path), self.factory)
        before = len(self.visitors)
        for _ in range(count):
            caller = socket.socket(socket.AF_UNIX)
            caller.connect(str(path))
            self._calls(caller)
        return self._came(before, count)

    def _calls(self, caller: socket.socket) -> None:
        caller.settimeout(PATIENCE)
        self.callers.append(caller)

    def _came(self, before: int, count: int) -> list[tuple[socket.socket, Visitor]]:
        self.until(lambda: len(self.visitors) == before + count)
        self.record.clear()
        return list(zip(self.callers[before:], self.visitors[before:], strict=True))

    def until(self, happens: Callable[[], object]) -> None:
        """Have the reactor do its work until something is so."""
        for _ in range(1000):
            if happens():
                return
            self.reactor.iterate(0.01)
        raise AssertionError("it does not happen")

    def close(self) -> None:
        for caller in self.callers:
            caller.close()
        with capturedLogs():
            self.reactor.disconnectAll()
        self.reactor.waker.connectionLost(None)
        with contextlib.suppress(AttributeError):
            self.reactor._poller.close()
        with contextlib.suppress(AttributeError):
            self.reactor._asyncioEventloop.close()


REACTORS: dict[str, Callable[[], Any]] = {
    "epoll": EPollReactor,
    "poll": PollReactor,
    "select": SelectReactor,
    "asyncio": lambda: AsyncioSelectorReactor(asyncio.new_event_loop()),
}


@pytest.fixture
def room() -> Iterator[Room]:
    room = Room(EPollReactor())
    yield room
    room.close()


@pytest.fixture
def hall() -> Iterator[Room]:
    """A room whose connections go on when their peers have nothing more to say."""
    room = Room(EPollReactor(), Listener)
    yield room
    room.close()


@pytest.mark.parametrize("kind", REACTORS)
def test_any_reactor_has_all_sockets_that_are_ready_read_in_one_turn(kind: str) -> None:
    room = Room(REACTORS[kind]())
    pairs = room.opens(3)
    for caller, _ in pairs:
        caller.sendall(b"hello")
    room.until(lambda: room.record)
    assert room.record == ["a", "b", "c", "end"]
    for caller, visitor in pairs:
        transport: Any = visitor.transport
        transport.write(b"bye")
        transport.loseConnection()
        room.until(partial(_has_come, caller))
        assert caller.recv(10) == b"bye"
    room.until(lambda: all(visitor.lost for _, visitor in pairs))
    room.close()


def test_a_socket_of_the_file_system_is_read_as_any_other(room: Room, tmp_path: Path) -> None:
    pairs = room.opens_unix(tmp_path / "sock", 2)
    for caller, _ in pairs:
        caller.sendall(b"hello")
    room.until(lambda: room.record)
    assert room.record == ["a", "b", "end"]
    pairs[0][0].close()
    room.until(lambda: pairs[0][1].lost)
    assert pairs[1][1].lost is None


def test_descriptors_beyond_those_that_select_knows_are_read(room: Room) -> None:
    ours, caller = socket.socketpair()
    high = socket.socket(fileno=fcntl.fcntl(ours.fileno(), fcntl.F_DUPFD_CLOEXEC, 1500))
    ours.close()
    visitor = Visitor(room)
    transport = Server(high, visitor, ("127.0.0.1", 1), None, 1, room.reactor)  # type: ignore[arg-type]
    visitor.makeConnection(transport)
    assert transport.fileno() >= 1500
    caller.sendall(b"hello")
    room.until(lambda: visitor.got)
    caller.close()
    room.until(lambda: visitor.lost)
    assert transport not in room.poll.getReaders()


class TestSomethingLong:
    """By sockets of the file system, where what is sent is there at once."""

    def test_is_read_by_more_once_if_somebody_has_said_so(self, room: Room, tmp_path: Path) -> None:
        long, usual = self.begun(room, tmp_path, [True, False])
        room.until(lambda: len(long) == 1 and len(usual) > 1)
        self.sends_much(room.callers[0])
        room.until(lambda: len(long) > 1)
        assert USUAL < long[0] <= LONG
        assert max(long[1:] + usual) <= USUAL

    def test_is_that_of_so_many_in_a_turn(
        self, room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("memdbd.polling.LONG_AT_ONCE", 2)
        reads = self.begun(room, tmp_path, [True, True, True])
        room.until(lambda: all(reads))
        assert [each[0] > USUAL for each in reads] == [True, True, False]

    def begun(self, room: Room, path: Path, expected: list[bool]) -> list[list[int]]:
        """The sizes of what is read of who sends much, where it is expected or not."""
        pairs = room.opens_unix(path / "sock", len(expected))
        reads: list[list[int]] = [[] for _ in expected]
        for (caller, visitor), is_expected, sizes in zip(pairs, expected, reads, strict=True):
            visitor.then = partial(_note_size, sizes)
            if is_expected:
                room.poll.expect_long(visitor.transport)
            self.sends_much(caller)
        return reads

    def sends_much(self, caller: socket.socket) -> None:
        caller.setblocking(False)
        assert caller.send(b"x" * 1_000_000) > 2 * USUAL

    def test_is_no_matter_of_a_transport_that_is_not_read_here(self, room: Room) -> None:
        room.poll.expect_long(StringTransport())


def _note_size(sizes: list[int], data: bytes) -> None:
    sizes.append(len(data))


class TestATurn:
    def test_ends_though_one_of_its_connections_raises_which_ends_that_one_alone(
        self, room: Room
    ) -> None:
        pairs = room.opens(3)

        def fails(data: bytes) -> None:
            raise ZeroDivisionError

        pairs[1][1].then = fails
        for caller, _ in pairs:
            caller.sendall(b"hello")
        with capturedLogs() as events:
            room.until(lambda: "end" in room.record)
        assert room.record == ["a", "b", "b lost", "c", "end"]
        assert pairs[1][1].lost is ZeroDivisionError
        assert [event["log_failure"].type for event in events] == [ZeroDivisionError]

    def test_does_not_read_who_was_ended_in_it_by_another(self, room: Room) -> None:
        pairs = room.opens(3)
        others = [pairs[1][1], pairs[2][1]]
        pairs[0][1].then = lambda data: [each.transport.abortConnection() for each in others]  # type: ignore[union-attr]
        for caller, _ in pairs:
            caller.sendall(b"hello")
        room.until(lambda: all(each.lost for each in others))
        assert room.record == ["a", "end", "b lost", "c lost"]
        assert [each.got for each in others] == [b"", b""]

    def test_takes_nobody_for_one_that_was_lost_in_it_whose_descriptor_he_has(
        self, room: Room
    ) -> None:
        pairs = room.opens(2)
        gone = pairs[1][1]
        ours, theirs = socket.socketpair()
        heir: list[Any] = []

        def replaces(data: bytes) -> None:
            transport: Any = gone.transport
            was = transport.fileno()
            transport.connectionLost(Failure(ConnectionLost()))
            # As dup does it: the least that is free.
            same = socket.socket(fileno=fcntl.fcntl(ours.fileno(), fcntl.F_DUPFD_CLOEXEC, was))
            assert same.fileno() == was
            visitor = Visitor(room)
            visitor.makeConnection(
                Server(same, visitor, ("127.0.0.1", 1), None, 1, room.reactor)  # type: ignore[arg-type]
            )
            heir.append(visitor)

        pairs[0][1].then = replaces
        for caller, _ in pairs:
            caller.sendall(b"hello")
        room.until(lambda: "end" in room.record)
        assert room.record == ["a", "b lost", "end"]
        assert heir[0].lost is None
        theirs.sendall(b"hello")
        room.until(lambda: heir[0].got)
        ours.close()
        theirs.close()

    def test_gathers_unless_a_commit_is_under_way(self, room: Room) -> None:
        ((caller, visitor),) = room.opens()
        seen: list[bool] = []
        visitor.then = lambda data: seen.append(room.turn.gathers)
        caller.sendall(b"hello")
        room.until(lambda: seen)
        room.turn.is_held = True
        caller.sendall(b" again")
        room.until(lambda: len(seen) == 2)
        assert seen == [True, False]

    def test_that_cannot_be_ended_loses_nobody(self, room: Room) -> None:
        ((caller, visitor),) = room.opens()
        room.turn.gathered = lambda: 1 // 0
        caller.sendall(b"hello")
        with capturedLogs() as events:
            room.until(lambda: visitor.got)
        assert [event["log_failure"].type for event in events] == [ZeroDivisionError]
        room.turn.gathered = lambda: None
        caller.sendall(b" again")
        room.until(lambda: visitor.got == b"hello again")
        assert visitor.lost is None

    def test_follows_another_while_there_is_something_to_read_but_not_for_long(
        self, room: Room
    ) -> None:
        """10,000 requests in flight do not keep the reactor from its timers."""
        ((caller, visitor),) = room.opens()
        each = STRETCH / 4

        def sends_more(data: bytes) -> None:
            room.now += each
            if room.now < 1:
                caller.sendall(b".")

        visitor.then = sends_more
        room.reactor.callLater(0, room.record.append, "timer")
        caller.sendall(b".")
        room.until(lambda: "timer" in room.record and "a" in room.record)
        room.record.clear()
        room.reactor.callLater(0, room.record.append, "timer")
        room.until(lambda: "timer" in room.record)
        room.until(lambda: room.record[-1] != "timer")
        visitor.then = lambda data: None
        until_timer = room.record[: room.record.index("timer")]
        behind = room.record[len(until_timer) + 1 :]
        assert until_timer == [] or until_timer == ["a", "end"] * 4
        assert behind == ["a", "end"] * 4


class TestTheEndOfAConnection:
    def test_that_closes_is_told_as_done(self, room: Room) -> None:
        pairs = room.opens(2)
        pairs[0][0].close()
        room.until(lambda: pairs[0][1].lost)
        assert pairs[0][1].lost is ConnectionDone
        assert pairs[1][1].lost is None
        assert len(room.poll.getReaders()) == 1

    def test_that_closes_behind_what_it_has_sent_comes_behind_that(self, room: Room) -> None:
        ((caller, visitor),) = room.opens()
        caller.sendall(b"hello")
        caller.close()
        room.until(lambda: visitor.lost)
        assert room.record == ["a", "end", "a lost", "end"]
        assert visitor.got == b"hello"

    def test_that_half_closes_is_told_so_once_and_may_still_be_written_to(self, hall: Room) -> None:
        ((caller, visitor),) = hall.opens()
        caller.sendall(b"hello")
        caller.shutdown(socket.SHUT_WR)
        hall.until(lambda: "a has heard all" in hall.record)
        for _ in range(3):
            hall.reactor.iterate(0)
        assert hall.record == ["a", "end", "a has heard all", "end"]
        transport: Any = visitor.transport
        transport.write(b"bye")
        transport.loseConnection()
        hall.until(lambda: visitor.lost)
        assert caller.makefile("rb").read() == b"bye"
        assert visitor.lost is ConnectionDone

    def test_that_is_reset_is_told_as_lost(self, hall: Room) -> None:
        pairs = hall.opens(2)
        _resets(pairs[0][0])
        hall.until(lambda: pairs[0][1].lost)
        assert pairs[0][1].lost is ConnectionLost
        assert pairs[1][1].lost is None

    def test_that_is_reset_behind_what_it_has_sent_is_lost_all_the_same(self, hall: Room) -> None:
        ((caller, visitor),) = hall.opens()
        caller.sendall(b"hello")
        _resets(caller)
        hall.until(lambda: visitor.lost)
        assert visitor.lost is ConnectionLost

    def test_may_raise_and_nobody_else_is_lost(self, room: Room) -> None:
        pairs = room.opens(3)

        def fails(reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
            room.record.append("fails")
            raise ZeroDivisionError

        pairs[0][1].connectionLost = fails  # type: ignore[method-assign]
        pairs[0][0].close()
        for caller, _ in pairs[1:]:
            caller.sendall(b"hello")
        with capturedLogs() as events:
            room.until(lambda: "end" in room.record)
        assert room.record == ["fails", "b", "c", "end"]
        assert [event["log_failure"].type for event in events] == [ZeroDivisionError]
        pairs[1][0].sendall(b"hello")
        room.until(lambda: room.record[4:])
        assert room.record[4:] == ["b", "end"]


def _has_come(caller: socket.socket) -> bool:
    return bool(select.select([caller], [], [], 0)[0])


def _resets(caller: socket.socket) -> None:
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    caller.close()


def test_a_connection_that_pauses_is_not_read_until_it_resumes(room: Room) -> None:
    pairs = room.opens(2)
    paused: Any = pairs[0][1].transport
    paused.pauseProducing()
    for caller, _ in pairs:
        caller.sendall(b"hello")
    room.until(lambda: pairs[1][1].got)
    for _ in range(3):
        room.reactor.iterate(0)
    assert room.record == ["b", "end"]
    paused.resumeProducing()
    paused.resumeProducing()
    room.until(lambda: pairs[0][1].got)
    assert room.record == ["b", "end", "a", "end"]


def test_a_connection_that_another_pauses_in_the_same_turn_is_not_read_in_it(room: Room) -> None:
    pairs = room.opens(2)
    paused: Any = pairs[1][1].transport
    pairs[0][1].then = lambda data: paused.pauseProducing()
    for caller, _ in pairs:
        caller.sendall(b"hello")
    room.until(lambda: "end" in room.record)
    assert room.record == ["a", "end"]
    paused.resumeProducing()
    room.until(lambda: pairs[1][1].got == b"hello")


def test_when_the_reactor_stops_all_are_lost_even_if_one_fails(room: Room) -> None:
    pairs = room.opens(3)

    def fails(reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        raise ZeroDivisionError

    pairs[0][1].connectionLost = fails  # type: ignore[method-assign]
    with capturedLogs():
        room.reactor.disconnectAll()
    assert [visitor.lost for _, visitor in pairs[1:]] == [ConnectionLost] * 2
    assert room.poll.getReaders() == []
    assert room.poll.fileno() == -1
    ((caller, visitor),) = room.opens()  # as when a reactor is started again
    caller.sendall(b"hello")
    room.until(lambda: visitor.got)


def test_without_an_epoll_the_reactor_reads(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "epoll")
    ((caller, visitor),) = room.opens()
    assert visitor.transport in room.reactor.getReaders()
    caller.sendall(b"hello")
    room.until(lambda: visitor.got)
    assert room.poll.fileno() == -1
    assert room.record == ["a"]  # and whoever is owed something asks for the end of the turn


def test_what_is_no_socket_of_the_reactors_is_left_alone(room: Room) -> None:
    room.poll.adopt(StringTransport())
    other = Room(EPollReactor())
    ((_, visitor),) = other.opens()
    room.poll.adopt(visitor.transport)
    assert visitor.transport in other.poll.getReaders()
    other.close()
    assert room.poll.fileno() == -1
