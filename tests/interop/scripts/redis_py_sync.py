"""redis-py's sync face: ``python -m interop.scripts.redis_py_sync HOST PORT [PROTOCOL]``.

First all of :data:`~interop.scripts.redis_py_steps.ALL`, then what takes more than a call: one
function each. Without PROTOCOL, the client opens as it does by default. ``lock.release()`` and
the other calls that are Lua scripts are left out.
"""

from __future__ import annotations

import functools
import queue
import sys
import threading
from collections.abc import Callable
from typing import Any

import redis
from interop.scripts.canonical import MANY, PATIENCE, Transcript, kind, unordered
from interop.scripts.redis_py_steps import ALL
from redis.backoff import NoBackoff
from redis.retry import Retry

Connect = Callable[..., Any]

transcript = Transcript()
add = transcript.add


def attempt(call: Callable[[], Any]) -> Any:
    """The reply, or the error that the server or the client made of it."""
    try:
        return call()
    except (redis.ResponseError, redis.WatchError) as error:
        return error


def steps(client: Any) -> None:
    for step in ALL:
        call = functools.partial(getattr(client, step.name), *step.arguments, **step.options)
        add(step.label, attempt(call), step.view)


def decoded(connect: Connect) -> None:
    client = connect(decode_responses=True)
    client.hset("decoded", mapping={"name": "Zoë", "n": 1})
    add("decoded hgetall", client.hgetall("decoded"))
    add("decoded get", client.get("absent"))
    add("decoded zadd", client.zadd("decoded:z", {"é": 1.5}))
    add("decoded zrange", client.zrange("decoded:z", 0, -1, withscores=True))


def dump_and_restore(client: Any) -> None:
    client.rpush("dumped", "a", "b")
    dump = client.dump("dumped")
    add("restore", client.restore("restored", 0, dump))
    add("restored lrange", client.lrange("restored", 0, -1))
    add("restore busy", attempt(lambda: client.restore("restored", 0, dump)))
    add("restore replace", client.restore("restored", 0, dump, replace=True))


def pipelines(client: Any) -> None:
    with client.pipeline(transaction=False) as pipe:
        pipe.set("p", 1).incr("p").get("p").lpush("p", "x").mget("p", "absent")
        add("pipeline", pipe.execute(raise_on_error=False))
        pipe.get("p").lpush("p", "x")
        add("pipeline raises", attempt(pipe.execute))
    with client.pipeline() as pipe:
        pipe.set("t", 1).incr("t").hset("t:h", mapping={"f": "v"}).hgetall("t:h").zadd(
            "t:z", {"m": 1}
        ).zrange("t:z", 0, -1, withscores=True)
        add("transaction", pipe.execute())
        pipe.incr("t").lpush("t", "x").incr("t")
        add("transaction with an error", pipe.execute(raise_on_error=False))
        pipe.incr("t").execute_command("NOSUCH")
        add("transaction refused", attempt(pipe.execute))
        add("after the refusal", client.get("t"))
    with client.pipeline(transaction=False) as pipe:
        for number in range(10_000):
            pipe.set(f"many:{number}", number)
        replies = pipe.execute()
        add("pipeline of 10,000", [len(replies), all(replies)])
        add("pipeline unlink", pipe.unlink(*(f"many:{n}" for n in range(10_000))).execute())


def watches(client: Any) -> None:
    client.set("w", 1)
    with client.pipeline() as pipe:
        pipe.watch("w")
        add("watched get", pipe.get("w"))
        pipe.multi()
        pipe.incr("w")
        add("exec, undisturbed", pipe.execute())
        pipe.watch("w")
        client.set("w", 10)
        pipe.multi()
        pipe.incr("w")
        add("exec, disturbed", attempt(pipe.execute))
        pipe.watch("w")
        client.set("w", 10)
        add("unwatch", pipe.unwatch())

    tries = 0

    def increment(pipe: Any) -> None:
        nonlocal tries
        tries += 1
        seen = int(pipe.get("w"))
        if tries == 1:
            client.set("w", 20)
        pipe.multi()
        pipe.set("w", seen + 1)

    add("transaction()", client.transaction(increment, "w"))
    add("tries and result", [tries, client.get("w")])


