"""MONITOR: what all clients ask for, shown to those who watch.

May import: context, spec and what they may import.
"""

from __future__ import annotations

from memdbd.commands.context import Context
from memdbd.commands.spec import Flag, command
from memdbd.errors import CommandError
from memdbd.replies import NO_REPLY, OK, NoReply, Status


@command(
    "monitor",
    flags=Flag.ADMIN | Flag.DANGEROUS,
    summary="Show on this connection what all clients ask for",
    complexity="O(1); then O(n) for each request, n being those who watch",
)
def monitor(ctx: Context) -> Status | NoReply:
    if not ctx.may_wait:
        raise CommandError("MONITOR isn't allowed for DENY BLOCKING client")
    if ctx.session.monitors:
        return NO_REPLY
    ctx.server.monitors.join(ctx.session)
    return OK


@monitor.in_text()
def monitor_in_text(ctx: Context) -> Status:
    monitor.handler(ctx)
    return OK  # each line has its answer here, also a second one


COMMANDS = (monitor,)
