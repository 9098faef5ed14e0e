"""CLIENT KILL: which connections are meant, and their end.

Strategy: the options are filters, of which a client must pass all. Whoever kills itself gets its
reply first.

May import: clients, context, spec and what they may import.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from memdbd.clients import Client, kind
from memdbd.commands.arguments import Words, at_least
from memdbd.commands.clients import kind_named
from memdbd.commands.context import Context
from memdbd.commands.spec import ADMIN, Flag, Tail, command
from memdbd.errors import CommandError, SyntaxFault, shown
from memdbd.replies import OK, Status

Filter = Callable[[Client], bool]

client_number = at_least(1, "client-id should be greater than 0")


def _by_id(raw: bytes) -> Filter:
    number = client_number(raw)
    return lambda client: client.session.number == number


def _by_type(raw: bytes) -> Filter:
    wanted = kind_named(raw)
    return lambda client: kind(client.session) == wanted


def _by_address(raw: bytes) -> Filter:
    address = raw.decode("utf-8", "surrogateescape")
    return lambda client: client.peer == address


def _by_local_address(raw: bytes) -> Filter:
    address = raw.decode("utf-8", "surrogateescape")
    return lambda client: client.local == address


def _by_user(raw: bytes) -> Filter:
    return lambda client: client.session.user is not None and client.session.user.name == raw


FILTERS: dict[bytes, Callable[[bytes], Filter]] = {
    b"ID": _by_id,
    b"TYPE": _by_type,
    b"ADDR": _by_address,
    b"LADDR": _by_local_address,
    b"USER": _by_user,
}
SKIPME = {b"YES": True, b"NO": False}


def _check_user(ctx: Context, name: bytes) -> None:
    if ctx.server.gate.users.get(name) is None:
        raise CommandError(f"No such user '{shown(name)}'")


def _options(ctx: Context, words: Sequence[bytes]) -> tuple[dict[bytes, Filter], bool]:
    """The filters, of each kind the last, and whether who asks is spared."""
    filters: dict[bytes, Filter] = {}
    skipme = True
    left = Words(words)
    while left:
        option, value = left.option(), left.take()
        if option == b"USER":
            _check_user(ctx, value)
        if option in FILTERS:
            filters[option] = FILTERS[option](value)
        elif option == b"SKIPME" and value.upper() in SKIPME:
            skipme = SKIPME[value.upper()]
        else:
            raise SyntaxFault
    return filters, skipme


def _kill(ctx: Context, filters: Sequence[Filter], *, skipme: bool) -> int:
    """Kill all who pass; gives how many those were."""
    killed = 0
    for client in ctx.server.clients:
        is_own = client.session is ctx.session
        if (is_own and skipme) or not all(passes(client) for passes in filters):
            continue
        killed += 1
        if is_own:
            ctx.session.over = True
            ctx.session.settle()
        else:
            client.kill()
    return killed


@command(
    "client kill",
    Tail(
        "<address>|[ID <id>] [TYPE <type>] [ADDR|LADDR <address>] [USER <name>] [SKIPME YES|NO]",
        least=1,
    ),
    flags=ADMIN | Flag.CONNECTION,
    summary="Close the connections that all filters fit, or the one from an address",
    complexity="O(n), n being the connections",
    differs="Who ends himself is closed after CLIENT REPLY OFF too; a reply that is ready is sent.",
)
def client_kill(ctx: Context, *words: bytes) -> Status | int:
    if len(words) > 1:
        filters, skipme = _options(ctx, words)
        return _kill(ctx, list(filters.values()), skipme=skipme)
    if not _kill(ctx, [_by_address(words[0])], skipme=False):
        raise CommandError("No such client")
    return OK


COMMANDS = (client_kill,)
