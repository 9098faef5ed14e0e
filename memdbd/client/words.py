"""What several tools have to say in the same words. May import: persistence (for one of them)."""

from __future__ import annotations

from collections.abc import Iterable

from memdbd.persistence.faults import counted

__all__ = ["counted", "listed", "shown", "shown_in"]


def listed(words: Iterable[str]) -> str:
    """Such as "a", "a and b", "a, b and c"."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def shown(key: bytes) -> str:
    """A key as at the prompt: ``'text'``, or ``b'\\xff'`` where it is none."""
    try:
        return repr(key.decode())
    except UnicodeDecodeError:
        return repr(key)


def shown_in(database: int, key: bytes) -> str:
    """A key, and its database where that is not the first."""
    return shown(key) + (f" of database {database}" if database else "")
