"""Commands that are nearly valid: a drawn one with something missing, too much or out of place."""

from __future__ import annotations

from random import Random

from differential.grammar.atoms import ANY_KEY, STRANGE

_KEYS = frozenset(ANY_KEY)

Words = list[bytes]


def _shortened(argv: Words, rng: Random) -> Words:
    at = rng.randrange(1, len(argv))
    return argv[:at] + argv[at + 1 :]


def _cut(argv: Words, rng: Random) -> Words:
    return argv[: rng.randrange(1, len(argv))]


def _lengthened(argv: Words, rng: Random) -> Words:
    return [*argv, rng.choice(STRANGE)]


def _replaced(argv: Words, rng: Random) -> Words:
    at = rng.randrange(1, len(argv))
    return [*argv[:at], rng.choice(STRANGE), *argv[at + 1 :]]


def _repeated(argv: Words, rng: Random) -> Words:
    """With a piece of it again at the end: an option twice, or one in the wrong place."""
    start = rng.randrange(1, len(argv))
    return argv + argv[start : start + rng.choice((1, 2))]


def _doubled(argv: Words, rng: Random) -> Words:
    at = rng.randrange(1, len(argv))
    return argv[:at] + argv[at : at + 1] + argv[at:]


def _swapped(argv: Words, rng: Random) -> Words:
    one, other = rng.randrange(1, len(argv)), rng.randrange(1, len(argv))
    argv = argv.copy()
    argv[one], argv[other] = argv[other], argv[one]
    return argv


_WAYS = (_shortened, _cut, _lengthened, _replaced, _replaced, _repeated, _doubled, _swapped)


def nearly(argv: Words, rng: Random) -> Words:
    """Something like this command that is perhaps no more valid. Its name stays."""
    if len(argv) == 1:
        return _lengthened(argv, rng)
    return rng.choice(_WAYS)(argv, rng)


def with_option(argv: Words, options: tuple[bytes, ...], rng: Random) -> Words:
    """With one more of its options' words, wherever that is."""
    at = rng.randint(1, len(argv))
    return [*argv[:at], rng.choice(options), *argv[at:]]


def elsewhere(argv: Words, rng: Random) -> Words:
    """With other keys, which often are of another type."""
    return [
        rng.choice(ANY_KEY) if at and word in _KEYS and rng.random() < 0.6 else word
        for at, word in enumerate(argv)
    ]
