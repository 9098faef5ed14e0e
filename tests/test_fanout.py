"""What was published in a turn, on its way to many."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memdbd.core import Lane
from memdbd.fanout import MANY, MOST, Audience, FanOut, Lanes, Run
from memdbd.replies import Message


def encoded(message: Message) -> bytes:
    return b"%b:%b:%b;" % (message.kind, message.channel, message.payload)


class Listener:
    """A subscriber that keeps the bytes that it gets; its lane takes ``room`` of them at once."""

    def __init__(self, resp: int = 2, *, has_lane: bool = False) -> None:
        self.resp = resp
        self.room = 1 << 30
        self.got = b""
        self.calls: list[str] = []  # how it got them
        self.lane: Lane | None = None
        if has_lane:
            self.lane = Lane(self, None)
            self.lane.attach(self)
            self.lane.is_clear = True

    def deliver(self, message: Message) -> None:
        raise AssertionError("nothing is delivered one by one here")

    def take(self, run: Run, at_once: bool) -> None:
        self.calls.append("at once" if at_once else "later")
        self.got += run.line(self.resp, encoded)

    def take_rest(self, rest: bytes) -> None:
        self.calls.append("rest")
        self.got += rest

    def recv(self, most: int) -> bytes:
        raise AssertionError("nothing is read here")

    def send(self, line: bytes) -> int:
        self.calls.append("lane")
        if not self.room:
            raise BlockingIOError
        self.got += line[: self.room]
        return min(self.room, len(line))


def audience(listeners: Sequence[Listener]) -> Audience:
    """All of them."""
    those = Audience()
    for listener in listeners:
        those.join(listener)
    return those


def many(count: int = MANY + 3) -> list[Listener]:
    """So many that their lanes are kept."""
    return [Listener(has_lane=True) for _ in range(count)]


def publish(fanout: FanOut, those: Audience, *payloads: bytes) -> None:
    for payload in payloads:
        run = fanout.run((b"message", b"news"), those)
        fanout.collect(b"news", payload, [(run, b"message", None)])


def test_all_get_all_messages_in_order_when_they_are_spread_and_not_before() -> None:
    fanout, listeners = FanOut(), [Listener() for _ in range(3)]
    publish(fanout, audience(listeners), b"1", b"2")
    assert [each.got for each in listeners] == [b""] * 3
    fanout.spread(at_once=False)
    assert [each.got for each in listeners] == [b"message:news:1;message:news:2;"] * 3
    assert [each.calls for each in listeners] == [["later"]] * 3


def test_what_is_spread_is_not_spread_again() -> None:
    fanout, listener = FanOut(), Listener()
    publish(fanout, audience([listener]), b"1")
    fanout.spread(at_once=True)
    fanout.spread(at_once=True)
    assert listener.got == b"message:news:1;"


def test_a_run_is_encoded_once_for_each_version_of_resp() -> None:
    calls: list[bytes] = []
    run = Run()
    run.messages = {1: Message(b"c", b"1"), 2: Message(b"c", b"2")}

    def encode(message: Message) -> bytes:
        calls.append(message.payload)
        return message.payload

    assert [run.line(resp, encode) for resp in (2, 3, 2, 3)] == [b"12"] * 4
    assert calls == [b"1", b"2"] * 2


def test_it_says_when_so_much_is_collected_that_it_should_be_spread() -> None:
    fanout, those = FanOut(), audience([Listener()])
    for _ in range(2):  # each time anew
        run = fanout.run((b"message", b"news"), those)
        stops = [(run, b"message", None)]
        assert not fanout.collect(b"news", b"x" * MOST, stops)
        assert fanout.collect(b"news", b"x", stops)
        fanout.spread(at_once=False)


def test_who_is_in_two_audiences_gets_all_in_the_order_in_which_it_was_collected() -> None:
    fanout, one, both, other = FanOut(), Listener(), Listener(), Listener()
    channel, pattern = audience([one, both]), audience([both, other])
    for payload in (b"1", b"2"):
        fanout.collect(
            b"c",
            payload,
            [
                (fanout.run((b"message", b"c"), channel), b"message", None),
                (fanout.run((b"pmessage", b"*"), pattern), b"pmessage", b"*"),
            ],
        )
    fanout.spread(at_once=True)
    assert one.got == b"message:c:1;message:c:2;"
    assert both.got == b"message:c:1;pmessage:c:1;message:c:2;pmessage:c:2;"
    assert other.got == b"pmessage:c:1;pmessage:c:2;"
    assert [each.calls for each in (one, both, other)] == [["at once"]] * 3


@given(
    st.lists(st.sets(st.integers(0, 5)), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 3), st.booleans())),
    st.booleans(),
)
def test_whoever_is_where_all_get_what_is_theirs_in_order(
    members: list[set[int]],
    steps: list[tuple[int, bool]],
    has_lane: bool,
) -> None:
    fanout = FanOut()
    listeners = [Listener(resp=number % 2, has_lane=has_lane) for number in range(6)]
    expected = [b""] * 6
    audiences = [audience([listeners[member] for member in sorted(each)]) for each in members]
    for number, (which, spreads) in enumerate(steps):
        name = b"%d" % (which % len(members))
        those = audiences[which % len(members)]
        run = fanout.run((b"message", name), those)
        fanout.collect(name, b"%d" % number, [(run, b"message", None)])
        for member in members[which % len(members)]:
            expected[member] += b"message:%b:%d;" % (name, number)
        if spreads:
            fanout.spread(at_once=has_lane)
    fanout.spread(at_once=True)
    assert [each.got for each in listeners] == expected


class TestALargeAudience:
    def test_gets_it_by_lanes_and_one_of_them_has_the_line_made(self) -> None:
        fanout, listeners = FanOut(), many()
        publish(fanout, audience(listeners), b"1")
        fanout.spread(at_once=True)
        assert {each.got for each in listeners} == {b"message:news:1;"}
        assert [each.calls for each in listeners] == [["at once"]] + [["lane"]] * (MANY + 2)
        assert fanout.carried == len(b"message:news:1;") * (MANY + 2)

    def test_of_those_who_speak_differently_has_a_line_for_each(self) -> None:
        fanout, listeners = FanOut(), many()
        for each in listeners[::2]:
            each.resp = 3
        publish(fanout, audience(listeners), b"1")
        fanout.spread(at_once=True)
        assert [each.calls for each in listeners[:3]] == [["at once"], ["at once"], ["lane"]]
        assert {each.got for each in listeners} == {b"message:news:1;"}

    def test_gets_it_without_where_it_may_not_leave_yet(self) -> None:
        fanout, listeners = FanOut(), many()
        publish(fanout, audience(listeners), b"1")
        fanout.spread(at_once=False)
        assert [each.calls for each in listeners] == [["later"]] * (MANY + 3)

    def test_a_small_one_too(self) -> None:
        fanout, listeners = FanOut(), many(MANY - 1)
        publish(fanout, audience(listeners), b"1")
        fanout.spread(at_once=True)
        assert [each.calls for each in listeners] == [["at once"]] * (MANY - 1)

    @pytest.mark.parametrize("room", [0, 4])
    def test_what_a_lane_does_not_take_its_owner_does(self, room: int) -> None:
        fanout, listeners = FanOut(), many()
        listeners[5].room = room
        publish(fanout, audience(listeners), b"1")
        fanout.spread(at_once=True)
        assert {each.got for each in listeners} == {b"message:news:1;"}
        assert listeners[5].calls == ["lane", "rest"]

    def test_who_has_no_lane_takes_it_all_the_same(self) -> None:
        fanout, listeners = FanOut(), many()
        listeners[5].lane = None
        publish(fanout, audience(listeners), b"1")
        fanout.spread(at_once=True)
        assert listeners[5].calls == ["at once"]
        assert {each.got for each in listeners} == {b"message:news:1;"}

    def test_lanes_are_looked_for_again_when_one_has_changed(self) -> None:
        fanout, listeners = FanOut(), many()
        those = audience(listeners)
        five, four = listeners[5].lane, listeners[4].lane
        assert five is not None
        assert four is not None
        five.close()
        publish(fanout, those, b"1")
        fanout.spread(at_once=True)
        four.is_clear, five.is_clear = False, True
        listeners[6].resp = 3
        fanout.lanes_change()
        publish(fanout, those, b"2")
        fanout.spread(at_once=True)
        assert listeners[4].calls == listeners[6].calls == ["lane", "at once"]
        assert listeners[5].calls == ["at once", "lane"]

    def test_they_are_kept_as_long_as_nothing_changes(self) -> None:
        fanout, those = FanOut(), audience(many())
        kept: list[Lanes | None] = []
        for _ in range(2):
            publish(fanout, those, b"1")
            fanout.spread(at_once=True)
            kept.append(those.lanes)
        assert kept[0] is not None
        assert kept[0] is kept[1]

    def test_who_joins_or_leaves_does_so_for_the_lanes_too(self) -> None:
        fanout, listeners, late = FanOut(), many(), Listener(has_lane=True)
        those = audience(listeners)
        publish(fanout, those, b"1")
        fanout.spread(at_once=True)
        those.leave(listeners[5])
        those.join(late)
        publish(fanout, those, b"2")
        fanout.spread(at_once=True)
        assert listeners[5].got == b"message:news:1;"
        assert late.got == b"message:news:2;"
