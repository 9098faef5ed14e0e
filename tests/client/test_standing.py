"""What a connection has, from what was asked and answered."""

from __future__ import annotations

from typing import Any

import pytest

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
