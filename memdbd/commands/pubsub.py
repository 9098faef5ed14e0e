"""Publish and subscribe.

Strategy: a session keeps three kinds of subscriptions, of which each has a pair of commands; a
table of the kinds says which. In RESP each name is confirmed by itself, in the text dialect one
line confirms them all.

May import: context, spec, together and what they may import.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from memdbd.commands.access import KeyRange
from memdbd.commands.context import Context
from memdbd.commands.spec import Command, Flag, Param, command
from memdbd.commands.together import Run
from memdbd.effects import Effect
from memdbd.glob import matcher
from memdbd.pubsub import Topics
from memdbd.replies import OK, Fields, Push, Reply, Several, Status
from memdbd.session import Session

CHANNEL = Param("channel")
ANY_CHANNELS = Param("channel", many=True, optional=True)
LISTENS = Flag.PUBSUB | Flag.LISTENER


@dataclass(frozen=True, slots=True)
class _Kind:
    """One of the three kinds of subscriptions: its letter in the names, and where it is kept."""

    letter: str
    join: Callable[[Session, bytes], None]
    leave: Callable[[Session, bytes], None]
    mine: Callable[[Session], dict[bytes, None]]

    def count(self, session: Session) -> int:
        """How many subscriptions RESP's confirmations tell of."""
        if self.letter == "s":
            return len(session.shards)
        return len(session.channels) + len(session.patterns)

    def subscribe(self, ctx: Context, names: Iterable[bytes]) -> Several:
        word = f"{self.letter}subscribe".encode()
        pushes = []
        for name in names:
            self.join(ctx.session, name)
            pushes.append(Push(word, name, self.count(ctx.session)))
        ctx.session.settle()
        return Several(pushes)

    def unsubscribe(self, ctx: Context, names: tuple[bytes, ...]) -> Several:
        word = f"{self.letter}unsubscribe".encode()
        pushes = []
        for name in names or tuple(self.mine(ctx.session)):
            self.leave(ctx.session, name)
            pushes.append(Push(word, name, self.count(ctx.session)))
        ctx.session.settle()
        return Several(pushes or [Push(word, None, self.count(ctx.session))])


_CHANNELS = _Kind("", Session.subscribe, Session.unsubscribe, lambda session: session.channels)
_PATTERNS = _Kind("p", Session.psubscribe, Session.punsubscribe, lambda session: session.patterns)
_SHARDS = _Kind("s", Session.ssubscribe, Session.sunsubscribe, lambda session: session.shards)


def _in_one(kind: _Kind, ctx: Context, named: tuple[bytes, ...], *, join: bool) -> Fields:
    """The reply of the text dialect: a list of channels unless exactly one was named."""
    names = list(named) if join else list(named or kind.mine(ctx.session))
    if join:
        kind.subscribe(ctx, names)
    else:
        kind.unsubscribe(ctx, named)
    action = f"{kind.letter}{'' if join else 'un'}subscribe"
    channel: Reply = named[0] if len(named) == 1 else names
    return Fields(OK, {"action": Status(action), "channel": channel})


def _joins(kind: _Kind, name: str, what: str) -> Command:
    """The command that begins subscriptions of a kind, each to a ``name``."""

    @command(
        f"{kind.letter}subscribe",
        Param(name, many=True),
        flags=LISTENS,
        summary=f"Have the messages of {what} sent on this connection",
        complexity=f"O(1) a {name}",
        channels=KeyRange(1, -1),
        channel_patterns=kind is _PATTERNS,
    )
    def join(ctx: Context, *names: bytes) -> Several:
        return kind.subscribe(ctx, names)

    @join.in_text()
    def join_in_text(ctx: Context, *names: bytes) -> Fields:
        return _in_one(kind, ctx, names, join=True)

    return join


def _leaves(kind: _Kind, name: str, what: str) -> Command:
    """The command that ends them."""

    @command(
        f"{kind.letter}unsubscribe",
        Param(name, many=True, optional=True),
        flags=LISTENS,
        summary=f"Have the messages of {what} sent no more; without a {name}, of none",
        complexity=f"O(1) a {name}",
    )
    def leave(ctx: Context, *names: bytes) -> Several:
        return kind.unsubscribe(ctx, names)

    @leave.in_text()
    def leave_in_text(ctx: Context, *names: bytes) -> Fields:
        return _in_one(kind, ctx, names, join=False)

    return leave


