"""The connection itself: is it there, how is spoken on it, who speaks, and its end.

The texts and shapes are those of Redis 7.0.

May import: transactions, together, context, users, spec and what they may import.
"""

from __future__ import annotations

from functools import partial

from memdbd import REDIS_VERSION
from memdbd.commands.arguments import INT64_MAX, Words, integer
from memdbd.commands.context import Context
from memdbd.commands.spec import Flag, Param, Tail, command
from memdbd.commands.together import Run
from memdbd.commands.transactions import end_transaction
from memdbd.effects import Effect
from memdbd.errors import CommandError, SyntaxFault, shown
from memdbd.keyspace import Value
from memdbd.replies import OK, PONG, Pending, Reply, Status
from memdbd.session import Session
from memdbd.users import DEFAULT

SERVER = "redis"  # what clients take this for; of its version are the commands that they try

ENDS = Flag.CONNECTION | Flag.ENDS | Flag.FAST | Flag.LISTENER | Flag.AT_ONCE | Flag.NO_AUTH
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


@ping.together
def ping_many(values: dict[bytes, Value], run: Run, effects: list[Effect]) -> list[Status]:
    return [PONG] * len(run)


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


def _log_in(ctx: Context, username: bytes, password: bytes) -> Reply:
    if not ctx.may_wait:
        raise CommandError("a password cannot be looked at inside a transaction")
    return ctx.server.gate.log_in(ctx.session, username, password)


@command(
    "auth",
    Tail("[<username>] <password>", least=1),
    flags=Flag.CONNECTION | Flag.FAST | Flag.SECRET | Flag.NO_AUTH,
    summary="Log in as a user, as 'default' where none is named",
    complexity="that of scrypt, in a thread: some 40 ms",
    differs="Not possible inside a transaction. After as many failures as login_attempts says, the "
    "connection ends.",
)
def auth(ctx: Context, *words: bytes) -> Reply:
    if len(words) > 2:
        raise SyntaxFault("a password with blanks goes in quotes")
    if len(words) == 1 and ctx.server.gate.users.default.nopass:
        raise CommandError(
            "AUTH <password> called without any password configured for the default user. "
            "Are you sure your configuration is correct?"
        )
    return _log_in(ctx, words[0] if len(words) == 2 else DEFAULT, words[-1])


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
    flags=Flag.CONNECTION | Flag.FAST | Flag.SECRET | Flag.NO_AUTH,
    summary="Choose a version of RESP; tells about the server",
    complexity="O(1)",
    differs="It says that it is Redis 7.0.15, whose commands it has; INFO has memdbd's version.",
)
def hello(ctx: Context, *words: bytes) -> Reply:
    left = Words(words)
    version = _protocol(ctx, left.take()) if left else ctx.session.resp
    return _greet(ctx, left, version)


def _greet(ctx: Context, left: Words, version: int) -> Reply:
    """Follow the options in order: those behind AUTH are for who has logged in."""
    session = ctx.session
    while left:
        option: bytes = left.take()
        match option.upper():
            case b"AUTH" if len(left) >= 2:
                greeted = Pending()
                login = _log_in(ctx, left.take(), left.take())
                greeted.abandoned = login.abandon
                login.then(partial(_greet_user, ctx, left, version, greeted))
                return greeted
            case b"SETNAME" if left:
                session.name = check_name(left.take())
            case _:
                raise CommandError(f"Syntax error in HELLO option '{shown(option)}'")
    if session.user is None:
        raise CommandError(_HELLO_FIRST, code="NOAUTH")
    return _greeted(session, version)


def _greet_user(ctx: Context, left: Words, version: int, greeted: Pending, reply: Reply) -> None:
    """Go on behind AUTH, if that has let somebody in."""
    if reply is OK:
        try:
            reply = _greet(ctx, left, version)
        except CommandError as error:
            reply = error.bare()
    if isinstance(reply, Pending):  # a second AUTH
        reply.then(greeted.resolve)
    else:
        greeted.resolve(reply)


_HELLO_FIRST = (
    "HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH "
    "<user> <pass> option can be used to authenticate the client and select the RESP protocol "
    "version at the same time"
)


def _greeted(session: Session, version: int) -> dict[str, Reply]:
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
    flags=Flag.CONNECTION | Flag.FAST | Flag.LISTENER | Flag.AT_ONCE | Flag.NO_AUTH,
    summary="Be as a new connection: in RESP2, without name, user, subscriptions, transaction, "
    "tracking",
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
    ctx.server.gate.admit(session)
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
