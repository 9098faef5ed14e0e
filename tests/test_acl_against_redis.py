"""Permissions beside those of the real redis-server: of the same rules, the same is allowed.

Rules and requests are made up at random, see :mod:`acl_grammar`; what ACL DRYRUN says of each pair
is compared word for word, so that also the reason is the same. What differs on purpose is listed
here with its reason.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any, NamedTuple

import hiredis
import pytest
from acl_grammar import OURS, REQUESTS, requests, rules
from harness import House, Peer
from helpers_pure import World
from parties import request as encoded
from parties import shown
from structs.redis_server import Redis, redis_server

from memdbd.commands.categories import CATEGORIES
from memdbd.commands.table import COMMANDS, CONTAINERS
from memdbd.errors import CommandError
from memdbd.replies import OK
from memdbd.rules import is_secret

Words = Sequence[bytes]


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with redis_server(tmp_path_factory.mktemp("redis")) as redis:
        yield redis


def texts(redis: Redis, commands: Sequence[Words]) -> list[str]:
    """Redis's replies, each as a text; errors too."""
    redis.socket.sendall(b"".join(encoded(*words) for words in commands))
    reader, found = hiredis.Reader(), list[str]()
    while len(found) < len(commands):
        reply = reader.gets()
        if reply is False:
            reader.feed(redis.socket.recv(1 << 20))
        else:
            found.append(text(reply))
    return found


def text(reply: Any) -> str:
    if isinstance(reply, Exception):
        return f"-{reply}"
    return reply.decode("latin-1") if isinstance(reply, bytes) else repr(reply)


def ours(world: World, words: Words) -> str:
    """Our reply to the same, likewise."""
    try:
        reply = world.run(*words)
    except CommandError as error:
        return f"-{error.code} {error}".encode("utf-8", "surrogateescape").decode("latin-1")
    return "OK" if reply is OK else text(reply)


# The table


class Deliberate(NamedTuple):
    """A difference that is meant: what is asked, and why the answers differ."""

    applies: Callable[[Words], bool]
    why: str


DIFFERENCES = [
    Deliberate(
        lambda words: words[0].lower() == b"pfmerge" and len(words) == 2,
        "Redis does not find the key of PFMERGE where it is alone, and so allows any; it would be "
        "written, so it is looked at here",
    ),
]


class Found(NamedTuple):
    """How the pairs of a table came out."""

    pairs: int
    allowed: int
    by_key: int
    by_channel: int
    deliberate: int
    differing: list[tuple[Words, Words, str, str]]


def compared(redis: Redis, seed: int, users: int, each: int) -> Found:
    """The table of so many users and as many requests for each."""
    rng, world = Random(seed), World()
    pairs = allowed = by_key = by_channel = deliberate = 0
    differing: list[tuple[Words, Words, str, str]] = []
    for _ in range(users):
        its_rules = rules(rng)
        asked = requests(rng, its_rules, each)
        made: list[Words] = [[b"acl", b"deluser", b"u"], [b"acl", b"setuser", b"u", *its_rules]]
        tried: list[Words] = [[b"acl", b"dryrun", b"u", *words] for words in asked]
        _, same, *theirs = texts(redis, made + tried)
        _, mine = [ours(world, words) for words in made]
        if mine != same:
            differing.append((its_rules, [], mine, same))
        if mine != "OK" or same != "OK":
            continue
        for words, line, answer in zip(asked, tried, theirs, strict=True):
            pairs += 1
            allowed += answer == "OK"
            by_key += answer.endswith("key")
            by_channel += answer.endswith("channel")
            if ours(world, line) != answer:
                if any(known.applies(words) for known in DIFFERENCES):
                    deliberate += 1
                else:
                    differing.append((its_rules, words, ours(world, line), answer))
    return Found(pairs, allowed, by_key, by_channel, deliberate, differing)


