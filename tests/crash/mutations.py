"""Defects, each put into the write path or the recovery for the time of a test, and the runs that
must notice them.

A defect is a text in one function that is replaced by another; the code of that function is
compiled anew and exchanged, so that everyone who has imported it runs it. A run gives the promises
that were not kept.
"""

from __future__ import annotations
import __future__

import inspect
import textwrap
from collections.abc import Callable, Iterator
from itertools import islice
from types import FunctionType
from typing import Any, NamedTuple

import pytest
from crash.damage import flips, is_accepted, misplaced_frames, misplaced_segments, silent
from crash.disk import CrashDisk, Files
from crash.faults import trials
from crash.promises import Judge
from crash.scenario import QUICK, WHOLE, Crash, Lives, Run, explore, second_daemon, second_life
from crash.stores import opened, recovered

from memdbd import committing, snapshots, turn
from memdbd.errors import StorageError
from memdbd.persistence import frames, journal, recovery, segments, snapshot
from memdbd.persistence.fs import FileSystem

ENOUGH = 3  # violations, after which a run ends


class Edit(NamedTuple):
    """In this function, ``new`` in place of ``old``."""

    function: Any
    old: str
    new: str

    def put_into(self, patch: pytest.MonkeyPatch) -> None:
        function = self.function
        assert isinstance(function, FunctionType)
        source = textwrap.dedent(inspect.getsource(function))
        assert source.count(self.old) == 1, f"{function.__qualname__} has changed: {self.old!r}"
        code = compile(
            source.replace(self.old, self.new),
            function.__code__.co_filename,
            "exec",
            flags=__future__.annotations.compiler_flag,
        )
        made: dict[str, Any] = {}
        exec(code, function.__globals__, made)
        patch.setattr(function, "__code__", made[function.__name__].__code__)


# The runs


def crashes(
    durability: str, *, second: bool = False, lives: Lives = QUICK, late: bool = False
) -> list[str]:
    """Power goes, or the process is killed, before any call; with ``second``, again later."""
    judge = Judge()
    run = Run(durability, lag=3, early=True) if late else Run(durability)
    for number, crash in enumerate(explore(run, lives, judge)):
        if second and number % 9 == 0:
            _lives(second_life, crash, judge)
        if len(judge.violations) >= ENOUGH:
            break
    return judge.violations


def daemons(durability: str) -> list[str]:
    """The same as ``again``, with whole daemons."""
    judge = Judge()
    for crash in islice(explore(Run(durability), QUICK, judge), 0, None, 20):
        _lives(second_daemon, crash, judge)
        if len(judge.violations) >= ENOUGH:
            break
    return judge.violations


def kills(durability: str) -> list[str]:
    """The process is killed, and power goes in the life of the next."""
    judge = Judge()
    killed = (crash for crash in explore(Run(durability), QUICK, judge) if crash.is_killed)
    for crash in islice(killed, 0, None, 5):
        _lives(second_daemon, crash, judge)
        if len(judge.violations) >= ENOUGH:
            break
    return judge.violations


def _lives(life: Callable[[Crash, Judge], None], crash: Crash, judge: Judge) -> None:
    try:
        life(crash, judge)
    except StorageError as error:
        judge.violations.append(f"{crash.where}: refused: {error}")


def tails() -> list[str]:
    """Power goes while a torn tail is kept: at any moment it is there, or its copy is."""
    violations: list[str] = []
    for crash in islice(explore(Run("no"), QUICK, Judge()), 0, None, 7):
        found = recovered(crash.disk)
        if any(tail.torn for tail in found.torn):
            violations += _tail_is_kept(crash.disk, found)
        if len(violations) >= ENOUGH:
            break
    return violations


def _tail_is_kept(disk: CrashDisk, found: recovery.Recovered) -> Iterator[str]:
    lost: list[str] = []
    tail = next(tail for tail in found.torn if tail.torn)

    def look() -> None:
        for kind, files in Judge().images_of(disk):
            in_place = files.get(tail.path, b"").endswith(tail.torn)
            if not in_place and files.get(f"{tail.path}.torn") != tail.torn:
                lost.append(f"{tail.path}: {kind}: the torn tail is gone")

    disk.before = look
    for _ in recovery.keep_torn(disk, [tail]):
        pass
    recovery.renew_last(disk, found)
    look()
    yield from lost[:1]


