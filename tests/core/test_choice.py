"""Which twin is taken, and what is said where that cannot be."""

from __future__ import annotations

import importlib.util
import inspect
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import memdbd
from memdbd import core
from memdbd.core import python

HERE = Path(memdbd.__file__).parents[1]  # not where a clone is, if it is an installed one
FUNCTIONS = ["each", "effects", "get_many", "incr_many", "pieces", "requests", "resp", "set_many"]


def started(asked: str | None, program: str) -> subprocess.CompletedProcess[str]:
    """Python run with MEMDB_CORE so."""
    environment = {name: value for name, value in os.environ.items() if name != "MEMDB_CORE"}
    if asked is not None:
        environment["MEMDB_CORE"] = asked
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, cwd=HERE, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


NAME = "import memdbd.core; print(memdbd.core.NAME)"
# As where it was installed without a compiler.
WITHOUT = f"import sys; sys.modules['memdbd.core._compiled'] = None; {NAME}"


def test_python_is_taken_where_it_is_asked_for() -> None:
    assert started("python", NAME).stdout == "python\n"


def test_the_compiled_one_is_taken_where_it_is_there() -> None:
    is_there = True
    try:
        import memdbd.core._compiled  # noqa: F401
    except ImportError:
        is_there = False
    for asked in (None, ""):
        assert started(asked, NAME).stdout == ("compiled\n" if is_there else "python\n")
    assert (started("compiled", NAME).stdout == "compiled\n") is is_there


def test_python_is_taken_where_there_is_no_other() -> None:
    assert started(None, WITHOUT).stdout == "python\n"


def test_a_compiled_one_that_is_not_there_is_an_error_that_says_what_to_do() -> None:
    got = started("compiled", WITHOUT)
    assert got.returncode == 1
    assert got.stdout == ""
    assert got.stderr.startswith("memdbd: MEMDB_CORE is 'compiled', but memdbd was installed with")
    assert "unset MEMDB_CORE" in got.stderr
    assert got.stderr.count("\n") == 1


def test_another_name_is_an_error_that_says_which_there_are() -> None:
    got = started("rust", NAME)
    assert got.returncode == 1
    assert got.stderr == "memdbd: MEMDB_CORE is 'compiled' or 'python', or not set; not 'rust'\n"


def test_the_source_of_the_compiled_one_does_not_run_by_itself() -> None:
    assert core.__file__ is not None
    path = os.path.join(os.path.dirname(core.__file__), "_compiled.py")
    spec = importlib.util.spec_from_file_location("source_of_it", path)
    assert spec is not None
    assert spec.loader is not None
    with pytest.raises(ImportError):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def test_the_twins_have_the_same_functions(twin: ModuleType) -> None:
    for name in FUNCTIONS:
        assert callable(getattr(twin, name))
        assert name in core.__all__
        assert inspect.getdoc(getattr(python, name))
