"""DEBUG, as far as it harms nobody.

May import: context, spec and what they may import.
"""

from __future__ import annotations

from memdbd.commands.arguments import Words
from memdbd.commands.context import Context
from memdbd.commands.spec import Flag, Tail, command
from memdbd.errors import CommandError, SubcommandFault
from memdbd.replies import OK, Pending, Reply

MOST_SECONDS = 3600.0

NOT_ALLOWED = (
    'DEBUG command not allowed. If the enable-debug-command option is set to "local", you can run '
    "it from a local connection, otherwise you need to set this option in the configuration file, "
    "and then restart the server."
)


def _seconds(raw: bytes) -> float:
    try:
        seconds = float(raw)
    except ValueError:
        return 0.0  # as Redis takes what is no number
    return min(seconds, MOST_SECONDS) if seconds > 0 else 0.0


@command(
    "debug",
    Tail("SLEEP <seconds>", least=1),
    flags=Flag.ADMIN | Flag.DANGEROUS,
    summary="Let this connection wait, for tests of clients",
    complexity="O(1)",
    differs="Only SLEEP is known, it delays its own connection only, and it is only allowed from "
    "this machine and with the setting enable_debug_command.",
)
def debug(ctx: Context, *arguments: bytes) -> Reply:
    if not ctx.server.may_debug(ctx.session):
        raise CommandError(NOT_ALLOWED)
    words = Words(arguments)
    if words.option() != b"SLEEP" or len(words) != 1:
        raise SubcommandFault("DEBUG", arguments[0])
    seconds = words.take(_seconds)
    if not ctx.may_wait:
        return OK
    pending = Pending()
    timer = ctx.server.call_later(seconds, lambda: pending.resolve(OK))
    pending.abandoned = timer.cancel
    return pending


COMMANDS = (debug,)
