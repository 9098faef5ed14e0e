"""The shortest sequence that still shows something: Zeller's delta debugging."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def shrink(items: Sequence[Item], shows: Callable[[list[Item]], bool]) -> list[Item]:
    """As few of ``items``, in their order, as still show it: leaving out any one, they would not.

    Source: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002). Of
    its two halves, this is the one that leaves pieces out: most commands of a sequence do not
    matter, but those that do are rarely next to each other.
    """
    kept = list(items)
    size = max(1, len(kept) // 2)
    while True:
        start, shorter = 0, False
        while start < len(kept):
            fewer = kept[:start] + kept[start + size :]
            if fewer and shows(fewer):
                kept, shorter = fewer, True
            else:
                start += size
        if size > 1:
            size //= 2
        elif not shorter:
            return kept
