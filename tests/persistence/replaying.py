"""A daemon's data, and the same made again from effects, side by side.

Clients do whatever the grammar of ``tests/differential`` thinks of, in transactions too, or wait
for each other, and sometimes the same several times in a row, so that it is run together;
meanwhile time goes by, also in the middle of a command, keys expire and are swept, and bounds come
and go. After each turn its effects, encoded and decoded, are done on a replay, and
that must hold the same then: every value to the byte, every score to its sign, every deadline.
After each sequence they are done once more on nothing but the keys that they touch, as the
compactor does it, which begins with what a snapshot has of them.

The long run: ``PYTHONPATH=.:tests python -m persistence.replaying 300000``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from math import copysign
from random import Random
from typing import Any

from differential.grammar import GROUPS
from differential.grammar.atoms import number as around
from differential.grammar.group import lines
from differential.grammar.sequences import draw
from helpers_pure import World

from memdbd.commands.dumping import payload_of, value_of
from memdbd.dialects.batch import Batch
from memdbd.dispatch import Dispatcher
from memdbd.effects import EARLIEST, LATEST, Effect, Place, decode, encode, touched
from memdbd.eviction import POLICIES, Bounds
from memdbd.keyspace import Contents, Value
from memdbd.persistence.replay import Replay
from memdbd.replies import Pending
from memdbd.session import Session
from memdbd.structs.sortedset import SortedSet

PLAYED = [
    GROUPS[name]
    for name in (
        *("strings", "bits", "keys", "lists", "sets", "hashes", "zsets", "combined", "lex", "geo"),
        *("sort", "hyperloglog", "transactions", "crossed", "dumped"),
        *("clients", "clients", "clients", "swapped", "swapped"),  # who wait for each other
    )
]
# What the grammar leaves out, for it would not be the same on two servers, and what is rare in it.
MORE = lines(
    """
    PEXPIRE key soon
    PEXPIRE key soon
    SET key value PX soon
    GETEX str PX soon
    SPOP set [count]
    SPOP set
    LMOVE 'l1 'l1 (LEFT|RIGHT) (LEFT|RIGHT)
    SORT zset ALPHA
    ZADD zset '-0.0 member
    ZADD zset '-0 member member member
    BITFIELD bits SET encoding fieldoffset int OVERFLOW SAT INCRBY encoding fieldoffset int
    PFADD 'hll1 {member}
    PFCOUNT 'hll1
    LTRIM list 0 -1
    APPEND str '
    RENAME key key
    COPY key key [DB otherdb] REPLACE
    PEXPIRE key soon
    MOVE key otherdb
    PEXPIREAT key '9223372036854775807
    SET str value PXAT 1
    RPUSH list {member member}
    LINSERT list (BEFORE|AFTER) member member
    LREM list negative member
    LSET list index member
    HDEL hash {field}
    HSETNX hash field value
    ZREM zset {member}
    PERSIST key
    SELECT 0
    """,
    soon=around(1, 40),
)
# Not about data, or of no use without a connection.
LEFT_OUT = frozenset(
    b"AUTH CLIENT CONFIG HELLO PSUBSCRIBE QUIT RAW RESET SSUBSCRIBE SUBSCRIBE WAIT".split()
)
AN_AGE = 3 * 10**12  # milliseconds after which all is past its deadline

Content = tuple[dict[bytes, Value], dict[bytes, int]]


class Diverged(AssertionError):
    """What was done again is not what there is."""


class Ticking(World):
    """A world in which now and then a millisecond goes by whenever somebody looks at the clock."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        super().__init__()

    @property
    def now(self) -> int:
        self._now += self._rng.random() < 0.02
        return self._now

    @now.setter
    def now(self, value: int) -> None:
        self._now = value


