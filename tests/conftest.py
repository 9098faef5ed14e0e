"""What all tests share: which memdbd they are about, and that the collector leaves them alone."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

import memdbd
from memdbd import core


def pytest_configure(config: pytest.Config) -> None:
    """Have each test that is skipped told at the end, with its reason; and none run with another
    core than was asked for."""
    if core.FAULT:
        raise pytest.UsageError(core.FAULT)
    config.option.reportchars += "s"


def pytest_report_header() -> str:
    """Which memdbd is tested: that of a clone, or an installed one; and with which core."""
    return f"memdbd: {Path(memdbd.__file__).parent}, with the {core.NAME} core"


def pytest_collection_finish() -> None:
    """Freeze what pytest has made of twelve thousand tests: a full collection took 130 ms for it,
    and some hundred tests need one."""
    gc.collect()
    gc.freeze()