def faults(durability: str) -> list[str]:
    """Calls fail."""
    violations: list[str] = []
    for outcome in trials(durability, step=5):
        violations += outcome.violations[:1]
        if len(violations) >= ENOUGH:
            break
    return violations


def bits() -> list[str]:
    """Single bits are flipped."""
    store = opened()
    found = (silent(store, files) for _, files in islice(flips(store.files()), 0, None, 7))
    return [*islice((fault for fault in found if fault), ENOUGH)]


def misplaced() -> list[str]:
    """Frames and segments are not where they were written."""
    store, other = opened(), opened(salt=77)
    damages: Iterator[tuple[str, Files]]
    violations: list[str] = []
    for damages in (misplaced_frames(store, 4, other), misplaced_segments(store, 4, other)):
        violations += [what for what, files in damages if is_accepted(files)]
    return violations[:ENOUGH]


# The defects


class Mutation(NamedTuple):
    """A defect, and the run that notices it."""

    name: str
    run: Callable[..., list[str]]
    arguments: tuple[Any, ...]
    edits: tuple[Edit, ...]


def mutation(
    name: str, run: Callable[..., list[str]], *arguments: Any, edits: list[Edit]
) -> Mutation:
    return Mutation(name, run, arguments, tuple(edits))


def again(durability: str) -> list[str]:
    """Power goes before any call, and before any call of the next life."""
    return crashes(durability, second=True)


def long(durability: str) -> list[str]:
    """As ``crashes``, with seconds in which no thread gets anything done."""
    return crashes(durability, lives=WHOLE)


def late(durability: str) -> list[str]:
    """As ``crashes``, with turns between what a thread has done and that it says so."""
    return crashes(durability, lives=WHOLE, late=True)


def appended(fs: FileSystem, found: recovery.Recovered) -> journal.Journal:
    """The last segment, to be gone on with, in place of a new one."""
    data = b"".join(fs.read(found.last_path))
    header = frames.parse_header(data)
    assert header is not None
    file = fs.open(found.last_path)
    fs.truncate(file, len(data))
    made = journal.Journal(fs, file, found.last_path, header, len(data))
    made.sequence = made.synced = found.sequence
    return made


COMMIT = "done = self.commit()"
FLUSH = "self._each(owing, lambda connection: connection.flush())"
SEGMENT = "self._segment(recovered.next_number).begin(recovered.last)"
APPENDED = '__import__("crash.mutations").mutations.appended(self._fs, recovered)'

