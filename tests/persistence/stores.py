"""Small data directories with a snapshot and a journal, to be damaged."""

from __future__ import annotations

from pathlib import Path

from memdbd import effects
from memdbd.commands.table import TYPES
from memdbd.effects import Effect
from memdbd.persistence.frames import BEGINNING, segment_name
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.journal import Journal, NextSegment
from memdbd.persistence.recovery import Recovered, recover
from memdbd.persistence.snapshot import (
    Following,
    SnapshotWriter,
    entries,
    header_line,
    install,
    lines_of,
)

BY_NAME = {kind.name: kind for kind in TYPES}
BY_CLASS = {kind.python: kind for kind in TYPES}
CREATED = 1795403907.123


class Store:
    """A data directory; ``turn`` writes a frame, ``rotate`` begins a segment."""

    def __init__(self, directory: Path, fs: FileSystem | None = None) -> None:
        directory.mkdir(exist_ok=True)
        self.directory = directory
        self.path = str(directory / "persistence.json")
        self.fs = fs or FileSystem()
        self.journal: Journal | None = None

    def rotate(self) -> Journal:
        found = 1 if self.journal is None else self.journal.number + 1
        previous = BEGINNING if self.journal is None else self.journal.link
        if self.journal is not None:
            self.journal.close()
        salt = 0x5BE0CD19 + found
        self.journal = NextSegment(self.fs, str(self.directory), found, salt).begin(previous)
        return self.journal

    def turn(self, *done: Effect) -> None:
        journal = self.journal or self.rotate()
        journal.append(effects.encode(done, 0))
        journal.sync()
        journal.synced = journal.sequence

    def close(self) -> None:
        if self.journal is not None:
            self.journal.close()

    def save(self) -> None:
        """Write a snapshot of all that there is, which goes on with a new segment."""
        recovered = self.recovered()
        following = self.rotate().following
        self.write(recovered, following)

    def write(self, recovered: Recovered, following: Following | None) -> None:
        header = header_line(recovered.sequence, CREATED, following)
        writer = SnapshotWriter(self.fs, self.path, header)
        for lines, count in lines_of(entries(recovered.contents), BY_CLASS):
            writer.add(lines, count)
        writer.finish()
        install(self.fs, self.path)

    def recovered(self) -> Recovered:
        return recover(self.fs, str(self.directory), self.path, BY_NAME)

    def segment(self, number: int) -> Path:
        return self.directory / segment_name(number)

    def files(self) -> dict[str, bytes]:
        """All that is in the directory, and below."""
        return {
            str(each.relative_to(self.directory)): each.read_bytes()
            for each in self.directory.rglob("*")
            if each.is_file()
        }


def flip(path: Path, position: int, bit: int = 0) -> None:
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << bit
    path.write_bytes(data)


def small(directory: Path) -> Store:
    """A store with a snapshot of three keys, and two segments of three turns behind it."""
    store = Store(directory)
    store.turn((b"SET", b"one", b"1"))
    store.turn((b"RPUSH", b"list", b"a", b"\xff"))
    store.turn((b"SELECT", b"3"), (b"SET", b"three", b"3"))
    store.save()
    for number in range(3):
        store.turn((b"SET", b"k%d" % number, b"v" * 50), (b"RPUSH", b"list", b"%d" % number))
    store.rotate()
    for number in range(3, 6):
        store.turn((b"SET", b"k%d" % number, b"v" * 50), (b"RPUSH", b"list", b"%d" % number))
    return store
