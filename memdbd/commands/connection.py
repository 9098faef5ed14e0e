"""The connection itself: is it there, what can be said on it, and its end.

May import: context, spec, types and what they may import.
"""

from __future__ import annotations

from memdbd.commands.context import Context
from memdbd.commands.spec import Flag, Param, command
from memdbd.replies import OK, PONG, Status

MESSAGE = Param("message", rest=True)


@command(
    "ping",
    Param("message", rest=True, optional=True),
    flags=Flag.CONNECTION,
    summary="Answer PONG, or the message",
)
def ping(ctx: Context, message: bytes | None = None) -> Status | bytes:
    return PONG if message is None else message


@command("echo", MESSAGE, flags=Flag.CONNECTION, summary="Answer the message")
def echo(ctx: Context, message: bytes) -> bytes:
    return message


@command(
    "help",
    Param("command", optional=True),
    flags=Flag.CONNECTION,
    summary="Show how a command is used, or all commands",
)
def help_(ctx: Context, name: bytes | None = None) -> dict[str, str]:
    commands = ctx.server.commands
    if name is None:
        return {command.text.usage: command.summary for command in commands.values()}
    found = commands.get(name.lower())
    if found is None:
        raise ctx.server.unknown_command(name)
    return {found.text.usage: found.summary}


@command("quit", flags=Flag.CONNECTION | Flag.ENDS, summary="Close the connection")
def quit_(ctx: Context) -> Status:
    return OK


@command("exit", flags=Flag.CONNECTION | Flag.ENDS, summary="Close the connection")
def exit_(ctx: Context) -> Status:
    return OK


COMMANDS = (ping, echo, help_, quit_, exit_)
