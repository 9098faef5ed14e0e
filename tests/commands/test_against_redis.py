"""What COMMAND, CONFIG and INFO say, beside what the real redis-server says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from helpers_pure import World
from structs.redis_server import Redis, redis_server

from memdbd.commands.table import COMMANDS, CONTAINERS
from memdbd.replies import Members, Status

# Redis's flags that mean something here; the others are of loading, replicas and modules.
FLAGS = {
    "write", "readonly", "denyoom", "admin", "pubsub", "blocking", "fast", "no_auth", "movablekeys",
}  # fmt: skip
OURS = {
    "client|no-touch", "client|setinfo", "delete", "exit", "help", "list_channels",
    "list_subscribers", "set_with_ttl", "stats",
}  # fmt: skip


def plain(value: Any) -> Any:
    """A neutral reply as a client has it."""
    match value:
        case Members():
            return plain(value.items)
        case list():
            return [plain(each) for each in value]
        case Status():
            return value.text.encode()
        case _:
            return value


def by_name(entries: list[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each command and subcommand of a reply to COMMAND, with what is said of it."""
    for name, arity, flags, first, last, step, categories, _, _, subcommands in entries:
        yield (
            name.decode(),
            {
                "arity": arity,
                "flags": {flag.decode() for flag in flags} & FLAGS,
                "keys": (first, last, step),
                "categories": {category.decode() for category in categories},
            },
        )
        yield from by_name(subcommands)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with redis_server(tmp_path_factory.mktemp("redis")) as redis:
        yield redis


@pytest.fixture(scope="module")
def theirs(redis: Redis) -> dict[str, dict[str, Any]]:
    return dict(by_name(redis.ask("COMMAND")))


@pytest.fixture(scope="module")
def ours() -> dict[str, dict[str, Any]]:
    return dict(by_name(plain(World().run(b"command"))))


NAMES = sorted(
    {command.full_name for command in COMMANDS.values()}
    | {each.full_name for container in CONTAINERS.values() for each in container.commands()}
    | {name.decode() for name in CONTAINERS}
)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OURS])
def test_a_command_is_declared_as_redis_has_it(
    name: str, ours: dict[str, Any], theirs: dict[str, Any]
) -> None:
    assert ours[name] == theirs[name]


def test_no_other_command_is_ours_alone(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours.keys() - theirs.keys() == OURS


@pytest.mark.parametrize(
    "request_",
    [
        "get a", "set a b EX 10", "mset a b c d", "zunion 2 a b", "zunionstore d 2 a b",
        "sort a BY w_* GET o_* STORE d", "sort a STORE b STORE c", "sort_ro a BY w_*",
        "blpop a b 0", "lmpop 2 a b LEFT", "blmpop 1 2 a b LEFT", "object encoding a",
        "memory usage a", "evalsha x 2 a b c", "evalsha x 0 a", "georadius a 1 2 3 m STORE b",
        "copy a b", "sintercard 2 a b LIMIT 1", "bitop AND d a b", "pfcount a b", "lcs a b",
        "xyz a", "ping a", "get a b", "mset a b c", "zunion x a b", "zunion 3 a b", "subscribe a",
        "ssubscribe a",
        "config get a",
    ],
)  # fmt: skip
def test_getkeys_finds_the_same_keys_or_has_the_same_error(redis: Redis, request_: str) -> None:
    words = [b"command", b"getkeys", *request_.encode().split()]
    assert outcome(World().run, words) == outcome(redis.ask, words)


# They are what they are here.
OWN_VALUES = {
    "appendonly", "bind", "client-output-buffer-limit", "client-query-buffer-limit", "dbfilename",
    "dir", "maxclients", "port", "proto-max-bulk-len", "save", "tcp-keepalive", "unixsocket",
}  # fmt: skip


def test_parameters_have_redis_s_names_and_defaults(redis: Redis) -> None:
    words = redis.ask("CONFIG", "GET", "*")
    theirs = {
        name.decode(): value.decode() for name, value in zip(words[::2], words[1::2], strict=True)
    }
    ours = World().run(b"config", b"get", b"*")
    assert ours.keys() - theirs.keys() == set()
    differing = {name for name in ours if ours[name] != theirs[name]}
    assert differing <= OWN_VALUES


def test_the_fields_of_info_are_redis_s(redis: Redis) -> None:
    theirs = fields(redis.ask("INFO", "everything").decode())
    # Redis shows them too, where its own journal is switched on.
    theirs |= {"aof_current_size", "aof_base_size", "aof_pending_bio_fsync"}
    ours = fields(World().run(b"info", b"everything").text)
    assert {name for name in ours if not name.startswith("limit_")} - theirs == {
        "# Limits",
        "clients_unauthenticated",
        "memdbd_version",
        "memdbd_core",
        "python_version",
        "durability",
        "state",
        "reason",
        "journal",
        "seconds_since_sync",
        "snapshot",
        "snapshot_bytes",
        "snapshot_last_seconds",
        "snapshot_last_error",
    }


def fields(text: str) -> set[str]:
    return {line.partition(":")[0] for line in text.split("\r\n") if line}


def outcome(ask: Callable[..., Any], words: list[bytes]) -> Any:
    """The reply, or the error's text."""
    try:
        return ask(*words)
    except Exception as error:
        return str(error).removeprefix("ERR ")
