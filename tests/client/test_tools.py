"""``memdb check`` and ``memdb repair``, and the tools for files: what is said, and the statuses."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from persistence.stores import Store, flip, small
from twisted.python.usage import UsageError

from memdbd import effects
from memdbd.client.exits import FAILED, OK, OUTPUT, TORN
from memdbd.client.options import Options
from memdbd.client.progress import Progress
from memdbd.client.toolbox import Tool
from memdbd.client.tooloptions import tool_options
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.lock import DirectoryLock


class Ran:
    """A tool that needs no server, run with these words."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *words: str | Path) -> None:
        options = Options()
        options.parseOptions([str(word) for word in words])
        complaints: list[str] = []
        capsys.readouterr()
        self.status = Tool(options, complaints.append).run()
        self.out = capsys.readouterr().out
        self.complaints = complaints

    @property
    def said(self) -> str:
        return "\n".join(self.complaints)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    return lambda *words: Ran(capsys, *words)


class TestCheck:
    def test_a_store_in_order_is_status_0(self, tmp_path: Path, run: Any) -> None:
        store = small(tmp_path / "d")
        ran = run("check", store.directory)
        assert (ran.status, ran.said) == (OK, "")
        assert f"{store.directory}: in order, 9 keys\n" in ran.out
        assert "journal: journal.00000001, " in ran.out
        assert "3 frames, 7 to 9\n" in ran.out

    def test_a_damaged_one_is_status_1_with_each_place(self, tmp_path: Path, run: Any) -> None:
        store = small(tmp_path / "d")
        flip(store.segment(2), 200)
        flip(store.segment(3), 60)
        ran = run("check", store.directory)
        assert ran.status == FAILED
        assert "damaged, a daemon would refuse" in ran.out
        assert f"{store.segment(2)}, byte " in ran.out
        assert f"{store.segment(3)}, byte " in ran.out
        assert f"memdb repair {store.directory}" in ran.out

    def test_an_uncompleted_write_is_status_3(self, tmp_path: Path, run: Any) -> None:
        store = small(tmp_path / "d")
        with store.segment(3).open("ab") as file:
            file.write(b"half")
        ran = run("check", store.directory)
        assert ran.status == TORN
        assert "4 bytes of no whole frame" in ran.out

    def test_json_is_one_object_with_the_same(self, tmp_path: Path, run: Any) -> None:
        store = small(tmp_path / "d")
        ran = run("check", "--json", store.directory)
        found = json.loads(ran.out)
        assert (found["verdict"], found["keys"], found["sequence"]) == ("in order", 9, 9)
        assert (found["faults"], found["daemon"], found["closed"]) == ([], None, False)
        flip(Path(store.path), 100)
        found = json.loads(run("check", "--json", store.directory).out)
        assert found["verdict"] == "damaged"
        assert found["faults"][0]["line"] >= 1
        assert found["keys"] is None

    def test_another_name_of_the_snapshot_is_an_option(self, tmp_path: Path, run: Any) -> None:
        store = small(tmp_path / "d")
        Path(store.path).rename(store.directory / "other.json")
        store.segment(1).unlink()
        assert run("check", store.directory).status == FAILED
        assert run("check", "--storage-file", "other.json", store.directory).status == OK

    def test_what_is_no_directory_is_said(self, tmp_path: Path, run: Any) -> None:
        ran = run("check", tmp_path / "no")
        assert (ran.status, ran.said) == (FAILED, f"memdb check: {tmp_path}/no is no directory")

    def test_a_damaged_snapshot_alone_is_status_1(self, tmp_path: Path, run: Any) -> None:
        store = Store(tmp_path / "d")
        Path(store.path).write_bytes(b"[")
        ran = run("check", store.directory)
        assert (ran.status, ran.said) == (FAILED, "")
        assert "persistence.json, line 1: this is not the header of a snapshot" in ran.out

    def test_the_advice_says_the_name_of_the_snapshot_too(self, tmp_path: Path, run: Any) -> None:
        store = small(tmp_path / "d")
        Path(store.path).rename(store.directory / "e.json")
        flip(store.segment(2), 60)
        ran = run("check", "--storage-file", "e.json", store.directory)
        assert f"memdb repair --storage-file e.json {store.directory}" in ran.out

    def test_frames_in_what_would_be_cut_are_told_as_repair_tells_them(
        self, tmp_path: Path, run: Any
    ) -> None:
        store = small(tmp_path / "d")
        assert store.journal is not None
        at = store.journal.length
        for key in (b"a", b"b\xff"):
            store.journal.append(effects.encode([(b"SET", key, b"1")], 0))
        flip(store.segment(3), at + 30)
        said = f"{store.segment(3).stat().st_size - at} bytes, 1 whole frame, 11 to 11\n"
        said += r"    with changes of b'b\xff'" + "\n"
        ran = run("check", store.directory)
        assert ran.status == TORN
        assert f"journal.00000003, byte {at}: {said}" in ran.out
        assert f"journal.00000003: {said}" in run("repair", "--yes", store.directory).out

    @pytest.mark.parametrize("words", [["check"], ["repair"], ["export", "--from"]])
    def test_a_directory_without_data_is_refused_and_left_as_it_is(
        self, tmp_path: Path, run: Any, words: list[str]
    ) -> None:
        (tmp_path / "hosts").write_bytes(b"127.0.0.1 localhost\n")
        ran = run(*words, tmp_path)
        assert (ran.status, ran.out) == (FAILED, "")
        assert ran.said == f"memdb {words[0]}: there is no data of memdbd in {tmp_path}"
        assert [path.name for path in tmp_path.iterdir()] == ["hosts"]

    @pytest.mark.parametrize("words", [["check"], ["repair", "--yes"], ["export", "--from"]])
    def test_a_snapshot_of_another_name_is_pointed_at(
        self, tmp_path: Path, run: Any, words: list[str]
    ) -> None:
        store = small(tmp_path / "d")
        Path(store.path).rename(store.directory / "e.json")
        store.segment(1).unlink()
        before = store.files()
        ran = run(*words, store.directory)
        assert (ran.status, ran.out) == (FAILED, "")
        assert "but e.json (a snapshot of memdbd): say --storage-file e.json" in ran.said
        assert store.files() == before
        assert run(*words, store.directory, "--storage-file", "e.json").status == OK


