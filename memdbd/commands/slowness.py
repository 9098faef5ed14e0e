"""SLOWLOG and LATENCY: what took long.

May import: context, spec and what they may import.
"""

from __future__ import annotations

from memdbd.commands.arguments import at_least
from memdbd.commands.context import Context
from memdbd.commands.spec import ADMIN, Param, command
from memdbd.errors import CommandError
from memdbd.replies import OK, Reply, Status, Verbatim

USUAL_COUNT = 10
_count = at_least(-1, "count should be greater than or equal to -1")


@command(
    "slowlog get",
    Param("count", _count, optional=True),
    flags=ADMIN,
    summary="Show the newest entries of the slow log; -1: all of them",
    complexity="O(n), n being the entries shown",
)
def slowlog_get(ctx: Context, count: int = USUAL_COUNT) -> list[Reply]:
    return [
        [slow.number, slow.when, slow.micros, slow.argv, slow.peer.encode(), slow.name]
        for slow in ctx.server.slowlog.last(None if count < 0 else count)
    ]


@command(
    "slowlog len",
    flags=ADMIN,
    summary="Count the entries of the slow log",
    complexity="O(1)",
)
def slowlog_len(ctx: Context) -> int:
    return len(ctx.server.slowlog)


@command(
    "slowlog reset",
    flags=ADMIN,
    summary="Forget the entries of the slow log",
    complexity="O(n), n being the entries",
)
def slowlog_reset(ctx: Context) -> Status:
    ctx.server.slowlog.clear()
    return OK


EVENT = Param("event")


@command(
    "latency history",
    EVENT,
    flags=ADMIN,
    summary="Show when an event took long, and how many milliseconds",
    complexity="O(1)",
)
def latency_history(ctx: Context, event: bytes) -> list[Reply]:
    return [list(sample) for sample in ctx.server.latency.history(event.decode("latin-1"))]


@command(
    "latency latest",
    flags=ADMIN,
    summary="Show the last long moment of each event, and its worst",
    complexity="O(1)",
)
def latency_latest(ctx: Context) -> list[Reply]:
    return [list(latest) for latest in ctx.server.latency.latest()]


@command(
    "latency reset",
    Param("event", many=True, optional=True),
    flags=ADMIN,
    summary="Forget the long moments of events; gives how many events",
    complexity="O(1)",
)
def latency_reset(ctx: Context, *events: bytes) -> int:
    return ctx.server.latency.clear([event.decode("latin-1") for event in events])


@command(
    "latency graph",
    EVENT,
    flags=ADMIN,
    summary="Draw the long moments of an event",
    complexity="O(1)",
    differs="One line a moment, with its time and a bar.",
)
def latency_graph(ctx: Context, event: bytes) -> Verbatim:
    name = event.decode("latin-1")
    samples = ctx.server.latency.history(name)
    if not samples:
        raise CommandError(f"No samples available for event '{name}'")
    worst = max(ms for _, ms in samples)
    lines = [f"{when} {'#' * (1 + 60 * ms // worst)} {ms} ms" for when, ms in samples]
    return Verbatim("\n".join([f"{name}: the worst took {worst} ms", *lines, ""]))


@command(
    "latency doctor",
    flags=ADMIN,
    summary="Say in a sentence what took long",
    complexity="O(1)",
    differs="In other words.",
)
def latency_doctor(ctx: Context) -> Verbatim:
    if not ctx.server.latency.threshold:
        return Verbatim(
            "Latency is not watched. CONFIG SET latency-monitor-threshold <milliseconds> has "
            "every command that takes so long kept.\n"
        )
    latest = ctx.server.latency.latest()
    if not latest:
        return Verbatim("Nothing has taken so long.\n")
    return Verbatim(
        "".join(f"{event}: {worst} ms at worst, {ms} ms the last time\n"
                for event, _, ms, worst in latest)
    )  # fmt: skip


@command(
    "latency histogram",
    Param("command", many=True, optional=True),
    flags=ADMIN,
    summary="Count the calls of commands",
    complexity="O(n), n being the commands",
    differs="The calls alone: how long each took is not kept.",
)
def latency_histogram(ctx: Context, *names: bytes) -> dict[str, Reply]:
    wanted = {name.decode("latin-1").lower() for name in names}
    return {
        name: {"calls": calls, "histogram_usec": {}}
        for name, calls, _ in ctx.server.figures.command_counts()
        if calls and (not wanted or name in wanted)
    }


COMMANDS = (
    slowlog_get,
    slowlog_len,
    slowlog_reset,
    latency_history,
    latency_latest,
    latency_reset,
    latency_graph,
    latency_doctor,
    latency_histogram,
)
