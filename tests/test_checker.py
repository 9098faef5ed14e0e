"""Our file of users as a checker for any program that has ``--auth``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness import outcome
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import ICheckerFactory, findCheckerFactory, makeChecker
from twisted.internet.defer import maybeDeferred
from zope.interface.verify import verifyObject

from memdbd import passwords
from memdbd.errors import ConfigError

SALT = b"0123456789abcdef"
HASH = passwords.make(b"sesame", SALT)
SHA256 = "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90"  # of "alice"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    path.write_text(
        "# people\n"
        f"user ada on #{HASH} ~* +@all\n"
        f"user bob on #{SHA256} +get\n"
        f"user eve off #{HASH} ~* +@all\n"
        "user guest on nopass +ping\n"
    )
    return path


def asked(checker: Any, name: Any, password: Any) -> Any:
    """What the checker says of credentials; its work is done at once."""
    checker._in_thread = maybeDeferred
    return outcome(checker.requestAvatarId(UsernamePassword(name, password)))


def test_is_found_by_twisted_and_is_what_it_has_to_be(file: Path) -> None:
    factory = findCheckerFactory("users")
    verifyObject(ICheckerFactory, factory)
    assert list(factory.credentialInterfaces) == [IUsernamePassword]
    checker = makeChecker(f"users:{file}")
    verifyObject(ICredentialsChecker, checker)
    assert list(checker.credentialInterfaces) == [IUsernamePassword]


@pytest.mark.parametrize(
    ("name", "password", "is_let_in"),
    [
        ("ada", "sesame", True),
        ("ada", "Sesame", False),
        ("ada", "", False),
        ("bob", "alice", True),
        ("bob", "sesame", False),
        ("eve", "sesame", False),
        ("guest", "whatever", True),
        ("nobody", "sesame", False),
        ("default", "sesame", False),
    ],
)
def test_knows_who_may_log_in(file: Path, name: str, password: str, is_let_in: bool) -> None:
    checker = makeChecker(f"users:{file}")
    for text in (str, str.encode):
        said = asked(checker, text(name), text(password))
        if is_let_in:
            assert said == name.encode()
        else:
            assert isinstance(said, UnauthorizedLogin)


def test_the_file_is_read_at_each_log_in_and_never_written(file: Path) -> None:
    checker = makeChecker(f"users:{file}")
    before = file.stat().st_mtime_ns
    assert asked(checker, "bob", "alice") == b"bob"
    assert file.stat().st_mtime_ns == before
    file.write_text("user carol on nopass\n")
    assert isinstance(asked(checker, "bob", "alice"), UnauthorizedLogin)
    assert asked(checker, "carol", "x") == b"carol"
    file.write_text("nonsense\n")
    assert isinstance(asked(checker, "carol", "x"), ConfigError)


def test_whoever_is_asked_for_it_takes_the_same_work(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checker = makeChecker(f"users:{file}")
    made: list[object] = []
    digest: Any = passwords._digest

    def counted(*arguments: Any) -> Any:
        made.append(arguments)
        return digest(*arguments)

    monkeypatch.setattr(passwords, "_digest", counted)
    counts = []
    for name in ("ada", "bob", "eve", "guest", "nobody"):
        made.clear()
        asked(checker, name, "sesame")
        counts.append(len(made))
    assert counts == [1, 1, 1, 1, 1]


@pytest.mark.parametrize("argument", ["users", "users:", "users:/nowhere/users"])
def test_a_file_that_cannot_be_read_is_refused_at_once(argument: str) -> None:
    with pytest.raises(ConfigError):
        makeChecker(argument)
