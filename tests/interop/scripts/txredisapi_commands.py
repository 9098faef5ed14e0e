"""txredisapi, the client for Twisted: ``python -m interop.scripts.txredisapi_commands HOST PORT``.

First the STEPS on one connection, then what takes more than a call: one function each. Left out
are Lua, Sentinel and sharding, and its MonitorProtocol: it never ends when its connection does.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable
from typing import Any

import txredisapi  # type: ignore[import-not-found]  # not in the venv of the checks
from interop.scripts.canonical import PATIENCE, Step, Transcript, about, has, kind, step, unordered
from twisted.internet import defer, endpoints, task
from twisted.internet.interfaces import IReactorTime

STEPS: list[Step] = [
    step("flushall"),
    step("ping"),
    step("set", "s", "value"),
    step("set", "s", "other", only_if_not_exists=True),
    step("set", "s", "other", only_if_exists=True, expire=100),
    step("ttl", "s", view=about(100, 5)),
    step("get", "s"),
    step("get", "absent"),
    step("getset", "s", "new"),
    step("setnx", "s", "x"),
    step("setex", "s", 100, "x"),
    step("mset", {"a": "1", "b": "two"}),
    step("msetnx", {"a": "1", "c": "3"}),
    step("mget", ["a", "absent", "b"]),
    step("append", "b", " more"),
    step("substr", "b", 0, 2),
    step("incr", "n"),
    step("incrby", "n", 10),
    step("decr", "n"),
    step("decrby", "n", 4),
    step("setbit", "bits", 7, True),
    step("getbit", "bits", 7),
    step("bitcount", "bits"),
    step("bitop", "not", "inverse", "bits"),
    step("bitcount", "inverse", 0, 0),
    step("exists", "a"),
    step("type", "a"),
    step("keys", "*", view=unordered),
    step("scan", count=1000, view=lambda reply: [reply[0], unordered(reply[1])]),
    step("dbsize"),
    step("rename", "a", "a2"),
    step("rename", "a", "a3"),
    step("renamenx", "a2", "b"),
    step("expire", "a2", 100),
    step("persist", "a2"),
    step("ttl", "a2"),
    step("move", "a2", 1),
    step("delete", "b", "absent"),
    step("rpush", "l", ["1", "3", "2"]),
    step("lpush", "l", "9"),
    step("llen", "l"),
    step("lrange", "l", 0, -1),
    step("lindex", "l", 0),
    step("lset", "l", 0, "8"),
    step("lset", "l", 10, "8"),
    step("sort", "l", start=0, end=2, desc=True),
    step("sort", "l", store="sorted"),
    step("lrem", "l", 0, "8"),
    step("ltrim", "l", 0, 1),
    step("lpop", "l"),
    step("rpop", "l"),
    step("rpop", "l"),
    step("rpoplpush", "sorted", "l"),
    step("blpop", ["absent", "sorted"], 1),
    step("brpop", ["sorted"], 1),
    step("brpoplpush", "sorted", "l", 1),
    step("sadd", "s1", ["a", "b", "c"]),
    step("sadd", "s2", ["b", "c", "d"]),
    step("scard", "s1"),
    step("smembers", "s1"),
    step("sismember", "s1", "a"),
    step("sinter", ["s1", "s2"]),
    step("sunion", ["s1", "s2"]),
    step("sdiff", ["s1", "s2"]),
    step("sinterstore", "s3", ["s1", "s2"]),
    step("sunionstore", "s4", ["s1", "s2"]),
    step("sdiffstore", "s5", ["s1", "s2"]),
    step("smove", "s1", "s2", "a"),
    step("srem", "s2", ["a", "absent"]),
    step("srandmember", "s5"),
    step("spop", "s5"),
    step("sscan", "s3", view=lambda reply: [reply[0], unordered(reply[1])]),
    step("zadd", "z", 1, "a", 2.5, "b", 3, "c"),
    step("zcard", "z"),
    step("zscore", "z", "b"),
    step("zscore", "z", "absent"),
    step("zincrby", "z", 0.5, "b"),
    step("zincr", "z", "a"),
    step("zrank", "z", "c"),
    step("zrevrank", "z", "c"),
    step("zrange", "z", withscores=True),
    step("zrevrange", "z"),
    step("zrangebyscore", "z", 2, 3, withscores=True),
    step("zrevrangebyscore", "z", offset=0, count=1),
    step("zcount", "z", 2, 3),
    step("zunionstore", "zu", {"z": 2}),
    step("zinterstore", "zi", ["z", "zu"], aggregate="max"),
    step("zscan", "zi"),
    step("zremrangebyrank", "zu", 0, 0),
    step("zremrangebyscore", "zu", 0, 100),
    step("zrem", "z", "a"),
    step("hset", "h", "f", "1"),
    step("hsetnx", "h", "f", "2"),
    step("hmset", "h", {"g": "2", "i": "three"}),
    step("hget", "h", "f"),
    step("hmget", "h", ["f", "absent"]),
    step("hgetall", "h"),
    step("hkeys", "h", view=unordered),
    step("hvals", "h", view=unordered),
    step("hlen", "h"),
    step("hexists", "h", "g"),
    step("hincrby", "h", "f", 10),
    step("hdel", "h", ["f", "absent"]),
    step("hscan", "h", view=lambda reply: [reply[0], unordered(reply[1])]),
    step("pfadd", "hll", ["a", "b", "c"]),
    step("pfadd", "hll2", "d"),
    step("pfmerge", "hll3", ["hll", "hll2"]),
    step("pfcount", "hll3"),
    step("time", view=kind),
    step("save"),
    step("lastsave", view=kind),
    step("role"),
    step("info", "server", view=has("redis_version", "process_id")),
    step("info", "keyspace", view=has("db0", "db1")),
    step("script_flush"),
    step("publish", "nobody", "hears"),
    step("randomkey", view=kind),
    step("set", "text", "text"),
    step("lpush", "text", ["x"]),
    step("incr", "text"),
    step("hget", "text", "f"),
    step("expire", "text", 2**62),
    step("execute_command", "NOSUCH", "argument"),
    step("execute_command", "GET"),
    step("select", 99),
    step("select", 1),
    step("keys", "*", view=unordered),
    step("flushdb"),
    step("select", 0),
]

transcript = Transcript()
add = transcript.add


async def attempt(reply: Awaitable[Any]) -> Any:
    """The reply, or the error that the server or the client made of it."""
    try:
        return await reply
    except (txredisapi.ResponseError, txredisapi.WatchError) as error:
        return error


async def steps(client: Any) -> None:
    for each in STEPS:
        reply = getattr(client, each.name)(*each.arguments, **each.options)
        add(each.label, await attempt(reply), each.view)


async def transactions(client: Any, other: Any) -> None:
    transaction = await client.multi()
    add("queued", [await transaction.set("t", 1), await transaction.incr("t")])
    add("queued", await transaction.hgetall("absent"))
    add("commit", await transaction.commit())
    transaction = await client.multi()
    await transaction.set("t", 5)
    add("discard", await transaction.discard())
    add("discarded", await client.get("t"))
    transaction = await client.multi("t")
    await transaction.incr("t")
    add("commit, undisturbed", await transaction.commit())
    transaction = await client.multi(["t", "u"])
    await transaction.incr("t")
    await other.set("t", 100)
    add("commit, disturbed", await attempt(transaction.commit()))
    watched = await client.watch("t")
    add("watched get", await watched.get("t"))
    add("unwatch", await watched.unwatch())


async def pipelines(client: Any) -> None:
    pipeline = await client.pipeline()
    for number in range(100):
        pipeline.set(f"p:{number}", number)
    pipeline.mget([f"p:{number}" for number in range(100)])
    add("pipeline", await pipeline.execute_pipeline())
    replies = await defer.gatherResults([client.incr("counted") for _ in range(100)])
    add("a hundred at once", replies, unordered)


class Subscriber(txredisapi.SubscriberProtocol):  # type: ignore[misc]
    """A subscriber whose messages wait in a queue."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: defer.DeferredQueue[Any] = defer.DeferredQueue()

    def messageReceived(self, pattern: Any, channel: Any, message: Any) -> None:
        self.heard.put([pattern, channel, message])


