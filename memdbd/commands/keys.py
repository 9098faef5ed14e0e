"""Keys of any type: finding them, renaming, copying and deleting them, and what they are.

May import: context, databases, scanning, spec, together, types and what they may import.
"""

from __future__ import annotations

from memdbd.commands.access import ASKED, MOVED, STORED, WRITTEN
from memdbd.commands.arguments import Words
from memdbd.commands.context import Context
from memdbd.commands.databases import database, read_index
from memdbd.commands.scanning import CURSOR, scan_options
from memdbd.commands.spec import DESTINATION, KEY, KEYS, STORES, Flag, Param, Tail, command
from memdbd.commands.together import Run
from memdbd.effects import Effect
from memdbd.errors import CommandError, SyntaxFault
from memdbd.keyspace import Keyspace
from memdbd.replies import OK, Page, Status

NEW = Param("new", is_key=True)
NONE = Status("none")
KEY_NOT_FOUND = Status("Key not found")
NO_SUCH_KEY = "no such key"

# Deleting and counting


@command(
    "del",
    KEYS,
    flags=Flag.WRITE,
    access=WRITTEN,
    summary="Delete keys; gives how many there were",
    complexity="O(n) with n keys, however much they hold",
)
def del_(ctx: Context, *keys: bytes) -> int:
    return sum(map(ctx.db.delete, keys))


@command(
    "unlink",
    KEYS,
    flags=Flag.WRITE | Flag.FAST,
    access=WRITTEN,
    summary="Delete keys, as del does; gives how many there were",
    complexity="O(n) with n keys, however much they hold",
)
def unlink(ctx: Context, *keys: bytes) -> int:
    return sum(map(ctx.db.delete, keys))


def _del_many(ctx: Context, run: Run, effects: list[Effect]) -> list[int]:
    pop, bury = ctx.db.values.pop, ctx.db.bury
    replies: list[int] = []
    for argv in run:
        count = 0
        for key in argv[1:]:
            value = pop(key, None)
            if value is not None:
                count += 1
                effects.append((b"DEL", key))
                if value.__class__ is not bytes:
                    bury(value)
        replies.append(count)
    return replies


del_.together_in_context(_del_many, any_number=True)
unlink.together_in_context(_del_many, any_number=True)


@command("delete", KEY, flags=Flag.WRITE, access=WRITTEN, summary="Delete a key", complexity="O(1)")
def delete(ctx: Context, key: bytes) -> int:
    return int(ctx.db.delete(key))


@delete.in_text()
def delete_in_text(ctx: Context, key: bytes) -> Status:
    return OK if ctx.db.delete(key) else KEY_NOT_FOUND


@command(
    "exists",
    KEYS,
    flags=Flag.READ | Flag.FAST,
    access=ASKED,
    summary="Count the keys that are there",
    complexity="O(n) with n keys to look for",
)
def exists(ctx: Context, *keys: bytes) -> int:
    return sum(ctx.db.look_up(key) is not None for key in keys)


def _exists_many(ctx: Context, run: Run, effects: list[Effect]) -> list[int]:
    is_there = ctx.db.values.__contains__
    replies = [sum(map(is_there, argv[1:])) for argv in run]
    found = sum(replies)
    ctx.db.hits += found
    ctx.db.misses += sum(map(len, run)) - len(run) - found
    return replies


exists.together_in_context(_exists_many, counts_uses=False, any_number=True)


@command(
    "touch",
    KEYS,
    flags=Flag.READ | Flag.FAST,
    access=ASKED,
    summary="Count the keys that are there, as a use of each",
    complexity="O(n) with n keys to look for",
)
def touch(ctx: Context, *keys: bytes) -> int:
    return sum(ctx.db.get(key) is not None for key in keys)


# Finding


@command(
    "keys",
    Param("pattern"),
    flags=Flag.READ | Flag.DANGEROUS,
    summary="List the keys that match a pattern",
    complexity="O(n) with n keys in the database",
)
def keys(ctx: Context, pattern: bytes) -> list[bytes]:
    return ctx.db.keys(pattern)


@keys.in_text(Param("pattern", optional=True))
def keys_in_text(ctx: Context, pattern: bytes = b"*") -> list[bytes]:
    return ctx.db.keys(pattern)


@command(
    "scan",
    CURSOR,
    Tail("[MATCH <pattern>] [COUNT <count>] [TYPE <type>]"),
    flags=Flag.READ,
    summary="The next cursor, and some keys; from 0 to 0, all that are there throughout",
    complexity="O(1) a call; O(n) for all n keys",
)
def scan(ctx: Context, cursor: int, *words: bytes) -> Page:
    options = scan_options(words, of_keys=True)
    cursor, page = ctx.db.scan(cursor, options.count)
    found = options.matching(page)
    if options.type is not None:
        found = [
            key
            for key in found
            if ctx.db.look_up(key) is not None and _type_of(ctx, key) == options.type
        ]
    return Page(b"%d" % cursor, found)


