"""``memdb export`` and ``memdb import``: from where and to where, progress, and what is said.

May import: exporting, importing, login, records, progress, resp, sink, tooloptions, tools, words,
exits, errors; persistence.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from secrets import token_hex
from typing import Any, TextIO

from memdbd.client import exits
from memdbd.client.exporting import Exporter, write_entries, write_server
from memdbd.client.importing import Directory, Existing, Importer, Server, Target, refuse_data
from memdbd.client.login import HOW_TO_LOG_IN
from memdbd.client.progress import Progress
from memdbd.client.records import Source, open_source
from memdbd.client.resp import Refused, RespClient
from memdbd.client.sink import OutputError, Sink
from memdbd.client.tooloptions import ExportOptions, ImportOptions
from memdbd.client.tools import BY_CLASS, BY_NAME, existing_snapshot_path, snapshot_path
from memdbd.client.words import counted, shown_in
from memdbd.errors import MemDBError, StorageError
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.inspection import holder
from memdbd.persistence.lock import DirectoryLock
from memdbd.persistence.recovery import Recovered, recover
from memdbd.persistence.snapshot import entries

ATTEMPTS = 5  # to read a directory in which a daemon is at work
Say = Callable[[str], object]


def progress_bar() -> Progress:
    """On standard error, if that is a terminal."""
    out: TextIO | None = sys.stderr
    return Progress(out if out is not None and out.isatty() else None, time.monotonic)


@contextmanager
def locked(fs: FileSystem, directory: str) -> Iterator[None]:
    """With the lock of a data directory; raises DirectoryLocked."""
    lock = DirectoryLock(fs, directory)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _hint(error: MemDBError) -> str:
    """What would be right, where a server's own words do not say it."""
    if isinstance(error, Refused) and str(error).startswith("NOAUTH"):
        return f" {HOW_TO_LOG_IN}"
    return ""


# Export


def export_directory(options: ExportOptions, complain: Say) -> int:
    """Write what a data directory has; gives the exit status."""
    fs, directory, progress = FileSystem(), str(options["from"]), progress_bar()
    sink = None
    try:
        path = existing_snapshot_path(fs, directory, options)
        sink = Sink(fs, options.given, bool(options["force"]))
        recovered = _recovered(fs, directory, path, complain)
        progress.total = recovered.size
        count = write_entries(entries(recovered.contents), BY_CLASS, progress, sink.write)
        sink.finish()
    except OutputError as error:
        complain(f"memdb export: {error}")
        return exits.OUTPUT
    except MemDBError as error:
        complain(f"memdb export: {error}")
        return exits.FAILED
    finally:
        progress.clear()
        if sink is not None:
            sink.abort()
    complain(f"{counted(count, 'key')} exported")
    return exits.OK


def _recovered(fs: FileSystem, directory: str, path: str, complain: Say) -> Recovered:
    """What is in the directory; says what ``memdb check`` would of its end. Raises StorageError.

    A daemon at work there changes it meanwhile, and what was read of one file and then of another
    may not fit: then all is read once more.
    """
    for _ in range(ATTEMPTS):
        daemon = holder(fs, directory)
        try:
            recovered = recover(fs, directory, path, BY_NAME)
        except StorageError:
            daemon = daemon or holder(fs, directory)
            if daemon is None:
                raise
            continue
        if daemon is not None:
            complain(f"A daemon is at work in {directory}, lock held by {daemon}: this is what it "
                     "had a moment ago")  # fmt: skip
        else:
            for segment in recovered.torn:
                if segment.torn:
                    complain(f"The last write is not complete: {segment.path}, byte "
                             f"{segment.length}: {len(segment.torn):,} bytes of no whole frame "
                             "are left out")  # fmt: skip
        return recovered
    raise StorageError(
        f"{directory} was changed each time it was read: a daemon is at work there, lock held by "
        f"{daemon}. Export from that"
    )


