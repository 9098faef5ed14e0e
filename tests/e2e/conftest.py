"""What the tests of attacks share: daemons that are watched."""

from __future__ import annotations

import contextlib
import itertools
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pki import Keys

# For the ticker, which is the benchmarks'; last, so that memdbd is the one that is installed.
sys.path.append(str(Path(__file__).parents[2]))

from e2e.attacking import Make, Watched
from e2e.strangers import Patient

FILES = 8192


@pytest.fixture(scope="session")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patient]:
    """What takes half a minute, which begins with the first of the tests."""
    directory = tmp_path_factory.mktemp("patient")
    with Watched(directory, "--output-limit=1mb", keys=Keys(directory)) as daemon:
        yield Patient(daemon)


@pytest.fixture(scope="session")
def _files() -> Iterator[None]:
    """Open files enough for some thousand connections, of ours and of the daemons'."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def make(tmp_path: Path, patient: Patient, _files: None) -> Iterator[Make]:
    """Makes daemons, by their flags."""
    numbers = itertools.count()
    with contextlib.ExitStack() as stack:

        def made(*flags: str, **more: Any) -> Watched:
            return stack.enter_context(Watched(tmp_path / f"{next(numbers)}", *flags, **more))

        yield made


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)
