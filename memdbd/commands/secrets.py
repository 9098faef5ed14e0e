"""What of a request may be shown to people: in MONITOR, in the log of what is slow.

May import: spec.
"""

from __future__ import annotations

from collections.abc import Sequence

from memdbd.commands.spec import Command, Flag

REDACTED = b"(redacted)"


def without_secrets(command: Command, argv: Sequence[bytes]) -> Sequence[bytes]:
    """The words of a request, those that are secret replaced as Redis does it."""
    if not command.flags & Flag.SECRET:
        return argv
    shown = list(argv)
    for at in range(command.words, len(argv)):
        # HELLO has other options beside; a word too many is better than one too few.
        behind_auth = any(word.upper() == b"AUTH" for word in argv[max(1, at - 2) : at])
        if behind_auth or command.name != "hello":
            shown[at] = REDACTED
    return shown
