"""What INFO counts of requests that went wrong, beside the real redis-server: calls, those that
failed, those that were rejected, and errors by their codes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import hiredis
import pytest
from harness import House, Peer
from parties import request
from structs.redis_server import Redis, redis_server

Counted = dict[str, dict[str, int]]


@pytest.fixture
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with redis_server(tmp_path_factory.mktemp("redis")) as redis:
        yield redis


def counted(info: str) -> Counted:
    """The lines of commandstats and errorstats, but for how long it took."""
    fields = {}
    for line in info.split("\r\n"):
        name, _, rest = line.partition(":")
        if name.startswith(("cmdstat_", "errorstat_")):
            numbers = dict(each.split("=") for each in rest.split(","))
            fields[name] = {key: int(n) for key, n in numbers.items() if "usec" not in key}
    fields.pop("cmdstat_info", None)
    fields.pop("cmdstat_config|resetstat", None)
    return fields


class Ours:
    """A client of ours, asked as a Redis is."""

    def __init__(self, **settings: Any) -> None:
        self.house = House(**settings)
        self.peer: Peer = self.house.connect()

    def ask(self, line: str) -> object:
        self.peer.sends(request(*(word.encode("latin-1") for word in shlex.split(line))))
        self.house.passes(0.1)
        reader = hiredis.Reader()
        reader.feed(self.peer.hears())
        return reader.gets()


def of_ours(lines: list[str], **settings: Any) -> Counted:
    ours = Ours(**settings)
    for line in ["CONFIG RESETSTAT", *lines]:
        ours.ask(line)
    info = ours.ask("INFO everything")
    assert isinstance(info, bytes)
    return counted(info.decode())


def of_theirs(redis: Redis, lines: list[str]) -> Counted:
    words = [tuple(word.encode("latin-1") for word in shlex.split(line)) for line in lines]
    *_, info = redis.hear_all([(b"CONFIG", b"RESETSTAT"), *words, (b"INFO", b"everything")])
    return counted(info.decode())


SESSIONS = {
    "all is well": ["SET k v", "GET k", "GET k", "CONFIG GET hz"],
    "an arity that is wrong": ["GET", "GET a b", "SET k", "CONFIG GET", "OBJECT ENCODING"],
    "more words than there are options": ["LPOP k 1 2", "TTL a b", "SPOP a 1 2", "PING a b"],
    "an odd number of words": ["MSET a 1 b", "HSET h f", "HSET h f v g"],
    "no such command": ["NOSUCH a", "CONFIG NOSUCH", "GETT"],
    "a wrong type": ["LPUSH l a", "GET l", "INCR l", "LPUSH l b"],
    "no number": ["SET k v", "INCR k", "INCRBY k x", "EXPIRE k x", "SETEX k 0 v"],
    "a syntax error": ["SET k v EX", "SET k v NOSUCH", "GETEX k EX x"],
    "an error of its own code": ["RESTORE k 0 x", "PFADD p a", "SET s v", "PFADD s a"],
    "a transaction": ["MULTI", "SET k v", "INCR k", "GET k", "EXEC"],
    "a transaction that is spoilt": ["MULTI", "GET", "NOSUCH", "SET k v", "EXEC", "GET k"],
    "a transaction that was none": ["EXEC", "DISCARD", "MULTI", "MULTI", "WATCH k", "DISCARD"],
    "an EXEC with a word too many": ["MULTI", "SET k v", "EXEC now"],
    "who may not": [
        "ACL SETUSER u on nopass +@all -del +multi ~a* resetchannels",
        *("AUTH u x", "DEL a", "GET b", "SET a 1", "PUBLISH c m", "NOSUCH", "GET"),
        *("MULTI", "DEL a", "EXEC", "DEL", "INCR b"),
    ],
    "who has to log in": [
        "CONFIG SET requirepass secret",
        "RESET",
        # Neither unknown commands nor a wrong arity: of those, we tell a stranger nothing.
        *("GET k", "PING", "AUTH wrong", "AUTH a b c", "AUTH secret", "GET k"),
    ],
    "who only listens": ["SUBSCRIBE c", "GET k", "PING", "SUBSCRIBE", "UNSUBSCRIBE", "GET k"],
    "who waits for nothing": ["BLPOP k x", "BLPOP k -1", "BLPOP k 0.001", "WAIT x 0"],
    "a script that is not there": ["EVALSHA x 0", "EVALSHA", "SCRIPT EXISTS x"],
}


@pytest.mark.parametrize("lines", SESSIONS.values(), ids=SESSIONS.keys())
def test_a_session_counts_what_it_counts_in_redis(lines: list[str], redis: Redis) -> None:
    assert of_ours(lines) == of_theirs(redis, lines)


def test_who_finds_no_memory_is_rejected(redis: Redis) -> None:
    lines = ["CONFIG SET maxmemory 1", "SET k v", "LPUSH l v", "GET k", "DEL k", "INCR"]
    assert of_ours(lines) == of_theirs(redis, lines)
