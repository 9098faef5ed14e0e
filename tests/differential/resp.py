"""The wire: requests to bytes, and bytes to replies that keep what was sent.

hiredis would tell ``,3`` from ``,3.0`` or an array from a set no more once it has parsed them. So
a :class:`Reply` has its bytes beside its parts, and whoever compares can ask for either.
"""

from __future__ import annotations

from typing import NamedTuple

Argv = tuple[bytes, ...]

RAW = b"RAW"  # in the place of a command's name: what follows is sent as it is

_CONTAINERS = frozenset(
    (b"CLIENT", b"CONFIG", b"COMMAND", b"OBJECT", b"MEMORY", b"PUBSUB", b"SLOWLOG", b"LATENCY")
)
_LINES = b"+-:,#_("
_BULKS = b"$=!"
_AGGREGATES = b"*~>%|"
_PAIRS = b"%|"


class Request(NamedTuple):
    """One command of one of the clients; ``RAW`` and bytes stand for just these bytes."""

    argv: Argv
    client: int = 0

    @property
    def name(self) -> bytes:
        """The command in capitals."""
        return self.argv[0].upper() if self.argv else b""

    def wire(self) -> bytes:
        """The bytes to send."""
        return self.argv[1] if self.argv[:1] == (RAW,) else encode(self.argv)

    def __str__(self) -> str:
        shown = " ".join(map(shown_argument, self.argv))
        return f"{self.client}> {shown}" if self.client else shown


class Reply(NamedTuple):
    """One reply: its type's byte, its text (None for a null), its parts, and all of its bytes."""

    kind: bytes
    text: bytes | None
    items: tuple[Reply, ...]
    raw: bytes

    @property
    def is_error(self) -> bool:
        return self.kind in b"-!"


def command_name(argv: Argv) -> bytes:
    """A command's name in capitals, with its subcommand's where it has them."""
    words = [word.upper() for word in argv[:2]]
    return b" ".join(words[: 2 if words and words[0] in _CONTAINERS else 1])


def shown_argument(argument: bytes) -> str:
    """An argument as redis-cli takes it: bare where it can be, else quoted."""
    text = argument.decode("latin-1")
    if text and all("!" <= char <= "~" and char not in "\"'\\" for char in text):
        return text
    return '"' + repr(argument)[2:-1].replace('"', '\\"') + '"'


def encode(argv: Argv) -> bytes:
    """A command as clients send it: an array of bulk strings."""
    parts = [b"*%d\r\n" % len(argv)]
    parts += [b"$%d\r\n%b\r\n" % (len(argument), argument) for argument in argv]
    return b"".join(parts)


def split(data: bytes) -> tuple[list[Reply], bytes]:
    """All whole replies in ``data``, and the bytes that are left over.

    Raises ValueError where they are no RESP.
    """
    replies: list[Reply] = []
    at = 0
    try:
        while at < len(data):
            reply, at = _read(data, at)
            replies.append(reply)
    except EOFError:
        pass
    return replies, data[at:]


def _read(data: bytes, start: int) -> tuple[Reply, int]:
    end = data.find(b"\r\n", start)
    if end < 0:
        raise EOFError
    kind, line, at = data[start : start + 1], data[start + 1 : end], end + 2
    if kind in _LINES:
        return Reply(kind, None if kind == b"_" else line, (), data[start:at]), at
    if kind not in _BULKS + _AGGREGATES:
        raise ValueError(f"no reply starts with {data[start : start + 20]!r}")
    length = int(line)
    if length < 0:
        return Reply(kind, None, (), data[start:at]), at
    if kind in _BULKS:
        text, at = data[at : at + length], at + length + 2
        if at > len(data):
            raise EOFError
        if data[at - 2 : at] != b"\r\n":
            raise ValueError(f"{length} bytes are not what follows {data[start:end]!r}")
        return Reply(kind, text, (), data[start:at]), at
    items: list[Reply] = []
    for _ in range(length * (2 if kind in _PAIRS else 1)):
        item, at = _read(data, at)
        items.append(item)
    return Reply(kind, line, tuple(items), data[start:at]), at
