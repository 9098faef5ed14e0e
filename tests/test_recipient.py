"""What a connection gets that it has not asked for: when it leaves, and behind what."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import pytest
from harness import House, Peer, Stored
from hypothesis import given
from hypothesis import strategies as st
from parties import shown
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.logger import capturedLogs

from memdbd.fanout import MANY, MOST

OK = b'{"result": "OK"}\n'
ROOM = 1 << 30  # bytes that a socket takes at once where nothing else is said


@pytest.fixture
def house() -> House:
    return House()


def message(payload: bytes, channel: bytes = b"ch") -> bytes:
    return b'{"channel": "%b", "message": "%b"}\n' % (channel, payload)


def subscriber(house: House, channels: bytes = b"ch", room: int = ROOM) -> Peer:
    """One in the text dialect, whose socket takes so much at once."""
    peer = house.connect()
    peer.wire.room = room
    peer.asks(b"subscribe " + channels + b"\n")
    return peer


def in_resp(house: House, version: int) -> Peer:
    peer = house.connect()
    peer.wire.room = ROOM
    peer.asks(b"*2\r\n$5\r\nHELLO\r\n$1\r\n%d\r\n" % version + b"SUBSCRIBE ch\r\n")
    return peer


def writes(peer: Peer) -> list[bytes]:
    """What is given to its socket from now on, write by write."""
    sent: list[bytes] = []
    send = peer.wire.send

    def noted(data: bytes) -> int:
        sent.append(data)
        return send(data)

    peer.wire.send = peer.protocol.lane.send = noted  # type: ignore[method-assign]
    peer.protocol.session.close_lane()
    return sent


def noted(peer: Peer, order: list[str], name: str) -> None:
    """Have it noted when something is sent to a peer."""
    hand_over = peer.protocol._hand_over

    def hand_over_and_note(piece: bytes) -> None:
        order.append(name)
        hand_over(piece)

    peer.protocol._hand_over = hand_over_and_note  # type: ignore[method-assign]


class TestMessagesOfATurn:
    def test_leave_in_one_write(self, house: House) -> None:
        peer = subscriber(house)
        sent = writes(peer)
        house.connect().asks(b"publish ch 1\npublish ch 2\n")
        assert sent == [message(b"1") + message(b"2")]

    def test_leave_behind_the_replies_of_all(self, house: House) -> None:
        order: list[str] = []
        peer, publisher = subscriber(house), house.connect()
        for each, name in ((peer, "message"), (publisher, "reply")):
            noted(each, order, name)
        publisher.asks(b"publish ch 1\n")
        assert order == ["reply", "message"]

    def test_of_channels_and_patterns_leave_in_order(self, house: House) -> None:
        peer = subscriber(house, b"a b")
        peer.asks(b"psubscribe a*\n")
        sent = writes(peer)
        house.connect().asks(b"publish a 1\npublish b 2\npublish a 3\n")
        matched = b'{"pattern": "a*", "channel": "a", "message": "%d"}\n'
        assert sent == [
            message(b"1", b"a") + matched % 1 + message(b"2", b"b") + message(b"3", b"a")
            + matched % 3
        ]  # fmt: skip

    @pytest.mark.parametrize("count", [2, MANY + 2])
    def test_reach_each_in_its_dialect(self, house: House, count: int) -> None:
        text = [subscriber(house) for _ in range(count)]
        two = [in_resp(house, 2) for _ in range(count)]
        three = [in_resp(house, 3) for _ in range(count)]
        publisher = house.connect()
        for number in range(3):
            publisher.asks(b"publish ch %d\n" % number)
            for peer in text:
                assert peer.hears() == message(b"%d" % number)
            for peer in two:
                assert shown(peer.hears()) == [f'["message", "ch", "{number}"]']
            for peer in three:
                assert shown(peer.hears()) == [f'>["message", "ch", "{number}"]']

    def test_reach_one_who_changes_the_version_as_he_wants_them(self, house: House) -> None:
        peers = [in_resp(house, 3) for _ in range(MANY + 2)]
        publisher = house.connect()
        for _ in range(2):
            publisher.asks(b"publish ch 1\n")
        for peer in peers:
            peer.hears()
        peers[4].asks(b"HELLO 2\r\n")
        publisher.asks(b"publish ch 2\n")
        assert shown(peers[4].hears()) == ['["message", "ch", "2"]']
        assert shown(peers[5].hears()) == ['>["message", "ch", "2"]']

    def test_are_counted_as_bytes_out(self, house: House) -> None:
        peers = [subscriber(house) for _ in range(MANY + 2)]
        publisher = house.connect()
        for _ in range(3):
            sent = house.factory.sent
            publisher.asks(b"publish ch 1\n")
            now = house.factory.sent
            assert now - sent == len(OK) + len(message(b"1")) * len(peers)

    def test_that_are_much_cut_nobody_who_reads(self) -> None:
        house = House(subscriber_buffer=MOST)
        peer = subscriber(house, room=0)
        house.connect().asks((b"publish ch " + b"x" * 50_000 + b"\n") * 12)
        assert peer.hears().count(b"\n") == 12


class TestASubscriberThatDoesSomethingItself:
    def test_gets_what_was_published_before_it_unsubscribed_in_front_of_that(
        self, house: House
    ) -> None:
        publisher, peer = house.connect(), subscriber(house)
        publisher.sends(b"publish ch 1\n")
        peer.sends(b"unsubscribe ch\n")
        unsubscribed = b'{"result": "OK", "action": "unsubscribe", "channel": "ch"}\n'
        assert peer.hears() == message(b"1") + unsubscribed

    def test_gets_nothing_that_was_published_before_it_subscribed(self, house: House) -> None:
        publisher, peer = house.connect(), subscriber(house)
        publisher.sends(b"publish other 1\n")
        peer.sends(b"subscribe other\n")
        subscribed = b'{"result": "OK", "action": "subscribe", "channel": "other"}\n'
        assert peer.hears() == subscribed

    def test_gets_what_was_published_before_it_published_itself_in_front_of_that(
        self, house: House
    ) -> None:
        publisher, peer = house.connect(), subscriber(house)
        publisher.sends(b"publish ch 1\n")
        peer.sends(b"publish ch 2\n")
        assert peer.hears() == message(b"1") + OK + message(b"2")

    def test_may_be_ended_in_the_same_turn(self, house: House) -> None:
        peer, publisher = subscriber(house), house.connect()
        publisher.sends(b"publish ch 1\nclient kill id 1\npublish ch 2\n")
        assert peer.hears() == message(b"1")
        assert peer.closed
        assert house.remains() == {}

    @pytest.mark.parametrize("goes", [b"quit\n", b"client kill id 2 skipme no\n"])
    def test_may_end_in_the_same_turn(self, house: House, goes: bytes) -> None:
        publisher, peer = house.connect(), subscriber(house)
        publisher.sends(b"publish ch 1\npublish ch 2\n")
        peer.sends(goes)
        assert message(b"1") + message(b"2") in peer.hears()
        assert peer.closed
        assert publisher.hears() == OK * 2
        assert house.remains() == {}

    def test_gets_the_rest_of_a_transaction_in_order(self, house: House) -> None:
        peer = in_resp(house, 3)
        assert shown(
            peer.asks(b"MULTI\r\nPUBLISH ch 1\r\nPUBLISH other 2\r\nPUBLISH ch 3\r\nEXEC\r\n")
        ) == [
            "+OK",
            "+QUEUED",
            "+QUEUED",
            "+QUEUED",
            '>["message", "ch", "1"]',
            '>["message", "ch", "3"]',
            "[:1, :0, :1]",
        ]


class TestALane:
    def test_is_open_from_the_first_message_on(self, house: House) -> None:
        peer = subscriber(house)
        assert not peer.protocol.lane.is_clear
        house.connect().asks(b"publish ch 1\n")
        assert peer.protocol.lane.is_clear
        assert peer.hears() == message(b"1")

    def test_is_closed_for_one_that_does_not_read_and_opened_when_it_does(
        self, house: House
    ) -> None:
        peers = [subscriber(house) for _ in range(MANY + 2)]
        peer, publisher = peers[4], house.connect()
        publisher.asks(b"publish ch 1\n")
        peer.wire.room, peer.reads = 10, False
        for number in (2, 3):
            publisher.asks(b"publish ch %d\n" % number)
            assert not peer.protocol.lane.is_clear
        peer.reads = True
        assert peer.hears() == message(b"1") + message(b"2") + message(b"3")
        peer.wire.room = ROOM
        publisher.asks(b"publish ch 4\n")
        assert peer.protocol.lane.is_clear
        assert peer.hears() == message(b"4")

    def test_is_closed_while_a_long_reply_is_sent(self, house: House) -> None:
        peer = subscriber(house)
        publisher = house.connect()
        house.engine.databases[0].set(b"list", deque([b"x" * 100] * 20_000))
        publisher.asks(b"publish ch 1\n")
        peer.wire.room, peer.reads = 0, False
        peer.asks(b"lrange list 0 -1\n")
        assert not peer.protocol.lane.is_clear
        publisher.asks(b"publish ch 2\n")
        peer.reads = True
        lines = peer.hears().splitlines(keepends=True)
        assert len(lines) == 2
        assert lines[1] == message(b"2")

    @pytest.mark.parametrize("goes", ["ends", "vanishes", "is cut"])
    def test_is_closed_with_the_connection(self, house: House, goes: str) -> None:
        peers = [subscriber(house) for _ in range(MANY + 2)]
        peer, publisher = peers[4], house.connect()
        publisher.asks(b"publish ch 1\npublish ch 2\n")
        lane = peer.protocol.lane
        assert lane.is_clear
        match goes:
            case "ends":
                peer.ends()
                house.settle()
            case "vanishes":
                peer.vanishes()
            case _:
                peer.protocol.fail()
        assert not lane.is_clear
        house.settle()
        assert peer.wire.closed in (ConnectionDone, ConnectionAborted)
        publisher.asks(b"publish ch 3\n")
        assert peers[5].hears() == message(b"1") + message(b"2") + message(b"3")

    def test_of_a_socket_that_is_broken_ends_nobody_else(self, house: House) -> None:
        peers = [subscriber(house) for _ in range(MANY + 2)]
        publisher = house.connect()
        publisher.asks(b"publish ch 1\n")
        publisher.asks(b"publish ch 2\n")

        def broken(data: bytes) -> int:
            raise BrokenPipeError

        peers[4].protocol.lane.send = broken
        publisher.asks(b"publish ch 3\n")
        assert peers[5].hears().count(b"\n") == 3

    def test_that_fails_for_one_keeps_no_rest_from_the_others(self, house: House) -> None:
        peers = [subscriber(house) for _ in range(MANY + 2)]
        publisher = house.connect()
        publisher.asks(b"publish ch 1\n")
        for peer in peers:
            peer.hears()

        def fails(piece: bytes) -> None:
            raise ZeroDivisionError

        peers[3].wire.room = 0
        peers[3].protocol._hand_over = fails  # type: ignore[method-assign]
        peers[5].wire.room = 3
        with capturedLogs() as events:
            assert publisher.asks(b"publish ch 2\n") == OK
        assert [event["log_failure"].type for event in events] == [ZeroDivisionError]
        assert peers[3].closed
        assert peers[5].hears() == message(b"2")

    def test_there_is_none_where_the_socket_is_not_ours_as_with_tls(self, house: House) -> None:
        peer = subscriber(house)
        peer.protocol.lane.send = None
        house.connect().asks(b"publish ch 1\n")
        assert not peer.protocol.lane.is_clear
        assert peer.hears() == message(b"1")


def test_a_defect_in_taking_ends_that_connection_and_no_other(house: House) -> None:
    peers = [subscriber(house) for _ in range(3)]

    def defect(piece: bytes) -> None:
        raise ZeroDivisionError

    peers[1].protocol._hand_over = defect  # type: ignore[method-assign]
    publisher = house.connect()
    with capturedLogs() as events:
        assert publisher.asks(b"publish ch 1\n") == OK
    assert [event["log_failure"].type for event in events] == [ZeroDivisionError]
    assert [peer.hears() for peer in peers] == [message(b"1"), b"", message(b"1")]
    assert peers[1].wire.closed is ConnectionAborted


class TestWhatIsNotCommitted:
    @pytest.fixture
    def stored(self, tmp_path: Path) -> Stored:
        return Stored(tmp_path, durability="always").start()

    def test_leaves_nobody(self, stored: Stored) -> None:
        peers = [subscriber(stored.house) for _ in range(MANY + 2)]
        publisher = stored.house.connect()
        publisher.asks(b"publish ch 0\n")
        for peer in peers:
            peer.hears()
        stored.held = []
        assert publisher.asks(b"set k v\npublish ch 1\n") == b""
        assert publisher.asks(b"publish ch 2\n") == b""
        assert {peer.hears() for peer in peers} == {b""}
        stored.let_all_go()
        assert publisher.hears() == OK * 3
        assert {peer.hears() for peer in peers} == {message(b"1") + message(b"2")}
        stored.stop()


# Anybody may do anything in one turn.

STEPS = st.sampled_from(
    [b"publish a %d", b"publish b %d", b"publish a %d", b"ping %d", b"subscribe a", b"subscribe b",
     b"unsubscribe a", b"psubscribe a*", b"punsubscribe a*", b"set k %d", b"multi", b"exec"]
)  # fmt: skip


@given(
    st.lists(st.tuples(st.integers(0, 2), st.lists(STEPS, min_size=1, max_size=4))),
    st.sampled_from([0, 30, ROOM]),
)
def test_whatever_happens_in_a_turn_each_gets_what_it_would_have_in_many(
    pieces: list[tuple[int, list[bytes]]], room: int
) -> None:
    """Messages and the confirmations of subscriptions in one order, other replies in theirs."""
    heard = []
    for is_one_turn in (True, False):
        house = House()
        peers = [house.connect() for _ in range(3)]
        for peer in peers:
            peer.wire.room = room
        number = 0
        for who, steps in pieces:
            for step in steps:
                number += 1
                line = (step % number if b"%" in step else step) + b"\n"
                if is_one_turn:
                    peers[who].protocol.dataReceived(line)
                else:
                    peers[who].asks(line)
        house.settle()
        heard.append([told(peer) for peer in peers])
        assert house.remains() == {}
    assert heard[0] == heard[1]


def told(peer: Peer) -> tuple[list[bytes], list[bytes]]:
    """What a peer was told of its subscriptions, and what else."""
    lines = bytes(peer.wire.taken).splitlines()
    listens = [line for line in lines if b'"channel": ' in line and b"[" not in line[:12]]
    return listens, [line for line in lines if line not in listens]
