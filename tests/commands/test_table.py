"""The commands there are."""

from __future__ import annotations

import pkgutil
import re
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

import memdbd.commands
from memdbd.commands.categories import CATEGORIES
from memdbd.commands.spec import Command, Flag, Param
from memdbd.commands.strings import STRING
from memdbd.commands.table import COMMANDS, CONTAINERS, GROUPS, TYPES
from memdbd.commands.types import DataType

DECLARED = [command for group in GROUPS for command in group.commands()]
MODULES = [module for group in GROUPS for module in group.modules]
EACH = pytest.mark.parametrize("command", DECLARED, ids=lambda command: command.full_name)

OWN = (
    "get set set_with_ttl delete keys subscribe unsubscribe publish list_channels "
    "list_subscribers ttl expire persist exists incr append rename type dbsize flushall ping "
    "echo time info stats save help exit quit"
)
# Those of Redis 7.0, group by group; which arguments they take, test_against_redis.py compares.
OF_REDIS = {
    "strings": "set get getset getdel getex mget mset msetnx setnx setex psetex append strlen "
    "getrange setrange substr incr decr incrby decrby incrbyfloat lcs setbit getbit bitcount "
    "bitpos bitop bitfield bitfield_ro",
    "keys": "del unlink exists type rename renamenx copy touch keys scan randomkey expire pexpire "
    "expireat pexpireat ttl pttl expiretime pexpiretime persist object sort sort_ro dump restore "
    "move select swapdb flushdb flushall dbsize",
    "lists": "lpush lpushx rpush rpushx lpop rpop lrange lindex lset linsert lrem ltrim llen lpos "
    "lmove rpoplpush lmpop blpop brpop blmove brpoplpush blmpop",
    "sets": "sadd srem scard sismember smismember smembers smove spop srandmember sscan sinter "
    "sinterstore sintercard sunion sunionstore sdiff sdiffstore",
    "hashes": "hset hsetnx hmset hget hmget hgetall hdel hexists hincrby hincrbyfloat hkeys hlen "
    "hstrlen hvals hscan hrandfield",
    "sorted sets": "zadd zincrby zcard zcount zscore zmscore zrank zrevrank zrange zrangestore "
    "zrangebyscore zrevrangebyscore zrangebylex zrevrangebylex zrevrange zlexcount zrem "
    "zremrangebyrank zremrangebyscore zremrangebylex zunion zinter zdiff zunionstore zinterstore "
    "zdiffstore zintercard zpopmin zpopmax bzpopmin bzpopmax zmpop bzmpop zscan zrandmember",
    "pub/sub": "subscribe unsubscribe psubscribe punsubscribe publish pubsub ssubscribe "
    "sunsubscribe spublish",
    "transactions": "multi exec discard watch unwatch",
    "the rest": "pfadd pfcount pfmerge geoadd geopos geodist geohash geosearch geosearchstore "
    "georadius georadius_ro georadiusbymember georadiusbymember_ro ping echo hello reset quit auth "
    "client wait",
    "server": "info command config time lastsave save bgsave shutdown lolwut monitor slowlog "
    "latency memory debug function script role replicaof",
}


@pytest.mark.parametrize("names", [OWN, *OF_REDIS.values()], ids=["ours", *OF_REDIS])
def test_every_command_that_was_promised_is_there(names: str) -> None:
    assert [name for name in names.split() if name.encode() not in COMMANDS | CONTAINERS] == []


def test_names_are_unique() -> None:
    names = [command.name for command in DECLARED]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_each_module_lists_every_command_that_is_declared_in_it(module: ModuleType) -> None:
    of_text = {command.text for command in DECLARED if command.text is not command}
    declared = {one for one in vars(module).values() if isinstance(one, Command)}
    assert declared - of_text == set(module.COMMANDS)


def test_every_module_of_commands_is_in_one_group() -> None:
    every = [
        import_module(f"memdbd.commands.{found.name}")
        for found in pkgutil.iter_modules(memdbd.commands.__path__)
    ]
    those = [module.__name__ for module in every if isinstance(vars(module).get("COMMANDS"), tuple)]
    assert those == sorted(module.__name__ for module in MODULES)


def test_a_group_works_on_kinds_that_redis_has_categories_for() -> None:
    assert {kind for group in GROUPS for kind in group.kinds} <= set(CATEGORIES)
    for group in GROUPS:
        told = {command.kinds for command in group.commands()}
        assert told <= {group.kinds, ()}


@EACH
def test_a_command_is_found_by_its_name(command: Command) -> None:
    assert re.fullmatch("[a-z][a-z_]*( [a-z-]+)?", command.name)
    argv = command.name.encode().split(b" ")
    container = CONTAINERS.get(argv[0])
    assert (COMMANDS[argv[0]] if container is None else container.find(argv)) is command


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_word_that_several_commands_begin_with_has_help(name: bytes) -> None:
    assert b"help" in CONTAINERS[name].subcommands
    assert name not in COMMANDS


@EACH
def test_every_command_has_a_summary_a_flag_and_its_cost(command: Command) -> None:
    assert command.summary[0].isupper() or not command.summary[0].isalpha()
    assert not command.summary.endswith(".")
    assert command.flags
    assert command.complexity.startswith(("O(", "that of "))


@EACH
def test_what_differs_is_said_in_sentences(command: Command) -> None:
    assert not command.differs or re.fullmatch(r"[A-Z0-9].*\.", command.differs)


@EACH
def test_every_command_that_reads_or_changes_a_key_declares_it_and_what_it_does(
    command: Command,
) -> None:
    has_keys = any(param.is_key for param in command.params)
    does = bool(command.flags & (Flag.READ | Flag.WRITE | Flag.TRANSACTION))
    assert does or not has_keys
    assert Flag.WRITE in command.flags or Flag.GROWS not in command.flags


@EACH
def test_optional_parameters_stand_behind_the_others_and_a_repeated_one_at_the_end(
    command: Command,
) -> None:
    optional = [isinstance(param, Param) and param.optional for param in command.params]
    assert optional == sorted(optional) or not isinstance(command.params[-1], Param)
    assert not any(param.many for param in command.params[:-1])
    assert sum(param.rest for param in command.params) <= 1


def test_types_have_different_names_and_classes() -> None:
    assert len({kind.name for kind in TYPES}) == len({kind.python for kind in TYPES}) == len(TYPES)


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
@pytest.mark.parametrize("dumped", [[], {}, "", "ab", 7, None, [["a"]], {"a": 1}, {"a": ["b"]}])
def test_what_no_dump_can_be_is_not_loaded(kind: DataType[Any], dumped: object) -> None:
    """Nor anything empty but a string: an empty container is no value."""
    if kind is STRING and isinstance(dumped, str):
        assert kind.load(dumped, str.encode) == dumped.encode()
        return
    with pytest.raises((ValueError, TypeError)):
        kind.load(dumped, str.encode)
