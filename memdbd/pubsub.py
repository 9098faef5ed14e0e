"""Who listens to which channel.

A subscriber is anything with ``deliver(message)``; the registry knows nothing of sockets. A
message is one object for all its subscribers, so that each dialect encodes it once. Channels that
nobody listens to are not kept. May import: glob, replies.
"""

from __future__ import annotations

from typing import Protocol

from memdbd.glob import Matcher, matcher
from memdbd.replies import Message


class Subscriber(Protocol):
    """What a channel delivers to. Delivery never raises and never waits."""

    def deliver(self, message: Message) -> None: ...


class Topics(dict[bytes, dict[Subscriber, None]]):
    """The names that have a subscriber, and theirs, each in order of arrival.

    A dict of subscribers and not a set: an order that can be relied on, O(1) all the same.
    """

    __slots__ = ()

    def join(self, name: bytes, subscriber: Subscriber) -> None:
        """Deliver what is published on ``name`` to ``subscriber``; twice is once."""
        self.setdefault(name, {})[subscriber] = None

    def leave(self, name: bytes, subscriber: Subscriber) -> None:
        """Deliver no more; not being subscribed is no error."""
        subscribers = self.get(name)
        if subscribers is not None:
            subscribers.pop(subscriber, None)
            if not subscribers:
                del self[name]

    def count(self, name: bytes) -> int:
        """How many subscribers the name has."""
        return len(self.get(name, ()))


class Patterns(Topics):
    """Topics whose names are glob patterns, each with its matcher, made once."""

    __slots__ = ("_matchers",)

    def __init__(self) -> None:
        super().__init__()
        self._matchers: dict[bytes, Matcher] = {}

    def join(self, name: bytes, subscriber: Subscriber) -> None:
        """As above. Raises CommandError for a pattern that is too long."""
        if name not in self:
            self._matchers[name] = matcher(name)
        super().join(name, subscriber)

    def leave(self, name: bytes, subscriber: Subscriber) -> None:
        super().leave(name, subscriber)
        if name not in self:
            self._matchers.pop(name, None)

    def matching(self, channel: bytes) -> list[bytes]:
        """The patterns that match, in the order in which they were first asked for."""
        return [name for name, matches in self._matchers.items() if matches(channel)]


class Registry:
    """All subscriptions: to channels, to patterns of them, and to shard channels.

    Shard channels are a world of their own, as in a Redis that is no cluster.
    """

    __slots__ = ("channels", "delivered", "patterns", "published", "shards")

    def __init__(self) -> None:
        self.channels = Topics()
        self.patterns = Patterns()
        self.shards = Topics()
        self.published = 0  # messages
        self.delivered = 0  # messages times their subscribers

    def publish(self, channel: bytes, payload: bytes) -> int:
        """Deliver ``payload`` to all of the channel; gives how many those were."""
        self.published += 1
        delivered = self._deliver(self.channels, channel, Message(channel, payload))
        if self.patterns:
            for pattern in self.patterns.matching(channel):
                message = Message(channel, payload, b"pmessage", pattern)
                delivered += self._deliver(self.patterns, pattern, message)
        return delivered

    def publish_to_shard(self, channel: bytes, payload: bytes) -> int:
        """The same for a shard channel."""
        self.published += 1
        return self._deliver(self.shards, channel, Message(channel, payload, b"smessage"))

    def announce(self, channel: bytes, payload: bytes) -> None:
        """Deliver what the daemon itself has to say, to those who have asked for this very
        channel: whoever listens to all by a pattern means what clients publish."""
        self.published += 1
        self._deliver(self.channels, channel, Message(channel, payload))

    def _deliver(self, topics: Topics, name: bytes, message: Message) -> int:
        # A copy: a subscriber that owes too much is cut, and so leaves, while it is delivered to.
        subscribers = tuple(topics.get(name, ()))
        for subscriber in subscribers:
            subscriber.deliver(message)
        self.delivered += len(subscribers)
        return len(subscribers)
