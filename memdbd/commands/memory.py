"""MEMORY: what keys and the process take.

May import: context, spec and what they may import.
"""

from __future__ import annotations

from sys import getsizeof

from memdbd.commands.access import ASKED
from memdbd.commands.arguments import Words, integer
from memdbd.commands.context import Context
from memdbd.commands.spec import KEY, Flag, Tail, command
from memdbd.errors import SyntaxFault
from memdbd.eviction import KEY_OVERHEAD
from memdbd.replies import OK, Reply, Status, Verbatim


@command(
    "memory usage",
    KEY,
    Tail("[SAMPLES <count>]"),
    flags=Flag.READ,
    access=ASKED,
    summary="Estimate the bytes that a key and its value take",
    complexity="O(1)",
    differs="Always looks at a few items of a value; SAMPLES changes nothing.",
)
def memory_usage(ctx: Context, key: bytes, *options: bytes) -> int | None:
    words = Words(options)
    while words:
        if words.option() != b"SAMPLES" or words.take(integer) < 0:
            raise SyntaxFault
    value = ctx.db.peek(key)
    if value is None:
        return None
    return ctx.server.type_of(value).size(value) + getsizeof(key) + KEY_OVERHEAD


@command(
    "memory stats",
    flags=Flag.SERVER,
    summary="Show what takes how much memory",
    complexity="O(1)",
    differs="Has the fields that mean something here.",
)
def memory_stats(ctx: Context) -> dict[str, Reply]:
    return ctx.server.figures.memory_stats()


@command(
    "memory doctor",
    flags=Flag.SERVER,
    summary="Say in a sentence how the memory is",
    complexity="O(1)",
    differs="In other words.",
)
def memory_doctor(ctx: Context) -> Verbatim:
    told = ctx.server.figures.memory_stats()
    return Verbatim(
        f"{told['keys.count']} keys, {told['total.allocated']} bytes in use, "
        f"{told['peak.allocated']} at most so far.\n"
    )


@command(
    "memory purge",
    flags=Flag.SERVER,
    summary="Do nothing: Python gives memory back by itself",
    complexity="O(1)",
)
def memory_purge(ctx: Context) -> Status:
    return OK


@command(
    "memory malloc-stats",
    flags=Flag.SERVER,
    summary="Tell that Python's allocator has no figures",
    complexity="O(1)",
)
def memory_malloc_stats(ctx: Context) -> Verbatim:
    return Verbatim("Stats not supported for the current allocator")


COMMANDS = (memory_usage, memory_stats, memory_doctor, memory_purge, memory_malloc_stats)
