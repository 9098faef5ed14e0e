"""Scripts and functions, of which there are none: what clients ask of them all the same.

May import: context, spec and what they may import.
"""

from __future__ import annotations

from memdbd.commands.access import CountedKeys
from memdbd.commands.arguments import FREEING, Words
from memdbd.commands.context import Context
from memdbd.commands.spec import Flag, Param, Tail, command
from memdbd.errors import CommandError, shown
from memdbd.replies import OK, Status


@command(
    "script flush",
    Tail("[ASYNC|SYNC]"),
    flags=Flag.SERVER,
    summary="Forget all scripts, of which there are none",
    complexity="O(1)",
)
def script_flush(ctx: Context, *words: bytes) -> Status:
    if len(words) > 1 or (words and words[0].upper() not in FREEING):
        raise CommandError("SCRIPT FLUSH only support SYNC|ASYNC option")
    return OK


@command(
    "script exists",
    Param("sha1", many=True),
    flags=Flag.SERVER,
    summary="Tell which scripts there are: none",
    complexity="O(n), n being the scripts asked for",
)
def script_exists(ctx: Context, *digests: bytes) -> list[int]:
    return [0] * len(digests)


@command(
    "function flush",
    Param("ASYNC|SYNC", optional=True),
    flags=Flag.SERVER | Flag.WRITE,
    summary="Forget all functions, of which there are none",
    complexity="O(1)",
)
def function_flush(ctx: Context, mode: bytes = b"SYNC") -> Status:
    if mode.upper() not in FREEING:
        raise CommandError("FUNCTION FLUSH only supports SYNC|ASYNC option")
    return OK


@command(
    "function list",
    Tail("[LIBRARYNAME <pattern>] [WITHCODE]"),
    flags=Flag.SERVER,
    summary="List all functions: none",
    complexity="O(1)",
)
def function_list(ctx: Context, *arguments: bytes) -> list[bytes]:
    words, seen = Words(arguments), set[bytes]()
    while words:
        option = words.option()
        if option in seen or option not in (b"WITHCODE", b"LIBRARYNAME"):
            words.back()
            raise CommandError(f"Unknown argument {shown(words.take())}")
        seen.add(option)
        if option == b"LIBRARYNAME":
            if not words:
                raise CommandError("library name argument was not given")
            words.take()
    return []


@command(
    "evalsha",
    Tail("<sha1> <numkeys> [<key> …] [<argument> …]", least=2),
    keys=CountedKeys(2, least=0),
    flags=Flag.SERVER,
    summary="Answer that there is no such script",
    complexity="O(1)",
    differs="There are no scripts.",
)
def evalsha(ctx: Context, *words: bytes) -> Status:
    raise CommandError("No matching script. Please use EVAL.", code="NOSCRIPT")


COMMANDS = (script_flush, script_exists, function_flush, function_list, evalsha)
