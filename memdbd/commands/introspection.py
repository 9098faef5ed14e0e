"""COMMAND: the command table, as programs ask for it.

Strategy: everything is derived from the records. Redis's groups and categories are told by what
a command works on, which the table says, and by its flags; what has no equivalent here (tips, key
specifications) is empty, which clients take for "not known".

May import: context, spec and what they may import, and glob.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from memdbd.commands.context import Context
from memdbd.commands.spec import Command, Container, Flag, KeyRange, Param, Tail, command
from memdbd.errors import CommandError, SyntaxFault
from memdbd.glob import matcher
from memdbd.replies import Members, Reply, Status

ABOUT = Flag.SERVER | Flag.CONNECTION

SINCE = "7.0.0"  # of Redis; when a command came to it is not recorded here

# Redis's names of the flags, in its order.
_FLAGS = (
    ("write", Flag.WRITE),
    ("readonly", Flag.READ),
    ("denyoom", Flag.GROWS),
    ("admin", Flag.ADMIN),
    ("pubsub", Flag.PUBSUB),
    ("blocking", Flag.BLOCKING),
    ("fast", Flag.FAST),
)
# Redis's categories, in its order.
CATEGORIES = (
    "keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap",
    "hyperloglog", "geo", "stream", "pubsub", "admin", "fast", "slow", "blocking", "dangerous",
    "connection", "transaction", "scripting",
)  # fmt: skip
_CATEGORIES = (
    ("write", Flag.WRITE),
    ("read", Flag.READ),
    ("admin", Flag.ADMIN),
    ("dangerous", Flag.ADMIN | Flag.DANGEROUS),
    ("pubsub", Flag.PUBSUB),
    ("blocking", Flag.BLOCKING),
    ("connection", Flag.CONNECTION),
    ("transaction", Flag.TRANSACTION),
)
# Redis's names of the groups in its documentation, where they are not those of the categories.
_GROUPS = {"keyspace": "generic", "sortedset": "sorted-set"}
_GROUPS_BY_FLAG = (
    (Flag.PUBSUB, "pubsub"),
    (Flag.TRANSACTION, "transactions"),
    (Flag.SERVER | Flag.ADMIN, "server"),
    (Flag.CONNECTION, "connection"),
)
# Clients of a cluster look for shard channels as for keys, which they are not.
_SHARD_CHANNELS = {
    "spublish": KeyRange(1, 1),
    "ssubscribe": KeyRange(1, -1),
    "sunsubscribe": KeyRange(1, -1),
}
_ALSO_ADMIN = frozenset({"lastsave", "role"})  # they are in that category without the flag


def _flags(record: Command) -> list[Status]:
    flags = [Status(name) for name, flag in _FLAGS if record.flags & flag]
    if not record.has_fixed_keys:
        flags.append(Status("movablekeys"))
    return flags


def categories(record: Command) -> list[str]:
    """The names of the categories that a command belongs to, without their ``@``."""
    found = {name for name, flag in _CATEGORIES if record.flags & flag}
    if record.name in _ALSO_ADMIN:
        found.add("admin")
    found.update(record.kinds)
    found.add("fast" if record.flags & Flag.FAST else "slow")
    return sorted(found, key=CATEGORIES.index)


def _shown(record: Command, subcommands: Iterable[Command] = ()) -> list[Reply]:
    keys = _SHARD_CHANNELS.get(record.name, record.key_range)
    return [
        record.full_name.encode(),
        record.arity,
        Members(_flags(record)),
        keys.first,
        keys.last,
        keys.step,
        Members([Status(f"@{name}") for name in categories(record)]),
        Members([]),
        Members([]),
        Members([_shown(each) for each in subcommands]),
    ]


def _shown_container(container: Container) -> list[Reply]:
    subcommands = container.subcommands.values()
    if container.alone is not None:
        return _shown(container.alone, subcommands)
    shown = Members([_shown(each) for each in subcommands])
    none, slow = Members([]), Members([Status("@slow")])
    return [container.name.encode(), -2, none, 0, 0, 0, slow, none, none, shown]


def _found(ctx: Context, name: bytes) -> Command | Container | None:
    first, bar, second = name.lower().partition(b"|")
    container = ctx.server.containers.get(first)
    if container is None:
        return ctx.server.commands.get(name.lower())
    return container.subcommands.get(second) if bar else container


def _entry(found: Command | Container | None) -> Reply:
    if found is None:
        return None
    return _shown_container(found) if isinstance(found, Container) else _shown(found)


def _every(ctx: Context) -> list[Command | Container]:
    return [*ctx.server.commands.values(), *ctx.server.containers.values()]


def _all_entries(ctx: Context) -> list[Reply]:
    return [_entry(each) for each in _every(ctx)]


@command(
    "command",
    Tail("[<subcommand> …]"),
    flags=ABOUT,
    summary="Describe all commands, for programs",
    complexity="O(n), n being the commands there are",
)
def command_(ctx: Context, *words: bytes) -> list[Reply]:
    return _all_entries(ctx)


@command(
    "command count",
    flags=ABOUT,
    summary="Count the commands",
    complexity="O(1)",
)
def command_count(ctx: Context) -> int:
    return len(ctx.server.commands) + len(ctx.server.containers)


@command(
    "command info",
    Param("command", many=True, optional=True),
    flags=ABOUT,
    summary="Describe some commands, for programs",
    complexity="O(1) a command",
    differs="Without tips, key specifications, and the flags of loading, replicas and modules.",
)
def command_info(ctx: Context, *names: bytes) -> list[Reply]:
    if not names:
        return _all_entries(ctx)
    return [_entry(_found(ctx, name)) for name in names]


def _names(ctx: Context) -> list[Command]:
    records = list(ctx.server.commands.values())
    for container in ctx.server.containers.values():
        records += container.commands()
    return records


@command(
    "command list",
    Tail("[FILTERBY ACLCAT <category>|PATTERN <pattern>|MODULE <module>]"),
    flags=ABOUT,
    summary="List the names of commands",
    complexity="O(n), n being the commands there are",
)
def command_list(ctx: Context, *words: bytes) -> list[bytes]:
    if not words:
        return [
            *(each.name.encode() for each in ctx.server.commands.values()),
            *(each.name.encode() for each in ctx.server.containers.values()),
        ]
    if len(words) != 3 or words[0].upper() != b"FILTERBY":
        raise SyntaxFault
    by, wanted = words[1].upper(), words[2]
    records = _names(ctx)
    if by == b"PATTERN":
        matches = matcher(wanted.lower())
        return [each.full_name.encode() for each in records if matches(each.full_name.encode())]
    if by == b"ACLCAT":
        category = wanted.lower().decode("latin-1")
        return [each.full_name.encode() for each in records if category in categories(each)]
    if by == b"MODULE":
        return []
    raise SyntaxFault


def _documentation_group(record: Command) -> str:
    """Redis's name of the group under which the command is described."""
    for flag, name in _GROUPS_BY_FLAG:
        if record.flags & flag:
            return name
    kinds = record.kinds
    return _GROUPS.get(kinds[0], kinds[0]) if len(kinds) == 1 else "generic"


