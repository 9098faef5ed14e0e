"""What commands may ask of the daemon: its settings, its figures, a snapshot.

Each component tells about itself in a section; nothing here knows which components there are.
May import: commands, clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from memdbd.clock import Clock
from memdbd.commands.spec import Command, DataType
from memdbd.commands.suggest import Suggestions
from memdbd.errors import CommandError
from memdbd.keyspace import Value
from memdbd.replies import Pending, Reply

Section = Callable[[], Mapping[str, Reply]]


class Daemon:
    """The :class:`~memdbd.commands.spec.Server` of all handlers.

    ``sections`` gives the parts of ``info`` by name; ``counters`` what ``stats`` is put together
    of. Both are filled by whoever puts the daemon together, and so is ``saver``, which starts a
    snapshot and gives the reply to come.
    """

    def __init__(
        self,
        clock: Clock,
        commands: Mapping[bytes, Command],
        types: Sequence[DataType],
        default_ttl: int,
    ) -> None:
        self.commands = commands
        self.default_ttl = default_ttl
        self.suggestions = Suggestions(commands)
        self.sections: dict[str, Section] = {}
        self.counters: list[Callable[[], Mapping[str, int]]] = []
        self.saver: Callable[[], Pending] | None = None
        self._clock = clock
        self._type_names: dict[type, str] = {kind.python: kind.name for kind in types}
        self._type_names[type(None)] = "none"

    def wall_us(self) -> int:
        return self._clock.wall_us()

    def type_name(self, value: Value | None) -> str:
        return self._type_names[type(value)]

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