async def export_server(client: RespClient, options: ExportOptions, complain: Say) -> int:
    """Write what a server has; gives the exit status. Raises what a lost connection does."""
    progress = progress_bar()
    exporter = Exporter(client, BY_NAME, progress, leaves_out=bool(options["leave-out"]))
    sink = None
    try:
        sink = Sink(FileSystem(), options.given, bool(options["force"]))
        await write_server(exporter, BY_CLASS, sink.write)
        sink.finish()
    except OutputError as error:
        progress.clear()
        complain(f"memdb export: {error}")
        return exits.OUTPUT
    except MemDBError as error:
        progress.clear()
        complain(f"memdb export: {error}{_hint(error)}")
        return exits.FAILED
    except SystemExit as ended:  # at a signal, while a write was blocked
        return int(str(ended.code))
    finally:
        progress.clear()
        if sink is not None:
            sink.abort()
    for sentence in exporter.left_out:
        complain(f"left out: {sentence}")
    for sentence in exporter.changed:
        complain(f"changed while it was read, so of no one moment: {sentence}")
    left_out = f", {len(exporter.left_out):,} left out" if exporter.left_out else ""
    complain(f"{counted(exporter.count, 'key')} exported{left_out}")
    return exits.OK


# Import


@contextmanager
def opened_source(options: ImportOptions) -> Iterator[Source]:
    """What is to be imported. Raises MemDBError, OSError."""
    fs, incomplete = FileSystem(), bool(options["incomplete"])
    given = None if options.given == "-" else options.given
    if given is not None and not _is_stream(given):
        yield open_source(fs, given, given, BY_NAME, incomplete=incomplete)
        return
    if given is None and (sys.stdin is None or sys.stdin.isatty()):
        raise StorageError("say which FILE is to be imported; a terminal is none")
    # It is gone through twice.
    with tempfile.TemporaryDirectory(prefix="memdb-import-") as directory:
        path = os.path.join(directory, "input")
        with open(path, "xb") as spool:
            if given is None:
                shutil.copyfileobj(sys.stdin.buffer, spool)
            else:
                with open(given, "rb") as stream:
                    shutil.copyfileobj(stream, spool)
        yield open_source(fs, path, given or "standard input", BY_NAME, incomplete=incomplete)


def _is_stream(path: str) -> bool:
    """Whether it is no file, but a pipe, such as a shell makes of <(zcat x), or a device."""
    mode = os.stat(path).st_mode
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def existing(options: ImportOptions) -> Existing:
    """What the options say of keys that are there."""
    if options["replace"]:
        return Existing.REPLACE
    return Existing.SKIP if options["skip"] else Existing.REFUSE


def import_into_directory(options: ImportOptions, source: Source, complain: Say) -> int:
    """Write a snapshot to an empty directory; gives the exit status."""
    fs, directory = FileSystem(), str(options["into"])
    target = None
    try:
        fs.make_directory(directory)
        path = snapshot_path(fs, directory, options)
        with locked(fs, directory):
            refuse_data(fs, directory, path)
            target = Directory(fs, path, BY_CLASS, time.time())
            try:
                return _run_now(_import(source, target, options, complain))
            finally:
                target.abort()
    except MemDBError as error:
        complain(f"memdb import: {error}")
    except OSError as error:
        complain(f"memdb import: {error.filename or directory}: {error.strerror}")
    return exits.FAILED


async def import_into_server(
    client: RespClient, options: ImportOptions, source: Source, complain: Say
) -> int:
    """Set keys on a server; gives the exit status. Raises what a lost connection does."""
    target = Server(client, existing(options), BY_CLASS, token_hex(8))
    try:
        return await _import(source, target, options, complain)
    finally:
        if target.left_behind is not None:
            complain(
                f"Left on the server: key {shown_in(*target.left_behind)}, where a value was being "
                "built; delete it"
            )


async def _import(source: Source, target: Target, options: ImportOptions, complain: Say) -> int:
    progress = progress_bar()
    importer = Importer(
        source,
        target,
        progress,
        existing(options),
        int(time.time() * 1000),
        leaves_out=bool(options["leave-out"]),
    )
    try:
        await importer.run()
    except MemDBError as error:
        progress.clear()
        complain(f"memdb import: {error}{_hint(error)}")
        return exits.FAILED
    finally:
        progress.clear()
        if importer.written and not importer.is_done:
            complain(f"Written before that: {counted(importer.written, 'key')}")
    if source.note:
        complain(source.note)
    figures = [f"{counted(importer.written, 'key')} imported"]
    if importer.skipped:
        verb = "was" if importer.skipped == 1 else "were"
        figures.append(f"{importer.skipped:,} {verb} there already")
    if importer.expired:
        figures.append(f"{importer.expired:,} had expired")
    left_out = sum(source.left_out.values())
    if left_out:
        figures.append(f"{left_out:,} of other types left out")
    complain(", ".join(figures))
    return exits.OK


def _run_now(work: Any) -> int:
    """The outcome of a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as done:
        status: int = done.value
        return status
    raise AssertionError("it waits for something")
