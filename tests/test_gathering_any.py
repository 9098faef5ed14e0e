"""Whatever many connections send in one turn, each is answered as if it were alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from crowds import PLENTY, resp, text, together
from harness import House
from hypothesis import given, settings
from hypothesis import strategies as st

from memdbd.keyspace import Keyspace


@dataclass(frozen=True)
class Kind:
    """What a connection of the random tests is."""

    speaks: str  # resp2, resp3 or text
    database: int
    is_guest: bool


KINDS = st.builds(
    Kind,
    st.sampled_from(["resp2", "resp2", "resp3", "text"]),
    st.sampled_from([0, 0, 0, 3]),
    st.sampled_from([False, False, False, True]),
)

USUAL = [
    (b"get", b"$k"), (b"set", b"$k", b"$v"), (b"incr", b"$k"), (b"lpush", b"$k", b"$v"),
    (b"rpush", b"$k", b"$v"), (b"lpop", b"$k"), (b"rpop", b"$k"), (b"sadd", b"$k", b"$v"),
    (b"sismember", b"$k", b"$v"), (b"hset", b"$k", b"f", b"$v"), (b"hget", b"$k", b"f"),
    (b"zadd", b"$k", b"1", b"$v"), (b"zscore", b"$k", b"$v"), (b"zpopmin", b"$k"), (b"ping",),
    (b"mset", b"$k", b"$v"), (b"mset", b"$k", b"$v", b"$o", b"$v"), (b"publish", b"$c", b"$v"),
    (b"del", b"$k"), (b"exists", b"$k", b"$o"), (b"ttl", b"$k"),
]  # fmt: skip

UNUSUAL = [
    (b"mget", b"$k", b"$k"), (b"pexpire", b"$k", b"50"), (b"persist", b"$k"),
    (b"set", b"$k", b"$v", b"px", b"70"), (b"get",), (b"GET", b"$k"), (b"Incr", b"$k"),
    (b"nonsense",), (b"multi",), (b"multi",), (b"exec",), (b"discard",), (b"watch", b"$k"),
    (b"select", b"0"), (b"select", b"3"), (b"strlen", b"$k"), (b"append", b"$k", b"$v"),
    (b"subscribe", b"$c"), (b"unsubscribe", b"$c"), (b"mset", b"$k"),
    (b"client", b"reply", b"skip"), (b"client", b"reply", b"off"), (b"client", b"reply", b"on"),
    (b"client", b"tracking", b"on"), (b"client", b"setname", b"n"), (b"reset",), (b"quit",),
    (b"blpop", b"$k", b"1"), (b"set", b"$k", b"1" * 70_000), (b"hello", b"3"), (b"hello", b"2"),
    (b"flushdb", b"never"), (b"scan", b"0", b"match", b"nothing"), (b"randomkey_",),
]  # fmt: skip

PIECES = st.tuples(
    st.sampled_from(USUAL) | st.sampled_from(UNUSUAL),
    st.integers(1, 4),  # how often
    st.integers(0, 2),  # which key
    st.sampled_from([b"1", b"x", b"7"]),
)
# For each turn: the command that most send, and for each connection, what it sends beside it.
TURNS = st.lists(
    st.tuples(
        st.sampled_from(USUAL),
        st.lists(
            st.tuples(st.integers(0, 3), st.lists(PIECES, max_size=2)), min_size=6, max_size=6
        ),
        st.sampled_from([0.0, 0.0, 0.0, 0.06]),
        st.sampled_from([0, 4, PLENTY, PLENTY]),
        st.booleans(),
    ),
    min_size=1,
    max_size=5,
)
WITNESSES = st.sampled_from(["", "", "", "monitor", "listener", "watcher", "waiter", "pool"])


def words(number: int, template: tuple[bytes, ...], key: int, value: bytes) -> list[bytes]:
    """A request of one connection, whose keys nobody else has."""
    names = {b"$k": b"%d:%d" % (number, key), b"$v": value, b"$c": b"c%d" % number}
    names[b"$o"] = b"%d:%d" % (number, 2 - key)  # another
    return [names.get(word, word) for word in template]


def bytes_of(number: int, kind: Kind, usual: tuple[bytes, ...], sent: Any) -> bytes:
    """What a connection sends in a turn."""
    write = text if kind.speaks == "text" else resp
    often, pieces = sent
    data: bytes = write(*words(number, usual, 0, b"1")) * often
    for template, times, key, value in pieces:
        data += write(*words(number, template, key, value)) * times
    return data


def shown(keyspace: Keyspace, value: Any) -> bytes:
    """All of a value."""
    return value if isinstance(value, bytes) else bytes(keyspace.payload(value))


class Party:
    """A daemon with connections of several kinds, and maybe a witness."""

    def __init__(self, kinds: list[Kind], witness: str) -> None:
        self.house = House()
        self.peers = [self.house.connect() for _ in kinds]
        first = self.house.connect()
        first.asks(
            text(b"acl", b"setuser", b"guest", b"on", b"nopass", b"~*:0", b"&*", b"+@all", b"-incr")
        )
        for peer, kind in zip(self.peers, kinds, strict=True):
            write = text if kind.speaks == "text" else resp
            peer.asks(write(b"ping"))
            if kind.speaks == "resp3":
                peer.asks(write(b"hello", b"3"))
            if kind.is_guest:
                peer.asks(write(b"auth", b"guest", b""))
            peer.asks(write(b"select", b"%d" % kind.database))
        self.witness = self.house.connect()
        self.witness.asks(resp(b"ping"))
        told: dict[str, list[tuple[bytes, ...]]] = {
            "monitor": [(b"monitor",)],
            "listener": [(b"subscribe", b"db_updates")],
            "watcher": [(b"watch", b"0:0")],
            # Of one connection's keys: of several, it depends on their order how often it looks.
            "waiter": [(b"blpop", b"0:0", b"0:1", b"0")],
            "pool": [(b"scan", b"0")],
        }
        for request in told.get(witness, ()):
            self.witness.asks(resp(*request))

    def outcome(self) -> dict[str, Any]:
        """All that can be told of it."""
        house = self.house
        stats = house.engine.stats()
        calls = {name: calls for name, (calls, _) in house.dispatcher.counts().items() if calls}
        if "NOPERM" in house.dispatcher.errors:
            calls = {}  # whether a refused one is counted, depends on whether somebody tracks keys
        return {
            "bytes in": house.factory.received,
            "bytes out": house.factory.sent,
            "calls": calls,
            "errors": house.dispatcher.errors,
            "closed": [peer.closed for peer in self.peers],
            "last": [
                peer.protocol.session.last and peer.protocol.session.last.full_name
                for peer in self.peers
            ],
            "stats": stats,
            "values": [
                sorted((key, shown(each, value)) for key, value in each.values.items())
                for each in house.engine.databases
            ],
            "pools": [
                sorted(each._pool.page(0, 1000)[1]) if each._pool is not None else None
                for each in house.engine.databases
            ],
            "deadlines": [dict(each.deadlines) for each in house.engine.databases],
            "witness": sorted(self.witness.hears().replace(b"\r\n", b"\n").splitlines()),
        }


@settings(max_examples=40, deadline=None)
@given(kinds=st.lists(KINDS, min_size=6, max_size=6), witness=WITNESSES, turns=TURNS)
def test_each_connection_is_answered_as_if_it_were_alone(
    kinds: list[Kind], witness: str, turns: list[Any]
) -> None:
    compare(kinds, witness, turns)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(kinds=st.lists(KINDS, min_size=6, max_size=6), witness=WITNESSES, turns=TURNS)
def test_each_connection_is_answered_as_if_it_were_alone_however_long_one_looks(
    kinds: list[Kind], witness: str, turns: list[Any]
) -> None:
    compare(kinds, witness, turns)


def compare(kinds: list[Kind], witness: str, turns: list[Any]) -> None:
    """Play the same with a daemon that gathers, and with one that has one connection at a time."""
    many, single = Party(kinds, witness), Party(kinds, witness)
    for usual, sent, seconds, room, is_held in turns:
        data = [bytes_of(number, kinds[number], usual, each) for number, each in enumerate(sent)]
        for party in (many, single):
            for peer in party.peers:
                peer.wire.room = room
        turn = many.house.factory.turn
        if is_held:
            turn.commit = lambda: False
        together(many.house, *[pair for pair in zip(many.peers, data, strict=True) if pair[1]])
        if is_held:
            turn.commit = lambda: True
            if turn.is_held:
                turn.committed()
        for peer, theirs in zip(single.peers, data, strict=True):
            if theirs and not peer.closed and peer.wire.producerState == "producing":
                peer.protocol.dataReceived(theirs)
            single.house.settle()
        for one, other in zip(many.peers, single.peers, strict=True):
            assert one.hears() == other.hears()
        for party in (many, single):
            party.house.passes(seconds)
    for one, other in zip(many.peers, single.peers, strict=True):
        assert one.hears() == other.hears()
    assert many.outcome() == single.outcome()
