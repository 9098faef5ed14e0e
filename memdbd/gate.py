"""The gate in front of all connections: who is let in, and as whom.

It has each session know its user and its permissions, also when these change while it is there: a
session whose user is gone or off ends, and so does one that listens to a channel which it may hear
no more; what was not sent to it is dropped. Whoever makes the change still gets his reply.

May import: errors, limits, hashing, passwords, permissions, rules, users, usersfile, auth, clients,
denials, replies, session, commands.secrets, Twisted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import LoginFailed
from twisted.cred.portal import Portal
from twisted.logger import Logger
from twisted.python.failure import Failure

from memdbd import passwords
from memdbd.auth import CertificateName, InTurn, IUser, Password, RandomBytes, Realm, UsersChecker
from memdbd.clients import Clients, line
from memdbd.commands.secrets import REDACTED
from memdbd.denials import Denials
from memdbd.errors import CommandError, ConfigError
from memdbd.hashing import CallLater, Hashing, InThread
from memdbd.limits import Alarms, Limits
from memdbd.passwords import SALT_BYTES, Verdict
from memdbd.permissions import STRANGER, Denied
from memdbd.replies import OK, Pending, Reply
from memdbd.rules import Draft
from memdbd.session import Session
from memdbd.users import DEFAULT, EVERYTHING, User, Users, read
from memdbd.usersfile import UsersFile

NO_FILE = "there is no users file: it is a setting, --auth users:PATH"


@dataclass(frozen=True, slots=True)
class Prepared:
    """Users that have been read, and are not followed yet."""

    is_open: bool  # whether whoever connects is somebody, without a word
    count: int
    take: Callable[[], None]  # follow them


class Gate:
    """Who is let in, and as whom.

    ``others`` are checkers that are asked about passwords beside ours; ``file`` is that of the
    users, if there is one.
    """

    _log = Logger()

    def __init__(
        self,
        users: Users,
        hashing: Hashing,
        clients: Clients,
        denials: Denials,
        limits: Limits,
        alarms: Alarms,
        random_bytes: RandomBytes,
        *,
        others: Sequence[Any] = (),
        file: UsersFile | None = None,
    ) -> None:
        self.users = users
        self.denials = denials
        self.file = file
        self._hashing = hashing
        self._clients = clients
        self._limits = limits
        self._alarms = alarms
        self._random_bytes = random_bytes
        self._spared: Session | None = None  # who changes the users right now
        self.password: str | None = None  # the hash of the one that is a setting
        self._has_others = bool(others)
        checker = UsersChecker(users, hashing, random_bytes)
        checker.upgraded = self._upgraded
        self._portal = Portal(Realm(users), [checker])
        if others:
            self._portal.registerChecker(InTurn([checker, *others]), IUsernamePassword)
        draft = users.default.draft
        self._loosen(draft)
        users.take_over({DEFAULT: draft})
        users.changed = self._changed
        users.gone = self._gone

    @property
    def is_open(self) -> bool:
        """Whether whoever connects is somebody, without a word."""
        return self.users.default.is_open

    # Coming in

    def admit(self, session: Session, common_name: str | None = None) -> None:
        """Let a connection in: as the user that its certificate names, which it need not be told
        again, as the default one, or as a stranger, who has to log in."""
        if common_name is not None:
            session.certificate = common_name
        session.user = None
        if session.certificate is not None:
            name = CertificateName(session.certificate.encode())
            named = self._portal.login(name, session, IUser)
            named.addCallbacks(lambda avatar: self._let_in(session, avatar[1]), _is_nobody)
            if session.user is not None:
                return
        if self.is_open:
            self._let_in(session, self.users.default)
        else:
            session.permissions = STRANGER
            session.identified()

    def log_in(self, session: Session, username: bytes, password: bytes) -> Reply:
        """The reply to somebody who says who he is: OK, or one to come that is OK or an error.

        Raises CommandError.
        """
        client = self._clients.get(session.number)
        host = client.host if client is not None else "?"
        attempt = self._portal.login(Password(username, password, host), session, IUser)
        pending = Pending()
        attempt.addCallbacks(
            partial(self._succeeded, session),
            partial(self._failed, session, username),
        )
        session.logging_in = True
        attempt.addBoth(partial(self._answer, session, pending))
        return pending

    def _answer(self, session: Session, pending: Pending, reply: Reply) -> None:
        session.logging_in = False
        pending.resolve(reply)

    def _succeeded(self, session: Session, avatar: tuple[Any, User, Any]) -> Reply:
        self._let_in(session, avatar[1])
        return OK

    def _failed(self, session: Session, username: bytes, failure: Failure) -> Reply:
        if failure.check(CommandError):
            return failure.value
        if not failure.check(LoginFailed):
            # A checker that fails does not let anybody in.
            self._log.failure("a log-in could not be checked", failure)
            return CommandError("internal error, the server's log has the details")
        self._note(session, "auth", "toplevel", b"AUTH", username)
        session.failures += 1
        if session.failures >= self._limits.login_attempts:
            client = self._clients.get(session.number)
            self._alarms.fire(
                "login_attempts",
                f"client at {client.peer if client else '?'} is cut: {session.failures} log-ins "
                f"failed, the last one as {username[:64]!r}",
            )
            session.over = True
            session.settle()
        return CommandError("invalid username-password pair or user is disabled.", code="WRONGPASS")

    def _let_in(self, session: Session, user: User) -> None:
        session.user = user
        session.permissions = user.permissions
        session.failures = 0
        session.identified()
        self._silence(session)

    def require(self, password: str) -> str:
        """Have the user default log in with this password, or with none where it is empty; gives
        what is shown of it. Takes as long as a hash does."""
        rules = [b"on", b"nopass"]
        if password:
            rules = [b"on", b"resetpass", b"#" + self.hashed(password).encode()]
        self.users.set(DEFAULT, rules)
        return REDACTED.decode() if password else ""

    # Users that change

    @contextmanager
    def changing(self, session: Session | None) -> Iterator[None]:
        """Within it, ``session`` changes users: it is still to get its reply, whatever follows."""
        self._spared = session
        try:
            yield
        finally:
            self._spared = None

    def _sessions(self, user: User) -> Iterator[Session]:
        return (client.session for client in self._clients if client.session.user is user)

    def _changed(self, user: User) -> None:
        for session in self._sessions(user):
            session.permissions = user.permissions
            if not user.enabled and session is not self._spared:
                self._cut(session)
            else:
                self._silence(session)

    def _gone(self, user: User) -> None:
        for session in self._sessions(user):
            session.user, session.permissions = None, STRANGER
            self._cut(session)

    def _silence(self, session: Session) -> None:
        """End a session that listens to what it may not hear."""
        permissions = session.permissions
        if permissions is None:
            return
        if session.monitors and not permissions.may_run("monitor"):
            self._cut(session)
            return
        channels = [(name, False) for name in (*session.channels, *session.shards)]
        patterns = [(name, True) for name in session.patterns]
        for name, is_pattern in channels + patterns:
            if not permissions.may_hear(name, is_pattern=is_pattern):
                self._cut(session)
                return

    def _cut(self, session: Session) -> None:
        if session is self._spared:
            session.over = True  # behind the reply
            session.settle()
            return
        client = self._clients.get(session.number)
        if client is not None:
            client.fail()

    def set_user(self, session: Session, name: bytes, rules: Sequence[bytes]) -> Reply:
        """The reply to a session that changes a user, or makes one: see :meth:`Users.set`. It is
        one to come where there are passwords among the rules.

        Raises CommandError, and has changed nothing then.
        """
        if not any(rule[:1] in (b">", b"<") for rule in rules):
            return self._set_user(rules, session, name, session.permissions)
        user = self.users.get(name)
        hashes = () if user is None else user.hashes
        salt = passwords.salt_of(hashes) or self._random_bytes(SALT_BYTES)
        hashed = self._hashing.ask(object(), "", lambda: partial(_hashed, rules, hashes, salt))
        hashed.addCallback(self._set_user, session, name, session.permissions)
        hashed.addErrback(_refusal)
        pending = Pending()
        hashed.addCallbacks(pending.resolve, partial(self._lost, pending))
        return pending

    def _set_user(
        self, rules: Sequence[bytes], session: Session, name: bytes, permissions: object
    ) -> Reply:
        if session.permissions is not permissions:  # these are others after any change
            raise CommandError(
                "permissions have changed while the password was hashed, and nothing else has",
                code="NOPERM",
            )
        with self.changing(session):
            self.users.set(name, rules)
        return OK

    def delete_users(self, session: Session, names: Sequence[bytes]) -> int:
        """Delete users for a session; gives how many there were. Raises CommandError."""
        with self.changing(session):
            return self.users.delete(names)

    def _lost(self, pending: Pending, failure: Failure) -> None:
        self._log.failure("a user could not be changed", failure)
        pending.resolve(CommandError("internal error, the server's log has the details"))

    # The file

    def open(self, password: str) -> None:
        """Have the users be those of the file, if there is one, and the user default have this
        ``password``, unless it is empty. Raises ConfigError, and has changed nothing then."""
        self.prepare(self.hashed(password) if password else None).take()

    def hashed(self, password: str) -> str:
        """The hash of a password that is a setting. Takes long."""
        return passwords.make(password.encode(), self._random_bytes(SALT_BYTES))

    def load(self, session: Session) -> None:
        """Read the file anew, for a session. Raises ConfigError, and has changed nothing then."""
        if self.file is None:
            raise ConfigError(NO_FILE)
        with self.changing(session):
            self.prepare(self.password).take()

    def prepare(self, password: str | None) -> Prepared:
        """Read the users anew; ``password`` is the hash of the one that the user default has by a
        setting. Raises ConfigError, and has changed nothing then."""
        if self.file is None:
            drafts = {user.name: user.draft for user in self.users}
            if password is None and self.password is not None:  # it was a setting, and is none
                self._loosen(drafts[DEFAULT])
        else:
            drafts = read(self.file.read(), self.file.path, self.users.names)
            if DEFAULT not in drafts:
                drafts[DEFAULT] = Draft()
                drafts[DEFAULT].apply(EVERYTHING, self.users.names)
        default = drafts[DEFAULT]
        if password is not None:
            default.enabled, default.nopass, default.hashes = True, False, (password,)

        def take() -> None:
            self.password = password
            self.users.take_over(drafts)

        return Prepared(default.enabled and default.nopass, len(drafts), take)

    def _loosen(self, default: Draft) -> None:
        """Have the default user be whoever connects; or nobody, where there is somebody to be asked
        about passwords."""
        default.enabled = default.nopass = not self._has_others
        default.hashes = ()

    def save(self) -> None:
        """Write the users to the file. Raises ConfigError where that cannot be done."""
        if self.file is None:
            raise ConfigError(NO_FILE)
        try:
            self.file.write(self.users.text())
        except OSError as error:
            raise ConfigError(f"cannot write {self.file.path}: {error.strerror}") from None
        self.users.unsaved = False

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

    # What others ask

    def generated(self, bits: int) -> str:
        """A password of so many random bits, in hexadecimal digits."""
        digits = (bits + 3) // 4
        return self._random_bytes((digits + 1) // 2).hex()[:digits]

    def denied(self, session: Session, denied: Denied, *, nested: bool) -> None:
        """A request was refused; ``nested``: within a transaction that was run."""
        name = DEFAULT if session.user is None else session.user.name
        context = "multi" if nested or session.queue is not None else "toplevel"
        self._note(session, denied.reason, context, denied.object, name)

    def _note(
        self, session: Session, reason: str, context: str, object: bytes, username: bytes
    ) -> None:
        client = self._clients.get(session.number)
        about = "" if client is None else line(self._clients.fields(client)).rstrip("\n")
        self.denials.note(reason, context, object, username, about)


def _refusal(failure: Failure) -> CommandError:
    """An error in a rule, as the reply that it is."""
    failure.trap(CommandError)
    error: Any = failure.value
    return error.bare()  # type: ignore[no-any-return]


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


def _is_nobody(failure: Failure) -> None:
    """A certificate that names no user: it is as if it had named none."""
    failure.trap(LoginFailed)


def hashing_of(
    in_thread: InThread, call_later: CallLater, alarms: Alarms, seconds: Callable[[], float]
) -> Hashing:
    """The queue of passwords that are tried and made."""
    return Hashing(in_thread, call_later, alarms, seconds, _has_failed)


def _has_failed(result: object) -> bool:
    return isinstance(result, Verdict) and result.hash is None