class Client:
    """A client without a connection, that may have to wait for its reply."""

    def __init__(self, world: World, identity: int) -> None:
        self._dispatcher = world.parts.dispatcher
        self._session = Session(identity, world.channels, _ignored, _ignored)
        self._dialect = world.parts.dialects.resp(self._session)
        self._context = self._dispatcher.context(self._session)
        self._waiting = world.parts.engine.waiting
        self._pending: Pending | None = None

    def asks(self, *argv: bytes, times: int = 1) -> bytes:
        """What it is replied to a request, sent so many times in a row, which waits no more than
        any before it."""
        self.waits_no_more()
        output: list[bytes] = []
        _, awaited = self._dispatcher.run(
            self._context, Batch([list(argv) for _ in range(times)]), self._dialect, output, []
        )
        self._pending = awaited if isinstance(awaited, Pending) else None
        return b"".join(output)

    @property
    def waits(self) -> bool:
        return self._pending is not None and not self._pending.is_resolved

    def waits_no_more(self) -> None:
        """Its time is over, if it waits."""
        if self.waits:
            self._waiting.unblock(self._session, None)

    def gives_up(self) -> None:
        """Wait no more, and leave the transaction."""
        self.asks(b"DISCARD")
        self.asks(b"UNWATCH")


class Mirror:
    """Clients that do things, and a replay that does again what they did.

    ``forget(effect)`` tells of an effect that it is lost on the way; ``told`` counts those that
    there were, by name.
    """

    def __init__(self, seed: int, forget: Callable[[Effect], bool] = lambda effect: False) -> None:
        self.commands = 0
        self.told: dict[bytes, int] = {}
        self._rng = Random(seed)
        self._forget = forget
        self._world = Ticking(self._rng)
        self._engine = self._world.parts.engine
        self._clients = [Client(self._world, each) for each in range(3)]
        # By how much the wall is ahead, to find a number that is taken for a deadline.
        self._drift = self._rng.choice((0, 7777, -5001))
        self._types = {kind.name: kind for kind in self._world.daemon.types.values()}
        self._replay = Replay(self._types, {})
        self._payload = b""
        self._patience = 0.0
        self._turns: list[list[list[bytes]]] = []  # of this sequence
        self._asked: list[Sequence[bytes]] = []  # in this turn

    def run(self, commands: int) -> None:
        """Do so many commands and some more. Raises Diverged."""
        end = self.commands + commands
        while self.commands < end:
            self._sequence()

    def _sequence(self) -> None:
        rng = self._rng
        if rng.random() < 0.5:
            bounds = Bounds(rng.choice((0, 15, 30)), rng.choice((0, 30_000)), rng.choice(POLICIES))
            self._engine.bound(rng.choice((Bounds(), bounds)))
        if rng.random() < 0.3:
            self._replay = Replay(self._types, self._reloaded(self._replay.contents()))
        self._turn()
        before, self._turns = self._reloaded(self._contents()), []
        sequence = draw(rng.choice(PLAYED), 2, rng)
        # How likely one who waits goes on, while the others ask for something.
        self._patience = 0.95 if sequence.is_stepped else 0.3
        for request in sequence.requests:
            if request.argv and request.name not in LEFT_OUT:
                self._ask(request.client, request.argv)
            if rng.random() < 0.2:
                self._ask(rng.randrange(3), rng.choice(MORE).draw(rng))
            if rng.random() < 0.3:
                self._turn()
                self._pass_time()
        self._turn()
        for client in self._clients:
            client.gives_up()
        if rng.random() < 0.3:
            self._ask(0, [b"FLUSHALL"])
        self._turn()
        self._check_touched(before)

    def _ask(self, client: int, argv: Sequence[bytes]) -> None:
        if self._clients[client].waits and self._rng.random() < self._patience:
            return
        self.commands += 1
        argv = [self._payload if word == b"@payload" else word for word in argv]
        self._asked.append(argv)
        times = Dispatcher.RUN if self._rng.random() < 0.1 else 1  # so that they are run together
        reply = self._clients[client].asks(*argv, times=times)
        if argv[0].upper() == b"DUMP" and reply.startswith(b"$") and reply != b"$-1\r\n":
            self._payload = reply.partition(b"\r\n")[2][:-2]
        if self._world.parts.dispatcher.failures:
            raise AssertionError(f"{argv} raised what it should not")

    def _pass_time(self) -> None:
        rng, world = self._rng, self._world
        if rng.random() < 0.5:
            world.now += rng.randint(0, 20)
        elif rng.random() < 0.01:
            world.now += rng.choice((20_000_000, AN_AGE))
        if rng.random() < 0.2:
            for keyspace in self._engine.databases:
                keyspace.sweep(rng.randint(1, 5))

    def _turn(self) -> None:
        """The end of a turn: what it did is done again, and must have come to the same."""
        taken = [each for each in self._engine.changes.take_effects() if not self._forget(each)]
        for effect in taken:
            name = bytes(effect[0])
            self.told[name] = self.told.get(name, 0) + 1
        asked, self._asked = self._asked, []
        effects = list(decode(encode(taken, self._drift)))
        self._turns.append(effects)
        try:
            self._replay.apply(effects)
            for number, live in self._contents().items():
                again = self._replay.databases[number]
                _compare(number, live, (again.values, again.deadlines))
        except ValueError as error:
            raise Diverged(f"{error}\nwas asked: {asked}\nwas done: {effects}") from error
        except Diverged as error:
            raise Diverged(f"{error}\nwas asked: {asked}\nwas done: {effects}") from None

    def _check_touched(self, before: Contents) -> None:
        """What was done to those who are touched makes them what they are; others are as before."""
        places: set[Place] = set()
        for effects in self._turns:
            places.update(touched(effects))

        def chosen(contents: Contents, *, are_touched: bool) -> dict[int, Content]:
            def part(number: int, of: Mapping[bytes, Any]) -> dict[bytes, Any]:
                every = (number, None) in places
                return {
                    key: value
                    for key, value in of.items()
                    if (every or (number, key) in places) == are_touched
                }

            return {
                number: (part(number, values), part(number, deadlines))
                for number, (values, deadlines) in contents.items()
            }

        live = self._contents()
        others = chosen(before, are_touched=False)
        replay = Replay(self._types, chosen(before, are_touched=True))
        for effects in self._turns:
            replay.apply(effects)
        now_touched, now_others = (chosen(live, are_touched=each) for each in (True, False))
        for number in live:
            again = replay.databases[number]
            _compare(number, now_touched[number], (again.values, again.deadlines))
            _compare(number, now_others[number], others[number])

    def _contents(self) -> dict[int, Content]:
        """What there is, with the wall's deadlines."""
        return {
            each.index: (
                each.values,
                {
                    key: min(max(deadline + self._drift, EARLIEST), LATEST)
                    for key, deadline in each.deadlines.items()
                },
            )
            for each in self._engine.databases
        }

    def _reloaded(self, contents: Contents) -> Contents:
        """The same as it comes back from a file."""
        server = self._world.daemon
        return {
            number: (
                {key: value_of(payload_of(value, server), server) for key, value in values.items()},
                dict(deadlines),
            )
            for number, (values, deadlines) in contents.items()
        }


