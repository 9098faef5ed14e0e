"""A keyspace that keeps within its bounds, by each policy exactly."""

from __future__ import annotations

from sys import getsizeof

import pytest
from helpers_pure import KEYS, NOW, VALUES, KeyspaceMachine, no_payload
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from memdbd.commands.table import TYPES
from memdbd.effects import Effect
from memdbd.errors import OutOfMemory
from memdbd.eviction import (
    DEADLINE_OVERHEAD,
    POLICIES,
    SWEPT_FIRST,
    USE_OVERHEAD,
    BoundedKeyspace,
    Bounds,
    Eviction,
    Policy,
)
from memdbd.keyspace import Keyspace, Value

SIZES = {kind.python: kind.size for kind in TYPES}
# What a command may bring beyond the bytes that were made room for: a deadline.
SLACK = DEADLINE_OVERHEAD + USE_OVERHEAD


class Bounded:
    """A bounded keyspace and what was heard of it; ``set`` is a command that makes room first."""

    def __init__(self, policy: Policy, max_keys: int = 0, max_memory: int = 0) -> None:
        self.now = NOW
        self.evicted: list[bytes | None] = []
        self.dbs = [
            BoundedKeyspace(lambda: self.now, self._changed, no_payload, policy, SIZES, index=index)
            for index in range(3)
        ]
        self.db = self.dbs[0]
        self.eviction = Eviction(self.dbs, Bounds(max_keys, max_memory, policy))

    def _changed(self, operation: str, key: bytes | None, effect: Effect) -> None:
        if operation == "evict":
            self.evicted.append(key)

    def set(
        self, key: bytes, value: bytes = b"v", ttl: int | None = None, database: int = 0
    ) -> None:
        self.eviction.make_room(database, [key], getsizeof(value), replaces=True)
        self.dbs[database].set(key, value, None if ttl is None else self.now + ttl)

    def load(self, values: dict[bytes, Value], deadlines: dict[bytes, int]) -> None:
        self.db.load(values, deadlines)
        self.eviction.fit()


def counted(db: BoundedKeyspace) -> int:
    """What ``db.memory`` has to be, counted anew."""
    sizes = (
        db.key_overhead + getsizeof(key) + getsizeof(value) for key, value in db.values.items()
    )
    return sum(sizes) + db.deadline_overhead * len(db.deadlines)


class TestAllkeysLRU:
    def test_the_least_recently_used_goes(self) -> None:
        bounded = Bounded("allkeys-lru", max_keys=3)
        for key in (b"a", b"b", b"c"):
            bounded.set(key)
        bounded.db.get(b"a")
        bounded.set(b"d")
        bounded.set(b"e")
        assert bounded.evicted == [b"b", b"c"]
        assert bounded.db.keys() == [b"a", b"d", b"e"]
        assert bounded.db.evicted == 2

    def test_setting_a_key_that_is_there_evicts_nothing(self) -> None:
        bounded = Bounded("allkeys-lru", max_keys=2)
        for key in (b"a", b"b", b"a", b"b"):
            bounded.set(key)
        assert bounded.evicted == []

    def test_listing_keys_is_no_use_of_them(self) -> None:
        bounded = Bounded("allkeys-lru", max_keys=2)
        bounded.set(b"a")
        bounded.set(b"b")
        bounded.db.keys(b"a")
        bounded.set(b"c")
        assert bounded.evicted == [b"a"]

    def test_a_renamed_key_was_used(self) -> None:
        bounded = Bounded("allkeys-lru", max_keys=2)
        bounded.set(b"a")
        bounded.set(b"b")
        bounded.db.rename(b"a", b"n")
        bounded.set(b"c")
        assert bounded.evicted == [b"b"]

    def test_loaded_keys_go_in_the_order_of_the_file(self) -> None:
        bounded = Bounded("allkeys-lru", max_keys=3)
        bounded.load({b"a": b"1", b"b": b"2", b"c": b"3"}, {})
        bounded.set(b"d")
        assert bounded.evicted == [b"a"]

    def test_what_was_loaded_beyond_the_bound_goes_at_once(self) -> None:
        bounded = Bounded("allkeys-lru", max_keys=2)
        bounded.load({b"%d" % number: b"v" for number in range(5)}, {})
        assert bounded.db.keys() == [b"3", b"4"]
        assert bounded.evicted == [b"0", b"1", b"2"]

    def test_asking_for_its_ttl_or_whether_it_exists_is_no_use_of_a_key(self) -> None:
        bounded = Bounded("allkeys-lru", max_keys=2)
        bounded.set(b"a")
        bounded.set(b"b")
        assert bounded.db.peek(b"a") == b"v"
        bounded.set(b"c")
        assert bounded.evicted == [b"a"]


