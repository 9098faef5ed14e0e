"""Writes at random whose outcome is known: what a client sends, and what must be there then.

A :class:`Write` is one request, or a transaction of several, that one client has sent to the
database that is its own. It is made for the state before it, so that none is ever refused, and
tells the state behind it; where the daemon has a choice, each state that may be. So the data that
is found after a crash can be compared, as a whole, with the states after each write that was
acknowledged, or sent.

A value in a state is immutable: bytes, a tuple (list), a frozenset (set), or a frozenset of pairs
(hash, sorted set). The first letter of a key tells the type.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

Value = Any
State = dict[bytes, tuple[Value, int | None]]  # by key: the value, and the deadline in ms
Change = Callable[[State], None]
Words = tuple[bytes, ...]

FAR = 4_000_000_000_000  # ms: a deadline that no test lives to see
SHARED = 15  # the database of a counter that all clients count up
TALLY = b"n-shared"  # how often one of them did

STRINGS = (b"s0", b"s1", b"s2", b"s3")
LISTS = (b"l0", b"l1", b"l2")
HASHES = (b"h0", b"h1")
SETS = (b"e0", b"e1", b"e2")
SORTED = (b"z0", b"z1")
COUNTERS = (b"n0", b"n1")
SHORT = (b"t0", b"t1", b"t2", b"t3")  # keys with deadlines that are soon there
NAMED = (STRINGS, LISTS, HASHES, SETS, SORTED)

HUGE = 400_000  # bytes of a value whose write takes a while, so that it may be torn


@dataclass(frozen=True)
class Write:
    """Requests that belong together, and what they do."""

    requests: tuple[Words, ...]
    changes: tuple[Change, ...]
    popped: bytes | None = None  # of this set, a member is taken out that the daemon chooses

    @property
    def is_transaction(self) -> bool:
        return len(self.requests) > 1

    def outcomes(self, state: State) -> list[State]:
        """The states that may be behind it, of which each is new."""
        if self.popped is not None:
            members = state[self.popped][0]
            return [self.after_pop(state, member) for member in members]
        following = state.copy()
        for change in self.changes:
            change(following)
        return [following]

    def after_pop(self, state: State, member: bytes) -> State:
        assert self.popped is not None
        following = state.copy()
        _with_value(following, self.popped, state[self.popped][0] - {member})
        return following


def _with_value(state: State, key: bytes, value: Value) -> None:
    """Change a value, and leave the deadline; what is empty goes."""
    if not value and key[:1] != b"s":
        state.pop(key, None)
    else:
        state[key] = value, state[key][1] if key in state else None


def _get(state: State, key: bytes) -> Value:
    return state[key][0] if key in state else {b"l": (), b"n": b"0", b"s": b""}.get(
        key[:1], frozenset()
    )  # fmt: skip


class Writer:
    """Makes the writes of one client. ``number`` is that of its database; ``text``: all values are
    printable."""

    def __init__(self, random: Random, number: int, *, text: bool) -> None:
        self._random = random
        self._number = number
        self._text = text
        self._count = 0
        self._kinds: tuple[Callable[[State], tuple[Words, Change]], ...] = (
            self._set, self._set, self._set, self._append, self._counted, self._counted,
            self._pushed, self._pushed, self._taken, self._moved, self._field, self._no_field,
            self._member, self._no_member, self._score, self._no_score, self._deleted,
            self._renamed, self._renamed, self._copied, self._deadline, self._short, self._short,
        )  # fmt: skip

    def next(self, state: State) -> Write:
        """A write that is not refused where this is the state."""
        kind = self._random.random()
        if kind < 0.12:
            return self._transaction(state)
        if kind < 0.2:
            return self._shared()
        if kind < 0.202:
            return self._flushed(state)
        if kind < 0.206:
            huge = self._new() * (HUGE // 10)
            return Write(((b"SET", b"s0", huge),), (_setting(b"s0", huge, None),))
        if kind < 0.23 and (there := [key for key in SETS if key in state]):
            key = self._random.choice(there)
            return Write(((b"SPOP", key),), (), popped=key)
        words, change = self._step(state)
        return Write((words,), (change,))

    def _step(self, state: State) -> tuple[Words, Change]:
        return self._random.choice(self._kinds)(state)

    def _transaction(self, state: State) -> Write:
        """Several keys at once."""
        requests: list[Words] = [(b"MULTI",)]
        changes: list[Change] = []
        state = state.copy()
        for _ in range(self._random.randrange(2, 7)):
            words, change = self._step(state)
            requests.append(words)
            changes.append(change)
            change(state)
        return Write((*requests, (b"EXEC",)), tuple(changes))

    def _shared(self) -> Write:
        """Counts in two databases, of which both must have it, or neither."""

        def change(state: State) -> None:
            state[TALLY] = b"%d" % (int(_get(state, TALLY)) + 1), None

        requests: list[Words] = [
            (b"INCR", TALLY),
            (b"SELECT", b"%d" % SHARED),
            (b"INCR", TALLY),
            (b"SELECT", b"%d" % self._number),
        ]
        return Write(((b"MULTI",), *requests, (b"EXEC",)), (change,))

    def _flushed(self, state: State) -> Write:
        """All of the database but the counter, which has to go on."""
        tally = _get(state, TALLY)

        def change(state: State) -> None:
            state.clear()
            state[TALLY] = tally, None

        return Write(((b"MULTI",), (b"FLUSHDB",), (b"SET", TALLY, tally), (b"EXEC",)), (change,))

    # What values are made of

    def _new(self) -> bytes:
        """A value of ten bytes that never was there before."""
        self._count += 1
        start = b"v" if self._text else b"\xff"
        return start + b"%09d" % self._count

    # Single requests

    def _set(self, state: State) -> tuple[Words, Change]:
        key, value = self._random.choice(STRINGS), self._new()
        if self._random.random() < 0.3:
            deadline = FAR + self._random.randrange(10**6)
            return (b"SET", key, value, b"PXAT", b"%d" % deadline), _setting(key, value, deadline)
        return (b"SET", key, value), _setting(key, value, None)

    def _append(self, state: State) -> tuple[Words, Change]:
        key, value = self._random.choice(STRINGS), self._new()
        if len(_get(state, key)) > 1000:
            return (b"SET", key, value), _setting(key, value, None)
        return (b"APPEND", key, value), lambda it: _with_value(it, key, _get(it, key) + value)

    def _counted(self, state: State) -> tuple[Words, Change]:
        key, by = self._random.choice(COUNTERS), self._random.randrange(-5, 100)

        def change(state: State) -> None:
            _with_value(state, key, b"%d" % (int(_get(state, key)) + by))

        return (b"INCRBY", key, b"%d" % by), change

    def _pushed(self, state: State) -> tuple[Words, Change]:
        key, items = self._random.choice(LISTS), (self._new(), self._new())
        if len(_get(state, key)) > 20:
            return (b"LTRIM", key, b"0", b"4"), lambda it: _with_value(it, key, _get(it, key)[:5])
        if self._random.random() < 0.5:
            return (b"RPUSH", key, *items), lambda it: _with_value(it, key, _get(it, key) + items)
        return (
            (b"LPUSH", key, *items),
            lambda it: _with_value(it, key, items[::-1] + _get(it, key)),
        )

    def _taken(self, state: State) -> tuple[Words, Change]:
        key = self._random.choice(LISTS)
        if self._random.random() < 0.5:
            return (b"LPOP", key), lambda it: _with_value(it, key, _get(it, key)[1:])
        return (b"RPOP", key), lambda it: _with_value(it, key, _get(it, key)[:-1])

    def _moved(self, state: State) -> tuple[Words, Change]:
        source, target = self._random.sample(LISTS, 2)

        def change(state: State) -> None:
            items = _get(state, source)
            if items:
                _with_value(state, source, items[:-1])
                _with_value(state, target, (items[-1], *_get(state, target)))

        return (b"LMOVE", source, target, b"RIGHT", b"LEFT"), change

    def _field(self, state: State) -> tuple[Words, Change]:
        key, value = self._random.choice(HASHES), self._new()
        field = b"f%d" % self._random.randrange(6)

        def change(state: State) -> None:
            fields = dict(_get(state, key)) | {field: value}
            _with_value(state, key, frozenset(fields.items()))

        return (b"HSET", key, field, value), change

    def _no_field(self, state: State) -> tuple[Words, Change]:
        key, field = self._random.choice(HASHES), b"f%d" % self._random.randrange(6)
        return (b"HDEL", key, field), lambda it: _without(it, key, field)

    def _member(self, state: State) -> tuple[Words, Change]:
        key, member = self._random.choice(SETS), b"m%d" % self._random.randrange(8)
        return (b"SADD", key, member), lambda it: _with_value(it, key, _get(it, key) | {member})

    def _no_member(self, state: State) -> tuple[Words, Change]:
        key, member = self._random.choice(SETS), b"m%d" % self._random.randrange(8)
        return (b"SREM", key, member), lambda it: _with_value(it, key, _get(it, key) - {member})

    def _score(self, state: State) -> tuple[Words, Change]:
        key, member = self._random.choice(SORTED), b"m%d" % self._random.randrange(6)
        by = self._random.randrange(1, 100)

        def change(state: State) -> None:
            scores = dict(_get(state, key))
            scores[member] = b"%d" % (int(scores.get(member, b"0")) + by)
            _with_value(state, key, frozenset(scores.items()))

        return (b"ZINCRBY", key, b"%d" % by, member), change

    def _no_score(self, state: State) -> tuple[Words, Change]:
        key, member = self._random.choice(SORTED), b"m%d" % self._random.randrange(6)
        return (b"ZREM", key, member), lambda it: _without(it, key, member)

    def _deleted(self, state: State) -> tuple[Words, Change]:
        keys = self._random.sample((*STRINGS, *LISTS, *HASHES, *SETS, *SORTED, *SHORT), 3)

        def change(state: State) -> None:
            for key in keys:
                state.pop(key, None)

        return (b"DEL", *keys), change

    def _renamed(self, state: State) -> tuple[Words, Change]:
        source, target = self._random.sample(self._random.choice(NAMED), 2)
        if source not in state:
            return self._set(state)

        def change(state: State) -> None:
            state[target] = state.pop(source)

        return (b"RENAME", source, target), change

    def _copied(self, state: State) -> tuple[Words, Change]:
        source, target = self._random.sample(self._random.choice(NAMED), 2)

        def change(state: State) -> None:
            if source in state:
                state[target] = state[source]

        return (b"COPY", source, target, b"REPLACE"), change

    def _deadline(self, state: State) -> tuple[Words, Change]:
        key = self._random.choice((*STRINGS, *LISTS, *HASHES, *SETS, *SORTED))
        deadline = None if self._random.random() < 0.5 else FAR + self._random.randrange(10**6)

        def change(state: State) -> None:
            if key in state:
                state[key] = state[key][0], deadline

        if deadline is None:
            return (b"PERSIST", key), change
        return (b"PEXPIREAT", key, b"%d" % deadline), change

    def _short(self, state: State) -> tuple[Words, Change]:
        key, value = self._random.choice(SHORT), self._new()
        deadline = time.time_ns() // 1_000_000 + self._random.randrange(1, 1500)
        return (b"SET", key, value, b"PXAT", b"%d" % deadline), _setting(key, value, deadline)


def _setting(key: bytes, value: bytes, deadline: int | None) -> Change:
    def change(state: State) -> None:
        state[key] = value, deadline

    return change


def _without(state: State, key: bytes, name: bytes) -> None:
    _with_value(state, key, frozenset(pair for pair in _get(state, key) if pair[0] != name))


# What is found


def _pairs(reply: list[bytes]) -> frozenset[tuple[bytes, bytes]]:
    return frozenset(zip(reply[::2], reply[1::2], strict=True))


def _same(reply: bytes) -> bytes:
    return reply


READS: dict[bytes, tuple[Words, Callable[[Any], Value]]] = {
    b"s": ((b"GET",), _same),
    b"n": ((b"GET",), _same),
    b"t": ((b"GET",), _same),
    b"l": ((b"LRANGE", b"0", b"-1"), tuple),
    b"h": ((b"HGETALL",), _pairs),
    b"e": ((b"SMEMBERS",), frozenset),
    b"z": ((b"ZRANGE", b"0", b"-1", b"WITHSCORES"), _pairs),
}


def differences(
    found: State, expected: State, from_ms: float, to_ms: float, slack: float
) -> Iterator[str]:
    """Where they are not the same. ``found`` was read in this time, in which a key that has a
    deadline may have gone; with so much slack in ms, since two clocks are compared."""
    for key in sorted(found.keys() | expected.keys()):
        is_there, must_be = found.get(key), expected.get(key)
        deadline = must_be[1] if must_be is not None else None
        if is_there is None and deadline is not None and deadline < to_ms + slack:
            continue
        if is_there != must_be:
            yield f"{key!r} is {_shown(is_there)} and must be {_shown(must_be)}"
        elif deadline is not None and deadline < from_ms - slack:
            yield f"{key!r} is there, {from_ms - deadline:.0f} ms after its deadline"


def _shown(entry: tuple[Value, int | None] | None) -> str:
    shown = repr(entry)
    return shown if len(shown) < 300 else f"{shown[:200]}… ({len(shown)} characters)"
