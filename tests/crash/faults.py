"""Disks that fail at one call, once or for ever, and what a daemon on one of them owes.

A run is the same as without the fault up to its call. Behind it, the daemon must neither lose what
was acknowledged, nor acknowledge what may be lost: the states of the disk are judged at each call
as those of a crash. It answers reads of what no failed write has touched, shows nobody what may be
lost, refuses writes with an error where it cannot keep them, takes them again when the disk works,
and syncs no file again whose sync has failed.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

from crash.daemons import Daemon
from crash.disk import CrashDisk, Fault
from crash.promises import Judge, Key, State, Story, state_of, state_of_contents
from crash.stores import recovered

from memdbd.errors import StorageError

SYNCS = frozenset({"sync", "sync_data", "sync_directory"})
OPENS = frozenset({"create", "open", "lock", "sync_directory", "read", "list_directory"})
SPACE = frozenset({"write", "create", "replace", "sync_directory", "truncate", "make_directory"})


@dataclass(frozen=True)
class Kind:
    """A way to fail, and the calls that can fail so (None: all)."""

    name: str
    code: int | None  # None: no error of the system's, but no memory left
    calls: frozenset[str] | None = None
    short: bool = False  # a write takes some bytes first
    drop: bool = False  # what was not synced is gone

    def __str__(self) -> str:
        return self.name

    def can_hit(self, call: str) -> bool:
        return self.calls is None or call in self.calls


KINDS = (
    Kind("EIO", errno.EIO),
    Kind("ENOSPC", errno.ENOSPC, SPACE),
    Kind("a short write", errno.ENOSPC, frozenset({"write"}), short=True),
    Kind("EMFILE", errno.EMFILE, OPENS),
    Kind("a sync that drops its pages", errno.EIO, frozenset({"sync", "sync_data"}), drop=True),
    Kind("no memory", None, SYNCS | {"write"}),
)


@dataclass
class Failing:
    """Asked before each call, has the one with this number fail, and with ``is_forever`` all like
    it behind it, until ``mended``."""

    kind: Kind
    number: int
    is_forever: bool
    asked: int = 0  # calls that could have failed
    fired: int = 0
    is_mended: bool = False
    _rest_fails: bool = field(default=False, repr=False)

    def __call__(self, call: str, path: str, size: int) -> Fault | None:
        if self.is_mended or not self.kind.can_hit(call):
            return None
        if self._rest_fails and call == "write":
            self._rest_fails = False
            return self._fault()
        self.asked += 1
        if self.asked != self.number and not (self.is_forever and self.asked > self.number):
            return None
        self.fired += 1
        if self.kind.short and self.fired == 1 and size > 1:
            self._rest_fails = True
            return Fault(taken=size // 2)
        return self._fault()

    def _fault(self) -> Fault:
        return Fault(self.kind.code, drop=self.kind.drop)


@dataclass
class Outcome:
    """What came of one disk that failed."""

    fired: int
    violations: list[str]


def life(daemon: Daemon) -> Iterator[None]:
    """Turns, with a snapshot among them, in steps behind each of which something may be checked."""
    daemon.turn(b"multi", b"set a 1", b"rpush list x y", b"exec")
    yield
    daemon.turn(b"del a")
    yield
    daemon.seconds(1)
    yield
    daemon.turn(b"set a 2")
    daemon.saves()
    daemon.turn(b"set a 3")
    yield
    daemon.settle()
    daemon.turn(b"set a 4", b"lpop list")
    yield
    daemon.seconds(1)
    daemon.turn(b"set a 5")
    yield


class Trial:
    """Two lives on a disk that fails at one call, which is then mended. ``found`` is for all judges
    of the same sort of trials."""

    def __init__(
        self,
        kind: Kind,
        number: int,
        durability: str,
        *,
        is_forever: bool,
        lag: int = 0,
        found: dict[Key, State | str] | None = None,
    ) -> None:
        ever = " and for ever" if is_forever else ""
        self.where = f"{kind} at call {number}{ever}, {durability}"
        self.judge = Judge(frozenset({"partial"}), found)
        self.failing = Failing(kind, number, is_forever)
        self.story = Story([state_of({})], durability)
        self.lag = lag
        self.disk = CrashDisk()
        self.daemon: Daemon | None = None
        self.is_set = False  # a key, which nothing touches any more

    def run(self) -> Outcome:
        for _ in range(2):
            daemon = self._starts()
            if not self.is_set:
                self.is_set = daemon.asks(b"set untouched yes") == {"result": "OK"}
            for _ in life(daemon):
                daemon.reads()
                self._reads(daemon)
            if self.failing.fired:
                break
            daemon.stop()
            if not self.failing.fired:
                self.story.ended()
            self._ends()
        self.failing.is_mended = True
        if self.daemon is None:
            daemon = self._starts()
        self._takes_writes(daemon)
        self._crash()
        self._ends()
        return Outcome(self.failing.fired, self.judge.violations)

    def _starts(self) -> Daemon:
        """A daemon that has started; one that could not was refused, and is again when the disk
        works."""
        daemon = self._process()
        try:
            daemon.start()
        except (StorageError, MemoryError) as error:
            if not self.failing.fired or self.failing.is_mended:
                self._tell(f"refused, and nothing has failed: {error}")
            self.failing.is_mended = True
            self._ends()
            daemon = self._process()
            daemon.start()
        return daemon

    def _process(self) -> Daemon:
        disk, story = self.disk, self.story
        disk.fault, disk.before = self.failing, self._crash
        story.watch(disk)
        self.daemon = Daemon(disk, story, durability=story.durability, lag=self.lag)
        return self.daemon

    def _ends(self) -> None:
        """The process is no more, in whatever way."""
        for path in self.disk.retried:
            self._tell(f"{path} was synced again")
        self.disk = self.disk.killed()
        self.daemon = None
        if self.story.has_dropped:
            contents = recovered(self.disk).contents
            self.story.go_on_from(state_of_contents(contents))
            # The judge has seen whether it may be gone.
            self.is_set = self.is_set and b"untouched" in contents.get(0, ({}, {}))[0]

    def _crash(self) -> None:
        if self.daemon is not None:
            self.daemon.listen()
        self.judge.crash(self.disk, self.story, f"{self.where}, before call {self.disk.calls}")

    def _reads(self, daemon: Daemon) -> None:
        """A read of what no failed write has touched is answered."""
        key, value = (b"untouched", "yes") if self.is_set else (b"never", None)
        reply = daemon.asks(b"get " + key)
        if reply is None or "error" in reply:  # asked in the turn that could not be committed
            reply = daemon.asks(b"get " + key)
        if reply is None or "error" in reply or reply["result"] != value:
            self._tell(f"get {key.decode()} was answered with {reply}")

    def _takes_writes(self, daemon: Daemon) -> None:
        """A disk that works again is noticed by the daemon itself."""
        for _ in range(5):
            daemon.house.clock.passes(200.0)
            daemon.settle()
        before = self.story.heard
        daemon.turn(b"set a again")
        daemon.seconds(2)
        if self.story.heard <= before:
            self._tell(f"writes are not taken again: {daemon.errors[-1:]}")

    def _tell(self, violation: str) -> None:
        self.judge.violations.append(f"{self.where}: {violation}")


def trials(
    durability: str, step: int = 1, lag: int = 0, kinds: Sequence[Kind] = KINDS
) -> Iterator[Outcome]:
    """Each call that there is, or each so many-th, fails in each of these ways in which it can."""
    found: dict[Key, State | str] = {}
    for kind in kinds:
        for is_forever in (False, True):
            for number in count(step // 2 + 1, step):
                trial = Trial(kind, number, durability, is_forever=is_forever, lag=lag, found=found)
                outcome = trial.run()
                if not outcome.fired:
                    break
                yield outcome
