"""A connection that comes back, and what it tells."""

from __future__ import annotations

from typing import Any

import pytest
from service_identity import CertificateError, VerificationError
from service_identity.exceptions import IPAddressMismatch
from service_identity.hazmat import IPAddress_ID
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from memdbd.client.link import Link, NotConnectedError, status_of, why
from memdbd.client.login import Login, LoginRefused
from memdbd.client.tlsfaults import HandshakeTimeout, TLSFault
from memdbd.client.wire import Message, Push, SpeaksTLS


class Owner:
    """Who made the link, and hears from it."""

    def __init__(self, endpoint: Any, login: Login | None = None) -> None:
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
            login=login,
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
    owner.ask(b"ping")
    endpoint.says(b'{"result": "PONG"}')
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


WRONG = b'{"error": "WRONGPASS invalid username-password pair or user is disabled."}'
AGAIN = "The next command connects again"


class TestLogins:
    @pytest.fixture
    def owner(self, endpoint: Any) -> Owner:
        return Owner(endpoint, Login("ann", b"secret"))

    def test_each_connection_is_logged_in_before_anything_else(
        self, owner: Owner, endpoint: Any
    ) -> None:
        started: list[Any] = []
        owner.link.start().addBoth(started.append)
        endpoint.accept()
        assert endpoint.sent() == b'["auth","ann","secret"]\n'
        assert started == []
        endpoint.says(b'{"result": "OK"}')
        assert started == [None]
        owner.ask(b"select 9")
        endpoint.says(b'{"result": "OK"}')
        endpoint.lose(ConnectionDone())
        owner.clock.advance(1)
        endpoint.accept()
        assert endpoint.sent() == b'["auth","ann","secret"]\n'
        endpoint.says(b'{"result": "OK"}')
        assert endpoint.sent() == b'["select","9"]\n'
        assert owner.told[-1] == "Connected to tcp:db:1"

    def test_a_typed_one_is_that_of_the_next_connection(self, endpoint: Any) -> None:
        owner = Owner(endpoint)
        owner.link.start()
        endpoint.accept()
        owner.ask(b"auth \"bob\" 'two  words'")
        endpoint.says(b'{"result": "OK"}')
        endpoint.lose(ConnectionDone())
        owner.clock.advance(1)
        endpoint.accept()
        assert endpoint.sent() == b'["auth","bob","two  words"]\n'

    def test_reset_forgets_it(self, owner: Owner, endpoint: Any) -> None:
        owner.link.start()
        endpoint.accept()
        endpoint.says(b'{"result": "OK"}')
        owner.ask(b"reset")
        endpoint.says(b'{"result": "RESET"}')
        endpoint.lose(ConnectionDone())
        owner.clock.advance(1)
        endpoint.accept()
        assert endpoint.sent() == b""

    def test_one_that_is_refused_at_first_fails_the_start(
        self, owner: Owner, endpoint: Any
    ) -> None:
        results: list[Any] = []
        owner.link.start().addErrback(lambda failure: results.append(failure.value))
        endpoint.accept()
        endpoint.says(WRONG)
        assert isinstance(results[0], LoginRefused)
        assert owner.told == []
        assert owner.clock.getDelayedCalls() == []

    def test_one_that_is_refused_later_is_forgotten_and_not_tried_again(
        self, owner: Owner, endpoint: Any
    ) -> None:
        owner.link.start()
        endpoint.accept()
        endpoint.says(b'{"result": "OK"}')
        endpoint.lose(ConnectionDone())
        owner.clock.advance(1)
        endpoint.accept()
        endpoint.says(WRONG)
        assert owner.told[-1] == (
            "Connecting to tcp:db:1 failed: the server refuses the login as 'ann': WRONGPASS"
            f" invalid username-password pair or user is disabled. {AGAIN} without a login"
        )
        owner.clock.advance(100)
        assert not endpoint.waiting
        results = owner.ask(b"get a")
        endpoint.accept()
        assert endpoint.sent() == b"get a\n"
        endpoint.says(b'{"result": null}')
        assert results == [{"result": None}]

    def test_one_for_which_there_is_no_time_is_tried_again(
        self, owner: Owner, endpoint: Any
    ) -> None:
        owner.link.start()
        endpoint.accept()
        endpoint.says(b'{"result": "OK"}')
        endpoint.lose(ConnectionDone())
        owner.clock.advance(1)
        endpoint.accept()
        endpoint.says(b'{"error": "TRYAGAIN too many log-ins at a time, try again"}')
        assert "trying again in 2 s" in owner.told[-1]
        owner.clock.advance(2)
        endpoint.accept()
        assert endpoint.sent() == b'["auth","ann","secret"]\n'


