"""The users: who there is, how they log in, what they may do.

Strategy: a user's rules are kept as the draft that they came to, from which the next change starts;
what is checked of requests is compiled of it (see :mod:`memdbd.permissions`). A change is made as a
whole or not at all, and told to whoever follows: the sessions of the user, first of all. The file
is Redis's: a line ``user <name> <rules>`` for each; lines that begin with ``#`` are comments.

There is always a user ``default``: who a client is that has not said otherwise.

May import: errors, passwords, permissions, rules, commands.foreign.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Protocol

from memdbd import passwords
from memdbd.commands.foreign import without_foreign
from memdbd.errors import CommandError, ConfigError
from memdbd.permissions import Permissions
from memdbd.rules import BLANKS, Draft, Names, SelectorDraft, is_password, told

DEFAULT = b"default"
EVERYTHING = (b"~*", b"&*", b"+@all")


class User:
    """A user as it is now. ``permissions`` is None for one who may do everything."""

    __slots__ = ("_draft", "name", "permissions", "version", "work")

    _versions = itertools.count()

    def __init__(self, name: bytes, draft: Draft, names: Names) -> None:
        self.name = name
        self._draft = draft
        self.permissions: Permissions | None = None
        self.work = 0  # how many hashes are made to try its password
        self.follow(draft, names)

    def follow(self, draft: Draft, names: Names) -> None:
        """Be what these rules say."""
        self._draft = draft
        self.version = next(self._versions)
        self.work = passwords.work(draft.hashes)
        selectors = [each.made() for each in self.selectors]
        all_may = any(
            each.commands == names.all and each.keys is None and each.channels is None
            for each in selectors
        )
        self.permissions = None if all_may else Permissions(selectors)

    @property
    def draft(self) -> Draft:
        """Its rules, to be changed."""
        return self._draft.copy()

    @property
    def enabled(self) -> bool:
        return self._draft.enabled

    @property
    def nopass(self) -> bool:
        """Whether any password will do."""
        return self._draft.nopass

    @property
    def hashes(self) -> tuple[str, ...]:
        return self._draft.hashes

    @property
    def selectors(self) -> Sequence[SelectorDraft]:
        """What it may do: the rules of its own, then those between parentheses."""
        return (self._draft.root, *self._draft.others)

    @property
    def is_open(self) -> bool:
        """Whether whoever says its name is let in."""
        return self.enabled and self.nopass

    def told(self) -> str:
        """Its line in the file."""
        words = [f"user {self.name.decode('utf-8', 'surrogateescape')}"]
        words.append("on" if self.enabled else "off")
        if self.nopass:
            words.append("nopass")
        words += [f"#{each}" for each in self.hashes]
        words.append(told(self._draft.root))
        words += [f"({told(each)})" for each in self._draft.others]
        return " ".join(words)


class Changed(Protocol):
    """Called with a user whose rules have changed, and whether it was enabled before."""

    def __call__(self, user: User, *, was_enabled: bool) -> object: ...


# Called with a user that is gone.
Gone = Callable[[User], object]


def _nobody(user: User, *, was_enabled: bool = True) -> None:
    """Where it is nobody's business."""


