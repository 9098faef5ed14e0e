"""Keys, values and deadlines, on a clock that is set by hand."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import pytest
from helpers_pure import NOW, KeyspaceMachine, World, no_payload
from hypothesis import settings

from memdbd.effects import NOTHING, Effect
from memdbd.keyspace import Keyspace

DEADLINE = NOW + 1000

# Each way to look at the key ``k``: whether it says that it is there.
LOOKS: dict[str, Callable[[Keyspace], bool]] = {
    "get": lambda db: db.get(b"k") is not None,
    "keys": lambda db: db.keys() == [b"k"],
    "keys with a pattern": lambda db: db.keys(b"?") == [b"k"],
    "len": lambda db: len(db) == 1,
    "delete": lambda db: db.delete(b"k"),
    "rename": lambda db: db.rename(b"k", b"new"),
    "expire_at": lambda db: db.expire_at(b"k", DEADLINE + 9999),
    "expire_at in the past": lambda db: db.expire_at(b"k", 0),
    "persist": lambda db: db.persist(b"k"),
    "no sweep": lambda db: db.sweep(10) == 0,
    "get before an update": lambda db: (db.get(b"k") or b"") + b"more" == b"vmore",
}


@pytest.fixture
def world() -> World:
    return World()


class TestADeadline:
    @pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
    def test_a_key_is_seen_one_millisecond_before_it(
        self, world: World, look: Callable[[Keyspace], bool]
    ) -> None:
        world.db.set(b"k", b"v", DEADLINE)
        world.now = DEADLINE - 1
        assert look(world.db)

    @pytest.mark.parametrize("late", [0, 1, 10**12])
    @pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
    def test_a_key_is_never_seen_from_it_on(
        self, world: World, look: Callable[[Keyspace], bool], late: int
    ) -> None:
        world.db.set(b"k", b"v", DEADLINE)
        world.now = DEADLINE + late
        assert not look(world.db)

    def test_a_key_that_expired_does_not_come_back_with_an_earlier_time(self, world: World) -> None:
        world.db.set(b"k", b"v", DEADLINE)
        world.now = DEADLINE
        assert world.db.get(b"k") is None
        world.now = NOW
        assert world.db.get(b"k") is None
        assert world.db.values == {}

    def test_one_that_has_passed_when_it_is_set_is_a_deadline_too(self, world: World) -> None:
        world.db.set(b"k", b"v", NOW)
        assert world.db.get(b"k") is None

    def test_giving_one_that_has_passed_deletes_the_key(self, world: World) -> None:
        world.db.set(b"k", b"v")
        assert world.db.expire_at(b"k", NOW)
        assert world.db.values == {}
        assert world.heard() == [("set", b"k"), ("delete", b"k")]

    def test_set_takes_the_old_one_off(self, world: World) -> None:
        world.db.set(b"k", b"v", DEADLINE)
        world.db.set(b"k", b"w")
        world.now = DEADLINE
        assert world.db.get(b"k") == b"w"
        assert world.db.ttl_ms(b"k") is None

    def test_update_leaves_it(self, world: World) -> None:
        world.db.set(b"k", b"v", DEADLINE)
        world.db.update(b"k", b"w", "append")
        assert (world.db.get(b"k"), world.db.deadlines.get(b"k")) == (b"w", DEADLINE)

    def test_an_expired_one_is_not_inherited_by_an_update_after_a_get(self, world: World) -> None:
        world.db.set(b"k", b"v", DEADLINE)
        world.now = DEADLINE
        world.db.get(b"k")
        world.db.update(b"k", b"w", "append")
        assert (world.db.get(b"k"), world.db.deadlines.get(b"k")) == (b"w", None)

    def test_persist_takes_it_off(self, world: World) -> None:
        world.db.set(b"k", b"v", DEADLINE)
        assert world.db.persist(b"k")
        assert not world.db.persist(b"k")
        world.now = DEADLINE
        assert world.db.get(b"k") == b"v"

    def test_what_is_left_is_told_in_milliseconds(self, world: World) -> None:
        world.db.set(b"k", b"v", DEADLINE)
        world.now += 1
        assert world.db.ttl_ms(b"k") == 999

    def test_rename_takes_it_along_and_the_one_of_the_new_name_goes(self, world: World) -> None:
        world.db.set(b"k", b"v", DEADLINE)
        world.db.set(b"new", b"w", DEADLINE + 5000)
        assert world.db.rename(b"k", b"new")
        assert world.db.deadlines == {b"new": DEADLINE}
        world.now = DEADLINE
        assert world.db.keys() == []

    def test_rename_of_a_key_without_one_takes_that_of_the_new_name_off(self, world: World) -> None:
        world.db.set(b"k", b"v")
        world.db.set(b"new", b"w", DEADLINE)
        world.db.rename(b"k", b"new")
        world.now = DEADLINE
        assert world.db.get(b"new") == b"v"

    def test_no_clock_is_asked_where_no_key_has_one(self) -> None:
        def never() -> int:
            raise AssertionError("the clock was asked")

        db = Keyspace(never, lambda operation, key, effect: None, no_payload)
        db.set(b"k", b"v")
        assert (db.get(b"k"), db.keys(), len(db), db.delete(b"k")) == (b"v", [b"k"], 1, True)


class TestKeys:
    def test_they_come_in_the_order_in_which_they_were_first_set(self, world: World) -> None:
        for key in (b"c", b"a", b"b", b"a"):
            world.db.set(key, key)
        assert world.db.keys() == [b"c", b"a", b"b"]

    def test_a_pattern_chooses_among_those_that_live(self, world: World) -> None:
        world.db.set(b"one", b"1")
        world.db.set(b"two", b"2", DEADLINE)
        world.db.set(b"three", b"3", DEADLINE + 1)
        world.now = DEADLINE
        assert world.db.keys(b"t*") == [b"three"]

    def test_the_list_is_the_callers(self, world: World) -> None:
        world.db.set(b"k", b"v")
        world.db.keys().clear()
        assert world.db.keys() == [b"k"]

    def test_rename_of_a_missing_key_changes_nothing(self, world: World) -> None:
        world.db.set(b"new", b"w")
        assert not world.db.rename(b"k", b"new")
        assert world.db.get(b"new") == b"w"

    def test_rename_to_its_own_name_keeps_value_and_deadline(self, world: World) -> None:
        world.db.set(b"k", b"v", DEADLINE)
        assert world.db.rename(b"k", b"k")
        assert (world.db.get(b"k"), world.db.deadlines.get(b"k")) == (b"v", DEADLINE)

    def test_clear_leaves_nothing_of_any_key(self, world: World) -> None:
        world.db.set(b"k", b"v", DEADLINE)
        world.db.clear()
        world.db.set(b"k", b"w")
        world.now = DEADLINE
        assert world.db.sweep(10) == 0
        assert world.db.get(b"k") == b"w"


class TestTheSweep:
    def test_it_goes_by_deadline_the_longest_past_first(self, world: World) -> None:
        for key, at in [(b"late", 30), (b"early", 10), (b"never", None), (b"middle", 20)]:
            world.db.set(key, b"v", at and NOW + at)
        world.heard()
        world.now += 30
        assert world.db.sweep(10) == 3
        assert world.heard() == [
            ("expire", b"early"),
            ("expire", b"middle"),
            ("expire", b"late"),
        ]
        assert list(world.db.values) == [b"never"]

    def test_it_takes_at_most_its_limit_at_a_time(self, world: World) -> None:
        for number in range(25):
            world.db.set(b"%d" % number, b"v", DEADLINE)
        world.now = DEADLINE
        assert [world.db.sweep(10) for _ in range(4)] == [10, 10, 5, 0]
        assert world.db.values == {}

    def test_it_leaves_what_is_due_a_millisecond_later(self, world: World) -> None:
        world.db.set(b"k", b"v", DEADLINE)
        world.now = DEADLINE - 1
        assert world.db.sweep(10) == 0
        assert list(world.db.values) == [b"k"]

    def test_keys_with_the_same_deadline_all_go(self, world: World) -> None:
        for key in (b"b", b"a", b"c"):
            world.db.set(key, b"v", DEADLINE)
        world.now = DEADLINE
        assert world.db.sweep(10) == 3

    def test_what_a_look_has_taken_out_is_not_swept_again(self, world: World) -> None:
        world.db.set(b"k", b"v", DEADLINE)
        world.now = DEADLINE
        world.db.get(b"k")
        assert world.db.sweep(10) == 0
        assert world.db.expired == 1

    def test_replaced_deadlines_are_forgotten(self, world: World) -> None:
        for number in range(1000):
            world.db.set(b"k", b"v", DEADLINE + number)
            world.db.expire_at(b"k", DEADLINE + 5000 - number)
        assert list(world.db._due) == [(DEADLINE + 4001, b"k")]
        world.db.set(b"k", b"v")
        assert list(world.db._due) == []


class TestEachChangeIsHeardOnce:
    @pytest.mark.parametrize(
        ("change", "heard"),
        [
            (lambda db: db.set(b"k", b"w"), [("set", b"k")]),
            (lambda db: db.set(b"k", b"w", DEADLINE), [("set", b"k")]),
            (
                lambda db: db.set(b"k", b"w", DEADLINE, operation="set_with_ttl"),
                [("set_with_ttl", b"k")],
            ),
            (lambda db: db.update(b"k", b"w", "incr"), [("incr", b"k")]),
            (lambda db: db.delete(b"k"), [("delete", b"k")]),
            (lambda db: db.delete(b"x"), []),
            (lambda db: db.expire_at(b"k", DEADLINE), [("set_ttl", b"k")]),
            (lambda db: db.expire_at(b"k", NOW - 1), [("delete", b"k")]),
            (lambda db: db.expire_at(b"x", DEADLINE), []),
            (lambda db: db.persist(b"k"), [("persist", b"k")]),
            (lambda db: db.persist(b"x"), []),
            (lambda db: db.rename(b"k", b"n"), [("rename_from", b"k"), ("rename_to", b"n")]),
            (lambda db: db.rename(b"x", b"n"), []),
            (lambda db: db.clear(), [("flushall", None)]),
            (lambda db: (db.get(b"k"), db.keys(), len(db), db.ttl_ms(b"k"), db.sweep(9)), []),
            (lambda db: db.load({}, {}), []),
        ],
    )
    def test_with_its_operation(
        self, world: World, change: Callable[[Keyspace], object], heard: list[tuple[str, bytes]]
    ) -> None:
        world.db.set(b"k", b"v", DEADLINE)
        world.heard()
        change(world.db)
        assert world.heard() == heard

    def test_an_expiry_however_it_is_found(self, world: World) -> None:
        for look in LOOKS.values():
            world.now = NOW
            world.db.set(b"k", b"v", DEADLINE)
            world.heard()
            world.now = DEADLINE
            look(world.db)
            world.db.sweep(10)
            assert world.heard() == [("expire", b"k")]
        assert world.db.expired == len(LOOKS)

    @pytest.mark.parametrize(
        ("change", "heard"),
        [
            (lambda db: db.set(b"k", b"w"), [("set", b"k")]),
            (lambda db: db.set(b"k", b"w", DEADLINE + 1), [("set", b"k")]),
            (lambda db: db.rename(b"x", b"k"), [("rename_from", b"x"), ("rename_to", b"k")]),
        ],
        ids=["set", "set with a deadline", "rename"],
    )
    def test_an_expiry_before_what_takes_its_place(
        self, world: World, change: Callable[[Keyspace], object], heard: list[tuple[str, bytes]]
    ) -> None:
        world.db.set(b"k", b"v", DEADLINE)
        world.db.set(b"x", b"v")
        world.heard()
        world.now = DEADLINE
        change(world.db)
        assert world.heard() == [("expire", b"k"), *heard]
        assert world.db.expired == 1

    def test_after_it_was_made(self) -> None:
        seen: list[list[bytes]] = []
        db: Keyspace = Keyspace(
            lambda: NOW, lambda operation, key, effect: seen.append(db.keys()), no_payload
        )
        db.set(b"k", b"v")
        db.rename(b"k", b"n")
        db.delete(b"n")
        assert seen == [[b"k"], [], [b"n"], []]


class TestTimeThatGoesByInTheMiddle:
    def test_of_a_rename_expires_what_is_there_before_the_renames_effect(self) -> None:
        effects: list[Effect] = []
        times = iter([NOW, NOW, DEADLINE, DEADLINE])  # the last look is at what is replaced
        db = Keyspace(lambda: next(times), lambda *change: effects.append(change[2]), no_payload)
        db.set(b"new", b"w", DEADLINE)
        db.set(b"k", b"v")
        assert db.peek(b"new") == b"w"
        effects.clear()
        assert db.rename(b"k", b"new")
        assert [effect for effect in effects if effect] == [
            (b"DEL", b"new"),
            (b"RENAME", b"k", b"new"),
        ]
        assert (db.values, db.deadlines) == ({b"new": b"v"}, {})

    def test_of_a_change_that_leaves_nothing_finds_nothing_to_expire(self) -> None:
        now = NOW
        seen: list[tuple[str, Effect]] = []

        def changed(operation: str, key: bytes | None, effect: Effect) -> None:
            nonlocal now
            now = DEADLINE
            seen.append((operation, effect))
            assert db.peek(b"k") is None  # as whoever looks who waits for it

        db: Keyspace = Keyspace(lambda: now, changed, no_payload)
        db.load({b"k": deque()}, {b"k": DEADLINE})
        db.store(b"k", deque(), "lpop", (b"LPOP", b"k"))
        assert seen == [("lpop", (b"LPOP", b"k")), ("delete", NOTHING)]


class TestLoading:
    def test_values_and_deadlines_are_taken_over(self, world: World) -> None:
        world.db.load({b"a": b"1", b"b": b"2"}, {b"b": DEADLINE})
        assert (world.db.keys(), world.db.ttl_ms(b"b")) == ([b"a", b"b"], 1000)
        world.now = DEADLINE
        assert world.db.sweep(10) == 1
        assert world.db.keys() == [b"a"]

    def test_what_expired_in_the_file_is_never_seen(self, world: World) -> None:
        world.db.load({b"a": b"1"}, {b"a": NOW - 1})
        assert (len(world.db), world.db.keys(), world.db.get(b"a")) == (0, [], None)


TestAgainstANaiveModel = KeyspaceMachine.TestCase
TestAgainstANaiveModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
