"""What the tests of the pure rooms share: a world with its clock set by hand, a keyspace's model,
and what the text dialect makes of bytes however they arrive.

Nothing here has a socket, a file or a clock of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from random import Random
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock as ReactorClock

from memdbd.assembly import assemble
from memdbd.clock import Clock
from memdbd.commands.spec import Request
from memdbd.commands.table import COMMANDS, CONTAINERS
from memdbd.config import Config
from memdbd.dialects.text import LineRules, TextParser
from memdbd.effects import Effect, decode, encode
from memdbd.errors import CommandError, ProtocolError
from memdbd.keyspace import Keyspace, Value
from memdbd.limits import Limits
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.replay import Replay
from memdbd.replies import Message, Push, Reply, Status
from memdbd.session import Session

RULES = LineRules({name: command.text for name, command in COMMANDS.items()})
NOW = 1_700_000_000_000  # milliseconds, where nothing else is said


DRIFT = 1234  # milliseconds by which the wall's clock is ahead, where effects are written


def no_payload(value: Value) -> bytes:
    """Of the values of a keyspace that has none but strings."""
    raise AssertionError(f"{value} is no string")


class World:
    """The daemon's parts on a clock that is set by hand, and one client that has no connection.

    ``now`` is the present in milliseconds; ``changes`` what was heard of changes; ``inbox`` the
    messages that were delivered to the client, and ``pushed`` what else was pushed to it.
    """

    def __init__(self) -> None:
        self.now = NOW
        self.changes: list[tuple[str, bytes | None]] = []
        self.inbox: list[Message] = []
        self.pushed: list[Push | Status] = []
        clock = Clock(steady=lambda: self.now / 1000, wall=lambda: self.now / 1000)
        parts = assemble(
            ReactorClock(),
            clock,
            Config(),
            FileSystem(),
            maybeDeferred,
            clock.seconds,
            Random(1).random,
        )
        self.parts = parts
        self.daemon = parts.daemon
        self.daemon.saver = None  # nothing is written
        self.channels = parts.channels
        self.databases = parts.engine.databases
        self.db = self.databases[0]
        self._told, self.db.changed = self.db.changed, self._changed
        self.session = Session(1, self.channels, self.inbox.append, self.pushed.append)
        self.context = parts.engine.context(self.session)
        self._engine = parts.engine
        self._dispatcher = parts.dispatcher
        self._dialect = parts.dialects.text()

    def run(self, *argv: bytes) -> Reply:
        """The neutral reply to a request; raises what the command raises."""
        container = CONTAINERS.get(argv[0])
        command = COMMANDS[argv[0]] if container is None else container.find(argv)
        return self._engine.execute(self.context, command, argv)

    def say(self, line: str) -> str:
        """The line of the text dialect that answers ``line``, without its end."""
        output: list[bytes] = []
        requests = self._dialect.feed(line.encode() + b"\n")
        self._dispatcher.run(self.context, requests, self._dialect, output, [])
        assert self._dispatcher.failures == 0, f"{line!r} raised what it should not"
        (answer,) = output
        assert answer.endswith(b"\n")
        return answer[:-1].decode()

    def ask(self, line: str) -> Any:
        """The object that answers ``line``."""
        return json.loads(self.say(line))

    def heard(self) -> list[tuple[str, bytes | None]]:
        """The changes since the last time that this was asked."""
        changes, self.changes[:] = self.changes[:], []
        return changes

    def _changed(self, operation: str, key: bytes | None, effect: Effect) -> None:
        self.changes.append((operation, key))
        self._told(operation, key, effect)


def refusal(world: World, *argv: bytes) -> str:
    """The error that answers a request, its code first, as Redis's clients see it."""
    try:
        world.run(*argv)
    except CommandError as error:
        return f"{error.code} {error}"
    raise AssertionError(f"{argv} is not refused")


def conversation(world: World, text: str) -> None:
    """Hold a conversation: each line ``> request`` is said, and the line under it must answer."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    requests, replies = lines[::2], lines[1::2]
    assert all(request.startswith("> ") for request in requests)
    for request, reply in zip(requests, replies, strict=True):
        assert (request, world.say(request[2:])) == (request, reply)


Comparable = list[bytes] | tuple[type[Exception], str, str]


def comparable(requests: Iterable[Request]) -> list[Comparable]:
    """Requests such that two of the same kind and words are equal."""
    return [
        (type(request), str(request), getattr(request, "hint", ""))
        if isinstance(request, Exception)
        else request
        for request in requests
    ]


def fed(*pieces: bytes, limits: Limits | None = None, wary: bool = False) -> list[Comparable]:
    """What a parser makes of pieces fed to it one after another, up to what ends the connection;
    ``wary``: of a stranger's."""
    parser, requests = TextParser(RULES, limits or Limits()), list[Request]()
    parser.be_wary(parser._limits.unauthenticated_buffer if wary else None)
    for piece in pieces:
        requests += parser.feed_warily(piece) if wary else parser.feed(piece)
        if requests and isinstance(requests[-1], ProtocolError):
            break
    return comparable(requests)


def in_bytes(data: bytes) -> Iterator[bytes]:
    return (data[at : at + 1] for at in range(len(data)))


KEYS = st.sampled_from([b"a", b"b", b"c", b"d"])
VALUES = st.sampled_from([b"", b"1", b"a longer value"])
TTLS = st.none() | st.integers(1, 30)


