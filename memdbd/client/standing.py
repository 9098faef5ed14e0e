"""What the server keeps for one connection: its user, database, subscriptions, open transaction;
pure.

Strategy: it is all taken from requests and their replies, so it does not matter how something was
asked for. What a transaction queues counts when it is run.

May import: login, wire.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from memdbd.client.login import Login
from memdbd.client.wire import ErrorReply, Reply, Word

# The commands that subscribe, each with its own kind of names.
SUBSCRIBING = ("subscribe", "psubscribe", "ssubscribe")


class Standing:
    """What one connection has, as :meth:`note` was told of it, and ``login``, with which it begins.

    The password is in memory and nowhere else, for as long as somebody is logged in with it.
    """

    def __init__(self, login: Login | None = None) -> None:
        self._begin(login)

    def _begin(self, login: Login | None = None) -> None:
        """Have nothing, as a new connection."""
        self.login = login
        self.database = 0
        # Dicts for their order: what is subscribed again, is so as it was at first.
        self.subscribed: dict[str, dict[bytes, None]] = {command: {} for command in SUBSCRIBING}
        self._queued: list[Sequence[bytes]] | None = None  # since MULTI

    @property
    def in_transaction(self) -> bool:
        """Whether MULTI was sent, and neither EXEC nor DISCARD."""
        return self._queued is not None

    def note(self, words: Sequence[bytes], reply: Reply | ErrorReply) -> None:
        """Take in a request, of which the words may be unknown, and what was answered."""
        command = words[0].lower() if words else b""
        queued = self._queued
        if command == b"exec" and queued is not None:
            self._queued = None  # whatever it answers
            results = reply.get("result") if isinstance(reply, Reply) else None
            if isinstance(results, list):
                for request, result in zip(queued, results, strict=False):
                    self._carried_out(request, result)
        elif isinstance(reply, ErrorReply):
            return
        elif queued is not None and reply.get("result") == b"QUEUED":
            queued.append(words)
        elif command == b"multi":
            self._queued = []
        elif command == b"discard":
            self._queued = None
        else:
            self._carried_out(words, reply)

    def lost(self) -> None:
        """The connection is gone, and with it what cannot be asked for again."""
        self._queued = None

    def requests(self) -> Iterator[tuple[str, Sequence[Word]]]:
        """What makes of a new connection, logged in, what this one was: commands with their
        arguments."""
        if self.database:
            yield "select", [self.database]
        for command, names in self.subscribed.items():
            if names:
                yield command, list(names)

    def _carried_out(self, words: Sequence[bytes], reply: dict[str, Any]) -> None:
        command = words[0].lower() if words else b""
        action = reply.get("action")
        if isinstance(action, str):
            self._subscription(action, reply.get("channel"))
        elif command == b"reset":
            self._begin()
        elif reply.get("result") != b"OK":
            return
        elif command == b"select" and len(words) == 2:
            self.database = int(words[1])
        elif command == b"auth" and len(words) in (2, 3):
            self.login = Login(words[1] if len(words) == 3 else None, words[-1])

    def _subscription(self, action: str, channel: Any) -> None:
        """Take in one of the six actions, with the one name or the several that it was for."""
        held = self.subscribed.get(action.replace("unsubscribe", "subscribe"), {})
        for name in channel if isinstance(channel, list) else [channel]:
            if "unsubscribe" in action:
                held.pop(name, None)
            else:
                held[name] = None
