"""What is known of a client."""

from __future__ import annotations

from memdbd.pubsub import Registry
from memdbd.replies import Message, Push, Status
from memdbd.session import Session


def refuse(push: Push | Status) -> None:
    raise AssertionError("nothing is pushed here")


def client(registry: Registry, number: int = 1) -> tuple[Session, list[Message]]:
    inbox: list[Message] = []
    return Session(number, registry, inbox.append, refuse), inbox


def test_a_message_reaches_a_subscribed_client_as_the_protocol_delivers() -> None:
    registry = Registry()
    session, inbox = client(registry)
    session.subscribe(b"news")
    registry.publish(b"news", b"hello")
    registry.publish(b"weather", b"rain")
    assert [(message.channel, message.payload) for message in inbox] == [(b"news", b"hello")]


def test_it_knows_its_channels_in_the_order_of_subscription() -> None:
    session, _ = client(Registry())
    for channel in (b"c", b"a", b"b", b"a"):
        session.subscribe(channel)
    assert list(session.channels) == [b"c", b"a", b"b"]


def test_unsubscribing_ends_the_messages_of_that_channel_only() -> None:
    registry = Registry()
    session, inbox = client(registry)
    session.subscribe(b"a")
    session.subscribe(b"b")
    session.unsubscribe(b"a")
    registry.publish(b"a", b"1")
    registry.publish(b"b", b"2")
    assert [message.payload for message in inbox] == [b"2"]
    assert list(session.channels) == [b"b"]


def test_unsubscribing_from_a_channel_that_it_is_not_in_is_no_error() -> None:
    registry = Registry()
    session, _ = client(registry)
    session.unsubscribe(b"a")
    assert (session.channels, registry.channels) == ({}, {})


def test_a_client_that_leaves_is_forgotten_by_every_channel_and_the_others_stay() -> None:
    registry = Registry()
    gone, inbox = client(registry)
    stays, others = client(registry, 2)
    for session in (gone, stays):
        session.subscribe(b"a")
        session.subscribe(b"b")
    gone.unsubscribe_all()
    registry.publish(b"a", b"1")
    assert (inbox, len(others)) == ([], 1)
    assert (registry.channels.count(b"a"), registry.channels.count(b"b"), gone.channels) == (
        1,
        1,
        {},
    )


def test_leaving_twice_is_leaving() -> None:
    session, _ = client(Registry())
    session.subscribe(b"a")
    session.unsubscribe_all()
    session.unsubscribe_all()


def test_a_client_that_leaves_during_delivery_is_delivered_nothing_more() -> None:
    registry = Registry()
    inbox: list[Message] = []

    def cut(message: Message) -> None:
        inbox.append(message)
        session.unsubscribe_all()

    session = Session(1, registry, cut, refuse)
    session.subscribe(b"a")
    session.subscribe(b"b")
    registry.publish(b"a", b"1")
    registry.publish(b"b", b"2")
    assert [message.payload for message in inbox] == [b"1"]
