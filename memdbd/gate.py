"""The gate in front of all connections: who is let in, and as whom.

It has each session know its user and its permissions, also when these change while it is there: a
session whose user is gone or off ends, and so does one that listens to a channel which it may hear
no more; what was not sent to it is dropped. Whoever makes the change still gets his reply.

May import: admission, errors, limits, hashing, permissions, users, auth, clients, denials, replies,
session, Twisted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import LoginFailed
from twisted.cred.portal import Portal
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure

from memdbd.admission import network_of
from memdbd.auth import CertificateName, InTurn, IUser, Password, RandomBytes, Realm, UsersChecker
from memdbd.clients import Clients, line
from memdbd.denials import Denials
from memdbd.errors import CommandError
from memdbd.hashing import Hashing
from memdbd.limits import Alarms, Limits
from memdbd.permissions import STRANGER, Denied
from memdbd.replies import NO_REPLY, OK, Pending, Reply
from memdbd.session import Session
from memdbd.users import DEFAULT, User, Users, printable


class Gate:
    """Who is let in, and as whom.

    ``others`` are checkers that are asked about passwords beside ours.
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
    ) -> None:
        self.users = users
        self.denials = denials
        self._clients = clients
        self._limits = limits
        self._alarms = alarms
        self.ended = 0  # connections, since their users changed
        self._spared: Session | None = None  # who changes the users right now
        self.checker = UsersChecker(users, hashing, random_bytes)
        self._portal = Portal(Realm(users), [self.checker])
        if others:
            self._portal.registerChecker(InTurn([self.checker, *others]), IUsernamePassword)
        users.changed = self._changed
        users.gone = self._gone

    @property
    def is_open(self) -> bool:
        """Whether whoever connects is somebody, without a word."""
        return self.users.default.is_open

    # Coming in

    def admit(self, session: Session, common_name: str | None = None) -> None:
        """Let a connection in: as the user that its certificate names, which it need not be told
        again, as the default one, or as a stranger, who has to log in.

        A certificate that names nobody does not make somebody else of its owner.
        """
        if common_name is not None:
            session.certificate = common_name
        session.user = None
        if session.certificate is not None:
            name = CertificateName(session.certificate.encode())
            named = self._portal.login(name, session, IUser)
            named.addCallbacks(lambda avatar: self._let_in(session, avatar[1]), _is_nobody)
            if session.user is not None:
                return
        if self.is_open and session.certificate is None:
            self._let_in(session, self.users.default)
        else:
            session.may(STRANGER)
            session.identified()

    def log_in(self, session: Session, username: bytes, password: bytes) -> Reply:
        """The reply to somebody who says who he is: OK, or one to come that is OK or an error.

        Raises CommandError.
        """
        client = self._clients.get(session.number)
        host = network_of(client.host) if client is not None else "?"
        attempt = self._portal.login(Password(username, password, host), session, IUser)
        pending = Pending(abandoned=attempt.cancel)
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
        with self.sparing(session):
            self._let_in(session, avatar[1])
        return OK

    def _failed(self, session: Session, username: bytes, failure: Failure) -> Reply:
        if failure.check(CommandError):
            return failure.value
        if failure.check(CancelledError):  # the client has left
            return NO_REPLY
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
                f"failed, the last one as {self._told(username)}",
            )
            session.over = True
            session.settle()
        return CommandError("invalid username-password pair or user is disabled.", code="WRONGPASS")

    def _told(self, username: bytes) -> str:
        """What a log may say of a name that somebody gave: it may be a part of his password."""
        return "an unknown name" if self.users.get(username) is None else printable(username)

    def _let_in(self, session: Session, user: User) -> None:
        session.user = user
        session.may(user.permissions)
        session.failures = 0
        session.identified()
        self._silence(session)

    # Users that change

    @contextmanager
    def sparing(self, session: Session | None) -> Iterator[None]:
        """Within it, ``session`` changes users: it is still to get its reply, whatever follows."""
        self._spared = session
        try:
            yield
        finally:
            self._spared = None

    def _sessions(self, user: User) -> Iterator[Session]:
        return (client.session for client in self._clients if client.session.user is user)

    def _changed(self, user: User, *, was_enabled: bool) -> None:
        # Who was let in by another checker may have the rights of a user who is off.
        is_off = was_enabled and not user.enabled
        for session in self._sessions(user):
            session.may(user.permissions)
            if is_off:
                self._cut(session)
            else:
                self._silence(session)

    def _gone(self, user: User) -> None:
        for session in self._sessions(user):
            session.user = None
            session.may(STRANGER)
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
        self.ended += 1
        if session is self._spared:
            session.over = True  # behind the reply
            session.settle()
            return
        client = self._clients.get(session.number)
        if client is not None:
            client.fail()

    # What others ask

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


def _is_nobody(failure: Failure) -> None:
    """A certificate that names no user, or one who is off."""
    failure.trap(LoginFailed)
