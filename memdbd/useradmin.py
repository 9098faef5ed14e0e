"""Who changes the users: commands, the users file, the password that is a setting.

Passwords among rules are hashed in a thread first. What was asked for is done then, if whoever
asked may still ask for it, and the user is still the one that it was about: else a change that was
answered meanwhile would be undone by an older one.

May import: errors, hashing, passwords, rules, users, usersfile, auth, gate, replies, session,
commands.secrets, Twisted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from twisted.logger import Logger
from twisted.python.failure import Failure

from memdbd import passwords
from memdbd.auth import RandomBytes
from memdbd.commands.secrets import REDACTED
from memdbd.errors import CommandError, ConfigError
from memdbd.gate import Gate
from memdbd.hashing import Hashing
from memdbd.passwords import SALT_BYTES
from memdbd.replies import OK, Pending, Reply
from memdbd.rules import Draft, is_password
from memdbd.session import Session
from memdbd.users import DEFAULT, EVERYTHING, User, read
from memdbd.usersfile import UsersFile

NO_FILE = "there is no users file: it is a setting, --auth users:PATH"


@dataclass(frozen=True, slots=True)
class Prepared:
    """Users that have been read, and are not followed yet."""

    is_open: bool  # whether whoever connects is somebody, without a word
    count: int
    take: Callable[[], None]  # follow them


class UserAdmin:
    """Changes the users behind ``gate``.

    ``file`` is that of the users, if there is one. ``asks_others``: other checkers are asked about
    passwords beside ours, so that nobody is let in without one.
    """

    _log = Logger()

    def __init__(
        self,
        gate: Gate,
        hashing: Hashing,
        random_bytes: RandomBytes,
        *,
        file: UsersFile | None = None,
        asks_others: bool = False,
    ) -> None:
        self.file = file
        self.password: str | None = None  # the hash of the one that is a setting
        self._gate = gate
        self._users = gate.users
        self._hashing = hashing
        self._random_bytes = random_bytes
        self._asks_others = asks_others
        gate.checker.upgraded = self._upgraded

    # Commands

    def set_user(self, session: Session, name: bytes, rules: Sequence[bytes]) -> Reply:
        """The reply to a session that changes a user, or makes one: see :meth:`Users.set`. It is
        one to come where there are passwords among the rules.

        Raises CommandError, and has changed nothing then.
        """
        if not any(map(is_password, rules)):
            return self._set_user(session, name, rules)
        user = self._users.get(name)
        hashes = () if user is None else user.hashes
        salt = passwords.salt_of(hashes) or self._random_bytes(SALT_BYTES)
        asker, permissions = session.user, session.permissions
        about = self._users.version_of(name)

        def done(rules: Sequence[bytes]) -> Reply:
            if session.user is not asker or session.permissions is not permissions:
                raise CommandError(
                    "permissions have changed while the password was hashed, and nothing else has",
                    code="NOPERM",
                )
            if self._users.version_of(name) != about:
                raise CommandError(
                    "the user has changed while the password was hashed, try again",
                    code="TRYAGAIN",
                )
            return self._set_user(session, name, rules)

        hashed = self._hashing.ask(object(), "", lambda: partial(_hashed, rules, hashes, salt))
        hashed.addCallback(done)
        pending = Pending()
        hashed.addCallbacks(pending.resolve, partial(self._refused, pending))
        return pending

    def _set_user(self, session: Session, name: bytes, rules: Sequence[bytes]) -> Reply:
        with self._gate.sparing(session):
            self._users.set(name, rules)
        return OK

    def _refused(self, pending: Pending, failure: Failure) -> None:
        if isinstance(failure.value, CommandError):
            pending.resolve(failure.value.bare())
            return
        self._log.failure("a user could not be changed", failure)
        pending.resolve(CommandError("internal error, the server's log has the details"))

    def delete_users(self, session: Session, names: Sequence[bytes]) -> int:
        """Delete users for a session; gives how many there were. Raises CommandError."""
        with self._gate.sparing(session):
            return self._users.delete(names)

    def require(self, password: str) -> str:
        """Have the user default log in with this password, or with none where it is empty; gives
        what is shown of it. Holds the loop for as long as it takes to make a hash."""
        self.password = self.hashed(password) if password else None
        rules = [b"nopass"]
        if self.password is not None:
            rules = [b"resetpass", b"#" + self.password.encode()]
        self._users.set(DEFAULT, rules)
        return REDACTED.decode() if password else ""

    def generated(self, bits: int) -> str:
        """A password of so many random bits, in hexadecimal digits."""
        digits = (bits + 3) // 4
        return self._random_bytes((digits + 1) // 2).hex()[:digits]

    # The settings and the file

    def open(self, password: str) -> None:
        """Have the users be those of the file, if there is one, and the user default have this
        ``password``, unless it is empty. Raises ConfigError, and has changed nothing then."""
        if self._asks_others:
            self._users.set(DEFAULT, [b"off", b"resetpass"])
        self.prepare(self.hashed(password) if password else None).take()

    def hashed(self, password: str) -> str:
        """The hash of a password that is a setting. Takes long."""
        return passwords.make(password.encode(), self._random_bytes(SALT_BYTES))

    def load(self, session: Session) -> None:
        """Read the file anew, for a session. Raises ConfigError, and has changed nothing then."""
        if self.file is None:
            raise ConfigError(NO_FILE)
        with self._gate.sparing(session):
            self.prepare(self.password).take()

    def prepare(self, password: str | None) -> Prepared:
        """Read the users anew; ``password`` is the hash of the one that the user default has by a
        setting. Raises ConfigError, and has changed nothing then."""
        if self.file is None:
            drafts = {user.name: user.draft for user in self._users}
            if password is None and self.password is not None:  # it was a setting, and is none
                default = drafts[DEFAULT]
                default.enabled = default.nopass = not self._asks_others
                default.hashes = ()
        else:
            drafts = read(self.file.read(), self.file.path, self._users.names)
            if DEFAULT not in drafts:
                drafts[DEFAULT] = Draft()
                drafts[DEFAULT].apply(EVERYTHING, self._users.names)
        default = drafts[DEFAULT]
        if password is not None:
            default.enabled, default.nopass, default.hashes = True, False, (password,)

        def take() -> None:
            self.password = password
            self._users.take_over(drafts)

        return Prepared(default.enabled and default.nopass, len(drafts), take)

    def save(self) -> None:
        """Write the users to the file. Raises ConfigError where that cannot be done."""
        if self.file is None:
            raise ConfigError(NO_FILE)
        try:
            self.file.write(self._users.text())
        except OSError as error:
            raise ConfigError(f"cannot write {self.file.path}: {error.strerror}") from None
        self._users.unsaved = False

    def _upgraded(self, user: User, old: str, new: str) -> None:
        """A password has got a better hash: in the file too, if there is one."""
        if self.file is None:
            return
        try:
            self.file.replace_hash(user.name, old, new)
        except (OSError, ConfigError) as error:
            self._log.warn(
                "the hash of a password of {name!r} in {path} is an old one, and cannot be "
                "replaced there: {error}",
                name=user.name,
                path=self.file.path,
                error=error,
            )


def _hashed(rules: Sequence[bytes], hashes: Sequence[str], salt: bytes) -> list[bytes]:
    """The rules, with hashes in place of the passwords; done in a thread."""
    found: list[bytes] = []
    for rule in rules:
        match rule[:1]:
            case b">":
                found.append(b"#" + passwords.make(rule[1:], salt).encode())
            case b"<":
                added = [each[1:].decode("latin-1") for each in found if each[:1] == b"#"]
                gone = passwords.hashes_of(rule[1:], [*hashes, *added])
                if not gone:
                    raise CommandError(
                        "Error in ACL SETUSER modifier '(redacted)': "
                        "The password you are trying to remove from the user does not exist"
                    )
                found += [b"!" + each.encode() for each in gone]
            case _:
                found.append(rule)
    return found