class TestRepair:
    @pytest.fixture
    def damaged(self, tmp_path: Path) -> Store:
        store = small(tmp_path / "d")
        flip(store.segment(2), 200)
        return store

    def test_what_will_be_lost_is_told_before_and_what_was_done_after(
        self, damaged: Store, run: Any
    ) -> None:
        ran = run("repair", "--yes", damaged.directory)
        assert (ran.status, ran.said) == (OK, "")
        assert "writes a snapshot with 4 keys, all up to frame 4" in ran.out
        assert (
            "journal.00000002: 268 bytes, 1 whole frame, 6 to 6" in ran.out or "6 to 6" in ran.out
        )
        assert "with changes of 'k2' and 'list'" in ran.out
        assert f"{damaged.directory}: in order, 4 keys" in ran.out
        assert "a daemon is at work" not in ran.out
        assert f"All that was there before is in {damaged.directory}/repair-2" in ran.out
        assert run("check", damaged.directory).status == OK

    def test_without_a_terminal_and_without_yes_nothing_is_done(
        self, damaged: Store, run: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = damaged.files()
        monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))
        ran = run("repair", damaged.directory)
        assert ran.status == FAILED
        assert "say --yes" in ran.said
        left = {name: data for name, data in damaged.files().items() if name != "memdbd.lock"}
        assert left == before

    @pytest.mark.parametrize(("answer", "status"), [("yes\n", OK), ("no\n", FAILED), ("", FAILED)])
    def test_a_terminal_is_asked(
        self,
        damaged: Store,
        run: Any,
        monkeypatch: pytest.MonkeyPatch,
        answer: str,
        status: int,
    ) -> None:
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        assert run("repair", damaged.directory).status == status
        assert (run("check", damaged.directory).status == OK) == (status == OK)

    def test_it_is_refused_while_the_lock_is_held(self, damaged: Store, run: Any) -> None:
        lock = DirectoryLock(FileSystem(), str(damaged.directory))
        lock.acquire()
        ran = run("repair", "--yes", damaged.directory)
        lock.release()
        assert ran.status == FAILED
        assert "lock held by pid" in ran.said

    def test_where_nothing_is_wrong_nothing_is_done(self, tmp_path: Path, run: Any) -> None:
        ran = run("repair", small(tmp_path / "d").directory)
        assert ran.status == OK
        assert "nothing to do" in ran.out

    def test_a_damaged_snapshot_needs_salvage(self, tmp_path: Path, run: Any) -> None:
        store = small(tmp_path / "d")
        path = Path(store.path)
        path.write_bytes(path.read_bytes().replace(b'"one"', b'"one'))
        ran = run("repair", "--yes", store.directory)
        assert ran.status == FAILED
        assert "--salvage" in ran.said
        ran = run("repair", "--yes", "--salvage", store.directory)
        assert ran.status == OK
        assert "persistence.json: 1 key of 3" in ran.out
        assert ran.out.count("line 2: this is not a record") == 1
        assert "8 keys" in run("check", store.directory).out


