"""What of a request may be shown to people: in MONITOR, in the log of what is slow.

May import: spec.
"""

from __future__ import annotations

from collections.abc import Sequence

from memdbd.commands.spec import Command, Flag

REDACTED = b"(redacted)"


# Parameters whose values are, also those that only Redis has.
_PARAMETERS = frozenset(
    (b"requirepass", b"masterauth", b"tls-key-file-pass", b"tls-client-key-file-pass")
)


def without_secrets(command: Command, argv: Sequence[bytes]) -> Sequence[bytes]:
    """The words of a request, those that are secret replaced as Redis does it."""
    if command.name == "config set":
        return _without_values(argv)
    if not command.flags & Flag.SECRET:
        return argv
    shown = list(argv)
    for at in range(command.words, len(argv)):
        # HELLO has other options beside; a word too many is better than one too few.
        behind_auth = any(word.upper() == b"AUTH" for word in argv[max(1, at - 2) : at])
        if behind_auth or command.name != "hello":
            shown[at] = REDACTED
    return shown


def _without_values(argv: Sequence[bytes]) -> Sequence[bytes]:
    """The words of CONFIG SET, in which a value is behind each name."""
    return [
        REDACTED if at > 2 and at % 2 and argv[at - 1].lower() in _PARAMETERS else word
        for at, word in enumerate(argv)
    ]