class TestVolatileLRU:
    def test_only_a_key_with_a_deadline_goes(self) -> None:
        bounded = Bounded("volatile-lru", max_keys=3)
        bounded.set(b"a")
        bounded.set(b"b", ttl=9000)
        bounded.set(b"c", ttl=1000)
        bounded.set(b"d")
        assert bounded.evicted == [b"b"]

    def test_the_least_recently_used_of_them_goes(self) -> None:
        bounded = Bounded("volatile-lru", max_keys=2)
        bounded.set(b"a", ttl=9000)
        bounded.set(b"b", ttl=9000)
        bounded.db.get(b"a")
        bounded.set(b"c")
        assert bounded.evicted == [b"b"]

    def test_a_key_whose_deadline_was_taken_off_stays(self) -> None:
        bounded = Bounded("volatile-lru", max_keys=2)
        bounded.set(b"a", ttl=9000)
        bounded.set(b"b", ttl=9000)
        bounded.db.persist(b"a")
        bounded.set(b"c")
        assert bounded.evicted == [b"b"]

    def test_a_key_that_was_given_a_deadline_may_go(self) -> None:
        bounded = Bounded("volatile-lru", max_keys=2)
        bounded.set(b"a")
        bounded.set(b"b")
        bounded.db.expire_at(b"b", NOW + 9000)
        bounded.set(b"c")
        assert bounded.evicted == [b"b"]

    def test_loaded_keys_with_a_deadline_may_go(self) -> None:
        bounded = Bounded("volatile-lru", max_keys=2)
        bounded.load({b"a": b"1", b"b": b"2"}, {b"b": NOW + 9000})
        bounded.set(b"c")
        assert bounded.evicted == [b"b"]

    def test_without_a_deadline_anywhere_the_command_is_refused(self) -> None:
        bounded = Bounded("volatile-lru", max_keys=1)
        bounded.set(b"a")
        with pytest.raises(OutOfMemory):
            bounded.set(b"b")


class TestVolatileTTL:
    def test_the_next_deadline_goes_first(self) -> None:
        bounded = Bounded("volatile-ttl", max_keys=4)
        bounded.set(b"never")
        bounded.set(b"late", ttl=9000)
        bounded.set(b"soon", ttl=1000)
        bounded.set(b"later", ttl=5000)
        bounded.db.get(b"soon")
        bounded.set(b"x")
        bounded.set(b"y")
        assert bounded.evicted == [b"soon", b"later"]


class TestNoeviction:
    def test_a_new_key_at_the_bound_is_refused_and_reads_and_overwriting_go_on(self) -> None:
        bounded = Bounded("noeviction", max_keys=1)
        bounded.set(b"a", b"1")
        with pytest.raises(OutOfMemory) as refused:
            bounded.set(b"b")
        assert str(refused.value) == (
            "command not allowed: max_keys (1) is reached and eviction 'noeviction' finds too "
            "little to evict"
        )
        assert refused.value.code == "OOM"
        bounded.set(b"a", b"2")
        assert bounded.db.get(b"a") == b"2"

    def test_a_deleted_key_makes_room(self) -> None:
        bounded = Bounded("noeviction", max_keys=1)
        bounded.set(b"a")
        bounded.db.delete(b"a")
        bounded.set(b"b")
        assert bounded.db.keys() == [b"b"]


