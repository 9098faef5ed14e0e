"""Effects: what a change of data has done, in a form that does it again.

An effect is a request to ourselves, the words of a command whose outcome depends on nothing but the
keys that it names: deadlines are absolute, random choices are made, ``EXPIRE`` in the past is
``DEL``. The journal keeps them as RESP arrays, so it can be read by a person, and the commands that
made the data make it again.

The effects of one turn are in order, from database 0; ``SELECT`` says where those behind it belong.
:data:`NAMES` is all of them: ``persistence/replay.py`` takes no others.

May import: core, hiredis.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import hiredis

from memdbd import core
from memdbd.core import python

# The words of a command. An int is a deadline in milliseconds of the clock of whoever has made it;
# on disk it is the wall's, which is the same but for the steps that the wall has taken since.
Effect = python.Effect

# Effects as RESP arrays: ``encode(effects, drift)``, where ``drift`` is added to deadlines.
encode = core.effects
in_pieces = core.pieces  # the same, of which long words are pieces by themselves
EARLIEST, LATEST = python.EARLIEST, python.LATEST  # what a deadline may be there

# Of a change whose effect another one brings, or that is one in name only.
NOTHING = python.NOTHING

# By what they name: one key, behind the name; the keys of all else are in ``touched``.
OF_ONE_KEY = frozenset(
    b"APPEND DEL HDEL HSET LINSERT LPOP LPUSH LREM LSET LTRIM PERSIST PEXPIREAT PFADD RESTORE RPOP "
    b"RPUSH SADD SET SETRANGE SREM ZADD ZREM".split()
)
OF_OTHERS = frozenset(b"CLOSE COPY FLUSHDB MOVE MSET RENAME SELECT SWAPDB".split())
NAMES = OF_ONE_KEY | OF_OTHERS

# Changes nothing: the frame that has it says up to where all was synced when no other did.
MARK: Effect = (b"SELECT", b"0")
CLOSE: Effect = (b"CLOSE",)  # does nothing: the last words of a daemon that has stopped

_NO_MORE = object()  # what the reader gives when there is nothing more to read
_END = b"*0\r\n"  # no effect, but what it would be read as at the end of one


# Bytes that the reader is given: what is left of them is moved up for each effect that it gives,
# and 31 MiB of small ones took 18 s at once, 0.03 s like this.
AT_ONCE = 64 * 1024


class Damaged(ValueError):
    """These bytes are not the effects that anybody wrote."""


def decode(payload: bytes) -> Iterator[list[bytes]]:
    """The effects in what ``encode`` gave, one by one; raises Damaged for all else."""
    reader = hiredis.Reader(notEnoughData=_NO_MORE)
    try:
        for at in range(0, len(payload), AT_ONCE):
            reader.feed(payload[at : at + AT_ONCE])
            while (words := reader.gets()) is not _NO_MORE:
                if type(words) is not list or not words or set(map(type, words)) != {bytes}:
                    raise Damaged("what is in it is no effect")
                yield words
        # The reader does not say whether it is in the middle of something.
        reader.feed(_END)
        if reader.gets() != []:
            raise Damaged("an effect in it is not complete")
    except (hiredis.ProtocolError, MemoryError, TypeError) as error:
        raise Damaged(f"what is in it is no effect: {error}") from None


Place = tuple[int, bytes | None]  # a database's number and a key in it; None: all keys


def touched(effects: Iterable[Sequence[bytes | int]]) -> Iterator[Place]:
    """The places that these effects touch, in order, some more than once."""
    database = 0
    for effect in effects:
        name = effect[0]
        if name in OF_ONE_KEY:
            yield database, effect[1]  # type: ignore[misc] # a key is no deadline
        elif name == b"MSET":
            for key in effect[1::2]:
                yield database, key  # type: ignore[misc]
        elif name == b"SELECT":
            database = int(effect[1])
        elif name == b"RENAME":
            yield database, effect[1]  # type: ignore[misc]
            yield database, effect[2]  # type: ignore[misc]
        elif name == b"COPY":  # key destination DB number REPLACE
            yield database, effect[1]  # type: ignore[misc]
            yield int(effect[4]), effect[2]  # type: ignore[misc]
        elif name == b"MOVE":
            yield database, effect[1]  # type: ignore[misc]
            yield int(effect[2]), effect[1]  # type: ignore[misc]
        elif name == b"FLUSHDB":
            yield database, None
        elif name == b"SWAPDB":
            yield int(effect[1]), None
            yield int(effect[2]), None
