"""``memdb export``: all keys of a server, or of a data directory, as JSON lines.

Strategy: over SCAN, database by database. The values of a page are read in one transaction together
with their deadlines, as many as are short work for the server; a huge one is read in pieces, under
WATCH, once more if it was changed meanwhile. So each value was there at one moment, but not all at
the same one. What goes while it is looked for is left out; what SCAN gives twice is taken once.

May import: databases, errors, records, progress, resp, words; commands.types.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any

from memdbd.client.progress import Progress
from memdbd.client.records import json_lines, last_line
from memdbd.client.resp import ErrorReply, Refused, RespClient, executed
from memdbd.client.words import shown
from memdbd.commands.types import DataType
from memdbd.databases import COUNT
from memdbd.errors import MemDBError
from memdbd.persistence.snapshot import Entry

PAGE = 500  # keys that SCAN is asked for
GROUP = 1024 * 1024  # bytes that are read in one transaction, or of a huge value at once
ITEM = 64  # bytes that an item is taken for where the server does not tell
HUGE = 10_000  # items from which a container is read in pieces; so is one from GROUP bytes
PIECE = 1000  # items of a huge value that are asked for at once
ATTEMPTS = 3  # for a huge value that is changed while it is read

_GONE = -2  # in place of a deadline: there is no such key, or it has expired
_SIZE = {"string": "STRLEN", "list": "LLEN", "set": "SCARD", "hash": "HLEN", "zset": "ZCARD"}
_NO_SUCH_DATABASE = ("ERR DB index is out of range", "ERR invalid DB index")
_SCAN = {"set": "SSCAN", "hash": "HSCAN", "zset": "ZSCAN"}
_READ: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # before and behind the key
    "string": (("GET",), ()),
    "list": (("LRANGE",), ("0", "-1")),
    "set": (("SMEMBERS",), ()),
    "hash": (("HGETALL",), ()),
    "zset": (("ZRANGE",), ("0", "-1", "WITHSCORES")),
}


class Unsupported(MemDBError):
    """A key is of a type that memdbd has not."""


class Exporter:
    """Reads a server. ``count`` is of the keys so far; ``left_out`` are those of unknown types,
    ``changed`` those that were changed whenever they were read."""

    def __init__(
        self,
        client: RespClient,
        types: Mapping[str, DataType[Any]],
        progress: Progress,
        *,
        leaves_out: bool = False,
    ) -> None:
        self.count = 0
        self.left_out: list[str] = []
        self.changed: list[str] = []
        self._client = client
        self._types = types
        self._progress = progress
        self._leaves_out = leaves_out
        self._has_absolute = True  # whether it knows PEXPIRETIME, which is of Redis 7
        self._database = 0

    async def pages(self) -> AsyncIterator[list[Entry]]:
        """All keys. Raises Unsupported, Refused, and what a lost connection does."""
        numbers = await self._databases()
        (probe,) = await self._client.ask_all([("PEXPIRETIME", "memdb")])
        self._has_absolute = not isinstance(probe, ErrorReply)
        for number in numbers:
            self._database = number
            await self._client.ask("SELECT", number)
            seen: set[bytes] = set()
            cursor = b"0"
            while True:
                cursor, keys = await self._client.ask("SCAN", cursor, "COUNT", PAGE)
                new = [key for key in dict.fromkeys(keys) if key not in seen]
                seen.update(new)
                async for entries in self._read(new):
                    self.count += len(entries)
                    yield entries
                self._progress.advance(len(new))
                if cursor == b"0":
                    break

    async def _databases(self) -> list[int]:
        """The numbers of those that have keys."""
        found: list[int] = []
        number = 0
        while True:
            selected, size = await self._client.ask_all([("SELECT", number), ("DBSIZE",)])
            if number and str(selected).startswith(_NO_SUCH_DATABASE):
                return found
            for reply in (selected, size):
                if isinstance(reply, ErrorReply):
                    raise Refused(str(reply))
            if size and number >= COUNT:
                raise Unsupported(f"database {number} has keys, and memdbd has {COUNT} databases")
            if size:
                found.append(number)
                self._progress.total += size
            number += 1

    async def _read(self, keys: list[bytes]) -> AsyncIterator[list[Entry]]:
        kinds = await self._ask([("TYPE", key) for key in keys])
        known = []
        for key, kind in zip(keys, kinds, strict=True):
            name = _text(kind)
            if name in _READ:
                known.append((key, name))
            elif name != "none":
                self._refuse(key, name)
        group: list[tuple[bytes, str]] = []
        bytes_in_it = 0
        async for key, name, items, size in self._sizes(known):
            if name != "string" and (items >= HUGE or size >= GROUP):
                if (entry := await self._huge(key, size // max(items, 1))) is not None:
                    yield [entry]
                continue
            if group and bytes_in_it + size > GROUP:
                yield await self._small(group)
                group, bytes_in_it = [], 0
            group.append((key, name))
            bytes_in_it += size
        if group:
            yield await self._small(group)

    async def _sizes(
        self, known: list[tuple[bytes, str]]
    ) -> AsyncIterator[tuple[bytes, str, int, int]]:
        """Each key and its type, with how many items and, more or less, bytes there are."""
        commands: list[tuple[bytes | str, ...]] = []
        for key, name in known:
            commands += [(_SIZE[name], key), ("MEMORY", "USAGE", key)]
        replies = await self._client.ask_all(commands)
        for (key, name), items, size in zip(known, replies[::2], replies[1::2], strict=True):
            if isinstance(items, ErrorReply):  # another type by now
                yield key, "", HUGE, GROUP
            elif name == "string":
                yield key, name, 1, items
            else:  # None: it has gone
                yield key, name, items, size if isinstance(size, int) else items * ITEM

    async def _small(self, group: list[tuple[bytes, str]]) -> list[Entry]:
        """Values and deadlines of these keys, all of one moment."""
        commands: list[tuple[bytes | str, ...]] = [("MULTI",), ("TIME",)]
        for key, name in group:
            before, behind = _READ[name]
            commands += [(*before, key, *behind), self._deadline(key)]
        replies = await self._client.ask_all([*commands, ("EXEC",)])
        moment, *replies = _done(executed(replies))
        entries = []
        for (key, name), value, left in zip(group, replies[::2], replies[1::2], strict=True):
            if isinstance(value, ErrorReply):  # another type by now
                entry = await self._huge(key, ITEM)
            else:
                entry = self._entry(key, name, _items(name, value), moment, left)
            if entry is not None:
                entries.append(entry)
        return entries

    async def _huge(self, key: bytes, item: int) -> Entry | None:
        """One key, in pieces. ``item``: bytes of one of its items, as far as is known."""
        for _ in range(ATTEMPTS):
            _, kind = await self._ask([("WATCH", key), ("TYPE", key)])
            name = _text(kind)
            if name == "none":
                await self._client.ask("UNWATCH")
                return None
            if name not in _READ:
                self._refuse(key, name)
                await self._client.ask("UNWATCH")
                return None
            items = await self._pieces(key, name, item)
            commands = [("MULTI",), ("TIME",), self._deadline(key), ("EXEC",)]
            done = executed(await self._client.ask_all(commands))
            if done is not None and items is not None:
                moment, left = _done(done)
                return self._entry(key, name, items, moment, left)
        if items is None:
            raise Refused(f"key {shown(key)} has another type each time it is looked at")
        # There is always somebody who changes it.
        self.changed.append(self._shown(key))
        moment, left = await self._ask([("TIME",), self._deadline(key)])
        return self._entry(key, name, items, moment, left)

    async def _pieces(self, key: bytes, name: str, item: int) -> Any:
        """The items of a value; None where it has become one of another type."""
        try:
            if name == "string":
                return await self._client.ask("GET", key)
            if name == "list":
                return await self._elements(key, item)
            cursor, items, count = b"0", [], _piece(item)
            while True:
                cursor, more = await self._client.ask(_SCAN[name], key, cursor, "COUNT", count)
                items += more
                count = _next_piece(count, more)
                if cursor == b"0":
                    return _items(name, items)
        except Refused as refused:
            if str(refused).startswith("WRONGTYPE"):
                return None
            raise

    async def _elements(self, key: bytes, item: int) -> list[bytes]:
        items: list[bytes] = []
        count = _piece(item)
        while True:
            start = len(items)
            more = await self._client.ask("LRANGE", key, start, start + count - 1)
            items += more
            if len(more) < count:
                return items
            count = _next_piece(count, more)

    def _deadline(self, key: bytes) -> tuple[bytes | str, ...]:
        return ("PEXPIRETIME" if self._has_absolute else "PTTL", key)

    def _entry(self, key: bytes, name: str, items: Any, moment: Any, left: int) -> Entry | None:
        if left == _GONE or (not items and (name != "string" or items is None)):
            return None
        deadline = None
        if left >= 0:
            now = int(moment[0]) * 1000 + int(moment[1]) // 1000
            deadline = left if self._has_absolute else now + left
        value = items if name == "string" else self._types[name].python(items)
        return self._database, key, value, deadline

    def _refuse(self, key: bytes, name: str) -> None:
        if not self._leaves_out:
            raise Unsupported(
                f"{self._shown(key)} is of the type {name}, which memdbd does not have. "
                "--leave-out leaves such keys out"
            )
        self.left_out.append(self._shown(key))

    def _shown(self, key: bytes) -> str:
        return f"key {shown(key)} of database {self._database}"

    async def _ask(self, commands: list[tuple[bytes | str, ...]]) -> list[Any]:
        return _done(await self._client.ask_all(commands))


def _done(replies: list[Any] | None) -> list[Any]:
    """Replies that are no errors, but for those of a value with another type."""
    if replies is None:
        raise Refused("a transaction was not carried out, and nothing was watched")
    for reply in replies:
        if isinstance(reply, ErrorReply) and not str(reply).startswith("WRONGTYPE"):
            raise Refused(str(reply))
    return replies


def _piece(item: int) -> int:
    """How many items of so many bytes are read at once."""
    return max(1, min(PIECE, GROUP // max(item, 1)))


def _next_piece(count: int, got: Sequence[bytes]) -> int:
    """How many are read next, where ``count`` have given these: others may be larger or smaller."""
    return min(_piece(sum(map(len, got)) // max(len(got), 1)), count * 2)


def _text(kind: Any) -> str:
    return kind.decode() if isinstance(kind, bytes) else str(kind)


def _items(name: str, reply: Any) -> Any:
    """What the type's class is made of, from a reply."""
    if name == "hash":
        return dict(zip(reply[::2], reply[1::2], strict=True))
    if name == "zset":
        return dict(zip(reply[::2], map(float, reply[1::2]), strict=True))
    return reply


async def write_server(
    exporter: Exporter, classes: Mapping[type, DataType[Any]], write: Callable[[bytes], object]
) -> None:
    """Write all that the exporter reads as JSON lines."""
    async for entries in exporter.pages():
        for lines in json_lines(entries, classes):
            write(lines)
    write(last_line(exporter.count))


def write_entries(
    entries: Iterable[Entry],
    classes: Mapping[type, DataType[Any]],
    progress: Progress,
    write: Callable[[bytes], object],
) -> int:
    """Write entries as JSON lines; gives how many there were."""
    count = 0

    def counted() -> Iterable[Entry]:
        nonlocal count
        for entry in entries:
            count += 1
            progress.advance()
            yield entry

    for lines in json_lines(counted(), classes):
        write(lines)
    write(last_line(count))
    return count
