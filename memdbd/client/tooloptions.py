"""The command lines of the tools, ``memdb check`` and the others.

May import: options, protocol and persistence (for defaults), rules, Twisted.
"""

from __future__ import annotations

import getopt
import os
from collections.abc import Sequence
from typing import Any, ClassVar

from twisted.python import usage

from memdbd.client.options import (
    LOGIN_FLAGS,
    LOGIN_PARAMETERS,
    NEVER_AN_ARGUMENT,
    Options,
    PlainOptions,
    seconds,
)
from memdbd.client.protocol import DEFAULT_ENDPOINT
from memdbd.persistence.snapshot import FILENAME
from memdbd.rules import is_secret

_STORAGE_FILE: list[Any] = [
    "storage-file", None, None,
    f"The snapshot's name, where the daemon's setting storage_file is not {FILENAME}.",
]  # fmt: skip
_CONNECT: list[Sequence[Any]] = [
    ["connect", "c", None, "Where the server is, as in memdb --help: a memdbd, or a redis-server."],
    ["timeout", "t", None, "Seconds to wait for a connection and for a reply.", seconds],
    *LOGIN_PARAMETERS,
]
# What may stand before the name of a tool as well.
_GENERAL = ("connect", "timeout", *(option[0] for option in LOGIN_PARAMETERS))
_GENERAL_FLAGS = tuple(option[0] for option in LOGIN_FLAGS)

_LOGIN = """
A server that wants a login, or TLS: see memdb --help. The options for that,
and the variables MEMDB_PASSWORD and REDISCLI_AUTH, are the same, for a
redis-server too."""


class ToolOptions(PlainOptions):
    """What they have in common: at most one word besides the options, and a manual."""

    longdesc = ""
    manual: ClassVar[str] = ""
    word = ""  # what the word is
    is_word_needed: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.given: str | None = None

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        # They may stand behind the word too.
        found, words = self.scan(getopt.gnu_getopt, options or ())
        parts = [part for each in found for part in self._parts(*each)]
        super().parseOptions([*parts, "--", *words])

    def _parts(self, name: str, value: str) -> list[str]:
        """An option that was found, as it is on a command line."""
        if f"{name[2:]}=" in self.longOpt:
            return [f"{name}={value}"]
        return [name, value] if value else [name]

    def parseArgs(self, *words: str) -> None:
        if len(words) > 1:
            raise usage.UsageError(f"there is one {self.word} only, and then {words[1]!r}")
        if not words and self.is_word_needed:
            raise usage.UsageError(f"the {self.word} is missing")
        self.given = words[0] if words else None

    def getUsage(self, width: int | None = None) -> str:
        return super().getUsage(width) + self.manual

    def complete(self, general: Options) -> None:
        """Take what stood before the name of the tool, and was not said behind it."""
        for name in _GENERAL:
            if name in self and self[name] is None:
                self[name] = general[name]
        for name in _GENERAL_FLAGS:
            if name in self:
                self[name] = self[name] or general[name]


class StorageOptions(ToolOptions):
    """Those of a tool that may look into a data directory."""

    instead: ClassVar[str] = ""  # the option that names a directory in place of a server

    @property
    def storage_file(self) -> str:
        """The snapshot's name."""
        name: str = self["storage-file"] or FILENAME
        return name

    @property
    def names_storage_file(self) -> bool:
        """Whether the command line says it."""
        return self["storage-file"] is not None

    @property
    def naming(self) -> str:
        """What a command line of another tool has to say too, with a blank behind it."""
        return f"--storage-file {self.storage_file} " if self.names_storage_file else ""

    def complete(self, general: Options) -> None:
        if self.instead and self[self.instead] is not None:
            connect = self["connect"] or general["connect"]
            if connect != DEFAULT_ENDPOINT:
                raise usage.UsageError(
                    f"--{self.instead} is a directory, and --connect {connect} a server: say one"
                )
        super().complete(general)


class CheckOptions(StorageOptions):
    synopsis = "Usage: memdb check [options] DIRECTORY"
    word = "directory"
    is_word_needed = True
    optFlags: ClassVar[list[Sequence[Any]]] = [["json", None, "Print one object of JSON."]]
    optParameters: ClassVar[list[Sequence[Any]]] = [_STORAGE_FILE]
    manual = """
Tells what is in a data directory, what is damaged and where, and with how
many keys a daemon would start on it. It writes nothing, and may be used while
a daemon runs.

Exit status:
    0  all is in order
    1  damaged: a daemon would refuse; or it cannot be read, or is no data of
       memdbd
    3  the last write was not completed, as power leaves it: a daemon would
       start without it, and keep it beside
   64  the command line is wrong
"""


class RepairOptions(StorageOptions):
    synopsis = "Usage: memdb repair [options] DIRECTORY"
    word = "directory"
    is_word_needed = True
    optFlags: ClassVar[list[Sequence[Any]]] = [
        ["yes", "y", "Do it without asking."],
        ["salvage", None, "Of a damaged snapshot, take the lines that can be read."],
    ]
    optParameters: ClassVar[list[Sequence[Any]]] = [_STORAGE_FILE]
    manual = """
Makes a damaged data directory one that a daemon starts on, with all that was
written up to the first fault. It says what will be lost, and asks. Nothing is
deleted: every file is first copied to DIRECTORY/repair-TIME/. No daemon may
use the directory meanwhile. Where another file in it is a snapshot too, or
the journal's is not there, it is refused until --storage-file says which.

A backup, if there is one, may have more than what a repair can save.

Exit status:
    0  done, or there was nothing to do
    1  refused or failed; the directory is as it was
   64  the command line is wrong
"""


