"""The documentation that is made of the command table."""

from __future__ import annotations

from pathlib import Path

import pytest

from memdbd.commands.document import document, main
from memdbd.commands.table import COMMANDS, GROUPS


def test_it_has_a_row_for_each_command_and_a_heading_for_each_group() -> None:
    lines = document().splitlines()
    for command in COMMANDS.values():
        assert sum(line.startswith(f"| `{command.usage}` | {command.summary} |") for line in lines)
    assert [line for line in lines if line.startswith("## ")] == [
        f"## {group.__name__.rpartition('.')[2]}" for group in GROUPS
    ]


def test_a_file_that_says_the_same_passes_the_check(tmp_path: Path) -> None:
    file = tmp_path / "commands.md"
    file.write_text(document(), encoding="utf-8")
    assert main(["--check", str(file)]) == 0


def test_a_file_that_says_something_else_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "commands.md"
    file.write_text(document().replace("get", "got"), encoding="utf-8")
    assert main(["--check", str(file)]) == 1
    assert capsys.readouterr().err == (
        f"{file} is not what the command table says: make it again\n"
    )


def test_it_is_printed_without_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out == document()


def test_other_arguments_are_answered_with_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--write"]) == 2
    assert capsys.readouterr().err.startswith("usage: ")