async def pubsub(client: Any, subscriber: Subscriber) -> None:
    # What confirms a subscription, txredisapi keeps to itself: the server is asked for it.
    subscriber.subscribe("news")
    subscriber.psubscribe("n*s")
    while await client.execute_command("PUBSUB", "NUMPAT") == 0:
        pass
    add("numsub", await client.execute_command("PUBSUB", "NUMSUB", "news"))
    add("publish", await client.publish("news", "hello"))
    add("messages", [await subscriber.heard.get(), await subscriber.heard.get()], unordered)
    add("publish to a pattern", await client.publish("nicknames", "x"))
    add("message", await subscriber.heard.get())
    subscriber.unsubscribe("news")
    subscriber.punsubscribe("n*s")
    while await client.execute_command("PUBSUB", "NUMPAT") == 1:
        pass
    add("publish, unheard", await client.publish("news", "hello"))
    subscriber.transport.loseConnection()


async def blocking(client: Any, other: Any) -> None:
    waiting = client.blpop(["q1", "q2"], 0)
    while "blocked_clients:0" in str(await other.execute_command("INFO", "clients")):
        pass
    add("push", await other.rpush("q2", ["a", "b"]))
    add("blpop waits", await waiting)


async def talk(reactor: IReactorTime, host: str, port: str) -> None:
    where = {"host": host, "port": int(port), "reconnect": False}
    client = await txredisapi.Connection(**where)
    other = await txredisapi.ConnectionPool(**where, poolsize=3)
    await steps(client)
    await transactions(client, other)
    await pipelines(other)
    await blocking(client, other)
    endpoint = endpoints.clientFromString(reactor, f"tcp:{host}:{port}")
    await pubsub(other, await endpoints.connectProtocol(endpoint, Subscriber()))
    await client.disconnect()
    await other.disconnect()


def main(reactor: IReactorTime, host: str, port: str) -> defer.Deferred[None]:
    talking = defer.ensureDeferred(talk(reactor, host, port))
    return talking.addTimeout(PATIENCE * 2, reactor)


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
