"""Publish and subscribe, as a client says it."""

from __future__ import annotations

import pytest
from helpers_pure import World, conversation

from memdbd.replies import Message
from memdbd.session import Session


@pytest.fixture
def world() -> World:
    return World()


def payloads(messages: list[Message]) -> list[bytes]:
    return [message.payload for message in messages]


def test_a_subscriber_gets_what_is_published_and_other_commands_still_work(world: World) -> None:
    conversation(
        world,
        """
        > subscribe notifications
        {"result": "OK", "action": "subscribe", "channel": "notifications"}
        > publish notifications "Hello World"
        {"result": "OK"}
        > set username john_doe
        {"result": "OK"}
        > publish notifications without any quotes
        {"result": "OK"}
        """,
    )
    assert payloads(world.inbox) == [b"Hello World", b"without any quotes"]


def test_several_channels_may_be_named_at_once(world: World) -> None:
    conversation(
        world,
        """
        > subscribe a b c
        {"result": "OK", "action": "subscribe", "channel": ["a", "b", "c"]}
        > unsubscribe a c
        {"result": "OK", "action": "unsubscribe", "channel": ["a", "c"]}
        > list_channels
        {"result": ["b"]}
        """,
    )


def test_unsubscribe_ends_one_channel_and_the_others_stay(world: World) -> None:
    world.say("subscribe a")
    world.say("subscribe b")
    assert world.say("unsubscribe a") == (
        '{"result": "OK", "action": "unsubscribe", "channel": "a"}'
    )
    world.say("publish a 1")
    world.say("publish b 2")
    assert payloads(world.inbox) == [b"2"]


def test_unsubscribe_without_a_channel_ends_all(world: World) -> None:
    world.say("subscribe a b c")
    reply = world.ask("unsubscribe")
    assert reply == {"result": "OK", "action": "unsubscribe", "channel": ["a", "b", "c"]}
    assert world.ask("list_channels") == {"result": []}
    assert world.session.channels == {}


def test_unsubscribe_where_nothing_is_subscribed_is_no_error(world: World) -> None:
    assert world.ask("unsubscribe")["result"] == "OK"
    assert world.ask("unsubscribe a")["result"] == "OK"


def test_publishing_to_nobody_is_no_error(world: World) -> None:
    assert world.ask("publish notifications hello") == {"result": "OK"}


def test_a_program_hears_how_many_received_it(world: World) -> None:
    for number in (2, 3):
        Session(number, world.channels, lambda message: None).subscribe(b"c")
    assert world.run(b"publish", b"c", b"hello") == 2
    assert world.run(b"publish", b"x", b"hello") == 0


def test_list_channels_has_those_with_a_subscriber(world: World) -> None:
    other = Session(2, world.channels, lambda message: None)
    other.subscribe(b"weather")
    world.say("subscribe news")
    assert world.ask("list_channels") == {"result": ["weather", "news"]}
    other.close()
    assert world.ask("list_channels") == {"result": ["news"]}


def test_list_subscribers_counts_those_of_one_channel(world: World) -> None:
    conversation(
        world,
        """
        > list_subscribers news
        {"result": 0}
        > subscribe news
        {"result": "OK", "action": "subscribe", "channel": "news"}
        > subscribe news
        {"result": "OK", "action": "subscribe", "channel": "news"}
        > list_subscribers news
        {"result": 1}
        """,
    )


def test_any_bytes_are_a_channel_and_a_message(world: World) -> None:
    world.run(b"subscribe", b"\xff")
    assert world.run(b"publish", b"\xff", b"\x00\n") == 1
    assert [(message.channel, message.payload) for message in world.inbox] == [(b"\xff", b"\x00\n")]
    assert world.ask("list_channels") == {"result": ["/w=="], "encoding": "base64"}


def test_a_channel_that_is_not_utf8_is_marked_in_its_own_field(world: World) -> None:
    assert world.ask(r'subscribe "\xff"') == {
        "result": "OK",
        "action": "subscribe",
        "channel": "/w==",
        "channel_encoding": "base64",
    }
