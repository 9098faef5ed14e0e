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
from core.conftest import loaded

import memdbd
from memdbd import __version__, core
from memdbd.core import lanes, order, parsing, python, text

HERE = Path(memdbd.__file__).parents[1]  # not where a clone is, if it is an installed one
OF_ONE = ("Rest", "members", "mend", "replace")  # which both twins go by
CHOSEN = [name for name in core.__all__ if callable(getattr(core, name)) and name not in OF_ONE]
COMPILED = [
    "_ahead", "_compiled", "_order", "_parsing", "_text", *["_lanes"] * core.HAS_COMPILED_LANES
]  # fmt: skip


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


def without(module: str) -> str:
    """The same where one of the modules could not be compiled, or none, without a compiler."""
    return f"import sys; sys.modules['memdbd.core.{module}'] = None; {NAME}"


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


@pytest.mark.parametrize("module", COMPILED)
def test_python_is_taken_where_there_is_no_other_or_not_all_of_it(module: str) -> None:
    assert started(None, without(module)).stdout == "python\n"


FAULT = "import memdbd.core; print(memdbd.core.NAME, memdbd.core.FAULT, sep='\\n')"


def test_a_compiled_one_that_is_not_there_is_a_fault_that_says_what_to_do() -> None:
    got = started("compiled", f"import sys; sys.modules['memdbd.core._compiled'] = None; {FAULT}")
    name, fault = got.stdout.splitlines()
    assert name == "python"
    assert fault.startswith("MEMDB_CORE is 'compiled', but memdbd was installed without its comp")
    assert "unset MEMDB_CORE" in fault


def test_another_name_is_a_fault_that_says_which_there_are() -> None:
    usual = started(None, FAULT).stdout.splitlines()
    assert usual[1] == ""
    name, fault = started("rust", FAULT).stdout.splitlines()
    assert name == usual[0]
    assert fault == "MEMDB_CORE is 'compiled' or 'python', or not set; not 'rust'"


def test_with_a_fault_the_client_goes_on() -> None:
    said = started("rust", "from memdbd.client.cli import main; main(['--version'])")
    assert (said.returncode, said.stderr) == (0, "")
    assert __version__ in said.stdout


@pytest.mark.parametrize("module", COMPILED)
def test_the_source_of_the_compiled_one_does_not_run_by_itself(module: str) -> None:
    assert core.__file__ is not None
    path = os.path.join(os.path.dirname(core.__file__), f"{module}.py")
    spec = importlib.util.spec_from_file_location("source_of_it", path)
    assert spec is not None
    assert spec.loader is not None
    with pytest.raises(ImportError, match=r"is not compiled|No module named 'cython'"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


@pytest.mark.parametrize("name", CHOSEN)
def test_all_that_is_chosen_is_in_one_module_of_each_twin(name: str) -> None:
    there = [module for module in (parsing, python, text, lanes, order) if is_in(module, name)]
    assert len(there) == 1
    assert inspect.getdoc(getattr(there[0], name))  # which is said there, for both
    if core.NAME == "compiled" and (core.HAS_COMPILED_LANES or there != [lanes]):
        made = [module for module in map(loaded, COMPILED) if hasattr(module, name)]
        assert getattr(core, name) in [getattr(module, name) for module in made]
        assert getattr(core, name) is not getattr(there[0], name)
    else:
        assert getattr(core, name) is getattr(there[0], name)


def is_in(module: ModuleType, name: str) -> bool:
    """Whether it is made there, and not taken from another."""
    return getattr(getattr(module, name, None), "__module__", None) == module.__name__
