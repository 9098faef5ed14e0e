"""The core in Python: what the compiled one does too, for whatever they are given.

How requests are read, ``parsing.py`` has. Everything here is done for a whole run at once wherever
all in it is usual: one comprehension, one look at all classes, one join.

May import: replies.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any

from memdbd.replies import OK, Status

Words = Sequence[bytes]
Effect = tuple[bytes | int, ...]

# What resp encodes at once, in bytes; and a value from which get_many leaves it to others.
MOST = 256 * 1024
LONG = 64 * 1024
# A word of an effect that is not worth a copy; the frame with it is written in several pieces.
CITED = 16 * 1024

# The effect of a change which that of another one brings.
NOTHING: Effect = ()

# The types of what may be replaced with nothing to be done but that; nothing, too.
REPLACEABLE = frozenset({bytes, type(None)})

# What a deadline on disk may be, as commands take it, whatever the wall's clock is set to.
EARLIEST, LATEST = 1, 2**63 - 1

# Headers by length: a look into a list takes a fifth of the time to format a number. Many values
# have 1 KiB: to set one takes 8.8 us where that is longer than this, and 5.7 where it is not.
_SHORT = 2048
_BULKS = [b"\r\n$%d\r\n" % length for length in range(_SHORT)]


# Replies


def resp(replies: Sequence[Any], null: bytes) -> bytes | None:
    """RESP of replies that are bytes, integers, OK, or None, which is ``null``; one behind the
    other.

    None where there is another among them, or where that would be more than MOST bytes. (What can
    be joined with bytes, as a bytearray can, is no reply: there the twins may differ.)
    """
    if len(replies) > _FEW_REPLIES:
        kind = replies[0].__class__
        if kind is bytes:
            try:
                return _strings(replies)  # to look at all classes first is a third of the time
            except TypeError:
                pass  # some are not
        elif kind is Status and replies.count(OK) == len(replies):  # none is equal but itself
            return b"+OK\r\n" * len(replies) if 5 * len(replies) <= MOST else None
        kinds = set(map(type, replies))
        if kind is int and len(kinds) == 1:
            encoded = b":%d\r\n" * len(replies) % tuple(replies)
            return encoded if len(encoded) <= MOST else None
        if not kinds <= _PLAIN:
            return None
    return _mixed(replies, null)


def each(replies: Sequence[Any], null: bytes) -> list[bytes] | None:
    """RESP of each of such replies; None where there is another among them."""
    kinds = set(map(type, replies))
    if kinds == _BYTES:
        return [b"$%d\r\n%b\r\n" % (len(reply), reply) for reply in replies]
    if kinds == _INTEGERS:
        return [b":%d\r\n" % reply for reply in replies]
    if kinds == _STATUSES and replies.count(OK) == len(replies):
        return [b"+OK\r\n"] * len(replies)
    lines = []
    for reply in replies:
        kind = type(reply)
        if kind is bytes:
            lines.append(b"$%d\r\n%b\r\n" % (len(reply), reply))
        elif reply is None:
            lines.append(null)
        elif reply is OK:
            lines.append(b"+OK\r\n")
        elif kind is int:
            lines.append(b":%d\r\n" % reply)
        else:
            return None
    return lines


def arrays(replies: Sequence[Any], null: bytes) -> list[bytes] | None:
    """RESP of each of some lists of such replies as ``resp`` takes; None where there is anything
    else among them."""
    lines = []
    for reply in replies:
        items = resp(reply, null) if reply.__class__ is list else None
        if items is None:
            return None
        lines.append(b"*%d\r\n%b" % (len(reply), items))
    return lines


# Strings of one reply up to which the replies to several requests are made together: to weigh more
# takes about as long as it saves. (LRANGE of 600 takes 28 us by itself and 35 together here,
# compiled of 300 13 and 7.)
WEIGHED = 256


def weight(strings: Sequence[bytes]) -> int:
    """The bytes of all together."""
    return sum(map(len, strings))


_FEW_REPLIES = 4  # up to so many, one by one is quicker

_BYTES, _INTEGERS, _STATUSES = frozenset({bytes}), frozenset({int}), frozenset({Status})
_PLAIN = frozenset({bytes, int, Status, type(None)})


def _strings(strings: Sequence[bytes]) -> bytes | None:
    """The same of nothing but strings; raises TypeError where there is another among them."""
    lengths = list(map(len, strings))
    first, count = lengths[0], len(lengths)
    if lengths.count(first) == count:  # which takes 5 ns each, and saves 40
        head = b"$%d\r\n" % first
        if (len(head) + first + 2) * count > MOST:
            return None
        return b"%b%b\r\n" % (head, (b"\r\n" + head).join(strings))
    if sum(lengths) > MOST:
        return None
    parts: list[bytes] = [b"\r\n"] * (2 * count + 1)
    try:
        parts[:-1:2] = map(_BULKS.__getitem__, lengths)
    except IndexError:
        parts[:-1:2] = [b"\r\n$%d\r\n" % length for length in lengths]
    parts[1::2] = strings
    parts[0] = parts[0][2:]  # these two are at the end
    encoded = b"".join(parts)
    return encoded if len(encoded) <= MOST else None


def _mixed(replies: Sequence[Any], null: bytes) -> bytes | None:
    encoded, size = [], 0
    for reply in replies:
        if reply.__class__ is bytes:
            size += len(reply)
            if size > MOST:  # before it is made
                return None
            encoded.append(b"$%d\r\n%b\r\n" % (len(reply), reply))
        elif reply is None:
            encoded.append(null)
        elif reply is OK:
            encoded.append(b"+OK\r\n")
        elif reply.__class__ is int:
            encoded.append(b":%d\r\n" % reply)
        else:
            return None
    joined = b"".join(encoded)
    return joined if len(joined) <= MOST else None


# Effects


def effects(effects: Iterable[Effect], drift: int) -> bytes:
    """Effects as RESP arrays; ``drift`` is added to integers, which are deadlines."""
    return b"".join(_parts(effects, drift)[0])


def pieces(effects: Iterable[Effect], drift: int) -> list[bytes]:
    """The same in pieces, of which those words are some that have CITED bytes and more: they need
    not be copied. At least one piece, and none is empty but where all is."""
    parts, are_short = _parts(effects, drift)
    if are_short:
        return [b"".join(parts)]
    found: list[bytes] = []
    begun = 0  # where the parts are that have not been joined
    for at, part in enumerate(parts):
        if len(part) >= CITED:
            found += (b"".join(parts[begun:at]), part)
            begun = at + 1
    found.append(b"".join(parts[begun:]))
    return found


def _parts(effects: Iterable[Effect], drift: int) -> tuple[list[bytes], bool]:
    """What the effects are put together of, and whether each of it is shorter than CITED."""
    effects = effects if effects.__class__ is list else list(effects)
    if len(effects) > _FEW_EFFECTS:
        some = _of_one_name(effects)
        if some is not None:
            return some, True
    parts: list[bytes] = []
    are_short = True
    add = parts.append
    name: Any  # bytes, as all are but deadlines
    key: Any
    value: Any
    for effect in effects:
        try:
            if len(effect) == 3:
                # As most have: in one step, which is half the time.
                name, key, value = effect
                add(
                    b"*3%b%b%b%b%b%b\r\n"
                    % (_BULKS[len(name)], name, _BULKS[len(key)], key, _BULKS[len(value)], value)
                )
            else:
                parts += _of_many_words(effect)
        except (IndexError, TypeError):  # a long word, or a deadline
            words = [_word(word, drift) for word in effect]
            add(b"*%d" % len(words))
            for word in words:
                parts += b"\r\n$%d\r\n" % len(word), word
            add(b"\r\n")
            are_short = are_short and all(len(word) < CITED for word in words)
    return parts, are_short


def _word(word: Any, drift: int) -> bytes:
    if word.__class__ is int:
        return b"%d" % min(max(word + drift, EARLIEST), LATEST)
    return word  # type: ignore[no-any-return] # bytes, as all are but deadlines


def _of_many_words(effect: Sequence[Any]) -> list[bytes]:
    """The parts of an effect, as of a run that has set many keys, or many fields of a hash: 35 ns a
    word, and 150 word by word. IndexError or TypeError where one is long, or a deadline."""
    parts = [b"\r\n"] * (2 * len(effect) + 2)
    parts[1:-1:2] = map(_BULKS.__getitem__, map(len, effect))
    parts[2:-1:2] = effect
    parts[0] = b"*%d" % len(effect)
    return parts


_FEW_EFFECTS = 8  # up to so many, one by one is as quick


def _of_one_name(effects: list[Effect]) -> list[bytes] | None:
    """The parts of effects that all have the same name and as many words behind it, none of them
    long: in two thirds of the time. None where they have not."""
    count, words = len(effects), len(effects[0])
    if words < 2 or set(map(len, effects)) != {words}:
        return None
    columns: Any = zip(*effects, strict=True)  # of bytes, as all are but deadlines
    names = next(columns)
    name = names[0]
    if names.count(name) != count:
        return None
    step = 2 * words - 1
    try:
        begin = b"\r\n*%d%b%b" % (words, _BULKS[len(name)], name)
        parts = [begin] * (step * count + 1)
        for at, column in enumerate(columns):
            parts[2 * at + 1 : -1 : step] = map(_BULKS.__getitem__, map(len, column))
            parts[2 * at + 2 : -1 : step] = column
    except (IndexError, TypeError):
        return None  # a long word, or a deadline
    parts[0], parts[-1] = begin[2:], b"\r\n"
    return parts


# Commands over a run of requests: they answer the first of them, up to one that is unusual, before
# which they stop. ``values`` is the keyspace's, and what has changed is appended to ``effects``.


def ahead(where: object, run: Sequence[Words], word: int, step: int = 0) -> int:
    """Have from memory what it takes to look up word number ``word`` of each of some requests in
    ``where``, and every ``step``-th behind it where that is not 0. Only the other twin can: here
    there is nothing that could be had earlier than by the look-up itself. Gives how many of them it
    has found at the first look, for a test."""
    return 0


def alike(requests: Sequence[object], at: int, most: int) -> int:
    """How many requests from place ``at`` on, ``most`` at most, begin with the same word as the
    first of them and have as many words: 0 where that is no list of words. All are lists, or
    errors; of anything else the twins may make what they like."""
    first = requests[at]
    if first.__class__ is not list or not first:
        return 0
    name, words = first[0], len(first)
    count = 0
    some: Sequence[Any] = requests[at : at + most]
    try:
        for request in some:
            if len(request) != words or request[0] != name:
                break
            count += 1
    except TypeError:
        pass  # an error has no length
    return count


def _looked_up(values: dict[bytes, Any], run: Sequence[Words]) -> Sequence[Any]:
    """The values of the keys of a run, or None each.

    Where there are many keys, to find one is to wait three times for memory. In a loop as tight as
    this, with the keys' hashes made before, the processor waits for several at once: a GET of
    100,000 keys takes 270 ns, and one by one 375.
    """
    keys = [request[1] for request in run]
    if len(keys) > 1:
        all(map(hash, keys))  # which they keep
        try:
            return itemgetter(*keys)(values)  # type: ignore[no-any-return] # of several, a tuple
        except KeyError:
            pass
    return list(map(values.get, keys))


def get_many(values: dict[bytes, Any], run: Sequence[Words], effects: list[Effect]) -> list[Any]:
    """GET of each: a value of bytes, or None. Long ones are for others, and what is beyond MOST."""
    found = _looked_up(values, run)
    kinds = set(map(type, found))
    if kinds <= REPLACEABLE and sum(map(len, filter(None, found))) < LONG:  # as mostly
        return list(found)
    room = MOST
    for at, value in enumerate(found):
        if value.__class__ is bytes:
            size = len(value)
            room -= size
            if size >= LONG or room < 0:
                return list(found[:at])
        elif value is not None:
            return list(found[:at])
    return list(found)


def set_many(values: dict[bytes, Any], run: Sequence[Words], effects: list[Effect]) -> list[Any]:
    """SET of each, as long as there are bytes to be replaced, or nothing."""
    found = _looked_up(values, run)
    if not set(map(type, found)) <= REPLACEABLE:
        kinds = [kind in REPLACEABLE for kind in map(type, found)]
        run = run[: kinds.index(False)]
    words = [b"MSET"]
    for _, key, value in run:
        values[key] = value
        words += key, value
    _note_set(effects, words)
    return [OK] * len(run)


def incr_many(values: dict[bytes, Any], run: Sequence[Words], effects: list[Effect]) -> list[Any]:
    """INCR of each: what it comes to, from 0 where there is nothing."""
    replies: list[int] = []
    words = [b"MSET"]
    get, small, answer = values.get, _FOLLOWING.get, replies.append
    for request in run:
        key = request[1]
        value = get(key, b"0")
        try:
            following = small(value) or _following(value)
        except TypeError:  # it is a container
            break
        if following is None:
            break
        number, value = following
        values[key] = value
        words += key, value
        answer(number)
    _note_set(effects, words)
    return replies


def _note_set(effects: list[Effect], words: list[bytes]) -> None:
    """Append the effect of a run that has set all the keys in ``words``, an MSET: as SETs it takes
    110 ns more a key to make and to encode, and 13 bytes of the journal."""
    changes = len(words) // 2
    if changes == 1:
        words[0] = b"SET"
    if changes:
        effects.append(tuple(words))
        effects += [NOTHING] * (changes - 1)


def _following(value: bytes) -> tuple[int, bytes] | None:
    """What comes behind an integer, and how that is written; None where it is none of 64 bits,
    written in the only way, or the last."""
    if value.__class__ is not bytes or len(value) > _DIGITS_OF_INT64:
        return None
    try:
        number = int(value)
    except ValueError:
        return None
    if b"%d" % number != value or not -_TOO_MUCH <= number < _TOO_MUCH - 1:
        return None
    return number + 1, b"%d" % (number + 1)


# What follows a small number, and how that is written: the same bytes for all keys, as in Redis.
# That takes an INCR of 100,000 keys from 1300 ns to 1080, all in.
_WRITTEN = [b"%d" % number for number in range(_SHORT + 1)]
_FOLLOWING = {_WRITTEN[number]: (number + 1, _WRITTEN[number + 1]) for number in range(_SHORT)}
_DIGITS_OF_INT64 = 20  # with a sign
_TOO_MUCH = 2**63
