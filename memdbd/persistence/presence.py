"""Whether there is data of memdbd in a directory, and whether its snapshot is the one that is
meant: the daemon's setting ``storage_file`` may name another file. Writes nothing.

May import: errors, faults, frames, fs, segments, snapshot.
"""

from __future__ import annotations

import os
from contextlib import closing

from memdbd.errors import StorageError
from memdbd.persistence.faults import kind_of
from memdbd.persistence.frames import HEADER_SIZE, number_of, parse_header
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.segments import find_segments
from memdbd.persistence.snapshot import MAGIC


def other_snapshots(fs: FileSystem, directory: str, path: str) -> list[str]:
    """The names of files in the directory that begin as a snapshot does, and are not the one at
    ``path``, nor one that is being written."""
    return [
        name
        for name in sorted(fs.list_directory(directory))
        if number_of(name) is None
        and not name.endswith(".tmp")
        and _beginning(fs, os.path.join(directory, name)).startswith(MAGIC)
        and fs.resolve(os.path.join(directory, name)) != fs.resolve(path)
    ]


def begins_behind(fs: FileSystem, directory: str) -> int:
    """The last frame before the journal; more than 0 where a snapshot must have been before it."""
    names = find_segments(fs, directory)
    if not names:
        return 0
    header = parse_header(_beginning(fs, os.path.join(directory, names[0]))[:HEADER_SIZE])
    return header.previous.sequence if header is not None else 0


def require_data(fs: FileSystem, directory: str, path: str, *, is_named: bool) -> None:
    """Raise StorageError where there is no data of memdbd in the directory, or only with another
    snapshot. ``is_named``: whether somebody has said that it is the one at ``path``."""
    try:
        if fs.exists(path):
            return
        has_journal = bool(find_segments(fs, directory))
        if has_journal and (is_named or not begins_behind(fs, directory)):
            return
        others = other_snapshots(fs, directory, path)
    except OSError as error:
        raise StorageError(f"{error.filename or directory}: {error.strerror}") from error
    if others:
        raise StorageError(
            f"there is no {os.path.basename(path)} in {directory}, but {_listed(others)}: say "
            f"--storage-file {others[0]} if that is the daemon's snapshot"
        )
    if not has_journal:
        raise StorageError(f"there is no data of memdbd in {directory}")


def doubt(fs: FileSystem, directory: str, path: str) -> str:
    """Why the file at ``path``, or none, may not be the snapshot that belongs to the journal;
    nothing where there is no reason to doubt it. Raises OSError."""
    name = os.path.basename(path)
    is_there = fs.exists(path)
    others = other_snapshots(fs, directory, path)
    if others:
        first = f"{name} and " if is_there else f"no {name}, but "
        return (
            f"in {directory} there is {first}{_listed(others)}: say with --storage-file which one "
            "is the daemon's snapshot"
        )
    begins = begins_behind(fs, directory)
    if begins and (not is_there or kind_of(_beginning(fs, path))):
        return (
            f"the journal in {directory} begins behind frame {begins}, and the snapshot with all "
            f"before it is not there: bring it back, or say --storage-file NAME if it has another "
            f"name; --storage-file {name} goes on without it"
        )
    return ""


def _listed(names: list[str]) -> str:
    return f"{', '.join(names)} ({'a snapshot' if len(names) == 1 else 'snapshots'} of memdbd)"


def _beginning(fs: FileSystem, path: str) -> bytes:
    """The first bytes of a file; none where it cannot be read, or is none."""
    try:
        with closing(fs.read(path)) as pieces:
            return next(pieces, b"")
    except OSError:
        return b""
