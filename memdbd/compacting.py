"""The compactor as a process: started, waited for, and what it said.

Not with the reactor's ``spawnProcess``, but in a thread that waits for the disk anyway: whoever
makes a snapshot need not know that there is a process. ``subprocess`` starts it with vfork, which
does not copy the page tables of a daemon with gigabytes of data.

May import: errors, persistence.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import orjson

import memdbd
from memdbd.errors import DataDamaged, StorageError
from memdbd.persistence.compactor import DAMAGED, Compacted


class CompactorProcess:
    """Runs the compactor; see its ``compact`` for what is to be said and given."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self, directory: str, path: str, segment: int, created: float) -> Compacted:
        """Run it, and return when it has ended. Raises DataDamaged where it says so of the data,
        StorageError with what it said where it has failed, OSError where it cannot be run."""
        command = [
            sys.executable, "-P", "-m", "memdbd.persistence.compactor",
            directory, path, str(segment), str(os.getpid()),
        ]  # fmt: skip
        # The package that runs here, wherever it was imported from.
        package = str(Path(memdbd.__file__).parents[1])
        paths = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
        with subprocess.Popen(  # noqa: S603 # of our own Python, with paths that are settings
            command,
            env=os.environ | {"PYTHONPATH": paths},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            self._process = process
            out, err = process.communicate()
            self._process = None
        if process.returncode == 0:
            told = orjson.loads(out)
            return Compacted(**{field.name: told[field.name] for field in fields(Compacted)})
        said = err.decode(errors="replace").strip().rpartition("\n")[2]
        if process.returncode == DAMAGED:
            raise DataDamaged(said)
        if process.returncode < 0:
            said = f"the compactor was killed by signal {-process.returncode}"
        raise StorageError(said or f"the compactor failed with status {process.returncode}")

    def kill(self) -> None:
        """End it, if it runs: from another thread than the one that waits for it."""
        process = self._process
        if process is not None:
            process.kill()
