"""Who listens to which channel.

A subscriber is anything with ``deliver(message)``; the registry knows nothing of sockets. A
message is one object for all its subscribers, so that each dialect encodes it once. Channels that
nobody listens to are not kept. May import: replies.
"""

from __future__ import annotations

from typing import Protocol

from memdbd.replies import Message


class Subscriber(Protocol):
    """What a channel delivers to. Delivery never raises and never waits."""

    def deliver(self, message: Message) -> None: ...


class Registry:
    """The channels that have a subscriber, and theirs, each in order of arrival."""

    __slots__ = ("channels", "delivered", "published")

    def __init__(self) -> None:
        # A dict of subscribers and not a set: an order that can be relied on, O(1) all the same.
        self.channels: dict[bytes, dict[Subscriber, None]] = {}
        self.published = 0  # messages
        self.delivered = 0  # messages times their subscribers

    def subscribe(self, channel: bytes, subscriber: Subscriber) -> None:
        """Deliver what is published on ``channel`` to ``subscriber``; twice is once."""
        self.channels.setdefault(channel, {})[subscriber] = None

    def unsubscribe(self, channel: bytes, subscriber: Subscriber) -> None:
        """Deliver no more; not being subscribed is no error."""
        subscribers = self.channels.get(channel)
        if subscribers is not None:
            subscribers.pop(subscriber, None)
            if not subscribers:
                del self.channels[channel]

    def publish(self, channel: bytes, payload: bytes) -> int:
        """Deliver ``payload`` to all of the channel; gives how many those were."""
        self.published += 1
        # A copy: a subscriber that owes too much is cut, and so leaves, while it is delivered to.
        subscribers = tuple(self.channels.get(channel, ()))
        if subscribers:
            message = Message(channel, payload)
            for subscriber in subscribers:
                subscriber.deliver(message)
            self.delivered += len(subscribers)
        return len(subscribers)

    def count(self, channel: bytes) -> int:
        """How many subscribers the channel has."""
        return len(self.channels.get(channel, ()))
