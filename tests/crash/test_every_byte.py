"""No damage is silent: each byte of a store is cut away, and each bit of it flipped.

A start on such a store refuses and names the file and the place; or it says that the end of the
last segment is torn, or that it was not closed in order, and gives a prefix of what was written; or
it gives exactly what was there. What cannot be told from a crash is a last segment of a store that
was not closed, cut between two frames.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from crash.damage import all_of, cuts, flips, is_accepted, misplaced_frames, misplaced_segments
from crash.stores import SNAPSHOT, Store, closed, closed_twice, frames_of, opened, outcome, segment

from memdbd.errors import StorageError
from memdbd.persistence.frames import HEADER_SIZE

STORES = [opened, closed, closed_twice]
OUT_OF: dict[Callable[[], Store], int] = {opened: 4, closed: 4, closed_twice: 5}  # its last segment


@pytest.mark.parametrize("make", STORES)
def test_an_undamaged_store_is_recovered(make: Callable[[], Store]) -> None:
    store = make()
    found = outcome(store.files())
    assert not isinstance(found, StorageError)
    recovered, data = found
    assert data == store.states[-1]
    assert not recovered.torn
    assert recovered.was_closed is (make is not opened)
    assert set(store.files()) == {SNAPSHOT, *(segment(n) for n in range(2, OUT_OF[make] + 1))}


@pytest.mark.parametrize("make", [closed, closed_twice])
def test_no_cut_is_silent(make: Callable[[], Store]) -> None:
    store = make()
    count, faults = all_of(store, cuts(store.files()))
    assert not faults
    assert count == sum(map(len, store.files().values()))


def test_of_a_store_that_was_not_closed_only_a_cut_between_the_last_frames_is_silent() -> None:
    store = opened()
    last = segment(OUT_OF[opened])
    end, between = HEADER_SIZE, []
    for frame in frames_of(store.files()[last]):
        between.append(end)
        end += len(frame)
    _, faults = all_of(store, cuts(store.files()))
    assert [fault.partition(":")[0] for fault in faults] == [
        f"{last} cut at {at}" for at in between
    ]


@pytest.mark.parametrize("make", STORES)
def test_no_flipped_bit_is_silent(make: Callable[[], Store]) -> None:
    store = make()
    count, faults = all_of(store, flips(store.files()))
    assert not faults
    assert count == 8 * sum(map(len, store.files().values()))


# Frames and segments that are not where they were written


@pytest.mark.parametrize("make", STORES)
def test_frames_dropped_doubled_swapped_or_spliced_are_refused(make: Callable[[], Store]) -> None:
    store = make()
    taken = []
    for what, files in misplaced_frames(store, OUT_OF[make], opened(salt=77, name=b"k")):
        if is_accepted(files):
            taken.append(what)
    assert not taken


@pytest.mark.parametrize("make", STORES)
def test_segments_missing_swapped_or_of_another_store_are_refused(
    make: Callable[[], Store],
) -> None:
    store = make()
    taken = []
    for what, files in misplaced_segments(store, OUT_OF[make], opened(salt=77)):
        if not isinstance(outcome(files), StorageError):
            taken.append(what)
    assert not taken
