"""The clients that are connected: who they are, and what is told of each.

Strategy: a connection registers itself here, as something that tells about its socket; all else is
known to its session. Nothing is kept up to date for the sake of being told: whoever asks has it
worked out. The fields are those of CLIENT LIST in Redis 7.0 (``catClientInfoString`` in
networking.c), and three of ours behind them; of what is not known here, Redis's constant where
there is none of it. What that is, is said with CLIENT LIST, for docs/commands.md.

May import: session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from memdbd.session import Session


class Client(Protocol):
    """What a connection tells about itself; it never raises."""

    @property
    def session(self) -> Session: ...
    @property
    def peer(self) -> str:
        """The other end's address and port, or a socket's path and ``:0``."""

    @property
    def local(self) -> str:
        """The same of this end."""

    @property
    def host(self) -> str:
        """The other end's address alone; of this machine, where it has none."""

    @property
    def is_unix(self) -> bool: ...
    @property
    def is_tls(self) -> bool: ...
    @property
    def is_local(self) -> bool:
        """Whether it comes from this machine."""

    @property
    def descriptor(self) -> int:
        """The socket's number, or -1."""

    @property
    def since(self) -> float:
        """When it was made, in the registry's seconds."""

    @property
    def active(self) -> float:
        """When something came from it last."""

    @property
    def unread(self) -> int:
        """Bytes that came and were not looked at yet."""

    @property
    def unsent(self) -> int:
        """Bytes of replies and messages that are still here."""

    @property
    def waits(self) -> bool:
        """Whether its reply depends on others."""

    def kill(self) -> None:
        """End the connection; what it does not take at once is lost."""

    def fail(self) -> None:
        """End the connection at once; what it was to get is forgotten."""


class Clients:
    """All clients by their numbers, in the order in which they came.

    ``seconds`` tells the time. Whoever keeps something for a session joins ``leaving``, to be told
    when it is gone.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._clients: dict[int, Client] = {}
        self._seconds = seconds
        self.leaving: list[Callable[[Session], None]] = []

    def add(self, client: Client) -> None:
        """A client is there."""
        self._clients[client.session.number] = client

    def remove(self, client: Client) -> None:
        """It is gone; twice is once."""
        if self._clients.pop(client.session.number, None) is not None:
            for leave in self.leaving:
                leave(client.session)

    def __iter__(self) -> Iterator[Client]:
        """All of them as they are now, whoever goes meanwhile."""
        return iter(tuple(self._clients.values()))

    def __len__(self) -> int:
        return len(self._clients)

    def get(self, number: int) -> Client | None:
        """The client of this number, if it is still there."""
        return self._clients.get(number)

    def named(self, session: Session) -> str:
        """A client as the log has it: its number, and where it is."""
        client = self._clients.get(session.number)
        at = "" if client is None else f" at {client.peer}"
        return f"client {session.number}{at}"

    def fields(self, client: Client) -> dict[str, str | int]:
        """What CLIENT LIST tells of a client."""
        session, now = client.session, self._seconds()
        tracking, queued = session.tracking, session.queue
        multi_mem = sum(len(word) for _, argv in queued or () for word in argv)
        library: dict[str, str | int] = {}
        if session.library or session.library_version:
            library["lib-name"] = session.library.decode("latin-1")
            library["lib-ver"] = session.library_version.decode("latin-1")
        return {
            "id": session.number,
            "addr": client.peer,
            "laddr": client.local,
            "fd": client.descriptor,
            "name": session.name.decode("latin-1"),
            "age": int(now - client.since),
            "idle": int(now - client.active),
            "flags": _flags(client),
            "db": session.database,
            "sub": len(session.channels),
            "psub": len(session.patterns),
            "ssub": len(session.shards),
            "multi": -1 if queued is None else len(queued),
            "qbuf": client.unread,
            "qbuf-free": 0,
            "argv-mem": 0,
            "multi-mem": multi_mem,
            "rbs": 0,
            "rbp": 0,
            "obl": 0,
            "oll": int(client.unsent > 0),
            "omem": client.unsent,
            "tot-mem": client.unread + client.unsent + multi_mem,
            "events": "rw" if client.unsent else "r",
            "cmd": "NULL" if session.last is None else session.last.full_name,
            "user": "default" if session.user is None else session.user.name.decode("latin-1"),
            "redir": -1 if tracking is None else tracking.redirect,
            "resp": session.resp,
            **library,
            # Ours. Who has not logged in is the default user to Redis too.
            "auth": int(session.user is not None),
            "failures": session.failures,
            "tls": int(client.is_tls),
        }


def kind(session: Session) -> str:
    """Which of Redis's types of client it is."""
    return "pubsub" if session.is_subscriber else "normal"


def line(fields: dict[str, str | int]) -> str:
    """The fields of a client as CLIENT LIST has them, a line each."""
    return " ".join(f"{name}={value}" for name, value in fields.items()) + "\n"


def _flags(client: Client) -> str:
    session = client.session
    tracking = session.tracking
    flags = {
        "O": session.monitors,
        "P": session.is_subscriber,
        "x": session.queue is not None,
        "b": client.waits,
        "t": tracking is not None,
        "R": tracking is not None and tracking.broken,
        "B": tracking is not None and tracking.mode == "bcast",
        "d": session.touched,
        "c": session.over,
        "U": client.is_unix,
        "e": not session.evictable,
    }
    return "".join(flag for flag, is_set in flags.items() if is_set) or "N"
