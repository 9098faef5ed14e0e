"""Requests that are gathered, and what others do in the same turn: as if in some order."""

from __future__ import annotations

import pytest
from crowds import NULL, OK, crowd, resp, together

from memdbd import core


class TestWhatOthersDoInTheSameTurn:
    """Whatever the order in which the requests of a turn are run, it is one in which they may have
    come."""

    def test_one_who_is_killed_before_he_is_run_is_not_run(self) -> None:
        house, peers = crowd()
        number = b"%d" % peers[1].protocol.session.number
        setting = [(peer, resp(b"set", b"k%d" % n, b"1")) for n, peer in enumerate(peers)][1:]
        together(house, *setting, (peers[0], resp(b"client", b"kill", b"id", number)))
        assert [peer.hears() for peer in peers] == [b":1\r\n", b"", OK, OK]
        assert peers[1].closed
        assert sorted(house.engine.databases[0].values) == [b"k2", b"k3"]

    def test_a_user_who_is_gone_is_not_run(self) -> None:
        house, peers = crowd(5)
        peers[0].asks(resp(b"acl", b"setuser", b"guest", b"on", b"nopass", b"~*", b"+set"))
        for peer in peers[1:4]:
            assert peer.asks(resp(b"auth", b"guest", b"")) == OK
        together(
            house,
            *[(peer, resp(b"set", b"k", b"1")) for peer in peers[1:4]],
            (peers[0], resp(b"acl", b"deluser", b"guest")),
            (peers[4], resp(b"get", b"k")),
        )
        assert [peer.hears() for peer in peers] == [b":1\r\n", b"", b"", b"", NULL]
        assert [peer.closed for peer in peers] == [False, True, True, True, False]
        assert house.engine.databases[0].values == {}

    def test_a_user_who_may_do_less_does_less(self) -> None:
        house, peers = crowd()
        peers[0].asks(resp(b"acl", b"setuser", b"guest", b"on", b"nopass", b"~*", b"+set"))
        for peer in peers[1:]:
            assert peer.asks(resp(b"auth", b"guest", b"")) == OK
        together(
            house,
            *[(peer, resp(b"set", b"k", b"1")) for peer in peers[1:]],
            (peers[0], resp(b"acl", b"setuser", b"guest", b"-set")),
        )
        heard = [peer.hears() for peer in peers]
        assert heard[0] == OK
        assert all(line.startswith(b"-NOPERM") for line in heard[1:])

    @pytest.mark.parametrize(
        ("other", "reply", "left"),
        [
            ((b"flushall",), OK, {b"n": b"3"}),
            ((b"swapdb", b"0", b"1"), OK, {b"n": b"3"}),
            ((b"config", b"set", b"maxmemory", b"100mb"), OK, {b"n": b"3"}),
            ((b"config", b"set", b"slowlog-log-slower-than", b"0"), OK, {b"n": b"3"}),
            ((b"rename", b"m", b"n"), OK, {b"n": b"10"}),
        ],
        ids=lambda each: each[0].decode() if isinstance(each, tuple) else "",
    )
    def test_comes_before_what_is_gathered(
        self, other: tuple[bytes, ...], reply: bytes, left: dict[bytes, bytes]
    ) -> None:
        house, peers = crowd()
        if other[0] == b"rename":
            peers[0].asks(resp(b"set", b"m", b"7"))
        together(
            house, *[(peer, resp(b"incr", b"n")) for peer in peers[1:]], (peers[0], resp(*other))
        )
        first = int(left[b"n"]) - 2
        heard = [peer.hears() for peer in peers]
        assert heard == [reply, *[b":%d\r\n" % n for n in range(first, first + 3)]]
        assert house.engine.databases[0].values == left

    def test_spoils_a_transaction_and_serves_who_waits_and_is_told(self) -> None:
        house, peers = crowd(7)
        watcher, waiter, listener = peers[4:]
        watcher.asks(resp(b"watch", b"l"), resp(b"multi"), resp(b"ping"))
        waiter.asks(resp(b"blpop", b"l", b"0"))
        listener.asks(resp(b"subscribe", b"db_updates"))
        together(house, *[(peer, resp(b"rpush", b"l", b"x")) for peer in peers[:4]])
        assert [peer.hears() for peer in peers[:4]] == [b":1\r\n", b":1\r\n", b":2\r\n", b":3\r\n"]
        assert waiter.hears() == b"*2\r\n$1\r\nl\r\n$1\r\nx\r\n"
        assert watcher.asks(resp(b"exec")) == b"*-1\r\n"
        assert listener.hears().count(b"*3\r\n") >= 4

    def test_one_who_vanishes_while_he_waits_is_no_matter(self) -> None:
        house, peers = crowd()
        turn = house.factory.turn
        turn.begin()
        for peer in peers:
            peer.protocol.dataReceived(resp(b"incr", b"n"))
        peers[1].vanishes()
        peers[2].protocol.fail()
        turn.end()
        assert [peer.hears() for peer in peers] == [b":1\r\n", b"", b"", b":2\r\n"]
        assert house.remains() == {}

    def test_the_lane_of_one_who_vanishes_is_closed(self) -> None:
        # Its descriptor may be that of a file by the time at which the others' replies are sent.
        house, peers = crowd()
        turn = house.factory.turn
        turn.begin()
        for peer in peers:
            peer.protocol.dataReceived(resp(b"incr", b"n"))
        lane, group = peers[1].protocol.lane, peers[1].protocol.lane.group
        assert lane.is_clear
        peers[1].vanishes()
        assert not lane.is_clear
        assert lane.groups is None
        assert group is not None
        assert group.spoiled
        turn.end()
        assert core.send_each([lane], [b"line"]) == [(lane, b"line")]

    def test_one_who_has_hung_up_meanwhile_gets_his_reply(self) -> None:
        house, peers = crowd()
        turn = house.factory.turn
        turn.begin()
        for peer in peers:
            peer.protocol.dataReceived(resp(b"incr", b"n"))
        peers[1].protocol.readConnectionLost()
        turn.end()
        assert [peer.hears() for peer in peers] == [b":%d\r\n" % n for n in (1, 4, 2, 3)]
        assert [peer.closed for peer in peers] == [False, True, False, False]
