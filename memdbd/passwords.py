"""Passwords, of which nothing is kept but scrypt's hash.

A hash is a text in the PHC format, ``$scrypt$ln=14,r=8,p=1$<salt>$<hash>``, base64 without padding.
It takes some 40 ms and 16 MiB to make one, for us and for whoever guesses; so nothing here is to be
called where requests are answered. All passwords of a user have one salt, where they were made
here: to try one is to make one hash, however many he has. Redis's own hashes (SHA-256, 64
hexadecimal digits) are known, and replaced when the password is next seen.

scrypt itself takes the SHA-256 of a long password in place of it, and any number of NUL bytes at
its end for none. So that whoever has the one does not have the other, such passwords are digested
first.

Whoever guesses learns nothing from the time that an answer takes: a user who is not there, or has
fewer salts than others, costs the same, and what is compared is compared in constant time.

Imports nothing of memdbd. Source: RFC 7914; the format is that of the PHC string specification.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import NamedTuple

SALT_BYTES = 16
COST = 14  # log2 of the rounds
MOST_WORK = 4  # hashes that it may take to try a password of one user: everybody has to wait for it
_BLOCK, _PARALLEL, _LENGTH = 8, 1, 32
_LONG = 64  # bytes of a password that HMAC-SHA-256 takes as they are

_SCRYPT = re.compile(
    r"\$scrypt\$ln=([0-9]{2}),r=8,p=1\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{43})"
)
_SHA256 = re.compile(r"[0-9a-f]{64}")


class _Scrypt(NamedTuple):
    """A hash, taken apart."""

    salt: bytes
    digest: bytes


class Verdict(NamedTuple):
    """What became of a password: the hash that it has, or None; and the hash by which that is to be
    replaced, if it is not what would be made today."""

    hash: str | None
    better: str | None = None


def make(password: bytes, salt: bytes) -> str:
    """The hash of a password. ``salt``: SALT_BYTES random bytes, or those of another password of
    the same user."""
    return _text(salt, _digest(password, salt))


def is_hash(text: str) -> bool:
    """Whether it is a hash of either kind."""
    return _SHA256.fullmatch(text) is not None or _parse(text) is not None


def salt_of(hashes: Sequence[str]) -> bytes | None:
    """The salt that another password of the same user is to have; None where there is none yet."""
    return next((found.salt for found in map(_parse, hashes) if found), None)


def work(hashes: Sequence[str]) -> int:
    """How many hashes are made at most to try one password."""
    return _salts(hashes) + any(_parse(text) is None for text in hashes)


def _salts(hashes: Sequence[str]) -> int:
    return len({found.salt for found in map(_parse, hashes) if found})


def hashes_of(password: bytes, hashes: Sequence[str]) -> set[str]:
    """Those of ``hashes`` that the password has."""
    digests: dict[bytes, bytes] = {}
    sha256 = hashlib.sha256(password).hexdigest()
    found = set()
    for text in hashes:
        parsed = _parse(text)
        if parsed is None:
            if hmac.compare_digest(text.encode(), sha256.encode()):
                found.add(text)
            continue
        salt = parsed.salt
        if salt not in digests:
            digests[salt] = _digest(password, salt)
        if hmac.compare_digest(digests[salt], parsed.digest):
            found.add(text)
    return found


def verify(password: bytes, hashes: Sequence[str], fresh_salt: bytes, at_least: int) -> Verdict:
    """Try a password against all hashes of a user (none: there is no such user).

    ``fresh_salt`` is for a better hash than there is; ``at_least`` is how many hashes are made in
    any case, so that the time does not tell how many there were.
    """
    found = hashes_of(password, hashes)
    made = _salts(hashes)
    better = None
    outdated = next((text for text in found if _parse(text) is None), None)
    if outdated is not None:
        better = make(password, salt_of(hashes) or fresh_salt)
        made += 1
    for _ in range(made, at_least):
        _digest(password, fresh_salt)
    return Verdict(outdated or next(iter(found), None), better)


def _parse(text: str) -> _Scrypt | None:
    match = _SCRYPT.fullmatch(text)
    # Of one cost only: a user whose hash took another time to try could be told by that.
    if match is None or int(match[1]) != COST:
        return None
    try:
        return _Scrypt(_decoded(match[2]), _decoded(match[3]))
    except binascii.Error:  # a length that no bytes have
        return None


def _text(salt: bytes, digest: bytes) -> str:
    return f"$scrypt$ln={COST},r=8,p=1${_encoded(salt)}${_encoded(digest)}"


def _digest(password: bytes, salt: bytes) -> bytes:
    rounds = 1 << COST
    if len(password) > _LONG or password.endswith(b"\0"):
        password = b64encode(hashlib.sha384(b"memdb:" + password).digest())
    return hashlib.scrypt(
        password,
        salt=salt,
        n=rounds,
        r=_BLOCK,
        p=_PARALLEL,
        # What it takes, and a little for OpenSSL itself, whose own bound is just too low.
        maxmem=128 * _BLOCK * (rounds + 16),
        dklen=_LENGTH,
    )


def _encoded(raw: bytes) -> str:
    return b64encode(raw).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    return b64decode(text + "=" * (-len(text) % 4), validate=True)