def pubsub(client: Any) -> None:
    with client.pubsub() as ps:

        def next_message() -> Any:
            message = ps.get_message(timeout=PATIENCE)
            return message and [message[name] for name in ("type", "pattern", "channel", "data")]

        ps.subscribe("news", "other")
        ps.psubscribe("n*s")
        for _ in range(3):
            add("subscription", next_message())
        add("channels", client.pubsub_channels(), unordered)
        add("numsub", client.pubsub_numsub("news", "none"))
        add("numpat", client.pubsub_numpat())
        add("publish", client.publish("news", b"\xffhello"))
        add("message", [next_message(), next_message()], unordered)
        add("publish to a pattern", client.publish("nicknames", "x"))
        add("pmessage", next_message())
        ps.ping("alive")
        add("pubsub ping", next_message(), kind)
        ps.unsubscribe("news")
        ps.punsubscribe()
        ps.unsubscribe()
        for _ in range(3):
            add("unsubscription", next_message())
        add("still subscribed", ps.subscribed)
    with client.pubsub() as ps:
        ps.ssubscribe("shard")
        add("ssubscribe", ps.get_message(timeout=PATIENCE))
        add("shardchannels", client.pubsub_shardchannels())
        add("shardnumsub", client.pubsub_shardnumsub("shard"))
        add("spublish", client.spublish("shard", "piece"))
        add("smessage", ps.get_message(timeout=PATIENCE))


def pubsub_in_a_thread(client: Any) -> None:
    heard: queue.Queue[Any] = queue.Queue()
    ps = client.pubsub(ignore_subscribe_messages=True)
    ps.subscribe(**{"in thread": heard.put})
    ps.psubscribe(**{"threads*": heard.put})
    thread = ps.run_in_thread(sleep_time=0.01)
    while client.pubsub_numpat() == 0:
        pass  # the thread's commands are on their way on another connection
    for number in range(3):
        client.publish("in thread", number)
        client.publish("threads:1", number)
    add("heard", [heard.get(timeout=PATIENCE) for _ in range(6)])
    thread.stop()
    thread.join(PATIENCE)


def keyspace_events(client: Any) -> None:
    add("config set", client.config_set("notify-keyspace-events", "KEA"))
    add("config get", client.config_get("notify-keyspace-events"))
    with client.pubsub(ignore_subscribe_messages=True) as ps:
        ps.psubscribe("__key*__:*")
        ps.get_message(timeout=PATIENCE)
        client.set("event", "1", px=20)
        client.rpush("event:list", "a")
        client.lpop("event:list")
        heard: list[Any] = []
        while not heard or heard[-1] != [b"__keyevent@0__:expired", b"event"]:
            if (message := ps.get_message(timeout=PATIENCE)) is not None:
                heard.append([message["channel"], message["data"]])
                client.exists("event")  # notices that it has expired
        add("events", heard)
    add("config set", client.config_set("notify-keyspace-events", ""))


def iterators(client: Any) -> None:
    client.flushdb()
    client.mset({f"key:{number}": number for number in range(MANY)})
    client.sadd("set", *range(MANY))
    client.hset("hash", mapping={f"f{number}": number for number in range(MANY)})
    client.zadd("zset", {f"m{number}": number for number in range(MANY)})
    for name, found in {
        "scan_iter": client.scan_iter(),
        "scan_iter match": client.scan_iter(match="key:1*", count=7),
        "scan_iter type": client.scan_iter(_type="hash"),
        "sscan_iter": client.sscan_iter("set"),
        "hscan_iter": client.hscan_iter("hash", match="f?", count=5),
        "zscan_iter": client.zscan_iter("zset", match="m2*"),
    }.items():
        add(name, set(found))


