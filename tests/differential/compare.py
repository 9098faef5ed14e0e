"""Two performances of a sequence, compared: what redis-server replied, and what memdbd did."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby, zip_longest

from differential.grammar.sequences import Sequence
from differential.likeness import likeness
from differential.players import Chunks
from differential.resp import Argv, Reply, Request, command_name, split

Exchange = tuple[Argv, Reply, Reply]  # a command, and what two servers replied
Witness = Callable[[Request, Reply], None]  # is told what redis-server replied to what

_UNSUBSCRIBED = frozenset((b"unsubscribe", b"punsubscribe", b"sunsubscribe"))
_UNKNOWN = "-ERR unknown command"
_NOTHING = Reply(b"", None, (), b"<nothing>")
_RESET = Request((b"RESET",))


@dataclass(frozen=True)
class Difference:
    """Where two servers part: after which command of the sequence, and what they said.

    ``signature`` is the same for differences that are probably the same defect. ``argv`` is the
    command that was replied to, which in EXEC may be one of the queued, and ``replies`` are what
    both said then, or sent; of a state there are none.
    """

    at: int
    redis: str
    memdbd: str
    signature: tuple[str, ...]
    argv: Argv = ()
    replies: tuple[bytes, bytes] = (b"", b"")


class Transaction:
    """Which commands EXEC replies to: those of this connection that have been queued."""

    def __init__(self) -> None:
        self._queued: list[Argv] = []

    def follow(self, request: Request, reply: Reply) -> None:
        """Take note of a reply."""
        if request.name == b"MULTI" and not reply.is_error:
            self._queued = []
        elif reply.raw == b"+QUEUED\r\n":
            self._queued.append(request.argv)

    def odd_ones(self, request: Request, one: Reply, other: Reply) -> list[Exchange]:
        """The commands whose replies are not alike, with these: in EXEC, some of the queued."""
        if one.raw == other.raw:
            return []
        exchanges = [(request.argv, one, other)]
        lengths = {len(one.items), len(other.items), len(self._queued)}
        if request.name == b"EXEC" and one.kind == other.kind and len(lengths) == 1:
            exchanges = list(zip(self._queued, one.items, other.items, strict=True))
        return [exchange for exchange in exchanges if not _alike(*exchange)]


def _alike(argv: Argv, one: Reply, other: Reply) -> bool:
    if one.raw == other.raw:
        return True
    rule = likeness(argv)
    if rule is None or one.is_error or other.is_error or one.raw == b"+QUEUED\r\n":
        return False
    return rule(argv, one, other)


def piped(
    sequence: Sequence, redis: bytes, memdbd: bytes, witness: Witness | None = None
) -> Iterator[Difference]:
    """What differs between all that two servers replied down a pipe."""
    if redis == memdbd and witness is None:
        return
    ours, theirs = _replies(redis), _replies(memdbd)
    transaction = Transaction()
    requests = (*sequence.requests, _RESET)
    for at, (request, one, other) in enumerate(zip_longest(requests, ours, theirs)):
        if one is None and other is None:
            return
        one, other, request = one or _NOTHING, other or _NOTHING, request or _RESET
        transaction.follow(request, one)
        if witness is not None:
            witness(request, one)
        for exchange in transaction.odd_ones(request, one, other):
            yield _difference(min(at, len(requests) - 2), *exchange)


def stepped(
    sequence: Sequence, redis: list[Chunks], memdbd: list[Chunks], witness: Witness | None = None
) -> Iterator[Difference]:
    """What differs between what the clients of two servers heard, step by step."""
    transactions = [Transaction() for _ in range(sequence.group.clients)]
    for at, (request, ours, theirs) in enumerate(
        zip(sequence.requests, redis, memdbd, strict=True)
    ):
        for client, pair in enumerate(zip(ours, theirs, strict=True)):
            replies = _canonical(_replies(pair[0]))
            if client == request.client and replies:
                transactions[client].follow(request, replies[-1])
                if witness is not None:
                    witness(request, replies[-1])
            asked = request if client == request.client else None
            odd = _odd_replies(asked, *pair, transactions[client])
            if odd is None:
                yield _heard_otherwise(at, request, client, *pair)
            else:
                yield from (_difference(at, *exchange) for exchange in odd)


def same_chunk(asked: Request | None, one: bytes, other: bytes, transaction: Transaction) -> bool:
    """Whether a client heard the same in a step, where it had asked this or nothing."""
    return _odd_replies(asked, one, other, transaction) == []


def _odd_replies(
    asked: Request | None, one: bytes, other: bytes, transaction: Transaction
) -> list[Exchange] | None:
    """What differs in the reply, if the client asked; None where it is not that alone."""
    if one == other:
        return []
    ours, theirs = _canonical(_replies(one)), _canonical(_replies(other))
    if len(ours) != len(theirs):
        return None
    pairs = list(zip(ours, theirs, strict=True))
    odd = [] if asked is None else transaction.odd_ones(asked, *pairs.pop())
    return odd if all(mine.raw == yours.raw for mine, yours in pairs) else None


def _canonical(replies: list[Reply]) -> list[Reply]:
    """With the channels in order that are left all at once, and patterns that are told together;
    and with what has become invalid in front of the reply.

    Redis goes through those in the order of its hash tables. The third comes behind the reply, or,
    if another client's is told here, as it happens: in front of that to SET, behind that to RPUSH.
    """
    canonical: list[Reply] = []
    for event, run in groupby(sorted(replies, key=_is_no_invalidation), key=_event):
        group = list(run)
        if event == b"pmessage":
            group.sort(key=lambda reply: reply.raw)
        elif event in _UNSUBSCRIBED:
            names = sorted((reply.items[1] for reply in group), key=lambda name: name.raw)
            group = [
                reply._replace(raw=name.raw + reply.items[2].raw)
                for reply, name in zip(group, names, strict=True)
            ]
        canonical += group
    return canonical


def _is_no_invalidation(reply: Reply) -> bool:
    return not (reply.kind == b">" and reply.items[0].text == b"invalidate")


def _event(reply: Reply) -> bytes | None:
    return reply.items[0].text if len(reply.items) > 2 else None


def _replies(data: bytes) -> list[Reply]:
    """The replies in these bytes; what is none, stands for one at the end."""
    try:
        replies, rest = split(data)
    except ValueError:
        replies, rest = [], data
    return [*replies, Reply(b"?", rest, (), rest)] if rest else replies


def _heard_otherwise(
    at: int, request: Request, client: int, one: bytes, other: bytes
) -> Difference:
    parts = zip_longest(_replies(one), _replies(other), fillvalue=_NOTHING)
    pair = next(((ours, theirs) for ours, theirs in parts if ours.raw != theirs.raw), None)
    difference = _difference(at, request.argv, *(pair or (_NOTHING, _NOTHING)))
    who = "asking" if client == request.client else "listening"
    heard = f"to {client}: {one!r}", f"to {client}: {other!r}"
    return Difference(at, *heard, (*difference.signature, who), request.argv, (one, other))


def _difference(at: int, argv: Argv, one: Reply, other: Reply) -> Difference:
    forms = _form(one), _form(other)
    if forms[1] == _UNKNOWN:  # one defect, whatever Redis replies
        forms = "known", _UNKNOWN
    signature = (command_name(argv).decode("latin-1"), *forms)
    return Difference(at, repr(one.raw), repr(other.raw), signature, argv, (one.raw, other.raw))


def _form(reply: Reply) -> str:
    """A reply without what is said in it: an error's text without names and numbers."""
    if reply.is_error:
        text = (reply.text or b"").decode("latin-1")
        if text.startswith(_UNKNOWN[1:]):
            return _UNKNOWN
        return "-" + re.sub(r"'[^']*'|\d+", "…", text, flags=re.DOTALL)[:80]
    if reply.text is None:
        return (reply.kind + b"null").decode("latin-1") if reply.kind else "nothing"
    return reply.kind.decode("latin-1")