@pytest.mark.parametrize("policy", POLICIES)
class TestEveryPolicy:
    def test_keys_past_their_deadline_go_before_any_that_lives(self, policy: Policy) -> None:
        bounded = Bounded(policy, max_keys=3)
        bounded.set(b"old", ttl=9000)
        bounded.set(b"dead", ttl=10)
        bounded.set(b"young", ttl=8000)
        bounded.now += 10
        bounded.set(b"new")
        assert bounded.evicted == []
        assert bounded.db.keys() == [b"old", b"young", b"new"]

    def test_the_keys_of_the_command_itself_are_spared(self, policy: Policy) -> None:
        bounded = Bounded(policy, max_memory=1200)
        bounded.set(b"a", ttl=1000)
        bounded.set(b"b", ttl=2000)
        if policy == "noeviction":
            with pytest.raises(OutOfMemory, match="used memory > 'maxmemory'"):
                bounded.set(b"a", bytes(500))
        else:
            bounded.set(b"a", bytes(500))
            assert bounded.evicted == [b"b"]
        assert b"a" in bounded.db.values

    def test_a_command_too_large_for_all_the_memory_evicts_nothing(self, policy: Policy) -> None:
        bounded = Bounded(policy, max_memory=5000)
        bounded.set(b"a", ttl=1000)
        with pytest.raises(OutOfMemory, match="used memory > 'maxmemory'"):
            bounded.set(b"b", bytes(5000))
        assert bounded.db.keys() == [b"a"]

    def test_a_refused_command_changes_no_count(self, policy: Policy) -> None:
        bounded = Bounded(policy, max_memory=5000)
        bounded.set(b"a", ttl=1000)
        before = bounded.db.memory
        with pytest.raises(OutOfMemory):
            bounded.eviction.make_room(0, [b"b"], 5000)
        assert bounded.db.memory == before == counted(bounded.db)

    def test_a_large_value_is_replaced_by_another_without_any_eviction(
        self, policy: Policy
    ) -> None:
        bounded = Bounded(policy, max_memory=10_000)
        bounded.set(b"other", ttl=1000)
        for size in (6000, 6000, 5000):
            bounded.set(b"a", bytes(size))
        assert bounded.evicted == []
        assert bounded.db.keys() == [b"other", b"a"]

    def test_what_would_not_be_enough_is_not_begun(self, policy: Policy) -> None:
        bounded = Bounded(policy, max_memory=10_000)
        bounded.set(b"large", bytes(4000))
        for number in range(8):
            bounded.set(b"%d" % number, ttl=1000)
        bounded.db.get(b"large")
        with pytest.raises(OutOfMemory):
            # Room enough for one of them only, and both are spared.
            bounded.eviction.make_room(0, [b"large", b"new"], 6000)
        assert bounded.evicted == []

    def test_a_snapshot_is_counted_when_it_is_loaded(self, policy: Policy) -> None:
        bounded = Bounded(policy, max_keys=10)
        bounded.load({b"a": b"1", b"b": bytes(100)}, {b"b": NOW + 10})
        assert bounded.db.memory == counted(bounded.db)
        bounded.db.delete(b"b")
        assert bounded.db.memory == counted(bounded.db)

    def test_an_empty_keyspace_counts_nothing(self, policy: Policy) -> None:
        bounded = Bounded(policy, max_keys=10)
        bounded.set(b"a", ttl=10)
        bounded.set(b"b")
        bounded.db.clear()
        assert (bounded.db.memory, len(bounded.db._used_last), bounded.db._sizes) == (0, 0, {})


def test_both_bounds_hold_at_once() -> None:
    bounded = Bounded("allkeys-lru", max_keys=50, max_memory=20_000)
    for number in range(200):
        bounded.set(b"%d" % number, bytes(number * 7 % 900))
        assert len(bounded.db) <= 50
        assert bounded.db.memory <= 20_000 + SLACK
    assert bounded.db.memory == counted(bounded.db)


def test_a_slice_of_the_dead_goes_at_a_time() -> None:
    bounded = Bounded("noeviction", max_keys=SWEPT_FIRST + 1)
    for number in range(SWEPT_FIRST + 1):
        bounded.set(b"%d" % number, ttl=10)
    bounded.now += 10
    bounded.set(b"new")
    assert len(bounded.db.values) == 2
    assert bounded.db.keys() == [b"new"]


