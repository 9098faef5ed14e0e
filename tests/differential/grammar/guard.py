"""What is never sent: it would stop a server, fill its memory, or have no determined outcome.

Chance finds all of this in time. Each rule is a function that says whether a command breaks it;
whether a command waits for keys depends on what came before.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from differential.grammar.atoms import FAR, GEOS
from differential.resp import Argv, Request, command_name

FURTHEST = 1000  # the last byte that a command may create in a string
REPEATS = 1000  # how many members, drawn with repetition, are too many
SOON_SECONDS, SOON_MILLISECONDS = 10, 10_000  # a deadline within that may pass while we compare
SHORT_WAIT, LONG_WAIT = 0.05, 100.0  # seconds: what is over at once, and what is not over in time

_HIGHEST = 2**63 - 1
_TIME_LAST = frozenset((b"BLPOP", b"BRPOP", b"BZPOPMIN", b"BZPOPMAX", b"BRPOPLPUSH", b"BLMOVE"))
_TIME_FIRST = frozenset((b"BLMPOP", b"BZMPOP"))
_ENDS_TRANSACTION = frozenset((b"EXEC", b"QUIT"))
_ENDS_TRANSACTION_ALONE = frozenset((b"DISCARD", b"RESET"))  # with a word more, they fail


def _integer(word: bytes) -> int | None:
    """The number that Redis reads here, or None; only what it might take matters."""
    try:
        return int(word)
    except ValueError:
        return None


def _integers(argv: Argv) -> Iterable[int]:
    return (value for word in argv[2:] if (value := _integer(word)) is not None)


def _grows(argv: Argv) -> bool:
    """Creates a string of megabytes: 512 MiB is the limit, and below it is too much."""
    return any(FURTHEST < value < 2**29 for value in _integers(argv[:3]))


def _grows_by_bits(argv: Argv) -> bool:
    words = (word.removeprefix(b"#") for word in argv[2:])
    offsets = (value for word in words if (value := _integer(word)) is not None)
    return any(FURTHEST * 8 < value < 2**33 for value in offsets)


def _repeats(argv: Argv) -> bool:
    """Asks for gigabytes of members."""
    return any(-_HIGHEST - 1 < value < -REPEATS for value in _integers(argv))


def _soon(argv: Argv) -> bool:
    """Has a deadline that may pass before the state is compared."""
    limit = SOON_MILLISECONDS if argv[0].upper().startswith(b"P") else SOON_SECONDS
    return any(0 < value < limit for value in _integers(argv[:3]))


def _soon_by_option(argv: Argv) -> bool:
    options = {b"EX": SOON_SECONDS, b"PX": SOON_MILLISECONDS}
    return any(
        word.upper() in options
        and (value := _integer(argv[at + 1])) is not None
        and 0 < value < options[word.upper()]
        for at, word in enumerate(argv[:-1])
    )


def _is_past(argv: Argv) -> bool:
    """SET with a deadline that has passed: Redis keeps the key until it comes upon it."""
    return argv[0].upper() == b"SET" and any(
        word.upper() in (b"EXAT", b"PXAT") and 0 < (_integer(argv[at + 1]) or 0) < FAR
        for at, word in enumerate(argv[:-1])
    )


def _soon_restored(argv: Argv) -> bool:
    return b"ABSTTL" not in (word.upper() for word in argv) and any(
        0 < value < SOON_MILLISECONDS for value in _integers(argv[:3])
    )


def _unordered_store(argv: Argv) -> bool:
    """Stores in an order, or a choice, that Redis does not determine.

    Elements whose patterns' texts are the same may come in any order; ANY takes what it finds.
    """
    words = {word.upper() for word in argv}
    if b"ANY" in words:
        return b"STORE" in words or b"STOREDIST" in words or argv[0].upper() == b"GEOSEARCHSTORE"
    return {b"STORE", b"BY", b"ALPHA"} <= words


def _equally_far(argv: Argv) -> bool:
    """Looks for the nearest among scores that are no places, or makes such of distances.

    Many of those are at one place, and come in any order. ``far`` is a key that is not searched.
    """
    words = [word.upper() for word in argv]
    is_new = words[0] == b"GEOSEARCHSTORE"  # that has its keys in front, and STOREDIST is a flag
    if b"COUNT" in words and not set(GEOS).issuperset(argv[1 + is_new : 2 + is_new]):
        return True
    stores = (at for at, word in enumerate(words[: None if is_new else -1]) if word == b"STOREDIST")
    return any(argv[1 if is_new else at + 1] != b"far" for at in stores)


def _any_place(argv: Argv) -> bool:
    return _unordered_store(argv) or _equally_far(argv)


def _dangerous_client(argv: Argv) -> bool:
    """Closes our own connections or stops all of them; or is replied to twice, as Redis does where
    of three prefixes the last two overlap."""
    words = [word.upper() for word in argv[1:]]
    if words.count(b"PREFIX") > 2:
        return True
    if b"KILL" in words:
        return b"NORMAL" in words and b"99999999" not in words
    return words[:1] == [b"PAUSE"] and len(words) > 1 and (_integer(argv[2]) or 0) > 1


def _waiting_time(argv: Argv) -> float | None:
    """How many seconds a command may wait, inf for ever; None if it fails or returns at once."""
    name = argv[0].upper()
    if name == b"WAIT" and len(argv) == 3:
        replicas, milliseconds = map(_integer, argv[1:])
        if replicas is None or replicas <= 0 or milliseconds is None or milliseconds < 0:
            return None
        return milliseconds / 1000 or math.inf
    if name in _TIME_LAST:
        word = argv[-1]
    elif name in _TIME_FIRST and len(argv) > 1:
        word = argv[1]
    else:
        return None
    if b"x" in word.lower():  # C reads hexadecimal numbers there, and Python does not
        return math.inf
    try:
        seconds = float(word)
    except ValueError:
        return None
    return None if seconds < 0 else seconds or math.inf


_RULES: Mapping[bytes, Callable[[Argv], bool]] = {
    b"SETRANGE": _grows,
    b"SETBIT": _grows_by_bits,
    b"BITFIELD": _grows_by_bits,
    b"SRANDMEMBER": _repeats,
    b"HRANDFIELD": _repeats,
    b"ZRANDMEMBER": _repeats,
    b"EXPIRE": _soon,
    b"PEXPIRE": _soon,
    b"SETEX": _soon,
    b"PSETEX": _soon,
    b"SET": _soon_by_option,
    b"GETEX": _soon_by_option,
    b"RESTORE": _soon_restored,
    b"SORT": _unordered_store,
    **dict.fromkeys((b"GEOSEARCH", b"GEOSEARCHSTORE", b"GEORADIUS", b"GEORADIUS_RO"), _any_place),
    **dict.fromkeys((b"GEORADIUSBYMEMBER", b"GEORADIUSBYMEMBER_RO"), _any_place),
    b"CLIENT": _dangerous_client,
}


class Guard:
    """Looks at the commands of a sequence one after the other.

    Where all of them are sent at once, one that waits for long holds up the others; but in a
    transaction nothing waits, so that there it may say so. Where each is waited for (``stepped``),
    other clients end the waiting, and time must not. CLIENT REPLY and CLIENT KILL have no place in
    a transaction: Redis would send fewer replies than its array announces. Nor has DBSIZE any
    behind a key that is past its deadline: Redis counts it, for some time.
    """

    def __init__(self, stepped: bool) -> None:
        self._stepped = stepped
        self._in_transaction: set[int] = set()  # clients
        self._is_past = False  # a key may be

    def allows(self, request: Request) -> bool:
        """Whether this can be sent next; if so, it counts as sent."""
        argv, name = request.argv, request.name
        if name in _RULES and _RULES[name](argv):
            return False
        in_transaction = request.client in self._in_transaction
        if in_transaction and command_name(argv) in (b"CLIENT REPLY", b"CLIENT KILL"):
            return False
        self._is_past |= _is_past(argv)
        if self._is_past and name == b"DBSIZE":
            return False
        seconds = _waiting_time(argv)
        if seconds is not None and (self._stepped or not in_transaction):
            shortest, longest = (LONG_WAIT, math.inf) if self._stepped else (0.0, SHORT_WAIT)
            if not shortest <= seconds <= longest:
                return False
        if name == b"MULTI" and len(argv) == 1:
            self._in_transaction.add(request.client)
        elif name in _ENDS_TRANSACTION or (name in _ENDS_TRANSACTION_ALONE and len(argv) == 1):
            self._in_transaction.discard(request.client)
        return True


def resynchronised(requests: Sequence[Request]) -> bool:
    """Whether, where the server chooses what is left, that is deleted at once."""
    return all(
        after is not None and after.argv == (b"DEL", request.argv[1])
        for request, after in itertools.zip_longest(requests, requests[1:])
        if chooses(request)
    )


def chooses(request: Request) -> bool:
    """Whether the server decides what such a command leaves behind."""
    return request.name == b"SPOP" and len(request.argv) > 1
