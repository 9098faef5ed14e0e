"""What was promised to the clients of a store, and whether an image keeps it.

A :class:`Story` is told by whoever drives the store: what was in it after each turn, in order, and
up to which turn the clients have heard. The disk adds what was synced by then. A :class:`Judge`
starts from images. Of each the data has to be what it was after one of the turns, whole; not after
an earlier one than was promised; and the start must not be refused, since a crash is no damage.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b

from crash.disk import CrashDisk, Files
from crash.images import ALL_KINDS, Kinds, images
from crash.stores import Facts, facts, recovered

from memdbd.errors import StorageError
from memdbd.keyspace import Contents
from memdbd.persistence.frames import number_of

State = int  # a number for all that is in a store: the same facts, the same number
Key = bytes  # the same for all the bytes on a disk


def state_of(found: Facts) -> State:
    return hash(repr(sorted(found.items())))


def state_of_contents(contents: Contents) -> State:
    return state_of(facts(contents))


def key_of(files: Files) -> Key:
    digest = blake2b(digest_size=16)
    for path in sorted(files):
        digest.update(b"%d %d " % (len(path), len(files[path])))
        digest.update(path.encode())
        digest.update(files[path])
    return digest.digest()


class Story:
    """What was done, turn by turn, and how much of it nobody may lose: ``heard`` is the last turn
    of which a client knows, ``durable`` the last that has to survive the loss of power."""

    LATEST = 2.0  # seconds of writes that may be lost under everysec

    def __init__(self, states: Iterable[State], durability: str, durable: int = 0) -> None:
        self.states = [*states]
        self.durability = durability
        self.heard = len(self.states) - 1
        self.durable = durable
        self.has_dropped = False  # the disk what was not synced, and nothing was synced since
        self.now: Callable[[], float] = lambda: 0.0
        self._times: list[tuple[float, int]] = []  # when each turn was heard of

    @property
    def always(self) -> bool:
        return self.durability == "always"

    def copy(self) -> Story:
        """The story of another disk, which goes on from here."""
        other = Story(self.states, self.durability, self.durable)
        other.heard = self.heard
        return other

    def did(self, state: State) -> int:
        """A turn has changed what is in the store; gives its number."""
        if state != self.states[-1]:
            self.states.append(state)
        return len(self.states) - 1

    def go_on_from(self, state: State) -> None:
        """The disk has dropped what was not synced; this is what the next process finds."""
        if self.has_dropped and state in self.states[self.durable :]:
            del self.states[self.states.index(state, self.durable) + 1 :]
            self.heard = len(self.states) - 1
            self._times.clear()
            self.has_dropped = False

    def ended(self) -> None:
        """The daemon has stopped in order, so that all is on disk, whatever the policy."""
        self.heard = self.durable = len(self.states) - 1
        self.has_dropped = False

    def hear(self, turn: int) -> None:
        """A client knows of this turn, by its reply or because it has seen what it did."""
        if turn <= self.heard:
            return
        self.heard = turn
        if self.durability == "always":
            self.durable = turn
        elif self.durability == "everysec":
            now = self.now()
            self._times.append((now, turn))
            # However late the disk is: what is at stake are no more than two seconds of writes.
            while self._times[0][0] < now - self.LATEST:
                self.durable = max(self.durable, self._times.pop(0)[1])

    def watch(self, disk: CrashDisk) -> None:
        """What is heard of and then synced has to survive."""

        def synced(path: str) -> None:
            if number_of(os.path.basename(path)) is not None:
                self.durable = max(self.durable, self.heard)
                self.has_dropped = False

        def dropped(path: str) -> None:
            self.has_dropped = True

        disk.synced = synced
        disk.dropped = dropped

    @property
    def kept(self) -> int:
        """The last turn that has to survive the end of the process."""
        return self.durable if self.has_dropped else self.heard


class Judge:
    """Looks at each image once, counts them, and keeps the violations. ``found`` has what was found
    on each, by this judge and perhaps by others before; a str is why the start was refused.

    ``original``: the bytes of a file that has to be there for ever, whatever its name.
    """

    def __init__(
        self, kinds: Kinds = ALL_KINDS, found: dict[Key, State | str] | None = None
    ) -> None:
        self.kinds = kinds
        self.original: bytes | None = None
        self.found = {} if found is None else found
        self.by_kind: Counter[str] = Counter()  # of the distinct images
        self.checks = 0
        self.violations: list[str] = []

    @property
    def states(self) -> int:
        """How many distinct images there were."""
        return len(self.found)

    def crash(self, disk: CrashDisk, story: Story, where: str) -> list[tuple[Key, Files]]:
        """Look at all that this disk may be after a crash now; gives the images that are new."""
        live = disk.files()
        new = self._check("killed", live, story, story.kept, where)
        for kind, files in images(disk, self.kinds):
            new += self._check(kind, files, story, story.durable, where)
        return new

    def images_of(self, disk: CrashDisk) -> Iterator[tuple[str, Files]]:
        """All that a crash now may leave."""
        yield "killed", disk.files()
        yield from images(disk, self.kinds)

    def _check(
        self, kind: str, files: Files, story: Story, promised: int, where: str
    ) -> list[tuple[Key, Files]]:
        self.checks += 1
        key = key_of(files)
        found = self.found.get(key)
        is_new = found is None
        if found is None:
            self.by_kind[kind] += 1
            found = self.found[key] = self._start(files)
        fault = self._fault(found, story, promised)
        if not fault and self.original is not None and self.original not in files.values():
            fault = "the file that was imported is gone, and so is its copy"
        if fault:
            self.violations.append(f"{where}, {kind}: {fault}")
        return [(key, files)] if is_new else []

    def _start(self, files: Files) -> State | str:
        try:
            return state_of_contents(recovered(CrashDisk(files)).contents)
        except StorageError as error:
            return str(error)

    def _fault(self, found: State | str, story: Story, promised: int) -> str:
        if isinstance(found, str):
            return f"refused: {found}"
        states = story.states
        if found in states[promised:]:
            return ""
        if found in states:
            return f"turn {states.index(found)} is the last, and {promised} were promised"
        return f"this is not what was there after any turn from {promised} to {len(states) - 1}"
