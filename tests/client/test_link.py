"""A connection that comes back, and what it tells."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from memdbd.client.link import Link, NotConnectedError
from memdbd.client.wire import Message, Push


class Owner:
    """Who made the link, and hears from it."""

    def __init__(self, endpoint: Any) -> None:
        self.clock = Clock()
        self.told: list[str] = []
        self.messages: list[Message] = []
        self.pushes: list[Push] = []
        self.link = Link(
            self.clock,
            endpoint,
            "tcp:db:1",
            tell=self.told.append,
            on_message=self.messages.append,
            on_push=self.pushes.append,
            timeout=5,
        )

    def ask(self, line: bytes) -> list[Any]:
        results: list[Any] = []
        asked: Deferred[Any] = self.link.send_line(line)
        asked.addBoth(results.append)
        return results


@pytest.fixture
def owner(endpoint: Any) -> Owner:
    return Owner(endpoint)


def test_the_first_connection_is_not_worth_a_word(owner: Owner, endpoint: Any) -> None:
    first = owner.link.start()
    assert not first.called
    endpoint.accept()
    assert first.called
    assert owner.told == []


def test_failing_attempts_are_told_and_repeated_ever_later(owner: Owner, endpoint: Any) -> None:
    first = owner.link.start()
    for delay in (1, 2, 4, 8, 16, 30, 30):
        owner.told.clear()
        endpoint.refuse(ConnectionRefusedError())
        assert first.called
        assert owner.told == [
            "Connecting to tcp:db:1 failed: Connection was refused by other side,"
            f" trying again in {delay} s"
        ]
        owner.clock.advance(delay - 0.1)
        assert not endpoint.waiting
        owner.clock.advance(0.1)
    endpoint.accept()
    assert owner.told[1:] == ["Connected to tcp:db:1"]


def test_a_lost_connection_is_told_and_made_again(owner: Owner, endpoint: Any) -> None:
    owner.link.start()
    endpoint.accept()
    endpoint.lose(ConnectionDone())
    owner.clock.advance(1)
    endpoint.accept()
    endpoint.lose(ConnectionLost("no route"))
    assert owner.told == [
        "Connection to tcp:db:1 lost: closed by the server, trying again in 1 s",
        "Connected to tcp:db:1",
        "Connection to tcp:db:1 lost: Connection to the other side was lost in a non-clean"
        " fashion: no route, trying again in 1 s",
    ]


def test_an_attempt_that_takes_too_long_is_given_up(owner: Owner, endpoint: Any) -> None:
    owner.link.start()
    owner.clock.advance(5)
    assert owner.told == ["Connecting to tcp:db:1 failed: no answer in time, trying again in 1 s"]


def test_subscriptions_are_made_again(owner: Owner, endpoint: Any) -> None:
    owner.link.start()
    endpoint.accept()
    for line in (b"subscribe a b", b"subscribe c", b"unsubscribe b"):
        owner.ask(line)
    endpoint.says(
        b'{"result": "OK", "action": "subscribe", "channel": ["a", "b"]}',
        b'{"result": "OK", "action": "subscribe", "channel": "c"}',
        b'{"result": "OK", "action": "unsubscribe", "channel": "b"}',
    )
    endpoint.lose(ConnectionDone())
    owner.clock.advance(1)
    endpoint.accept()
    assert endpoint.sent() == b'["subscribe","a","c"]\n'
    endpoint.says(
        b'{"result": "OK", "action": "subscribe", "channel": ["a", "c"]}',
        b'{"channel": "a", "message": "m"}',
    )
    assert [message.message for message in owner.messages] == [b"m"]


def test_all_that_a_connection_had_is_asked_for_again(owner: Owner, endpoint: Any) -> None:
    owner.link.start()
    endpoint.accept()
    for line in (b"select 9", b"psubscribe n*", b"ssubscribe s"):
        owner.ask(line)
    endpoint.says(
        b'{"result": "OK"}',
        b'{"result": "OK", "action": "psubscribe", "channel": "n*"}',
        b'{"result": "OK", "action": "ssubscribe", "channel": "s"}',
    )
    endpoint.lose(ConnectionDone())
    owner.clock.advance(1)
    endpoint.accept()
    assert endpoint.sent() == b'["select","9"]\n["psubscribe","n*"]\n["ssubscribe","s"]\n'


def test_a_database_that_is_gone_is_told(owner: Owner, endpoint: Any) -> None:
    owner.link.start()
    endpoint.accept()
    owner.ask(b"select 9")
    endpoint.says(b'{"result": "OK"}')
    endpoint.lose(ConnectionDone())
    owner.clock.advance(1)
    endpoint.accept()
    endpoint.says(b'{"error": "DB index is out of range"}')
    assert owner.told[-1] == "Could not select again: DB index is out of range"
    assert owner.link.standing.database == 0


@pytest.mark.parametrize("how", ["cancelled", "too late"])
def test_a_reply_that_is_waited_for_no_more_takes_the_connection_with_it(
    owner: Owner, endpoint: Any, how: str
) -> None:
    owner.link.start()
    endpoint.accept()
    owner.ask(b"subscribe a")
    endpoint.says(b'{"result": "OK", "action": "subscribe", "channel": "a"}')
    dropped, results = endpoint.transport, []
    asked = owner.link.send_line(b"blpop q 0", 30 if how == "too late" else None)
    asked.addErrback(lambda failure: results.append(failure.type))
    if how == "cancelled":
        asked.cancel()
    else:
        owner.clock.advance(30)
    assert dropped.disconnected
    old = endpoint.protocol
    assert results == []
    endpoint.accept()
    assert results == [CancelledError if how == "cancelled" else TimeoutError]
    assert endpoint.sent() == b'["subscribe","a"]\n'
    old.connectionLost(Failure(ConnectionLost()))
    assert owner.told == []


def test_giving_up_again_ends_the_attempt_too(owner: Owner, endpoint: Any) -> None:
    owner.link.start()
    endpoint.accept()
    results: list[Any] = []
    asked = owner.link.send_line(b"blpop q 0")
    asked.addErrback(lambda failure: results.append(failure.type))
    asked.cancel()
    asked.cancel()
    assert results == [CancelledError]
    assert len(owner.told) == 1
    assert "trying again in 1 s" in owner.told[0]


def test_a_refused_subscription_is_told(owner: Owner, endpoint: Any) -> None:
    owner.link.start()
    endpoint.accept()
    owner.ask(b"subscribe a")
    endpoint.says(b'{"result": "OK", "action": "subscribe", "channel": "a"}')
    endpoint.lose(ConnectionDone())
    owner.clock.advance(1)
    endpoint.accept()
    endpoint.says(b'{"error": "no permission"}')
    assert owner.told[-1] == "Could not subscribe again: no permission"


def test_requests_without_a_connection_fail_at_once(owner: Owner, endpoint: Any) -> None:
    owner.link.start()
    endpoint.refuse(ConnectionRefusedError())
    (failure,) = owner.ask(b"get a")
    assert isinstance(failure.value, NotConnectedError)
    assert str(failure.value) == "Not connected to tcp:db:1: the command was not sent"


def test_a_request_under_way_is_never_sent_again(owner: Owner, endpoint: Any) -> None:
    owner.link.start()
    endpoint.accept()
    results = owner.ask(b"incr n")
    endpoint.lose(ConnectionLost())
    assert isinstance(results[0].value, ConnectionLost)
    owner.clock.advance(1)
    endpoint.accept()
    assert endpoint.sent() == b""


@pytest.mark.parametrize("when", ["connecting", "connected", "waiting"])
def test_a_stopped_link_stays_away_and_says_nothing(owner: Owner, endpoint: Any, when: str) -> None:
    owner.link.start()
    if when == "connected":
        endpoint.accept()
    elif when == "waiting":
        endpoint.refuse(ConnectionRefusedError())
        owner.told.clear()
    owner.link.stop()
    if when == "connected":
        endpoint.lose(ConnectionDone())
    assert owner.told == []
    assert owner.clock.getDelayedCalls() == []
