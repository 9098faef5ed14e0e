"""``memdb check`` and ``memdb repair``: what is found and done in a data directory, in words.

The finding and the doing are the persistence's. May import: tooloptions, words, exits, errors;
the command table; persistence.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import orjson

from memdbd.client import exits
from memdbd.client.tooloptions import CheckOptions, RepairOptions, StorageOptions
from memdbd.client.words import counted, listed, shown_in
from memdbd.commands.table import TYPES
from memdbd.errors import StorageError
from memdbd.persistence.faults import PLAIN_JSON, Fault, SegmentFile, SnapshotFile
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.inspection import Inspection, inspect
from memdbd.persistence.lock import DirectoryLock
from memdbd.persistence.losses import Loss
from memdbd.persistence.presence import require_data
from memdbd.persistence.repairing import Plan, carry_out, plan

Say = Callable[[str], object]

BY_NAME = {kind.name: kind for kind in TYPES}
BY_CLASS = {kind.python: kind for kind in TYPES}
MOST = 10  # keys that are named


def snapshot_path(fs: FileSystem, directory: str, options: StorageOptions) -> str:
    """Where the snapshot of a data directory is, links followed as the daemon does.

    Raises StorageError where there is no such directory.
    """
    if not os.path.isdir(directory):
        raise StorageError(f"{directory} is no directory")
    return fs.resolve(os.path.join(directory, options.storage_file))


def existing_snapshot_path(fs: FileSystem, directory: str, options: StorageOptions) -> str:
    """The same, and StorageError where there is no data in the directory, or only that of another
    snapshot."""
    path = snapshot_path(fs, directory, options)
    require_data(fs, directory, path, is_named=options.names_storage_file)
    return path


def check(options: CheckOptions, say: Say, complain: Say) -> int:
    """Print what is in the directory; gives the exit status."""
    fs, directory = FileSystem(), str(options.given)
    try:
        found = inspect(fs, directory, existing_snapshot_path(fs, directory, options), BY_NAME)
    except StorageError as error:
        complain(f"memdb check: {error}")
        return exits.FAILED
    if options["json"]:
        say(orjson.dumps(as_json(found)).decode())
    else:
        for line in as_text(found, options.naming):
            say(line)
    return _STATUS[verdict(found)]


_STATUS = {"in order": exits.OK, "torn": exits.TORN, "damaged": exits.FAILED}


def verdict(found: Inspection) -> str:
    """In one word, or two."""
    if found.refusal is not None:
        return "damaged"
    return "torn" if any(segment.torn for segment in found.would_cut) else "in order"


def as_json(found: Inspection) -> dict[str, Any]:
    """What was found, for programs."""
    recovered = found.recovered
    return {
        "directory": found.directory,
        "verdict": verdict(found),
        "daemon": found.daemon,
        "keys": None if recovered is None else recovered.size,
        "sequence": None if recovered is None else recovered.sequence,
        "closed": None if recovered is None or found.daemon else recovered.was_closed,
        "snapshot": None if found.snapshot is None else _snapshot_json(found.snapshot),
        "segments": [_segment_json(segment) for segment in found.segments],
        "would_cut": [
            {"path": segment.path, "byte": segment.length, "bytes": len(segment.torn)}
            for segment in found.would_cut
        ],
        "torn": found.torn,
        "repairs": found.repairs,
        "leftovers": found.leftovers,
        "other_snapshots": found.others,
        "refusal": found.refusal,
        "faults": [
            {"path": each.path, "line": each.line, "byte": each.byte, "reason": each.reason}
            for each in found.faults
        ],
    }


def _snapshot_json(found: SnapshotFile) -> dict[str, Any]:
    head = found.head
    return {
        "path": found.path,
        "bytes": found.size,
        "keys": found.count,
        "imported": found.foreign == PLAIN_JSON,
        "created": None if head is None else _moment(head.created),
        "sequence": None if head is None else head.sequence,
    }


def _segment_json(found: SegmentFile) -> dict[str, Any]:
    return {
        "path": found.path,
        "bytes": found.size,
        "frames": found.frames,
        "first": found.first,
        "last": found.last if found.frames else None,
        "needed": found.needed,
        "unborn": found.unborn,
    }


def as_text(found: Inspection, naming: str) -> Iterator[str]:
    """What was found, for people. ``naming``: the option that names the snapshot, for advice."""
    recovered = found.recovered
    if recovered is None:
        yield f"{found.directory}: damaged, a daemon would refuse to start"
    elif verdict(found) == "torn":
        yield (
            f"{found.directory}: {counted(recovered.size, 'key')}; the last write is not complete,"
            " a daemon would start without it"
        )
    else:
        yield f"{found.directory}: in order, {counted(recovered.size, 'key')}"
    if found.daemon:
        yield f"  a daemon is at work here, lock held by {found.daemon}: so it was a moment ago"
    yield from _snapshot_text(found)
    for segment in found.segments:
        is_open = bool(found.daemon) and segment is found.segments[-1]
        yield f"  journal: {_segment_text(segment, is_open)}"
    if recovered is not None and not found.daemon and found.segments:
        yield "  the last daemon " + (
            "stopped in order"
            if recovered.was_closed
            else "did not stop in order: it was killed, or the power failed"
        )
    cuts = {cut.path: cut.length for cut in found.would_cut}
    for loss in found.losses:
        what = _loss_text(loss) if loss.frames else f"{loss.bytes:,} bytes of no whole frame"
        yield f"  {loss.path}, byte {cuts[loss.path]}: {what}"
        yield from _changes_text(loss)
    for title, names in (
        ("kept by a recovery", found.torn),
        ("kept by a repair", found.repairs),
        ("left by a writer that was killed, and not needed", found.leftovers),
        ("not used: another snapshot of memdbd", found.others),
    ):
        if names:
            yield f"  {title}: {', '.join(names)}"
    yield from _faults_text(found.faults)
    if found.refusal is not None:
        yield f"Restore a backup, or see what can be saved: memdb repair {naming}{found.directory}"


def _snapshot_text(found: Inspection) -> Iterator[str]:
    snapshot = found.snapshot
    if snapshot is None:
        yield "  snapshot: there is none"
        return
    name = os.path.basename(snapshot.path)
    if snapshot.foreign:
        to_be = " to be imported" if found.recovered is not None else ""
        yield f"  snapshot: {name}, {snapshot.size:,} bytes, {snapshot.foreign}{to_be}"
    elif snapshot.head is None:
        yield f"  snapshot: {name}, {snapshot.size:,} bytes, {counted(snapshot.count, 'key')}"
    else:
        yield (
            f"  snapshot: {name}, {snapshot.size:,} bytes, {counted(snapshot.count, 'key')}, "
            f"of {_moment(snapshot.head.created)}, with all up to frame {snapshot.head.sequence}"
        )


def _segment_text(segment: SegmentFile, is_open: bool) -> str:
    parts = [os.path.basename(segment.path), f"{segment.size:,} bytes"]
    if segment.unborn:
        parts.append("being made" if is_open else "made, and never begun")
    elif segment.frames:
        parts.append(
            f"{counted(segment.frames, 'frame')}, {segment.first or '?'} to {segment.last}"
        )
    else:
        parts.append("no frames")
    if is_open:
        parts.append("it is being written")
    elif not segment.needed:
        parts.append("all of it is in the snapshot")
    return ", ".join(parts)


def _faults_text(faults: list[Fault]) -> Iterator[str]:
    if faults:
        yield "What is at fault:"
        yield from (f"  {fault}" for fault in faults)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(" ", "seconds").replace("+00:00", " UTC")


# Repair


def repair(options: RepairOptions, say: Say, complain: Say) -> int:
    """Tell, ask, and do; gives the exit status."""
    fs, directory = FileSystem(), str(options.given)
    try:
        path = existing_snapshot_path(fs, directory, options)
        lock = DirectoryLock(fs, directory)
        lock.acquire()
        with closing(_Held(lock)):
            return _repair(fs, directory, path, options, say, complain)
    except StorageError as error:
        complain(f"memdb repair: {error}")
    except OSError as error:
        complain(f"memdb repair: {error.filename or directory}: {error.strerror}")
    return exits.FAILED


class _Held:
    def __init__(self, lock: DirectoryLock) -> None:
        self._lock = lock

    def close(self) -> None:
        self._lock.release()


def _repair(
    fs: FileSystem, directory: str, path: str, options: RepairOptions, say: Say, complain: Say
) -> int:
    what = plan(
        fs,
        directory,
        path,
        BY_NAME,
        salvage=bool(options["salvage"]),
        is_named=options.names_storage_file,
    )
    if not what.is_needed:
        say(f"{directory} is in order, with {counted(what.recovered.size, 'key')}: nothing to do")
        return exits.OK
    for line in plan_text(what):
        say(line)
    if not options["yes"] and not _agreed(say, complain):
        return exits.FAILED
    kept = carry_out(fs, what, BY_CLASS, time.time())
    after = inspect(fs, directory, path, BY_NAME, is_ours=True)
    for line in as_text(after, options.naming):
        say(line)
    say(f"All that was there before is in {kept}")
    return _STATUS[verdict(after)]


def _agreed(say: Say, complain: Say) -> bool:
    if not sys.stdin.isatty():
        complain("memdb repair: nothing was done; without a terminal to ask, say --yes")
        return False
    say("Do this? Type yes:")
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    complain("memdb repair: nothing was done")
    return False


def plan_text(what: Plan) -> Iterator[str]:
    """What a repair will do, and what will be lost."""
    if what.faults:
        yield f"{what.directory} is damaged:"
        yield from (f"  {fault}" for fault in what.faults)
    else:
        yield f"{what.directory}: the last write was not completed"
    yield "What the repair does:"
    count = len(what.segments) + what.keeps_snapshot
    yield f"  copies {counted(count, 'file')} to a new directory {what.directory}/repair-…"
    up_to = f", all up to frame {what.recovered.sequence}" if what.salvaged is None else ""
    yield f"  writes a snapshot with {counted(what.recovered.size, 'key')}{up_to}"
    if what.segments:
        yield f"  removes {', '.join(what.segments)}, whose copies are kept"
    yield "What is lost:"
    yield from _losses_text(what)


def _losses_text(what: Plan) -> Iterator[str]:
    if what.salvaged is not None:
        yield from _salvage_text(what)
    for loss in what.losses:
        yield f"  {os.path.basename(loss.path)}: {_loss_text(loss)}"
        yield from _changes_text(loss)
    if not what.losses and what.salvaged is None:
        # A segment is missing, and nobody can say what was in it.
        yield "  nothing of what is there; perhaps what was in a missing segment"


def _loss_text(loss: Loss) -> str:
    frames = ""
    if loss.frames:
        frames = f", {counted(loss.frames, 'whole frame')}, {loss.first} to {loss.last}"
    return f"{loss.bytes:,} bytes{frames}"


def _changes_text(loss: Loss) -> Iterator[str]:
    if loss.keys:
        yield f"    with changes of {_keys_text(loss)}"


def _salvage_text(what: Plan) -> Iterator[str]:
    found = what.salvaged
    assert found is not None  # noqa: S101
    name = os.path.basename(found.path)
    if found.expected is not None and found.expected > found.count:
        yield f"  {name}: {counted(found.expected - found.count, 'key')} of {found.expected:,}"
    elif found.expected is None:
        yield f"  {name}: nobody can tell how many keys, its end is missing"
    told = {fault.place for fault in what.faults}
    more = [fault for fault in found.faults if fault.place not in told]
    yield from (f"  {fault}" for fault in more[:MOST])
    if len(more) > MOST:
        yield f"  and {counted(len(more) - MOST, 'fault')} more"
    yield "  What was read may differ from what was written: no checksum covers it any more"
    if what.hides_journal:
        yield "  Nobody can tell which part of the journal is in it: all of the journal is left out"
    elif what.recovered.frames:
        yield (
            f"  {counted(what.recovered.frames, 'frame')} of the journal are done on what is left: "
            "where they only add to a lost value, what they add is all there is"
        )


def _keys_text(loss: Loss) -> str:
    shown = sorted(loss.keys, key=lambda place: (place[0], place[1] or b""))
    named = [
        f"all keys of database {database}" if key is None else shown_in(database, key)
        for database, key in shown[:MOST]
    ]
    more = [f"{len(shown) - MOST:,} more"] if len(shown) > MOST else []
    return listed([*named, *more])
