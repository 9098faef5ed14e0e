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
from memdbd.errors import StorageError
from memdbd.persistence.compactor import Compacted


def compact_in_process(directory: str, path: str, segment: int, created: float) -> Compacted:
    """Run the compactor, and return when it has ended; see its ``compact``.

    Raises StorageError where it has failed, with what it said; OSError where it cannot be run.
    """
    command = [
        sys.executable, "-P", "-m", "memdbd.persistence.compactor",
        directory, path, str(segment), str(os.getpid()),
    ]  # fmt: skip
    # The package that runs here, wherever it was imported from.
    package = str(Path(memdbd.__file__).parents[1])
    paths = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    ended = subprocess.run(  # noqa: S603 # of our own Python, with paths that are settings
        command,
        env=os.environ | {"PYTHONPATH": paths},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if ended.returncode == 0:
        told = orjson.loads(ended.stdout)
        return Compacted(**{field.name: told[field.name] for field in fields(Compacted)})
    said = ended.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    if ended.returncode < 0:
        said = f"the compactor was killed by signal {-ended.returncode}"
    raise StorageError(said or f"the compactor failed with status {ended.returncode}")