def locks(client: Any) -> None:
    held = client.lock("lock", timeout=PATIENCE)
    add("acquire", held.acquire())
    add("locked and owned", [held.locked(), held.owned()])
    add("time left", 0 < client.pttl("lock") <= PATIENCE * 1000)
    other = client.lock("lock", timeout=PATIENCE, sleep=0.01)
    add("acquire, not blocking", other.acquire(blocking=False))
    add("acquire, giving up", other.acquire(blocking_timeout=0.05))
    client.pexpire("lock", 50)
    add("acquire when it has expired", other.acquire(blocking_timeout=PATIENCE))
    add("owners", [held.owned(), other.owned()])


def wait_until_blocked(client: Any) -> None:
    """Until a client waits in a blocking command."""
    while client.info("clients")["blocked_clients"] == 0:
        pass


def blocking(client: Any) -> None:
    def blocked(wait: Callable[[], Any], wake: Callable[[], Any]) -> list[Any]:
        replies: queue.Queue[Any] = queue.Queue()
        thread = threading.Thread(target=lambda: replies.put(attempt(wait)))
        thread.start()
        wait_until_blocked(client)
        woken = wake()
        thread.join(PATIENCE)
        return [replies.get(timeout=PATIENCE), woken]

    add(
        "blpop waits",
        blocked(lambda: client.blpop(["q1", "q2"], PATIENCE), lambda: client.rpush("q2", "a", "b")),
    )
    add("the rest", client.lrange("q2", 0, -1))
    add(
        "bzpopmin waits",
        blocked(lambda: client.bzpopmin("bz", PATIENCE), lambda: client.zadd("bz", {"m": 2})),
    )
    add(
        "blmove waits",
        blocked(lambda: client.blmove("q3", "q4", PATIENCE), lambda: client.lpush("q3", "moved")),
    )
    add(
        "wrong type while waiting",
        blocked(lambda: client.brpop("q5", 0.2), lambda: client.set("q5", "text")),
    )
    with client.client() as waiting:  # one connection, so that it can say its id
        number = waiting.client_id()
        add(
            "unblocked",
            blocked(
                lambda: waiting.blpop("q6", PATIENCE),
                lambda: client.client_unblock(number, error=True),
            ),
        )


def monitor(client: Any) -> None:
    with client.monitor() as watching:
        client.set("monitored", "a b")
        client.get("monitored")
        seen = [watching.next_command() for _ in range(2)]
        add("monitor", [[one["db"], one["command"]] for one in seen])


def pools(connect: Connect, pool_of: Callable[..., Any]) -> None:
    client = redis.Redis(connection_pool=pool_of(redis.BlockingConnectionPool, max_connections=3))

    def count() -> None:
        for _ in range(50):
            client.incr("counted")

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    add("eight threads on three connections", client.get("counted"))
    elsewhere = connect(db=5)
    add("another database", [elsewhere.set("here", 1), elsewhere.keys()])
    add("swapdb", elsewhere.swapdb(5, 6))
    add("swapped", [elsewhere.dbsize(), connect(db=6).keys()])
    once = Retry(NoBackoff(), 1)
    cut_off = connect(retry=once, retry_on_error=[redis.ConnectionError])
    add("client kill", client.client_kill_filter(_id=cut_off.client_id()))
    add("connected again", cut_off.ping())


def main() -> None:
    host, port, *protocol = sys.argv[1:]
    where: dict[str, Any] = {"host": host, "port": int(port), "socket_timeout": PATIENCE * 2}
    if protocol:
        where["protocol"] = int(protocol[0])

    def connect(**options: Any) -> Any:
        return redis.Redis(**where, **options)

    def pool_of(kind_of_pool: Any, **options: Any) -> Any:
        return kind_of_pool(**where, **options)

    client = connect()
    steps(client)
    decoded(connect)
    dump_and_restore(client)
    pipelines(client)
    watches(client)
    pubsub(client)
    pubsub_in_a_thread(client)
    keyspace_events(client)
    iterators(client)
    locks(client)
    blocking(client)
    monitor(client)
    pools(connect, pool_of)


if __name__ == "__main__":
    main()