def test_all_of_the_dead_go_before_one_that_lives() -> None:
    count = 3 * SWEPT_FIRST
    bounded = Bounded("allkeys-lru", max_memory=count * 500)
    bounded.set(b"alive")
    for number in range(count):
        bounded.set(b"%d" % number, ttl=10)
    bounded.now += 10
    bounded.set(b"large", bytes(count * 500 - 1000))
    assert bounded.evicted == []
    assert bounded.db.keys() == [b"alive", b"large"]


class TestSeveralDatabases:
    def test_the_bound_of_keys_is_that_of_all_of_them(self) -> None:
        bounded = Bounded("noeviction", max_keys=2)
        bounded.set(b"a", database=0)
        bounded.set(b"b", database=1)
        with pytest.raises(OutOfMemory, match="max_keys"):
            bounded.set(b"c", database=2)

    def test_the_bound_of_memory_is_that_of_all_of_them(self) -> None:
        bounded = Bounded("noeviction", max_memory=10_000)
        bounded.set(b"a", bytes(6000), database=0)
        with pytest.raises(OutOfMemory, match="maxmemory"):
            bounded.set(b"b", bytes(6000), database=1)
        bounded.dbs[0].clear()
        bounded.set(b"b", bytes(6000), database=1)
        assert bounded.eviction.memory == sum(map(counted, bounded.dbs))

    def test_the_database_of_the_command_gives_way_first_and_then_those_behind_it(self) -> None:
        bounded = Bounded("allkeys-lru", max_memory=20_000)
        for database in (2, 0, 1):
            for key in (b"%d old" % database, b"%d new" % database):
                bounded.set(key, bytes(2000), database=database)
        bounded.set(b"x", bytes(17_000), database=1)
        assert bounded.evicted == [b"1 old", b"1 new", b"2 old", b"2 new", b"0 old"]

    def test_a_key_of_the_same_name_in_another_database_is_not_spared(self) -> None:
        bounded = Bounded("allkeys-lru", max_keys=1)
        bounded.set(b"a", database=1)
        bounded.set(b"a", database=0)
        assert bounded.evicted == [b"a"]
        assert list(map(len, bounded.dbs)) == [1, 0, 0]

    def test_the_dead_of_all_of_them_go_before_one_that_lives(self) -> None:
        bounded = Bounded("allkeys-lru", max_keys=2)
        bounded.set(b"dead", ttl=10, database=1)
        bounded.set(b"alive")
        bounded.now += 10
        bounded.set(b"new")
        assert bounded.evicted == []
        assert bounded.db.keys() == [b"alive", b"new"]


@pytest.mark.parametrize("policy", POLICIES)
def test_one_that_takes_over_from_a_plain_one_has_counted_all(policy: Policy) -> None:
    plain = Keyspace(lambda: NOW, lambda operation, key, effect: None, no_payload)
    plain.set(b"a", b"1")
    plain.set(b"b", b"2", NOW + 1000)
    plain.set(b"c", b"3", NOW + 2000)
    plain.get(b"a")
    bounded = Bounded(policy)
    bounded.db.take_over(plain)
    assert bounded.db.memory == counted(bounded.db)
    assert (
        list(bounded.db.candidates())
        == {
            "noeviction": [],
            "allkeys-lru": [b"a", b"b", b"c"],
            "volatile-lru": [b"b", b"c"],
            "volatile-ttl": [b"b", b"c"],
        }[policy]
    )


def test_no_bound_is_no_bounds() -> None:
    assert not Bounds()
    assert not Bounds(policy="allkeys-lru")
    assert Bounds(max_keys=1)
    assert Bounds(max_memory=1)


