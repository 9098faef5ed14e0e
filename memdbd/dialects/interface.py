"""What a connection needs of a dialect, so that it knows none of them, and how one is chosen.

One object a connection: it holds what has come of a request that is not complete. May import:
core, commands.spec, limits, replies, session, batch, streams, text, text_replies, resp,
resp_replies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from memdbd import core
from memdbd.commands.spec import Command, Container, Request
from memdbd.dialects.batch import Batch
from memdbd.dialects.resp import RespParser
from memdbd.dialects.resp_replies import ENCODERS, SMALL
from memdbd.dialects.streams import BULK, LARGE, STREAMED, Large, Parts, Stream, is_streamed
from memdbd.dialects.text import LineRules, TextParser
from memdbd.dialects.text_replies import TextEncoder
from memdbd.limits import Limits
from memdbd.replies import OK, PONG, Message, Push, Replies, Reply, Status
from memdbd.session import Session

Table = Mapping[bytes, Command]


class Dialect(Protocol):
    """How one connection speaks. ``commands`` are those it may name, by the two usual spellings.

    ``messages_first``: a message that a request has brought to its own connection goes out in
    front of the reply, and not behind it.
    """

    messages_first: bool
    commands: Table
    together: Table  # those of which several requests can be run together
    usual: dict[bytes, int] | None  # what core.lines goes by; None: it is RESP
    unasked: bytearray  # what it has to say to the peer by itself; whoever sends it, clears it

    @property
    def met(self) -> str:
        """The limit that the peer has met, if it has; then a ProtocolError was the last request."""

    @property
    def has_begun(self) -> bool:
        """Whether a part of a request has come."""

    @property
    def missing(self) -> int:
        """Bytes that have not come of the word in whose middle that is, as far as it is known."""

    def read(self, data: bytes) -> list[Request] | None:
        """The requests that ``data`` is, where that is quick to say; None, with nothing read, where
        it is to be fed. Not of a stranger."""

    def feed(self, data: bytes) -> Batch:
        """The requests that ``data`` completes; a ProtocolError is the last."""

    def be_wary(self, allowance: int | None) -> None:
        """From now on, the peer is a stranger, who may send less: of a request, ``allowance``
        bytes; or, with None, as it is until something else is said, a client."""

    def encode(self, reply: Reply) -> bytes | Parts | Stream:
        """The bytes of a reply, or how they are made piece by piece."""

    def encode_many(self, replies: Replies) -> bytes | None:
        """The bytes of several short replies; None where they are to be encoded one by one."""

    def encode_each(self, replies: Replies) -> list[bytes]:
        """The bytes of each of several short replies."""

    def encode_shares(self, replies: Replies, counts: Sequence[int]) -> list[bytes]:
        """The bytes of so many of several short replies, then of so many: ``counts`` come to
        all."""

    def message(self, message: Message) -> bytes:
        """The bytes that push a published message."""

    def push(self, push: Push | Status) -> bytes:
        """The bytes of something else that was not asked for."""


def encoded(dialect: Dialect, replies: Replies) -> bytes:
    """The bytes of several short replies, in whichever way it makes them."""
    line = dialect.encode_many(replies)
    return b"".join(dialect.encode_each(replies)) if line is None else line


def shares(of_all: Replies, counts: Iterable[int]) -> Iterator[Any]:
    """Of requests, or of the replies that there are, so many for each."""
    at = 0
    for count in counts:
        yield of_all[at : at + count]
        at += count


class TextDialect:
    """A line of words or of JSON in, a line of JSON out."""

    __slots__ = (
        "_encoder", "_parser", "commands", "encode", "feed", "message", "read", "together",
        "unasked", "usual",
    )  # fmt: skip

    messages_first = False
    missing = 0  # a line is not long

    def __init__(
        self,
        rules: LineRules,
        encoder: TextEncoder,
        commands: Table,
        together: Table,
        limits: Limits,
    ) -> None:
        self._parser = TextParser(rules, limits)
        self._encoder = encoder
        self.commands = commands
        self.together = together
        # The methods themselves, which saves a call for each.
        self.read = self._parser.read
        self.feed = self._parser.feed
        self.encode = encoder.encode
        self.message = encoder.message
        self.unasked = self._parser.refusals
        self.usual: dict[bytes, int] | None = rules.usual

    @property
    def met(self) -> str:
        return self._parser.met

    @property
    def has_begun(self) -> bool:
        return self._parser.has_begun

    def be_wary(self, allowance: int | None) -> None:
        self._parser.be_wary(allowance)
        self.feed = self._parser.feed if allowance is None else self._parser.feed_warily

    def encode_many(self, replies: Replies) -> bytes | None:
        return self._encoder.encode_many(replies)

    def encode_each(self, replies: Replies) -> list[bytes]:
        return list(map(self.encode, replies))  # type: ignore[arg-type] # none is long

    def encode_shares(self, replies: Replies, counts: Sequence[int]) -> list[bytes]:
        lines = self._encoder.encode_shares(replies, counts)
        if lines is not None:
            return lines
        if len(counts) == len(replies):
            return self.encode_each(replies)
        return [encoded(self, share) for share in shares(replies, counts)]

    def push(self, push: Push | Status) -> bytes:
        return self._encoder.push(push)


class RespDialect:
    """RESP in the version of the session: 2 until HELLO asks for 3."""

    __slots__ = ("_parser", "_session", "commands", "feed", "read", "together")

    messages_first = True
    unasked = bytearray()  # never anything
    usual: dict[bytes, int] | None = None

    def __init__(self, session: Session, commands: Table, together: Table, limits: Limits) -> None:
        self._session = session
        self.commands = commands
        self.together = together
        self._parser = RespParser(limits)
        self.read = self._parser.read
        self.feed = self._parser.feed

    @property
    def met(self) -> str:
        return self._parser.met

    @property
    def has_begun(self) -> bool:
        return self._parser.has_begun

    @property
    def missing(self) -> int:
        return self._parser.missing

    def be_wary(self, allowance: int | None) -> None:
        self._parser.be_wary(allowance)
        self.feed = self._parser.feed if allowance is None else self._parser.feed_warily

    def encode(self, reply: Reply) -> bytes | Parts | Stream:
        kind = reply.__class__
        if kind is bytes and (size := len(reply)) < LARGE:
            if size >= BULK:
                return Parts((b"$%d\r\n" % size, reply, b"\r\n"))
            return b"$%d\r\n%b\r\n" % (size, reply)
        if reply is OK:
            return b"+OK\r\n"
        if kind is int:
            return b":%d\r\n" % reply
        if reply is None and self._session.resp == 2:
            return b"$-1\r\n"
        version = self._session.resp
        if kind in STREAMED and is_streamed(reply):
            return ENCODERS[version].in_pieces(reply)
        try:
            return SMALL[version].encode(reply)
        except Large:
            return ENCODERS[version].unless_large(reply)

    def encode_many(self, replies: Replies) -> bytes | None:
        some: Any = replies  # FoundAll is the text dialect's
        if some[0] is PONG and some.count(PONG) == len(some):
            return b"+PONG\r\n" * len(some)
        return core.resp(some, ENCODERS[self._session.resp].null)

    def encode_each(self, replies: Replies) -> list[bytes]:
        some: Any = replies
        version = self._session.resp
        null = ENCODERS[version].null
        if some[0].__class__ is list:  # as of ZPOPMIN, or of LRANGE
            encoded = core.popped(some, version) or core.arrays(some, null)
        else:
            encoded = core.each(some, null)
        if encoded is not None:
            return encoded
        lines: Iterable[Any] = map(self.encode, some)  # none is a Stream
        return [b"".join(line) if line.__class__ is Parts else line for line in lines]

    def encode_shares(self, replies: Replies, counts: Sequence[int]) -> list[bytes]:
        if len(counts) == len(replies):  # one each, as mostly
            return self.encode_each(replies)
        some: Any = replies
        lines = core.resp_each(some, counts, ENCODERS[self._session.resp].null)
        if lines is None:
            lines = [encoded(self, share) for share in shares(replies, counts)]
        return lines

    def message(self, message: Message) -> bytes:
        return ENCODERS[self._session.resp].message(message)

    def push(self, push: Push | Status) -> bytes:
        return ENCODERS[self._session.resp].encode(push)


class Dialects:
    """All dialects there are: gives each connection its own.

    ``commands`` and ``containers`` are the tables by names in lower case.
    """

    __slots__ = ("_encoder", "_limits", "_resp", "_rules", "_text")

    def __init__(
        self,
        commands: Mapping[bytes, Command],
        containers: Mapping[bytes, Container],
        encoder: TextEncoder,
        limits: Limits,
    ) -> None:
        text = {name: command.text for name, command in commands.items()}
        self._rules = LineRules(text)
        self._encoder = encoder
        self._limits = limits
        self._text = _both_cases(text)
        self._resp = _both_cases(commands)

    def of_first_byte(self, first: bytes, session: Session) -> Dialect:
        """The dialect of a connection whose first byte this is."""
        return self.resp(session) if first == b"*" else self.text()

    def stats(self) -> Mapping[str, int]:
        """What their caches have done."""
        return self._encoder.stats()

    def resp(self, session: Session) -> Dialect:
        session.resp = 2
        return RespDialect(session, *self._resp, self._limits)

    def text(self) -> Dialect:
        return TextDialect(self._rules, self._encoder, *self._text, self._limits)


def _both_cases(commands: Mapping[bytes, Command]) -> tuple[Table, Table]:
    """Nearly every name comes in one of two cases, so that one look-up finds it. The second table
    has those of which several requests can be run together."""
    table = dict(commands) | {name.upper(): command for name, command in commands.items()}
    return table, {name: command for name, command in table.items() if command.many is not None}
