"""``memdb passwd``: hashes that the daemon takes, and a file of users with nothing else changed."""

from __future__ import annotations

import io
import os
import re
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from twisted.python.usage import UsageError

from memdbd.client import passwd
from memdbd.client.asking import NoTerminal
from memdbd.client.exits import FAILED, OK
from memdbd.client.options import Options
from memdbd.client.passwd import Refused, with_password
from memdbd.client.toolbox import Tool
from memdbd.client.tooloptions import tool_options
from memdbd.commands.table import COMMANDS, CONTAINERS
from memdbd.passwords import hashes_of
from memdbd.persistence.fs import FileSystem
from memdbd.rules import Names
from memdbd.users import read

NAMES = Names(COMMANDS, CONTAINERS)
RULE = "#$scrypt$ln=14,r=8,p=1$" + "c2FsdHNhbHRzYWx0c2FsdA" + "$" + "A" * 43
PASSWORD = "correct horse battery"


class Ran:
    """The tool, with somebody at its terminal who types this, or with this as standard input."""

    def __init__(self, capsys: Any, monkeypatch: Any) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch
        self.asked: list[str] = []

    def at_terminal(self, *typed: bytes) -> None:
        answers = list(typed)

        def ask(prompt: str) -> bytes:
            self.asked.append(prompt)
            if not answers:
                raise NoTerminal
            return answers.pop(0)

        self._monkeypatch.setattr(passwd, "ask", ask)
        self._monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)

    def __call__(self, *words: object, given: bytes | None = PASSWORD.encode()) -> int:
        if given is not None:
            stdin = io.TextIOWrapper(io.BytesIO(given))
            self._monkeypatch.setattr(sys, "stdin", stdin)
        options = Options()
        options.parseOptions(["passwd", *map(str, words)])
        complaints: list[str] = []
        status = Tool(options, complaints.append).run()
        self.out = self._capsys.readouterr().out
        self.said = "\n".join(complaints)
        return status


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ran:
    return Ran(capsys, monkeypatch)


@pytest.fixture
def users(tmp_path: Path) -> Path:
    file = tmp_path / "users"
    file.write_text(
        "# ours\nuser ann on nopass ~* +@all\n\nuser bob off #" + "0" * 64 + " ~b* +get\n"
    )
    return file


def hashes(file: Path, name: str) -> tuple[str, ...]:
    return read(file.read_text(), str(file), NAMES)[name.encode()].hashes


class TestPasswords:
    @pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\nmore\n"])
    def test_the_first_line_of_standard_input_is_hashed(self, run: Ran, end: bytes) -> None:
        assert run(given=PASSWORD.encode() + end) == OK
        assert run.out.startswith("#$scrypt$ln=14,r=8,p=1$")
        found = run.out.strip()[1:]
        assert hashes_of(PASSWORD.encode(), [found]) == {found}
        assert run.said == ""

    def test_no_two_hashes_are_alike(self, run: Ran) -> None:
        found = set()
        for _ in range(2):
            run()
            found.add(run.out)
        assert len(found) == 2

    def test_at_a_terminal_it_is_asked_for_twice(self, run: Ran) -> None:
        run.at_terminal(PASSWORD.encode(), PASSWORD.encode())
        assert run("ann", given=None) == OK
        assert run.asked == ["New password of ann: ", "Once more: "]
        assert hashes_of(PASSWORD.encode(), [run.out.strip()[1:]])

    def test_two_that_differ_are_none(self, run: Ran) -> None:
        run.at_terminal(PASSWORD.encode(), b"correct hoarse battery")
        assert run(given=None) == FAILED
        assert (run.out, run.said) == ("", "memdb passwd: the two are not the same")

    @pytest.mark.parametrize("given", [b"", b"\n", b"\nsecond"])
    def test_an_empty_one_is_none(self, run: Ran, given: bytes) -> None:
        assert run(given=given) == FAILED
        assert (run.out, run.said) == ("", "memdb passwd: no password was given")

    def test_an_empty_one_is_asked_for_once(self, run: Ran) -> None:
        run.at_terminal(b"")
        assert run(given=None) == FAILED
        assert run.asked == ["New password: "]

    def test_a_short_one_is_warned_of(self, run: Ran) -> None:
        assert run(given=b"elevenchars") == OK
        assert run.said == (
            "memdb passwd: a password of less than 12 characters is soon found by trying"
        )
        assert run(given=b"twelve chars") == OK
        assert run.said == ""


