"""Commands that only Redis has, beside a real redis-server; and what it writes to its ACL file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import House
from structs.redis_server import Redis, redis_server

from memdbd.commands.foreign import FOREIGN, without_foreign
from memdbd.commands.table import COMMANDS, CONTAINERS

OURS = {each.full_name for each in COMMANDS.values()} | {
    name
    for container in CONTAINERS.values()
    for name in (container.name, *(each.full_name for each in container.commands()))
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("redis")


@pytest.fixture(scope="module")
def redis(directory: Path) -> Iterator[Redis]:
    (directory / "users").touch()
    with redis_server(directory, "--aclfile", "users") as redis:
        yield redis


def kept(text: str) -> str:
    return " ".join(each.decode() for each in without_foreign(text.encode().split(), _ignored))


def _ignored(rule: str) -> None: ...


def test_they_are_those_of_redis_that_are_not_here(redis: Redis) -> None:
    theirs = {
        each[0].decode() for command in redis.ask("COMMAND") for each in (command, *command[9])
    }
    assert theirs - OURS == FOREIGN


def test_none_is_here() -> None:
    assert not FOREIGN & OURS


@pytest.mark.parametrize(
    ("rules", "left"),
    [
        ("+get -migrate +xinfo|help ~a", "+get ~a"),
        ("-XADD +Cluster", ""),
        ("+eval|first -xadd|first", "-xadd|first"),
        ("(+xadd ~a +get) (+get +xadd) (+xadd)", "( ~a +get) (+get ) ()"),
        ("+cluster|nosuch +xinfo|help|x +eval| +eval|a|b", None),
        ("+nosuch -@stream +config|nosuch ((+xadd ~+xadd &-xadd >+xadd +xadd\xe9", None),
    ],
)  # fmt: skip
def test_rules_about_them_are_left_out_and_no_others(rules: str, left: str | None) -> None:
    assert kept(rules) == (rules if left is None else left)


RULES = """
ann on >secret ~app:* +@read +@write -@dangerous +config|get
bob on >secret ~* &* +@all -@dangerous -@scripting +eval|foo
cat on >secret ~c:* -@all +@stream (~d:* +xadd +get) (+@read ~e:*) +@pubsub &news
default off
""".strip().splitlines()

REQUESTS = (
    """
get app:1|set app:1 x|get c:1|get d:1|get e:1|set e:1 x|get other|config get x|config set x y
flushall|keys *|sort app:1|del app:1|object help|memory usage app:1|swapdb 0 1|lolwut
subscribe news|publish news x|publish other x|evalsha abc 0|script exists x|info|ping|dump app:1
restore app:1 0 x|client list|client id|blpop app:1 0|function flush|acl whoami|acl list|scan 0
""".replace("\n", "|")
    .strip("|")
    .split("|")
)


def test_a_file_that_redis_has_written_is_followed(redis: Redis, directory: Path) -> None:
    for line in RULES:
        redis.ask("ACL", "SETUSER", *line.split())
    redis.ask("ACL", "SAVE")
    users = directory / "users"
    assert "-migrate" in users.read_text()
    house = House(auth=(f"users:{users}",))
    peer = house.connect()
    for name in "ann", "bob", "cat":
        assert peer.asks(f"auth {name} secret\n".encode()) == b'{"result": "OK"}\n'
    house.server.gate.users.set(b"admin", (b"on", b"nopass", b"~*", b"&*", b"+@all"))
    assert peer.asks(b"auth admin x\n") == b'{"result": "OK"}\n'
    for name in "ann", "bob", "cat":
        answers = set[bool]()
        for request in REQUESTS:
            theirs = redis.ask("ACL", "DRYRUN", name, *request.split())
            ours = peer.asks(f"acl dryrun {name} {request}\n".encode())
            allowed = b'"result": true' in ours
            assert allowed == (theirs == b"OK"), (name, request, ours, theirs)
            answers.add(allowed)
        assert answers == {True, False}
