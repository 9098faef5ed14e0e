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
    """A difference on purpose, and why: patterns of the command and of both replies.

    ``besides`` is a pattern of what may be different: without it, the replies are the same.
    ``moved`` is one of what may be elsewhere: as ``besides``, but it is there in both.
    """

    command: str
    reason: str
    redis: bytes = b".*"
    memdbd: bytes = b".*"
    besides: bytes = b""
    moved: bytes = b""

    def covers(self, command: str, redis: bytes, memdbd: bytes) -> bool:
        """Whether this explains a difference between two replies."""
        return bool(
            re.fullmatch(self.command, command, re.IGNORECASE | re.DOTALL)
            and re.fullmatch(self.redis, redis, re.DOTALL)
            and re.fullmatch(self.memdbd, memdbd, re.DOTALL)
            and (not self.besides or _without(self.besides, redis, memdbd))
            and (not self.moved or _moved(self.moved, redis, memdbd))
        )


def _without(pattern: bytes, one: bytes, other: bytes) -> bool:
    """Whether two replies are the same where they do not match."""
    rests = [re.sub(pattern, b"", each, flags=re.DOTALL) for each in (one, other)]
    return rests[0] == rests[1]


def _moved(pattern: bytes, one: bytes, other: bytes) -> bool:
    """Whether two replies are the same but for the places of what matches."""
    pieces = [
        sorted(match[0] for match in re.finditer(pattern, each, re.DOTALL)) for each in (one, other)
    ]
    return pieces[0] == pieces[1] and _without(pattern, one, other)


_NULL = rb"(_|\$-1)\r\n"
_TEXT = rb"\$\d+\r\n.*?\r\n"
_INVALIDATE = rb">2\r\n\$10\r\ninvalidate\r\n"
_INVALIDATION = _INVALIDATE + rb"(\*1\r\n" + _TEXT + rb"|" + _NULL + rb")"
_MESSAGE = rb"[>*][34]\r\n\$[78]\r\n[ps]?message\r\n(" + _TEXT + rb"){2,3}"
_SETBIT = (
    rb"[>*]4\r\n\$8\r\npmessage\r\n\$10\r\n__key\*__:\*\r\n\$\d+\r\n"
    rb"(__keyevent@\d+__:setbit\r\n" + _TEXT + rb"|__keyspace@\d+__:\w+\r\n\$6\r\nsetbit\r\n)"
)
_CLOSED = re.escape(CLOSED)

DELIBERATE: Sequence[Deliberate] = (
    Deliberate(
        r"sort(_ro)? .*",
        "Redis remembers that an earlier number was too small, and blames those of SORT",
        redis=rb"-ERR One or more scores can't be converted into double\r\n",
        memdbd=rb"[*:].*",
    ),
    Deliberate(
        r"bitfield .*fail.*|exec",
        "a key that comes to be is announced, even if nothing could be written to it",
        redis=rb"(?!.*setbit).*",
        besides=_SETBIT,
    ),
    Deliberate(
        r"(?=.*-9223372036854775808)lpos .*count.*",
        "COUNT holds with the least rank, whose opposite overflows in Redis",
        redis=rb"\*.*",
        memdbd=rb"\*.*",
    ),
    Deliberate(
        r"restore .*",
        "a time beyond 64 bits is an error, not one that has passed",
        redis=rb"\+OK\r\n",
        memdbd=rb"-ERR invalid expire time in 'restore' command\r\n",
    ),
    Deliberate(
        r"geosearch(store)? .*",
        "an error names the command in capitals, not as it was typed",
        redis=rb"-ERR exactly one of .*",
        besides=rb"(?i)for geosearch(store)?",
    ),
    Deliberate(
        r"exec",
        "what a transaction sends to its own connection comes in front of the array, not inside",
        redis=rb"\*.*",
        moved=_MESSAGE + rb"|" + _INVALIDATION,
    ),
    Deliberate(
        r"flush(all|db).*|exec",
        "the null that tells of a flush is that of the version of whoever is told",
        redis=rb".*invalidate.*",
        memdbd=rb".*invalidate.*",
        besides=rb"(" + _INVALIDATE + rb")?" + _NULL,
    ),
    Deliberate(
        r".*",
        "who is closed by what he has set going, still gets his reply",
        redis=_CLOSED,
        memdbd=rb".+" + _CLOSED,
    ),
    Deliberate(
        r"client kill .*|quit",
        "who wants no replies and ends himself, is closed",
        redis=rb"",
        memdbd=_CLOSED,
    ),
    Deliberate(
        r".*",  # not always that one: some before it may have had no reply
        "hiredis does not tell a simple string from a bulk string",
        redis=rb"-ERR Protocol error: expected '\$', got '\+'\r\n",
        memdbd=rb"\+PONG\r\n",
    ),
    Deliberate(
        r"config set .*maxmemory-policy .*",
        "what is not evicted by is not accepted",
        redis=rb"\+OK\r\n",
        memdbd=rb".*memdbd evicts by.*",
    ),
    Deliberate(
        r"command info .*(eval|xadd).*",
        "there are no scripts and no streams",
        memdbd=rb".*" + _NULL + rb".*",
    ),
    Deliberate(
        r"command getkeys eval .*",
        "there are no scripts",
        memdbd=rb"-ERR Invalid command specified\r\n",
    ),
    Deliberate(
        r"command getkeys(andflags)? .*",
        "a number of keys is read as the command itself reads it",
        redis=rb"\*.*",
        memdbd=rb"-ERR Invalid arguments specified for command\r\n",
    ),
    Deliberate(
        r"command getkeys(andflags)? georadius.* store(dist)? .* store(dist)? .*",
        "all keys that may be stored to are told, not the first of several",
        redis=rb"\*.*",
        memdbd=rb"\*.*",
    ),
    Deliberate(
        r"command getkeysandflags .*",
        "a key's flags are those of its command: read, or written",
        besides=rb"[*~]\d+\r\n(\+\w+\r\n)+",
    ),
    Deliberate(
        r"wait .*",
        "a number of replicas is not cut to 32 bits, so it is waited for",
        redis=rb":0\r\n",
        memdbd=rb"",
    ),
    Deliberate(
        r"lolwut version .*",
        "nothing is drawn, so it does not matter how large",
        redis=rb"-ERR value is not an integer or out of range\r\n",
        memdbd=rb"[$=].*",
    ),
)


def why(difference: Difference) -> str:
    """The reason for a difference that is one of the table's; nothing for any other."""
    command = " ".join(map(shown_argument, difference.argv))
    reasons = (each.reason for each in DELIBERATE if each.covers(command, *difference.replies))
    return next(reasons, "")
