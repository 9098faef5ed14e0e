"""What a connection has, from what was asked and answered."""

from __future__ import annotations

from typing import Any

import pytest

from memdbd.client.login import Login
from memdbd.client.standing import Standing
from memdbd.client.wire import ErrorReply, Reply


def told(*exchanges: tuple[str, dict[str, Any] | str]) -> Standing:
    """A connection after requests, each with the fields of its reply or the text of its error."""
    standing = Standing()
    for line, answer in exchanges:
        reply = ErrorReply(answer, b"") if isinstance(answer, str) else Reply(answer, b"")
        standing.note(line.encode().split(), reply)
    return standing


def again(standing: Standing) -> list[Any]:
    return [(command, *arguments) for command, arguments in standing.requests()]


OK = {"result": b"OK"}
QUEUED = {"result": b"QUEUED"}


def subscription(action: str, *names: bytes) -> dict[str, Any]:
    channel: Any = names[0] if len(names) == 1 else list(names)
    return {**OK, "action": action, "channel": channel}


def test_a_new_connection_has_nothing() -> None:
    assert again(Standing()) == []


def test_each_kind_of_subscription_is_apart() -> None:
    standing = told(
        ("subscribe a b", subscription("subscribe", b"a", b"b")),
        ("psubscribe a", subscription("psubscribe", b"a")),
        ("ssubscribe a c", subscription("ssubscribe", b"a", b"c")),
        ("unsubscribe a", subscription("unsubscribe", b"a")),
        ("punsubscribe", subscription("punsubscribe", b"a")),
        ("sunsubscribe c x", subscription("sunsubscribe", b"c", b"x")),
    )
    assert again(standing) == [("subscribe", b"b"), ("ssubscribe", b"a")]


def test_the_database_comes_first() -> None:
    standing = told(("subscribe a", subscription("subscribe", b"a")), ("SELECT 3", OK))
    assert again(standing) == [("select", 3), ("subscribe", b"a")]


def test_reset_takes_all() -> None:
    standing = told(
        ("subscribe a", subscription("subscribe", b"a")),
        ("select 3", OK),
        ("multi", OK),
        ("reset", {"result": b"RESET"}),
    )
    assert again(standing) == []
    assert not standing.in_transaction


@pytest.mark.parametrize(
    ("end", "answer", "database"),
    [
        ("exec", {"result": [OK, subscription("subscribe", b"a")]}, 3),
        ("exec", {"result": None}, 0),
        ("exec", "EXECABORT", 0),
        ("exec", {"result": [{"error": "no"}, subscription("subscribe", b"a")]}, 0),
        ("discard", OK, 0),
    ],
)
def test_what_is_queued_counts_when_it_is_run(
    end: str, answer: dict[str, Any] | str, database: int
) -> None:
    exchanges: list[Any] = [("multi", OK), ("select 3", QUEUED), ("subscribe a", QUEUED)]
    assert told(*exchanges).in_transaction
    assert again(told(*exchanges)) == []
    standing = told(*exchanges, (end, answer))
    assert not standing.in_transaction
    assert standing.database == database
    assert bool(standing.subscribed["subscribe"]) == (
        isinstance(answer, dict) and isinstance(answer["result"], list)
    )


def test_a_lost_connection_loses_its_transaction_alone() -> None:
    standing = told(("select 3", OK), ("multi", OK), ("select 4", QUEUED))
    standing.lost()
    assert not standing.in_transaction
    assert again(standing) == [("select", 3)]


def test_an_error_and_an_unreadable_line_change_nothing() -> None:
    assert again(told(("select 99", "out of range"), ("", OK), ("exec", "without MULTI"))) == []


def test_a_login_is_that_of_the_next_connection() -> None:
    ann, bob = Login("ann", b"1"), Login(b"bob", b"2")
    assert Standing(ann).login == ann
    standing = told(("auth bob 2", OK))
    assert standing.login == bob
    standing.lost()
    assert standing.login == bob
    standing.note([b"AUTH", b"3"], Reply(OK, b""))
    assert standing.login == Login(None, b"3")
    assert standing.login.name == "default"


def test_a_login_that_is_refused_is_none() -> None:
    assert told(("auth bob 2", "invalid username-password pair")).login is None
    standing = told(("auth bob 2", OK), ("auth ann 1", "invalid username-password pair"))
    assert standing.login == Login(b"bob", b"2")


def test_reset_forgets_who_was_logged_in() -> None:
    assert told(("auth bob 2", OK), ("reset", {"result": b"RESET"})).login is None


def test_a_password_is_not_in_what_is_shown_of_a_login() -> None:
    assert "hunter2" not in repr(Login("ann", "hunter2"))
