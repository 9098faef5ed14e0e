"""Who listens to which channel."""

from __future__ import annotations

from collections.abc import Callable

from memdbd.pubsub import Registry
from memdbd.replies import Message


class Listener:
    """A subscriber that keeps what it gets; ``then`` is called for each message."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.messages: list[Message] = []
        self._then = then

    def deliver(self, message: Message) -> None:
        self.messages.append(message)
        self._then()

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
