"""Where memdbd differs from Redis on purpose. ``docs/protocol.md`` has the same list.

The table is to stay short: what is in it is not compared any more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from differential.compare import Difference
from differential.players import CLOSED
from differential.resp import shown_argument


@dataclass(frozen=True)
class Deliberate:
    """A difference on purpose, and why: patterns of the command and of both replies, as shown.

    ``besides`` is a pattern of what may differ: the replies are to be the same without it.
    """

    command: str
    reason: str
    redis: str = ".*"
    memdbd: str = ".*"
    besides: str = ""

    def covers(self, command: str, redis: str, memdbd: str) -> bool:
        """Whether this explains a difference between two replies."""
        if not (
            re.fullmatch(self.command, command, re.IGNORECASE | re.DOTALL)
            and re.fullmatch(self.redis, redis, re.DOTALL)
            and re.fullmatch(self.memdbd, memdbd, re.DOTALL)
        ):
            return False
        return not self.besides or self._rest(redis) == self._rest(memdbd)

    def _rest(self, reply: str) -> str:
        return re.sub(self.besides, "", reply, flags=re.DOTALL)


_CLOSED = re.escape(repr(CLOSED))


def _notified(channel: str, message: str) -> str:
    """A pattern of what is heard of an event."""
    end = r"\\r\\n"
    head = end.join((r"[*>]4", r"\$8", "pmessage", r"\$10", r"__key\*__:\*"))
    return end.join((head, r"\$\d+", channel, r"\$\d+", message, ""))


_TO = re.compile(r"^to \d: ")  # which client heard it

DELIBERATE: Sequence[Deliberate] = (
    Deliberate(
        r"sort(_ro)? .*",
        "Redis remembers that an earlier number was too small, and blames those of SORT",
        redis=r"b\"-ERR One or more scores can't be converted into double.*",
        memdbd=r"b'[*:].*",
    ),
    Deliberate(
        r"geosearch(store)? .*",
        "an error names the command in capitals, not as it was typed",
        besides=r"(?i)for geosearch(store)?",
    ),
    Deliberate(
        r"command getkeys eval .*",
        "there are no scripts",
        memdbd=r"b'-ERR Invalid command specified.*",
    ),
    Deliberate(
        r"command info .*(eval|xadd).*",
        "there are no scripts and no streams",
        memdbd=r".*(_|\$-1)\\r\\n.*",
    ),
    Deliberate(
        r"command getkeysandflags .*",
        "a key's flags are those of its command: read, or written",
        besides=r"[*~]\d+\\r\\n(\+\w+\\r\\n)+",
    ),
    Deliberate(
        r"config set .*maxmemory-policy .*",
        "what is not evicted by is not accepted",
        redis=r"b'\+OK.*",
        memdbd=r".*memdbd evicts by.*",
    ),
    Deliberate(
        r"flush(all|db).*",
        "the null that tells of a flush is that of the version of whoever is told",
        redis=r".*invalidate.*",
        memdbd=r".*invalidate.*",
        besides=r"(>2\\r\\n\$10\\r\\ninvalidate\\r\\n)?(_|\$-1)\\r\\n",
    ),
    Deliberate(
        r".*",
        "who is closed by what he has set going, still gets his reply",
        redis=_CLOSED,
        memdbd=rf"b.+{_CLOSED[2:]}",
    ),
    Deliberate(
        r"client kill .*|quit",
        "who wants no replies and ends himself, is closed",
        redis=r"b''",
        memdbd=_CLOSED,
    ),
    Deliberate(
        r"lolwut version .*",
        "nothing is drawn, so it does not matter how large",
        redis=r"b'-ERR value is not an integer.*",
        memdbd=r"b'[$=].*",
    ),
    Deliberate(
        r"restore .*",
        "a time beyond 64 bits is an error, not one that has passed",
        redis=r"b'\+OK.*",
        memdbd=r".*invalid expire time.*",
    ),
    Deliberate(
        r"bitfield .*fail.*|exec",
        "a key that comes to be is announced, even if nothing could be written to it",
        redis=r"(?!.*setbit).*",
        memdbd=r".*setbit.*",
        besides=_notified(r"__keyspace@\d+__:[^\\]*", "setbit")
        + "|"
        + _notified(r"__keyevent@\d+__:setbit", r"[^\\]*"),
    ),
)


def why(difference: Difference) -> str:
    """The reason for a difference that is one of the table's; nothing for any other."""
    command = " ".join(map(shown_argument, difference.argv))
    replies = [_TO.sub("", shown) for shown in (difference.redis, difference.memdbd)]
    reasons = (each.reason for each in DELIBERATE if each.covers(command, *replies))
    return next(reasons, "")
