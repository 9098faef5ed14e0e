"""What of a journal will not be in the data any more, when it is cut: bytes, frames, and the keys
that they have changed. Writes nothing.

May import: effects, faults, frames, fs.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from memdbd import effects
from memdbd.persistence.faults import look_at_segment
from memdbd.persistence.frames import FRAME_SIZE, HEADER_SIZE, Frame
from memdbd.persistence.fs import FileSystem

Place = tuple[int, bytes | None]  # of a key: its database, and itself; None: all of them


@dataclass(slots=True)
class Loss:
    """What of one file will not be in the data any more."""

    path: str
    bytes: int = 0
    frames: int = 0  # that are whole, and yet lost
    first: int = 0  # the sequence of the first of them
    last: int = 0
    keys: set[Place] = field(default_factory=set)  # that these frames have changed


def losses_of(
    fs: FileSystem, directory: str, names: Iterable[str], sequence: int
) -> tuple[list[Loss], int]:
    """What is in these segments and not in the data that ends with ``sequence``; and the highest
    sequence in them. Raises OSError."""
    losses, highest = [], 0
    for name in names:
        loss = Loss(os.path.join(directory, name))
        kept = 0

        def each(frame: Frame, loss: Loss = loss) -> None:
            nonlocal kept
            if frame.sequence <= sequence:
                kept += FRAME_SIZE + len(frame.payload)
                return
            loss.frames += 1
            loss.first = min(loss.first or frame.sequence, frame.sequence)
            loss.last = max(loss.last, frame.sequence)
            with contextlib.suppress(effects.Damaged, ValueError, IndexError):
                loss.keys.update(effects.touched(effects.decode(frame.payload)))

        found = look_at_segment(fs, directory, name, each)
        highest = max(highest, found.last)
        loss.bytes = found.size - kept - (HEADER_SIZE if not found.unborn else 0)
        if loss.bytes:
            losses.append(loss)
    return losses, highest
