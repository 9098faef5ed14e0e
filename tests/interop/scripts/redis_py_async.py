"""redis-py's asyncio face: ``python -m interop.scripts.redis_py_async HOST PORT [PROTOCOL]``.

The order is that of :mod:`~interop.scripts.redis_py_sync`; here one connection waits while others
go on in the same thread.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import redis
import redis.asyncio
from interop.scripts.canonical import MANY, PATIENCE, Transcript, unordered
from interop.scripts.redis_py_steps import ALL

transcript = Transcript()
add = transcript.add


async def attempt(reply: Awaitable[Any]) -> Any:
    """The reply, or the error that the server or the client made of it."""
    try:
        return await reply
    except (redis.ResponseError, redis.WatchError) as error:
        return error


async def steps(client: Any) -> None:
    for step in ALL:
        reply = getattr(client, step.name)(*step.arguments, **step.options)
        add(step.label, await attempt(reply), step.view)


async def pipelines(client: Any) -> None:
    async with client.pipeline(transaction=False) as pipe:
        pipe.set("p", 1).incr("p").get("p").lpush("p", "x").mget("p", "absent")
        add("pipeline", await pipe.execute(raise_on_error=False))
    async with client.pipeline() as pipe:
        pipe.set("t", 1).incr("t").hset("t:h", mapping={"f": "v"}).hgetall("t:h")
        add("transaction", await pipe.execute())
        pipe.incr("t").lpush("t", "x").incr("t")
        add("transaction with an error", await pipe.execute(raise_on_error=False))
        pipe.incr("t").execute_command("NOSUCH")
        add("transaction refused", await attempt(pipe.execute()))
    replies = await asyncio.gather(*(client.incr("gathered") for _ in range(100)))
    add("a hundred at once", sorted(replies) == list(range(1, 101)))


async def watches(client: Any) -> None:
    async with client.pipeline() as pipe:
        await pipe.watch("w")
        add("watched get", await pipe.get("w"))
        await client.set("w", 10)
        pipe.multi()
        pipe.incr("w")
        add("exec, disturbed", await attempt(pipe.execute()))

    tries = 0

    async def increment(pipe: Any) -> None:
        nonlocal tries
        tries += 1
        seen = int(await pipe.get("w"))
        if tries == 1:
            await client.set("w", 20)
        pipe.multi()
        pipe.set("w", seen + 1)

    add("transaction()", await client.transaction(increment, "w"))
    add("tries and result", [tries, await client.get("w")])


async def pubsub(client: Any) -> None:
    async with client.pubsub() as ps:
        await ps.subscribe("news")
        await ps.psubscribe("n*s")

        async def next_messages(count: int) -> list[Any]:
            found = [await ps.get_message(timeout=PATIENCE) for _ in range(count)]
            return [[one["type"], one["pattern"], one["channel"], one["data"]] for one in found]

        add("subscriptions", await next_messages(2))
        add("publish", await client.publish("news", b"\xffhello"))
        add("messages", await next_messages(2), unordered)
        add("numsub", await client.pubsub_numsub("news"))
        await ps.unsubscribe()
        await ps.punsubscribe("n*s")
        add("unsubscriptions", await next_messages(2))


async def iterators(client: Any) -> None:
    await client.flushdb()
    await client.mset({f"key:{number}": number for number in range(MANY)})
    await client.sadd("set", *range(MANY))
    await client.hset("hash", mapping={f"f{number}": number for number in range(MANY)})
    await client.zadd("zset", {f"m{number}": number for number in range(MANY)})
    for name, found in {
        "scan_iter": client.scan_iter(count=50),
        "sscan_iter": client.sscan_iter("set", match="1*"),
        "hscan_iter": client.hscan_iter("hash"),
        "zscan_iter": client.zscan_iter("zset"),
    }.items():
        add(name, {item async for item in found})


async def locks(client: Any) -> None:
    held = client.lock("lock", timeout=PATIENCE)
    other = client.lock("lock", timeout=PATIENCE, sleep=0.01)
    add("acquire", await held.acquire())
    add("locked and owned", [await held.locked(), await held.owned(), await other.owned()])
    add("acquire, not blocking", await other.acquire(blocking=False))
    add("acquire, giving up", await other.acquire(blocking_timeout=0.05))
    await client.delete("lock")
    add("acquire when it is free", await other.acquire(blocking_timeout=PATIENCE))


async def blocking(client: Any) -> None:
    async def blocked(wait: Awaitable[Any], wake: Callable[[], Awaitable[Any]]) -> list[Any]:
        waiting = asyncio.ensure_future(attempt(wait))
        while (await client.info("clients"))["blocked_clients"] == 0:
            pass  # its command is on its way on another connection
        woken = await wake()
        return [await asyncio.wait_for(waiting, PATIENCE), woken]

    add(
        "brpop waits",
        await blocked(client.brpop(["q1", "q2"], 0), lambda: client.rpush("q2", "a", "b")),
    )
    add(
        "bzmpop waits",
        await blocked(
            client.bzmpop(0, 1, ["bz"], min=True), lambda: client.zadd("bz", {"m": 2, "n": 1})
        ),
    )
    add(
        "blmpop waits",
        await blocked(
            client.blmpop(0, 2, "q3", "q4", direction="LEFT", count=2),
            lambda: client.rpush("q4", "a", "b", "c"),
        ),
    )


async def pools(where: dict[str, Any]) -> None:
    pool = redis.asyncio.BlockingConnectionPool(**where, max_connections=3)
    client: Any = redis.asyncio.Redis(connection_pool=pool)
    await asyncio.gather(*(client.incr("counted") for _ in range(200)))
    add("two hundred on three connections", await client.get("counted"))
    await pool.disconnect()
    protocol = f"?protocol={where['protocol']}" if "protocol" in where else ""
    url = f"redis://{where['host']}:{where['port']}/5{protocol}"
    elsewhere: Any = redis.asyncio.from_url(url)
    add("another database", [await elsewhere.set("here", 1), await elsewhere.keys()])
    await elsewhere.aclose()


async def main() -> None:
    host, port, *protocol = sys.argv[1:]
    where: dict[str, Any] = {"host": host, "port": int(port), "socket_timeout": PATIENCE * 2}
    if protocol:
        where["protocol"] = int(protocol[0])
    # One connection, since steps such as CLIENT SETNAME are of a connection.
    alone: Any = redis.asyncio.Redis(**where, single_connection_client=True)
    await steps(alone)
    await alone.aclose()
    client: Any = redis.asyncio.Redis(**where)
    await pipelines(client)
    await watches(client)
    await pubsub(client)
    await iterators(client)
    await locks(client)
    await blocking(client)
    await client.aclose()
    await pools(where)


if __name__ == "__main__":
    asyncio.run(main())
