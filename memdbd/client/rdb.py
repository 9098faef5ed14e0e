"""Reading a Redis RDB file: what is in it, or why it cannot be taken.

Strategy: the reading is a library's (``pip install memdbd[rdb]``). It compares no checksum and
leaves out without a word what it does not know (streams, the values of modules). So the checksum is
compared here, before anything is taken; and the number of keys that the file tells of each database
is compared with how many came.

May import: databases, errors, fs, legacy, snapshot (for the form of an entry), words;
commands.types.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from math import isnan
from typing import Any

from memdbd.client.words import shown
from memdbd.commands.types import DataType
from memdbd.databases import COUNT
from memdbd.errors import MemDBError
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.legacy import RDB_MAGIC
from memdbd.persistence.snapshot import Entry

_FIRST_WITH_CHECKSUM = 5
_CHECKSUM = 8  # bytes
# The library's names of types, ours, and the field that has the value.
_TYPES = {
    "string": ("string", "value"),
    "list": ("list", "values"),
    "set": ("set", "members"),
    "sorted_set": ("zset", "values"),
    "hash": ("hash", "values"),
}


class BadFile(MemDBError):
    """This is no RDB file, a damaged one, or one that cannot be read here."""


class RdbFile:
    """An RDB file. ``left_out`` has, when all entries were gone through, how many keys of which
    database are of a type that memdbd has not."""

    def __init__(
        self, fs: FileSystem, path: str, name: str, types: Mapping[str, DataType[Any]]
    ) -> None:
        self._fs = fs
        self._path = path
        self._name = name
        self._types = types
        self.left_out: dict[int, int] = {}
        self._is_checked = False

    def entries(self) -> Iterator[tuple[str, Entry]]:
        """All that is in it; each with where that is. Raises BadFile."""
        try:
            import anycrc  # type: ignore[import-untyped] # noqa: F401 # for the checksum
            import rdb
        except ImportError:
            raise BadFile(
                f"{self._name} is a Redis RDB file, and reading it takes two more libraries: "
                "pip install 'memdbd[rdb]'. Or start redis-server on it, and pipe "
                "memdb export --connect HOST:PORT into memdb import"
            ) from None
        if not self._is_checked:
            self._compare_checksum()
            self._is_checked = True
        self.left_out = {}
        try:
            items: Any = rdb.RdbDecoder(self._path)
            yield from self._entries(items)
        except (ValueError, TypeError, KeyError) as problem:
            raise BadFile(f"{self._name} is not an RDB file that can be read: {problem}") from None

    def _entries(self, items: Iterator[dict[str, Any]]) -> Iterator[tuple[str, Entry]]:
        database, expected, seen = 0, 0, 0
        for item in chain(items, [{"type": "select_db", "db": 0}]):
            kind = item["type"]
            if kind == "select_db":
                self._count(database, expected - seen)
                database, expected, seen = item["db"], 0, 0
            elif kind == "resize_db":
                expected = item["db_size"]
            elif kind in _TYPES:
                if database >= COUNT:
                    raise ValueError(f"it has a database {database}, and memdbd has {COUNT}")
                seen += 1
                key = item["key"]
                yield f"key {shown(key)}", (database, key, self._value(item), item["expiry"])

    def _value(self, item: dict[str, Any]) -> Any:
        name, field = _TYPES[item["type"]]
        value = item[field]
        if name == "string":
            return value
        if name == "zset":
            scores = {member: score for score, member in value}
            if any(map(isnan, scores.values())):
                raise ValueError(f"a score of key {shown(item['key'])} is not a number")
            value = scores
        elif name == "hash":
            value = list(value.items())
        if not value:
            raise ValueError(f"key {shown(item['key'])} is empty")
        return self._types[name].python(value)

    def _count(self, database: int, missing: int) -> None:
        if missing > 0:
            self.left_out[database] = self.left_out.get(database, 0) + missing

    def _compare_checksum(self) -> None:
        import anycrc

        crc = anycrc.Model("CRC64-REDIS")
        value, held, first = 0, b"", b""
        for piece in self._fs.read(self._path):
            first = first or piece[:9]
            held += piece
            value = crc.calc(held[:-_CHECKSUM], value)
            held = held[-_CHECKSUM:]
        version = first[len(RDB_MAGIC) : 9]
        if not first.startswith(RDB_MAGIC) or not version.isdigit():
            raise BadFile(f"{self._name} is no RDB file")
        expected = int.from_bytes(held, "little")
        # 0: whoever wrote it was told to make none.
        if int(version) >= _FIRST_WITH_CHECKSUM and expected not in (0, value):
            raise BadFile(
                f"{self._name} is damaged or cut off: its checksum should be {value:016x}, "
                f"and its last bytes are {expected:016x}"
            )
