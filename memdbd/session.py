"""What is known of one connected client, apart from its socket.

The protocol makes a session for a connection and tells it how to deliver; commands read and change
it. It is the :class:`~memdbd.pubsub.Subscriber` of its channels. May import: pubsub, replies.
"""

from __future__ import annotations

from collections.abc import Callable

from memdbd.pubsub import Registry
from memdbd.replies import Message


class Session:
    """One client: its number, the channels it listens to, and how a message reaches it."""

    __slots__ = ("_registry", "channels", "deliver", "number")

    def __init__(self, number: int, registry: Registry, deliver: Callable[[Message], None]) -> None:
        self.number = number
        self.deliver = deliver
        self.channels: dict[bytes, None] = {}  # in the order of subscription
        self._registry = registry

    def subscribe(self, channel: bytes) -> None:
        """Listen to ``channel``."""
        self.channels[channel] = None
        self._registry.subscribe(channel, self)

    def unsubscribe(self, channel: bytes) -> None:
        """Listen to ``channel`` no more; not listening is no error."""
        self.channels.pop(channel, None)
        self._registry.unsubscribe(channel, self)

    def close(self) -> None:
        """The client is gone: nothing is delivered to it from now on."""
        for channel in tuple(self.channels):
            self.unsubscribe(channel)
