"""``memdb import``: keys from a file to a server, or to an empty data directory.

Strategy: the file is gone through twice. First all of it is read, and, unless told otherwise, the
server is asked whether any of the keys is there: a file with a fault and a key that would be
overwritten are noticed before anything is written. Then the keys are set, many in one transaction
and each as a whole; only a huge value goes in several steps. Keys that come to be meanwhile are
noticed too, with WATCH.

May import: errors, fs, snapshot, records, progress, resp; commands.types.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from enum import Enum
from itertools import islice
from typing import Any, Protocol

from memdbd.client.progress import Progress
from memdbd.client.records import Source
from memdbd.client.resp import ErrorReply, Refused, RespClient
from memdbd.commands.types import DataType
from memdbd.errors import MemDBError, StorageError
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.segments import find_segments
from memdbd.persistence.snapshot import Entry, SnapshotWriter, header_line, install, lines_of

BATCH = 500  # keys in one transaction at most
BATCH_BYTES = 1024 * 1024  # of values, more or less
HUGE = 10_000  # items from which a container is written in several steps
PIECE = 1000  # items in one command
ATTEMPTS = 5  # for a batch, one of whose keys was changed between WATCH and EXEC

Classes = Mapping[type, DataType[Any]]
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
            if self._existing is Existing.REFUSE:
                found += await self._target.existing(batch)
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
            raise CannotImport(
                f"{len(found)} of the keys are there already, such as {key!r} in database "
                f"{number}. Nothing was written; --replace overwrites them, --skip leaves them as "
                "they are"
            )

    def _batches(self) -> Iterator[list[Entry]]:
        """What has not expired, in batches of one database."""
        batch: list[Entry] = []
        size, self.expired = 0, 0
        for _, entry in self._source.entries():
            database, _, value, deadline = entry
            if deadline is not None and deadline <= self._now:
                self.expired += 1
                continue
            if batch and (batch[0][0] != database or len(batch) >= BATCH or size >= BATCH_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(entry)
            size += len(value) * (1 if isinstance(value, bytes) else 64)
        if batch:
            yield batch


class Server:
    """A server as the target."""

    def __init__(self, client: RespClient, existing: Existing, classes: Classes) -> None:
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
            replies = await self._client.ask_all([*commands, ("EXEC",)])
            _no_errors(replies)
            if replies[-1] is not None:
                _no_errors(replies[-1])
                return len(left)
        raise Refused("others change the same keys all the time")

    async def _write_huge(self, entry: Entry) -> int:
        if self._existing is Existing.REPLACE:
            await self._client.ask("DEL", entry[1])
        elif not await self._not_there([entry]):
            return 0
        for command in _commands(entry, self._classes):
            try:
                await self._client.ask(*command)
            except Refused as refused:
                raise Refused(f"{refused}: key {entry[1]!r} is there in part only") from None
        return 1

    async def _not_there(self, entries: list[Entry]) -> list[Entry]:
        there = await self.existing(entries)
        if there and self._existing is Existing.REFUSE:
            raise Refused(f"key {there[0][1]!r} was set by someone else meanwhile")
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
    segments = find_segments(fs, directory)
    there = path if fs.exists(path) else os.path.join(directory, segments[0]) if segments else ""
    if there:
        raise StorageError(
            f"{there} is there already: --into is for a directory without data. Start the daemon, "
            "and import into it"
        )


def _is_huge(entry: Entry) -> bool:
    return not isinstance(entry[2], bytes) and len(entry[2]) >= HUGE


def _commands(entry: Entry, classes: Classes) -> Iterator[tuple[Any, ...]]:
    """What sets a key that is not there."""
    _, key, value, deadline = entry
    name = classes[type(value)].name
    if name == "string":
        yield ("SET", key, value)
    else:
        items = iter(_words(name, value))
        width = 1 if name in ("list", "set") else 2
        while piece := list(islice(items, PIECE * width)):
            yield (_COMMANDS[name], key, *piece)
    if deadline is not None:
        yield ("PEXPIREAT", key, deadline)


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
