"""How much memory a container takes, told from a few of its items.

May import: nothing of memdbd.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from sys import getsizeof

SAMPLES = 5  # items that are looked at, as many as Redis's MEMORY USAGE


def sampled(count: int, items: Iterable[bytes]) -> int:
    """An estimate of the bytes of ``count`` items, from the first few of them."""
    sizes = [getsizeof(item) for item in islice(items, SAMPLES)]
    return count * sum(sizes) // len(sizes) if sizes else 0