class TestSleep:
    """What time alone does not mend is not tried again and again."""

    def test_a_certificate_that_is_not_trusted_waits_for_the_next_command(
        self, owner: Owner, endpoint: Any
    ) -> None:
        owner.link.start()
        endpoint.refuse(TLSFault("the server's certificate has expired (2026-01-01)"))
        assert owner.told == [
            "Connecting to tcp:db:1 failed: the server's certificate has expired (2026-01-01)."
            f" {AGAIN}"
        ]
        assert owner.clock.getDelayedCalls() == []
        results = owner.ask(b"ping")
        endpoint.accept()
        assert endpoint.sent() == b"ping\n"
        endpoint.says(b'{"result": "PONG"}')
        assert results == [{"result": b"PONG"}]

    def test_so_does_a_certificate_of_ours_that_is_refused_after_the_handshake(
        self, owner: Owner, endpoint: Any
    ) -> None:
        owner.link.start()
        endpoint.accept()
        endpoint.lose(TLSFault("the server wants a certificate", "give --cert and --key"))
        assert owner.told == [
            "Connection to tcp:db:1 lost: the server wants a certificate: give --cert and --key."
            f" {AGAIN}"
        ]

    def test_a_command_that_does_not_come_through_then_says_so(
        self, owner: Owner, endpoint: Any
    ) -> None:
        owner.link.start()
        endpoint.refuse(TLSFault("no"))
        (failure,) = self._asked(owner, endpoint, TLSFault("no"))
        assert isinstance(failure.value, NotConnectedError)
        (failure,) = self._asked(owner, endpoint, ConnectionRefusedError())
        assert isinstance(failure.value, NotConnectedError)
        assert owner.told[-1].endswith("trying again in 1 s")

    def _asked(self, owner: Owner, endpoint: Any, problem: Exception) -> list[Any]:
        results = owner.ask(b"ping")
        endpoint.refuse(problem)
        return results

    def test_a_fault_of_tls_that_may_pass_is_tried_again(self, owner: Owner, endpoint: Any) -> None:
        owner.link.start()
        endpoint.refuse(TLSFault("closed", lasts=False))
        assert owner.told == ["Connecting to tcp:db:1 failed: closed, trying again in 1 s"]

    @pytest.mark.parametrize("reason", [ConnectionDone(), ConnectionLost()])
    @pytest.mark.parametrize("last_word", [b"", b'{"error": "not logged in within 5 s"}'])
    def test_a_server_that_sends_strangers_away_is_not_asked_again_for_nothing(
        self, owner: Owner, endpoint: Any, last_word: bytes, reason: Exception
    ) -> None:
        owner.link.start()
        endpoint.accept()
        owner.ask(b"get a")
        endpoint.says(b'{"error": "NOAUTH Authentication required; log in first"}')
        if last_word:
            endpoint.says(last_word)
        endpoint.lose(reason)
        assert owner.told[0].endswith(AGAIN)
        results = owner.ask(b"auth ann secret")
        endpoint.accept()
        assert endpoint.sent() == b"auth ann secret\n"
        endpoint.says(b'{"result": "OK"}')
        assert results == [{"result": b"OK"}]
        endpoint.lose(ConnectionDone())
        assert owner.told[-1].endswith("trying again in 1 s")

    @pytest.mark.parametrize("reason", [ConnectionDone(), ConnectionLost()])
    def test_one_that_closes_twice_before_it_has_answered_is_left_alone(
        self, owner: Owner, endpoint: Any, reason: Exception
    ) -> None:
        owner.link.start()
        endpoint.accept()
        endpoint.lose(reason)
        owner.clock.advance(1)
        endpoint.accept()
        endpoint.lose(reason)
        assert owner.told[-1] == f"Connection to tcp:db:1 lost: {why(reason)}. {AGAIN}"
        assert owner.clock.getDelayedCalls() == []

    def test_one_that_has_answered_meanwhile_is_not(self, owner: Owner, endpoint: Any) -> None:
        owner.link.start()
        for _ in range(3):
            endpoint.accept()
            owner.ask(b"ping")
            endpoint.says(b'{"result": "PONG"}')
            endpoint.lose(ConnectionDone())
            owner.clock.advance(1)

    def test_a_stopped_link_does_not_sleep(self, owner: Owner, endpoint: Any) -> None:
        owner.link.start()
        endpoint.accept()
        owner.link.stop()
        endpoint.lose(TLSFault("no"))
        assert owner.told == []


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (TLSFault("no CA", "--cacert"), "no CA: --cacert"),
        (TLSFault("no CA"), "no CA"),
        (SpeaksTLS(), "the server speaks TLS at this port: use --tls"),
        (HandshakeTimeout(), "no answer to the TLS handshake in time"),
        (TimeoutError(), "no answer in time"),
        (ConnectionDone(), "closed by the server"),
        (
            VerificationError(errors=[IPAddressMismatch(IPAddress_ID("127.0.0.1"))]),
            "the server's certificate is genuine, but not for the host of the endpoint",
        ),
        (CertificateError("no names"), "the server's certificate is genuine, but not for the host"),
        (LoginRefused(Login("ann", b"x"), "no."), "the server refuses the login as 'ann': no"),
    ],
)
def test_why_there_is_no_connection_is_part_of_a_sentence(problem: Exception, said: str) -> None:
    assert why(problem).startswith(said)
    assert status_of(problem) == (1 if isinstance(problem, LoginRefused) else 2)
