"""twisted.cred's parts: who is who, for our checker, for others beside it, and for the realm."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.task import Clock

from memdbd import passwords
from memdbd.auth import (
    CertificateName,
    InTurn,
    IUser,
    Password,
    Realm,
    UsersChecker,
    checkers,
    hashing_of,
)
from memdbd.commands.table import COMMANDS, CONTAINERS
from memdbd.errors import ConfigError
from memdbd.limits import Alarms
from memdbd.passwords import Verdict
from memdbd.persistence.fs import FileSystem
from memdbd.rules import Names
from memdbd.users import Users

NAMES = Names(COMMANDS, CONTAINERS)
SALT = bytes(16)
SECRET = passwords.make(b"secret", SALT)
SHA256 = hashlib.sha256(b"secret").hexdigest()


def outcome(asked: Deferred[Any]) -> Any:
    """What is there by now: a result, or the error."""
    got: list[Any] = []
    asked.addBoth(got.append)
    return getattr(got[0], "value", got[0])


class Door:
    """Our checker, and the portal in front of it; hashes are made at once."""

    def __init__(self) -> None:
        clock = Clock()
        self.verdicts: list[Verdict] = []
        self.users = Users(NAMES)
        alarms = Alarms(clock.seconds, lambda sentence: None)
        hashing = hashing_of(
            self._at_once, lambda seconds, function: function(), alarms, clock.seconds
        )
        self.checker = UsersChecker(self.users, hashing, bytes)
        self.portal = Portal(Realm(self.users), [self.checker])

    def _at_once(self, work: Any) -> Deferred[Any]:
        return maybeDeferred(self._noted, work)

    def _noted(self, work: Any) -> Verdict:
        verdict: Verdict = work()
        self.verdicts.append(verdict)
        return verdict

    def lets_in(self, name: bytes, password: bytes) -> bytes | None:
        """The name of the user who came in."""
        came = outcome(self.portal.login(Password(name, password, "here"), None, IUser))
        return None if isinstance(came, UnauthorizedLogin) else came[1].name


@pytest.fixture
def door() -> Door:
    door = Door()
    door.users.set(b"ann", [b"on", b"#" + SECRET.encode(), b"+get"])
    return door


def test_a_user_comes_in_with_his_password_and_with_no_other(door: Door) -> None:
    assert door.lets_in(b"ann", b"secret") == b"ann"
    assert door.lets_in(b"ann", b"Secret") is None
    assert door.lets_in(b"ann", b"") is None


def test_nobody_comes_in_as_somebody_who_is_not_there(door: Door) -> None:
    assert door.lets_in(b"bob", b"secret") is None
    assert door.lets_in(b"", b"") is None


def test_a_user_without_a_password_comes_in_with_none(door: Door) -> None:
    door.users.set(b"bob", [b"on"])
    assert door.lets_in(b"bob", b"") is None
    assert door.lets_in(b"bob", b"None") is None


def test_a_user_who_needs_no_password_comes_in_with_any_and_nothing_is_hashed(door: Door) -> None:
    door.users.set(b"bob", [b"on", b"nopass"])
    assert door.lets_in(b"bob", b"whatever") == b"bob"
    assert door.verdicts == []


def test_a_user_who_is_off_stays_out_and_it_takes_as_long_to_say_so(door: Door) -> None:
    door.users.set(b"ann", [b"off"])
    assert door.lets_in(b"ann", b"secret") is None
    assert len(door.verdicts) == 1


def test_a_user_who_changes_while_his_password_is_looked_at_is_judged_as_he_is_then() -> None:
    door = Door()
    door.users.set(b"ann", [b"on", b"#" + SECRET.encode()])
    held: list[Any] = []

    def later(work: Any) -> Deferred[Any]:
        held.append((work, Deferred()))
        done: Deferred[Any] = held[-1][1]
        return done

    door.checker._hashing._in_thread = later
    asked = door.portal.login(Password(b"ann", b"secret", "here"), None, IUser)
    door.users.set(b"ann", [b"!" + SECRET.encode()])
    work, done = held[0]
    done.callback(work())
    assert isinstance(outcome(asked), UnauthorizedLogin)


def test_an_old_hash_is_replaced_when_its_password_is_seen(door: Door) -> None:
    upgraded: list[tuple[bytes, str, str]] = []
    door.checker.upgraded = lambda user, old, new: upgraded.append((user.name, old, new))
    door.users.set(b"old", [b"on", b"#" + SHA256.encode()])
    assert door.lets_in(b"old", b"wrong") is None
    assert upgraded == []
    assert door.lets_in(b"old", b"secret") == b"old"
    user = door.users.get(b"old")
    assert user is not None
    assert upgraded == [(b"old", SHA256, user.hashes[0])]
    assert user.hashes[0].startswith("$scrypt$")
    assert door.lets_in(b"old", b"secret") == b"old"
    assert len(upgraded) == 1


def test_a_password_is_no_key_of_the_queue(door: Door) -> None:
    door.checker._hashing._in_thread = lambda work: Deferred()
    for name in (b"ann", b"bob"):
        door.portal.login(Password(name, b"very secret", "here"), None, IUser)
    assert b"very secret" not in repr([*door.checker._hashing._jobs]).encode()


def test_attempts_that_are_alike_all_come_in_though_the_first_replaces_the_hash() -> None:
    door = Door()
    held: list[Any] = []

    def later(work: Any) -> Deferred[Any]:
        held.append((work, Deferred()))
        done: Deferred[Any] = held[-1][1]
        return done

    door.checker._hashing._in_thread = later
    door.users.set(b"old", [b"on", b"#" + SHA256.encode()])
    asked = [door.portal.login(Password(b"old", b"secret", "here"), None, IUser) for _ in range(3)]
    work, done = held[0]
    done.callback(work())
    assert [outcome(each)[1].name for each in asked] == [b"old"] * 3
    assert len(held) == 1


def test_an_attempt_is_not_judged_by_one_from_before_a_change(door: Door) -> None:
    door.checker._hashing._in_thread = lambda work: Deferred()
    door.portal.login(Password(b"ann", b"new", "here"), None, IUser)
    door.users.set(b"ann", [b"#" + passwords.make(b"new", SALT).encode()])
    door.portal.login(Password(b"ann", b"new", "here"), None, IUser)
    assert len(door.checker._hashing) == 1  # waits for a hash of its own


def test_a_certificate_names_a_user_who_is_there_and_on(door: Door) -> None:
    def named(name: bytes) -> Any:
        return outcome(door.portal.login(CertificateName(name), None, IUser))

    assert named(b"ann")[1].name == b"ann"
    assert isinstance(named(b"nobody"), UnauthorizedLogin)
    door.users.set(b"ann", [b"off"])
    assert isinstance(named(b"ann"), UnauthorizedLogin)


class Broken:
    """A checker that cannot ask whoever knows."""

    def requestAvatarId(self, credentials: object) -> Deferred[Any]:
        return fail(OSError("no answer"))


def in_turn(door: Door, *others: Any) -> Any:
    door.portal.registerChecker(InTurn([door.checker, *others]))
    return door


def test_whom_we_do_not_know_another_checker_may_know(door: Door) -> None:
    other = InMemoryUsernamePasswordDatabaseDontUse(carl=b"his", ann=b"also")
    in_turn(door, other)
    assert door.lets_in(b"carl", b"his") == b"default"  # whose rights he has
    assert door.lets_in(b"ann", b"also") == b"ann"
    assert door.lets_in(b"ann", b"secret") == b"ann"
    assert door.lets_in(b"carl", b"wrong") is None


def test_a_file_of_twisted_s_does_as_another_checker(door: Door, tmp_path: Path) -> None:
    path = tmp_path / "passwords"
    path.write_text("carl:his\nann:also\n")
    others, _ = checkers([f"file:{path}"], FileSystem())
    in_turn(door, *others)
    assert door.lets_in(b"carl", b"his") == b"default"
    assert door.lets_in(b"ann", b"also") == b"ann"
    assert door.lets_in(b"carl", b"also") is None


class Text:
    """A checker that gives the name as a text, as Twisted's for the users of the system does."""

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        return succeed(credentials.username.decode())


