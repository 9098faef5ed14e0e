"""The documentation that is made of the command table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from memdbd.commands.document import document, main
from memdbd.commands.table import COMMANDS, CONTAINERS, GROUPS

EVERY = [command for group in GROUPS for command in group.commands()]


def test_it_has_a_row_for_each_command_and_a_heading_for_each_group() -> None:
    lines = document().splitlines()
    for command in EVERY:
        row = f"`{command.usage}` | {command.summary} | {command.complexity}".replace("|", "\\|")
        start = "| " + row.replace(" \\| ", " | ")
        assert sum(line.startswith(start) for line in lines) == 1, command.name
    titles = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
    assert titles == [group.title for group in GROUPS]


def test_every_row_has_as_many_cells_as_its_heading() -> None:
    rows = [line for line in document().splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}


def test_it_says_what_is_not_as_in_redis() -> None:
    lines = document().splitlines()
    for command in EVERY:
        assert (f"- `{command.name}`: {command.differs}" in lines) == bool(command.differs)


def test_each_group_is_described_in_sentences() -> None:
    lines = document().splitlines()
    for at, line in enumerate(lines):
        if line.startswith("## "):
            assert re.fullmatch(r"[A-Z].*\.", lines[at + 2])
            assert ":mod:" not in lines[at + 2]


def test_it_ends_with_how_many_there_are() -> None:
    subcommands = sum(len(container.subcommands) for container in CONTAINERS.values())
    assert document().splitlines()[-1] == (
        f"{len(COMMANDS) + len(CONTAINERS)} commands, and {subcommands} subcommands of them."
    )


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
