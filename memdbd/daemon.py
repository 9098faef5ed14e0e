"""What commands may ask of the daemon: its settings, its figures, a snapshot.

Each component tells about itself in a section; nothing here knows which components there are.
May import: clock, commands.context and what it may import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from memdbd.clients import Clients
from memdbd.clock import Clock
from memdbd.commands.context import Figures, Gate, UserAdmin
from memdbd.commands.spec import Command, Container
from memdbd.commands.suggest import Suggestions
from memdbd.commands.types import DataType
from memdbd.errors import CommandError
from memdbd.keyspace import Value
from memdbd.monitoring import Monitors
from memdbd.notifications import Notifier
from memdbd.parameters import Parameters
from memdbd.pausing import Pause
from memdbd.replies import Pending, Reply
from memdbd.session import Session
from memdbd.slowlog import Latency, SlowLog
from memdbd.structs.pool import Random
from memdbd.tracking import Trackers
from memdbd.waiting import Timer

Section = Callable[[], Mapping[str, Reply]]


NOT_SHUT_DOWN = "Errors trying to SHUTDOWN. Check logs."


class Daemon:
    """The :class:`~memdbd.commands.context.Server` of all handlers.

    ``sections`` gives the parts of ``info`` by name; ``counters`` what ``stats`` is put together
    of. Both are filled by whoever puts the daemon together, and so is ``saver``, which starts a
    snapshot and gives the reply to come; ``leaver``, which has no last one made; ``stopper``, which
    ends the process; ``may_debug``, which tells whether a client may use DEBUG; the ``figures`` of
    INFO; and those that have to do with all clients.
    """

    figures: Figures
    clients: Clients
    gate: Gate
    useradmin: UserAdmin
    monitors: Monitors
    notifier: Notifier
    pause: Pause
    trackers: Trackers

    def __init__(
        self,
        clock: Clock,
        commands: Mapping[bytes, Command],
        containers: Mapping[bytes, Container],
        types: Sequence[DataType[Any]],
        default_ttl: int,
        call_later: Callable[[float, Callable[[], object]], Timer],
        random: Random,
    ) -> None:
        self.commands = commands
        self.containers = containers
        self.types = {kind.python: kind for kind in types}
        self._types_named = {kind.name: kind for kind in types}
        self.default_ttl = default_ttl
        self.call_later = call_later
        self.random = random
        self.suggestions = Suggestions(commands)
        self.sections: dict[str, Section] = {}
        self.counters: list[Section] = []
        self.parameters = Parameters()
        self.slowlog = SlowLog()
        self.latency = Latency()
        self.saver: Callable[[], Pending] | None = None
        self.leaver: Callable[[], object] = lambda: None
        self.stopper: Callable[[], object] | None = None
        self.may_debug: Callable[[Session], bool] = lambda session: False
        self._clock = clock

    def wall_us(self) -> int:
        return self._clock.wall_us()

    def type_of(self, value: Value) -> DataType[Any]:
        return self.types[value.__class__]

    def type_named(self, name: str) -> DataType[Any]:
        return self._types_named[name]

    def unknown_command(self, name: bytes) -> CommandError:
        return self.suggestions.unknown(name)

    def info(self) -> dict[str, Reply]:
        return {name: dict(section()) for name, section in self.sections.items()}

    def stats(self) -> dict[str, Reply]:
        merged: dict[str, Reply] = {}
        for counters in self.counters:
            merged.update(counters())
        return merged

    def save(self) -> Pending:
        if self.saver is None:
            raise CommandError("this engine keeps no snapshot")
        return self.saver()

    def shut_down(self, session: Session, done: Reply, *, save: bool, force: bool) -> Reply:
        stop = self.stopper
        if stop is None:
            raise CommandError(NOT_SHUT_DOWN)
        try:
            if not save:
                self.leaver()
        except CommandError as error:
            if not force:
                raise CommandError(NOT_SHUT_DOWN, str(error)) from None
        if force or self.saver is None or not save:
            stop()
            return done
        pending = Pending()

        def saved(outcome: Reply) -> None:
            if isinstance(outcome, CommandError):
                pending.resolve(CommandError(NOT_SHUT_DOWN, str(outcome)))
            else:
                stop()
                session.over = True  # nothing behind it is answered
                session.settle()
                pending.resolve(done)

        self.saver().then(saved)
        return pending
