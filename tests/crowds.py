"""Many connections to a daemon in memory, whose requests come in one turn, as the poll makes it."""

from __future__ import annotations

from typing import Any

from harness import House, Peer

from memdbd.commands.spec import Command

OK = b"+OK\r\n"
NULL = b"$-1\r\n"
WRONG = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
PLENTY = 1 << 20  # bytes of room


def resp(*words: bytes) -> bytes:
    """A request in RESP."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words)


def text(*words: bytes) -> bytes:
    """The same as a line."""
    return b" ".join(words) + b"\n"


def together(house: House, *arrivals: tuple[Peer, bytes]) -> None:
    """One turn, as the poll makes it, in which these bytes come in."""
    turn = house.factory.turn
    turn.begin()
    for peer, data in arrivals:
        if not peer.closed and peer.wire.producerState == "producing":
            peer.protocol.dataReceived(data)
    turn.end()


def crowd(count: int = 4, **settings: Any) -> tuple[House, list[Peer]]:
    """A daemon, and connections that speak RESP, with all the room that they want."""
    house = House(**settings)
    peers = [house.connect() for _ in range(count)]
    for peer in peers:
        peer.wire.room = PLENTY
        assert peer.asks(resp(b"select", b"0")) == OK
    # Once gathered, so that each has its lane.
    together(house, *[(peer, resp(b"get", b"nothing")) for peer in peers])
    assert [peer.hears() for peer in peers] == [NULL] * count
    return house, peers


def calls_together(house: House) -> list[int]:
    """How many requests each run has from now on."""
    sizes: list[int] = []
    run = house.dispatcher.run_together

    def noted(context: Any, command: Command, requests: Any) -> Any:
        replies = run(context, command, requests)
        sizes.append(len(replies))
        return replies

    house.dispatcher.run_together = noted  # type: ignore[method-assign,assignment]
    return sizes
