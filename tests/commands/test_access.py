"""What a request names, and the rights that it needs: beside what a real redis-server says, and
beside what the handlers then do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from differential.grammar import GROUPS
from differential.grammar.sequences import draw
from differential.resp import RAW
from helpers_pure import World
from hypothesis import given, settings
from hypothesis import strategies as st
from structs.redis_server import Redis, redis_server

from memdbd.commands.access import Access, CountedKeys, KeyRange
from memdbd.commands.spec import Command
from memdbd.commands.table import COMMANDS, CONTAINERS
from memdbd.errors import CommandError
from memdbd.glob import matcher
from memdbd.keyspace import Keyspace
from memdbd.replies import Members, Status

EVERY = {
    each.full_name: each
    for each in (
        *COMMANDS.values(),
        *(each for container in CONTAINERS.values() for each in container.commands()),
    )
}
SEQUENCES = 20  # of each group of the grammar, some fifty requests each
Words = tuple[bytes, ...]


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with redis_server(tmp_path_factory.mktemp("redis")) as redis:
        yield redis


def command_of(argv: Sequence[bytes]) -> Command | None:
    """The command of a request, if its number of words is right."""
    try:
        container = CONTAINERS.get(argv[0].lower())
        command = COMMANDS.get(argv[0].lower()) if container is None else container.find(argv)
        if command is not None:
            command.check(argv)
    except CommandError:
        return None
    return command


def requests_of(group: str) -> Iterator[Words]:
    """What the grammar has to say of a group, also what is nearly valid."""
    for number in range(SEQUENCES):
        for request in draw(GROUPS[group], 2, Random(f"access/{group}/{number}")).requests:
            if request.argv and request.argv[0] != RAW:
                yield request.argv


def plain(value: Any) -> Any:
    """A neutral reply as a client of RESP2 has it."""
    match value:
        case Members():
            return plain(value.items)
        case list():
            return [plain(each) for each in value]
        case dict():
            return [plain(each) for pair in value.items() for each in pair]
        case Status():
            return value.text.encode()
        case str():
            return value.encode()
        case _:
            return value


# What Redis says of a key, and the right that this takes (acl.c: ACLSelectorCheckKey).
RIGHTS = {
    b"access": Access.READ,
    b"insert": Access.WRITE,
    b"delete": Access.WRITE,
    b"update": Access.WRITE,
}


def right(flags: Iterable[bytes]) -> Access:
    needed = Access.NONE
    for flag in flags:
        needed |= RIGHTS.get(flag, Access.NONE)
    return needed


# The record of each command


def specs(entries: list[Any]) -> Iterator[tuple[str, list[Any]]]:
    """Of each command in a reply to COMMAND, where its keys are and the rights that they need."""
    for entry in entries:
        found = []
        for spec in entry[8]:
            about = dict(zip(spec[::2], spec[1::2], strict=True))
            flags = about[b"flags"]
            more = {b"not_key", b"variable_flags"} & set(flags)
            found.append((right(flags), more, about[b"begin_search"], about[b"find_keys"]))
        yield entry[0].decode(), found
        yield from specs(entry[9])


# Redis has the words behind which they are; for SORT, two that are unknown.
TOLD_OTHERWISE = {"georadius", "georadiusbymember", "sort"}


def test_where_keys_are_and_the_rights_they_need_are_redis_s(redis: Redis) -> None:
    theirs = dict(specs(redis.ask("COMMAND")))
    ours = dict(specs(plain(World().run(b"command"))))
    both = (ours.keys() & theirs.keys()) - TOLD_OTHERWISE
    assert len(both) > 200
    assert {name: ours[name] for name in both} == {name: theirs[name] for name in both}
    for name in TOLD_OTHERWISE:
        assert ours[name][0] == theirs[name][0]
        assert (ours[name][-1][0], theirs[name][-1][0]) == (Access.WRITE, Access.WRITE)


@pytest.mark.parametrize("name", ["delete", "set_with_ttl"])
def test_commands_of_our_own_write(name: str) -> None:
    assert EVERY[name].access == (Access.WRITE,)


def test_in_the_text_dialect_a_command_names_and_needs_the_same() -> None:
    for command in EVERY.values():
        text = command.text
        assert (text.find_keys, text.access) == (command.find_keys, command.access)
        assert text.find_channels == command.find_channels
        assert text.channel_patterns == command.channel_patterns
        assert (text.kinds, text.blocks) == (command.kinds, command.blocks)


# The keys of requests

Told = list[tuple[bytes, Access]] | str


def told_by_redis(redis: Redis, argv: Words) -> Told:
    try:
        reply = redis.ask(b"COMMAND", b"GETKEYSANDFLAGS", *argv)
    except Exception as error:
        return str(error).removeprefix("ERR ")
    return [(key, right(flags)) for key, flags in reply]


def told_here(world: World, argv: Words) -> Told:
    try:
        reply = world.run(b"command", b"getkeysandflags", *argv)
    except CommandError as error:
        return str(error)
    return [(key, right(flags)) for key, flags in plain(reply)]


def names_what_redis_misses(argv: Words) -> bool:
    """Whether Redis does not tell the key that such a request writes to, so that there its user
    needs no right to it: all that are stored to but the first, and one that is merged with none."""
    words = [word.upper() for word in argv]
    if words[0] == b"PFMERGE":
        return len(words) == 2
    twice = words.count(b"STORE") > 1 or words.count(b"STOREDIST") > 1
    return words[0] in (b"GEORADIUS", b"GEORADIUSBYMEMBER") and twice


def counts_by_no_number(argv: Words, theirs: Told) -> bool:
    """Whether keys are counted by what is only nearly a number, such as ``+1``: a request that is
    refused when it is run, and of which Redis tells the keys, though no right to them is needed."""
    command = command_of(argv)
    if command is None or not isinstance(command.find_keys, CountedKeys) or isinstance(theirs, str):
        return False
    return all(access is Access.NONE for _, access in theirs)


@pytest.mark.parametrize("group", GROUPS)
def test_a_request_names_the_keys_that_redis_finds_and_needs_the_same_rights(
    redis: Redis, group: str
) -> None:
    world = World()
    compared = 0
    for argv in requests_of(group):
        if not is_known_to_both(argv) or names_what_redis_misses(argv):
            continue
        ours, theirs = told_here(world, argv), told_by_redis(redis, argv)
        if ours != theirs:
            assert ours == "Invalid arguments specified for command", argv
            assert counts_by_no_number(argv, theirs), argv
        compared += 1
    assert compared > 20


OWN = {"delete", "set_with_ttl", "exit", "help", "stats", "list_channels", "list_subscribers"}


def is_known_to_both(argv: Words) -> bool:
    if len(argv) < 2:
        return False
    first, second = (word.lower().decode("latin-1") for word in argv[:2])
    names = {first, f"{first}|{second}"} & EVERY.keys()
    return bool(names) and not names & {*OWN, "client|setinfo", "client|no-touch"}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("georadius k 1 2 3 m store a store b", "k:READ a:WRITE b:WRITE"),
        ("georadiusbymember k x 3 m store a storedist b store c", "k:READ a:WRITE c:WRITE b:WRITE"),
        ("pfmerge k", "k:BOTH"),
        ("pfmerge k a b", "k:BOTH a:READ b:READ"),
        ("set k get", "k:WRITE"),
        ("set k v NX get", "k:BOTH"),
        ("bitfield k get u8 0 overflow sat get u8 8", "k:READ"),
        ("bitfield k get u8 0 set u8 0 1", "k:BOTH"),
        ("bitfield k get u8", "k:BOTH"),
        ("sort k by store get store store a store b", "k:READ b:WRITE"),
        ("zunionstore d 2 a b weights 1 2", "d:WRITE a:READ b:READ"),
        ("evalsha x 0 a", ""),
        ("evalsha x 2 a b c", "a:BOTH b:BOTH"),
        ("watch a b", "a:NONE b:NONE"),
        ("mset a 1 b 2", "a:WRITE b:WRITE"),
        ("ping a", ""),
    ],
)
def test_each_key_of_a_request_needs_a_right(line: str, told: str) -> None:
    argv = tuple(line.encode().split())
    command = command_of(argv)
    assert command is not None
    keys, access = command.keys_of(argv), command.access_of(argv)
    pairs = zip(keys, access, strict=True)
    assert " ".join(f"{key.decode()}:{need.name}" for key, need in pairs) == told
    assert list(command.access_of(argv, keys)) == list(access)


WORDS = st.sampled_from(
    b"0 1 2 3 -1 +1 x 1.0 9223372036854775807 111111111111111111111 * \xff".split()
    + b"STORE storedist GET set BY LIMIT OVERFLOW INCRBY".split()
) | st.binary(max_size=4)
READS_WORDS = sorted(
    name
    for name, command in EVERY.items()
    if not isinstance(command.find_keys, KeyRange) or not isinstance(command.access, tuple)
)


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(READS_WORDS) | st.sampled_from(sorted(EVERY)), st.lists(WORDS, max_size=12))
def test_whatever_the_words_each_key_is_one_of_them_and_has_its_right(
    name: str, words: list[bytes]
) -> None:
    command = EVERY[name]
    argv = [*name.encode().split(b"|"), *words]
    try:
        keys = command.keys_of(argv)
    except CommandError:
        with pytest.raises(CommandError):
            command.access_of(argv)
        return
    assert len(command.access_of(argv)) == len(keys)
    assert set(keys) <= set(words)
    if command.find_channels is not None:
        assert list(command.find_channels(argv)) == words[: 1 if "publish" in name else None]


# What the handlers do

GOES_OVER_ALL = {"exec", "flushall", "flushdb", "keys", "randomkey", "scan", "swapdb"}
FINDS_BY_PATTERN = {"sort", "sort_ro"}  # with BY and GET, which take the right to read all keys
KEEPS_WHAT_IT_COUNTED = {"pfcount"}  # in the value, which is no change that anybody reads


class Watched:
    """A world in which is seen which keys are looked up and changed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = World()
        self.looked_up: set[bytes] = set()
        for name in ("peek", "has", "get", "ttl_ms"):
            monkeypatch.setattr(Keyspace, name, self._seen(getattr(Keyspace, name)))

    def _seen(self, method: Any) -> Any:
        def look(keyspace: Keyspace, key: bytes) -> Any:
            self.looked_up.add(key)
            return method(keyspace, key)

        return look

    def run(self, argv: Words) -> set[bytes]:
        """Run a request; gives the keys that it has changed."""
        self.looked_up.clear()
        self.world.heard()
        with suppress(CommandError):
            self.world.run(argv[0].lower(), *argv[1:])
        # Else another request would serve it.
        self.world.parts.engine.waiting.unblock(self.world.session, None)
        return {key for _, key in self.world.heard() if key is not None}


