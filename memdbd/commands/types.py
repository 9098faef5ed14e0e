"""The types of value: what a type is, and how a command gets values of its own.

May import: errors, keyspace, spec.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from memdbd.errors import WrongType
from memdbd.keyspace import Keyspace

T = TypeVar("T")

Text = Callable[[bytes], str]  # bytes to text: UTF-8 or base64, as whoever writes decides
Untext = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class DataType(Generic[T]):
    """A type of value: its name and its form in the snapshot.

    ``python`` is the class of its values, and of no other type's. ``dump(value, text)`` gives what
    JSON can hold, with ``text`` called on each bytes in it; ``load(dumped, untext)`` is its
    inverse, and raises ValueError, TypeError or KeyError for anything that ``dump`` cannot have
    made. ``size(value)`` is an estimate in bytes of what it holds in memory, in O(1).
    ``copy(value)`` is an independent value that equals it; ``encoding(value)`` is the name that
    Redis would give to how it is kept, for OBJECT ENCODING.

    A value that may be changed in place is a container, of which an empty one is no value: its
    key does not exist.
    """

    name: str
    python: type[T]
    dump: Callable[[T, Text], Any]
    load: Callable[[Any, Untext], T]
    size: Callable[[T], int]
    copy: Callable[[T], T]
    encoding: Callable[[T], str]

    def get(self, db: Keyspace, key: bytes) -> T | None:
        """The value of ``key``; None where there is none. Raises WrongType for another type's."""
        value = db.get(key)
        if value is None or value.__class__ is self.python:
            return value
        raise WrongType