class KeyspaceMachine(RuleBasedStateMachine):
    """Drives a keyspace beside a naive model of it: a dict of values and deadlines, and the time.

    The model takes a key out when the keyspace says that it did, and then checks that it was
    right to. The hooks at the end are for a keyspace with bounds.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.model: dict[bytes, tuple[bytes, int | None]] = {}
        self.heard: list[tuple[str, bytes | None]] = []
        self.db: Keyspace = Keyspace(lambda: self.now, self.changed, no_payload)
        self.done: list[Effect] = []
        self.replay = Replay({}, {})

    def changed(self, operation: str, key: bytes | None, effect: Effect) -> None:
        if effect:
            self.done.append(effect)
        if operation == "expire":
            assert key is not None
            assert not self.alive(key), "expired before its deadline"
            del self.model[key]  # KeyError: heard twice
        else:
            self.heard.append((operation, key))

    def alive(self, key: bytes) -> bool:
        deadline = self.model.get(key, (b"", 0))[1]
        return deadline is None or deadline > self.now

    def expect(self, *operations: tuple[str, bytes | None]) -> None:
        """Exactly these changes were heard since the last time."""
        heard, self.heard = self.heard, []
        assert heard == list(operations)

    def expect_no_dead(self, key: bytes) -> None:
        """Whoever looked at ``key`` or overwrote it has taken it out first, if it had expired."""
        assert self.alive(key) or key not in self.model

    @rule(ms=st.integers(1, 40))
    def time_goes_on(self, ms: int) -> None:
        self.now += ms

    @rule(key=KEYS, value=VALUES, ttl=TTLS)
    def set(self, key: bytes, value: bytes, ttl: int | None) -> None:
        if self.room_for(key, value):
            deadline = None if ttl is None else self.now + ttl
            self.db.set(key, value, deadline)
            self.expect_no_dead(key)
            self.model[key] = value, deadline
            self.expect(("set", key))
            self.used(key)

    @rule(key=KEYS, value=VALUES)
    def update(self, key: bytes, value: bytes) -> None:
        if self.room_for(key, value):
            deadline = self.model[key][1] if self.alive(key) else None
            assert (self.db.get(key) is not None) == self.alive(key)
            self.db.update(key, value, "append")
            self.model[key] = value, deadline
            self.expect(("append", key))
            self.used(key)

    @rule(key=KEYS)
    def delete(self, key: bytes) -> None:
        was_there = self.alive(key)
        assert self.db.delete(key) == was_there
        self.expect(*[("delete", key)] * was_there)
        self.model.pop(key, None)

    @rule(key=KEYS, ttl=st.integers(-2, 30))
    def expire_at(self, key: bytes, ttl: int) -> None:
        was_there = self.alive(key)
        assert self.db.expire_at(key, self.now + ttl) == was_there
        if was_there:
            self.used(key)
            self.expect(("set_ttl" if ttl > 0 else "delete", key))
            self.model[key] = self.model[key][0], self.now + ttl
            if ttl <= 0:
                del self.model[key]
        self.expect()

    @rule(key=KEYS)
    def persist(self, key: bytes) -> None:
        had = self.alive(key) and self.model[key][1] is not None
        if self.alive(key):
            self.used(key)
        assert self.db.persist(key) == had
        self.expect(*[("persist", key)] * had)
        if had:
            self.model[key] = self.model[key][0], None

    @rule(key=KEYS, new=KEYS)
    def rename(self, key: bytes, new: bytes) -> None:
        assume(key != new)  # no command does that
        was_there = self.alive(key)
        assert self.db.rename(key, new) == was_there
        if was_there:
            self.expect_no_dead(new)
            self.model[new] = self.model.pop(key)
            self.used(new)
            self.expect(("rename_from", key), ("rename_to", new))
        self.expect()

    @rule()
    def clear(self) -> None:
        self.db.clear()
        self.model.clear()
        self.expect(("flushall", None))

    @rule(limit=st.integers(1, 4))
    def sweep(self, limit: int) -> None:
        due = sum(not self.alive(key) for key in self.model)
        assert self.db.sweep(limit) == min(due, limit)
        assert sum(not self.alive(key) for key in self.model) == max(0, due - limit)

    @rule(key=KEYS)
    def look(self, key: bytes) -> None:
        if self.alive(key):
            value, deadline = self.model[key]
            assert self.db.get(key) == value
            assert self.db.deadlines.get(key) == deadline
            assert self.db.ttl_ms(key) == (None if deadline is None else deadline - self.now)
            self.used(key)
        else:
            assert self.db.get(key) is None
            self.expect_no_dead(key)

    @invariant()
    def what_lives_is_what_is_seen(self) -> None:
        living = [key for key in self.model if self.alive(key)]
        assert sorted(self.db.keys()) == sorted(living)
        assert len(self.db) == len(living)

    @invariant()
    def the_containers_agree(self) -> None:
        deadlines = {key: at for key, (_, at) in self.model.items() if at is not None}
        assert self.db.values == {key: value for key, (value, _) in self.model.items()}
        assert self.db.deadlines == deadlines
        assert list(self.db._due) == sorted((at, key) for key, at in deadlines.items())

    @invariant()
    def what_was_done_does_the_same_again(self) -> None:
        done, self.done = self.done, []
        self.replay.apply(decode(encode(done, DRIFT)))
        again = self.replay.databases[0]
        assert again.values == self.db.values
        assert again.deadlines == {key: at + DRIFT for key, at in self.db.deadlines.items()}

    # For a keyspace with bounds

    def room_for(self, key: bytes, value: bytes) -> bool:
        """Whether a command over ``key`` that brings ``value`` may run."""
        return True

    def used(self, key: bytes) -> None:
        """``key`` is now the last used."""
