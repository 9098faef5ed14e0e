"""txredisapi, the client for Twisted: the same replies as from redis-server."""

from __future__ import annotations

from pathlib import Path

import pytest
from interop.clients import TXREDISAPI, python_with
from interop.transcripts import TESTS, Compare, Script

pytestmark = pytest.mark.slow


def test_txredisapi_is_answered_as_by_redis(cache: Path, compare: Compare, port: int) -> None:
    python = python_with(cache, TXREDISAPI)
    module = "interop.scripts.txredisapi_commands"
    compare(Script((str(python), "-m", module), (), (("PYTHONPATH", str(TESTS)),)), port)
