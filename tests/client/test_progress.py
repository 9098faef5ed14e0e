"""The line of progress: what it does where there is little room."""

from __future__ import annotations

import io

import pytest

from memdbd.client.progress import COLUMNS, Progress


@pytest.mark.parametrize("total", [0, 10**6, 10**12, 10**60])
def test_it_is_never_wider_than_a_terminal(total: int) -> None:
    now = 0.0
    out = io.StringIO()
    progress = Progress(out, lambda: now, "keys checked")
    progress.total = total
    now = 1.0
    progress.advance(10**12)
    line = out.getvalue().removeprefix("\r")
    assert 0 < len(line) < COLUMNS
    assert "1,000,000,000,000" in line
