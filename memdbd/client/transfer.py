"""``memdb export`` and ``memdb import``: from where and to where, progress, and what is said.

May import: exporting, importing, records, progress, resp, rdb, link (for its words), tooloptions,
tools, exits, errors; persistence.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from memdbd.client import exits
from memdbd.client.exporting import Exporter, write_entries, write_server
from memdbd.client.importing import Directory, Existing, Importer, Server, Target, refuse_data
from memdbd.client.progress import Progress
from memdbd.client.records import Source, open_source
from memdbd.client.resp import RespClient
from memdbd.client.tooloptions import ExportOptions, ImportOptions
from memdbd.client.tools import BY_CLASS, BY_NAME, counted, snapshot_path
from memdbd.errors import MemDBError, StorageError
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.lock import DirectoryLock
from memdbd.persistence.recovery import recover
from memdbd.persistence.snapshot import entries

Say = Callable[[str], object]
PASSWORD = "REDISCLI_AUTH"  # noqa: S105 # the name of the variable


class OutputError(MemDBError):
    """The output cannot be written."""


class Sink:
    """Where the lines go: standard output, or a file that gets its name when it is complete."""

    def __init__(self, fs: FileSystem, path: str | None, force: bool) -> None:
        self._fs = fs
        self._path = path
        self._file: int | None = None
        if path is None:
            return
        if not force and fs.exists(path):
            raise StorageError(f"{path} is there already; --force replaces it")
        self._temporary = f"{path}.{os.getpid()}.tmp"
        with _as_output(path):
            self._file = fs.create(self._temporary)

    def write(self, data: bytes) -> None:
        with _as_output(self._path or "standard output"):
            if self._file is None:
                sys.stdout.buffer.write(data)
            else:
                self._fs.write_all(self._file, data)

    def finish(self) -> None:
        """All was written: the file gets its name."""
        with _as_output(self._path or "standard output"):
            if self._file is None or self._path is None:
                sys.stdout.buffer.flush()
                return
            self._fs.sync(self._file)
            file, self._file = self._file, None
            self._fs.close(file)
            self._fs.replace(self._temporary, self._path)
            self._fs.sync_directory(os.path.dirname(self._path) or ".")

    def abort(self) -> None:
        """Leave no file behind."""
        if self._file is not None:
            file, self._file = self._file, None
            with suppress(OSError):
                self._fs.close(file)
            with suppress(OSError):
                self._fs.remove(self._temporary)


@contextmanager
def _as_output(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise OutputError(f"{name} cannot be written: {error}") from error


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


# Export


def export_directory(options: ExportOptions, complain: Say) -> int:
    """Write what a data directory has; gives the exit status."""
    fs, directory, progress = FileSystem(), str(options["from"]), progress_bar()
    sink = None
    try:
        path = snapshot_path(fs, directory, options["storage-file"])
        sink = Sink(fs, options.given, bool(options["force"]))
        recovered = recover(fs, directory, path, BY_NAME)
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
        complain(f"memdb export: {error}")
        return exits.FAILED
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
    fs = FileSystem()
    if options.given not in (None, "-"):
        path = str(options.given)
        yield open_source(fs, path, path, BY_NAME)
        return
    if sys.stdin is None or sys.stdin.isatty():
        raise StorageError("say which FILE is to be imported; a terminal is none")
    # It is gone through twice.
    with tempfile.TemporaryDirectory(prefix="memdb-import-") as directory:
        path = os.path.join(directory, "input")
        with open(path, "xb") as spool:
            shutil.copyfileobj(sys.stdin.buffer, spool)
        yield open_source(fs, path, "standard input", BY_NAME)


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
        path = snapshot_path(fs, directory, options["storage-file"])
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
    return await _import(source, Server(client, existing(options), BY_CLASS), options, complain)


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
        complain(f"memdb import: {error}")
        return exits.FAILED
    finally:
        progress.clear()
        if importer.written and not importer.is_done:
            complain(f"Written before that: {counted(importer.written, 'key')}")
    if source.note:
        complain(source.note)
    figures = [f"{counted(importer.written, 'key')} imported"]
    if importer.skipped:
        figures.append(f"{importer.skipped:,} were there already")
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
