"""``memdb import``: keys from a file to a server, or to an empty data directory.

Strategy: the file is gone through twice. First all of it is read, and, unless told otherwise, the
server is asked whether any of the keys is there: a file with a fault and a key that would be
overwritten are noticed before anything is written. Then the keys are set, many in one transaction
and each as a whole. A huge value is built under another key, in several steps, and then gets its
own. Keys that come to be meanwhile are noticed too, with WATCH.

May import: errors, fs, presence, records, resp, progress, segments, snapshot, words;
commands.types.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from enum import Enum
from itertools import islice
from typing import Any, Protocol

from memdbd.client.progress import Progress
from memdbd.client.records import Source
from memdbd.client.resp import ErrorReply, Refused, RespClient, executed
from memdbd.client.words import shown
from memdbd.commands.types import DataType
from memdbd.errors import MemDBError, StorageError
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.presence import other_snapshots
from memdbd.persistence.segments import find_segments
from memdbd.persistence.snapshot import Entry, SnapshotWriter, header_line, install, lines_of

BATCH = 500  # keys in one transaction at most
BATCH_BYTES = 1024 * 1024  # of keys and values; only a string of its own is larger
HUGE = 10_000  # items from which a container is written in several steps, or from BATCH_BYTES
PIECE = 1000  # items in one command at most
PIECE_BYTES = 1024 * 1024  # in one command, but for an item that is larger by itself
ATTEMPTS = 5  # for a batch, one of whose keys was changed between WATCH and EXEC

Classes = Mapping[type, DataType[Any]]
_SCORE = 8  # bytes that a score is taken for
_NO_SUCH_KEY = "ERR no such key"
_SIZES = {"list": "LLEN", "set": "SCARD", "hash": "HLEN", "zset": "ZCARD"}
_COMMANDS = {"list": "RPUSH", "set": "SADD", "hash": "HSET", "zset": "ZADD"}


class Existing(Enum):
    """What is done with a key that is there already."""

    REFUSE = "refuse"
    SKIP = "skip"
    REPLACE = "replace"


class CannotImport(MemDBError):
    """It is not imported; says why, and what of it was written."""


class Target(Protocol):
    """Where the keys go."""

    async def existing(self, entries: list[Entry]) -> list[Entry]:
        """Those whose keys are there."""
        ...

    async def write(self, entries: list[Entry]) -> int:
        """Set the keys; gives how many."""
        ...

    async def finish(self) -> None:
        """All is written."""
        ...


class Importer:
    """Takes keys from a source to a target. The figures count keys: ``expired``, whose deadline
    has passed, and ``skipped``, which were there, are not written."""

    def __init__(
        self,
        source: Source,
        target: Target,
        progress: Progress,
        existing: Existing,
        now: int,
        *,
        leaves_out: bool = False,
    ) -> None:
        self.written = self.expired = self.skipped = 0
        self.is_done = False
        self._source = source
        self._target = target
        self._progress = progress
        self._existing = existing
        self._now = now  # milliseconds of the wall clock
        self._leaves_out = leaves_out

    async def run(self) -> None:
        """Import all. Raises what the source and the target do, and CannotImport."""
        await self._look()
        self._progress.restart("keys")
        for batch in self._batches():
            written = await self._target.write(batch)
            self.written += written
            self.skipped += len(batch) - written
            self._progress.advance(len(batch))
        await self._target.finish()
        self.is_done = True

    async def _look(self) -> None:
        """Find out whether there is anything against it, before anything is written."""
        found: list[Entry] = []
        self._progress.restart("keys checked")
        for batch in self._batches():
            self._progress.advance(len(batch))
            # Asked in any case: meanwhile, signals are heard.
            there = await self._target.existing(batch)
            if self._existing is Existing.REFUSE:
                found += there
        if self._source.left_out and not self._leaves_out:
            numbers = ", ".join(
                f"{count} in database {database}"
                for database, count in sorted(self._source.left_out.items())
            )
            raise CannotImport(
                f"there are keys of types that memdbd does not have, such as streams: {numbers}. "
                "Nothing was written; --leave-out imports the others"
            )
        if found:
            number, key = found[0][:2]
            verb = "is" if len(found) == 1 else "are"
            raise CannotImport(
                f"{len(found):,} of the keys {verb} there already, such as {shown(key)} in "
                f"database {number}. Nothing was written; --replace overwrites them, --skip leaves "
                "them as they are"
            )

    def _batches(self) -> Iterator[list[Entry]]:
        """What has not expired, in batches of one database."""
        batch: list[Entry] = []
        size, self.expired = 0, 0
        for _, entry in self._source.entries():
            database, _, _, deadline = entry
            if deadline is not None and deadline <= self._now:
                self.expired += 1
                continue
            its_size = _size(entry)
            is_full = len(batch) >= BATCH or size + its_size > BATCH_BYTES
            if batch and (batch[0][0] != database or is_full):
                yield batch
                batch, size = [], 0
            batch.append(entry)
            size += its_size
        if batch:
            yield batch


class Server:
    """A server as the target. ``token`` is in the names of keys under which huge values are built;
    ``left_behind`` is such a key, and its database, of which the server could not be rid."""

    def __init__(
        self, client: RespClient, existing: Existing, classes: Classes, token: str
    ) -> None:
        self.left_behind: tuple[int, bytes] | None = None
        self._token = token.encode()
        self._client = client
        self._existing = existing
        self._classes = classes
        self._database: int | None = None

    async def existing(self, entries: list[Entry]) -> list[Entry]:
        await self._select(entries[0][0])
        there = await self._client.ask_all([("EXISTS", entry[1]) for entry in entries])
        _no_errors(there)
        return [entry for entry, is_there in zip(entries, there, strict=True) if is_there]

    async def write(self, entries: list[Entry]) -> int:
        await self._select(entries[0][0])
        small = [entry for entry in entries if not _is_huge(entry)]
        written = 0
        if small:
            written += await self._write(small)
        for entry in entries:
            if _is_huge(entry):
                written += await self._write_huge(entry)
        return written

    async def finish(self) -> None:
        pass

    async def _select(self, database: int) -> None:
        if database != self._database:
            await self._client.ask("SELECT", database)
            self._database = database

    async def _write(self, entries: list[Entry]) -> int:
        for _ in range(ATTEMPTS):
            if self._existing is Existing.REPLACE:
                left = entries
            else:
                await self._client.ask("WATCH", *(entry[1] for entry in entries))
                left = await self._not_there(entries)
            commands: list[tuple[Any, ...]] = [("MULTI",)]
            for entry in left:
                if self._existing is Existing.REPLACE:
                    commands.append(("DEL", entry[1]))
                commands += _commands(entry, self._classes)
            replies = executed(await self._client.ask_all([*commands, ("EXEC",)]))
            if replies is not None:
                _no_errors(replies)
                return len(left)
        raise Refused("others change the same keys all the time")

    async def _write_huge(self, entry: Entry) -> int:
        """Build the value under a key of its own, which then gets the name: nobody sees a part of
        it, and nobody else's changes get into it."""
        database, key, value, _ = entry
        if self._existing is not Existing.REPLACE and not await self._not_there([entry]):
            return 0
        # Behind the key, where a user who may write that one only may write too.
        built = b"%b:memdb-import:%b" % (key, self._token)
        self.left_behind = database, built
        try:
            for command in _commands((database, built, value, None), self._classes):
                await self._client.ask(*command)
            is_there = await self._name(built, entry)
        except Refused:
            await self._remove(built)
            raise
        if not is_there:
            await self._remove(built)
            return 0
        self.left_behind = None
        return 1

    async def _name(self, built: bytes, entry: Entry) -> bool:
        """Give the value its key; False where that is there, and is to stay."""
        _, key, value, deadline = entry
        size_of = _SIZES[self._classes[type(value)].name]
        _, size = found = await self._client.ask_all([("WATCH", built), (size_of, built)])
        _no_errors(found)
        replaces = self._existing is Existing.REPLACE
        commands: list[tuple[Any, ...]] = [("RENAME" if replaces else "RENAMENX", built, key)]
        if deadline is not None:
            commands.insert(0, ("PEXPIREAT", built, deadline))
        replies = executed(await self._client.ask_all([("MULTI",), *commands, ("EXEC",)]))
        if replies is None or size != len(value):
            raise Refused(f"key {shown(built)} was changed by someone else before it was complete")
        renamed = replies[-1]
        if deadline is not None and str(renamed) == _NO_SUCH_KEY and replies[0] == 1:
            # At this very moment it has expired.
            if replaces:
                await self._client.ask("DEL", key)
            return True
        _no_errors(replies)
        if renamed == 0 and self._existing is Existing.REFUSE:
            raise _set_meanwhile(key)
        return bool(renamed)

    async def _remove(self, built: bytes) -> None:
        (removed,) = await self._client.ask_all([("DEL", built)])
        if not isinstance(removed, ErrorReply):
            self.left_behind = None

    async def _not_there(self, entries: list[Entry]) -> list[Entry]:
        there = await self.existing(entries)
        if there and self._existing is Existing.REFUSE:
            raise _set_meanwhile(there[0][1])
        keys = {entry[1] for entry in there}
        return [entry for entry in entries if entry[1] not in keys]


