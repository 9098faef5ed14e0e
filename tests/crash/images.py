"""What a loss of power can leave on a :class:`~crash.disk.CrashDisk`.

The kinds, by what becomes of the changes to a file that were not synced:

* ``lost``: none is there;
* ``partial``: the first ones are, and of the next one a byte, half, or all but a byte;
* ``torn``: a later part of a write is there, and in place of its beginning zeros, or garbage;
* ``zeroed``: the file has the length that it should have, and zeros where bytes are not there;
* ``reordered``: later changes are there, and one before them is not, or zeros are in its place;
* ``live``: all are there, though nothing promised it.

Each is combined with what may become of the names: any of the changes in their order are there and
the others are not; or all are there but one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from crash.disk import Change, CrashDisk, File, Files, Names, is_lock

Kinds = frozenset[str]
ALL_KINDS: Kinds = frozenset({"lost", "partial", "torn", "zeroed", "reordered", "live"})

_GARBAGE = bytes(range(1, 256)).replace(b"MEMDBJ01", b"")


def images(disk: CrashDisk, kinds: Kinds = ALL_KINDS) -> Iterator[tuple[str, Files]]:
    """Each image with its kind; some may be there twice."""
    for names in _names(disk):
        changed = [path for path, file in names.items() if file.unsynced and not is_lock(path)]
        quiet = {path: file.synced for path, file in names.items() if not is_lock(path)}
        lively = quiet | {path: names[path].written for path in changed}
        yield "lost", quiet
        if not changed:
            continue
        yield "live", lively
        for path in changed:
            for kind, data in _contents(names[path], kinds):
                yield kind, quiet | {path: data}
                if len(changed) > 1:
                    yield kind, lively | {path: data}


def _names(disk: CrashDisk) -> Iterator[Names]:
    changes = disk.unsynced_names
    count = len(changes)
    chosen = chain(
        (range(first) for first in range(count + 1)),
        ((*range(lost), *range(lost + 1, count)) for lost in range(count - 1)),
    )
    seen = set()
    for those in chosen:
        names = dict(disk.synced_names)
        for number in those:
            changes[number].on(names)
        key = frozenset((path, id(file)) for path, file in names.items())
        if key not in seen:
            seen.add(key)
            yield names


def _contents(file: File, kinds: Kinds) -> Iterator[tuple[str, bytes]]:
    """What may be in the file; neither all nor nothing."""
    before, size, changes = file.synced, len(file.written), file.unsynced
    for number, change in enumerate(changes):
        later = changes[number + 1 :]
        if number:
            yield "partial", before
        if "zeroed" in kinds:
            yield "zeroed", before.ljust(size, b"\0")
        for cut in _parts(change, (1, 2)):
            partial = cut.on(before)
            yield "partial", partial
            if "zeroed" in kinds and len(partial) < size:
                yield "zeroed", partial.ljust(size, b"\0")
        if "torn" in kinds:
            for part in _torn(change):
                yield "torn", part.on(before)
        if later and "reordered" in kinds:
            yield "reordered", _all_on(before, later)
            for part in _torn(change):
                yield "reordered", _all_on(part.on(before), later)
        before = change.on(before)


def _parts(change: Change, numbers: Iterable[int]) -> Iterator[Change]:
    """Beginnings of a write: a byte, half, all but a byte."""
    start, data = change
    if data is None:
        return
    for length in sorted({1, len(data) // 2, len(data) - 1} - {0, len(data)}):
        yield Change(start, data[:length])


def _torn(change: Change) -> Iterator[Change]:
    """A write whose beginning, or whole, is zeros or garbage."""
    start, data = change
    if data is None:
        return
    for length in {1, len(data) // 2, len(data) - 1, len(data)} - {0}:
        yield Change(start, bytes(length) + data[length:])
        yield Change(start, _garbage(length) + data[length:])


def _garbage(length: int) -> bytes:
    return (_GARBAGE * (length // len(_GARBAGE) + 1))[:length]


def _all_on(data: bytes, changes: Iterable[Change]) -> bytes:
    for change in changes:
        data = change.on(data)
    return data
