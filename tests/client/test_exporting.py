"""What an export asks of a server, and what it makes of the answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from harness import outcome
from persistence.stores import BY_NAME
from twisted.internet.defer import Deferred, ensureDeferred, succeed

from memdbd.client.exporting import GROUP, HUGE, Exporter
from memdbd.client.progress import Progress
from memdbd.client.resp import ErrorReply, Refused, RespClient
from memdbd.persistence.snapshot import Entry

Lists = dict[bytes, list[bytes]]


class Served:
    """A server with lists in its only database. ``usage`` is what MEMORY USAGE says of all keys,
    ``left`` what PEXPIRETIME does; ``before(words)`` is called before each command is done."""

    def __init__(
        self, lists: Lists, usage: Any = 1, left: int = -1, *, end: str = "ERR invalid DB index"
    ) -> None:
        self.lists = lists
        self.usage = usage
        self.left = left
        self.end = end
        self.most = 0  # bytes of the largest reply
        self.before: Callable[[Sequence[Any]], object] = lambda words: None
        self._queue: list[Sequence[Any]] | None = None

    def ask_all(self, commands: list[Sequence[Any]]) -> Deferred[list[Any]]:
        return succeed([self._asked(words) for words in commands])

    async def ask(self, *words: Any) -> Any:
        (reply,) = await self.ask_all([words])
        if isinstance(reply, ErrorReply):
            raise Refused(str(reply))
        return reply

    def _asked(self, words: Sequence[Any]) -> Any:
        if words[0] == "MULTI":
            self._queue = []
            return b"OK"
        if words[0] == "EXEC":
            queue, self._queue = self._queue or [], None
            done = [self._done(each) for each in queue]
            self.most = max(self.most, sum(map(_length, done)))
            return done
        if self._queue is not None:
            self._queue.append(words)
            return b"QUEUED"
        done = self._done(words)
        self.most = max(self.most, _length(done))
        return done

    def _done(self, words: Sequence[Any]) -> Any:
        self.before(words)
        name, *rest = words
        items = self.lists.get(rest[0]) if rest and isinstance(rest[0], bytes) else None
        replies: dict[str, Callable[[], Any]] = {
            "SELECT": lambda: ErrorReply(self.end) if rest[0] else b"OK",
            "DBSIZE": lambda: len(self.lists),
            "SCAN": lambda: [b"0", list(self.lists)],
            "TYPE": lambda: b"none" if items is None else b"list",
            "LLEN": lambda: len(items or []),
            "MEMORY": lambda: self.usage,
            "TIME": lambda: [b"1", b"0"],
            "PEXPIRETIME": lambda: self.left,
            "LRANGE": lambda: (items or [])[int(rest[1]) :][: _count(rest)],
        }
        return replies.get(name, lambda: b"OK")()


def _count(rest: Sequence[Any]) -> int | None:
    return None if int(rest[2]) < 0 else int(rest[2]) - int(rest[1]) + 1


def _length(reply: Any) -> int:
    return sum(map(_length, reply)) if isinstance(reply, list) else len(bytes(reply or b"")) \
        if isinstance(reply, bytes) else 0  # fmt: skip


async def _exported(server: Served) -> list[Entry]:
    exporter = Exporter(cast(RespClient, server), BY_NAME, Progress(None, lambda: 0.0))
    return [entry async for entries in exporter.pages() for entry in entries]


def exported(server: Served) -> Any:
    """What is read of it, by key; or the error."""
    found = outcome(ensureDeferred(_exported(server)))
    return found if isinstance(found, Exception) else {entry[1]: list(entry[2]) for entry in found}


MIB = b"x" * GROUP


def test_large_elements_are_read_one_by_one() -> None:
    items = [MIB] * 30
    server = Served({b"l": items}, 31 * GROUP)
    assert exported(server) == {b"l": items}
    assert server.most == GROUP


def test_where_elements_are_larger_fewer_are_read_at_once() -> None:
    items = [b"1"] * HUGE + [MIB[: GROUP // 10]] * 2000
    server = Served({b"l": items}, 1000)  # as the first few of them are
    counts = []

    def note(words: Sequence[Any]) -> None:
        if words[0] == "LRANGE":
            counts.append(_count(words[1:]))

    server.before = note
    assert exported(server) == {b"l": items}
    assert counts[:10] == [1000] * 10
    assert counts[-1] == 10


def test_many_keys_are_read_in_transactions_of_few_bytes() -> None:
    lists = {b"%d" % number: [b"x" * (GROUP // 3)] for number in range(30)}
    server = Served(lists, GROUP // 3 + 100)
    assert exported(server) == lists
    assert server.most <= GROUP


def test_without_leave_to_ask_for_memory_it_is_guessed() -> None:
    lists = {b"a": [b"1"], b"b": [b"1"] * 3}
    assert exported(Served(lists, ErrorReply("NOPERM no MEMORY"))) == lists


@pytest.mark.parametrize("count", [1, HUGE])
def test_what_has_expired_behind_its_value_is_left_out(count: int) -> None:
    assert exported(Served({b"l": [b"1"] * count}, left=-2)) == {}


@pytest.mark.parametrize("said", ["ERR DB index is out of range", "ERR invalid DB index"])
def test_the_last_database_is_known_by_what_is_said(said: str) -> None:
    assert exported(Served({b"l": [b"1"]}, end=said)) == {b"l": [b"1"]}


def test_another_error_is_no_end_of_the_databases() -> None:
    problem = exported(Served({b"l": [b"1"]}, end="NOPERM this user has no permissions"))
    assert isinstance(problem, Refused)
    assert "NOPERM" in str(problem)
