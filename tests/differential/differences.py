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
        """Whether this explains a difference."""
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
        besides=r"_\\r\\n|\$-1\\r\\n",
    ),
    Deliberate(
        r".*",
        "who is closed by what he has set going, still gets his reply",
        redis=rf"to \d: {_CLOSED}",
        memdbd=rf"to \d: b.*{_CLOSED[2:]}",
    ),
)


def is_deliberate(difference: Difference) -> bool:
    """Whether a difference is one of the table's."""
    command = " ".join(map(shown_argument, difference.argv))
    return any(each.covers(command, difference.redis, difference.memdbd) for each in DELIBERATE)
