"""The messages on ``db_updates``: one JSON object for each change of the data.

May import: nothing of memdbd.
"""

from __future__ import annotations

from base64 import b64encode

import orjson


def update(operation: str, key: bytes | None, wall_ms: int, database: int = 0) -> bytes:
    """The message about one change; a key that is not UTF-8 is in base64, and marked so.

    ``database`` is named where it is not the first.
    """
    mark = b'"database": %d, ' % database if database else b""
    try:
        text = None if key is None else key.decode()
    except UnicodeDecodeError:
        text, mark = b64encode(key or b"").decode(), mark + b'"encoding": "base64", '
    return b'{"operation": "%s", "key": %s, %s"timestamp": %.3f}' % (
        operation.encode(),
        orjson.dumps(text),
        mark,
        wall_ms / 1000,
    )
