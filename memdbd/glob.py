"""Glob patterns over bytes, with Redis's rules and no pattern that explodes.

``*`` any bytes, ``?`` one byte, ``[a-z]`` one of a set, ``[^a]`` one not of it, ``\\x`` the byte x.
The rules at the edges (an unclosed set, a reversed range, a lone backslash at the end, an empty
text, which only the empty pattern matches) are those of ``stringmatchlen`` in Redis's ``util.c``.
Whoever takes ``*`` for all there are, as KEYS does, does not ask here.

Strategy: a pattern becomes a regular expression in which each ``*`` is an atomic group up to the
next literal piece, so it is never tried again (as CPython's own ``fnmatch.translate`` does it);
the time is at worst length of the pattern times length of the text, and the pattern is bounded. The
bound is the process's: patterns come from a dozen commands, from users and from parameters, all the
way down to where no daemon is known, and it is about the time that any of them may take.
May import: errors, limits.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from memdbd.errors import CommandError
from memdbd.limits import Limits

Matcher = Callable[[bytes], object]  # truthy where the text matches as a whole

_STAR, _ANY, _SET, _UNSET, _ESCAPE = b"*?[]\\"


class PatternTooLong(CommandError):
    """A pattern of more bytes than a pattern may have."""

    limit = "max_pattern"


class _Bound:
    limits = Limits()


def bound_by(limits: Limits) -> None:
    """Have patterns be no longer than ``limits`` say, from now on."""
    _Bound.limits = limits


def matcher(pattern: bytes) -> Matcher:
    """A function that tells whether a text matches ``pattern`` as a whole.

    Raises PatternTooLong.
    """
    longest = _Bound.limits.max_pattern
    if len(pattern) > longest:
        raise PatternTooLong(f"pattern is too long, at most {longest} bytes are allowed")
    return _compiled(pattern)


@lru_cache(maxsize=256)
def _compiled(pattern: bytes) -> Matcher:
    not_empty = b"(?=.)" if pattern else b""
    return re.compile(not_empty + _translate(pattern), re.DOTALL).fullmatch


def _translate(pattern: bytes) -> bytes:
    pieces: list[bytes] = [b""]  # the pieces between stars
    at = 0
    while at < len(pattern):
        byte = pattern[at]
        at += 1
        if byte == _STAR:
            if pieces[-1] or len(pieces) == 1:
                pieces.append(b"")
        elif byte == _ANY:
            pieces[-1] += b"."
        elif byte == _SET:
            one, at = _translate_set(pattern, at)
            pieces[-1] += one
        else:
            if byte == _ESCAPE and at < len(pattern):
                byte = pattern[at]
                at += 1
            pieces[-1] += _literal(byte)
    if len(pieces) == 1:
        return pieces[0]
    first, *middle, last = pieces
    return first + b"".join(b"(?>.*?%s)" % piece for piece in middle) + b".*" + last


def _translate_set(pattern: bytes, at: int) -> tuple[bytes, int]:
    """The expression for the set that starts at ``at``, behind its ``[``, and where it ends."""
    inverted = pattern[at : at + 1] == b"^"
    at += inverted
    members = b""
    while at < len(pattern) and pattern[at] != _UNSET:
        if pattern[at] == _ESCAPE and at + 1 < len(pattern):
            members += _literal(pattern[at + 1])
            at += 2
        elif pattern[at + 1 : at + 2] == b"-" and at + 2 < len(pattern):
            low, high = sorted((pattern[at], pattern[at + 2]))
            members += _literal(low) + b"-" + _literal(high)
            at += 3
        else:
            members += _literal(pattern[at])
            at += 1
    if not members:
        return (b"." if inverted else b"(?!)"), at + 1
    return b"[%s%s]" % (b"^" if inverted else b"", members), at + 1


def _literal(byte: int) -> bytes:
    return b"\\x%02x" % byte
