"""COMMAND: the command table, as programs ask for it.

Strategy: everything is derived from the records. Redis's groups and categories are told by what
a command works on, which the table says, and by its flags; what has no equivalent here (tips) is
empty, which clients take for "not known". Keys have a specification for each right that they need;
where only a request says whether there are more, that of the others is unknown.

May import: context, spec and what they may import, categories and glob.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from memdbd.commands.access import Access, CountedKeys, KeyRange
from memdbd.commands.categories import categories
from memdbd.commands.context import Context
from memdbd.commands.spec import Command, Container, Flag, Param, Tail, command
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
    ("no_auth", Flag.NO_AUTH),
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


def _flags(record: Command) -> list[Status]:
    flags = [Status(name) for name, flag in _FLAGS if record.flags & flag]
    if not record.has_fixed_keys:
        flags.append(Status("movablekeys"))
    return flags


# What Redis says of a key that needs such a right; of writing, it has more words than these.
_ACCESS_FLAGS = {
    Access.NONE: ("RO",),
    Access.READ: ("RO", "access"),
    Access.WRITE: ("RW", "update"),
    Access.BOTH: ("RW", "access", "update"),
}


def _access_flags(access: Access) -> list[Status]:
    return [Status(name) for name in _ACCESS_FLAGS[access]]


# Where the keys of a specification are: it begins at a word, and finds them from there.
Found = tuple[int, str, dict[str, Reply]]
_UNKNOWN: Found = (0, "unknown", {})


def _found_range(first: int, last: int, step: int = 1) -> Found:
    """Keys at fixed places; Redis counts the last from the first on, or from the end."""
    last = last if last < 0 else last - first
    return first, "range", {"lastkey": last, "keystep": step, "limit": 0}


def _places(record: Command) -> list[Found]:
    """Where the keys are, separately for each of the rights that they need."""
    found, keys = record.find_keys, record.key_range
    if isinstance(found, CountedKeys):
        number: dict[str, Reply] = {"keynumidx": 0, "firstkey": 1, "keystep": 1}
        return [*(_found_range(at, at) for at in found.more), (found.at, "keynum", number)]
    if found is not keys:
        return [_found_range(keys.first, keys.last), _UNKNOWN]
    rights = len(record.access) if isinstance(record.access, tuple) else 1
    firsts = [keys.first + keys.step * at for at in range(rights)]
    alone = [_found_range(first, first) for first in firsts[:-1]]
    return [*alone, _found_range(firsts[-1], keys.last, keys.step)]


def _key_specs(record: Command) -> list[Reply]:
    shards = _SHARD_CHANNELS.get(record.name)
    if shards is not None:
        return [_key_spec([Status("not_key")], _found_range(shards.first, shards.last))]
    if record.has_fixed_keys and not record.key_range.first:
        return []
    places = _places(record)
    if isinstance(record.access, tuple):
        rights = [record.access[min(at, len(record.access) - 1)] for at in range(len(places))]
        flags = list(map(_access_flags, rights))
    else:
        flags = [[*_access_flags(Access.BOTH), Status("variable_flags")] for _ in places]
    return list(map(_key_spec, flags, places))


def _key_spec(flags: list[Status], found: Found) -> Reply:
    first, kind, about = found
    begin: dict[str, Reply] = {"type": "index", "spec": {"index": first}}
    return {
        "flags": Members(flags),
        "begin_search": begin if first else {"type": kind, "spec": about},
        "find_keys": {"type": kind, "spec": about},
    }


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
        Members(_key_specs(record)),
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
    differs="Without tips, notes, and the flags of loading, replicas and modules.",
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
    differs="Tells of all that writes that it is an update, also of what adds or deletes.",
)
def command_getkeysandflags(ctx: Context, *argv: bytes) -> list[Reply]:
    record = _request(ctx, argv)
    keys = _keys_of(record, argv)
    access = record.access_of(argv, keys)
    return [[key, Members(_access_flags(each))] for key, each in zip(keys, access, strict=True)]


COMMANDS = (
    command_,
    command_count,
    command_info,
    command_list,
    command_docs,
    command_getkeys,
    command_getkeysandflags,
)
