"""What the compactor makes of an old snapshot and the effects behind it, without holding either.

Strategy: only keys that some effect names can have changed. :class:`Touched` collects them, and
follows whole databases that were emptied or exchanged. :class:`Merge` then goes through the old
snapshot once: lines of other keys are copied as they are, and those of touched keys are loaded. The
effects are done again on these alone, so that memory is needed for what has changed, however much
there is. Most are overwritten before they are used: those are not even loaded.

A key to be loaded is known by its text in the file alone, whatever its database and encoding. So
others are loaded that need not be: no harm, for they go the same way to where they were. Only a
line that is left out has to be the one that is meant.

May import: databases, effects, fs, loading, snapshot; commands.types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from memdbd.databases import COUNT
from memdbd.effects import Damaged, touched
from memdbd.persistence.loading import Reader, database_of, entry_of, without_comma
from memdbd.persistence.snapshot import as_base64

if TYPE_CHECKING:
    from memdbd.commands.types import DataType


# What a record has that is not of database 0, or whose key is not the text that it has.
_ELSEWHERE = frozenset({"database", "key_encoding"})


class Touched:
    """What the effects touch that were heard of.

    ``keys`` are the texts of keys whose old values are needed; ``overwritten`` those of keys of the
    old snapshot's database 0 whose values are not: their first effect is that they have another.
    ``origins`` has, for each database, the number of that in the old snapshot from which the
    keys come that no effect names; None where it was emptied since.
    """

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.overwritten: set[str] = set()
        self.origins: list[int | None] = list(range(COUNT))

    def hear(self, effects: Iterable[Sequence[bytes]]) -> None:
        """Take in the effects of one turn. Raises Damaged for what is none."""
        try:
            self._hear(effects)
        except (ValueError, LookupError):
            raise Damaged("an effect in it is not complete") from None

    def _hear(self, effects: Iterable[Sequence[bytes]]) -> None:
        origins, keys, overwritten = self.origins, self.keys, self.overwritten
        database = 0
        for words in effects:
            name = words[0]
            if origins[database] == 0 and _is_overwriting(words):
                for key in words[1::2] if name == b"MSET" else words[1:2]:
                    try:
                        text = key.decode()
                    except UnicodeDecodeError:
                        keys.add(as_base64(key))
                        continue
                    if text not in keys:
                        overwritten.add(text)
            elif name == b"SELECT":
                database = int(words[1])
            elif name == b"FLUSHDB":
                origins[database] = None
            elif name == b"SWAPDB":
                one, other = int(words[1]), int(words[2])
                origins[one], origins[other] = origins[other], origins[one]
            else:
                for _, place in touched([words]):
                    if place is not None:
                        text = _text(place)
                        if text not in overwritten:
                            keys.add(text)

    def places(self) -> list[int | None]:
        """For each database of the old snapshot, where its untouched keys are now; None: gone."""
        places: list[int | None] = [None] * COUNT
        for database, origin in enumerate(self.origins):
            if origin is not None:
                places[origin] = database
        return places


def _is_overwriting(words: Sequence[bytes]) -> bool:
    """Whether it does not matter to this effect, nor to any behind it, what was at its keys. (To a
    deletion it does matter: it is at fault where there was nothing.)"""
    name = words[0]
    if name == b"SET":
        return len(words) == 3 or words[3] == b"PXAT"
    return name == b"MSET" or (name == b"RESTORE" and b"REPLACE" in words[4:])


def _text(key: bytes) -> str:
    """What is in a record under ``key``."""
    try:
        return key.decode()
    except UnicodeDecodeError:
        return as_base64(key)


class Merge(Reader):
    """Goes through an old snapshot: ``contents`` are the records of touched keys, the lines of
    others are copied."""

    def __init__(self, path: str, types: Mapping[str, DataType[Any]], block: bytes) -> None:
        super().__init__(path, types, block)
        self._touched: set[str] = set()
        self._overwritten: set[str] = set()
        self._places: list[int | None] = []
        self._are_moved = False
        self._copy: Callable[[bytes, int], None] = _nowhere

    def merge(
        self, blocks: Iterable[bytes], touched: Touched, copy: Callable[[bytes, int], None]
    ) -> None:
        """Go through it; ``blocks`` are those behind the first one, and ``copy(lines, count)`` gets
        the lines of untouched keys, and may raise OSError."""
        self._overwritten = touched.overwritten
        self._touched = touched.keys
        self._places = touched.places()
        self._are_moved = self._places != list(range(COUNT))
        self._copy = copy
        self.go_through(blocks)

    def _take(self, block: bytes, records: list[dict[str, Any]]) -> None:
        keys: list[str] = [record["key"] for record in records]
        hits = self._overwritten.intersection(keys)
        if self._touched:
            hits |= self._touched.intersection(keys)
        if not hits and not self._are_moved:
            self._copy(block, len(keys))
            return
        kept = []
        # Not splitlines, which takes more than these for the end of a line.
        for line, key in zip(block.split(b"\n"), keys, strict=False):
            if key not in hits and not self._are_moved:
                kept.append(line)
                continue
            # From the line itself, for that is what is left out: that there are as many lines as
            # records is not yet to say that each is one.
            record = orjson.loads(without_comma(line + b"\n"))
            if record["key"] != key:
                raise ValueError("lines and records differ")
            if key in hits:
                if key not in self._overwritten or not record.keys().isdisjoint(_ELSEWHERE):
                    self._load(record)
            elif (moved := self._moved(line, record)) is not None:
                kept.append(moved)
        if kept:
            self._copy(b"\n".join(kept) + b"\n", len(kept))

    def _load(self, record: dict[str, Any]) -> None:
        database, key, value, deadline = entry_of(record, self._types)
        values, deadlines = self.contents.setdefault(database, ({}, {}))
        if key in values:
            raise ValueError("a touched key is there a second time")
        values[key] = value
        if deadline is not None:
            deadlines[key] = deadline

    def _moved(self, line: bytes, record: dict[str, Any]) -> bytes | None:
        """The line of an untouched key for the database where it is now; None if it is gone."""
        before = database_of(record)
        now = self._places[before]
        if now is None or now == before:
            return None if now is None else line
        # In the order in which a writer has the fields.
        record.pop("database", None)
        deadline = record.pop("deadline", None)
        if now:
            record["database"] = now
        if deadline is not None:
            record["deadline"] = deadline
        return orjson.dumps(record) + b","


def _nowhere(lines: bytes, count: int) -> None:
    pass
