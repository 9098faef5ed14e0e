"""DUMP and RESTORE: a value of any type as bytes that another memdbd takes back.

The format, version 1, is our own: JSON of the type's name and what the snapshot would hold, each
byte of the value as the character of that number; then the version in one byte; then the CRC-32 of
all before it, big-endian. Redis's payloads are refused, as it refuses ours.

May import: context, expiry, spec, types and what they may import.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from zlib import crc32

import orjson

from memdbd.commands.access import WRITTEN
from memdbd.commands.arguments import Words, integer
from memdbd.commands.context import Context, Server
from memdbd.commands.expiry import MILLISECONDS, MILLISECONDS_AT, deadline_of
from memdbd.commands.spec import KEY, Flag, Param, Tail, command
from memdbd.errors import CommandError, SyntaxFault
from memdbd.keyspace import Value
from memdbd.replies import OK, Status

VERSION = 1

DIFFERS = "The format is our own: payloads go from one memdbd to another."


@command(
    "dump",
    KEY,
    flags=Flag.READ,
    summary="The value of a key as bytes for RESTORE",
    complexity="O(n) with n bytes in the value",
    differs=DIFFERS,
)
def dump(ctx: Context, key: bytes) -> bytes | None:
    value = ctx.db.get(key)
    return None if value is None else payload_of(value, ctx.server)


@command(
    "restore",
    KEY,
    Param("milliseconds"),
    Param("payload"),
    Tail("[REPLACE] [ABSTTL] [IDLETIME <seconds>] [FREQ <frequency>]"),
    flags=Flag.WRITE | Flag.GROWS | Flag.DANGEROUS,
    access=WRITTEN,
    summary="Set a key to what DUMP gave, to expire in so many milliseconds (0: never)",
    complexity="O(n) with n bytes in the value",
    differs=f"{DIFFERS} IDLETIME and FREQ are checked, and have no meaning here. A time beyond 64 "
    "bits is an error.",
)
def restore(ctx: Context, key: bytes, milliseconds: bytes, payload: bytes, *words: bytes) -> Status:
    options = _read(Words(words))
    if not options.replace and ctx.db.get(key) is not None:
        raise CommandError("Target key name already exists.", code="BUSYKEY")
    ttl = _ttl(milliseconds)
    value = value_of(payload, ctx.server)
    deadline = _deadline(ctx, ttl, options.absolute)
    if deadline is None or deadline > ctx.db.clock():
        ctx.db.set(key, value, deadline, "restore")
    else:
        ctx.db.delete(key)
    return OK


@dataclass(slots=True)
class _Options:
    replace: bool = False
    absolute: bool = False
    idle: int | None = None
    frequency: int | None = None


def _read(words: Words) -> _Options:
    options = _Options()
    while words:
        option = words.option()
        if option == b"REPLACE":
            options.replace = True
        elif option == b"ABSTTL":
            options.absolute = True
        elif option == b"IDLETIME" and options.frequency is None:
            options.idle = words.take(integer)
            if options.idle < 0:
                raise CommandError("Invalid IDLETIME value, must be >= 0")
        elif option == b"FREQ" and options.idle is None:
            options.frequency = words.take(integer)
            if not 0 <= options.frequency <= 255:
                raise CommandError("Invalid FREQ value, must be >= 0 and <= 255")
        else:
            raise SyntaxFault()
    return options


def _ttl(raw: bytes) -> int:
    number = integer(raw)
    if number < 0:
        raise CommandError("Invalid TTL value, must be >= 0")
    return number


def _deadline(ctx: Context, ttl: int, absolute: bool) -> int | None:
    if ttl == 0:
        return None
    return deadline_of(ctx, "restore", ttl, MILLISECONDS_AT if absolute else MILLISECONDS)


# The format


def payload_of(value: Value, server: Server) -> bytes:
    """What DUMP gives for a value."""
    kind = server.type_of(value)
    body = orjson.dumps([kind.name, kind.dump(value, _text)]) + bytes([VERSION])
    return body + crc32(body).to_bytes(4, "big")


def value_of(payload: bytes, server: Server) -> Value:
    """The value that ``payload_of`` was given. Raises CommandError for what it cannot have made."""
    body, checksum = payload[:-4], payload[-4:]
    if not body or body[-1] != VERSION or crc32(body).to_bytes(4, "big") != checksum:
        raise CommandError("DUMP payload version or checksum are wrong")
    try:
        name, dumped = orjson.loads(body[:-1])
        return server.type_named(name).load(dumped, _bytes)
    except (ValueError, TypeError, LookupError):
        raise CommandError("Bad data format") from None


def _text(data: bytes) -> str:
    return data.decode("latin-1")


def _bytes(text: Any) -> bytes:
    if not isinstance(text, str):
        raise TypeError("not a text")
    return text.encode("latin-1")


COMMANDS = (dump, restore)
