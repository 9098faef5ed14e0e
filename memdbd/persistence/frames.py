"""The format of the journal: segments of frames, to the byte. Pure.

A segment is a file, ``journal.00000001`` and so on. All numbers are unsigned and big-endian::

    header   "MEMDBJ01" | number 8 | first sequence 8 | predecessor's length 8
             | predecessor's salt 4 | salt 4 | CRC-32 of all that 4
    frame    length of the effects 4 | CRC-32 4 | sequence 8 | synced 8
             | the effects, as RESP arrays

A frame is what one turn of the reactor has changed. The sequence counts frames, without a gap,
through all segments; ``synced`` is that of the last frame which was on disk for certain when this
one was written, by which a reader tells damage from what power has left. A frame's CRC is taken
over all the rest of it, and begins with the segment's salt, which is random: no frame is valid in
another segment, or in another store. A header names its predecessor's last sequence (by its own
first), length and salt, so none can be missing, cut or exchanged without a contradiction.

May import: errors.
"""

from __future__ import annotations

import re
from struct import Struct
from typing import NamedTuple
from zlib import crc32

MAGIC = b"MEMDBJ01"
_HEADER = Struct(">8sQQQII")
_CRC = Struct(">I")
HEADER_SIZE = _HEADER.size + _CRC.size
_FRAME = Struct(">IIQQ")
FRAME_SIZE = _FRAME.size  # bytes of a frame beside its effects
_NUMBERS = Struct(">IQQ")  # the same without the CRC
MAX_PAYLOAD = 2**32 - 1  # bytes

_NAME = re.compile(r"journal\.([0-9]{8,})")


class Link(NamedTuple):
    """What the next segment says of this one: its last sequence, its length, its salt."""

    sequence: int
    length: int
    salt: int


BEGINNING = Link(0, 0, 0)  # what the first segment says of its predecessor


class Header(NamedTuple):
    """A segment's header."""

    number: int
    previous: Link
    salt: int

    def encode(self) -> bytes:
        sequence, length, salt = self.previous
        head = _HEADER.pack(MAGIC, self.number, sequence + 1, length, salt, self.salt)
        return head + _CRC.pack(crc32(head))


def parse_header(data: bytes) -> Header | None:
    """The header at the beginning of ``data``; None where there is none that is whole."""
    if len(data) < HEADER_SIZE:
        return None
    magic, number, first, length, previous_salt, salt = _HEADER.unpack_from(data)
    (crc,) = _CRC.unpack_from(data, _HEADER.size)
    if magic != MAGIC or crc != crc32(data[: _HEADER.size]) or first < 1:
        return None
    return Header(number, Link(first - 1, length, previous_salt), salt)


def segment_name(number: int) -> str:
    """The name of the file."""
    return f"journal.{number:08d}"


def number_of(name: str) -> int | None:
    """The number of the segment of this name; None for other files."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None


def encode_frame(sequence: int, synced: int, payload: bytes, salt: int) -> bytes:
    """A frame; ``payload`` has from 1 to MAX_PAYLOAD bytes."""
    size = len(payload)
    crc = crc32(payload, crc32(_NUMBERS.pack(size, sequence, synced), salt))
    return _FRAME.pack(size, crc, sequence, synced) + payload


class Frame(NamedTuple):
    """A frame that was found whole: its number, that of the last one that was synced before it, its
    effects, and where the next one begins."""

    sequence: int
    synced: int
    payload: bytes
    end: int


def length_of_frame(data: bytes, at: int) -> int:
    """How many bytes the frame has that begins at ``at``, as it says itself; where that cannot be
    told yet, as many as are needed to tell."""
    if len(data) < at + FRAME_SIZE:
        return FRAME_SIZE
    return FRAME_SIZE + int.from_bytes(data[at : at + 4], "big")


def parse_frame(data: bytes, at: int, salt: int) -> Frame | None:
    """The frame that begins at ``at``, if one does that is whole and undamaged."""
    if len(data) < at + FRAME_SIZE:
        return None
    length, crc, sequence, synced = _FRAME.unpack_from(data, at)
    end = at + FRAME_SIZE + length
    if length < 1 or end > len(data):
        return None
    payload = data[at + FRAME_SIZE : end]
    if crc != crc32(payload, crc32(_NUMBERS.pack(length, sequence, synced), salt)):
        return None
    return Frame(sequence, synced, payload, end)


def find_frame(data: bytes, start: int, salt: int, sequence: int) -> int | None:
    """Where the next undamaged frame begins, at ``start`` or behind; None where there is none.

    ``sequence`` is about what its number must be: one of the million before it or behind it. Their
    upper five bytes are looked for, so that no byte of a long tail is looked at by Python.
    """
    # A zeroed tail may be long, and no frame ends in a zero.
    data = data.rstrip(b"\0")
    near = {max(sequence + step, 0) >> 24 for step in (-(1 << 20), 0, 1 << 20)}
    starts = re.compile(b"|".join(re.escape(high.to_bytes(5, "big")) for high in near))
    into_frame = FRAME_SIZE - 16
    at = start + into_frame
    while match := starts.search(data, at):
        found = match.start() - into_frame
        if parse_frame(data, found, salt) is not None:
            return found
        at = match.start() + 1
    return None
