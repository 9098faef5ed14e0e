"""The few reply types that Python lacks.

A handler returns None, bool, int, float, bytes, str, list, dict, a CommandError (as an item of a
list) or one of these; only dialects make bytes of them. Imports nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from operator import itemgetter
from typing import Any, NamedTuple

_KEY = itemgetter(1)

# The neutral replies. Containers hold replies again, so it is as open as Python is.
Reply = Any


class Status:
    """A short word of success, such as ``OK``: not data, so it is no ``bytes``."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"Status({self.text!r})"


OK = Status("OK")
PONG = Status("PONG")
QUEUED = Status("QUEUED")


class NullArray:
    """Nothing, where there would have been an array: RESP2 tells it from other nothings."""

    __slots__ = ()


class NoReply:
    """What is answered with silence."""

    __slots__ = ()


NULL_ARRAY = NullArray()
NO_REPLY = NoReply()


class Members:
    """The members of a set, in no order that means anything."""

    __slots__ = ("items",)

    def __init__(self, items: Sequence[Reply]) -> None:
        self.items = items


class Pairs:
    """Pairs of fields and values that need not be unique: flat in RESP2, arrays of two in RESP3;
    the text dialect names both."""

    __slots__ = ("items",)

    def __init__(self, items: Sequence[tuple[Reply, Reply]]) -> None:
        self.items = items


class Scored(Pairs):
    """Pairs of members and scores."""

    __slots__ = ()


class Page(NamedTuple):
    """What a scan found, a list, a dict or Scored, and the cursor behind it.

    Both versions of RESP have it as version 2 would: all in one flat array of strings.
    """

    cursor: bytes
    found: Reply


class Record:
    """Fields of which each means something else: in RESP, an array of them in this order; in the
    text dialect, an object, in which those of a record within it stand among the others."""

    __slots__ = ("fields",)

    def __init__(self, **fields: Reply) -> None:
        self.fields = fields


class Double:
    """A floating point number whose digits the command has chosen."""

    __slots__ = ("digits",)

    def __init__(self, digits: str) -> None:
        self.digits = digits


class BulkDouble(Double):
    """One that is a string in RESP3 too."""

    __slots__ = ()


class Verbatim:
    """Text for a person to read, of several lines."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class Push:
    """What is no reply, but comes unasked: its first item says what it is."""

    __slots__ = ("items",)

    def __init__(self, *items: Reply) -> None:
        self.items = items


class Several:
    """More than one reply to one request, as SUBSCRIBE gives one for each channel."""

    __slots__ = ("replies",)

    def __init__(self, replies: Iterable[Reply]) -> None:
        self.replies = list(replies)


class Results:
    """What each command of a transaction has answered."""

    __slots__ = ("replies",)

    def __init__(self, replies: list[Reply]) -> None:
        self.replies = replies


class Fields:
    """A reply of the text dialect with named fields beside its ``result``.

    ``extra`` is what stands after the result: a dict from field name to reply.
    """

    __slots__ = ("extra", "result")

    def __init__(self, result: Reply, extra: dict[str, Reply]) -> None:
        self.result = result
        self.extra = extra


class Found:
    """What ``get`` found, for the text dialect: the value of ``key`` and its whole seconds left.

    Apart from :class:`Fields` for the read cache, which wants to know the key.
    """

    __slots__ = ("key", "ttl", "value")

    def __init__(self, key: bytes, value: bytes | None, ttl: int | None) -> None:
        self.key = key
        self.value = value
        self.ttl = ttl


class FoundAll:
    """What a run of ``get`` found, for the text dialect: ``values`` are those of the first so many
    of its requests, of which none has a deadline.

    It is the sequence of what they found; but whoever encodes it wants the values alone.
    """

    __slots__ = ("run", "values")

    def __init__(self, run: Sequence[Sequence[bytes]], values: Sequence[bytes | None]) -> None:
        self.run = run
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, part: slice) -> FoundAll:
        return FoundAll(self.run[part], self.values[part])

    def __iter__(self) -> Iterator[Found]:
        return map(Found, map(_KEY, self.run), self.values, repeat(None))


# The replies to several requests.
Replies = Sequence[Reply] | FoundAll


def count_missing(replies: Replies) -> int:
    """How many of them are None. Mostly all are there, which ``all`` says in 5 ns for each, where
    counting takes 15."""
    values = replies.values if isinstance(replies, FoundAll) else replies
    return 0 if all(values) else values.count(None)


class Message:
    """A published message on its way to subscribers.

    ``kind`` is Redis's word for how it was asked for: ``message``, ``pmessage`` (then ``pattern``
    is what matched) or ``smessage``. It keeps what each dialect made of it, so that it is encoded
    once, whoever listens.
    """

    __slots__ = ("channel", "encoded", "kind", "pattern", "payload")

    def __init__(
        self,
        channel: bytes,
        payload: bytes,
        kind: bytes = b"message",
        pattern: bytes | None = None,
    ) -> None:
        self.channel = channel
        self.payload = payload
        self.kind = kind
        self.pattern = pattern
        self.encoded: dict[object, bytes] = {}


class Pending:
    """A reply that is not there yet; the session answers nothing else before it comes.

    ``resolve(reply)`` gives it, a reply or a :class:`~memdbd.errors.CommandError`, before or
    after ``then``; only the first counts. ``abandon`` says that nobody waits any more, and calls
    ``abandoned`` if there was no reply yet. Whoever waits may have said with ``is_deserted`` how to
    find out whether he is gone and could not say so yet.
    """

    __slots__ = ("_reply", "_then", "abandoned", "is_deserted")

    _UNSET = object()

    def __init__(self, abandoned: Callable[[], object] | None = None) -> None:
        self.abandoned = abandoned
        self.is_deserted: Callable[[], bool] = _is_never
        self._reply: Any = self._UNSET
        self._then: Callable[[Any], None] | None = None

    @property
    def is_resolved(self) -> bool:
        return self._reply is not self._UNSET

    def resolve(self, reply: Any) -> None:
        """Give the reply; whoever waits is called now."""
        if self.is_resolved:
            return
        self._reply = reply
        then = self._then
        self._forget()
        if then is not None:
            then(reply)

    def then(self, callback: Callable[[Any], None]) -> None:
        """Call ``callback(reply)`` as soon as there is one."""
        if self.is_resolved:
            self._forget()
            callback(self._reply)
        else:
            self._then = callback

    def stand_for(self, other: Pending, make: Callable[[Any], Any] = lambda reply: reply) -> None:
        """Be resolved with what ``make`` makes of the reply of ``other``, for which whoever waits
        for this one waits in truth."""
        self.abandoned = other.abandon
        other.is_deserted = self._is_deserted
        other.then(lambda reply: self.resolve(make(reply)))

    def _is_deserted(self) -> bool:
        return self.is_deserted()  # whoever waits may say how to find out later

    def abandon(self) -> None:
        """Nobody waits for it any more."""
        abandoned = self.abandoned
        self._forget()
        if not self.is_resolved and abandoned is not None:
            self._reply = None
            abandoned()

    def _forget(self) -> None:
        """Know nobody any more who knows this reply: only the collector would find the two."""
        self.abandoned = self._then = None
        self.is_deserted = _is_never


def _is_never() -> bool:
    return False
