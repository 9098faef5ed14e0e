"""Defects, each put into the write path or the recovery for the time of a test, and the runs that
must notice them.

A defect is a text in one function that is replaced by another; the code of that function is
compiled anew and exchanged, so that everyone who has imported it runs it. The runs are in
:mod:`crash.noticing`.
"""

from __future__ import annotations
import __future__

import inspect
import textwrap
from collections.abc import Callable
from types import FunctionType
from typing import Any, NamedTuple

import pytest
from crash.noticing import (
    again,
    bits,
    crashes,
    daemons,
    drops,
    faults,
    imports,
    kills,
    late,
    long,
    misplaced,
    repaired,
    stops,
    tails,
)

from memdbd import committing, health, snapshots, turn
from memdbd.persistence import (
    frames,
    journal,
    legacy,
    recovery,
    repairing,
    segments,
    snapshot,
)
from memdbd.persistence.fs import FileSystem


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
FLUSH = "owing, self._owing = self._owing, {}; self._each(owing, lambda each: each.flush())"
SEGMENT = "self._begun(recovered.next_number, recovered.last)"
APPENDED = '__import__("crash.mutations").mutations.appended(self._fs, recovered)'

MUTATIONS = [
    mutation(
        "the reply leaves before the write", crashes, "everysec",
        edits=[Edit(turn.Turn._commit, COMMIT, f"{FLUSH}; {COMMIT}")],
    ),
    mutation(
        "the reply leaves before the sync", crashes, "always",
        edits=[Edit(committing.Committer.commit,
                    "sync_if_due()\n    self._check()\n    return False",
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
               Edit(frames.frame_head, "synced), salt)", "synced), 0)")],
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
        edits=[Edit(recovery.renew_last, "0, length)", "0, 1 << 60)")],
    ),
    mutation(
        "frames are appended to a torn segment", daemons, "always",
        edits=[Edit(recovery.renew_last, "0, length)", "0, 1 << 60)"),
               Edit(snapshots.Snapshots.begin, SEGMENT,
                    f"{APPENDED} if recovered.last_path else {SEGMENT}")],
    ),
    mutation(
        "the torn tail is cut before its copy is on disk", tails,
        edits=[Edit(recovery._write_anew, "fs.sync(file)", "pass")],
    ),
    mutation(
        "the name of the torn tail's copy is not synced", tails,
        edits=[Edit(recovery._write_anew, "fs.sync_directory(os.path.dirname(path))", "pass")],
    ),
    mutation(
        "what a killed daemon left unsynced stays so", kills, "everysec",
        edits=[Edit(recovery.renew_last, "if not path or not length:", "if True:")],
    ),
    mutation(
        "the last segment is only synced, whatever a sync has said before", drops, "everysec",
        edits=[Edit(recovery.renew_last, "_write_anew(fs, path, Extent(fs, path, 0, length))",
                    "file = fs.open(path); fs.truncate(file, length); fs.sync(file); "
                    "fs.close(file)")],
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
        edits=[Edit(journal.NextSegment.sync_header, "self._fs.sync(self._file)", "pass")],
    ),
    mutation(
        "the header is written before the predecessor is synced", crashes, "no",
        edits=[Edit(committing.Committer._take_over, "old.sync()", "pass")],
    ),
    mutation(
        "half a frame is not cut before the next", faults, "everysec",
        edits=[Edit(journal.Journal.append, "if not self._is_clean:", "if False:"),
               Edit(journal.Journal._cut, "self._fs.truncate(self._file, self.length)", "pass")],
    ),
    mutation(
        "a failed write is acknowledged", faults, "everysec",
        edits=[Edit(committing.Committer._write,
                    "raise self.health.refusal() from None\n    except Exc",
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
    mutation(
        "what may be lost is shown", faults, "always",
        edits=[Edit(health.Health.hide, "in touched(effects)", "in ()")],
    ),
    mutation(
        "the stop does not sync", stops, "no",
        edits=[Edit(committing.Committer.close,
                    "payload)\n        await self._in_thread(journal.sync)", "payload)")],
    ),
    mutation(
        "the stop syncs nothing, not even its mark", stops, "everysec",
        edits=[Edit(committing.Committer.close, "await self.idle()",
                    "await self.idle(); self.journal.sync = bool")],
    ),
    mutation(
        "the copy of an imported file is not synced", imports, "everysec",
        edits=[Edit(legacy.keep_original, "fs.sync(file)", "pass")],
    ),
    mutation(
        "the name of an imported file's copy is not synced", imports, "everysec",
        edits=[Edit(legacy.keep_original, 'fs.sync_directory(os.path.dirname(kept) or ".")',
                    "pass")],
    ),
    mutation(
        "a repair does not sync the copies that it keeps", repaired,
        edits=[Edit(repairing._copy, "fs.sync(file)", "pass")],
    ),
    mutation(
        "a repair does not sync the names of the copies", repaired,
        edits=[Edit(repairing.carry_out, "fs.sync_directory(kept)", "pass")],
    ),
    mutation(
        "a repair removes segments before its snapshot is installed", repaired,
        edits=[Edit(repairing.carry_out, "    writer.finish()",
                    "    [fs.remove(os.path.join(directory, name)) for name in plan.segments]\n"
                    "    writer.finish(); plan.segments.clear()")],
    ),
]  # fmt: skip