def test_twenty_thousand_pairs_of_rules_and_requests_are_judged_alike(redis: Redis) -> None:
    found = compared(redis, seed=1, users=1050, each=20)
    print(found._replace(differing=found.differing[:3]))
    assert found.differing == []
    assert found.pairs >= 20_000
    # All of what can be said was said often.
    assert found.allowed > 2000
    assert found.by_key > 2000
    assert found.by_channel > 500


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 4))
def test_hundred_thousand_pairs_are(redis: Redis, seed: int) -> None:
    found = compared(redis, seed=seed, users=5200, each=20)
    print(found._replace(differing=found.differing[:3]))
    assert found.differing == []
    assert found.pairs >= 100_000


def test_every_command_that_both_have_is_among_the_requests() -> None:
    asked = {tuple(line.split(" ")[:2]) for line in REQUESTS}
    known = set()
    for words in asked:
        container = CONTAINERS.get(words[0].encode())
        if container is None:
            known.add(COMMANDS[words[0].encode()].full_name)
        else:
            known.add(container.find([word.encode() for word in words]).full_name)
    both = {command.full_name for command in COMMANDS.values()}
    for container in CONTAINERS.values():
        both |= {command.full_name for command in container.commands()}
    assert both - OURS - known == set()


# What a request really meets

# They wait, end the connection, or change how it speaks.
_NOT_TRIED = {
    "acl", "auth", "bgrewriteaof", "bgsave", "blmove", "blmpop", "blpop", "brpop", "brpoplpush",
    "bzmpop", "bzpopmax", "bzpopmin", "client", "config", "debug", "discard", "exec", "flushall",
    "flushdb", "function", "hello", "monitor", "multi", "psubscribe", "punsubscribe", "quit",
    "replicaof", "reset", "save", "script", "select", "shutdown", "slaveof", "ssubscribe",
    "subscribe", "sunsubscribe", "swapdb", "unsubscribe", "wait",
}  # fmt: skip


def refusal(peer: Peer, words: Words) -> str:
    """The error by which a request is refused; empty where it is not."""
    (reply,) = shown(peer.asks(encoded(*words)))
    return reply if reply.startswith("-NOPERM") else ""


def test_by_trying_the_same_is_refused_in_the_same_words(redis: Redis) -> None:
    rng, house = Random(3), House()
    admin, peer = house.connect(), house.connect()
    back = [b"auth", b"default", b"x"]
    count = refused = 0
    for _ in range(350):
        made = [b"acl", b"setuser", b"u", b"reset", b"on", b"nopass", *rules(rng)]
        asked = [
            words
            for words in requests(rng, made, 30)
            if words[0].decode().lower() not in _NOT_TRIED
        ]
        theirs = texts(redis, [back, made, [b"auth", b"u", b"x"], *asked, back])
        assert shown(admin.asks(encoded(*made))) == [f"+{theirs[1]}"]
        assert shown(peer.asks(encoded(b"auth", b"u", b"x"))) == ["+OK"]
        for words, answer in zip(asked, theirs[3:-1], strict=True):
            if words[0].lower() == b"pfmerge" and len(words) == 2:
                continue
            expected = answer if answer.startswith("-NOPERM") else ""
            assert (words, refusal(peer, words)) == (words, expected)
            count += 1
            refused += bool(expected)
    assert count > 4000
    assert 500 < refused < count - 500


def test_the_rest_of_the_keys_is_refused_to_sort_in_redis_s_words(redis: Redis) -> None:
    rng, house = Random(4), House()
    admin, peer = house.connect(), house.connect()
    selectors = ["%R~* +sort", "~* +sort", "~a +@all", "~* -sort", "%W~* +sort", "%RW~* +sort_ro"]
    options = ["BY w*", "BY w", "GET w*", "GET #", "GET w", "STORE b", "BY w* STORE a", "LIMIT 0 1"]
    back = [b"auth", b"default", b"x"]
    seen = set()
    redis.ask(b"flushall")
    for _ in range(400):
        words = [f"({each})" for each in rng.sample(selectors, 2)]
        made = [b"acl", b"setuser", b"u", b"reset", b"on", b"nopass", *map(str.encode, words)]
        name = rng.choice(["sort", "sort_ro"])
        line = " ".join([name, "a", *rng.sample(options, rng.choice((1, 2)))])
        asked = line.encode().split(b" ")
        theirs = texts(redis, [back, made, [b"auth", b"u", b"x"], asked, back])[3]
        admin.asks(encoded(*made))
        peer.asks(encoded(b"auth", b"u", b"x"))
        (mine,) = shown(peer.asks(encoded(*asked)))
        if not theirs.startswith("-"):
            mine = theirs = "" if not mine.startswith("-") else mine
        assert (words, line, mine) == (words, line, theirs)
        seen.add(theirs)
    # Allowed; neither of the commands; no key; no BY; no GET; no STORE in SORT_RO.
    assert len(seen) == 7, seen


