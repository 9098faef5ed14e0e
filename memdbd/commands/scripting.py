"""Scripts and functions, of which there are none: what clients ask of them all the same.

May import: context, spec and what they may import.
"""

from __future__ import annotations

from memdbd.commands.context import Context
from memdbd.commands.spec import Flag, Param, Tail, command, counted_keys
from memdbd.errors import CommandError
from memdbd.replies import OK, Status

MODE = Tail("[ASYNC|SYNC]")


def _check_mode(words: tuple[bytes, ...], text: str) -> None:
    if len(words) > 1 or (words and words[0].upper() not in (b"ASYNC", b"SYNC")):
        raise CommandError(text)


@command(
    "script flush",
    MODE,
    flags=Flag.SERVER,
    summary="Forget all scripts, of which there are none",
    complexity="O(1)",
)
def script_flush(ctx: Context, *words: bytes) -> Status:
    _check_mode(words, "SCRIPT FLUSH only support SYNC|ASYNC option")
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
    MODE,
    flags=Flag.SERVER | Flag.WRITE,
    summary="Forget all functions, of which there are none",
    complexity="O(1)",
)
def function_flush(ctx: Context, *words: bytes) -> Status:
    _check_mode(words, "FUNCTION FLUSH only supports SYNC|ASYNC option")
    return OK


@command(
    "function list",
    Tail("[LIBRARYNAME <pattern>] [WITHCODE]"),
    flags=Flag.SERVER,
    summary="List all functions: none",
    complexity="O(1)",
)
def function_list(ctx: Context, *words: bytes) -> list[bytes]:
    return []


@command(
    "evalsha",
    Tail("<sha1> <numkeys> [<key> …] [<argument> …]", least=2),
    keys=counted_keys(2),
    flags=Flag.SERVER,
    summary="Answer that there is no such script",
    complexity="O(1)",
    differs="There are no scripts.",
)
def evalsha(ctx: Context, *words: bytes) -> Status:
    raise CommandError("No matching script. Please use EVAL.", code="NOSCRIPT")


COMMANDS = (script_flush, script_exists, function_flush, function_list, evalsha)
