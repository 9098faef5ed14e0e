"""What of a request may be shown."""

from __future__ import annotations

import pytest

from memdbd.commands.secrets import without_secrets
from memdbd.commands.table import COMMANDS


@pytest.mark.parametrize(
    ("request_", "shown"),
    [
        ("get k", "get k"),
        ("AUTH secret", "AUTH (redacted)"),
        ("auth auth secret", "auth (redacted) (redacted)"),
        ("hello 3 setname me", "hello 3 setname me"),
        ("hello 3 auth me secret setname me", "hello 3 auth (redacted) (redacted) setname me"),
        ("HELLO 3 SETNAME auth AUTH u p", "HELLO 3 SETNAME auth (redacted) (redacted) (redacted)"),
        ("HELLO 3 AUTH secret", "HELLO 3 AUTH (redacted)"),
    ],
)
def test_words_that_are_secret_are_blotted_out(request_: str, shown: str) -> None:
    argv = request_.encode().split()
    command = COMMANDS[argv[0].lower()]
    assert b" ".join(without_secrets(command, argv)).decode() == shown