class TestFile:
    def test_all_passwords_of_the_user_give_way_and_nothing_else(
        self, run: Ran, users: Path
    ) -> None:
        assert run("--file", users, "bob") == OK
        assert run.out == f"bob has a new password in {users}\n"
        lines = users.read_text().split("\n")
        assert lines[:3] == ["# ours", "user ann on nopass ~* +@all", ""]
        start, new, *rest = lines[3].split("#")
        assert (start, rest) == ("user bob off ", [])
        assert new.endswith(" ~b* +get")
        (found,) = hashes(users, "bob")
        assert hashes_of(PASSWORD.encode(), [found])
        assert lines[4:] == [""]

    def test_a_user_who_is_not_there_may_log_in_and_do_nothing(self, run: Ran, users: Path) -> None:
        before = users.read_text()
        assert run("carl", "-f", users) == OK
        assert "carl is a new user in" in run.out
        assert "do nothing else" in run.out
        assert users.read_text().startswith(before)
        draft = read(users.read_text(), "it", NAMES)[b"carl"]
        assert draft.enabled
        assert len(draft.hashes) == 1
        assert (draft.root.commands, draft.root.keys, draft.root.channels) == (frozenset(), (), ())

    def test_or_what_the_rules_say(self, run: Ran, users: Path) -> None:
        assert run("carl", "-f", users, "--rules", "~c:* +@read -@dangerous") == OK
        draft = read(users.read_text(), "it", NAMES)[b"carl"]
        assert "get" in draft.root.commands
        assert "keys" not in draft.root.commands

    def test_the_rules_of_the_documentation_let_a_program_work_and_not_delete_all(
        self, run: Ran, users: Path
    ) -> None:
        manual = (Path(__file__).parents[2] / "docs" / "client.md").read_text()
        found = re.search(r"unless `--rules\s'([^']+)'`", manual)
        assert found is not None
        assert run("carl", "-f", users, "--rules", " ".join(found[1].split())) == OK
        may = read(users.read_text(), "it", NAMES)[b"carl"].root.commands
        assert {"get", "set", "del", "ping", "hello", "select", "blpop"} <= may
        assert not {"flushall", "flushdb", "keys", "acl setuser", "shutdown"} & may

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["ann", "--rules", "+@all"], "ann is in "),
            (["carl", "--rules", "+nonsense"], "Unknown command or category name in ACL"),
            (["a ~*"], "the name of a user has no blanks"),
            ([""], "the name of a user has no blanks"),
        ],
    )
    def test_what_cannot_be_is_refused_and_nothing_is_written(
        self, run: Ran, users: Path, words: list[str], said: str
    ) -> None:
        before = users.read_text()
        assert run("--file", users, *words) == FAILED
        assert said in run.said
        assert users.read_text() == before
        assert [*users.parent.iterdir()] == [users]

    def test_a_new_file_is_for_its_owner_alone(self, run: Ran, tmp_path: Path) -> None:
        file = tmp_path / "new"
        assert run("ann", "--file", file) == OK
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert len(hashes(file, "ann")) == 1

    def test_one_that_is_there_keeps_its_mode_and_its_owner(self, run: Ran, users: Path) -> None:
        users.chmod(0o640)
        if os.getuid() == 0:
            os.chown(users, 12345, 54321)
        before = users.stat()
        assert run("ann", "--file", users) == OK
        after = users.stat()
        assert after.st_ino != before.st_ino  # written beside, and renamed
        assert (after.st_mode, after.st_uid, after.st_gid) == (
            before.st_mode,
            before.st_uid,
            before.st_gid,
        )

    def test_a_link_is_followed(self, run: Ran, users: Path, tmp_path: Path) -> None:
        link = tmp_path / "link"
        link.symlink_to(users)
        assert run("ann", "--file", link) == OK
        assert link.is_symlink()
        assert len(hashes(users, "ann")) == 1

    @pytest.mark.parametrize("name", ["none/users", "."])
    def test_a_file_that_cannot_be_is_named(self, run: Ran, tmp_path: Path, name: str) -> None:
        assert run("ann", "--file", tmp_path / name) == FAILED
        assert str(tmp_path) in run.said

    def test_a_directory_that_is_not_there_is_what_is_named(self, run: Ran, tmp_path: Path) -> None:
        assert run("ann", "--file", tmp_path / "none" / "users") == FAILED
        assert f"cannot write in {tmp_path}/none: No such file or directory" in run.said

    def test_one_that_changes_meanwhile_is_left_alone(
        self, run: Ran, users: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Busy(FileSystem):
            def sync(self, file: int) -> None:
                users.write_text("user ann off\n")

        monkeypatch.setattr(passwd, "FileSystem", Busy)
        assert run("ann", "--file", users) == FAILED
        assert "was changed by somebody else meanwhile" in run.said
        assert users.read_text() == "user ann off\n"
        assert [*users.parent.iterdir()] == [users]


class TestLines:
    @pytest.mark.parametrize(
        ("line", "changed"),
        [
            ("user ann on nopass ~* +@all", f"user ann on {RULE} ~* +@all"),
            ("user ann on >clear ~*", f"user ann on {RULE} ~*"),
            ("user ann ~* on resetpass #" + "0" * 64, f"user ann ~* on {RULE}"),
            ("user ann", f"user ann {RULE}"),
            ("user ann reset ~* on reset +get", f"user ann reset ~* on reset {RULE} +get"),
            ("  user  ann  on  ~*\r", f"user ann on {RULE} ~*"),
            ("user ann on (~a +get) (~b +set)", f"user ann on {RULE} (~a +get) (~b +set)"),
        ],
    )
    def test_only_what_is_about_passwords_changes(self, line: str, changed: str) -> None:
        text, is_new = with_password(f"# a\n{line}\nuser bob on >his\n", "it", "ann", RULE, None)
        assert text == f"# a\n{changed}\nuser bob on >his\n"
        assert not is_new

    @pytest.mark.parametrize(
        ("text", "changed"),
        [
            ("", f"user ann on {RULE}\n"),
            ("user bob off\n", f"user bob off\nuser ann on {RULE}\n"),
            ("user bob off", f"user bob off\nuser ann on {RULE}\n"),
            ("# user ann on\n", f"# user ann on\nuser ann on {RULE}\n"),
        ],
    )
    def test_a_new_user_stands_at_the_end(self, text: str, changed: str) -> None:
        assert with_password(text, "it", "ann", RULE, None) == (changed, True)

    def test_a_user_who_is_there_twice_is_refused(self) -> None:
        with pytest.raises(Refused, match="it: lines 1 and 3 are both of ann"):
            with_password("user ann on\n\nuser ann off\n", "it", "ann", RULE, None)

    def test_a_line_that_a_daemon_would_refuse_is_refused_with_its_number(self) -> None:
        with pytest.raises(Refused, match="it, line 2: "):
            with_password("user bob on\nuser ann on +nonsense\n", "it", "ann", RULE, None)


class TestOptions:
    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--file", "f"], "--file needs the USER"),
            (["ann", "--rules", "+@all"], "--rules is nothing without --file"),
            (["ann", "hunter2"], "there is one user only, and no password"),
            (["ann", "-f", "f", "--rules", "on >hunter2"], "a password is no rule here"),
            (["--password", "hunter2"], "there is no option --password"),
        ],
    )
    def test_what_is_wrong_is_said_without_the_password(self, words: list[str], said: str) -> None:
        options = Options()
        options.parseOptions(["passwd", *words])
        with pytest.raises(UsageError) as raised:
            tool_options(options)
        assert said in str(raised.value)
        assert "hunter2" not in str(raised.value)
