"""Peers that read slowly, or not at all: what they cost, and that they lose nothing by it."""

from __future__ import annotations

import json
import re
from collections import deque

import pytest
from harness import House, Peer, Wire, pieces
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from parties import request, shown
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

import memdbd.protocol
import memdbd.sending
from memdbd.limits import Limits
from memdbd.replies import OK as DONE
from memdbd.replies import Pending
from memdbd.sending import LINGER, PIECE

MIB = 1 << 20
LONG = b"x" * 50_000
ECHO = b"echo " + LONG + b"\n"
ECHOED = b'{"result": "' + LONG + b'"}\n'


@pytest.fixture
def house() -> House:
    return House()


def held(peer: Peer) -> int:
    """Bytes that wait for the peer, in the protocol and in its transport."""
    return len(peer.wire.untaken) + peer.protocol._outbox.size


class TestAPeerThatDoesNotRead:
    def test_is_answered_no_more_than_the_bounds_say(self, house: House) -> None:
        peer = house.connect()
        peer.reads = False
        peer.asks(b"set k " + LONG + b"\n")
        peer.asks(b"get k\n" * 10_000)
        assert held(peer) <= Wire.bufferSize + PIECE + 2 * (house.dispatcher.SLICE_OUTPUT + 60_000)

    def test_is_read_no_more(self, house: House) -> None:
        peer = house.connect()
        peer.reads = False
        peer.asks(ECHO, ECHO)
        assert peer.wire.producerState == "paused"
        before = house.dispatcher.stats()
        peer.asks(b"set k v\n")
        assert house.dispatcher.stats() == before
        assert house.engine.databases[0].values == {}

    def test_gets_all_replies_in_order_once_it_reads(self, house: House) -> None:
        peer = house.connect()
        peer.reads = False
        peer.asks(b"set k " + LONG + b"\n" + b"get k\nincr n\n" * 1000)
        assert int(house.engine.databases[0].values[b"n"]) < 100
        peer.reads = True
        replies = [json.loads(line) for line in peer.hears().splitlines()]
        assert [reply["result"] for reply in replies[2::2]] == list(range(1, 1001))
        assert {reply["result"] for reply in replies[1::2]} == {LONG.decode()}
        assert house.engine.databases[0].values[b"n"] == b"1000"

    def test_is_read_again_once_it_reads(self, house: House) -> None:
        peer = house.connect()
        peer.reads = False
        peer.asks(ECHO, ECHO)
        peer.reads = True
        assert peer.asks(b"ping\n") == ECHOED * 2 + b'{"result": "PONG"}\n'

    def test_that_reads_a_little_and_is_full_again_is_not_read(self, house: House) -> None:
        peer, other = house.connect(), house.connect()
        peer.asks(b"subscribe ch\n")
        peer.reads = False
        other.asks((b"publish ch " + LONG + b"\n") * 20)
        peer.sends(b"set k v\n")
        for _ in range(2):
            peer.wire.take(len(peer.wire.untaken))
            house.settle()
            assert held(peer) > Wire.bufferSize
            assert peer.wire.producerState == "paused"
            assert house.engine.databases[0].values == {}
        peer.reads = True
        assert peer.hears().endswith(b'{"result": "OK"}\n')
        assert house.engine.databases[0].values == {b"k": b"v"}

    def test_does_not_keep_others_waiting(self, house: House) -> None:
        peer, other = house.connect(), house.connect()
        peer.reads = False
        peer.asks(*[ECHO] * 10)
        assert other.asks(b"ping\n") == b'{"result": "PONG"}\n'

    @pytest.mark.parametrize("pause", [300, 20_000])
    def test_is_full_at_as_many_bytes_as_is_said(self, house: House, pause: int) -> None:
        peer = house.connect()
        peer.reads = False
        peer.asks(b"ping\n")
        house.factory.limits.pause_output = pause
        peer.asks(b"echo " + b"x" * (pause - 100) + b"\n")
        assert peer.wire.producerState == "producing"
        assert house.factory.alarms.counts == {}
        peer.asks(b"echo " + b"x" * 200 + b"\n")
        assert peer.wire.producerState == "paused"
        assert house.factory.alarms.counts == {"pause_output": 1}

    @pytest.mark.parametrize("pause", [0, 64 * MIB])
    def test_is_read_by_as_much_as_any_however_much_may_wait_for_it(
        self, house: House, pause: int
    ) -> None:
        """The transport has one number for both."""
        house.factory.limits.pause_output = pause
        peer = house.connect()
        assert peer.asks(ECHO) == ECHOED
        assert peer.wire.bufferSize == 65_536
        peer.reads = False
        peer.asks(ECHO)
        assert peer.wire.producerState == ("producing" if pause else "paused")
        assert peer.wire.bufferSize == 65_536

    @pytest.mark.parametrize("tells", [False, True])
    def test_of_a_transport_that_does_not_tell_what_waits_gets_all_by_write(
        self, house: House, monkeypatch: pytest.MonkeyPatch, *, tells: bool
    ) -> None:
        """It is private to Twisted, and may be gone with its next version."""

        class Other(Wire):
            def __init__(self, clock: Clock, port: int) -> None:
                super().__init__(clock, port)
                self.room = 1000
                if not tells:
                    del self._tempDataBuffer

        monkeypatch.setattr("harness.Wire", Other)
        peer = house.connect()
        assert peer.asks(b"ping\n") == b'{"result": "PONG"}\n'
        assert (peer.wire.room < 1000) is tells

    def test_costs_the_daemon_no_turns(self, house: House) -> None:
        peer = house.connect()
        peer.reads = False
        peer.asks(ECHO * 50)
        assert house.clock.getDelayedCalls() == []


