"""What memdbd needs: in versions of which no advisory is known, and that what runs here is such."""

from __future__ import annotations

import ast
import re
from importlib.metadata import version
from pathlib import Path

import pytest

SETUP = (Path(__file__).parents[1] / "setup.py").read_text("utf-8")
REQUIREMENT = re.compile(r"(?P<name>[a-z_]+)(\[[a-z]+\])?>=(?P<least>\d+(\.\d+)+)")


def required() -> list[tuple[str, str]]:
    """The packages that are always installed with it, each with its least version."""
    tree = ast.parse(SETUP)
    (texts,) = (
        ast.literal_eval(keyword.value)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        for keyword in call.keywords
        if keyword.arg == "install_requires"
    )
    found = [REQUIREMENT.fullmatch(text) for text in texts]
    return [(one["name"], one["least"]) for one in found if one is not None] if all(found) else []


def numbers(text: str) -> tuple[int, ...]:
    """The numbers of a version, which are compared one by one."""
    return tuple(int(part) for part in re.findall(r"\d+", text))


def test_each_package_has_a_least_version() -> None:
    assert {name for name, _ in required()} == {
        "twisted",
        "pyopenssl",
        "cryptography",
        "service_identity",
        "hiredis",
        "orjson",
        "sortedcontainers",
    }


@pytest.mark.parametrize(("name", "least"), required())
def test_what_is_installed_is_at_least_that(name: str, least: str) -> None:
    assert numbers(version(name)) >= numbers(least)


@pytest.mark.parametrize(("name", "least"), required())
def test_each_least_version_has_its_reason_beside_it(name: str, least: str) -> None:
    lines = SETUP.splitlines()
    (at,) = (number for number, line in enumerate(lines) if f">={least}" in line and name in line)
    assert "#" in lines[at] or lines[at - 1].lstrip().startswith("#")
