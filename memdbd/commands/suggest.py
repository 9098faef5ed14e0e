"""What was meant by a command that does not exist.

Two names are close when one deletion in each makes them equal: that covers a letter too many, one
too few, one wrong, and two swapped, and is found by looking up a handful of words in place of a
comparison with every command; whoever sends nothing but nonsense buys little time with it.
The idea is SymSpell's (W. Garbe, 2012). May import: errors, spec.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from memdbd.commands.spec import Command
from memdbd.errors import CommandError

MAX_NAME = 32  # bytes of a name that is worth a guess
SHOWN = 64  # bytes of a name that is shown
SHOWN_TO_REDIS = 128  # the same, and of the words behind it


def _deletions(name: bytes) -> list[bytes]:
    """The name, and the name with each one of its bytes left out."""
    return [name, *(name[:at] + name[at + 1 :] for at in range(len(name)))]


class Suggestions:
    """Finds the nearest of ``commands`` for a name that is none of them."""

    __slots__ = ("_near",)

    def __init__(self, commands: Mapping[bytes, Command]) -> None:
        self._near: dict[bytes, str] = {}
        for name, command in commands.items():
            for near in _deletions(name):
                self._near.setdefault(near, command.name)

    def unknown(self, name: bytes) -> CommandError:
        """The error for a line of the text dialect that starts with ``name``."""
        shown = name[:SHOWN].decode("utf-8", "backslashreplace")
        text = f"unknown command '{shown}{'…' if len(name) > SHOWN else ''}'"
        if len(name) <= MAX_NAME:
            for near in _deletions(name.lower()):
                if near in self._near:
                    return CommandError(f"{text}, did you mean '{self._near[near]}'?")
        return CommandError(f"{text}, try 'help'")


def unknown_to_redis(argv: Sequence[bytes]) -> CommandError:
    """The error for the same in Redis's words (``processCommand`` in server.c)."""
    beginning = b""
    for word in argv[1:]:
        if len(beginning) >= SHOWN_TO_REDIS:
            break
        beginning += b"'%b' " % _shown(word, SHOWN_TO_REDIS - len(beginning))
    text = b"unknown command '%b', with args beginning with: %b" % (
        _shown(argv[0], SHOWN_TO_REDIS),
        beginning,
    )
    return CommandError(text.decode("utf-8", "surrogateescape"))


def _shown(word: bytes, most: int) -> bytes:
    """As much of a word as C shows of a string."""
    return word[:most].partition(b"\0")[0]
