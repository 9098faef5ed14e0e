"""Replies that are as good as the same are, and no others; and the shortest sequence is found."""

from __future__ import annotations

import pytest

from differential.compare import piped
from differential.grammar import GROUPS
from differential.grammar.sequences import Sequence
from differential.resp import Request, split
from differential.shrink import shrink

FAR = b":4102444800\r\n"


def differ(commands: str, one: bytes, other: bytes) -> bool:
    """Whether these replies to commands, which are between semicolons, are told apart."""
    requests = tuple(Request(tuple(each.encode().split())) for each in commands.split(";"))
    return bool(list(piped(Sequence(GROUPS["keys"], 3, requests), one, other)))


@pytest.mark.parametrize(
    ("commands", "one", "other"),
    [
        ("SMEMBERS s", b"~2\r\n+a\r\n+b\r\n", b"~2\r\n+b\r\n+a\r\n"),
        ("HGETALL h", b"*4\r\n+a\r\n+1\r\n+b\r\n+2\r\n", b"*4\r\n+b\r\n+2\r\n+a\r\n+1\r\n"),
        ("TTL k", b":100\r\n", b":99\r\n"),
        ("SRANDMEMBER s 2", b"*2\r\n+a\r\n+b\r\n", b"*2\r\n+c\r\n+a\r\n"),
        ("SCAN 0", b"*2\r\n$1\r\n0\r\n*1\r\n+a\r\n", b"*2\r\n$1\r\n0\r\n*2\r\n+a\r\n+a\r\n"),
        ("SCAN 0", b"*2\r\n$1\r\n4\r\n*0\r\n", b"*2\r\n$1\r\n0\r\n*1\r\n+a\r\n"),
        (
            "MULTI;SMEMBERS s;EXEC",
            b"+OK\r\n+QUEUED\r\n*1\r\n*2\r\n+a\r\n+b\r\n",
            b"+OK\r\n+QUEUED\r\n*1\r\n*2\r\n+b\r\n+a\r\n",
        ),
    ],
)
def test_what_redis_leaves_open_is_no_difference(commands: str, one: bytes, other: bytes) -> None:
    assert not differ(commands, one, other)


@pytest.mark.parametrize(
    ("commands", "one", "other"),
    [
        ("GET k", b"$1\r\na\r\n", b"+a\r\n"),
        ("ZSCORE z a", b",3\r\n", b",3.0\r\n"),
        ("LRANGE l 0 1", b"*2\r\n+a\r\n+b\r\n", b"*2\r\n+b\r\n+a\r\n"),
        ("SMEMBERS s", b"~1\r\n+a\r\n", b"*1\r\n+a\r\n"),
        ("SMEMBERS s", b"~2\r\n+a\r\n+b\r\n", b"~2\r\n+a\r\n+a\r\n"),
        ("HGETALL h", b"*4\r\n+a\r\n+1\r\n+b\r\n+2\r\n", b"*4\r\n+a\r\n+2\r\n+b\r\n+1\r\n"),
        ("TTL k", b":-1\r\n", b":-2\r\n"),
        ("EXPIRETIME k", FAR, b":4102444801\r\n"),
        ("SRANDMEMBER s 2", b"*2\r\n+a\r\n+b\r\n", b"*2\r\n+a\r\n+a\r\n"),
        ("SCAN 0", b"*2\r\n$1\r\n0\r\n*1\r\n+a\r\n", b"*2\r\n$1\r\n0\r\n*1\r\n+b\r\n"),
        ("SMEMBERS s", b"-ERR a\r\n", b"-ERR b\r\n"),
        ("GEORADIUS g 1 1 1 km STORE d", b":1\r\n", b":2\r\n"),
        ("GEORADIUS g 1 1 1 km ASC", b"*2\r\n+a\r\n+b\r\n", b"*2\r\n+b\r\n+a\r\n"),
        ("COMMAND GETKEYS GET a", b"*1\r\n+a\r\n", b"*1\r\n+b\r\n"),
        ("GET k", b"$1\r\na\r\n", b""),
        ("GET k", b"$1\r\na\r\n", b"$1\r\na\r\n+OK\r\n"),
        ("GET k", b"$1\r\na\r\n", b"$1\r\nab"),
        (
            "MULTI;LRANGE l 0 1;EXEC",
            b"+OK\r\n+QUEUED\r\n*1\r\n*2\r\n+a\r\n+b\r\n",
            b"+OK\r\n+QUEUED\r\n*1\r\n*2\r\n+b\r\n+a\r\n",
        ),
    ],
)
def test_anything_else_is_one(commands: str, one: bytes, other: bytes) -> None:
    assert differ(commands, one, other)


@pytest.mark.parametrize(
    "reply",
    [
        *(b"+OK\r\n", b"-ERR no\r\n", b":1\r\n", b"$2\r\n\r\n\r\n", b"$-1\r\n", b"*-1\r\n"),
        *(b"_\r\n", b",1.5\r\n", b"#t\r\n", b"(1\r\n", b"=7\r\ntxt:abc\r\n", b"*0\r\n"),
        *(b"%1\r\n+a\r\n*1\r\n:1\r\n", b"~1\r\n+a\r\n", b">2\r\n+a\r\n+b\r\n"),
    ],
)
def test_a_reply_is_read_whole_or_not_at_all(reply: bytes) -> None:
    replies, rest = split(reply + reply)
    assert [each.raw for each in replies] == [reply, reply]
    assert rest == b""
    for cut in range(len(reply)):
        assert split(reply[:cut]) == ([], reply[:cut])


def test_what_is_no_reply_is_refused() -> None:
    with pytest.raises(ValueError):
        split(b"hello\r\n")


def test_a_sequence_is_shrunk_to_what_matters() -> None:
    assert shrink(range(50), lambda kept: {3, 4, 31} <= set(kept)) == [3, 4, 31]
