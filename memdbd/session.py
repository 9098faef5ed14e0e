"""What is known of one connected client, apart from its socket.

The protocol makes a session for a connection and tells it how to deliver; commands read and change
it. It is the :class:`~memdbd.fanout.Subscriber` of its channels.
May import: core, fanout, pubsub, replies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

from memdbd.core import Lane
from memdbd.fanout import Run
from memdbd.pubsub import Registry, Topics
from memdbd.replies import Message, Push, Status

Mode = Literal["", "optin", "optout", "bcast"]


class Named(Protocol):
    """A command, as far as it matters here."""

    @property
    def full_name(self) -> str: ...


class Somebody(Protocol):
    """A user, as far as it matters here."""

    @property
    def name(self) -> bytes: ...


@dataclass(slots=True)
class Tracking:
    """How a client wants to hear of changes of keys that it may keep copies of.

    ``mode`` is which keys that are: those that it reads; with ``optin`` only those that it reads
    with ``caching`` said before, with ``optout`` all but those; with ``bcast`` all that begin with
    one of ``prefixes``. ``redirect`` is the number of the client that is told in its place, or 0;
    it is ``broken`` since that client was found to be gone. ``noloop``: it does not want to hear
    of its own changes.
    """

    mode: Mode = ""
    redirect: int = 0
    noloop: bool = False
    prefixes: tuple[bytes, ...] = ()
    caching: bool = False
    broken: bool = False


class Session:
    """One client: its number, the channels it listens to, and how a message reaches it.

    ``deliver`` takes a :class:`~memdbd.replies.Message`, ``take`` those that were collected in a
    :class:`~memdbd.fanout.Run`, by default one by one; ``push`` takes what is for this client
    alone, which in RESP may be a line that looks like a short reply.
    """

    __slots__ = (
        "_registry",
        "certificate",
        "channels",
        "database",
        "deliver",
        "evictable",
        "failures",
        "identified",
        "lane",
        "last",
        "library",
        "library_version",
        "listens",
        "logging_in",
        "monitors",
        "mute",
        "name",
        "number",
        "over",
        "patterns",
        "permissions",
        "push",
        "queue",
        "queue_failed",
        "queued",
        "resp",
        "shards",
        "special",
        "take",
        "touched",
        "tracking",
        "user",
        "watched",
    )

    def __init__(
        self,
        number: int,
        registry: Registry,
        deliver: Callable[[Message], None],
        push: Callable[[Push | Status], None],
        take: Callable[[Run, bool], None] | None = None,
    ) -> None:
        self.number = number
        self.deliver = deliver
        self.take = take or partial(_deliver_each, deliver)
        self.push = push
        self.lane: Lane | None = None  # its connection's, from when it is first open
        # Who it is: None for a client that has not said so and has to. What it may do: None for
        # everything. The gate sets both, and again when a user changes.
        self.user: Somebody | None = None
        self.permissions: Any = None
        self.certificate: str | None = None  # the name that one has vouched for
        # Called by the gate when it has said who this is, or that nobody knows.
        self.identified: Callable[[], object] = _nobody_asks
        self.logging_in = False  # its password is being looked at
        self.failures = 0  # log-ins that have come to nothing
        self.name = b""
        self.library = b""  # what the client says about the program that it is
        self.library_version = b""
        self.evictable = True  # whether it may be cut to save memory
        self.last: Named | None = None  # the command that was asked for last in the last batch
        self.database = 0
        self.resp = 0  # the version of RESP that is spoken; 0: the text dialect
        # Replies that are not wanted: all, the next, or that to the request which is run now.
        self.mute: Literal["", "off", "next", "this"] = ""
        self.over = False  # nothing more is run; the connection closes behind the last reply
        self.monitors = False  # what all clients ask for is shown to it
        self.tracking: Tracking | None = None
        self.special = False  # requests are not simply run: see settle
        self.listens = False  # is_subscriber, as settle has found it
        # Each in the order of subscription.
        self.channels: dict[bytes, None] = {}
        self.patterns: dict[bytes, None] = {}
        self.shards: dict[bytes, None] = {}
        # The transaction: None outside of one, else what waits for EXEC.
        self.queue: list[Any] | None = None
        self.queued = 0  # bytes of that
        self.queue_failed = False  # one that was to be queued could not be
        # Databases and their keys, and whether there were such keys; they still are until touched.
        self.watched: dict[tuple[int, bytes], bool] = {}
        self.touched = False  # a watched key has changed
        self._registry = registry

    # Subscriptions; whoever changes them calls settle()

    def subscribe(self, channel: bytes) -> None:
        """Listen to ``channel``."""
        self._registry.channels.join(channel, self)
        self.channels[channel] = None

    def unsubscribe(self, channel: bytes) -> None:
        """Listen to ``channel`` no more; not listening is no error."""
        self._leave(self._registry.channels, self.channels, channel)

    def psubscribe(self, pattern: bytes) -> None:
        """Listen to all channels that match ``pattern``; CommandError where it is too long."""
        self._registry.patterns.join(pattern, self)
        self.patterns[pattern] = None

    def punsubscribe(self, pattern: bytes) -> None:
        """Listen to ``pattern`` no more; not listening is no error."""
        self._leave(self._registry.patterns, self.patterns, pattern)

    def ssubscribe(self, channel: bytes) -> None:
        """Listen to the shard channel ``channel``."""
        self._registry.shards.join(channel, self)
        self.shards[channel] = None

    def sunsubscribe(self, channel: bytes) -> None:
        """Listen to the shard channel no more; not listening is no error."""
        self._leave(self._registry.shards, self.shards, channel)

    def catch_up(self) -> None:
        """Take what was published so far."""
        if self.is_subscriber:
            self._registry.spread()

    def open_lane(self, lane: Lane) -> None:
        """Take what may leave at once by its lane, as long as nothing is in its way."""
        self.lane = lane
        lane.is_clear = True
        if self.is_subscriber:  # who becomes one, changes them by that
            self._registry.fanout.lanes_change()

    def close_lane(self) -> None:
        """Something is in its way, or the session may do something else from now on."""
        if self.lane is not None and self.lane.is_clear:
            self.lane.close()
            if self.is_subscriber:
                self._registry.fanout.lanes_change()

    def may(self, permissions: Any) -> None:
        """What it may do from now on."""
        self.permissions = permissions
        self.close_lane()

    @property
    def is_subscriber(self) -> bool:
        return bool(self.channels or self.patterns or self.shards)

    @property
    def is_limited(self) -> bool:
        """Whether it may do nothing but subscribe: RESP2 cannot tell messages from replies."""
        return self.resp == 2 and self.is_subscriber

    def settle(self) -> None:
        """To be called by whoever changes one of what :attr:`special` and :attr:`listens` are made
        of."""
        self.special = self.queue is not None or bool(self.mute) or self.over or self.is_limited
        self.listens = self.is_subscriber
        self.close_lane()  # it may speak another version of RESP

    def unsubscribe_all(self) -> None:
        """Listen to nothing more."""
        for channel in tuple(self.channels):
            self.unsubscribe(channel)
        for pattern in tuple(self.patterns):
            self.punsubscribe(pattern)
        for channel in tuple(self.shards):
            self.sunsubscribe(channel)
        self.settle()

    def _leave(self, topics: Topics, mine: dict[bytes, None], name: bytes) -> None:
        mine.pop(name, None)
        topics.leave(name, self)

    def refused(self) -> None:
        """A request was none that could be run or queued."""
        self.queue_failed = self.queue is not None
        if self.tracking is not None and self.queue is None:
            self.tracking.caching = False

    def end_transaction(self) -> None:
        """Outside of a transaction, with nothing queued. What is watched is not forgotten."""
        self.queue = None
        self.queued = 0
        self.queue_failed = False
        self.settle()


def _deliver_each(deliver: Callable[[Message], None], run: Run, at_once: bool) -> None:
    """How whoever takes no runs gets their messages."""
    for message in run.messages.values():
        deliver(message)


def _nobody_asks() -> None:
    """Where it makes no difference who a session is."""
