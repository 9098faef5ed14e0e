"""The plain JSON object of strings that other small databases keep as ``persistence.json``.

Strategy: to take all of it or nothing. The standard library's parser is used instead of the fast
one, since it names the line of a fault and lets a key that is there twice be noticed.

May import: errors, fs.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from itertools import chain, count
from typing import Any

from memdbd.errors import SnapshotDamaged
from memdbd.persistence.fs import FileSystem

RDB_MAGIC = b"REDIS"  # that an RDB file begins with
MARK = b"\xef\xbb\xbf"  # that Windows puts before UTF-8


class _Pairs(list[tuple[str, Any]]):
    """A JSON object, with the keys that a dict would have dropped."""


def parse(path: str, data: bytes) -> dict[str, str]:
    """The keys and values of a JSON object of strings.

    Raises SnapshotDamaged, with ``path``, for anything else.
    """
    if not data:
        raise SnapshotDamaged(path, 1, "the file is empty")
    if data.startswith(RDB_MAGIC):
        reason = (
            "this is a Redis RDB file, and no snapshot: move it elsewhere, start, and then "
            "memdb import it"
        )
        raise SnapshotDamaged(path, 1, reason)
    try:
        text = data.decode("utf-8-sig")  # with or without the mark that Windows puts first
    except UnicodeDecodeError as error:
        raise SnapshotDamaged(path, _line(data, error.start), "is not UTF-8") from None
    try:
        pairs = json.loads(text, object_pairs_hook=_Pairs)
    except json.JSONDecodeError as error:
        reason = f"is neither a memdbd snapshot nor JSON: {error.msg}"
        raise SnapshotDamaged(path, error.lineno, reason) from None
    except (ValueError, RecursionError):  # an endless number, endless brackets
        pairs = None
    if not isinstance(pairs, _Pairs):
        reason = "is neither a memdbd snapshot nor a JSON object of strings"
        raise SnapshotDamaged(path, 1, reason)
    found: dict[str, str] = {}
    for key, value in pairs:
        reason = _objection(found, key, value)
        if reason:
            raise SnapshotDamaged(path, _line_of_key(text, key, key in found), reason)
        found[key] = value
    return found


def keep_original(fs: FileSystem, path: str) -> str:
    """Copy the file that is about to be replaced beside itself; gives the name of the copy.

    ``persistence.json.imported``, or ``.imported.1`` and so on, since an earlier copy is never
    overwritten. A copy and not a link, which some file systems lack.
    """
    for suffix in chain([""], (f".{number}" for number in count(1))):
        kept = f"{path}.imported{suffix}"
        try:
            file = fs.create(kept)
        except FileExistsError:
            continue
        break
    try:
        try:
            for piece in fs.read(path):
                fs.write_all(file, piece)
            fs.sync(file)
        finally:
            fs.close(file)
        fs.sync_directory(os.path.dirname(kept) or ".")
    except BaseException:
        with contextlib.suppress(OSError):
            fs.remove(kept)
        raise
    return kept


def _objection(found: dict[str, str], key: str, value: Any) -> str:
    """Why this pair cannot be imported, or nothing."""
    if not isinstance(value, str):
        return f"the value of key {json.dumps(key)} is not a string, only strings can be imported"
    if key in found:
        return f"key {json.dumps(key)} is there twice"
    try:
        (key + value).encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can write and UTF-8 cannot
        return f"the text at key {json.dumps(key)} is not Unicode"
    return ""


def _line(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1


def _line_of_key(text: str, key: str, second: bool) -> int:
    """The line in which ``key`` is written, for the second time if so; 1 if it cannot be found."""
    forms = {json.dumps(key, ensure_ascii=ascii_only) for ascii_only in (True, False)}
    places = re.finditer("(?:" + "|".join(map(re.escape, forms)) + r")\s*:", text)
    for place in list(places)[second:]:
        return text.count("\n", 0, place.start()) + 1
    return 1
