"""A daemon's life on a :class:`~crash.disk.CrashDisk`, driven turn by turn, and its story told.

:class:`Bare` is what a start does with the directory, and a journal that is written by a policy,
without the daemon around it: so little that it can be done on each of ten thousand disks.
"""

from __future__ import annotations

from collections.abc import Sequence

from crash.disk import DIRECTORY, CrashDisk
from crash.promises import Story, state_of_contents
from crash.stores import SNAPSHOT, TYPES, recovered

from memdbd import effects
from memdbd.effects import Effect
from memdbd.persistence.frames import number_of
from memdbd.persistence.journal import Journal, NextSegment
from memdbd.persistence.recovery import keep_torn, renew_last
from memdbd.persistence.replay import Replay
from memdbd.persistence.segments import find_segments
from memdbd.persistence.snapshot import remove_unfinished


class Bare:
    """Recovery, a new segment, and turns."""

    def __init__(self, disk: CrashDisk, story: Story, salt: int) -> None:
        self.disk = disk
        self.story = story
        self.salt = salt
        self.journal: Journal
        self._replay: Replay

    def start(self) -> None:
        remove_unfinished(self.disk, SNAPSHOT)
        found = recovered(self.disk)
        for _ in keep_torn(self.disk, found.torn):
            pass
        renew_last(self.disk, found)
        self._replay = Replay(TYPES, found.contents)
        following = NextSegment(self.disk, DIRECTORY, found.next_number, self.salt)
        self.journal = following.begin(found.last)
        for name in find_segments(self.disk, DIRECTORY):
            if (number_of(name) or 0) < found.first_needed:
                self.disk.remove(f"{DIRECTORY}/{name}")

    def turn(self, done: Sequence[Effect]) -> None:
        payload = effects.encode(done, 0)
        self._replay.apply(effects.decode(payload))
        turn = self.story.did(state_of_contents(self._replay.contents()))
        self.journal.append(payload)
        if self.story.always:
            self.journal.sync()
        self.story.hear(turn)
