"""Where memdbd differs from Redis on purpose. ``docs/protocol.md`` has the same list.

The table is to stay short: what is in it is not compared any more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from differential.compare import Difference
from differential.grammar.sequences import Sequence as Played
from differential.resp import shown_argument


@dataclass(frozen=True)
class Deliberate:
    """A difference on purpose, and why: patterns of the command and of both replies, as shown."""

    command: str
    redis: str
    memdbd: str
    reason: str

    def covers(self, command: str, difference: Difference) -> bool:
        """Whether this explains a difference."""
        return bool(
            re.fullmatch(self.command, command, re.IGNORECASE | re.DOTALL)
            and re.fullmatch(self.redis, difference.redis, re.DOTALL)
            and re.fullmatch(self.memdbd, difference.memdbd, re.DOTALL)
        )


DELIBERATE: Sequence[Deliberate] = ()


def is_deliberate(sequence: Played, difference: Difference) -> bool:
    """Whether a difference is one of the table's."""
    argv = sequence.requests[difference.at].argv if sequence.requests else ()
    command = " ".join(map(shown_argument, argv))
    return any(each.covers(command, difference) for each in DELIBERATE)