def _compare(number: int, live: Content, again: Content) -> None:
    if live[0].keys() != again[0].keys():
        raise Diverged(f"the keys of {number}: {live[0].keys() ^ again[0].keys()}")
    for key, value in live[0].items():
        if not same(value, other := again[0][key]):
            raise Diverged(f"{key!r} of {number}: {shown(value)}, but again {shown(other)}")
    if live[1] != again[1]:
        raise Diverged(f"deadlines of {number}: {live[1]}, but again {again[1]}")


def same(value: Value, other: Value) -> bool:
    """Whether they are the same, to the sign of a zero, in whatever order a set or dict is."""
    if value.__class__ is not other.__class__:
        return False
    if isinstance(value, SortedSet):
        value, other = value.scores, other.scores
        return bool(value == other and _negative_zeroes(value) == _negative_zeroes(other))
    return bool(value == other)


def _negative_zeroes(scores: dict[bytes, float]) -> list[bytes]:
    if 0.0 not in scores.values():
        return []
    return sorted(
        member for member, score in scores.items() if not score and copysign(1, score) < 0
    )


def shown(value: Value) -> Any:
    return value.scores if isinstance(value, SortedSet) else value


def _ignored(message: object) -> None:
    pass


def main() -> None:
    """Play sequences of so many commands, each thousand with a seed of its own."""
    commands, first = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    done, told = 0, dict[bytes, int]()
    for seed in count(first):
        if done >= commands:
            break
        mirror = Mirror(seed)
        try:
            mirror.run(2000)
        except AssertionError as error:
            print(f"seed {seed}: {error}")
            sys.exit(1)
        done += mirror.commands
        for name, times in mirror.told.items():
            told[name] = told.get(name, 0) + times
    print(f"{done} commands, seeds {first} to {seed - 1}: {dict(sorted(told.items()))}")


if __name__ == "__main__":
    main()