# Rules that are wrong

_MADE_OF = b"~%&+-@|[]?*:\"' \t\\!#<>RWrwaz0"


def damaged(rng: Random, rule: bytes) -> bytes:
    """A rule with a byte or two that are missing, too many, or others."""
    for _ in range(rng.choice((1, 1, 2))):
        at, byte = rng.randint(0, len(rule)), bytes([rng.choice(_MADE_OF)])
        new, behind = rng.choice(((byte, at), (b"", at + 1), (byte, at + 1)))
        rule = rule[:at] + new + rule[behind:]
    return rule


def _has_quotes_in_selector(given: Words) -> bool:
    return any(b"(" in rule for rule in given) and any(
        b'"' in rule or b"'" in rule for rule in given
    )


def _has_access_alone(given: Words) -> bool:
    words = [word.strip(b"()").upper() for rule in given for word in rule.split()]
    return not {b"%R", b"%W", b"%RW", b"%WR"}.isdisjoint(words)


def _opens_twice(given: Words) -> bool:
    is_open = False
    for rule in given:
        if rule.startswith(b"(") and not rule.endswith(b")"):
            if is_open:
                return True
            is_open = True
        elif rule.endswith(b")"):
            is_open = False
    return False


RULE_DIFFERENCES = [
    Deliberate(
        lambda given: any(map(is_secret, given)),
        "an error does not repeat a password, and there are hashes that Redis does not know",
    ),
    Deliberate(
        _has_quotes_in_selector,
        "in a selector, Redis takes quotes off, and ignores all of it where one is not closed; "
        "here they are characters as elsewhere",
    ),
    Deliberate(
        _has_access_alone,
        "%R without ~ is an error; Redis takes it for a pattern that only the empty key has",
    ),
    Deliberate(
        lambda given: any(b"+" in rule and b"|" in rule and rule.split() != [rule]
                          for rule in given),
        "a first argument with a blank is an error: it could not be read back from the file",
    ),
    Deliberate(
        _opens_twice,
        "a ( inside a selector is an error; Redis forgets what stands in front of it",
    ),
]  # fmt: skip


def test_rules_that_are_wrong_are_refused_in_redis_s_words(redis: Redis) -> None:
    rng, world = Random(5), World()
    errors: dict[str, int] = {}
    count = deliberate = 0
    for _ in range(6000):
        given = [damaged(rng, rule) if rng.random() < 0.4 else rule for rule in rules(rng)[:4]]
        made: list[Words] = [
            [b"acl", b"deluser", b"u"],
            [b"acl", b"setuser", b"u", *given],
        ]
        _, theirs = texts(redis, made)
        _, mine = [ours(world, words) for words in made]
        count += 1
        if any(known.applies(given) for known in RULE_DIFFERENCES):
            deliberate += 1
            continue
        assert (given, mine) == (given, theirs)
        reason = theirs.rpartition("': ")[2].partition(" starting at ")[0]
        errors[reason] = errors.get(reason, 0) + 1
    print(count, deliberate, errors)
    assert len(errors) >= 5, errors
    assert deliberate < count / 5


@pytest.mark.parametrize(
    "rule",
    [
        "+", "-", "+@", "-@", "+|", "-|", "+get|", "+get|a|b", "-get|a", "+config|", "-config|",
        "+config|get|x", "+config|nosuch", "+config|nosuch|x", "+nosuch|x", "+nosuch", "-nosuch",
        "+@nosuch", "-@nosuch", "@all", "all", "", "ON", "x", "~a b", "&a b", "%", "%~a", "%X~a",
        "%RR~a", "%RWR~a", "%R ~a", "(", ")", "()", "( )", "(on)", "(nopass)", "(reset)",
        "(+nosuch)", "(+get", "+get)", "(~a b", "((+get))", "(clearselectors)", "(%~a)",
        "allkeys x", "+@all|x", "+acl|setuser|x", "sanitize-payload", "skip-sanitize-payload",
    ],
)  # fmt: skip
def test_a_single_wrong_rule_is_too(redis: Redis, rule: str) -> None:
    world, words = World(), [b"acl", b"setuser", b"u", rule.encode()]
    assert ours(world, words) == texts(redis, [[b"acl", b"deluser", b"u"], words])[1]


