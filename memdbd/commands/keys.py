"""Keys of any type: finding them, renaming and deleting them, and when they expire.

May import: context, spec, types and what they may import.
"""

from __future__ import annotations

from memdbd.commands.context import Context
from memdbd.commands.spec import INT64_MAX, INT64_MIN, KEY, KEYS, Flag, Param, command, integer
from memdbd.errors import CommandError
from memdbd.replies import OK, Status

NO_KEY, NO_DEADLINE = -2, -1  # what TTL answers, as in Redis
NONE = Status("none")
KEY_NOT_FOUND = Status("Key not found")


def whole_seconds(ms: int) -> int:
    """Milliseconds as whole seconds, half a second rounded up, as Redis's TTL has it."""
    return (ms + 500) // 1000


def deadline_in(ctx: Context, name: str, seconds: int) -> int:
    """The deadline that is ``seconds`` from now; CommandError where it is out of range."""
    deadline = ctx.db.clock() + seconds * 1000
    if not INT64_MIN <= deadline <= INT64_MAX:
        raise CommandError(f"invalid expire time in '{name}' command")
    return deadline


@command("del", KEYS, flags=Flag.WRITE, summary="Delete keys; gives how many there were")
def del_(ctx: Context, *keys: bytes) -> int:
    return sum(map(ctx.db.delete, keys))


@command("delete", KEY, flags=Flag.WRITE, summary="Delete a key")
def delete(ctx: Context, key: bytes) -> int:
    return int(ctx.db.delete(key))


@delete.in_text()
def delete_in_text(ctx: Context, key: bytes) -> Status:
    return OK if ctx.db.delete(key) else KEY_NOT_FOUND


@command("exists", KEYS, flags=Flag.READ | Flag.FAST, summary="Count the keys that are there")
def exists(ctx: Context, *keys: bytes) -> int:
    return sum(ctx.db.peek(key) is not None for key in keys)


@command("keys", Param("pattern"), flags=Flag.READ, summary="List the keys that match a pattern")
def keys(ctx: Context, pattern: bytes) -> list[bytes]:
    return ctx.db.keys(pattern)


@keys.in_text(Param("pattern", optional=True))
def keys_in_text(ctx: Context, pattern: bytes = b"*") -> list[bytes]:
    return ctx.db.keys(pattern)


@command("type", KEY, flags=Flag.READ, summary="Name the type of a key's value, or none")
def type_(ctx: Context, key: bytes) -> Status:
    value = ctx.db.peek(key)
    return NONE if value is None else Status(ctx.server.type_of(value).name)


@command("rename", KEY, Param("new", is_key=True), flags=Flag.WRITE, summary="Rename a key")
def rename(ctx: Context, key: bytes, new: bytes) -> Status:
    if not ctx.db.rename(key, new):
        raise CommandError("no such key")
    return OK


@command(
    "expire",
    KEY,
    Param("seconds", integer),
    flags=Flag.WRITE,
    summary="Let a key expire in so many seconds: 1, or 0 if there is no such key",
)
def expire(ctx: Context, key: bytes, seconds: int) -> int:
    return int(ctx.db.expire_at(key, deadline_in(ctx, "expire", seconds)))


@command(
    "ttl",
    KEY,
    flags=Flag.READ,
    summary="Whole seconds until a key expires; -1 if it does not, -2 if there is no such key",
)
def ttl(ctx: Context, key: bytes) -> int:
    if ctx.db.peek(key) is None:
        return NO_KEY
    left = ctx.db.ttl_ms(key)
    return NO_DEADLINE if left is None else whole_seconds(left)


@command(
    "persist",
    KEY,
    flags=Flag.WRITE,
    summary="Take the deadline off a key: 1, or 0 if it has none",
)
def persist(ctx: Context, key: bytes) -> int:
    return int(ctx.db.persist(key))


@command("dbsize", flags=Flag.READ, summary="Count the keys")
def dbsize(ctx: Context) -> int:
    return len(ctx.db)


@command("flushall", flags=Flag.WRITE, summary="Delete all keys")
def flushall(ctx: Context) -> Status:
    ctx.databases.clear()
    return OK


COMMANDS = (del_, delete, exists, keys, type_, rename, expire, ttl, persist, dbsize, flushall)
