"""Small stores for the tests that damage them, and what is in a store in a form to compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from crash.disk import DIRECTORY, CrashDisk, Files

from memdbd import effects
from memdbd.commands.table import TYPES as KINDS
from memdbd.effects import CLOSE, Effect
from memdbd.errors import StorageError
from memdbd.keyspace import Contents
from memdbd.persistence.frames import BEGINNING, HEADER_SIZE, Link, length_of_frame, segment_name
from memdbd.persistence.journal import Journal, NextSegment
from memdbd.persistence.recovery import Recovered, recover
from memdbd.persistence.replay import Replay
from memdbd.persistence.snapshot import SnapshotWriter, entries, header_line, install, lines_of

SNAPSHOT = f"{DIRECTORY}/persistence.json"
TYPES = {kind.name: kind for kind in KINDS}
BY_PYTHON = {kind.python: kind for kind in KINDS}

# A key's database and name; its type, its value as in a file, its deadline.
Facts = dict[tuple[int, bytes], tuple[str, Any, int | None]]


def facts(contents: Contents) -> Facts:
    """All that is in there."""
    found: Facts = {}
    for database, (values, deadlines) in contents.items():
        for key, value in values.items():
            kind = BY_PYTHON[type(value)]
            dumped = kind.dump(value, bytes.hex)
            if isinstance(value, set):  # which has no order
                dumped = sorted(dumped)
            found[database, key] = kind.name, dumped, deadlines.get(key)
    return found


def recovered(disk: CrashDisk) -> Recovered:
    return recover(disk, DIRECTORY, SNAPSHOT, TYPES)


def outcome(files: Files) -> tuple[Recovered, Facts] | StorageError:
    """What a start on these files would find."""
    try:
        found = recovered(CrashDisk(files))
    except StorageError as error:
        return error
    return found, facts(found.contents)


def segment(number: int) -> str:
    """The path of a segment."""
    return f"{DIRECTORY}/{segment_name(number)}"


def frames_of(data: bytes) -> list[bytes]:
    """A segment's frames."""
    found, at = [], HEADER_SIZE
    while at < len(data):
        end = at + length_of_frame(data, at)
        found.append(data[at:end])
        at = end
    return found


@dataclass
class Store:
    """A store that is written frame by frame; ``states`` is what was in it after each."""

    salt: int
    disk: CrashDisk = field(default_factory=CrashDisk)
    states: list[Facts] = field(default_factory=lambda: [{}])

    def __post_init__(self) -> None:
        self._replay = Replay(TYPES, {})
        self.journal: Journal | None = None

    def begins(self) -> Store:
        """The next segment."""
        previous: Link = BEGINNING
        number = 1
        if self.journal is not None:
            previous, number = self.journal.link, self.journal.number + 1
            self.journal.close()
        self.salt = self.salt * 69069 + 1 & 0xFFFF_FFFF
        self.journal = NextSegment(self.disk, DIRECTORY, number, self.salt).begin(previous)
        return self

    def does(self, *done: Effect) -> Store:
        """A frame with these effects."""
        assert self.journal is not None
        payload = effects.encode(done, 0)
        self._replay.apply(effects.decode(payload))
        self.states.append(facts(self._replay.contents()))
        self.journal.append(payload)
        self.journal.sync()
        self.journal.synced = self.journal.sequence
        return self

    def saves(self) -> Store:
        """A snapshot of all before this segment, whose predecessors go."""
        assert self.journal is not None
        assert self.journal.sequence == len(self.states) - 1
        journal = self.journal
        writer = SnapshotWriter(
            self.disk, SNAPSHOT, header_line(journal.sequence, 1.5, journal.following)
        )
        for lines, count in lines_of(entries(self._replay.contents()), BY_PYTHON):
            writer.add(lines, count)
        writer.finish()
        install(self.disk, SNAPSHOT)
        for path in [*self.disk.names]:
            if path != SNAPSHOT and path != journal.path:
                self.disk.remove(path)
        return self

    def files(self) -> Files:
        return self.disk.files()


def multi(number: int) -> Sequence[Effect]:
    """What a transaction has done."""
    return (
        (b"SET", b"multi", b"%d" % number),
        (b"RPUSH", b"list", b"x", b"y"),
        (b"SELECT", b"3"),
        (b"ZADD", b"scores", b"%d.5" % number, b"member"),
    )


def opened(salt: int = 1, name: bytes = b"k") -> Store:
    """A snapshot, two sealed segments, and a last one that its daemon did not close."""
    store = Store(salt).begins()
    store.does((b"SET", name, b"v1")).does(*multi(1)).does((b"SET", b"gone", b"?"))
    store.does((b"PEXPIREAT", name, 1_900_000_000_000))
    store.begins().saves()
    store.does((b"SET", name, b"v2")).does((b"DEL", b"gone"))
    store.begins().does((b"HSET", b"hash", b"field", b"\xff\0")).does(*multi(2))
    return store.begins().does((b"SADD", b"set", b"a", b"b")).does((b"SET", name, b"v3"))


def closed(salt: int = 1) -> Store:
    """The same, closed in order."""
    return opened(salt).does(CLOSE)


def closed_twice(salt: int = 1) -> Store:
    """The same; then a daemon was there again, and closed it too."""
    return closed(salt).begins().does((b"SET", b"again", b"yes")).does(CLOSE)