class BoundedMachine(KeyspaceMachine):
    """The machine of the keyspace with bounds: the model also knows when each key was last used,
    and finds who has to go by looking at all of them."""

    db: BoundedKeyspace

    @initialize(
        policy=st.sampled_from(POLICIES),
        max_keys=st.sampled_from([0, 2, 3]),
        max_memory=st.sampled_from([0, 1200, 2000]),
    )
    def begin_with_bounds(self, policy: Policy, max_keys: int, max_memory: int) -> None:
        self.policy, self.max_keys, self.max_memory = policy, max_keys, max_memory
        self.uses = 0
        self.last_use: dict[bytes, int] = {}
        self.db = BoundedKeyspace(lambda: self.now, self.changed, no_payload, policy, SIZES)
        self.eviction = Eviction([self.db], Bounds(max_keys, max_memory, policy))

    def used(self, key: bytes) -> None:
        self.uses += 1
        self.last_use[key] = self.uses

    def fits(self, key: bytes, value: bytes) -> bool:
        """Whether setting the key keeps within the bounds; what adds nothing always does."""
        old = self.model.get(key)
        if old is None:
            more = self.db.key_overhead + getsizeof(key) + getsizeof(value)
        else:
            more = getsizeof(value) - getsizeof(old[0])
        too_many = self.max_keys and old is None and len(self.model) >= self.max_keys
        too_large = self.max_memory and more > 0 and self.counted() + more > self.max_memory
        return not too_many and not too_large

    def victim(self, spared: bytes) -> bytes | None:
        """Who has to go: by the policy's own words, over all keys."""
        volatile = [key for key, (_, at) in self.model.items() if at is not None]
        candidates = {
            "noeviction": [],
            "allkeys-lru": sorted(self.model, key=self.last_use.__getitem__),
            "volatile-lru": sorted(volatile, key=self.last_use.__getitem__),
            "volatile-ttl": sorted(volatile, key=lambda key: (self.model[key][1], key)),
        }[self.policy]
        return next((key for key in candidates if key != spared), None)

    def room_for(self, key: bytes, value: bytes) -> bool:
        try:
            self.eviction.make_room(0, [key], getsizeof(value), replaces=True)
        except OutOfMemory:
            allowed = False
        else:
            allowed = True
        evicted = [gone for operation, gone in self.heard if operation == "evict" and gone]
        self.expect(*(("evict", gone) for gone in evicted))
        for gone in evicted:
            assert not self.fits(key, value), "evicted though there was room"
            assert gone == self.victim(spared=key)
            del self.model[gone]
        if allowed:
            assert self.fits(key, value)
        else:
            assert not evicted, "evicted in vain"
            self.not_even_without_all_others(key, value)
        return allowed

    def not_even_without_all_others(self, key: bytes, value: bytes) -> None:
        all_there = dict(self.model)
        while (gone := self.victim(spared=key)) is not None:
            del self.model[gone]
        assert not self.fits(key, value)
        self.model.clear()
        self.model.update(all_there)

    def counted(self) -> int:
        return sum(
            self.db.key_overhead
            + getsizeof(key)
            + getsizeof(value)
            + self.db.deadline_overhead * (at is not None)
            for key, (value, at) in self.model.items()
        )

    @rule(key=KEYS, value=VALUES)
    def set_without_a_deadline(self, key: bytes, value: bytes) -> None:
        self.set(key, value, None)

    @invariant()
    def the_bound_of_keys_holds(self) -> None:
        assert not self.max_keys or len(self.db.values) <= self.max_keys

    @invariant()
    def memory_is_what_counting_anew_gives(self) -> None:
        assert self.db.memory == self.counted() == counted(self.db)

    @invariant()
    def nothing_is_kept_of_keys_that_are_gone(self) -> None:
        assert self.db._sizes.keys() == self.model.keys()
        assert set(self.db._used_last) <= self.model.keys()

    @invariant()
    def the_order_of_use_is_exact(self) -> None:
        kept = {
            "allkeys-lru": list(self.model),
            "volatile-lru": [key for key, (_, at) in self.model.items() if at is not None],
        }.get(self.policy, [])
        assert list(self.db._used_last) == sorted(kept, key=self.last_use.__getitem__)


TestAgainstANaiveModel = BoundedMachine.TestCase
TestAgainstANaiveModel.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
