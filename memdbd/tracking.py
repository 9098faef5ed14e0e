"""Who is told that his copy of a key is no longer right: client-side caching.

Strategy: of each key that clients may have copies of, a table keeps their numbers; the first change
of the key tells them all, and takes it out. So a client is told once, and reads again. The numbers
of those who are gone go with the key. Who wants to hear of all keys with a prefix is in a second
table; he is told at the end of the turn of all that have changed, in one message. A flush is told
as nothing in place of keys, when the command has ended that may have emptied several databases.
While there is anybody who has tracked, this is among the dispatcher's attendants and hears of all
changes. The rules are those of Redis 7.0 (tracking.c), where a key is the same in all databases.

May import: audience, errors, replies, changes, clients, session, commands.spec.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from memdbd.audience import Audience
from memdbd.changes import Changes
from memdbd.clients import Clients
from memdbd.commands.spec import Command
from memdbd.errors import CommandError
from memdbd.replies import Push
from memdbd.session import Session, Tracking

CHANNEL = b"__redis__:invalidate"
MAX_KEYS = 1_000_000  # of the table; beyond, whoever has a copy is told that it is not right

_UNAUTHORED = frozenset({"expire", "evict"})  # changes that are nobody's doing


class _Prefix:
    """Who wants to hear of the keys that begin with it, and which those are in this turn, each with
    who changed it last."""

    __slots__ = ("changed", "sessions")

    def __init__(self) -> None:
        self.sessions: dict[Session, Tracking] = {}
        self.changed: dict[bytes, Session | None] = {}


class Trackers:
    """All clients that track. ``soon(function)`` calls it at the end of the turn; ``attendants`` is
    what it joins while there are any."""

    def __init__(
        self,
        clients: Clients,
        changes: Changes,
        attendants: Audience[Any],
        soon: Callable[[Callable[[], None]], object],
    ) -> None:
        self._clients = clients
        self._changes = changes
        self._attendants = attendants
        self._soon = soon
        self._sessions: dict[Session, Tracking] = {}
        self._known: dict[Session, None] = {}  # and those who did, and may again
        self._keys: dict[bytes, set[int]] = {}  # the numbers of the clients that may have copies
        self._prefixes: dict[bytes, _Prefix] = {}
        self._is_flushed = False
        self._is_broadcast_due = False

    def start(self, session: Session, tracking: Tracking) -> None:
        """Tell a client from now on; prefixes are added to those that it has."""
        old = session.tracking
        if old is not None:
            tracking.caching = old.caching
            tracking.prefixes += old.prefixes
        tracking.prefixes = tuple(sorted(set(tracking.prefixes)))
        session.tracking = tracking
        self._sessions[session] = tracking
        self._known[session] = None
        for prefix in tracking.prefixes:
            self._prefixes.setdefault(prefix, _Prefix()).sessions[session] = tracking
        self._attendants.join(self)
        self._changes.listeners.join(self.changed)

    def stop(self, session: Session) -> None:
        """Tell it nothing more; twice is once."""
        tracking, session.tracking = session.tracking, None
        if tracking is None:
            return
        for prefix in tracking.prefixes:
            del self._prefixes[prefix].sessions[session]
            if not self._prefixes[prefix].sessions:
                del self._prefixes[prefix]
        del self._sessions[session]

    def forget(self, session: Session) -> None:
        """A client is gone."""
        self.stop(session)
        if self._known.pop(session, self) is None and not self._known:
            self._keys.clear()
            self._attendants.leave(self)
            self._changes.listeners.leave(self.changed)

    def admit(
        self, session: Session, command: Command, argv: Sequence[bytes], run: Callable[[], Any]
    ) -> None:
        """Nothing is held back."""

    def saw(
        self, session: Session, command: Command, argv: Sequence[bytes], *, nested: bool
    ) -> None:
        """Remember the keys that a client has read."""
        if self._is_flushed:
            self._flush()
        tracking = session.tracking
        if tracking is None:
            return
        if command.reads and _caches(tracking):
            with suppress(CommandError):  # such a request has read nothing
                self._remember(session, command.keys_of(argv))
        # What CLIENT CACHING says is about the next command, which may be a whole transaction.
        if not nested and session.queue is None and not command.name.startswith("client "):
            tracking.caching = False

    def _remember(self, session: Session, keys: Iterable[bytes]) -> None:
        for key in keys:
            self._keys.setdefault(key, set()).add(session.number)
        while len(self._keys) > MAX_KEYS:
            self._invalidate(next(iter(self._keys)), None)

    def changed(self, database: int, operation: str, key: bytes | None) -> None:
        """Something has changed: see :data:`memdbd.changes.Listener`."""
        if key is None:
            self._is_flushed |= operation != "swapdb"
            return
        author = None if operation in _UNAUTHORED else self._changes.author
        for prefix, interest in self._prefixes.items():
            if key.startswith(prefix):
                interest.changed[key] = author
                self._broadcast_soon()
        if key in self._keys:
            self._invalidate(key, author)

    def _invalidate(self, key: bytes, author: Session | None) -> None:
        for number in sorted(self._keys.pop(key)):
            client = self._clients.get(number)
            if client is not None and client.session.tracking is not None:
                tracking = client.session.tracking
                if tracking.mode != "bcast" and not _is_own(tracking, client.session, author):
                    self._tell(client.session, tracking, [key])

    def _broadcast_soon(self) -> None:
        if not self._is_broadcast_due:
            self._is_broadcast_due = True
            self._soon(self._broadcast)

    def _broadcast(self) -> None:
        self._is_broadcast_due = False
        for _, interest in sorted(self._prefixes.items()):
            changed, interest.changed = sorted(interest.changed.items()), {}
            for session, tracking in tuple(interest.sessions.items()):
                keys = [key for key, by in changed if not _is_own(tracking, session, by)]
                if keys:
                    self._tell(session, tracking, keys)

    def _flush(self) -> None:
        self._is_flushed = False
        self._keys.clear()
        for session, tracking in tuple(self._sessions.items()):
            self._tell(session, tracking, None)

    def _tell(self, session: Session, tracking: Tracking, keys: list[bytes] | None) -> None:
        """Tell a client, or who is told in its place, of keys that are not what they were; None: of
        all there are. Of keys to which they have no right, they hear nothing."""
        keys = _known(session, keys)
        if not tracking.redirect:
            if session.resp != 2 and keys != []:
                session.push(Push(b"invalidate", keys))
            return
        client = self._clients.get(tracking.redirect)
        if client is None:
            tracking.broken = True
            if session.resp != 2:
                session.push(Push(b"tracking-redir-broken", tracking.redirect))
            return
        keys = _known(client.session, keys)
        if keys == []:
            return
        if client.session.resp != 2:
            client.session.push(Push(b"invalidate", keys))
        elif client.session.is_subscriber:
            client.session.push(Push(b"message", CHANNEL, keys))

    def stats(self) -> dict[str, int]:
        """How much there is of all this, under Redis's names."""
        return {
            "tracking_clients": len(self._sessions),
            "tracking_total_keys": len(self._keys),
            "tracking_total_items": sum(map(len, self._keys.values())),
            "tracking_total_prefixes": len(self._prefixes),
        }


def _caches(tracking: Tracking) -> bool:
    """Whether a client may keep a copy of what it reads now."""
    match tracking.mode:
        case "":
            return True
        case "optin":
            return tracking.caching
        case "optout":
            return not tracking.caching
        case _:
            return False


def _known(session: Session, keys: list[bytes] | None) -> list[bytes] | None:
    """Those of the keys to which a client has any right."""
    if keys is None or session.permissions is None:
        return keys
    return [key for key in keys if session.permissions.may_have(key)]


def _is_own(tracking: Tracking, session: Session, author: Session | None) -> bool:
    return tracking.noloop and session is author