class ExportOptions(StorageOptions):
    synopsis = "Usage: memdb export [options] [FILE]"
    instead = "from"
    word = "file"
    optFlags: ClassVar[list[Sequence[Any]]] = [
        ["force", "f", "Replace FILE if it is there."],
        ["leave-out", None, "Leave out keys of types that memdbd does not have, such as streams."],
        *LOGIN_FLAGS,
    ]
    optParameters: ClassVar[list[Sequence[Any]]] = [
        *_CONNECT,
        ["from", None, None, "Read this data directory instead; no server is needed."],
        _STORAGE_FILE,
    ]
    manual = f"""
Writes all keys of all databases as lines of JSON, to FILE or to standard
output: records as in a snapshot of memdbd, and a last line with their number.
FILE is there when it is complete, and not before.

From a server it goes over SCAN: each value is as it was at one moment, but
not all at the same one, and a key that is set meanwhile may be missing. For a
picture of one moment use --from, or stop all writing.
{_LOGIN}

Exit status:
    0  done
    1  the server answered with an error, or it was refused; there is no FILE
    2  no connection, a connection lost, or no reply in time
   64  the command line is wrong
   74  the output could not be written
"""


class ImportOptions(StorageOptions):
    synopsis = "Usage: memdb import [options] [FILE]"
    instead = "into"
    word = "file"
    optFlags: ClassVar[list[Sequence[Any]]] = [
        ["replace", None, "Overwrite keys that are there."],
        ["skip", None, "Leave keys that are there as they are."],
        ["incomplete", None, "Import lines whose last line, with their number, is missing."],
        ["leave-out", None, "Leave out keys of types that memdbd does not have, such as streams."],
        *LOGIN_FLAGS,
    ]
    optParameters: ClassVar[list[Sequence[Any]]] = [
        *_CONNECT,
        ["into", None, None, "Write to this data directory, which must have no data yet."],
        _STORAGE_FILE,
    ]
    manual = f"""
Reads FILE, or standard input without one or with -: lines of JSON as memdb
export writes them, a snapshot of memdbd, a plain JSON object of strings, or a
Redis RDB file (pip install 'memdbd[rdb]'). Which of them it is, is seen.

All of it is read before anything is written, so a file with a fault changes
nothing. So it is with lines that do not end with the last one of memdb
export, which may have been cut off, unless you say --incomplete; and if any
of the keys is there already, unless you say --replace or --skip. Keys whose
deadline has passed are not written.
{_LOGIN}

Exit status:
    0  done
    1  the file has a fault or no end, keys are there already, or an error of
       the server
    2  no connection, a connection lost, or no reply in time
   64  the command line is wrong
"""

    def postOptions(self) -> None:
        if self["replace"] and self["skip"]:
            raise usage.UsageError("--replace and --skip are two answers to one question")


class PasswdOptions(ToolOptions):
    synopsis = "Usage: memdb passwd [options] [USER]"
    word = "user"
    optParameters: ClassVar[list[Sequence[Any]]] = [
        ["file", "f", None, "The file of users in which USER gets the password, and no other."],
        ["rules", "r", None, "What USER may do, if there is no such user yet: '~* &* +@all', say."],
    ]
    manual = """
Gives a password its hash (scrypt), which is what the daemon keeps. It asks for
the password twice at a terminal; otherwise it is the first line of standard
input.

Without --file, the hash is printed as a rule for ACL SETUSER and for a file
of users (twistd memdb --auth users:FILE): #$scrypt$...

With --file, it takes the place of all passwords that USER has in that file,
whose other lines stay as they are. A user who is not there is added: with
--rules, or may log in and do nothing else. The file is made if need be, for
its owner alone; one that is there keeps its owner and its mode. A daemon reads
it at SIGHUP, or at ACL LOAD.

Exit status:
    0  done
    1  refused: no password, two that differ, or a file that cannot be used
   64  the command line is wrong
"""

    def parseArgs(self, *words: str) -> None:
        if len(words) > 1:  # it is not told which
            raise usage.UsageError(f"there is one user only, and no password: {NEVER_AN_ARGUMENT}")
        super().parseArgs(*words)

    def postOptions(self) -> None:
        if self["file"] is not None and self.given is None:
            raise usage.UsageError("--file needs the USER whose password it is")
        if self["rules"] is None:
            return
        if self["file"] is None:
            raise usage.UsageError("--rules is nothing without --file")
        if any(is_secret(os.fsencode(rule)) for rule in self["rules"].split()):
            raise usage.UsageError(f"a password is no rule here: {NEVER_AN_ARGUMENT}")


_TOOLS: dict[bytes, type[ToolOptions]] = {
    b"check": CheckOptions,
    b"repair": RepairOptions,
    b"export": ExportOptions,
    b"import": ImportOptions,
    b"passwd": PasswdOptions,
}


def tool_options(general: Options) -> ToolOptions:
    """The options of the tool that the first word names. Raises UsageError."""
    options = _TOOLS[general.words[0]]()
    options.parseOptions([os.fsdecode(word) for word in general.words[1:]])
    options.complete(general)
    return options
