"""Conversations: what a peer sends, and byte for byte what it gets.

What happens to peers that read slowly or not at all is in ``test_protocol_pressure.py``, nonsense
in ``test_protocol_garbage.py``.
"""

from __future__ import annotations

import json

import pytest
from harness import House, Peer
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.logger import capturedLogs

from memdbd.commands.table import COMMANDS, CONTAINERS
from memdbd.errors import CommandError
from memdbd.factory import STOP_LIMIT
from memdbd.limits import Limits
from memdbd.protocol import READ_AHEAD
from memdbd.replies import OK as DONE
from memdbd.sending import LINGER

Exchange = tuple[bytes, bytes]  # a request, and the reply to it, both without their line ends

LIMITS = Limits()
OK = b'{"result": "OK"}'
PONG = b'{"result": "PONG"}'
NOTHING = b'{"result": null, "ttl_remaining": null}'


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def peer(house: House) -> Peer:
    return house.connect()


def converse(peer: Peer, *exchanges: Exchange) -> None:
    """Each request gets exactly its reply before the next is sent."""
    for request, reply in exchanges:
        assert (request, peer.asks(request + b"\n")) == (request, reply + b"\n")


class TestTheTableOfReplies:
    """The commands of the first session, in the order of their documentation."""

    def test_get_and_set(self, peer: Peer) -> None:
        converse(
            peer,
            (b"get username", NOTHING),
            (b"set username john_doe", OK),
            (b"get username", b'{"result": "john_doe", "ttl_remaining": null}'),
            (b"set username john  q. doe ", OK),
            (b"get username", b'{"result": "john  q. doe", "ttl_remaining": null}'),
            (b'set username "john\\tdoe"', OK),
            (b"get username", b'{"result": "john\\tdoe", "ttl_remaining": null}'),
        )

    def test_set_with_ttl(self, peer: Peer, house: House) -> None:
        converse(
            peer,
            (b"set_with_ttl temp_token abc123 60", b'{"result": "OK", "ttl_set": 60}'),
            (b"get temp_token", b'{"result": "abc123", "ttl_remaining": 60}'),
            (b"set_with_ttl a two words", b'{"result": "OK", "ttl_set": 3600}'),
            (b"get a", b'{"result": "two words", "ttl_remaining": 3600}'),
            (b"set_with_ttl b 7", b'{"result": "OK", "ttl_set": 3600}'),
            (b"get b", b'{"result": "7", "ttl_remaining": 3600}'),
            (b"set_with_ttl c 7 8", b'{"result": "OK", "ttl_set": 8}'),
            (b"get c", b'{"result": "7", "ttl_remaining": 8}'),
        )
        house.passes(59.4)
        converse(peer, (b"get temp_token", b'{"result": "abc123", "ttl_remaining": 1}'))
        house.passes(0.6)
        converse(peer, (b"get temp_token", NOTHING))

    def test_set_clears_a_deadline(self, peer: Peer) -> None:
        converse(
            peer,
            (b"set_with_ttl k v 60", b'{"result": "OK", "ttl_set": 60}'),
            (b"set k v", OK),
            (b"get k", b'{"result": "v", "ttl_remaining": null}'),
        )

    def test_delete(self, peer: Peer) -> None:
        converse(
            peer,
            (b"delete k", b'{"result": "Key not found"}'),
            (b"set k v", OK),
            (b"delete k", OK),
            (b"get k", NOTHING),
        )

    def test_keys(self, peer: Peer) -> None:
        converse(
            peer,
            (b"keys", b'{"result": []}'),
            (b"set username john_doe", OK),
            (b"set_with_ttl temp_token abc123 60", b'{"result": "OK", "ttl_set": 60}'),
            (b"keys", b'{"result": ["username", "temp_token"]}'),
            (b"keys temp_*", b'{"result": ["temp_token"]}'),
            (b"keys nothing*", b'{"result": []}'),
        )

    def test_subscribe_and_publish(self, peer: Peer) -> None:
        assert peer.asks(b"subscribe notifications\n") == (
            b'{"result": "OK", "action": "subscribe", "channel": "notifications"}\n'
        )
        assert peer.asks(b'publish notifications "Hello World"\n') == (
            b'{"result": "OK"}\n{"channel": "notifications", "message": "Hello World"}\n'
        )
        converse(
            peer,
            (b"publish nobody listens here", OK),
            (b"list_channels", b'{"result": ["notifications"]}'),
            (b"list_subscribers notifications", b'{"result": 1}'),
            (b"list_subscribers nobody", b'{"result": 0}'),
        )

    def test_unsubscribe(self, peer: Peer) -> None:
        converse(
            peer,
            (b"subscribe a b", b'{"result": "OK", "action": "subscribe", "channel": ["a", "b"]}'),
            (b"unsubscribe a", b'{"result": "OK", "action": "unsubscribe", "channel": "a"}'),
            (b"list_channels", b'{"result": ["b"]}'),
        )
        assert json.loads(peer.asks(b"unsubscribe\n"))["action"] == "unsubscribe"
        converse(peer, (b"list_channels", b'{"result": []}'), (b"publish b hello", OK))

    def test_deadlines(self, peer: Peer) -> None:
        converse(
            peer,
            (b"ttl k", b'{"result": -2}'),
            (b"expire k 5", b'{"result": 0}'),
            (b"persist k", b'{"result": 0}'),
            (b"set k v", OK),
            (b"ttl k", b'{"result": -1}'),
            (b"persist k", b'{"result": 0}'),
            (b"expire k 5", b'{"result": 1}'),
            (b"ttl k", b'{"result": 5}'),
            (b"persist k", b'{"result": 1}'),
            (b"ttl k", b'{"result": -1}'),
        )

    def test_the_other_commands_on_keys(self, peer: Peer) -> None:
        converse(
            peer,
            (b"exists n", b'{"result": 0}'),
            (b"type n", b'{"result": "none"}'),
            (b"incr n", b'{"result": 1}'),
            (b"incr n", b'{"result": 2}'),
            (b"append n 0 and more", b'{"result": 11}'),
            (b"get n", b'{"result": "20 and more", "ttl_remaining": null}'),
            (b"rename n m", OK),
            (b"exists n", b'{"result": 0}'),
            (b"exists m", b'{"result": 1}'),
            (b"type m", b'{"result": "string"}'),
            (b"dbsize", b'{"result": 1}'),
            (b"flushall", OK),
            (b"dbsize", b'{"result": 0}'),
        )

    def test_the_server_and_the_connection(self, peer: Peer, house: House) -> None:
        house.server.sections = {"server": lambda: {"version": "1.2", "pid": 7}}
        converse(
            peer,
            (b"ping", PONG),
            (b"ping are you there", b'{"result": "are you there"}'),
            (b"echo hello   world", b'{"result": "hello   world"}'),
            (b"time", b'{"result": ["1700000000", "0"]}'),
            (b"info", b'{"result": {"server": {"version": "1.2", "pid": 7}}}'),
            (b"help get", b'{"result": {"get <key>": "The value of a key"}}'),
        )
        stats = json.loads(peer.asks(b"stats\n"))["result"]
        assert (stats["connections"], stats["commands"], stats["keys"]) == (1, 6, 0)

    def test_help_shows_every_command(self, peer: Peer) -> None:
        shown = json.loads(peer.asks(b"help\n"))["result"]
        assert [usage.split()[0].encode() for usage in shown] == [*COMMANDS, *CONTAINERS]
        assert all(shown.values())

    @pytest.mark.parametrize("command", [b"exit", b"quit", b"QUIT"])
    def test_exit_and_quit(self, peer: Peer, house: House, command: bytes) -> None:
        assert peer.asks(command + b"\nset k v\n") == b'{"result": "OK"}\n'
        assert peer.wire.closed is ConnectionDone
        assert house.engine.databases[0].values == {}

    def test_save_is_answered_when_it_is_done(self, peer: Peer, house: House) -> None:
        assert peer.asks(b"save\n") == b""
        house.saves[0].resolve(DONE)
        assert peer.hears() == b'{"result": "OK"}\n'

    def test_a_save_that_failed_is_an_error(self, peer: Peer, house: House) -> None:
        peer.asks(b"save\n")
        house.saves[0].resolve(CommandError("the disk is full", "make room"))
        assert peer.hears() == b'{"error": "the disk is full; make room"}\n'


