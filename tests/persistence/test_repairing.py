"""A repair saves a prefix of what was written, tells what is lost, and deletes nothing."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from persistence.stores import BY_CLASS, BY_NAME, Store, flip, small

from memdbd.keyspace import Contents
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.journal import NextSegment
from memdbd.persistence.repairing import NotRepairable, Plan, carry_out, plan

MOMENT = 1795403907.5


def planned(store: Store, salvage: bool = False, is_named: bool = False) -> Plan:
    before = store.files()
    found = plan(
        store.fs, str(store.directory), store.path, BY_NAME, salvage=salvage, is_named=is_named
    )
    assert store.files() == before
    return found


def repaired(store: Store, salvage: bool = False) -> Plan:
    """Repair, and make sure of what holds for every repair."""
    before = store.files()
    what = planned(store, salvage)
    kept = Path(carry_out(store.fs, what, BY_CLASS, MOMENT))
    assert kept.parent == store.directory
    after = store.files()
    data = {name for name in before if name == "persistence.json" or name.startswith("journal.")}
    for name in data:
        assert after[f"{kept.name}/{name}"] == before[name]
    recovered = store.recovered()
    assert recovered.torn == ()
    assert plain(recovered.contents) == plain(what.recovered.contents)
    assert recovered.sequence == what.sequence
    assert not planned(store).is_needed
    return what


def plain(contents: Contents) -> dict[int, Any]:
    return {
        number: ({key: BY_CLASS[type(value)].dump(value, repr) for key, value in values.items()})
        for number, (values, _) in contents.items()
        if values
    }


def keys(what: Plan) -> set[bytes]:
    return set(what.recovered.contents[0][0])


def test_nothing_is_needed_where_a_daemon_would_start(tmp_path: Path) -> None:
    what = planned(small(tmp_path / "d"))
    assert (what.is_needed, what.losses) == (False, [])


def test_what_is_before_a_damaged_frame_is_saved(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    flip(store.segment(2), 200)
    what = repaired(store)
    assert keys(what) == {b"one", b"list", b"k0"}
    assert what.sequence == 4
    assert [(loss.first, loss.last, loss.keys) for loss in what.losses] == [
        (6, 6, {(0, b"k2"), (0, b"list")}),
        (7, 9, {(0, b"k3"), (0, b"k4"), (0, b"k5"), (0, b"list")}),
    ]


def test_the_next_journal_goes_on_behind_a_repair(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    flip(store.segment(2), 200)
    repaired(store)
    recovered = store.recovered()
    fresh = Store(store.directory)
    segment = NextSegment(store.fs, str(store.directory), recovered.next_number, 99)
    fresh.journal = segment.begin(recovered.last)
    fresh.turn((b"SET", b"new", b"1"))
    assert store.recovered().size == recovered.size + 1
    assert recovered.next_number == 4  # above all that are kept


def test_history_ends_before_a_missing_segment(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    store.rotate()
    store.turn((b"SET", b"late", b"1"))
    store.segment(3).unlink()
    what = repaired(store)
    assert keys(what) == {b"one", b"list", b"k0", b"k1", b"k2"}
    assert [loss.last for loss in what.losses] == [10]


def test_the_snapshot_alone_is_saved_where_its_segment_is_missing(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    store.segment(2).unlink()
    assert keys(repaired(store)) == {b"one", b"list"}


def test_history_ends_before_a_damaged_header(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    flip(store.segment(3), 9)
    assert repaired(store).sequence == 6


def test_history_ends_before_the_segment_of_another_store(tmp_path: Path) -> None:
    store, other = small(tmp_path / "d"), small(tmp_path / "e")
    for _ in range(3):
        other.turn((b"SET", b"other", b"1"))
    other.rotate()
    other.turn((b"SET", b"other", b"2"))
    store.segment(4).write_bytes(other.segment(4).read_bytes())
    what = repaired(store)
    assert b"other" not in keys(what)
    assert what.sequence == 9


def test_effects_that_cannot_be_done_again_end_history(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    store.turn((b"LSET", b"one", b"0", b"x"))
    store.turn((b"SET", b"late", b"1"))
    assert repaired(store).sequence == 9


def test_a_torn_tail_is_taken_away(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    with store.segment(3).open("ab") as file:
        file.write(b"half")
    what = repaired(store)
    assert (what.faults, what.sequence, [loss.bytes for loss in what.losses]) == ([], 9, [4])


def test_a_damaged_snapshot_is_only_salvaged_on_demand(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    path = Path(store.path)
    path.write_bytes(path.read_bytes().replace(b'"one"', b'"one'))
    with pytest.raises(NotRepairable, match=r"1 fault, 2 of 3 keys can be read.*--salvage"):
        planned(store)
    what = repaired(store, salvage=True)
    assert keys(what) == {b"list", b"k0", b"k1", b"k2", b"k3", b"k4", b"k5"}
    assert what.salvaged is not None
    assert (what.salvaged.expected, what.salvaged.count) == (3, 2)


def test_a_snapshot_that_was_changed_is_salvaged_whole(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    path = Path(store.path)
    path.write_bytes(path.read_bytes().replace(b'"value":"1"', b'"value":"2"'))
    what = repaired(store, salvage=True)
    assert what.recovered.contents[0][0][b"one"] == b"2"


def test_a_snapshot_that_is_cut_off_is_salvaged_up_to_there(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    path = Path(store.path)
    path.write_bytes(path.read_bytes()[:-80])
    assert b"one" in keys(repaired(store, salvage=True))


def test_without_the_header_of_the_snapshot_the_journal_is_left_out(tmp_path: Path) -> None:
    """Nobody knows then which frames are in it, and one done twice is a wrong value."""
    store = small(tmp_path / "d")
    path = Path(store.path)
    path.write_bytes(path.read_bytes().replace(b'"version":1', b'"version":x'))
    what = repaired(store, salvage=True)
    assert keys(what) == {b"one", b"list"}
    assert what.sequence == 9  # no frame that is there is ever a later one
    assert [loss.frames for loss in what.losses] == [3, 3, 3]


def test_a_foreign_file_with_a_fault_is_not_salvaged(tmp_path: Path) -> None:
    store = Store(tmp_path / "d")
    Path(store.path).write_bytes(b'{"a": "b", }')
    with pytest.raises(NotRepairable, match="correct it"):
        planned(store, salvage=True)


def test_a_segment_that_was_never_begun_needs_no_repair(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    store.segment(4).write_bytes(b"")
    assert not planned(store).is_needed
    store.segment(4).write_bytes(b"MEMDB")  # a daemon would refuse it with strict_tail
    assert repaired(store).losses[0].bytes == 5


def test_what_is_in_the_snapshot_is_not_lost_with_its_segment(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    flip(store.segment(1), 60)
    flip(store.segment(3), 60)
    assert [Path(loss.path).name for loss in planned(store).losses] == ["journal.00000003"]


@pytest.mark.parametrize("damage", ["journal", "torn", "snapshot"])
def test_with_the_wrong_name_of_the_snapshot_nothing_is_done(tmp_path: Path, damage: str) -> None:
    """It would be the end of the journal that belongs to the right one."""
    store = small(tmp_path / "d")
    right = store.directory / "data.json"
    Path(store.path).rename(right)
    if damage == "journal":
        store.segment(1).unlink()
    elif damage == "torn":
        store.segment(3).write_bytes(store.segment(3).read_bytes()[:-5])
    else:
        Path(store.path).write_bytes(b"")
    with pytest.raises(NotRepairable, match=r"data\.json.*: say with --storage-file which"):
        planned(store, salvage=damage == "snapshot")
    store.path = str(right)
    flip(store.segment(3), 60)
    assert planned(store, is_named=True).is_needed
    assert right.name in {Path(name).name for name in store.files()}


def test_without_the_snapshot_before_the_journal_nothing_is_done_unasked(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    store.segment(1).unlink()
    Path(store.path).unlink()
    with pytest.raises(NotRepairable, match="the snapshot with all before it is not there"):
        planned(store)
    assert planned(store, is_named=True).recovered.size == 0


def test_a_zeroed_snapshot_leaves_the_journal(tmp_path: Path) -> None:
    """Of no line of it a change could be done twice."""
    store = small(tmp_path / "d")
    store.segment(1).unlink()
    Path(store.path).write_bytes(b"\0" * 300)
    with pytest.raises(NotRepairable, match="is damaged: 2 faults, 0 keys can be read"):
        planned(store)
    what = repaired(store, salvage=True)
    assert keys(what) == {b"list", b"k0", b"k1", b"k2", b"k3", b"k4", b"k5"}
    assert (what.sequence, what.losses, what.hides_journal) == (9, [], False)


def test_where_nothing_can_be_taken_nothing_is_done(tmp_path: Path) -> None:
    store = Store(tmp_path / "d")
    for data, complaint in (
        (b"", "the file is empty; there is nothing in it that can be taken"),
        (b"rubbish", "there is nothing in it that can be taken"),
        (b"REDIS0011", "this is a Redis RDB file.*memdb import it"),
    ):
        Path(store.path).write_bytes(data)
        with pytest.raises(NotRepairable, match=complaint):
            planned(store, salvage=True)


class _Failing(FileSystem):
    """``left``: how many changes of the disk work."""

    def __init__(self, left: int) -> None:
        self.left = left

    def _step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    def make_directory(self, path: str) -> None:
        self._step()
        super().make_directory(path)

    def create(self, path: str) -> int:
        self._step()
        return super().create(path)

    def write(self, file: int, data: bytes | memoryview) -> int:
        self._step()
        return super().write(file, data)

    def sync(self, file: int) -> None:
        self._step()
        super().sync(file)

    def replace(self, source: str, target: str) -> None:
        self._step()
        super().replace(source, target)

    def remove(self, path: str) -> None:
        self._step()
        super().remove(path)

    def sync_directory(self, path: str) -> None:
        self._step()
        super().sync_directory(path)


@pytest.mark.parametrize("salvage", [False, True])
def test_a_repair_that_ends_anywhere_has_lost_nothing(tmp_path: Path, salvage: bool) -> None:
    """The directory is as it was, or repaired; each file is there, or its copy; and a second repair
    comes to the same."""
    ended, left = True, 0
    while ended:
        store = small(tmp_path / f"d{left}")
        if salvage:
            path = Path(store.path)
            path.write_bytes(path.read_bytes().replace(b'"one"', b'"one'))
        else:
            flip(store.segment(2), 200)
        before = store.files()
        what = planned(store, salvage)
        try:
            carry_out(_Failing(left), what, BY_CLASS, MOMENT)
            ended = False
        except OSError:
            pass
        after = store.files()
        for data in before.values():
            assert data in after.values()
        again = planned(store, salvage)
        assert plain(again.recovered.contents) == plain(what.recovered.contents)
        if again.is_needed:
            assert {name: after[name] for name in before} == before
            repaired(store, salvage)
        left += 1
    assert left > 20


def test_a_later_repair_keeps_the_files_of_an_earlier_one(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    flip(store.segment(2), 200)
    first = set(store.files())
    repaired(store)
    Path(store.path).write_bytes(Path(store.path).read_bytes().replace(b'"one"', b'"one'))
    repaired(store, salvage=True)
    names = {Path(name).parts[0] for name in store.files()}
    assert len([name for name in names if name.startswith("repair-")]) == 2
    assert {f"repair-20261123T031827Z/{name}" for name in first} <= set(store.files())


def test_wherever_a_bit_is_flipped_a_repair_saves_a_prefix(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    # The state after each frame.
    states = [plain(small(tmp_path / "e").recovered().contents)]
    for number in (2, 3):
        path = store.segment(number)
        whole = path.read_bytes()
        for position in range(0, len(whole), 5):
            flip(path, position, position % 8)
            what = planned(store)
            assert what.is_needed
            assert what.sequence < 9
            values = what.recovered.contents[0][0]
            there = [b"k%d" % each in values for each in range(6)]
            assert there == sorted(there, reverse=True)
            assert sum(there) == what.sequence - 3
            assert len(values[b"list"]) == 2 + sum(there)
            path.write_bytes(whole)
    assert plain(planned(store).recovered.contents) == states[0]
