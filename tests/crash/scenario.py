"""What a daemon and its clients do in the runs, over several lives on one disk, and the runs.

A run is a policy of durability, a way in which threads are late, and whether there is a snapshot at
the end. A first life begins in an empty directory, or with a file to be imported; there are turns
of one and of several requests, transactions, deletions, a key that expires, another database, new
segments, snapshots, the end in order, and the next daemon.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from crash.daemons import Daemon
from crash.disk import CrashDisk
from crash.lives import Bare
from crash.promises import Judge, Key, Story, state_of
from crash.stores import SNAPSHOT, Facts

from memdbd.effects import Effect


@dataclass(frozen=True)
class Run:
    """``lag``, ``early`` and ``saves_at_end``: see :class:`~crash.daemons.Daemon`. ``imports``: the
    snapshot that is there first is another program's."""

    durability: str
    lag: int = 0
    early: bool = False
    saves_at_end: bool = True
    imports: bool = False

    def __str__(self) -> str:
        odd = {
            "early": self.early,
            "no snapshot at the end": not self.saves_at_end,
            "imported": self.imports,
        }
        return ", ".join([self.durability, f"lag {self.lag}", *(name for name in odd if odd[name])])


POLICIES = ("always", "everysec", "no")
RUNS = [
    *(
        Run(durability, lag, early)
        for durability in POLICIES
        for lag, early in ((0, False), (2, False), (3, True))
    ),
    *(Run(durability, saves_at_end=False) for durability in POLICIES),
    Run("everysec", imports=True),
]
IMPORTED = b'{"a": "1",\n"imported": "\\u00e9"}\n'
AS_IMPORTED: Facts = {
    (0, key): ("string", value.encode().hex(), None)
    for key, value in ((b"a", "1"), (b"imported", "é"))
}

SALT = 0x5EED_0002  # of the segments of second lives


def first_life(daemon: Daemon) -> None:
    """Two snapshots, with turns before, meanwhile and behind, and the end in order."""
    daemon.turn(b"set a 1")
    daemon.turn(b"multi", b"set a 2", b"rpush list x y z", b"hset hash field value", b"exec")
    daemon.reads()
    daemon.turn(b"select 3", b"set b 1", b"select 0", b"zadd scores 1.5 m")
    daemon.seconds(1)
    daemon.turn(b"del a", b"sadd set one", b"pexpire list 2500")
    daemon.saves()
    daemon.turn(b"multi", b"set a 3", b"lpop list", b"exec")
    daemon.turn(b"rename a c")
    daemon.seconds(1)
    daemon.turn(b"set gone 1")
    daemon.turn(b"del gone", b"spop set")
    daemon.seconds(2)
    daemon.turn(b"multi", b"set a 4", b"set b 4", b"exec")
    daemon.saves()
    daemon.reads()
    daemon.turn(b"append a 5")
    daemon.settle()
    daemon.turn(b"select 3", b"flushdb", b"select 0")
    with daemon.late():
        for _ in range(5):
            daemon.turn(b"set a 6")
            daemon.house.clock.passes(0.75)
    daemon.settle()
    daemon.turn(b"set b 6")
    daemon.house.clock.passes(1.0)
    for _ in range(6):  # while a sync is under way, and behind it
        daemon.turn(b"incr b")
    daemon.stop()


def next_life(daemon: Daemon) -> None:
    """A few turns, and a snapshot at the end of them."""
    daemon.turn(b"set a 7")
    daemon.turn(b"multi", b"del a", b"set b 7", b"exec")
    daemon.saves()
    daemon.turn(b"set c 7")
    daemon.settle()
    daemon.turn(b"set a 8")
    daemon.stop()


def short_life(daemon: Daemon) -> None:
    """For the quick runs."""
    daemon.turn(b"multi", b"set a 2", b"rpush list x y z", b"exec")
    daemon.reads()
    daemon.turn(b"del a")
    daemon.seconds(1)
    daemon.turn(b"del list")
    daemon.saves()
    for _ in range(4):  # one of them in the commit in which the next segment takes over
        daemon.turn(b"incr a")
    daemon.settle()
    daemon.turn(b"set a 4")
    daemon.stop()


Lives = tuple[Callable[[Daemon], None], ...]
WHOLE: Lives = (first_life, next_life, next_life)
QUICK: Lives = (short_life, short_life)


@dataclass(frozen=True)
class Crash:
    """A disk after a crash, and what has to be on it."""

    where: str
    disk: CrashDisk
    story: Story
    is_killed: bool = False  # the process only: what was not synced still is not


def explore(run: Run, lives: Lives, judge: Judge) -> Iterator[Crash]:
    """Do this run, look at all that a crash at any call leaves, and give each that is new, to see
    how a second life goes."""
    disk = CrashDisk({SNAPSHOT: IMPORTED} if run.imports else {})
    judge.original = IMPORTED if run.imports else None
    story = Story([state_of(AS_IMPORTED if run.imports else {})], run.durability)
    story.watch(disk)
    found: list[Crash] = []
    daemon: Daemon | None = None

    def crash() -> None:
        if daemon is not None:
            daemon.listen()
        where = f"{run}, before call {disk.calls}"
        for key, files in judge.crash(disk, story, where):
            found.append(Crash(where, CrashDisk(files), _after(judge, key, story)))
        found.append(Crash(f"{where}, killed", disk.killed(), story.copy(), is_killed=True))

    disk.before = crash
    for life in lives:
        daemon = Daemon(
            disk,
            story,
            durability=run.durability,
            lag=run.lag,
            early=run.early,
            saves_at_end=run.saves_at_end,
        )
        daemon.start()
        life(daemon)
        story.ended()
        yield from found
        found.clear()
    crash()
    yield from found


def _after(judge: Judge, key: Key, story: Story) -> Story:
    """What is promised by a disk on which nothing is left unsynced: what is there."""
    state = judge.found[key]
    states = [state] if isinstance(state, int) else story.states
    return Story(states, story.durability)


SECOND: tuple[tuple[Effect, ...], ...] = (
    ((b"SET", b"second", b"1"), (b"RPUSH", b"second list", b"x")),
    ((b"SET", b"second", b"2"), (b"SELECT", b"5"), (b"SET", b"second", b"2")),
)


def second_daemon(crash: Crash, judge: Judge) -> None:
    """The same, of a whole daemon."""
    disk, story = crash.disk, crash.story
    story.watch(disk)
    daemon = Daemon(disk, story, durability=story.durability)

    def again() -> None:
        daemon.listen()
        judge.crash(disk, story, f"{crash.where}, then before call {disk.calls} of a daemon")

    disk.before = again
    daemon.start()
    short_life(daemon)
    story.ended()
    again()


def second_life(crash: Crash, judge: Judge) -> None:
    """Recover, go on for two turns, and crash at each call of it."""
    disk, story = crash.disk, crash.story
    story.watch(disk)

    def again() -> None:
        judge.crash(disk, story, f"{crash.where}, then before call {disk.calls}")

    disk.before = again
    life = Bare(disk, story, SALT)
    life.start()
    for done in SECOND:
        life.turn(done)
    again()
