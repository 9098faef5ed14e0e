"""Sorted sets, member by member."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import inf
from typing import Any

import pytest
from helpers_pure import World, conversation, refusal

from memdbd.commands import zsets
from memdbd.commands.doubles import doubles
from memdbd.commands.sampling import MAX_REPEATED
from memdbd.commands.zsets import ZSET
from memdbd.dialects.resp_replies import ENCODERS
from memdbd.replies import Scored
from memdbd.structs.sortedset import PACKED_ENTRIES, PACKED_MEMBER, SortedSet

WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
NOT_A_FLOAT = "ERR value is not a valid float"
SYNTAX = "ERR syntax error"


@pytest.fixture
def world() -> World:
    return World()


def add(world: World, key: bytes, **scores: float) -> None:
    world.run(b"zadd", key, *(word for m, s in scores.items() for word in (b"%r" % s, m.encode())))
    world.heard()


def scores(world: World, key: bytes) -> dict[bytes, float]:
    zset = ZSET.get(world.db, key)
    return {} if zset is None else zset.scores


def test_in_text_a_board_is_kept_in_the_order_of_its_scores(world: World) -> None:
    conversation(
        world,
        """
        > zadd board 3 ann 1 bob 2 cy
        {"result": 3}
        > zadd board 5 bob 4 dan
        {"result": 1}
        > zincrby board 1.5 ann
        {"result": 4.5}
        > zscore board bob
        {"result": 5.0}
        > zmscore board ann eve
        {"result": [4.5, null]}
        > zrank board dan
        {"result": 1}
        > zrevrank board dan
        {"result": 2}
        > zcard board
        {"result": 4}
        > zrem board ann eve
        {"result": 1}
        > type board
        {"result": "zset"}
        > zrange board 0 -1 withscores
        {"result": [{"member": "cy", "score": 2.0}, {"member": "dan", "score": 4.0}, {"member": "bob", "score": 5.0}]}
        """,  # noqa: E501
    )


class TestAdd:
    def test_it_counts_what_is_new_and_with_ch_what_has_changed(self, world: World) -> None:
        assert world.run(b"zadd", b"k", b"1", b"a", b"2", b"b") == 2
        assert world.run(b"zadd", b"k", b"1", b"a", b"3", b"b", b"4", b"c") == 1
        assert world.run(b"zadd", b"k", b"CH", b"1", b"a", b"9", b"b", b"5", b"d") == 2

    @pytest.mark.parametrize(
        ("words", "reply", "after"),
        [
            ("nx 5 a", 0, {b"a": 1}),
            ("nx 5 b", 1, {b"a": 1, b"b": 5}),
            ("xx ch 5 a", 1, {b"a": 5}),
            ("xx 5 b", 0, {b"a": 1}),
            ("gt ch 0 a", 0, {b"a": 1}),
            ("gt ch 2 a", 1, {b"a": 2}),
            ("GT 2 b", 1, {b"a": 1, b"b": 2}),
            ("gt xx 2 b", 0, {b"a": 1}),
            ("lt ch 2 a", 0, {b"a": 1}),
            ("Lt cH 0 a", 1, {b"a": 0}),
            ("incr 5 a", 6.0, {b"a": 6}),
            ("incr 5 b", 5.0, {b"a": 1, b"b": 5}),
            ("nx incr 5 a", None, {b"a": 1}),
            ("xx incr 5 b", None, {b"a": 1}),
            ("gt incr -1 a", None, {b"a": 1}),
            ("lt incr -1 a", 0.0, {b"a": 0}),
            ("gt incr 0 a", None, {b"a": 1}),
            ("incr 0 a", 1.0, {b"a": 1}),
        ],
    )
    def test_options_say_who_gets_a_score(
        self, world: World, words: str, reply: object, after: dict[bytes, float]
    ) -> None:
        add(world, b"k", a=1)
        assert world.run(b"zadd", b"k", *words.encode().split()) == reply
        assert scores(world, b"k") == after
        event = [("zincr" if "incr" in words else "zadd", b"k")]
        assert world.heard() == (event if after != {b"a": 1} else [])

    def test_xx_makes_no_key(self, world: World) -> None:
        assert world.run(b"zadd", b"k", b"XX", b"1", b"a") == 0
        assert world.run(b"zadd", b"k", b"XX", b"INCR", b"1", b"a") is None
        assert world.run(b"exists", b"k") == 0

    def test_the_deadline_stays(self, world: World) -> None:
        add(world, b"k", a=1)
        world.run(b"expire", b"k", b"60")
        world.run(b"zadd", b"k", b"2", b"b")
        assert world.run(b"ttl", b"k") == 60

    @pytest.mark.parametrize(
        ("words", "error"),
        [
            ("1 a 2", SYNTAX),
            ("nx ch", SYNTAX),
            ("nx ch incr", SYNTAX),
            ("nx xx 1 a", "ERR XX and NX options at the same time are not compatible"),
            *(
                (
                    f"{both} x a",
                    "ERR GT, LT, and/or NX options at the same time are not compatible",
                )
                for both in ("gt lt", "gt nx", "nx lt")
            ),
            ("incr 1 a 2 b", "ERR INCR option supports a single increment-element pair"),
            ("1 a x b", NOT_A_FLOAT),
            ("nan a", NOT_A_FLOAT),
            ("a 1", NOT_A_FLOAT),
        ],
    )
    def test_what_is_wrong_is_said_before_the_type_of_the_key(
        self, world: World, words: str, error: str
    ) -> None:
        world.run(b"set", b"k", b"v")
        assert refusal(world, b"zadd", b"k", *words.encode().split()) == error
        assert refusal(world, b"zadd", b"k", b"1", b"a") == WRONG_TYPE

    def test_infinities_of_both_signs_do_not_add_up(self, world: World) -> None:
        add(world, b"k", a=inf)
        error = "ERR resulting score is not a number (NaN)"
        assert refusal(world, b"zincrby", b"k", b"-inf", b"a") == error
        assert scores(world, b"k") == {b"a": inf}
        assert world.heard() == []

    def test_an_increment_announces_itself(self, world: World) -> None:
        assert world.run(b"zincrby", b"k", b"2.5", b"a") == 2.5
        assert world.run(b"zincrby", b"k", b"2.5", b"a") == 5.0
        assert world.heard() == [("zincr", b"k")] * 2
        assert refusal(world, b"zincrby", b"k", b"nx", b"a") == SYNTAX
        assert refusal(world, b"zincrby", b"k", b"x", b"a") == NOT_A_FLOAT

    def test_a_negative_zero_is_a_zero_where_redis_packs(self, world: World) -> None:
        world.run(b"zadd", b"k", b"-0", b"a")
        assert repr(world.run(b"zscore", b"k", b"a")) == "0.0"
        long = b"m" * (PACKED_MEMBER + 1)
        world.run(b"zadd", b"k", b"-0", long)
        assert repr(world.run(b"zscore", b"k", long)) == "-0.0"


class TestRemove:
    def test_the_last_member_takes_the_key_along(self, world: World) -> None:
        add(world, b"k", a=1, b=2)
        assert world.run(b"zrem", b"k", b"x") == 0
        assert world.heard() == []
        assert world.run(b"zrem", b"k", b"a", b"a", b"x") == 1
        assert world.heard() == [("zrem", b"k")]
        assert world.run(b"zrem", b"k", b"b") == 1
        assert world.heard() == [("zrem", b"k"), ("delete", b"k")]
        assert world.run(b"zrem", b"k", b"b") == 0


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("zcard x", 0),
        ("zscore x a", None),
        ("zmscore x a b", [None, None]),
        ("zrank x a", None),
        ("zrevrank x a", None),
        ("zrank k b", None),
        ("zrevrank k b", None),
        ("zrandmember x", None),
        ("zrandmember x 3", []),
        ("zrandmember x -3 withscores", []),
        ("zscan x 0", (b"0", [])),
        ("zscan x 0 nonsense", (b"0", [])),
    ],
)
def test_what_is_not_there_is_nothing(world: World, line: str, reply: object) -> None:
    add(world, b"k", a=1)
    assert world.run(*line.encode().split()) == reply


@pytest.mark.parametrize(
    "line",
    [
        "zincrby k 1 a",
        "zrem k a",
        "zcard k",
        "zscore k a",
        "zmscore k a",
        "zrank k a",
        "zrevrank k a",
        "zrandmember k",
        "zrandmember k 1",
        "zscan k 0 nonsense",
    ],
)
def test_another_type_is_refused(world: World, line: str) -> None:
    world.run(b"set", b"k", b"v")
    assert refusal(world, *line.encode().split()) == WRONG_TYPE


class TestRandom:
    def test_each_member_is_as_likely(self, world: World) -> None:
        add(world, b"k", a=1, b=2, c=3)
        drawn = Counter(world.run(b"zrandmember", b"k") for _ in range(3000))
        assert set(drawn) == {b"a", b"b", b"c"}
        assert min(drawn.values()) > 850

    def test_a_count_gives_different_ones_a_negative_one_any(self, world: World) -> None:
        add(world, b"k", a=1, b=2, c=3)
        assert len(set(world.run(b"zrandmember", b"k", b"2"))) == 2
        assert sorted(world.run(b"zrandmember", b"k", b"9")) == [b"a", b"b", b"c"]
        assert len(world.run(b"zrandmember", b"k", b"-9")) == 9
        assert world.run(b"zrandmember", b"k", b"0") == []

    def test_scores_come_along(self, world: World) -> None:
        add(world, b"k", a=1, b=2)
        reply = world.run(b"zrandmember", b"k", b"5", b"withscores")
        assert isinstance(reply, Scored)
        assert sorted(reply.items) == [(b"a", 1), (b"b", 2)]

    @pytest.mark.parametrize(
        ("words", "error"),
        [
            ("x", "ERR value is not an integer or out of range"),
            ("1 x", SYNTAX),
            ("1 withscores x", SYNTAX),
            ("9223372036854775807 withscores", "ERR value is out of range"),
            (f"-{MAX_REPEATED + 1}", "ERR value is out of range"),
        ],
    )
    def test_what_is_no_count_is_refused(self, world: World, words: str, error: str) -> None:
        add(world, b"k", a=1)
        assert refusal(world, b"zrandmember", b"k", *words.encode().split()) == error


def scanned(world: World, key: bytes, *options: bytes) -> list[bytes]:
    """What is on the only page of a scan, by turns, as both versions of RESP have it."""
    page = world.run(b"zscan", key, b"0", *options)
    line = ENCODERS[2].encode(page)
    assert line == ENCODERS[3].encode(page)
    words = line.split(b"\r\n")[1:-1]
    assert words[1] == b"0"
    return words[4::2]


class TestScan:
    def test_members_and_scores_come_by_turns(self, world: World) -> None:
        add(world, b"k", a=1, b=0.1, c=-inf)
        assert scanned(world, b"k") == [b"a", b"1", b"b", b"0.10000000000000001", b"c", b"-inf"]
        assert scanned(world, b"k", b"MATCH", b"[bc]") == [
            *(b"b", b"0.10000000000000001"),
            *(b"c", b"-inf"),
        ]

    def test_in_text_they_are_named(self, world: World) -> None:
        add(world, b"k", a=1, b=inf)
        assert world.ask("zscan k 0") == {
            "result": {
                "cursor": "0",
                "found": [{"member": "a", "score": 1.0}, {"member": "b", "score": "inf"}],
            }
        }

    def test_integers_have_all_their_digits_where_redis_packs(self, world: World) -> None:
        add(world, b"k", a=1e18)
        assert scanned(world, b"k") == [b"a", b"1000000000000000000"]
        world.run(b"zadd", b"k", b"1", b"m" * (PACKED_MEMBER + 1))
        assert scanned(world, b"k")[:2] == [b"a", b"1e+18"]

    def test_all_that_stays_is_found_while_others_come_and_go(self, world: World) -> None:
        for number in range(1000):
            world.run(b"zadd", b"k", b"%d" % number, b"m%d" % number)
        cursor, found = b"0", set[bytes]()
        for step in range(1000):
            cursor, page = world.run(b"zscan", b"k", cursor, b"COUNT", b"7")
            found.update(member for member, _ in page.items)
            if cursor == b"0":
                break
            world.run(b"zpopmax", b"k", b"3") if step < 100 else None
            world.run(b"zadd", b"k", b"-1", b"new%d" % step)
        assert found >= {b"m%d" % number for number in range(700)}

    def test_options_are_checked(self, world: World) -> None:
        add(world, b"k", a=1)
        assert refusal(world, b"zscan", b"k", b"0", b"COUNT", b"0") == SYNTAX
        assert refusal(world, b"zscan", b"k", b"x") == "ERR invalid cursor"


class TestForms:
    """What goes over the wire, in both versions of RESP."""

    @pytest.mark.parametrize(
        ("line", "in_2", "in_3"),
        [
            ("zscore k a", b"$3\r\n1.5\r\n", b",1.5\r\n"),
            ("zscore k b", b"$3\r\ninf\r\n", b",inf\r\n"),
            ("zscore k x", b"$-1\r\n", b"_\r\n"),
            ("zadd k incr 1 a", b"$3\r\n2.5\r\n", b",2.5\r\n"),
            ("zmscore k a x", b"*2\r\n$3\r\n1.5\r\n$-1\r\n", b"*2\r\n,1.5\r\n_\r\n"),
            (
                "zrandmember k 9 withscores",
                b"*4\r\n$1\r\na\r\n$3\r\n1.5\r\n$1\r\nb\r\n$3\r\ninf\r\n",
                b"*2\r\n*2\r\n$1\r\na\r\n,1.5\r\n*2\r\n$1\r\nb\r\n,inf\r\n",
            ),
            ("zscan k 0 match a", *[b"*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$3\r\n1.5\r\n"] * 2),
        ],
    )
    def test_it_is_that_of_redis(self, world: World, line: str, in_2: bytes, in_3: bytes) -> None:
        for version, bytes_ in ((2, in_2), (3, in_3)):
            world.run(b"del", b"k")
            add(world, b"k", a=1.5, b=inf)
            reply = world.run(*line.encode().split())
            assert ENCODERS[version].encode(reply) == bytes_


class TestType:
    def test_a_snapshot_gives_back_what_was_dumped(self) -> None:
        zset = SortedSet({b"a": 1.0, b"b": -inf, b"c": 0.1, b"d": 1e300})
        dumped = ZSET.dump(zset, bytes.decode)
        assert dumped == [["b", "-inf"], ["c", "0.1"], ["a", "1.0"], ["d", "1e+300"]]
        assert list(ZSET.load(dumped, str.encode)) == list(zset)

    @pytest.mark.parametrize(
        "dumped",
        [
            [],
            [["a", "1.0"], ["a", "2.0"]],
            [["a", "nan"]],
            [["a", "1"]],
            [["a", 1.0]],
            [["a", "x"]],
            [["a"]],
            [["a", "1.0", "b"]],
            [[1, "1.0"]],
            ["a1"],
            {"a": "1.0"},
            None,
            3,
        ],
    )
    def test_what_no_dump_can_be_is_refused(self, dumped: Any) -> None:
        with pytest.raises((ValueError, TypeError, LookupError, AttributeError)):
            ZSET.load(dumped, str.encode)

    def test_a_copy_is_independent(self) -> None:
        zset = SortedSet({b"a": 1.0})
        copy = ZSET.copy(zset)
        copy.put(b"a", 2.0)
        assert (zset.scores, copy.scores) == ({b"a": 1.0}, {b"a": 2.0})

    def test_its_encoding_depends_on_how_many_and_how_long_its_members_are(self) -> None:
        few = {b"m%d" % number: 1.0 for number in range(PACKED_ENTRIES)}
        for scores, encoding in (
            (few, "listpack"),
            (few | {b"one more": 1.0}, "skiplist"),
            ({b"m" * PACKED_MEMBER: 1.0}, "listpack"),
            ({b"m" * (PACKED_MEMBER + 1): 1.0}, "skiplist"),
        ):
            zset = SortedSet()
            for member, score in scores.items():
                zset.put(member, score)
            assert ZSET.encoding(zset) == ZSET.encoding(SortedSet(dict(scores))) == encoding

    def test_what_was_big_once_keeps_its_encoding(self, world: World) -> None:
        world.run(b"zadd", b"k", b"1e18", b"a", b"1", b"m" * (PACKED_MEMBER + 1))
        world.run(b"zrem", b"k", b"m" * (PACKED_MEMBER + 1))
        world.run(b"zadd", b"k", b"-0", b"zero")
        assert scanned(world, b"k") == [b"a", b"1e+18", b"zero", b"-0"]
        copy = ZSET.copy(world.db.values[b"k"])
        assert ZSET.encoding(copy) == "skiplist"

    def test_its_size_grows_with_its_members(self) -> None:
        sizes = [
            ZSET.size(SortedSet({b"m%d" % number: 1.0 for number in range(count)}))
            for count in (1, 100, 10_000)
        ]
        assert sizes == sorted(sizes)
        assert 100 < sizes[2] / 10_000 < 400


class Counted(list[float]):
    """Counts how many of it are read or copied."""

    read = 0

    def __iter__(self) -> Iterator[float]:
        for each in super().__iter__():
            self.read += 1
            yield each

    def __getitem__(self, at: Any) -> Any:
        found: Any = super().__getitem__(at)
        self.read += len(found) if isinstance(at, slice) else 1
        return found


def test_the_scores_of_a_run_are_read_once_each_however_many_keys_it_has(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Counted] = []

    def counted(raws: Sequence[bytes]) -> list[float]:
        read.append(Counted(doubles(raws)))
        return read[-1]

    monkeypatch.setattr(zsets, "doubles", counted)
    run = [[b"zadd", b"k%d" % number, b"%d" % number, b"m"] for number in range(100)]
    values: dict[bytes, Any] = {}
    assert zsets.zadd_many(values, run, []) == [1] * 100
    assert [value.scores for value in values.values()] == [{b"m": float(n)} for n in range(100)]
    assert [each.read for each in read] == [100]