@pytest.mark.parametrize("group", GROUPS)
def test_a_command_looks_up_and_changes_no_other_keys_than_it_names(
    monkeypatch: pytest.MonkeyPatch, group: str
) -> None:
    watched = Watched(monkeypatch)
    seen = 0
    for argv in requests_of(group):
        command = command_of(argv)
        if command is None or command.name in GOES_OVER_ALL:
            continue
        changed = watched.run(argv)
        try:
            keys = command.keys_of(argv)
        except CommandError:
            keys = ()
        access = command.access_of(argv, keys)
        written = {key for key, need in zip(keys, access, strict=True) if need & Access.WRITE}
        assert changed <= written or command.name in KEEPS_WHAT_IT_COUNTED, argv
        assert watched.looked_up <= set(keys) or command.name in FINDS_BY_PATTERN, argv
        seen += len(watched.looked_up)
    assert seen or group in {"connection", "server", "protocol", "pubsub", "clients"}


# Channels

LISTENING = {"subscribe", "psubscribe", "ssubscribe"}
SENDING = {"publish", "spublish"}


def test_these_commands_have_channels_and_one_has_patterns() -> None:
    have = {name for name, command in EVERY.items() if command.find_channels is not None}
    assert have == LISTENING | SENDING
    assert {name for name in have if EVERY[name].channel_patterns} == {"psubscribe"}


