"""What memdbd needs: in versions of which no advisory is known, and that what runs here is such."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETUP = (ROOT / "setup.py").read_text("utf-8")
CORE = sorted(path.stem for path in ROOT.glob("memdbd/core/_[a-z]*.py"))  # what is compiled
REQUIREMENT = re.compile(r"(?P<name>[a-z_-]+)(\[[a-z]+\])?>=(?P<least>\d+(\.\d+)+)(; .+)?")


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
        "zlib-ng",
    }


@pytest.mark.parametrize(("name", "least"), required())
def test_what_is_installed_is_at_least_that(name: str, least: str) -> None:
    assert numbers(version(name)) >= numbers(least)


@pytest.mark.parametrize(("name", "least"), required())
def test_each_least_version_has_its_reason_beside_it(name: str, least: str) -> None:
    lines = SETUP.splitlines()
    (at,) = (number for number, line in enumerate(lines) if f">={least}" in line and name in line)
    assert "#" in lines[at] or lines[at - 1].lstrip().startswith("#")


def test_pip_brings_what_makes_c_of_the_core() -> None:
    system = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["build-system"]
    assert system["requires"] == ["setuptools>=64", "Cython>=3.1,<4"]
    assert CORE == ["_ahead", "_compiled", "_lanes", "_order", "_parsing", "_text"]


def wheel(tmp_path: Path, spoilt: str = "", **environment: str) -> tuple[set[str], str]:
    """The files of the wheel that pip makes of the clone, which is the same for a second one, and
    what it says. ``spoilt`` comes at the end of a module that is compiled."""
    source = tmp_path / "clone"
    ignored = shutil.ignore_patterns(".*", "build", "*.so", "*.pyd", "*.egg-info", "__pycache__")
    if not source.exists():
        shutil.copytree(ROOT, source, ignore=ignored)
    with (source / "memdbd/core/_text.py").open("a", encoding="utf-8") as file:
        file.write(spoilt)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "-w", tmp_path, source],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = tmp_path.glob("*.whl")
    return set(zipfile.ZipFile(made).namelist()), done.stdout + done.stderr


def compiled(files: set[str]) -> list[str]:
    """The modules of the core that are there compiled."""
    shared = [re.fullmatch(r"memdbd/core/(\w+)\.[^/]*\.(so|pyd)", name) for name in files]
    return sorted(one[1] for one in shared if one is not None)


@pytest.mark.slow
def test_a_wheel_that_is_built_with_a_compiler_has_the_compiled_core(tmp_path: Path) -> None:
    if shutil.which("cc") is None and shutil.which("gcc") is None and not os.environ.get("CI"):
        pytest.skip("there is no compiler")
    files, _ = wheel(tmp_path)
    assert compiled(files) == CORE
    assert "memdbd/core/python.py" in files
    # An update, which cannot be compiled any more.
    files, _ = wheel(tmp_path, spoilt="\n# more\n", CC="false")
    assert "_text" not in compiled(files)


@pytest.mark.slow
def test_without_a_compiler_it_is_installed_with_a_warning(tmp_path: Path) -> None:
    files, said = wheel(tmp_path, CC="false")
    assert compiled(files) == []
    assert "memdbd/core/python.py" in files
    for name in CORE:
        assert f'building extension "memdbd.core.{name}" failed' in said


@pytest.mark.slow
def test_where_cython_cannot_make_c_of_it_it_is_installed_with_a_warning(tmp_path: Path) -> None:
    files, said = wheel(tmp_path, spoilt="\n_spoilt = cython.declare(cython.no_such_type)\n")
    assert compiled(files) == []
    assert "memdbd/core/python.py" in files
    assert "memdbd goes without its compiled core" in said
