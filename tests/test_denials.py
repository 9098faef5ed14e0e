"""What was refused of late."""

from __future__ import annotations

import pytest

from memdbd.denials import MAX_OBJECT, Denials


class Log(Denials):
    """One on a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        super().__init__(lambda: self.now)

    def told(self) -> list[tuple[bytes, int]]:
        return [(each.object, each.count) for each in self]


@pytest.fixture
def log() -> Log:
    return Log()


def note(
    log: Log, object: bytes, reason: str = "key", user: bytes = b"u", how: str = "toplevel"
) -> None:
    log.note(reason, how, object, user, f"client at {log.now}")


def test_the_newest_comes_first(log: Log) -> None:
    for name in b"a", b"b", b"c":
        note(log, name)
    assert log.told() == [(b"c", 1), (b"b", 1), (b"a", 1)]


def test_what_is_alike_within_a_minute_is_one(log: Log) -> None:
    note(log, b"a")
    note(log, b"b")
    log.now += 60
    note(log, b"a")
    assert log.told() == [(b"a", 2), (b"b", 1)]
    (first, _) = log
    assert (first.client, first.when) == ("client at 1060.0", 1060.0)
    log.now += 60.001
    note(log, b"a")
    assert log.told() == [(b"a", 1), (b"a", 2), (b"b", 1)]


@pytest.mark.parametrize("other", [{"reason": "command"}, {"user": b"v"}, {"how": "multi"}])
def test_what_differs_is_not(log: Log, other: dict[str, object]) -> None:
    note(log, b"a")
    note(log, b"a", **other)  # type: ignore[arg-type]
    assert log.told() == [(b"a", 1), (b"a", 1)]


def test_only_the_last_ten_are_looked_through(log: Log) -> None:
    for number in range(11):
        note(log, b"%d" % number)
    note(log, b"0")
    assert len(log) == 12
    note(log, b"3")
    assert log.told()[0] == (b"3", 2)
    assert len(log) == 12


def test_so_many_are_kept_as_was_said(log: Log) -> None:
    for number in range(200):
        note(log, b"%d" % number)
    assert len(log) == 128
    log.resize(2)
    assert log.told() == [(b"199", 1), (b"198", 1)]
    note(log, b"x")
    assert log.told() == [(b"x", 1), (b"199", 1)]
    log.resize(0)
    note(log, b"y")
    assert len(log) == 0
    log.resize(2**63 - 1)
    note(log, b"z")
    log.clear()
    assert len(log) == 0


def test_of_long_names_the_beginning_is_kept(log: Log) -> None:
    note(log, b"k" * 5000, user=b"u" * 5000)
    (entry,) = log
    assert (len(entry.object), len(entry.username)) == (MAX_OBJECT, MAX_OBJECT)


def test_what_is_noted_while_it_is_read_disturbs_nobody(log: Log) -> None:
    note(log, b"a")
    note(log, b"b")
    for entry in log:
        note(log, b"c" + entry.object)
    assert len(log) == 4
