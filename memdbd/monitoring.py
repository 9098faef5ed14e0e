"""Those who watch what all clients ask for, and the lines that they see.

Strategy: while there are any, they are among the dispatcher's attendants, and see each request when
it has been run, with what EXEC runs before EXEC itself. What manages the server is not shown, and
what is secret is blotted out. The lines are those of ``replicationFeedMonitors`` in Redis 7.0.

May import: audience, errors, replies, clients, session, commands.spec, commands.secrets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from memdbd.audience import Audience
from memdbd.clients import Clients
from memdbd.commands.secrets import without_secrets
from memdbd.commands.spec import Command, Flag
from memdbd.errors import CommandError
from memdbd.replies import Status
from memdbd.session import Session

_ESCAPES = {
    **{byte: f"\\x{byte:02x}" for byte in (*range(32), *range(127, 256))},
    **{byte: chr(byte) for byte in range(32, 127)},
    ord("\\"): "\\\\",
    ord('"'): '\\"',
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\t"): "\\t",
    ord("\a"): "\\a",
    ord("\b"): "\\b",
}


def quoted(word: bytes) -> str:
    """A word in quotes, with all that is not printable escaped (``sdscatrepr`` in sds.c)."""
    return '"' + word.decode("latin-1").translate(_ESCAPES) + '"'


class Monitors:
    """All who watch.

    ``wall_us()`` is the wall's time in microseconds; ``attendants`` is what it joins while
    there are any.
    """

    def __init__(
        self, clients: Clients, wall_us: Callable[[], int], attendants: Audience[Any]
    ) -> None:
        self._clients = clients
        self._wall_us = wall_us
        self._attendants = attendants
        self._sessions: dict[Session, None] = {}

    def join(self, session: Session) -> None:
        """Show it all to this client too."""
        session.monitors = True
        self._sessions[session] = None
        self._attendants.join(self)

    def leave(self, session: Session) -> None:
        """Show it nothing more; twice is once."""
        if session.monitors:
            session.monitors = False
            del self._sessions[session]
            if not self._sessions:
                self._attendants.leave(self)

    def admit(
        self, session: Session, command: Command, argv: Sequence[bytes], run: Callable[[], Any]
    ) -> None:
        """Redis takes those who watch for replicas, which have no business with keys."""
        if session.monitors and (command.reads or command.writes):
            raise CommandError("Replica can't interact with the keyspace")

    def saw(
        self, session: Session, command: Command, argv: Sequence[bytes], *, nested: bool
    ) -> None:
        """Show a request."""
        if command.flags & Flag.ADMIN:
            return
        client = self._clients.get(session.number)
        seconds, micros = divmod(self._wall_us(), 1_000_000)
        words = " ".join(map(quoted, without_secrets(command, argv)))
        peer = client.peer if client else ""
        line = Status(f"{seconds}.{micros:06} [{session.database} {peer}] {words}")
        for monitor in tuple(self._sessions):
            monitor.push(line)
