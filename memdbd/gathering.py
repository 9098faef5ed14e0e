"""Requests that come alone, from many connections in one turn, are run together.

Theory of operation. Most clients send one request and wait for its reply. Where many do, the
sockets that are ready in a turn have a request each, and nobody can tell in which order those came:
so all of one command are run as if one client had sent them in a row, at the end of the turn. Its
connection is busy until then. Those that are not usual, or have nobody beside them, are answered by
their connections, as they would have been at once.

At depth 1 with 50 connections, it takes a GET from 4.3 us of CPU to 2.2, beside the kernel's 4.

May import: commands.context, commands.spec, dialects.batch, dispatch, replies.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest
from typing import Any, Protocol

from twisted.logger import Logger

from memdbd.commands.context import Context
from memdbd.commands.spec import Command
from memdbd.dialects.batch import Batch
from memdbd.dispatch import Dispatcher
from memdbd.replies import Reply


class Asker(Protocol):
    """A connection whose request waits for the end of the turn."""

    context: Context

    def answered(self, batch: Batch, command: Command, reply: Reply) -> None:
        """Its request has been run, with this reply."""

    def unanswered(self, batch: Batch) -> None:
        """Its request has not been run: it has to do so by itself."""

    def fail(self) -> None:
        """Something raised: end the connection."""


_NONE: Any = object()  # of a request that was not run


class Gathering:
    """Collects requests that came alone, and has ``dispatcher`` run them."""

    # Sockets that are ready in a turn from which on it is worth it.
    LEAST = 4

    _log = Logger()

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._groups: dict[Command, list[tuple[Asker, Batch]]] = {}

    def add(self, command: Command, asker: Asker, batch: Batch) -> None:
        """Let a batch of one request, which names this command, wait for the end of the turn."""
        group = self._groups.get(command)
        if group is None:
            self._groups[command] = [(asker, batch)]
        else:
            group.append((asker, batch))

    def run(self) -> None:
        """Run what was collected."""
        if self._groups:
            groups, self._groups = self._groups, {}
            for command, group in groups.items():
                while group:
                    group = self._run(command, group)

    def _run(self, command: Command, group: list[tuple[Asker, Batch]]) -> list[tuple[Asker, Batch]]:
        """Run those that may do the same in the same database as the first; gives the others."""
        context = group[0][0].context
        db, permissions = context.db, context.session.permissions
        alike, others = [], []
        for each in group:
            theirs = each[0].context
            is_alike = theirs.db is db and theirs.session.permissions is permissions
            (alike if is_alike else others).append(each)
        replies: Iterable[Reply] = ()
        if len(alike) >= self._dispatcher.RUN and self._dispatcher.is_unattended:
            run = [batch.requests[0] for _, batch in alike]
            replies = self._dispatcher.run_together(context, command, run)
        for (asker, batch), reply in zip_longest(alike, replies, fillvalue=_NONE):
            try:
                if reply is _NONE:
                    asker.unanswered(batch)
                else:
                    asker.answered(batch, command, reply)
            except Exception:
                self._log.failure("a defect of memdbd: a connection is ended")
                asker.fail()
        return others
