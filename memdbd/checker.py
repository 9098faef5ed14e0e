"""Our file of users as a checker for other programs: ``--auth users:PATH`` of any twistd plugin.

memdbd itself asks its own (:class:`memdbd.auth.UsersChecker`), which knows the users as they are
now. This one reads the file at each log-in, in a thread, and writes nothing to it; what the users
may do in memdbd is not looked at.

May import: errors, passwords, rules, users, usersfile, auth, persistence.fs, commands.table,
Twisted.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import ICheckerFactory
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.plugin import IPlugin
from zope.interface import implementer

from memdbd import passwords
from memdbd.auth import USERS
from memdbd.errors import ConfigError
from memdbd.hashing import InThread
from memdbd.passwords import SALT_BYTES
from memdbd.persistence.fs import FileSystem
from memdbd.rules import Names
from memdbd.users import read
from memdbd.usersfile import UsersFile


@implementer(ICredentialsChecker)
class FileChecker:
    """Knows the users of a file, as it is at each log-in, and their passwords.

    ``in_thread(function)`` runs what takes long.
    """

    credentialInterfaces = (IUsernamePassword,)

    def __init__(
        self,
        file: UsersFile,
        names: Names,
        in_thread: InThread,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Raises ConfigError where the file cannot be followed."""
        self._file = file
        self._names = names
        self._in_thread = in_thread
        self._random_bytes = random_bytes
        read(file.read(), file.path, names)

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        """The name of the user whose credentials they are; fails with UnauthorizedLogin."""
        name, password = _bytes(credentials.username), _bytes(credentials.password)
        return self._in_thread(partial(self._find, name, password))

    def _find(self, name: bytes, password: bytes) -> bytes:
        drafts = read(self._file.read(), self._file.path, self._names)
        draft = drafts.get(name)
        hashes = () if draft is None or not draft.enabled else draft.hashes
        most = max([1, *(passwords.work(each.hashes) for each in drafts.values())])
        verdict = passwords.verify(password, hashes, self._random_bytes(SALT_BYTES), most)
        if draft is None or not draft.enabled or not (draft.nopass or verdict.hash):
            raise UnauthorizedLogin
        return name


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


@implementer(ICheckerFactory, IPlugin)
class UsersFactory:
    """What ``--help-auth`` tells of the file, and what ``users:PATH`` makes."""

    authType = USERS
    authHelp = (
        "Users and hashes of their passwords, in memdbd's file of users, which is Redis's: a line\n"
        "'user NAME RULES' for each; see docs/operations.md. `memdb passwd` makes the hashes."
    )
    argStringFormat = "path of the file"
    credentialInterfaces = (IUsernamePassword,)

    def generateChecker(self, argstring: str) -> FileChecker:
        from memdbd.commands.table import COMMANDS, CONTAINERS  # all commands, for what they take

        if not argstring:
            raise ConfigError(f"there is no path, as in {USERS}:PATH")
        file = UsersFile(argstring, FileSystem())
        return FileChecker(file, Names(COMMANDS, CONTAINERS), deferToThread)
