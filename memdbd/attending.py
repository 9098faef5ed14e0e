"""Requests that are not simply run: inside a transaction, where somebody attends to all requests,
without a reply, for those who listen in RESP2, or when all is over.

May import: audience, commands, engines.interface, errors, ledger, limits, permissions, replies,
session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol

from memdbd.audience import Audience
from memdbd.commands.context import Context
from memdbd.commands.spec import Command, Flag
from memdbd.commands.transactions import Discarded, end_transaction
from memdbd.engines.interface import IEngine
from memdbd.errors import CommandError
from memdbd.ledger import LEAST_OBSERVED, Ledger
from memdbd.limits import Alarms, Limits
from memdbd.permissions import NotPermitted
from memdbd.replies import NO_REPLY, QUEUED, Pending, Reply, Several
from memdbd.session import Session


class Attendant(Protocol):
    """Has to do with every request of every client, as long as it is among the attendants."""

    def admit(
        self, session: Session, command: Command, argv: Sequence[bytes], run: Callable[[], Reply]
    ) -> Reply | None:
        """The reply to a request that is not to be run or queued; None for one that is.

        A Pending reply may be resolved with what ``run()`` gives later. Raises CommandError.
        """

    def saw(
        self, session: Session, command: Command, argv: Sequence[bytes], *, nested: bool
    ) -> None:
        """A request was run, well or not; ``nested``: by another, as EXEC does."""


class Attending(Ledger):
    """Runs such requests on ``engine``; ``seconds`` tells the time that they take."""

    def __init__(
        self,
        engine: IEngine,
        every: Iterable[Command],
        seconds: Callable[[], float],
        limits: Limits,
        alarms: Alarms,
    ) -> None:
        super().__init__(every)
        self._engine = engine
        self._seconds = seconds
        self._limits = limits
        self._alarms = alarms
        self.attendants: Audience[Attendant] = Audience()

    @property
    def is_unattended(self) -> bool:
        """Whether nobody wants to know of each single request."""
        return not self.attendants.members and self.observed_from >= LEAST_OBSERVED

    def _specially(self, context: Context, command: Command, request: Sequence[bytes]) -> Reply:
        """Run a request, or do not: inside a transaction, for a session that listens in RESP2,
        where somebody attends, without a reply, or when all is over."""
        session = context.session
        if session.over:
            return NO_REPLY
        was_off = session.mute == "off"
        if session.mute == "next":
            session.mute = "this"
        reply = self._held_back(context, command, request)
        if reply is None:
            reply = self._run_or_queue(context, command, request)
        if not _is_muted(session, was_off=was_off):
            return reply
        match reply:
            case Several():  # of pushes, which are no replies
                return reply
            case Pending():
                return _without_reply(reply)
            case _:
                return NO_REPLY

    def _held_back(
        self, context: Context, command: Command, request: Sequence[bytes]
    ) -> Reply | None:
        """The reply to a request that is not to be run now; None for one that is.

        Raises CommandError, which spoils a transaction.
        """
        session = context.session
        try:
            command.check(request)
            self._engine.permit(context, command, request)
            if session.queue is not None and command.flags & Flag.ALONE:
                raise CommandError("Command not allowed inside a transaction")
            if session.is_limited and not command.flags & Flag.LISTENER:
                raise CommandError(
                    f"Can't execute '{command.full_name}': only (P|S)SUBSCRIBE / "
                    "(P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
                )
            for attendant in self.attendants.members:
                run = partial(self._run_later, context, command, request)
                reply = attendant.admit(session, command, request, run)
                if reply is not None:
                    return reply
            return None
        except CommandError as error:
            self._tallies[command].rejected += 1
            raise _spoilt(session, command, error) from None

    def _run_or_queue(self, context: Context, command: Command, request: Sequence[bytes]) -> Reply:
        session = context.session
        if session.queue is not None and not command.at_once:
            session.queued += sum(map(len, request))
            if session.queued > self._limits.max_request:
                self._tallies[command].rejected += 1
                raise _spoilt(session, command, _too_long(self._limits.max_request))
            session.queue.append((command, request))
            return QUEUED
        return self._attended(self._engine.execute, context, command, request, nested=False)

    def _run_later(self, context: Context, command: Command, request: Sequence[bytes]) -> Reply:
        """The reply to a request that was held back; an error is one too."""
        try:
            return self._run_or_queue(context, command, request)
        except NotPermitted as denied:
            return self._refusal(context, _spoilt(context.session, command, denied).bare())
        except CommandError as error:
            return self._refusal(context, error.bare())
        except Exception:
            return self._failed(request)

    def _attended(
        self,
        run: Callable[[Context, Command, Sequence[bytes]], Reply],
        context: Context,
        command: Command,
        request: Sequence[bytes],
        *,
        nested: bool,
    ) -> Reply:
        """Run a request, count it and tell the attendants."""
        before, tally = self._seconds(), self._tallies[command]
        was_run = True
        try:
            return run(context, command, request)
        except CommandError as error:
            # Of one that was not, it is nobody's business what it would have been.
            was_run = tally.went_wrong(error)
            if nested:
                self._counted(error)
            raise
        except Exception:
            tally.failed += 1
            if not nested:
                raise
            return self._failed(request)  # of this one alone: what is run beside it goes on
        finally:
            if was_run:
                self._tally(context.session, command, request, self._seconds() - before)
                for attendant in self.attendants.members:
                    attendant.saw(context.session, command, request, nested=nested)

    def _refusal(self, context: Context, error: CommandError) -> Reply:
        """The reply that an error is."""
        session = context.session
        self._counted(error)
        if error.limit:
            named = context.server.clients.named(session)
            self._alarms.fire(error.limit, f"a request of {named} is refused: {error}")
        if isinstance(error, Discarded):
            end_transaction(context)
        if session.mute == "next":  # not even the command was found
            session.mute = "this"
        return NO_REPLY if _is_muted(session, was_off=True) else error


def _spoilt(session: Session, command: Command, error: CommandError) -> CommandError:
    """The error for a request that is neither run nor queued; a transaction does not survive it."""
    session.refused()
    if command.name != "exec" or isinstance(error, Discarded):
        return error
    code = "" if error.code == "ERR" else f"{error.code} "
    return Discarded(f"Transaction discarded because of: {code}{error}")


def _too_long(most: int) -> CommandError:
    """The error for a request that makes a transaction longer than any request may be."""
    error = CommandError(f"the transaction is over {most} bytes (max_request)")
    error.limit = "max_request"
    return error


def _without_reply(pending: Pending) -> Pending:
    """A reply to come that is waited for, but not sent."""
    silent = Pending()
    silent.stand_for(pending, lambda _: NO_REPLY)
    return silent


def _is_muted(session: Session, *, was_off: bool) -> bool:
    """Whether the reply to a request is not wanted; ``was_off``: none were before it."""
    if session.mute == "this":
        session.mute = ""
        session.settle()
        return True
    return was_off and session.mute == "off"
