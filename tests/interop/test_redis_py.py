"""redis-py, its 5.x and its newest, sync and asyncio: the same replies as from redis-server."""

from __future__ import annotations

from pathlib import Path

import pytest
from interop.clients import REDIS_PY_5, REDIS_PY_NEWEST, python_with
from interop.transcripts import TESTS, Compare, Script

pytestmark = pytest.mark.slow

VERSIONS = {"5.x": REDIS_PY_5, "newest": REDIS_PY_NEWEST}


@pytest.mark.parametrize("protocol", [(), ("2",), ("3",)], ids=["default", "RESP2", "RESP3"])
@pytest.mark.parametrize("face", ["sync", "async"])
@pytest.mark.parametrize("version", VERSIONS)
def test_redis_py_is_answered_as_by_redis(
    version: str, face: str, protocol: tuple[str, ...], cache: Path, compare: Compare, port: int
) -> None:
    python = python_with(cache, VERSIONS[version])
    module = f"interop.scripts.redis_py_{face}"
    compare(Script((str(python), "-m", module), protocol, (("PYTHONPATH", str(TESTS)),)), port)
