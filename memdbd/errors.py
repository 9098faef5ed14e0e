"""Every error that memdbd raises on purpose, in one place.

A :class:`CommandError` is an answer to a client: it has a code (Redis's own words, since clients
match on them) and a sentence that says what would be right. The others stop a connection or a
start. Imports nothing.
"""

from __future__ import annotations

from typing import Self


def shown(raw: bytes) -> str:
    """A word of a request in the text of an error: up to its first NUL, as a text in C ends there.

    What is no UTF-8 is sent back as the bytes that it was.
    """
    return raw.partition(b"\0")[0].decode("utf-8", "surrogateescape")


class MemDBError(Exception):
    """What all errors of memdbd have in common. ``is_counted``: as an error that was replied."""

    is_counted = False


class CommandError(MemDBError):
    """A command that cannot be carried out; the connection lives on.

    ``str(error)`` is the sentence for the client, in Redis's words where Redis has the same error;
    ``error.code`` its RESP code; ``error.hint`` what would be right, which the text dialect adds;
    ``error.limit`` the limit that the request has met, if it was one. ``error.is_rejection``: the
    request was not run at all, which is not the same as to fail.
    """

    code = "ERR"
    limit = ""
    is_rejection = False

    def __init__(self, message: str, hint: str = "", *, code: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        if code:
            self.code = code

    def rejecting(self) -> Self:
        """This error, of a request that is not run."""
        self.is_rejection = True
        return self

    def bare(self) -> Self:
        """This error as a reply that is kept: without the frames that it came through. Where one of
        them keeps the reply, only the collector would find the two."""
        self.__context__ = None
        return self.with_traceback(None)


class WrongType(CommandError):
    """The key holds a value of another type than the command is for."""

    code = "WRONGTYPE"

    def __init__(self) -> None:
        super().__init__("Operation against a key holding the wrong kind of value")


class SyntaxFault(CommandError):
    """Options that a command does not have, or that do not go together."""

    def __init__(self, hint: str = "") -> None:
        super().__init__("syntax error", hint)


class SubcommandFault(CommandError):
    """Arguments that a subcommand does not have; ``given`` is the word by which it was named."""

    def __init__(self, container: str, given: bytes, hint: str = "") -> None:
        super().__init__(
            f"unknown subcommand or wrong number of arguments for '{shown(given[:128])}'. "
            f"Try {container.upper()} HELP.",
            hint,
        )


class OutOfMemory(CommandError):
    """A bound of keys or bytes is reached and nothing may be evicted."""

    code = "OOM"
    is_rejection = True


class NotCommitted(CommandError):
    """The journal could not be written, so a change is refused, or not known to be kept."""

    code = "MISCONF"


class ProtocolError(MemDBError):
    """The peer's bytes are no dialect of ours; the connection gets one error and is closed."""


class ConfigError(MemDBError):
    """A setting that does not exist or has a value that it cannot have."""


class ListenError(MemDBError):
    """An address that cannot be listened on; the daemon refuses to start."""


class StorageError(MemDBError):
    """The data directory cannot be used as it is; the daemon refuses to start."""


class DirectoryLocked(StorageError):
    """Another daemon holds the data directory."""


class DataDamaged(StorageError):
    """What is on disk is not what was written."""


class SnapshotDamaged(DataDamaged):
    """A snapshot that is not what was written; names the file, the line and the reason."""

    def __init__(self, path: str, line: int, reason: str) -> None:
        super().__init__(f"{path}, line {line}: {reason}")
        self.path = path
        self.line = line
        self.reason = reason


class JournalDamaged(DataDamaged):
    """A journal that is not what was written; names the file, the byte and the reason."""

    def __init__(self, path: str, offset: int, reason: str) -> None:
        super().__init__(f"{path}, byte {offset}: {reason}")
        self.path = path
        self.offset = offset
        self.reason = reason