class TestFiles:
    def test_a_directory_becomes_lines_and_lines_a_directory(
        self, tmp_path: Path, run: Any
    ) -> None:
        store = small(tmp_path / "d")
        lines, other = tmp_path / "all.jsonl", tmp_path / "e"
        assert run("export", "--from", store.directory, lines).said == "9 keys exported"
        assert json.loads(lines.read_text().splitlines()[-1]) == {"end": True, "count": 9}
        assert run("import", "--into", other, lines).said == "9 keys imported"
        again = Store(other).recovered()
        assert again.contents == store.recovered().contents

    def test_a_file_that_is_there_is_replaced_only_on_demand(
        self, tmp_path: Path, run: Any
    ) -> None:
        store = small(tmp_path / "d")
        lines = tmp_path / "all.jsonl"
        lines.write_text("mine")
        ran = run("export", "--from", store.directory, lines)
        assert (ran.status, lines.read_text()) == (FAILED, "mine")
        assert run("export", "--force", "--from", store.directory, lines).status == OK
        assert len(lines.read_text().splitlines()) == 10

    def test_where_a_file_cannot_be_is_told_by_its_own_name(self, tmp_path: Path, run: Any) -> None:
        store, out = small(tmp_path / "d"), tmp_path / "no/all.jsonl"
        ran = run("export", "--from", store.directory, out)
        assert ran.status == OUTPUT
        assert ran.said == f"memdb export: {out} cannot be written: No such file or directory"

    @pytest.mark.parametrize("left", [0, 1, 8])
    def test_lines_without_their_end_are_only_imported_on_demand(
        self, tmp_path: Path, run: Any, left: int
    ) -> None:
        lines, other = tmp_path / "all.jsonl", tmp_path / "e"
        run("export", "--from", small(tmp_path / "d").directory, lines)
        whole = lines.read_bytes().splitlines(keepends=True)
        lines.write_bytes(b"".join(whole[:left]))
        ran = run("import", "--into", other, lines)
        assert ran.status == FAILED
        assert "is empty" in ran.said or "has no last line as memdb export writes it" in ran.said
        assert not (other / "persistence.json").exists()
        assert run("import", "--incomplete", "--into", other, lines).status == OK

    def test_an_export_that_fails_leaves_no_file(self, tmp_path: Path, run: Any) -> None:
        store = small(tmp_path / "d")
        flip(store.segment(2), 200)
        out = tmp_path / "out"
        out.mkdir()
        ran = run("export", "--from", store.directory, out / "all.jsonl")
        assert ran.status == FAILED
        assert "journal.00000002, byte" in ran.said
        assert list(out.iterdir()) == []

    def test_a_directory_with_data_is_no_target(self, tmp_path: Path, run: Any) -> None:
        store = small(tmp_path / "d")
        before = store.files()
        ran = run("import", "--into", store.directory, store.path)
        assert ran.status == FAILED
        assert "is there already" in ran.said
        assert before.items() <= store.files().items()

    def test_a_snapshot_and_a_plain_object_are_imported(self, tmp_path: Path, run: Any) -> None:
        store = small(tmp_path / "d")
        assert run("import", "--into", tmp_path / "e", store.path).said == "3 keys imported"
        plain = tmp_path / "plain.json"
        plain.write_text('{"a": "1", "key": "2"}')
        assert run("import", "--into", tmp_path / "f", plain).status == OK
        assert set(Store(tmp_path / "f").recovered().contents[0][0]) == {b"a", b"key"}

    def test_a_bad_line_is_named_and_nothing_is_written(self, tmp_path: Path, run: Any) -> None:
        lines = tmp_path / "l"
        lines.write_text('{"key":"a","value":"1"}\n{"key":"b","value":1}\n')
        ran = run("import", "--into", tmp_path / "e", lines)
        assert ran.status == FAILED
        assert ran.said == f"memdb import: {lines}, line 2: this is not a record"
        assert not (tmp_path / "e/persistence.json").exists()

    def test_deadlines_in_the_past_are_counted(self, tmp_path: Path, run: Any) -> None:
        lines = tmp_path / "l"
        lines.write_text('{"key":"a","value":"1","deadline":17}\n{"key":"b","value":"1"}\n')
        ran = run("import", "--incomplete", "--into", tmp_path / "e", lines)
        assert ran.complaints[-1] == "1 key imported, 1 had expired"
        assert "nobody can tell whether it is complete" in ran.complaints[0]

    def test_a_file_that_is_not_there_is_said(self, tmp_path: Path, run: Any) -> None:
        with pytest.raises(SystemExit) as ended:
            run("import", "--into", tmp_path / "e", tmp_path / "no")
        assert ended.value.code == FAILED


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["check"], "the directory is missing"),
        (["check", "a", "b"], "there is one directory only, and then 'b'"),
        (["check", "a", "--jsn"], "there is no option --jsn; did you mean --json?"),
        (["export", "--frm", "d"], "there is no option --frm; did you mean --from?"),
        (["import", "--replace", "--skip"], "two answers to one question"),
        (["export", "--from", "d", "-c", "a:1"], "--from is a directory, and --connect a:1 a serv"),
        (["-c", "a:1", "import", "--into", "d"], "--into is a directory, and --connect a:1 a serv"),
        (["import", "-t", "x"], "--timeout must be a number of seconds"),
    ],
)
def test_a_wrong_command_line_is_told(words: list[str], complaint: str) -> None:
    options = Options()
    options.parseOptions(words)
    with pytest.raises(UsageError, match=complaint.replace("?", r"\?")):
        Tool(options, print)


