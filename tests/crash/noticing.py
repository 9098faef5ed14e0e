"""The runs that have to notice a defect in the write path or the recovery: each gives the promises
that were not kept, and ends after a few. What is run in them is in :mod:`crash.scenario`,
:mod:`crash.faults`, :mod:`crash.repairs` and :mod:`crash.damage`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from crash.damage import flips, is_accepted, misplaced_frames, misplaced_segments, silent
from crash.disk import CrashDisk, Files
from crash.faults import KINDS, Outcome, trials
from crash.promises import Judge
from crash.repairs import repairs
from crash.scenario import QUICK, WHOLE, Crash, Lives, Run, explore, second_daemon, second_life
from crash.stores import opened, recovered

from memdbd.errors import StorageError
from memdbd.persistence import recovery

ENOUGH = 3  # violations, after which a run ends


def crashes(
    durability: str, *, second: bool = False, lives: Lives = QUICK, late: bool = False
) -> list[str]:
    """Power goes, or the process is killed, before any call; with ``second``, again later."""
    run = Run(durability, lag=3, early=True) if late else Run(durability)
    return _crashes(run, lives, second=second)


def stops(durability: str) -> list[str]:
    """The same of daemons that make no snapshot at their end."""
    return _crashes(Run(durability, saves_at_end=False), QUICK)


def imports(durability: str) -> list[str]:
    """The same where the first snapshot is to be imported."""
    return _crashes(Run(durability, imports=True), QUICK)


def _crashes(run: Run, lives: Lives, *, second: bool = False) -> list[str]:
    judge = Judge()
    for number, crash in enumerate(explore(run, lives, judge)):
        if second and number % 9 == 0:
            _lives(second_life, crash, judge)
        if len(judge.violations) >= ENOUGH:
            break
    return judge.violations


def daemons(durability: str) -> list[str]:
    """The same as ``again``, with whole daemons."""
    judge = Judge()
    for crash in islice(explore(Run(durability), QUICK, judge), 0, None, 45):
        _lives(second_daemon, crash, judge)
        if len(judge.violations) >= ENOUGH:
            break
    return judge.violations


def kills(durability: str) -> list[str]:
    """The process is killed, and power goes in the life of the next."""
    judge = Judge()
    killed = (crash for crash in explore(Run(durability), QUICK, judge) if crash.is_killed)
    for crash in islice(killed, 0, None, 8):
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
    torn = b"".join(tail.torn)

    def look() -> None:
        for kind, files in Judge().images_of(disk):
            in_place = files.get(tail.path, b"").endswith(torn)
            if not in_place and files.get(f"{tail.path}.torn") != torn:
                lost.append(f"{tail.path}: {kind}: the torn tail is gone")

    disk.before = look
    for _ in recovery.keep_torn(disk, [tail]):
        pass
    recovery.renew_last(disk, found)
    look()
    yield from lost[:1]


def faults(durability: str) -> list[str]:
    """Calls fail."""
    return _faults(trials(durability, step=7))


def drops(durability: str) -> list[str]:
    """Syncs fail, and what they should have synced will never be."""
    dropping = [kind for kind in KINDS if kind.drop]
    return _faults(trials(durability, step=2, kinds=dropping))


def _faults(outcomes: Iterator[Outcome]) -> list[str]:
    violations: list[str] = []
    for outcome in outcomes:
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


def repaired() -> list[str]:
    """Power goes while a directory is repaired."""
    return [violation for repair in repairs() for violation in repair.violations][:ENOUGH]


def again(durability: str) -> list[str]:
    """Power goes before any call, and before any call of the next life."""
    return crashes(durability, second=True)


def long(durability: str) -> list[str]:
    """As ``crashes``, with seconds in which no thread gets anything done."""
    return crashes(durability, lives=WHOLE)


def late(durability: str) -> list[str]:
    """As ``crashes``, with turns between what a thread has done and that it says so."""
    return crashes(durability, lives=WHOLE, late=True)
