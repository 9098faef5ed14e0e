"""SLOWLOG and LATENCY."""

from __future__ import annotations

from collections import deque

import pytest
from helpers_pure import World, refusal
from parties import Party

from memdbd.replies import OK, Verbatim


@pytest.fixture
def world() -> World:
    return World()


class TestSlowlog:
    @pytest.fixture
    def world(self) -> World:
        world = World()
        for number in range(12):
            world.daemon.slowlog.add([b"get", b"%d" % number], 0.5, 1_700_000_000, "1.2.3.4:5", b"")
        return world

    def test_get_shows_the_newest_ten(self, world: World) -> None:
        entries = world.run(b"slowlog", b"get")
        assert [number for number, *_ in entries] == [*range(11, 1, -1)]
        assert entries[0] == [
            11, 1_700_000_000, 500_000, [b"get", b"11"], b"1.2.3.4:5", b"",
        ]  # fmt: skip

    @pytest.mark.parametrize(("count", "shown"), [(b"2", 2), (b"0", 0), (b"-1", 12), (b"99", 12)])
    def test_get_shows_as_many_as_are_asked_for(
        self, world: World, count: bytes, shown: int
    ) -> None:
        assert len(world.run(b"slowlog", b"get", count)) == shown

    def test_len_counts_and_reset_forgets(self, world: World) -> None:
        assert world.run(b"slowlog", b"len") == 12
        assert world.run(b"slowlog", b"reset") == OK
        assert world.run(b"slowlog", b"len") == 0

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            ((b"get", b"-2"), "ERR count should be greater than or equal to -1"),
            ((b"get", b"x"), "ERR count should be greater than or equal to -1"),
            (
                (b"get", b"1", b"2"),
                "ERR unknown subcommand or wrong number of arguments for 'get'. Try SLOWLOG HELP.",
            ),
            ((b"len", b"1"), "ERR wrong number of arguments for 'slowlog|len' command"),
        ],
    )
    def test_refuses_wrong_arguments_in_redis_s_words(
        self, world: World, arguments: tuple[bytes, ...], error: str
    ) -> None:
        assert refusal(world, b"slowlog", *arguments) == error


class TestWhatIsLogged:
    @pytest.fixture
    def party(self) -> Party:
        party = Party()
        party.says("a", "CONFIG SET slowlog-log-slower-than 0")
        party.house.engine.databases[0].set(b"list", deque([b"x"] * 5000))
        party.says("a", "SLOWLOG RESET")
        return party

    def logged(self, party: Party) -> list[bytes]:
        return [slow.argv[0] for slow in reversed(party.house.server.slowlog.last())][1:]

    def test_has_what_is_answered_piece_by_piece_or_later(self, party: Party) -> None:
        for line in ("LRANGE list 0 -1", "BLPOP k 0.1"):
            party.says("a", line)
        assert self.logged(party) == [b"LRANGE", b"BLPOP"]

    def test_has_what_a_transaction_ran_and_not_the_transaction(self, party: Party) -> None:
        for line in ("MULTI", "GET k", "EXEC"):
            party.says("a", line)
        assert self.logged(party) == [b"MULTI", b"GET"]


class TestLatency:
    @pytest.fixture
    def world(self) -> World:
        world = World()
        world.daemon.latency.threshold = 100
        for when, seconds in ((1, 0.2), (2, 0.4), (3, 0.1)):
            world.daemon.latency.add("command", seconds, when)
        return world

    def test_latest_has_of_each_event_the_last_and_the_worst(self, world: World) -> None:
        assert world.run(b"latency", b"latest") == [["command", 3, 100, 400]]

    def test_history_has_the_moments_of_an_event(self, world: World) -> None:
        assert world.run(b"latency", b"history", b"command") == [[1, 200], [2, 400], [3, 100]]
        assert world.run(b"latency", b"history", b"nosuch") == []

    def test_reset_forgets_and_counts_the_events(self, world: World) -> None:
        assert world.run(b"latency", b"reset", b"nosuch") == 0
        assert world.run(b"latency", b"reset") == 1
        assert world.run(b"latency", b"latest") == []

    def test_graph_draws_them(self, world: World) -> None:
        drawn = world.run(b"latency", b"graph", b"command")
        assert isinstance(drawn, Verbatim)
        bars = [line.count("#") for line in drawn.text.splitlines()[1:]]
        assert bars[1] > bars[0] > bars[2]
        assert refusal(world, b"latency", b"graph", b"nosuch") == (
            "ERR No samples available for event 'nosuch'"
        )

    def test_doctor_says_it_in_words(self, world: World) -> None:
        assert "400 ms at worst" in world.run(b"latency", b"doctor").text
        world.run(b"latency", b"reset")
        assert world.run(b"latency", b"doctor").text == "Nothing has taken so long.\n"
        world.daemon.latency.threshold = 0
        assert "CONFIG SET latency-monitor-threshold" in world.run(b"latency", b"doctor").text

    def test_histogram_counts_calls(self, world: World) -> None:
        world.say("get k")
        world.say("set k v")
        assert world.run(b"latency", b"histogram", b"GET", b"nosuch") == {
            "get": {"calls": 1, "histogram_usec": {}}
        }
        assert set(world.run(b"latency", b"histogram")) == {"get", "set"}