def _argument(param: Param | Tail) -> dict[str, Reply]:
    """One parameter; of a tail, its usage is its name, which redis-cli shows as a hint."""
    if isinstance(param, Tail):
        return {"name": param.usage, "type": "string"}
    flags = [Status(name) for name in ("optional", "multiple") if getattr(param, _FLAG_OF[name])]
    return {
        "name": param.name,
        "type": "key" if param.is_key else "string",
        **({"flags": Members(flags)} if flags else {}),
    }


_FLAG_OF = {"optional": "optional", "multiple": "many"}


def _documented(record: Command) -> dict[str, Reply]:
    about: dict[str, Reply] = {
        "summary": record.summary,
        "since": SINCE,
        "group": _documentation_group(record),
        "complexity": record.complexity,
    }
    arguments = [_argument(param) for param in record.params]
    if arguments:
        about["arguments"] = arguments
    return about


@command(
    "command docs",
    Param("command", many=True, optional=True),
    flags=ABOUT,
    summary="Document commands, for programs",
    complexity="O(n), n being the commands asked for",
)
def command_docs(ctx: Context, *names: bytes) -> dict[bytes, Reply]:
    asked = [_found(ctx, name) for name in names] if names else _every(ctx)
    docs: dict[bytes, Reply] = {}
    for each in asked:
        if isinstance(each, Container):
            docs[each.name.encode()] = {
                "summary": f"Commands that begin with {each.name}",
                "since": SINCE,
                "group": "server",
                "complexity": "depends on the subcommand",
                # Not what the word is alone: redis-cli ends at a name without a bar here.
                "subcommands": {
                    record.full_name: _documented(record) for record in each.subcommands.values()
                },
            }
        elif each is not None:
            docs[each.full_name.encode()] = _documented(each)
    return docs


def _request(ctx: Context, argv: tuple[bytes, ...]) -> Command:
    """The command of a whole request that was given as arguments."""
    container = ctx.server.containers.get(argv[0].lower())
    found = ctx.server.commands.get(argv[0].lower())
    if container is not None and len(argv) > 1:
        found = container.subcommands.get(argv[1].lower())
    if found is None:
        raise CommandError("Invalid command specified")
    if found.has_fixed_keys and not found.key_range.first:
        raise CommandError("The command has no key arguments")
    try:
        found.check(argv)
    except CommandError:
        raise CommandError("Invalid number of arguments specified for command") from None
    return found


def _keys_of(record: Command, argv: Sequence[bytes]) -> Sequence[bytes]:
    try:
        return record.keys_of(argv)
    except CommandError:
        raise CommandError("Invalid arguments specified for command") from None


REQUEST = Tail("<command> <argument> …", least=2)


@command(
    "command getkeys",
    REQUEST,
    flags=ABOUT,
    summary="Tell the keys of a request",
    complexity="O(n), n being the arguments",
)
def command_getkeys(ctx: Context, *argv: bytes) -> list[bytes]:
    return list(_keys_of(_request(ctx, argv), argv))


@command(
    "command getkeysandflags",
    REQUEST,
    flags=ABOUT,
    summary="Tell the keys of a request, and whether it reads or writes them",
    complexity="O(n), n being the arguments",
    differs="Tells RW or RO of all keys alike.",
)
def command_getkeysandflags(ctx: Context, *argv: bytes) -> list[Reply]:
    record = _request(ctx, argv)
    flags = [Status("RW"), Status("access"), Status("update")]
    if not record.writes:
        flags = [Status("RO"), Status("access")]
    return [[key, Members(flags)] for key in _keys_of(record, argv)]


COMMANDS = (
    command_,
    command_count,
    command_info,
    command_list,
    command_docs,
    command_getkeys,
    command_getkeysandflags,
)
