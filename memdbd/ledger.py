"""What is counted of requests: calls, the time that they took, errors, defects.

May import: commands.spec, errors, session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from twisted.logger import Logger

from memdbd.commands.spec import Command
from memdbd.errors import CommandError, MemDBError
from memdbd.session import Session

# Requests that take longer are told of, at the least, where requests are run together: of those,
# nobody knows how long each took.
LEAST_OBSERVED = 0.001  # seconds


class Tally:
    """What is counted of one command: ``calls``, of which some have ``failed``, and the requests
    that were ``rejected``, which are none."""

    __slots__ = ("calls", "failed", "rejected", "seconds")

    def __init__(self) -> None:
        self.calls = 0
        self.failed = 0
        self.rejected = 0
        self.seconds = 0.0

    def went_wrong(self, error: CommandError) -> bool:
        """Count a request by the error that answers it; gives whether it was a call."""
        if error.is_rejection:
            self.rejected += 1
            return False
        self.failed += 1
        return True


# Hears of a request that is done: who, what, and the seconds that it took.
Observer = Callable[[Session, Command, Sequence[bytes], float], None]


class Ledger:
    """Counts requests of the commands ``every``, whose two records are counted as one."""

    _log = Logger()

    def __init__(self, every: Iterable[Command]) -> None:
        self.tallies: dict[Command, Tally] = {command: Tally() for command in every}
        self._tallies = self.tallies | {each.text: tally for each, tally in self.tallies.items()}
        self.errors: dict[str, int] = {}  # replies that say so, by their codes
        self.failures = 0  # exceptions that a handler should not have let out
        self.observer: Observer | None = None
        self.observed_from = float("inf")  # seconds that a request takes to be of interest

    def _tally(
        self, session: Session, command: Command, request: Sequence[bytes], seconds: float
    ) -> None:
        """Count a request that was run and took so long."""
        tally = self._tallies[command]
        tally.calls += 1
        tally.seconds += seconds
        if seconds >= self.observed_from:
            self._observe(session, command, request, seconds)

    def _observe(
        self, session: Session, command: Command | None, request: Sequence[bytes], seconds: float
    ) -> None:
        """Tell of a request that took long."""
        if self.observer is not None and command is not None:
            self.observer(session, command, request, seconds)

    def _counted(self, error: MemDBError) -> MemDBError:
        code = getattr(error, "code", "ERR")
        self.errors[code] = self.errors.get(code, 0) + 1
        error.is_counted = True
        return error

    def replied_later(self, session: Session, reply: object) -> None:
        """Count what a session has waited for, if it is an error."""
        if isinstance(reply, CommandError) and not reply.is_counted:
            self._counted(reply)
            if isinstance(session.last, Command):
                self._tallies[session.last].failed += 1

    def failed_later(self, session: Session) -> CommandError:
        """The reply for which a session waited, where a defect kept it from being made."""
        return self._failed([session.last.full_name.encode() if session.last else b""])

    def _failed(self, request: Sequence[bytes]) -> CommandError:
        """The answer to a request whose handler let out what it should not."""
        self.failures += 1
        # The name alone: values are nobody's business.
        self._log.failure("a defect of memdbd: {name!r} failed", name=request[0][:64])
        return CommandError("internal error, the server's log has the details")

    def counts(self) -> dict[str, tuple[int, int]]:
        """The calls of each command, by its full name, and the microseconds that they took."""
        return {
            command.full_name: (tally.calls, int(tally.seconds * 1_000_000))
            for command, tally in self.tallies.items()
        }

    def mishaps(self) -> dict[str, tuple[int, int]]:
        """The requests of each command, by its full name, that were rejected, and that failed."""
        return {
            command.full_name: (tally.rejected, tally.failed)
            for command, tally in self.tallies.items()
        }

    def stats(self) -> dict[str, int]:
        """What was asked and how it went."""
        return {
            "commands": sum(tally.calls for tally in self.tallies.values()),
            "errors": sum(self.errors.values()),
            "internal_errors": self.failures,
        }
