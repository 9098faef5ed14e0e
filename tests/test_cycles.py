"""What a request leaves behind: nothing that only the collector of cycles would find.

With it a daemon under load would hold the loop from time to time, for as long as there are values.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from weakref import ref

import pytest
from crowds import crowd, resp, together
from harness import House
from twisted.logger import capturedLogs


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


# Requests of one client, the next one's, and so on.
CONVERSATIONS = {
    "a request": [b"set k v\nget k\nincr k\nnosuch\nget\n"],
    "a transaction": [b"multi\nset k v\nincr k\nlpush k x\nexec\n"],
    "a transaction that is refused": [b"multi\nnosuch\nexec\n"],
    "one who waits and is served": [b"blpop k 0\n", b"rpush k a\n"],
    "one who waits and is refused": [b"blmove k s left left 0\n", b"set s x\nrpush k a\n"],
    "one who waits for some time": [b"blpop k 1\n", b"ping\n"],
    "one who is held": [b"client pause 1 write\n", b"incr k\n", b"set k x\n", b"incr k\n"],
    "one who is held and then waits": [b"client pause 1\n", b"blpop k 1\n"],
    "one who waits without a reply": [b"client reply off\nblpop k 1\n"],
}


@pytest.mark.parametrize("conversation", CONVERSATIONS.values(), ids=CONVERSATIONS)
@pytest.mark.usefixtures("no_collector")
def test_nothing_is_left_to_the_collector(conversation: list[bytes]) -> None:
    house = House()
    peers = [house.connect() for _ in conversation]

    def hold() -> None:
        for peer, requests in zip(peers, conversation, strict=True):
            peer.asks(requests)
        house.passes(1)
        house.passes(1)
        peers[-1].asks(b"flushall\n")

    with capturedLogs():
        hold()  # what is made once, at the first time
        gc.collect()
        hold()
    assert gc.collect() == 0


@pytest.mark.usefixtures("no_collector")
def test_neither_is_a_connection_that_is_lost() -> None:
    house, peers = crowd()
    together(house, *[(peer, resp(b"get", b"k")) for peer in peers])
    peer = peers.pop()
    house.peers.remove(peer)
    peer.vanishes()
    # What a transport of the reactor's lets go of by itself.
    wire, protocol = peer.wire, peer.protocol
    wire.protocol = wire.producer = protocol.transport = None  # type: ignore[assignment]
    gone = ref(protocol)
    del peer, wire, protocol
    assert gone() is None
