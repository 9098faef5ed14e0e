"""CLIENT: who is connected, how a client is called, and what it wants to hear.

Strategy: what is known of a client is its session's and its connection's; see
:mod:`memdbd.clients` for how it is told.

May import: connection, context, spec and what they may import.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from memdbd.clients import Client, kind, line
from memdbd.commands.arguments import integer
from memdbd.commands.connection import check_name, milliseconds
from memdbd.commands.context import Context
from memdbd.commands.spec import ADMIN, Flag, Param, Tail, command
from memdbd.errors import CommandError, SyntaxFault, shown
from memdbd.replies import NO_REPLY, OK, NoReply, Status, Verbatim

Fields = dict[str, str | int]

KINDS = {
    "normal": "normal",
    "slave": "replica",
    "replica": "replica",
    "pubsub": "pubsub",
    "master": "master",
}


def kind_named(raw: bytes) -> str:
    """A type of client by one of its names. Raises CommandError where there is none."""
    name = shown(raw)
    found = KINDS.get(name.lower())
    if found is None:
        raise CommandError(f"Unknown client type '{name}'")
    return found


def on_or_off(raw: bytes) -> bool:
    """A switch."""
    match raw.upper():
        case b"ON":
            return True
        case b"OFF":
            return False
        case _:
            raise SyntaxFault("it is ON or OFF")


SWITCH = Param("ON|OFF", on_or_off)


# Who there is

_DIFFERS = (
    "What is told in bytes is what waits: qbuf of requests, multi-mem of a transaction, omem of "
    "replies and messages, and tot-mem, all three. No buffer is there in advance, so that "
    "qbuf-free, rbs and rbp are always 0, and so are argv-mem and obl; oll is 1 where something is "
    "to be sent. Behind Redis's fields there are auth, failures (log-ins that failed) and tls."
)


@command(
    "client id",
    flags=Flag.CONNECTION,
    summary="The number of this connection",
    complexity="O(1)",
)
def client_id(ctx: Context) -> int:
    return ctx.session.number


def _described(ctx: Context, clients: Iterable[Client], command: str) -> list[Fields]:
    """What is told of each; the one who asks is doing that, which it has not done last."""
    described = []
    for client in clients:
        fields = ctx.server.clients.fields(client)
        if client.session is ctx.session:
            fields["cmd"] = command
        described.append(fields)
    return described


def _own(ctx: Context) -> list[Fields]:
    client = ctx.server.clients.get(ctx.session.number)
    return _described(ctx, [client] if client else [], "client|info")


@command(
    "client info",
    flags=Flag.CONNECTION,
    summary="What is known of this connection",
    complexity="O(1)",
    differs=_DIFFERS,
)
def client_info(ctx: Context) -> Verbatim:
    return Verbatim("".join(map(line, _own(ctx))))


@client_info.in_text()
def client_info_in_text(ctx: Context) -> Fields:
    (fields,) = _own(ctx)
    return fields


def _selected(ctx: Context, words: Sequence[bytes]) -> list[Fields]:
    """The clients that the options of CLIENT LIST select."""
    clients = ctx.server.clients
    option = words[0].upper() if len(words) > 1 else b""
    selected: Iterable[Client | None]
    if not words:
        selected = clients
    elif option == b"TYPE" and len(words) == 2:
        wanted = kind_named(words[1])
        selected = [client for client in clients if kind(client.session) == wanted]
    elif option == b"ID":
        selected = [clients.get(_number(raw)) for raw in words[1:]]
    else:
        raise SyntaxFault
    return _described(ctx, [client for client in selected if client], "client|list")


def _number(raw: bytes) -> int:
    try:
        return integer(raw)
    except CommandError:
        raise CommandError("Invalid client ID") from None


@command(
    "client list",
    Tail("[TYPE NORMAL|MASTER|REPLICA|PUBSUB] [ID <id> …]"),
    flags=ADMIN | Flag.CONNECTION,
    summary="What is known of all connections, or of some",
    complexity="O(n), n being the connections",
    differs=_DIFFERS,
)
def client_list(ctx: Context, *words: bytes) -> Verbatim:
    return Verbatim("".join(map(line, _selected(ctx, words))))


@client_list.in_text()
def client_list_in_text(ctx: Context, *words: bytes) -> list[Fields]:
    return _selected(ctx, words)


# What a client says of itself


@command(
    "client setname",
    Param("name"),
    flags=Flag.CONNECTION,
    summary="Give this connection a name; an empty one is none",
    complexity="O(1)",
)
def client_setname(ctx: Context, name: bytes) -> Status:
    ctx.session.name = check_name(name)
    return OK


@command(
    "client getname",
    flags=Flag.CONNECTION,
    summary="The name of this connection",
    complexity="O(1)",
)
def client_getname(ctx: Context) -> bytes | None:
    return ctx.session.name or None


@command(
    "client setinfo",
    Param("LIB-NAME|LIB-VER"),
    Param("value"),
    flags=Flag.CONNECTION,
    summary="Say which library this client uses",
    complexity="O(1)",
    differs="Redis has it from 7.2 on; clients send it to any.",
)
def client_setinfo(ctx: Context, attribute: bytes, value: bytes) -> Status:
    name = attribute.decode("utf-8", "surrogateescape")
    if name.lower() not in ("lib-name", "lib-ver"):
        raise CommandError(f"Unrecognized option '{name}'")
    if not all(0x21 <= byte <= 0x7E for byte in value):
        raise CommandError(f"{name.lower()} cannot contain spaces, newlines or special characters.")
    if name.lower() == "lib-name":
        ctx.session.library = value
    else:
        ctx.session.library_version = value
    return OK


@command(
    "client no-evict",
    SWITCH,
    flags=ADMIN | Flag.CONNECTION,
    summary="Do not cut this connection to save memory, or do",
    complexity="O(1)",
    differs="No connection is cut to save memory; CLIENT LIST shows what was said.",
)
def client_no_evict(ctx: Context, switch: bool) -> Status:
    ctx.session.evictable = not switch
    return OK


@command(
    "client no-touch",
    SWITCH,
    flags=Flag.CONNECTION,
    summary="Taken, and without effect",
    complexity="O(1)",
    differs="Redis has it from 7.2 on; what this client reads counts as used all the same.",
)
def client_no_touch(ctx: Context, switch: bool) -> Status:
    return OK


@command(
    "client reply",
    Param("ON|OFF|SKIP"),
    flags=Flag.CONNECTION | Flag.ALONE,
    summary="Send no replies from now on, or not the next, or all again",
    complexity="O(1)",
    differs="Is refused in a transaction, whose replies would be fewer than EXEC's array says.",
)
def client_reply(ctx: Context, mode: bytes) -> Status | NoReply:
    session = ctx.session
    match mode.upper():
        case b"ON":
            session.mute = ""
        case b"OFF":
            session.mute = "off"
        case b"SKIP":
            session.mute = "off" if session.mute == "off" else "next"
        case _:
            raise SyntaxFault("it is ON, OFF or SKIP")
    session.settle()
    return NO_REPLY if session.mute else OK


# What one client does to others


@command(
    "client unblock",
    Param("id"),
    Param("TIMEOUT|ERROR", optional=True),
    flags=ADMIN | Flag.CONNECTION,
    summary="Let a client wait no more, as after its time or with an error: 1 if it did wait",
    complexity="O(1)",
)
def client_unblock(ctx: Context, number: bytes, reason: bytes = b"TIMEOUT") -> int:
    if reason.upper() not in (b"TIMEOUT", b"ERROR"):
        raise CommandError("CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
    client = ctx.server.clients.get(integer(number))
    error = None
    if reason.upper() == b"ERROR":
        error = CommandError("client unblocked via CLIENT UNBLOCK", code="UNBLOCKED")
    return int(client is not None and ctx.databases.waiting.unblock(client.session, error))


@command(
    "client pause",
    Param("milliseconds"),
    Param("WRITE|ALL", optional=True),
    flags=ADMIN | Flag.CONNECTION,
    summary="Hold all requests, or those that write, for some time",
    complexity="O(1)",
    differs="Keys expire meanwhile.",
)
def client_pause(ctx: Context, duration: bytes, mode: bytes = b"ALL") -> Status:
    if mode.upper() not in (b"WRITE", b"ALL"):
        raise CommandError("CLIENT PAUSE mode must be WRITE or ALL")
    ctx.server.pause.begin(milliseconds(duration), only_writes=mode.upper() == b"WRITE")
    return OK


@command(
    "client unpause",
    flags=ADMIN | Flag.CONNECTION,
    summary="Hold requests no more",
    complexity="O(n), n being the requests held",
)
def client_unpause(ctx: Context) -> Status:
    ctx.server.pause.end()
    return OK


COMMANDS = (
    client_id,
    client_info,
    client_list,
    client_setname,
    client_getname,
    client_setinfo,
    client_no_evict,
    client_no_touch,
    client_reply,
    client_unblock,
    client_pause,
    client_unpause,
)
