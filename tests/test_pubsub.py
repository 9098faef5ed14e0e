"""Who listens to which channel."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memdbd.fanout import MOST, Run
from memdbd.pubsub import KNOWN, KNOWN_LENGTH, Patterns, Registry
from memdbd.replies import Message


class Listener:
    """A subscriber that keeps what it gets; ``then`` is called for each message."""

    lane = None
    resp = 2

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.messages: list[Message] = []
        self.taken: list[bool] = []  # how many times it took some, and whether that was at once
        self._then = then

    def deliver(self, message: Message) -> None:
        self.messages.append(message)
        self._then()

    def take(self, run: Run, at_once: bool) -> None:
        self.taken.append(at_once)
        for message in run.messages.values():
            self.deliver(message)

    def take_rest(self, rest: bytes) -> None:
        raise AssertionError("it has no lane")

    @property
    def got(self) -> list[tuple[bytes, bytes]]:
        return [(message.channel, message.payload) for message in self.messages]


def test_a_message_goes_to_all_of_its_channel_and_to_no_other() -> None:
    registry, first, second, other = Registry(), Listener(), Listener(), Listener()
    registry.channels.join(b"news", first)
    registry.channels.join(b"news", second)
    registry.channels.join(b"weather", other)
    assert registry.publish(b"news", b"hello") == 2
    assert first.got == second.got == [(b"news", b"hello")]
    assert other.got == []


def test_all_get_the_same_object_so_that_it_is_encoded_once() -> None:
    registry, first, second = Registry(), Listener(), Listener()
    registry.channels.join(b"news", first)
    registry.channels.join(b"news", second)
    registry.publish(b"news", b"hello")
    assert first.messages[0] is second.messages[0]


def test_messages_come_in_the_order_in_which_they_were_published() -> None:
    registry, listener = Registry(), Listener()
    registry.channels.join(b"a", listener)
    registry.channels.join(b"b", listener)
    for channel, payload in [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]:
        registry.publish(channel, payload)
    assert listener.got == [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]


def test_who_subscribes_twice_gets_a_message_once() -> None:
    registry, listener = Registry(), Listener()
    registry.channels.join(b"news", listener)
    registry.channels.join(b"news", listener)
    assert registry.channels.count(b"news") == 1
    assert registry.publish(b"news", b"hello") == 1
    registry.channels.leave(b"news", listener)
    assert registry.publish(b"news", b"hello") == 0


def test_a_message_that_nobody_hears_is_no_error() -> None:
    registry = Registry()
    assert registry.publish(b"news", b"hello") == 0
    assert (registry.published, registry.delivered) == (1, 0)


def test_who_has_left_gets_nothing_more() -> None:
    registry, listener = Registry(), Listener()
    registry.channels.join(b"news", listener)
    registry.channels.leave(b"news", listener)
    registry.publish(b"news", b"hello")
    assert listener.got == []


def test_leaving_a_channel_that_one_is_not_in_is_no_error() -> None:
    registry, listener = Registry(), Listener()
    registry.channels.leave(b"news", listener)
    registry.channels.join(b"news", listener)
    registry.channels.leave(b"news", Listener())
    assert registry.channels.count(b"news") == 1


def test_a_channel_that_nobody_listens_to_is_not_kept() -> None:
    registry, first, second = Registry(), Listener(), Listener()
    registry.channels.join(b"news", first)
    registry.channels.join(b"news", second)
    registry.channels.leave(b"news", first)
    assert list(registry.channels) == [b"news"]
    registry.channels.leave(b"news", second)
    registry.publish(b"other", b"hello")
    assert registry.channels.count(b"weather") == 0
    assert registry.channels == {}


def test_a_subscriber_that_leaves_during_delivery_keeps_no_message_from_the_others() -> None:
    registry = Registry()
    before, after = Listener(), Listener()
    leaver = Listener(then=lambda: registry.channels.leave(b"news", leaver))
    for listener in (before, leaver, after):
        registry.channels.join(b"news", listener)
    assert registry.publish(b"news", b"1") == 3
    assert registry.publish(b"news", b"2") == 2
    assert before.got == after.got == [(b"news", b"1"), (b"news", b"2")]
    assert leaver.got == [(b"news", b"1")]


def test_the_last_subscriber_may_leave_during_delivery() -> None:
    registry = Registry()
    leaver = Listener(then=lambda: registry.channels.leave(b"news", leaver))
    registry.channels.join(b"news", leaver)
    assert registry.publish(b"news", b"1") == 1
    assert registry.channels == {}


def test_who_subscribes_during_delivery_gets_the_next_message() -> None:
    registry, late = Registry(), Listener()
    early = Listener(then=lambda: registry.channels.join(b"news", late))
    registry.channels.join(b"news", early)
    registry.publish(b"news", b"1")
    registry.publish(b"news", b"2")
    assert late.got == [(b"news", b"2")]


def test_published_and_delivered_are_counted() -> None:
    registry = Registry()
    for _ in range(3):
        registry.channels.join(b"news", Listener())
    registry.publish(b"news", b"1")
    registry.publish(b"news", b"2")
    registry.publish(b"other", b"3")
    assert (registry.published, registry.delivered) == (3, 6)


class TestWhatIsCollected:
    """As in a daemon, where somebody spreads it at the end of each turn."""

    @pytest.fixture
    def registry(self) -> Registry:
        registry = Registry()
        registry.collects = lambda: self.told.append(True)
        return registry

    @pytest.fixture(autouse=True)
    def _told(self) -> None:
        self.told: list[bool] = []

    def test_is_delivered_when_it_is_sent_and_not_before(self, registry: Registry) -> None:
        listener, publisher = Listener(), Listener()
        registry.channels.join(b"news", listener)
        for payload in (b"1", b"2"):
            assert registry.publish(b"news", payload, publisher) == 1
        assert listener.got == []
        registry.send()
        assert listener.got == [(b"news", b"1"), (b"news", b"2")]
        assert listener.taken == [True]
        assert registry.delivered == 2

    def test_or_when_it_is_spread_as_it_may_not_leave_yet(self, registry: Registry) -> None:
        listener, publisher = Listener(), Listener()
        registry.channels.join(b"news", listener)
        registry.publish(b"news", b"1", publisher)
        registry.spread()
        registry.send()
        assert listener.got == [(b"news", b"1")]
        assert listener.taken == [False]

    def test_is_told_of_once(self, registry: Registry) -> None:
        listener = Listener()
        registry.channels.join(b"news", listener)
        for _ in range(3):
            registry.publish(b"news", b"1", Listener())
        assert self.told == [True]
        registry.send()
        registry.publish(b"news", b"1", Listener())
        assert self.told == [True, True]

    def test_waits_until_it_is_sent_where_it_is_little(self, registry: Registry) -> None:
        listener = Listener()
        registry.channels.join(b"news", listener)
        registry.publish(b"news", b"1", Listener())
        registry.spread(unless_little=True)
        assert listener.got == []

    def test_does_not_where_much_was_published_in_this_turn(self, registry: Registry) -> None:
        """Much of it waits for the peers then, who are not to be cut for what comes behind."""
        listener = Listener()
        registry.channels.join(b"news", listener)
        registry.publish(b"news", b"x" * (MOST + 1), Listener())
        assert listener.taken == [False]
        registry.publish(b"news", b"1", Listener())
        registry.spread(unless_little=True)
        assert listener.taken == [False, False]
        registry.send()
        registry.publish(b"news", b"1", Listener())
        registry.spread(unless_little=True)
        assert listener.taken == [False, False]

    def test_is_delivered_at_once_to_all_if_its_publisher_is_among_them(
        self, registry: Registry
    ) -> None:
        listener, publisher = Listener(), Listener()
        registry.channels.join(b"news", listener)
        registry.patterns.join(b"n*", publisher)
        registry.publish(b"news", b"0", Listener())
        assert registry.publish(b"news", b"1", publisher) == 2
        assert listener.got == [(b"news", b"0"), (b"news", b"1")]
        assert [message.kind for message in publisher.messages] == [b"pmessage", b"pmessage"]
        registry.send()
        assert len(listener.got) == len(publisher.got) == 2

    def test_of_several_requests_is_as_if_each_were_alone(self, registry: Registry) -> None:
        one, other, publisher = Listener(), Listener(), Listener()
        registry.channels.join(b"news", one)
        registry.patterns.join(b"n*", other)
        run = [
            [b"publish", b"news", b"1"],
            [b"publish", b"n", b"x" * MOST],
            [b"publish", b"n", b"2"],  # from here on it is too much to wait
            [b"publish", b"n", b"3"],
            [b"publish", b"none", b"4"],
        ]
        assert registry.publish_all(run, publisher) == [2, 1, 1, 1, 1]
        assert (registry.published, registry.delivered) == (5, 6)
        assert (one.taken, other.taken) == ([False], [False])
        registry.send()
        assert one.got == [(b"news", b"1")]
        assert other.got == [(channel, payload) for _, channel, payload in run]

    def test_of_several_is_left_to_be_delivered_from_where_its_publisher_would_hear_it(
        self, registry: Registry
    ) -> None:
        publisher = Listener()
        registry.channels.join(b"news", publisher)
        run = [[b"publish", channel, b"1"] for channel in (b"a", b"a", b"news", b"a")]
        assert registry.publish_all(run, publisher) == [0, 0]
        registry.collects = None
        assert registry.publish_all(run, Listener()) == []
        assert registry.published == 2

    def test_goes_in_front_of_what_the_daemon_itself_says(self, registry: Registry) -> None:
        listener = Listener()
        for channel in (b"news", b"updates"):
            registry.channels.join(channel, listener)
        registry.publish(b"news", b"1", Listener())
        registry.announce(b"updates", b"2")
        registry.publish(b"news", b"3", Listener())
        registry.publish(b"updates", b"4")  # nobody's request
        registry.send()
        assert [payload for _, payload in listener.got] == [b"1", b"2", b"3", b"4"]

    @pytest.mark.parametrize("kind", ["channels", "patterns", "shards"])
    def test_is_for_those_who_listened_then(self, registry: Registry, kind: str) -> None:
        before, late, publisher = Listener(), Listener(), Listener()
        topics = getattr(registry, kind)
        publish = registry.publish_to_shard if kind == "shards" else registry.publish
        topics.join(b"news", before)
        publish(b"news", b"1", publisher)
        topics.join(b"news", late)
        publish(b"news", b"2", publisher)
        topics.leave(b"news", before)
        publish(b"news", b"3", publisher)
        registry.send()
        assert [payload for _, payload in before.got] == [b"1", b"2"]
        assert [payload for _, payload in late.got] == [b"2", b"3"]

    def test_is_apart_for_channels_and_shard_channels(self, registry: Registry) -> None:
        shard, channel, publisher = Listener(), Listener(), Listener()
        registry.shards.join(b"news", shard)
        registry.channels.join(b"news", channel)
        assert registry.publish_to_shard(b"news", b"1", publisher) == 1
        assert registry.publish(b"news", b"2", publisher) == 1
        registry.send()
        assert [(message.kind, message.payload) for message in shard.messages] == [
            (b"smessage", b"1")
        ]
        assert [(message.kind, message.payload) for message in channel.messages] == [
            (b"message", b"2")
        ]

    def test_who_is_cut_while_it_takes_it_is_no_matter_to_the_others(
        self, registry: Registry
    ) -> None:
        before, after = Listener(), Listener()
        leaver = Listener(then=lambda: registry.channels.leave(b"news", leaver))
        for listener in (before, leaver, after):
            registry.channels.join(b"news", listener)
        registry.publish(b"news", b"1", Listener())
        registry.send()
        assert registry.publish(b"news", b"2", Listener()) == 2
        registry.send()
        assert before.got == after.got == [(b"news", b"1"), (b"news", b"2")]
        assert leaver.got == [(b"news", b"1")]

    def test_that_nobody_hears_is_nothing(self, registry: Registry) -> None:
        assert registry.publish(b"news", b"1", Listener()) == 0
        registry.send()
        assert (registry.published, registry.delivered) == (1, 0)


class TestPatterns:
    def test_which_match_is_looked_up_once_for_a_channel(self) -> None:
        patterns, tried = Patterns(), list[bytes]()
        patterns.join(b"n*", Listener())

        def matches(channel: bytes) -> bool:
            tried.append(channel)
            return True

        patterns._matchers[b"n*"] = matches
        for _ in range(3):
            assert patterns.matching(b"news") == [b"n*"]
        assert tried == [b"news"]

    def test_is_found_out_again_when_there_is_one_more_or_less(self) -> None:
        patterns, first, second = Patterns(), Listener(), Listener()
        assert patterns.matching(b"news") == []
        patterns.join(b"n*", first)
        assert patterns.matching(b"news") == [b"n*"]
        patterns.join(b"*s", second)
        assert patterns.matching(b"news") == [b"n*", b"*s"]
        patterns.leave(b"n*", first)
        assert patterns.matching(b"news") == [b"*s"]

    def test_is_kept_of_some_channels_only_and_of_none_with_a_long_name(self) -> None:
        patterns = Patterns()
        patterns.join(b"*", Listener())
        for number in range(KNOWN + 2):
            assert patterns.matching(b"%d" % number) == [b"*"]
        assert patterns.matching(b"x" * (KNOWN_LENGTH + 1)) == [b"*"]
        assert len(patterns._known) == 2
