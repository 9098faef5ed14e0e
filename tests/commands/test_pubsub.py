"""Publish and subscribe, as a client says it."""

from __future__ import annotations

import pytest
from helpers_pure import World, conversation

from memdbd.errors import CommandError
from memdbd.replies import Message, Reply, Several
from memdbd.session import Session


@pytest.fixture
def world() -> World:
    return World()


def listener(world: World, number: int) -> Session:
    """Another client, that only listens."""
    return Session(number, world.channels, lambda message: None, lambda push: None)


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
        listener(world, number).subscribe(b"c")
    assert world.run(b"publish", b"c", b"hello") == 2
    assert world.run(b"publish", b"x", b"hello") == 0


def test_list_channels_has_those_with_a_subscriber(world: World) -> None:
    other = listener(world, 2)
    other.subscribe(b"weather")
    world.say("subscribe news")
    assert world.ask("list_channels") == {"result": ["weather", "news"]}
    other.unsubscribe_all()
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


class TestPatterns:
    def test_a_pattern_gets_what_is_published_to_all_channels_that_match(
        self, world: World
    ) -> None:
        conversation(
            world,
            """
            > psubscribe news.*
            {"result": "OK", "action": "psubscribe", "channel": "news.*"}
            > publish news.sport goal
            {"result": "OK"}
            > publish weather rain
            {"result": "OK"}
            > punsubscribe
            {"result": "OK", "action": "punsubscribe", "channel": ["news.*"]}
            > publish news.sport another
            {"result": "OK"}
            """,
        )
        (message,) = world.inbox
        assert (message.kind, message.pattern) == (b"pmessage", b"news.*")
        assert (message.channel, message.payload) == (b"news.sport", b"goal")

    def test_a_client_that_asked_twice_gets_it_twice(self, world: World) -> None:
        world.run(b"subscribe", b"a")
        world.run(b"psubscribe", b"*", b"a*")
        assert world.run(b"publish", b"a", b"x") == 3
        assert [message.kind for message in world.inbox] == [b"message", b"pmessage", b"pmessage"]

    def test_one_that_is_too_long_is_refused_and_none_is_kept(self, world: World) -> None:
        with pytest.raises(CommandError, match="pattern is too long"):
            world.run(b"psubscribe", b"x" * 1025)
        assert world.run(b"pubsub", b"numpat") == 0
        assert world.session.patterns == {}


class TestShards:
    def test_their_channels_are_a_world_of_their_own(self, world: World) -> None:
        world.run(b"ssubscribe", b"a")
        assert world.run(b"publish", b"a", b"x") == 0
        assert world.run(b"spublish", b"a", b"y") == 1
        assert [(message.kind, message.payload) for message in world.inbox] == [(b"smessage", b"y")]
        world.run(b"sunsubscribe")
        assert world.run(b"spublish", b"a", b"z") == 0


class TestConfirmations:
    def pushed(self, reply: Reply) -> list[list[Reply]]:
        assert isinstance(reply, Several)
        return [list(push.items) for push in reply.replies]

    def test_each_name_is_confirmed_by_itself_with_what_is_listened_to_by_then(
        self, world: World
    ) -> None:
        assert self.pushed(world.run(b"subscribe", b"a", b"b", b"a")) == [
            [b"subscribe", b"a", 1],
            [b"subscribe", b"b", 2],
            [b"subscribe", b"a", 2],
        ]
        assert self.pushed(world.run(b"psubscribe", b"*")) == [[b"psubscribe", b"*", 3]]
        assert self.pushed(world.run(b"ssubscribe", b"s")) == [[b"ssubscribe", b"s", 1]]
        assert self.pushed(world.run(b"unsubscribe", b"a")) == [[b"unsubscribe", b"a", 2]]
        assert self.pushed(world.run(b"unsubscribe")) == [[b"unsubscribe", b"b", 1]]

    @pytest.mark.parametrize("name", [b"unsubscribe", b"punsubscribe", b"sunsubscribe"])
    def test_to_leave_nothing_is_confirmed_too(self, world: World, name: bytes) -> None:
        assert self.pushed(world.run(name)) == [[name, None, 0]]


def test_pubsub_tells_of_channels_and_their_subscribers(world: World) -> None:
    world.run(b"subscribe", b"news", b"weather")
    world.run(b"ssubscribe", b"shard")
    assert world.run(b"pubsub", b"channels") == [b"news", b"weather"]
    assert world.run(b"pubsub", b"channels", b"n*") == [b"news"]
    assert world.run(b"pubsub", b"numsub") == []
    assert world.run(b"pubsub", b"numsub", b"news", b"x") == [b"news", 1, b"x", 0]
    assert world.run(b"pubsub", b"shardchannels") == [b"shard"]
    assert world.run(b"pubsub", b"shardnumsub", b"shard", b"news") == [b"shard", 1, b"news", 0]
    assert world.run(b"pubsub", b"numpat") == 0
