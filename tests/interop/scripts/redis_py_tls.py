"""redis-py over TLS: ``python -m interop.scripts.redis_py_tls FACE HOST PORT CA [CERT KEY]``.

FACE is sync or async. Prints one line of JSON: what a few commands gave, or the error.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

VALUE = "x" * 300_000


def options(host: str, port: str, ca: str, *own: str) -> dict[str, Any]:
    certificate = {"ssl_certfile": own[0], "ssl_keyfile": own[1]} if own else {}
    return {
        "host": host,
        "port": int(port),
        "ssl": True,
        "ssl_ca_certs": ca,
        "ssl_check_hostname": True,
        "decode_responses": True,
        "retry": Retry(NoBackoff(), 0),
        **certificate,
    }


def sync(*words: str) -> list[Any]:
    with redis.Redis(**options(*words)) as client:
        told: list[Any] = [client.ping(), client.set("k", VALUE), client.get("k") == VALUE]
        with client.pipeline(transaction=True) as pipe:
            for _ in range(100):
                pipe.incr("n")
            told.append(pipe.execute()[-1])
        with client.pubsub() as listening:
            listening.subscribe("ch")
            listening.get_message(timeout=10)
            client.publish("ch", "hello")
            message = listening.get_message(timeout=10)
            told.append(message and message["data"])
    return told


async def asynchronous(*words: str) -> list[Any]:
    async with redis.asyncio.Redis(**options(*words)) as client:
        told: list[Any] = [
            await client.ping(),
            await client.set("k", VALUE),
            await client.get("k") == VALUE,
        ]
        async with client.pipeline(transaction=True) as pipe:
            for _ in range(100):
                pipe.incr("n")
            told.append((await pipe.execute())[-1])
        async with client.pubsub() as listening:
            await listening.subscribe("ch")
            await listening.get_message(timeout=10)
            await client.publish("ch", "hello")
            message = await listening.get_message(timeout=10)
            told.append(message and message["data"])
    return told


if __name__ == "__main__":
    face, *words = sys.argv[1:]
    try:
        told = sync(*words) if face == "sync" else asyncio.run(asynchronous(*words))
        print(json.dumps({"told": told}))
    except (redis.ConnectionError, redis.TimeoutError) as error:
        print(json.dumps({"error": str(error)}))
