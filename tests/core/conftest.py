"""Each test of the core is run with both twins: ``twin`` is one of them."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from types import ModuleType

import pytest

from memdbd import core


def loaded(name: str) -> ModuleType:
    """A module of the core. The compiled ones may be missing, but not where CI is to have them."""
    try:
        module = importlib.import_module(f"memdbd.core.{name}")
    except ImportError as error:
        if os.environ.get("CI") and os.environ.get(core.VARIABLE) != "python":
            raise
        pytest.skip(f"there is no compiled core: {error}")
    if name.startswith("_"):
        assert module.__file__ is not None
        built = Path(module.__file__)
        source = built.with_name(f"{name}.py")
        # Where it was built in place: an installer gives files times of its own.
        in_place = source == Path(__file__).parents[2] / "memdbd" / "core" / source.name
        if in_place and source.stat().st_mtime > built.stat().st_mtime:
            pytest.fail(f"{built} is older than its source: python setup.py build_ext --inplace")
    return module


@pytest.fixture(scope="session", params=["python", "_compiled"])
def twin(request: pytest.FixtureRequest) -> ModuleType:
    """One of the twins of python.py."""
    return loaded(request.param)


@pytest.fixture(scope="session", params=["parsing", "_parsing"])
def parser(request: pytest.FixtureRequest) -> ModuleType:
    """One of the twins of parsing.py."""
    return loaded(request.param)


@pytest.fixture(scope="session", params=["text", "_text"])
def text_twin(request: pytest.FixtureRequest) -> ModuleType:
    """One of the twins of text.py."""
    return loaded(request.param)


@pytest.fixture(scope="session", params=["lanes", "_lanes"])
def lanes(request: pytest.FixtureRequest) -> ModuleType:
    """One of the twins of lanes.py."""
    return loaded(request.param)


@pytest.fixture(scope="session", params=["order", "_order"])
def order_twin(request: pytest.FixtureRequest) -> ModuleType:
    """One of the twins of order.py."""
    return loaded(request.param)
