"""The connection itself: is it there, how is spoken on it, who speaks, and its end.

The texts and shapes are those of Redis 7.0 without users, where nobody has to say who he is.

May import: transactions, context, spec and what they may import.
"""

from __future__ import annotations

from memdbd import REDIS_VERSION
from memdbd.commands.arguments import INT64_MAX, Words, integer
from memdbd.commands.context import Context
from memdbd.commands.spec import Flag, Param, Tail, command
from memdbd.commands.transactions import end_transaction
from memdbd.errors import CommandError, SyntaxFault, shown
from memdbd.replies import OK, PONG, Reply, Status

SERVER = "redis"  # what clients take this for; of its version are the commands that they try

ENDS = Flag.CONNECTION | Flag.ENDS | Flag.FAST | Flag.LISTENER | Flag.AT_ONCE
RESET = Status("RESET")


@command(
    "ping",
    Param("message", rest=True, optional=True),
    flags=Flag.CONNECTION | Flag.FAST | Flag.LISTENER,
    summary="Answer PONG, or the message",
    complexity="O(1)",
)
def ping(ctx: Context, message: bytes | None = None) -> Status | bytes | list[bytes]:
    if ctx.session.is_limited:  # the reply must look like a message
        return [b"pong", message or b""]
    return PONG if message is None else message


@command(
    "echo",
    Param("message", rest=True),
    flags=Flag.CONNECTION | Flag.FAST,
    summary="Answer the message",
    complexity="O(1)",
)
def echo(ctx: Context, message: bytes) -> bytes:
    return message


@command(
    "help",
    Param("command", optional=True),
    flags=Flag.CONNECTION,
    summary="Show how a command is used, or all commands",
    complexity="O(1), or O(n), n being the commands there are",
)
def help_(ctx: Context, name: bytes | None = None) -> dict[str, str]:
    commands = ctx.server.commands
    if name is None:
        return {command.text.usage: command.summary for command in commands.values()} | {
            f"{container.name} <subcommand> …": f"See help {container.name}"
            for container in ctx.server.containers.values()
        }
    container = ctx.server.containers.get(name.lower())
    if container is not None:
        return {each.text.usage: each.summary for each in container.commands()}
    found = commands.get(name.lower())
    if found is None:
        raise ctx.server.unknown_command(name)
    return {found.text.usage: found.summary}


def _nobody() -> CommandError:
    """The error for whoever says who he is: as long as there are no users, no password is right.
    (A Redis without one takes any for 'default'; whoever sends one relies on its being checked.)"""
    return CommandError("invalid username-password pair or user is disabled.", code="WRONGPASS")


@command(
    "auth",
    Tail("[<username>] <password>", least=1),
    flags=Flag.CONNECTION | Flag.FAST | Flag.SECRET,
    summary="Say who you are, where that is asked for",
    complexity="O(1)",
    differs="There are no users yet, and no password is right; without one, Redis takes any for "
    "'default'.",
)
def auth(ctx: Context, *words: bytes) -> Status:
    if len(words) > 2:
        raise SyntaxFault
    if len(words) == 1:
        raise CommandError(
            "AUTH <password> called without any password configured for the default user. "
            "Are you sure your configuration is correct?"
        )
    raise _nobody()


def check_name(name: bytes) -> bytes:
    """A client's name. Raises CommandError where it would spoil the lists that it is shown in."""
    if not all(0x21 <= byte <= 0x7E for byte in name):
        raise CommandError("Client names cannot contain spaces, newlines or special characters.")
    return name


def _protocol(ctx: Context, raw: bytes) -> int:
    """The version of RESP that is asked for. Raises CommandError for what is not spoken."""
    try:
        version = integer(raw)
    except CommandError:
        raise CommandError("Protocol version is not an integer or out of range") from None
    if version not in (2, 3):
        raise CommandError("unsupported protocol version", code="NOPROTO")
    if not ctx.session.resp:
        raise CommandError(
            "unsupported protocol version",
            "this connection speaks the text dialect; one of RESP begins with '*'",
            code="NOPROTO",
        )
    return version


@command(
    "hello",
    Tail("[2|3 [AUTH <username> <password>] [SETNAME <name>]]"),
    flags=Flag.CONNECTION | Flag.FAST | Flag.SECRET,
    summary="Choose a version of RESP; tells about the server",
    complexity="O(1)",
    differs="It says that it is Redis 7.0.15, whose commands it has; INFO has memdbd's version.",
)
def hello(ctx: Context, *words: bytes) -> dict[str, Reply]:
    left = Words(words)
    session = ctx.session
    version = _protocol(ctx, left.take()) if left else session.resp
    while left:
        option: bytes = left.take()
        match option.upper():
            case b"AUTH" if len(left) >= 2:
                raise _nobody()
            case b"SETNAME" if left:
                session.name = check_name(left.take())
            case _:
                raise CommandError(f"Syntax error in HELLO option '{shown(option)}'")
    session.resp = version
    session.settle()
    return {
        "server": SERVER,
        "version": REDIS_VERSION,
        "proto": version,
        "id": session.number,
        "mode": "standalone",
        "role": "master",
        "modules": [],
    }


@command(
    "reset",
    flags=Flag.CONNECTION | Flag.FAST | Flag.LISTENER | Flag.AT_ONCE,
    summary="Be as a new connection: in RESP2, without name, subscriptions, transaction, tracking",
    complexity="O(1)",
)
def reset(ctx: Context) -> Status:
    session = ctx.session
    ctx.server.monitors.leave(session)
    ctx.server.trackers.stop(session)
    end_transaction(ctx)
    session.unsubscribe_all()
    session.name = b""
    if session.mute == "off":
        session.mute = ""
    ctx.select(0)
    session.resp = min(session.resp, 2)
    session.settle()
    return RESET


@command("quit", Tail("[…]"), flags=ENDS, summary="Close the connection", complexity="O(1)")
def quit_(ctx: Context, *words: bytes) -> Status:
    return OK


@command("exit", flags=ENDS, summary="Close the connection", complexity="O(1)")
def exit_(ctx: Context) -> Status:
    return OK


def _any_milliseconds(raw: bytes) -> int:
    try:
        ms = integer(raw)
    except CommandError:
        raise CommandError("timeout is not an integer or out of range") from None
    if ms < 0:
        raise CommandError("timeout is negative")
    return ms


def milliseconds(raw: bytes) -> int:
    """A time to wait. Raises CommandError where it is none."""
    ms = _any_milliseconds(raw)
    if ms > INT64_MAX // 2:
        raise CommandError("timeout is out of range")
    return ms


@command(
    "wait",
    Param("numreplicas", integer),
    Param("timeout", _any_milliseconds),
    flags=Flag.CONNECTION,
    summary="Wait until so many replicas have all that was written; gives how many have",
    complexity="O(1)",
    differs="There are no replicas yet, so the time goes by in vain.",
)
def wait(ctx: Context, replicas: int, ms: int) -> Reply:
    return ctx.wait_for((), lambda key: None, ms / 1000, 0) if replicas > 0 else 0


COMMANDS = (ping, echo, help_, auth, hello, reset, quit_, exit_, wait)
