"""Replies to requests that were gathered: when they leave, and what if they cannot."""

from __future__ import annotations

from collections import deque

import pytest
from crowds import NULL, PLENTY, WRONG, crowd, resp, together

from memdbd.errors import NotCommitted
from memdbd.replies import Status


class TestBeforeTheCommit:
    def test_nothing_is_sent(self) -> None:
        house, peers = crowd()
        turn = house.factory.turn
        turn.commit = lambda: False
        together(house, *[(peer, resp(b"incr", b"n")) for peer in peers])
        assert [peer.hears() for peer in peers] == [b""] * 4
        together(house, *[(peer, resp(b"incr", b"n")) for peer in peers])
        assert [peer.hears() for peer in peers] == [b""] * 4
        turn.commit = lambda: True
        turn.committed()
        assert [peer.hears() for peer in peers] == [
            b":%d\r\n:%d\r\n" % (n, n + 4) for n in range(1, 5)
        ]

    @pytest.mark.parametrize("done", [True, False])
    def test_replies_keep_their_order_where_some_are_unusual(self, done: bool) -> None:
        house, peers = crowd()
        house.engine.databases[0].values |= {b"list": deque([b"x"]), b"a": b"1"}
        turn = house.factory.turn
        turn.commit = lambda: done
        asked = resp(b"get", b"a") + resp(b"get", b"list") + resp(b"get", b"b")
        together(house, *[(peer, asked) for peer in peers])
        if not done:
            turn.commit = lambda: True
            turn.committed()
        assert [peer.hears() for peer in peers] == [b"$1\r\n1\r\n" + WRONG + NULL] * 4

    def test_a_long_reply_comes_behind_those_before_it(self) -> None:
        house, peers = crowd()
        large = b"x" * 5_000_000
        house.engine.databases[0].values |= {b"list": deque([b"x"]), b"a": b"1", b"large": large}
        asked = b"".join(resp(b"get", key) for key in (b"a", b"list", b"large", b"b"))
        together(house, *[(peer, asked) for peer in peers])
        expected = b"$1\r\n1\r\n" + WRONG + b"$5000000\r\n" + large + b"\r\n" + NULL
        for peer in peers:
            assert peer.hears() == expected

    def test_what_comes_between_a_reply_and_its_commit_is_behind_the_reply(self) -> None:
        house, peers = crowd()
        turn = house.factory.turn
        turn.commit = lambda: False
        turn.begin()
        turn.answer([peers[0].protocol.lane], [b"+reply\r\n"])
        peers[0].protocol.push(Status("pushed"))
        turn.end()
        turn.commit = lambda: True
        turn.committed()
        assert peers[0].hears() == b"+reply\r\n+pushed\r\n"

    def test_one_that_fails_takes_all_replies_back(self) -> None:
        house, peers = crowd()
        turn = house.factory.turn

        def fails() -> bool:
            raise NotCommitted("the disk is full")

        turn.commit = fails
        together(house, *[(peer, resp(b"incr", b"n") * (n + 1)) for n, peer in enumerate(peers)])
        turn.commit = lambda: True
        for peer in peers:
            heard = peer.hears()
            assert heard.count(b"\r\n") == 1
            assert b"the disk is full" in heard
            assert peer.closed

    def test_one_that_fails_later_takes_them_back_too(self) -> None:
        house, peers = crowd()
        turn = house.factory.turn
        turn.commit = lambda: False
        together(house, *[(peer, resp(b"incr", b"n")) for peer in peers])
        turn.not_committed(NotCommitted("lost"))
        turn.commit = lambda: True
        for peer in peers:
            heard = peer.hears()
            assert heard.count(b"\r\n") == 1
            assert b"lost" in heard


class TestASocketWithoutRoom:
    @pytest.mark.parametrize("room", [0, 1, 3, 4, 5])
    def test_gets_the_rest_when_there_is_some(self, room: int) -> None:
        house, peers = crowd()
        for peer in peers:
            peer.wire.room = room
        for _ in range(3):
            together(house, *[(peer, resp(b"incr", b"n")) for peer in peers])
        heard = [peer.hears() for peer in peers]
        assert heard == [b":%d\r\n:%d\r\n:%d\r\n" % (n, n + 4, n + 8) for n in range(1, 5)]

    def test_whose_peer_does_not_read_is_not_read_either(self) -> None:
        house, peers = crowd()
        value = b"x" * 60_000
        peers[0].asks(resp(b"set", b"big", value))
        for peer in peers:
            peer.reads, peer.wire.room = False, 0
        for _ in range(5):
            together(house, *[(peer, resp(b"get", b"big") * 4) for peer in peers])
        assert all(peer.wire.producerState == "paused" for peer in peers)
        assert all(peer.protocol.unsent <= 4 * 61_000 for peer in peers)
        for peer in peers:
            peer.reads = True
        for peer in peers:
            heard = peer.hears()
            assert len(heard) % (4 * len(b"$60000\r\n" + value + b"\r\n")) == 0
            assert peer.wire.producerState == "producing"

    @pytest.mark.parametrize("room", [0, 2, 5, 9, 40, PLENTY])
    @pytest.mark.parametrize("is_held", [False, True])
    def test_gets_replies_and_messages_whole(self, room: int, is_held: bool) -> None:
        house, peers = crowd(12)
        for peer in peers[:-1]:
            peer.asks(resp(b"hello", b"3"))
            peer.asks(resp(b"subscribe", b"news"))
        turn = house.factory.turn
        asked = [(peer, resp(b"incr", b"%d" % n)) for n, peer in enumerate(peers[:-1])]
        for number in range(4):
            for peer in peers:
                peer.wire.room = room
            turn.commit = lambda: not is_held
            together(house, *asked, (peers[-1], resp(b"publish", b"news", b"%d" % number)))
            turn.commit = lambda: True
            if turn.is_held:
                turn.committed()
        message = b">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\n%d\r\n"
        for peer in peers[:-1]:
            heard = peer.hears()
            places = [heard.index(message % number) for number in range(4)]
            assert places == sorted(places)
            for number in range(4):
                heard = heard.replace(message % number, b"")
            assert heard == b":1\r\n:2\r\n:3\r\n:4\r\n"
        assert peers[-1].hears() == b":11\r\n" * 4
