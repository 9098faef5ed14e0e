"""Each command that can run several requests at once does with them what it does one by one.

Two daemons have the same data and get the same requests; one of them runs together what it may. Of
whatever can be seen from outside or is found on disk, nothing may differ: replies, data, what is
counted, what SCAN and its kin give, and what the effects make of nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from crowds import crowd, together
from crowds import resp as request
from harness import House
from hypothesis import given, settings
from hypothesis import strategies as st

from memdbd.commands.access import NO_KEYS
from memdbd.commands.spec import Command, Many
from memdbd.commands.table import COMMANDS, TYPES
from memdbd.core import LONG, MOST, WEIGHED
from memdbd.dialects.batch import Batch
from memdbd.dispatch import Stop
from memdbd.effects import Damaged, Effect, decode, encode
from memdbd.persistence.replay import Replay
from memdbd.structs.pool import Pool
from memdbd.structs.sortedset import SortedSet

TEXT, RESP2, RESP3 = 0, 2, 3
NEVER = 10**9
TYPES_BY_NAME = {kind.name: kind for kind in TYPES}

# All that have a form for several requests, in a dialect where they have it.
IN_RESP = {command.name: command for command in COMMANDS.values() if command.many}
IN_TEXT = {command.name: command.text for command in COMMANDS.values() if command.text.many}
EVERY = [(name, RESP2) for name in IN_RESP] + [
    *((name, RESP3) for name in IN_RESP),
    *((name, TEXT) for name in IN_TEXT),
]

# Requests

KEYS = (b"a", b"b", b"c", b"")
ODD = (
    *(b"", b"a", b"b", b"c", b"\xff\r\n", b"with blank", "\N{SNOWMAN}".encode(), b"x" * 65),
    *(b"0", b"1", b"7", b"-1", b"-0", b"-0.0", b"007", b"+1", b" 1", b"1 ", b"1_0", b"3.25"),
    *(b"1e3", b"1e999", b"0x1p3", b"inf", b"-inf", b"nan", b"1-2", b".", b"9" * 301),
    *(b"9223372036854775807", b"-9223372036854775808", b"9223372036854775808", b"NX", b"INCR"),
    b"x" * 70_000,
)
numbers = st.integers(-3, 3).map(b"%d".__mod__)
any_words = numbers | st.sampled_from(ODD) | st.binary(max_size=3)
keys = st.sampled_from(KEYS[:1]) | st.sampled_from(KEYS)


@st.composite
def runs(draw: Callable[[Any], Any], command: Command) -> list[list[bytes]]:
    """Requests in a row of which most are as usual: of one key, perhaps, and with as many words as
    there have to be."""
    key = draw(st.sampled_from(KEYS) | st.none())
    words = draw(st.sampled_from((numbers, any_words)))
    more = draw(st.integers(0, 5)) if command.most_together > command.min_words else 0
    requests = []
    for _ in range(draw(st.integers(3, 12))):
        argv = [command.name.encode()]
        for param in command.params:
            if param.is_key:
                argv.append(draw(keys) if key is None else key)
            else:
                argv += draw(st.lists(words, min_size=param.least, max_size=param.least))
        some_word = st.sampled_from(KEYS) | words if more else words
        argv += draw(st.lists(some_word, min_size=more, max_size=more))
        if draw(st.integers(0, 9)) == 9:
            argv += draw(st.lists(words, max_size=2))
        requests.append(argv)
    return requests


There = Sequence[tuple[bytes, Sequence[str]]]  # keys, and how what they hold is made

# What is there before: commands, so that the effects of all are those of the data. Some make a pool
# of the keys, or of what one of them holds.
KINDS: tuple[Sequence[str], ...] = (
    ("set {} 7",),
    ("set {} a",),
    ("set {} 9223372036854775806",),
    ("set {} " + "x" * 70_000,),
    ("set {} 1", "expire {} 100"),
    ("set {} 1", "pexpire {} 1"),  # and is gone before the run
    ("rpush {} a b c d e",),
    ("sadd {} a " + "x" * 70_000 + " b c",),
    ("rpush {} a",),
    ("rpush {} a " + "x" * 70_000 + " b",),
    ("rpush {} a", "expire {} 100"),
    ("sadd {} a b 1 2 3",),
    ("sadd {} a b 1", "srandmember {}"),
    ("hset {} a 1 b 2 1 3",),
    ("hset {} a 1 b 2 1 " + "x" * 70_000, "hrandfield {}"),
    ("zadd {} 1 a 2 b 3 1 -1 c",),
    ("zadd {} 1 a 1 b 1 c", "zrange {} 0 -1", "zrandmember {}"),
    ("zadd {} 0 a -0 b", "expire {} 100"),
    ("zadd {} 0 a 1 " + "z" * 70_000 + " 2 b",),
    ("zadd {} 0 " + "y" * 65 + " -0 b",),  # not packed, as Redis has it
)
there = st.tuples(*[st.sampled_from(((), *KINDS))] * len(KEYS)).map(
    lambda kinds: list(zip(KEYS, kinds, strict=True))
)


# Two daemons


class Played:
    """A daemon that requests are given to, and all that can be seen of it."""

    def __init__(self, *, together: bool) -> None:
        self.house = House()
        if not together:
            self.house.dispatcher.RUN = NEVER
        self.session = self.house.connect().protocol.session
        self.context = self.house.dispatcher.context(self.session)

    def plays(self, requests: Sequence[Sequence[bytes]], resp: int) -> bytes:
        """The replies to all of these at once, in a dialect."""
        dialects = self.house.parts.dialects
        dialect = dialects.resp(self.session) if resp else dialects.text()
        self.session.resp = resp
        batch, output = Batch([list(argv) for argv in requests]), list[bytes]()
        while True:
            stop, awaited = self.house.dispatcher.run(self.context, batch, dialect, output, [])
            if stop is Stop.EXHAUSTED:
                return b"".join(output)
            assert (stop, awaited) == (Stop.SLICE, None)

    def shown(self) -> dict[str, Any]:
        """All that is to be the same, and what the effects of it all make."""
        db, engine = self.context.db, self.house.engine
        values = {key: _shown(value) for key, value in db.values.items()}
        shown = {
            "values": values,
            "in order": list(db.values),
            "deadlines": db.deadlines,
            "pool": _pooled(db._pool),
            "engine": engine.stats(),
            "dispatcher": self.house.dispatcher.stats(),
            "errors": dict(self.house.dispatcher.errors),
            "calls": {name: calls for name, (calls, _) in self.house.dispatcher.counts().items()},
            "last": self.session.last,
        }
        replay = Replay(TYPES_BY_NAME, {})
        replay.apply(decode(encode(self.effects(), 0)))
        again = replay.databases[0]
        assert {key: _shown(value)[:2] for key, value in again.values.items()} == {
            key: each[:2] for key, each in values.items()
        }
        assert again.deadlines == db.deadlines
        return shown

    def effects(self) -> list[Effect]:
        return self.house.engine.changes.take_effects()


def _shown(value: Any) -> tuple[Any, ...]:
    """The whole of a value that can be compared; what is third is not on disk."""
    if isinstance(value, SortedSet):
        entries = [(score.hex(), member) for score, member in value]
        return SortedSet, sorted(entries), entries, value.is_packed, _pooled(value._pool)
    return type(value), value, _pooled(getattr(value, "_pool", None))


def _pooled(pool: Pool[bytes] | None) -> list[bytes] | None:
    return None if pool is None else sorted(pool.page(0, NEVER)[1])


@pytest.fixture(scope="module")
def both() -> tuple[Played, Played]:
    return Played(together=True), Played(together=False)


def making(there: There) -> list[list[bytes]]:
    """The requests that make what is there."""
    return [
        [key if word == "{}" else word.encode() for word in line.split()]
        for key, lines in there
        for line in lines
    ]


def compare(
    both: tuple[Played, Played],
    there: There,
    requests: Sequence[Sequence[bytes]],
    resp: int,
    *,
    scanned: bool = False,
) -> None:
    """Have both do the same, and look at what has come of it."""
    made = [[b"flushall"], *making(there)]
    if scanned:
        made.append([b"randomkey"])
    heard = []
    for one in both:
        one.plays(made, RESP2)
        one.house.clock.passes(0.01)
        heard.append(one.plays(requests, resp))
    assert heard[0] == heard[1]
    together, singly = (one.shown() for one in both)
    for what, seen in together.items():
        assert seen == singly[what], what


# The promises


@pytest.mark.parametrize(("name", "resp"), EVERY)
def test_together_is_as_one_by_one(both: tuple[Played, Played], name: str, resp: int) -> None:
    command = (IN_RESP if resp else IN_TEXT)[name]

    @settings(max_examples=40, deadline=None)
    @given(there=there, run=runs(command), scanned=st.booleans())
    def plays(there: There, run: list[list[bytes]], scanned: bool) -> None:
        compare(both, there, run, resp, scanned=scanned)

    plays()


@settings(max_examples=200, deadline=None)
@given(there=there, data=st.data(), resp=st.sampled_from((TEXT, RESP2, RESP3)))
def test_runs_of_several_commands_come_one_after_the_other(
    both: tuple[Played, Played], there: There, data: st.DataObject, resp: int
) -> None:
    some = data.draw(st.lists(st.sampled_from(sorted(IN_RESP)), min_size=2, max_size=4))
    requests = [argv for name in some for argv in data.draw(runs(IN_RESP[name]))]
    compare(both, there, requests, resp, scanned=data.draw(st.booleans()))


# What a run answers is all there before any of it is sent: how much that may be


def answered_at_once(there: There, run: list[list[bytes]]) -> int:
    """How many of these are run together."""
    one = Played(together=True)
    one.plays(making(there), RESP2)
    command = IN_RESP[run[0][0].decode()]
    return len(one.house.engine.execute_many(one.context, command, run))


FAT = "x" * 60_000  # not long by itself
WITH_ROOM_FOR = MOST // len(FAT)
FULL = {  # how a key gets so much that there is no room for it, and how that is asked for
    "get": ("set {} " + FAT, []),
    "hget": ("hset {} f " + FAT, [b"f"]),
    "lrange": ("rpush {} " + FAT, [b"0", b"-1"]),
    "spop": ("sadd {}" + "".join(f" {number}{FAT}" for number in range(9)), []),
    **dict.fromkeys(("lpop", "rpop"), ("rpush {}" + f" {FAT}" * 9, [])),
    **dict.fromkeys(
        ("zpopmin", "zpopmax"),
        ("zadd {}" + "".join(f" {number} {number}{FAT}" for number in range(9)), []),
    ),
}


@pytest.mark.parametrize("name", FULL)
@pytest.mark.parametrize("several", [False, True], ids=["one key", "several keys"])
def test_a_run_ends_where_its_replies_have_no_more_room(
    both: tuple[Played, Played], name: str, several: bool
) -> None:
    line, words = FULL[name]
    asked = [KEYS[number % 2 if several else 0] for number in range(9)]
    run = [[name.encode(), key, *words] for key in asked]
    there = [(key, (line,)) for key in KEYS[:2]]
    assert answered_at_once(there, run) == WITH_ROOM_FOR
    compare(both, there, run, RESP2)


@pytest.mark.parametrize(
    ("name", "line", "words"),
    [
        ("hget", "hset {} 1 a 2 b 3 {long} 4 c", [[b"1"], [b"2"], [b"3"], [b"4"]]),
        ("lpop", "rpush {} a b {long} c", [[]] * 4),
        ("rpop", "rpush {} c {long} b a", [[]] * 4),
        ("zpopmin", "zadd {} 1 a 2 b 3 {long} 4 c", [[]] * 4),
        ("zpopmax", "zadd {} 4 a 3 b 2 {long} 1 c", [[]] * 4),
    ],
)
def test_a_run_ends_before_a_reply_that_is_long(
    both: tuple[Played, Played], name: str, line: str, words: list[list[bytes]]
) -> None:
    run = [[name.encode(), b"a", *each] for each in words]
    for size, done in ((LONG, 2), (LONG - 1, 4)):
        there = [(b"a", (line.replace("{long}", "x" * size),))]
        assert answered_at_once(there, run) == done
        compare(both, there, run, RESP2)


@pytest.mark.parametrize(
    ("start", "stop", "done"),
    [
        (b"0", b"%d" % (WEIGHED - 1), 4),
        (b"%d" % -WEIGHED, b"-1", 4),
        (b"0", b"%d" % WEIGHED, 0),
        (b"1900", b"1909", 0),
    ],
)
def test_a_run_takes_no_long_way_and_no_long_part_of_a_list(
    both: tuple[Played, Played], start: bytes, stop: bytes, done: int
) -> None:
    there = [(b"a", ("rpush {}" + " x" * 4000,))]
    run = [[b"lrange", b"a", start, stop]] * 4
    assert answered_at_once(there, run) == done
    compare(both, there, run, RESP2)


@pytest.mark.parametrize("command", sorted(IN_RESP))
def test_no_form_takes_an_empty_string_for_nothing(
    both: tuple[Played, Played], command: str
) -> None:
    words = [b"1"] * (IN_RESP[command].min_words - 2)
    compare(both, [], [[b"set", b"a", b""], *[[command.encode(), b"a", *words]] * 3], RESP2)


@pytest.mark.parametrize("command", [*IN_RESP.values(), *IN_TEXT.values()], ids=str)
def test_a_form_of_a_fixed_number_of_words_has_one_key_behind_the_name_or_none(
    command: Command,
) -> None:
    # The engine asks only that one for its deadline, and looks ahead for it.
    if command.most_together == command.min_words:
        words = [b"%d" % at for at in range(command.min_words)]
        assert command.find_keys is NO_KEYS or command.keys_of(words) == [b"1"]


@pytest.mark.parametrize(("size", "done"), [(LONG, 0), (LONG - 1, 4)])
def test_a_run_ends_before_a_long_member_is_popped(size: int, done: int) -> None:
    assert answered_at_once([(b"a", ("sadd {} " + "x" * size,))], [[b"spop", b"a"]] * 4) == done


def test_of_members_that_are_popped_a_long_one_is_as_likely_as_the_others() -> None:
    one, popped = Played(together=True), Counter[bytes]()
    members = {b"a": b"a", b"b": b"b", b"c": b"c", b"x" * LONG: b"long"}
    for _ in range(500):
        one.plays([[b"sadd", b"s", *members], [b"randomkey"]], RESP2)
        first = one.plays([[b"spop", b"s"]] * 3, RESP2).split(b"\r\n")[1]
        popped[members[first]] += 1
        one.plays([[b"flushall"]], RESP2)
    assert all(80 < popped[name] < 170 for name in members.values()), popped


HUGE = b"x" * (5 << 20)  # is sent piece by piece


@pytest.mark.parametrize(("name", "sign"), [(b"zpopmin", 1), (b"zpopmax", -1)])
@pytest.mark.parametrize("gathered", [False, True])
def test_a_huge_member_is_popped_and_sent_whole(name: bytes, sign: int, gathered: bool) -> None:
    house, peers = crowd(4)
    scores = {b"a": 1.0 * sign, b"b": 2.0 * sign, HUGE: 3.0 * sign, b"c": 4.0 * sign}
    house.engine.databases[0].values[b"z"] = SortedSet(scores)
    expected = [
        b"*2\r\n$%d\r\n%b\r\n$%d\r\n%d\r\n" % (len(member), member, len(b"%d" % score), score)
        for member, score in scores.items()
    ]
    if gathered:
        together(house, *[(peer, request(name, b"z")) for peer in peers])
        assert [peer.hears() for peer in peers] == expected
    else:
        assert peers[0].asks(request(name, b"z") * 4) == b"".join(expected)
    assert not any(peer.closed for peer in peers)
    assert house.engine.databases[0].values == {}


# That all this would be noticed


@pytest.mark.parametrize(("name", "resp"), EVERY)
def test_a_usual_run_is_run_together(both: tuple[Played, Played], name: str, resp: int) -> None:
    command = (IN_RESP if resp else IN_TEXT)[name]
    run = [[name.encode(), *[b"1"] * (command.min_words - 1)]] * 4
    one = both[0]
    one.plays([[b"flushall"]], RESP2)
    assert len(one.house.engine.execute_many(one.context, command, run)) == 4


THERE = [(b"a", ("rpush {} 1 2 3",)), (b"b", ("sadd {} 1", "srandmember {}"))]
RUNS = {
    "lpop": [[b"lpop", b"a"]] * 3,
    "sadd": [[b"sadd", b"b", b"%d" % number] for number in range(1, 4)],
    "rpush": [[b"rpush", key, b"x"] for key in (b"c", b"a", b"b", b"d")],
    "get": [[b"get", b"a"]] * 3,
}


def _no_effect(many: Many) -> Many:
    return lambda values, run, effects: many(values, run, [])


def _an_effect_twice(many: Many) -> Many:
    def twice(values: dict[bytes, Any], run: Any, effects: list[Effect]) -> Any:
        replies = many(values, run, effects)
        effects += effects
        return replies

    return twice


def _others_replies(many: Many) -> Many:
    return lambda values, run, effects: many(values, run, effects)[::-1]


def _only_some(many: Many) -> Many:
    return lambda values, run, effects: many(values, run, effects)[:-1]


def _all_is_well(many: Many) -> Many:
    return lambda values, run, effects: [*many(values, run, effects), *[b"1"] * len(run)][:3]


def _keeps_what_is_empty(many: Many) -> Many:
    def keeps(values: dict[bytes, Any], run: Any, effects: list[Effect]) -> Any:
        before = dict(values)
        replies = many(values, run, effects)
        values |= before
        return replies

    return keeps


def _without_the_pool(many: Many) -> Many:
    def without(values: dict[bytes, Any], run: Any, effects: list[Effect]) -> Any:
        pool, values[b"b"]._pool = values[b"b"]._pool, None
        replies = many(values, run, effects)
        values[b"b"]._pool = pool
        return replies

    return without


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        *(("lpop", broken) for broken in (_no_effect, _an_effect_twice, _others_replies)),
        *(("lpop", broken) for broken in (_only_some, _keeps_what_is_empty)),
        *(("sadd", broken) for broken in (_no_effect, _others_replies, _without_the_pool)),
        *(("rpush", broken) for broken in (_no_effect, _an_effect_twice, _all_is_well)),
        ("get", _all_is_well),
    ],
)
def test_a_form_that_does_something_else_is_noticed(
    monkeypatch: pytest.MonkeyPatch, name: str, broken: Callable[[Many], Many]
) -> None:
    both = Played(together=True), Played(together=False)
    compare(both, THERE, RUNS[name], RESP2)
    many = IN_RESP[name].many
    assert many
    monkeypatch.setattr(IN_RESP[name], "many", broken(many))
    with pytest.raises((AssertionError, Damaged)):
        compare(both, THERE, RUNS[name], RESP2)
