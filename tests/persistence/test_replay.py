"""What the effects of any commands are, done again, makes the same data.

The machine that plays commands is in ``replaying.py``; here are its quick runs, the proof that it
would notice, the arguments that look odd, and what a replay refuses.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from helpers_pure import NOW, World
from hypothesis import given, settings
from hypothesis import strategies as st
from persistence.replaying import Diverged, Mirror, same, shown

from memdbd.commands.table import TYPES
from memdbd.effects import CLOSE, NAMES, Damaged, decode, encode
from memdbd.keyspace import Value
from memdbd.persistence.replay import Replay
from memdbd.structs.sortedset import SortedSet


@pytest.fixture
def world() -> World:
    return World()


TYPES_BY_NAME = {kind.name: kind for kind in TYPES}
MAX_VALUE = 64 * 1024 * 1024
INT64_MAX = 2**63 - 1
LATER = f"{NOW + 10_000}"

# Nobody misses CLOSE.
MISSED = sorted(NAMES - {CLOSE[0]})


def again(world: World, drift: int = 0) -> dict[bytes, Value]:
    """What the effects of all that was done in database 0 make once more."""
    replay = Replay(TYPES_BY_NAME, {})
    effects = world.databases.changes.take_effects()
    replay.apply(decode(encode(effects, drift)))
    db = replay.databases[0]
    assert db.deadlines == {key: at + drift for key, at in world.db.deadlines.items()}
    return db.values


# Whatever the grammar thinks of


@pytest.mark.parametrize("seed", range(8))
def test_what_was_done_is_done_again(seed: int) -> None:
    Mirror(seed).run(2000)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**64))
def test_what_was_done_is_done_again_whatever_it_was(seed: int) -> None:
    Mirror(seed).run(500)


@pytest.mark.parametrize("name", MISSED, ids=bytes.decode)
def test_no_effect_is_lost_unnoticed(name: bytes) -> None:
    mirror = Mirror(1, forget=lambda effect: effect[0] == name)
    with pytest.raises(Diverged):
        mirror.run(50_000)


def test_the_runs_meet_every_effect() -> None:
    mirror = Mirror(1)
    mirror.run(15_000)
    assert sorted(mirror.told) == MISSED


# Arguments that look odd

ODD = (
    b"",
    b"NX",
    b"XX",
    b"CH",
    b"INCR",
    b"BEFORE",
    b"AFTER",
    b"REPLACE",
    b"KEEPTTL",
    b"-0.0",
    b"0",
)
ODDER = (*ODD, b"-1", b"inf", b"nan", b"\x00\r\n\xff", b"*0\r\n", b" ", b"SELECT", b"x" * 70)

# What is done to a key; {} is replaced by each odd word, as the key too.
DONE: dict[str, list[str]] = {
    "APPEND": ["set k v", "append k {}"],
    "COPY": ["rpush k {} b", "pexpireat k " + LATER, "copy k {} replace", "copy k {} db 3"],
    "DEL": ["set {} v", "del {}"],
    "HDEL": ["hset k {} 1 f 2", "hdel k {} {}"],
    "HDEL of all": ["hset k {} 1", "hdel k no {}"],
    "HINCRBY": ["hset {} {} 9", "hincrby {} {} -10"],
    "HINCRBYFLOAT": ["hset k {} 3.0e3", "hincrbyfloat k {} -1e-5"],
    "HSET": ["hset {} {} {} f {}", "hsetnx k2 {} {}"],
    "LINSERT": ["rpush k {} x", "linsert k before {} {}", "linsert k after x {}"],
    "LMOVE": ["rpush {} {} b", "lmove {} {} left right", "lmove {} to right left"],
    "LMOVE of the only one": ["rpush k {}", "pexpireat k " + LATER, "lmove k k left left"],
    "LMPOP": ["rpush {} a b {}", "lmpop 1 {} right count 2"],
    "LPOP": ["lpush k {} {} a", "lpop k", "lpop k 5", "rpush k b {}", "rpop k 1"],
    "LPOP of none": ["lpush k {}", "lpop k 0"],
    "LREM": ["rpush k {} a {} {}", "lrem k -1 {}", "lrem k 0 a"],
    "LREM of all": ["rpush k {} {}", "lrem k -9223372036854775808 {}"],
    "LSET": ["rpush k a {}", "lset k -1 {}", "lset k -2 b"],
    "LTRIM": ["rpush k a {} b c", "ltrim k -3 2", "ltrim k 0 -1", "ltrim k -9 -2"],
    "LTRIM to nothing": ["rpush k {}", "ltrim k 1 0"],
    "MOVE": ["set {} v", "move {} 15"],
    "PERSIST": ["set {} v pxat " + LATER, "persist {}"],
    "PEXPIREAT": ["set {} v", "pexpireat {} " + LATER, "expire k 1"],
    "PEXPIREAT in the past": ["set {} v", "pexpireat {} 1"],
    "PFADD": ["pfadd {}", "pfadd {} {} a", "pfcount {}", "pfmerge to {}"],
    "RENAME": ["set {} v pxat " + LATER, "rename {} to", "rename to {}"],
    "RESTORE": ["rpush k {} b", "pexpireat k " + LATER, "sort k alpha store to"],
    "SADD": ["sadd k {}", "sadd {} a {} {} b"],
    "SET": ["set {} {}", "set k {} ex 1 get", "set k {} keepttl", "incrby n 5", "getset k {}"],
    "SET with a deadline of 1": ["set {} {} pxat 1"],
    "SETRANGE": ["setrange {} 3 {}x", "setbit {} 9 1", "bitfield {} set i8 #5 -1 incrby u4 2 3"],
    "SMOVE": ["sadd {} {}", "smove {} to {}"],
    "SPOP": ["sadd {} {} a b", "spop {}", "spop {} 1", "spop {} 9"],
    "SREM": ["sadd k {} a", "srem k {} {} no", "srem k a"],
    "SUNIONSTORE": ["sadd k {} a", "sadd k2 {}", "sunionstore to k k2", "sinterstore {} k"],
    "ZADD": ["zadd k 1 {}", "zadd k ch 2 {} inf a -inf b -0 c", "zincrby k 1e-7 {}"],
    "ZADD of the largest": ["zadd {} 1.7976931348623157e308 {}", "zadd {} 5e-324 a .1 b 1e22 c"],
    "ZPOPMIN": ["zadd {} 1 {} 2 a 3 b", "zpopmin {}", "zpopmax {} 1", "bzpopmin {} 0"],
    "ZREM": ["zadd k 1 {} 2 a", "zrem k {} {} no"],
    "ZREMRANGE": ["zadd {} 1 {} 2 a 3 b", "zremrangebyscore {} 2 2", "zremrangebyrank {} 0 0"],
    "ZUNIONSTORE": ["zadd k inf {} -inf a .1 b", "zunionstore {} 1 k weights 2", "geoadd g 1 1 {}"],
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("requests", DONE.values(), ids=DONE)
def test_odd_words_are_words(world: World, requests: list[str], odd: bytes) -> None:
    for request in requests:
        world.run(*(word.replace(b"{}", odd) for word in request.encode().split()))
    made = again(world, drift=1)
    assert made.keys() == world.db.values.keys()
    for key, value in world.db.values.items():
        assert same(value, made[key]), shown(value)


@pytest.mark.parametrize("drift", [10**15, -(10**15), INT64_MAX])
def test_a_deadline_stays_one_whatever_the_wall_is_set_to(world: World, drift: int) -> None:
    world.run(b"set", b"first", b"v", b"pxat", b"1")
    world.run(b"set", b"last", b"v", b"pxat", b"%d" % INT64_MAX)
    world.run(b"rpush", b"list", b"v")
    world.run(b"pexpireat", b"list", b"%d" % INT64_MAX)
    world.run(b"copy", b"list", b"copy")
    replay = Replay(TYPES_BY_NAME, {})
    replay.apply(decode(encode(world.databases.changes.take_effects(), drift)))
    for key, deadline in world.db.deadlines.items():
        expected = min(max(deadline + drift, 1), INT64_MAX)
        assert replay.databases[0].deadlines[key] == expected


def test_a_value_that_setrange_may_not_make_is_made_again(world: World) -> None:
    at = b"%d" % (8 * MAX_VALUE - 1)
    world.run(b"bitfield", b"k", b"set", b"i64", at, b"-1")
    assert len(world.db.values[b"k"]) > MAX_VALUE
    assert again(world) == world.db.values


LONG = b"m" * 100  # no sorted set with such a member is packed


@pytest.mark.parametrize(
    "requests",
    [
        ["zadd k 1 {long} -0.0 a", "zrem k {long}", "zadd k -0 b", "copy k copy"],
        ["zadd k 1 x", "sort k alpha", "zadd k -0.0 a 0 b"],
        ["zadd k -0.0 a", "zadd k 1 {long} -0.0 b", "zincrby k 0 a"],
        ["zadd k 1 x", "sort k alpha", "zadd k -0 -0.0 0 x", "zpopmax k"],
    ],
)
def test_a_zero_keeps_its_sign(world: World, requests: list[str]) -> None:
    for request in requests:
        world.run(*request.encode().replace(b"{long}", LONG).split())
    made = again(world)
    for key, value in world.db.values.items():
        assert same(value, made[key]), (shown(value), shown(made[key]))


def test_a_zero_keeps_its_sign_with_a_snapshot_between(world: World) -> None:
    for request in (b"zadd k 1 x", b"sort k alpha", b"zadd k -0.0 a"):
        world.run(*request.split())
    kind = TYPES_BY_NAME["zset"]
    snapshot = kind.load(kind.dump(again(world)[b"k"], bytes.decode), str.encode)
    replay = Replay(TYPES_BY_NAME, {0: ({b"k": snapshot}, {})})
    world.run(b"zadd", b"k", b"-0.0", b"b")
    replay.apply(decode(encode(world.databases.changes.take_effects(), 0)))
    assert same(replay.databases[0].values[b"k"], world.db.values[b"k"])


@pytest.mark.parametrize("key", [b"k", b"-0.0"])
def test_what_is_only_called_like_a_negative_zero_unpacks_nothing(world: World, key: bytes) -> None:
    world.run(b"zadd", key, b"1", b"x")
    world.run(b"zadd", key, b"2", b"-0.0")
    made = again(world)[key]
    assert isinstance(made, SortedSet)
    assert made.is_packed
    assert same(made, world.db.values[key])


# What a change says of itself


@pytest.mark.parametrize(
    ("before", "request_", "effects"),
    [
        ("rpush k a b c", "lpop k", [b"LPOP k"]),
        ("rpush k a b c", "rpop k 9", [b"RPOP k 3"]),
        ("rpush k a b c", "lmove k k left right", [b"RPUSH k a", b"LPOP k"]),
        ("rpush k a b c", "rpoplpush k k", [b"LPUSH k c", b"RPOP k"]),
        ("rpush k a b c", "brpoplpush k to 0", [b"LPUSH to c", b"RPOP k"]),
        ("rpush k a b c", "blmpop 0 1 k left count 2", [b"LPOP k 2"]),
        ("rpush k a b c", "lpushx k d e", [b"LPUSH k d e"]),
        ("rpush k a b c", "ltrim k 0 -1", []),
        ("rpush k a b c", "ltrim k 1 -1", [b"LTRIM k 1 -1"]),
        ("rpush k a b c", "sort k alpha desc", []),
        ("sadd k a b", "sadd k a c b", [b"SADD k c"]),
        ("sadd k a b", "srem k x b", [b"SREM k b"]),
        ("sadd k a b", "smove k to b", [b"SREM k b", b"SADD to b"]),
        ("sadd k a b", "smove k k b", []),
        ("sadd k a b", "spop k 5", [b"DEL k"]),
        ("hset k f 1", "hincrby k f 2", [b"HSET k f 3"]),
        ("hset k f 1", "hincrbyfloat k f .5", [b"HSET k f 1.5"]),
        ("hset k f 1", "hdel k x f", [b"HDEL k f"]),
        ("hset k f 1", "hsetnx k f 2", []),
        ("zadd k 1 a 2 b", "zadd k gt 0 a 3 b 1 c", [b"ZADD k 3.0 b 1.0 c"]),
        ("zadd k 1 a 2 b", "zincrby k 1e300 a", [b"ZADD k 1e+300 a"]),
        ("zadd k 1 a 2 b", "zadd k 1 a", []),
        ("zadd k 1 a 2 b", "zrem k x b", [b"ZREM k b"]),
        ("zadd k 1 a 2 b", "zpopmin k", [b"ZREM k a"]),
        ("zadd k 1 a 2 b", "zmpop 1 k max count 7", [b"DEL k"]),
        ("zadd k 1 a 2 b", "zremrangebyrank k 1 1", [b"ZREM k b"]),
        ("zadd k 1 a 2 b", "zremrangebylex k - +", [b"DEL k"]),
        ("set k abc", "append k d", [b"APPEND k d"]),
        ("set k abc", "append new d", [b"SET new d"]),
        ("set k abc", "setrange k 1 x", [b"SETRANGE k 1 x"]),
        ("set k abc", "setbit k 15 1", [b"SETRANGE k 1 c"]),
        ("set k abc", "setbit k 14 1", []),
        ("set k abc", "bitfield k set u8 8 120 get u8 0", [b"SETRANGE k 1 x"]),
        ("set k 1", "incr k", [b"SET k 2"]),
        ("psetex k 9 1", "incr k", [b"SET k 2 KEEPTTL"]),
        ("pfadd k a", "pfadd k a", []),
        ("pfadd k a", "pfadd k b", [b"PFADD k b"]),
        ("pfadd k a", "pfcount k", [b"SETRANGE k 8 \1\0\0\0\0\0\0\0"]),
        ("set k v", "pexpireat k 1", [b"DEL k"]),
        ("set k v", f"pexpireat k {NOW + 1}", [b"PEXPIREAT k %d" % (NOW + 1)]),
        ("set k v", "swapdb 0 2", [b"SWAPDB 0 2"]),
        ("set k v", "swapdb 2 2", []),
        ("set k v", "move k 3", [b"MOVE k 3"]),
        ("set k v", "copy k to", [b"COPY k to DB 0 REPLACE"]),
        ("rpush k a", "copy k k db 3", [b"COPY k k DB 3 REPLACE"]),
        ("set k v", "flushall", [b"FLUSHDB"]),
    ],
)
def test_the_shortest_effect_is_told(
    world: World, before: str, request_: str, effects: list[bytes]
) -> None:
    world.run(*before.encode().split())
    world.databases.changes.take_effects()
    world.run(*request_.encode().split())
    told = decode(encode(world.databases.changes.take_effects(), 0))
    assert [b" ".join(words) for words in told] == effects


def test_elements_that_are_more_than_their_registers_are_not_told(world: World) -> None:
    world.run(b"pfadd", b"k", *(b"%d" % number for number in range(10_000)))
    ((name, _, value),) = world.databases.changes.take_effects()
    assert (name, value) == (b"SET", world.db.values[b"k"])


# What cannot have been done


@pytest.mark.parametrize(
    "words",
    [
        [b"NOTHING", b"k"],
        [b"INCR", b"k"],
        [b"set", b"k", b"v"],
        [b"SET", b"k"],
        [b"SET", b"k", b"v", b"PXAT", b"soon"],
        [b"CLOSE", b"k"],
        [b"SELECT", b"16"],
        [b"HSET", b"k", b"f", b"v"],
        [b"LSET", b"list", b"7", b"v"],
        [b"RENAME", b"no", b"k"],
        [b"RESTORE", b"k", b"0", b"no payload", b"REPLACE", b"ABSTTL"],
        [b"LREM", b"list", b"0", b"no"],
        [b"PERSIST", b"k"],
        [b"MOVE", b"no", b"1"],
        [b"COPY", b"no", b"k", b"DB", b"0", b"REPLACE"],
        [b"COPY", b"k", b"to", b"DB", b"16", b"REPLACE"],
        [b"ZADD", b"zset", b"1.0", b"a"],
        [b"SWAPDB", b"1", b"1"],
    ],
    ids=lambda words: b" ".join(words).decode(),
)
def test_what_cannot_have_been_done_is_refused(words: Sequence[bytes]) -> None:
    replay = Replay(TYPES_BY_NAME, {})
    replay.apply(
        [[b"SET", b"k", b"v"], [b"RPUSH", b"list", b"a"], [b"ZADD", b"zset", b"1.0", b"a"]]
    )
    with pytest.raises(Damaged):
        replay.apply([words])


def test_each_turn_begins_in_database_0() -> None:
    replay = Replay(TYPES_BY_NAME, {})
    replay.apply([[b"SELECT", b"3"], [b"SET", b"k", b"1"]])
    replay.apply([[b"SET", b"k", b"2"], [b"CLOSE"]])
    assert replay.contents() == {0: ({b"k": b"2"}, {}), 3: ({b"k": b"1"}, {})}


def test_nothing_expires_in_a_replay() -> None:
    replay = Replay(TYPES_BY_NAME, {0: ({b"k": b"1"}, {b"k": -5})})
    replay.apply([[b"APPEND", b"k", b"2"], [b"SET", b"l", b"v", b"PXAT", b"1"]])
    assert replay.contents() == {0: ({b"k": b"12", b"l": b"v"}, {b"k": -5, b"l": 1})}


def test_what_is_gone_may_be_deleted_once_more() -> None:
    # It had expired when a snapshot of memory was made, and nothing could be journaled.
    replay = Replay(TYPES_BY_NAME, {})
    replay.apply([[b"DEL", b"no"], [b"SET", b"k", b"v"]])
    assert replay.contents() == {0: ({b"k": b"v"}, {})}
