"""Conversations of several Redis clients with a :class:`~harness.House`, as a test writes them.

A line ``a> GET key`` is what client ``a`` sends, words in quotes where they need them; the lines
under it are all that anybody then hears, as ``a: "value"`` and ``b: >["invalidate", ["key"]]``.
Clients are there from when they are first named on.

RESP is shown by its types: ``+OK``, ``-ERR …``, ``:1``, ``,1.5``, ``#t``, ``"bulk string"``,
``=verbatim``, ``nil`` (of RESP3), ``nil2`` and ``nil2[]`` (of RESP2), ``[…]``, ``~[…]``, ``>[…]``
and ``{…}``.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

from harness import House, Peer

CLOSED = "closed"  # what stands for the end of a connection


def request(*words: bytes) -> bytes:
    """The bytes of a request."""
    return b"*%d\r\n%b" % (len(words), b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words))


def shown(data: bytes) -> list[str]:
    """Each of the replies that these bytes are."""
    replies = []
    while data:
        reply, data = _one(data)
        replies.append(reply)
    return replies


def _one(data: bytes) -> tuple[str, bytes]:
    head, _, rest = data.partition(b"\r\n")
    kind, text = head[:1], head[1:].decode("latin-1")
    match kind:
        case b"$" | b"*" if text == "-1":
            return "nil2" if kind == b"$" else "nil2[]", rest
        case b"_":
            return "nil", rest
        case b"$":
            size = int(text)
            return json.dumps(rest[:size].decode("latin-1")), rest[size + 2 :]
        case b"=":
            size = int(text)
            return "=" + rest[4:size].decode(), rest[size + 2 :]
        case b"*" | b"~" | b">" | b"%":
            items = []
            for _ in range(int(text) * (1 + (kind == b"%"))):
                item, rest = _one(rest)
                items.append(item)
            if kind == b"%":
                pairs = map(": ".join, zip(items[::2], items[1::2], strict=True))
                return f"{{{', '.join(pairs)}}}", rest
            return f"{kind.decode().strip('*')}[{', '.join(items)}]", rest
        case _:
            return head.decode("latin-1"), rest


class Party:
    """Some clients of a daemon, by their names."""

    def __init__(self) -> None:
        self.house = House()
        self.peers: dict[str, Peer] = {}
        self._gone: set[str] = set()

    def peer(self, name: str) -> Peer:
        """The client of this name."""
        if name not in self.peers:
            self.peers[name] = self.house.connect()
        return self.peers[name]

    def number(self, name: str) -> int:
        """Its CLIENT ID."""
        return self.peer(name).protocol.session.number

    def says(self, name: str, line: str) -> list[str]:
        """What client ``name`` alone hears when it sends a line."""
        self.sends(name, line)
        return self.heard().get(name, [])

    def sends(self, name: str, line: str) -> None:
        """Send a line, whose words are as a shell's."""
        self.peer(name).sends(request(*(word.encode("latin-1") for word in shlex.split(line))))

    def heard(self) -> dict[str, list[str]]:
        """What each has heard since the last time, of those who have."""
        self.house.settle()
        heard = {}
        for name, peer in self.peers.items():
            replies = shown(peer.hears())
            if peer.closed and name not in self._gone:
                self._gone.add(name)
                replies.append(CLOSED)
            if replies:
                heard[name] = replies
        return heard

    def talk(self, text: str) -> None:
        """Hold a conversation."""
        for name, line, expected in _steps(text):
            self.sends(name, line)
            assert (line, _in_lines(self.heard())) == (line, sorted(expected))


def _in_lines(heard: dict[str, list[str]]) -> list[str]:
    return sorted(f"{name}: {' '.join(replies)}" for name, replies in heard.items())


def _steps(text: str) -> Iterator[tuple[str, str, list[str]]]:
    """Who says what, and the lines of what is heard then."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    starts = [at for at, line in enumerate(lines) if line.split(" ")[0].endswith(">")]
    assert starts[:1] == [0], "it starts with what somebody says"
    for at, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        name, _, line = lines[at].partition("> ")
        yield name, line, lines[at + 1 : end]
