"""``inspect``: all that is wrong with a directory is told, and nothing in it is changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from persistence.stores import BY_NAME, Store, flip, small

from memdbd import effects
from memdbd.errors import StorageError
from memdbd.persistence.faults import PLAIN_JSON, RDB
from memdbd.persistence.frames import HEADER_SIZE, parse_header
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.inspection import Inspection, inspect
from memdbd.persistence.lock import DirectoryLock
from memdbd.persistence.repairing import plan


def inspected(store: Store) -> Inspection:
    before = store.files()
    found = inspect(store.fs, str(store.directory), store.path, BY_NAME)
    assert store.files() == before
    return found


def places(found: Inspection) -> list[tuple[str, int | None, int | None]]:
    return [(os.path.basename(each.path), each.line, each.byte) for each in found.faults]


def test_a_store_in_order_is_told_file_by_file(tmp_path: Path) -> None:
    found = inspected(small(tmp_path / "d"))
    assert (found.refusal, found.faults, found.would_cut, found.daemon) == (None, [], (), None)
    assert found.recovered is not None
    assert (found.recovered.size, found.recovered.sequence) == (9, 9)
    assert found.snapshot is not None
    assert found.snapshot.head is not None
    assert (found.snapshot.count, found.snapshot.head.sequence) == (3, 3)
    assert [(each.needed, each.first, each.last) for each in found.segments] == [
        (False, 1, 3),
        (True, 4, 6),
        (True, 7, 9),
    ]


def test_an_empty_directory_is_in_order(tmp_path: Path) -> None:
    found = inspected(Store(tmp_path / "d"))  # whether there are data at all is asked before
    assert (found.refusal, found.snapshot, found.segments) == (None, None, [])


def test_all_faults_of_a_snapshot_are_told(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    lines = Path(store.path).read_bytes().splitlines(keepends=True)
    lines[1], lines[3] = b"nonsense,\n", b'{"key":1},\n'
    Path(store.path).write_bytes(b"".join(lines))
    found = inspected(store)
    assert places(found) == [
        ("persistence.json", 2, None),
        ("persistence.json", 4, None),
    ]
    assert found.snapshot is not None
    assert found.snapshot.count == 1


def test_a_damaged_snapshot_is_told_of_without_a_journal(tmp_path: Path) -> None:
    store = alone(tmp_path / "d")
    data = Path(store.path).read_bytes()
    Path(store.path).write_bytes(data.replace(b'"one"', b'"one'))
    assert places(inspected(store)) == [("persistence.json", 2, None)]


def alone(directory: Path) -> Store:
    """A store with nothing but a snapshot."""
    store = small(directory)
    recovered = store.recovered()
    store.close()
    store.write(recovered, None)
    for number in (1, 2, 3):
        store.segment(number).unlink()
    return store


def test_an_empty_file_has_one_fault(tmp_path: Path) -> None:
    store = Store(tmp_path / "d")
    Path(store.path).write_bytes(b"")
    found = inspected(store)
    assert places(found) == [("persistence.json", 1, None)]
    assert found.snapshot is not None
    assert len(found.snapshot.faults) == 1


@pytest.mark.parametrize(
    ("data", "has_journal", "kind"),
    [
        (b'{"a": 1}', False, PLAIN_JSON),
        (b'\xef\xbb\xbf\n {"a": 1}', False, PLAIN_JSON),
        (b'{"a": 1}', True, ""),  # as damaged as any other bytes
        (b'{"a": "b"}', True, PLAIN_JSON),  # it was imported, and there is no snapshot yet
        (b'{{"format":"memdbd","version":1', False, ""),
        (b"\0" * 300, False, ""),
        (b"\0" * 300, True, ""),
        (b"", True, ""),
        (b"REDIS0011", True, RDB),
    ],
)
def test_only_what_can_be_another_programs_is_taken_for_it(
    tmp_path: Path, data: bytes, has_journal: bool, kind: str
) -> None:
    store = Store(tmp_path / "d")
    if has_journal:
        store.turn((b"SET", b"a", b"1"))
    Path(store.path).write_bytes(data)
    snapshot = inspected(store).snapshot
    assert snapshot is not None
    assert snapshot.foreign == kind


def test_all_damaged_frames_of_all_segments_are_told(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    flip(store.segment(2), 60)
    flip(store.segment(2), 330)
    flip(store.segment(3), 60)
    found = inspected(store)
    assert [each[0] for each in places(found)] == [
        "journal.00000002",
        "journal.00000002",
        "journal.00000003",
    ]
    # Of the last one the end is damaged; its successor says how long it had been.
    assert [each.frames for each in found.segments] == [3, 1, 2]


def test_a_damaged_header_does_not_hide_the_frames(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    flip(store.segment(3), 9)
    found = inspected(store)
    assert places(found)[0] == ("journal.00000003", None, 0)
    assert found.segments[2].frames == 3


def test_a_missing_segment_is_named(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    store.rotate()
    store.segment(3).unlink()
    found = inspected(store)
    assert ("journal.00000003", None, 0) in places(found)


def test_effects_that_cannot_be_done_are_told_once(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    assert store.journal is not None
    store.journal.append(b"*1\r\n$8\r\nNONSENSE")
    assert [path for path, _, _ in places(inspected(store))] == ["journal.00000003"]


def test_what_the_next_segment_says_is_told_as_far_as_it_differs(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    flip(store.segment(2), 60)  # so that a daemon refuses for another reason
    path = store.segment(3)
    data = path.read_bytes()
    header = parse_header(data)
    assert header is not None
    length, sequence = header.previous.length, header.previous.sequence
    for previous, expected in (
        (header.previous._replace(length=length + 1), f" is {length + 1} bytes long; its last "),
        (header.previous._replace(sequence=sequence + 1), f" ends with frame {sequence + 1}; it "),
        (header.previous._replace(salt=17), " is another one, of the same number and length"),
    ):
        forged = header._replace(previous=previous).encode()
        path.write_bytes(forged + data[HEADER_SIZE:])
        reasons = [each.reason for each in inspected(store).faults]
        assert sum(f"{path} says that this segment{expected}" in each for each in reasons) == 1


def test_a_segment_of_another_store_is_named(tmp_path: Path) -> None:
    store, other = small(tmp_path / "d"), small(tmp_path / "e")
    other.turn((b"SET", b"more", b"1"))
    other.rotate()
    store.rotate()
    store.segment(4).write_bytes(other.segment(4).read_bytes())
    assert places(inspected(store)) == [("journal.00000003", None, 446)]


@pytest.mark.parametrize("torn", [b"\0" * 100, b"rubbish", b"\0\0\0\x20"])
def test_a_torn_tail_is_no_damage(tmp_path: Path, torn: bytes) -> None:
    store = small(tmp_path / "d")
    with store.segment(3).open("ab") as file:
        file.write(torn)
    found = inspected(store)
    assert (found.refusal, found.faults) == (None, [])
    assert [(each.length, b"".join(each.torn)) for each in found.would_cut] == [
        (store.journal.length if store.journal else 0, torn)
    ]


def test_a_torn_tail_of_what_a_daemon_writes_is_no_tail(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    with store.segment(3).open("ab") as file:
        file.write(b"half")
    lock = DirectoryLock(FileSystem(), str(store.directory))
    lock.acquire()
    try:
        found = inspect(store.fs, str(store.directory), store.path, BY_NAME)
    finally:
        lock.release()
    assert (found.daemon, found.would_cut) == (f"pid {os.getpid()}", ())


def test_what_would_be_cut_is_counted_as_a_repair_counts_it(tmp_path: Path) -> None:
    """Also whole frames that are in it: power has left a later write, and not an earlier one."""
    store = small(tmp_path / "d")
    assert store.journal is not None
    synced = store.journal.synced
    at = store.journal.length
    for key in (b"a", b"b", b"c"):
        store.journal.synced = synced
        store.journal.append(effects.encode([(b"SET", key, b"1")], 0))
    flip(store.segment(3), at + 30)
    found = inspected(store)
    assert found.refusal is None
    (loss,) = found.losses
    assert (loss.frames, loss.first, loss.last) == (2, 11, 12)
    assert loss.keys == {(0, b"b"), (0, b"c")}
    assert found.losses == plan(store.fs, str(store.directory), store.path, BY_NAME).losses


def test_the_lock_of_whoever_asks_is_no_daemons(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    lock = DirectoryLock(FileSystem(), str(store.directory))
    lock.acquire()
    try:
        found = inspect(store.fs, str(store.directory), store.path, BY_NAME, is_ours=True)
    finally:
        lock.release()
    assert found.daemon is None


def test_another_snapshot_is_told_of(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    (store.directory / "copy.json").write_bytes(Path(store.path).read_bytes())
    assert inspected(store).others == ["copy.json"]


def test_what_is_in_the_snapshot_already_may_be_damaged(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    flip(store.segment(1), 60)
    assert inspected(store).refusal is None


def test_a_torn_tail_in_which_too_much_looks_like_frames_is_a_fault(tmp_path: Path) -> None:
    """What a client has sent, so that to look for frames in it would take hours."""
    store = small(tmp_path / "d")
    end = store.segment(3).stat().st_size
    looks = b"".join(n.to_bytes(width, "big") for n, width in ((9000, 4), (1, 4), (15, 8), (11, 8)))
    with store.segment(3).open("ab") as file:
        file.write(b"torn" + (looks + b"*") * 9000)
    found = inspected(store)
    assert places(found) == [("journal.00000003", None, end)]
    assert found.refusal is not None
    assert "looks like the beginning of one" in found.refusal
    assert (found.segments[2].frames, found.segments[2].torn) == (3, 4 + 9000 * 25)


def test_a_segment_under_anothers_name_is_no_fault_where_it_is_not_needed(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    store.segment(1).write_bytes(store.segment(3).read_bytes())
    found = inspected(store)
    assert (found.refusal, found.faults) == (None, [])
    store.segment(2).write_bytes(store.segment(3).read_bytes())
    assert ("journal.00000002", None, 0) in places(inspected(store))


def test_what_was_kept_and_what_was_left_is_told_apart(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    for name in ("persistence.json.tmp", "journal.00000001.torn", "journal.00000002.torn.1"):
        (store.directory / name).write_bytes(b"")
    (store.directory / "repair-20261123T000000Z").mkdir()
    found = inspected(store)
    assert found.leftovers == ["persistence.json.tmp"]
    assert found.torn == ["journal.00000001.torn", "journal.00000002.torn.1"]
    assert found.repairs == ["repair-20261123T000000Z"]


def test_whether_the_last_stop_was_in_order_is_told(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    recovered = inspected(store).recovered
    assert recovered is not None
    assert not recovered.was_closed
    store.turn(effects.CLOSE)
    recovered = inspected(store).recovered
    assert recovered is not None
    assert recovered.was_closed


class _Moving(FileSystem):
    """A daemon installs a new snapshot, and removes the segments, while it is looked at."""

    def __init__(self) -> None:
        self.before_list: list[Callable[[], object]] = []

    def list_directory(self, directory: str) -> list[str]:
        if self.before_list:
            self.before_list.pop()()
        return super().list_directory(directory)


def test_what_changes_while_it_is_looked_at_is_looked_at_again(tmp_path: Path) -> None:
    store = small(tmp_path / "d")
    fs = _Moving()

    def compact() -> None:
        store.save()
        store.segment(1).unlink()
        store.segment(2).unlink()
        store.segment(3).unlink()

    fs.before_list = [compact, lambda: None]  # the stamp, and then recover's
    found = inspect(fs, str(store.directory), store.path, BY_NAME)
    assert found.refusal is None
    assert found.recovered is not None
    assert found.recovered.size == 9


def test_a_directory_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        inspect(FileSystem(), str(tmp_path / "no"), str(tmp_path / "no/persistence.json"), BY_NAME)


def test_a_fault_is_told_wherever_a_bit_is_flipped(tmp_path: Path) -> None:
    """Whatever recovery refuses is told with a place, and all else is taken: never an exception."""
    store = small(tmp_path / "d")
    for path in (Path(store.path), store.segment(2), store.segment(3)):
        whole = path.read_bytes()
        for position in range(0, len(whole), 7):
            flip(path, position, position % 8)
            found = inspect(store.fs, str(store.directory), store.path, BY_NAME)
            assert (found.refusal is None) == (found.faults == [])
            assert found.refusal is not None or found.would_cut
            path.write_bytes(whole)