class Users:
    """All users by their names. ``changed`` and ``gone`` are called after the change."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.changed: Changed = _nobody
        self.gone: Gone = _nobody
        self._users: dict[bytes, User] = {}
        self.unsaved = False  # they are not what the file says
        self.set(DEFAULT, (b"on", b"nopass", *EVERYTHING))
        self.unsaved = False

    def __iter__(self) -> Iterator[User]:
        """In the order of their names."""
        return iter(sorted(self._users.values(), key=lambda user: user.name))

    def __len__(self) -> int:
        return len(self._users)

    def get(self, name: bytes) -> User | None:
        return self._users.get(name)

    def version_of(self, name: bytes) -> int | None:
        """A number that no user has had before, nor this one before its last change; None where
        there is none of this name."""
        user = self._users.get(name)
        return None if user is None else user.version

    @property
    def can_be_changed(self) -> bool:
        """Whether there is one who may change them, and is not off."""
        return any(
            user.enabled and (user.permissions is None or user.permissions.may_run("acl|setuser"))
            for user in self._users.values()
        )

    @property
    def default(self) -> User:
        return self._users[DEFAULT]

    def work(self) -> int:
        """How many hashes are made to try the password of any of them."""
        return max(1, *(each.work for each in self._users.values()))

    def set(self, name: bytes, rules: Iterable[bytes]) -> None:
        """Change a user, or make one, who may do nothing but for the rules.

        Raises CommandError, and has changed nothing then.
        """
        _check_name(name)
        user = self._users.get(name)
        draft = Draft() if user is None else user.draft
        draft.apply(rules, self.names)
        self.unsaved = True
        if user is None:
            self._users[name] = User(name, draft, self.names)
        else:
            self._change(user, draft)

    def _change(self, user: User, draft: Draft) -> None:
        was_enabled = user.enabled
        user.follow(draft, self.names)
        self.changed(user, was_enabled=was_enabled)

    def delete(self, names: Iterable[bytes]) -> int:
        """Delete users; gives how many there were. Raises CommandError for the default one."""
        names = list(names)
        if DEFAULT in names:
            raise CommandError("The 'default' user cannot be removed")
        deleted = [user for name in names if (user := self._users.pop(name, None)) is not None]
        self.unsaved |= bool(deleted)
        for user in deleted:
            self.gone(user)
        return len(deleted)

    def replace_hash(self, user: User, old: str, new: str) -> None:
        """Have a password under a better hash."""
        draft = user.draft
        draft.hashes = tuple(dict.fromkeys(new if each == old else each for each in draft.hashes))
        user.follow(draft, self.names)

    # The file

    def take_over(self, drafts: dict[bytes, Draft]) -> None:
        """Be those of a file; the default one is among them."""
        self.unsaved = False
        gone = [self._users.pop(name) for name in [*self._users] if name not in drafts]
        for name, draft in drafts.items():
            user = self._users.get(name)
            if user is None:
                self._users[name] = User(name, draft, self.names)
            else:
                self._change(user, draft)
        for user in gone:
            self.gone(user)

    def text(self) -> str:
        """The file."""
        return "".join(f"{user.told()}\n" for user in self)


def printable(name: bytes) -> str:
    """A user's name for a line of the log, whatever it is."""
    return repr(name[:64].decode("utf-8", "backslashreplace"))


def _check_name(name: bytes) -> None:
    if not name or not BLANKS.isdisjoint(name):
        raise CommandError("Usernames can't contain spaces or null characters")


# Called with the number of a line and a rule in it that has no effect.
LeftOut = Callable[[int, str], object]


def _in_silence(number: int, rule: str) -> None:
    """Where it is nobody's business."""


def read(text: str, path: str, names: Names, left_out: LeftOut = _in_silence) -> dict[bytes, Draft]:
    """The users of a file's ``text``; ``left_out`` is told of rules that only Redis can follow.

    Raises ConfigError, which names the line.
    """
    drafts: dict[bytes, Draft] = {}
    for number, line in enumerate(text.split("\n"), 1):
        words = line.encode("utf-8", "surrogateescape").split()
        if not words or words[0].startswith(b"#"):
            continue
        where = f"{path}, line {number}"
        if words[0] != b"user" or len(words) < 2:
            raise ConfigError(f"{where}: a line is: user <name> <rules>")
        name, rules = words[1], words[2:]
        if name in drafts:
            raise ConfigError(f"{where}: there is another line for this user above")
        if any(map(is_password, rules)):
            raise ConfigError(
                f"{where}: a password in the clear; `memdb passwd` gives the hash to be put there"
            )
        draft = Draft()
        try:
            _check_name(name)
            draft.apply(without_foreign(rules, partial(left_out, number)), names)
        except CommandError as error:
            reason = str(error).removeprefix("Error in ACL SETUSER modifier ")
            raise ConfigError(f"{where}: {_printable(reason)}") from None
        drafts[name] = draft
    return drafts


def _printable(text: str) -> str:
    """A text of which some may be no characters, for a log or a terminal."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
