"""What a handler works on, and what it may ask of the daemon around it.

May import: spec, types, databases, session, the features that are about all clients (tracking,
monitoring, pausing, notifications, parameters, slowlog, users, denials), and what they may import.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from memdbd.clients import Clients
from memdbd.commands.spec import Command, Container
from memdbd.commands.types import DataType
from memdbd.databases import Databases
from memdbd.denials import Denials
from memdbd.errors import CommandError
from memdbd.keyspace import Keyspace, Value
from memdbd.monitoring import Monitors
from memdbd.notifications import Notifier
from memdbd.parameters import Parameters
from memdbd.pausing import Pause
from memdbd.pubsub import Registry
from memdbd.replies import Pending, Reply
from memdbd.session import Session
from memdbd.slowlog import Latency, SlowLog
from memdbd.structs.pool import Random
from memdbd.tracking import Trackers
from memdbd.users import Users
from memdbd.waiting import Timer


class Figures(Protocol):
    """What the daemon counts and measures, under Redis's names: see :mod:`memdbd.figures`."""

    def text(self, names: Sequence[str]) -> str: ...
    def section(self, name: str) -> dict[str, Reply] | None: ...
    def memory_stats(self) -> dict[str, Reply]: ...
    def command_counts(self) -> Iterable[tuple[str, int, int]]: ...
    def last_save(self) -> int: ...
    def reset(self) -> None: ...


class Gate(Protocol):
    """Who is let in, and as whom: see :mod:`memdbd.gate`."""

    @property
    def users(self) -> Users: ...
    @property
    def denials(self) -> Denials: ...
    def admit(self, session: Session) -> None: ...
    def log_in(self, session: Session, username: bytes, password: bytes) -> Reply: ...


class UserAdmin(Protocol):
    """Who changes the users: see :mod:`memdbd.useradmin`."""

    def set_user(self, session: Session, name: bytes, rules: Sequence[bytes]) -> Reply: ...
    def delete_users(self, session: Session, names: Sequence[bytes]) -> int: ...
    def load(self, session: Session) -> None: ...
    def save(self) -> None: ...
    def generated(self, bits: int) -> str: ...


class Server(Protocol):
    """What a handler may ask of the daemon around it."""

    @property
    def commands(self) -> Mapping[bytes, Command]: ...
    @property
    def containers(self) -> Mapping[bytes, Container]: ...
    @property
    def default_ttl(self) -> int: ...
    @property
    def random(self) -> Random: ...
    @property
    def parameters(self) -> Parameters: ...
    @property
    def slowlog(self) -> SlowLog: ...
    @property
    def latency(self) -> Latency: ...
    @property
    def figures(self) -> Figures: ...
    @property
    def clients(self) -> Clients: ...
    @property
    def monitors(self) -> Monitors: ...
    @property
    def notifier(self) -> Notifier: ...
    @property
    def pause(self) -> Pause: ...
    @property
    def trackers(self) -> Trackers: ...
    @property
    def gate(self) -> Gate: ...
    @property
    def useradmin(self) -> UserAdmin: ...
    def wall_us(self) -> int: ...
    def call_later(self, seconds: float, function: Callable[[], object]) -> Timer: ...
    def unknown_command(self, name: bytes) -> CommandError: ...
    def type_of(self, value: Value) -> DataType[Any]: ...
    def type_named(self, name: str) -> DataType[Any]: ...
    def info(self) -> dict[str, Reply]: ...
    def stats(self) -> dict[str, Reply]: ...
    def save(self) -> Pending: ...
    def shut_down(self, session: Session, done: Reply, *, save: bool, force: bool) -> Reply:
        """Stop, with a last snapshot if it is to ``save``; gives ``done`` then. Where what there is
        cannot be on disk, nothing stops, unless by ``force``."""

    def may_debug(self, session: Session) -> bool: ...


class Context:
    """What a handler works on: made once for a session, passed to each handler first.

    ``db`` is the keyspace that the session has selected. ``may_wait`` is False inside a
    transaction: what would wait, answers at once that it has waited in vain.
    """

    __slots__ = (
        "__weakref__",
        "channels",
        "databases",
        "db",
        "execute",
        "may_wait",
        "permit",
        "server",
        "session",
        "waits_in",
    )

    def __init__(
        self,
        session: Session,
        databases: Databases,
        channels: Registry,
        server: Server,
        execute: Callable[[Context, Command, Sequence[bytes]], Reply],
        permit: Callable[[Context, Command, Sequence[bytes]], None],
    ) -> None:
        self.session = session
        self.databases = databases
        self.db: Keyspace = databases[session.database]
        self.channels = channels
        self.server = server
        self.execute = execute  # runs a command of this session's, as EXEC does
        self.permit = permit  # raises CommandError where it may not run one
        self.may_wait = True
        self.waits_in: tuple[Command, Sequence[bytes]] | None = None  # the last that may wait

    def select(self, number: int) -> None:
        """Work on another database from now on. Raises CommandError where there is none."""
        if not 0 <= number < len(self.databases):
            raise CommandError("DB index is out of range")
        self.session.database = number
        self.db = self.databases[number]
        self.session.close_lane()

    def wait_for(
        self,
        keys: Sequence[bytes],
        attempt: Callable[[bytes], Any],
        seconds: float,
        otherwise: Reply,
    ) -> Reply:
        """What ``attempt(key)`` gives for the first of ``keys`` for which it is not None: at once,
        or as soon as somebody changes one of them, or ``otherwise`` after so many ``seconds`` (0:
        never).

        Whoever came first is served first; ``attempt`` may be called any number of times, and has
        changed nothing where it gives None. Raises what the attempts at once raise.
        """
        for key in keys:
            reply = attempt(key)
            if reply is not None:
                return reply
        if not self.may_wait:
            return otherwise
        waits_in = self.waits_in

        def permitted(key: bytes) -> Any:
            # What it was allowed when it came, it may not be any more.
            if waits_in is not None:
                self.permit(self, *waits_in)
            # As of all that changes keys (see LocalEngine), its look-ups are not counted.
            hits, misses = self.db.hits, self.db.misses
            try:
                return attempt(key)
            finally:
                self.db.hits, self.db.misses = hits, misses

        return self.databases.waiting.wait(
            self.session, self.db.index, keys, permitted, seconds, otherwise, self.server.call_later
        )
