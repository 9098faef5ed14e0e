"""Repairs on a :class:`~crash.disk.CrashDisk`, with power going before each call.

What is owed: the directory is as it was, or repaired; and when it is repaired, all that was there
is whole among the copies that are kept.
"""

from __future__ import annotations

from collections.abc import Iterator

from crash.disk import DIRECTORY, CrashDisk, Files
from crash.images import images
from crash.promises import key_of
from crash.stores import BY_PYTHON, SNAPSHOT, TYPES, facts, opened, outcome, segment

from memdbd.errors import StorageError
from memdbd.persistence.repairing import Plan, carry_out, plan

MOMENT = 1795403907.5


def damaged() -> Iterator[tuple[str, Files, bool]]:
    """Directories that a daemon refuses, or only goes on with what is left; and whether the repair
    needs to be told to salvage."""
    whole = opened().files()
    last = segment(4)
    yield "a sealed segment is damaged", _flipped(whole, segment(2), 100), False
    yield "the last frame but one is damaged", _flipped(whole, last, 60), False
    yield "the end is torn", whole | {last: whole[last] + b"half"}, False
    yield "a segment is missing", {path: whole[path] for path in whole if path != segment(3)}, False
    yield "the snapshot is damaged", _flipped(whole, SNAPSHOT, -20), True


def _flipped(files: Files, path: str, place: int) -> Files:
    data = bytearray(files[path])
    data[place] ^= 1
    return files | {path: bytes(data)}


def planned(files: Files, salvage: bool) -> Plan:
    return plan(CrashDisk(files), DIRECTORY, SNAPSHOT, TYPES, salvage=salvage)


class Repair:
    """One repair; ``states`` are the distinct images that were looked at."""

    def __init__(self, what: str, files: Files, salvage: bool) -> None:
        self.violations: list[str] = []
        self.states: set[bytes] = set()
        self._what = what
        self._before = files
        self._plan = planned(files, salvage)
        self._repaired = facts(self._plan.recovered.contents)
        self._disk = CrashDisk(files)
        self._kept = ""

    def run(self) -> None:
        disk = self._disk
        disk.before = self._crash
        self._kept = carry_out(disk, self._plan, BY_PYTHON, MOMENT)
        self._crash()
        if self._as_before(disk.files()):
            self._tell("nothing was repaired")

    def _crash(self) -> None:
        self._look("killed", self._disk.files())
        for kind, files in images(self._disk):
            self._look(kind, files)

    def _look(self, kind: str, files: Files) -> None:
        key = key_of(files)
        if key in self.states:
            return
        self.states.add(key)
        if self._as_before(files):
            return
        found = outcome(files)
        if isinstance(found, StorageError):
            self._tell(f"{kind}: refused, and not as before: {found}")
        elif found[1] != self._repaired:
            self._tell(f"{kind}: neither as before nor repaired")
        elif not set(self._before.values()) <= self._copies(files):
            self._tell(f"{kind}: repaired, and a copy of what was there is not whole")

    def _as_before(self, files: Files) -> bool:
        return all(files.get(path) == data for path, data in self._before.items())

    def _copies(self, files: Files) -> set[bytes]:
        """What is in the directories below."""
        return {data for path, data in files.items() if path.count("/") > SNAPSHOT.count("/")}

    def _tell(self, violation: str) -> None:
        self.violations.append(f"{self._what}, before call {self._disk.calls}, {violation}")


def repairs() -> Iterator[Repair]:
    """Each is done."""
    for what, files, salvage in damaged():
        repair = Repair(what, files, salvage)
        repair.run()
        yield repair
