"""Who listens to which channel, and how what is published gets to them.

Theory of operation. What a client publishes is collected, and spread when the turn ends: see
``fanout.py``. Nobody can tell, for whatever has to come behind it has it spread first: a message
that is delivered at once, another subscription, the end of one. Delivered at once is what may have
to be in front of the reply to a request or behind it: a message to whoever publishes it, and what
the daemon has to say of changes.

A subscriber is anything that takes messages; the registry knows nothing of sockets. Channels that
nobody listens to are not kept. May import: fanout, glob, replies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from memdbd.fanout import Audience, FanOut, Stop, Subscriber
from memdbd.glob import Matcher, matcher
from memdbd.replies import Message

# Of so many channels with names of so many bytes it is kept which patterns match.
KNOWN, KNOWN_LENGTH = 4096, 256


class Topics(dict[bytes, Audience]):
    """The names that have a subscriber, and theirs. ``changes`` is called before one joins or
    leaves."""

    __slots__ = ("_changes",)

    def __init__(self, changes: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self._changes = changes

    def join(self, name: bytes, subscriber: Subscriber) -> None:
        """Deliver what is published on ``name`` to ``subscriber``; twice is once."""
        self._changes()
        audience = self.get(name)
        if audience is None:
            audience = self[name] = Audience()
        audience.join(subscriber)

    def leave(self, name: bytes, subscriber: Subscriber) -> None:
        """Deliver no more; not being subscribed is no error."""
        self._changes()
        audience = self.get(name)
        if audience is not None:
            audience.leave(subscriber)
            if not audience:
                del self[name]

    def count(self, name: bytes) -> int:
        """How many subscribers the name has."""
        return len(self.get(name, ()))


class Patterns(Topics):
    """Topics whose names are glob patterns, each with its matcher, made once."""

    __slots__ = ("_known", "_matchers")

    def __init__(self, changes: Callable[[], object] = lambda: None) -> None:
        super().__init__(changes)
        self._matchers: dict[bytes, Matcher] = {}
        self._known: dict[bytes, list[bytes]] = {}

    def join(self, name: bytes, subscriber: Subscriber) -> None:
        """As above. Raises CommandError for a pattern that is too long."""
        if name not in self:
            self._matchers[name] = matcher(name)
            self._known.clear()
        super().join(name, subscriber)

    def leave(self, name: bytes, subscriber: Subscriber) -> None:
        super().leave(name, subscriber)
        if name not in self:
            self._matchers.pop(name, None)
            self._known.clear()

    def matching(self, channel: bytes) -> list[bytes]:
        """The patterns that match, in the order in which they were first asked for."""
        # Each takes 0.2 us to try, and what is published on are the same channels again and again.
        matching = self._known.get(channel)
        if matching is None:
            matching = [name for name, matches in self._matchers.items() if matches(channel)]
            if len(channel) <= KNOWN_LENGTH:
                if len(self._known) >= KNOWN:
                    self._known.clear()
                self._known[channel] = matching
        return matching


class _Route:
    """Where a message on a channel goes, as long as no subscription changes, and to how many."""

    __slots__ = ("count", "stops")

    def __init__(self, stops: Sequence[Stop]) -> None:
        self.stops = stops
        self.count = 0
        for run, _, _ in stops:
            self.count += len(run.subscribers)

    def __contains__(self, subscriber: Subscriber) -> bool:
        """Whether a subscriber is on it."""
        for run, _, _ in self.stops:  # noqa: SIM110 # a generator takes three times as long
            if subscriber in run.subscribers:
                return True
        return False


class Registry:
    """All subscriptions: to channels, to patterns of them, and to shard channels.

    Shard channels are a world of their own, as in a Redis that is no cluster. ``collects`` is
    called when something begins to wait for ``spread``; as long as it is None, nothing waits.
    """

    __slots__ = (
        "_is_little",
        "_routes",
        "channels",
        "collects",
        "delivered",
        "fanout",
        "patterns",
        "published",
        "shards",
    )

    def __init__(self) -> None:
        self.channels = Topics(self.spread)
        self.patterns = Patterns(self.spread)
        self.shards = Topics(self.spread)
        self.published = 0  # messages
        self.delivered = 0  # messages times their subscribers
        self.collects: Callable[[], object] | None = None
        self.fanout = FanOut()
        self._is_little = True  # what this turn has brought
        self._routes: dict[tuple[bytes, bytes], _Route] = {}  # by kind and channel, until a spread

    def publish(self, channel: bytes, payload: bytes, publisher: Subscriber | None = None) -> int:
        """Deliver ``payload`` to all of the channel; gives how many those are.

        ``publisher`` is whose request it is; where that is unknown, it is delivered at once.
        """
        return self._publish(b"message", channel, payload, publisher)

    def publish_all(self, messages: Iterable[Sequence[bytes]], publisher: Subscriber) -> list[int]:
        """The same for several requests in a row, of which the last two words are channel and
        payload; gives what comes of each of the first, as far as they can be collected."""
        counts: list[int] = []
        if self.collects is None:
            return counts
        routes, collect = self._routes, self.fanout.collect
        last: bytes | None = None  # the channel of this route, as of nearly all behind it
        route = _Route(())
        for _, channel, payload in messages:
            if channel != last:
                route = routes.get((b"message", channel)) or self._route(b"message", channel)
                if publisher in route:
                    break
                last = channel
            counts.append(route.count)
            if route.stops and collect(channel, payload, route.stops):
                self._is_little = False
                self.spread()
                last = None
        self.published += len(counts)
        self.delivered += sum(counts)
        return counts

    def publish_to_shard(
        self, channel: bytes, payload: bytes, publisher: Subscriber | None = None
    ) -> int:
        """The same for a shard channel."""
        return self._publish(b"smessage", channel, payload, publisher)

    def announce(self, channel: bytes, payload: bytes) -> None:
        """Deliver what the daemon itself has to say, to those who have asked for this very
        channel: whoever listens to all by a pattern means what clients publish."""
        self.published += 1
        self.spread()
        audience = self.channels.get(channel)
        if audience:
            self.delivered += len(audience)
            _deliver(audience, Message(channel, payload))

    def spread(self, *, unless_little: bool = False) -> None:
        """Have all subscribers take what was collected for them; unless it is little, and sent in
        a moment."""
        if self._routes and not (unless_little and self._is_little):
            self._routes.clear()
            self.fanout.spread(at_once=False)

    def send(self) -> None:
        """Have them take it at once, since it is committed; so a turn ends."""
        self._is_little = True
        if self._routes:
            self._routes.clear()
            self.fanout.spread(at_once=True)

    def _publish(
        self, kind: bytes, channel: bytes, payload: bytes, publisher: Subscriber | None
    ) -> int:
        self.published += 1
        route = self._routes.get((kind, channel)) or self._route(kind, channel)
        self.delivered += route.count
        if self.collects is None or publisher is None or publisher in route:
            self.spread()
            for run, word, pattern in route.stops:
                _deliver(run.subscribers, Message(channel, payload, word, pattern))
        elif route.stops and self.fanout.collect(channel, payload, route.stops):
            self._is_little = False
            self.spread()
        return route.count

    def _route(self, kind: bytes, channel: bytes) -> _Route:
        """Where a message goes; it is kept until something is spread."""
        if self.collects is not None and not self._routes:
            self.collects()
        topics = self.shards if kind == b"smessage" else self.channels
        run = self.fanout.run
        stops: list[Stop] = []
        if channel in topics:
            stops.append((run((kind, channel), topics[channel]), kind, None))
        if self.patterns and topics is self.channels:
            stops += [
                (run((b"pmessage", pattern), self.patterns[pattern]), b"pmessage", pattern)
                for pattern in self.patterns.matching(channel)
            ]
        route = self._routes[kind, channel] = _Route(stops)
        return route


def _deliver(subscribers: Iterable[Subscriber], message: Message) -> None:
    # A copy: a subscriber that owes too much is cut, and so leaves, while it is delivered to.
    for subscriber in tuple(subscribers):
        subscriber.deliver(message)
