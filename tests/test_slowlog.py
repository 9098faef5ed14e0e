"""What took long, and who is told of it."""

from __future__ import annotations

import pytest

from memdbd.clients import Clients
from memdbd.commands.table import COMMANDS
from memdbd.pubsub import Registry
from memdbd.session import Session
from memdbd.slowlog import MAX_SAMPLES, MAX_WORD, MAX_WORDS, Latency, SlowLog, Watch, shortened


class TestShortened:
    def test_a_short_request_is_kept_as_it_is(self) -> None:
        words = [b"set", b"k", b"x" * MAX_WORD]
        assert shortened(words) == words

    def test_of_a_long_word_the_beginning_is_kept(self) -> None:
        assert shortened([b"set", b"x" * (MAX_WORD + 7)]) == [
            b"set",
            b"x" * MAX_WORD + b"... (7 more bytes)",
        ]

    def test_of_many_words_the_first_are_kept(self) -> None:
        assert len(shortened([b"k"] * MAX_WORDS)) == MAX_WORDS
        kept = shortened([b"k"] * (MAX_WORDS + 1))
        assert len(kept) == MAX_WORDS
        assert kept[-1] == b"... (2 more arguments)"


def slow(log: SlowLog, *seconds: float) -> None:
    for each in seconds:
        log.add([b"get", b"k"], each, 1_700_000_000, "1.2.3.4:5", b"me")


class TestSlowLog:
    def test_keeps_what_took_long_enough_the_newest_first(self) -> None:
        log = SlowLog()
        slow(log, 0.0099, 0.01, 0.0254)
        first, second = log.last()
        assert (first.number, first.micros) == (1, 25_400)
        assert (second.number, second.micros) == (0, 10_000)
        assert (first.when, first.argv) == (1_700_000_000, [b"get", b"k"])
        assert (first.peer, first.name) == ("1.2.3.4:5", b"me")
        assert log.last(1) == [first]

    @pytest.mark.parametrize(("threshold", "kept"), [(None, 0), (0, 2), (0.5, 1)])
    def test_what_is_long_enough_can_be_said(self, threshold: float | None, kept: int) -> None:
        log = SlowLog()
        log.threshold = threshold
        slow(log, 0.0, 0.5)
        assert len(log) == kept

    def test_keeps_no_more_than_it_may_and_the_newest_when_that_changes(self) -> None:
        log = SlowLog()
        log.resize(3)
        slow(log, 1, 2, 3, 4)
        assert [each.number for each in log.last()] == [3, 2, 1]
        log.resize(2)
        assert [each.number for each in log.last()] == [3, 2]
        log.resize(0)
        slow(log, 5)
        assert log.last() == []

    def test_counts_on_when_it_is_emptied(self) -> None:
        log = SlowLog()
        slow(log, 1)
        log.clear()
        slow(log, 2)
        assert [each.number for each in log.last()] == [1]


class TestLatency:
    @pytest.fixture
    def latency(self) -> Latency:
        latency = Latency()
        latency.threshold = 100
        return latency

    def test_keeps_nothing_unless_it_is_asked_to(self) -> None:
        latency = Latency()
        latency.add("command", 10, 1)
        assert latency.latest() == []

    def test_keeps_the_moments_that_were_long_enough(self, latency: Latency) -> None:
        for when, seconds in ((1, 0.3), (2, 0.0999), (3, 0.1)):
            latency.add("command", seconds, when)
        assert latency.history("command") == [(1, 300), (3, 100)]
        assert latency.latest() == [("command", 3, 100, 300)]
        assert latency.history("fork") == []

    def test_keeps_the_worst_of_one_second(self, latency: Latency) -> None:
        for seconds in (0.2, 0.4, 0.3):
            latency.add("command", seconds, 1)
        assert latency.history("command") == [(1, 400)]

    def test_keeps_so_many_and_the_worst_of_all(self, latency: Latency) -> None:
        latency.add("command", 9, 0)
        for when in range(1, MAX_SAMPLES + 1):
            latency.add("command", 0.2, when)
        assert len(latency.history("command")) == MAX_SAMPLES
        assert latency.latest() == [("command", MAX_SAMPLES, 200, 9000)]

    def test_forgets_some_kinds_or_all(self, latency: Latency) -> None:
        for event in ("a", "b", "c"):
            latency.add(event, 1, 1)
        assert latency.clear(["a", "nosuch"]) == 1
        assert latency.clear() == 2
        assert latency.latest() == []


class TestWatch:
    @pytest.fixture
    def watch(self) -> Watch:
        return Watch(SlowLog(), Latency(), Clients(lambda: 0.0), lambda: 1_700_000_000_250)

    def saw(self, watch: Watch, *argv: bytes) -> None:
        session = Session(7, Registry(), deliver=print, push=print)
        session.name = b"me"
        watch.saw(session, COMMANDS[argv[0]], argv, 0.5)

    def test_tells_both(self, watch: Watch) -> None:
        watch.latency.threshold = 1
        self.saw(watch, b"get", b"k")
        (entry,) = watch.slowlog.last()
        assert (entry.when, entry.argv, entry.name) == (1_700_000_000, [b"get", b"k"], b"me")
        assert watch.latency.latest() == [("fast-command", 1_700_000_000, 500, 500)]

    def test_a_command_that_is_not_fast_is_an_event_of_its_own(self, watch: Watch) -> None:
        watch.latency.threshold = 1
        self.saw(watch, b"keys", b"*")
        assert [event for event, *_ in watch.latency.latest()] == ["command"]

    def test_leaves_secrets_out(self, watch: Watch) -> None:
        self.saw(watch, b"auth", b"somebody", b"hunter2")
        assert watch.slowlog.last()[0].argv == [b"auth", b"(redacted)", b"(redacted)"]

    @pytest.mark.parametrize(
        ("slow", "latency", "least"),
        [
            (0.01, 0, 0.01),
            (0.01, 5, 0.005),
            (0.01, 100, 0.01),
            (None, 100, 0.1),
            (None, 0, float("inf")),
        ],
    )
    def test_wants_to_hear_of_what_either_wants(
        self, watch: Watch, slow: float | None, latency: int, least: float
    ) -> None:
        watch.slowlog.threshold, watch.latency.threshold = slow, latency
        assert watch.least == least
