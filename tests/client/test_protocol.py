"""Conversations with a :class:`Client`: what it writes, what it is told, what it gives."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import ISSLTransport, ITCPTransport
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer

from memdbd.client import (
    TLS,
    Client,
    ErrorReply,
    LoginRefused,
    Message,
    Reply,
    SpeaksTLS,
    connect,
)
from memdbd.client.protocol import CLOSING_GRACE
from memdbd.errors import CommandError, ProtocolError

OK = b'{"result": "OK"}\n'


class Conversation:
    """A client on a transport that we are the other end of."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.messages: list[Message] = []
        self.client = Client(self.clock, self.messages.append)
        self.transport = StringTransport()
        self.client.makeConnection(self.transport)

    def sent(self) -> bytes:
        """What the client wrote since it was last asked."""
        sent: bytes = self.transport.value()
        self.transport.clear()
        return sent

    def says(self, *lines: bytes) -> None:
        """The server sends lines, in one packet."""
        self.client.dataReceived(b"".join(lines))

    def loses(self, reason: Exception) -> None:
        """The connection is lost."""
        self.client.connectionLost(Failure(reason))


@pytest.fixture
def talk() -> Conversation:
    return Conversation()


def outcome(deferred: Deferred[Any]) -> Any:
    """The result a Deferred has now, or its exception; ``...`` if there is none yet."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    if not results:
        return ...
    return results[0].value if isinstance(results[0], Failure) else results[0]


class TestRequests:
    def test_a_request_is_a_line_and_its_reply_a_dict(self, talk: Conversation) -> None:
        asked = talk.client.execute("get", "k")
        assert talk.sent() == b'["get","k"]\n'
        assert not asked.called
        talk.says(b'{"result": "v", "ttl_remaining": null}\n')
        assert outcome(asked) == {"result": b"v", "ttl_remaining": None}

    def test_an_error_reply_is_a_command_error(self, talk: Conversation) -> None:
        asked = talk.client.execute("gte", "k")
        talk.says(b"{\"error\": \"unknown command 'gte', did you mean 'get'?\"}\n")
        error = outcome(asked)
        assert isinstance(error, CommandError)
        assert str(error) == "unknown command 'gte', did you mean 'get'?"

    def test_replies_belong_to_the_requests_in_their_order(self, talk: Conversation) -> None:
        asked = [talk.client.execute("incr", "n") for _ in range(3)]
        assert talk.sent() == b'["incr","n"]\n' * 3
        talk.says(b'{"result": 1}\n', b'{"error": "no"}\n', b'{"result": 3}\n')
        first, second, third = map(outcome, asked)
        assert (first, third) == ({"result": 1}, {"result": 3})
        assert isinstance(second, ErrorReply)

    def test_a_callback_may_ask_again_at_once(self, talk: Conversation) -> None:
        asked = talk.client.execute("incr", "n")
        asked.addCallback(lambda _: talk.client.execute("get", "n"))
        later = talk.client.execute("ping")
        talk.says(b'{"result": 1}\n', b'{"result": "PONG"}\n', b'{"result": "1"}\n')
        assert outcome(asked) == {"result": b"1"}
        assert outcome(later) == {"result": b"PONG"}

    def test_a_typed_line_is_sent_as_it_is(self, talk: Conversation) -> None:
        talk.client.send_line(b'set k "a  b" ').addErrback(lambda _: None)
        assert talk.sent() == b'set k "a  b" \n'

    @pytest.mark.parametrize(
        ("line", "sent"),
        [(b"*1", b" *1\n"), (b"\xff\xfd\x01", b'"\\xff\\xfd\\x01"\n'), (b" \xff", b'" \\xff"\n')],
    )
    def test_a_line_that_would_not_be_a_request_is_made_one(
        self, talk: Conversation, line: bytes, sent: bytes
    ) -> None:
        talk.client.send_line(line).addErrback(lambda _: None)
        assert talk.sent() == sent

    @pytest.mark.parametrize("line", [b"", b" \t", b"get a\nget b"])
    def test_a_line_without_exactly_one_reply_is_refused(
        self, talk: Conversation, line: bytes
    ) -> None:
        with pytest.raises(ValueError, match="not one line"):
            talk.client.send_line(line)
        assert talk.sent() == b""


class TestImpatience:
    def test_a_cancelled_requests_reply_is_dropped_and_the_order_kept(
        self, talk: Conversation
    ) -> None:
        first, second = talk.client.execute("get", "a"), talk.client.execute("get", "b")
        first.cancel()
        assert isinstance(outcome(first), CancelledError)
        talk.says(b'{"result": "A"}\n', b'{"result": "B"}\n')
        assert outcome(second) == {"result": b"B"}

    def test_a_cancelled_requests_error_is_dropped_too(self, talk: Conversation) -> None:
        first, second = talk.client.execute("gte", "a"), talk.client.execute("get", "b")
        first.cancel()
        outcome(first)
        talk.says(b'{"error": "no"}\n', b'{"result": "B"}\n')
        assert outcome(second) == {"result": b"B"}

    @pytest.mark.parametrize("by", ["argument", "addTimeout"])
    def test_a_reply_too_late_is_dropped_and_the_order_kept(
        self, talk: Conversation, by: str
    ) -> None:
        if by == "argument":
            first = talk.client.execute("save", timeout=2)
        else:
            first = talk.client.execute("save").addTimeout(2, talk.clock)
        talk.clock.advance(1)
        second = talk.client.execute("ping", timeout=2)
        talk.clock.advance(1)
        assert isinstance(outcome(first), TimeoutError)
        talk.says(OK, b'{"result": "PONG"}\n')
        assert outcome(second) == {"result": b"PONG"}
        assert talk.clock.getDelayedCalls() == []

    def test_cancelled_requests_do_not_outlive_the_connection(self, talk: Conversation) -> None:
        first = talk.client.execute("get", "a")
        first.cancel()
        assert isinstance(outcome(first), CancelledError)
        talk.loses(ConnectionLost())


class TestSubscriptions:
    def test_messages_go_to_the_callback_of_their_channel(self, talk: Conversation) -> None:
        heard: list[Any] = []
        asked = talk.client.subscribe("news", lambda *both: heard.append(both))
        assert talk.sent() == b'["subscribe","news"]\n'
        talk.says(
            b'{"result": "OK", "action": "subscribe", "channel": "news"}\n',
            b'{"channel": "news", "message": "one"}\n',
            b'{"channel": "other", "message": "two"}\n',
        )
        assert outcome(asked)["channel"] == b"news"
        assert heard == [(b"news", b"one")]
        assert [message.message for message in talk.messages] == [b"two"]

    def test_messages_between_replies_change_nothing_for_them(self, talk: Conversation) -> None:
        asked = [talk.client.execute("get", key) for key in "ab"]
        talk.says(b'{"result": "A"}\n', b'{"channel": "c", "message": "m"}\n', b'{"result": "B"}\n')
        assert [outcome(each) for each in asked] == [{"result": b"A"}, {"result": b"B"}]

    def test_a_channel_may_have_several_callbacks(self, talk: Conversation) -> None:
        heard: list[str] = []
        talk.client.subscribe("c", lambda *_: heard.append("first"))
        talk.client.subscribe("c", lambda *_: heard.append("second"))
        talk.says(OK, OK, b'{"channel": "c", "message": "m"}\n')
        assert heard == ["first", "second"]

    def test_unsubscribing_forgets_the_callbacks(self, talk: Conversation) -> None:
        heard: list[bytes] = []
        talk.client.subscribe(b"\xff", lambda _, message: heard.append(message))
        talk.sent()
        talk.says(OK)
        asked = talk.client.unsubscribe(b"\xff")
        assert talk.sent() == b'"unsubscribe" "\\xff"\n'
        message = b'{"channel": "/w==", "message": "%d", "channel_encoding": "base64"}\n'
        talk.says(message % 1, OK, message % 2)
        assert outcome(asked) == {"result": b"OK"}
        assert heard == [b"1"]

    def test_a_message_for_a_pattern_is_nobodys_channel(self, talk: Conversation) -> None:
        talk.client.subscribe("news", lambda *_: pytest.fail("called"))
        talk.says(OK, b'{"pattern": "n*", "channel": "news", "message": "m"}\n')
        assert [message.pattern for message in talk.messages] == [b"n*"]

    def test_pushes_go_to_on_push_and_change_nothing_for_replies(self, talk: Conversation) -> None:
        pushes: list[Any] = []
        asked = [talk.client.execute("ping") for _ in range(3)]
        push = b'{"push": ["invalidate", ["k"]]}\n'
        talk.says(OK, push)  # nobody wants to know
        talk.client.on_push = lambda push: pushes.append(push.content)
        talk.says(OK, push)
        assert pushes == [[b"invalidate", [b"k"]]]
        talk.client.on_push = lambda push: 1 // 0
        talk.says(push, OK)
        assert [outcome(each) for each in asked] == [{"result": b"OK"}] * 3

    def test_a_refused_subscription_has_no_callback(self, talk: Conversation) -> None:
        asked = talk.client.subscribe("c", lambda *_: pytest.fail("called"))
        talk.says(b'{"error": "no permission"}\n', b'{"channel": "c", "message": "m"}\n')
        assert isinstance(outcome(asked), CommandError)
        assert len(talk.messages) == 1

    def test_a_cancelled_subscription_has_no_callback(self, talk: Conversation) -> None:
        asked = talk.client.subscribe("c", lambda *_: pytest.fail("called"), timeout=1)
        talk.clock.advance(1)
        assert isinstance(outcome(asked), TimeoutError)
        talk.says(OK, b'{"channel": "c", "message": "m"}\n')

    def test_a_callback_that_raises_is_logged_and_stops_nobody(self, talk: Conversation) -> None:
        heard: list[bytes] = []
        events: list[Any] = []

        @implementer(ILogObserver)
        def observer(event: Any) -> None:
            events.append(event)

        def broken(channel: bytes, message: bytes) -> None:
            raise RuntimeError("broken callback")

        talk.client.subscribe("c", broken)
        talk.client.subscribe("c", lambda _, message: heard.append(message))
        globalLogPublisher.addObserver(observer)
        try:
            talk.says(OK, OK, b'{"channel": "c", "message": "m"}\n')
        finally:
            globalLogPublisher.removeObserver(observer)
        assert heard == [b"m"]
        assert [str(event["log_failure"].value) for event in events] == ["broken callback"]
        asked = talk.client.execute("ping")
        talk.says(OK)
        assert outcome(asked) == {"result": b"OK"}


class TestTheEnd:
    @pytest.mark.parametrize("reason", [ConnectionDone(), ConnectionLost()])
    def test_all_who_wait_are_told_why_the_connection_was_lost(
        self, talk: Conversation, reason: Exception
    ) -> None:
        asked = [talk.client.execute("get", key) for key in "ab"]
        told = talk.client.when_disconnected()
        talk.loses(reason)
        assert [outcome(each) for each in asked] == [reason, reason]
        assert outcome(told) is reason
        assert outcome(talk.client.execute("ping")) is reason
        assert outcome(talk.client.when_disconnected()) is reason

    def test_disconnecting_fires_when_the_connection_is_closed(self, talk: Conversation) -> None:
        asked = talk.client.execute("get", "k")
        closed = talk.client.disconnect()
        assert talk.transport.disconnecting
        assert isinstance(outcome(talk.client.execute("ping")), ConnectionDone)
        assert outcome(closed) is ...
        talk.loses(ConnectionDone())
        assert outcome(closed) is None
        assert isinstance(outcome(asked), ConnectionDone)
        assert outcome(talk.client.disconnect()) is None
        assert talk.clock.getDelayedCalls() == []

    def test_aborting_closes_at_once(self, talk: Conversation) -> None:
        asked = talk.client.execute("blpop", "k", 0)
        talk.client.abort()
        assert talk.transport.disconnected
        talk.loses(ConnectionLost())
        assert isinstance(outcome(asked), ConnectionLost)
        talk.client.abort()

    def test_a_peer_that_does_not_read_cannot_hold_up_disconnecting(
        self, talk: Conversation
    ) -> None:
        talk.client.disconnect()
        talk.clock.advance(CLOSING_GRACE)
        assert talk.transport.disconnected

    @pytest.mark.parametrize(
        ("line", "problem"),
        [
            (b"+OK\n", "this port speaks RESP only"),
            (b'{"error": "too many clients"}\n', "too many clients"),
            (OK, "nothing was asked for"),
        ],
    )
    def test_what_cannot_be_a_reply_ends_the_connection_with_a_clear_error(
        self, talk: Conversation, line: bytes, problem: str
    ) -> None:
        told = talk.client.when_disconnected()
        first = talk.client.execute("get", "a")
        talk.says(OK, line, b'{"channel": "c", "message": "never looked at"}\n')
        assert talk.messages == []
        assert outcome(first) == {"result": b"OK"}
        assert talk.transport.disconnected
        assert isinstance(outcome(talk.client.execute("ping")), ProtocolError)
        talk.loses(ConnectionLost())
        error = outcome(told)
        assert isinstance(error, ProtocolError)
        assert problem in str(error)

    def test_requests_that_wait_behind_garbage_fail_with_it(self, talk: Conversation) -> None:
        asked = [talk.client.execute("get", key) for key in "ab"]
        talk.says(b"HTTP/1.1 400 Bad Request\r\n")
        talk.loses(ConnectionLost())
        for error in map(outcome, asked):
            assert isinstance(error, ProtocolError)
            assert "HTTP/1.1" in str(error)

    def test_nothing_behind_garbage_is_a_reply(self, talk: Conversation) -> None:
        asked = talk.client.execute("get", "a")
        talk.says(b"HTTP/1.1 400 Bad Request\r\n")
        talk.says(OK, b'{"channel": "c", "message": "never looked at"}\n')
        talk.loses(ConnectionLost())
        assert isinstance(outcome(asked), ProtocolError)
        assert talk.messages == []

    def test_pausing_holds_back_the_server_until_resumed(self, talk: Conversation) -> None:
        talk.client.pause()
        assert talk.transport.producerState == "paused"
        talk.client.resume()
        assert talk.transport.producerState == "producing"


# What each request of a made-up conversation is answered with, and what that means.
EXCHANGES = st.lists(
    st.one_of(
        st.text().map(lambda text: ("reply", text)),
        st.text().map(lambda text: ("error", text)),
        st.text().map(lambda text: ("message", text)),
    ),
    max_size=12,
)


class TestAnyStream:
    @given(EXCHANGES, st.lists(st.integers(min_value=0), max_size=6))
    def test_replies_and_messages_keep_their_order_however_they_are_cut(
        self, exchanges: list[tuple[str, str]], at: list[int]
    ) -> None:
        lines = {
            "reply": lambda text: {"result": text},
            "error": lambda text: {"error": text},
            "message": lambda text: {"channel": "c", "message": text},
        }
        stream = b"".join(
            json.dumps(lines[kind](text)).encode() + b"\n" for kind, text in exchanges
        )
        edges = [0, *sorted(place % (len(stream) + 1) for place in at), len(stream)]
        cuts = [stream[a:b] for a, b in pairwise(edges)]
        for pieces in ([stream], cuts, [bytes([byte]) for byte in stream]):
            talk = Conversation()
            heard: list[tuple[str, str]] = []
            talk.client.on_message = lambda message, heard=heard: heard.append(
                ("message", message.message.decode())
            )
            for kind, _ in exchanges:
                if kind != "message":
                    talk.client.execute("get", "k").addCallbacks(
                        lambda reply, heard=heard: heard.append(
                            ("reply", reply["result"].decode())
                        ),
                        lambda failure, heard=heard: heard.append(("error", str(failure.value))),
                    )
            for piece in pieces:
                talk.client.dataReceived(piece)
            assert heard == exchanges

    @given(st.lists(st.binary(max_size=40), max_size=8))
    def test_garbage_ends_the_connection_and_nothing_worse(self, pieces: list[bytes]) -> None:
        talk = Conversation()
        asked = [talk.client.execute("get", "k") for _ in range(3)]
        for piece in pieces:
            talk.client.dataReceived(piece)
        talk.loses(ConnectionLost())
        assert all(isinstance(outcome(each), (Reply, Exception)) for each in asked)


class TestLogins:
    """``connect`` with a password."""

    def connect(self, endpoint: Any, **how: Any) -> Deferred[Client]:
        self.clock = Clock()
        connecting = connect(self.clock, endpoint, **how)
        endpoint.accept()
        return connecting

    @pytest.mark.parametrize(
        ("how", "sent"),
        [
            ({"user": "ann", "password": "two words"}, b'["auth","ann","two words"]\n'),
            ({"password": b"x"}, b'["auth","default","x"]\n'),
            ({"user": b"ann", "password": b"\xff"}, b'"auth" "ann" "\\xff"\n'),
        ],
    )
    def test_nothing_is_said_before_it(self, endpoint: Any, how: Any, sent: bytes) -> None:
        results: list[Any] = []
        self.connect(endpoint, **how).addBoth(results.append)
        assert endpoint.sent() == sent
        assert results == []
        endpoint.says(OK.rstrip())
        assert results == [endpoint.protocol]

    def test_one_that_is_refused_fails_and_ends_the_connection(self, endpoint: Any) -> None:
        connecting = self.connect(endpoint, user="ann", password="hunter2")
        endpoint.says(b'{"error": "invalid username-password pair or user is disabled."}')
        error = outcome(connecting)
        assert isinstance(error, LoginRefused)
        assert str(error) == (
            "the server refuses the login as 'ann': invalid username-password pair or user is"
            " disabled."
        )
        assert "hunter2" not in repr(error)
        assert endpoint.transport.disconnected

    def test_a_connection_lost_meanwhile_is_why_it_fails(self, endpoint: Any) -> None:
        connecting = self.connect(endpoint, password="x")
        endpoint.lose(ConnectionLost("cable"))
        assert "cable" in str(outcome(connecting))

    def test_it_has_to_be_there_in_time(self, endpoint: Any) -> None:
        connecting = self.connect(endpoint, password="x", timeout=5)
        self.clock.advance(5)
        assert isinstance(outcome(connecting), TimeoutError)
        assert endpoint.transport.disconnected

    def test_a_user_without_a_password_is_a_mistake(self, endpoint: Any) -> None:
        with pytest.raises(ValueError, match="user='ann' needs a password"):
            connect(Clock(), endpoint, user="ann")


class TestPlainAtTLS:
    """A server that expects TLS answers with an alert, or not at all."""

    @pytest.mark.parametrize("said", [b"\x15\x03\x03\x00\x02\x02\x46", b"\x15\x03\x01\0\x02\x02\n"])
    def test_an_alert_says_that_it_is_tls(self, talk: Conversation, said: bytes) -> None:
        asked = talk.client.execute("ping")
        talk.says(said)
        talk.loses(ConnectionDone())
        assert isinstance(outcome(asked), SpeaksTLS)
        assert not talk.client.is_ignored

    @pytest.mark.parametrize("is_tcp", [True, False])
    def test_whoever_is_not_answered_at_all_may_ask_himself(self, is_tcp: bool) -> None:
        client, transport = Client(Clock()), StringTransport()
        transport.setTcpNoDelay = transport.setTcpKeepAlive = lambda enabled: None  # type: ignore[attr-defined]
        if is_tcp:
            directlyProvides(transport, ITCPTransport)
        client.makeConnection(transport)
        assert not client.is_ignored
        client.execute("ping").addErrback(lambda _: None)
        assert client.is_ignored == is_tcp
        client.dataReceived(b"{")
        assert not client.is_ignored


class TestConnecting:
    def test_tls_over_what_is_no_tcp_is_no_mistake(self) -> None:
        transport = StringTransport()
        directlyProvides(transport, ISSLTransport)
        Client(Clock()).makeConnection(transport)

    def test_tls_has_to_know_whose_certificate_it_is(self) -> None:
        with pytest.raises(ValueError, match=r"TLS\(name=...\)"):
            connect(MemoryReactorClock(), "unix:/run/memdbd.sock", tls=TLS())

    @pytest.mark.parametrize("tls", [None, TLS(), TLS(name="a")])
    @pytest.mark.parametrize("where", ["ssl:a:1", "SSL:a:1", "timeout=1:ssl:a:1"])
    def test_an_endpoint_that_would_trust_any_server_is_refused(
        self, where: str, tls: TLS | None
    ) -> None:
        reactor = MemoryReactorClock()
        with pytest.raises(ValueError, match="ssl: endpoints do not verify the server; give tls="):
            connect(reactor, where, tls=tls, password="hunter2")
        assert reactor.sslClients == reactor.tcpClients == []

    def test_with_tls_the_host_that_is_looked_up_is_the_one_that_is_verified(self) -> None:
        reactor = MemoryReactorClock()
        connect(reactor, "tcp:faß.example:1:host=evil", tls=TLS()).addErrback(lambda _: None)
        assert [client[0] for client in reactor.tcpClients] == ["xn--fa-hia.example"]

    def test_tcp_is_told_to_send_at_once_and_to_notice_a_dead_peer(self) -> None:
        class TCP(StringTransport):
            def setTcpNoDelay(self, enabled: bool) -> None:
                told.append(("no delay", enabled))

            def setTcpKeepAlive(self, enabled: bool) -> None:
                told.append(("keep alive", enabled))

        told: list[tuple[str, bool]] = []
        transport = TCP()
        directlyProvides(transport, ITCPTransport)
        Client(Clock()).makeConnection(transport)
        assert told == [("no delay", True), ("keep alive", True)]

    def test_a_string_describes_the_endpoint(self) -> None:
        reactor = MemoryReactorClock()
        connecting = connect(reactor, "tcp:10.0.0.1:4000", timeout=3)
        host, port, factory, *_ = cast(Any, reactor.tcpClients[0])
        assert (host, port) == ("10.0.0.1", 4000)
        protocol = factory.buildProtocol(None)
        protocol.makeConnection(StringTransport())
        assert isinstance(outcome(connecting), Client)

    def test_nothing_is_waited_for_longer_than_the_timeout(self) -> None:
        reactor = MemoryReactorClock()
        connecting = connect(reactor, "tcp:10.0.0.1:4000", timeout=3)
        reactor.advance(3)
        assert isinstance(outcome(connecting), TimeoutError)