class Directory:
    """A data directory without data as the target. For who holds its lock."""

    def __init__(self, fs: FileSystem, path: str, classes: Classes, moment: float) -> None:
        self._fs = fs
        self._path = path
        self._classes = classes
        self._moment = moment
        self._writer: SnapshotWriter | None = None

    async def existing(self, entries: list[Entry]) -> list[Entry]:
        return []

    async def write(self, entries: list[Entry]) -> int:
        if self._writer is None:
            self._begin()
        assert self._writer is not None  # noqa: S101
        for lines, count in lines_of(entries, self._classes):
            self._writer.add(lines, count)
        return len(entries)

    async def finish(self) -> None:
        if self._writer is None:
            self._begin()
        assert self._writer is not None  # noqa: S101
        self._writer.finish()
        install(self._fs, self._path)

    def abort(self) -> None:
        """Leave nothing behind."""
        if self._writer is not None:
            self._writer.abort()

    def _begin(self) -> None:
        self._writer = SnapshotWriter(self._fs, self._path, header_line(0, self._moment, None))


def refuse_data(fs: FileSystem, directory: str, path: str) -> None:
    """Raise StorageError where there is data in the directory."""
    names = find_segments(fs, directory) or other_snapshots(fs, directory, path)
    there = path if fs.exists(path) else os.path.join(directory, names[0]) if names else ""
    if there:
        raise StorageError(
            f"{there} is there already: --into is for a directory without data. Start the daemon, "
            "and import into it"
        )