def test_a_name_may_be_a_text(door: Door) -> None:
    in_turn(door, Text())
    assert door.lets_in(b"ann", b"whatever") == b"ann"
    door.users.set(b"ann", [b"off"])
    assert door.lets_in(b"ann", b"whatever") is None


def test_a_checker_that_fails_lets_nobody_in_and_says_why(door: Door) -> None:
    in_turn(door, Broken())
    came = outcome(door.portal.login(Password(b"bob", b"x", "here"), None, IUser))
    assert isinstance(came, OSError)


def test_there_is_no_avatar_but_a_user(door: Door) -> None:
    with pytest.raises(NotImplementedError):
        Realm(door.users).requestAvatar(b"ann", None)


def test_other_credentials_of_twisted_do_too(door: Door) -> None:
    came = outcome(door.portal.login(UsernamePassword(b"ann", b"secret"), None, IUser))
    assert came[1].name == b"ann"


class TestTheSetting:
    def test_names_our_file_and_others(self, tmp_path: Path) -> None:
        others, file = checkers(["users:/etc/users", f"file:{tmp_path}/passwords"], FileSystem())
        assert file is not None
        assert file.path == "/etc/users"
        assert len(others) == 1

    def test_may_name_nothing(self) -> None:
        assert checkers([], FileSystem()) == ([], None)

    @pytest.mark.parametrize(
        ("wanted", "error"),
        [
            (["users"], "auth: 'users' is not one file of users, as in users:PATH"),
            (["users:"], "auth: 'users:' is not one file of users"),
            (["users:a", "users:b"], "auth: 'users:b' is not one file of users"),
            (["nonsense:x"], "auth: there is no checker 'nonsense'; those are file, "),
            (["memory"], "auth: memory: passwords are no part of a command line"),
            (["anonymous:x"], "auth: 'anonymous' does not look at passwords"),
            (["memory:ann:secret"], "auth: memory: passwords are no part of a command line"),
            (["file:"], "auth: file: "),
        ],
    )
    def test_of_something_else_says_what_would_be_right(
        self, wanted: list[str], error: str
    ) -> None:
        with pytest.raises(ConfigError) as refused:
            checkers(wanted, FileSystem())
        assert str(refused.value).startswith(error)