@pytest.mark.parametrize("pair", ["~* ~a", "allkeys %R~a", "&* &a", "allchannels &", "~* allkeys"])
def test_rules_that_do_not_go_together_are(redis: Redis, pair: str) -> None:
    world, words = World(), [b"acl", b"setuser", b"u", *pair.encode().split(b" ")]
    assert ours(world, words) == texts(redis, [[b"acl", b"deluser", b"u"], words])[1]


@pytest.mark.parametrize("name", ["a b", "a\tb", "a\0b", "\n"])
def test_names_that_are_none_are(redis: Redis, name: str) -> None:
    words = [b"acl", b"setuser", name.encode(), b"on"]
    assert ours(World(), words) == texts(redis, [words])[0]


# How rules are shown


def test_the_lines_of_our_users_mean_the_same_to_redis(redis: Redis) -> None:
    rng, world = Random(6), World()
    for _ in range(300):
        its_rules = rules(rng)
        asked: list[Words] = [
            [b"acl", b"dryrun", b"u", *words]
            for words in requests(rng, its_rules, 40)
            if words[0].lower() != b"pfmerge"
        ]
        ours(world, [b"acl", b"deluser", b"u"])
        if ours(world, [b"acl", b"setuser", b"u", *its_rules]) != "OK":
            continue
        (line,) = [each for each in world.run(b"acl", b"list") if each.startswith(b"user u ")]
        again = [b"acl", b"setuser", b"u", *line.split()[2:]]
        _, made, *theirs = texts(redis, [[b"acl", b"deluser", b"u"], again, *asked])
        assert (its_rules, made) == (its_rules, "OK")
        assert (its_rules, [ours(world, words) for words in asked]) == (its_rules, theirs)


def test_the_lines_of_redis_s_users_mean_the_same_to_us(redis: Redis) -> None:
    rng, world = Random(7), World()
    read = 0
    for _ in range(300):
        its_rules = rules(rng)
        asked: list[Words] = [
            [b"acl", b"dryrun", b"u", *words]
            for words in requests(rng, its_rules, 20)
            if words[0].lower() != b"pfmerge"
        ]
        gone = [b"acl", b"deluser", b"u"]
        if texts(redis, [gone, [b"acl", b"setuser", b"u", *its_rules]])[1] != "OK":
            continue
        (line,) = [each for each in redis.ask(b"acl", b"list") if each.startswith(b"user u ")]
        # Some it cannot read itself: it shows %RW~* as ~*, which is another thing.
        again = [b"acl", b"setuser", b"u", *line.split()[2:]]
        _, reply, *theirs = texts(redis, [gone, again, *asked])
        if reply != "OK":
            continue
        ours(world, [b"acl", b"deluser", b"u"])
        reply = ours(world, [b"acl", b"setuser", b"u", *line.split()[2:]])
        if reply.endswith("Unknown command or category name in ACL"):
            continue  # it has commands that we have not
        assert (line, reply) == (line, "OK")
        assert (line, [ours(world, words) for words in asked]) == (line, theirs)
        read += 1
    assert read > 50


# The commands themselves


class Conversation:
    """The same said to a daemon of ours and to Redis."""

    def __init__(self, redis: Redis, theirs: socket.socket) -> None:
        self._peer = House().connect()
        self._theirs = theirs
        self._theirs.connect(redis.socket.getpeername())
        for user in redis.ask(b"acl", b"users"):
            if user != b"default":
                redis.ask(b"acl", b"deluser", user)
        redis.ask(b"acl", b"log", b"reset")

    def asks(self, line: str) -> tuple[str, str]:
        """Our reply and theirs."""
        data = encoded(*(word.encode("latin-1") for word in line.split(" ")))
        self._theirs.sendall(data)
        reader, found = hiredis.Reader(), b""
        while reader.gets() is False:
            piece = self._theirs.recv(1 << 20)
            reader.feed(piece)
            found += piece
        (mine,), (theirs,) = shown(self._peer.asks(data)), shown(found)
        return mine, theirs


