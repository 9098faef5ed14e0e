"""Who somebody is: twisted.cred's realm and checkers.

A :class:`~twisted.cred.portal.Portal` asks the checkers: ours, which knows the users and their
hashes, then those that ``--auth`` names beside it. The realm's avatar is the
:class:`~memdbd.users.User`, with the permissions that go with it. Somebody whom another checker
knows and the users do not is the user ``default``, as far as his rights go.

May import: errors, hashing, passwords, users, usersfile, persistence.fs, Twisted.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import ICredentials, IUsernamePassword, UsernamePassword
from twisted.cred.error import LoginFailed, UnauthorizedLogin
from twisted.cred.portal import IRealm
from twisted.cred.strcred import InvalidAuthType, findCheckerFactories, makeChecker
from twisted.internet.defer import Deferred, fail, inlineCallbacks, succeed
from zope.interface import Interface, implementer

from memdbd import passwords
from memdbd.errors import ConfigError
from memdbd.hashing import CallLater, Hashing, InThread
from memdbd.limits import Alarms
from memdbd.passwords import SALT_BYTES, Verdict
from memdbd.persistence.fs import FileSystem
from memdbd.users import User, Users
from memdbd.usersfile import UsersFile

RandomBytes = Callable[[int], bytes]

MEMORY = "memory"  # Twisted's checker that is told passwords where all can read them
USERS = "users"  # the checker of --auth that is ours, with the path of the file


class IUser(Interface):
    """What a client is given that has logged in: a :class:`~memdbd.users.User`."""


class ICertificateName(ICredentials):
    """A name that a verified certificate gives its owner."""


@implementer(ICertificateName)
class CertificateName:
    def __init__(self, name: bytes) -> None:
        self.name = name


class Password(UsernamePassword):
    """A user's name and password, and the host that they come from."""

    def __init__(self, username: bytes, password: bytes, host: str) -> None:
        super().__init__(username, password)
        self.host = host


@implementer(ICredentialsChecker)
class UsersChecker:
    """Knows the users and their passwords.

    ``upgraded(user, old, new)`` is called when a password has got a better hash.
    """

    credentialInterfaces = (IUsernamePassword, ICertificateName)

    def __init__(self, users: Users, hashing: Hashing, random_bytes: RandomBytes) -> None:
        self._users = users
        self._hashing = hashing
        self._random_bytes = random_bytes
        self._secret = random_bytes(32)
        self.upgraded: Callable[[User, str, str], object] = lambda user, old, new: None

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        """The name of the user whose credentials they are; fails with UnauthorizedLogin."""
        if isinstance(credentials, CertificateName):
            known = self._users.get(credentials.name) is not None
            return succeed(credentials.name) if known else fail(UnauthorizedLogin())
        name, password = credentials.username, credentials.password
        user = self._users.get(name)
        if user is not None and user.is_open:
            return succeed(name)
        # Alike is an attempt that would be judged alike. A key is no place for a password.
        digest = hmac.digest(self._secret, password, "sha256")
        alike = name, digest, self._users.version_of(name)
        asked = self._hashing.ask(
            alike, getattr(credentials, "host", "?"), partial(self._begin, name, password)
        )
        return asked.addCallback(self._judge, name)

    def _begin(self, name: bytes, password: bytes) -> Callable[[], Verdict]:
        user = self._users.get(name)
        hashes = () if user is None else user.hashes
        salt = self._random_bytes(SALT_BYTES)
        return partial(passwords.verify, password, hashes, salt, self._users.work())

    def _judge(self, verdict: Verdict, name: bytes) -> bytes:
        user = self._users.get(name)
        # It may have changed since; also by the same log-in on another connection.
        if user is None or not user.enabled or {*verdict}.isdisjoint(user.hashes):
            raise UnauthorizedLogin
        if verdict.better is not None and verdict.hash in user.hashes:
            self._users.replace_hash(user, verdict.hash, verdict.better)
            self.upgraded(user, verdict.hash, verdict.better)
        return name


@implementer(ICredentialsChecker)
class InTurn:
    """Several checkers of passwords, asked one after another until one knows who it is."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, checkers: Sequence[Any]) -> None:
        self._checkers = checkers

    @inlineCallbacks
    def requestAvatarId(self, credentials: Any) -> Any:
        for checker in self._checkers:
            try:
                name = yield checker.requestAvatarId(credentials)
            except LoginFailed:
                continue
            return name
        raise UnauthorizedLogin


@implementer(IRealm)
class Realm:
    """Gives whoever has logged in the user that he is."""

    def __init__(self, users: Users) -> None:
        self._users = users

    def requestAvatar(
        self, avatarId: Any, mind: object, *interfaces: Any
    ) -> tuple[Any, User, Callable[[], None]]:
        if IUser not in interfaces:
            raise NotImplementedError("there is no avatar but a user")
        # Of Twisted's own checkers, one for the users of the system gives a text.
        user = self._users.get(avatarId.encode() if isinstance(avatarId, str) else avatarId)
        if user is None:
            return IUser, self._users.default, _nothing
        if not user.enabled:
            raise UnauthorizedLogin
        return IUser, user, _nothing


def _nothing() -> None:
    """A user that leaves needs no word about it."""


def checkers(wanted: Sequence[str], fs: FileSystem) -> tuple[list[Any], UsersFile | None]:
    """The checkers that ``--auth`` names, and our file of users, if that is among them.

    Raises ConfigError for what names none.
    """
    others: list[Any] = []
    file: UsersFile | None = None
    for text in wanted:
        kind, _, argument = text.partition(":")
        if kind != USERS:
            others.append(_checker(text))
        elif file is not None or not argument:
            raise ConfigError(f"auth: {text!r} is not one file of users, as in {USERS}:PATH")
        else:
            file = UsersFile(argument, fs)
    return others, file


def is_taken(factory: Any) -> bool:
    """Whether ``--auth`` takes the checkers of a factory of twisted.cred's."""
    return factory.authType != MEMORY and IUsernamePassword in factory.credentialInterfaces


def _checker(text: str) -> Any:
    if text.partition(":")[0] == MEMORY:
        raise ConfigError(
            "auth: memory: passwords are no part of a command line, which every user of the "
            f"machine can read; {USERS}:PATH has them in a file"
        )
    try:
        checker = makeChecker(text)
    except InvalidAuthType:
        kinds = (each.authType for each in findCheckerFactories() if is_taken(each))
        known = ", ".join(sorted({USERS, *kinds}))
        raise ConfigError(
            f"auth: there is no checker {text.partition(':')[0]!r}; those are {known}"
        ) from None
    except Exception as error:  # each has its own, about what is behind the colon
        raise ConfigError(f"auth: {text.partition(':')[0]}: {error}") from None
    if IUsernamePassword not in checker.credentialInterfaces:
        raise ConfigError(f"auth: {text.partition(':')[0]!r} does not look at passwords")
    return checker


def hashing_of(
    in_thread: InThread, call_later: CallLater, alarms: Alarms, seconds: Callable[[], float]
) -> Hashing:
    """The queue of passwords that are tried and made."""
    return Hashing(in_thread, call_later, alarms, seconds, _has_failed)


def _has_failed(result: object) -> bool:
    return isinstance(result, Verdict) and result.hash is None
