"""Requests of many connections that are run together at the end of a turn: each connection is
answered as if it had been alone."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from crowds import NULL, OK, PLENTY, WRONG, calls_together, crowd, resp, together
from harness import House
from twisted.logger import capturedLogs

from memdbd.core.lanes import MOST_OF_ALL
from memdbd.dialects.interface import RespDialect
from memdbd.replies import Status


class TestRequestsThatComeTogether:
    def test_are_run_as_one_and_answered_at_the_end_of_the_turn(self) -> None:
        house, peers = crowd()
        sizes = calls_together(house)
        turn = house.factory.turn
        turn.begin()
        for number, peer in enumerate(peers):
            peer.protocol.dataReceived(resp(b"set", b"k%d" % number, b"%d" % number))
        assert house.engine.databases[0].values == {}
        turn.end()
        assert sizes == [4]
        assert [bytes(peer.wire.taken)[-5:] for peer in peers] == [OK] * 4
        together(house, *[(peer, resp(b"get", b"k%d" % n)) for n, peer in enumerate(peers)])
        assert [peer.hears() for peer in peers] == [OK + b"$1\r\n%d\r\n" % n for n in range(4)]

    def test_are_answered_behind_what_their_connection_has_asked_before(self) -> None:
        # The last slice of a pipeline is answered behind a turn's commit, and sent in the next.
        house, peers = crowd()
        pipeline = b"".join(resp(b"echo", b"%d" % n) + resp(b"strlen", b"no") for n in range(200))
        peers[0].protocol.dataReceived(pipeline)
        house.factory.turn.end()
        assert b"199" not in bytes(peers[0].wire.taken)
        sizes = calls_together(house)
        together(house, *[(peer, resp(b"get", b"nothing")) for peer in peers])
        assert peers[0].hears().endswith(b"$3\r\n199\r\n:0\r\n" + NULL)
        assert [peer.hears() for peer in peers[1:]] == [NULL] * 3
        together(house, *[(peer, resp(b"get", b"nothing")) for peer in peers])
        assert sizes == [3, 4]  # all of them, as soon as that is sent

    def test_are_answered_behind_what_was_pushed_before(self) -> None:
        house, peers = crowd()
        peers[0].protocol.push(Status("pushed"))
        together(house, *[(peer, resp(b"get", b"nothing")) for peer in peers])
        assert [peer.hears() for peer in peers] == [b"+pushed\r\n" + NULL] + [NULL] * 3

    def test_of_those_who_send_several_keep_their_order(self) -> None:
        house, peers = crowd()
        sizes = calls_together(house)
        together(house, *[(peer, resp(b"incr", b"n") * 3) for peer in peers])
        assert sizes == [12]
        heard = [peer.hears() for peer in peers]
        assert heard == [b":%d\r\n:%d\r\n:%d\r\n" % (n, n + 1, n + 2) for n in (1, 4, 7, 10)]

    def test_where_one_is_unusual_those_behind_it_are_still_answered(self) -> None:
        house, peers = crowd()
        house.engine.databases[0].values[b"list"] = deque([b"x"])
        requests = [b"a", b"list", b"b", b"c"]
        together(house, *[(peer, resp(b"incr", key)) for peer, key in zip(peers, requests)])  # noqa: B905
        assert [peer.hears() for peer in peers] == [b":1\r\n", WRONG, b":1\r\n", b":1\r\n"]

    def test_of_several_each_connection_gets_the_replies_to_its_own(self) -> None:
        house, peers = crowd(4)
        asked = [
            resp(b"rpush", b"q", b"a") + resp(b"rpush", b"q", b"b"),
            resp(b"rpush", b"q", b"c"),
            resp(b"rpush", b"q", b"x", b"y", b"z"),
            resp(b"set", b"lock", b"me", b"nx") + resp(b"set", b"lock", b"you", b"nx"),
        ]
        together(house, *zip(peers, asked, strict=True))
        heard = [peer.hears() for peer in peers]
        # The third, which is usual in nothing, is run at once.
        assert heard == [b":4\r\n:5\r\n", b":6\r\n", b":3\r\n", OK + b"$-1\r\n"]
        assert [*house.engine.databases[0].values[b"q"]] == [*map(bytes, zip(b"xyzabc"))]

    def test_a_request_of_more_words_takes_no_reply_of_others(self) -> None:
        house, peers = crowd(3)
        asked = [
            resp(b"set", b"a", b"1") + resp(b"set", b"b", b"2"),
            resp(b"set", b"c", b"3"),
            resp(b"set", b"a", b"4", b"xx", b"get"),
        ]
        together(house, *zip(peers, asked, strict=True))
        assert [peer.hears() for peer in peers] == [OK + OK, OK, b"$-1\r\n"]

    def test_in_two_cases_and_with_other_numbers_of_words_are_all_answered(self) -> None:
        house, peers = crowd(6)
        asked = [
            resp(b"set", b"a", b"1"),
            resp(b"SET", b"b", b"1"),
            resp(b"set", b"c", b"1", b"ex", b"10"),
            resp(b"set", b"d"),
            resp(b"Set", b"e", b"1"),
            resp(b"set", b"f", b"1"),
        ]
        together(house, *zip(peers, asked, strict=True))
        arity = b"-ERR wrong number of arguments for 'set' command\r\n"
        assert [peer.hears() for peer in peers] == [OK, OK, OK, arity, OK, OK]
        assert [*house.engine.databases[0].values] == [b"c", b"e", b"a", b"b", b"f"]

    def test_of_both_dialects_and_both_versions_are_each_answered_in_their_own(self) -> None:
        house, peers = crowd(3)
        peers[1].asks(resp(b"hello", b"3"))
        line = house.connect()
        line.wire.room = PLENTY
        line.asks(b"ping\n")
        together(
            house,
            *[(peer, resp(b"get", b"nothing") * 3) for peer in peers],
            (line, b"get nothing\n" * 3),
        )
        assert [peer.hears() for peer in peers] == [NULL * 3, b"_\r\n" * 3, NULL * 3]
        assert line.hears() == b'{"result": null, "ttl_remaining": null}\n' * 3

    def test_one_each_of_both_versions_are_each_answered_in_their_own(self) -> None:
        house, peers = crowd(6)
        for peer in peers[::2]:
            peer.asks(resp(b"hello", b"3"))
        sizes = calls_together(house)
        together(house, *[(peer, resp(b"get", b"nothing")) for peer in peers])
        assert sizes == [3, 3]
        assert [peer.hears() for peer in peers] == [b"_\r\n", NULL] * 3

    def test_are_run_in_the_database_that_each_has_selected(self) -> None:
        house, peers = crowd(6)
        for peer in peers[3:]:
            peer.asks(resp(b"select", b"5"))
        together(house, *[(peer, resp(b"incr", b"n")) for peer in peers])
        assert [peer.hears() for peer in peers] == [b":1\r\n", b":2\r\n", b":3\r\n"] * 2
        assert [each.values for each in house.engine.databases if each.values] == [{b"n": b"3"}] * 2

    def test_are_counted_as_one_by_one(self) -> None:
        house, peers = crowd()
        keys = [b"a", b"b", b"a", b"b"]
        peers[0].asks(resp(b"set", b"a", b"1"))
        before, stats = house.factory.received, house.engine.stats()
        sent = house.factory.sent
        together(house, *[(peer, resp(b"get", key)) for peer, key in zip(peers, keys, strict=True)])
        calls = house.dispatcher.counts()
        assert calls["get"][0] == 8  # with those of crowd
        after = house.engine.stats()
        assert after["key_hits"] - stats["key_hits"] == 2
        assert after["key_misses"] - stats["key_misses"] == 2
        assert house.factory.received - before == 4 * len(resp(b"get", b"a"))
        assert house.factory.sent - sent == 2 * len(b"$1\r\n1\r\n" + NULL)
        lasts = [peer.protocol.session.last for peer in peers]
        assert [last and last.full_name for last in lasts] == ["get"] * 4

    def test_of_whom_one_may_not_do_it_are_answered_and_he_is_refused(self) -> None:
        house, peers = crowd(5)
        peers[0].asks(resp(b"acl", b"setuser", b"guest", b"on", b"nopass", b"~g*", b"+get"))
        for peer in peers[3:]:
            assert peer.asks(resp(b"auth", b"guest", b"")) == OK
        together(
            house,
            *[(peer, resp(b"set", b"g", b"1")) for peer in peers[:4]],
            (peers[4], resp(b"get", b"g")),
        )
        heard = [peer.hears() for peer in peers]
        assert heard[:3] == [OK] * 3
        assert heard[3].startswith(b"-NOPERM")
        assert heard[4] in {NULL, b"$1\r\n1\r\n"}

    def test_of_those_who_may_only_listen_are_refused(self) -> None:
        house, peers = crowd(5)
        for peer in peers[:4]:
            peer.asks(resp(b"subscribe", b"news"))
        together(house, (peers[4], resp(b"publish", b"news", b"1")))
        assert all(peer.hears().endswith(b"$1\r\n1\r\n") for peer in peers[:4])
        together(house, *[(peer, resp(b"get", b"k")) for peer in peers])
        assert all(peer.hears().startswith(b"-ERR Can't execute 'get'") for peer in peers[:4])

    def test_by_the_block_of_lines_are_all_answered(self) -> None:
        # The text dialect makes the requests of many lines as they are asked for.
        house = House()
        peers = [house.connect() for _ in range(4)]
        together(house, *[(peer, b"get a\n" * 1000) for peer in peers])
        assert [peer.hears().count(b"\n") for peer in peers] == [1000] * 4

    def test_more_than_can_be_gathered_are_all_answered(self) -> None:
        house, peers = crowd(12)
        assert MOST_OF_ALL < 12 * 256
        together(house, *[(peer, resp(b"incr", b"n") * 256) for peer in peers])
        heard = [
            int(n) for peer in peers for n in peer.hears().replace(b"\r\n", b"").split(b":")[1:]
        ]
        assert sorted(heard) == list(range(1, 12 * 256 + 1))

    def test_are_all_answered_where_each_is_to_be_looked_at(self) -> None:
        house, peers = crowd(5)
        peers[4].asks(resp(b"monitor"))
        sizes = calls_together(house)
        together(house, *[(peer, resp(b"incr", b"n")) for peer in peers[:4]])
        assert sizes == []
        assert [peer.hears() for peer in peers[:4]] == [b":%d\r\n" % n for n in range(1, 5)]
        assert peers[4].hears().count(b"incr") == 4
        peers[4].vanishes()
        together(house, *[(peer, resp(b"incr", b"n")) for peer in peers[:4]])
        assert sizes == [4]


class TestADefect:
    def test_of_a_command_is_an_error_for_each_and_no_more(self) -> None:
        house, peers = crowd()

        def fails(*_: object) -> Any:
            raise ZeroDivisionError

        house.engine.execute_many = fails  # type: ignore[method-assign,assignment]
        with capturedLogs():
            together(house, *[(peer, resp(b"incr", b"n")) for peer in peers])
        assert all(peer.hears().startswith(b"-ERR internal error") for peer in peers)
        assert peers[0].asks(resp(b"incr", b"n")) == b":1\r\n"

    def test_of_one_connection_ends_that_one_alone(self) -> None:
        house, peers = crowd()

        def fails(*_: object) -> None:
            raise ZeroDivisionError

        peers[1].wire.room = 0
        peers[1].protocol.take_rest = fails  # type: ignore[method-assign,assignment]
        with capturedLogs():
            together(house, *[(peer, resp(b"incr", b"n")) for peer in peers])
        assert [peer.hears() for peer in peers] == [b":1\r\n", b"", b":3\r\n", b":4\r\n"]
        assert [peer.closed for peer in peers] == [False, True, False, False]

    def test_of_a_dialect_leaves_nobody_waiting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        house, peers = crowd()

        def fails(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(RespDialect, "encode_each", fails)
        line = house.connect()
        with capturedLogs():
            together(house, *[(peer, resp(b"incr", b"n")) for peer in peers])
        house.settle()
        assert all(peer.closed for peer in peers)
        assert line.asks(b"incr n\n") == b'{"result": 5}\n'
