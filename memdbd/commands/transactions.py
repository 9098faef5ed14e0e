"""Transactions: commands that are run as one, if nobody touched what they rely on.

Strategy: between MULTI and EXEC the dispatcher queues requests in the session; EXEC runs them in
one go. A watched key that changes in between has marked the session, whoever changed it.

May import: context, spec and what they may import.
"""

from __future__ import annotations

from collections.abc import Sequence

from memdbd.commands.access import ASKED
from memdbd.commands.context import Context
from memdbd.commands.spec import KEYS, Command, Flag, command
from memdbd.errors import CommandError
from memdbd.replies import NULL_ARRAY, OK, NullArray, Reply, Results, Status

AT_ONCE = Flag.TRANSACTION | Flag.AT_ONCE | Flag.FAST


class Discarded(CommandError):
    """A transaction that was not run, because a command could not even be queued.

    Whoever answers a client with this, ends its transaction.
    """

    code = "EXECABORT"


class _Exec(Command):
    """EXEC ends the transaction even where it is not understood."""

    __slots__ = ()

    def wrong_number(self, argv: Sequence[bytes] = ()) -> CommandError:
        return Discarded(f"Transaction discarded because of: {super().wrong_number(argv)}")


def end_transaction(ctx: Context) -> None:
    """Forget what was queued and what is watched."""
    ctx.session.end_transaction()
    ctx.databases.changes.unwatch(ctx.session)


@command("multi", flags=AT_ONCE, summary="Begin a transaction", complexity="O(1)")
def multi(ctx: Context) -> Status:
    if ctx.session.queue is not None:
        raise CommandError("MULTI calls can not be nested")
    ctx.session.queue = []
    ctx.session.settle()
    return OK


def _exec(ctx: Context) -> Results | NullArray:
    session = ctx.session
    queue, failed = session.queue, session.queue_failed
    if queue is None:
        raise CommandError("EXEC without MULTI")
    for database, key in tuple(session.watched):
        ctx.databases[database].peek(key)  # it may have expired, which changes it
    touched = session.touched
    end_transaction(ctx)
    if failed:
        raise Discarded("Transaction discarded because of previous errors.")
    if touched:
        return NULL_ARRAY
    replies: list[Reply] = []
    ctx.may_wait = False
    try:
        for queued, argv in queue:
            try:
                replies.append(ctx.execute(ctx, queued, argv))
            except CommandError as error:
                replies.append(error.bare())
    finally:
        ctx.may_wait = True
    return Results(replies)


exec_ = _Exec(
    "exec",
    _exec,
    (),
    Flag.TRANSACTION | Flag.AT_ONCE,
    "Run what was queued since MULTI, unless a watched key has changed",
    complexity="that of the commands",
    differs="What it sends to its own connection is in front of the array or behind, not inside.",
)


@command(
    "discard",
    flags=AT_ONCE,
    summary="Forget what was queued since MULTI",
    complexity="O(n), n being the requests queued",
)
def discard(ctx: Context) -> Status:
    if ctx.session.queue is None:
        raise CommandError("DISCARD without MULTI")
    end_transaction(ctx)
    return OK


@command(
    "watch",
    KEYS,
    flags=AT_ONCE,
    access=ASKED,
    summary="Have EXEC run nothing if one of these keys has changed by then",
    complexity="O(1) a key",
)
def watch(ctx: Context, *keys: bytes) -> Status:
    if ctx.session.queue is not None:
        raise CommandError("WATCH inside MULTI is not allowed")
    for key in keys:
        ctx.db.peek(key)  # that it expires later, if it already has, is no change
        ctx.databases.changes.watch(ctx.session, ctx.session.database, key)
    return OK


@command(
    "unwatch",
    flags=Flag.TRANSACTION | Flag.FAST,
    summary="Watch no key any more",
    complexity="O(n), n being the keys watched",
)
def unwatch(ctx: Context) -> Status:
    ctx.databases.changes.unwatch(ctx.session)
    return OK


COMMANDS = (multi, exec_, discard, watch, unwatch)