@command("randomkey", flags=Flag.READ, summary="Any of the keys, each as likely", complexity="O(1)")
def randomkey(ctx: Context) -> bytes | None:
    return ctx.db.random_key(ctx.server.random)


# What they are


@command(
    "type",
    KEY,
    flags=Flag.READ | Flag.FAST,
    access=ASKED,
    summary="Name the type of a key's value, or none",
    complexity="O(1)",
)
def type_(ctx: Context, key: bytes) -> Status:
    return NONE if ctx.db.look_up(key) is None else Status(_type_of(ctx, key))


def _type_of(ctx: Context, key: bytes) -> str:
    return ctx.server.type_of(ctx.db.values[key]).name


@command(
    "object encoding",
    KEY,
    flags=Flag.READ,
    access=ASKED,
    summary="Name how Redis would keep the value",
    complexity="O(1)",
    differs="Told from the value as it is; Redis also considers what it was before.",
)
def object_encoding(ctx: Context, key: bytes) -> bytes | None:
    value = ctx.db.look_up(key)
    return None if value is None else ctx.server.type_of(value).encoding(value).encode()


@command(
    "object refcount",
    KEY,
    flags=Flag.READ,
    access=ASKED,
    summary="Count who shares the value: only its key",
    complexity="O(1)",
    differs="Always 1; Redis shares small numbers.",
)
def object_refcount(ctx: Context, key: bytes) -> int | None:
    return None if ctx.db.look_up(key) is None else 1


@command(
    "object idletime",
    KEY,
    flags=Flag.READ,
    access=ASKED,
    summary="Seconds since the last use, as far as they are known",
    complexity="O(1)",
    differs="Always 0: of uses only the order is kept.",
)
def object_idletime(ctx: Context, key: bytes) -> int | None:
    return None if ctx.db.look_up(key) is None else 0


@command(
    "object freq",
    KEY,
    flags=Flag.READ,
    access=ASKED,
    summary="How often the key is used: no policy here counts that",
    complexity="O(1)",
)
def object_freq(ctx: Context, key: bytes) -> None:
    if ctx.db.look_up(key) is not None:
        raise CommandError(
            "An LFU maxmemory policy is not selected, access frequency not tracked. Please note "
            "that when switching between policies at runtime LRU and LFU data will take some "
            "time to adjust."
        )


# Renaming and copying


@command(
    "rename",
    KEY,
    NEW,
    flags=Flag.WRITE,
    access=MOVED,
    summary="Rename a key, over what is there",
    complexity="O(1)",
)
def rename(ctx: Context, key: bytes, new: bytes) -> Status:
    if ctx.db.get(key) is None:
        raise CommandError(NO_SUCH_KEY)
    if new != key:
        ctx.db.rename(key, new)
    return OK


@command(
    "renamenx",
    KEY,
    NEW,
    flags=Flag.WRITE | Flag.FAST,
    access=MOVED,
    summary="Rename a key: 1, or 0 if there is one of that name",
    complexity="O(1)",
)
def renamenx(ctx: Context, key: bytes, new: bytes) -> int:
    if ctx.db.get(key) is None:
        raise CommandError(NO_SUCH_KEY)
    return int(ctx.db.peek(new) is None and ctx.db.rename(key, new))


@command(
    "copy",
    KEY,
    DESTINATION,
    Tail("[DB <index>] [REPLACE]"),
    flags=STORES,
    access=STORED,
    summary="Copy a key's value and deadline: 1, or 0 if there is none or it is there already",
    complexity="O(n) with n items in the value",
)
def copy(ctx: Context, key: bytes, destination: bytes, *words: bytes) -> int:
    other, replace = _copy_options(ctx, Words(words))
    if other is ctx.db and destination == key:
        raise CommandError("source and destination objects are the same")
    value = ctx.db.get(key)
    if value is None or (other.peek(destination) is not None and not replace):
        return 0
    value = ctx.server.type_of(value).copy(value)
    ctx.databases.copy(ctx.db.index, key, value, other.index, destination)
    return 1


def _copy_options(ctx: Context, words: Words) -> tuple[Keyspace, bool]:
    other, replace = ctx.db, False
    while words:
        option = words.option()
        if option == b"DB":
            other = database(ctx, words.take(read_index))
        elif option == b"REPLACE":
            replace = True
        else:
            raise SyntaxFault("DB <index> and REPLACE are what there is")
    return other, replace


COMMANDS = (
    del_,
    unlink,
    delete,
    exists,
    touch,
    keys,
    scan,
    randomkey,
    type_,
    object_encoding,
    object_refcount,
    object_idletime,
    object_freq,
    rename,
    renamenx,
    copy,
)