subscribe = _joins(_CHANNELS, "channel", "channels")
unsubscribe = _leaves(_CHANNELS, "channel", "channels")
psubscribe = _joins(_PATTERNS, "pattern", "channels that match a pattern")
punsubscribe = _leaves(_PATTERNS, "pattern", "channels that match a pattern")
ssubscribe = _joins(_SHARDS, "channel", "shard channels")
sunsubscribe = _leaves(_SHARDS, "channel", "shard channels")


@command(
    "publish",
    CHANNEL,
    Param("message", rest=True),
    flags=Flag.PUBSUB | Flag.FAST,
    summary="Send a message to all subscribers of a channel; gives how many they are",
    complexity="O(n+m), n being the subscribers and m the patterns there are",
    channels=KeyRange(1, 1),
)
def publish(ctx: Context, channel: bytes, message: bytes) -> int:
    return ctx.channels.publish(channel, message, ctx.session)


@publish.together_in_context
def publish_many(ctx: Context, run: Run, effects: list[Effect]) -> list[int]:
    return ctx.channels.publish_all(run, ctx.session)


@publish.in_text()
def publish_in_text(ctx: Context, channel: bytes, message: bytes) -> Status:
    ctx.channels.publish(channel, message, ctx.session)
    return OK


@publish_in_text.together_in_context
def publish_many_in_text(ctx: Context, run: Run, effects: list[Effect]) -> list[Status]:
    return [OK] * len(ctx.channels.publish_all(run, ctx.session))


@command(
    "spublish",
    CHANNEL,
    Param("message", rest=True),
    flags=Flag.PUBSUB | Flag.FAST,
    summary="Send a message to all subscribers of a shard channel; gives how many they are",
    complexity="O(n), n being the subscribers",
    channels=KeyRange(1, 1),
)
def spublish(ctx: Context, channel: bytes, message: bytes) -> int:
    return ctx.channels.publish_to_shard(channel, message, ctx.session)


def _matching(topics: Topics, pattern: bytes | None) -> list[bytes]:
    return list(topics if pattern is None else filter(matcher(pattern), topics))


PATTERN = Param("pattern", optional=True)


@command(
    "pubsub channels",
    PATTERN,
    flags=Flag.PUBSUB,
    summary="List the channels that have a subscriber and match a pattern",
    complexity="O(n), n being the channels",
)
def pubsub_channels(ctx: Context, pattern: bytes | None = None) -> list[bytes]:
    return _matching(ctx.channels.channels, pattern)


@command(
    "pubsub shardchannels",
    PATTERN,
    flags=Flag.PUBSUB,
    summary="List the shard channels that have a subscriber and match a pattern",
    complexity="O(n), n being the shard channels",
)
def pubsub_shardchannels(ctx: Context, pattern: bytes | None = None) -> list[bytes]:
    return _matching(ctx.channels.shards, pattern)


def _counted(topics: Topics, names: Iterable[bytes]) -> list[Reply]:
    return [one for name in names for one in (name, topics.count(name))]


@command(
    "pubsub numsub",
    ANY_CHANNELS,
    flags=Flag.PUBSUB,
    summary="Count the subscribers of channels",
    complexity="O(1) a channel",
)
def pubsub_numsub(ctx: Context, *channels: bytes) -> list[Reply]:
    return _counted(ctx.channels.channels, channels)


@command(
    "pubsub shardnumsub",
    ANY_CHANNELS,
    flags=Flag.PUBSUB,
    summary="Count the subscribers of shard channels",
    complexity="O(1) a channel",
)
def pubsub_shardnumsub(ctx: Context, *channels: bytes) -> list[Reply]:
    return _counted(ctx.channels.shards, channels)


@command(
    "pubsub numpat",
    flags=Flag.PUBSUB,
    summary="Count the patterns that have a subscriber",
    complexity="O(1)",
)
def pubsub_numpat(ctx: Context) -> int:
    return len(ctx.channels.patterns)


@command(
    "list_channels",
    flags=Flag.PUBSUB,
    summary="List the channels that have a subscriber",
    complexity="O(n), n being the channels",
)
def list_channels(ctx: Context) -> list[bytes]:
    return list(ctx.channels.channels)


@command(
    "list_subscribers",
    CHANNEL,
    flags=Flag.PUBSUB,
    summary="Count a channel's subscribers",
    complexity="O(1)",
)
def list_subscribers(ctx: Context, channel: bytes) -> int:
    return ctx.channels.channels.count(channel)


COMMANDS = (
    subscribe,
    unsubscribe,
    psubscribe,
    punsubscribe,
    ssubscribe,
    sunsubscribe,
    publish,
    spublish,
    pubsub_channels,
    pubsub_shardchannels,
    pubsub_numsub,
    pubsub_shardnumsub,
    pubsub_numpat,
    list_channels,
    list_subscribers,
)
