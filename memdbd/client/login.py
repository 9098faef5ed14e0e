"""Who logs in, and what is said where a server refuses. Imports errors only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict

from memdbd.errors import MemDBError

DEFAULT_USER = "default"

HOW_TO_LOG_IN = (
    "memdb logs in with --user NAME, and --ask, --password-file FILE or the variable MEMDB_PASSWORD"
)

# How a server says, in the text dialect, that somebody has to log in first, and that he may not.
_WANTED = "Authentication required"
_WRONG = "invalid username-password pair"


@dataclass(frozen=True, slots=True)
class Login:
    """A user, None for the one called ``default``, and the password, which is never shown."""

    user: str | bytes | None
    password: str | bytes = field(repr=False)

    @property
    def name(self) -> str | bytes:
        """The name of the user."""
        return DEFAULT_USER if self.user is None else self.user

    @property
    def shown(self) -> str:
        """The name of the user, as it is told of."""
        name = self.name
        return name if isinstance(name, str) else name.decode("utf-8", "backslashreplace")


class LoginRefused(MemDBError):
    """The server does not let us in; says why, in its words.

    ``lasts``: it is because of who we say we are, and not that others log in right now.
    """

    def __init__(self, login: Login, reason: str) -> None:
        super().__init__(f"the server refuses the login as {login.shown!r}: {reason}")
        self.lasts = _WRONG in reason


class LoggedIn(TypedDict, total=False):
    """The arguments of ``connect`` that log in."""

    user: str | bytes
    password: str | bytes


def logged_in(login: Login | None) -> LoggedIn:
    """What ``connect`` has to be given for a login, if there is one."""
    return {} if login is None else {"user": login.name, "password": login.password}


def is_login_wanted(sentence: str) -> bool:
    """Whether an error reply says that somebody has to log in first."""
    return _WANTED in sentence