MUTATIONS = [
    mutation(
        "the reply leaves before the write", crashes, "everysec",
        edits=[Edit(turn.Turn._commit, COMMIT, f"{FLUSH}; {COMMIT}")],
    ),
    mutation(
        "the reply leaves before the sync", crashes, "always",
        edits=[Edit(committing.Committer.commit, "sync_if_due()\n    return False",
                    "sync_if_due()\n    return True")],
    ),
    mutation(
        "no sync under always", crashes, "always",
        edits=[Edit(journal.Journal.sync, "self._fs.sync_data(self._file)", "pass")],
    ),
    mutation(
        "a turn is written effect by effect", crashes, "everysec",
        edits=[Edit(committing.Committer._write, "self._append(journal, payload)",
                    "[self._append(journal, self._encoded([one])) for one in taken]")],
    ),
    mutation(
        "the frame's CRC is not checked", bits,
        edits=[Edit(frames.parse_frame, "if crc != ", "if None is ")],
    ),
    mutation(
        "the CRC is not salted", misplaced,
        edits=[Edit(frames.parse_frame, "synced), salt)", "synced), 0)"),
               Edit(frames.encode_frame, "synced), salt)", "synced), 0)")],
    ),
    mutation(
        "the sequence is ignored", misplaced,
        edits=[Edit(segments.Segment.frames, "if frame.sequence != self.sequence + 1:",
                    "if False:")],
    ),
    mutation(
        "the chain of segments is not checked", misplaced,
        edits=[Edit(recovery.check_link, "if previous != segment.link:", "if False:")],
    ),
    mutation(
        "a frame says that more is synced than is", crashes, "no",
        edits=[Edit(journal.Journal.append, "self.synced", "self.sequence")],
    ),
    mutation(
        "a torn segment is left so behind the next one", again, "no",
        edits=[Edit(recovery.renew_last, "piece[:rest]", "piece")],
    ),
    mutation(
        "frames are appended to a torn segment", daemons, "always",
        edits=[Edit(recovery.renew_last, "piece[:rest]", "piece"),
               Edit(snapshots.Snapshots.begin, SEGMENT,
                    f"{APPENDED} if recovered.last_path else {SEGMENT}")],
    ),
    mutation(
        "the torn tail is cut before its copy is on disk", tails,
        edits=[Edit(recovery._keep, "fs.sync(file)", "pass")],
    ),
    mutation(
        "the name of the torn tail's copy is not synced", tails,
        edits=[Edit(recovery._keep, "fs.sync_directory(os.path.dirname(kept))", "pass")],
    ),
    mutation(
        "what a killed daemon left unsynced stays so", kills, "everysec",
        edits=[Edit(recovery.renew_last, "if not path or not rest:", "if True:")],
    ),
    mutation(
        "the last segment is only synced, whatever a sync has said before", faults, "everysec",
        edits=[Edit(recovery.renew_last, 'temporary = f"{path}.tmp"',
                    "file = fs.open(path); fs.truncate(file, rest); fs.sync(file); "
                    "fs.close(file); return")],
    ),
    mutation(
        "the snapshot is renamed before it is synced", crashes, "always",
        edits=[Edit(snapshot.SnapshotWriter.finish, "self._fs.sync(self._opened())", "pass")],
    ),
    mutation(
        "the directory is not synced behind the snapshot's rename", crashes, "always",
        edits=[Edit(snapshot.install, 'fs.sync_directory(os.path.dirname(path) or ".")', "pass")],
    ),
    mutation(
        "segments are removed before the snapshot is installed", crashes, "always",
        edits=[Edit(snapshots.Snapshots._install, "self._lock.check()",
                    "self._remove_before(number)")],
    ),
    mutation(
        "the name of a new segment is not synced", crashes, "always",
        edits=[Edit(journal.NextSegment.__init__, "fs.sync_directory(directory)", "pass")],
    ),
    mutation(
        "the header of a new segment is not synced", crashes, "no",
        edits=[Edit(journal.NextSegment.begin, "self._fs.sync(self._file)", "pass")],
    ),
    mutation(
        "the header is written before the predecessor is synced", crashes, "no",
        edits=[Edit(committing.Committer._take_over, "old.sync()", "pass")],
    ),
    mutation(
        "half a frame is not cut before the next", faults, "everysec",
        edits=[Edit(journal.Journal.append, "if not self._is_clean:", "if False:")],
    ),
    mutation(
        "a failed write is acknowledged", faults, "everysec",
        edits=[Edit(committing.Committer._write, "raise self._refusal() from None\n    except Exc",
                    "return taken\n    except Exc")],
    ),
    mutation(
        "a failed sync is tried again", faults, "always",
        edits=[Edit(journal.Journal.sync, "self._fs.sync_data(self._file)",
                    "try: self._fs.sync_data(self._file)\n"
                    "    except OSError: self._fs.sync_data(self._file)")],
    ),
    mutation(
        "a failed sync is ignored", faults, "always",
        edits=[Edit(journal.Journal.sync, "self._fs.sync_data(self._file)",
                    "try: self._fs.sync_data(self._file)\n    except OSError: pass")],
    ),
    mutation(
        "replies do not wait for a disk that is late", long, "everysec",
        edits=[Edit(committing.Committer._is_late, "return oldest", "return False and oldest")],
    ),
    mutation(
        "a sync counts for what was written while it was under way", late, "everysec",
        edits=[Edit(committing.Committer._work, "journal.synced = covered",
                    "journal.synced = journal.sequence")],
    ),
]  # fmt: skip