def _is_huge(entry: Entry) -> bool:
    value = entry[2]
    return not isinstance(value, bytes) and (len(value) >= HUGE or _size(entry) >= BATCH_BYTES)


def _size(entry: Entry) -> int:
    """Bytes of the key and of all items."""
    _, key, value, _ = entry
    if isinstance(value, bytes):
        return len(key) + len(value)
    if isinstance(value, dict):
        return len(key) + sum(map(len, value)) + sum(map(len, value.values()))
    return len(key) + sum(
        len(item) if isinstance(item, bytes) else _SCORE + len(item[1]) for item in value
    )


def _set_meanwhile(key: bytes) -> Refused:
    return Refused(f"key {shown(key)} was set by someone else meanwhile")


def _commands(entry: Entry, classes: Classes) -> Iterator[tuple[Any, ...]]:
    """What sets a key that is not there."""
    _, key, value, deadline = entry
    name = classes[type(value)].name
    if name == "string":
        yield ("SET", key, value)
    else:
        for piece in _pieces(_words(name, value), 1 if name in ("list", "set") else 2):
            yield (_COMMANDS[name], key, *piece)
    if deadline is not None:
        yield ("PEXPIREAT", key, deadline)


def _pieces(words: Iterator[bytes | str], width: int) -> Iterator[list[bytes | str]]:
    """All words, in pieces for one command each; ``width`` words are an item."""
    piece: list[bytes | str] = []
    size = 0
    while item := list(islice(words, width)):
        its_size = sum(map(len, item))
        if piece and (len(piece) >= PIECE * width or size + its_size > PIECE_BYTES):
            yield piece
            piece, size = [], 0
        piece += item
        size += its_size
    if piece:
        yield piece


def _words(name: str, value: Any) -> Iterator[bytes | str]:
    if name == "hash":
        for field, content in value.items():
            yield field
            yield content
    elif name == "zset":
        for score, member in value:
            yield repr(score)
            yield member
    else:
        yield from value


def _no_errors(replies: list[Any] | Any) -> None:
    for reply in [replies] if isinstance(replies, ErrorReply) else replies:
        if isinstance(reply, ErrorReply):
            raise Refused(str(reply))