class TestALargeReply:
    @pytest.fixture
    def house(self) -> House:
        house = House(output_limit=20 * MIB)
        house.engine.databases[0].set(b"large", b"x" * (10 * MIB))
        return house

    REQUESTS = pytest.mark.parametrize(
        ("requests", "size"),
        [
            (request(b"GET", b"large"), 10 * MIB),
            (request(b"MGET", *[b"large"] * 50), 500 * MIB),
            (request(b"MULTI") + request(b"GET", b"large") * 50 + request(b"EXEC"), 500 * MIB),
            (b"get large\n", 10 * MIB),
            (b"mget" + b" large" * 20 + b"\n", 200 * MIB),
        ],
        ids=["get", "mget", "exec", "get in text", "mget in text"],
    )

    @REQUESTS
    def test_is_made_as_it_is_taken(self, house: House, requests: bytes, size: int) -> None:
        peer = house.connect()
        peer.reads = False
        peer.asks(requests)
        taken = 0
        while taken < size:
            assert held(peer) < 2 * PIECE
            assert len(peer.wire.untaken) > 0
            taken += len(peer.wire.untaken)
            peer.wire.take(MIB)
            peer.wire.taken.clear()
            house.settle()
        assert taken < size + 4000
        peer.reads = True
        assert b"PONG" in peer.asks(b"ping\r\n")

    @pytest.mark.parametrize("count", [1, 2])
    def test_up_to_the_limit_waits_for_ever(self, house: House, count: int) -> None:
        peer = house.connect()
        peer.reads = False
        peer.asks(request(b"MGET", *[b"large"] * count))
        house.passes(10 * LINGER)
        assert not peer.closed
        assert house.clock.getDelayedCalls() == []

    def test_over_it_does_not(self, house: House) -> None:
        peer = house.connect()
        peer.reads = False
        peer.asks(request(b"MGET", *[b"large"] * 3))
        house.passes(LINGER - 0.1)
        assert not peer.closed
        peer.wire.take(MIB)  # but does for one who reads, however slowly
        house.passes(LINGER - 0.1)
        assert not peer.closed
        with capturedLogs() as events:
            house.passes(0.1)
        assert peer.wire.closed is ConnectionAborted
        assert [event["sentence"] for event in events] == [
            f"client 1 at 127.0.0.1:50000 is cut: it does not read, {30 * MIB} bytes wait for it "
            f"(output_limit is {20 * MIB})"
        ]
        assert house.factory.alarms.counts["output_limit"] == 1
        assert house.clock.getDelayedCalls() == []

    def test_is_forgotten_with_its_peer(self, house: House) -> None:
        peer = house.connect()
        peer.reads = False
        peer.asks(request(b"MGET", *[b"large"] * 3))
        peer.vanishes()
        house.settle()
        assert house.clock.getDelayedCalls() == []

    def test_comes_in_front_of_what_is_delivered_meanwhile(self, house: House) -> None:
        peer = house.connect()
        peer.asks(b"subscribe ch\n")
        peer.reads = False
        peer.asks(b"get large\n")
        house.connect().asks(b"publish ch hello\n")
        peer.reads = True
        kinds = [b'"message"' in line for line in peer.hears().splitlines()]
        assert kinds == [False, True]