@pytest.mark.parametrize(
    "words",
    [
        ["import", "--into", "d", "-t", "5", "--replace", "-"],
        ["import", "-", "--replace", "-t5", "--into=d"],
        ["import", "--replace", "-", "--int", "d", "--timeout", "5"],
    ],
)
def test_options_may_stand_behind_the_word(words: list[str]) -> None:
    general = Options()
    general.parseOptions(words)
    options = tool_options(general)
    assert options.given == "-"
    assert [options[name] for name in ("replace", "timeout", "into")] == [1, 5.0, "d"]


@pytest.mark.parametrize("name", ["check", "repair", "export", "import"])
def test_each_tool_has_a_help_with_its_statuses(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = Options()
    options.parseOptions([name, "--help"])
    with pytest.raises(SystemExit) as ended:
        Tool(options, print)
    assert ended.value.code in (0, None)
    out = capsys.readouterr().out
    assert f"Usage: memdb {name}" in out
    assert "Exit status:\n    0  " in out
    assert f"memdb {name} " in Options().getUsage()


class TestProgress:
    def test_it_is_drawn_over_itself_and_taken_away(self) -> None:
        now = 0.0
        out = io.StringIO()
        progress = Progress(out, lambda: now)
        progress.total = 200
        progress.advance(50)
        assert out.getvalue() == ""
        now = 1.0
        progress.advance(50)
        assert out.getvalue() == ("\r[############            ]  50%  100 of 200 keys, 100/s")
        progress.clear()
        assert out.getvalue().endswith("\r")

    def test_without_a_terminal_there_is_nothing(self) -> None:
        progress = Progress(None, iter(range(100)).__next__)
        progress.advance(5)
        progress.restart("more")
        progress.clear()
        assert progress.done == 0