@pytest.fixture
def talk(redis: Redis) -> Iterator[Conversation]:
    with socket.socket(socket.AF_UNIX) as theirs:
        yield Conversation(redis, theirs)


SAID = """
acl whoami
acl users
acl list
acl getuser default
acl getuser nobody
acl cat
acl cat nosuch
acl cat a b
acl genpass 0
acl genpass 4097
acl genpass x
acl genpass 1 2
acl log
acl log x
acl log 1 2
acl log reset
acl log -1
acl setuser
acl setuser a on nopass ~a* %R~b* &news.* +get +@hash -hget (+set %W~c) (~d &* +@all)
acl setuser b
acl getuser b
acl getuser a b
acl getuser
acl users
acl users x
acl whoami x
acl dryrun a get a1
acl dryrun a get c
acl dryrun a set c 1
acl dryrun a set c 1 GET
acl dryrun a hget a1 f
acl dryrun a publish x y
acl dryrun a subscribe news.x other
acl dryrun a config get x
acl dryrun a config
acl dryrun a config nosuch
acl dryrun a nosuch
acl dryrun a get
acl dryrun a get a b
acl dryrun a
acl dryrun nobody get a
acl dryrun default flushall
acl deluser default
acl deluser b nobody b
acl deluser
acl nosuch
acl
auth a x
acl whoami
get c
get a1
set c 1
acl list
hello 2 auth default x
acl log 0
acl load
""".strip().splitlines()


@pytest.mark.parametrize("version", [2, 3])
def test_what_the_commands_answer_is_what_redis_does(talk: Conversation, version: int) -> None:
    talk.asks(f"hello {version}")
    for line in SAID:
        mine, theirs = talk.asks(line)
        if line == "acl load":
            assert mine.startswith("-ERR ")
            assert theirs.startswith("-ERR ")
        elif not line.startswith("hello"):
            assert (line, unlike(mine)) == (line, unlike(theirs))


def unlike(reply: str) -> str:
    """A reply without what is different on purpose: how rules about commands are shown."""
    return re.sub(r'("commands"[:,] )"[^"]*"|-@all [^"()]*|sanitize-payload ', r"\1", reply)


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_category_has_the_commands_that_it_has_in_redis(redis: Redis, category: str) -> None:
    theirs = {name.decode() for name in redis.ask(b"acl", b"cat", category)}
    mine = set(World().run(b"acl", b"cat", category.encode()))
    known = {command.full_name for command in COMMANDS.values()} | {*map(bytes.decode, CONTAINERS)}
    for container in CONTAINERS.values():
        known |= {command.full_name for command in container.commands()}
    assert mine - OURS == theirs & known
    assert mine <= known


def test_the_log_of_refusals_is_redis_s(talk: Conversation) -> None:
    """But for where clients come from, the time, and how AUTH was written."""
    said = [
        "acl setuser a on nopass ~a +get +multi +exec +acl +publish",
        "auth a x", "get b", "get b", "set a 1", "publish c x",
        "multi", "get a", "set a 1", "get b", "exec",
        "multi", "acl setuser a resetkeys", "get a", "exec",
        "multi", "acl setuser a resetchannels -get +publish ~a", "get a", "exec",
        "AUTH nobody x", "auth a x", "config get x", "get b",
    ]  # fmt: skip
    for line in said:
        mine, theirs = talk.asks(line)
        assert (line, mine) == (line, theirs)
    entries = [_ENTRY.findall(log) for log in talk.asks("acl log")]
    assert entries[0] == entries[1]
    assert len(entries[0]) == 8


_ENTRY = re.compile(
    r'"count", (:\d+), "reason", "(\w+)", "context", "(\w+)", "object", "([^"]*)", "username", '
    r'"([^"]*)", "age-seconds", "0[.\d]*", "client-info", "id=[^"]* user=(\w+) redir=-1 resp=2'
)
