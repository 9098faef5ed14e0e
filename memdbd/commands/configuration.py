"""CONFIG: Redis's parameters, and the counters that can be reset.

May import: context, spec and what they may import.
"""

from __future__ import annotations

from memdbd.commands.context import Context
from memdbd.commands.spec import ADMIN, Param, Tail, command
from memdbd.errors import CommandError, SyntaxFault
from memdbd.replies import OK, Status


@command(
    "config get",
    Param("pattern", many=True),
    flags=ADMIN,
    summary="Show the parameters whose names match a pattern",
    complexity="O(n), n being the parameters",
    differs="Shows those that mean something here, and those that tools set.",
)
def config_get(ctx: Context, *patterns: bytes) -> dict[str, str]:
    return ctx.server.parameters.matching(patterns)


@command(
    "config set",
    Tail("<parameter> <value> …", least=2),
    flags=ADMIN,
    summary="Set parameters, all of them or none, until the daemon stops",
    complexity="O(n), n being the parameters set",
    differs="Parameters of how Redis stores values are kept and change nothing; maxmemory-policy "
    "takes the policies there are.",
)
def config_set(ctx: Context, *words: bytes) -> Status:
    if len(words) % 2:
        raise SyntaxFault
    texts = [word.decode("utf-8", "surrogateescape") for word in words]
    ctx.server.parameters.set(list(zip(texts[::2], texts[1::2], strict=True)))
    return OK


@command(
    "config resetstat",
    flags=ADMIN,
    summary="Set the counters of INFO to zero",
    complexity="O(1)",
)
def config_resetstat(ctx: Context) -> Status:
    ctx.server.figures.reset()
    return OK


@command(
    "config rewrite",
    flags=ADMIN,
    summary="Refused: settings come from flags, the environment and a file that people write",
    complexity="O(1)",
    differs="Always answers that there is no file to be rewritten.",
)
def config_rewrite(ctx: Context) -> Status:
    raise CommandError("The server is running without a config file")


COMMANDS = (config_get, config_set, config_resetstat, config_rewrite)
