"""Many connections that ask at the same moment are each answered as redis-server answers them.

memdbd is stopped by a signal while all of them send, so that it finds everything in one turn, and
runs what is alike together. Keys are each connection's own: the order among them is nobody's
business. One key is everybody's, and there only what all of them got is looked at.
"""

from __future__ import annotations

import random
import re
import signal
from collections.abc import Iterator
from random import Random

import pytest
from harness import Daemon

from differential.resp import encode, split
from differential.servers import Connection, Target, redis_server

_NUMBER = re.compile(rb"id\r\n:\d+")  # of a connection, in the reply to HELLO

FIXED_SEED = 20_240_229
CONNECTIONS = 14
FEW_ROUNDS, MANY_ROUNDS = 300, 4_000

# What is run together where it comes from several; ``$`` is one of the keys of a connection.
TOGETHER = [
    "GET $", "SET $ 1", "SET $ words", "INCR $", "LPUSH $ a", "RPUSH $ b", "LPOP $", "RPOP $",
    "SADD $ a", "SADD $ 1", "SISMEMBER $ a", "HSET $ f v", "HGET $ f", "ZADD $ 1 a", "ZADD $ 2.5 b",
    "ZSCORE $ a", "ZPOPMIN $", "ZPOPMAX $", "PING", "HMSET $ g w",
]  # fmt: skip
SINGLY = [
    "MGET $ $", "DEL $", "DEL $", "EXISTS $", "TYPE $", "APPEND $ x", "STRLEN $", "SET $ 1 EX 100",
    "PERSIST $", "GETSET $ 7", "INCRBY $ 5", "LRANGE $ 0 -1", "LLEN $", "SCARD $", "HLEN $",
    "HGETALL $", "ZRANGE $ 0 -1 WITHSCORES", "RENAME $ $", "COPY $ $ REPLACE", "GET", "SET $",
    "Get $", "get $", "NONSENSE $", "MULTI", "EXEC", "DISCARD", "WATCH $", "UNWATCH", "SELECT 1",
    "SELECT 0", "CLIENT GETNAME", "ECHO x", "LPUSH $ a b c", "ZADD $ NX 1 c",
    "INCR $ 1", "PEXPIRE $ 0", "SORT $ ALPHA", "DUMP nothing", "SPOP nothing",
    "SETRANGE $ 70000 x", "GETRANGE $ 0 -1",
]  # fmt: skip


class Crowd:
    """Connections to one server."""

    def __init__(self, target: Target) -> None:
        self.callers = [target.connect() for _ in range(CONNECTIONS)]

    def send(self, data: list[bytes]) -> None:
        """Each sends its own."""
        for caller, theirs in zip(self.callers, data, strict=True):
            caller.send(theirs)

    def hear(self, counts: list[int]) -> list[list[bytes]]:
        """The next so many replies to each of them; fewer where they do not come."""
        return [_replies(*each) for each in zip(self.callers, counts, strict=True)]

    def close(self) -> None:
        for caller in self.callers:
            caller.close()


def _replies(caller: Connection, count: int) -> list[bytes]:
    heard = b""
    while True:
        replies, rest = split(heard)
        if len(replies) >= count or not (piece := caller.receive()):
            break
        heard += piece
    found = [_NUMBER.sub(b"id", reply.raw) for reply in replies]
    return [*found, b"<and of another:>" + rest] if rest else found


@pytest.fixture(scope="module", params=["everysec", "always"])
def daemon(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Daemon]:
    data = tmp_path_factory.mktemp("crowds") / "data"
    # Under always, replies wait for the disk, and what comes meanwhile is not gathered.
    flags = ("--resp=tcp:0:interface=127.0.0.1", "--max-memory=0", f"--durability={request.param}")
    with Daemon(data, *flags, listeners=2) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def redis() -> Iterator[Target]:
    with redis_server() as target:
        yield target


def words(rng: Random, line: str, number: int) -> tuple[bytes, ...]:
    """The words of a request of one connection."""
    return tuple(
        b"%d:%d" % (number, rng.randrange(3)) if word == "$" else word.encode()
        for word in line.split()
    )


def drawn(rng: Random, usual: str, number: int) -> list[tuple[bytes, ...]]:
    """What one connection sends at once, where most send what is usual."""
    fate = rng.random()
    if fate < 0.5:
        lines = [usual]
    elif fate < 0.7:
        lines = [usual] * rng.randint(2, 40)
    elif fate < 0.9:
        lines = [rng.choice(TOGETHER + SINGLY) for _ in range(rng.randint(1, 6))]
    else:
        lines = []
    return [words(rng, line, number) for line in lines]


def play(daemon: Daemon, redis: Target, seed: int, rounds: int) -> None:
    """Have a crowd send so many times, and compare all that each connection hears."""
    rng = Random(seed)
    ours = Target("memdbd", "127.0.0.1", int(daemon.where[1].rpartition(":")[2]))
    crowds = [Crowd(redis), Crowd(ours)]
    try:
        for number in range(rounds):
            if number % 500 == 0:
                hello = [
                    [(b"DISCARD",), (b"HELLO", b"%d" % (2 + each % 2))]
                    for each in range(CONNECTIONS)
                ]
                requests = [[*hello[0], (b"FLUSHALL",)], *hello[1:]]
            elif number % 10 == 9:
                requests = [[(b"DISCARD",), (b"SELECT", b"0"), (b"INCR", b"shared")]] * CONNECTIONS
            else:
                usual = rng.choice(TOGETHER)
                requests = [drawn(rng, usual, each) for each in range(CONNECTIONS)]
            data = [b"".join(map(encode, theirs)) for theirs in requests]
            crowds[0].send(data)
            daemon.signal(signal.SIGSTOP)
            try:
                crowds[1].send(data)
            finally:
                daemon.signal(signal.SIGCONT)
            theirs, others = (crowd.hear(list(map(len, requests))) for crowd in crowds)
            if number % 10 == 9:
                theirs, others = ([sorted(each[2] for each in heard)] for heard in (theirs, others))
            for asked, one, other in zip(requests, theirs, others, strict=False):
                assert one == other, f"seed {seed}, round {number}: {asked}"
    finally:
        for crowd in crowds:
            crowd.close()


@pytest.mark.parametrize("seed", [FIXED_SEED, random.SystemRandom().randrange(2**32)], ids=str)
def test_each_of_a_crowd_is_answered_as_by_redis(daemon: Daemon, redis: Target, seed: int) -> None:
    play(daemon, redis, seed, FEW_ROUNDS)


@pytest.mark.slow
def test_each_of_a_crowd_is_answered_as_by_redis_for_long(daemon: Daemon, redis: Target) -> None:
    play(daemon, redis, random.SystemRandom().randrange(2**32), MANY_ROUNDS)
