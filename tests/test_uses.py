"""What is a hit or a miss, beside the real redis-server: of each request that the differential
grammar has, alone and several together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import pytest
from differential.grammar import GROUPS
from differential.grammar.group import Group
from differential.resp import Argv
from helpers_pure import World
from structs.redis_server import Redis, redis_server

from memdbd.commands.table import COMMANDS, CONTAINERS
from memdbd.errors import CommandError
from memdbd.replies import Pending

# Groups whose commands have keys.
NAMES = (
    *("strings", "bits", "keys", "sort", "lists", "sets", "hashes", "zsets", "combined", "lex"),
    *("hyperloglog", "geo", "dumped"),
)
DRAWS = 6  # of each line
FILLING = 12  # values that are there

Counts = tuple[int, int]  # hits and misses


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with redis_server(tmp_path_factory.mktemp("redis")) as redis:
        yield redis


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def works_on_keys(argv: Argv) -> bool:
    name = argv[0].lower()
    if name in CONTAINERS:
        return name == b"object"
    command = COMMANDS[name]
    return command.reads or command.writes


def is_counted_otherwise(argv: Argv) -> bool:
    """What differs on purpose, as docs/commands.md has it."""
    match argv[0].upper(), *argv[2:]:
        case b"BITFIELD", *words:  # where it reads only, it is what BITFIELD_RO is
            return not {b"SET", b"INCRBY"} & {word.upper() for word in words}
        case b"SPOP", _:  # of as many as there are, which Redis does as a union
            return True
    return False


def drawn(group: Group, rng: Random, count: int = DRAWS) -> Iterator[Argv]:
    """So many requests of each line of a group."""
    for line in group.lines:
        for _ in range(count):
            argv = tuple(line.draw(rng))
            if works_on_keys(argv) and not is_counted_otherwise(argv):
                yield argv


def filling(group: Group, rng: Random) -> list[Argv]:
    """Requests that make values, none of which is expired."""
    return [tuple(rng.choice(group.fill or group.lines).draw(rng)) for _ in range(FILLING)]


def theirs(redis: Redis, fill: Sequence[Argv], request: Argv) -> Counts:
    """What Redis counts of a request. Inside a transaction, nothing waits."""
    before = [(b"FLUSHALL",), *fill, (b"CONFIG", b"RESETSTAT"), (b"MULTI",), request, (b"EXEC",)]
    *_, info = redis.hear_all([*before, (b"SELECT", b"0"), (b"INFO", b"stats")])
    fields = dict(line.split(":") for line in info.decode().split("\r\n")[1:] if line)
    return int(fields["keyspace_hits"]), int(fields["keyspace_misses"])


def run(world: World, argv: Argv) -> Any:
    """What we reply, an error too; nothing is waited for."""
    words = 2 if argv[0].lower() in CONTAINERS else 1
    try:
        reply = world.run(*(word.lower() for word in argv[:words]), *argv[words:])
    except CommandError as error:
        return error
    if isinstance(reply, Pending):
        reply.abandon()
    return reply


def counts(world: World) -> Counts:
    stats = world.parts.engine.stats()
    return stats["key_hits"], stats["key_misses"]


def refilled(world: World, fill: Sequence[Argv]) -> Counts:
    """Have this there and nothing else; gives what is counted by then."""
    for argv in ((b"select", b"0"), (b"flushall",), *fill):
        run(world, argv)
    return counts(world)


def since(world: World, before: Counts) -> Counts:
    hits, misses = counts(world)
    return hits - before[0], misses - before[1]


def ours(world: World, fill: Sequence[Argv], request: Argv) -> Counts:
    before = refilled(world, fill)
    run(world, request)
    return since(world, before)


@pytest.mark.parametrize("name", NAMES)
def test_a_request_counts_what_it_counts_in_redis(name: str, redis: Redis, world: World) -> None:
    rng = Random(name)
    group = GROUPS[name]
    for request in drawn(group, rng):
        fill = filling(group, rng)
        told = ours(world, fill, request), theirs(redis, fill, request)
        assert (request, told[0]) == (request, told[1]), fill


TOGETHER = [
    request
    for name in NAMES
    for request in drawn(GROUPS[name], Random(name), 1)
    if (command := COMMANDS.get(request[0].lower())) is not None and command.many is not None
]


@pytest.mark.parametrize("name", sorted({argv[0].lower() for argv in TOGETHER}), ids=bytes.decode)
def test_several_count_what_they_count_one_by_one(name: bytes, world: World) -> None:
    rng = Random(name)
    command, were_together = COMMANDS[name], 0
    groups = [GROUPS[each] for each in NAMES]
    lines = [
        (group, line)
        for group in groups
        for line in group.lines
        if line.draw(rng)[0].lower() == name
    ]
    for _ in range(60):
        group, line = rng.choice(lines)
        fill = filling(group, rng)
        several = [tuple(line.draw(rng)) for _ in range(3)]
        most = command.most_together
        several = [argv for argv in several if command.min_words <= len(argv) <= most]
        if not several or (
            command.most_together == command.min_words and len({*map(len, several)}) > 1
        ):
            continue
        before = refilled(world, fill)
        done = len(world.parts.engine.execute_many(world.context, command, several))
        told = since(world, before)
        were_together += done
        before = refilled(world, fill)
        for argv in several[:done]:
            run(world, argv)
        assert (several[:done], told) == (several[:done], since(world, before)), fill
    assert were_together


def test_who_waits_counts_nothing_when_he_is_served(world: World) -> None:
    before = refilled(world, [])
    waiting = world.run(b"blpop", b"list", b"0")
    world.run(b"rpush", b"list", b"a")
    assert isinstance(waiting, Pending)
    assert waiting.is_resolved
    assert since(world, before) == (0, 0)