def may(argv: Words, allowed: Sequence[bytes]) -> bool:
    """Whether these patterns of channels allow a request, going by its command's record."""
    command = command_of(argv)
    assert command is not None
    if command.find_channels is None or b"*" in allowed:
        return True
    channels = command.find_channels(argv)
    if command.channel_patterns:
        return set(channels) <= set(allowed)
    return all(any(matcher(pattern)(channel) for pattern in allowed) for channel in channels)


@pytest.mark.parametrize("allowed", ["", "news.*", "news.a", "other", "news.a news.b", "*"])
def test_redis_allows_what_the_channels_of_a_record_say(redis: Redis, allowed: str) -> None:
    patterns = allowed.encode().split()
    rules = [b"reset", b"+@all", b"~*", *(b"&" + pattern for pattern in patterns)]
    redis.ask("ACL", "SETUSER", "listener", *rules)
    for line in (
        *("subscribe news.a", "subscribe news.a news.b", "subscribe news.* other"),
        *("ssubscribe news.a", "ssubscribe news.a other", "psubscribe news.*", "psubscribe *"),
        *("psubscribe news.a", "psubscribe news.a news.b", "psubscribe news.a news.*"),
        *("publish news.a other", "publish other news.a", "spublish news.b m", "spublish * m"),
        *("unsubscribe other", "punsubscribe other", "sunsubscribe other", "unsubscribe"),
        *("pubsub numsub other", "pubsub channels other", "pubsub shardnumsub other", "get k"),
    ):
        argv = tuple(line.encode().split())
        is_allowed = redis.ask("ACL", "DRYRUN", "listener", *argv) == b"OK"
        assert (line, may(argv, patterns)) == (line, is_allowed)
