"""``memdb passwd``: the hash of a password, printed or put into a file of users.

Strategy: of the file, only the line of the user is touched, and of that only what is about
passwords; the result has to be one that a daemon would read. It is written beside and renamed, with
the owner and the mode of what was there.

May import: asking, tooloptions, exits, errors; passwords, rules, users, the command table,
persistence.fs.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from contextlib import suppress

from memdbd.client import exits
from memdbd.client.asking import MOST, NoTerminal, ask, first_line
from memdbd.client.tooloptions import PasswdOptions
from memdbd.commands.table import COMMANDS, CONTAINERS
from memdbd.errors import CommandError, ConfigError, MemDBError
from memdbd.passwords import SALT_BYTES, make
from memdbd.persistence.fs import FileSystem
from memdbd.rules import Names, is_secret
from memdbd.users import read

SHORT = 12  # characters, below which a password can be guessed by trying

Say = Callable[[str], object]


class Refused(MemDBError):
    """There is no such password, or no such file; says why."""


def passwd(options: PasswdOptions, say: Say, complain: Say) -> int:
    """Run the tool; gives the exit status."""
    try:
        password = new_password(options.given)
        if len(password.decode("utf-8", "replace")) < SHORT:
            complain(
                f"memdb passwd: a password of less than {SHORT} characters is soon found by trying"
            )
        rule = f"#{make(password, os.urandom(SALT_BYTES))}"
        if options["file"] is None:
            say(rule)
        else:
            say(_put(options, rule))
    except MemDBError as error:
        complain(f"memdb passwd: {error}")
        return exits.FAILED
    except OSError as error:
        complain(f"memdb passwd: {error.filename or options['file']}: {error.strerror}")
        return exits.FAILED
    return exits.OK


def new_password(user: str | None) -> bytes:
    """Asked for twice at a terminal, or else the first line of standard input. Raises Refused."""
    if sys.stdin is None:
        raise Refused("standard input is closed")
    if not sys.stdin.isatty():
        password = first_line(sys.stdin.buffer.readline(MOST))
    else:
        whose = "" if user is None else f" of {user}"
        try:
            password = ask(f"New password{whose}: ")
            if password and ask("Once more: ") != password:
                raise Refused("the two are not the same")
        except NoTerminal:
            raise Refused("there is no terminal to ask for the password") from None
    if not password:
        raise Refused("no password was given")
    return password


def _put(options: PasswdOptions, rule: str) -> str:
    """Put it into the file; gives what is to be said of that."""
    fs, name, path = FileSystem(), str(options.given), str(options["file"])
    if name.split() != [name] or "\0" in name:
        raise Refused("the name of a user has no blanks")
    path = fs.resolve(path) if os.path.islink(path) else path
    there = os.stat(path) if fs.exists(path) else None
    text = ""
    if there is not None:
        try:
            text = b"".join(fs.read(path)).decode("utf-8", "surrogateescape")
        except OSError as error:
            raise Refused(f"cannot read {path}: {error.strerror}") from None
    changed, is_new = with_password(text, path, name, rule, options["rules"])
    _replace(fs, path, there, changed.encode("utf-8", "surrogateescape"))
    if not is_new:
        return f"{name} has a new password in {path}"
    if options["rules"] is not None:
        return f"{name} is a new user in {path}"
    return f"{name} is a new user in {path}, who may log in and do nothing else: rules are missing"


def with_password(
    text: str, path: str, name: str, rule: str, rules: str | None
) -> tuple[str, bool]:
    """The text of a file of users in which ``name`` has the password of ``rule`` and no other; and
    whether it is a new user, who gets ``rules``. Raises Refused where that cannot be."""
    lines = text.split("\n")
    places = [at for at, line in enumerate(lines) if line.split()[:2] == ["user", name]]
    if len(places) > 1:
        numbers = " and ".join(str(at + 1) for at in places)
        raise Refused(f"{path}: lines {numbers} are both of {name}")
    if places:
        if rules is not None:
            raise Refused(f"{name} is in {path} already: what a user may do is changed there")
        at = places[0]
        lines[at] = _line(lines[at].split(), rule)
    else:
        if lines[-1] == "":
            lines.pop()
        at = len(lines)
        lines += [" ".join(filter(None, ("user", name, "on", rule, rules))), ""]
    _check(lines[at], at, path)
    return "\n".join(lines), not places


def _line(words: list[str], rule: str) -> str:
    """A user's line with this password in place of those that it has."""
    kept = [
        word
        for word in words[2:]
        if not is_secret(os.fsencode(word)) and word.lower() not in ("nopass", "resetpass")
    ]
    # It counts from where it stands: "reset" would take it away again.
    switches = [at for at, word in enumerate(kept) if word.lower() in ("on", "off", "reset")]
    at = switches[-1] + 1 if switches else 0
    return " ".join([*words[:2], *kept[:at], rule, *kept[at:]])


def _check(line: str, at: int, path: str) -> None:
    """Raise Refused for a line that a daemon would refuse."""
    try:
        read("\n" * at + line, path, Names(COMMANDS, CONTAINERS))
    except (ConfigError, CommandError) as error:
        raise Refused(str(error)) from None


def _replace(fs: FileSystem, path: str, there: os.stat_result | None, data: bytes) -> None:
    """Have the file be this, with the owner and the mode that it has. Raises OSError, Refused."""
    temporary = f"{path}.{os.getpid()}.tmp"
    directory = os.path.dirname(path) or "."
    try:
        file = fs.create(temporary)
    except FileExistsError:
        raise
    except OSError as error:
        raise Refused(f"cannot write in {directory}: {error.strerror}") from None
    try:
        try:
            if there is not None:
                _keep_owner(file, there, path)
            fs.write_all(file, data)
            fs.sync(file)
        finally:
            fs.close(file)
        if there is not None and _has_changed(there, os.stat(path)):
            raise Refused(f"{path} was changed by somebody else meanwhile; nothing was written")
        fs.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            fs.remove(temporary)
        raise
    fs.sync_directory(directory)


def _keep_owner(file: int, there: os.stat_result, path: str) -> None:
    if hasattr(os, "fchown"):  # not on Windows
        made = os.fstat(file)
        if (made.st_uid, made.st_gid) != (there.st_uid, there.st_gid):
            try:
                os.fchown(file, there.st_uid, there.st_gid)
            except PermissionError:
                raise Refused(f"{path} belongs to somebody else, who has to do this") from None
        os.fchmod(file, stat.S_IMODE(there.st_mode))


def _has_changed(before: os.stat_result, now: os.stat_result) -> bool:
    return (before.st_ino, before.st_size, before.st_mtime_ns) != (
        now.st_ino,
        now.st_size,
        now.st_mtime_ns,
    )
