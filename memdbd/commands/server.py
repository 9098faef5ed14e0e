"""The daemon: its time, its state and its figures, the snapshot, and its end.

May import: context, spec and what they may import.
"""

from __future__ import annotations

from collections.abc import Sequence

from memdbd import REDIS_VERSION, __version__
from memdbd.commands.arguments import integer
from memdbd.commands.context import Context
from memdbd.commands.spec import ADMIN, Flag, Param, Tail, command
from memdbd.errors import CommandError, SyntaxFault
from memdbd.replies import NO_REPLY, OK, Pending, Reply, Status, Verbatim


@command(
    "time",
    flags=Flag.SERVER | Flag.FAST,
    summary="The server's time: seconds and microseconds",
    complexity="O(1)",
)
def time(ctx: Context) -> list[bytes]:
    seconds, micros = divmod(ctx.server.wall_us(), 1_000_000)
    return [b"%d" % seconds, b"%d" % micros]


@command(
    "info",
    Param("section", many=True, optional=True),
    flags=Flag.SERVER | Flag.DANGEROUS,
    summary="The state of the server, by sections",
    complexity="O(1)",
    differs="Has the sections and fields that mean something here.",
)
def info(ctx: Context, *sections: bytes) -> Verbatim:
    names = [section.decode("latin-1").lower() for section in sections]
    return Verbatim(ctx.server.figures.text(names))


@info.in_text(Param("section", many=True, optional=True))
def info_in_text(ctx: Context, *sections: bytes) -> dict[str, Reply]:
    told = ctx.server.info()
    if not sections:
        return told
    asked: dict[str, Reply] = {}
    for name in (section.decode("utf-8", "backslashreplace").lower() for section in sections):
        found = told.get(name) or ctx.server.figures.section(name)
        if found is None:
            raise CommandError(
                f"there is no section '{name}'",
                "there are server, persistence, stats, and those of Redis: clients, memory, "
                "replication, cpu, commandstats, errorstats, keyspace",
            )
        asked[name] = found
    return asked


@command(
    "stats",
    flags=Flag.SERVER,
    summary="What the server has counted since it started",
    complexity="O(1)",
)
def stats(ctx: Context) -> dict[str, Reply]:
    return ctx.server.stats()


@command(
    "save",
    flags=ADMIN | Flag.ALONE,
    summary="Write a snapshot; answers when it is safely on disk",
    complexity="O(n), n being the keys",
    differs="Others are served meanwhile.",
)
def save(ctx: Context) -> Pending:
    return ctx.server.save()


@command(
    "bgsave",
    Tail("[SCHEDULE]"),
    flags=ADMIN,
    summary="Write a snapshot; answers at once",
    complexity="O(1)",
)
def bgsave(ctx: Context, *words: bytes) -> Status:
    if words and [word.upper() for word in words] != [b"SCHEDULE"]:
        raise SyntaxFault
    return Status("Background saving started" if _begin(ctx) else "Background saving scheduled")


@command(
    "bgrewriteaof",
    flags=ADMIN,
    summary="Write a snapshot, and begin the journal anew; answers at once",
    complexity="O(1)",
    differs="The same as BGSAVE.",
)
def bgrewriteaof(ctx: Context) -> Status:
    how = "started" if _begin(ctx) else "scheduled"
    return Status(f"Background append only file rewriting {how}")


def _begin(ctx: Context) -> bool:
    """Begin a snapshot, or soon: a snapshot has no half of a transaction. Whether it is now."""
    if not ctx.may_wait:
        ctx.server.call_later(0, ctx.server.save)
        return False
    ctx.server.save()
    return True


@command(
    "lastsave",
    flags=Flag.SERVER | Flag.DANGEROUS | Flag.FAST,
    summary="When the last snapshot was begun, in seconds since 1970",
    complexity="O(1)",
)
def lastsave(ctx: Context) -> int:
    return ctx.server.figures.last_save()


_SHUTDOWN = frozenset({b"SAVE", b"NOSAVE", b"NOW", b"FORCE", b"ABORT"})


@command(
    "shutdown",
    Tail("[NOSAVE|SAVE] [NOW] [FORCE]"),
    flags=ADMIN | Flag.ALONE | Flag.ENDS,
    summary="Write a snapshot, if wanted, and stop",
    complexity="O(n), n being the keys",
    differs="ABORT is refused. NOSAVE loses nothing: the journal has it all. What cannot be saved "
    "is not stopped, unless by FORCE.",
)
def shutdown(ctx: Context, *words: bytes) -> Reply:
    # That the connection closes, tells Redis's clients that it has worked.
    return _shut_down(ctx, words, NO_REPLY)


@shutdown.in_text()
def shutdown_in_text(ctx: Context, *words: bytes) -> Reply:
    return _shut_down(ctx, words, OK)


def _shut_down(ctx: Context, words: Sequence[bytes], done: Reply) -> Reply:
    options = {word.upper() for word in words}
    if not options <= _SHUTDOWN:
        raise SyntaxFault
    if {b"SAVE", b"NOSAVE"} <= options or (b"ABORT" in options and len(words) > 1):
        raise SyntaxFault
    if b"ABORT" in options:
        raise CommandError("No shutdown in progress.")
    save, force = b"NOSAVE" not in options, b"FORCE" in options
    return ctx.server.shut_down(ctx.session, done, save=save, force=force)


@command(
    "lolwut",
    Tail("[VERSION <version>] [<number> …]"),
    flags=Flag.READ | Flag.FAST,
    summary="Show the version",
    complexity="O(1)",
    differs="There is nothing to look at.",
)
def lolwut(ctx: Context, *words: bytes) -> Verbatim:
    if len(words) > 1 and words[0].upper() == b"VERSION":
        integer(words[1])
    return Verbatim(f"memdbd {__version__}, which answers as Redis ver. {REDIS_VERSION}\n")


@command(
    "role",
    flags=Flag.SERVER | Flag.DANGEROUS | Flag.FAST,
    summary="Tell that this server follows no other",
    complexity="O(1)",
)
def role(ctx: Context) -> list[Reply]:
    return [b"master", 0, []]


def _refuse_replicas(ctx: Context, host: bytes, port: bytes) -> Status:
    if (host.upper(), port.upper()) == (b"NO", b"ONE"):
        return OK
    raise CommandError("memdbd follows no other server: it does not replicate")


replicaof = command(
    "replicaof",
    Param("host"),
    Param("port"),
    flags=ADMIN,
    summary="Refused: memdbd does not replicate",
    complexity="O(1)",
    differs="Only NO ONE is accepted.",
)(_refuse_replicas)
slaveof = command(
    "slaveof",
    Param("host"),
    Param("port"),
    flags=ADMIN,
    summary="The old name of replicaof",
    complexity="O(1)",
    differs="Only NO ONE is accepted.",
)(_refuse_replicas)


COMMANDS = (
    time,
    info,
    stats,
    save,
    bgsave,
    bgrewriteaof,
    lastsave,
    shutdown,
    lolwut,
    role,
    replicaof,
    slaveof,
)
