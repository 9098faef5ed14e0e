"""The connection of the tools, and what an import does when others change the same keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
from harness import outcome
from persistence.stores import BY_CLASS
from twisted.internet.defer import Deferred, TimeoutError, ensureDeferred, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from memdbd.client.importing import Existing, Server
from memdbd.client.resp import ErrorReply, NoServer, Refused, RespClient, executed
from memdbd.client.tlsfaults import TLSFault
from memdbd.persistence.snapshot import Entry


def connected(timeout: float | None = None) -> tuple[RespClient, StringTransport, Clock]:
    clock, wire = Clock(), StringTransport()
    client = RespClient(cast(Any, clock), timeout)
    client.makeConnection(wire)
    return client, wire, clock


class TestConnection:
    def test_replies_belong_to_their_batches_however_they_come(self) -> None:
        client, wire, _ = connected()
        first = client.ask_all([("GET", "a"), ("NO",)])
        second = client.ask_all([(b"LRANGE", b"\xff", 0, -1)])
        assert wire.value().endswith(b"*4\r\n$6\r\nLRANGE\r\n$1\r\n\xff\r\n$1\r\n0\r\n$2\r\n-1\r\n")
        for byte in b"$1\r\nx\r\n-ERR no\r\n*1\r\n$1\r\ny\r\n":
            client.dataReceived(bytes([byte]))
        value, error = outcome(first)
        assert (value, str(error), type(error)) == (b"x", "ERR no", ErrorReply)
        assert outcome(second) == [[b"y"]]

    def test_an_error_is_raised_where_one_reply_is_asked_for(self) -> None:
        client, _, _ = connected()
        asked = ensureDeferred(client.ask("NO"))
        client.dataReceived(b"-ERR no\r\n")
        assert isinstance(outcome(asked), Refused)

    def test_silence_ends_the_connection_and_a_byte_is_no_silence(self) -> None:
        client, wire, clock = connected(timeout=5)
        asked = client.ask_all([("GET", "a")])
        clock.advance(4)
        client.dataReceived(b"$")
        clock.advance(4)
        assert not wire.disconnecting
        assert outcome(asked) is ...
        clock.advance(1)
        assert wire.disconnected
        client.connectionLost(Failure(ConnectionLost()))
        assert clock.getDelayedCalls() == []
        # The Deferred had been looked at before; a later one says the same.
        assert isinstance(outcome(client.ask_all([("GET", "b")])), TimeoutError)

    def test_what_speaks_no_resp_is_told(self) -> None:
        client, wire, _ = connected()
        asked = client.ask_all([("GET", "a")])
        client.dataReceived(b"HTTP/1.1 400 Bad Request\r\n")
        assert wire.disconnected
        client.connectionLost(Failure(ConnectionLost()))
        assert isinstance(outcome(asked), NoServer)

    @pytest.mark.parametrize("asks", [0, 1, 2])
    def test_a_server_that_is_full_is_told(self, asks: int) -> None:
        """Whether it says so before it is asked, in reply, or to the first of two."""
        client, _, _ = connected()
        asked = client.ask_all([("GET", "a")] * asks) if asks else None
        client.dataReceived(b"-ERR max number of clients reached\r\n")
        client.connectionLost(Failure(ConnectionLost()))
        found = outcome(asked or client.ask_all([("GET", "a")]))
        assert isinstance(found, NoServer)
        assert "ERR max number of clients reached" in str(found)

    def test_why_it_closes_is_told(self) -> None:
        client, _, _ = connected()
        asked = client.ask_all([("GET", "a"), ("GET", "b"), ("GET", "c")])
        client.dataReceived(b"$1\r\nx\r\n-ERR Protocol error: too big\r\n")
        client.connectionLost(Failure(ConnectionLost()))
        assert str(outcome(asked)).startswith("ERR Protocol error: too big; then")

    def test_an_answer_is_no_reason_to_close(self) -> None:
        client, _, _ = connected()
        client.ask_all([("NO",)])
        client.dataReceived(b"-ERR no\r\n")
        client.connectionLost(Failure(ConnectionLost()))
        assert isinstance(outcome(client.ask_all([("GET", "a")])), ConnectionLost)


class TestTransaction:
    def test_the_first_error_is_the_reason(self) -> None:
        errors = [ErrorReply("NOPERM no get"), ErrorReply("EXECABORT discarded")]
        with pytest.raises(Refused, match="NOPERM no get"):
            executed([b"OK", b"QUEUED", *errors])

    def test_errors_inside_it_are_left_to_the_caller(self) -> None:
        wrong = ErrorReply("WRONGTYPE")
        assert executed([b"OK", b"QUEUED", [wrong]]) == [wrong]
        assert executed([b"OK", b"QUEUED", None]) is None


class _Contended:
    """A server on which the key ``taken`` comes to be between the first WATCH and its EXEC."""

    def __init__(self) -> None:
        self.there: set[bytes] = set()
        self.executed: list[list[Sequence[Any]]] = []
        self.attempts = 0

    def ask_all(self, commands: list[Sequence[Any]]) -> Deferred[list[Any]]:
        replies: list[Any] = []
        for words in commands:
            if words[0] == "EXISTS":
                replies.append(int(words[1] in self.there))
            elif words[0] == "EXEC":
                self.attempts += 1
                if self.attempts == 1:
                    self.there.add(b"taken")
                    replies.append(None)
                else:
                    self.executed.append(list(commands))
                    replies.append([])
            else:
                replies.append(b"QUEUED")
        return succeed(replies)

    async def ask(self, *words: Any) -> Any:
        return (await self.ask_all([words]))[0]


ENTRIES: list[Entry] = [(0, b"taken", b"ours", None), (0, b"free", b"ours", None)]


def test_a_key_that_comes_to_be_meanwhile_is_skipped() -> None:
    contended = _Contended()
    target = Server(cast(RespClient, contended), Existing.SKIP, BY_CLASS, "token")
    assert outcome(ensureDeferred(target.write(ENTRIES))) == 1
    assert contended.executed == [[("MULTI",), ("SET", b"free", b"ours"), ("EXEC",)]]


def test_a_key_that_comes_to_be_meanwhile_is_refused() -> None:
    contended = _Contended()
    target = Server(cast(RespClient, contended), Existing.REFUSE, BY_CLASS, "token")
    problem = outcome(ensureDeferred(target.write(ENTRIES)))
    with pytest.raises(Refused, match="'taken' was set by someone else meanwhile"):
        raise problem
    assert contended.executed == []


def test_an_alert_of_tls_says_what_is_missing() -> None:
    client, _, _ = connected()
    asked = client.ask_all([("PING",)])
    client.dataReceived(b"\x15\x03\x03\x00\x02\x02\x46")
    client.connectionLost(Failure(ConnectionDone()))
    assert str(outcome(asked)) == "the server speaks TLS at this port: use --tls"


def test_a_certificate_that_is_refused_late_is_no_answer_of_the_server() -> None:
    client, _, _ = connected()
    asked = client.ask_all([("PING",)])
    client.connectionLost(Failure(TLSFault("the server wants a certificate", "give --cert")))
    lost = outcome(asked)
    assert isinstance(lost, NoServer)
    assert str(lost) == "the server wants a certificate: give --cert"
