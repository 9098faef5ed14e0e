"""What was refused of late for lack of permission, and log-ins that failed: ACL LOG.

Strategy: as Redis 7.0 (``addACLLogEntry`` in acl.c): what is alike within a minute is one entry
that counts. Of what a client sent, only names are kept.

May import: nothing of memdbd.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

SAME = 60.0  # seconds within which what is alike is one entry
_LOOKED_THROUGH = 10  # entries, for one that is alike
MAX_OBJECT = 1024  # bytes of a name that are kept: a key may be of any length


@dataclass(slots=True)
class Denial:
    """``reason`` is command, key, channel or auth; ``context`` is toplevel or multi; ``object`` the
    name of what was refused; ``client`` what CLIENT LIST tells of who asked, when it first did."""

    reason: str
    context: str
    object: bytes
    username: bytes
    client: str
    when: float
    count: int = 1


class Denials:
    """The last of them, the newest first. ``seconds()`` is the time."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.seconds = seconds
        self._entries: deque[Denial] = deque(maxlen=128)

    def note(self, reason: str, context: str, object: bytes, username: bytes, client: str) -> None:
        """Something was refused."""
        object, username = object[:MAX_OBJECT], username[:MAX_OBJECT]
        now = self.seconds()
        alike = (reason, context, object, username)
        for at, each in zip(range(_LOOKED_THROUGH), self._entries, strict=False):
            if alike == (each.reason, each.context, each.object, each.username) and (
                now - each.when <= SAME
            ):
                each.count += 1
                each.when = now
                each.client = client
                del self._entries[at]
                self._entries.appendleft(each)
                return
        if self._entries.maxlen != 0:
            self._entries.appendleft(Denial(*alike, client, now))

    def resize(self, length: int) -> None:
        """Keep so many."""
        self._entries = deque(list(self._entries)[:length], maxlen=length)

    def clear(self) -> None:
        self._entries.clear()

    def __iter__(self) -> Iterator[Denial]:
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        return len(self._entries)
