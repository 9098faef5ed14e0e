"""What a line means to the server, for a client that only passes it on; pure.

Strategy: the client never splits a line to send it. Where it has to know what was asked (to show
``Setting …``, to leave at ``quit``), it asks the server's own parser, so the two cannot differ.

May import: the command table, the text dialect.
"""

from __future__ import annotations

from memdbd.commands.table import COMMANDS
from memdbd.dialects.text import LineRules, TextParser

_TEXT = {name: command.text for name, command in COMMANDS.items()}
_RULES = LineRules(_TEXT)
_ENDING = {name: command for name, command in _TEXT.items() if command.ends}


def words_of(line: bytes) -> list[bytes]:
    """The words that the server reads in a line; none where it cannot read it."""
    for request in TextParser(_RULES).feed(line + b"\n"):
        if isinstance(request, list):
            return request
    return []


def ends_session(line: bytes) -> bool:
    """Whether the line is a command after which the server closes the connection."""
    lowered = line.lower()
    if not any(name in lowered for name in _ENDING):
        return False  # nearly every line, without parsing it
    words = words_of(line)
    command = _ENDING.get(words[0].lower()) if words else None
    return command is not None and command.min_words <= len(words) <= command.max_words
