"""What a line means to the server, for a client that only passes it on; pure.

Strategy: the client never splits a line to send it. Where it has to know what was asked (to show
``Setting …``, to leave at ``quit``, to wait for as long as ``blpop`` does, to keep a password to
itself, to ask before all is deleted), it asks the server's own parser, so the two cannot differ.

May import: the command table, the text dialect, limits, rules.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from memdbd.commands.secrets import REDACTED
from memdbd.commands.spec import Flag
from memdbd.commands.suggest import Suggestions
from memdbd.commands.table import COMMANDS, CONTAINERS
from memdbd.dialects.text import LineRules, TextParser
from memdbd.limits import Limits
from memdbd.rules import is_secret

_TEXT = {name: command.text for name, command in COMMANDS.items()}
_RULES = LineRules(_TEXT)
_LIMITS = Limits()  # a server may have others, and then says so itself
_LEAVING = {name: _TEXT[name] for name in (b"exit", b"quit")}
# In Redis's table, and so in ours, WAIT does not count as blocking.
_BLOCKING = frozenset(
    name for name, command in _TEXT.items() if command.flags & Flag.BLOCKING or name == b"wait"
)
_LISTENING = frozenset({b"subscribe", b"psubscribe", b"ssubscribe", b"monitor"})
# Those that have a password behind this word.
_WITH_AUTH = frozenset({b"hello", b"migrate"})
_AUTH = frozenset({b"auth", b"auth2"})
# What may be in a line that the server cannot read.
_SECRETIVE = re.compile(rb"\s*[\"'\[]*\s*[\"']?(auth|hello|acl|config|migrate)\b", re.IGNORECASE)

# Parameters of Redis's that are passwords, and those that are paths.
_PASSWORDS = frozenset(
    {b"requirepass", b"masterauth", b"tls-key-file-pass", b"tls-client-key-file-pass"}
)
_PATHS = frozenset(
    {
        *(b"aclfile", b"appenddirname", b"appendfilename", b"dbfilename", b"dir", b"logfile"),
        *(b"pidfile", b"unixsocket"),
    }
)
_TLS_PATH = re.compile(rb"tls-.*-(file|dir)")

# Nearly no line has any of these names in it, and needs no parsing.
_MAY_LEAVE = re.compile(b"|".join(_LEAVING), re.IGNORECASE)
_MAY_WAIT = re.compile(b"|".join(_BLOCKING), re.IGNORECASE)


def words_of(line: bytes) -> list[bytes]:
    """The words that the server reads in a line; none where it cannot read it."""
    for request in TextParser(_RULES, _LIMITS).feed(line + b"\n"):
        if isinstance(request, list):
            return request
    return []


def ends_session(line: bytes) -> bool:
    """Whether the line only says that whoever sends it wants to leave."""
    if not _MAY_LEAVE.search(line):
        return False
    words = words_of(line)
    command = _LEAVING.get(words[0].lower()) if words else None
    return command is not None and command.min_words <= len(words) <= command.max_words


def line_waits(line: bytes) -> bool:
    """Whether :func:`waits` holds for the words of a line."""
    return _MAY_WAIT.search(line) is not None and waits(words_of(line))


def waits(words: Sequence[bytes]) -> bool:
    """Whether the server may let the reply wait as long as the request itself says."""
    return bool(words) and words[0].lower() in _BLOCKING


def listens(words: Sequence[bytes]) -> bool:
    """Whether it is what comes behind its reply that a command is sent for."""
    return bool(words) and words[0].lower() in _LISTENING


def secrets_in(words: Sequence[bytes]) -> frozenset[int]:
    """The places of the words in a request that nobody else is to see."""
    name = _full_name(words)
    if name == b"auth":
        # The name of a user is none, if it is that.
        return frozenset(range(2 if len(words) == 3 else 1, len(words)))
    if name in _WITH_AUTH:
        behind = [at for at, word in enumerate(words) if at and word.lower() in _AUTH]
        return frozenset(place for at in behind for place in (at + 1, at + 2) if place < len(words))
    if name == b"acl setuser":
        return frozenset(at for at, word in enumerate(words) if at > 2 and is_secret(word))
    if name == b"config set":
        return frozenset(
            at
            for at in range(3, len(words), 2)
            if words[at] and words[at - 1].lower() in _PASSWORDS
        )
    command = _TEXT.get(name)
    if command is not None and command.flags & Flag.SECRET:
        return frozenset(range(command.words, len(words)))
    return frozenset()


def veiled(line: bytes) -> bytes | None:
    """A line as it may be shown, and None for one that may be kept as it is: nothing in it is a
    secret, as far as can be told."""
    words = words_of(line)
    if not words:
        found = _SECRETIVE.match(line)
        return None if found is None else found[0].strip() + b" " + REDACTED
    secrets = secrets_in(words)
    if not secrets and len(words) > 1 and _is_nearly_auth(words[0]):
        secrets = frozenset(range(1, len(words)))
    if not secrets:
        return None
    return b" ".join(REDACTED if at in secrets else word for at, word in enumerate(words))


def question(words: Sequence[bytes], database: int, user: bytes = b"default") -> str | None:
    """What a person is asked before a request that cannot be undone; None where there is nothing to
    ask. ``database`` is the one that it would be run in, ``user`` who asks for it."""
    harm = _harm(words, database, user)
    return None if harm is None else f"{harm}. Go on? (yes/no) "


def _harm(words: Sequence[bytes], database: int, user: bytes) -> str | None:
    rest = [word.lower() for word in words[1:]]
    match _full_name(words):
        case b"flushall":
            return "flushall deletes all keys of all databases"
        case b"flushdb":
            return f"flushdb deletes all keys of database {database}"
        case b"shutdown" if b"abort" not in rest:
            return "shutdown stops the server, for everybody"
        case b"debug" if rest and rest[0] not in (b"help", b"object"):
            return "debug is for those who develop the server, and may stop or delay it"
        case b"acl deluser" if len(words) > 2:
            users = ", ".join(map(_shown, words[2:]))
            return f"acl deluser deletes {users} and ends their connections"
        case b"acl setuser" if b"nopass" in rest[2:] and words[2] == b"default":
            return "acl setuser default nopass lets everybody in, without a password"
        case b"acl setuser" if b"off" in rest[2:] and words[2] == user:
            return f"acl setuser {_shown(user)} off is about you, who could not log in again"
        case b"config set":
            for name, value in zip(rest[1::2], words[3::2], strict=False):
                if name == b"requirepass":
                    done = "changes the password" if value else "takes away the password"
                    return f"config set requirepass {done} of the user default"
                if name in _PASSWORDS or name in _PATHS or _TLS_PATH.fullmatch(name):
                    return f"config set {name.decode()} changes which files the server uses"
    return None


def _full_name(words: Sequence[bytes]) -> bytes:
    """The name of a request's command: of two words, where it is a subcommand's."""
    name = words[0].lower() if words else b""
    if len(words) > 1 and (name in CONTAINERS or name == b"acl"):
        return name + b" " + words[1].lower()
    return name


def _is_nearly_auth(name: bytes) -> bool:
    return name.lower() not in _TEXT and "'auth'" in str(_nearest().unknown(name))


@functools.cache
def _nearest() -> Suggestions:
    return Suggestions(_TEXT)


def _shown(word: bytes) -> str:
    return repr(word.decode("utf-8", "backslashreplace"))
