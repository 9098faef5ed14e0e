"""ioredis and node-redis: the same replies as from redis-server."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import tool
from interop.clients import NODE, node_modules_with
from interop.transcripts import SCRIPTS, Compare, Script

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("script", "protocol"),
    [("ioredis", ()), ("node_redis", ("2",)), ("node_redis", ("3",))],
    ids=["ioredis", "node-redis in RESP2", "node-redis in RESP3"],
)
def test_node_s_clients_are_answered_as_by_redis(
    script: str, protocol: tuple[str, ...], cache: Path, compare: Compare, port: int
) -> None:
    modules = node_modules_with(cache, NODE)
    command = (tool("node", "nodejs"), str(SCRIPTS / f"{script}.mjs"))
    compare(Script(command, protocol, (("NODE_PATH", str(modules)),)), port)
