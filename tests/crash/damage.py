"""Damage to a store, byte by byte and frame by frame, and whether a start would notice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations

from crash.disk import Files
from crash.stores import SNAPSHOT, Store, frames_of, outcome, segment

from memdbd.errors import JournalDamaged, SnapshotDamaged, StorageError
from memdbd.persistence.frames import HEADER_SIZE


def silent(store: Store, files: Files) -> str | None:
    """What of this outcome nobody would notice; None where all is well."""
    found = outcome(files)
    if isinstance(found, StorageError):
        if not isinstance(found, JournalDamaged | SnapshotDamaged):
            return f"refused without a place: {found}"
        if not re.match(rf"{re.escape(found.path)}, (byte|line) \d+: ", str(found)):
            return f"refused, and the place is not named: {found}"
        return None
    recovered, data = found
    if data == store.states[-1] and not recovered.torn:
        return None
    if data not in store.states:
        return "it is not what was there at any time"
    untouched = outcome(store.files())
    assert not isinstance(untouched, StorageError)
    if recovered.torn or (untouched[0].was_closed and not recovered.was_closed):
        return None
    return (
        f"{len(store.states) - 1 - store.states.index(data)} frames are missing, and nobody says so"
    )


def is_accepted(files: Files) -> bool:
    """Whether a start would neither refuse this nor say that its end is torn."""
    found = outcome(files)
    return not isinstance(found, StorageError) and not found[0].torn


def cuts(files: Files) -> Iterator[tuple[str, Files]]:
    for path, data in files.items():
        for length in range(len(data)):
            yield f"{path} cut at {length}", files | {path: data[:length]}


def flips(files: Files) -> Iterator[tuple[str, Files]]:
    for path, data in files.items():
        for place in range(len(data)):
            for bit in range(8):
                flipped = bytearray(data)
                flipped[place] ^= 1 << bit
                yield f"{path}, bit {bit} of byte {place}", files | {path: bytes(flipped)}


def all_of(store: Store, damages: Iterator[tuple[str, Files]]) -> tuple[int, list[str]]:
    """How many damages there were, and what was silent about them."""
    count, faults = 0, []
    for what, files in damages:
        count += 1
        fault = silent(store, files)
        if fault is not None:
            faults.append(f"{what}: {fault}")
    return count, faults


def with_frames(files: Files, number: int, frames: list[bytes]) -> Files:
    path = segment(number)
    return files | {path: files[path][:HEADER_SIZE] + b"".join(frames)}


def misplaced_frames(store: Store, last: int, other: Store) -> Iterator[tuple[str, Files]]:
    """Frames dropped, but for the last ones of all; doubled; swapped; and those of other segments
    and of another store in their place and beside them."""
    files = store.files()
    segments = {number: frames_of(files[segment(number)]) for number in range(2, last + 1)}
    strangers = {number: frames_of(other.files()[segment(number)]) for number in (2, 3, 4)}
    for number, frames in segments.items():
        for at, frame in enumerate(frames):
            before, after = frames[:at], frames[at + 1 :]
            what = f"frame {at} of segment {number}"
            if after or number < last:
                yield f"{what} dropped", with_frames(files, number, before + after)
            yield f"{what} doubled", with_frames(files, number, [*before, frame, frame, *after])
            for source, those in [*segments.items(), *strangers.items()]:
                for stranger in those:
                    if stranger is frame:
                        continue
                    where = f"{what}, from {source}"
                    spliced = [*before, stranger, *after]
                    yield f"{where} in its place", with_frames(files, number, spliced)
                    beside = [*before, stranger, frame, *after]
                    yield f"{where} beside it", with_frames(files, number, beside)
        for first, second in combinations(range(len(frames)), 2):
            swapped = frames.copy()
            swapped[first], swapped[second] = swapped[second], swapped[first]
            what = f"frames {first} and {second} of segment {number} swapped"
            yield what, with_frames(files, number, swapped)


def misplaced_segments(store: Store, last: int, other: Store) -> Iterator[tuple[str, Files]]:
    files, others = store.files(), other.files()
    numbers = range(2, last + 1)
    for number in numbers:
        path = segment(number)
        if number < last:
            rest = {name: data for name, data in files.items() if name != path}
            yield f"segment {number} is missing", rest
            yield f"segment {number} is empty", files | {path: b""}
        if number <= 4:
            yield f"segment {number} is another store's", files | {path: others[path]}
    for first, second in combinations(numbers, 2):
        one, two = segment(first), segment(second)
        yield f"{first} and {second} swapped", files | {one: files[two], two: files[one]}
        yield f"{first} is there for {second}", files | {two: files[one]}
    yield "another store's snapshot", files | {SNAPSHOT: others[SNAPSHOT]}
    yield "no snapshot", {name: data for name, data in files.items() if name != SNAPSHOT}
    yield "the snapshot alone", {SNAPSHOT: files[SNAPSHOT]}
