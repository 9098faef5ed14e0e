"""Publish and subscribe.

May import: spec and what it may import.
"""

from __future__ import annotations

from memdbd.commands.spec import Context, Flag, Param, command
from memdbd.replies import OK, Fields, Reply, Status

CHANNEL = Param("channel")


def _confirm(action: str, named: tuple[bytes, ...], channels: list[bytes]) -> Fields:
    """The reply of the text dialect: a list of channels unless exactly one was named."""
    channel: Reply = named[0] if len(named) == 1 else channels
    return Fields(OK, {"action": Status(action), "channel": channel})


@command(
    "subscribe",
    Param("channel", many=True),
    flags=Flag.PUBSUB,
    summary="Have the messages of channels sent on this connection",
)
def subscribe(ctx: Context, *channels: bytes) -> Fields:
    for channel in channels:
        ctx.session.subscribe(channel)
    return _confirm("subscribe", channels, list(channels))


@command(
    "unsubscribe",
    Param("channel", many=True, optional=True),
    flags=Flag.PUBSUB,
    summary="Have them sent no more; without a channel, none at all",
)
def unsubscribe(ctx: Context, *channels: bytes) -> Fields:
    leaving = list(channels or ctx.session.channels)
    for channel in leaving:
        ctx.session.unsubscribe(channel)
    return _confirm("unsubscribe", channels, leaving)


@command(
    "publish",
    CHANNEL,
    Param("message", rest=True),
    flags=Flag.PUBSUB,
    summary="Send a message to all subscribers of a channel",
)
def publish(ctx: Context, channel: bytes, message: bytes) -> int:
    return ctx.channels.publish(channel, message)


@publish.in_text
def publish_in_text(ctx: Context, channel: bytes, message: bytes) -> Status:
    ctx.channels.publish(channel, message)
    return OK


@command("list_channels", flags=Flag.PUBSUB, summary="List the channels that have a subscriber")
def list_channels(ctx: Context) -> list[bytes]:
    return list(ctx.channels.channels)


@command("list_subscribers", CHANNEL, flags=Flag.PUBSUB, summary="Count a channel's subscribers")
def list_subscribers(ctx: Context, channel: bytes) -> int:
    return ctx.channels.count(channel)


COMMANDS = (subscribe, unsubscribe, publish, list_channels, list_subscribers)
