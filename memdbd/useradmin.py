"""Who changes the users: commands, the users file, the password that is a setting.

Passwords among rules are hashed in a thread first. What was asked for is done then, if whoever
asked may still ask for it, and the user is still the one that it was about: else a change that was
answered meanwhile would be undone by an older one.

May import: errors, hashing, passwords, rules, users, usersfile, auth, gate, replies, session,
commands.secrets, Twisted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
from memdbd.users import DEFAULT, EVERYTHING, User, printable, read
from memdbd.usersfile import UsersFile

NO_FILE = "there is no users file: it is a setting, --auth users:PATH"
MOST_TOLD = 20  # rules, and lines of a file, in one line of the log


@dataclass(frozen=True, slots=True)
class Prepared:
    """Users that have been read, and are not followed yet."""

    is_open: bool  # whether whoever connects is somebody, without a word
    count: int
    is_read: bool  # from a file that says something else than before
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
        self._is_up = False  # the users are there, and what changes is news
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
        with self._telling(session, f"user {printable(name)} changed"):
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
        told = ", ".join(printable(name) for name in names if self._users.get(name) is not None)
        if not told or DEFAULT in names:
            return self._users.delete(names)
        with self._telling(session, f"users deleted: {told};"):
            return self._users.delete(names)

    def require(self, password: str) -> str:
        """Have the user default log in with this password, or with none where it is empty; gives
        what is shown of it. Holds the loop for as long as it takes to make a hash."""
        self.password = self.hashed(password) if password else None
        rules = [b"nopass"]
        if self.password is not None:
            rules = [b"resetpass", b"#" + self.password.encode()]
        with self._telling(None, "user 'default' changed by CONFIG SET requirepass", always=True):
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
        self.prepare(self.hashed(password) if password else None, again=True).take()
        self._is_up = True

    def hashed(self, password: str) -> str:
        """The hash of a password that is a setting. Takes long."""
        return passwords.make(password.encode(), self._random_bytes(SALT_BYTES))

    def load(self, session: Session) -> None:
        """Read the file anew, for a session. Raises ConfigError, and has changed nothing then."""
        if self.file is None:
            raise ConfigError(NO_FILE)
        self.prepare(self.password, again=True, session=session).take()

    def prepare(
        self, password: str | None, *, again: bool = False, session: Session | None = None
    ) -> Prepared:
        """Read the users anew, where their file says something new, or ``again``; ``password`` is
        the hash of the one that the user default has by a setting.

        Raises ConfigError, and has changed nothing then.
        """
        drafts = {user.name: user.draft for user in self._users}
        left_out: dict[int, list[str]] = {}
        text = None if self.file is None else self.file.read()
        is_read = False
        if self.file is None or text is None:
            if password is None and self.password is not None:  # it was a setting, and is none
                default = drafts[DEFAULT]
                default.enabled = default.nopass = not self._asks_others
                default.hashes = ()
        else:
            is_read = again or not self.file.is_followed(text)
            has_password = password is not None and (is_read or password != self.password)
            said = self._read(text, self.file.path, left_out, has_password=has_password)
            if is_read:
                drafts = said
            elif password is None and self.password is not None:
                drafts[DEFAULT] = said[DEFAULT]
        is_new = is_read or password != self.password
        default = drafts[DEFAULT]
        if password is not None and is_new:
            default.enabled, default.nopass, default.hashes = True, False, (password,)

        def take() -> None:
            if not is_new:
                return
            unsaved = self._users.unsaved and not is_read
            path = "" if self.file is None else self.file.path
            with self._telling(session, f"{len(drafts)} users read from {path}"):
                self.password = password
                self._users.take_over(drafts)
            self._users.unsaved = unsaved
            if is_read and self.file is not None and text is not None:
                self.file.follow(text)
                self._tell_left_out(path, left_out)

        return Prepared(default.enabled and default.nopass, len(drafts), is_read, take)

    def _read(
        self, text: str, path: str, left_out: dict[int, list[str]], *, has_password: bool
    ) -> dict[bytes, Draft]:
        """The users of a file's text; notes rules that have no effect, by their lines."""
        names = self._users.names
        drafts = read(
            text, path, names, lambda number, rule: left_out.setdefault(number, []).append(rule)
        )
        if DEFAULT not in drafts:
            drafts[DEFAULT] = Draft()
            drafts[DEFAULT].apply(EVERYTHING, names)
        elif has_password and not drafts[DEFAULT].enabled:
            # The variable is the client's too: it may be set without a thought of this.
            raise ConfigError(
                f"MEMDB_PASSWORD (password) is set, but the user default is off in {path}: take "
                "one of them away"
            )
        return drafts

    def save(self) -> None:
        """Write the users to the file. Raises ConfigError where that cannot be done."""
        if self.file is None:
            raise ConfigError(NO_FILE)
        try:
            self.file.write(self._users.text())
        except OSError as error:
            raise ConfigError(f"cannot write {self.file.path}: {error.strerror}") from None
        self._users.unsaved = False

    # What the log is told

    @contextmanager
    def _telling(
        self, session: Session | None, what: str, *, always: bool = False
    ) -> Iterator[None]:
        """Within it, ``session`` changes users: the log is told of it, and of what has to be known
        about the users as they are then. A reload, which has no session, has its own line, and has
        looked itself at who is let in."""
        gate, users = self._gate, self._users
        by = "" if session is None else f" by {printable(_name(session))}"
        was_open, could_be_changed, ended = gate.is_open, users.can_be_changed, gate.ended
        with gate.sparing(session):
            yield
        if not self._is_up:
            return
        ended = gate.ended - ended
        is_asked = always or session is not None
        if is_asked or ended:
            connections = "1 connection" if ended == 1 else f"{ended} connections"
            self._log.info("{what}{by}: {ended} ended", what=what, by=by, ended=connections)
        if is_asked and gate.is_open and not was_open:
            self._tell_open()
        if could_be_changed and not users.can_be_changed and not self._asks_others:
            self._log.warn(
                "nobody who is on may run ACL SETUSER now: the users can only be changed by the "
                "settings, or their file, and a reload or a restart"
            )

    def _tell_open(self) -> None:
        may = "everything" if self._users.default.permissions is None else "whatever it may"
        self._log.warn(
            "the user default is open now: whoever connects may do {may}, and needs no password",
            may=may,
        )

    def _tell_left_out(self, path: str, left_out: dict[int, list[str]]) -> None:
        """One line about rules of a file that have no effect."""
        if not left_out:
            return
        number, rules = next(iter(left_out.items()))
        more = f" and {len(rules) - MOST_TOLD} more" if len(rules) > MOST_TOLD else ""
        others = ", ".join(map(str, [*left_out][1:MOST_TOLD]))
        self._log.warn(
            "{path}, line {number}: rules about commands that Redis has, and memdbd has not, are "
            "left out: {rules}{more}{others}",
            path=path,
            number=number,
            rules=" ".join(rules[:MOST_TOLD]),
            more=more,
            others=f"; and some of line {others}" if others else "",
        )

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


def _name(session: Session) -> bytes:
    return DEFAULT if session.user is None else session.user.name


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
