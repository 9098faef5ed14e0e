"""What a line means to the server, for a client that only passes it on; pure.

Strategy: the client never splits a line to send it. Where it has to know what was asked (to show
``Setting …``, to leave at ``quit``, to wait for as long as ``blpop`` does), it asks the server's
own parser, so the two cannot differ.

May import: the command table, the text dialect.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from memdbd.commands.spec import Flag
from memdbd.commands.table import COMMANDS
from memdbd.dialects.text import LineRules, TextParser

_TEXT = {name: command.text for name, command in COMMANDS.items()}
_RULES = LineRules(_TEXT)
_LEAVING = {name: _TEXT[name] for name in (b"exit", b"quit")}
# In Redis's table, and so in ours, WAIT does not count as blocking.
_BLOCKING = frozenset(
    name for name, command in _TEXT.items() if command.flags & Flag.BLOCKING or name == b"wait"
)
_LISTENING = frozenset({b"subscribe", b"psubscribe", b"ssubscribe", b"monitor"})
# Nearly no line has any of these names in it, and needs no parsing.
_MAY_LEAVE = re.compile(b"|".join(_LEAVING), re.IGNORECASE)
_MAY_WAIT = re.compile(b"|".join(_BLOCKING), re.IGNORECASE)


def words_of(line: bytes) -> list[bytes]:
    """The words that the server reads in a line; none where it cannot read it."""
    for request in TextParser(_RULES).feed(line + b"\n"):
        if isinstance(request, list):
            return request
    return []


def ends_session(line: bytes) -> bool:
    """Whether the line only says that whoever sends it wants to leave."""
    if not _MAY_LEAVE.search(line):
        return False
    words = words_of(line)
    command = _LEAVING.get(words[0].lower()) if words else None
    return command is not None and command.min_words <= len(words) <= command.max_words


def line_waits(line: bytes) -> bool:
    """Whether :func:`waits` holds for the words of a line."""
    return _MAY_WAIT.search(line) is not None and waits(words_of(line))


def waits(words: Sequence[bytes]) -> bool:
    """Whether the server may let the reply wait as long as the request itself says."""
    return bool(words) and words[0].lower() in _BLOCKING


def listens(words: Sequence[bytes]) -> bool:
    """Whether it is what comes behind its reply that a command is sent for."""
    return bool(words) and words[0].lower() in _LISTENING