class TestWhatIsWrong:
    @pytest.mark.parametrize(
        ("request_", "error"),
        [
            (b"gte k", b"unknown command 'gte', did you mean 'get'?"),
            (b"xyzzy", b"unknown command 'xyzzy', try 'help'"),
            (b"get", b"wrong number of arguments for 'get' command; usage: get <key>"),
            (b"get a b", b"wrong number of arguments for 'get' command; usage: get <key>"),
            (b"rename a b", b"no such key"),
            (
                b"set k 'x",
                b"unbalanced quotes in word 3; "
                b"a word that starts with a quote ends with the same quote and a blank",
            ),
            (
                b"expire k soon",
                b"value is not an integer or out of range; "
                b"usage: expire <key> <seconds> [NX|XX|GT|LT]",
            ),
            (
                b"set_with_ttl k v 0",
                b"invalid expire time in 'set_with_ttl' command; <ttl> is at least 1 second",
            ),
            (
                b'["set", 5]',
                b"a JSON request is an array of one or more strings; "
                b'a request is like [\\"set\\", \\"key\\", \\"value\\"]',
            ),
        ],
    )
    def test_is_told_and_the_connection_lives_on(
        self, peer: Peer, request_: bytes, error: bytes
    ) -> None:
        converse(peer, (request_, b'{"error": "' + error + b'"}'), (b"ping", PONG))

    def test_an_incr_of_what_is_no_number_changes_nothing(self, peer: Peer) -> None:
        converse(
            peer,
            (b"set k v", OK),
            (b"incr k", b'{"error": "value is not an integer or out of range"}'),
            (b"get k", b'{"result": "v", "ttl_remaining": null}'),
        )

    @pytest.mark.parametrize(
        ("start", "limit"), [(b"x", LIMITS.max_line), (b'["', LIMITS.max_json_line)]
    )
    def test_a_line_over_the_limit_is_an_error_and_the_end(
        self, peer: Peer, start: bytes, limit: int
    ) -> None:
        endless = [start] + [b"x" * 4096] * (limit // 4096)
        assert peer.asks(b"ping\n", *endless) == PONG + (
            b'\n{"error": "line is too long: at most %d bytes are allowed"}\n' % limit
        )
        assert peer.closed

    def test_a_line_at_the_limit_is_answered(self, peer: Peer) -> None:
        word = b"x" * (LIMITS.max_line - len(b"echo "))
        converse(peer, (b"echo " + word, b'{"result": "' + word + b'"}'))


class TestHowRequestsArrive:
    def test_the_socket_sends_at_once_and_notices_who_has_vanished(self, peer: Peer) -> None:
        assert peer.wire.getTcpNoDelay()
        assert peer.wire.getTcpKeepAlive()

    def test_many_in_one_piece_are_answered_in_their_order(self, peer: Peer) -> None:
        assert peer.asks(b"incr n\nget n\n\nincr n\ngte\r\nincr n\n") == (
            b'{"result": 1}\n'
            b'{"result": "1", "ttl_remaining": null}\n'
            b'{"result": 2}\n'
            b"{\"error\": \"unknown command 'gte', did you mean 'get'?\"}\n"
            b'{"result": 3}\n'
        )

    def test_one_in_many_pieces_is_answered_once_it_is_whole(self, peer: Peer) -> None:
        for byte in b"echo one two":
            assert peer.asks(bytes([byte])) == b""
        assert peer.asks(b"\n") == b'{"result": "one two"}\n'

    def test_a_request_without_its_line_end_is_not_run(self, peer: Peer, house: House) -> None:
        peer.sends(b"set k v")
        peer.ends()
        assert peer.hears() == b""
        assert peer.closed
        assert house.engine.databases[0].values == {}

    def test_empty_lines_have_no_reply(self, peer: Peer) -> None:
        assert peer.asks(b"\n\r\n  \n\t\r\nping\n") == b'{"result": "PONG"}\n'

    def test_more_than_one_slice_is_answered_over_several_turns(
        self, peer: Peer, house: House
    ) -> None:
        count = house.dispatcher.SLICE_REQUESTS * 5 + 1
        peer.sends(b"incr n\n" * count)
        house.turn()
        # What was read, and the first slice of what was left over.
        assert house.engine.databases[0].values[b"n"] == b"%d" % (
            house.dispatcher.SLICE_REQUESTS * 2
        )
        expected = b"".join(b'{"result": %d}\n' % number for number in range(1, count + 1))
        assert peer.hears() == expected

    def test_a_long_pipeline_does_not_keep_others_waiting(self, house: House) -> None:
        busy, other = house.connect(), house.connect()
        busy.sends(b"incr n\n" * house.dispatcher.SLICE_REQUESTS * 10)
        other.sends(b"get n\n")
        house.turn()
        house.turn()
        assert int(json.loads(bytes(other.wire.taken))["result"]) == (
            house.dispatcher.SLICE_REQUESTS
        )

    def test_what_arrives_in_spite_of_a_pause_is_answered_too(self, house: House) -> None:
        # TLS hands over the rest of what it has decrypted, whether the transport is paused or not.
        peer = house.connect()
        peer.pushy = True
        many = house.dispatcher.SLICE_REQUESTS + 1
        peer.sends(b"incr n\n" * many, b"incr n\n", b"incr n\nin", b"cr n\n")
        expected = b"".join(b'{"result": %d}\n' % n for n in range(1, many + 4))
        assert peer.hears() == expected

    def test_the_connection_is_read_again_after_that(self, house: House) -> None:
        peer = house.connect()
        peer.pushy = True
        peer.asks(b"ping\n" * (house.dispatcher.SLICE_REQUESTS + 1), b"ping\n")
        peer.pushy = False
        converse(peer, (b"ping", PONG))

    def test_all_replies_of_a_turn_are_one_write(self, peer: Peer, house: House) -> None:
        writes: list[bytes] = []
        peer.wire.write = writes.append  # type: ignore[method-assign,assignment]
        peer.asks(b"ping\nping\nping\n")
        assert writes == [(PONG + b"\n") * 3]


class TestSaveInAPipeline:
    def test_later_requests_wait_for_its_reply(self, peer: Peer, house: House) -> None:
        assert peer.asks(b"set a 1\nsave\nset a 2\nget a\n") == OK + b"\n"
        assert house.engine.databases[0].values == {b"a": b"1"}
        house.saves[0].resolve(DONE)
        assert peer.hears() == (
            b'{"result": "OK"}\n{"result": "OK"}\n{"result": "2", "ttl_remaining": null}\n'
        )

    def test_little_is_read_meanwhile(self, peer: Peer, house: House) -> None:
        peer.asks(b"save\n")
        assert peer.asks(b"ping\n") == b""
        assert peer.wire.producerState == "producing"  # to notice if the peer goes
        assert peer.asks(b"\n" * READ_AHEAD) == b""
        assert peer.wire.producerState == "paused"
        house.saves[0].resolve(DONE)
        assert peer.hears() == b'{"result": "OK"}\n{"result": "PONG"}\n'

    def test_others_are_answered_meanwhile(self, peer: Peer, house: House) -> None:
        peer.asks(b"save\n")
        converse(house.connect(), (b"ping", PONG))

    def test_several_are_answered_one_after_the_other(self, peer: Peer, house: House) -> None:
        assert peer.asks(b"save\nping\nsave\nping\n") == b""
        house.saves[0].resolve(DONE)
        assert peer.hears() == b'{"result": "OK"}\n{"result": "PONG"}\n'
        house.saves[1].resolve(CommandError("no"))
        assert peer.hears() == b'{"error": "no"}\n{"result": "PONG"}\n'

    def test_a_peer_that_stops_reading_meanwhile_gets_all_when_it_reads(
        self, peer: Peer, house: House
    ) -> None:
        peer.reads = False
        long = b"x" * 60_000
        assert peer.asks(b"echo " + long + b"\necho " + long + b"\nsave\nping\n") == b""
        house.saves[0].resolve(DONE)
        house.settle()
        peer.sends(b"incr n\n")
        house.settle()
        assert house.engine.databases[0].values == {}
        peer.reads = True
        echoed = b'{"result": "' + long + b'"}\n'
        assert peer.hears() == echoed * 2 + OK + b"\n" + PONG + b'\n{"result": 1}\n'

    def test_a_peer_that_reads_again_before_it_is_done_waits_for_it(
        self, peer: Peer, house: House
    ) -> None:
        peer.reads = False
        long = b"x" * 60_000
        peer.asks(b"echo " + long + b"\necho " + long + b"\nsave\nping\n")
        peer.reads = True
        assert peer.hears() == (b'{"result": "' + long + b'"}\n') * 2
        assert peer.asks(b"ping\n") == b""
        house.saves[0].resolve(DONE)
        assert peer.hears() == OK + b"\n" + (PONG + b"\n") * 2

    def test_a_peer_that_is_gone_by_then_is_not_missed(self, peer: Peer, house: House) -> None:
        peer.asks(b"save\nping\n")
        peer.vanishes()
        house.saves[0].resolve(DONE)
        assert peer.hears() == b""
        assert house.factory.connections == {}

    def test_messages_are_pushed_meanwhile(self, peer: Peer, house: House) -> None:
        peer.asks(b"subscribe ch\n")
        peer.asks(b"save\n")
        house.connect().asks(b"publish ch hello\n")
        assert peer.hears() == b'{"channel": "ch", "message": "hello"}\n'
        house.saves[0].resolve(DONE)
        assert peer.hears() == b'{"result": "OK"}\n'


class TestPublishAndSubscribe:
    def test_each_subscriber_gets_each_message_in_order(self, house: House) -> None:
        subscribers = [house.connect() for _ in range(3)]
        for each in subscribers:
            each.asks(b"subscribe ch\n")
        house.connect().asks(b"publish ch one\npublish ch two\n")
        for each in subscribers:
            assert each.hears() == (
                b'{"channel": "ch", "message": "one"}\n{"channel": "ch", "message": "two"}\n'
            )

    def test_a_message_is_encoded_once_for_all(self, house: House) -> None:
        lines: list[int] = []
        for _ in range(3):
            subscriber = house.connect()
            subscriber.asks(b"subscribe ch\n")
            subscriber.protocol._hand_over = lambda piece: lines.append(id(piece))  # type: ignore[method-assign]
        house.connect().asks(b"publish ch one\n")
        assert len(lines) == 3
        assert len(set(lines)) == 1

    def test_a_subscriber_still_runs_commands(self, peer: Peer) -> None:
        peer.asks(b"subscribe ch\n")
        converse(peer, (b"set k v", OK), (b"ping", PONG))

    def test_a_message_to_oneself_comes_behind_its_reply(self, peer: Peer) -> None:
        peer.asks(b"subscribe ch\n")
        assert peer.asks(b"publish ch 1\nping\npublish ch 2\n") == (
            b'{"result": "OK"}\n{"channel": "ch", "message": "1"}\n'
            b'{"result": "PONG"}\n'
            b'{"result": "OK"}\n{"channel": "ch", "message": "2"}\n'
        )

    def test_in_resp_it_comes_in_front(self, house: House) -> None:
        peer = house.connect()
        assert peer.asks(b"*1\r\n$4\r\nPING\r\nHELLO 3\r\nSUBSCRIBE ch\r\n").endswith(b":1\r\n")
        message = b">3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$1\r\n%d\r\n"
        assert peer.asks(b"PUBLISH ch 1\r\nPING\r\nPUBLISH ch 2\r\n") == (
            message % 1 + b":1\r\n+PONG\r\n" + message % 2 + b":1\r\n"
        )
        assert peer.protocol.unsent == 0

    def test_ones_own_changes_come_behind_their_replies(self, peer: Peer) -> None:
        peer.asks(b"subscribe db_updates\n")
        assert peer.asks(b"set k v\n") == (
            b'{"result": "OK"}\n'
            b'{"channel": "db_updates", "message": "{\\"operation\\": \\"set\\", '
            b'\\"key\\": \\"k\\", \\"timestamp\\": 1700000000.000}"}\n'
        )

    def test_twice_subscribed_is_once_delivered(self, peer: Peer) -> None:
        peer.asks(b"subscribe ch\nsubscribe ch ch\n")
        assert peer.asks(b"publish ch 1\n").count(b"message") == 1

    def test_what_is_not_utf8_is_marked(self, peer: Peer) -> None:
        peer.asks(b"subscribe ch\n")
        assert peer.asks(b'publish ch "\\xff"\n').endswith(
            b'{"channel": "ch", "message": "/w==", "encoding": "base64"}\n'
        )

    @pytest.mark.parametrize("way", ["vanishes", "quits", "ends"])
    def test_a_subscriber_that_goes_is_forgotten_at_once(self, house: House, way: str) -> None:
        subscriber, other = house.connect(), house.connect()
        subscriber.asks(b"subscribe ch\n")
        if way == "vanishes":
            subscriber.vanishes()
        elif way == "quits":
            subscriber.reads = False  # and so the connection is still there
            subscriber.asks(b"quit\n")
        else:
            subscriber.ends()
        converse(
            other,
            (b"list_channels", b'{"result": []}'),
            (b"list_subscribers ch", b'{"result": 0}'),
        )


class TestAReplyThatIsPending:
    def test_keeps_no_message_back_that_its_own_request_has_brought(
        self, peer: Peer, house: House
    ) -> None:
        peer.asks(b"subscribe db_updates\nset_with_ttl k v 1\n")
        house.clock.passes(1)
        (line,) = peer.asks(b"blpop k 0\n").splitlines()  # finds that the key has expired
        assert json.loads(json.loads(line)["message"])["operation"] == "expire"


class TestTheEnd:
    def test_a_peer_that_has_said_all_gets_all_replies_and_is_closed(self, peer: Peer) -> None:
        peer.sends(b"set k v\nget k\n")
        peer.ends()
        assert peer.hears() == b'{"result": "OK"}\n{"result": "v", "ttl_remaining": null}\n'
        assert peer.wire.closed is ConnectionDone

    @pytest.mark.parametrize("pushy", [False, True])
    def test_even_if_that_takes_several_slices(self, house: House, pushy: bool) -> None:
        peer = house.connect()
        peer.pushy = pushy
        count = house.dispatcher.SLICE_REQUESTS * 2 + 10
        peer.sends(b"ping\n" * count, b"ping\n")
        peer.ends()
        assert peer.hears() == (PONG + b"\n") * (count + 1)
        assert peer.wire.closed is ConnectionDone

    def test_which_is_long_is_sent_piece_by_piece_though_it_was_pending(
        self, peer: Peer, house: House
    ) -> None:
        peer.sends(b"save\nping\n")
        house.settle()
        house.saves[0].resolve([b"x"] * 100_000)
        assert peer.protocol._outbox.size == 0
        reply, pong = peer.hears().splitlines()
        assert json.loads(reply) == {"result": ["x"] * 100_000}
        assert pong == PONG

    def test_even_if_one_of_them_is_pending(self, peer: Peer, house: House) -> None:
        peer.sends(b"save\nping\n")
        peer.ends()
        assert peer.hears() == b""
        assert not peer.closed
        house.saves[0].resolve(DONE)
        assert peer.hears() == OK + b"\n" + PONG + b"\n"
        assert peer.wire.closed is ConnectionDone

    def test_a_peer_that_does_not_take_its_last_replies_is_aborted(
        self, peer: Peer, house: House
    ) -> None:
        peer.reads = False
        peer.asks(b"quit\n")
        house.passes(LINGER - 0.1)
        assert not peer.closed
        house.passes(0.1)
        assert peer.wire.closed is ConnectionAborted
        assert house.clock.getDelayedCalls() == []

    def test_nothing_is_run_behind_a_request_that_has_ended_the_connection(
        self, peer: Peer, house: House
    ) -> None:
        house.engine.changes.listeners.join(lambda *change: peer.protocol.kill())
        peer.asks(b"set k v\nset k w\nmonitor\nclient tracking on\nsubscribe ch\nblpop l 0\n")
        assert peer.closed
        assert house.engine.databases[0].values == {b"k": b"v"}
        assert house.remains() == {}

    def test_nor_is_waited_for_a_reply_in_which_it_has_ended(self, house: House) -> None:
        peer = house.connect()
        peer.asks(b"subscribe db_updates\nset_with_ttl k v 1\n")
        house.clock.passes(1)
        peer.protocol.session.deliver = lambda message: peer.protocol.kill()
        peer.asks(b"blpop k 0\n")  # which finds that the key has expired
        assert peer.closed
        assert house.remains() == {}

    def test_a_closed_connection_leaves_no_timer(self, peer: Peer, house: House) -> None:
        peer.asks(b"quit\n")
        assert peer.closed
        assert house.clock.getDelayedCalls() == []

    def test_a_lost_connection_takes_its_unanswered_requests_along(
        self, peer: Peer, house: House
    ) -> None:
        count = house.dispatcher.SLICE_REQUESTS * 5
        peer.sends(b"incr n\n" * count)
        house.turn()
        peer.vanishes()
        ran = house.engine.databases[0].values[b"n"]
        house.settle()
        assert house.engine.databases[0].values[b"n"] == ran
        assert int(ran) < count

    def test_close_all_fires_when_all_are_gone(self, house: House) -> None:
        peers = [house.connect() for _ in range(3)]
        for each in peers:
            each.asks(b"ping\n")
        gone = house.factory.close_all()
        assert not gone.called
        house.settle()
        assert gone.called
        assert [each.wire.closed for each in peers] == [ConnectionDone] * 3

    def test_close_all_with_nobody_there_fires_at_once(self, house: House) -> None:
        assert house.factory.close_all().called

    def test_close_all_sends_the_replies_of_what_was_run(self, peer: Peer, house: House) -> None:
        peer.sends(b"incr n\n" * house.dispatcher.SLICE_REQUESTS * 5)
        house.turn()
        house.factory.close_all()
        answered = peer.hears().count(b"\n")
        assert house.engine.databases[0].values[b"n"] == b"%d" % answered
        assert peer.wire.closed is ConnectionDone

    def test_close_all_ends_who_waits_for_a_save(self, peer: Peer, house: House) -> None:
        peer.asks(b"save\n")
        gone = house.factory.close_all()
        house.settle()
        assert gone.called
        house.saves[0].resolve(DONE)
        assert peer.hears() == b""

    def test_close_all_waits_for_who_does_not_read_no_longer_than_it_must(
        self, peer: Peer, house: House
    ) -> None:
        peer.reads = False
        peer.asks(b"ping\n")
        gone = house.factory.close_all()
        house.passes(STOP_LIMIT - 0.1)
        assert not gone.called
        house.passes(0.1)
        assert gone.called

    def test_close_all_called_twice_fires_twice(self, peer: Peer, house: House) -> None:
        peer.reads = False
        peer.asks(b"ping\n")
        gone = [house.factory.close_all(), house.factory.close_all()]
        house.passes(STOP_LIMIT)
        assert [each.called for each in gone] == [True, True]

    def test_a_defect_on_one_connection_ends_that_one_only(self, house: House) -> None:
        bad, good = house.connect(), house.connect()
        bad.protocol._sent = lambda: 1 // 0  # type: ignore[assignment,method-assign]
        bad.sends(b"ping\n")
        good.sends(b"ping\n")
        with capturedLogs() as events:
            assert good.hears() == PONG + b"\n"
        assert bad.wire.closed is ConnectionAborted
        assert [event["log_failure"].type for event in events] == [ZeroDivisionError]

    @pytest.mark.parametrize("room", range(20))
    def test_what_the_socket_takes_at_once_comes_before_the_rest(
        self, room: int, house: House
    ) -> None:
        peer = house.connect()
        peer.reads = False
        peer.wire.room = room
        assert peer.asks(b"echo 1\n", b"echo 2\n") + bytes(peer.wire.untaken) == (
            b'{"result": "1"}\n{"result": "2"}\n'
        )
        peer.wire.room = 1000
        peer.asks(b"echo 3\n")
        assert len(peer.wire.taken) == room  # for it is behind what waits
        peer.reads = True
        assert peer.asks().endswith(b'{"result": "3"}\n')

    def test_a_socket_that_is_gone_is_left_to_the_reactor(self, house: House) -> None:
        peer = house.connect()
        gone = ConnectionDone()
        peer.wire.writeSomeData = lambda data: gone  # type: ignore[method-assign]
        assert peer.asks(b"ping\n") == PONG + b"\n"

    def test_stats_tell_of_the_connections(self, house: House) -> None:
        peers = [house.connect() for _ in range(3)]
        peers[0].vanishes()
        assert house.factory.stats() == {
            "connections": 2,
            "connections_accepted": 3,
            "connections_rejected": 0,
            "clients_unauthenticated": 0,
            "subscribers_cut": 0,
        }


class TestTelnet:
    @pytest.mark.parametrize(
        ("sent", "refused"),
        [
            (b"\xff\xf4\xff\xfd\x06", b"\xff\xfc\x06"),  # Ctrl-C: interrupt, DO TIMING-MARK
            (b"\xff\xfd\x01\xff\xfb\x03", b"\xff\xfc\x01\xff\xfe\x03"),
            (b"\xff\xf1", b""),
        ],
    )
    def test_its_options_are_refused_and_the_line_behind_them_is_answered(
        self, peer: Peer, sent: bytes, refused: bytes
    ) -> None:
        assert peer.asks(sent) == b""
        assert peer.asks(b"ping\r\n") == refused + PONG + b"\n"

    def test_a_value_is_not_looked_into(self, peer: Peer, house: House) -> None:
        peer.asks(b"set k \xff\xfd\x06\n\xffset k x\n")
        assert house.engine.databases[0].values == {b"k": b"\xff\xfd\x06"}


class TestATurnThatIsLate:
    def test_answers_in_the_next(self, peer: Peer, house: House) -> None:
        house.factory.turn.is_late()
        house.clock.rightNow += house.factory.turn.BUDGET
        peer.protocol.dataReceived(b"ping\n")
        peer.protocol.dataReceived(b"echo a\n")
        assert house.dispatcher.stats()["commands"] == 0
        assert peer.hears() == PONG + b'\n{"result": "a"}\n'
        assert peer.wire.producerState == "producing"


class TestALongWord:
    @pytest.mark.parametrize(("length", "is_expected"), [(20_000, True), (10_000, False)])
    def test_in_whose_middle_it_is_has_more_read_at_once(
        self, house: House, monkeypatch: pytest.MonkeyPatch, length: int, is_expected: bool
    ) -> None:
        expected: list[object] = []
        monkeypatch.setattr(house.factory.poll, "expect_long", expected.append)
        peer = house.connect()
        asked = b"*2\r\n$4\r\nECHO\r\n$%d\r\n%b\r\n" % (length, b"x" * length)
        assert peer.asks(asked[:1000]) == b""
        assert expected == [peer.wire] * is_expected
        assert peer.asks(asked[1000:]) == asked[14:]
        assert expected == [peer.wire] * is_expected  # nothing is missing
