"""What of a request may be shown."""

from __future__ import annotations

import pytest
from parties import Party

from memdbd.commands.secrets import without_secrets
from memdbd.commands.table import COMMANDS, CONTAINERS


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
        ("acl setuser u on >secret ~a", "acl setuser" + " (redacted)" * 4),
        ("ACL SETUSER u (>secret)", "ACL SETUSER (redacted) (redacted)"),
        ("acl deluser u", "acl deluser u"),
        ("acl whoami", "acl whoami"),
        ("config set requirepass secret", "config set requirepass (redacted)"),
        (
            "CONFIG SET timeout 5 RequirePass secret save x masterauth secret",
            "CONFIG SET timeout 5 RequirePass (redacted) save x masterauth (redacted)",
        ),
        (
            "config set timeout requirepass maxmemory 5",
            "config set timeout requirepass maxmemory 5",
        ),
        ("config set requirepass", "config set requirepass"),
        ("config get requirepass", "config get requirepass"),
    ],
)
def test_words_that_are_secret_are_blotted_out(request_: str, shown: str) -> None:
    argv = request_.encode().split()
    container = CONTAINERS.get(argv[0].lower())
    command = COMMANDS[argv[0].lower()] if container is None else container.find(argv)
    assert b" ".join(without_secrets(command, argv)).decode() == shown


# Each has the password "secret" in it.
TELLTALE = [
    "AUTH secret",
    "AUTH u secret",
    "AUTH u secret too much",
    "HELLO 3 AUTH u secret",
    "HELLO 2 AUTH u secret SETNAME x",
    "ACL SETUSER u on >secret",
    "ACL SETUSER u <secret",
    "ACL SETUSER u >secret +nosuch",
    "ACL SETUSER u '(>secret)'",
    "CONFIG SET requirepass secret",
]


@pytest.mark.parametrize("line", TELLTALE)
def test_monitor_and_the_slow_log_show_no_password(line: str) -> None:
    party = Party()
    party.says("m", "MONITOR")
    party.says("s", "CONFIG SET slowlog-log-slower-than 0")
    party.sends("a", line)
    seen = [party.heard()]
    party.house.passes(1)
    party.sends("b", "MULTI")
    party.sends("b", line)
    party.sends("b", "EXEC")
    seen.append(party.heard())
    party.house.passes(1)
    seen += [party.heard(), {"s": party.says("s", "SLOWLOG GET -1")}]
    assert "(redacted)" in str(seen[-1])
    assert "secret" not in str(seen)


def test_the_log_of_refusals_shows_none() -> None:
    party = Party()
    party.says("a", "AUTH u secret")
    party.house.passes(1)
    assert "secret" not in str(party.says("m", "ACL LOG"))
