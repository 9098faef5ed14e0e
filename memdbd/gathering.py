"""Requests of one command that come from many connections in one turn are run together.

Theory of operation. Most clients send one request and wait for its reply. Where many do, the
sockets that are ready in a turn have a request each, and nobody can tell in which order those came:
so all of one command are run as if one client had sent them in a row, at the end of the turn. The
same goes for those who send several requests of one command. Their connections are busy until then.
Those that are not usual, or have nobody beside them, are answered by their connections, as they
would have been at once.

At depth 1 with 50 connections, it takes a GET from 4.3 us of CPU to 2.2, beside the kernel's 4.

May import: core, commands.context, commands.spec, dialects.batch, dispatch, replies.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.logger import Logger

from memdbd import core
from memdbd.commands.context import Context
from memdbd.commands.spec import Command
from memdbd.dialects.batch import Batch
from memdbd.dispatch import Dispatcher
from memdbd.replies import Replies


class Asker(Protocol):
    """A connection whose requests wait for the end of the turn."""

    context: Context

    def answered(self, batch: Batch, command: Command, replies: Replies) -> None:
        """The first requests of its batch have been run, with these replies; those behind them, if
        any, it has to run by itself."""

    def fail(self) -> None:
        """Something raised: end the connection."""


class Gathering:
    """Collects batches of requests of one command, and has ``dispatcher`` run them."""

    # Sockets that are ready in a turn from which on it is worth it.
    LEAST = 4

    # Requests that a turn gathers: those behind them are looked at one connection at a time, and
    # wait where the turn has had its time. So many take 1 or 2 ms.
    MOST = 2048

    _log = Logger()

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._groups: dict[Command, list[tuple[Asker, Batch]]] = {}
        self._count = 0  # of the requests in them

    def add(self, command: Command, asker: Asker, batch: Batch) -> bool:
        """Let a batch, whose requests are all of this command, wait for the end of the turn; False
        where there is no room."""
        size = len(batch.requests)
        if size > 1:
            self._count += size
            if self._count > self.MOST:
                return False
        group = self._groups.get(command)
        if group is None:
            self._groups[command] = [(asker, batch)]
        else:
            group.append((asker, batch))
        return True

    def run(self) -> None:
        """Run what was collected."""
        self._count = 0
        if self._groups:
            groups, self._groups = self._groups, {}
            for command, group in groups.items():
                while group:
                    group = self._run(command, group)

    def _run(self, command: Command, group: list[tuple[Asker, Batch]]) -> list[tuple[Asker, Batch]]:
        """Run those that may do the same in the same database as the first; gives the others."""
        context = group[0][0].context
        db, permissions = context.db, context.session.permissions
        same: list[tuple[Asker, Batch]] = []
        others: list[tuple[Asker, Batch]] = []
        run: list[Any] = []  # there are no errors among them
        for each in group:
            asker, batch = each
            theirs = asker.context
            if theirs.db is db and theirs.session.permissions is permissions:
                same.append(each)
                run += batch.requests
            else:
                others.append(each)
        replies: Replies = ()
        if len(run) >= self._dispatcher.RUN and self._dispatcher.is_unattended:
            # They may differ in how many words they have.
            if (end := core.alike(run, 0, len(run))) < len(run):
                del run[end:]
            replies = self._dispatcher.run_together(context, command, run)
        at = 0
        for asker, batch in same:
            end = at + len(batch.requests)
            try:
                asker.answered(batch, command, replies[at:end])
            except Exception:
                self._log.failure("a defect of memdbd: a connection is ended")
                asker.fail()
            at = end
        return others
