"""The daemon: its time, its state and its figures, and the snapshot.

May import: context, spec, types and what they may import.
"""

from __future__ import annotations

from memdbd.commands.context import Context
from memdbd.commands.spec import Flag, command
from memdbd.replies import Pending, Reply


@command("time", flags=Flag.SERVER, summary="The server's time: seconds and microseconds")
def time(ctx: Context) -> list[bytes]:
    seconds, micros = divmod(ctx.server.wall_us(), 1_000_000)
    return [b"%d" % seconds, b"%d" % micros]


@command("info", flags=Flag.SERVER, summary="The state of the server, by sections")
def info(ctx: Context) -> dict[str, Reply]:
    return ctx.server.info()


@command("stats", flags=Flag.SERVER, summary="What the server has counted since it started")
def stats(ctx: Context) -> dict[str, Reply]:
    return ctx.server.stats()


@command(
    "save",
    flags=Flag.ADMIN | Flag.BLOCKING,
    summary="Write a snapshot; answers when it is safely on disk",
)
def save(ctx: Context) -> Pending:
    return ctx.server.save()


COMMANDS = (time, info, stats, save)