class TestAPeerThatHasSaidAll:
    def test_gets_its_replies_however_slowly_it_reads(self, house: House) -> None:
        peer = house.connect()
        peer.reads = False
        peer.sends(ECHO * 20)
        peer.ends()
        house.settle()
        for _ in range(20 * len(ECHOED) // 100_000 - 1):
            house.passes(LINGER / 2)
            peer.wire.take(100_000)
        peer.reads = True
        assert peer.hears() == ECHOED * 20
        assert peer.wire.closed is ConnectionDone

    def test_that_quits_behind_long_replies_gets_them_and_is_closed_at_once(
        self, house: House
    ) -> None:
        peer = house.connect()
        peer.reads = False
        peer.asks(ECHO * 2 + b"quit\n")
        house.passes(LINGER / 2)
        peer.reads = True
        assert peer.hears() == ECHOED * 2 + b'{"result": "OK"}\n'
        assert peer.wire.closed is ConnectionDone

    @pytest.mark.parametrize("last", [b"quit\n", b"x" * (Limits().max_line + 1) + b"\n"])
    def test_and_never_reads_is_aborted(self, house: House, last: bytes) -> None:
        peer = house.connect()
        peer.reads = False
        peer.sends(ECHO * 4 + last)
        house.settle()
        house.passes(LINGER - 0.1)
        peer.wire.take(150_000)
        house.passes(LINGER - 0.1)
        assert peer.wire.closed is None
        house.passes(0.2)
        assert peer.wire.closed is ConnectionAborted

    def test_listens_to_nothing_any_more(self, house: House) -> None:
        peer, other = house.connect(), house.connect()
        peer.asks(b"subscribe ch\n")
        peer.reads = False
        peer.sends(ECHO)
        peer.ends()
        house.settle()
        assert not peer.closed  # it has not taken its reply
        assert other.asks(b"list_channels\n") == b'{"result": []}\n'


class TestASlowSubscriber:
    BOUND = 200_000

    @pytest.fixture
    def house(self) -> House:
        return House(subscriber_buffer=self.BOUND)

    @pytest.fixture
    def slow(self, house: House) -> Peer:
        peer = house.connect()
        peer.asks(b"subscribe ch\n")
        peer.reads = False
        return peer

    def publish(self, peer: Peer, count: int) -> None:
        for _ in range(count):
            assert peer.asks(b"publish ch " + LONG + b"\n") == b'{"result": "OK"}\n'

    def test_is_cut_at_the_bound_with_one_line_in_the_log(self, house: House, slow: Peer) -> None:
        publisher = house.connect()
        with capturedLogs() as events:
            self.publish(publisher, 20)
        assert slow.wire.closed is ConnectionAborted
        (sentence,) = [event["sentence"] for event in events]
        found = re.fullmatch(
            r"client 1 at 127.0.0.1:50000 is cut: it does not read, (\d+) bytes wait for it "
            rf"\(subscriber_buffer is {self.BOUND}\)",
            sentence,
        )
        assert found is not None
        assert int(found[1]) <= self.BOUND + len(LONG) + 100
        assert house.factory.stats()["subscribers_cut"] == 1
        assert publisher.asks(b"list_channels\n") == b'{"result": []}\n'

    def test_over_the_soft_bound_is_cut_after_some_time(self, house: House, slow: Peer) -> None:
        limits = house.factory.limits
        limits.subscriber_soft, limits.subscriber_seconds = 60_000, 7
        publisher = house.connect()
        self.publish(publisher, 4)
        assert slow.protocol.unsent > 60_000
        house.passes(6.9)
        assert not slow.closed
        with capturedLogs() as events:
            house.passes(0.1)
        assert slow.wire.closed is ConnectionAborted
        assert "(subscriber_soft is 60000)" in events[0]["sentence"]
        assert house.factory.alarms.counts["subscriber_soft"] == 1
        assert house.clock.getDelayedCalls() == []

    def test_below_it_again_in_time_is_not(self, house: House, slow: Peer) -> None:
        limits = house.factory.limits
        limits.subscriber_soft, limits.subscriber_seconds = 60_000, 7
        publisher = house.connect()
        self.publish(publisher, 4)
        house.passes(6.9)
        slow.reads = True
        house.settle()
        slow.reads = False
        self.publish(publisher, 2)
        house.passes(100)
        assert not slow.closed
        assert house.clock.getDelayedCalls() == []

    def test_that_reads_and_is_over_it_all_the_time_is_cut(self, house: House, slow: Peer) -> None:
        limits = house.factory.limits
        limits.subscriber_buffer, limits.subscriber_soft, limits.subscriber_seconds = MIB, 60_000, 7
        publisher = house.connect()
        self.publish(publisher, 16)
        with capturedLogs():
            for _ in range(8):
                house.passes(1)
                slow.wire.take(len(slow.wire.untaken))
                self.publish(publisher, 6)
        assert slow.closed
        assert house.factory.alarms.counts["subscriber_soft"] == 1

    @pytest.mark.parametrize("name", ["subscriber_buffer", "subscriber_soft"])
    def test_of_0_is_no_bound(self, house: House, slow: Peer, name: str) -> None:
        limits = house.factory.limits
        limits.subscriber_buffer, limits.subscriber_soft = MIB, MIB
        setattr(limits, name, 0)
        self.publish(house.connect(), 15)
        house.passes(30)
        assert not slow.closed

    def test_that_is_cut_is_not_noticed_by_the_others(self, house: House, slow: Peer) -> None:
        before, after = house.connect(), house.connect()
        before.asks(b"subscribe ch\n")
        after.asks(b"subscribe ch\n")
        with capturedLogs():
            self.publish(house.connect(), 20)
        message = b'{"channel": "ch", "message": "' + LONG + b'"}\n'
        assert slow.closed
        assert before.hears() == after.hears() == message * 20

    def test_below_the_bound_loses_nothing(self, house: House, slow: Peer) -> None:
        self.publish(house.connect(), 3)
        slow.reads = True
        assert slow.hears() == (b'{"channel": "ch", "message": "' + LONG + b'"}\n') * 3

    def test_that_reads_now_and_then_is_not_cut(self, house: House, slow: Peer) -> None:
        publisher = house.connect()
        for _ in range(10):
            self.publish(publisher, 3)
            slow.reads = True
            assert slow.hears().count(b"\n") == 3
            slow.reads = False

    def test_that_reads_is_not_cut_for_much_in_one_turn(self, house: House) -> None:
        subscriber = house.connect()
        subscriber.asks(b"subscribe ch\n")
        house.connect().asks((b"publish ch " + LONG + b"\n") * 20)
        assert subscriber.hears().count(b"\n") == 20

    def test_is_cut_in_the_middle_of_a_long_reply_too(self, house: House, slow: Peer) -> None:
        house.engine.databases[0].set(b"list", deque([b"x" * 100] * 20_000))
        slow.asks(b"lrange list 0 -1\n")
        assert slow.protocol._stream is not None
        self.publish(house.connect(), 3)
        assert not slow.closed
        assert slow.protocol.unsent > 3 * len(LONG)
        with capturedLogs():
            self.publish(house.connect(), 20)
        assert slow.wire.closed is ConnectionAborted

    def test_gets_what_was_published_meanwhile_behind_a_long_reply(
        self, house: House, slow: Peer
    ) -> None:
        house.engine.databases[0].set(b"list", deque([b"x" * 100] * 20_000))
        slow.asks(b"lrange list 0 -1\n")
        self.publish(house.connect(), 3)
        slow.reads = True
        kinds = [b'"message"' in line for line in slow.hears().splitlines()]
        assert kinds == [False, True, True, True]
        assert slow.protocol.unsent == 0

    def test_gets_it_behind_a_long_reply_in_resp_too(self, house: House) -> None:
        slow = house.connect()
        slow.asks(b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n")
        slow.asks(b"SUBSCRIBE ch\r\n")
        slow.reads = False
        house.engine.databases[0].set(b"list", deque([b"x" * 100] * 20_000))
        slow.asks(b"LRANGE list 0 -1\r\n")
        self.publish(house.connect(), 3)
        slow.reads = True
        replies = shown(slow.hears())
        assert [reply[:12] for reply in replies] == [f'["{"x" * 10}', *['>["message",'] * 3]
        assert slow.protocol.unsent == 0


# All of it at random. The plain answer to what was sent is what a peer gets that sends it at once
# and reads everything; a peer that does anything else gets the same bytes.

REQUESTS = st.sampled_from(
    [
        b"incr n\n",
        b"get n\n",
        b"set k v\n",
        b"echo " + b"y" * 150 + b"\n",
        b"save\n",
        b"gte\n",
        b"\n",
        b"subscribe ch\n",
        b"publish ch hello\n",
        b"unsubscribe\n",
    ]
)


def plain_answer(sent: bytes) -> bytes:
    house = House()
    house.server.saver = saved_at_once
    return house.connect().asks(sent)


def saved_at_once() -> Pending:
    pending = Pending()
    pending.resolve(DONE)
    return pending


class Moods(RuleBasedStateMachine):
    """One peer in all its moods, towards a daemon with short slices, pieces and buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        for half in (memdbd.protocol, memdbd.sending):
            self.patch.setattr(half, "PIECE", 200)
        self.house = House()
        self.house.dispatcher.SLICE_REQUESTS = 3
        self.house.dispatcher.SLICE_OUTPUT = 300
        self.peer = self.house.connect()
        self.sent = bytearray()
        self.ended = False
        self.resolved = 0

    # With much room, nothing ever has to be resumed because of the peer, and what should have been
    # for another reason is missed.
    @initialize(room=st.sampled_from([256, 100_000]))
    def has_a_buffer(self, room: int) -> None:
        self.house.factory.limits.pause_output = room

    def held_back(self) -> bool:
        peer = self.peer
        return peer.protocol._full and not (peer.reads or peer.pushy)

    @precondition(lambda self: not self.ended)
    @rule(
        requests=st.lists(REQUESTS, min_size=1, max_size=12),
        cuts=st.lists(st.integers(0, 2000), max_size=4),
        quits=st.integers(0, 29),
    )
    def sends(self, requests: list[bytes], cuts: list[int], quits: int) -> None:
        data = b"".join(requests) + b"quit\n" * (quits == 0)
        self.sent += data
        self.peer.sends(*pieces(data, cuts))

    @rule(turns=st.integers(1, 5))
    def turns(self, turns: int) -> None:
        for _ in range(turns):
            before = self.house.dispatcher.stats()
            was_held_back = self.held_back()
            self.house.turn()
            if was_held_back:
                assert self.house.dispatcher.stats() == before
        protocol = self.peer.protocol
        if not self.peer.closed:
            outbox = protocol._outbox
            lines = [outbox.lines, outbox._sealed, outbox._released]
            assert outbox.size == sum(len(line) for kind in lines for line in kind)

    @rule(reads=st.booleans())
    def reads(self, reads: bool) -> None:
        self.peer.reads = reads

    @precondition(lambda self: not self.peer.closed)
    @rule(most=st.integers(1, 1000))
    def takes(self, most: int) -> None:
        self.peer.wire.take(most)

    @rule(room=st.integers(0, 400))
    def has_room_at_once(self, room: int) -> None:
        self.peer.wire.room = room

    @rule(pushy=st.booleans())
    def is_pushy(self, pushy: bool) -> None:
        self.peer.pushy = pushy

    @precondition(lambda self: self.resolved < len(self.house.saves))
    @rule()
    def has_its_save(self) -> None:
        self.house.saves[self.resolved].resolve(DONE)
        self.resolved += 1

    @precondition(lambda self: not self.ended)
    @rule(really=st.integers(0, 9))
    def ends(self, really: int) -> None:
        if not really:
            self.ended = True
            self.peer.ends()

    def teardown(self) -> None:
        try:
            self.peer.reads = True
            self.house.settle()
            self.peer.pushy = False
            while self.resolved < len(self.house.saves):
                self.has_its_save()
                self.house.settle()
            assert bytes(self.peer.wire.taken) == plain_answer(bytes(self.sent))
            if self.ended:
                assert self.peer.closed
            elif not self.peer.closed:
                self.peer.hears()
                assert self.peer.asks(b"echo still here\n") == b'{"result": "still here"}\n'
            else:
                assert b"quit\n" in self.sent
            assert self.house.clock.getDelayedCalls() == []
        finally:
            self.patch.undo()


Moods.TestCase.settings = settings(
    max_examples=200,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestAPeerOfManyMoodsGetsThePlainAnswer = Moods.TestCase


class TestLongLines:
    """What is sent as it lies in memory, and not copied first."""

    VALUES = (b"a" * 40_000, b"b" * 40_000)  # fewer than are run together

    def filled(self, house: House) -> None:
        for value in self.VALUES:
            house.engine.databases[0].set(value[:1], value)

    @pytest.mark.parametrize(
        "room", [0, 1, 7, 8, 40_009, 40_010, 40_011, 80_000, 80_019, 80_020, 1 << 20]
    )
    def test_are_sent_whole_whatever_room_there_is(self, house: House, room: int) -> None:
        self.filled(house)
        peer = house.connect()
        peer.reads = False
        peer.wire.room = room
        asked = b"".join(b"*2\r\n$3\r\nGET\r\n$1\r\n%b\r\n" % value[:1] for value in self.VALUES)
        heard = peer.asks(asked)
        peer.reads = True
        heard += peer.asks()
        assert heard == b"".join(b"$40000\r\n%b\r\n" % value for value in self.VALUES)

    def test_are_counted(self, house: House) -> None:
        self.filled(house)
        before = house.factory.sent
        reply = house.connect().asks(b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n")
        assert house.factory.sent - before == len(reply)
